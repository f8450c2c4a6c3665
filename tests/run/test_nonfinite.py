"""The first NaN or infinity is named: op, element, pass, gate, step, sample and line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.run.nonfinite import first_nonfinite
from minigrad.run.origins import Origin
from minigrad.run.places import Place

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


# -- recurrences -----------------------------------------------------------------------------------

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
