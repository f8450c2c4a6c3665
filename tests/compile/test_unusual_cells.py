"""Cells that do something unusual with their state, over structures to match.

`mg.function` against the reference, values and gradients by everything.
"""

import numpy as np
import optree
import pytest

import minigrad as mg
from minigrad.compile import runner
from minigrad.kernels import threads
from minigrad.testing.laws import close

S = mg.Structure
CHAIN, RAGGED, BACK = S.chain([4, 4]), S.chain([1, 4, 0, 3]), S.chain([2, 3], reverse=True)
TREES = S.forest([[], [], [0, 1], [], [2, 3], [], [None, 5]])
GRID = S.grid((2, 3))
DAG = S.edges(6, [0, 0, 1, 1, 2], [2, 2, 2, 3, 5], [0, 0, 1, 1, 1])  # twice an edge; 4 stands alone


def compare(step, args):
    """The compiled function of `step` (twice) and `evaluate` give what the reference gives."""
    f = mg.function(step)
    assert "no code" not in f.explain(args)
    wanted = mg.reference(step(mg.tensors(args)))
    for way in (f, f, lambda args: mg.evaluate(step(mg.tensors(args)))):
        found = optree.tree_leaves(way(args))
        for a, b in zip(found, optree.tree_leaves(wanted), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    return f


def gradients(outputs, args):
    """By all of `args`, of a sum of the outputs with weights that differ."""
    weights = [np.cos(np.arange(t.size)).reshape(t.shape).astype(t.dtype) for t in outputs]
    return mg.vjp(outputs, args, weights)


def step_of(cell, structure):
    """States, outputs and gradients; the state begins at zero where no "h" is given."""
    zeros = (np.zeros((1, 5)), np.zeros((1, 5)))

    def step(args):
        states, outputs = mg.recur(
            cell, structure, initial=args.get("h", zeros), shared=args["p"], inputs=args["x"]
        )
        return states, outputs, gradients([*states, *outputs], args)

    return step


def arguments(structure, initial=False):
    """Vectors of 5 numbers: no width of the machine's vectors divides it."""
    rng = np.random.default_rng(3)
    args = {
        "p": {
            "W": rng.standard_normal((5, 5)),
            "U": rng.standard_normal((5, 5)) / 2,
            "v": rng.standard_normal(5),
        },
        "x": rng.standard_normal((structure.n, 5)),
    }
    if initial:
        args["h"] = tuple(rng.standard_normal((2, 1, 5)))
    return args


# Of one slot: (p, carry, x) -> (carry, outputs).
CELLS = {
    "a row is the state": lambda p, c, x: ((x, c[0] @ p["U"]), (c[1],)),
    "swapped": lambda p, c, x: ((c[1], mg.tanh(c[0] + x)), ()),
    "swapped, nothing else": lambda p, c, x: ((c[1], c[0]), (c[0] + x,)),
    "untouched": lambda p, c, x: ((c[0], mg.tanh(c[1] @ p["U"] + c[0] + x)), ()),
    "untouched, both": lambda p, c, x: (c, (c[0] @ p["W"] + c[1],)),
    "shared": lambda p, c, x: ((p["v"], mg.tanh(c[0] * x + c[1])), (c[0],)),
    "constant": lambda p, c, x: ((mg.ones_like(x), c[0] * x + 0.5 * c[1]), ()),
    "zero": lambda p, c, x: ((mg.zeros_like(x), mg.tanh(c[0] + c[1] @ p["U"] + x)), ()),
    "one for both": lambda p, c, x: ((h := mg.tanh(c[0] @ p["U"] + x), h), (c[1],)),
    "never read": lambda p, c, x: ((mg.tanh(c[1] + x), mg.tanh(c[1] @ p["U"] + x)), ()),
    "no loop": lambda p, c, x: ((mg.tanh(x @ p["W"]), x), (mg.tanh(c[0] @ p["U"] + c[1]),)),
    "no loop, by rows": lambda p, c, x: ((mg.tanh(x), x), (c[0] * c[1],)),
}


@pytest.mark.parametrize("name", CELLS)
def test_states_that_leave_as_they_came(name):
    for structure in (CHAIN, RAGGED, BACK):  # one program
        compare(step_of(CELLS[name], structure), arguments(structure))


def test_untouched_from_somewhere_else_than_zero():
    args = arguments(RAGGED, initial=True)
    compare(step_of(CELLS["untouched, both"], RAGGED), args)


# Of two slots: what is read of a slot differs from leaf to leaf.
TWO_SLOTS = {
    "a leaf of one slot": lambda p, c, x: (
        (mg.tanh(c[0][0] @ p["U"] + c[1][0] @ p["W"] + (a := mg.tanh(x + c[0][1]))), a), ()
    ),
    "another leaf of each": lambda p, c, x: ((mg.tanh(c[1][1] + x), c[0][0] @ p["U"] + x), ()),
    "one slot only": lambda p, c, x: ((mg.tanh(c[1][0] @ p["U"] + x), x), (c[1][1],)),
    "from slot to slot": lambda p, c, x: ((c[1][0] + c[0][1], c[0][0] + c[1][1] * x), ()),
    "untouched in one": lambda p, c, x: ((x, c[0][1]), (mg.tanh(x - c[1][0]),)),
    "no loop": lambda p, c, x: ((mg.tanh(x @ p["W"]), x), (c[0][0] @ p["U"] + c[1][1],)),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO_SLOTS)
def test_what_is_read_of_a_slot(name):
    for structure in (TREES, GRID, DAG):  # one program
        compare(step_of(TWO_SLOTS[name], structure), arguments(structure))


def test_a_slot_that_no_edge_enters():
    structure = S.chain([2, 3]).with_slots(2)
    step = step_of(TWO_SLOTS["another leaf of each"], structure)
    compare(step, arguments(structure))


def test_what_is_read_of_a_slot_on_two_threads(monkeypatch):
    monkeypatch.setattr(runner, "SPLIT", 0)
    monkeypatch.setattr(threads, "count", lambda: 2)
    for structure in (TREES, DAG):
        step = step_of(TWO_SLOTS["a leaf of one slot"], structure)
        compare(step, arguments(structure))


def test_a_recurrence_that_no_argument_reaches():
    rng = np.random.default_rng(0)
    fixed, w = mg.asarray(rng.standard_normal((3, 5))), mg.asarray(rng.standard_normal((5, 5)))
    start = np.zeros((1, 5))

    def cell(p, h, x):
        h = mg.tanh(x + h @ p)
        return h, h

    def both(args):
        _, ys = mg.recur(cell, S.chain(3), initial=start, shared=w, inputs=fixed)
        _, zs = mg.recur(cell, S.chain(3), initial=start, shared=args["w"], inputs=ys)
        return zs, mg.grad(mg.sum(zs), args["w"])

    def returned(args):
        _, ys = mg.recur(cell, S.chain(3), initial=start, shared=w, inputs=fixed)
        _, zs = mg.recur(cell, S.chain(3), initial=start, shared=args["w"], inputs=args["x"])
        return ys, zs

    args = {"w": rng.standard_normal((5, 5)), "x": rng.standard_normal((3, 5))}
    compare(returned, args)
    f = compare(both, {"w": args["w"]})
    assert "one native list" in f.explain({"w": args["w"]})


def tree_net(p, c, x):
    """Each child has a matrix, and one of them is that of the words too."""
    h = mg.tanh(c[0][0] @ p["U"] + c[1][0] @ p["W"] + x @ p["W"] + p["v"])
    return (h, c[0][1] + h), (h,)


def words(cell, structure, rows):
    """`step_of`, with x read by number: some nodes have none."""

    def step(args):
        zeros = (np.zeros((1, 5)), np.zeros((1, 5)))
        x = mg.Indexed(args["x"], rows)
        states, outputs = mg.recur(cell, structure, initial=zeros, shared=args["p"], inputs=x)
        return states, outputs, gradients([*states, *outputs], args)

    return step


@pytest.mark.parametrize("name", ["U", "W", "v", "x"])
@pytest.mark.parametrize("planted", [-np.inf, np.nan])
def test_zero_times_infinity_is_nan_also_where_rows_are_left_out(name, planted):
    rows = np.array([0, 1, -1, 2, -1, 3, -1])  # the leaves have words
    args = arguments(TREES)
    (args["x"] if name == "x" else args["p"][name]).flat[3] = planted
    compare(step_of(tree_net, TREES), args)
    compare(words(tree_net, TREES, rows), args)
    args = arguments(RAGGED)
    (args["x"] if name == "x" else args["p"][name]).flat[3] = planted
    compare(step_of(CELLS["untouched"], RAGGED), args)


def test_zero_times_infinity_is_nan_in_the_express_lane():
    structure = S.forest([[], [], [0, 1]])  # level after level: called through one native list

    def cell(p, c, x):
        h = mg.tanh(c[0] @ p["U"] + c[1] @ p["W"] + x)
        return h, h

    def step(args):
        h, _ = mg.recur(
            cell, structure, initial=np.zeros((1, 5)), shared=args["p"], inputs=args["x"]
        )
        return h, mg.vjp(h, args["p"], args["dc"])

    args = arguments(structure) | {"dc": np.ones((3, 5))}
    del args["p"]["v"]
    assert "one native list" in mg.function(step).explain(args)
    args["dc"][0, 2] = np.inf  # a leaf: it receives zeros
    compare(step, args)
    args["dc"][0, 2], args["p"]["U"][1, 3] = 1.0, -np.inf
    compare(step, args)


def test_a_matrix_that_is_finite_again():
    args = arguments(TREES)
    args["p"]["U"][0, 3] = np.inf
    f = compare(step_of(tree_net, TREES), args)
    args["p"]["U"][0, 3] = 0.5
    for a, b in zip(
        optree.tree_leaves(f(args)),
        optree.tree_leaves(mg.reference(step_of(tree_net, TREES)(mg.tensors(args)))),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_a_sum_over_nodes_and_some_rows_of_one_product():
    """The cotangents of x and of a parameter added to it are one: rows of it leave, and its sum."""

    def cell(p, c, x):
        return (mg.tanh((x + p["v"][0]) @ p["U"] + c[0]), c[1]), ()

    args = arguments(RAGGED)
    args["p"]["v"] = args["p"]["v"][None]  # another tensor, which is the same row
    rows = np.array([0, 1, -1, -1, -1, -1, -1, -1])
    compare(words(cell, RAGGED, rows), args)


LENGTH_ZERO = {
    "a sum": lambda p, c, x: (mg.tanh(c + mg.sum(p["none"]) * c + mg.sum(x)), mg.sum(x * x)),
    "a product": lambda p, c, x: (mg.tanh(x @ p["out"] + c), c @ p["in"]),
    "a state": lambda p, c, x: (c * mg.sum(p["full"]) + x, mg.tanh(p["full"] + c @ p["out"])),
    "a parameter": lambda p, c, x: (mg.tanh(c + mg.sum(p["none"]) + x @ p["out"]), x + p["none"]),
}


@pytest.mark.parametrize("name", LENGTH_ZERO)
@pytest.mark.parametrize("indexed", [False, True])
def test_vectors_of_length_zero(name, indexed):
    rng = np.random.default_rng(1)
    shapes = {"out": (0, 5), "in": (5, 0), "none": (0,), "full": (5,)}
    structure, start = S.chain([3, 1]), np.zeros((1, 0 if name == "a state" else 5))

    def step(args):
        x = mg.Indexed(args["x"], [0, 1, -1, 3]) if indexed else args["x"]
        states, y = mg.recur(
            LENGTH_ZERO[name], structure, initial=start, shared=args["p"], inputs=x
        )
        return states, y, gradients([states, y], args)

    p = {k: rng.standard_normal(shape) for k, shape in shapes.items()}
    compare(step, {"p": p, "x": np.zeros((4, 0))})


@pytest.mark.parametrize("first", [S.chain(4), S.chain([1, 3])])
def test_rows_of_one_recurrence_that_another_reads_whole(first):
    def cell(p, h, x):
        h = mg.tanh(h @ p["U"] + x)
        return h, h

    def attend(p, h, x):
        weights = mg.exp(p["memory"] @ (h + x))
        h = mg.tanh((weights / mg.sum(weights)) @ p["memory"] + x)
        return h, h

    start = np.zeros((1, 5))

    def step(args):
        _, rows = mg.recur(cell, first, initial=start, shared=args["p"], inputs=args["x"])
        memory, table = {"memory": rows}, mg.Indexed(rows, [3, -1, 0, 0, 2])
        _, a = mg.recur(attend, S.chain([2, 3]), initial=start, shared=memory, inputs=table)
        return a, gradients([a], args)

    args = arguments(first)
    args["p"] = {"U": args["p"]["U"]}
    compare(step, args)


@pytest.mark.parametrize("how", [mg.max, mg.sum])
def test_a_reduction_that_leaves_by_row_and_in_sum(how):
    """Its sum over the nodes is taken once, though it is stored as well."""

    def cell(p, h, x):
        return mg.tanh(h + x), how(h @ p["U"] + x)

    def step(args):
        start = np.zeros((1, 5))
        _, y = mg.recur(cell, S.chain(4), initial=start, shared=args["p"], inputs=args["x"])
        return mg.sum(y), y, gradients([mg.sum(y)], args)

    args = arguments(S.chain(4))
    args["p"] = {"U": args["p"]["U"]}
    compare(step, args)


@pytest.mark.parametrize("structure", [S.chain(4), S.chain([1, 3]), S.forest([[], [], [0, 1]])])
def test_a_slot_that_is_read_and_cut_away_again(structure):
    """The graph leads to the slot, no number does: there is nothing to gather, and no loop."""

    def cell(p, carry, x):
        h = carry[0] + carry[1] if structure.slots > 1 else carry
        kept = mg.concat([h @ p["U"], x])[5:]
        return kept, mg.tanh(kept)

    args = arguments(structure)
    args["p"] = {"U": args["p"]["U"]}

    def step(args):
        states, y = mg.recur(
            cell, structure, initial=np.zeros((1, 5)), shared=args["p"], inputs=args["x"]
        )
        return states, y, gradients([states, y], {"x": args["x"]})

    compare(step, args)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_is_rounded_once_for_all_who_read_it(dtype):
    """Fused into one sum and rounded for another, it would differ from itself."""

    def cell(p, h, x):
        square, other = h * h, x * p["w"]
        zeros = square - square, other + -other, mg.sum(other - other)
        return 0.5 * mg.tanh(h @ p["W"] + x), zeros

    def step(p, xs):
        hs, zeros = mg.recur(cell, S.chain(6), shared=p, inputs=xs, initial=np.zeros((1, 7), dtype))
        z = xs * p["w"]
        return *zeros, z - z, -z + z, hs * hs - hs * hs

    rng = np.random.default_rng(0)
    p = {"W": rng.standard_normal((7, 7)).astype(dtype), "w": rng.standard_normal(7).astype(dtype)}
    for found in mg.function(step)(p, rng.standard_normal((6, 7)).astype(dtype)):
        assert not found.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_computed_again_is_the_same_number(dtype):
    """The derivative asks which element was the largest, in a block of its own."""

    def cell(p, M, x):
        M = p["A"] * M + mg.outer(x, mg.tanh(x - x @ M))
        return M, x * mg.max(M)

    def step(p, xs):
        start = np.ones((1, 2, 2), dtype)
        _, ys = mg.recur(cell, S.chain([3, 1]), shared=p, inputs=xs, initial=start)
        return ys, mg.grad(mg.sum(mg.sin(ys)), (p, xs))

    rng = np.random.default_rng(1)
    for _ in range(8):
        p = {"A": rng.standard_normal((2, 2)).astype(dtype)}
        args = p, rng.standard_normal((4, 2)).astype(dtype)
        wanted = mg.reference(step(*mg.tensors(args)))
        close(mg.function(step)(*args), wanted, 1e-4 if dtype == "float32" else 1e-11)


def test_one_of_two_truth_values():
    """Computed, shared, or known; and what is chosen by it."""

    def cell(p, h, x):
        a, b, c = x
        some = mg.where(a > 0, b > 0, c > 0)
        found = (
            some, mg.where(a > 0, b > 0, False), mg.where(a > 0, True, b > 0),
            mg.where(a > 0, True, False), mg.where(mg.sum(a) > 0, b > 0, mg.sum(c) > 0),
            mg.where(a > 0, p > 0, b > 0), mg.where(mg.sum(a) > 0, mg.sum(b) > 0, False),
        )  # fmt: skip
        return mg.where(some, h + a, h * b), [mg.astype(t, "float64") for t in found]

    def step(p, *xs):
        hs, found = mg.recur(cell, S.chain(5), shared=p, inputs=xs, initial=np.zeros((1, 3)))
        return *found, mg.grad(mg.sum(mg.sin(hs)), xs)

    rng = np.random.default_rng(0)
    args = rng.standard_normal(3), *rng.standard_normal((3, 5, 3))
    f = mg.function(step)
    wanted = mg.reference(step(*mg.tensors(args)))
    close(f(*args), wanted, 1e-12)
    assert "level by level" not in f.explain(*args)
