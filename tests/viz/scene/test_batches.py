"""Batches: some sequences in full, the others as strips.  Wide structures: a column a node."""

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

from ..graphs import chain, lstm, rnn, slots


def norms(value):
    value = np.asarray(value)
    return np.sqrt((value.reshape(len(value), -1) ** 2).sum(axis=1))


def strips(scene):
    return {t.label: t.strip for t in scene.tracks if t.label.startswith("sequence ")}


@settings(max_examples=examples(10), deadline=None)
@example([0, 3, 0, 2, 1, 4, 5], 1, True)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9).filter(any), st.integers(1, 4),
    st.booleans(),
)  # fmt: skip
def test_each_further_sequence_is_a_strip_of_its_states_gradient(lengths, full, reverse):
    states, ys, leaves = chain(lengths, rnn, reverse=reverse)
    loss = mg.sum(mg.square(ys - 0.3)).named("L")
    scene = viz.draw(loss, grad=loss, sequences=full).scene
    there = [k for k, n in enumerate(lengths) if n]
    total, ends = norms(mg.state_gradients(loss, states)), np.cumsum([0, *lengths])
    found = strips(scene)
    assert list(found) == [f"sequence {k + 1}" for k in there[full:]]
    for k in there[full:]:
        np.testing.assert_allclose(found[f"sequence {k + 1}"], total[ends[k] : ends[k + 1]])
    cells = [n for n in scene.nodes if n.kind == "cell"]
    boxes = [n for n in scene.nodes if n.kind == "elided"]
    assert len(cells) == sum(lengths[k] for k in there[:full])
    assert sum(n.count for n in boxes) == sum(lengths) - len(cells)
    for track in scene.tracks:
        if track.head:  # nothing of a parameter is lost
            terms = norms(mg.contributions(loss, leaves[track.label]))
            assert sum(use.norm for use in track.uses) == pytest.approx(terms.sum(), rel=1e-9)


def test_many_sequences_have_one_in_full_where_there_is_a_gradient():
    _, ys, _ = chain([4] * 6, lstm)
    loss = mg.sum(mg.square(ys)).named("L")
    assert len(strips(viz.draw(loss, grad=loss).scene)) == 5
    assert not strips(viz.draw(loss, grad=loss, max_steps=None).scene)  # all was asked for
    _, few, _ = chain([4] * 5)
    few = mg.sum(few)
    assert not strips(viz.draw(few, grad=few).scene)
    without = viz.draw(loss).scene
    assert not without.tracks and sum(n.kind == "cell" for n in without.nodes) == 20
    _, many, _ = chain([1] * 60)
    many = mg.sum(many)
    scene = viz.draw(many, grad=many).scene
    assert len(strips(scene)) == 40 and "19 more sequences have no strip" in scene.notes[0]


def test_the_strips_of_two_nets_are_told_apart():
    rng = np.random.default_rng(0)
    below, above = rc.RNN(2, 3), rc.GRU(3, 2)
    _, hs = rc.unroll(below, mg.tensors(below.init(0)), rng.standard_normal((3, 2, 2)))
    _, ys = rc.unroll(above, mg.tensors(above.init(0)), hs)
    loss = mg.sum(ys**2)
    tracks = viz.draw(loss, grad=loss, sequences=1).scene.tracks
    groups = [t.group for t in tracks if t.label == "sequence 2"]
    assert groups == [f"{net}: states of the further sequences" for net in ("RNN", "GRU")]


WIDE = {
    "grid": mg.Structure.grid((6, 7)),
    "dag": mg.Structure.edges(
        40, [*range(39), 0], [*range(1, 40), 39], [*[0] * 39, 1]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ["grid", "dag"])
def test_wide_structures_have_a_column_a_node(name):
    structure = WIDE[name]
    _, ys, leaves = slots(structure)
    loss = mg.sum(mg.square(ys)).named("L")
    scene = viz.draw(loss, grad=loss, max_steps=None).scene
    assert sorted(t.label for t in scene.tracks) == ["L", "R", "W"]
    for track in scene.tracks:
        terms = norms(mg.contributions(loss, leaves[track.label]))
        np.testing.assert_allclose(track.strip, terms, rtol=1e-7, atol=1e-12)
        assert track.norm == pytest.approx(np.linalg.norm(mg.grad(loss, leaves[track.label])))
        assert track.together == pytest.approx(terms.sum(), rel=1e-9) and track.columns == "node"


def test_wide_trees_too_also_where_subtrees_are_left_out():
    # 0 a leaf; then a leaf and its parent with the tree so far, in turn
    tree = [[], *(kids for k in range(1, 80, 2) for kids in ([], [k - 1, k]))]
    structure = mg.Structure.forest(tree, slots=2)
    _, ys, leaves = slots(structure)
    loss = mg.sum(mg.square(ys)).named("L")
    for most in (None, 50):
        scene = viz.draw(loss, grad=loss, max_steps=most, measure="saturation").scene
        assert sum(n.count for n in scene.nodes if n.kind in ("cell", "elided")) == 81
        (track,) = (t for t in scene.tracks if t.label == "W")
        terms = norms(mg.contributions(loss, leaves["W"]))
        np.testing.assert_allclose(track.strip, terms, rtol=1e-7, atol=1e-12)
        assert [len(t.strip) for t in scene.measures] == [81]


@pytest.mark.long
@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
def test_strips_of_steps_and_of_nodes_stand_apart_and_share_no_id():
    """A sequence of 80 steps beside a grid of 42 nodes."""
    _, ys, _ = chain(80)
    _, zs, _ = slots(WIDE["grid"], seed=1)
    loss = mg.sum(mg.square(ys)) + mg.sum(mg.square(zs))
    drawing = viz.draw(loss, grad=loss, max_steps=None)
    assert {t.columns for t in drawing.scene.tracks} == {"t", "node"}
    texts = [mark.text for mark in drawing.layout.marks]
    assert "t = 1" in texts and "node 1" in texts
    ids = re.findall(r'\bid="([^"]+)"', drawing.svg)
    assert len(set(ids)) == len(ids)
    for one, other in _pairs([t.box for t in drawing.layout.tiles if t.kind == "strip"]):
        assert (
            min(one.right, other.right) - max(one.left, other.left) < 0.1
            or min(one.top, other.top) - max(one.bottom, other.bottom) < 0.1
        )


def _pairs(boxes):
    return [(a, b) for k, a in enumerate(boxes) for b in boxes[:k]]


def test_strips_stand_below_the_steps_that_they_are_of():
    _, ys, _ = chain([6, 4, 5])
    loss = mg.sum(mg.square(ys)).named("L")
    drawing = viz.draw(loss, grad=loss, sequences=1)
    xs = sorted(drawing.layout.boxes[n.id].x for n in drawing.scene.nodes if n.kind == "cell")
    strip = next(t for t in drawing.layout.tiles if t.kind == "strip")
    each = strip.box.w / len(strip.norms)
    centres = [strip.box.left + each * (k + 0.5) for k in range(len(strip.norms))]
    np.testing.assert_allclose(centres, xs[: len(centres)], atol=0.6)


@pytest.mark.parametrize("lengths", [[0, 70, 3], [3, 0, 70]])
def test_long_strips_of_one_sequence_are_of_the_first_that_has_steps_and_say_so(lengths):
    """Of an empty first sequence there were rows with nothing in them."""
    states, ys, _ = chain(lengths)
    loss = mg.sum(mg.square(ys)).named("L")
    scene = viz.draw(loss, grad=loss, measure=["saturation", "singular"]).scene
    first = next(k for k, n in enumerate(lengths) if n)
    rows = range(sum(lengths[:first]), sum(lengths[: first + 1]))
    (state,) = (t for t in scene.tracks if t.label == f"state h, sequence {first + 1}")
    total = norms(mg.state_gradients(loss, states))
    np.testing.assert_allclose(state.strip, total[rows], rtol=1e-9)
    flat = (np.abs(ys.numpy()) > 0.9).mean(axis=1)
    (share,) = (t for t in scene.measures if t.kind == "saturation")
    np.testing.assert_allclose(share.strip, flat[rows])
    assert all(len(t.strip) == len(rows) for t in scene.measures)
    assert all(t.group.endswith(f", sequence {first + 1}") for t in scene.measures)


def test_trees_are_elided_as_ever_where_a_number_of_sequences_is_given():
    """A forest of eight was then drawn in full."""
    trees = [kids for k in range(0, 24, 3) for kids in ([], [], [k, k + 1])]
    _, ys, _ = slots(mg.Structure.forest(trees))
    whole = viz.draw(ys).scene
    assert viz.draw(ys, sequences=1).scene == whole == viz.draw(ys, sequences=7).scene
    assert [n.count for n in whole.nodes if n.kind == "elided"] == [9]


def test_wrong_numbers_of_sequences_are_refused():
    _, ys, _ = chain([2, 2])
    for given_, kind, text in [
        ({"sequences": 0}, ValueError, "^draw: sequences must be at least 1"),
        ({"sequences": "all"}, TypeError, "^draw: sequences must be a whole number"),
        ({"sequences": True}, TypeError, "whole number"),
        ({"sequences": 1, "view": "ops"}, ValueError, 'for view="unfolded", not for the ops view'),
    ]:
        with pytest.raises(kind, match=text):
            viz.draw(ys, **given_)
