"""`recur`: shapes, vias, slots, what is saved and what is dropped, empty structures, caching."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import copied, toposort
from minigrad.recur import PROJ, RECUR, ROW, SHARED, Index, proj
from minigrad.structure import Structure
from minigrad.testing.examples.problems import make_problem
from minigrad.testing.laws import LAWS, close
from minigrad.tracing import traces_of


def counter(p, h, x):
    """h' = h * p + x, y = h (what arrived)."""
    return h * p + x, h


def recurrences(*outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


def test_a_cell_is_written_for_one_node_and_gives_rows():
    states, ys = mg.recur(
        counter,
        Structure.chain([3, 2]),
        initial=np.array([10.0, 20.0]),
        shared=2.0,
        inputs=np.arange(5.0),
    )
    assert states.tolist() == [20.0, 41.0, 84.0, 43.0, 90.0]
    assert ys.tolist() == [10.0, 20.0, 41.0, 20.0, 43.0]


def test_one_initial_row_serves_every_component():
    structure = Structure.chain([2, 1])
    states, _ = mg.recur(
        counter, structure, initial=np.array([1.0]), shared=1.0, inputs=np.zeros(3)
    )
    assert states.tolist() == [1.0, 1.0, 1.0]


def test_the_initial_state_enters_every_slot_no_edge_feeds():
    def cell(p, carry, x):
        a, b = carry
        return a + 10 * b + x, (a, b)

    states, (a, b) = mg.recur(
        cell, Structure.grid((2, 2)), initial=np.array([1.0]), inputs=np.zeros(4)
    )
    assert a.tolist() == [1.0, 1.0, 11.0, 111.0] and b.tolist() == [1.0, 11.0, 1.0, 21.0]
    assert states.tolist() == [11.0, 111.0, 21.0, 321.0]


def test_a_slot_gets_the_sum_over_its_edges():
    s = Structure.edges(3, [0, 0, 1], [2, 2, 2])
    states, ys = mg.recur(
        counter, s, initial=np.array([1.0]), shared=1.0, inputs=np.array([1.0, 5, 0])
    )
    assert ys.tolist() == [1.0, 1.0, 2.0 + 2.0 + 6.0]


def test_pytrees_everywhere():
    def cell(p, carry, x):
        new = {"h": mg.tanh(carry["h"] @ p["W"][0] + x["a"]), "n": carry["n"] + x["b"][0]}
        return new, [new["h"], {"n": new["n"]}]

    rng = np.random.default_rng(0)
    arrays = {
        "p": {"W": [rng.standard_normal((2, 2))]},
        "x": {"a": rng.standard_normal((3, 2)), "b": (np.ones(3),)},
        "s": {"h": np.zeros((1, 2)), "n": np.array([5.0])},
    }
    t = mg.tensors(arrays)
    states, ys = mg.recur(cell, Structure.chain(3), initial=t["s"], shared=t["p"], inputs=t["x"])
    assert states["n"].tolist() == [6.0, 7.0, 8.0] and ys[1]["n"].tolist() == [6.0, 7.0, 8.0]
    g = mg.grad(mg.sum(ys[0]) + mg.sum(states["n"]), t)
    assert g["s"]["n"].tolist() == [3.0] and g["x"]["b"][0].tolist() == [3.0, 2.0, 1.0]


def test_indexed_inputs_are_read_by_row_and_summed_on_the_way_back():
    table = mg.asarray(np.array([1.0, 10.0, 100.0]))
    rows = [2, 0, -1, 2]
    states, _ = mg.recur(
        counter,
        Structure.chain(4),
        initial=np.array([0.0]),
        shared=1.0,
        inputs=mg.Indexed(table, rows),
    )
    assert states.tolist() == [100.0, 101.0, 101.0, 201.0]
    assert mg.grad(mg.sum(states), table).tolist() == [3.0, 0.0, 5.0]


@pytest.mark.parametrize("via", [SHARED, ROW, Index([2, 0, -1, 2], 3), Index([-1] * 4, 0)], ids=str)
def test_what_enters_by_a_via_leaves_by_it(via):
    """Its two ways are each other's transpose, and a node reads the row that it meets."""
    rng = np.random.default_rng(0)
    table, values = rng.integers(9, size=via.shape(4, (2,))), rng.integers(9, size=(4, 2))
    read = np.array([via.enter(table, n) for n in range(4)])
    left = via.leave(values)
    assert left.shape == table.shape and (read * values).sum() == (table * left).sum()
    for n, row in enumerate(via.index(4)[0]):
        assert read[n].tolist() == (table.reshape(-1, 2)[row].tolist() if row >= 0 else [0, 0])


def test_a_row_of_none_is_zero_even_where_the_cell_makes_something_of_zero():
    table = np.array([1.0, 2.0])
    _, ys = mg.recur(
        lambda p, h, x: (h, mg.exp(x)),
        Structure.chain(3),
        initial=np.array([0.0]),
        inputs=mg.Indexed(table, [1, -1, 0]),
    )
    close(ys.numpy(), np.exp([2.0, 0.0, 1.0]), 1e-15)


@pytest.mark.parametrize(
    "structure", [Structure.chain(0), Structure.chain([0, 0]), Structure.chain([])]
)
def test_no_nodes(structure):
    """T=0 and batch 0: the right shapes, zero gradients."""
    w = mg.asarray(np.ones((2, 2)))
    parts = max(structure.components, 1)
    first = mg.asarray(np.ones((parts if structure.components else 1, 2)))
    states, ys = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p + x), h),
        structure,
        initial=first,
        shared=w,
        inputs=np.ones((0, 2)),
    )
    assert states.shape == ys.shape == (0, 2)
    gw, gs = mg.grad(mg.sum(states) + mg.sum(ys), (w, first))
    for run in (mg.evaluate, mg.reference):
        a, b, c = run((states, gw, gs))
        assert a.shape == (0, 2) and not b.any() and b.shape == (2, 2) and c.shape == first.shape


def test_float32_all_the_way():
    f = np.float32
    w, x = mg.asarray(f([[0.5]])), np.ones((3, 1), f)
    states, ys = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p + x), h * 2),
        Structure.chain([2, 1]),
        initial=np.zeros((1, 1), f),
        shared=w,
        inputs=x,
    )
    g = mg.grad(mg.sum(states * ys), w)
    assert {t.dtype for t in (states, ys, g)} == {np.dtype(f)}
    assert {v.dtype for v in mg.evaluate([states, ys, g])} == {np.dtype(f)}
    assert {v.dtype for v in mg.reference([states, ys, g])} == {np.dtype(f)}


def test_a_cell_is_traced_once_whatever_the_number_of_nodes():
    calls = []

    def cell(p, h, x):
        calls.append(1)
        return mg.tanh(h * p + x), h

    w, sizes = mg.asarray(0.5), []
    for n in (3, 7, 20):
        states, _ = mg.recur(
            cell, Structure.chain(n), initial=np.zeros(1), shared=w, inputs=np.ones(n)
        )
        mg.grad(mg.grad(mg.sum(states), w), w).numpy()
        ((block, _),) = traces_of(cell).values()
        sizes.append(len(block.cache))
    assert len(calls) == 1
    assert sizes[0] == sizes[2], "pullbacks and plans are kept by what is asked, not by the size"


def test_traces_die_with_their_cell():
    from minigrad import tracing

    def cell(p, h, x):
        return h + x, h

    mg.recur(cell, Structure.chain(2), initial=np.zeros(1), inputs=np.ones(2))
    key = id(cell)
    assert key in tracing._known
    del cell
    import gc

    gc.collect()
    assert key not in tracing._known


def test_the_gradient_of_one_recurrence_is_one_recurrence():
    """And a Hessian-vector product four in all: forward, backward, and their two derivatives."""
    w = mg.asarray(0.5)
    states, _ = mg.recur(
        lambda p, h, x: (mg.tanh(h * p + x), h),
        Structure.chain(4),
        initial=np.zeros(1),
        shared=w,
        inputs=np.ones(4),
    )
    g = mg.grad(mg.sum(states), w)
    assert len(recurrences(g)) == 2
    assert len(recurrences(mg.grad(g, w))) <= 4


def test_projections_are_one_node_each():
    states, ys = mg.recur(
        counter, Structure.chain(3), initial=np.zeros(1), shared=1.0, inputs=np.ones(3)
    )
    r = states.inputs[0]
    assert states.op is PROJ and ys.inputs[0] is r
    assert len(r.attrs["projections"].values()) == 2


def test_a_copys_projections_are_its_own():
    """Else what one recurrence computes would be read for another's."""
    x = mg.asarray(np.ones(3))
    states, _ = mg.recur(counter, Structure.chain(3), initial=np.zeros(1), shared=1.0, inputs=x)
    r = states.inputs[0]
    copy = copied(r, [mg.asarray(2 * np.ones(3)) if i is x else i for i in r.inputs])
    other = proj(copy, states.attrs["ref"], states.attrs["via"])
    assert other is not states and copy.site == r.site
    assert states.tolist() == [1.0, 2.0, 3.0] and other.tolist() == [2.0, 4.0, 6.0]


def test_a_recurrence_inside_a_cell():
    """An inner chain at every outer node, to second order, against the loop."""

    def inner(p, h, x):
        return mg.tanh(h * p + x), h

    def outer(p, h, x):
        states, ys = mg.recur(inner, Structure.chain([2, 1]), initial=h, shared=p, inputs=x)
        return mg.tanh(states[1:] + ys[:2]), mg.sum(states)

    rng = np.random.default_rng(0)
    t = mg.tensors(
        {"p": np.array(0.7), "x": rng.standard_normal((3, 3)), "s": rng.standard_normal((1, 2))}
    )
    states, ys = mg.recur(outer, Structure.chain(3), initial=t["s"], shared=t["p"], inputs=t["x"])
    h, rows = t["s"][0], []
    for k in range(3):
        h, y = outer(t["p"], h, t["x"][k])
        rows.append(y)
    loss, plain = mg.sum(ys) + mg.sum(states[2]), sum(rows) + mg.sum(h)
    g, gp = mg.grad(loss, t), mg.grad(plain, t)
    second = mg.grad(mg.sum(g["s"] * 2.0) + g["p"], t)
    second_plain = mg.grad(mg.sum(gp["s"] * 2.0) + gp["p"], t)
    close(mg.evaluate((loss, g, second)), mg.evaluate((plain, gp, second_plain)), 1e-11)
    close(mg.reference((loss, g, second)), mg.evaluate((plain, gp, second_plain)), 1e-11)


def test_the_embedding_of_a_symbol_is_a_row_of_a_shared_table():
    """x is one integer per node; the gradient of the table is scattered."""
    table = mg.asarray(np.arange(8.0).reshape(4, 2))

    def cell(E, h, x):
        return mg.tanh(h + E[x]), h

    states, _ = mg.recur(
        cell,
        Structure.chain([2, 1]),
        initial=np.zeros((1, 2)),
        shared=table,
        inputs=np.array([3, 0, 3]),
    )
    g = mg.grad(mg.sum(states[1:2]) + mg.sum(states[2:]), table)
    a, b = mg.evaluate((states, g))
    close(a[2], np.tanh([6.0, 7.0]), 1e-15)
    assert not b[1].any() and not b[2].any() and b[0].all() and b[3].all()
    close(mg.reference((states, g)), (a, b), 1e-14)


def test_dead_arguments_are_not_computed():
    """A projection that does not read an argument does not run what makes it."""

    def boom(*_, **__):
        raise AssertionError("computed although nothing reads it")

    op = mg.Primitive("boom", "elementwise", lambda x: (x.shape, x.dtype), boom)
    from minigrad.graph import bind

    _, (a, b) = mg.recur(
        lambda p, h, x: (h, (x["a"] * 2, x["b"] * 2)),
        Structure.chain(2),
        initial=np.zeros(1),
        inputs={"a": np.ones(2), "b": bind(op, mg.asarray(np.ones(2)))},
    )
    del b
    assert mg.evaluate(a).tolist() == [2.0, 2.0] and mg.reference(a).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("seed", range(3))
def test_constants_of_a_cell_are_its_own(seed):
    """Arrays made inside (np.array, mg.eye) are leaves of the block: the laws hold with them."""
    problem = make_problem("forest", seed)
    plain, width = problem.cell, problem.cell.width

    def with_constants(p, carry, x):
        state, y = plain(p, carry, x)
        y["y"] = y["y"] @ (mg.eye(width) + np.ones((width, width)))
        return state, y

    problem.cell = with_constants
    LAWS["recur_is_a_loop"](problem)
