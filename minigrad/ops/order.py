"""Order: sorting and searching.  Positions are data; values move by them, so gradients move back.

What has a shape that depends on values (`unique_values`, `nonzero`) is no op of a graph:
`manners.functions.counted` has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from . import analytic
from .arrays import asarray, promoted
from .indexing import take, take_along_axis
from .table import ArrayLike, axis_of, choice_of, flag_of, row

__all__ = ["argsort", "searchsorted", "sort"]

INT = np.dtype(np.int64)


def _argsort_numpy(x: Any, axis: int, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable").astype(INT)
    # ascending from the far end, read backwards, keeps equal elements in their first order
    far = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(far, axis).astype(INT)


def _last_maximum_numpy(x: Any, axis: int) -> Any:
    """Where the largest element so far stands, the last of equal ones; the first NaN, once met."""
    top = np.maximum.accumulate(x, axis=axis)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, np.bool_)
    new = (x == top) | nan & (np.cumsum(nan, axis=axis) == 1)
    place = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (-1 - axis))
    return np.maximum.accumulate(np.where(new, place, 0), axis=axis).astype(INT)


def _searchsorted_shape(x: Tensor, v: Tensor, side: str) -> tuple[Shape, np.dtype]:
    if x.ndim != 1:
        raise ValueError(f"the sorted array must be a vector; it has shape {x.shape}")
    return v.shape, INT


def _searchsorted_numpy(x: Any, v: Any, side: Any, rows: tuple[int, int] | None = None) -> Any:
    """With `rows` = (n, ndim of v) either operand may have a row axis in front."""
    if rows is None or np.ndim(x) == 1:
        return np.asarray(np.searchsorted(x, v, side=side), INT)
    n, ndim = rows
    each = v if np.ndim(v) > ndim else np.broadcast_to(v, (n, *np.shape(v)))
    pairs = zip(x, each, strict=True)
    return np.array([np.searchsorted(s, w, side=side) for s, w in pairs], INT).reshape(each.shape)


ARGSORT = row(
    "argsort", "reduction", lambda x, axis, descending: (x.shape, INT), _argsort_numpy,
    branch=analytic.between_neighbours,
)  # fmt: skip
LAST_MAXIMUM = row(
    "last_maximum", "reduction", lambda x, axis: (x.shape, INT), _last_maximum_numpy,
    branch=lambda x, axis: analytic.between_neighbours(x, axis, False),
)  # fmt: skip
SEARCHSORTED = row(
    "searchsorted", "reduction", _searchsorted_shape, _searchsorted_numpy,
    rows=lambda n, node, attrs: {**attrs, "rows": (n, node.inputs[1].ndim)},
)  # fmt: skip


def _positions(op: str, t: Tensor, axis: Any, descending: bool) -> Tensor:
    if axis is None or isinstance(axis, (tuple, list)):
        raise TypeError(f"{op}: sorts along one axis, an integer; got {axis!r}")
    k = axis_of(op, t, axis)
    return bind(ARGSORT, t, axis=k, descending=flag_of(op, "descending", descending))


def argsort(
    x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions that sort x along one axis, as int64, in the shape of x.

    Equal elements stay in their order, whatever `stable` says; NaN counts as larger than all.

    Raises ValueError for an axis that is not there, TypeError for none or several.
    """
    return _positions("argsort", asarray(x), axis, descending)


def sort(
    x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """x sorted along one axis, any shape; NaN counts as larger than all.

    The gradient goes back to where each value came from; equal values came in their order.

    Raises ValueError for an axis that is not there, TypeError for none or several.
    """
    t = asarray(x)
    return take_along_axis(t, _positions("sort", t, axis, descending), axis=axis)


def searchsorted(
    x1: ArrayLike, x2: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None
) -> Tensor:
    """Where the elements of x2 would enter the sorted vector x1: int64 in the shape of x2.

    side   : "left", before equal elements, or "right", behind them.
    sorter : positions that sort x1.

    Raises ValueError for an x1 that is no vector, or another side.
    """
    choice_of("searchsorted", "side", side, ("left", "right"))
    t, v = promoted(x1, x2)
    if sorter is not None:
        t = take(t, sorter)
    return bind(SEARCHSORTED, t, v, side=side)
