"""The backward pass as frames: its order is the page's, its numbers are public calls'."""

from __future__ import annotations

import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from tests.counting import examples
from viz.out.render import engine
from viz.page.program import program
from viz.scene.scene import norm_text
from viz.scene.turns import MOST_TURNS

from .graphs import ENTRIES, FOREST, chain, lstm, rnn, slots, tied
from .page.browser import Browser
from .scene.test_tracks import drawn_outputs
from .test_random import LAW, net, plans

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def without_running(scene):
    return replace(scene, tracks=tuple(replace(t, running=()) for t in scene.tracks))


def two_nets(back=False):
    """A GRU over the states of an RNN; or both directions of the same inputs."""
    rng = np.random.default_rng(0)
    x = mg.asarray(rng.standard_normal((5, 2)), name="x")
    below, above = rc.RNN(2, 3), rc.GRU(2 if back else 3, 4)
    _, hs = rc.unroll(below, mg.tensors(below.init(0)), x)
    _, ys = rc.unroll(above, mg.tensors(above.init(1)), x if back else hs, reverse=back)
    return mg.sum(ys[0] ** 2 if back else ys[-1] ** 2) + mg.sum(hs[3])


@pytest.mark.parametrize("make", [two_nets, lambda: two_nets(True), lambda: mg.sum(chain(6)[1])])
def test_the_order_is_the_reverse_of_the_pages(make):
    """The page's slider walks the calls of its program from the last."""
    loss = make()
    data, _ = program([loss], loss, None)
    names = [unit["name"].rstrip(" ←") for unit in data["units"]]
    calls = [(names[line[3]], line[4]) for line in data["main"] if line[0] == "call"]
    scene = viz.draw(loss, grad=loss).scene
    cells = [n for n in scene.nodes if n.kind == "cell" and n.turn is not None]
    order = [(n.label, n.column) for n in sorted(cells, key=lambda n: n.turn)]
    assert order == [call for call in reversed(calls) if call in order]
    assert len({n.turn for n in cells}) == len(cells)


@pytest.mark.parametrize("make", [two_nets, lambda: two_nets(True)])
def test_nothing_is_whole_before_what_it_is_made_of(make):
    loss = make()
    scene = viz.draw(loss, grad=loss).scene
    turn = {n.id: n.turn for n in scene.nodes}
    for e in scene.edges:
        if e.kind == "backward":
            assert turn[e.source] <= turn[e.target]
            leaf = scene.node(e.target).kind in ("input", "initial", "shared")
            assert leaf or turn[e.source] < turn[e.target]


@settings(max_examples=examples(10), deadline=None)
@example([3, 0, 5], lstm)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=3).filter(any), st.sampled_from([rnn, lstm])
)
def test_bars_are_partial_sums_of_the_contributions(lengths, cell):
    _, ys, leaves = chain(lengths, cell)
    structure = mg.Structure.chain(lengths)
    loss = mg.sum(mg.square(ys - 0.3)).named("L")
    made = viz.animate(loss, grad=loss, max_steps=None)
    scene = made.drawing.scene
    assert without_running(scene) == viz.draw(loss, grad=loss, max_steps=None).scene
    tops = structure.levels  # one turn a level, from the last
    for track in scene.tracks:
        terms = mg.contributions(loss, leaves[track.label]).numpy()
        sums, wanted = np.zeros(terms.shape[1:]), [0.0]
        for rows in reversed(tops):
            sums = sums + terms[rows].sum(axis=0)
            wanted.append(np.linalg.norm(sums))
        np.testing.assert_allclose(track.running, wanted, rtol=1e-9, atol=1e-14)
        assert track.running[-1] == pytest.approx(track.norm, rel=1e-9)
        for k, frame in enumerate(made.frames[:-1]):
            now = next(t for t in frame.drawing.scene.tracks if t.id == track.id)
            assert now.norm == track.running[k]
            assert now.together == pytest.approx(sum(use.norm for use in now.uses), rel=1e-12)
    assert made.frames[-1].drawing.scene == scene and not made.frames[-1].lit


@pytest.mark.long
@LAW
@given(plans())
def test_partial_sums_of_random_nets(plan):
    """Layers, directions, parts of the state, losses at some steps: by the turns of the cells."""
    loss, made, _ = net(plan)
    leaves = {t.name: t for layer in made for t in layer[1].values()}
    whole = viz.animate(loss, grad=loss, max_steps=None).drawing.scene
    for track in (t for t in whole.tracks if t.running):
        leaf = leaves[track.tooltip.split(":")[0]]
        terms = mg.contributions(loss, leaf).numpy()
        turns = np.array([-1 if use.turn is None else use.turn for use in track.uses])
        if len(turns) != len(terms):
            continue  # beyond 64 steps there are strips
        for k, size in enumerate(track.running):
            wanted = np.linalg.norm(terms[turns <= k].sum(axis=0))
            assert size == pytest.approx(wanted, rel=1e-8, abs=1e-12)
    some = viz.animate(loss, grad=loss, max_steps=plan["max_steps"], sequences=1)
    for track in some.drawing.scene.tracks:
        if track.running:
            assert track.running[-1] == pytest.approx(track.norm, rel=1e-8, abs=1e-12)
    turn = {n.id: n.turn for n in some.drawing.scene.nodes}
    shown = [e for e in some.drawing.scene.edges if e.kind == "backward"]
    assert all(turn[e.source] <= turn[e.target] for e in shown)
    lit = [id for frame in some.frames for id in frame.lit]
    assert len(set(lit)) == len(lit) and {e.id for e in shown} <= set(lit)


def test_rows_of_a_table_and_uses_outside_are_counted_when_they_come():
    """Tied embeddings: at the steps by word, at the loss before all of them."""
    loss, table, ids, xs, scored = tied()
    head = next(t for t in viz.animate(loss, grad=loss).drawing.scene.tracks
                if t.tooltip.startswith("E:") and t.running)  # fmt: skip
    again = mg.asarray(table.numpy())
    sums = np.array(mg.grad(scored(again), again))
    sent = mg.grad(loss, xs).numpy()
    wanted = [np.linalg.norm(sums)]
    for step in reversed(range(5)):
        sums[ids[step]] += sent[step]
        wanted.append(np.linalg.norm(sums))
    np.testing.assert_allclose(head.running, wanted, rtol=1e-9)
    np.testing.assert_allclose(wanted[-1], np.linalg.norm(mg.grad(loss, table).numpy()), rtol=1e-9)


def test_words_tell_parameters_of_one_name_apart():
    rng = np.random.default_rng(0)
    cells = rc.RNN(3, 2), rc.RNN(2, 2)
    xs = mg.asarray(rng.standard_normal((3, 3)), name="x")
    for k, cell in enumerate(cells):
        _, xs = rc.unroll(cell, mg.tensors({f"l{k}": cell.init(k)})[f"l{k}"], xs)
    made = viz.animate(loss := mg.sum(mg.square(xs)), grad=loss)
    norms = {(t.label, t.group): t.norm for t in made.drawing.scene.tracks}
    last = made.frames[-1].words
    for which in ("RNN 1", "RNN 2"):
        assert f"∂b of {which}‖ = {norm_text(norms['b', which])}" in last
    assert "added to U of RNN 2 (" in made.frames[1].words


def test_words_say_a_sum_of_norms_where_several_uses_are_added_at_once():
    """Of two sequences at one level; it said the larger one as if that were all."""
    _, ys, leaves = chain([2, 0, 3])
    loss = mg.sum(mg.square(ys)).named("L")
    terms = {k: mg.contributions(loss, leaves[k]).numpy() for k in "UW"}
    sizes = {k: np.linalg.norm(value, axis=(1, 2)) for k, value in terms.items()}
    frames = viz.animate(loss, grad=loss).frames
    alone = ", ".join(f"{k} ({norm_text(sizes[k][4])})" for k in "UW")
    assert frames[1].words.endswith(f"added to {alone}")
    both = ", ".join(f"{k} (Σ {norm_text(sizes[k][1] + sizes[k][3])})" for k in "UW")
    assert frames[2].words.endswith(f"added to {both}")


def test_trees_run_back_by_depth():
    structure = mg.Structure.forest(FOREST)
    states, ys, leaves = slots(structure)
    loss = mg.sum(mg.square(ys))
    made = viz.animate(loss, grad=loss)
    depth = {n.id: n.turn for n in made.drawing.scene.nodes if n.kind == "cell"}
    levels = sorted(structure.level.tolist())
    assert sorted(max(depth.values()) - turn for turn in depth.values()) == levels
    track = next(t for t in made.drawing.scene.tracks if t.label == "W")
    terms = mg.contributions(loss, leaves["W"]).numpy()
    first = terms[structure.level == structure.level.max()].sum(axis=0)
    assert track.running[1] == pytest.approx(np.linalg.norm(first), rel=1e-9)
    norms = np.sqrt((np.asarray(mg.state_gradients(loss, states)) ** 2).sum(axis=1))
    tree = viz.animate(loss, "tree", grad=loss)
    shown = [n.norm for n in tree.frames[1].drawing.scene.nodes if n.norm is not None]
    np.testing.assert_allclose(shown, norms[structure.level == structure.level.max()], rtol=1e-9)


def test_frames_say_what_happens():
    _, ys, _ = chain(4)
    loss = mg.sum(mg.square(ys[1]) + mg.square(ys[3])).named("L")
    made = viz.animate(loss, grad=loss)
    words = [frame.words for frame in made.frames]
    assert len(made.frames) == 6 and [f.number for f in made.frames] == [1, 2, 3, 4, 5, 6]
    assert words[0].endswith("∂L/∂L = 1") and words[1].startswith("∂L/∂h₄ = from L,  norm ")
    assert words[3].startswith("∂L/∂h₂ = from h₃ + from L") and "added to U (" in words[3]
    assert words[-1].startswith("The backward pass is done:  ‖∂L/∂")
    scene = made.drawing.scene
    second = {n.value: n for n in scene.nodes if n.kind == "cell"}["h₂"]
    into = {e.id for e in scene.edges if e.kind == "backward" and e.target == second.id}
    squares = {u.id for t in scene.tracks for u in t.uses if u.at == second.id}
    assert (
        len(into) == 2 and len(squares) == 2 and {second.id} | into | squares <= made.frames[3].lit
    )
    assert "6 frames" in made.summary() and repr(made.frames[3]).startswith("4: ∂L/∂h₂")


def test_names_say_which_net_once():
    """Two layers of both directions, one cell by name: no two groups are called the same."""
    x = mg.asarray(np.random.default_rng(0).standard_normal((3, 2)), name="x")
    h = x
    for size in (2, 6):
        cell = rc.GRU(size, 3)
        ahead = rc.unroll(cell, mg.tensors(cell.init(0)), h)[1]
        back = rc.unroll(cell, mg.tensors(cell.init(1)), h, reverse=True)[1]
        h = mg.concat([ahead, back], axis=-1)
    loss = mg.sum(h**2).named("L")
    made = viz.animate(loss, grad=loss)
    values = [n.value for n in made.drawing.scene.nodes if n.kind == "cell"]
    assert len(set(values)) == len(values) == 12
    words = [frame.words for frame in made.frames]
    assert any(w.startswith("∂L/∂h₂ of GRU 2 ← = from h₁ + from L,") for w in words)
    assert any(w.startswith("∂L/∂h₂ of GRU 1 → = from h₃ + from h₂ of GRU 2 →") for w in words)
    groups = list(dict.fromkeys(t.group for t in made.drawing.scene.tracks))
    assert groups == [f"GRU {k}, {way}" for k in (1, 2)
                      for way in ("forward in time →", "← backward in time")]  # fmt: skip


def test_what_is_left_out_has_a_frame_and_many_turns_are_folded():
    _, ys, _ = chain(200)
    loss = mg.sum(mg.square(ys[-1])).named("L")
    made = viz.animate(loss, grad=loss, max_steps=7)
    assert len(made.frames) == 10
    assert made.frames[4].words.startswith("∂L/∂(193 steps left out) = from h₁₉₈")
    assert not any(t.strip for t in made.frames[4].drawing.scene.tracks)
    assert made.frames[-1].drawing.scene == made.drawing.scene
    assert any(t.strip for t in made.drawing.scene.tracks)
    folded = viz.animate(loss, grad=loss, max_steps=None)
    assert len(folded.frames) <= MOST_TURNS + 2
    lit = [id for frame in folded.frames for id in frame.lit]
    shown = {e.id for e in folded.drawing.scene.edges if e.kind == "backward"}
    assert sorted(x for x in lit if x in shown) == sorted(shown)  # each once


@pytest.mark.parametrize("view", ["ops", "cell", "unfolded"])
def test_each_gradient_lights_once(view):
    _, ys, _ = chain(3, lstm)
    loss = mg.sum(mg.square(ys)).named("L")
    made = viz.animate(loss, view, grad=loss)
    shown = {e.id for e in made.drawing.scene.edges if e.kind == "backward"}
    lit = [id for frame in made.frames for id in frame.lit if id in shown]
    assert shown and sorted(lit) == sorted(shown)
    before: set[str] = set()
    for frame in made.frames:
        now = {e.id for e in frame.drawing.scene.edges if e.kind == "backward"}
        assert now == before | (frame.lit & shown) or frame is made.frames[-1]
        before = now
    assert before == shown


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_every_architecture_runs_back(entry, monkeypatch):
    outputs, _ = drawn_outputs(entry, monkeypatch)
    if not outputs:
        pytest.skip("a structure alone has no gradient")
    loss = sum(mg.sum(mg.square(t)) for t in outputs).named("L")
    made = viz.animate(loss, grad=loss)
    scene = made.drawing.scene
    for track in scene.tracks:
        if track.running:
            assert track.running[-1] == pytest.approx(track.norm, rel=1e-9, abs=1e-13)
    turn = {n.id: n.turn for n in scene.nodes}
    shown = [e for e in scene.edges if e.kind == "backward"]
    assert all(turn[e.source] <= turn[e.target] for e in shown)
    lit = [id for frame in made.frames for id in frame.lit]
    assert len(set(lit)) == len(lit) and {e.id for e in shown} <= set(lit)
    assert all(frame.words for frame in made.frames)


# -- the files -------------------------------------------------------------------------------------


def small(pace=1.0):
    _, ys, _ = chain(4)
    loss = mg.sum(mg.square(ys[1]) + mg.square(ys[3])).named("L")
    return viz.animate(loss, grad=loss, pace=pace)


@needs_graphviz
def test_the_svg_has_no_script_and_two_share_nothing(tmp_path):
    made = small()
    text = made.save(tmp_path / "a.svg").read_text()
    assert made.svg == small().svg  # the same file of the same graph
    assert "<script" not in text and "@media screen and (prefers-reduced-motion: no-pref" in text
    assert not re.search(r"\son\w+=|javascript:|@import|url\(", text)
    root = ET.fromstring(text)
    style = next(x for x in root.iter() if x.tag.endswith("style")).text
    outside = re.sub(r"@media[^{]*\{.*\}", "", style, flags=re.S)
    assert not outside.strip()  # nothing is hidden but where it plays
    shown = [made._repr_html_(), made._repr_html_(), made._repr_svg_(), small()._repr_html_()]
    for pattern in (r'\bid="([^"]+)"', r"@keyframes ([\w-]+)", r'class="(mg[\w-]+)"'):
        found = [set(re.findall(pattern, text)) for text in shown]
        assert all(found) and sum(map(len, found)) == len(set().union(*found))


@needs_graphviz
def test_each_moment_of_the_svg_is_its_frame(tmp_path, running):
    """In a real browser: what is visible when, by the browser's own clock."""
    made = small(0.5)
    page = made.save(tmp_path / "a.svg")
    scene = made.drawing.scene
    flows = [e.id for e in scene.edges if e.kind == "backward"]
    squares = [u.id for t in scene.tracks for u in t.uses]
    reading = """(() => {
      const seen = (id) => getComputedStyle(document.getElementById(id)).visibility === 'visible';
      const bar = (id) => document.getElementById(id).querySelector('polygon')
                                  .getBoundingClientRect().width;
      const texts = [...document.querySelectorAll('text')].filter(
        (t) => getComputedStyle(t).visibility === 'visible').map((t) => t.textContent);
      return { seen: IDS.filter(seen), bars: BARS.map(bar), texts };
    })()"""
    bars = [f"{t.id}total" for t in scene.tracks]
    reading = reading.replace("IDS", json.dumps(flows + squares)).replace("BARS", json.dumps(bars))

    def seek(seconds: float) -> dict:
        return running.evaluate(
            "document.getAnimations().map((a) => "
            f"{{ a.pause(); a.currentTime = {1000 * seconds}; }}).length && {reading}"
        )

    prefer(running, "no-preference")
    running.open(page)
    last = seek(0.5 * (len(made.frames) - 1) + 0.2)
    for k, frame in enumerate(made.frames):
        now, part = seek(0.5 * k + 0.2), frame.drawing.scene
        wanted = {e.id for e in part.edges if e.kind == "backward"}
        wanted |= {u.id for t in part.tracks for u in t.uses}
        assert set(now["seen"]) == wanted, k
        said = " ".join(now["texts"])
        assert f"{k + 1} / {len(made.frames)}" in said and f"{k} / " not in said
        for track, wide, full in zip(part.tracks, now["bars"], last["bars"], strict=True):
            whole = next(t.norm for t in scene.tracks if t.id == track.id)
            assert wide / full == pytest.approx(track.norm / whole, abs=0.03)
    prefer(running, "reduce")
    running.open(page)
    still = running.evaluate(reading)
    assert running.evaluate("document.getAnimations().length") == 0
    assert set(still["seen"]) == {*flows, *squares} and still["bars"] == last["bars"]
    assert still["texts"] == last["texts"] and f"1 / {len(made.frames)}" not in still["texts"]
    running.media("print")
    assert running.evaluate("document.getAnimations().length") == 0
    running.media()


def prefer(browser: Browser, motion: str) -> None:
    feature = {"name": "prefers-reduced-motion", "value": motion}
    browser.call("Emulation.setEmulatedMedia", media="", features=[feature])


@needs_graphviz
def test_where_styles_are_forbidden_it_is_the_finished_drawing(tmp_path, running):
    made = small()
    policy = "default-src 'none'"
    page = tmp_path / "strict.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><body>{made._repr_svg_()}</body>'
    )
    prefer(running, "no-preference")
    running.open(page)
    hidden = running.evaluate(
        "[...document.querySelectorAll('g')].filter((g) => getComputedStyle(g).visibility"
        " !== 'visible' || getComputedStyle(g).opacity !== '1').length"
    )
    assert hidden == 0 and running.evaluate("document.getAnimations().length") == 0
    running.complaints.clear()  # that the style was stopped is what was asked for


@needs_graphviz
def test_the_gif_has_a_picture_a_frame(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    made = small(0.5)
    with Image.open(made.save(tmp_path / "a.gif")) as gif:
        assert gif.n_frames == len(made.frames) and gif.info["loop"] == 0
        times, shots = [], []
        for k in range(gif.n_frames):
            gif.seek(k)
            times.append(gif.info["duration"])
            shots.append(np.asarray(gif.convert("RGB"), float))
    assert times == [500] * (len(times) - 1) + [1500]
    assert all(np.abs(a - b).max() > 60 for a, b in zip(shots, shots[1:], strict=False))
    png = Image.open(io.BytesIO(png_of(made.frames[-1].drawing, shots[-1].shape[1])))
    wanted = np.asarray(png.convert("RGB"), float)
    assert wanted.shape == shots[-1].shape and np.abs(wanted - shots[-1]).mean() < 1


def png_of(drawing, wide):
    from viz.out import render

    natural = width_of(render.run(drawing.dot, "png", dpi=72))
    return render.run(drawing.dot, "png", dpi=72 * wide / natural)


def width_of(data):
    return int.from_bytes(data[16:20], "big")


def test_a_gif_without_pillow_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install pillow.*an SVG"):
        small().save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_wrong_arguments_are_told_in_words(tmp_path):
    _, ys, _ = chain(3)
    loss = mg.sum(ys).named("L")
    for given_, kind, text in [
        ({}, ValueError, "give grad, the scalar it starts from"),
        ({"grad": loss, "view": "folded"}, ValueError, "no order in time.*unfolded, ops, cell"),
        ({"grad": loss, "view": "sideways"}, ValueError, "^animate: unknown view"),
        ({"grad": ys}, ValueError, "^animate: grad must be one scalar"),
        ({"grad": loss, "pace": 0}, ValueError, "positive seconds"),
        ({"grad": loss, "pace": float("nan")}, ValueError, "positive seconds"),
        ({"grad": loss, "pace": "fast"}, TypeError, "number of seconds"),
        ({"grad": loss, "pace": True}, TypeError, "number of seconds"),
    ]:
        with pytest.raises(kind, match=text):
            viz.animate(loss, **given_)
    made = viz.animate(loss, grad=loss)
    for path, kind, text in [
        ("a.mp4", ValueError, r"an animation as 'a.mp4'.*\.svg, \.gif"),
        (3, TypeError, "a path is text"),
        (tmp_path / "no" / "a.svg", FileNotFoundError, "make it first"),
    ]:
        with pytest.raises(kind, match=text):
            made.save(path)


def test_broken_gradients_are_animated_too():
    _, ys, _ = chain(4)
    loss = mg.sum(mg.log(ys[2] * 0.0)).named("L")
    made = viz.animate(loss, grad=loss)
    assert any("nan" in frame.words or "inf" in frame.words for frame in made.frames)
    zero = mg.sum(mg.stop_gradient(ys)).named("L")
    assert len(viz.animate(zero, grad=zero).frames) >= 2
