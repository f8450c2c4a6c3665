"""Small studies that the tests of the report look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.pytrees import tree_leaves
from viz.study.answers import Answers, answered
from viz.study.corpus import Given, read
from viz.study.findings import Model, Study
from viz.study.forecast import forecasts
from viz.study.model import Sequences, Trees
from viz.study.nets import PAIRS, reads_trees
from viz.study.pairs import Pairs, translations
from viz.study.results import results
from viz.study.series import Numbers
from viz.study.table import Asked, tabular
from viz.study.training import look, train

SENTENCE = "the Saints beat the Panthers last night"
TREE = "(3 (2 It) (4 (2 's) (4 (3 lovely) (2 .))))"
CASES = [(SENTENCE, "rnn"), (SENTENCE, "lstm"), (SENTENCE, "gru"), (TREE, "tree")]


def studied(text: str, cell: str = "lstm", steps: int = 3, kind: str = "auto") -> Study:
    tree = reads_trees(cell)
    corpus = read(text, kind, "trees" if tree else "text")
    task = (Trees if tree else Sequences)(cell, 6, corpus)
    training = train(task, steps, 0)
    before, after = look(task, task.init(0)), look(task, training.params)
    found = results(task, corpus, training.params, 0)
    models = (Model(cell, task, training, after, found),)
    command = f"minigrad study {text!r}"
    return Study(corpus, task, training, before, after, command, 0, models=models)


FEW = "good old morning\tbonjour\nthank you\tmerci bien\nthe cat\tle chat\n"
ANSWERED = "".join(
    f"the film was {word}{' indeed' * k}\t{'yes' if n < 3 else 'no, it is not'}\n"
    for k in range(4) for n, word in enumerate("good fine great bad dull poor".split())
)  # fmt: skip
PASSES = """(() => {
  const { runs: [run], backs: [back] } = minigrad.page.panel, { id, index } = run.seeds[0];
  return [run.tape.nodes[id].value.data[index], Object.fromEntries(
    run.params.map((p) => [p.name, back.grad[p.id]?.data ?? null]))];
})()"""


def paired(cell: str, steps: int = 2) -> Study:
    """The study of pairs; of a cell for words, of texts with an answer each."""
    answers = cell not in PAIRS
    corpus = replace(read(ANSWERED), kind="answers") if answers else read(FEW)
    task: Any = (Answers if answers else Pairs)(cell, 5, corpus)
    training = train(task, steps, 0)
    before, after = look(task, task.init(0)), look(task, training.params)
    found = (answered if answers else translations)(task, training.params)
    models = (Model(cell, task, training, after, found),)
    return Study(corpus, task, training, before, after, "minigrad study", 0, models=models)


def computes(browser: Any, study: Study, params: Any) -> None:
    """The page that is open has the loss that is looked into, and its gradient, as Python."""
    loss = study.task.forward(params).losses[study.task.chosen]
    value, grads = browser.evaluate(PASSES)
    np.testing.assert_allclose(value, float(loss), rtol=1e-9)
    names = {t.name: t for t in tree_leaves(params)}
    assert grads.keys() >= names.keys()
    for name, gradient in mg.evaluate(mg.grad(loss, names)).items():
        found = np.zeros(gradient.size) if grads[name] is None else grads[name]
        np.testing.assert_allclose(found, gradient.ravel(), rtol=1e-7, atol=1e-12)


def tabled(text: str, cell: str = "lstm", steps: int = 3, window: int = 40, **asked) -> Study:
    """The study of a table.  asked: of `viz.study.table.Asked`."""
    corpus = tabular(Given(text, "the text given", []), Asked(**asked))
    task = Numbers(cell, 5, corpus, window)
    training = train(task, steps, 0)
    before, after = look(task, task.init(0)), look(task, training.params)
    models = (Model(cell, task, training, after, forecasts(task, training.params)),)
    return Study(corpus, task, training, before, after, "minigrad study", 0, models=models)


def series(count: int = 60, gaps: bool = False, seed: int = 0) -> str:
    """A table of two waves and a class that tells which is larger."""
    rng = np.random.default_rng(seed)
    lines = ["a,b,larger"]
    for t in range(count):
        a, b = 3 + np.sin(t / 3), 50 + 9 * np.cos(t / 4) + rng.normal()
        hole = gaps and t % 7 == 3
        lines.append(f"{'NA' if hole else round(a, 4)},{b:.4f},{'yes' if b > 50 else 'no'}")
    return "\n".join([*lines, ""])
