"""Small studies that the tests of the report look at."""

from __future__ import annotations

from viz.study.corpus import read
from viz.study.findings import Model, Study
from viz.study.model import Sequences, Trees
from viz.study.nets import reads_trees
from viz.study.results import results
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
