"""Reductions, and the normalised forms built on them (softmax, cross-entropy)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from .arrays import asarray, astype
from .broadcast import SUM, kept, reshape, spread, zeros_like
from .elementwise import (
    abs,
    add,
    divide,
    equal,
    less,
    multiply,
    negative,
    pick,
    stop_gradient,
    subtract,
    where,
)  # fmt: skip
from .functions import exp, log
from .movement import expand_dims
from .table import FLOAT, ArrayLike, axes_of, per_input, reduced, row

__all__ = [
    "argmax", "cross_entropy", "log_softmax", "logsumexp", "max", "mean", "min", "softmax", "sum",
]  # fmt: skip


def _reduced_max(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    if any(x.shape[a] == 0 for a in axis):
        raise ValueError("the maximum of no elements is not defined")
    return reduced(x, axis)


def _max_vjp(g: Tensor, y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    wins = astype(
        equal(x, spread(y, x, axis)), x.dtype
    )  # ties share the gradient: weights sum to 1
    share = divide(wins, spread(bind(SUM, wins, axis=axis), x, axis))
    return multiply(spread(g, x, axis), stop_gradient(share))


MAX = row(
    "max", "reduction", _reduced_max, lambda x, axis: np.max(x, axis=axis), per_input(_max_vjp)
)
ARGMAX = row(
    "argmax", "reduction", lambda x, axis: (_reduced_max(x, (axis,))[0], np.dtype(np.int64)),
    lambda x, axis: np.argmax(x, axis=axis),
)  # fmt: skip


def sum(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (an int, a tuple, or None for all).  Booleans and small integers sum as
    int64."""
    t = asarray(x)
    if t.dtype.kind in "iub" and t.dtype.itemsize < 8:
        t = astype(t, np.uint64 if t.dtype.kind == "u" else np.int64)
    axes = axes_of("sum", t, axis)
    return kept(bind(SUM, t, axis=axes) if axes else t, t, axes, keepdims)


def mean(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`; of no elements: NaN."""
    t = asarray(x)
    t = t if t.dtype.kind == "f" else astype(t, FLOAT)
    n = math.prod(t.shape[a] for a in axes_of("mean", t, axis))
    total = sum(t, axis=axis, keepdims=keepdims)
    return multiply(total, 1.0 / n) if n else divide(total, 0.0)


def max(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The maximum over `axis`; NaN propagates; equal maxima share the gradient."""
    t = asarray(x)
    axes = axes_of("max", t, axis)
    return kept(bind(MAX, t, axis=axes) if axes else t, t, axes, keepdims)


def min(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The minimum over `axis`; NaN propagates; equal minima share the gradient."""
    return negative(max(negative(x), axis=axis, keepdims=keepdims))


def argmax(x: ArrayLike, /, *, axis: int | None = -1) -> Tensor:
    """The position of the first maximum along one axis (None: of the flat array), as int64."""
    t = asarray(x)
    if axis is None:
        t, axis = reshape(t, -1), -1
    (axis,) = axes_of("argmax", t, axis)
    return bind(ARGMAX, t, axis=axis)


def logsumexp(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow; of all -inf: -inf (with gradient 0)."""
    t = asarray(x)
    t = t if t.dtype.kind == "f" else astype(t, FLOAT)
    axes_of("logsumexp", t, axis)
    top = stop_gradient(max(t, axis=axis, keepdims=True))
    top = where(less(abs(top), np.inf), top, zeros_like(top))  # inf - inf is NaN
    total = sum(exp(subtract(t, top)), axis=axis, keepdims=True)
    total = add(where(equal(total, 0), -np.inf, log(total)), top)  # log 0 has an infinite slope
    return total if keepdims else reshape(total, sum(t, axis=axis).shape)


def softmax(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`."""
    t = asarray(x)
    axes_of("softmax", t, axis)
    e = exp(subtract(t, stop_gradient(max(t, axis=axis, keepdims=True))))
    return divide(e, sum(e, axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """x - logsumexp(x) along `axis`."""
    t = asarray(x)
    axes_of("log_softmax", t, axis)
    shifted = subtract(t, stop_gradient(max(t, axis=axis, keepdims=True)))
    return subtract(shifted, log(sum(exp(shifted), axis=axis, keepdims=True)))


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Tensor:
    """-log softmax(logits)[label]: logits (..., C), integer labels (...) from 0 to C-1; result
    (...), in nats."""
    z, y = asarray(logits), asarray(labels)
    if y.dtype.kind not in "iu" or y.shape != z.shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels must be integers of shape {z.shape[:-1]} for logits of shape "
            f"{z.shape}; "
            f"got {y.dtype} of shape {y.shape}"
        )
    if (
        y._value is not None
        and y.size
        and not (0 <= y._value.min() and y._value.max() < z.shape[-1])
    ):
        raise ValueError(
            f"cross_entropy: labels must lie in 0..{z.shape[-1] - 1}; got {y._value.ravel()[:8]}"
        )
    hot = equal(expand_dims(y, axis=-1), np.arange(z.shape[-1], dtype=y.dtype))
    return negative(sum(pick(log_softmax(z), hot), axis=-1))
