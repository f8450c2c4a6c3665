"""The first NaN or infinity is named: op, element, pass, gate, step, sample and line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import toposort
from minigrad.run.nonfinite import first_nonfinite
from minigrad.run.origins import Origin

NAN, INF = float("nan"), float("inf")


def named(values, name):
    return mg.asarray(np.asarray(values, float), name=name)


def found(output, **options) -> Origin:
    finding = first_nonfinite(output, **options)
    assert finding is not None
    assert finding.kind in str(finding)
    assert finding.cause in str(finding)
    assert finding.line in str(finding)
    return finding


# -- plain graphs ----------------------------------------------------------------------------------


def test_every_field_of_a_finding_in_a_plain_graph():
    x = named([[1.0, 2.0], [-3.25, -1.0]], "x")
    y = mg.log(x).named("y")
    finding = found({"loss": mg.sum(y * 2.0), "fine": x})
    assert (finding.op, finding.name, finding.kind) == ("log", "y", "nan")
    assert (finding.index, finding.shape, finding.count) == ((1, 0), (2, 2), 2)
    assert finding.inputs == ((-3.25,),)
    assert finding.cause == "log of -3.25"
    assert "test_nonfinite.py" in finding.line
    assert finding.line.endswith('y = mg.log(x).named("y")')
    assert (finding.order, finding.backward, finding.rule) == (0, False, None)
    assert finding.places == ()
    assert (finding.block, finding.gate, finding.step) == (None, None, None)
    assert (finding.sample, finding.node, finding.parameters) == (None, None, ())
    assert finding.output == "loss"
    assert str(finding).startswith("log of -3.25 is nan (element [1, 0] of shape [2, 2], 2 of 4 ")
    assert "forward pass, op log (named 'y')" in str(finding)
    assert "above 0" in finding.remedy


@pytest.mark.parametrize(
    ("f", "op", "kind", "cause"),
    [
        (lambda: mg.exp(mg.asarray(812.0)), "exp", "+inf", "exp of 812"),
        (lambda: mg.asarray(0.0) / 0.0, "divide", "nan", "0 / 0"),
        (lambda: mg.asarray(-2.0) / 0.0, "divide", "-inf", "-2 / 0"),
        (lambda: mg.asarray(1e308) + 1e308, "add", "+inf", "1e+308 + 1e+308"),
        (lambda: mg.asarray(-2.0) ** 0.5, "pow", "nan", "-2 ** 0.5"),
        (lambda: mg.log(mg.asarray(0.0)), "log", "-inf", "log of 0"),
        (lambda: mg.square(mg.asarray(np.float32(1e30))), "square", "+inf", "square of 1e+30"),
        (
            lambda: mg.sum(mg.asarray(np.full(3, 1e308))), "sum", "+inf",
            "sum of 3 numbers up to 1e+308 in size",
        ),
        (
            lambda: mg.asarray(np.full((1, 2), 1e200)) @ mg.asarray(np.full((2, 1), -1e201)),
            "einsum", "-inf",
            "einsum of 2 numbers up to 1e+200 in size and 2 numbers up to 1e+201 in size",
        ),
    ],
)  # fmt: skip
def test_the_cause_in_words(f, op, kind, cause):
    finding = found(f())
    assert (finding.op, finding.kind, finding.cause) == (op, kind, cause)


def test_the_first_of_several_is_named():
    x = named([-1.0, 0.0], "x")
    finding = found(mg.sqrt(x) + mg.exp(mg.log(x) * 0 + 1000.0))
    assert (finding.op, finding.index, finding.count) == ("sqrt", (0,), 1)


def test_finite_outputs_have_no_finding():
    x = named([1.0, 2.0], "x")
    assert first_nonfinite([mg.log(x), mg.asarray(3), "text"]) is None
    assert first_nonfinite(mg.zeros((0, 3))) is None


def test_a_leaf_that_is_bad_itself():
    x = named([[0.0, 1.0], [2.0, NAN]], "x")
    finding = found(mg.exp(x) @ mg.ones((2, 2)))
    assert (finding.op, finding.name, finding.kind) == ("constant", "x", "nan")
    assert (finding.index, finding.count, finding.inputs) == ((1, 1), 1, ())
    assert finding.cause == "x holds nan"
    assert "check the data" in finding.remedy
    assert found(x).op == "constant"


def test_an_innocent_bad_leaf_beside_a_guilty_one_is_not_blamed():
    mask = named([-INF, 0.0, 0.0, 0.0], "mask")  # reaches max, softmax and sum, harmlessly
    scores = named([1.0, 2.0, 0.0, -4.0], "scores")
    finding = found(mg.softmax(mg.log(scores) + mask))
    assert (finding.op, finding.index, finding.cause) == ("log", (3,), "log of -4")
    guilty = found(mg.softmax(mg.broadcast_to(named(-INF, "all"), (3,)) + mg.zeros(3)))
    assert guilty.name == "all"


def test_rows_do_not_mix_in_movement_reduction_and_contraction():
    rows = np.zeros((3, 4))
    rows[0, 1] = -INF  # one masked logit: good
    rows[2] = -INF  # a row with nothing left: 0 / 0
    table = named(rows, "rows")
    finding = found(mg.softmax(table))
    assert (finding.name, finding.index, finding.count) == ("rows", (2, 0), 4)
    assert first_nonfinite(mg.softmax(table)[:2]) is None
    a = named([[1.0, 0.0], [INF, 0.0], [0.0, 0.0]], "a")
    assert found((a @ mg.ones((2, 2))).T[:, 1:]).count == 1
    picked = mg.take(a, np.array([2, 1, 2]), axis=0)
    assert found(mg.concat([picked, picked], axis=1)[1:2]).index == (1, 0)


def test_an_op_that_overflows_beside_a_bad_input_is_the_origin():
    a = named([[NAN, 0.0], [1e200, 1e200]], "a")
    finding = found((a @ mg.full((2, 1), 1e200))[1:])
    assert (finding.op, finding.index, finding.count) == ("einsum", (1, 0), 1)
    b = named([NAN, 1e300], "b")
    assert found((b * b)[1:]).cause == "1e+300 * 1e+300"


def test_a_nan_is_explained_by_the_nan_and_not_by_the_infinity_it_swallowed():
    infinite, missing = mg.exp(named([1000.0], "a")), mg.log(named([-1.0], "b"))
    for mixed in (infinite * missing, infinite + missing, mg.sum(mg.stack([infinite, missing]))):
        assert found(mixed).op == "log"


def test_where_stops_the_walk_and_harmless_goes_past_it():
    x = named([-1.0, 4.0], "x")
    safe = mg.where(x > 0, mg.log(x), 0.0)
    assert first_nonfinite(safe) is None
    assert found(safe, harmless=True).cause == "log of -1"
    both = safe + mg.sqrt(named([4.0, -9.0], "z"))
    assert found(both).cause == "sqrt of -9"
    assert found(both, harmless=True).cause == "log of -1"
    assert first_nonfinite(mg.minimum(named([INF], "cap"), 1.0)) is None
    assert first_nonfinite(mg.exp(named([-INF], "mask"))) is None


def test_kinds_choose_what_counts():
    x = named([0.0, 1000.0], "x")
    e = mg.exp(x)
    assert found(e - e).op == "exp"
    finding = found(e - e, kinds=("nan",))
    assert (finding.op, finding.cause) == ("subtract", "inf - inf")
    assert finding.inputs == ((INF,), (INF,))
    assert first_nonfinite(e, kinds=("nan",)) is None
    assert found(e, kinds="inf").op == "exp"
    assert first_nonfinite(mg.sqrt(x - 1.0), kinds=("inf",)) is None
    for wrong in ((), ("inf", "zero"), "none"):
        with pytest.raises(ValueError, match="'nan', 'inf' or both"):
            first_nonfinite(x, kinds=wrong)


def test_a_users_own_op_and_one_that_looks_at_whole_arrays():
    halve_log = mg.primitive("halve_log", numpy=lambda x: np.log(x) / 2, vjp=None)
    assert found(halve_log(named([2.0, -2.0], "x")) * 3.0).cause == "halve_log of -2"
    for rule in (None, lambda g, y, x: g):  # right for what is sorted already: a NaN moves last
        order = mg.primitive(
            "order", shape=lambda x: x.shape, numpy=lambda x: np.sort(x), vjp=rule, kind="whole"
        )
        finding = found(order(mg.log(named([-2.0, 3.0, 1.0], "x"))))
        assert (finding.op, finding.index) == ("log", (0,))


def test_a_value_unknown_while_tracing_is_refused():
    with pytest.raises(TypeError, match="not known while"):
        mg.function(lambda x: first_nonfinite(x * 2))(np.ones(2))


UNARY = [mg.log, mg.exp, mg.sqrt, mg.square, mg.tanh, lambda x: 1 / x, lambda x: x[::-1]]
BINARY = [mg.add, mg.multiply, mg.divide, mg.maximum, lambda a, b: mg.where(a > b, a, b)]


@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 30.0, 1e200]), min_size=3, max_size=3),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9), st.integers(0, 9)), max_size=8),
)
def test_on_random_graphs_it_agrees_with_a_search_by_hand(values, steps):
    nodes = [named(values, "x")]
    for which, i, j in steps:
        a, b = nodes[i % len(nodes)], nodes[j % len(nodes)]
        nodes.append(UNARY[which](a) if which < 7 else BINARY[which - 7](a, b))
    made = []  # ops that give a bad element from good ones: of the same place, or from good arrays
    bad = {}
    order = toposort([nodes[-1]])
    for t in order:
        bad[t] = ~np.isfinite(mg.reference(t).astype(float))
        same = t.op.kind == "elementwise"
        before = [bad[i] if same else np.broadcast_to(bad[i].any(), t.shape) for i in t.inputs]
        if (bad[t] & ~np.any(before, axis=0)).any():
            made.append(t)
    everything = first_nonfinite(nodes[-1], harmless=True)
    assert (everything is None) == (not made)
    if made:
        assert (everything.op, everything.shape) == (made[0].op.name, made[0].shape)
    reaching = first_nonfinite(nodes[-1])
    assert (reaching is None) == (not bad[nodes[-1]].any())
    if reaching:
        assert reaching.op in {t.op.name for t in made}
        assert np.isfinite(sum(reaching.inputs, ())).all()


# -- gradients -------------------------------------------------------------------------------------


def test_sqrt_at_zero_in_the_backward_pass():
    x = named([4.0, 0.0], "x")
    y = mg.sqrt(x).named("y")
    gradient = mg.grad(mg.sum(y), x)
    assert first_nonfinite(y) is None
    finding = found(gradient)
    assert (finding.op, finding.kind, finding.index) == ("divide", "+inf", (1,))
    assert (finding.order, finding.backward) == (1, True)
    assert finding.inputs == ((0.5,), (0.0,))
    op, name, line = finding.rule
    assert (op, name) == ("sqrt", "y")
    assert line.endswith('y = mg.sqrt(x).named("y")')
    assert finding.line.endswith("gradient = mg.grad(mg.sum(y), x)")
    text = str(finding)
    assert "in the backward pass, op divide\n  of the gradient of sqrt (named 'y'), " in text
    assert "  differentiated at " in text
    assert "keep the divisor away from 0" in finding.remedy


def test_a_forward_fault_is_not_blamed_on_the_backward_pass():
    x = named([-4.0, 1.0], "x")
    finding = found(mg.grad(mg.sum(mg.sqrt(x)), x))
    assert (finding.op, finding.order, finding.rule) == ("sqrt", 0, None)


def test_a_bad_cotangent_is_a_leaf():
    x = named([1.0], "x")
    finding = found(mg.vjp(x * 2.0, x, named([NAN], "seed")))
    assert (finding.name, finding.order) == ("seed", 0)


def test_second_derivatives_have_order_two():
    x = named(0.0, "x")
    once = mg.grad(x**1.5, x)
    assert first_nonfinite(once) is None
    finding = found(mg.grad(once, x))
    assert finding.order == 2
    assert finding.kind == "+inf"
    assert "derivative of order 2" in str(finding)
    curvature = mg.grad(mg.sqrt(x) ** 2, x)  # first-order fault, seen through the second derivative
    assert found(mg.grad(curvature, x)).order in (1, 2)


def test_marks_end_with_the_rule_even_when_it_fails():
    def broken(g, y, x):
        raise RuntimeError("no rule")

    op = mg.primitive("broken", numpy=lambda x: x, vjp=broken)
    x = named(1.0, "x")
    with pytest.raises(RuntimeError, match="no rule"):
        mg.grad(op(x), x)
    assert found(mg.log(x - 1.0)).order == 0


# -- sums that overflow in one order only ----------------------------------------------------------


def test_a_sum_that_overflows_in_one_order_only():
    """What is reported is the sum as it was found, level by level, not one made again by rows."""
    xs = np.array([1e308, -1e308, 1e308, -1e308])  # of two sequences of two steps
    w = mg.asarray(1.0, name="w")
    structure = mg.Structure.chain([2, 2])
    _, ys = mg.recur(
        lambda p, h, x: (h, p * x), structure, initial=np.zeros(1), shared=w, inputs=xs
    )
    g = mg.grad(mg.sum(ys), w)
    assert mg.evaluate(g) == -np.inf and np.isfinite(xs.sum()), "the point of this test is gone"
    finding = found(g)
    assert (finding.kind, finding.count, finding.shape) == ("-inf", 1, ())
    assert finding.cause == "sum over nodes of 4 numbers up to 1e+308 in size"
