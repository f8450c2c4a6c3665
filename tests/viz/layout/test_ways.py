"""Edges that pass by each other have ways of their own; what feeds one cell has taps of its own."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from viz.layout import avoid

from ..graphs import FOREST, slots
from ..test_random import LAW, check, net, plans

RNG = np.random.default_rng(0)


def x(*shape):
    return mg.asarray(RNG.standard_normal(shape), name="x")


def run(cell, xs, seed=0, **more):
    return rc.unroll(cell, mg.tensors(cell.init(seed)), xs, **more)[1]


def three_readers():
    xs = x(4, 2)
    return [run(cell(2, 3), xs) for cell in (rc.RNN, rc.GRU, rc.LSTM)]


def both_ways_twice():
    h = x(4, 2)
    for size in (2, 6):
        ahead = run(rc.GRU(size, 3), h, 0)
        h = mg.concat([ahead, run(rc.GRU(size, 3), h, 1, reverse=True)], axis=-1)
    return [h]


def residual():
    """Every layer reads all those below it."""
    h = total = x(4, 3)
    for k in range(3):
        h = run(rc.RNN(3, 3), total, k)
        total = total + h
    return [total]


NETS = {f.__name__: f for f in (three_readers, both_ways_twice, residual)}


def drawn(outputs, grad=True):
    loss = sum(mg.sum(mg.square(t)) for t in outputs).named("L")
    return viz.draw(loss, grad=loss if grad else None)


def stretches(path):
    """The straight upright and level parts of a path: (upright, place, low, high)."""
    points = path.points
    for a, b in zip(points[::3], points[3::3], strict=False):
        for k in (0, 1):
            if abs(a[k] - b[k]) < 0.01 and abs(a[1 - k] - b[1 - k]) > 2:
                low, high = sorted((a[1 - k], b[1 - k]))
                yield k == 0, a[k], low, high


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_no_edge_between_lanes_lies_on_another(name, grad):
    apart(drawn(NETS[name](), grad), least=4)


@LAW
@given(plans(), st.booleans())
def test_nor_in_random_nets(plan, grad):
    plan = {**plan, "lengths": [min(n, 12) for n in plan["lengths"]]}
    loss, *_ = net(plan)
    apart(viz.draw(loss, grad=loss if grad else None))


def apart(drawing, least=0):
    """No upright or level stretch of an edge between lanes lies on one of another edge."""
    lane = {n.id: n.lane for n in drawing.scene.nodes}
    edges = [e for e in drawing.scene.edges if lane[e.source] and lane[e.target]]
    between = {e.id for e in edges if lane[e.source] != lane[e.target]}
    assert len(between) >= least
    found = [(e.id, s) for e in edges for s in stretches(drawing.layout.paths[e.id])]
    for k, (one, (upright, place, low, high)) in enumerate(found):
        for other, (also, at, start, end) in found[:k]:
            if one == other or also != upright or not {one, other} & between:
                continue
            if min(high, end) - max(low, start) > 2:
                assert abs(place - at) > 1.5, (one, other)


@pytest.mark.parametrize("name", NETS)
def test_the_way_to_the_loss_is_right_of_all_others(name):
    drawing = drawn(NETS[name]())
    nodes, paths = {n.id: n for n in drawing.scene.nodes}, drawing.layout.paths
    passing, up = [], []
    for e in drawing.scene.edges:
        uprights = [s[1] for s in stretches(paths[e.id]) if s[0] and s[3] - s[2] > 40]
        lanes = nodes[e.source].lane, nodes[e.target].lane
        if all(lanes) and lanes[0] != lanes[1]:
            passing += uprights
        elif nodes[e.target].kind == "loss":
            up += uprights
    assert not up or not passing or max(passing) + 3 < min(up)


def test_each_parameter_box_has_a_tap_of_its_own_with_its_gradient():
    """U read by two nets, W and V by one each: arrows into one cell do not lie on each other."""
    p = mg.tensors({"U": RNG.standard_normal((3, 3)), "W": RNG.standard_normal((2, 3)),
                    "V": RNG.standard_normal((3, 3))})  # fmt: skip

    def net(name):
        return lambda q, h, x: ((s := mg.tanh(h @ q["U"] + x @ q[name])), s)

    hs = rc.unroll(net("W"), {k: p[k] for k in "UW"}, x(4, 2), carry=np.zeros(3))[1]
    ys = rc.unroll(net("V"), {k: p[k] for k in "UV"}, hs, carry=np.zeros(3))[1]
    drawing = drawn([ys[-1]])
    kind = {n.id: n.kind for n in drawing.scene.nodes}
    at: dict[str, list[float]] = defaultdict(list)
    for e in drawing.scene.edges:
        points = drawing.layout.paths[e.id].points
        for id, (px, py) in ((e.source, points[0]), (e.target, points[-1])):
            box = drawing.layout.boxes[id]
            if kind[id] == "cell" and abs(py - box.bottom) < 2:
                at[id].append(px)
    assert len(at) == 8 and all(len(found) == 6 for found in at.values())
    for found in at.values():  # two taps, two gradients, an input and its gradient
        assert np.diff(sorted(found)).min() > 4


@pytest.mark.parametrize("structure", [
    mg.Structure.edges(8, [0, 0, 1, 2, 1, 3, 4, 5, 6, 2], [1, 2, 3, 3, 4, 5, 5, 7, 7, 6],
                       [0, 0, 0, 1, 0, 0, 1, 0, 1, 0]),
    mg.Structure.grid((3, 4)), mg.Structure.forest(FOREST),
], ids=["lattice", "grid", "forest"])  # fmt: skip
def test_gradients_into_parameters_are_short_and_begin_at_their_cell(structure):
    drawing = drawn([slots(structure)[1]])
    kind = {n.id: n.kind for n in drawing.scene.nodes}
    into = [e for e in drawing.scene.edges
            if e.kind == "backward" and kind[e.target] == "shared"]  # fmt: skip
    assert len(into) == structure.n
    for e in into:
        points, box = np.array(drawing.layout.paths[e.id].points), drawing.layout.boxes[e.source]
        assert np.abs(points - points[0]).sum(axis=1).max() < 80
        (px, py) = points[0]
        outside = max(abs(px - box.x) - box.w / 2, abs(py - box.y) - box.h / 2)
        assert abs(outside) < 0.01
    slanting = [e.id for e in drawing.scene.edges if e.kind == "shared"
                and len(drawing.layout.paths[e.id].points) == 4
                and not list(stretches(drawing.layout.paths[e.id]))]  # fmt: skip
    assert not slanting


def test_a_forest_has_one_table_and_its_loss_no_slanting_way():
    trees = ["(2 (1 a) (1 b))", "(2 c)", "(3 (2 (1 d) (1 e)) (1 f))", "(1 g)"]
    cell = rc.TreeLSTM(3, 2)
    drawing = drawn([rc.fold(cell, mg.tensors(cell.init(0)), trees, x(7, 3))[1]])
    texts = Counter(mark.text for mark in drawing.layout.marks)
    assert all(texts[track.label] == 1 for track in drawing.scene.tracks)
    columns = [m for m in drawing.layout.marks if m.text.endswith(")") and "(" in m.text
               or m.text.startswith("node ")]  # fmt: skip
    assert len(columns) == 10 and len({m.y for m in columns}) == 1
    squares = [
        t for t in drawing.layout.tiles if t.kind == "use" and not t.id.startswith(("l", "k"))
    ]
    assert len(squares) == 10 * len(drawing.scene.tracks)
    kind = {n.id: n.kind for n in drawing.scene.nodes}
    for e in drawing.scene.edges:
        if kind[e.target] == "loss":
            path = drawing.layout.paths[e.id]
            a, b = path.points[0], path.points[-1]
            assert len(path.points) > 4 or min(abs(a[0] - b[0]), abs(a[1] - b[1])) < 41


STRUCTURES = {
    "lattice": mg.Structure.edges(6, [0, 0, 1, 2, 2, 3, 4], [1, 2, 3, 3, 4, 5, 5],
                                  [0, 0, 0, 1, 0, 0, 1]),
    "grid": mg.Structure.grid((3, 4)),
    "hole": mg.Structure.grid((5, 5)),
}  # fmt: skip


def slanting_to_the_loss(drawing):
    kind = {n.id: n.kind for n in drawing.scene.nodes}
    paths = [drawing.layout.paths[e.id] for e in drawing.scene.edges if kind[e.target] == "loss"]
    ends = [(*path.points[0], *path.points[-1]) for path in paths if len(path.points) == 4]
    return [e for e in ends if min(abs(e[0] - e[2]), abs(e[1] - e[3])) > 41]


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_loss_has_no_slanting_way_from_other_structures_either(name):
    _, ys, _ = slots(STRUCTURES[name])
    loss = mg.sum(mg.square(ys)).named("L")
    assert not slanting_to_the_loss(viz.draw(loss, grad=loss, max_steps=12))


def test_where_too_many_slant_those_through_boxes_are_led_around_all_the_same(monkeypatch):
    _, ys, _ = slots(STRUCTURES["grid"])
    loss = mg.sum(mg.square(ys)).named("L")
    monkeypatch.setattr(avoid, "MOST", 7)  # seven run through boxes, one slants
    drawing = viz.draw(loss, grad=loss)
    assert slanting_to_the_loss(drawing)
    check(drawing)
