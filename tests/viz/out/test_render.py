"""Graphviz: hostile labels, both engines, failures that are found out, files that are whole."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
import viz
from viz.draw import Drawing
from viz.out import render
from viz.out.dot import drawn_edges, drawn_nodes
from viz.scene.text import LIMIT, clean, quote, shorten, subscript, width

from ...counting import examples
from ..graphs import chain, labelled, slots

HOSTILE = [
    "a",
    "\\N \\G \\L \\l",
    'say "x"',
    "<b>&lt;&amp;&#65;&nope;</b>",
    "\n\nboth",
    "a\n\n\nb",
    "\r\nx\ry",
    "\x00\x01\x1b[31m\x7f\x9b",
    "\ud800 lone",
    "\ufffe\uffff",
    "\u202e rtl مرحبا",
    "x" * 20_000,
    "]; n1 -> n2 [",
    "{a|b}",
    "%",
    "漢字 🙂 ê",
    "-->",
    "]]>",
    "<![CDATA[",
    " ",
    "",
    "\t\t",
    "\u2028sep",
    "\\",
    'end\\"',
    "&",
    "node",
    "strict digraph {",
    "http://example.com",
    "%s %d",
    "${HOME}",
    "\ufeffbom",
    "\\n",
    "a\\",
]


@pytest.fixture(params=["neato", "wheel"])
def engine(request, monkeypatch):
    """Each of the two ways to run Graphviz, skipping visibly where it is missing."""
    if request.param == "neato":
        if not render.shutil.which("neato"):
            pytest.skip("no neato on PATH")
    else:
        pytest.importorskip("pygraphviz", reason="the pygraphviz wheel is not installed")
        monkeypatch.setenv("PATH", "/nonexistent")
    assert render.engine() == request.param
    return request.param


@pytest.fixture
def graphviz():
    if render.engine() is None:
        pytest.skip("no Graphviz: neither neato on PATH nor the pygraphviz wheel")


def texts(root, id):
    """The lines of text drawn in the group with this id."""
    group = next(g for g in root.iter(f"{render.SVG}g") if g.get("id") == id)
    return [squeezed("".join(t.itertext())) for t in group.iter(f"{render.SVG}text")]


def squeezed(line):
    return " ".join(line.replace("\u00a0", " ").split())


def check(labels):
    drawing = Drawing(labelled(labels))
    scene, layout = drawing.scene, drawing.layout
    nodes, edges = drawn_nodes(scene, layout), drawn_edges(scene, layout)
    root = render.render_svg(drawing.dot, nodes, edges)
    for node, label in zip(scene.nodes, labels, strict=True):
        assert list(filter(None, texts(root, node.id))) == list(
            filter(None, map(squeezed, clean(label).split("\n")))
        )
    ET.fromstring(drawing.svg)


def test_hostile_labels_are_drawn_literally(engine):
    check(HOSTILE)


@pytest.mark.long
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(labels=st.lists(st.text(st.characters(codec=None), max_size=40), min_size=25, max_size=40))
def test_any_label_is_drawn_literally(graphviz, labels):
    check(labels)


@given(st.text(st.characters(codec=None)))
def test_quoted_text_cannot_leave_its_quotes(text):
    inner = quote(text)[1:-1]
    assert "\n" not in inner
    assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
    assert len(clean(text)) <= 400 and width(clean(text), 10) >= 0
    assert len(shorten(text, 12)) <= 12
    clean(text).encode("utf-8")


def test_subscripts():
    assert subscript("x", 12) == "x₁₂" and subscript("h", 0) == "h₀"
    assert subscript("x", "t") == "xₜ" and subscript("x", "q") == "x_q"


def test_every_format(engine, tmp_path):
    drawing = viz.draw(chain(3)[1])
    starts = {
        "svg": b"<?xml",
        "png": b"\x89PNG",
        "pdf": b"%PDF",
        "html": b"<!DOCTYPE html>",
        "dot": b"digraph",
        "json": b"{",
    }
    for suffix, start in starts.items():
        path = drawing.save(tmp_path / f"x.{suffix.upper()}")
        assert path.read_bytes().startswith(start)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == sorted(f".{s.upper()}" for s in starts)
    html = (tmp_path / "x.HTML").read_text(encoding="utf-8")
    assert "<title>rnn, step 1" in html and "shape (2,), float64" in html
    assert "http:" not in html.replace("http://www.w3.org/", "") and "https:" not in html
    assert drawing._repr_svg_().startswith("<svg") and "<svg" in drawing._repr_html_()


def test_without_graphviz_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(render, "engine", lambda: None)
    drawing = viz.draw(chain(3)[1])
    with pytest.raises(viz.GraphvizError, match="install Graphviz.*pip install pygraphviz"):
        drawing.save(tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())
    for suffix in ("dot", "json"):
        drawing.save(tmp_path / f"x.{suffix}")
    assert "3 cell" in drawing.summary()
    assert drawing._repr_svg_() is None and drawing._repr_html_() is None


def test_edges_run_where_the_layout_says(engine):
    """Graphviz silently routes an edge anew where it cannot read the path it was given."""
    # A full tree of six levels: its rails have long paths.
    heap = [[2 * k + 1, 2 * k + 2] if 2 * k + 2 < 63 else [] for k in range(63)]
    structure = mg.Structure.forest(heap)
    loss = mg.sum(slots(structure)[1])
    for view in ("unfolded", "folded", "ops"):
        drawing = viz.draw(loss, view, grad=loss, max_steps=None)
        longest = max(map(len, re.findall(r'pos="([^"]*)"', drawing.dot)))
        assert view != "unfolded" or longest > LIMIT
        root = ET.fromstring(drawing.svg)
        groups = {g.get("id"): g for g in root.iter(f"{render.SVG}g")}
        paths, shifts = drawing.layout.paths, []
        for id, path in paths.items():
            drawn = groups[id].find(f"{render.SVG}path").get("d")
            points = [float(v) for v in re.findall(r"-?[0-9.]+", drawn)]
            assert len(points) == 2 * len(path.points)
            shifts.append((points[0] - path.points[0][0], points[1] + path.points[0][1]))
        np.testing.assert_allclose(shifts, np.tile(shifts[0], (len(shifts), 1)), atol=0.02)


def test_unknown_suffix_names_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, \.html, \.dot, \.json"):
        viz.draw(chain(3)[1]).save(tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


def test_a_failed_drawing_leaves_the_old_file(graphviz, tmp_path, monkeypatch):
    path = tmp_path / "x.svg"
    drawing = viz.draw(chain(3)[1])
    drawing.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(render.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        drawing.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


FAKES = {
    "error on stderr, status 0": "sys.stderr.write('Error: lost it\\n'); print('<svg/>')",
    "status 1 with output": "print('<svg/>'); sys.exit(1)",
    "nothing at all": "pass",
    "no XML": "print('<svg')",
    "a node too few": "print('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
}


@pytest.mark.parametrize("script", FAKES.values(), ids=FAKES)
def test_graphviz_that_fails_quietly_is_found_out(script, monkeypatch):
    fake = [sys.executable, "-c", f"import sys; sys.stdin.read(); {script}"]
    monkeypatch.setattr(render, "_command", lambda format, dpi: fake)
    with pytest.raises(viz.GraphvizError):
        _ = viz.draw(chain(3)[1]).svg


@pytest.mark.parametrize("script", list(FAKES.values())[:3], ids=list(FAKES)[:3])
def test_bitmaps_cannot_be_counted_but_status_and_stderr_are_read(script, monkeypatch, tmp_path):
    fake = [sys.executable, "-c", f"import sys; sys.stdin.read(); {script}"]
    monkeypatch.setattr(render, "_command", lambda format, dpi: fake)
    with pytest.raises(viz.GraphvizError):
        viz.draw(chain(3)[1]).save(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_stuck_graphviz_is_given_up(monkeypatch):
    fake = [sys.executable, "-c", "import time; time.sleep(30)"]
    monkeypatch.setattr(render, "_command", lambda format, dpi: fake)
    with pytest.raises(viz.GraphvizError, match="did not finish within 0.2 s"):
        render.run("digraph {}", "svg", timeout=0.2)


def test_broken_dot_is_an_error(engine):
    with pytest.raises(viz.GraphvizError):
        render.run("digraph { a -> ", "svg")
