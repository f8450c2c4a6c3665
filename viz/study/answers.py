"""The model behind `minigrad study` of texts with an answer each: many to one.

A `Task` as those of `model`, for two columns apart by a tab whose second says something of the
first, as a review and its verdict: a cell reads the text, and its last output names the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc
from recurrent.patterns import last

from .corpus import Corpus, InputError, visible
from .model import (
    BATCH,
    RARE,
    STEPS_MANY,
    STEPS_ONE,
    WINDOW,
    Params,
    Pass,
    head,
    initial,
    main_of,
    vocabulary,
)
from .nets import SEQUENCES, Whole, title
from .pairs import HELD, SHOWN, known_of, numbered, padded, some_of, unseen
from .results import MOST_BATCHES, Results, joined, scored

REPEATED = 3  # how often an answer is given, on average, from which on it is taken for one


class Answers:
    """Classification: after the last token, name the answer."""

    measure, shift = " nats", 1

    def __init__(
        self, cell: str, hidden: int, corpus: Corpus, window: int = WINDOW, loss: int | None = None
    ) -> None:
        self.notes, self.kind = list(corpus.notes), corpus.token_kind
        texts = [a[:window] for a, _ in corpus.pairs]
        given = [joined(b, self.kind) for _, b in corpus.pairs]
        self.classes = list(dict.fromkeys(given))
        if len(self.classes) == len(given) > 1:
            raise InputError(
                f"{corpus.source} gives each of {len(given):,} texts an answer of its own, so one "
                "says nothing of another: --cell encoder-decoder writes answers token by token"
            )
        cut = sum(len(a) > window for a, _ in corpus.pairs)
        if cut:
            self.notes.append(f"{cut:,} texts were cut to {window} tokens (--window).")
        held = len(texts) // 10 if len(texts) >= HELD else 0
        self.trained = len(texts) - held
        self.look_at = next((k for k, a in enumerate(texts) if len(a) > 1), 0)
        if len(texts) > 1:
            kept = f"; the last {held:,} are kept from it" if held else ""
            self.notes.append(
                f"Trained on {self.trained:,} texts, {BATCH} at a time{kept}. Looked into: text "
                f"{self.look_at + 1}."
            )
        self.words = vocabulary([t for a in texts[: self.trained] for t in a], self.notes)
        if RARE not in self.words:
            self.words.append(RARE)
        self.sources = [numbered(a, self.words) for a in texts]
        self.texts = [joined(a, self.kind) for a in texts]  # as they were, with rare tokens
        self.held = unseen(self.sources, self.trained, self.notes)
        self.answers = np.array([self.classes.index(c) for c in given])
        self.cell = SEQUENCES[cell](min(hidden, 32), hidden)
        self.title, self.main = title(cell, self.cell), main_of(self.cell)
        self.whole = Whole(self.cell)
        shown = texts[self.look_at]
        count = self.length = len(shown)
        self.names = self.tags = [visible(t) for t in shown]
        self.text = f"{joined(shown, self.kind)} → {given[self.look_at]}"
        self.targets = np.array([-1] * (count - 1) + [int(self.answers[self.look_at])])
        self.known = self.targets >= 0
        self.chosen = known_of(loss, self.known)
        self.steps = STEPS_ONE if len(texts) == 1 else STEPS_MANY
        self.distance = np.abs(np.arange(count) - self.chosen)
        self.leaves, self.below = np.arange(count) == 0, np.ones(count, bool)

    def init(self, seed: int) -> Params:
        return initial(self.cell, len(self.words), len(self.classes), seed)

    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]:
        return self._batch(some_of(rng, self.trained))

    def _batch(self, few: Sequence[int]) -> tuple[Any, ...]:
        """(tokens, lengths, answers) of some texts."""
        width = max(map(len, self.sources))
        return *padded([self.sources[k] for k in few], width, 0), self.answers[list(few)]

    def _outputs(self, params: Params, ids: Any, lengths: Any = None) -> tuple[mg.Tensor, Any]:
        xs = mg.take(params["embedding"], ids).named("x")
        return xs, rc.unroll(self.whole, params["cell"], xs, lengths=lengths)[1]

    def _logits(self, params: Params, ids: Any, lengths: Any) -> mg.Tensor:
        _, (_, ys) = self._outputs(params, ids, lengths)
        return last(ys, lengths) @ params["W_y"] + params["b_y"]

    def loss(self, params: Params, *batch: Any) -> mg.Tensor:
        return mg.mean(self.scored(params, *batch)[0])

    def scored(self, params: Params, *batch: Any) -> tuple[mg.Tensor, mg.Tensor, Any]:
        ids, lengths, answers = batch
        logits = self._logits(params, ids, lengths)
        return mg.cross_entropy(logits, answers), mg.argmax(logits, axis=-1), answers

    def forward(self, params: Params) -> Pass:
        """Of the text that is looked into: what would be said after every token, and its loss."""
        answer = np.full(self.length, self.answers[self.look_at])
        xs, given = self._outputs(params, np.array(self.sources[self.look_at]))
        return head(self.cell, params, xs, given, answer)

    def held_out(self) -> Iterator[tuple[Any, ...]]:
        yield from self._batches(self.held)

    def _batches(self, rows: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        for at in range(0, len(rows), BATCH):
            yield self._batch(rows[at : at + BATCH])

    def named(self) -> list[list[int] | None]:
        """Of every name the word that it is, as first and last."""
        return [[k, k] for k in range(self.length)]

    def saved(self) -> dict[str, Any]:
        return {"source_classes": list(self.words)}

    def said(self, params: Params, few: Sequence[int]) -> list[tuple[str, ...]]:
        """(text, answer, what the model says) of some texts."""
        plain = mg.evaluate(self._logits(mg.tensors(params), *self._batch(few)[:2]))
        return [
            (self.texts[k], self.classes[self.answers[k]], self.classes[int(row.argmax())])
            for k, row in zip(few, plain, strict=True)
        ]


def repeated(corpus: Corpus) -> bool:
    """Whether the second parts of pairs are answers: few, and given again and again."""
    counts = Counter(tuple(b) for _, b in corpus.pairs)
    return len(counts) > 1 and len(corpus.pairs) >= REPEATED * len(counts)


def answered(task: Answers, params: Params) -> Results:
    """Loss and answers right, of the texts trained on and of those held out, and some of them."""
    tensors = mg.tensors(params)
    rows = range(min(task.trained, MOST_BATCHES * BATCH))
    own = scored(task.scored(tensors, *batch) for batch in task._batches(rows))
    held = scored(task.scored(tensors, *batch) for batch in task.held_out())
    assert own is not None
    few = (task.held or list(range(task.trained)))[:SHOWN]
    return Results(own, held, examples=task.said(params, few))
