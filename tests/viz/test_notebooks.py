"""How things show themselves in a notebook: whole, legible, and apart from each other."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.testing import check_grads
from viz.out.render import engine

from .graphs import chain

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


@needs_graphviz
def test_two_drawings_share_no_id():
    """Also one that is shown twice, as HTML and as SVG."""
    _, ys, _ = chain(4)
    loss = mg.sum(ys).named("L")
    drawing = viz.draw(loss, grad=loss)
    shown = [drawing._repr_html_(), drawing._repr_html_(), drawing._repr_svg_(),
             viz.draw(loss, view="ops")._repr_html_()]  # fmt: skip
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in shown]
    assert all(ids) and sum(map(len, ids)) == len(set().union(*ids))
    for text in shown:
        known = set(re.findall(r'\bid="([^"]+)"', text))
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {(k, "") for k in known}
        assert "<script" not in text and "<title>" in text
    ET.fromstring(shown[2])


@pytest.mark.parametrize(
    "source",
    ["(3 (2 It) (4 works))", "(a b)", "(<b> (& \"'))", "(S (NP (DT the) (NN dog)) (VP barks))"],
)
def test_a_tree_is_drawn(source):
    tree = rc.Tree.parse(source)
    root = ET.fromstring(tree._repr_html_())
    texts = [t.text for t in root.iter("text")]
    assert sorted(texts) == sorted(
        x for n in tree.postorder() for x in (n.label, n.word) if x not in ("", None)
    )
    assert len(list(root.iter("path"))) == len(tree.postorder()) - 1
    places = {t.text: float(t.get("x")) for t in root.iter("text")}
    words = [places[w] for w in tree.words()]
    assert words == sorted(words)


def test_hostile_and_large_trees():
    word = "a\ud800\x00\u202e</svg>"
    tree = rc.Tree("x", [rc.Tree("y", word=word), rc.Tree("z", word="w" * 500)])
    ET.fromstring(tree._repr_html_())
    many = rc.Tree("r", [rc.Tree("n", word=str(k)) for k in range(1000)])
    assert many._repr_html_().startswith("<pre>(r (n 0)")


def test_a_check_report_is_a_table():
    report = check_grads(lambda x: mg.sum(mg.sin(x) * 2), np.array([0.1, 0.2]))
    root = ET.fromstring(report._repr_html_())
    assert len(list(root.iter("tr"))) == 1 + len(report.findings)
    assert "correct" in report._repr_html_() and all(th.get("scope") for th in root.iter("th"))


def test_explanations_and_formulas():
    f = mg.function(lambda x: mg.tanh(x) * 2)
    text = f.explain(np.ones(3))
    assert repr(text) == str(text) and isinstance(text, str)
    x = mg.symbol("x")
    formula = mg.latex(mg.sqrt(x) + 1)
    assert formula._repr_latex_() == f"$\\displaystyle {formula}$" and isinstance(formula, str)
