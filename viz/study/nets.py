"""The architectures that `minigrad study` trains, by the names that --cell knows.

Those of docs/architectures.md that read a sequence of words, or a tree, by one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

import minigrad as mg
import recurrent as rc


class Both:
    """Two cells, one from each end (`rc.bidirectional`), that name a token from its neighbours.

    The one from the left has read what stands before it, the other what stands behind it:
    the token itself is read by neither, unless `own` says so.
    `run_over` runs it, as a cell is run by `rc.unroll`.
    """

    name, main, shift, own = "bidirectional", "h→", 0, False

    def __init__(self, cell: Any) -> None:
        self.cell, self.input_size, self.hidden_size = cell, cell.input_size, cell.hidden_size
        self.output_size = 2 * cell.output_size
        self.state_names = tuple(f"{n}{side}" for side in "→←" for n in cell.state_names)
        self.__doc__ = f"{self.__class__.__doc__}\n\n{type(cell).__doc__}"

    def init(self, seed: int) -> dict[str, Any]:
        left, right = np.random.SeedSequence(seed).generate_state(2).tolist()
        return {"forward": self.cell.init(left), "backward": self.cell.init(right)}

    def run_over(self, params: Any, xs: Any) -> tuple[tuple[Any, ...], Any]:
        """The states of both, and y: rows in the order of xs."""
        none, parts, ys = mg.zeros_like(xs[:1]), [], []
        for side, read, back in (
            ("forward", xs if self.own else mg.concat([none, xs[:-1]]), False),
            ("backward", xs if self.own else mg.concat([xs[1:], none]), True),
        ):
            _, (own, y) = rc.unroll(Whole(self.cell), params[side], read, reverse=back)
            parts += own
            ys.append(y)
        return tuple(parts), mg.concat(ys, axis=-1)


class Window:
    """The net over a sliding window (`rc.TimeDelay`); it has no state, so its inputs are told of.

        y_t = tanh(sum_{k < span} x_{t-k} W_k + b)
    """

    name, main, shift, state_names, stateless = "sliding window", "x", 1, ("x",), True

    def __init__(self, net: Any) -> None:
        self.net, self.input_size, self.hidden_size = net, net.input_size, net.hidden_size
        self.output_size = net.hidden_size

    def init(self, seed: int) -> dict[str, Any]:
        return self.net.init(seed)

    def run_over(self, params: Any, xs: Any) -> tuple[tuple[Any, ...], Any]:
        return (xs,), self.net(params, xs)


class Whole:
    """A cell whose output is its whole state and what it gives, so that every part's gradient can
    be asked for."""

    def __init__(self, cell: Any) -> None:
        self.cell, self.name = cell, cell.name
        self.zero_state, self.state_names = cell.zero_state, cell.state_names
        for known in ("arity", "sums_children", "word_inputs"):
            if hasattr(cell, known):
                setattr(self, known, getattr(cell, known))

    def __call__(self, params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        carry, y = self.cell(params, carry, x)
        return carry, (tuple(optree.tree_leaves(carry)), y)


class Fixed(rc.EchoState):
    """An echo state network: what the cell holds stays as it was drawn, the readout is trained.

        h' as leaky units, W and U random and fixed
    """

    def __call__(self, params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        return super().__call__({k: mg.stop_gradient(p) for k, p in params.items()}, carry, x)


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
    "echo-state": Fixed,
    "deep-rnn": lambda i, h: rc.stack(rc.RNN(i, h), rc.RNN(h, h)),
    "deep-lstm": lambda i, h: rc.stack(rc.LSTM(i, h), rc.LSTM(h, h)),
    "deep-gru": lambda i, h: rc.stack(rc.GRU(i, h), rc.GRU(h, h)),
    "deep-input": lambda i, h: rc.deep_input(rc.RNN(h, h), [i]),
    "deep-transition": lambda i, h: rc.deep_transition(rc.RNN(i, h), [h]),
    "bidirectional": lambda i, h: Both(rc.LSTM(i, h)),
    "sliding-window": lambda i, h: Window(rc.TimeDelay(i, h, 3)),
    "deep-output": lambda i, h: rc.deep_output(rc.RNN(i, h), [h, h]),
}
TREES: dict[str, Callable[[int, int, int], Any]] = {  # and places for children
    "tree-lstm": lambda i, h, arity: rc.TreeLSTM(i, h, arity=arity),
    "recursive-net": lambda i, h, arity: rc.RecursiveNet(i, h, arity=arity),
    "rntn": lambda i, h, arity: rc.RNTN(i, h),
    "child-sum-tree-lstm": lambda i, h, arity: rc.ChildSumTreeLSTM(i, h),
    "child-sum-net": lambda i, h, arity: rc.ChildSumNet(i, h),
}
PAIRS: dict[str, Callable[[int, int, int, int], Any]] = {  # and tokens of source and target
    "encoder-decoder": lambda i, h, s, t: _pair(i, h, s, t, i),
    "bahdanau-attention": lambda i, h, s, t: _pair(i, h, s, t, i + h, attention="additive"),
    "luong-attention": lambda i, h, s, t: _pair(i, h, s, t, i, attention="general"),
}
# Architectures of docs/architectures.md that no file has data for: what they need, what to call.
NEEDS = {
    "dynamical-system": ("a function of each step and its parameters", "rc.dynamical_system"),
    "look-ahead": ("labels of steps that may be told a few steps late", "rc.bidirectional"),
    "one-to-many": ("a vector for every sequence", "rc.OneToMany"),
    "many-to-one": (
        "one answer for every sequence (a file of texts, each with a tab and its answer behind it, "
        "is read so by every --cell for words)", "rc.ManyToOne",
    ),
    "hold": ("values with flags of what was observed", "rc.Hold"),
    "self-feeding": ("values with flags of what was observed", "rc.SelfFeeding"),
    "recursive-autoencoder": ("a loss of its own at every node", "rc.RecursiveAutoencoder"),
    "top-down": ("trees whose nodes are told from above", "rc.top_down"),
    "mdrnn": ("a grid of vectors, such as a picture", "rc.MDRNN"),
    "mdlstm": ("a grid of vectors, such as a picture", "rc.MDLSTM"),
    "multidirectional": ("a grid of vectors, such as a picture", "rc.Multidirectional"),
    "lattice": ("a lattice of words with scores", "rc.run_lattice"),
    "scoring-net": ("sentences with the trees that are right", "rc.ScoringNet and rc.parse"),
    "unshared": ("sequences of one length", "rc.Unshared"),
    "turing-machine": ("a machine's table; it is not trained", "rc.TuringNet"),
}
ALIASES = {"tree": "tree-lstm"}
ANY_ARITY = ("child-sum-tree-lstm", "child-sum-net")  # the others take few children, in order
BINARY = ("rntn",)
SEVERAL = ("bidirectional", "sliding-window")  # no one cell: several recurrences, or none
NAMES = (*SEQUENCES, *TREES, *PAIRS, *ALIASES)
TOGETHER = ("lstm", "rnn", "gru")  # what a page of a short text lets its reader choose from


def _pair(i: int, h: int, source: int, target: int, reads: int, **how: Any) -> Any:
    net: Any = rc.encoder_decoder(
        rc.GRU(i, h), rc.GRU(reads, h), source_tokens=source, target_tokens=target, **how
    )
    net.input_size, net.hidden_size = i, h  # as cells have
    return net


def reads(name: str) -> str:
    """What a cell reads: "words" (or numbers), "trees" or "pairs"."""
    return "pairs" if name in PAIRS else "trees" if reads_trees(name) else "words"


def reads_trees(name: str) -> bool:
    return ALIASES.get(name, name) in TREES


def title(name: str, cell: Any) -> str:
    """What the report calls it: the class, or the composition by its name here."""
    composed = name.startswith(("deep", "irnn")) or hasattr(cell, "run_over")
    return name if composed else type(cell).__name__
