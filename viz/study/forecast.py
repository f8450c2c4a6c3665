"""What a model of numbers is good for: beside baselines, and how it goes on from the end.

All are asked the same: the rows at the end of every series that training has not seen, or, where
nothing was held out, the rows that are looked into.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import optree

import minigrad as mg
import recurrent as rc

from .model import Params
from .results import Results, Score
from .series import Numbers

SPAN = 5  # rows of the sliding window
RIDGE = 1e-3  # of its regression, for each row
AHEAD = 24  # rows of a continuation


@dataclass(frozen=True)
class Forecast:
    """baselines: name -> score, on what `Results.held` is of, or `Results.own`.

    predicted : (T, K) what is predicted of the rows held out, in units, NaN for others.
    ahead     : (N, K) how the first series goes on, in units; None where it cannot be told.
    why       : then the reason, for people.
    confusion : (C, C) of classes: rows say what is, columns what is named; else None.
    """

    baselines: dict[str, Score]
    predicted: np.ndarray
    ahead: np.ndarray | None
    why: str
    confusion: np.ndarray | None


def forecasts(task: Numbers, params: Params) -> Results:
    run = task.forward(mg.tensors(params))
    looked = np.zeros(len(task.inputs), bool)
    looked[task.at[task.known] + task.shift] = True
    found = np.full((len(task.inputs), run.logits.shape[-1]), np.nan)
    found[task.at + task.shift] = run.logits.numpy()
    own = score(task, found, looked)
    held, asked, answers = None, looked, found
    if task.held.any():
        answers = task.outputs_at(params)
        asked = task.held & _known(task)
        held = score(task, answers, asked) if asked.any() else None
    asked = asked if asked.any() else looked
    others = {name: score(task, p, asked) for name, p in baselines(task).items()}
    ahead, why = None, ""
    if task.classes:
        why = "classes are named row by row"
    elif len(task.outputs) < len(task.columns):
        why = "the other columns of the rows to come are not known"
    elif not task.shift:
        why = "it reads from both ends"
    else:
        ahead = task.units(continued(task, params))
    known = task.answers[asked] if task.classes else None
    table = None
    if known is not None:
        table = np.zeros((len(task.classes),) * 2, np.int64)
        np.add.at(table, (known, answers[asked].argmax(axis=-1)), 1)
    shown = np.full((len(task.inputs), 0), np.nan) if task.classes else task.units(answers)
    return Results(own, held, forecast=Forecast(others, shown, ahead, why, table))


def _known(task: Numbers) -> np.ndarray:
    if task.classes:
        return task.answers >= 0
    return ~np.isnan(task.values).all(axis=-1)


def score(task: Numbers, predicted: np.ndarray, rows: np.ndarray) -> Score:
    """Of predictions (T, K), or of log-chances (T, C), at some rows.

    Chances that are 0 or 1 have no loss: it is NaN.
    """
    p, count = predicted[rows], int(rows.sum())
    if task.classes:
        known = task.answers[rows]
        right = float((p.argmax(axis=-1) == known).mean())
        if not np.isfinite(p).all():
            return Score(np.nan, right, count)
        top = p.max(axis=-1, keepdims=True)
        log = p - top - np.log(np.exp(p - top).sum(axis=-1, keepdims=True))
        return Score(float(-log[np.arange(count), known].mean()), right, count)
    seen = ~np.isnan(task.values[rows])
    square = np.where(seen, (p - np.where(seen, task.values[rows], 0.0)) ** 2, 0.0)
    each = square.sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)
    with np.errstate(all="ignore"):
        errors = np.sqrt(square.sum(axis=0) / seen.sum(axis=0)) * task.deviation
    return Score(float(each.mean()), np.nan, count, tuple(errors.tolist()))


def baselines(task: Numbers) -> dict[str, np.ndarray]:
    """Predictions as the model's, of every row, by those who learn little or nothing.

    "last value": the row before.  "mean": of the rows trained on; of classes, how often each is.
    "window of 5 rows": a linear function of that many rows, fitted by least squares.
    """
    fit = ~task.held & _known(task)
    wide, reading = _windows(task)
    fit_here = fit & reading
    if task.classes:
        count = len(task.classes)
        often = np.bincount(task.answers[fit], minlength=count) + 1.0
        one = np.eye(count)[np.maximum(task.answers, 0)]
        with np.errstate(divide="ignore"):
            before = np.log(_before(task, np.where(task.answers[:, None] >= 0, one, np.nan)))
        found = {
            "class of the row before": before,
            "the most frequent class": np.tile(np.log(often / often.sum()), (len(one), 1)),
        }
        target = one
    else:
        found = {
            "last value": _before(task, task.values), "mean": np.zeros_like(task.values),
        }  # fmt: skip
        fit_here = fit_here & ~np.isnan(task.values).any(axis=-1)
        target = np.where(np.isnan(task.values), 0.0, task.values)
    if fit_here.sum() > 2 * wide.shape[1]:  # with fewer it would only remember them
        linear = rc.ridge_readout(wide[fit_here], target[fit_here], RIDGE * int(fit_here.sum()))
        fitted = wide @ linear["V"] + linear["c"]
        if task.classes:  # the largest is named; it is no chance
            fitted = np.where(fitted == fitted.max(axis=-1, keepdims=True), 0.0, -np.inf)
        found[f"linear, of {SPAN} rows"] = fitted
    return found


def _before(task: Numbers, values: np.ndarray) -> np.ndarray:
    """The last value seen before each row, of the same series; 0 where there was none."""
    made = np.zeros_like(values)
    for a, b in task.table.spans:
        at = np.where(np.isnan(values[a:b]), -1, np.arange(b - a)[:, None])
        at = np.maximum.accumulate(at, axis=0)
        last = np.where(at >= 0, np.take_along_axis(values[a:b], np.maximum(at, 0), axis=0), 0.0)
        made[a + 1 : b] = last[:-1]
    return made


def _windows(task: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """(T, SPAN I): what the rows up to each say that may be read, and whether there is a first.

    The class of a row is told from the row itself, all else from the rows before it.
    """
    late = 0 if task.classes else 1
    parts, some = [], np.zeros(len(task.inputs), bool)
    for a, b in task.table.spans:
        at = np.arange(b - a)[:, None] - late - np.arange(SPAN)
        parts.append(task.inputs[a + np.maximum(at, 0)].reshape(b - a, -1))
        some[a:b] = at[:, 0] >= 0
    return np.concatenate(parts), some


def continued(task: Numbers, params: Params) -> np.ndarray:
    """(N, K): the first series from its end on, each prediction read as the next row."""
    tensors = mg.tensors(params)
    a, b = task.table.spans[0]
    read = task.inputs[max(a, b - task.length) : b]
    carry, waiting, found = None, read, []
    for _ in range(min(AHEAD, len(read))):
        if hasattr(task.cell, "run_over"):  # it reads all of it again
            ys = task.cell.run_over(tensors["cell"], mg.asarray(waiting))[1]
        else:
            carry, ys = rc.unroll(task.cell, tensors["cell"], mg.asarray(waiting), carry)
        step = ys[-1] @ tensors["W_y"] + tensors["b_y"]
        carry, out = mg.evaluate((carry, step))
        carry = optree.tree_map(mg.asarray, carry)
        out = out + waiting[-1][task.outputs]
        found.append(out)
        row = task.next_row(out)[None]
        waiting = np.concatenate([waiting, row])[-len(read) :] if carry is None else row
    return np.array(found)
