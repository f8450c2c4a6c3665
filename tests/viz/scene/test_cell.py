"""Inside the cell: each number is a gradient that can be had otherwise, steps look alike."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.recur import parts_of
from recurrent.cells import kinds
from viz.scene.flow import recurs_of
from viz.scene.inside import HIDDEN, Inside, visible

RNG = np.random.default_rng(0)
CHAINS = [k for k in kinds("chain") if k is not rc.EchoState]
TREES = [*kinds("tree"), *kinds("tree, one summed slot")]


def run(cell, steps=5):
    params = mg.tensors(cell.init(0))
    ys = rc.unroll(cell, params, RNG.standard_normal((steps, cell.input_size)))[1]
    return params, mg.sum(mg.square(ys[-1]) + mg.square(ys[1])).named("L")


def recurrence_of(loss):
    return next(r for r in recurs_of(mg.nodes(loss)) if parts_of(r).block.slots)


def boxes(scene, members=None):
    nodes = {n.id: n for n in scene.nodes}
    return [(nodes[e.target].members, e.norm) for e in scene.edges
            if e.kind == "backward" and nodes[e.target].kind == "shared"]  # fmt: skip


@pytest.mark.parametrize("kind", CHAINS, ids=lambda k: k.__name__)
def test_parameters_get_their_contributions(kind):
    params, loss = run(kind.examples()[0])
    names = {t.name: t for t in mg.pytrees.tree_leaves(params)}
    whole = {name: mg.contributions(loss, t).numpy() for name, t in names.items()}
    for step in (1, 4, 5, None):
        found = boxes(viz.draw(loss, view="cell", grad=loss, step=step).scene)
        assert found
        joint = {}
        for members, _ in found:
            for name in members:
                at = whole[name].sum(axis=0) if step is None else whole[name][step - 1]
                joint.setdefault(members, []).append(at.ravel())
        seen = [name for members, _ in found for name in members]
        for members, norm in found:  # of a parameter that is read twice, parts are drawn
            if all(seen.count(name) == 1 for name in members):
                wanted = np.linalg.norm(np.concatenate(joint[members]))
                assert norm == pytest.approx(wanted, rel=1e-9, abs=1e-14)


def losses():
    for kind in CHAINS:
        yield kind.__name__, lambda kind=kind: run(kind.examples()[0])[1]
    for kind in TREES:
        yield kind.__name__, lambda kind=kind: tree_loss(kind.examples()[0])


def tree_loss(cell):
    source = (("a", "b"), ("c", "d"))
    xs = RNG.standard_normal((4, cell.input_size))
    return mg.sum(mg.square(rc.fold(cell, mg.tensors(cell.init(0)), source, xs)[1]))


@pytest.mark.parametrize("made", [pytest.param(f, id=name) for name, f in losses()])
def test_what_arrives_is_what_was_sent(made):
    """Of every tensor inside: the parts that its readers, later nodes and the outside send."""
    loss = made()
    r = recurrence_of(loss)
    inside = Inside(r, loss)
    block = parts_of(r).block
    sums = {}
    for (op, k), part in inside.sent.items():
        t = visible(op.inputs[k])
        sums[t] = sums.get(t, 0) + part
    for t in {*inside.arrived} - {x for x in inside.arrived if x.op.name in HIDDEN}:
        total = sums.get(t, 0) + inside.onward.get(t, 0) + inside.asked.get(t, 0)
        behind = [x for x in block.nodes if x.op.name in HIDDEN and visible(x) is t]
        for x in behind:
            total = total + inside.asked.get(x, 0) + inside.onward.get(x, 0)
        np.testing.assert_allclose(total, inside.arrived[t], rtol=1e-9, atol=1e-12)


def test_each_edge_of_a_cell_written_out():
    """h' = tanh(a) b with a = h u, b = x + h: what each op sends to each operand, by hand."""
    u = mg.asarray(RNG.standard_normal(3), name="u")
    xs, nudge = RNG.standard_normal((4, 3)), [mg.asarray(np.zeros(3)) for _ in range(16)]

    def cell(p, h, x):
        a = (h * p["u"]).named("a")
        b = (x + h).named("b")
        h = (mg.tanh(a) * b).named("h")
        return h, h

    _, ys = rc.unroll(cell, {"u": u}, xs, carry=np.ones(3))
    loss = mg.sum(ys[-1] ** 2)
    h = np.ones(3)
    for t in range(4):  # the same, with something to add on the four edges to h and to a and b
        e = nudge[4 * t : 4 * t + 4]
        a, b = (h + e[0]) * u, xs[t] + (h + e[1])
        h = mg.tanh(a + e[2]) * (b + e[3])
    grads = mg.evaluate(mg.grad(mg.sum(h**2), nudge))
    for t in range(4):
        scene = viz.draw(loss, view="cell", grad=loss, step=t + 1).scene
        nodes = {n.id: (n.detail or n.label) for n in scene.nodes}
        found = {(nodes[e.source], nodes[e.target]): e.norm for e in scene.edges
                 if e.kind == "backward"}  # fmt: skip
        before = {0: "h₀", 1: "h₁", 2: "h₂", 3: "h₃"}[t]
        ways = [("a", before), ("b", before), ("tanh", "a"), ("h", "b")]
        for way, g in zip(ways, grads[4 * t : 4 * t + 4], strict=True):
            assert found[way] == pytest.approx(np.linalg.norm(g), rel=1e-9), (t, way)


def test_steps_side_by_side_have_each_op_at_its_place():
    _, loss = run(rc.LSTM(2, 3))
    drawing = viz.draw(loss, view="cell", grad=loss, step=[2, 3, 5])
    at = {}
    for node in drawing.scene.nodes:
        box, frame = drawing.layout.boxes[node.id], drawing.layout.frames[node.lane]
        at.setdefault(node.lane, []).append((box.x - frame.left, box.y - frame.y, box.w, box.h))
    first, *others = at.values()
    for other in others:
        np.testing.assert_allclose(first, other, atol=1e-9)
    assert [c.label for c in drawing.scene.clusters] == [f"LSTM, step {k}" for k in (2, 3, 5)]


def test_the_state_enters_left_and_leaves_right_and_gates_have_names():
    _, loss = run(rc.LSTM(2, 3))
    drawing = viz.draw(loss, view="cell", step=3)
    x = {n.label: drawing.layout.boxes[n.id].x for n in drawing.scene.nodes}
    y = {n.label: drawing.layout.boxes[n.id].y for n in drawing.scene.nodes}
    assert x["c₂"] == min(x.values()) and x["c₃"] == max(x.values())
    assert y["c₂"] == pytest.approx(y["c₃"]) and y["c₂"] > y["h₂"]
    gates = {n.detail for n in drawing.scene.nodes if n.kind == "gate"}
    assert gates == set("fiogch")
    assert not [e for e in drawing.scene.edges if e.kind == "backward"]


@pytest.mark.parametrize(("error", "more", "message"), [
    (ValueError, {"step": 9}, "LSTM has no step 9; it has 1 to 5"),
    (ValueError, {"step": 0}, "no step 0"),
    (ValueError, {"step": list(range(1, 20))}, "at most 12 steps"),
    (TypeError, {"step": "1"}, "step must be a whole number, or a list of them; got '1'"),
    (TypeError, {"step": []}, "step must be a whole number"),
    (TypeError, {"step": True}, "step must be a whole number"),
    (ValueError, {"step": 1, "view": "unfolded"}, 'step= is for view="cell"'),
])  # fmt: skip
def test_steps_that_cannot_be_drawn(error, more, message):
    _, loss = run(rc.LSTM(2, 3))
    with pytest.raises(error, match=message):
        viz.draw(loss, **{"view": "cell", **more})


def test_without_a_recurrence_the_ops_view_is_named():
    with pytest.raises(ValueError, match='view="ops" shows operations'):
        viz.draw(mg.asarray(1.0) + 1, view="cell")
