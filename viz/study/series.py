"""The model behind `minigrad study` of a table: a cell over its rows, read by a linear layer.

A `Task` as those of `model`, for series of numbers: after every row the next one is predicted, or
one column of it; or the class of the row itself is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc

from .corpus import Corpus, InputError
from .model import BATCH, STEPS_MANY, STEPS_ONE, WINDOW, Params, Pass, chosen_of, main_of
from .nets import SEQUENCES, Whole, title
from .table import Table, left_out

HELD = 5  # the last fifth of every series is kept from training,
LEAST = 10  # if it has so many rows


class Numbers:
    """Numbers: after each row, predict the next; or name its class.

    Every column less its mean, by its deviation (both of the rows trained on); a missing value is
    the last one that was seen, and each column that misses some has a further one that says which
    were observed.  A prediction is the last row and what the model adds to it.

    inputs : (T, I) what the cell reads at every row.
    values : (T, K) the standardised values of the columns predicted, NaN where missing.
    mean, deviation : (K,) of the same columns.
    """

    measure = " (mean square, in deviations)"

    def __init__(
        self, cell: str, hidden: int, corpus: Corpus, window: int = WINDOW, loss: int | None = None
    ) -> None:
        table: Table = corpus.table
        self.table, self.notes, self.classes = table, list(corpus.notes), list(table.classes)
        self.held = np.zeros(len(table.values), bool)
        for a, b in table.spans:
            if b - a >= LEAST:
                self.held[b - (b - a) // HELD : b] = True
        self._read(table)
        self.cell: Any = SEQUENCES[cell](self.inputs.shape[1], hidden)
        self.title, self.main = title(cell, self.cell), main_of(self.cell)
        both = getattr(self.cell, "shift", 1) == 0
        if both:
            self.cell.own = bool(self.classes)  # a class is named from all of the row itself
        self.shift = 0 if both or self.classes else 1
        if self.classes:
            self.measure = " nats"
        # a pair is a row that is read and its answer, `shift` rows on
        self.pairs = [(a, b - self.shift, b - self.shift - int(self.held[a:b].sum()))
                      for a, b in table.spans if b - self.shift > a]  # fmt: skip
        self.pairs = [(a, end, known) for a, end, known in self.pairs if known > a]
        self.length = min(window, max(known - a for a, _, known in self.pairs))
        self.starts = np.concatenate(
            [np.arange(a, max(a + 1, known - self.length + 1)) for a, _, known in self.pairs]
        )
        self.ends = np.concatenate(
            [np.full(max(1, known - self.length - a + 1), known) for a, _, known in self.pairs]
        )
        a, _, known = self.pairs[0]
        self.at = np.arange(a, min(known, a + self.length))
        self._tell(corpus)
        count = len(self.at)
        self.names = [table.labels[k] for k in self.at]
        self.tags, self.text = self.names, corpus.text
        _, self.targets, weights = self.gathered(self.at, known)
        self.known = weights > 0
        if not self.known.any():
            raise InputError(
                f"in the first {count} rows of {corpus.source} nothing is observed that could be "
                "predicted: leave those rows out"
            )
        self.chosen = (
            int(np.flatnonzero(self.known)[-1]) if loss is None else chosen_of(loss, count, "steps")
        )
        if both and loss is None and self.known[count // 2]:
            self.chosen = count // 2
        if not self.known[self.chosen]:
            raise InputError(
                f"--loss {self.chosen + 1}: what comes after that row is missing, so there is no "
                "loss at it"
            )
        self.steps = STEPS_ONE if len(self.starts) == 1 else STEPS_MANY
        self.distance = np.abs(np.arange(count) - self.chosen)
        self.leaves, self.below = np.arange(count) == 0, np.arange(count) <= self.chosen

    def _read(self, table: Table) -> None:
        """Standardise what varies; a constant column is left out."""
        trained = table.values[~self.held]
        kept, mean, deviation = [], [], []
        left: dict[str, list[str]] = {}
        with np.errstate(all="ignore"):
            for k, name in enumerate(table.names):
                column = trained[:, k][~np.isnan(trained[:, k])]
                m, s = (column.mean(), column.std()) if len(column) else (0.0, 0.0)
                fits = np.isfinite(m) and np.isfinite(s)
                if fits and s > 1e-12 * max(abs(m), 1e-300):
                    kept.append(k)
                    mean.append(m)
                    deviation.append(s)
                    continue
                part = " in the rows trained on" if self.held.any() else ""
                why = "too large to be squared" if not fits else f"constant{part}"
                if len(column) < 2:
                    why = f"observed fewer than twice{part}"
                if name == table.target and not table.classes:
                    raise InputError(
                        f"--target {name!r} is {why}: there is nothing to predict; choose another"
                    )
                left.setdefault(f"is {why}", []).append(name)
        self.notes += [left_out(names, why) for why, names in left.items()]
        if not kept:
            raise InputError(
                "no column of numbers varies (in the rows trained on), so there is nothing to "
                "learn: give a table with a column that changes"
            )
        self.kept, self.columns = kept, [table.names[k] for k in kept]
        every_mean, every_deviation = np.array(mean), np.array(deviation)
        z = (table.values[:, kept] - every_mean) / every_deviation
        seen = ~np.isnan(z)
        filled = np.concatenate([_last_seen(z[a:b]) for a, b in table.spans])
        self.gaps = [k for k in range(len(kept)) if not seen[:, k].all()]
        self.inputs = np.concatenate([filled, seen[:, self.gaps].astype(float)], axis=1)
        self.reads = (every_mean, every_deviation)
        if table.classes:
            self.outputs: list[int] = []
            self.answers, self.predicts = table.answers, [table.target]
        else:
            names = [table.names[k] for k in table.outputs]
            self.outputs = [k for k, name in enumerate(self.columns) if name in names]
            self.predicts = [self.columns[k] for k in self.outputs]
        self.values = z[:, self.outputs]
        self.mean, self.deviation = every_mean[self.outputs], every_deviation[self.outputs]
        if self.gaps:
            count = int((~seen).sum())
            self.notes.append(
                f"{count:,} value{'s are' if count != 1 else ' is'} missing: the last one seen "
                "stands in, a further input says so, and no loss is taken there."
            )

    def _tell(self, corpus: Corpus) -> None:
        rows, held = int((~self.held).sum()), int(self.held.sum())
        part = "row, which is" if held == 1 else f"{held:,} rows, which are"
        if len(self.table.spans) > 1 and held:
            part = f"rows of each series, {held:,} in all, which are"
        self.notes.append(
            "Every column is standardised: less its mean, divided by its deviation, both of the "
            + (f"{rows:,} rows trained on." if held else "rows given.")
        )
        if held:
            self.notes.append(f"Kept from training: the last {part} never shuffled in.")
        if len(self.starts) > 1:
            self.notes.append(
                f"Trained on random windows of {self.length} rows; looked into: the first."
            )

    # -- what a task is ----------------------------------------------------------------------------

    def init(self, seed: int) -> Params:
        rng = np.random.default_rng(seed)
        outputs = getattr(self.cell, "output_size", self.cell.hidden_size)
        classes = len(self.classes) or len(self.outputs)
        bound = np.sqrt(6 / (outputs + classes))
        small = 1.0 if self.classes else 0.1  # at first the last row is all that is predicted
        return {
            "cell": self.cell.init(seed),
            "W_y": small * rng.uniform(-bound, bound, (outputs, classes)),
            "b_y": np.zeros(classes),
        }

    def gathered(self, at: np.ndarray, end: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(inputs, answers, whether there is one) of the pairs `at`; none at or behind `end`.

        Answers: (..., K) values, NaN where missing, or (...) classes, -1 where missing.
        """
        inside = at < end
        read = np.minimum(at, end - 1)
        answer = np.minimum(read + self.shift, len(self.inputs) - 1)
        if self.classes:
            answers = np.where(inside, self.answers[answer], -1)
            return self.inputs[read], answers, np.asarray(answers >= 0)
        values = np.where(inside[..., None], self.values[answer], np.nan)
        return self.inputs[read], values, np.asarray(~np.isnan(values).all(axis=-1))

    def batch(self, rng: np.random.Generator) -> tuple[Any, ...]:
        few = np.arange(len(self.starts))
        if len(few) > BATCH:
            few = rng.integers(0, len(few), BATCH)
        at = np.arange(self.length)[:, None] + self.starts[few]
        xs, answers, known = self.gathered(at, self.ends[few])
        return xs, *self._plain(answers), known / max(known.sum(), 1)

    def _plain(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answers without NaN or -1, and the weight of each in the loss of its row."""
        if self.classes:
            return np.maximum(answers, 0), np.ones(answers.shape)
        seen = ~np.isnan(answers)
        weight = seen / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
        return np.where(seen, answers, 0.0), weight

    def loss(self, params: Params, *batch: Any) -> mg.Tensor:
        xs, answers, each, rows = batch
        return mg.sum(self._run(params, xs, answers, each).losses * rows)

    def forward(self, params: Params) -> Pass:
        xs = mg.asarray(self.inputs[self.at]).named("x")
        return self._run(params, xs, *self._plain(self.targets))

    def held_out(self) -> Iterator[tuple[Any, ...]]:
        """(rows read, end, which answers count): windows over what training has not seen.

        Each answer is counted once, in a window that reads at least half of it before, if it can.
        """
        half = max(1, self.length // 2)
        ends, stops, begins = [], [], []
        for a, end, known in self.pairs:
            for first in range(known, end, half):
                stops.append(min(first + half, end))
                ends.append(end)
                begins.append(max(a, stops[-1] - self.length))
        firsts = [known + k * half for a, end, known in self.pairs
                  for k in range(-(-(end - known) // half))]  # fmt: skip
        for k in range(0, len(begins), 4 * BATCH):
            few = slice(k, k + 4 * BATCH)
            at = np.arange(self.length)[:, None] + np.array(begins[few])
            yield at, np.array(ends[few]), (at >= firsts[few]) & (at < stops[few])

    def outputs_at(self, params: Params) -> np.ndarray:
        """(T, K or classes): what is predicted of every row held out, NaN for others."""
        width = len(self.classes) or len(self.outputs)
        found = np.full((len(self.inputs), width), np.nan)
        tensors = mg.tensors(params)
        for at, end, counts in self.held_out():
            xs, answers, _ = self.gathered(at, end)
            got = mg.evaluate(self._run(tensors, xs, *self._plain(answers)).logits)
            found[at[counts] + self.shift] = got[counts]
        return found

    def _run(self, params: Params, xs: Any, answers: Any, each: Any) -> Pass:
        if hasattr(self.cell, "run_over"):
            parts, y = self.cell.run_over(params["cell"], xs)
        else:
            _, (parts, y) = rc.unroll(Whole(self.cell), params["cell"], xs)
        named = dict(zip(self.cell.state_names, parts, strict=True))
        out = y @ params["W_y"] + params["b_y"]
        if self.classes:
            return Pass(xs, named, out, mg.cross_entropy(out, answers))
        if self.shift:
            last = [mg.asarray(xs)[..., k : k + 1] for k in self.outputs]
            out = out + (mg.concat(last, axis=-1) if len(last) > 1 else last[0])
        return Pass(xs, named, out, mg.sum(mg.square(out - answers) * each, axis=-1))

    def next_row(self, out: np.ndarray) -> np.ndarray:
        """What the cell reads next, if a prediction came true: all of it was observed."""
        return np.concatenate([out, np.ones(len(self.gaps))]) if self.gaps else out

    def saved(self) -> dict[str, Any]:
        """How the table is read: for the saved model."""
        mean, deviation = self.reads
        return {
            "columns": self.columns, "mean": mean, "deviation": deviation,
            "flags": [self.columns[k] for k in self.gaps], "predicts": self.predicts,
        }  # fmt: skip

    def units(self, values: np.ndarray) -> np.ndarray:
        """Standardised values (..., K) in the units of the table."""
        return values * self.deviation + self.mean


def _last_seen(z: np.ndarray) -> np.ndarray:
    """Missing values as the last one seen, or the mean where there was none."""
    at = np.where(np.isnan(z), -1, np.arange(len(z))[:, None])
    at = np.maximum.accumulate(at, axis=0) if len(z) else at
    return np.where(at >= 0, np.take_along_axis(z, np.maximum(at, 0), axis=0), 0.0)
