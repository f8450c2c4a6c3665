"""The report: words agree with numbers, the page is self-contained, the drawings are whole."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from viz.out.render import engine
from viz.scene.gradient import row_norms
from viz.study.corpus import SPLIT, read
from viz.study.embed import embed
from viz.study.findings import Study, summary
from viz.study.model import FAINT, Sequences, Trees
from viz.study.report import build
from viz.study.story import hiding, rate, story
from viz.study.training import look, train

SENTENCE = "the Saints beat the Panthers last night"
TREE = "(3 (2 It) (4 (2 's) (4 (3 lovely) (2 .))))"
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def studied(text: str, cell: str = "lstm", steps: int = 3, kind: str = "auto") -> Study:
    corpus = read(text, "tree" if cell == "tree" else kind)
    task = (Trees if cell == "tree" else Sequences)(cell, 6, corpus)
    training = train(task, steps, 0)
    before, after = look(task, task.init(0)), look(task, training.params)
    return Study(corpus, task, training, before, after, f"minigrad study {text!r}", 0)


CASES = [(SENTENCE, "rnn"), (SENTENCE, "lstm"), (SENTENCE, "gru"), (TREE, "tree")]


# -- the numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_gradients_agree_with_nudging_every_state(text, cell):
    """d L / d h_n against central differences: one node's state is shifted, the rest runs on."""
    study = studied(text, cell)
    task, params = study.task, study.training.params
    nodes, hidden = len(task.names), task.cell.hidden_size
    direction = np.random.default_rng(0).normal(size=hidden)
    tensors = mg.tensors(params)
    run = task.forward(tensors)
    gradient = mg.state_gradients(run.losses[task.chosen], run.states["h"]).numpy()

    def loss(node: int, eps: float) -> float:
        shifts = np.zeros((nodes, hidden))
        shifts[node] = eps * direction
        return float(shifted(task, params, shifts)[task.chosen])

    for node in range(nodes):
        measured = (loss(node, 1e-5) - loss(node, -1e-5)) / 2e-5
        assert measured == pytest.approx(gradient[node] @ direction, rel=1e-5, abs=1e-10)
    np.testing.assert_allclose(study.after.norms["h"], np.linalg.norm(gradient, axis=1))


def shifted(task, params, shifts):
    """The losses when a constant is added to each node's h: a plain loop, nothing of recur."""
    children: list[list[int]] = [[] for _ in task.names]
    if isinstance(task, Trees):
        s = task.structure
        words, ids = iter(task.trees[task.look_at].words()), []
        for name in task.leaves:
            ids.append(task.number[next(words)] if name else -1)
        for child, parent in sorted(zip(s.src.tolist(), s.dst.tolist(), strict=True)):
            children[parent].append(child)
    else:
        ids = task.ids[: len(task.names)].tolist()
        children = [[k - 1] if k else [] for k in range(len(ids))]
    tree = isinstance(task, Trees)
    zero = [np.zeros(task.cell.hidden_size)] * len(task.cell.state_names)
    zero = tuple(zero) if len(zero) > 1 else zero[0]
    states = []
    for k, number in enumerate(ids):
        x = params["embedding"][number] if number >= 0 else np.zeros(task.cell.input_size)
        below = [states[c] for c in children[k]]
        carry = (
            tuple(below + [zero] * (task.cell.arity - len(below))) if tree else (below or [zero])[0]
        )
        state, _ = task.cell(params["cell"], carry, x)
        parts = state if isinstance(state, tuple) else (state,)
        parts = [np.asarray(parts[0]) + shifts[k], *(np.asarray(p) for p in parts[1:])]
        states.append(tuple(parts) if len(parts) > 1 else parts[0])
    h = np.stack([s[0] if isinstance(s, tuple) else s for s in states])
    return np.asarray(mg.cross_entropy(h @ params["W_y"] + params["b_y"], task.targets))


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_the_ledger_adds_up(text, cell):
    study = studied(text, cell)
    assert study.after.drift < 1e-12
    assert set(study.after.ledger) == set(study.training.params["cell"])
    for name, shares in study.after.shares.items():
        assert len(shares) == len(study.task.names)
        if study.after.gradient[name] > 0:
            assert shares.sum() == pytest.approx(1)


def test_training_lowers_the_loss_and_is_reproducible():
    first, again = studied(SENTENCE, steps=40), studied(SENTENCE, steps=40)
    assert first.training.losses[-1] < 0.9 * first.training.losses[0]
    assert first.training.losses == again.training.losses


@pytest.mark.parametrize(("text", "cell"), [("a b c d e f g h " * 40, "gru"), (TREE * 9, "tree")])
def test_compiled_training_is_the_same_training(text, cell, monkeypatch):
    plain = studied(text, cell, steps=8).training
    monkeypatch.setattr("viz.study.training.WORTH_COMPILING", 0)
    compiled = studied(text, cell, steps=8).training
    np.testing.assert_allclose(plain.losses, compiled.losses, rtol=1e-9)


def test_long_texts_are_seen_through_windows():
    study = studied("a b c d e f g h " * 40, steps=2)
    assert len(study.task.names) == 40 and "320 words" in " ".join(study.task.notes)


def test_batches_of_trees_leave_out_nodes_without_a_label():
    study = studied("(S (NP (N a)) (VP (V b) (N c) (N d) (N e) (N f)))", "tree")
    labels = [n.label for n in study.task.trees[0].postorder()]
    assert SPLIT in labels and SPLIT not in study.task.classes
    assert (study.task.targets[np.array(labels) == SPLIT] == -1).all()
    assert study.task.structure.slots <= study.task.cell.arity
    batch = study.task.batch(np.random.default_rng(0))
    loss = study.task.loss(mg.tensors(study.training.params), *batch)
    assert float(loss) == pytest.approx(np.nanmean(study.after.losses))


def test_the_loss_is_taken_where_there_is_a_label():
    study = studied("((NP (DT the) (NN dog)) (VP barks))", "tree")
    assert study.task.names[study.task.chosen] == "the … dog"
    assert study.task.below.tolist() == [True, True, True, False, False]


# -- the words -------------------------------------------------------------------------------------

NAMES = ["a", "b", "c", "d"]


def test_story_of_a_vanished_gradient():
    first = story(np.array([1e-9, 1e-8, 0.5, 1.0]), NAMES, 3, "L4")[0]
    assert "vanished at steps 1 to 2" in first and "step 1 (“a”): 1.0e-9" in first


def test_story_of_one_that_reaches_everywhere():
    (only,) = story(np.array([0.3, 0.2, 0.5, 1.0]), NAMES, 3, "L4")
    assert only.startswith("No step's gradient vanished") and "20% of that at step 4" in only


def test_story_of_odd_ones():
    assert "exploding" in " ".join(story(np.array([9e5, 1.0, 1.0, 1.0]), NAMES, 3, "L4"))
    assert "not finite" in story(np.array([np.inf, 1.0, 1.0, 1.0]), NAMES, 3, "L4")[0]
    assert "no gradient at all" in story(np.zeros(4), NAMES, 3, "L4")[0]
    assert "only one step" in story(np.ones(1), NAMES[:1], 0, "L1")[0]
    assert "exactly zero" in story(np.array([0.0, 1.0, 1.0, 1.0]), NAMES, 3, "L4")[0]


def test_story_speaks_only_of_what_the_loss_depends_on():
    below = np.array([True, True, True, False])
    (only,) = story(np.array([0.5, 0.5, 1.0, 0.0]), NAMES, 2, "L3", "node", below)
    assert only.startswith("No node's gradient vanished")


def test_the_total_is_named_where_it_hides_the_fading():
    fading = np.array([1e-6, 1e-4, 1e-2, 1.0])
    assert "1.7-fold" in hiding(fading, np.array([1.0, 1.2, 1.7, 1.0]), "L4")
    assert hiding(fading, fading, "L4") == ""
    assert rate(fading) == pytest.approx(0.01)
    assert rate(np.array([0.0, 1.0, 1.0])) is None


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_the_summary_says_what_the_numbers_say(text, cell):
    study = studied(text, cell, steps=30)
    norms, chosen = study.after.norms["h"], study.task.chosen
    vanished = (norms < FAINT * norms[chosen]).any()
    assert ("vanished at" in summary(study)[0]) == vanished


# -- the page --------------------------------------------------------------------------------------


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
    assert page.open == [] and "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert all(load.startswith(("#", "data:")) for load in page.loads), page.loads
    assert "default-src 'none'" in files["index.html"]
    assert not re.search(r"https?://", files["index.html"])
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
    from viz.scene.scene import norm_text

    svg = build(study)["unfolded.svg"]
    for norm in study.after.norms["h"][:-1]:
        assert f">{norm_text(float(norm))}<" in svg
    for word in SENTENCE.split():
        assert f">{word}<" in svg


@needs_graphviz
def test_words_of_a_tree_stand_at_their_leaves():
    study = studied("(1 (2 (1 a) (2 b)) (1 (2 c) (1 d)))", "tree")
    svg = build(study)["unfolded.svg"]
    assert [w for w in re.findall(r">(\w)<", svg) if w in "abcd"] == list("abcd")


def test_embedded_drawings_keep_to_themselves():
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/y.dtd">'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'width="60pt" height="9"><metadata/><style>*{color:red}</style><defs><path id="p"/></defs>'
        '<use xlink:href="#p"/><g clip-path="url(#p)"/><a xlink:href="http://far.away"/></svg>'
    )
    out = embed(svg, "one", "a drawing")
    assert 'id="one-p"' in out and 'href="#one-p"' in out and "url(#one-p)" in out
    assert not re.search("http|style>|metadata|DOCTYPE|far", out)
    assert "max-width:80px" in out


def test_norms_do_not_underflow():
    assert row_norms(np.full((1, 4), 1e-200))[0] == pytest.approx(2e-200)


def test_the_tree_cell_is_the_one_of_the_package():
    assert isinstance(studied(TREE, "tree").task.cell, rc.TreeLSTM)
