"""mg.function against the reference.

Values and gradients of every cell, structure, dtype, width and thread count.
"""

import threading

import numpy as np
import optree
import pytest
from hypothesis import HealthCheck, given, settings

import minigrad as mg
import recurrent as rc
from minigrad.kernels import cache
from minigrad.testing.laws import LAWS
from minigrad.testing.strategies import KINDS, problems


def close(found, wanted, tolerance):
    for a, b in zip(optree.tree_leaves(found), optree.tree_leaves(wanted), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def layer_norm(a, gain, shift):
    d = a - mg.mean(a, axis=-1, keepdims=True)
    variance = mg.mean(mg.square(d), axis=-1, keepdims=True)
    return d / mg.sqrt(variance + 1e-5) * gain + shift


class PeepholeLSTM:
    """An LSTM with peepholes and layer norm, as a user would write it."""

    name = "peephole"

    def __init__(self, inputs, hidden):
        self.inputs, self.hidden = inputs, hidden

    def init(self, seed):
        rng = np.random.default_rng(seed)
        shapes = {f"W_{g}": (self.inputs, self.hidden) for g in "ifoz"}
        shapes |= {f"U_{g}": (self.hidden, self.hidden) for g in "ifoz"}
        shapes |= {f"{k}_{g}": (self.hidden,) for k in "bgs" for g in "ifozc"}
        shapes |= {f"p_{g}": (self.hidden,) for g in "ifo"}
        return {name: 0.4 * rng.standard_normal(shape) for name, shape in shapes.items()}

    def zero_state(self, dtype):
        return tuple(np.zeros((1, self.hidden), dtype) for _ in "hc")

    def __call__(self, p, carry, x):
        h, c = carry

        def gate(g):
            a = x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"]
            return layer_norm(a, p[f"g_{g}"], p[f"s_{g}"])

        i = mg.sigmoid(gate("i") + p["p_i"] * c)
        f = mg.sigmoid(gate("f") + p["p_f"] * c)
        c = f * c + i * mg.tanh(gate("z"))
        o = mg.sigmoid(gate("o") + p["p_o"] * c)
        h = o * mg.tanh(layer_norm(c, p["g_c"], p["s_c"]))
        return (h, c), h


CELLS = {
    "rnn": rc.RNN(3, 5),
    "relu": rc.RNN(3, 5, activation="relu"),
    "lstm": rc.LSTM(3, 5),
    "gru": rc.GRU(3, 5),
    "gru before": rc.GRU(3, 5, reset_after=False),
    "peephole": PeepholeLSTM(3, 5),
}
LENGTHS = [None, (4, 2, 0), (0, 0, 0), (1, 4, 4)]


def arguments(cell, dtype, time=4, batch=3, carry=False, seed=0):
    rng = np.random.default_rng(seed)
    args = {
        "p": cell.init(seed),
        "x": rng.standard_normal((time, batch, 3)),
        "dy": rng.standard_normal((time, batch, 5)),
    }
    if carry:
        state = cell.zero_state(np.float64)
        args["carry"] = optree.tree_map(lambda s: rng.standard_normal((batch, 5)), state)
    return optree.tree_map(lambda a: a.astype(dtype), args)


def step_of(cell, lengths=None, reverse=False):
    """Outputs, last states and all gradients of an unrolled cell: recurrences and reshapes only."""

    def step(args):
        final, ys = rc.unroll(
            cell, args["p"], args["x"], args.get("carry"), lengths=lengths, reverse=reverse
        )
        wrt = {k: v for k, v in args.items() if k != "dy"}
        return ys, final, mg.vjp(ys, wrt, args["dy"])

    return step


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CELLS)
def test_cells_over_sequences(name, dtype):
    cell, tolerance = CELLS[name], 1e-11 if dtype == "float64" else 2e-4
    for lengths in LENGTHS:
        for reverse in (False, True):
            for carry in (False, True):
                args = arguments(cell, dtype, carry=carry)
                step = step_of(cell, lengths, reverse)
                f = mg.function(step)
                assert "no code" not in f.explain(args)
                wanted = mg.reference(step(mg.tensors(args)))
                close(f(args), wanted, tolerance)
                close(f(args), wanted, tolerance)


@pytest.mark.parametrize("time,batch", [(1, 1), (0, 2), (3, 0), (7, 2), (300, 1)])
def test_extents(time, batch):
    cell = CELLS["lstm"]
    args = arguments(cell, "float64", time, batch)
    close(mg.function(step_of(cell))(args), mg.evaluate(step_of(cell)(mg.tensors(args))), 1e-10)


TREES = ["(3 (2 It) (4 (2 works) (2 .)))", "(1 a)", (("a", "b"), ("c", ("d", ("e", "f"))))]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cell", [rc.TreeLSTM(3, 5), rc.RecursiveNet(3, 5)], ids=str)
def test_cells_over_trees(cell, dtype):
    forest = rc.structure([rc.Tree.parse(t) for t in TREES])
    rng = np.random.default_rng(0)
    args = {"p": cell.init(0), "x": rng.standard_normal((10, 3))}
    args = optree.tree_map(lambda a: a.astype(dtype), args)

    def step(args, s):
        states, ys = rc.fold(cell, args["p"], s, args["x"])
        loss = mg.sum(mg.square(ys[rc.roots(s)]))
        return loss, states, mg.grad(loss, args)

    f = mg.function(step)
    assert "no code" not in f.explain(args, forest)
    wanted = mg.reference(step(mg.tensors(args), forest))
    close(f(args, forest), wanted, 1e-11 if dtype == "float64" else 2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_random_cells_over_random_structures(kind):
    """Some have code, some run through evaluate because of an op; all must equal the reference."""

    @settings(max_examples=8, suppress_health_check=list(HealthCheck))
    @given(problems(kind))
    def check(problem):
        LAWS["compiled_is_reference"](problem)

    check()


def test_second_order():
    cell = CELLS["lstm"]
    args = arguments(cell, "float64")

    def step(args):
        _, ys = rc.unroll(cell, args["p"], args["x"])
        g = mg.grad(mg.sum(mg.square(ys)), args["p"])
        inner = mg.sum(mg.square(g["U_f"]))
        return mg.grad(inner, args["p"])

    close(mg.function(step)(args), mg.reference(step(mg.tensors(args))), 1e-10)


# -- what a function promises ----------------------------------------------------------------------


def test_nothing_is_compiled_again_for_another_size(monkeypatch):
    cell, tree = CELLS["gru"], rc.TreeLSTM(3, 5)
    f = mg.function(step_of(cell))
    f(arguments(cell, "float64", 3, 2))
    f(arguments(cell, "float64", 1, 2))  # no state arrives anywhere: kernels of its own
    rng = np.random.default_rng(0)

    def fold(p, x, s):
        loss = mg.sum(mg.square(rc.fold(tree, p, s, x)[1]))
        return mg.grad(loss, p)

    g = mg.function(fold)
    g(tree.init(0), rng.standard_normal((3, 3)), rc.structure(TREES[0]))
    compiled = []
    monkeypatch.setattr(cache, "compile_source", lambda *a: compiled.append(a) or [])
    for k in range(1, 20):
        f(arguments(cell, "float64", k, 1 + k % 3))
        words = 2 + k
        nested = "w"
        for _ in range(words - 1):
            nested = (nested, "w") if rng.random() < 0.5 else ("w", nested)
        g(tree.init(0), rng.standard_normal((words, 3)), rc.structure(nested))
    assert not compiled


def test_results_are_fresh():
    cell = CELLS["lstm"]
    f = mg.function(step_of(cell))
    first = f(arguments(cell, "float64", seed=0))
    kept = optree.tree_map(np.copy, first)
    f(arguments(cell, "float64", seed=1))
    close(first, kept, 0)
    for a in optree.tree_leaves(first):
        a += 1  # writable, and nobody else's
    close(f(arguments(cell, "float64", seed=0)), kept, 0)


def test_arguments_of_any_layout():
    cell = CELLS["lstm"]
    f, args = mg.function(step_of(cell)), arguments(cell, "float64")
    wanted = f(args)
    odd = optree.tree_map(lambda a: np.repeat(a, 2, axis=-1)[..., ::2], args)
    close(f(odd), wanted, 0)
    fortran = optree.tree_map(np.asfortranarray, args)
    close(f(fortran), wanted, 0)
    locked = optree.tree_map(np.copy, args)
    for a in optree.tree_leaves(locked):
        a.flags.writeable = False
    close(f(locked), wanted, 0)


def test_traces_of_many_shapes_take_turns():
    cell = CELLS["gru"]
    f = mg.function(step_of(cell))
    cases = [arguments(cell, "float64", t, b) for t, b in ((2, 3), (6, 1), (3, 4), (2, 3))]
    wanted = [mg.evaluate(step_of(cell)(mg.tensors(a))) for a in cases]
    for _ in range(2):
        for args, w in zip(cases, wanted, strict=True):
            close(f(args), w, 1e-11)


def test_numbers_are_weak_and_static():
    f = mg.function(lambda x, k: (x * k, k))
    y, k = f(np.ones(2, np.float32), 2.5)
    assert y.dtype == np.float32 and y.tolist() == [2.5, 2.5] and k == 2.5
    assert f(np.ones(2, np.float32), 3.0)[0].tolist() == [3.0, 3.0]


def test_captured_tensors_are_constants():
    w = mg.asarray(np.arange(3.0))
    assert mg.function(lambda x: x * w)(np.ones(3)).tolist() == [0, 1, 2]


def test_explain_names_the_op_without_code():
    def cell(p, h, x):
        h = mg.tanh(x + mg.sort(h) * p)
        return h, h

    def run(p, x):
        return rc.unroll(cell, p, x, np.zeros(3))[1]

    f, args = mg.function(run), (np.ones(3), np.ones((4, 3)))
    assert "argsort" in f.explain(*args) and "NumPy" in f.explain(*args)
    close(f(*args), mg.reference(run(*args)), 1e-12)


def test_explain_says_what_was_packed():
    text = mg.function(step_of(CELLS["lstm"])).explain(arguments(CELLS["lstm"], "float32"))
    assert "packed from 4 matrices" in text and "one product" in text


def test_threads_call_one_function(monkeypatch):
    cell = CELLS["rnn"]
    f = mg.function(step_of(cell))
    cases = [arguments(cell, "float64", seed=k) for k in range(4)]
    wanted = [f(a) for a in cases]
    found = [None] * 4

    def work(k):
        for _ in range(20):
            found[k] = f(cases[k])

    crew = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in crew:
        t.start()
    for t in crew:
        t.join()
    for a, b in zip(found, wanted, strict=True):
        close(a, b, 0)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_spreads_as_in_the_reference(bad):
    """Rows with a zero operand are left out of products only while 0 * weight is 0."""
    forest = rc.structure([rc.Tree.parse(t) for t in TREES])
    cell, x = rc.TreeLSTM(3, 5), np.random.default_rng(0).standard_normal((10, 3))

    def step(p, x, s):
        states, ys = rc.fold(cell, p, s, x)
        return states, mg.grad(mg.sum(ys), x)

    f = mg.function(step)
    for name in ("W_i", "U_i_0", "b_i"):
        p = cell.init(0)
        f(p, x, forest)
        p[name] = p[name].copy()
        p[name].flat[0] = bad
        wanted = mg.evaluate(step(mg.tensors(p), mg.asarray(x), forest))
        found = f(p, x, forest)
        for a, b in zip(optree.tree_leaves(found), optree.tree_leaves(wanted), strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_array_equal(np.isinf(a), np.isinf(b))
        close(
            f(cell.init(0), x, forest),
            mg.evaluate(step(mg.tensors(cell.init(0)), mg.asarray(x), forest)),
            1e-11,
        )


def test_truth_values_as_inputs():
    def cell(p, h, x):
        h = mg.where(x["keep"], mg.tanh(x["x"] @ p), h)
        return h, h

    def run(p, x, keep):
        ys = rc.unroll(cell, p, {"x": x, "keep": keep}, np.zeros((2, 3)))[1]
        return ys, mg.grad(mg.sum(mg.square(ys)), (p, x))

    rng = np.random.default_rng(0)
    args = rng.standard_normal((4, 3)), rng.standard_normal((5, 2, 4)), rng.random((5, 2, 3)) < 0.5
    f = mg.function(run)
    assert "no code" not in f.explain(*args)
    close(f(*args), mg.reference(run(*map(mg.asarray, args))), 1e-11)


def test_large_results_use_dropped_memory_only(monkeypatch):
    """A result, or a view of one, that somebody holds is never written again."""
    cell = rc.RNN(3, 64)
    rng = np.random.default_rng(0)
    p, xs = cell.init(0), rng.standard_normal((2, 400, 8, 3))
    f = mg.function(lambda p, x: rc.unroll(cell, p, x)[1])
    first = f(p, xs[0])
    copy, view = first.copy(), first[3:5, ::2].T
    assert first.nbytes > 2**16
    second = f(p, xs[1])
    assert not np.shares_memory(first, second)
    del first
    third = f(p, xs[1])
    assert not np.shares_memory(view, third)
    np.testing.assert_array_equal(view, copy[3:5, ::2].T)
    del second, third
    for x in (xs[0], xs[1], xs[0]):
        last = f(p, x)
    np.testing.assert_array_equal(last, copy)


def test_arrays_of_the_other_byte_order():
    def f(x):
        return mg.cumulative_sum(x) * 2

    found = mg.function(f)(np.arange(3, dtype=">f8"))
    assert found.dtype == np.float64 and found.dtype.isnative
    np.testing.assert_array_equal(found, [0.0, 2.0, 6.0])


def test_a_gradient_goes_through_one_native_list(monkeypatch):
    """The express lane gives up where an argument looks unfamiliar: it must not for plain ones."""
    cell = rc.LSTM(3, 4)

    def step(p, x, dy):
        _, ys = rc.unroll(cell, p, x)
        return ys, mg.vjp(ys, (p, x), dy)

    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        p = {k: v.astype(dtype) for k, v in cell.init(0).items()}
        x, dy = (rng.normal(size=(5, 2, n)).astype(dtype) for n in (3, 4))
        f = mg.function(step)
        assert f.explain(p, x, dy).endswith("called through one native list")
        f(p, x, dy)
        with monkeypatch.context() as m:
            m.setattr("minigrad.compile.function.Traced.run", None)
            f(p, x, dy), f(p, x + 1, dy)


def test_numbers_made_of_constants_alone_are_numbers_in_the_code():
    """1 / n on the way back through a mean is no shared tensor, which bars the express lane."""

    def cell(p, h, x):
        h = mg.tanh(x @ p["W"] + h)
        return h - mg.mean(h), h

    def step(p, x, h, dy):
        _, ys = mg.recur(cell, mg.Structure.chain(4), shared=p, inputs=x, initial=h)
        return ys, mg.vjp(ys, (p, x), dy)

    x, h, dy = np.ones((4, 3)), np.zeros((1, 5)), np.ones((4, 5))
    p = {"W": np.linspace(-1, 1, 15).reshape(3, 5)}
    f = mg.function(step)
    close(f(p, x, h, dy), mg.reference(step(*mg.tensors((p, x, h, dy)))), 1e-13)
    assert "computed inside the block" not in f.explain(p, x, h, dy)


UNIFORM = {
    "number @ W": lambda h, x: mg.broadcast_to(mg.sum(h) * 0.1, (4,)) @ (np.eye(4) + 1),
    "zeros @ W": lambda h, x: (mg.sum(x) + np.zeros(4)) @ (np.eye(4) + 1),
    "ones @ W": lambda h, x: (mg.sum(x) * np.ones(4)) @ np.ones((4, 4)),
    "dot with ones": lambda h, x: h * mg.vecdot(np.ones(4), x),
    "dot with a number": lambda h, x: h + mg.vecdot(mg.sum(h) * np.ones(4), x),
    "max of ones": lambda h, x: h + mg.max(mg.sum(x) * np.ones(4)),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_vectors_are_as_long_as_they_are(name):
    """Kept as one number in the code, they are repeated where a product or a sum reads them."""

    def step(x, h, dy):
        states, _ = mg.recur(
            lambda p, h, x: (mg.tanh(UNIFORM[name](h, x)), h), mg.Structure.chain(3), inputs=x,
            initial=h,
        )  # fmt: skip
        return states, mg.vjp(states, (x, h), dy)

    rng = np.random.default_rng(0)
    args = rng.normal(size=(3, 4)), rng.normal(size=(1, 4)), rng.normal(size=(3, 4))
    f = mg.function(step)
    close(f(*args), mg.reference(step(*mg.tensors(args))), 1e-12)
    assert "no code" not in f.explain(*args)


def test_a_masked_array_is_refused_with_the_mask_in_mind():
    f = mg.function(lambda x: mg.sum(x * 2))
    f(np.ones(2))
    for compiled in (f, mg.function(lambda x: x * 2)):
        with pytest.raises(TypeError, match="a masked array would lose its mask"):
            compiled(np.ma.array([1.0, 2.0], mask=[0, 1]))
