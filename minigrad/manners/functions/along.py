"""Running and ranking along one axis: the largest so far, the k largest, writing at positions.

Positions are data without a derivative; values move by them, and their gradients move back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor, bind
from ...ops.cumulative import HEAD, RECURRENCE, TAIL
from ...ops.movement import part
from ...ops.order import LAST_MAXIMUM
from ...ops.table import ArrayLike, axis_of, flag_of, integer_of
from .elementary import floating

__all__ = [
    "add_along_axis", "cummax", "cummin", "logcumsumexp", "put_along_axis", "topk",
]  # fmt: skip


# -- running ---------------------------------------------------------------------------------------


def _axis(name: str, t: Tensor, axis: int) -> int:
    if not t.ndim:
        raise ValueError(f"{name}: needs at least one axis; got a number")
    return axis_of(name, t, axis)


def cummax(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The largest element so far along an axis, in the shape of x; NaN from the first NaN on.

    The gradient goes to the last of equal elements.
    Raises ValueError for a number, or an axis that is not there.
    """
    t = ops.asarray(x)
    k = _axis("cummax", t, axis)
    return ops.take_along_axis(t, bind(LAST_MAXIMUM, t, axis=k), axis=k)


def cummin(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The smallest element so far along an axis, in the shape of x; NaN from the first NaN on.

    The gradient goes to the last of equal elements.
    Raises ValueError for a number, or an axis that is not there.
    """
    t = ops.asarray(x)
    k = _axis("cummin", t, axis)
    mirrored = ops.negative(t) if t.dtype.kind == "f" else ops.bitwise_invert(t)
    return ops.take_along_axis(t, bind(LAST_MAXIMUM, mirrored, axis=k), axis=k)


def logcumsumexp(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """log(exp(x_0) + ... + exp(x_i)) along an axis, in the shape of x, without overflow.

    Each sum is taken relative to its largest term so far, m: s_i = s_(i-1) e^(m_(i-1) - m_i)
    + e^(x_i - m_i), so that no early term is lost.  -inf terms count as nothing.
    Integers and booleans use float64.

    Raises ValueError for a number, or an axis that is not there.
    """
    t = floating(x)
    k = _axis("logcumsumexp", t, axis)
    if not t.shape[k]:
        return t
    most = ops.stop_gradient(cummax(t, axis=k))
    top = ops.where(ops.isfinite(most), most, 0.0)
    before = part(most, k, *HEAD)
    rescale = ops.exp(ops.subtract(part(top, k, *HEAD), part(top, k, *TAIL)))
    rescale = ops.where(ops.equal(before, -np.inf), 0.0, rescale)  # there is nothing to rescale
    one = ops.ones_like(part(t, k, 0, 1))
    terms = ops.exp(ops.subtract(t, top))
    total = bind(RECURRENCE, ops.concat([one, rescale], axis=k), terms, axis=k, reverse=False)
    return ops.add(ops.where(ops.equal(total, 0), -np.inf, ops.log(total)), top)


# -- ranking ---------------------------------------------------------------------------------------


def topk(x: ArrayLike, k: int, /, *, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along an axis, the largest first, and their positions as int64.

    largest : False: the k smallest, the smallest first.

    Equal elements come in their order; NaN counts as larger than all.
    Raises ValueError for a k that the axis does not hold, TypeError for one that is no integer.
    """
    t, count = ops.asarray(x), integer_of("topk", "k", k)
    along = _axis("topk", t, axis)
    if not 0 <= count <= t.shape[along]:
        raise ValueError(f"topk: axis {axis} of shape {t.shape} holds no {count} elements")
    order = ops.argsort(t, axis=along, descending=flag_of("topk", "largest", largest))
    first = part(order, along, 0, count)
    return ops.take_along_axis(t, first, axis=along), first


# -- writing at positions --------------------------------------------------------------------------


def _targets(
    name: str, x: ArrayLike, indices: ArrayLike, values: ArrayLike, axis: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x, the values, and the row numbers of the flat x that they go to."""
    t = ops.asarray(x)
    if axis is None:
        t = ops.reshape(t, -1)
    k = _axis(name, t, -1 if axis is None else axis)
    index: Any = ops.asarray(indices)
    if index.dtype.kind not in "iu" or index.ndim != t.ndim:
        raise ValueError(
            f"{name}: the indices are integers with as many axes as {t.shape}; got {index.dtype} "
            f"of shape {index.shape}"
        )
    rows = np.arange(t.size).reshape(t.shape)
    along = tuple(m if a - t.ndim != k else index.shape[k] for a, m in enumerate(t.shape))
    try:
        known = index._value  # broadcast now, so that a row that is not there is refused now
        index = ops.broadcast_to(index, along) if known is None else np.broadcast_to(known, along)
        new = ops.broadcast_to(ops.asarray(values, dtype=t.dtype), along)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    flat = ops.take_along_axis(rows, index, axis=k)
    return t, ops.reshape(new, -1), ops.reshape(flat, -1)


def put_along_axis(
    x: ArrayLike, indices: ArrayLike, values: ArrayLike, /, *, axis: int | None = -1
) -> Tensor:
    """x with out[..., indices[..., j, ...], ...] = values[..., j, ...] along an axis: a new Tensor.

    NumPy's writes into x; this one gives what would be there.
    indices : integers with as many axes as x; broadcast to x but for `axis`.
    values  : broadcast to the indices, cast to the dtype of x.
    axis    : None: of the flat x, which is what comes out, in the shape of x.

    Of several values for one place the last counts, and gets the gradient.
    Raises ValueError for indices or values that do not fit, IndexError for a row that is not there.
    """
    t, new, flat = _targets("put_along_axis", x, indices, values, axis)
    shape = ops.asarray(x).shape
    if not new.size or not t.size:
        return ops.reshape(t, shape)
    order = ops.argsort(flat)
    places = ops.take(flat, order)
    row = np.arange(t.size)
    last = ops.maximum(ops.searchsorted(places, row, side="right") - 1, 0)  # of those for a row
    written = ops.equal(ops.take(places, last), row)
    found = ops.where(written, ops.take(new, ops.take(order, last)), ops.reshape(t, -1))
    return ops.reshape(found, shape)


def add_along_axis(
    x: ArrayLike, indices: ArrayLike, values: ArrayLike, /, *, axis: int | None = -1
) -> Tensor:
    """x with values[..., j, ...] added at [..., indices[..., j, ...], ...] along an axis.

    Arguments as of `put_along_axis`; several values for one place add up.
    Raises ValueError for indices or values that do not fit, IndexError for a row that is not there.
    """
    t, new, flat = _targets("add_along_axis", x, indices, values, axis)
    more = ops.scatter(new, flat, math.prod(t.shape))
    return ops.reshape(ops.add(ops.reshape(t, -1), more), ops.asarray(x).shape)
