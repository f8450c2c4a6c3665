"""The model behind `minigrad study` of pairs: an encoder reads the source, a decoder the target.

A `Task` as those of `model`, for two columns of text apart by a tab: `rc.encoder_decoder`, with or
without attention.  The steps of both are counted on: first those of the source, then the decoder's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.recur import RECUR, ROW, parts_of, proj

from .corpus import Corpus, InputError, visible
from .model import (
    BATCH,
    END,
    RARE,
    STEPS_MANY,
    STEPS_ONE,
    WINDOW,
    Params,
    Pass,
    chosen_of,
    vocabulary,
)
from .nets import PAIRS
from .results import Results, Score, joined, scored

START = "⟨start⟩"
HELD = 20  # pairs from which on the last tenth is kept from training
SHOWN = 8  # sources whose translation is shown
TABLES = {"source_E": "embedding", "E": "target"}  # of the net: what they are called here


class Pairs:
    """Transduction: after every token of the target, name the next; after the last, the end."""

    measure, main, shift = " nats", "h", 1

    def __init__(
        self, cell: str, hidden: int, corpus: Corpus, window: int = WINDOW, loss: int | None = None
    ) -> None:
        self.notes, self.kind = list(corpus.notes), corpus.token_kind
        kept = [(a[:window], b[:window]) for a, b in corpus.pairs]
        long = sum(len(a) > window or len(b) > window for a, b in corpus.pairs)
        if long:
            self.notes.append(f"{long:,} pairs were cut to {window} tokens a side (--window).")
        held = len(kept) // 10 if len(kept) >= HELD else 0
        self.trained = len(kept) - held
        if held:
            self.notes.append(
                f"Trained on {self.trained:,} pairs, {BATCH} at a time; the last {held:,} are kept "
                "from it. Looked into: the first."
            )
        known = kept[: self.trained]
        self.words = vocabulary([t for a, _ in known for t in a], self.notes, "source tokens")
        if RARE not in self.words:
            self.words.append(RARE)
        self.classes = vocabulary([t for _, b in known for t in b], self.notes, "target tokens")
        if RARE not in self.classes:
            self.classes.append(RARE)
        self.classes += [START, END]
        self.cell = PAIRS[cell](min(hidden, 32), hidden, len(self.words), len(self.classes))
        self.title = cell
        self.sources = [numbered(a, self.words) for a, _ in kept]
        self.answers = [[*numbered(b, self.classes), len(self.classes) - 1] for _, b in kept]
        self.held = unseen(self.sources, self.trained, self.notes)
        self.widest = max(map(len, self.sources)), max(map(len, self.answers))
        source, target = kept[0]
        self.length = len(source), len(target) + 1
        self.names = [visible(t) for t in source] + [START, *(visible(t) for t in target)]
        self.tags = self.names
        self.text = f"{joined(source, self.kind)} → {joined(target, self.kind)}"
        count = len(self.names)
        self.targets = np.array([-1] * len(source) + self.answers[0])
        self.known = self.targets >= 0
        self.chosen = known_of(loss, self.known)
        self.steps = STEPS_ONE if len(kept) == 1 else STEPS_MANY
        self.distance = np.abs(np.arange(count) - self.chosen)
        self.leaves, self.below = np.arange(count) == 0, np.arange(count) <= self.chosen

    def init(self, seed: int) -> Params:
        own = self.cell.init(seed)
        return {new: own.pop(old) for old, new in TABLES.items()} | {"cell": own}

    def net_params(self, params: Params) -> Params:
        """Parameters as the net of `recurrent` has them."""
        return params["cell"] | {old: params[new] for old, new in TABLES.items()}

    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]:
        return self._batch(some_of(rng, self.trained), self.widest)

    def _batch(self, few: Sequence[int], widest: tuple[int, int]) -> tuple[Any, ...]:
        """(sources, lengths, what the decoder reads, lengths, answers) of some pairs."""
        xs, lengths = padded([self.sources[k] for k in few], widest[0], 0)
        answers, ends = padded([self.answers[k] for k in few], widest[1], -1)
        first = np.full((1, len(few)), len(self.classes) - 2)
        return xs, lengths, np.maximum(np.concatenate([first, answers[:-1]]), 0), ends, answers

    def loss(self, params: Params, *batch: Any) -> mg.Tensor:
        losses = self._losses(params, *batch)[1]
        known = mg.astype(mg.greater(batch[4], -0.5), losses.dtype)
        return mg.sum(losses * known) / mg.sum(known)

    def _losses(
        self, params: Params, xs: Any, lengths: Any, read: Any, ends: Any, answers: Any
    ) -> tuple[mg.Tensor, mg.Tensor]:
        logits = self.cell(self.net_params(params), xs, read, lengths, ends)
        return logits, mg.cross_entropy(logits, mg.maximum(answers, 0))

    def forward(self, params: Params) -> Pass:
        """Of the first pair; states and inputs are pairs: a row a step of the source, and so on."""
        logits, losses = self._losses(params, *self._batch([0], self.length))
        span, classes = self.length[0], len(self.classes)
        logits = mg.concat([np.zeros((span, classes)), logits[:, 0]])
        losses = mg.concat([np.zeros(span), losses[:, 0]])
        order = toposort([losses])
        recurs = [t for t in order if t.op is RECUR]
        states = [proj(r, next(iter(parts_of(r).block.ports.values())), ROW) for r in recurs]
        tables = {params[name] for name in TABLES.values()}
        reads = [t for t in order if t.op.name == "take" and t.inputs[0] in tables]
        reads.sort(key=lambda t: t.inputs[0] is not params["embedding"])
        return Pass(tuple(reads), {"h": tuple(states)}, logits, losses)  # type: ignore[arg-type, dict-item]

    def named(self) -> list[list[int] | None]:
        """Of every name the words of the source that it is made of, by the first and the last."""
        span, more = self.length
        return [*([k, k] for k in range(span)), *([None] * more)]

    def placed(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Contributions to a parameter at the steps where they arise: one for each of them all.

        Those of what joins the two stand at the last step of the source.
        """
        span, more = self.length
        made = np.zeros((span + more, *rows.shape[1:]))
        if name.startswith("encoder"):
            made[:span] = rows
        elif len(rows) == more and not name.startswith("start"):
            made[span:] = rows
        else:
            made[span - 1] = rows.sum(axis=0)
        return made

    def held_out(self) -> Iterator[tuple[Any, ...]]:
        for at in range(0, len(self.held), BATCH):
            yield self._batch(self.held[at : at + BATCH], self.widest)

    def scored(self, params: Params, *batch: Any) -> tuple[mg.Tensor, mg.Tensor, Any]:
        logits, losses = self._losses(params, *batch)
        return losses, mg.argmax(logits, axis=-1), batch[4]

    def saved(self) -> dict[str, Any]:
        return {"source_classes": list(self.words)}

    def said(self, params: Params, few: Sequence[int]) -> list[tuple[str, ...]]:
        """(source, target, what the model says) of some pairs, always the likeliest token next."""
        plain = mg.evaluate(self.net_params(mg.tensors(params)))
        xs, lengths = padded([self.sources[k] for k in few], self.widest[0], 0)
        found = rc.greedy(
            self.cell, plain, xs, first=len(self.classes) - 2, end=len(self.classes) - 1,
            steps=2 * self.widest[1], lengths=lengths.steps,
        )  # fmt: skip
        told = []
        for k, h in zip(few, found, strict=True):
            source = [self.words[n] for n in self.sources[k]]
            true = [self.classes[n] for n in self.answers[k][:-1]]
            made = [self.classes[n] for n in h.tokens if self.classes[n] != END]
            told.append(tuple(joined(part, self.kind) for part in (source, true, made)))
        return told


def translations(task: Pairs, params: Params) -> Results:
    """Loss and tokens right, and what some sources are made into: held out ones, if there are."""
    tensors = mg.tensors(params)
    own = scored([task.scored(tensors, *task._batch([0], task.length))])
    held = scored(task.scored(tensors, *batch) for batch in task.held_out())
    few = (task.held or list(range(task.trained)))[:SHOWN]
    return Results(own or Score(np.nan, 0.0, 0), held, examples=task.said(params, few))


def known_of(loss: int | None, known: np.ndarray) -> int:
    """The step whose loss is looked into.  known: (N,) at which steps there is one.

    Raises InputError where there is none, or no such step.
    """
    chosen = chosen_of(loss, len(known), "steps")
    if not known[chosen]:
        first = int(np.argmax(known)) + 1
        raise InputError(
            f"--loss {chosen + 1}: that step only reads, so there is no loss at it; choose "
            + (f"{first}" if first == len(known) else f"one of {first} to {len(known)}")
        )
    return chosen


def unseen(sources: Sequence[Sequence[int]], trained: int, notes: list[str]) -> list[int]:
    """Which of those kept from training are no copy of one that is trained on; a note of others."""
    seen = {tuple(source) for source in sources[:trained]}
    found = [k for k in range(trained, len(sources)) if tuple(sources[k]) not in seen]
    if copies := len(sources) - trained - len(found):
        notes.append(f"{copies:,} of those kept from training do not count: they are copies.")
    return found


def some_of(rng: np.random.Generator, count: int) -> list[int]:
    """The numbers of a batch, in order: all, where there are no more."""
    if count <= BATCH:
        return list(range(count))
    return sorted(rng.choice(count, BATCH, replace=False).tolist())


def numbered(tokens: Sequence[str], known: list[str]) -> list[int]:
    """The numbers of tokens; of those that are not known that of RARE."""
    number = {token: k for k, token in enumerate(known)}
    return [number.get(t, number[RARE]) for t in tokens]


def padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> tuple[np.ndarray, rc.Lengths]:
    """(width, B) numbers, and how many of each count."""
    made = np.full((width, len(rows)), fill, np.int64)
    for k, row in enumerate(rows):
        made[: len(row), k] = row
    return made, rc.Lengths(tuple(map(len, rows)))
