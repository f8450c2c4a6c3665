"""What the unfolded view says of gradients, against the gradients themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz

RNG = np.random.default_rng(0)
T = 5
BETWEEN = {
    "as it is": lambda h: h, "stop_gradient": mg.stop_gradient, "sign": mg.sign,
    "floor": mg.floor, "round": mg.round, "half": lambda h: mg.concat([h[:3], mg.sign(h[3:])]),
    "both ways": lambda h: h + h[::-1], "twice": lambda h: h * h,
    "later ones stopped": lambda h: mg.stop_gradient(h) + mg.concat([h[:2], mg.zeros((3, 3))]),
}  # fmt: skip


def two_layers(between, loss=lambda ys: mg.sum(ys[-1] ** 2)):
    """(loss, states of the lower net, states of the upper net)."""
    lower, upper = rc.RNN(2, 3), rc.GRU(3, 4)
    _, hs = rc.unroll(lower, mg.tensors(lower.init(0)), mg.asarray(RNG.standard_normal((T, 2))))
    _, ys = rc.unroll(upper, mg.tensors(upper.init(1)), between(hs))
    return loss(ys), hs, ys


def passed(drawing, above="GRU", below="RNN"):
    """{(step above, step below): norm} of the gradient drawn from cell to cell."""
    scene = drawing.scene
    nodes = {n.id: n for n in scene.nodes}
    found = {}
    for e in scene.edges:
        a, b = nodes[e.source], nodes[e.target]
        if e.kind == "backward" and a.label == above and b.label == below:
            found[a.column, b.column] = e.norm
    return found


@pytest.mark.parametrize("name", BETWEEN)
def test_what_passes_between_recurrences(name):
    """The cotangent of each lower state through each upper step's input alone."""
    loss, hs, ys = two_layers(BETWEEN[name])
    found = passed(viz.draw(loss, grad=loss))
    between = BETWEEN[name](hs)
    upper = rc.GRU(3, 4)
    given = mg.asarray(between.numpy())
    _, again = rc.unroll(upper, mg.tensors(upper.init(1)), given)
    arrived = mg.grad(mg.sum(again[-1] ** 2), given).numpy()  # (T, 3), at each upper step
    wanted = {}
    for t in range(T):
        alone = np.zeros_like(arrived)
        alone[t] = arrived[t]
        back = mg.vjp([between], [hs], [alone])[0].numpy()
        wanted |= {(t, k): np.linalg.norm(back[k]) for k in range(T)}
    for pair, norm in found.items():
        assert norm == pytest.approx(wanted[pair], rel=1e-9, abs=1e-15), pair
    assert {pair for pair, norm in wanted.items() if norm} <= set(found)
    assert not any(norm for pair, norm in found.items() if not wanted[pair])


def test_truncated_time_is_drawn_truncated():
    cell = rc.RNN(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), RNG.standard_normal((6, 2)), truncate=3)
    loss = mg.sum(ys[-1] ** 2)
    found = passed(viz.draw(loss, grad=loss), "RNN", "RNN")
    assert {pair for pair, norm in found.items() if norm} == {(4, 3), (5, 4)}


@given(st.integers(0, 2**16))
def test_a_node_that_only_an_output_reads_is_not_grey(seed):
    """y is computed from the state before, the loss reads y of one step alone."""
    rng = np.random.default_rng(seed)

    def cell(p, h, x):
        return mg.tanh(h @ p["U"] + x), mg.sum(x * x) + mg.sum(h * p["v"])

    p = mg.tensors({"U": rng.standard_normal((3, 3)), "v": rng.standard_normal(3)})
    _, ys = rc.unroll(cell, p, rng.standard_normal((4, 3)), carry=np.zeros(3))
    at = int(rng.integers(0, 4))
    loss = ys[at] ** 2
    scene = viz.draw(loss, grad=loss).scene
    norms = {n.column: n.norm for n in scene.nodes if n.kind == "cell"}
    slope = 2 * float(ys[at])
    assert norms[at] == pytest.approx(abs(slope), rel=1e-9)
    assert all(not norms[t] for t in range(at + 1, 4))


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_what_is_drawn_does_not_depend_on_values(fill):
    """An unnamed input of zeros is an input."""
    cell = rc.GRU(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), np.full((4, 2), fill))
    for view in ("unfolded", "folded"):
        kinds = [n.kind for n in viz.draw(ys, view=view).scene.nodes]
        assert kinds.count("input") == (4 if view == "unfolded" else 1)


def shared_by_some():
    """U in two nets, W in one, V in both and in the loss, b in the loss alone."""
    rng = np.random.default_rng(0)
    p = mg.tensors({k: rng.standard_normal(s) for k, s in
                    {"U": (3, 3), "W": (3, 3), "V": (3, 3), "b": (3,)}.items()})  # fmt: skip

    def first(q, h, x):
        return ((s := mg.tanh(h @ q["U"] + x @ q["W"] + x @ q["V"])), s)

    def second(q, h, x):
        return ((s := mg.tanh(h @ q["U"] + x @ q["V"])), s)

    xs = rng.standard_normal((4, 3))
    _, hs = rc.unroll(first, {k: p[k] for k in "UWV"}, xs, carry=np.zeros(3))
    _, ys = rc.unroll(second, {k: p[k] for k in "UV"}, hs, carry=np.zeros(3))
    return p, mg.sum((ys[-1] @ p["V"] + p["b"]) ** 2)


@pytest.mark.parametrize("view", ["unfolded", "folded"])
def test_a_parameter_is_drawn_and_counted_once(view):
    p, loss = shared_by_some()
    boxes = [n for n in viz.draw(loss, view=view, grad=loss).scene.nodes if n.kind == "shared"]
    assert sorted(name for n in boxes for name in n.members) == ["U", "V", "W", "b"]
    total = mg.evaluate(mg.grad(loss, p))
    for n in boxes:
        wanted = np.sqrt(sum(np.vdot(total[name], total[name]) for name in n.members))
        assert n.norm == pytest.approx(wanted, rel=1e-12)


def test_what_a_loss_gives_a_parameter_itself():
    """V is read by both nets too: the arrow from the loss is not its total."""
    p, loss = shared_by_some()
    scene = viz.draw(loss, grad=loss).scene
    nodes = {n.id: n for n in scene.nodes}
    found = {nodes[e.target].members: e.norm for e in scene.edges
             if e.kind == "backward" and nodes[e.source].kind == "loss"
             and nodes[e.target].kind == "shared"}  # fmt: skip
    (read,) = [t for t in mg.nodes(loss) if t.op.name == "einsum"]
    y, v = read.inputs
    again = mg.sum((mg.asarray(y.numpy()) @ (w := mg.asarray(v.numpy())) + p["b"]) ** 2)
    assert found["V",] == pytest.approx(np.linalg.norm(mg.grad(again, w).numpy()), rel=1e-12)
    wanted = np.linalg.norm(mg.grad(loss, p["b"]).numpy())
    assert found["b",] == pytest.approx(wanted, rel=1e-12)


def told(drawing):
    scene = drawing.scene
    inputs = [n.label for n in scene.nodes if n.kind == "input"]
    return scene.title, inputs, [n.column for n in scene.nodes if n.kind == "cell"]


def test_a_sequence_in_two_parts_is_one():
    cell, xs = rc.RNN(2, 3), RNG.standard_normal((7, 2))
    p = mg.tensors(cell.init(0))
    carry, _ = rc.unroll(cell, p, xs[:4])
    last, _ = rc.unroll(cell, p, xs[4:], carry=carry)
    title, inputs, columns = told(viz.draw(mg.sum(last)))
    assert title == "RNN: 7 steps in 2 runs" and columns == list(range(7))
    assert inputs == [f"x{'₀₁₂₃₄₅₆₇'[k]}" for k in range(1, 8)]


def test_nodes_without_edges_are_numbered_through():
    f = mg.vmap(lambda x: mg.tanh(x))
    title, inputs, columns = told(viz.draw(mg.sum(f(RNG.standard_normal((7, 3))))))
    assert title == "<lambda>: 7 nodes side by side" and columns == list(range(7))
    assert len(set(inputs)) == 7


def test_equal_nets_are_counted():
    net = rc.bidirectional(rc.GRU(2, 3), rc.GRU(2, 3))
    ys = net(mg.tensors(net.init(0)), RNG.standard_normal((4, 2)))[1]
    assert told(viz.draw(ys))[0] == "2 × GRU: 4 steps"


@pytest.mark.parametrize("build,wanted", [
    (lambda x, y: x * x, [6.0]), (lambda x, y: x + x, [2.0]), (lambda x, y: x - x, [0.0]),
    (lambda x, y: x / x, [0.0]), (lambda x, y: mg.where(x > 0, x, x), [1.0]),
    (lambda x, y: x * y, [2.0, 3.0]), (lambda x, y: mg.exp(x) * mg.exp(x), [np.exp(6)] * 2),
])  # fmt: skip
def test_one_arrow_for_an_operand_that_stands_twice(build, wanted):
    """Its number is what comes back by both: 6 at x * x where x is 3, not 3 and 3 on one line."""
    x, y = mg.asarray(3.0, name="x"), mg.asarray(2.0, name="y")
    out = build(x, y)
    scene = viz.draw(out, view="ops", grad=out).scene
    pairs = [(e.source, e.target) for e in scene.edges]
    assert len(set(pairs)) == len(pairs)
    leaves = {n.id for n in scene.nodes if n.kind == "input"}
    ops = {n.id for n in scene.nodes if n.kind == "op"}
    found = [e.norm for e in scene.edges
             if e.kind == "backward" and e.target in leaves and e.source in ops]  # fmt: skip
    assert sorted(found) == pytest.approx(sorted(wanted), abs=1e-12)


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("most", [3, 4])
def test_what_passes_between_boxes_of_what_is_left_out(name, most):
    """All that their steps get back by the upper net's inputs, together; 0 where it is stopped."""
    loss, hs, _ = two_layers(BETWEEN[name])
    scene = viz.draw(loss, grad=loss, max_steps=most).scene
    boxes = [n.id for n in scene.nodes if n.kind == "elided"]
    assert len(boxes) == 2
    found = [e for e in scene.edges if {e.source, e.target} == set(boxes)]
    assert [e.kind for e in found] == ["elided", "backward"]
    between = BETWEEN[name](hs)
    upper = rc.GRU(3, 4)
    given = mg.asarray(between.numpy())
    _, again = rc.unroll(upper, mg.tensors(upper.init(1)), given)
    arrived = mg.grad(mg.sum(again[-1] ** 2), given).numpy()
    gone = slice((most + 1) // 2, T - most // 2)
    alone = np.zeros_like(arrived)
    alone[gone] = arrived[gone]
    back = mg.vjp([between], [hs], [alone])[0].numpy()[gone]
    assert found[1].norm == pytest.approx(np.linalg.norm(back), rel=1e-9, abs=1e-15)
