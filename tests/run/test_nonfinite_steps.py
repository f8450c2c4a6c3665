"""Where a NaN or an infinity began in a recurrence: its step, sample, gate, tree and node."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.run.nonfinite import first_nonfinite
from minigrad.run.places import Place

from .test_nonfinite import NAN, found, named

LENGTHS = [5, 9, 10, 3]
START = np.cumsum([0, *LENGTHS])


def gated(p, h, x):
    g = mg.exp(x @ p["W_g"] + h @ p["U_g"]).named("g")
    f = mg.sigmoid(x @ p["W_f"] + p["b_f"]).named("f")
    new = (f * mg.tanh(h + 0.1 * g)).named("h")
    return new, g


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("of_gradient", [False, True])
def test_overflow_at_a_step_of_a_ragged_batch(reverse, of_gradient):
    structure = mg.Structure.chain(LENGTHS, reverse=reverse)
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(structure.n, 2)) * 0.1
    xs[START[2] + 7] = [600.0, 300.0]
    shapes = {"U_g": (3, 3), "W_f": (2, 3), "b_f": (3,)}
    values = {k: rng.normal(size=s) * 0.1 for k, s in shapes.items()}
    params = mg.tensors({**values, "W_g": np.ones((2, 3))})
    states, gates = mg.recur(
        gated, structure, initial=np.zeros((1, 3)), shared=params, inputs=mg.asarray(xs, name="xs")
    )
    assert first_nonfinite(states) is None  # tanh(inf) = 1
    assert first_nonfinite(mg.grad(mg.sum(states), params)) is None  # and its slope is 0
    assert found(states, harmless=True).step == 7
    finding = found(mg.grad(mg.sum(gates), params) if of_gradient else gates)
    assert finding.output == ("U_g" if of_gradient else "")
    assert (finding.op, finding.name, finding.kind, finding.gate) == ("exp", "g", "+inf", "g")
    assert (finding.order, finding.backward, finding.rule) == (0, False, None)
    assert (finding.block, finding.parameters) == ("gated", ("W_g", "U_g"))
    assert (finding.index, finding.count, finding.shape) == ((0,), 3, (3,))
    assert finding.inputs[0][0] == pytest.approx(900, abs=1)
    assert finding.cause == f"exp of {finding.inputs[0][0]:.6g}"
    assert (finding.step, finding.node, finding.sample) == (7, 7, 2)
    assert finding.line.endswith('g = mg.exp(x @ p["W_g"] + h @ p["U_g"]).named("g")')
    (place,) = finding.places
    assert place.row == START[2] + 7
    assert str(place) == "g (reads W_g, U_g) of gated, step 7 of sample 2"
    assert f"\n  at {place}\n" in str(finding)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_backward_fault_in_a_recurrence_has_its_step_too(reverse):
    def rooted(p, h, x):
        norm = mg.sqrt(mg.sum(x * x)).named("norm")
        new = mg.tanh(norm * p["w"] + h @ p["U"]).named("h")
        return new, new

    structure = mg.Structure.chain(LENGTHS, reverse=reverse)
    xs = np.random.default_rng(0).normal(size=(structure.n, 2))
    xs[START[1] + 4] = 0.0
    params = mg.tensors({"w": np.ones(3), "U": np.eye(3) * 0.1})
    data = mg.asarray(xs, name="xs")
    _, ys = mg.recur(rooted, structure, initial=np.zeros((1, 3)), shared=params, inputs=data)
    loss = mg.sum(ys)
    assert first_nonfinite(loss) is None
    assert first_nonfinite(mg.grad(loss, params)) is None
    finding = found(mg.grad(loss, data))
    assert (finding.op, finding.order, finding.rule[:2]) == ("divide", 1, ("sqrt", "norm"))
    assert finding.rule[2].endswith('norm = mg.sqrt(mg.sum(x * x)).named("norm")')
    assert (finding.step, finding.sample, finding.gate) == (4, 1, "norm")
    assert finding.block == "rooted'"
    assert finding.cause == "0.5 / 0"


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [6, 2, 5]])
def test_steps_and_samples_of_unroll(reverse, lengths):
    def cell(p, h, x):
        new = mg.sqrt(x @ p["W"] + 1.0).named("n") + 0.1 * h
        return new, new

    xs = np.zeros((6, 3, 2))
    params = mg.tensors({"W": np.eye(2)})

    def gradient(step, value):
        xs[step, 2] = value
        start = np.zeros((3, 2))
        _, ys = rc.unroll(cell, params, xs, carry=start, lengths=lengths, reverse=reverse)
        return mg.grad(mg.sum(ys), params)

    assert first_nonfinite(gradient(3, 0.0)) is None
    backward = found(gradient(3, -1.0))
    assert (backward.order, backward.step, backward.sample) == (1, 3, 2)
    forward = found(gradient(4, -2.0))
    assert (forward.order, forward.step, forward.sample) == (0, 4, 2)
    assert forward.gate == "n"


def test_an_unnamed_op_belongs_to_the_gate_it_goes_into():
    def cell(p, h, x):
        gate = (1.0 / (1.0 + mg.exp(x * p["W_i"]))).named("i")
        return (h + gate).named("h"), mg.log(gate)

    structure = mg.Structure.chain(3)
    xs = np.array([[0.0], [0.0], [900.0]])
    _, ys = mg.recur(
        cell, structure, initial=np.zeros((1, 1)), shared=mg.tensors({"W_i": np.ones(1)}), inputs=xs
    )
    finding = found(ys)  # log(1 / inf): the inf was absorbed, log(0) is what is bad
    assert (finding.op, finding.cause, finding.step, finding.sample) == ("log", "log of 0", 2, 0)
    hidden = found(ys, harmless=True)
    assert (hidden.op, hidden.name, hidden.gate) == ("exp", None, "i")
    assert hidden.parameters == ("W_i",)


def test_the_state_that_arrives_and_the_sum_over_nodes_may_overflow():
    def grow(p, h, x):
        left, right = h
        new = (left + right + x).named("h")
        return new, new

    def total(p, h, x):
        new = (h + x).named("h")
        return new, new * 0.0 + x

    grid = mg.Structure.grid((2, 2))
    _, ys = mg.recur(grow, grid, initial=np.zeros((1,)), inputs=np.full(4, 6e307))
    finding = found(ys)
    assert (finding.op, finding.node, finding.sample, finding.step) == ("add", 3, 0, None)
    pair = mg.Structure.edges(3, [0, 1], [2, 2])  # both into one slot, which adds them
    states, _ = mg.recur(total, pair, initial=np.zeros((1,)), inputs=np.full(3, 1e308))
    arriving = found(states)
    assert (arriving.op, arriving.node, arriving.kind) == ("sum over edges", 2, "+inf")
    assert arriving.inputs == ((1e308,), (1e308,))
    assert arriving.cause == "sum over edges of 2 numbers up to 1e+308 in size"
    weight = named(1.0, "w")

    def scale(p, h, x):
        return h, p * x

    xs = np.full(3, 1e308)
    _, ys = mg.recur(
        scale, mg.Structure.chain(3), initial=np.zeros((1,)), shared=weight, inputs=xs
    )
    summed = found(mg.grad(mg.sum(ys * 1.0), weight))
    assert (summed.op, summed.kind, summed.order) == ("sum over nodes", "+inf", 1)


def test_only_the_rows_and_elements_that_were_read_are_blamed():
    def cell(p, h, x):
        y = mg.log(x).named("y")
        return h, y

    chain = mg.Structure.chain([2, 3])
    xs = np.ones((5, 2))
    xs[1], xs[3] = NAN, [-1.0, -2.0]
    _, ys = mg.recur(cell, chain, initial=np.zeros((1,)), inputs=named(xs, "xs"))
    assert found(ys).index == (1, 0)
    finding = found(ys[2:, 1])
    assert (finding.op, finding.index, finding.count) == ("log", (1,), 1)
    assert finding.cause == "log of -2"
    xs[3] = NAN
    _, ys = mg.recur(cell, chain, initial=np.zeros((1,)), inputs=named(xs, "xs"))
    assert (found(ys[2:, 1]).index, found(ys[2:, 1]).count) == ((3, 1), 1)


def test_a_slot_is_blamed_on_its_own_child():
    def cell(p, children, x):
        left, right = children
        new = mg.where(x > 0, mg.exp(x), mg.sqrt(x)) + left + mg.minimum(right, 1.0)
        return new, new

    forest = mg.Structure.forest([[], [], [1, 0]])  # the right child is inf, harmlessly
    _, ys = mg.recur(cell, forest, initial=np.zeros((1,)), inputs=np.array([1000.0, -1.0, 0.0]))
    finding = found(ys[2])
    assert (finding.op, finding.node, finding.cause) == ("sqrt", 1, "sqrt of -1")


def test_parameters_are_those_read_past_no_other_named_tensor():
    def cell(p, h, x):
        f = mg.sigmoid(x * p["W_f"]).named("f")
        new = mg.log(f - p["s"]).named("new")
        return new, new

    shared = mg.tensors({"W_f": np.ones(()), "s": np.array(2.0)})
    _, ys = mg.recur(
        cell, mg.Structure.chain(2), initial=np.zeros((1,)), shared=shared, inputs=np.zeros(2)
    )
    assert (found(ys).gate, found(ys).parameters) == ("new", ("s",))
    assert found(ys).cause == "log of -1.5"


def test_a_cell_that_differentiates_inside():
    def cell(p, h, x):
        slope = mg.grad(mg.sqrt(x), x).named("slope")
        return (h + slope).named("h"), slope

    xs = np.array([1.0, 0.0, 4.0])
    states, _ = mg.recur(cell, mg.Structure.chain(3), initial=np.zeros((1,)), inputs=xs)
    finding = found(states[2])
    assert (finding.op, finding.order, finding.rule[0]) == ("divide", 1, "sqrt")
    assert (finding.gate, finding.step, finding.block) == ("slope", 1, "cell")


@pytest.mark.parametrize("ends", [([1, 1], [0, 2]), ([0, 2], [1, 1]), ([2, 0], [0, 1])])
def test_a_step_is_counted_only_along_sequences_in_order(ends):
    def cell(p, h, x):
        return (h + x).named("h"), mg.log(x)

    structure = mg.Structure.edges(3, *ends)
    _, ys = mg.recur(
        cell, structure, initial=np.zeros((1,)), inputs=np.array([1.0, 1.0, -1.0])
    )
    finding = found(ys)
    assert (finding.step, finding.node, finding.sample) == (None, 2, 0)
    assert "node 2 of sample 0" in str(finding)


def test_a_tree_names_the_tree_and_the_node():
    cell = rc.TreeLSTM(2, 3)
    params = cell.init(0)
    trees = [(0, 1), ((0, 1), (2, (3, 4)))]
    xs = np.random.default_rng(0).normal(size=(7, 2))
    xs[5, 1] = NAN  # the fourth word of the second tree
    words = mg.asarray(xs, name="words")
    states, _ = rc.fold(cell, mg.tensors(params), trees, words)
    assert found(states).name == "words"
    params["W_i"] = params["W_i"].copy()
    params["W_i"][0, 1] = NAN
    states, _ = rc.fold(cell, mg.tensors(params), trees, np.ones((7, 2)))
    finding = found(states)
    assert (finding.name, finding.index, finding.op) == ("W_i", (0, 1), "constant")


def test_the_node_of_a_tree():
    def cell(p, children, x):
        left, right = children
        new = mg.log(x + left + right).named("h")
        return new, new

    forest = mg.Structure.forest([[], [], [0, 1], [], [], [3, 4], [], [5, 6]])
    xs = np.full(8, 50.0)
    xs[5] = -100.0  # a node inside the second tree: its third row
    _, ys = mg.recur(cell, forest, initial=np.zeros((1,)), inputs=xs)
    finding = found(ys)
    assert (finding.op, finding.sample, finding.node, finding.step) == ("log", 1, 2, None)
    assert finding.places[0].row == 5
    assert str(finding.places[0]) == "h of cell, node 2 of sample 1"
    assert finding.inputs[0][0] == pytest.approx(-100 + 2 * np.log(50))


def test_a_grid_names_its_cell():
    def cell(p, neighbours, x):
        up, left = neighbours
        new = mg.sqrt(x + up + left).named("h")
        return new, new

    xs = np.full((3, 4), 2.0)
    xs[1, 2] = -50.0
    data = named(xs.ravel(), "xs")
    _, ys = mg.recur(cell, mg.Structure.grid((3, 4)), initial=np.zeros((1,)), inputs=data)
    finding = found(ys)
    assert np.unravel_index(finding.node, (3, 4)) == (1, 2)
    assert (finding.op, finding.sample, finding.step) == ("sqrt", 0, None)
    gradient = found(mg.grad(ys[-1], data))
    assert (gradient.node, gradient.order) == (6, 0)
    assert first_nonfinite(ys[:6]) is None


def test_parameters_that_are_bad_and_what_all_steps_share():
    def cell(p, h, x):
        scale = mg.exp(p["s"]).named("scale")
        return mg.tanh(h + scale * x), scale * x

    structure, zero = mg.Structure.chain([2, 3]), np.zeros((1, 2))
    shared = mg.tensors({"s": np.array([0.0, 1000.0])})
    _, ys = mg.recur(cell, structure, initial=zero, shared=shared, inputs=np.ones((5, 2)))
    finding = found(ys)
    assert (finding.op, finding.gate, finding.index) == ("exp", "scale", (1,))
    assert (finding.step, finding.sample, finding.places[0].row) == (None, None, None)
    assert "computed once for all nodes" in str(finding)
    shared = mg.tensors({"s": np.array([0.0, NAN])})
    _, ys = mg.recur(cell, structure, initial=zero, shared=shared, inputs=np.ones((5, 2)))
    assert (found(ys).name, found(ys).index) == ("s", (1,))


def test_tables_read_by_index_are_searched_too():
    from minigrad.tracing import Indexed

    def cell(p, h, x):
        deep = mg.log(x).named("deep")
        return h + deep, deep

    table = named([1.0, 2.0, -3.0], "table")
    rows = np.array([0, 1, 0, 2, -1])
    _, ys = mg.recur(
        cell, mg.Structure.chain(5), initial=np.zeros((1,)), inputs=Indexed(table, rows)
    )
    finding = found(ys[:4])
    assert (finding.cause, finding.gate) == ("log of -3", "deep")
    assert found(ys[4]).cause == "log of 0"  # row -1 is zeros
    assert first_nonfinite(ys[:3]) is None


def test_recurrences_inside_recurrences():
    def inner(p, h, x):
        new = mg.sqrt(h + x).named("inner_h")
        return new, new

    def outer(p, h, x):
        states, _ = mg.recur(inner, mg.Structure.chain(4), initial=mg.zeros((1,)), inputs=x)
        return h + states[-1], states[-1]

    xs = np.full((5, 4), 1.0)
    xs[3, 2] = -7.0  # step 1 of sample 1, inner step 2
    data = named(xs, "xs")
    _, ys = mg.recur(outer, mg.Structure.chain([2, 3]), initial=np.zeros((1,)), inputs=data)
    finding = found(ys)
    assert (finding.op, finding.gate, finding.block) == ("sqrt", "inner_h", "inner")
    far, near = finding.places
    assert (far.block, far.step, far.sample) == ("outer", 1, 1)
    assert (near.block, near.step, near.sample) == ("inner", 2, 0)
    assert isinstance(near, Place)
    assert finding.inputs[0][0] == pytest.approx(1.414 - 7, abs=1e-3)
    xs[3] = [4.0, -2.0, 4.0, 4.0]  # sqrt(sqrt(4) - 2) = 0: the slope is infinite
    data = named(xs, "xs")
    _, ys = mg.recur(outer, mg.Structure.chain([2, 3]), initial=np.zeros((1,)), inputs=data)
    assert first_nonfinite(ys) is None
    finding = found(mg.grad(mg.sum(ys), data))
    assert (finding.rule[:2], finding.order, finding.cause) == (("sqrt", "inner_h"), 1, "0.5 / 0")
    far, near = finding.places
    assert (far.block, far.step, far.sample) == ("outer'", 1, 1)
    assert (near.block, near.step, near.sample) == ("inner'", 1, 0)


def test_calls_and_vmap_are_seen_through():
    @mg.block
    def rooted(x):
        return mg.sqrt(x).named("root")

    finding = found(mg.exp(rooted(named([4.0, -9.0], "x"))))
    assert (finding.op, finding.gate, finding.block) == ("sqrt", "root", "rooted")
    assert (finding.step, finding.sample, finding.index) == (None, None, (1,))
    rows = named([[1.0, 1.0], [2.0, 2.0], [-3.0, 1.0]], "x")
    mapped = found(mg.vmap(lambda v: mg.log(v[0]))(rows))
    assert (mapped.op, mapped.cause, mapped.sample) == ("log", "log of -3", 2)


def test_second_derivatives_through_a_recurrence():
    def cell(p, h, x):
        return h + x**1.5 * p, h

    xs = named([1.0, 2.0, 0.0, 3.0], "xs")
    states, _ = mg.recur(
        cell, mg.Structure.chain(4), initial=np.zeros((1,)), shared=named(1.0, "w"), inputs=xs
    )
    once = mg.grad(states[-1], xs)
    assert first_nonfinite(once) is None
    finding = found(mg.grad(mg.sum(once), xs))
    assert (finding.order, finding.step, finding.sample) == (2, 2, 0)
