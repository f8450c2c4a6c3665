"""Texts with an answer each: losses and gradients as the public calls', and what is taken so."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.pytrees import tree_leaves
from tests.counting import some
from viz.commands.study import _asked
from viz.out.render import engine
from viz.study.answers import Answers, answered, repeated
from viz.study.corpus import InputError, read
from viz.study.nets import SEQUENCES, SEVERAL, Both, Window
from viz.study.pairs import Pairs
from viz.study.report import build
from viz.study.training import look, train

from .studies import ANSWERED, FEW, computes, paired

ONE_CELL = [name for name in SEQUENCES if name not in SEVERAL]
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def test_answers_are_told_from_translations():
    assert repeated(read(ANSWERED)) and read(ANSWERED).kind == "pairs"
    assert not repeated(read(FEW))
    assert not repeated(read("a b\tyes\nc d\tyes\ne f\tyes\n"))  # there is nothing to choose


def test_cells_that_are_several_recurrences():
    several = [n for n, make in SEQUENCES.items() if isinstance(make(2, 2), (Both, Window))]
    assert tuple(several) == SEVERAL


def asked(tmp_path, text, **options):
    import argparse

    path = tmp_path / "texts.tsv"
    path.write_text(text)
    given = {"cell": None, "compare": [], "form": "auto", "tokens": "auto", "columns": (),
             "target": None, "series": None, "window": 40} | options  # fmt: skip
    return _asked(argparse.Namespace(input=str(path), **given))


def test_what_is_trained(tmp_path):
    corpus, names = asked(tmp_path, ANSWERED)
    assert corpus.kind == "answers" and names == ["lstm"]
    assert asked(tmp_path, ANSWERED, compare=["gru"])[1] == ["lstm", "gru"]
    assert asked(tmp_path, ANSWERED, cell="luong-attention")[0].kind == "pairs"
    assert asked(tmp_path, FEW)[1] == ["bahdanau-attention"]
    for cell, words in (("bidirectional", "ends in one state"), ("tree-lstm", "reads trees")):
        with pytest.raises(InputError, match=words):
            asked(tmp_path, ANSWERED, cell=cell, form="pairs")
    with pytest.raises(InputError, match="an answer of its own"):
        Answers("lstm", 4, asked(tmp_path, FEW, cell="gru")[0])
    with pytest.raises(InputError, match="only reads.*choose 4"):
        Answers("lstm", 4, read(ANSWERED), loss=2)


@pytest.mark.parametrize("cell", some(ONE_CELL, 4))
def test_numbers_are_those_of_the_public_calls(cell):
    task = Answers(cell, 5, read(ANSWERED))
    params = mg.tensors(task.init(0))
    xs = mg.take(params["embedding"], np.array(task.sources[0]))
    end = rc.unroll(task.cell, params["cell"], xs)[1][-1]
    logits = end @ params["W_y"] + params["b_y"]
    wanted = mg.cross_entropy(logits, 0)
    found = look(task, task.init(0))
    assert np.isnan(found.losses).tolist() == [True, True, True, False]
    assert found.losses[-1] == pytest.approx(float(wanted), rel=1e-12)
    leaves = {t.name.removeprefix("cell."): t for t in tree_leaves(params["cell"])}
    gradient = mg.evaluate(mg.grad(wanted, leaves))
    for name, g in gradient.items():
        assert found.gradient[name] == pytest.approx(float(np.linalg.norm(g)), rel=1e-9, abs=1e-15)
    # a batch of several lengths is the texts one by one
    losses, _, answers = task.scored(params, *task._batch([0, 10, 23]))
    for k, loss in zip((0, 10, 23), mg.evaluate(losses), strict=True):
        one = mg.take(params["embedding"], np.array(task.sources[k]))
        y = rc.unroll(task.cell, params["cell"], one)[1][-1] @ params["W_y"] + params["b_y"]
        assert loss == pytest.approx(float(mg.cross_entropy(y, int(task.answers[k]))), rel=1e-9)
    assert answers.tolist() == [0, 1, 1]


def test_what_is_held_out_is_not_trained_on():
    task = Answers("gru", 5, read(ANSWERED))
    assert task.trained == 22
    rng = np.random.default_rng(0)
    held = [tuple(s) for s in task.sources[22:]]
    assert task.texts[22] == "the film was dull indeed indeed indeed"
    for _ in range(20):
        ids, lengths, _ = task.batch(rng)
        rows = [tuple(ids[:n, k].tolist()) for k, n in enumerate(lengths.steps)]
        assert not set(rows) & set(held)
    assert sum(len(batch[2]) for batch in task.held_out()) == 2
    found = answered(task, task.init(0))
    assert found.own.count == 22 and found.held.count == 2
    assert [text for text, *_ in found.examples] == task.texts[22:]


def test_copies_of_what_was_trained_on_are_not_held_out():
    lines = ANSWERED.splitlines()
    for make in (Answers, Pairs):
        task = make("lstm" if make is Answers else "encoder-decoder", 4,
                    read("\n".join([*lines[:22], lines[0], lines[22]])))  # fmt: skip
        assert task.trained == 22 and task.held == [23]
        assert task.notes[-1].startswith("1 of those kept")


def test_it_learns():
    task = Answers("lstm", 8, read(ANSWERED))
    found = answered(task, train(task, 150, 0).params)
    assert found.own.accuracy == 1 and found.own.loss < 0.1


@needs_graphviz
def test_the_page_says_what_it_is():
    text = build(paired("lstm"))["index.html"]
    text = re.sub("<[^>]*>", " ", re.sub("(?s)<script.*?</script>", "", text))
    for words in (
        "24 texts with an answer each", "names the answer after the last token", "no, it is not",
        "On the texts trained on", "the model says of them",
    ):  # fmt: skip
        assert words in text, words
    assert "next token" not in text and "nan" not in re.findall("[a-z]+", text.lower())


@needs_graphviz
@pytest.mark.long
def test_the_page_computes(browser, tmp_path):
    """Both passes, also of another text, as in Python."""
    study = paired("lstm")
    path = tmp_path / "index.html"
    path.write_text(build(study)["index.html"], encoding="utf-8")
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    task, params = study.task, mg.tensors(study.training.params)
    for word in ("good", "dull"):
        browser.evaluate(f"""(() => {{
          const input = document.querySelectorAll('.words input:not([type])')[3];
          input.value = '{word}'; input.dispatchEvent(new Event('change')); }})()""")
        task.sources[0] = [*task.sources[0][:3], task.words.index(word)]
        computes(browser, study, params)
