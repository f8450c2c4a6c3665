"""Small studies that the tests of the report look at."""

from __future__ import annotations

from viz.study.corpus import read
from viz.study.findings import Study
from viz.study.model import Sequences, Trees
from viz.study.training import look, train

SENTENCE = "the Saints beat the Panthers last night"
TREE = "(3 (2 It) (4 (2 's) (4 (3 lovely) (2 .))))"
CASES = [(SENTENCE, "rnn"), (SENTENCE, "lstm"), (SENTENCE, "gru"), (TREE, "tree")]


def studied(text: str, cell: str = "lstm", steps: int = 3, kind: str = "auto") -> Study:
    corpus = read(text, "tree" if cell == "tree" else kind)
    task = (Trees if cell == "tree" else Sequences)(cell, 6, corpus)
    training = train(task, steps, 0)
    before, after = look(task, task.init(0)), look(task, training.params)
    return Study(corpus, task, training, before, after, f"minigrad study {text!r}", 0)
