"""The report: the page is whole and self-contained, the drawings show its numbers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from viz.out.render import engine
from viz.scene.scene import norm_text
from viz.study.report import build

from .studies import CASES, SENTENCE, studied

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


class Page(HTMLParser):
    """Collects every id and everything a browser could load, and checks that tags nest."""

    VOID = {"meta", "link", "br", "hr", "img", "input"}
    LOOSE = {"th", "td", "tr", "thead", "tbody", "p", "li"}  # HTML closes these by itself

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)
        self._attributes(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._attributes(tag, attrs)

    def _attributes(self, tag, attrs):
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("href", "src", "xlink:href", "data", "action") and tag != "a":
                self.loads.append(value)
            if key.startswith("on"):
                self.loads.append(f"{key}={value}")
            self.references += re.findall(r"url\(#([^)]+)\)", value or "")
            if key == "href" and value.startswith("#"):
                self.references.append(value[1:])

    def handle_endtag(self, tag):
        if tag not in self.VOID | self.LOOSE:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


@needs_graphviz
@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *CASES,
        ("<b onload=x>&amp; </svg> \"q\" 'p' $x$ ${y} %s <!-- ]]>", "rnn"),
        ("(1 (<b> </b>) (2 &amp;))", "tree"),
    ],
)
def test_the_page_is_whole_and_loads_nothing(text, cell):
    files = build(studied(text, cell))
    page = Page(files["index.html"])
    assert page.open == [] and page.tags.count("script") == 2
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert all(load.startswith(("#", "data:")) for load in page.loads), page.loads
    assert "default-src 'none'" in files["index.html"]
    assert "://" not in files["index.html"].replace("http://www.w3.org/2000/svg", "")
    for name, svg in files.items():
        if name.endswith(".svg"):
            assert ET.fromstring(svg).tag.endswith("svg")
            assert f'href="{name}"' in files["index.html"]
    shown = " ".join("".join(page.text).split())
    assert " ".join(text.split()) in shown or cell == "tree"
    assert "nan" not in re.findall(r"[a-z]+", shown.lower())


@needs_graphviz
def test_the_drawing_shows_the_numbers_of_the_table():
    study = studied(SENTENCE, "rnn")
    svg = build(study)["unfolded.svg"]
    for norm in study.after.norms["h"][:-1]:
        assert f">{norm_text(float(norm))}<" in svg
    for word in SENTENCE.split():
        assert f">{word}<" in svg


@needs_graphviz
def test_words_of_a_tree_stand_at_their_leaves():
    study = studied("(1 (2 (1 a) (2 b)) (1 (2 c) (1 d)))", "tree")
    root = ET.fromstring(build(study)["unfolded.svg"])
    inputs = [g for g in root.iter() if "input" in g.get("class", "").split()]
    texts = [t.text for g in inputs for t in g.iter() if t.tag.endswith("}text")]
    assert texts == list("abcd")
