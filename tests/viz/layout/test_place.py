"""Layouts: nothing overlaps, everything has a place, trees stand on their words."""

import math

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from viz.layout.place import place

from ..graphs import FOREST, chain, lstm, slots


def overlaps(a, b):
    return abs(a.x - b.x) < (a.w + b.w) / 2 - 0.01 and abs(a.y - b.y) < (a.h + b.h) / 2 - 0.01


def drawings():
    states, ys, _ = chain([5, 2, 4], lstm)
    yield viz.draw([ys, mg.sum(ys[4])], grad=mg.sum(ys[4]))
    yield viz.draw(mg.sum(chain(30)[1]), max_steps=5)
    below = chain(4, seed=1)[1]
    yield viz.draw(mg.sum(chain(4, inputs=below)[1]))
    for structure in (mg.Structure.forest(FOREST), mg.Structure.grid((3, 4))):
        loss = mg.sum(slots(structure)[1])
        for view in ("unfolded", "folded", "ops", "tree"):
            yield viz.draw(loss, view, grad=loss)


@pytest.mark.parametrize("drawing", list(drawings()), ids=lambda d: d.scene.view)
def test_boxes_do_not_overlap_and_everything_is_placed(drawing):
    scene, layout = drawing.scene, drawing.layout
    assert set(layout.boxes) == {n.id for n in scene.nodes}
    assert set(layout.paths) == {e.id for e in scene.edges}
    boxes = list(layout.boxes.values())
    for k, a in enumerate(boxes):
        assert not any(overlaps(a, b) for b in boxes[k + 1 :])
    for path in layout.paths.values():
        assert all(math.isfinite(v) for point in path.points for v in point)


def test_time_runs_to_the_right_and_layers_upwards():
    below = chain(4, seed=1)[1]
    drawing = viz.draw(chain(4, inputs=below)[1])
    boxes = drawing.layout.boxes
    lanes = {}
    for n in drawing.scene.nodes:
        if n.kind == "cell":
            lanes.setdefault(n.lane, []).append(boxes[n.id])
    first, second = lanes.values()
    assert [b.x for b in first] == sorted(b.x for b in first) == [b.x for b in second]
    assert max(b.y for b in first) < min(b.y for b in second)


def several_nets():
    """Graphs of recurrences side by side, in series, and past each other."""
    xs = np.random.default_rng(0).standard_normal((4, 2))

    def run(cell, xs):
        return rc.unroll(cell, mg.tensors(cell.init(0)), xs)[1]

    both = rc.bidirectional(rc.GRU(2, 3), rc.LSTM(2, 3))
    yield "both directions", mg.sum(both(mg.tensors(both.init(0)), xs)[1])
    h = run(rc.RNN(2, 3), xs)
    g = run(rc.LSTM(3, 3), h)
    yield "in series", mg.sum(run(rc.GRU(3, 2), g))
    yield "past a net", mg.sum(g) + mg.sum(h)
    yield "past two", mg.sum(run(rc.GRU(3, 2), g)) + mg.sum(h) + mg.sum(run(rc.GRU(3, 2), h))


@pytest.mark.parametrize("loss", [pytest.param(t, id=name) for name, t in several_nets()])
def test_folded_nets_do_not_read_as_a_series(loss):
    """No way runs behind the box of a net that it has nothing to do with."""
    drawing = viz.draw(loss, view="folded", grad=loss)
    boxes = drawing.layout.boxes
    cells = [n.id for n in drawing.scene.nodes if n.kind == "cell"]
    for edge in drawing.scene.edges:
        points = np.array(list(sampled(drawing.layout.paths[edge.id].points)))
        for cell in cells:
            if cell not in (edge.source, edge.target):
                at = np.abs(points - [boxes[cell].x, boxes[cell].y])
                assert not (at < [boxes[cell].w / 2, boxes[cell].h / 2]).all(axis=1).any()


def sampled(points):
    """Points of a piecewise cubic: a start, then three for each piece."""
    for k in range(0, len(points) - 1, 3):
        a, b, c, d = (np.array(p) for p in points[k : k + 4])
        for t in np.linspace(0, 1, 20):
            yield a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3


def test_trees_stand_on_their_leaves():
    drawing = viz.draw(mg.Structure.forest(FOREST), "tree")
    boxes, nodes = drawing.layout.boxes, drawing.scene.nodes
    for lane in {n.lane for n in nodes}:
        leaves = {boxes[n.id].y for n in nodes if n.lane == lane and n.level == 0}
        assert len(leaves) == 1
    for e in drawing.scene.edges:
        assert boxes[e.source].y < boxes[e.target].y


def test_many_steps_are_placed_quickly():
    drawing = viz.draw(mg.sum(chain(500)[1]), max_steps=None)
    assert len(place(drawing.scene).boxes) == len(drawing.scene.nodes)
