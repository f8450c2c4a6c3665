"""A step over trees: embedding, Tree-LSTM (Tai et al. 2015), cross-entropy at every node, Adam.

New trees at every step, with making their structure on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .rows import Arrays, Systems, flat, fresh, ours, side_by_side, torch_work

SST = Path(__file__).resolve().parents[2] / "shared" / "data" / "sst_dev.ptb"
LABELS = 5


class Example(NamedTuple):
    """A tree as nested pairs of word numbers.

    Its words from left to right; a label for every node in post-order.
    """

    tree: Any
    words: list[int]
    labels: list[int]


class Batch(NamedTuple):
    trees: list[Any]
    words: np.ndarray
    labels: np.ndarray


def treebank() -> tuple[list[Example], int]:
    """The sentiment trees where there are such, else random ones; and the vocabulary's size."""
    if not SST.exists():
        return random_examples(1000, 33), 1000
    import recurrent as rc

    numbers: dict[str, int] = {}
    examples = []
    for tree in rc.read_brackets(SST.read_text()):
        nodes = tree.postorder()
        done: list[Any] = []
        words: list[int] = []
        for node in nodes:
            if node.children:
                right, left = done.pop(), done.pop()
                done.append((left, right))
            else:
                words.append(numbers.setdefault(str(node.word), len(numbers)))
                done.append(words[-1])
        (whole,) = done
        examples.append(Example(whole, words, [int(n.label) for n in nodes]))
    return examples, len(numbers)


def random_examples(count: int, longest: int, vocabulary: int = 1000) -> list[Example]:
    """Binary trees of 5 words to `longest`."""
    rng = np.random.default_rng(0)
    examples = []
    for words in rng.integers(5, longest + 1, count):
        parts: list[Any] = rng.integers(0, vocabulary, words).tolist()
        numbers = list(parts)
        while len(parts) > 1:  # join two neighbours
            k = int(rng.integers(0, len(parts) - 1))
            parts[k : k + 2] = [(parts[k], parts[k + 1])]
        examples.append(Example(parts[0], numbers, rng.integers(0, LABELS, 2 * words - 1).tolist()))
    return examples


def batches(examples: list[Example], count: int) -> Iterator[Batch]:
    """`count` of the trees, other ones every time."""

    def draw(rng: np.random.Generator) -> Batch:
        some = [examples[k] for k in rng.permutation(len(examples))[:count]]
        words = np.array([w for e in some for w in e.words])
        labels = np.array([n for e in some for n in e.labels])
        return Batch([e.tree for e in some], words, labels)

    return fresh(draw)


def tree_lstm(trees: int, inputs: int, hidden: int, known: int | None = None) -> Systems:
    """known: that many random trees; None: the treebank."""
    import minigrad as mg
    import recurrent as rc

    examples, vocabulary = treebank() if known is None else (random_examples(known, 7, 20), 20)
    rng, cell = np.random.default_rng(0), rc.TreeLSTM(inputs, hidden)
    params = {
        "E": 0.5 * rng.standard_normal((vocabulary, inputs)), "cell": cell.init(0),
        "V": 0.1 * rng.standard_normal((hidden, LABELS)), "c": np.zeros(LABELS),
    }  # fmt: skip

    def loss(p: Any, batch: Any) -> Any:
        structure, words, labels = batch
        _, hs = rc.fold(cell, p["cell"], structure, mg.take(p["E"], words))
        return rc.tree_cross_entropy(hs @ p["V"] + p["c"], labels)

    def prepare(b: Batch) -> Any:
        return rc.structure(b.trees), b.words, b.labels

    def pack(p: Arrays) -> Arrays:
        own = {k.removeprefix("cell."): v for k, v in p.items() if k.startswith("cell.")}
        below = [
            np.concatenate([own[f"U_{g}{k}"] for g in ("i_", "o_", "u_", "f_0", "f_1")], 1)
            for k in (0, 1)
        ]
        return {
            "W": side_by_side(own, "iouf", "W"), "b": side_by_side(own, "iouf", "b"),
            "U": np.concatenate(below), "E": p["E"], "V": p["V"].T.copy(), "c": p["c"],
        }  # fmt: skip

    packed, given = pack(flat(params)), lambda: batches(examples, trees)
    return {
        "minigrad": lambda: ours(loss, params, given(), pack, prepare=prepare),
        "torch recursion": lambda: torch_work(recursion, packed, given()),
        "torch level-batched": lambda: torch_work(level_batched, packed, given()),
    }


# -- torch -----------------------------------------------------------------------------------------


def leaf(p: Any, x: Any) -> tuple[Any, Any]:
    """(h, c) of words; their forget gates meet no child."""
    import torch

    n = p["V"].shape[1]
    a = torch.addmm(p["b"][: 3 * n], x, p["W"][:, : 3 * n])
    gates = torch.sigmoid(a[:, : 2 * n])
    c = gates[:, :n] * torch.tanh(a[:, 2 * n :])
    return gates[:, n:] * torch.tanh(c), c


def inner(p: Any, bias: Any, h: Any, c0: Any, c1: Any) -> tuple[Any, Any]:
    """(h, c) of nodes with two children.

    h    : theirs side by side.
    bias : with the forget gate's twice.
    """
    import torch

    n = p["V"].shape[1]
    a = torch.addmm(bias, h, p["U"])
    gates, f = torch.sigmoid(a[:, : 2 * n]), torch.sigmoid(a[:, 3 * n :])
    c = gates[:, :n] * torch.tanh(a[:, 2 * n : 3 * n]) + f[:, :n] * c0 + f[:, n:] * c1
    return gates[:, n:] * torch.tanh(c), c


def twice(p: Any) -> Any:
    import torch

    return torch.cat([p["b"], p["b"][3 * p["V"].shape[1] :]])


def recursion(p: Any) -> Any:
    """A call for every node, as one writes it."""
    import torch
    from torch.nn.functional import cross_entropy, embedding, linear

    def loss(b: Any) -> Any:
        words, bias = iter(embedding(b.words, p["E"]).split(1)), twice(p)
        hs: list[Any] = []

        def visit(t: Any) -> Any:
            if isinstance(t, tuple):
                (h0, c0), (h1, c1) = visit(t[0]), visit(t[1])
                state = inner(p, bias, torch.cat([h0, h1], 1), c0, c1)
            else:
                state = leaf(p, next(words))
            hs.append(state[0])
            return state

        for t in b.trees:
            visit(t)
        return cross_entropy(linear(torch.cat(hs), p["V"], p["c"]), b.labels)

    return loss


def levels_of(trees: list[Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows: words first, then inner nodes level by level.

    (pairs of children's rows, a level each), and each row's place in post-order.
    """
    pairs: list[list[tuple[tuple[int, int], tuple[int, int]]]] = []
    places: list[list[int]] = [[]]
    place = 0
    for tree in trees:
        stack: list[tuple[Any, bool]] = [(tree, False)]
        done: list[tuple[int, int]] = []
        while stack:
            t, ready = stack.pop()
            if not isinstance(t, tuple):
                height = 0
            elif ready:
                right, left = done.pop(), done.pop()
                height = 1 + max(left[0], right[0])
                if len(pairs) < height:
                    pairs.append([])
                    places.append([])
                pairs[height - 1].append((left, right))
            else:
                stack += [(t, True), (t[1], False), (t[0], False)]
                continue
            done.append((height, len(places[height])))
            places[height].append(place)
            place += 1
    first = np.cumsum([0, *map(len, places)])
    rows = [np.array(level) for level in pairs]
    return [first[level[..., 0]] + level[..., 1] for level in rows], np.concatenate(places)


def level_batched(p: Any) -> Any:
    """A level of all trees at once, from the words up.

    Only states whose parent is still to come are carried from level to level.
    """
    import torch
    from torch.nn.functional import cross_entropy, embedding, linear

    def loss(b: Any) -> Any:
        levels, places = levels_of(b.trees)
        bias, count = twice(p), len(b.words)
        h, c = leaf(p, embedding(b.words, p["E"]))
        at = np.full(len(places), -1)  # where the state of each row is in h and c
        at[:count] = np.arange(count)
        hs = [h]
        for pairs in levels:
            left, right = torch.from_numpy(at[pairs]).unbind(1)
            below = torch.cat([h.index_select(0, left), h.index_select(0, right)], 1)
            more = inner(p, bias, below, c.index_select(0, left), c.index_select(0, right))
            at[pairs] = -1
            kept = np.flatnonzero(at >= 0)
            rows = torch.from_numpy(at[kept])
            h, c = (
                torch.cat([old.index_select(0, rows), new])
                for old, new in zip((h, c), more, strict=True)
            )
            at[kept] = np.arange(len(kept))
            at[count : count + len(pairs)] = len(kept) + np.arange(len(pairs))
            count += len(pairs)
            hs.append(more[0])
        labels = b.labels[torch.from_numpy(places)]
        return cross_entropy(linear(torch.cat(hs), p["V"], p["c"]), labels)

    return loss
