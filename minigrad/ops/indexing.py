"""Indexing: `take` and its dual `scatter`, and what `t[...]` records."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from .arrays import asarray
from .broadcast import reshape
from .elementwise import greater_equal, less, logical_or, where
from .movement import SLICE, permute_dims
from .table import BOOL, ArrayLike, axes_of, movement_row

__all__ = ["scatter", "take"]


def _take_shape(x: Tensor, index: Tensor) -> tuple[Shape, np.dtype]:
    if index.dtype.kind not in "iu":
        raise TypeError(f"row numbers must be integers, not {index.dtype}")
    if not x.shape:
        raise ValueError("a 0-d Tensor has no rows to take")
    return index.shape + x.shape[1:], x.dtype


def _scatter_shape(x: Tensor, index: Tensor, size: int) -> tuple[Shape, np.dtype]:
    if index.dtype.kind not in "iu" or x.shape[: index.ndim] != index.shape:
        raise ValueError(
            f"the first axes of {x.shape} must be those of the row numbers, {index.shape}"
        )
    return (size, *x.shape[index.ndim :]), x.dtype


def check_rows(index: Any, size: int) -> None:
    if index.size and (index.min() < -size or index.max() >= size):
        raise IndexError(
            f"row {index.max() if index.max() >= size else index.min()} of a table with {size} rows"
        )


def _take_numpy(x: Any, index: Any, rows: tuple[int, int, int] | None = None) -> Any:
    """Rows of x.  With `rows` = (n, ndim of x, ndim of index) either operand may have a row axis in
    front."""
    if rows is None:
        check_rows(index, x.shape[0])
        return np.take(x, index, axis=0)
    n, ndim, _ = rows
    if x.ndim == ndim:
        check_rows(index, x.shape[0])
        return np.take(x, index, axis=0)
    check_rows(index, x.shape[1])
    if index.ndim == rows[2]:
        return np.take(x, index, axis=1)
    at = np.arange(n).reshape(n, *(1,) * (index.ndim - 1))
    return x[at, index]


def _scatter_numpy(x: Any, index: Any, size: int, rows: tuple[int, int, int] | None = None) -> Any:
    """zeros(size, ...) with the rows of x added at `index`: the dual of take."""
    if rows is None:
        check_rows(index, size)
        return add_rows(size, index.reshape(-1), x.reshape((index.size,) + x.shape[index.ndim :]))
    n, ndim, k = rows
    x = x if x.ndim > ndim else np.broadcast_to(x, (n, *x.shape))
    index = index if index.ndim > k else np.broadcast_to(index, (n, *index.shape))
    check_rows(index, size)
    flat = (
        index % size + size * np.arange(n).reshape(n, *(1,) * (index.ndim - 1)) if size else index
    )
    tail = x.shape[index.ndim :]
    return add_rows(n * size, flat.reshape(-1), x.reshape((index.size, *tail))).reshape(
        n, size, *tail
    )


def add_rows(size: int, index: Any, rows: Any) -> Any:
    """zeros(size, ...) plus `rows`, each at its `index`; rows that share an index are summed in row
    order."""
    total = np.zeros((size, *rows.shape[1:]), rows.dtype)
    if not index.size or not rows.size:
        return total
    index = np.where(index < 0, index + size, index)
    if np.bincount(index, minlength=size).max() == 1:
        total[index] = rows
        return total
    order = np.argsort(index, kind="stable")
    sorted_index = index[order]
    starts = np.flatnonzero(np.r_[True, sorted_index[1:] != sorted_index[:-1]])
    total[sorted_index[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return total


def _gather_rows(n: int, node: Tensor, attrs: dict[str, Any]) -> dict[str, Any]:
    return {**attrs, "rows": (n, node.inputs[0].ndim, node.inputs[1].ndim)}


TAKE = movement_row(
    "take", _take_shape, _take_numpy, lambda g, y, x, index: scatter(g, index, x.shape[0]), None,
    rows=_gather_rows,
)  # fmt: skip
SCATTER = movement_row(
    "scatter", _scatter_shape, _scatter_numpy,
    lambda g, y, x, index, size: bind(TAKE, g, index), None, rows=_gather_rows,
)  # fmt: skip


def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int = 0) -> Tensor:
    """The rows of `axis` numbered by the integer array `indices`; a row taken twice gets both
    gradients."""
    t, index = asarray(x), asarray(indices)
    (k,) = axes_of("take", t, axis)
    if index._value is not None:
        try:
            check_rows(index._value, t.shape[k])
        except IndexError as error:
            raise IndexError(f"take: {error} (shape {t.shape}, axis {axis})") from None
    if k == -t.ndim:
        return bind(TAKE, t, index)
    k += t.ndim
    front = permute_dims(t, (k, *range(k), *range(k + 1, t.ndim)))
    y = bind(TAKE, front, index)
    n = index.ndim
    return permute_dims(y, (*range(n, n + k), *range(n), *range(n + k, y.ndim)))


def scatter(x: ArrayLike, indices: ArrayLike, size: int, /) -> Tensor:
    """zeros(size, ...) with the rows of x added at the rows `indices`: the dual of `take` along
    axis 0."""
    index = asarray(indices)
    if index._value is not None and index.dtype.kind in "iu":
        try:
            check_rows(index._value, size)
        except IndexError as error:
            raise IndexError(f"scatter: {error}") from None
    return bind(SCATTER, asarray(x), index, size=size)


# -- what t[...] records ---------------------------------------------------------------------------


def getitem(t: Tensor, key: Any) -> Tensor:
    """Basic indexing (views), one integer or boolean array (a NumPy mask is resolved now), or
    both."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [np.asarray(k, None if k else int) if isinstance(k, list) else k for k in keys]
    if any(isinstance(k, Tensor) and k.dtype == BOOL for k in keys):
        raise TypeError(
            "a Tensor mask would make the shape depend on values; use mg.where(mask, x, 0)"
        )
    _check_masks(t, keys)
    keys = [k for key in keys for k in (np.nonzero(key) if _is_mask(key) else (key,))]
    used = _count(keys)
    if used > t.ndim:
        raise IndexError(f"too many indices for shape {t.shape}: {len(keys)} were given")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(n for n, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (t.ndim - used)
    arrays = [
        n for n, k in enumerate(keys)
        if isinstance(k, Tensor) and k.dtype.kind in "iu" or isinstance(k, np.ndarray) and k.ndim
    ]  # fmt: skip
    basic = [slice(None) if n in arrays else k for n, k in enumerate(keys)]
    y = _basic(t, basic)
    if not arrays:
        return y
    if len(arrays) > 1:
        return _joint_take(y, basic, [(n, keys[n]) for n in arrays])
    place = _count(basic[: arrays[0]], out=True)
    return take(y, keys[arrays[0]], axis=place)


def _is_mask(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.dtype == BOOL


def _check_masks(t: Tensor, keys: Sequence[Any]) -> None:
    """A mask must have the lengths of the axes it selects from."""
    widths = [k.ndim if _is_mask(k) else int(not (k is None or k is Ellipsis)) for k in keys]
    for n, key in enumerate(keys):
        if _is_mask(key):
            behind = any(k is Ellipsis for k in keys[:n])
            axis = t.ndim - builtins.sum(widths[n:]) if behind else builtins.sum(widths[:n])
            if t.shape[axis : axis + key.ndim] != key.shape:
                raise IndexError(f"a mask of shape {key.shape} does not fit shape {t.shape}")


def _count(keys: Sequence[Any], out: bool = False) -> int:
    """How many axes the keys use up (or, with `out`, make)."""
    hidden = (lambda k: isinstance(k, (int, np.integer))) if out else (lambda k: k is None)
    return builtins.sum(1 for k in keys if k is not Ellipsis and not hidden(k))


def _basic(t: Tensor, keys: Sequence[Any]) -> Tensor:
    bounds, shape, axis = [], [], 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        n = t.shape[axis]
        if isinstance(k, slice):
            bounds.append((k.start, k.stop, k.step))
            shape.append(len(range(*k.indices(n))))
        else:
            if isinstance(k, (bool, np.bool_)) or not hasattr(k, "__index__"):
                raise TypeError(
                    "an index of a Tensor is an integer, a slice, None, ... or an integer or "
                    f"boolean array; got {k!r}"
                )
            i = operator.index(k)
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of range for axis {axis} of shape {t.shape}")
            i %= n
            bounds.append((i, i + 1, None))
        axis += 1
    whole = all(
        b in ((None, None, None), (0, n, None)) for b, n in zip(bounds, t.shape, strict=True)
    )
    y = t if whole else bind(SLICE, t, index=tuple(bounds))
    return reshape(y, tuple(shape))


def _joint_take(y: Tensor, basic: Sequence[Any], arrays: Sequence[tuple[int, Any]]) -> Tensor:
    """Several index arrays on neighbouring axes: flatten those axes and take along the flat one."""
    places = [_count(basic[:n], out=True) for n, _ in arrays]
    if places != list(range(places[0], places[0] + len(places))):
        raise IndexError(
            "several index arrays must stand side by side; use mg.take along one axis at a time"
        )
    sizes = [y.shape[p] for p in places]
    flat: Any = 0
    for (_, k), n in zip(arrays, sizes, strict=True):
        if isinstance(k, Tensor):  # a row that does not exist must not become another one's
            outside = logical_or(less(k, -n), greater_equal(k, n))
            k = where(outside, math.prod(sizes), where(less(k, 0), k + n, k))
        else:
            check_rows(k, n)
            k = np.where(k < 0, k + n, k)
        flat = flat * n + k
    y = reshape(y, (*y.shape[: places[0]], math.prod(sizes), *y.shape[places[-1] + 1 :]))
    return take(y, flat, axis=places[0])
