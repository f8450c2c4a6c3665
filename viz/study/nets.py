"""The architectures that `minigrad study` trains, by the names that --cell knows.

Those of docs/architectures.md that read a sequence of words, or a tree, by one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import recurrent as rc

Maker = Callable[[int, int], Any]  # (numbers per token, hidden units) -> a cell
SEQUENCES: dict[str, Maker] = {
    "rnn": rc.RNN,
    "irnn": lambda i, h: rc.RNN(i, h, "relu", recurrent="identity"),
    "jordan-rnn": rc.JordanRNN,
    "leaky-rnn": rc.LeakyRNN,
    "lstm": rc.LSTM,
    "original-lstm": rc.OriginalLSTM,
    "coupled-lstm": rc.CoupledLSTM,
    "peephole-lstm": rc.PeepholeLSTM,
    "projected-lstm": lambda i, h: rc.ProjectedLSTM(i, h, max(1, h // 2)),
    "layer-norm-lstm": rc.LayerNormLSTM,
    "gru": rc.GRU,
    "mgu": rc.MGU,
    "min-gru": rc.MinGRU,
    "deep-rnn": lambda i, h: rc.stack(rc.RNN(i, h), rc.RNN(h, h)),
    "deep-lstm": lambda i, h: rc.stack(rc.LSTM(i, h), rc.LSTM(h, h)),
    "deep-gru": lambda i, h: rc.stack(rc.GRU(i, h), rc.GRU(h, h)),
    "deep-input": lambda i, h: rc.deep_input(rc.RNN(h, h), [i]),
    "deep-transition": lambda i, h: rc.deep_transition(rc.RNN(i, h), [h]),
    "deep-output": lambda i, h: rc.deep_output(rc.RNN(i, h), [h, h]),
}
TREES: dict[str, Callable[[int, int, int], Any]] = {  # and places for children
    "tree-lstm": lambda i, h, arity: rc.TreeLSTM(i, h, arity=arity),
    "recursive-net": lambda i, h, arity: rc.RecursiveNet(i, h, arity=arity),
    "rntn": lambda i, h, arity: rc.RNTN(i, h),
    "child-sum-tree-lstm": lambda i, h, arity: rc.ChildSumTreeLSTM(i, h),
    "child-sum-net": lambda i, h, arity: rc.ChildSumNet(i, h),
}
ALIASES = {"tree": "tree-lstm"}
ANY_ARITY = ("child-sum-tree-lstm", "child-sum-net")  # the others take few children, in order
BINARY = ("rntn",)
NAMES = (*SEQUENCES, *TREES, *ALIASES)
TOGETHER = ("lstm", "rnn", "gru")  # what a page of a short text lets its reader choose from


def reads_trees(name: str) -> bool:
    return ALIASES.get(name, name) in TREES


def title(name: str, cell: Any) -> str:
    """What the report calls it: the class, or the composition by its name here."""
    single = isinstance(cell, rc.RNN) and name == "irnn" or "-" in name and name in SEQUENCES
    return name if single and name.startswith(("deep", "irnn")) else type(cell).__name__
