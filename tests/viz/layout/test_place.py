"""Layouts: nothing overlaps, everything has a place, trees stand on their words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import viz
from viz.layout.geometry import Box, Path, around, rounded, straight
from viz.layout.layered import layered
from viz.layout.place import place
from viz.layout.tidy_tree import tidy_tree

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


def test_trees_stand_on_their_leaves():
    drawing = viz.draw(mg.Structure.forest(FOREST), "tree")
    boxes, nodes = drawing.layout.boxes, drawing.scene.nodes
    for lane in {n.lane for n in nodes}:
        leaves = {boxes[n.id].y for n in nodes if n.lane == lane and n.level == 0}
        assert len(leaves) == 1
    for e in drawing.scene.edges:
        assert boxes[e.source].y < boxes[e.target].y


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_any_tree_is_laid_out_without_overlap(seed, n):
    rng = np.random.default_rng(seed)
    parent = [int(rng.integers(k)) for k in range(1, n)]
    children, depth = {}, [0] * n
    for k, p in enumerate(parent, 1):
        children.setdefault(str(p), []).append(str(k))
        depth[k] = depth[p] + 1
    deepest = max(depth)
    level = {str(k): deepest - d for k, d in enumerate(depth)}
    half = {str(k): tuple(rng.uniform(5, 30, 2)) for k in range(n)}
    x = tidy_tree(["0"], children, level, half, 4.0)
    for at in set(level.values()):
        row = sorted((x[k] - half[k][0], x[k] + half[k][1]) for k in x if level[k] == at)
        assert all(a[1] < b[0] for a, b in zip(row, row[1:], strict=False))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_any_dag_is_laid_out_without_overlap(seed, n):
    rng = np.random.default_rng(seed)
    sizes = {str(k): tuple(rng.uniform(10, 60, 2)) for k in range(n)}
    pairs = [(str(a), str(b)) for b in range(n) for a in range(b) if rng.random() < 0.15]
    placed = layered(sizes, pairs)
    boxes = list(placed.boxes.values())
    for k, a in enumerate(boxes):
        assert not any(overlaps(a, b) for b in boxes[k + 1 :])
    assert all(placed.boxes[a].right < placed.boxes[b].left for a, b in pairs)


def test_a_cycle_has_no_layers():
    with pytest.raises(ValueError, match="cycle"):
        layered({"a": (1, 1), "b": (1, 1)}, [("a", "b"), ("b", "a")])


def test_paths_are_piecewise_cubics():
    with pytest.raises(ValueError, match="cubic"):
        Path(((0, 0), (1, 1)))
    bent = rounded([(0, 0), (10, 0), (10, 10)])
    assert bent.points[0] == (0, 0) and bent.points[-1] == (10, 10)
    assert len(straight((0, 0), (3, 3)).points) == 4
    assert around([Box(0, 0, 2, 2), Box(5, 5, 2, 2)]) == Box(2.5, 2.5, 7, 7)


def test_many_steps_are_placed_quickly():
    drawing = viz.draw(mg.sum(chain(500)[1]), max_steps=None)
    assert len(place(drawing.scene).boxes) == len(drawing.scene.nodes)
