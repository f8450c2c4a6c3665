"""Laws of drawings of random recurrences, on the scene, on the layout, and on the SVG's text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from viz.layout.geometry import Box, Layout, straight
from viz.out import render
from viz.scene.flow import recurs_of
from viz.scene.text import clean, width

from ..counting import examples
from .graphs import ENTRIES, FOREST, slots
from .scene.test_tracks import drawn_outputs

MOVES = (mg.tanh, mg.sigmoid, lambda h: h * 0.5, mg.sin, lambda h: mg.maximum(h, -0.3))


@st.composite
def plans(draw):
    """How a random net is made, as data."""
    layers = draw(st.integers(1, 3))
    return {
        "parts": [draw(st.integers(1, 5)) for _ in range(layers)],
        "moves": [draw(st.sampled_from(range(len(MOVES)))) for _ in range(5)],
        "reverse": [draw(st.booleans()) for _ in range(layers)],
        "series": [draw(st.booleans()) for _ in range(layers)],
        "lengths": draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)
                        | st.lists(st.integers(6, 40), min_size=1, max_size=1)),
        "ends": draw(st.sampled_from(["last", "all", "one", "two"])),
        "seed": draw(st.integers(0, 2**16)),
        "max_steps": draw(st.sampled_from([None, 60, 7])),
    }  # fmt: skip


def cell_of(parts, moves):
    """A cell with some parts of its state, each computed from two of them and the input."""

    def cell(p, carry, x):
        hs = carry if isinstance(carry, tuple) else (carry,)
        new = []
        for k, h in enumerate(hs):
            total = x @ p[f"W{k}"] + h @ p[f"U{k}"] + hs[(k + 1) % len(hs)] * p["v"]
            new.append(MOVES[moves[k]](total))
        return (tuple(new) if len(new) > 1 else new[0]), new[-1]

    cell.state_names = tuple("hcmnq"[:parts])
    cell.name = "random cell"
    return cell


def net(plan):
    """(loss, by layer: parameters, inputs, the cell and how it is run)."""
    rng = np.random.default_rng(plan["seed"])
    lengths = plan["lengths"]
    xs = mg.asarray(rng.standard_normal((sum(lengths), 2)), name="x")
    below, made, outs = xs, [], []
    for k, parts in enumerate(plan["parts"]):
        cell = cell_of(parts, plan["moves"])
        p = {f"W{i}": rng.standard_normal((2, 2)) for i in range(parts)}
        p |= {f"U{i}": rng.standard_normal((2, 2)) for i in range(parts)} | {"v": rng.random(2)}
        params = {name: mg.asarray(a, name=f"{name}.{k}") for name, a in p.items()}
        source = below if plan["series"][k] else xs
        structure = mg.Structure.chain(lengths, reverse=plan["reverse"][k])
        initial = tuple(np.zeros((1, 2)) for _ in range(parts))
        _, ys = mg.recur(cell, structure, initial=initial if parts > 1 else initial[0],
                         shared=params, inputs=source)  # fmt: skip
        made.append((cell, params, source, plan["reverse"][k], ys))
        below = mg.tanh(ys)
        outs.append(ys)
    n = sum(lengths)
    pick = {"last": [n - 1], "all": range(n), "one": [n // 2], "two": [0, n - 1]}[plan["ends"]]
    loss = sum(mg.sum(mg.square(ys[i])) for ys in outs[-2:] for i in list(pick)[:9])
    return loss.named("L"), made, xs


def drawn(plan):
    loss, made, xs = net(plan)
    return loss, made, xs, viz.draw(loss, grad=loss, max_steps=plan["max_steps"])


LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.long
@LAW
@given(plans())
def test_every_edge_of_the_graph_is_there_and_sums_are_the_total(plan):
    loss, made, xs, drawing = drawn({**plan, "max_steps": None})
    scene = drawing.scene
    n, sequences = sum(plan["lengths"]), len(plan["lengths"])
    cells = {x.id: x for x in scene.nodes if x.kind == "cell"}
    alive = [m for m in made if m[4] in set(mg.nodes(loss))]
    assert len(cells) == n * len(alive)
    edges = [e for e in scene.edges if e.kind == "state" and {e.source, e.target} <= set(cells)]
    parts = [len(m[0].state_names) for m in alive]
    assert len(edges) == sum((n - sequences) * (p if p <= 4 else 1) for p in parts)
    by_name = {t.name: t for m in alive for t in m[1].values()}
    for track in scene.tracks:
        assert track.together == pytest.approx(sum(u.norm for u in track.uses), rel=1e-9)
        leaf = by_name[track.tooltip.split(":")[0]]
        whole = mg.grad(loss, leaf).numpy()
        assert track.norm == pytest.approx(np.linalg.norm(whole), rel=1e-8, abs=1e-12)
        uses = np.asarray(mg.contributions(loss, leaf))
        sizes = np.sqrt((uses.reshape(len(uses), -1) ** 2).sum(axis=1))
        np.testing.assert_allclose(
            sorted(u.norm for u in track.uses), np.sort(sizes), rtol=1e-6, atol=1e-12
        )
    wanted = np.linalg.norm(np.asarray(mg.grad(loss, xs)), axis=1)
    found = [x.norm for x in scene.nodes if x.kind == "input" and x.norm is not None]
    np.testing.assert_allclose(np.sort(found), np.sort(wanted)[n - len(found):], rtol=1e-8,
                               atol=1e-12)  # fmt: skip


@LAW
@given(plans())
def test_the_gradient_on_the_edges_of_a_state(plan):
    """With something to add on each edge of a loop in Python: the gradient by that."""
    plan = {**plan, "parts": plan["parts"][:1], "lengths": plan["lengths"][:1]}
    plan["reverse"] = [False]
    loss, ((cell, params, _, _, _),), xs, drawing = drawn({**plan, "max_steps": None})
    parts, n = len(cell.state_names), plan["lengths"][0]
    nudge = [[mg.asarray(np.zeros(2)) for _ in range(parts)] for _ in range(n)]
    states = tuple(mg.asarray(np.zeros(2)) for _ in range(parts))
    ys = []
    for t in range(n):
        states = tuple(h + e for h, e in zip(states, nudge[t], strict=True))
        new, y = cell(params, states if parts > 1 else states[0], xs[t])
        states = new if isinstance(new, tuple) else (new,)
        ys.append(y)
    pick = {"last": [n - 1], "all": range(n), "one": [n // 2], "two": [0, n - 1]}[plan["ends"]]
    again = sum(mg.sum(mg.square(ys[i])) for i in list(pick)[:9])
    grads = mg.evaluate(mg.grad(again, nudge))
    column = {x.id: x.column for x in drawing.scene.nodes if x.kind == "cell"}
    joint = parts > 4
    for e in drawing.scene.edges:
        if e.kind == "backward" and e.source in column and e.target in column:
            t = column[e.source]
            assert column[e.target] == t - 1
            part = grads[t] if joint else [grads[t][cell.state_names.index(e.part)]]
            assert e.norm == pytest.approx(np.linalg.norm(np.ravel(part)), rel=1e-8, abs=1e-13)


def boxes_of(drawing):
    layout = drawing.layout
    return {**layout.boxes, **{t.id: t.box for t in layout.tiles if t.kind in ("use", "rest")}}


def over(a, b, slack=0.5):
    return (abs(a.x - b.x) < (a.w + b.w) / 2 - slack) and (abs(a.y - b.y) < (a.h + b.h) / 2 - slack)


def pairs_over(boxes):
    """Pairs that overlap, found by sweeping from left to right."""
    order = sorted(boxes.items(), key=lambda item: item[1].left)
    found, open_ = [], []
    for name, box in order:
        open_ = [(m, b) for m, b in open_ if b.right > box.left]
        found += [(m, name) for m, b in open_ if over(b, box)]
        open_.append((name, box))
    return found


def sampled(path):
    for k in range(0, len(path.points) - 1, 3):
        a, b, c, d = (np.array(p) for p in path.points[k : k + 4])
        t = np.linspace(0, 1, 10 + int(np.abs(d - a).sum() / 5))[:, None]
        yield a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3


def through(drawing):
    """Edges that run through a box that is none of their ends."""
    boxes = boxes_of(drawing)
    names = list(boxes)
    middle = np.array([(boxes[n].x, boxes[n].y) for n in names])
    half = np.array([(boxes[n].w / 2 - 1, boxes[n].h / 2 - 1) for n in names])
    for edge in drawing.scene.edges:
        points = np.concatenate(list(sampled(drawing.layout.paths[edge.id])))
        inside = (np.abs(points[:, None] - middle) < half).all(axis=2).any(axis=0)
        for k in np.flatnonzero(inside):
            if names[k] not in (edge.source, edge.target):
                yield edge, names[k]


def label_boxes(drawing):
    found = {}
    for edge in drawing.scene.edges:
        at = drawing.layout.paths[edge.id].label
        if edge.label and at is not None:
            found[edge.id] = Box(*at, width(edge.label, 9), 8)
    return found


def check(drawing):
    assert set(drawing.layout.boxes) == {n.id for n in drawing.scene.nodes}
    assert set(drawing.layout.paths) == {e.id for e in drawing.scene.edges}
    assert not pairs_over(boxes_of(drawing))
    assert not [(e.kind, e.source, e.target, b) for e, b in through(drawing)]
    labels = label_boxes(drawing)
    assert not pairs_over(labels)
    marks = {f"m{k}": Box(m.x + width(m.text, m.size) / 2, m.y, width(m.text, m.size), m.size)
             for k, m in enumerate(drawing.layout.marks)}  # fmt: skip
    texts = labels | marks
    everything = boxes_of(drawing) | texts
    assert not [p for p in pairs_over(everything) if set(p) & set(texts)]
    for edge in drawing.scene.edges:  # each begins at one of its ends, or goes on from a rail
        first = drawing.layout.boxes[edge.source], drawing.layout.boxes[edge.target]
        reach = drawing.layout.paths[edge.id].points
        assert any(_touches(reach[k], box) for k in (0, -1) for box in first), edge


def _touches(point, box, slack=1.0):
    return (abs(point[0] - box.x) <= box.w / 2 + slack
            and abs(point[1] - box.y) <= box.h / 2 + slack)  # fmt: skip


@LAW
@given(plans())
def test_nothing_lies_on_anything(plan):
    check(drawn(plan)[-1])


@pytest.mark.long
@LAW
@given(plans())
def test_nothing_lies_on_anything_inside_the_cell(plan):
    plan = {**plan, "lengths": [3]}
    loss, *_ = net(plan)
    drawing = viz.draw(loss, view="cell", grad=loss, step=[1, 3])
    assert not pairs_over(boxes_of(drawing))
    assert not [(e.kind, e.source, e.target, b) for e, b in through(drawing)]


def architectures():
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((5, 3))
    both = rc.bidirectional(rc.LSTM(3, 2), rc.GRU(3, 2))
    yield "both directions", mg.sum(both(mg.tensors(both.init(0)), xs)[1] ** 2)
    cell = rc.GRU(3, 2)
    p = mg.tensors(cell.init(0))
    carry, ys = rc.unroll(cell, p, xs)
    again = rc.unroll(cell, p, xs, carry=carry)[1]
    yield "two runs over the same inputs", mg.sum(again**2) + mg.sum(ys)
    above = rc.unroll(rc.GRU(5, 2), mg.tensors(rc.GRU(5, 2).init(0)), mg.concat([ys, xs], axis=-1))[
        1
    ]
    yield "a net that reads past another", mg.sum(above[-1] * ys[-1])
    for name, structure in {
        "forest": mg.Structure.forest(FOREST), "grid": mg.Structure.grid((3, 4)),
        "dag": mg.Structure.edges(6, [0, 0, 1, 2, 2, 4], [1, 2, 3, 3, 3, 5], [0, 0, 1, 0, 0, 1]),
    }.items():  # fmt: skip
        yield name, mg.sum(slots(structure)[1])
    corners = rc.Multidirectional(rc.MDRNN(2, 3))
    yield "corners", mg.sum(corners(mg.tensors(corners.init(0)), rng.standard_normal((2, 2, 2))))
    stack = rc.stack(rc.LSTM(3, 2), rc.GRU(2, 2))
    yield "a stack", mg.sum(rc.unroll(stack, mg.tensors(stack.init(0)), xs)[1][-1])
    for kind in ("additive", "general"):
        size = 2 + 3 * (kind == "additive")
        model = rc.encoder_decoder(rc.GRU(2, 3), rc.GRU(size, 3), outputs=2, attention=kind,
                                   start="tanh")  # fmt: skip
        p = mg.tensors(model.init(0))
        ys = model(p, rng.standard_normal((4, 1, 2)), rng.standard_normal((6, 1, 2)))
        yield kind, mg.sum(ys**2)


@pytest.mark.parametrize("loss", [pytest.param(t, id=name) for name, t in architectures()])
@pytest.mark.parametrize("grad", [True, False])
def test_nothing_lies_on_anything_in_larger_nets(loss, grad):
    check(viz.draw(loss, grad=loss if grad else None))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_nothing_lies_on_anything_in_the_pictures_of_the_docs(entry):
    drawing = entry.draw()
    assert not pairs_over(boxes_of(drawing))
    if drawing.scene.view != "ops":
        assert not [(e.kind, e.source, e.target, b) for e, b in through(drawing)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_nothing_lies_on_anything_inside_the_cells_of_the_docs(entry, monkeypatch):
    outputs, _ = drawn_outputs(entry, monkeypatch)
    if not outputs or not recurs_of(mg.nodes(outputs)):
        pytest.skip("a structure alone, or ops without a recurrence")
    loss = sum(mg.sum(mg.square(t)) for t in outputs)
    drawing = viz.draw(loss, view="cell", grad=loss)
    assert not pairs_over(boxes_of(drawing)) and not pairs_over(label_boxes(drawing))
    assert not [(e.kind, e.source, e.target, b) for e, b in through(drawing)]


@settings(parent=LAW, max_examples=examples(4))
@given(plans())
def test_no_text_lies_on_another_in_the_svg(plan):
    if render.engine() is None:
        pytest.skip("no Graphviz: neither neato on PATH nor the pygraphviz wheel")
    drawing = drawn({**plan, "max_steps": 7})[-1]
    root = ET.fromstring(drawing.svg)
    found = {}
    for k, text in enumerate(root.iter(f"{render.SVG}text")):
        shown = clean("".join(text.itertext()))
        size, x, y = (float(text.get(a)) for a in ("font-size", "x", "y"))
        wide = width(shown, size)
        middle = {"middle": x, "start": x + wide / 2}[text.get("text-anchor")]
        found[f"{k} {shown}"] = Box(middle, y - 0.35 * size, wide, 0.7 * size)
    assert len(found) > 5 and not pairs_over(found)
    groups = {g.get("id") for g in root.iter(f"{render.SVG}g")}
    scene = drawing.scene
    uses = {u.id for t in scene.tracks for u in t.uses}
    assert groups >= {n.id for n in scene.nodes} | {e.id for e in scene.edges} | uses


def test_the_checks_see_what_they_are_for():
    """An overlap, a way through a box, a text on a text."""
    a, b, c = Box(0, 0, 10, 10), Box(8, 0, 10, 10), Box(30, 0, 10, 10)
    assert pairs_over({"a": a, "b": b, "c": c}) == [("a", "b")]
    scene = viz.Scene(
        "unfolded",
        nodes=tuple(viz.Node(f"n{k}", "cell", "a") for k in range(3)),
        edges=(viz.Edge("e0", "n0", "n2", "forward", label="x"),),
    )
    boxes = {f"n{k}": Box(40 * k, 0, 10, 10) for k in range(3)}
    wrong = SimpleNamespace(
        scene=scene, layout=Layout(boxes, {"e0": straight((5, 0), (75, 0), label=(40, 0))})
    )
    assert [name for _, name in through(wrong)] == ["n1"]
    with pytest.raises(AssertionError):
        check(wrong)
    assert not list(through(viz.Drawing(scene)))  # the layout leads around
