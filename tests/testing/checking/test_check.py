"""check_grads and check_vjp judged by planted faults.

Each must get the right verdict, and correct gradients at every kind of point must raise no alarm.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing import GradientError, Verdict, check_grads, check_vjp
from tests.counting import calls

X = np.array([0.7, -1.2, 0.4, 2.1])
A = np.random.default_rng(0).normal(size=(3, 3))


def broken(vjp, numpy=np.sin, **more):
    return mg.primitive("broken", numpy=numpy, vjp=vjp, **more)


def refused(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_grads(f, *args, **options)
    return caught.value


# -- planted faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda g, y, x: 1.001 * g * mg.cos(x), "factor 1.001"),
        (lambda g, y, x: 2 * g * mg.cos(x), "factor 2"),
        (lambda g, y, x: -g * mg.cos(x), "sign"),
        (lambda g, y, x: mg.zeros_like(x), "missing term"),
        (lambda g, y, x: (g * mg.cos(x))[::-1], "reversed"),
    ],
)
def test_wrong_factor_sign_and_zero(rule, words, dtype):
    op = broken(rule)
    error = refused(lambda x: op(x) + 1, X.astype(dtype))
    assert error.report.verdict is Verdict.WRONG
    assert words in error.location.finding.diagnosis
    assert error.location.op == "broken"
    assert "test_check.py" in error.location.line
    assert "found" in str(error) and "expected" in str(error) and "error estimate" in str(error)


def test_a_correct_rule_of_ones_own_passes():
    op = broken(lambda g, y, x: g * mg.cos(x))
    report = check_grads(lambda x: mg.sum(op(x) * x), X, order=2)
    assert report.verdict is Verdict.CORRECT and "complex step" in str(report) and not report.notes


def test_a_rule_of_ones_own_that_no_complex_number_passes_goes_by_differences():
    op = broken(lambda g, y, x: g * mg.cos(x), lambda x: np.sign(x) * np.sin(np.abs(x)))
    report = check_grads(op, X)
    assert report.verdict is Verdict.CORRECT and "complex" not in str(report)
    assert report.notes == ["by differences, since these ops may not be analytic: broken"]


def test_transposed():
    op = mg.primitive(
        "gram", kind="whole", shape=lambda x: x.shape, numpy=lambda x: x.T @ x,
        vjp=lambda g, y, x: mg.matrix_transpose(x @ (g + mg.matrix_transpose(g))),
    )  # fmt: skip
    assert "transposed" in refused(op, A).location.finding.diagnosis


def test_transposed_operand():
    op = mg.primitive(
        "product", kind="whole", shape=lambda a, b: a.shape, numpy=np.matmul,
        vjp=lambda g, y, a, b: (g @ b, mg.matrix_transpose(a) @ g),
    )  # fmt: skip
    found = refused(op, A, A[::-1] + 1).location.finding.diagnosis
    assert found == "its second input (arg1) is transposed in the rule for its first input (arg0)"


def test_swapped_operands():
    op = broken(lambda g, y, a, b: (g * a, g * b), numpy=np.multiply)
    assert "swapped" in refused(op, X, X[::-1] + 3).location.finding.diagnosis


def test_missing_unbroadcast_by_shape():
    op = mg.primitive(
        "scale", kind="whole", shape=lambda s, x: x.shape, numpy=lambda s, x: s * x,
        vjp=lambda g, y, s, x: (g * x, g * s),
    )  # fmt: skip
    error = refused(op, np.float64(2.0), X)
    assert "missing unbroadcast" in str(error) and error.location.op == "scale"


def test_missing_unbroadcast_by_value():
    op = mg.primitive(
        "tile", kind="whole", shape=lambda x: (5, 4), numpy=lambda x: np.tile(x, (5, 1)),
        vjp=lambda g, y, x: g[0],
    )  # fmt: skip
    assert "missing unbroadcast: one slice of axis 0" in refused(op, X).location.finding.diagnosis


def test_missing_term_of_a_sum_of_uses():
    op = broken(lambda g, y, a, b: (g * b, None), numpy=np.multiply)
    error = refused(lambda x: mg.sum(op(x, mg.sin(x))), X)
    assert "missing term" in error.location.finding.diagnosis


@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (0.2, True), (1.0, True), (2.0, False)])
def test_convex_weights_pass_at_a_tie_and_others_do_not(share, ok):
    def rule(g, y, a, b):
        wins = mg.astype(mg.greater(a, b), "float64")
        mine = mg.where(mg.equal(a, b), share, wins)
        other = mg.where(mg.equal(a, b), 1 - share if ok else share / 2, 1 - wins)
        return g * mine, g * other

    op = broken(rule, numpy=np.maximum)
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 2.0])
    if ok:
        report = check_grads(op, a, b)
        assert report.ok and report.verdict is Verdict.KINK
    else:
        error = refused(op, a, b)
        assert error.report.verdict is Verdict.WRONG and error.location.op == "broken"


def test_both_get_everything_at_a_tie_is_wrong():
    def rule(g, y, a, b):
        return g * mg.astype(a >= b, "float64"), g * mg.astype(b >= a, "float64")

    op = broken(rule, numpy=np.maximum)
    error = refused(lambda a, b: mg.sum(op(a, b)), np.ones(2), np.ones(2))
    assert "tie" in str(error)


def test_max_with_weights_that_do_not_sum_to_one():
    op = mg.primitive(
        "top", kind="whole", shape=lambda x: (), numpy=np.max,
        vjp=lambda g, y, x: g * mg.astype(mg.equal(x, y), "float64"),
    )  # fmt: skip
    assert "tie" in str(refused(op, np.array([2.0, 2.0, 1.0])))


def test_not_finite_where_the_slope_is():
    op = broken(lambda g, y, x: g * 0.5 / y, numpy=np.sqrt)
    error = refused(lambda x: mg.where(x > 0, op(x), 0 * x), np.array([-1.0, 1.0]))
    assert error.report.verdict is Verdict.WRONG and "NaN" in str(error)
    assert error.location.op == "broken" and "absorb" in error.location.finding.diagnosis
    assert check_grads(lambda x: mg.where(x > 0, mg.sqrt(x), 0 * x), np.array([-1.0, 1.0])).ok


def test_a_rule_that_computes_with_values_is_found_at_order_two():
    op = broken(lambda g, y, x: g * mg.asarray(np.cos(x.numpy())))
    assert check_grads(op, X).ok
    assert "near it" in str(refused(lambda x: op(x), X, order=2))


def test_a_slope_that_a_rule_detaches_is_found_at_order_two():
    op = broken(lambda g, y, x: g * mg.stop_gradient(mg.cos(x)))
    assert check_grads(op, X).ok
    assert refused(op, X, order=2).report.worst.order == 2


def test_wrong_second_derivative_is_located():
    wrong_cos = broken(lambda g, y, x: g * mg.sin(x), numpy=np.cos)
    op = mg.primitive("sine", numpy=np.sin, vjp=lambda g, y, x: g * wrong_cos(x))
    assert check_grads(op, X).ok
    error = refused(op, X, order=2)
    assert error.location.op == "broken" and error.report.worst.order == 2


def test_random_functions_are_refused():
    rng = np.random.default_rng(0)
    error = refused(lambda x: x * rng.normal(size=4), X)
    assert error.report.verdict is Verdict.RANDOM and error.report.verdict == "non-deterministic"


def test_wrong_reference_and_right_reference():
    def f(x):
        return mg.sin(x)

    assert check_grads(f, X, reference=lambda u, x: u * np.cos(x)).ok
    report = check_grads(f, X, reference=lambda u, x: u * np.cos(x), modes="rev")
    assert "reference" in report.findings[0].oracle
    assert "factor 2" in str(refused(f, X, reference=lambda u, x: u * np.cos(x) / 2))


@pytest.mark.parametrize("rule", [mg.abs, mg.square, lambda g: mg.clip(g, -9, 9)])
def test_a_rule_that_is_not_linear_in_its_cotangent(rule):
    op = broken(lambda g, y, x: rule(g) * mg.cos(x))
    error = refused(op, X)
    assert error.location.op == "broken"
    assert "not linear" in str(refused(op, X, modes="fwd"))


def test_one_wrong_element_of_many_is_found_and_named():
    scale = np.ones(5000)
    scale[1234] = 1.001
    op = broken(lambda g, y, x: g * mg.cos(x) * scale)
    error = refused(op, np.random.default_rng(1).normal(size=5000), locate=False)
    assert error.report.findings[0].element == (1234,)


# -- the gate --------------------------------------------------------------------------------------

wrong_sigmoid = mg.primitive(
    "wrong_sigmoid", numpy=lambda x: 1 / (1 + np.exp(-x)), vjp=lambda g, y, x: -g * y * (1 - y)
)


class WrongForget(rc.LSTM):
    """An LSTM whose forget gate has the sign of its derivative wrong."""

    named = True

    def __call__(self, params, carry, x):
        h, c = carry

        def affine(k):
            return x @ params[f"W_{k}"] + h @ params[f"U_{k}"] + params[f"b_{k}"]

        i, o, g = mg.sigmoid(affine("i")), mg.sigmoid(affine("o")), mg.tanh(affine("g"))
        f = wrong_sigmoid(affine("f"))
        c = ((f.named("f") if self.named else f) * c + i * g).named("c")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


@pytest.mark.parametrize("named", [True, False])
def test_wrong_gate_is_named(named):
    cell = WrongForget(2, 2)
    cell.named = named
    xs = np.random.default_rng(0).normal(size=(3, 1, 2))
    error = refused(lambda params, x: rc.unroll(cell, params, x)[1], cell.init(0), xs, modes="rev")
    found = error.location
    assert found.op == "wrong_sigmoid" and "sign" in found.finding.diagnosis
    (place,) = found.places
    assert place.gate == ("f" if named else "c")
    assert sorted(place.parameters) == ["U_f", "W_f", "b_f"]
    assert (place.step, place.sample) == (0, 0) and str(place) in " ".join(str(error).split())


@pytest.mark.parametrize("name", ["norm", "divide", "stop_gradient", "maximum", "log", "astype"])
def test_an_op_of_ones_own_may_have_the_name_of_one_of_ours(name):
    square = mg.primitive(name, numpy=lambda z: z * z, vjp=lambda ct, y, z: 2 * ct * z)
    report = check_grads(lambda x: mg.sum(square(x)), np.array([0.3, -2.0]))
    assert report.verdict == "correct"
    wrong = mg.primitive(name, numpy=lambda z: z * z, vjp=lambda ct, y, z: ct * z)
    assert refused(lambda x: mg.sum(wrong(x)), np.array([0.3, -2.0])).report.verdict == "wrong"


def test_a_function_that_clips_its_argument_in_place_is_told_and_the_callers_array_kept():
    z = np.array([0.7, 0.01, 0.4])
    with pytest.raises(GradientError, match="changes its argument in place"):
        check_vjp(lambda z: np.maximum(z, 0.1, out=z) * 1, lambda ct, z: ct * (z > 0.1), z)
    assert z[1] == 0.01


# -- correct gradients raise no alarm --------------------------------------------------------------

KINKS = {
    "relu": (mg.relu, np.array([0.0, 1.0, -1.0])),
    "abs": (mg.abs, np.array([0.0, 1.0, -1.0])),
    "max": (mg.max, np.array([2.0, 2.0, 1.0])),
    "min": (lambda x: mg.min(x, axis=0), np.zeros((2, 3))),
    "maximum": (lambda x: mg.maximum(x, 1.0), np.array([1.0, 0.0, 2.0])),
    "sort": (
        lambda x: mg.vecdot(mg.sort(x), np.array([1.0, 10.0, 100.0])),
        np.array([2.0, 1.0, 2.0]),
    ),
    "norm": (mg.norm, np.zeros(3)),
    "clip": (lambda x: mg.clip(x, 0.0, 1.0), np.array([0.0, 0.5, 1.0])),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_pass_and_are_noted(name):
    report = check_grads(*KINKS[name])
    assert report.ok and report.conclusive and report.verdict is Verdict.KINK, str(report)


SMOOTH = {
    "x maximum x": (lambda x: mg.maximum(x, x), X),
    "square of abs at 0": (lambda x: mg.square(mg.abs(x)), np.zeros(3)),
    "softmax with a tie": (mg.softmax, np.array([1.0, 1.0, 0.0])),
    "logsumexp of large": (mg.logsumexp, np.array([1000.0, 1000.0])),
    "saturated": (lambda x: mg.sigmoid(x) + mg.tanh(x), np.array([-1000.0, 1000.0, 0.0])),
    "0-d": (lambda x: mg.exp(x), np.float64(0.3)),
    "empty": (lambda x: mg.sum(x * 2), np.zeros((0, 3))),
    "reversed and strided": (lambda x: mg.sin(x), np.arange(12.0).reshape(3, 4)[::-1, ::2]),
    "stop_gradient": (lambda x: x * mg.stop_gradient(mg.sin(x)), X),
    "integers inside": (lambda x: mg.take(x, np.array([0, 0, 2])), X),
    "independent": (lambda x, y: mg.sum(x), X, A),
    "python numbers": (lambda x, k: x**k, 1.5, 3),
    "several outputs": (lambda x: {"a": mg.sin(x), "b": (mg.sum(x), 3)}, X),
    "float32": (lambda x: mg.sum(mg.exp(x) * x), X.astype(np.float32)),
    "mixed": (lambda x, y: mg.sum(x) * y, X.astype(np.float32), A),
    "power": (lambda x: x**3 + x**2.0, np.array([-2.0, 0.0, 1.5])),
    "zeros of prod": (lambda x: x[0] * x[1] * x[2], np.array([0.0, 3.0, 4.0])),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_correct_gradients_pass(name):
    report = check_grads(*SMOOTH[name])
    assert report.verdict is Verdict.CORRECT, str(report)


@pytest.mark.parametrize("name", ["x maximum x", "several outputs", "stop_gradient", "power"])
def test_correct_second_gradients_pass(name):
    assert check_grads(*SMOOTH[name], order=2).ok


def test_infinite_slopes_and_missing_values_are_singular():
    assert check_grads(mg.sqrt, np.array([0.0, 1.0])).verdict is Verdict.SINGULAR
    assert check_grads(mg.sin, np.array([np.nan, 1.0])).ok
    assert check_grads(mg.sigmoid, np.array([np.inf, 1.0, -np.inf])).ok
    assert check_grads(mg.pow, np.array([-2.0, 2.0]), np.array([2.0, 3.0])).ok  # no slope by 2
    assert check_grads(lambda x: (mg.log(x) - mg.log(x)) ** (x - x), np.array([-1.0])).ok
    report = check_grads(mg.log, np.array([-1.0, 1.0]))
    assert report.ok and "not finite" in str(report)


def test_stop_gradient_is_noted():
    assert "stop_gradient" in str(check_grads(*SMOOTH["stop_gradient"]))


def test_float32_rounding_is_not_called_wrong():
    def f(x):
        return mg.sum(mg.exp(x)) - mg.sum(mg.exp(x + 1e-4))

    report = check_grads(f, np.linspace(5, 9, 5, dtype=np.float32))
    assert report.ok


def test_the_verdict_is_visible_when_nothing_could_be_decided():
    def noisy(x):
        return np.sin(x).astype(np.float16).astype(x.dtype)

    op = broken(lambda g, y, x: g * mg.cos(x), numpy=noisy)
    report = check_grads(op, X)
    assert report.ok and not report.conclusive and report.verdict is Verdict.ILL


@pytest.mark.parametrize("cell", [rc.LSTM(2, 2), rc.GRU(2, 2)], ids=["lstm", "gru"])
def test_recurrent_cells_pass(cell):
    xs = np.random.default_rng(0).normal(size=(3, 2, 2))
    report = check_grads(lambda p, x: rc.unroll(cell, p, x)[1], cell.init(0), xs, budget=40_000)
    assert report.verdict is Verdict.CORRECT


def test_a_small_check_takes_few_calls():
    w, x = A, A[0]

    def f(w, x):
        return mg.sum(mg.tanh(w @ x + x) * mg.sigmoid(x)) + mg.sum(mg.square(x))

    check_grads(f, w, x)  # imports and caches are not the check's
    assert calls(lambda: check_grads(f, w, x)) < 25_000  # 15,900


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: check_grads(np.sin, X, modes=("up",)), ValueError, "modes"),
        (lambda: check_grads(mg.sin, X, order=0), ValueError, "order"),
        (lambda: check_grads(lambda x: 3.0, X), TypeError, "no Tensor"),
        (lambda: check_grads(lambda x: "x", X), TypeError, "must return"),
        (lambda: check_vjp(np.sin, lambda g: g, X), TypeError, "vjp takes 1"),
        (lambda: check_vjp(np.sin, lambda g, x: (g, g), X), ValueError, "2 cotangents"),
        (lambda: check_vjp(np.sin, lambda g, x: g, np.arange(3)), TypeError, "floating"),
    ],
)
def test_misuse_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_nothing_to_differentiate_is_said():
    report = check_grads(lambda n: mg.asarray(n) * 2, np.arange(3))
    assert report.ok and "nothing to differentiate" in str(report)


# -- foreign functions -----------------------------------------------------------------------------


def test_foreign_functions_pass():
    report = check_vjp(np.sin, lambda g, x: g * np.cos(x), X)
    assert report.verdict is Verdict.CORRECT and "complex step" in report.findings[0].oracle
    assert check_vjp(np.exp, lambda g, y, x: g * y, X).ok
    pair = check_vjp(
        lambda a, b: (a @ b, a.sum()), lambda g, a, b: (g[0] @ b.T + g[1], a.T @ g[0]), A, A + 1
    )
    assert pair.verdict is Verdict.CORRECT
    with_rows = check_vjp(
        lambda x, n: x[n], lambda g, x, n: _add_at(g, x, n), X, np.array([0, 0, 3])
    )
    assert with_rows.ok


def _add_at(g, x, n):
    out = np.zeros_like(x)
    np.add.at(out, n, g)
    return out, None


def test_the_complex_step_is_not_used_where_it_is_invalid():
    def squared(z):
        return np.abs(z) ** 2

    report = check_vjp(squared, lambda g, z: 2 * g * z, X)
    assert report.verdict is Verdict.CORRECT and "differences" in report.findings[0].oracle
    with pytest.raises(GradientError, match="missing term"):
        check_vjp(squared, lambda g, z: 0 * g * z, X)


def _in_place(g, x):
    g *= np.cos(x)
    return g


def _kept(cache=np.zeros(4)):  # noqa: B008  # the fault under test
    def rule(g, x):
        cache[:] = g * np.cos(x)
        return cache

    return rule


FOREIGN = {
    "factor 1.001": (np.sin, lambda g, x: 1.001 * g * np.cos(x)),
    "sign": (np.sin, lambda g, x: -g * np.cos(x)),
    "not linear": (np.sin, lambda g, x: g * g * np.cos(x)),
    "in place": (np.sin, _in_place),
    "overwrites": (np.sin, _kept()),
    "shares": (lambda x: x * 1, lambda g, x: x),
    "missing unbroadcast": (lambda x: x + np.zeros((3, 4)), lambda g, x: g),
    "one slice": (lambda x: x + np.zeros((3, 4)), lambda g, x: g[0].copy()),
    "changes its argument": (lambda x: np.sin(x, out=x), lambda g, x: g),
}


@pytest.mark.parametrize("words", FOREIGN)
def test_foreign_faults_are_named(words):
    with pytest.raises(GradientError, match=words):
        check_vjp(*FOREIGN[words], X.copy())


def test_a_foreign_function_that_draws_numbers_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="non-deterministic"):
        check_vjp(lambda x: x * rng.normal(), lambda g, x: g, X)


def test_tensors_of_torch_are_read():
    torch = pytest.importorskip("torch")

    def f(x):
        return torch.sin(torch.tensor(x, requires_grad=True))

    def rule(g, x):
        t = torch.tensor(x, requires_grad=True)
        torch.sin(t).backward(torch.tensor(g))
        return t.grad

    assert check_vjp(f, rule, X).verdict is Verdict.CORRECT


@pytest.mark.long
def test_a_long_recurrence_is_checked_along_few_directions():
    cell = rc.RNN(2, 3)
    xs = np.random.default_rng(0).normal(size=(100, 1, 2))
    report = check_grads(lambda p, x: mg.mean(rc.unroll(cell, p, x)[1]), cell.init(0), xs)
    assert report.verdict is Verdict.CORRECT and len(report.findings) == 2 * (1 + len(cell.init(0)))


# -- truncation ------------------------------------------------------------------------------------


def truncated(activation):
    def cell(p, h, x):
        h = activation(x @ p["W"] + h @ p["U"])
        return h, h

    s = mg.Structure.chain([4, 3])
    s = s.truncated(np.arange(len(s.src)) % 2 == 0)

    def read(p, xs):
        _, ys = mg.recur(cell, s, shared=p, inputs=xs, initial=np.full((1, 2), 0.3))
        return mg.sum(ys * ys)

    rng = np.random.default_rng(0)
    p = {"W": rng.normal(size=(3, 2)), "U": rng.normal(size=(2, 2))}
    return read, p, rng.normal(size=(7, 3))


@pytest.mark.parametrize("order", [1, 2])
def test_a_truncated_recurrence_is_taken_at_its_word(order):
    report = check_grads(*truncated(mg.tanh), order=order)
    assert report.verdict is Verdict.CORRECT
    assert report.notes == [
        "a structure is truncated: states were held constant along the edges it cuts"
    ]


def test_a_wrong_rule_in_a_truncated_recurrence_is_found():
    op = broken(lambda g, y, x: 1.01 * g * (1 - y * y), np.tanh)
    assert refused(*truncated(op)).location.op == "broken"
