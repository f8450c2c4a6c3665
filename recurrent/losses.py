"""Losses over sequences and trees, in nats: padding and what was not observed never matter.

Where it is known which steps count (by lengths, or a mask that is an array), these are taken and
nothing is computed of the others; where a mask is computed, values are replaced before anything is
made of them.  So not even a NaN in the padding reaches a loss or a gradient
(a mask that multiplies would let it through).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg

from .masking import lengths_of, running
from .options import array, size, tensor

__all__ = [
    "bits", "cross_entropy", "mean_squared_error", "perplexity", "tree_cross_entropy", "within",
]  # fmt: skip


def cross_entropy(
    logits: Any, labels: Any, lengths: Sequence[int] | None = None, mask: Any = None
) -> mg.Tensor:
    """The mean of -log softmax(logits)[label] over the steps that count, in nats per step: ().

    logits  : (T, B, C) or (T, C) as `unroll` returns them; without lengths any (..., C).
    labels  : integers 0..C-1 of shape (T, B), (T,) or (...).
              What stands at a step that does not count is never looked at.
    lengths : one per sequence, as `unroll` takes them: the steps behind a sequence's end do not
              count.
    mask    : booleans of the shape of labels, which steps count; with lengths, both must hold.

    No step counts: 0.

    Raises ValueError naming the argument whose shape or values do not fit;
    for labels that are not known yet (in an `mg.function`) when they are.
    """
    z, y = (tensor("cross_entropy", n, t) for n, t in (("logits", logits), ("labels", labels)))
    if not z.ndim or y.shape != z.shape[:-1] or y.dtype.kind not in "iu":
        raise ValueError(
            f"cross_entropy: labels must be integers of shape {z.shape[:-1]} for logits of shape "
            f"{z.shape}; got {y.dtype} of shape {y.shape}"
        )
    known, counts = counting("cross_entropy", y.shape, lengths, mask)
    z, y, counts = (taken(known, x) for x in (z, y, counts))
    if counts is not None:
        y = mg.where(counts, y, mg.zeros_like(y))
    if not isinstance(labels, mg.Tensor) and not isinstance(mask, mg.Tensor):
        y = mg.asarray(y.numpy())  # known, so it is checked now
    return _mean_nats(z, mg.checked(y, 0, z.shape[-1], what="cross_entropy: labels"), counts)


def tree_cross_entropy(logits: Any, labels: Any, rows: Any = None) -> mg.Tensor:
    """The mean cross-entropy over the labelled nodes of trees, in nats per node: ().

    logits : (N, C), a row per node in post-order, as `fold` returns them.
    labels : (N,) integers, -1 for a node without a label (Socher et al. 2013 label every phrase).
    rows   : only these nodes, for example `roots(trees)`; default all.

    No node has a label: 0.

    Raises ValueError for shapes that do not fit, a label below -1 or from C on,
    or rows that are neither row numbers nor a mask.
    """
    who = "tree_cross_entropy"
    z, y = tensor(who, "logits", logits), labels
    if not isinstance(labels, mg.Tensor):
        y = array(who, "labels", labels)
    if z.ndim != 2 or y.shape != z.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(
            "tree_cross_entropy: logits must be (N, C) and labels N integers, one per node; got "
            f"{z.shape} and {y.dtype} of shape {y.shape}"
        )
    if rows is not None:
        if not isinstance(rows, (mg.Tensor, slice)):
            rows = array(who, "rows", rows)
            rows = rows.astype(int) if not rows.size else rows
            if rows.dtype.kind not in "iub" or rows.ndim != 1:
                raise ValueError(
                    f"{who}: rows must be row numbers, or a mask; got {rows.dtype} of shape "
                    f"{rows.shape}"
                )
        z, y = z[rows], y[rows] if isinstance(y, mg.Tensor) else mg.asarray(y)[rows].numpy()
    y = mg.checked(y, -1, z.shape[-1], what="tree_cross_entropy: labels")
    if isinstance(labels, mg.Tensor):
        return _mean_nats(z, y, y >= 0)
    known = y.numpy() >= 0
    return _mean_nats(taken(known, z), taken(known, y), None)


def mean_squared_error(
    predictions: Any, targets: Any, lengths: Sequence[int] | None = None, observed: Any = None
) -> mg.Tensor:
    """The mean of (prediction - target)^2 over the numbers that count: ().

    In the square of the targets' unit.

    predictions, targets : (T, B, D) or (T, D), the same shape; without lengths any (..., D).
    lengths  : one per sequence: the steps behind a sequence's end do not count.
    observed : booleans, which targets were observed:
               of the shape of targets, or without D (whole steps).
               A missing target may hold anything, also NaN.

    No number counts: 0.

    Raises ValueError where targets have another shape than predictions,
    or lengths or observed do not fit them.
    """
    pair = (("predictions", predictions), ("targets", targets))
    p, t = (tensor("mean_squared_error", name, given) for name, given in pair)
    if p.shape != t.shape or not p.ndim:
        raise ValueError(
            f"mean_squared_error: targets must have the shape of predictions, {p.shape}; got "
            f"{t.shape}"
        )
    per_number = None
    if observed is not None and mg.asarray(observed).shape == t.shape:
        per_number, observed = mg.asarray(observed), None
    if per_number is not None and per_number.dtype.kind != "b":
        raise ValueError(f"mean_squared_error: observed must be booleans; got {per_number.dtype}")
    known, counts = counting("mean_squared_error", t.shape[:-1], lengths, observed)
    if counts is not None:
        per_number = mg.broadcast_to(mg.expand_dims(counts, axis=-1), t.shape)
    p, t, counts = (taken(known, x) for x in (p, t, per_number))
    error = p - t if counts is None else mg.where(counts, p - t, mg.zeros_like(p))
    return mean_over(mg.square(error), counts)


def perplexity(nats: Any) -> mg.Tensor:
    """exp(mean cross-entropy in nats): the number of equally likely choices that is as hard.

    nats : (...), as `cross_entropy` gives; the result has its shape.
    Raises TypeError for what is no number.
    """
    return mg.exp(nats)


def bits(nats: Any) -> mg.Tensor:
    """The same loss in bits: nats / log 2.

    nats : (...), as `cross_entropy` gives; the result has its shape.
    Raises TypeError for what is no number.
    """
    return mg.asarray(nats) / float(np.log(2.0))


def within(time: int, lengths: Sequence[int] | None, batch: int, who: str = "within") -> Any:
    """(time, batch) booleans: step t of sequence b is one of its first lengths[b] (None: all).

    An array; a Tensor where lengths are an argument of a function that is being traced.
    Raises ValueError for lengths that are not `batch` integers from 0 to `time`.
    """
    time, batch = size(who, "time", time, 0), size(who, "batch", batch, 0)
    return running(lengths_of(who, lengths, time, batch), time)


def counting(
    who: str, shape: tuple[int, ...], lengths: Sequence[int] | None, mask: Any
) -> tuple[np.ndarray | None, mg.Tensor | None]:
    """The booleans of `shape` that lengths and a mask say together: those that are known now, and
    those that are computed.  None: everything counts."""
    known = None
    if lengths is not None:
        if len(shape) not in (1, 2):
            raise ValueError(
                f"{who}: with lengths the steps must be (T, B) or (T,); got shape {shape}"
            )
        batch = shape[1] if len(shape) == 2 else 1
        known = within(shape[0], lengths, batch, who).reshape(shape)
    if isinstance(known, mg.Tensor):
        if mask is None:
            return None, known
        known, mask = None, known & mask
    if mask is None:
        return known, None
    given = mg.asarray(mask)
    if given.shape != shape or given.dtype.kind != "b":
        raise ValueError(
            f"{who}: the mask must be booleans of shape {shape}; got {given.dtype} of shape "
            f"{given.shape}"
        )
    if isinstance(mask, mg.Tensor):
        return known, given
    return given.numpy() if known is None else known & given.numpy(), None


def taken(known: np.ndarray | None, x: mg.Tensor | None) -> Any:
    """What counts of x, row by row; `known`: booleans of its leading axes (None: all count)."""
    if known is None or x is None or known.all():
        return x
    rows = mg.reshape(x, (known.size, *x.shape[known.ndim :]))
    return mg.take(rows, np.flatnonzero(known))


def _mean_nats(z: mg.Tensor, y: mg.Tensor, counts: mg.Tensor | None) -> mg.Tensor:
    """The mean of -log softmax(z)[y]; a label of -1 is none, at a step that does not count."""
    if counts is not None:
        z = mg.where(mg.expand_dims(counts, axis=-1), z, mg.zeros_like(z))
    hot = mg.expand_dims(y, axis=-1) == np.arange(z.shape[-1], dtype=y.dtype)
    logs = mg.log_softmax(z, axis=-1)
    return mean_over(-mg.sum(mg.where(hot, logs, mg.zeros_like(logs)), axis=-1), counts)


def mean_over(values: mg.Tensor, counts: mg.Tensor | None) -> mg.Tensor:
    """The sum over the number of values that count; of none: 0."""
    if counts is None:
        return mg.sum(values) / max(values.size, 1)
    kept = mg.where(counts, values, mg.zeros_like(values))
    return mg.sum(kept) / mg.maximum(mg.sum(mg.astype(counts, values.dtype)), 1)
