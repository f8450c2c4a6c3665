"""Any label through the page, JSON and the summary: it stays text, whatever it is."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from viz.out.render import engine
from viz.page.frame import as_json, page
from viz.page.program import said
from viz.scene.text import clean

from ...counting import examples
from ..graphs import labelled
from ..out.test_render import HOSTILE

OURS = set(
    "html head meta link title style body h1 details summary figure div svg pre table thead tbody "
    "tr th td script p".split()
)
EVIL = [
    "</script><script>alert(1)</script>", "<!--", "]]>", "' onload='x", '" onfocus="x',
    "&lt;b&gt;", "</style>", "</details>", "\ud83d", "\udc00x", "{{x}}", "${x}", "`", "\u2028",
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list]] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))
        if tag == "th":
            self.cells.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "th":
            self.cells[-1] += data


def through(labels):
    """The page of a scene with these labels, its JSON and its summary."""
    scene = labelled(labels)
    drawing = viz.Drawing(scene)
    text = page(scene, '<svg width="9pt"></svg>', drawing.summary(), None, labels[0])
    text.encode("utf-8")
    drawing.summary().encode("utf-8")
    tags = Tags(text)
    assert {tag for tag, _ in tags.found} <= OURS
    assert not [a for _, attrs in tags.found for a in attrs if a[0].startswith("on")]
    assert text.count("<script") == text.count("</script>") == 2
    assert tags.cells[:4] == ["node", "kind", "what it is", "gradient norm"]
    assert tags.cells[4:] == [clean(" ".join(label.split())) for label in labels]
    held = re.search(r'<script type="application/json" id="scene">(.*?)</script>', text, re.DOTALL)
    names = [name for _, name in json.loads(held[1])["nodes"]]
    assert len(names) == len(labels) and all(n.encode("utf-8") is not None for n in names)
    scene.to_json().encode("utf-8")
    assert [n["label"] for n in json.loads(scene.to_json())["nodes"]] == labels


def test_the_worst_labels():
    through(HOSTILE + EVIL)


@pytest.mark.long
@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=30), min_size=34, max_size=40))
def test_any_label(labels):
    """10,000 in all, lone surrogates among them."""
    through(labels)


@settings(max_examples=examples(200), deadline=None)
@given(st.recursive(st.text(st.characters(codec=None)), st.lists, max_leaves=8))
def test_data_cannot_end_its_block(value):
    text = as_json(value)
    assert "<" not in text and json.loads(text) == value and text.isascii()


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
def test_hostile_words_in_a_browser(browser, tmp_path):
    """They are drawn as they are said, and nothing of them runs."""
    words = (HOSTILE + EVIL)[:48]
    cell = rc.RNN(2, 3)
    params = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, params, np.ones((len(words), 2)))
    loss = mg.sum(ys[-1]).named("</script><script>x")
    browser.open(viz.draw(loss, grad=loss, labels=words).save(tmp_path / "h.html"))
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    shown = browser.evaluate("minigrad.page.panel.runs[0].words")
    assert shown == [said(w, 40) for w in words]
    assert browser.evaluate("document.querySelectorAll('script').length") == 3
    drawn = browser.evaluate(
        "[...document.querySelectorAll('.panel .item.input')].map(g => g.ariaLabel)"
    )
    assert len(drawn) == len(words)
