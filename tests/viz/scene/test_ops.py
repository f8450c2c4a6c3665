"""The ops view: the gradient on every edge outside, into and inside of frames, and the loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from tests.counting import examples
from viz.scene.scene import Edge, Node, Scene

from ..graphs import ENTRIES, FOREST, chain, drawn_by, lstm, rnn, slots

CELLS = {"RNN": rc.RNN, "LSTM": rc.LSTM, "GRU": rc.GRU}


def called(node):
    return node.label, node.detail


def squares(scene, kinds=("op",)):
    """Sums of squares of the gradient by the names of what an edge joins."""
    nodes = {n.id: n for n in scene.nodes}
    found = defaultdict(float)
    for e in scene.edges:
        a, b = nodes[e.source], nodes[e.target]
        if e.kind == "backward" and a.kind in kinds and b.kind in kinds:
            found[called(a), called(b)] += e.norm**2
    return found


def build(name, steps, seed=0, last=False):
    rng = np.random.default_rng(seed)
    cell = CELLS[name](2, 3)
    p = mg.tensors(cell.init(seed))
    x = mg.asarray(rng.standard_normal((steps, 2)), name="x")
    _, ys = rc.unroll(cell, p, x)
    loss = mg.sum((ys[-1] if last else ys) ** 2).named("L")
    return loss, p, x, ys


@settings(max_examples=examples(8), deadline=None)
@given(st.sampled_from(sorted(CELLS)), st.integers(2, 4), st.integers(0, 99))
def test_inside_a_frame_is_what_the_ops_of_all_steps_send(name, steps, seed):
    """The recurrence written out, op by op: another path to the same numbers."""
    loss, *_ = build(name, steps, seed)
    framed = squares(viz.draw(loss, "ops", grad=loss).scene)
    written = mg.unfold(loss, expand=True)
    outside = squares(viz.draw(written, "ops", grad=written).scene)
    same = framed.keys() & outside.keys()
    assert len(same) >= {"RNN": 2, "LSTM": 10, "GRU": 8}[name]
    for key in same:
        if key[0][0] == key[1][0] == "+" or ("×", "") in key or key[1][0] == "+":
            continue  # names that the steps between share with what is inside
        assert framed[key] == pytest.approx(outside[key], rel=1e-9, abs=1e-18), key


@settings(max_examples=examples(8), deadline=None)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 5), st.integers(0, 99))
def test_into_a_parameter_flows_its_gradient_and_out_of_the_frame_that_of_the_input(
    name, steps, seed
):
    rng = np.random.default_rng(seed)
    cell = CELLS[name](2, 3)
    p = mg.tensors(cell.init(seed))
    x = mg.asarray(rng.standard_normal((steps, 2)), name="x")
    _, ys = rc.unroll(cell, p, mg.tanh(x).named("z"))
    loss = mg.sum(ys**2).named("L")
    scene = viz.draw(loss, "ops", grad=loss).scene
    nodes = {n.id: n for n in scene.nodes}
    into = defaultdict(list)
    for e in scene.edges:
        if e.kind == "backward":
            into[nodes[e.target].kind, called(nodes[e.target])].append(e.norm)
    grads = {k: np.linalg.norm(v) for k, v in mg.evaluate(mg.grad(loss, p)).items()}
    for k, size in grads.items():
        (flow,) = into["shared", (k, "")]
        assert flow == pytest.approx(size, rel=1e-9, abs=1e-15)
    before = np.linalg.norm(mg.grad(loss, x).numpy())
    (outer,) = (n.id for n in scene.nodes if n.label == "x" and n.lane is None)
    (flow,) = (e.norm for e in scene.edges if e.kind == "backward" and e.target == outer)
    assert flow == pytest.approx(before, rel=1e-9)
    below = rc.unroll(cell, p, (free := mg.asarray(np.tanh(x.numpy()))))[1]
    sent = np.linalg.norm(mg.grad(mg.sum(below**2), free).numpy())
    assert into["op", ("tanh", "z")] == [pytest.approx(sent, rel=1e-9)]
    (pill,) = [e for e in scene.edges if e.kind == "backward" and nodes[e.source].kind == "op"
               and nodes[e.target].kind == "output"]  # fmt: skip
    assert pill.norm == pytest.approx(2 * np.linalg.norm(ys.numpy()), rel=1e-9)


@settings(max_examples=examples(8), deadline=None)
@given(st.integers(1, 6), st.integers(0, 99))
def test_the_loop_carries_what_the_steps_send_each_other(steps, seed):
    """With a loss at the last step alone, each state before it gets its gradient by the loop."""
    loss, _, _, ys = build("RNN", steps, seed, last=True)
    scene = viz.draw(loss, "ops", grad=loss).scene
    found = [e for e in scene.edges if e.kind == "state"]
    if steps == 1:
        assert not found
        return
    (loop,) = found
    assert (scene.node(loop.source).label, scene.node(loop.target).label) == ("h out", "h in")
    (back,) = (e for e in scene.edges if (e.source, e.target) == (loop.target, loop.source))
    states = mg.state_gradients(loss, ys).numpy()
    assert back.norm == pytest.approx(np.linalg.norm(states[:-1]), rel=1e-9, abs=1e-18)
    assert "all its" in scene.notes[0] and not viz.draw(loss, "ops").scene.notes


def test_every_state_comes_back_to_every_slot():
    _, ys, _ = chain(3, lstm)
    loops = [e for e in viz.draw(ys, "ops").scene.edges if e.kind == "state"]
    assert [e.label for e in loops] == ["h to the next step", "c to the next step"]
    loss = mg.sum(slots(mg.Structure.forest(FOREST))[1])
    scene = viz.draw(loss, "ops", grad=loss).scene
    loops = [e for e in scene.edges if e.kind == "state"]
    assert [e.label for e in loops] == [f"h to the next node, slot {k}" for k in (0, 1)]
    back = {(e.target, e.source, e.slot): e.norm for e in scene.edges if e.kind == "backward"}
    assert all(back[e.source, e.target, e.slot] > 0 for e in loops)


def test_truncated_loops_and_what_nobody_asks_for():
    rng = np.random.default_rng(0)
    cut = mg.Structure.chain(3).truncated([False, False])
    p = {"W": mg.asarray(rng.standard_normal((3, 2)), name="W"),
         "U": mg.asarray(rng.standard_normal((2, 2)), name="U")}  # fmt: skip
    x = mg.asarray(rng.standard_normal((3, 3)), name="x")
    _, ys = mg.recur(rnn, cut, initial=np.zeros((1, 2)), shared=p, inputs=x)
    loss = mg.sum(ys)
    scene = viz.draw(loss, "ops", grad=loss, wrt=p["W"]).scene
    (loop,) = (e for e in scene.edges if e.kind == "state")
    assert loop.cut
    targets = [scene.node(e.target).label for e in scene.edges if e.kind == "backward"]
    assert "W" in targets and "U" not in targets and "x" not in targets and "h out" not in targets


def test_numbers_of_the_cells_own_get_nothing():
    loss, *_ = build("GRU", 3)
    scene = viz.draw(loss, "ops", grad=loss).scene
    constants = {n.id for n in scene.nodes if n.kind == "constant"}
    assert constants and not any(e.target in constants for e in scene.edges if e.kind == "backward")


def test_what_is_not_known_says_so():
    """Two calls inside the cell read one state: only what both send together is known."""
    inner = mg.block(lambda a, b: mg.tanh(a * b))

    def cell(p, h, x):
        s = inner(h, x) + inner(x, h)
        return s, s

    rng = np.random.default_rng(0)
    x = mg.asarray(rng.standard_normal((3, 2)), name="x")
    _, ys = rc.unroll(cell, {}, x, carry=np.ones(2))
    loss = mg.sum(ys**2).named("L")
    scene = viz.draw(loss, "ops", grad=loss).scene
    unknown = [e for e in scene.edges if e.kind == "backward" and e.norm is None]
    assert len(unknown) == 4 and all(e.label == "?" for e in unknown)
    assert ("unknown", "gradient passes, how much is not known") in scene.legend.keys
    assert not scene.legend.nonfinite and "NOT FINITE" not in scene.summary()


def test_what_two_read_through_one_broadcast_is_told_apart():
    """Each reader's part, not what passes the hidden op in all."""
    b = mg.asarray(np.ones(3), name="b")
    wide = mg.broadcast_to(b, (2, 3))
    loss = (mg.sum(mg.sin(wide)) + mg.sum(3 * mg.exp(wide))).named("L")
    scene = viz.draw(loss, "ops", grad=loss).scene
    sent = {scene.node(e.source).label: e.norm for e in scene.edges
            if e.kind == "backward" and scene.node(e.target).label == "b"}  # fmt: skip
    assert sent["sin"] == pytest.approx(2 * np.cos(1) * np.sqrt(3))
    assert sent["exp"] == pytest.approx(6 * np.e * np.sqrt(3))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_loops_stay_in_their_frames_and_meet_no_box(entry, monkeypatch):
    outputs = [t for t in drawn_by(entry, monkeypatch) if t.dtype.kind == "f"]
    if not outputs:
        pytest.skip("a structure alone")
    loss = sum(mg.sum(mg.square(t)) for t in outputs)
    try:
        drawing = viz.draw(loss, "ops", grad=loss)
    except ValueError as error:
        assert "too many" in str(error)
        return
    scene, layout = drawing.scene, drawing.layout
    home = {n.id: n.lane for n in scene.nodes}
    for e in scene.edges:
        if e.kind not in ("state", "backward") or home[e.source] is None:
            continue
        if e.kind == "backward" and not any(
            (s.source, s.target, s.kind) == (e.target, e.source, "state") for s in scene.edges
        ):
            continue
        frame, points = layout.frames[home[e.source]], layout.paths[e.id].points
        assert all(frame.left <= x <= frame.right and frame.bottom <= y <= frame.top
                   for x, y in points)  # fmt: skip
        for name, box in layout.boxes.items():
            if home[name] == home[e.source] and name not in (e.source, e.target):
                assert not any(
                    box.left < x < box.right and box.bottom < y < box.top for x, y in points[3:-3]
                )


def test_an_edge_without_a_number_is_drawn_as_not_known():
    nodes = Node("n0", "op", "f"), Node("n1", "op", "g")
    edges = Edge("e0", "n0", "n1", "forward"), Edge("e1", "n1", "n0", "backward", "?")
    assert "dotted" in viz.Drawing(Scene("ops", "", nodes, edges)).dot
