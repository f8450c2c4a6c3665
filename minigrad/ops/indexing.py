"""Indexing: `take` and its dual `scatter`, and what `t[...]` records.

There is one gather: `take` along the first axis.
Several index arrays, and `take_along_axis`, are that gather on the indexed axes flattened to one,
so their gradient is one scatter-add.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, Shape, Tensor, bind
from .arrays import asarray, astype, holds_tensor
from .broadcast import reshape
from .elementwise import less, where
from .movement import SLICE, permute_dims
from .table import (
    BOOL,
    ArrayLike,
    axis_of,
    choice_of,
    integers_of,
    movement_row,
    row,
    same,
    shape_of,
)

__all__ = ["checked", "scatter", "take", "take_along_axis"]


# -- integers that are data ------------------------------------------------------------------------


def _checked_shape(x: Tensor, **_: Any) -> tuple[Shape, np.dtype]:
    if x.dtype.kind not in "iu":
        raise TypeError(f"integers have a range that can be checked, {x.dtype} has none")
    return same(x)


def _checked_numpy(x: Any, start: int, stop: int, what: str, error: str) -> Any:
    x = np.asarray(x)
    outside = (x < start) | (x >= stop)
    if outside.any():
        raise getattr(builtins, error)(
            f"{what} must lie in {start}..{stop - 1}; got {x[outside][:8].tolist()}"
        )
    return x


CHECKED = row("checked", "elementwise", _checked_shape, _checked_numpy, cheap=True)


def checked(
    x: ArrayLike, /, start: int, stop: int, *, what: str = "integers", error: str = "ValueError"
) -> Tensor:
    """The integers x as they are, any shape, once it is known that all lie in start..stop-1.

    What is known already is checked now;
    what is computed, or an argument of a function that is being traced,
    when its value is: by every evaluator, at every call.

    what  : what the error calls them.
    error : "ValueError", or "IndexError" for positions.

    Raises that error for an integer outside of the range, TypeError for what are no integers.
    """
    t = asarray(x)
    first, behind = integers_of("checked", "start and stop", (start, stop))
    attrs: dict[str, Any] = dict(start=first, stop=behind, what=what, error=error)
    choice_of("checked", "error", error, ("ValueError", "IndexError"))
    if t._value is None or t.dtype.kind not in "iu":
        return bind(CHECKED, t, **attrs)
    _checked_numpy(t._value, **attrs)
    return t


# -- one gather and its dual -----------------------------------------------------------------------


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
    """Rows of x.

    With `rows` = (n, ndim of x, ndim of index) either operand may have a row axis in front.
    """
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
    first = size * np.arange(n).reshape(n, *(1,) * (index.ndim - 1))
    flat = index % size + first if size else index
    tail = x.shape[index.ndim :]
    total = add_rows(n * size, flat.reshape(-1), x.reshape((index.size, *tail)))
    return total.reshape(n, size, *tail)


def add_rows(size: int, index: Any, rows: Any) -> Any:
    """zeros(size, ...) plus `rows`, each at its `index`.

    Rows that share an index are summed in row order.
    """
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
    """The rows of `axis` numbered by the integer array `indices`.

    The axes of `indices` take the place of `axis`.
    Negative numbers count from the end.  A row taken twice gets both gradients.

    Raises IndexError for a row that is not there (now, or when it is known),
    ValueError for such an axis, TypeError for indices that are no integers.
    """
    t, index = asarray(x), asarray(indices)
    k = axis_of("take", t, axis)
    if index.dtype.kind in "iu" and index._value is not None:
        try:
            check_rows(index._value, t.shape[k])
        except IndexError as error:
            raise IndexError(f"take: {error} (shape {t.shape}, axis {axis})") from None
    return _gather(t, index, (k + t.ndim,), k + t.ndim)


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """out[..., j, ...] = x[..., indices[..., j, ...], ...] along `axis`.

    The companion of `argsort` and `argmax`.
    x and the integer array `indices` have the same number of axes and broadcast on the others.

    Raises IndexError for a row that is not there (now, or when it is known),
    ValueError for shapes that do not fit or such an axis,
    TypeError for indices that are no integers.
    """
    t, index = asarray(x), asarray(indices)
    k = axis_of("take_along_axis", t, axis)
    if index.dtype.kind not in "iu":
        raise TypeError(f"take_along_axis: the indices must be integers; got {index.dtype}")
    try:
        fits = t.ndim == index.ndim
        np.broadcast_shapes(*(_without(s, k + t.ndim) for s in (t.shape, index.shape)))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"take_along_axis: indices of shape {index.shape} do not fit shape {t.shape}: as many "
            f"axes are needed, of equal lengths (or 1) except along axis {axis}"
        )
    keys: list[Any] = [np.arange(n) for n in t.shape]
    keys = [r.reshape(-1, *(1,) * (t.ndim - 1 - n)) for n, r in enumerate(keys)]
    keys[k] = index
    flat = _flat_index(keys, t.shape, lambda error: f"take_along_axis: {error} (shape {t.shape})")
    return _gather(t, flat, tuple(range(t.ndim)), 0)


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _gather(t: Tensor, index: ArrayLike, axes: Sequence[int], place: int) -> Tensor:
    """The rows `index` of the given axes of t, taken as one.

    The index's axes go before axis `place` of what is left.
    """
    rest = [k for k in range(t.ndim) if k not in axes]
    front = permute_dims(t, (*axes, *rest))
    if len(axes) > 1:
        front = reshape(front, (math.prod(t.shape[k] for k in axes), *front.shape[len(axes) :]))
    y = bind(TAKE, front, asarray(index))
    n = y.ndim - len(rest)
    return permute_dims(y, (*range(n, n + place), *range(n), *range(n + place, y.ndim)))


def _flat_index(keys: Sequence[Any], sizes: Sequence[int], words: Callable[[Any], str]) -> Any:
    """One index into axes of these sizes, flattened, from one index array for each."""
    flat: Any = 0
    for k, n in zip(keys, sizes, strict=True):
        known = k._value if isinstance(k, Tensor) and k.op is CONSTANT else k
        if not isinstance(known, Tensor):
            try:
                check_rows(known, n)
            except IndexError as error:
                raise IndexError(words(error)) from None
        if len(keys) == 1:
            return k  # `take` counts negative rows from the end itself
        if isinstance(known, Tensor):  # a row that does not exist must not become another one's
            k = checked(known, -n, n, what="the rows of an axis", error="IndexError")
            k = astype(k, np.int64)
            k = where(less(k, 0), k + n, k)
        else:
            k = known.astype(np.int64)
            k = np.where(k < 0, k + n, k)
        flat = flat * n + k
    return flat


def scatter(x: ArrayLike, indices: ArrayLike, size: int, /) -> Tensor:
    """zeros(size, ...) with the rows of x added at the rows `indices`: the dual of `take`.

    x       : indices.shape + (...).
    indices : integers of any shape; negative ones count from the end.
    size    : the number of rows.

    Raises IndexError for a row that is not there (now, or when it is known),
    ValueError for indices that are no integers or do not fit x, or a size that is none.
    """
    index = asarray(indices)
    lengths = shape_of("scatter", size)
    if len(lengths) != 1:
        raise ValueError(f"scatter: size is one number, of rows; got {size!r}")
    size = lengths[0]
    if index._value is not None and index.dtype.kind in "iu":
        try:
            check_rows(index._value, size)
        except IndexError as error:
            raise IndexError(f"scatter: {error}") from None
    return bind(SCATTER, asarray(x), index, size=size)


# -- what t[...] records ---------------------------------------------------------------------------


def getitem(t: Tensor, key: Any) -> Tensor:
    """t[key] by NumPy's rules.

    Integers, slices, None, ..., integer arrays (or Tensors) and boolean masks, mixed.
    A mask is resolved now, so it is a NumPy array, a list or a constant Tensor.
    The axes of index arrays stand where the arrays stood,
    or first if a slice, None or ... stands between them.
    A row out of range is refused even where NumPy reads nothing.

    Raises IndexError for too many indices, a row that is not there or a mask that does not fit;
    TypeError for a computed mask, or what is no index.
    """
    pairs = _expanded(t, [_checked(t, k) for k in (key if isinstance(key, tuple) else (key,))])
    y = _basic(t, [k for k, _ in pairs])
    arrays = [(n, index) for n, (_, index) in enumerate(pairs) if index is not None]
    if not arrays:
        return y
    joined = [n for n, (k, index) in enumerate(pairs) if index is not None or isinstance(k, int)]
    adjacent = joined[-1] - joined[0] == len(joined) - 1
    kept = [n for n, (k, _) in enumerate(pairs) if k is not Ellipsis and not isinstance(k, int)]
    axes = [kept.index(n) for n, _ in arrays]

    def words(error: Any) -> str:
        return f"index {key!r} of shape {t.shape}: {error}"

    try:
        np.broadcast_shapes(*(index.shape for _, index in arrays))
    except ValueError:
        shapes = " and ".join(str(index.shape) for _, index in arrays)
        raise IndexError(words(f"index arrays of shapes {shapes} do not broadcast")) from None
    flat = _flat_index([index for _, index in arrays], [y.shape[a] for a in axes], words)
    return _gather(y, flat, axes, len([n for n in kept if n < joined[0]]) if adjacent else 0)


def _checked(t: Tensor, k: Any) -> Any:
    """One entry of a key: None, ..., a slice, an int, an integer Tensor, or a NumPy array.

    An array holds integers or booleans.
    """
    if k is None or k is Ellipsis:
        return k
    if isinstance(k, slice):
        bounds = (k.start, k.stop, k.step)
        try:
            return slice(*(b if b is None else operator.index(b) for b in bounds))
        except TypeError:
            raise TypeError(f"the bounds of a slice are integers or None; got {k!r}") from None
    if isinstance(k, (list, tuple)):
        try:
            found = asarray(k) if holds_tensor(k) else np.asarray(k)
            k = found if found.size else np.zeros(found.shape, int)
        except ValueError:  # rows of unequal lengths: said below
            pass
    elif isinstance(k, (bool, np.bool_)):
        k = np.asarray(k)
    if isinstance(k, Tensor) and k.dtype == BOOL:
        if k.op is not CONSTANT:
            raise TypeError(
                "a Tensor mask would make the shape depend on values; use mg.where(mask, x, 0), or "
                "a NumPy mask"
            )
        k = k._value
    if isinstance(k, (Tensor, np.ndarray)) and (k.ndim or k.dtype == BOOL or isinstance(k, Tensor)):
        if k.dtype.kind in "iub":
            return k
    elif hasattr(k, "__index__") and not isinstance(k, (type, np.ndarray)) or (
        isinstance(k, np.ndarray) and k.dtype.kind in "iu"
    ):
        return operator.index(k)
    raise TypeError(
        "an index of a Tensor is an integer, a slice, None, ... or an integer or boolean array; "
        f"got {k!r} for shape {t.shape}"
    )


def _expanded(t: Tensor, keys: list[Any]) -> list[tuple[Any, Any]]:
    """Pairs (basic key, index array or None), one per axis used or made, and one for a written ...

    An index array selects from what its basic key leaves.
    """
    widths = [0 if k is None or k is Ellipsis else k.ndim if _is_mask(k) else 1 for k in keys]
    used = builtins.sum(widths)
    if used > t.ndim:
        raise IndexError(f"too many indices for shape {t.shape}: {used} axes were indexed")
    if builtins.sum(k is Ellipsis for k in keys) > 1:
        raise IndexError(f"'...' may stand once in an index; got {keys!r} for shape {t.shape}")
    whole = [(slice(None), None)] * (t.ndim - used)
    pairs: list[tuple[Any, Any]] = []
    axis = 0
    for k, width in zip(keys, widths, strict=True):
        if k is Ellipsis:
            pairs += [(k, None), *whole]
            axis, whole = axis + len(whole), []
        elif _is_mask(k):
            if any(m not in (n, 0) for n, m in zip(t.shape[axis:], k.shape, strict=False)):
                raise IndexError(
                    f"a mask of shape {k.shape} does not fit shape {t.shape} from axis {axis} on"
                )
            if not width:  # True or False: a new axis of length 1 or 0
                pairs.append((None, np.arange(int(k))))
            pairs += [(slice(None), index) for index in (np.nonzero(k) if width else ())]
        elif isinstance(k, (Tensor, np.ndarray)):
            pairs.append((slice(None), k))
        else:
            pairs.append((k, None))
        axis += width
    return pairs + whole


def _is_mask(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.dtype == BOOL


def _basic(t: Tensor, keys: Sequence[Any]) -> Tensor:
    """A view: integers, slices and None, one entry per axis used or made."""
    bounds, shape, axis = [], [], 0
    for k in keys:
        if k is None:
            shape.append(1)
        if k is None or k is Ellipsis:
            continue
        n = t.shape[axis]
        if isinstance(k, slice):
            bounds.append((k.start, k.stop, k.step))
            shape.append(len(range(*k.indices(n))))
        else:
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of range for axis {axis} of shape {t.shape}")
            bounds.append((k % n, k % n + 1, None))
        axis += 1
    whole = all(
        b in ((None, None, None), (0, n, None)) for b, n in zip(bounds, t.shape, strict=True)
    )
    y = t if whole else bind(SLICE, t, index=tuple(bounds))
    return reshape(y, tuple(shape))
