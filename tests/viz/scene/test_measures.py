"""Measures under the steps: each number is that of a public call, on random nets."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from tests.counting import examples
from viz.out.render import engine
from viz.scene.style import contrast, ink_on, luminance, shade

from ..graphs import ENTRIES, chain, drawn_by, rnn

CELLS = {"RNN": rc.RNN, "LSTM": rc.LSTM, "GRU": rc.GRU}


def measured(ys, what, **more):
    return {t.label: t for t in viz.draw(ys, measure=what, **more).scene.measures}


def spectra(track, scene):
    """(steps, S) of a row, in the order of time."""
    column = {n.id: n.column for n in scene.nodes}
    return np.array([u.values for u in sorted(track.uses, key=lambda u: column[u.at])])


@settings(max_examples=examples(10), deadline=None)
@example("LSTM", 5, 3, 0)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_singular_values_are_those_of_propagation(name, steps, size, seed):
    cell, rng = CELLS[name](2, size), np.random.default_rng(seed)
    p = {k: v * 3 for k, v in cell.init(seed).items()}
    xs = rng.standard_normal((steps, 2))
    _, ys = rc.unroll(cell, mg.tensors(p), mg.asarray(xs, name="x"))
    scene = viz.draw(ys, measure="singular").scene
    wanted = rc.study.propagation(cell, p, xs).singular_values[:, 0]
    found = spectra(scene.measures[0], scene)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12 * wanted.max())
    by = {t.label: [u.norm for u in t.uses] for t in scene.measures}
    if wanted.shape[1] > 1:
        np.testing.assert_allclose(by["largest"], wanted[:, 0], rtol=1e-9)
        np.testing.assert_allclose(by["smallest"], wanted[:, -1], rtol=1e-6, atol=1e-12)
    else:
        assert list(by) == ["the only one"]


def test_each_sequence_has_its_own_and_the_first_step_starts_from_the_given_state():
    """A ragged batch, in reverse, from a state that is given."""
    rng = np.random.default_rng(0)
    cell = rc.GRU(2, 3)
    p = cell.init(0)
    lengths, rows = [3, 0, 2], rng.standard_normal((5, 2))
    start = rng.standard_normal((3, 3))
    padded = np.zeros((3, 3, 2))
    padded[:3, 0], padded[:2, 2] = rows[:3], rows[3:]
    _, ys = rc.unroll(cell, mg.tensors(p), padded, carry=start, lengths=lengths)
    scene = viz.draw(ys, measure="singular").scene
    lane = {n.id: n.lane for n in scene.nodes}
    track = scene.measures[0]
    for k, cut in ((0, slice(0, 3)), (2, slice(3, 5))):
        wanted = rc.study.propagation(cell, p, rows[cut], start[k : k + 1]).singular_values[:, 0]
        lanes = sorted(set(lane.values()) - {None})
        own = [u.values for u in track.uses if lane[u.at] == lanes[0 if k == 0 else -1]]
        np.testing.assert_allclose(own, wanted, rtol=1e-9, atol=1e-12)


def test_a_loop_of_calls_has_the_same_as_the_recurrence():
    cell = rc.LSTM(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, mg.asarray(np.random.default_rng(0).standard_normal((4, 2))))
    whole = viz.draw(ys, measure=["singular", "saturation"]).scene
    calls = viz.draw(mg.unfold(ys), measure=["singular", "saturation"]).scene
    for a, b in zip(whole.measures, calls.measures, strict=True):
        assert (a.label, a.kind) == (b.label, b.kind)
        np.testing.assert_allclose([u.norm for u in a.uses], [u.norm for u in b.uses], rtol=1e-9)


def test_trees_have_a_spectrum_for_each_slot():
    cell, text = rc.TreeLSTM(3, 2), "(3 (2 It) (4 (2 is) (3 good)))"
    p, xs = cell.init(0), np.random.default_rng(0).standard_normal((3, 3))
    _, ys = rc.fold(cell, mg.tensors(p), text, mg.asarray(xs))
    scene = viz.draw(ys, measure="singular").scene
    tree = rc.study.propagation(cell, p, xs, trees=text)
    s = tree.structure
    cells = [n.id for n in scene.nodes if n.kind == "cell"]
    for slot, side in enumerate(("left", "right")):
        track = next(t for t in scene.measures if t.label == f"largest, {side}")
        edges = np.flatnonzero(s.slot == slot)
        wanted = {int(s.dst[e]): np.linalg.svd(tree.jacobians[e])[1] for e in edges}
        found = {cells.index(u.at): u.values for u in track.uses}
        assert found.keys() == wanted.keys()
        for node, values in found.items():
            np.testing.assert_allclose(values, wanted[node], rtol=1e-9, atol=1e-12)


@settings(max_examples=examples(10), deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.floats(0.1, 30))
def test_saturation_is_counted_unit_by_unit(lengths, size):
    rng = np.random.default_rng(0)
    cell = rc.LSTM(2, 5)
    p = mg.tensors({k: v * size for k, v in cell.init(0).items()})
    xs = mg.asarray(rng.standard_normal((max(lengths), len(lengths), 2)))
    _, ys = rc.unroll(cell, p, xs, lengths=lengths)
    scene = viz.draw(ys, measure="saturation", max_steps=None).scene
    lanes = {n.id: (n.lane, n.column) for n in scene.nodes}
    order = sorted({lane for lane, _ in lanes.values() if lane})
    for track in scene.measures:
        if track.label == "tanh":
            continue  # of c, which has no name
        value = mg.interior(ys, track.label).numpy()
        low, high = (-0.9, 0.9) if track.label == "g" else (0.1, 0.9)
        assert len(track.uses) == sum(lengths)
        for use in track.uses:
            lane, step = lanes[use.at]
            here = value[step, order.index(lane)]
            assert use.values == ((here < low).mean(), (here > high).mean())
            assert use.norm == sum(use.values)
    assert [t.label for t in scene.measures] == ["o", "f", "i", "g", "tanh"]


def test_relus_that_are_off_and_states_without_a_name():
    def cell(p, h, x):
        h = mg.relu(h @ p["U"] + x)
        return h, mg.erf(h)

    xs = np.array([[1.0, -1.0], [-9.0, -9.0], [3.0, 3.0]])
    _, ys = rc.unroll(cell, mg.tensors({"U": np.eye(2)}), xs, carry=np.zeros(2))
    found = measured(ys, "saturation")
    assert [u.norm for u in found["h"].uses] == [0.5, 1.0, 0.0]
    assert [u.norm for u in found["erf"].uses] == [0.0, 0.0, 1.0]
    _, hs, _ = chain(2, rnn)
    assert list(measured(hs, "saturation")) == ["h"]


def test_what_is_left_out_has_the_mean_of_its_saturation():
    _, ys, _ = chain(20, rnn)
    full = measured(ys, "saturation", max_steps=None)["h"].uses
    short = measured(ys, ["saturation", "singular"], max_steps=5)
    (box,) = (u for u in short["h"].uses if u.count > 1)
    assert box.count == 15
    assert box.norm == pytest.approx(np.mean([u.norm for u in full[3:18]]))
    assert len(short["largest"].uses) == 5  # no Jacobian of a step that is not drawn


def test_long_sequences_have_strips():
    cell, rng = rc.RNN(1, 2), np.random.default_rng(0)
    xs = rng.standard_normal((90, 1))
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), xs)
    found = measured(ys, ["saturation", "singular"])
    wanted = rc.study.propagation(cell, cell.init(0), xs).singular_values[:, 0]
    np.testing.assert_allclose(found["largest"].strip, wanted[:, 0], rtol=1e-9)
    assert len(found["h"].strip) == 90 and not found["h"].uses


@pytest.mark.parametrize(("steps", "edges"), [(90, 1), (5000, 0)])
def test_white_strips_have_an_edge_where_it_covers_no_column(steps, edges):
    """No unit is saturated: the row looked as if there was nothing."""
    cell = rc.RNN(1, 2)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), np.zeros((steps, 1)))
    dot = viz.draw(ys, measure="saturation").dot
    (white,) = re.findall(r'.*id="y0s0".*', dot)
    assert 'fillcolor="#ffffff"' in white and "penwidth=0.6" in white
    xs = np.where(np.arange(steps) % 2, 9.0, 0.0)[:, None]
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), xs)
    (mixed,) = re.findall(r'.*id="y0s0".*', viz.draw(ys, measure="saturation").dot)
    assert "striped" in mixed and ("penwidth=0.6" in mixed) == edges


def test_nan_is_nan_where_it_is():
    cell = rc.RNN(1, 2)
    xs = np.array([[0.0], [np.nan], [0.0]])
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), xs)
    found = measured(ys, ["saturation", "singular"])
    for label in ("h", "largest"):
        assert [np.isnan(u.norm) for u in found[label].uses] == [False, True, True]


def test_what_cannot_be_measured_is_noted(monkeypatch):
    _, ys, _ = chain(3)
    monkeypatch.setattr("viz.scene.measures.MOST_NUMBERS", 5)
    scene = viz.draw(ys, measure="singular").scene
    assert not scene.measures and "3 Jacobians of 4 numbers are more than 5" in scene.notes[0]

    def linear(p, h, x):
        return h @ p + x, h

    _, ys = rc.unroll(linear, mg.asarray(np.eye(2)), np.ones((3, 2)), carry=np.zeros(2))
    assert "nothing that could be saturated" in viz.draw(ys, measure="saturation").scene.notes[0]


def test_wrong_measures_are_refused():
    _, ys, _ = chain(3)
    x = mg.asarray(np.ones(3))
    for outputs, given_, kind, text in [
        (ys, {"measure": "entropy"}, ValueError, "unknown measure 'entropy'.*'saturation', 'sing"),
        (ys, {"measure": 3}, TypeError, "measure must be text"),
        (ys, {"measure": "singular", "view": "folded"}, ValueError, 'for view="unfolded"'),
        (mg.sum(x), {"measure": "singular"}, ValueError, "steps of a recurrence"),
    ]:
        with pytest.raises(kind, match=text):
            viz.draw(outputs, **given_)
    symbol = mg.symbol("x", (3, 1))
    cell = rc.RNN(1, 2)
    _, hs = rc.unroll(cell, mg.tensors(cell.init(0)), symbol)
    with pytest.raises(ValueError, match="measures need values, but x is"):
        viz.draw(hs, measure="singular")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_every_architecture_can_be_measured(entry, monkeypatch):
    outputs = drawn_by(entry, monkeypatch)
    scene = viz.draw(outputs, max_steps=4).scene if outputs else None
    if scene is None or not any(n.kind == "cell" for n in scene.nodes):
        pytest.skip("no recurrence")
    made = viz.draw(outputs, max_steps=4, measure=["saturation", "singular"]).scene
    assert made.measures or made.notes
    assert (made.nodes, made.edges, made.tracks) == (scene.nodes, scene.edges, scene.tracks)
    for track in made.measures:
        sizes = [u.norm for u in track.uses] + [v for v in track.strip if v is not None]
        top = 1 if track.kind == "saturation" else np.inf
        assert all(0 <= size <= top + 1e-12 for size in sizes)
        assert track.group and track.label


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
def test_measures_are_drawn_compared_and_animated():
    _, ys, _ = chain(4)
    loss = mg.sum(mg.square(ys)).named("L")
    one = viz.draw(loss, grad=loss, measure="singular")
    text = one.svg
    for track in one.scene.measures:
        assert all(f'id="{use.id}"' in text for use in track.uses)
    assert viz.draw(loss, grad=loss).scene.legend.norms == one.scene.legend.norms
    both = viz.compare(one, one, names=["a", "b"])
    assert len(both.scene.measures) == 2 * len(one.scene.measures) and both.svg
    played = viz.animate(loss, grad=loss, measure="singular")
    assert all(f.drawing.scene.measures == one.scene.measures for f in played.frames)
    assert played.svg and "singular values of the step Jacobian, largest: " in one.summary()


def shades(drawing):
    """{label and column: fill} of the boxes that are shaded, from the DOT text."""
    found = {}
    for n in drawing.scene.nodes:
        if n.kind in ("cell", "input", "initial"):
            (line,) = re.findall(rf"^{n.id} \[.*$", drawing.dot, re.M)
            found[n.id] = re.search(r'fillcolor="(#\w+)"', line)[1]
    return found


def test_sensitivity_shades_boxes_by_their_gradient():
    states, ys, leaves = chain(4)
    loss = mg.sum(mg.square(ys[2])).named("L")
    drawing = viz.draw(loss, grad=loss, measure="sensitivity")
    scene = drawing.scene
    plain = viz.draw(loss, grad=loss).scene
    assert (scene.nodes, scene.edges, scene.tracks) == (plain.nodes, plain.edges, plain.tracks)
    norms = {n.id: n.norm for n in scene.nodes}
    by_kind = {kind: [n.norm for n in scene.nodes if n.kind == kind] for kind in ("cell", "input")}
    sizes = np.sqrt((mg.state_gradients(loss, states).numpy() ** 2).sum(axis=1))
    np.testing.assert_allclose(by_kind["cell"], sizes, rtol=1e-9)
    inputs = np.sqrt((mg.grad(loss, leaves["x"]).numpy() ** 2).sum(axis=1))
    # An input that nothing comes back to has no norm, as in every drawing.
    found = [norm or 0.0 for norm in by_kind["input"]]
    np.testing.assert_allclose(found, inputs, rtol=1e-9)
    fills = shades(drawing)
    known = [n for n in norms if n in fills and norms[n]]
    order = sorted(known, key=lambda n: norms[n])
    light = [luminance(fills[n]) for n in order]
    assert light == sorted(light, reverse=True) and light[0] > 0.9 and light[-1] < 0.5
    assert scene.shading.norms[0] == max(norms[n] for n in known)
    assert scene.shading.norms[-1] == min(norms[n] for n in known)
    assert all(contrast(fill, "#1f2937") >= 4.5 for fill in fills.values())
    with pytest.raises(ValueError, match='^draw: measure="sensitivity" .* give grad'):
        viz.draw(loss, measure="sensitivity")


def test_shades_have_one_scale_where_drawings_are_compared_and_come_in_their_turn():
    _, ys, _ = chain(4)
    small = mg.sum(mg.square(ys[3])).named("L")
    drawings = [
        viz.draw(t, grad=t, measure="sensitivity") for t in (small, (100 * small).named("L"))
    ]
    both = viz.compare(*drawings, names=["one", "hundred"])
    ends = [d.scene.shading.norms for d in drawings]
    assert both.scene.shading.norms[0] == ends[1][0] and both.scene.shading.norms[-1] == ends[0][-1]
    assert [kind for kind, _ in both.scene.legend.keys].count("sensitivity") == 1
    played = viz.animate(small, grad=small, measure="sensitivity")
    third = played.frames[2].drawing
    turn = {n.id: n.turn for n in third.scene.nodes}
    for id, fill in shades(third).items():
        if turn[id] is not None and turn[id] > 2:
            assert fill == "#ffffff"


@given(st.floats(0, 20), st.sampled_from(["saturation", "singular"]))
def test_what_stands_in_a_square_can_be_read(size, scale):
    fill = shade(size, scale, None)
    assert contrast(fill, ink_on(fill)) >= 4.5


@pytest.mark.long
@settings(max_examples=examples(10), deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3), st.floats(0.1, 30),
    st.sampled_from([None, 1, [1, 2]]),
)  # fmt: skip
def test_the_cell_view_says_the_saturation_of_its_steps(lengths, size, step):
    rng = np.random.default_rng(0)
    cell = rc.LSTM(2, 5)
    p = mg.tensors({k: v * size for k, v in cell.init(0).items()})
    lengths = [max(n, 2) for n in lengths]
    xs = mg.asarray(rng.standard_normal((max(lengths), len(lengths), 2)))
    _, ys = rc.unroll(cell, p, xs, lengths=lengths)
    grad = mg.sum(ys)
    scene = viz.draw(ys, view="cell", grad=grad, measure="saturation", step=step).scene
    nodes = {n.id: n for n in scene.nodes}
    steps = [None] if step is None else np.atleast_1d(step).tolist()
    assert len(scene.measures) == len(steps)
    for track, k in zip(scene.measures, steps, strict=True):
        assert track.group == ("LSTM" if k is None else f"LSTM, step {k}")
        seen = set()
        for use in track.uses:
            name, _, said = nodes[use.at].detail.rpartition(", ")
            assert said == f"{use.norm:.0%} flat"
            assert f"{use.norm:.0%} of its units saturated" in nodes[use.at].tooltip
            seen.add(name)
            if not name:
                continue  # tanh of c
            value = mg.interior(ys, name).numpy()
            inside = np.arange(len(value))[:, None] < np.array(lengths)
            value = value[inside] if k is None else value[k - 1][inside[k - 1]]
            low, high = (-0.9, 0.9) if name == "g" else (0.1, 0.9)
            assert use.values == pytest.approx(((value < low).mean(), (value > high).mean()))
        assert seen == {"i", "f", "g", "o", ""}
    assert [kind for kind, _ in scene.legend.keys] == ["flat"]
    plain = viz.draw(ys, view="cell", grad=grad, step=step).scene
    assert not plain.measures and len(plain.nodes) == len(scene.nodes)


def test_the_cell_view_of_nan_and_of_no_gates():
    x = np.ones((3, 2))
    x[1, 0] = np.nan
    net = rc.GRU(2, 3)
    _, ys = rc.unroll(net, mg.tensors(net.init(0)), mg.asarray(x))
    scene = viz.draw(ys, view="cell", measure="saturation", step=[1, 2]).scene
    nodes = {n.id: n for n in scene.nodes}
    first, second = ([nodes[u.at].detail for u in t.uses] for t in scene.measures)
    assert all(said.endswith("% flat") for said in first)
    assert all(said.endswith("NaN") for said in second)
    _, ys = rc.unroll(lambda p, h, x: (h + x, h), {}, mg.asarray(x), carry=np.zeros(2))
    drawing = viz.draw(ys, view="cell", measure="saturation")
    assert not drawing.scene.measures and drawing.scene.legend is None
    assert "nothing that could be saturated" in " ".join(drawing.scene.notes)


def test_what_the_cell_view_does_not_measure():
    _, ys, _ = chain(3, rnn)
    with pytest.raises(ValueError, match="measure='singular' .* not for the cell view"):
        viz.draw(ys, view="cell", measure=["saturation", "singular"])
    with pytest.raises(ValueError, match="not for the folded view"):
        viz.draw(ys, view="folded", measure="saturation")
    net = rc.RNN(2, 3)
    _, hs = rc.unroll(net, mg.tensors(net.init(0)), mg.symbol("x", (3, 2)))
    with pytest.raises(ValueError, match="x is a placeholder without one"):
        viz.draw(hs, view="cell", measure="saturation")
