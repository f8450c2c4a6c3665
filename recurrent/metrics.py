"""How well predictions do, as counts: accuracy, F1, the table of what was taken for what.

Beside `losses`, whose padding and masks they share: what does not count is never looked at.
They are recorded like any function, so that an evaluation may be one `mg.function`,
and they have no gradient: to train there are the losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg

from .losses import counting, mean_over, taken
from .options import choice, size, tensor

__all__ = ["accuracy", "confusion_matrix", "f1"]


def accuracy(
    predicted: Any, labels: Any, lengths: Sequence[int] | None = None, mask: Any = None
) -> mg.Tensor:
    """The share of steps that count at which the label was predicted: (), float64 in [0, 1].

    predicted : logits or probabilities (..., C), of which the largest is taken (the first of
                several), or integers in the shape of labels.
    labels    : integers of shape (T, B), (T,) or, without lengths, any.
    lengths   : one per sequence: the steps behind a sequence's end do not count.
    mask      : booleans of the shape of labels, which steps count; with lengths, both must hold.

    No step counts: 0.

    Raises ValueError naming the argument whose shape or values do not fit,
    TypeError for what is no numbers.
    """
    p, y, counts, _ = _compared("accuracy", predicted, labels, lengths, mask)
    return mean_over(mg.astype(p == y, np.float64), counts)


def confusion_matrix(
    predicted: Any, labels: Any, lengths: Sequence[int] | None = None, mask: Any = None, *,
    classes: int | None = None,
) -> mg.Tensor:  # fmt: skip
    """How often each class was taken for each: (C, C) int64, a row per label.

    [i, j] counts the steps with label i at which j was predicted; the diagonal is what was right.

    predicted, labels, lengths, mask : as those of `accuracy`.
    classes : C.  Logits say it; without, of integers that are known, one more than the largest.

    Raises ValueError naming the argument whose shape or values do not fit,
    also for labels outside of 0..C-1 (in an `mg.function` when they are known);
    TypeError for what is no numbers, and without `classes` for integers that are not known yet.
    """
    return _confusion("confusion_matrix", predicted, labels, lengths, mask, classes)


def f1(
    predicted: Any, labels: Any, lengths: Sequence[int] | None = None, mask: Any = None, *,
    classes: int | None = None, average: str | None = "macro",
) -> mg.Tensor:  # fmt: skip
    """F1, the harmonic mean of precision and recall: 2 right / (labelled + predicted), by class.

    predicted, labels, lengths, mask : as those of `accuracy`.
    classes : as in `confusion_matrix`.
    average : "macro"     the mean over the classes that occur, as label or prediction: ()
              "weighted"  the mean weighted by how many labels a class has: ()
              "micro"     of all classes' counts together, which is the accuracy: ()
              None        each class: (C,), 0 for one that does not occur

    float64 in [0, 1]; no step counts: 0.

    van Rijsbergen 1979, chapter 7.

    Raises what `confusion_matrix` raises, and ValueError for another average.
    """
    how = choice("f1", "average", average, ("macro", "weighted", "micro", None))
    table = _confusion("f1", predicted, labels, lengths, mask, classes)
    right = mg.astype(mg.diagonal(table), np.float64)
    labelled, taken = (mg.astype(mg.sum(table, axis=k), np.float64) for k in (1, 0))
    if how == "micro":
        right, labelled, taken = (mg.sum(t) for t in (right, labelled, taken))
    each = 2 * right / mg.maximum(labelled + taken, 1.0)
    if how in ("micro", None):
        return each
    weights = labelled if how == "weighted" else mg.astype(labelled + taken > 0, np.float64)
    return mg.sum(each * weights) / mg.maximum(mg.sum(weights), 1.0)


def _compared(
    who: str, predicted: Any, labels: Any, lengths: Any, mask: Any
) -> tuple[mg.Tensor, mg.Tensor, mg.Tensor | None, int | None]:
    """Predicted and true classes of the steps that are known to count, which of these do, and C."""
    p, y = tensor(who, "predicted", predicted), tensor(who, "labels", labels)
    scores = p.dtype.kind == "f"
    if y.dtype.kind not in "iu" or p.dtype.kind == "b" or y.shape != p.shape[: p.ndim - scores]:
        raise ValueError(
            f"{who}: labels must be integers, and predicted integers of their shape, or scores "
            f"with an axis of classes more; got labels {y.dtype} of shape {y.shape}, predicted "
            f"{p.dtype} of shape {p.shape}"
        )
    known, counts = counting(who, y.shape, lengths, mask)
    p, y, counts = (taken(known, x) for x in (p, y, counts))
    if not scores:
        return p, y, counts, None
    size(who, "the axis of classes of predicted", p.shape[-1])
    return mg.argmax(p, axis=-1), y, counts, p.shape[-1]


def _confusion(
    who: str, predicted: Any, labels: Any, lengths: Any, mask: Any, classes: int | None
) -> mg.Tensor:
    p, y, counts, own = _compared(who, predicted, labels, lengths, mask)
    if counts is not None:
        p, y = (mg.where(counts, t, mg.zeros_like(t)) for t in (p, y))
    if classes is not None:
        n = size(who, "classes", classes)
        if own is not None and own != n:
            raise ValueError(f"{who}: classes is {n}, but predicted has scores of {own}")
    else:
        n = own if own is not None else _largest(who, p, y) + 1
    p, y = (
        mg.checked(mg.astype(t, np.int64), 0, n, what=f"{who}: {what}")
        for t, what in ((p, "predicted"), (y, "labels"))
    )
    one = mg.ones(y.shape, dtype=np.int64) if counts is None else mg.astype(counts, np.int64)
    cells = mg.scatter(mg.reshape(one, -1), mg.reshape(y * n + p, -1), n * n)
    return mg.reshape(cells, (n, n))


def _largest(who: str, *given: mg.Tensor) -> int:
    try:
        return max((int(t.numpy().max(initial=0)) for t in given), default=0)
    except TypeError:
        raise TypeError(
            f"{who}: how many classes there are is not known while a function is traced; "
            "give classes="
        ) from None
