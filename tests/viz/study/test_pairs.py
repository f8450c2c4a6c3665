"""Encoder-decoders over pairs: losses and gradients as the public calls', what is held out."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from tests.counting import some
from viz.out.render import engine
from viz.study.corpus import InputError, read
from viz.study.corpus import given as taken
from viz.study.nets import PAIRS
from viz.study.pairs import Pairs, translations
from viz.study.report import build
from viz.study.training import look, train

from .studies import FEW, computes, paired

MANY = "".join(f"{a} {b}\t{b} {a} {a}\n" for a in "abcdef" for b in "uvwxyz")
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def test_pairs_are_recognised():
    assert taken(FEW).looks == "pairs" and taken(MANY).looks == "pairs"
    assert taken("a\t1\nb\t2\nc\t3\n").looks == "table"
    assert taken("a tab\there\nand none\n").looks == "text"
    corpus = read(FEW)
    assert corpus.pairs[0] == (["good", "old", "morning"], ["bonjour"])
    assert read("cat\tchat\ndog\tchien\n").pairs[0][0] == ["c", "a", "t"]
    with pytest.raises(InputError, match="line 2 of .* is none"):
        read("a\tb\nc\n", form="pairs")


@pytest.mark.parametrize("cell", PAIRS)
def test_numbers_are_those_of_the_public_calls(cell):
    """Losses by hand from the net of `recurrent`; gradients by finite differences of one number."""
    task = Pairs(cell, 5, read(FEW))
    params = task.init(0)
    net, own = task.cell, task.net_params(params)
    xs = np.array(task.sources[0])[:, None]
    start = len(task.classes) - 2
    answers = np.array(task.answers[0])
    before = np.array([start, *answers[:-1]])[:, None]
    logits = net(own, xs, before)
    wanted = mg.cross_entropy(logits[:, 0], answers).numpy()
    found = look(task, params)
    np.testing.assert_allclose(found.losses[~np.isnan(found.losses)], wanted)
    assert np.isnan(found.losses).tolist() == [True] * 3 + [False] * 2
    assert len(found.norms["h"]) == len(task.names) == 5
    assert all(len(rows) == 5 for rows in found.ledger.values()) and found.drift < 1e-12
    # a number of the embedding of the first word, and a number of the encoder: slopes
    for path in (("embedding",), ("cell", "encoder", "W_n"), ("cell", "start", 0, "V")):
        leaves = mg.tensors(params)
        run = task.forward(leaves)
        at = leaves
        for step in path:
            at = at[step]
        gradient = mg.grad(run.losses[task.chosen], at).numpy()
        row = task.sources[0][0]

        def loss(eps, path=path, row=row):
            moved = mg.evaluate(mg.tensors(params))
            value = moved
            for step in path[:-1]:
                value = value[step]
            value[path[-1]] = np.array(value[path[-1]])
            value[path[-1]][row, 1] += eps
            return task.forward(mg.tensors(moved)).losses[task.chosen].numpy()

        slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
        assert slope == pytest.approx(gradient[row, 1], rel=1e-5, abs=1e-10)


def test_batches_are_padded_without_a_trace():
    task = Pairs("bahdanau-attention", 5, read(FEW))
    params = mg.tensors(task.init(0))
    batch = task.batch(np.random.default_rng(0))
    each = [task._losses(params, *task._batch([k], (len(task.sources[k]), len(task.answers[k]))))[1]
            for k in range(3)]  # fmt: skip
    every = np.concatenate([losses.numpy()[:, 0] for losses in each])
    assert float(task.loss(params, *batch)) == pytest.approx(every.mean())


def test_what_is_held_out_is_not_trained_on():
    other = MANY.replace("f z\tz f f", "f z\tq")
    first, again = (Pairs("encoder-decoder", 4, read(text)) for text in (MANY, other))
    assert first.trained == 33 and sum(b[0].shape[1] for b in first.held_out()) == 3
    a, b = train(first, 5, 0), train(again, 5, 0)
    assert a.losses == b.losses


@pytest.mark.long
def test_it_learns_to_turn_round():
    task = Pairs("bahdanau-attention", 16, read(MANY))
    training = train(task, 300, 0, rate=0.02)
    found = translations(task, training.params)
    assert found.held.accuracy > 0.9
    assert sum(b == c for _, b, c in found.examples) >= 2
    greedy = rc.greedy(
        task.cell, mg.evaluate(mg.tensors(task.net_params(training.params))),
        np.array([task.sources[33]]).T, first=len(task.classes) - 2, end=len(task.classes) - 1,
        steps=8,
    )  # fmt: skip
    said = " ".join(task.classes[k] for k in greedy[0].tokens if task.classes[k] != "⟨end⟩")
    assert found.examples[0][2] == said


@needs_graphviz
@pytest.mark.parametrize("cell", some([*PAIRS], 1))
def test_the_page_and_the_drawing_say_the_words(cell):
    files = build(paired(cell))
    for word in ("good", "old", "morning", "bonjour"):
        assert f">{word}<" in files["unfolded.svg"]
    text = re.sub("<[^>]*>", " ", re.sub("(?s)<script.*?</script>", "", files["index.html"]))
    assert "the model says" in text and "nan" not in re.findall("[a-z]+", text.lower())


@needs_graphviz
@pytest.mark.long
@pytest.mark.parametrize("cell", PAIRS)
def test_the_page_computes(browser, tmp_path, cell):
    """Both passes, also of another source, are Python's; what is named by a word is renamed."""
    study = paired(cell)
    path = tmp_path / "index.html"
    path.write_text(build(study)["index.html"], encoding="utf-8")
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    task, params = study.task, mg.tensors(study.training.params)
    for word in (None, "cat"):
        if word:
            browser.evaluate("""(() => {
              const input = document.querySelector('.words input:not([type])');
              input.value = 'cat'; input.dispatchEvent(new Event('change')); })()""")
            task.sources[0] = [task.words.index("cat"), *task.sources[0][1:]]
        computes(browser, study, params)
        said = browser.evaluate("""[...document.querySelectorAll('.panel .item.input text')].map(
          (t) => t.textContent)""")
        assert said == [word or "good", "old", "morning", "⟨start⟩", "bonjour"]
        steps = browser.evaluate("""[...document.querySelectorAll('.words .chip span')].map(
          (t) => t.textContent)""")
        assert steps == [f"{word or 'good'} 1", "old 2", "morning 3", "⟨start⟩ 1", "bonjour 2"]


def test_a_loss_at_the_source_is_refused():
    with pytest.raises(InputError, match="only reads.*4 to 5"):
        Pairs("encoder-decoder", 4, read(FEW), loss=2)
