"""The small models behind `minigrad study`: an embedding, a recurrent cell, an output head.

A `Task` is a model of one kind of data (`Sequences`, `Trees`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

import minigrad as mg
import recurrent as rc

from .corpus import SPLIT, Corpus, InputError, visible
from .nets import ALIASES, SEQUENCES, TREES, Whole, title

WINDOW = 40  # tokens in one training sequence, and in the one that is looked into
BATCH = 8
MOST_WORDS = 1_000  # kinds of token; rarer ones share one
RARE, END = "⟨rare⟩", "⟨end⟩"
STEPS_ONE, STEPS_MANY = 100, 600  # training steps for one short text or tree, and for more
HELD_OUT = 20  # windows that a text has before its last tenth is kept from training
READABLE = 60  # nodes of the tree that is looked into, if there is one so small
FAINT = 1e-3  # a gradient below this part of what the loss sends out has vanished

Params = dict[str, Any]


@dataclass(frozen=True)
class Pass:
    """One sequence or tree through the model: Tensors with a row per node.

    xs: what the cell reads.
    states: by name.
    """

    xs: mg.Tensor
    states: dict[str, mg.Tensor]
    logits: mg.Tensor
    losses: mg.Tensor


class Task(Protocol):
    """What `train` and `look` need of a model."""

    cell: Any
    title: str  # what the cell is called
    main: str  # the state whose gradient is told of: h, of the last layer
    classes: list[str]
    names: list[str]  # of the nodes looked into, for people
    targets: np.ndarray  # of the same nodes, -1 for none
    leaves: np.ndarray  # which of them have none below
    below: np.ndarray  # which of them the chosen one depends on
    distance: np.ndarray  # from the node whose loss is chosen, in steps of the recurrence
    known: np.ndarray  # (N,) which of the nodes have a target
    measure: str  # the loss's unit, as it stands behind a number
    chosen: int
    tags: list[str]  # of the nodes, for a drawing of the tree alone
    text: str  # the same, as a title
    steps: int  # of training, unless asked otherwise
    notes: list[str]

    def init(self, seed: int) -> Params: ...
    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]: ...
    def loss(self, params: Params, *batch: Any) -> mg.Tensor: ...
    def forward(self, params: Params) -> Pass: ...
    def held_out(self) -> Iterator[tuple[Any, ...]]: ...
    def scored(self, params: Params, *batch: Any) -> tuple[mg.Tensor, mg.Tensor, Any]: ...


class Sequences:
    """Next-token prediction: after each token, name the next; after the last, the end.

    A net that reads from both ends names each token from the others.
    """

    measure = " nats"

    def __init__(
        self, cell: str, hidden: int, corpus: Corpus, window: int = WINDOW, loss: int | None = None
    ) -> None:
        tokens = corpus.tokens
        self.notes = list(corpus.notes)
        self.classes = vocabulary(tokens, self.notes)
        self.classes.append(END)
        number = {token: k for k, token in enumerate(self.classes)}
        rare = number.get(RARE, 0)
        self.ids = np.array([number.get(t, rare) for t in tokens] + [number[END]])
        length = min(len(tokens), window)
        if len(tokens) > length:
            unit = "words" if corpus.kind == "word" else "characters"
            self.notes.append(
                f"Trained on random windows of {length} of {len(tokens):,} {unit}; looked into: "
                f"the first {length}."
            )
        held = len(tokens) // 10 if len(tokens) >= HELD_OUT * length else 0
        self.trained = len(self.ids) - held
        if held:
            self.notes.append(f"The last {held:,} of them are kept from training.")
        self.length, self.names = length, [visible(t) for t in tokens[:length]]
        self.tags, self.text = self.names, corpus.excerpt(length)
        self.cell = SEQUENCES[cell](min(hidden, 32), hidden)
        self.title, self.main = title(cell, self.cell), main_of(self.cell)
        self.shift = getattr(self.cell, "shift", 1)
        self.targets = self.ids[self.shift : length + self.shift]
        self.known = np.ones(length, bool)
        self.chosen = chosen_of(loss, length, "steps")
        if not self.shift and loss is None:
            self.chosen = length // 2
        self.steps = STEPS_ONE if len(tokens) == length else STEPS_MANY
        self.distance = np.abs(np.arange(length) - self.chosen)
        self.leaves = np.arange(length) == 0
        self.below = np.arange(length) <= self.chosen

    def init(self, seed: int) -> Params:
        return initial(self.cell, len(self.classes), len(self.classes), seed)

    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]:
        starts = self.trained - self.length
        if starts == 1:  # the text is one window: always all of it
            return self.ids[: self.length], self.targets
        at = np.arange(self.length)[:, None] + rng.integers(0, starts, BATCH)
        return self.ids[at], self.ids[at + self.shift]

    def loss(self, params: Params, *batch: Any) -> mg.Tensor:
        return mg.mean(self._run(params, *batch).losses)

    def forward(self, params: Params) -> Pass:
        return self._run(params, self.ids[: self.length], self.targets)

    def held_out(self) -> Iterator[tuple[Any, ...]]:
        """Batches of what training has not seen: windows, one after another."""
        ids = self.ids[self.trained - 1 :] if self.trained < len(self.ids) else self.ids[:0]
        starts = np.arange(0, len(ids) - self.length, self.length)
        for few in np.split(starts, range(BATCH, len(starts), BATCH)) if len(starts) else []:
            at = np.arange(self.length)[:, None] + few
            yield ids[at], ids[at + self.shift]

    def scored(self, params: Params, *batch: Any) -> tuple[mg.Tensor, mg.Tensor, Any]:
        """Losses, predictions and right answers of a batch, one a token."""
        run = self._run(params, *batch)
        return run.losses, mg.argmax(run.logits, axis=-1), batch[1]

    def read(self, params: Params, y: mg.Tensor, target: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        """Logits and loss of one step."""
        logits = y @ params["W_y"] + params["b_y"]
        return logits, mg.cross_entropy(logits, target)

    def _run(self, params: Params, ids: Any, targets: Any) -> Pass:
        xs = mg.take(params["embedding"], ids).named("x")
        if hasattr(self.cell, "run_over"):
            given = self.cell.run_over(params["cell"], xs)
        else:
            _, given = rc.unroll(Whole(self.cell), params["cell"], xs)
        return head(self.cell, params, xs, given, targets)


class Trees:
    """Labels: name the label of every node from what lies below it.

    Where there are no labels, its first word.
    """

    measure = " nats"

    def __init__(
        self, cell: str, hidden: int, corpus: Corpus, window: int = WINDOW, loss: int | None = None
    ) -> None:
        self.notes = list(corpus.notes)
        nodes = [tree.postorder() for tree in corpus.trees]
        words = [n.word for tree in nodes for n in tree if n.word is not None]
        kinds = vocabulary(words, self.notes)
        self.number = {word: k for k, word in enumerate(kinds)}
        self.inputs = len(kinds)
        targets = [[n.label for n in tree] for tree in nodes]
        if len({label for tree in targets for label in tree} - {"", SPLIT}) < 2:
            self.notes.append(
                "The trees have fewer than two labels, so every node is trained to name the first "
                "word below it."
            )
            targets = [_first_words(tree) for tree in nodes]
        found = [label for tree in targets for label in tree if label not in ("", SPLIT)]
        self.classes = vocabulary(found or [RARE], self.notes, what="labels")
        if len(self.classes) < 2:
            self.classes.append(END)  # one class alone has no loss and no gradient
        self.label = {label: k for k, label in enumerate(self.classes)}
        self.trees, self.texts = corpus.trees, targets
        self.look_at = next((k for k, tree in enumerate(nodes) if len(tree) <= READABLE), 0)
        self.trained = len(self.trees) - (len(self.trees) // 10 if len(self.trees) >= 20 else 0)
        if len(self.trees) > 1:
            held = len(self.trees) - self.trained
            part = f" (the last {held:,} are kept from it)" if held else ""
            self.notes.append(
                f"Trained on {self.trained:,} trees{part}, {BATCH} at a time; looked into: tree "
                f"{self.look_at + 1}."
            )
        self.text = " ".join(self.trees[self.look_at].words())
        self.tags = [n.word if n.word is not None else n.label for n in nodes[self.look_at]]
        self.structure = rc.structure(self.trees[self.look_at])
        self.leaves = np.array([not node.children for node in nodes[self.look_at]])
        arity = max(2, max((len(n.children) for tree in nodes for n in tree), default=0))
        self.cell = TREES[ALIASES.get(cell, cell)](min(hidden, 32), hidden, arity)
        self.title, self.main = type(self.cell).__name__, main_of(self.cell)
        self.whole = Whole(self.cell)
        self.names = _node_names(nodes[self.look_at])
        self.targets = self._numbers(targets[self.look_at])
        sizes = _sizes(self.structure)  # the root is chosen, if it has a label
        known = int(np.argmax(np.where(self.targets >= 0, sizes, 0)))
        self.chosen = known if loss is None else chosen_of(loss, len(sizes), "nodes")
        self.known = self.targets >= 0
        if not self.known[self.chosen]:
            raise InputError(
                f"--loss {self.chosen + 1}: that node has no label, so there is no loss at it"
            )
        rows = np.arange(len(sizes))  # in post-order, what lies below a node stands right before it
        self.below = (rows <= self.chosen) & (rows > self.chosen - sizes[self.chosen])
        self.steps = STEPS_ONE if len(self.trees) == 1 else STEPS_MANY
        self.distance = _depths(self.structure)

    def init(self, seed: int) -> Params:
        return initial(self.cell, self.inputs, len(self.classes), seed)

    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]:
        count = self.trained
        few = range(count) if count <= BATCH else rng.choice(count, BATCH, replace=False).tolist()
        return self._batch(list(few))

    def _batch(self, few: list[int]) -> tuple[Any, ...]:
        trees = [self.trees[k] for k in few]
        targets = self._numbers([label for k in few for label in self.texts[k]])
        weights = (targets >= 0) / max((targets >= 0).sum(), 1)
        return rc.structure(trees), self._words(trees), np.maximum(targets, 0), weights

    def loss(self, params: Params, *batch: Any) -> mg.Tensor:
        structure, ids, targets, weights = batch
        return mg.sum(self._run(params, structure, ids, targets).losses * weights)

    def forward(self, params: Params) -> Pass:
        ids = self._words([self.trees[self.look_at]])
        return self._run(params, self.structure, ids, np.maximum(self.targets, 0))

    def held_out(self) -> Iterator[tuple[Any, ...]]:
        """Batches of the trees that training has not seen."""
        rows = list(range(self.trained, len(self.trees)))
        for at in range(0, len(rows), BATCH):
            yield self._batch(rows[at : at + BATCH])

    def scored(self, params: Params, *batch: Any) -> tuple[mg.Tensor, mg.Tensor, Any]:
        """Losses, predictions and right answers of a batch, one a node; -1 where there is none."""
        structure, ids, targets, weights = batch
        run = self._run(params, structure, ids, targets)
        return run.losses, mg.argmax(run.logits, axis=-1), np.where(weights > 0, targets, -1)

    def _run(self, params: Params, structure: Any, ids: Any, targets: Any) -> Pass:
        xs = mg.take(params["embedding"], ids).named("x")
        _, given = rc.fold(self.whole, params["cell"], structure, xs)
        return head(self.cell, params, xs, given, targets)

    def named(self) -> list[list[int] | None]:
        """Of every name the words that it is made of, by the first and the last."""
        ends: dict[int, list[int]] = {}
        count = 0
        nodes = self.trees[self.look_at].postorder()
        for node in nodes:
            if node.children:
                first, last = (ends[id(node.children[k])][j] for k, j in ((0, 0), (-1, 1)))
                ends[id(node)] = [first, last]
                continue
            ends[id(node)] = [count, count]
            count += node.word is not None
        whole = count == len(self.trees[self.look_at].words())
        return [ends[id(node)] if whole else None for node in nodes]

    def _words(self, trees: Sequence[rc.Tree]) -> np.ndarray:
        rare = self.number.get(RARE, 0)
        found = [self.number.get(word, rare) for tree in trees for word in tree.words()]
        return np.array(found, np.int64)

    def _numbers(self, labels: Sequence[str]) -> np.ndarray:
        rare = self.label.get(RARE, -1)
        return np.array(
            [self.label.get(x, -1 if x in ("", SPLIT) else rare) for x in labels], np.int64
        )


def vocabulary(tokens: Sequence[str], notes: list[str], what: str = "tokens") -> list[str]:
    counts = Counter(tokens)
    if len(counts) <= MOST_WORDS:
        return list(counts)
    notes.append(
        f"There are {len(counts):,} different {what}; all but the {MOST_WORDS:,} most frequent "
        f"count as {RARE}."
    )
    return [*(token for token, _ in counts.most_common(MOST_WORDS)), RARE]


def initial(cell: Any, inputs: int, classes: int, seed: int) -> Params:
    """An embedding of `inputs` tokens, the cell, and a softmax over `classes`."""
    rng = np.random.default_rng(seed)
    outputs = getattr(cell, "output_size", cell.hidden_size)
    bound = np.sqrt(6 / (outputs + classes))
    return {
        "embedding": rng.normal(0.0, 0.5, (max(inputs, 1), cell.input_size)),
        "cell": cell.init(seed),
        "W_y": rng.uniform(-bound, bound, (outputs, classes)),
        "b_y": np.zeros(classes),
    }


def head(cell: Any, params: Params, xs: mg.Tensor, given: Any, targets: Any) -> Pass:
    """A run of a cell and the softmax over its outputs; given: (parts of the state, outputs)."""
    parts, y = given
    named = dict(zip(cell.state_names, parts, strict=True))
    logits = y @ params["W_y"] + params["b_y"]
    return Pass(xs, named, logits, mg.cross_entropy(logits, targets))


def main_of(cell: Any) -> str:
    """The state h, of the last layer where there are several."""
    names = cell.state_names
    if hasattr(cell, "main"):
        return cell.main
    return next((n for n in reversed(names) if n.startswith("h")), names[-1])


def chosen_of(loss: int | None, count: int, what: str) -> int:
    if loss is not None and loss > count:
        raise InputError(f"--loss {loss}: there are {count} {what}; choose one of 1 to {count}")
    return count - 1 if loss is None else loss - 1


def _first_words(nodes: Sequence[rc.Tree]) -> list[str]:
    first: dict[int, str] = {}
    for node in nodes:
        first[id(node)] = node.word if node.word is not None else first[id(node.children[0])]
    return [first[id(node)] for node in nodes]


def _node_names(nodes: Sequence[rc.Tree]) -> list[str]:
    """A leaf is called by its word, an inner node by the first and last word below it."""
    ends: dict[int, tuple[str, str]] = {}
    for node in nodes:
        below = [ends[id(child)] for child in node.children]
        ends[id(node)] = (
            (below[0][0], below[-1][1]) if below else (node.word or "", node.word or "")
        )
    return [
        node.word or "" if not node.children else f"{ends[id(node)][0]} … {ends[id(node)][1]}"
        for node in nodes
    ]


def _depths(structure: mg.Structure) -> np.ndarray:
    """The distance of every node from the root.

    Rows are in post-order: a parent's row is above its child's.
    """
    parent = np.full(structure.n, -1)
    parent[structure.src] = structure.dst
    depth = np.zeros(structure.n, np.int64)
    for row in range(structure.n - 2, -1, -1):
        depth[row] = depth[parent[row]] + 1
    return depth


def _sizes(structure: mg.Structure) -> np.ndarray:
    """How many nodes the tree under every node has, itself included."""
    size = np.ones(structure.n, np.int64)
    order = np.argsort(structure.src)  # children before parents
    for child, parent in zip(structure.src[order], structure.dst[order], strict=True):
        size[parent] += size[child]
    return size
