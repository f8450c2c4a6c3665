"""What a trained model is good for: loss and accuracy on what it has not seen, a continuation.

And the model itself, saved beside the page: `mg.load` reads it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optree

import minigrad as mg
import recurrent as rc

from .corpus import Corpus
from .model import END, RARE, Params, Sequences, Task

MOST_BATCHES = 40  # of what was held out
LENGTHS = {"word": 24, "char": 120}  # tokens of a continuation
MODEL = "model.safetensors"


@dataclass(frozen=True)
class Score:
    """Mean loss and the part of the answers that is right (of numbers NaN), over `count` answers.

    errors: of numbers, the root of the mean square error of every column predicted, in its units.
    """

    loss: float
    accuracy: float
    count: int
    errors: tuple[float, ...] = ()


@dataclass(frozen=True)
class Results:
    """own: on the sequence or tree that is looked into.  held: on what training has not seen.

    prompt, continuation: how the model goes on from a beginning; None for trees and tables.
    forecast: of a table, a `forecast.Forecast`.
    examples: of pairs, some (source, target, what the model says).
    """

    own: Score
    held: Score | None
    prompt: str | None = None
    continuation: str | None = None
    forecast: Any = None
    examples: Sequence[tuple[str, ...]] = ()


def results(task: Task, corpus: Corpus, params: Params, seed: int) -> Results:
    """What `params` reach; the continuation is drawn with `seed`."""
    tensors = mg.tensors(params)
    run = task.forward(tensors)
    own = scored([(run.losses, mg.argmax(run.logits, axis=-1), task.targets)])
    batches = (b for b, _ in zip(task.held_out(), range(MOST_BATCHES), strict=False))
    held = scored(task.scored(tensors, *batch) for batch in batches)
    if not isinstance(task, Sequences):
        return Results(own, held) if own is not None else Results(Score(np.nan, 0.0, 0), held)
    assert own is not None
    begin = max(1, min(4, task.length // 3))
    told = [task.classes[k] for k in task.ids[:begin]]
    if not task.shift:  # it names tokens from both sides: there is nothing to go on
        return Results(own, held)
    more = continued(task, params, task.ids[:begin].tolist(), seed, LENGTHS[corpus.kind])
    return Results(own, held, joined(told, corpus.kind), joined(more, corpus.kind))


def scored(batches: list[tuple[Any, ...]] | Iterator[tuple[Any, ...]]) -> Score | None:
    """Over all (losses, predictions, answers); an answer of -1 does not count."""
    loss, right, count = 0.0, 0, 0
    for losses, predicted, answers in batches:
        found = mg.evaluate([losses, predicted])
        known = np.asarray(answers) >= 0
        loss += float(found[0][known].sum())
        right += int((found[1] == answers)[known].sum())
        count += int(known.sum())
    return Score(loss / count, right / count, count) if count else None


def continued(task: Sequences, params: Params, ids: list[int], seed: int, most: int) -> list[str]:
    """Tokens drawn one by one from the model, which has read `ids`; it ends where it says so."""
    rng, found = np.random.default_rng(seed), []
    tensors = mg.tensors(params)
    carry, waiting = None, list(ids)
    for _ in range(most):
        xs = mg.take(tensors["embedding"], np.array(waiting))
        if hasattr(task.cell, "run_over"):  # it reads all of it again
            ys = task.cell.run_over(tensors["cell"], xs)[1]
        else:
            carry, ys = rc.unroll(task.cell, tensors["cell"], xs, carry)
        chances = mg.softmax(ys[-1] @ tensors["W_y"] + tensors["b_y"])
        carry, p = mg.evaluate((carry, chances))
        carry = optree.tree_map(mg.asarray, carry)
        k = int(rng.choice(len(p), p=p / p.sum()))
        if task.classes[k] in (END, RARE):
            break
        found.append(task.classes[k])
        waiting = [*waiting, k] if carry is None else [k]
    return found


def joined(tokens: list[str], kind: str) -> str:
    """Tokens as a text: signs stand at the word before them."""
    if kind == "char":
        return "".join(tokens)
    text = ""
    for token in tokens:
        text += token if not text or token in ".,;:!?)]}…。、，" else f" {token}"
    return text


def save(path: Path, name: str, task: Task, params: Params) -> None:
    """The model for `mg.load`: parameters, classes in order, which cell it is and its sizes.

    A task may have more to say of how its data are read: `task.saved()`.
    """
    mg.save(path, {
        "cell": name, "input_size": int(task.cell.input_size),
        "hidden_size": int(task.cell.hidden_size), "classes": list(task.classes),
        "params": params, **getattr(task, "saved", dict)(),
    })  # fmt: skip
