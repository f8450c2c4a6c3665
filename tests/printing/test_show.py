"""`mg.show` and the card of a Tensor in a notebook: what they say, and that nothing is computed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad import pytrees
from minigrad.graph import toposort
from minigrad.printing import html
from minigrad.printing.walks import described
from minigrad.recur import PROJ, RECUR, parts_of
from minigrad.testing.strategies import problems


def gru():
    cell = rc.GRU(2, 3)
    params = mg.tensors(cell.init(0))
    xs = mg.asarray(np.ones((5, 2)), name="x")
    ys = rc.unroll(cell, params, xs, carry=np.ones(3))[1]
    loss = mg.sum(ys**2)
    return loss, mg.grad(loss, params)


def test_a_line_a_node():
    x, w = mg.asarray(np.ones((5, 2)), name="x"), mg.asarray(np.ones((2, 3)), name="W")
    h = mg.tanh(x @ w).named("h")
    text = mg.show(mg.sum(h[1:, ::2] * 2.0, axis=1))
    wanted = [
        "%0 x = constant float64[5,2]",
        "%1 W = constant float64[2,3]",
        '%2 = einsum("ab,bc->ac", x, W) float64[5,3]',
        "%3 h = tanh(%2) float64[5,3]",
        "%4 = slice(h, [1:, ::2]) float64[4,2]",
        "%5 = multiply(%4, 2.0) float64[4,2]",
        "%6 = sum(%5, axis=1) float64[4]",
        "returns %6",
    ]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert [re.sub(r" test_show.py:\d+$", "", line) for line in lines] == wanted
    assert all(re.search(r" test_show.py:\d+$", line) for line in lines[:-1])
    assert repr(text) == str(text)


def test_a_recurrence_and_its_gradient():
    loss, grads = gru()
    text = mg.show((loss, grads))
    assert re.search(r"%\d+ = GRU over a chain of 5 steps ", text)
    assert re.search(r"%\d+ = GRU' over a chain of 5 steps backwards ", text)
    assert "     U_n enters as U_n: the same for every node" in text
    assert "     x enters as x: a row for every node" in text
    assert "enters as h0: a row by number out of 1, zeros for 4 of 5 nodes" in text
    assert re.search(r"dU_n = dU_n of %\d+, summed over the nodes +float64\[3,3\]", text)
    assert text.count("\nblock GRU\n") == text.count("\nblock GRU'\n") == 1
    assert re.search(r"state 0: arrives as %\d+ in slot 0; %\d+ leaves by port 0", text)
    assert "gradient of sigmoid z" in text and loss._value is None


def test_a_block_is_listed_once():
    cell = rc.RNN(2, 3)
    params = mg.tensors(cell.init(0))
    one, two = (rc.unroll(cell, params, np.ones((n, 2)))[1] for n in (3, 4))
    text = mg.show((one, two))
    assert text.count("block RNN") == 1 and "chain of 3" in text and "chain of 4" in text


def test_a_function_is_called_with_named_tensors():
    def loss(params, xs, *rest):
        return mg.sum(mg.tanh(xs @ params["W"]) * rest[0] + rest[1])

    text = mg.show(loss, {"W": np.ones((2, 3))}, np.ones((4, 2)), 2.0, np.ones(3))
    for name in ("W", "xs", "rest1"):
        assert re.search(rf"^%\d {name} = constant", text, re.M)
    assert "multiply(%3, 2.0)" in text


@given(problems())
def test_every_node_has_its_line(problem):
    t = problem.tensors()
    states, outputs = problem.run(t)
    leaves = [x for x in pytrees.tree_leaves((states, outputs))]
    text = mg.show(leaves)
    order = toposort(leaves)
    recurrences = [x for x in order if x.op is RECUR]
    head = text.partition("\nreturns ")[0]
    assert head.count(" of %") == sum(x.op is PROJ for x in order)
    assert head.count(" enters as ") == sum(len(r.inputs) for r in recurrences)
    for r in recurrences:
        assert f"over {described(parts_of(r).structure)}" in head
    assert text.count("\nblock ") == len({parts_of(r).block for r in recurrences})


STRUCTURES = [
    (mg.Structure.chain(5), "a chain of 5 steps"),
    (mg.Structure.chain(5, reverse=True), "a chain of 5 steps backwards"),
    (mg.Structure.chain([3, 3]), "2 chains of 3 steps"),
    (mg.Structure.chain([1, 3]), "2 chains of 1 to 3 steps"),
    (mg.Structure.forest([[], [], [0, 1], [], [3]]), "a forest of 5 nodes in 2 trees"),
    (mg.Structure.forest([[], [], [0, 1]]), "a tree of 3 nodes"),
    (
        mg.Structure.forest([[], [], [0, 1]]).transpose(),
        "a tree of 3 nodes, from the roots to the leaves",
    ),
    (mg.Structure.grid((2, 3)), "a grid of 6 nodes"),
    (
        mg.Structure.edges(3, [0, 0, 1], [1, 2, 2]),
        "a directed acyclic graph of 3 nodes and 3 edges",
    ),
    (mg.Structure.edges(4, [], []), "4 nodes without edges"),
    (mg.Structure.chain(1), "one node"),
    (
        mg.Structure.chain(4).truncated([True, False, True]),
        "a chain of 4 steps, no gradient along 1 of its edges",
    ),
]


@pytest.mark.parametrize(("structure", "words"), STRUCTURES, ids=lambda v: str(v)[:40])
def test_structures_in_words(structure, words):
    assert described(structure) == words


def test_bad_input():
    x = mg.asarray(1.0)
    with pytest.raises(TypeError, match="show: outputs must hold Tensors"):
        mg.show([x, 2])
    with pytest.raises(TypeError, match="further arguments are those of a function"):
        mg.show(x, x)
    with pytest.raises(TypeError, match=r"show: <lambda> cannot be called with 1 arguments: miss"):
        mg.show(lambda a, b: a, x)


def test_a_long_graph():
    t = mg.asarray(1.0, name="x")
    for _ in range(3000):
        t = mg.sin(t)
    text = mg.show(t)
    assert len(text.splitlines()) == 3002
    assert "2002 more lines" in text._repr_html_()


# -- notebooks -------------------------------------------------------------------------------------


class Balanced(HTMLParser):
    """Every tag is closed; keeps the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags = [], "", []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


EVIL = "<script>alert('x')</script>&"


def test_the_listing_as_html():
    x = mg.asarray(np.ones(3), name=EVIL)
    page = Balanced(mg.show((x * 2, gru()))._repr_html_())
    assert "script" not in page.tags and EVIL in page.text
    assert page.text.count("block GRU") >= 1


def card(t):
    page = t._repr_html_()
    return Balanced(page), page


def test_a_card_says_what_is_known_and_computes_nothing():
    t = mg.tanh(mg.asarray(np.zeros((2, 3)), name="x")).named(EVIL)
    found, _ = card(t)
    assert EVIL in found.text and "tanh · 2 × 3 · float64" in found.text
    assert "not computed yet" in found.text and t._value is None and "svg" not in found.tags
    t.numpy()
    found, page = card(t)
    assert "mean 0, from 0 (light) to 0 (dark)" in found.text and found.tags.count("rect") == 6
    ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])


def test_the_states_of_a_recurrence_have_a_card():
    loss, _ = gru()
    states = loss.inputs[0].inputs[0]
    assert states.op is PROJ
    states.numpy()
    assert "5 × 3 · float64" in card(states)[0].text


DIGESTS = [
    (np.array([1.0, np.nan, 3.0, np.inf, -np.inf]), "mean 2, from 1 to 3, 1 NaN, 2 inf"),
    (np.array([np.nan]), "1 NaN"), (np.zeros((0, 3)), "no elements"), (np.array(3.5), "value 3.5"),
    (np.array([True, False, True]), "2 of 3 true"), (np.arange(5), "mean 2, from 0 to 4"),
    (np.array(True), "value True"), (np.array(7), "value 7"), (np.array(np.nan), "value nan"),
    (np.array([1e308, 1e308, -1e308]), "from -1e+308 to 1e+308"),
    (np.array([1.5, 2.5], np.float32), "mean 2, from 1.5 to 2.5"),
    (np.array([0, 255], np.uint8), "mean 127.5, from 0 to 255"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), DIGESTS, ids=lambda v: str(v)[:30])
def test_digests(value, words):
    assert words in html.digest(value)
    card(mg.asarray(value))


def test_what_is_not_finite_is_seen():
    _, page = card(mg.asarray(np.array([[1.0, np.nan], [np.inf, 2.0]])))
    assert page.count("<path") == 1 and page.count("<circle") == 1
    big = np.ones((500, 700))
    big[499, 699] = np.nan
    assert html.heat(big).count("<path") == 1 and html.heat(big).count("<rect") == 48 * 12


@given(st.integers(0, 2**31), st.lists(st.integers(0, 40), min_size=0, max_size=3))
def test_any_shape_has_a_card(seed, shape):
    value = np.random.default_rng(seed).standard_normal(shape)
    found, page = card(mg.asarray(value))
    assert len(page) < 60_000
    assert found.tags.count("rect") <= 48 * 12


def luminance(colour):
    """Of sRGB, as WCAG 2 has it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_text_is_legible_and_shades_keep_their_order_in_grey():
    paper = luminance(html.PAPER)
    for colour in (html.INK, html.QUIET):
        assert (paper + 0.05) / (luminance(colour) + 0.05) >= 4.5
    shades = [luminance(html._grey(s)) for s in np.linspace(0, 1, 50)]
    assert (np.diff(shades) < 0).all() and shades[0] / shades[-1] > 4.5
    used = set(re.findall(r"color:(#\w{6})", gru_page()))
    assert used <= {html.INK, html.QUIET}


def gru_page():
    return mg.show(gru())._repr_html_() + gru()[0]._repr_html_()
