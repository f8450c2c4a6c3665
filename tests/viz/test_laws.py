"""The law of drawings: what is drawn is what is in the graph. Counts, edges, norms."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from viz.out import render

from .graphs import FOREST, backward, chain, leaf, lstm, rnn, slots


def norms_of(edges):
    return np.sort([e.norm for e in edges])


def rows(value):
    value = np.asarray(value)
    return np.sqrt((value.reshape(len(value), -1) ** 2).sum(axis=1))


def cells(scene):
    return [n for n in scene.nodes if n.kind == "cell"]


@settings(max_examples=15, deadline=None)
@example([1, 1], False)  # sequences of one step have no edges, and are no places of a window
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), st.booleans())
def test_chains_have_their_cells_edges_and_inputs(lengths, reverse):
    _, ys, _ = chain(lengths, reverse=reverse)
    scene = viz.draw(ys, max_steps=None).scene
    n, sequences = sum(lengths), sum(length > 0 for length in lengths)
    assert len(cells(scene)) == n == sum(node.kind == "output" for node in scene.nodes)
    assert sum(node.kind == "input" for node in scene.nodes) == n
    assert sum(node.kind == "initial" for node in scene.nodes) == sequences
    ids = {node.id for node in cells(scene)}
    state = [e for e in scene.edges if e.kind == "state" and e.source in ids]
    assert len(state) == n - sequences
    column = {node.id: node.column for node in scene.nodes}
    step = -1 if reverse else 1
    assert all(column[e.target] - column[e.source] == step for e in state)
    assert not backward(scene)


@pytest.mark.parametrize(
    "structure",
    [
        mg.Structure.forest(FOREST),
        mg.Structure.grid((3, 4)),
        mg.Structure.edges(6, [0, 0, 1, 2, 2, 4], [1, 2, 3, 3, 3, 5], [0, 0, 1, 0, 0, 1]),
    ],
    ids=["forest", "grid", "dag"],
)
def test_structures_have_their_edges(structure):
    _, ys, _ = slots(structure)
    scene = viz.draw(ys, max_steps=None).scene
    row = {node.id: k for k, node in enumerate(cells(scene))}
    by_row = sorted(
        (row[e.source], row[e.target], e.slot) for e in scene.edges if e.kind == "state"
    )
    # Cells are made component by component; the forest's trees are contiguous already.
    expected = sorted(zip(structure.src, structure.dst, structure.slot, strict=True))
    assert len(by_row) == len(expected)
    if structure.components == 1 or structure.n == len(FOREST):
        order = {node.tooltip.split("\n")[0]: node.id for node in cells(scene)}
        number = {order[f"{place}"]: k for place, k in numbered(order)}
        drawn = sorted(
            (number[e.source], number[e.target], e.slot) for e in scene.edges if e.kind == "state"
        )
        assert drawn == [tuple(map(int, e)) for e in expected]
    tree = viz.draw(structure, "tree", max_steps=None).scene
    assert (len(tree.nodes), len(tree.edges)) == (structure.n, len(structure.src))


def numbered(order):
    """The row that a cell's tooltip names ("binary, node 5 of component 2": from 1, as steps)."""
    return [(text, int(text.split("node ")[1].split()[0]) - 1) for text in order]


@pytest.mark.parametrize("cell", [rnn, lstm])
def test_norms_are_those_of_the_engine(cell):
    _, ys, leaves = chain(5, cell)
    loss = mg.sum(mg.square(ys[4])).named("L")
    scene = viz.draw(loss, grad=loss).scene
    found = backward(scene)
    grads = mg.evaluate(mg.grad(loss, leaves))
    np.testing.assert_allclose(norms_of(found["cell", "input"]), np.sort(rows(grads["x"])))
    (initial,) = found["cell", "initial"]
    np.testing.assert_allclose(initial.norm, np.linalg.norm(grads["h0"]))
    parts = [mg.evaluate(mg.contributions(loss, leaves[k])) for k in ("W", "U")]
    together = np.sqrt(sum(rows(p) ** 2 for p in parts))
    np.testing.assert_allclose(norms_of(found["cell", "shared"]), np.sort(together))
    (into,) = found["loss", "cell"]
    np.testing.assert_allclose(into.norm, np.linalg.norm(2 * np.asarray(ys)[4]))
    (box,) = (n for n in scene.nodes if n.kind == "shared")
    total = np.sqrt(sum(np.linalg.norm(grads[k]) ** 2 for k in ("W", "U")))
    np.testing.assert_allclose(box.norm, total)


def test_state_norms_are_total_gradients():
    states, ys, _ = chain(6)
    loss = mg.sum(mg.square(ys[2]) + mg.square(ys[5]))
    total = rows(mg.evaluate(mg.state_gradients(loss, states)))
    scene = viz.draw(loss, grad=loss).scene
    np.testing.assert_allclose([n.norm for n in cells(scene)], total)
    tree = viz.draw(loss, "tree", grad=loss).scene
    np.testing.assert_allclose([n.norm for n in tree.nodes], total)
    # The edge into the last step carries only what comes from it: a loss at step 3 is not on it.
    between = [e for e in backward(scene)["cell", "cell"]]
    assert len(between) == 5


def test_folded_unfolded_and_looped_graphs_have_the_same_norms():
    _, ys, _ = chain(5, lstm)
    loss = mg.sum(mg.square(ys[4])).named("L")
    once = viz.draw(loss, grad=loss).scene
    written = mg.unfold(loss)
    calls = viz.draw(written, grad=written).scene
    assert len(cells(once)) == len(cells(calls)) == 5
    a, b = (norms_of(e for e in s.edges if e.kind == "backward") for s in (once, calls))
    np.testing.assert_allclose(a, b)


def test_stacked_layers_hand_rows_upwards():
    _, below, _ = chain(4, seed=1)
    _, ys, _ = chain(4, inputs=mg.tanh(below) * 2.0)
    scene = viz.draw(mg.sum(ys)).scene
    lane = {n.id: n.lane for n in scene.nodes}
    column = {n.id: n.column for n in scene.nodes}
    up = [
        e
        for e in scene.edges
        if e.kind == "forward" and lane[e.target] and lane[e.source] != lane[e.target]
    ]
    assert sorted((column[e.source], column[e.target]) for e in up) == [(k, k) for k in range(4)]


def test_both_directions_read_the_same_inputs():
    _, forth, leaves = chain(3)
    rng = np.random.default_rng(5)
    p = {"W": leaf(rng, 3, 2, name="V"), "U": leaf(rng, 2, 2, name="Q")}
    back = mg.Structure.chain(3, reverse=True)
    _, ys = mg.recur(rnn, back, initial=np.zeros((1, 2)), shared=p, inputs=leaves["x"])
    scene = viz.draw(mg.concat([forth, ys], axis=-1)).scene
    inputs = [n.id for n in scene.nodes if n.kind == "input"]
    assert len(inputs) == 3 and len(cells(scene)) == 6
    assert all(sum(e.source == i for e in scene.edges) == 2 for i in inputs)


def test_no_path_no_edge_vanished_zero_edge():
    _, ys, _ = chain([3, 3])
    loss = mg.sum(ys[1])  # the second step of the first sequence
    scene = viz.draw(loss, grad=loss).scene
    assert len(backward(scene)["cell", "input"]) == 2
    none = mg.sum(ys[2] * 0.0)
    found = backward(viz.draw(none, grad=none).scene)
    assert {e.norm for e in found["cell", "input"]} == {0.0}
    broken = mg.sum(ys[2] * np.inf)
    scene = viz.draw(broken, grad=broken).scene
    assert scene.legend.nonfinite and "NOT FINITE" in scene.summary()


def test_truncated_edges_let_no_gradient_through():
    rng = np.random.default_rng(0)
    s = mg.Structure.chain(4)
    if not hasattr(s, "truncated"):
        pytest.skip("no truncated structures in this version")
    p = {"W": leaf(rng, 3, 2), "U": leaf(rng, 2, 2)}
    cut = s.truncated([True, False, True])
    _, ys = mg.recur(rnn, cut, initial=np.zeros((1, 2)), shared=p, inputs=leaf(rng, 4, 3, name="x"))
    loss = mg.sum(ys[3])
    scene = viz.draw(loss, grad=loss).scene
    assert len([e for e in scene.edges if e.kind == "state"]) == 3
    assert len(backward(scene)["cell", "cell"]) == 2


def test_checkpoints_are_drawn_as_the_graph_that_they_leave_alone():
    cell, x = rc.RNN(2, 3), np.ones((6, 2))
    p = mg.tensors(cell.init(0))
    scenes = []
    for every in (None, 4):
        _, ys = rc.unroll(cell, p, x, checkpoint=every)
        loss = mg.sum(mg.square(ys[5]))
        scenes.append(viz.draw(loss, grad=loss).scene)
    plain, cut = scenes
    assert [e.norm for e in plain.edges] == [e.norm for e in cut.edges]
    assert len(plain.nodes) == len(cut.nodes)
    assert "RNN: 6 steps, states kept between 2 chunks" in cut.summary()
    assert "chunks" not in plain.summary()
    assert len(viz.draw(mg.unfold(loss)).scene.nodes) == len(plain.nodes)


def test_wrt_limits_the_leaves():
    _, ys, leaves = chain(3)
    loss = mg.sum(ys[2])
    found = backward(viz.draw(loss, grad=loss, wrt=leaves["W"]).scene)
    assert ("cell", "input") not in found and ("cell", "initial") not in found
    w = mg.evaluate(mg.contributions(loss, leaves["W"]))
    np.testing.assert_allclose(norms_of(found["cell", "shared"]), np.sort(rows(w)))
    assert len(found["cell", "cell"]) == 2


@pytest.mark.parametrize("n", [7, 20, 200])
def test_elision_accounts_for_every_step(n):
    _, ys, _ = chain(n)
    loss = mg.sum(ys[n - 1])
    scene = viz.draw(loss, grad=loss, max_steps=7).scene
    boxes = [node for node in scene.nodes if node.kind == "elided"]
    assert len(cells(scene)) + sum(b.count for b in boxes) == n
    assert len(cells(scene)) == 7 and len(boxes) == (n > 7)
    full = viz.draw(loss, grad=loss, max_steps=None).scene
    kept = norms_of(backward(scene)["cell", "input"])
    everything = norms_of(backward(full)["cell", "input"])
    assert all(np.isclose(everything, value, rtol=1e-9, atol=0).any() for value in kept)


def test_many_sequences_and_big_trees_are_elided():
    scene = viz.draw(mg.sum(chain([4] * 30)[1])).scene
    boxes = [n for n in scene.nodes if n.kind == "elided"]
    assert len(cells(scene)) + sum(b.count for b in boxes) == 120
    forest = [[]] + [[k - 1] if k % 2 else [k - 1, None] for k in range(1, 90)]
    scene = viz.draw(mg.Structure.forest(forest, slots=2), "tree", max_steps=20).scene
    assert sum(n.count for n in scene.nodes) == 90


def test_the_folded_view_has_one_cell_and_its_loops():
    for structure, delays in ((mg.Structure.forest(FOREST), 2), (mg.Structure.grid((3, 3)), 2)):
        loss = mg.sum(slots(structure)[1])
        scene = viz.draw(loss, "folded", grad=loss).scene
        assert len(cells(scene)) == 1
        assert [n.label for n in scene.nodes if n.kind == "delay"] == ["left", "right"][:delays]
    scene = viz.draw(chain(5, lstm)[1], "folded").scene
    assert [n.label for n in scene.nodes if n.kind == "delay"] == ["1 step"]
    assert {n.kind for n in scene.nodes} >= {"cell", "input", "initial", "shared", "output"}


def test_the_ops_view_has_every_op():
    rng = np.random.default_rng(0)
    x, w = leaf(rng, 4, 3, name="x"), leaf(rng, 3, name="w")
    z = x @ w
    loss = mg.sum(z * z + mg.tanh(z)).named("L")
    scene = viz.draw(loss, "ops", grad=loss).scene
    assert sorted(n.label for n in scene.nodes if n.kind == "op") == sorted(
        ["matmul", "×", "tanh", "+", "Σ"]
    )
    forward = [e for e in scene.edges if e.kind == "forward"]
    assert len(forward) == 2 + 1 + 1 + 2 + 1 + 1  # z * z is one arrow; the last is into the loss
    label = {n.id: n.label for n in scene.nodes}
    found = {label[e.target]: e.norm for e in scene.edges if e.kind == "backward"}
    for t in (x, w):
        np.testing.assert_allclose(found[t.name], np.linalg.norm(mg.evaluate(mg.grad(loss, t))))
    # Without a recurrence there is nothing to unfold: the same picture.
    assert viz.draw(loss, grad=loss).scene == scene


def test_gradients_pass_hidden_broadcasts():
    rng = np.random.default_rng(0)
    x, b = leaf(rng, 4, 3, name="x"), leaf(rng, 3, name="b")
    loss = mg.sum(mg.square(x + b))
    scene = viz.draw(loss, "ops", grad=loss).scene
    (into,) = (e for e in scene.edges if e.kind == "backward" and scene.node(e.target).label == "b")
    np.testing.assert_allclose(into.norm, np.linalg.norm(mg.evaluate(mg.grad(loss, b))))


def test_the_ops_view_frames_a_cell():
    _, ys, _ = chain(3, lstm)
    loss = mg.sum(ys)
    scene = viz.draw(loss, "ops").scene
    (frame,) = scene.clusters
    assert frame.framed and frame.label == "lstm"
    inside = [n for n in scene.nodes if n.lane == frame.id]
    assert sum(n.label == "σ" for n in inside) == 3 and sum(n.label == "tanh" for n in inside) == 2


def test_words_are_written_at_the_leaves():
    recurrent = pytest.importorskip("recurrent")
    text = "(3 (2 It) (4 (2 is) (3 good)))"
    scene = viz.draw(text, "tree").scene
    assert sorted(n.label for n in scene.nodes) == ["3", "4", "It", "good", "is"]
    cell = recurrent.TreeLSTM(3, 2)
    params = {k: mg.asarray(v, name=k) for k, v in cell.init(0).items()}
    xs = leaf(np.random.default_rng(0), 3, 3, name="words")
    _, ys = recurrent.fold(cell, params, text, xs)
    loss = mg.sum(ys[-1])
    scene = viz.draw(loss, grad=loss, labels=text).scene
    assert sorted(n.label for n in scene.nodes if n.kind == "input") == ["It", "good", "is"]
    grads = rows(mg.evaluate(mg.grad(loss, xs)))
    np.testing.assert_allclose(norms_of(backward(scene)["cell", "input"]), np.sort(grads))


def test_what_is_in_the_scene_is_in_the_svg():
    if render.engine() is None:
        pytest.skip("no Graphviz: neither neato on PATH nor the pygraphviz wheel")
    _, ys, _ = chain([5, 3], lstm)
    loss = mg.sum(ys[4])
    for view in viz.draw.__globals__["VIEWS"]:
        drawing = viz.draw([ys, loss], view, grad=loss)
        root = ET.fromstring(drawing.svg)
        for kind in {n.kind for n in drawing.scene.nodes} - {"shared", "elided"}:
            assert render.count(root, kind) == len(drawing.scene.of_kind(kind))
        for kind in {e.kind for e in drawing.scene.edges}:
            assert render.count(root, kind) == len(drawing.scene.of_kind(kind))
        ids = {g.get("id") for g in root.iter(f"{render.SVG}g")}
        assert ids >= {n.id for n in drawing.scene.nodes} | {e.id for e in drawing.scene.edges}


def test_five_hundred_steps_are_drawn_in_one_run():
    if render.engine() is None:
        pytest.skip("no Graphviz: neither neato on PATH nor the pygraphviz wheel")
    _, ys, _ = chain(500)
    loss = mg.sum(ys[499])
    drawing = viz.draw(loss, grad=loss, max_steps=None)
    assert render.count(ET.fromstring(drawing.svg), "cell") == 500


GROWING = {
    "layers": lambda n: chain(n, inputs=mg.tanh(chain(n, seed=1)[1]))[1],
    "losses at every step": lambda n: chain(n, lstm)[1],
    "tree": lambda n: slots(
        mg.Structure.forest([[2 * k + 1, 2 * k + 2] if 2 * k + 2 < n else [] for k in range(n)])
    )[1],
    "dag": lambda n: slots(
        mg.Structure.edges(
            n, np.repeat(np.arange(n - 2), 2), np.arange(n - 2).repeat(2) + [1, 2] * (n - 2),
            [0, 1] * (n - 2),
        )
    )[1],
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("made", GROWING.values(), ids=GROWING)
def test_work_grows_no_faster_than_the_steps(made):
    """Calls of ours are counted, which no busy machine changes."""

    def calls(steps):
        loss = mg.sum(mg.square(made(steps)))
        count = 0

        def on_event(frame, event, _):
            nonlocal count
            ours = frame.f_globals.get("__name__", "").startswith("viz.")
            count += event == "call" and ours

        before = sys.getprofile()
        sys.setprofile(on_event)
        try:
            assert viz.draw(loss, grad=loss, max_steps=None).dot
        finally:
            sys.setprofile(before)
        return count

    assert calls(120) < 4.6 * calls(30)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda y, s: viz.draw(y, "sideways"), ValueError, "folded, unfolded, ops, tree"),
        (lambda y, s: viz.draw(y, grad=y), ValueError, "one scalar"),
        (lambda y, s: viz.draw(y, grad=1.0), TypeError, "Tensor"),
        (lambda y, s: viz.draw(np.zeros(3)), TypeError, "mg.tensors"),
        (lambda y, s: viz.draw([]), ValueError, "no Tensor"),
        (lambda y, s: viz.draw(y, max_steps=1), ValueError, "at least 3"),
        (lambda y, s: viz.draw(mg.asarray(1.0) + 1, "tree"), ValueError, "there is none"),
    ],
)
def test_errors_say_what_to_do(call, error, message):
    _, ys, _ = chain(3)
    with pytest.raises(error, match=message):
        call(ys, mg.sum(ys))


def test_importing_viz_loads_no_drawing_library():
    heavy = ("pygraphviz", "matplotlib", "numba")
    code = f"import sys, viz; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
