"""Attention by its weights, what is cut, where NaN begins, lines of text, strips, the scale."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from viz.out import render
from viz.scene.legend import legend_for
from viz.scene.style import ALARM, NODES, contrast, edge_style, ink_on, luminance, ramp
from viz.scene.text import broken, raised

from ..graphs import chain, lstm

RNG = np.random.default_rng(0)


def attending(kind="additive", sources=4, targets=3):
    size = 2 + 3 * (kind == "additive")
    model = rc.encoder_decoder(
        rc.GRU(2, 3), rc.GRU(size, 3), outputs=2, attention=kind, start="tanh"
    )
    p = mg.tensors(model.init(0))
    xs, given = RNG.standard_normal((sources, 1, 2)), RNG.standard_normal((targets, 1, 2))
    return model(p, xs, given)


@pytest.mark.parametrize("kind", ["additive", "general", "dot"])
@pytest.mark.parametrize("sources", [1, 2, 5])
def test_attention_is_drawn_by_its_weights(kind, sources):
    ys = attending(kind, sources)
    loss = mg.sum(ys**2)
    scene = viz.draw(loss, grad=loss).scene
    nodes = {n.id: n for n in scene.nodes}
    weights = mg.interior(ys, "attention").numpy()[:, 0]
    found = np.full(weights.shape, np.nan)
    for e in scene.edges:
        if e.weight is not None and e.kind == "forward":
            found[nodes[e.target].column, nodes[e.source].column] = e.weight
    np.testing.assert_allclose(found, weights, rtol=1e-9)
    assert sum(n.kind == "attend" for n in scene.nodes) == len(weights)
    opacity = [int(edge_style(e, None).color[7:], 16) for e in scene.edges
               if e.weight is not None and e.kind == "forward"]  # fmt: skip
    order = [e.weight for e in scene.edges if e.weight is not None and e.kind == "forward"]
    np.testing.assert_allclose(np.array(opacity) / 255, np.maximum(order, 0.08), atol=0.004)


def test_what_attention_sends_back():
    """To each encoder state, by each decoder step: the sum of what memory and keys bring."""
    sources, targets = 4, 3
    encoder, decoder = rc.GRU(2, 3), rc.GRU(5, 3)
    model = rc.encoder_decoder(encoder, decoder, outputs=2, attention="additive", start="tanh")
    p = mg.tensors(model.init(0))
    xs, given = RNG.standard_normal((sources, 1, 2)), RNG.standard_normal((targets, 1, 2))
    loss = mg.sum(model(p, xs, given) ** 2)
    scene = viz.draw(loss, grad=loss).scene
    nodes = {n.id: n for n in scene.nodes}
    found = np.zeros((targets, sources))
    for e in scene.edges:
        if e.weight is not None and e.kind == "backward":
            found[nodes[e.source].column, nodes[e.target].column] = e.norm
    _, hs = rc.unroll(encoder, p["encoder"], xs)  # the same in a loop, with a memory for each step
    hs = hs[:, 0]
    own = [mg.asarray(hs.numpy()) for _ in range(targets)]
    first = mg.asarray(hs.numpy()[-1])
    state = mg.tanh(first @ p["start"][0]["V"] + p["start"][0]["c"])
    total = 0.0
    for t in range(targets):
        source = {"memory": own[t], "keys": own[t] @ p["attention"]["U"],
                  "mask": np.ones(sources)}  # fmt: skip
        state, y = model.cell(p, state, (mg.asarray(given[t, 0]), source))
        total = total + mg.sum(y**2)
    assert float(total) == pytest.approx(float(loss), rel=1e-9)
    wanted = [np.linalg.norm(g, axis=1) for g in mg.evaluate(mg.grad(total, own))]
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_what_two_arguments_bring_to_one_state_is_added():
    """Through both arguments h comes back twice, once with the other sign: nothing is left."""
    _, hs, _ = chain(3)

    def cell(p, h, x):
        a, b = x
        h = mg.tanh(a + b + 0.1 * h)
        return h, h

    _, ys = mg.recur(cell, mg.Structure.chain(3), initial=np.zeros((1, 2)), inputs=(hs, -hs))
    loss = mg.sum(ys**2)
    scene = viz.draw(loss, grad=loss).scene
    label = {n.id: n.label for n in scene.nodes}
    back = [e.norm for e in scene.edges if e.kind == "backward"
            and (label[e.source], label[e.target]) == ("cell", "rnn")]  # fmt: skip
    assert len(back) == 3 and max(back) < 1e-15


def test_truncated_edges_are_marked():
    cell = rc.LSTM(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), RNG.standard_normal((6, 2)), truncate=2)
    loss = mg.sum(ys**2)
    drawing = viz.draw(loss, grad=loss)
    scene = drawing.scene
    column = {n.id: n.column for n in scene.nodes}
    cut = {(column[e.source], e.part) for e in scene.edges if e.cut}
    assert cut == {(t, part) for t in (1, 3) for part in "hc"}
    assert "no gradient passes: truncated" in [text for _, text in scene.legend.keys]
    assert drawing.dot.count("arrowtail=teetee") == len(cut) + 1  # one in the key


@pytest.mark.parametrize("at", range(5))
def test_where_nan_begins_in_values_is_marked(at):
    def cell(p, h, x):
        h = mg.tanh(h @ p["U"] + mg.log(x))
        return h, h

    xs = RNG.random((5, 2)) + 0.5
    xs[at, 0] = -1.0
    p = mg.tensors({"U": RNG.standard_normal((2, 2))})
    with np.errstate(all="ignore"):
        _, ys = rc.unroll(cell, p, xs, carry=np.zeros(2))
        scene = viz.draw(mg.sum(ys[-1])).scene
    marked = [n.column for n in scene.nodes if n.mark]
    assert marked == [at]


def test_where_nan_begins_in_gradients_is_marked():
    _, ys, _ = chain(4)
    loss = mg.sum(mg.sqrt(ys[-1] - ys[-1])).named("L")
    scene = viz.draw(loss, grad=loss).scene
    assert [(n.label, n.mark) for n in scene.nodes if n.mark] == [("L", "gradient breaks here")]
    _, ys, _ = chain(4)
    fine = mg.sum(ys**2)
    assert not any(n.mark for n in viz.draw(fine, grad=fine).scene.nodes)


@pytest.mark.parametrize("n", [20, 21, 40, 61])
def test_long_chains_are_wrapped_as_text_is(n):
    _, ys, _ = chain(n, lstm)
    loss = mg.sum(ys[-1])
    drawing = viz.draw(loss, grad=loss, max_steps=None)
    cells = [drawing.layout.boxes[x.id] for x in drawing.scene.nodes if x.kind == "cell"]
    lines = {}
    for box in cells:
        lines.setdefault(box.y, []).append(box.x)
    assert len(lines) == (1 if n <= 20 else -(-n // 16))
    assert list(lines) == sorted(lines, reverse=True)  # the first line at the top
    assert all(xs == sorted(xs) and xs[0] == 0 for xs in lines.values())


def test_strips_have_a_column_for_each_step():
    _, ys, leaves = chain(300, lstm)
    loss = mg.sum(ys[-1] ** 2)
    drawing = viz.draw(loss, grad=loss, max_steps=8)
    strips = {t.label: t for t in drawing.scene.tracks}
    for name in ("W", "U"):
        wanted = np.asarray(mg.contributions(loss, leaves[name])).reshape(300, -1)
        np.testing.assert_allclose(strips[name].strip, np.linalg.norm(wanted, axis=1), rtol=1e-7)
        assert strips[name].together == pytest.approx(sum(strips[name].strip))
    states, ys, _ = chain(300, lstm)
    loss = mg.sum(ys[-1] ** 2)
    strips = {t.label: t for t in viz.draw(loss, grad=loss, max_steps=8).scene.tracks}
    for name, g in zip("hc", mg.evaluate(mg.state_gradients(loss, states)), strict=True):
        np.testing.assert_allclose(
            strips[f"state {name}"].strip, np.linalg.norm(g, axis=1), rtol=1e-9
        )
    if render.engine() is not None:
        root = ET.fromstring(drawing.svg)
        shown = [g for g in root.iter(f"{render.SVG}g") if "strip" in (g.get("class") or "")]
        wide = [sum(_wide(p.get("points")) for p in g.iter(f"{render.SVG}polygon")) for g in shown]
        assert len(shown) == len(strips) and max(wide) - min(wide) < 1


def _wide(points):
    xs = [float(x) for x in re.findall(r"(-?[\d.]+),", points)]
    return max(xs) - min(xs)


@pytest.mark.parametrize("view", ["unfolded", "folded", "cell", "ops", "tree"])
def test_the_scale_can_be_fixed(view):
    _, ys, _ = chain(4)
    loss = mg.sum(ys[-1] ** 2)
    own = viz.draw(loss, view=view, grad=loss).scene.legend
    legend = viz.draw(loss, view=view, grad=loss, scale=(1e-6, 100)).scene.legend
    assert (legend.norms[0], legend.norms[-1]) == (100, 1e-6)
    assert own.norms != legend.norms and (own.title, own.keys) == (legend.title, legend.keys)
    assert viz.draw(loss, view=view, scale=(1e-6, 100)).scene.legend is None


def test_a_scale_that_is_none():
    loss = mg.sum(chain(4)[1])
    for wrong in ((1, 1), (0, 1), (2, 1), (1, np.inf), (-1, 1)):
        with pytest.raises(ValueError, match="two positive numbers, the smaller first"):
            viz.draw(loss, grad=loss, scale=wrong)
    for wrong in (3, "ab", (1,), (1, 2, 3), ("a", "b")):
        with pytest.raises(TypeError, match="scale must be two numbers"):
            viz.draw(loss, grad=loss, scale=wrong)


def test_text_is_legible_and_the_ramp_is_one_in_grey():
    legend = legend_for([1e-6, 1.0], "norm")
    fills = [ramp(10.0**-k, legend) for k in np.linspace(0, 6, 100)]
    shades = [luminance(f) for f in fills]
    assert shades == sorted(shades) and shades[-1] - shades[0] > 0.7
    # White is no use at all: a strip has no text that would say infinity.
    assert ramp(np.inf, legend) == ramp(np.nan, legend) == ALARM
    for fill in [*fills, ALARM]:
        assert contrast(fill, ink_on(fill)) >= 4.5
    for kind, style in NODES.items():
        assert contrast(style.fill, style.ink) >= 4.5, kind
    for norm in (0.0, 1e-9, 0.5, np.nan, np.inf):
        edge = viz.Edge("e0", "a", "b", "backward", norm=norm)
        assert contrast("#ffffff", edge_style(edge, legend).label) >= 4.5


def test_zero_vanished_nan_and_infinite_each_have_a_look():
    legend = legend_for([1.0, 1e-30], "norm")
    looks = {}
    for norm in (1.0, 1e-30, 0.0, np.nan, np.inf):
        style = edge_style(viz.Edge("e0", "a", "b", "backward", norm=norm), legend)
        looks[style.color, style.dash] = norm
    assert legend.clipped and len(looks) == 5


def test_names_stand_whole():
    assert broken("additive decoder GRU") == "additive\ndecoder GRU"
    assert broken("LSTM") == "LSTM" and broken("") == ""
    assert broken("a stack of GRU, GRU, LSTM and more") == "a stack of\nGRU, GRU, LSTM\nand more"
    assert max(map(len, broken("x" * 300).split("\n"))) <= 28
    assert raised("c_1") == "c¹" and raised("h") == "h" and raised("_1") == "_1"
