"""NumPy's ways to put arrays together and take them apart, beside `concat`, `stack` and `split`.

Nothing is computed here: the same elements elsewhere, and zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor, constant
from ...ops.movement import part
from ...ops.table import FLOAT, ArrayLike, axis_of, dtype_of, integer_of, integers_of, shape_of

__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "delete",
    "diag", "diagflat", "dsplit", "dstack", "fliplr", "flipud", "hsplit", "hstack", "inner",
    "insert", "kron", "rot90", "swapaxes", "tri", "vander", "vsplit", "vstack",
]  # fmt: skip


def _several(name: str, tup: Any) -> list[Tensor]:
    if isinstance(tup, (str, bytes, dict, set)) or not hasattr(tup, "__iter__") or (
        getattr(tup, "shape", None) == ()
    ):
        raise TypeError(f"{name}: needs a list of arrays; got {str(tup)[:80]!r}")
    given = [ops.asarray(x) for x in tup]
    if not given:
        raise ValueError(f"{name}: needs at least one array")
    return given


# -- at least so many axes -------------------------------------------------------------------------


def _each(f: Callable[[Tensor], Tensor], arys: tuple[ArrayLike, ...]) -> Any:
    found = tuple(f(ops.asarray(x)) for x in arys)
    return found[0] if len(found) == 1 else found


def _two(t: Tensor) -> Tensor:
    return t if t.ndim > 1 else ops.reshape(t, (1, t.size))


def _three(t: Tensor) -> Tensor:
    return t if t.ndim > 2 else ops.reshape(_two(t), (*_two(t).shape, 1))


def atleast_1d(*arys: ArrayLike) -> Any:
    """Each array with at least one axis: a number as (1,).  One Tensor, or a tuple of several.

    Raises TypeError for what is no numbers.
    """
    return _each(lambda t: t if t.ndim else ops.reshape(t, (1,)), arys)


def atleast_2d(*arys: ArrayLike) -> Any:
    """Each array with at least two axes: (n,) as (1, n).  One Tensor, or a tuple of several.

    Raises TypeError for what is no numbers.
    """
    return _each(_two, arys)


def atleast_3d(*arys: ArrayLike) -> Any:
    """Each array with at least three axes: (n,) as (1, n, 1), (m, n) as (m, n, 1).

    One Tensor, or a tuple of several.
    Raises TypeError for what is no numbers.
    """
    return _each(_three, arys)


# -- joining ---------------------------------------------------------------------------------------


def vstack(tup: Sequence[ArrayLike], *, dtype: Any = None) -> Tensor:
    """The arrays one below the other, along axis 0; vectors are rows.

    dtype : of the result; what they promote to unless told.

    Raises ValueError for no arrays or shapes that do not fit, TypeError for no list.
    """
    found = ops.concat([_two(t) for t in _several("vstack", tup)], axis=0)
    return found if dtype is None else ops.astype(found, dtype)


def hstack(tup: Sequence[ArrayLike], *, dtype: Any = None) -> Tensor:
    """The arrays side by side, along axis 1; vectors (and numbers) end to end.

    dtype : of the result; what they promote to unless told.

    Raises ValueError for no arrays or shapes that do not fit, TypeError for no list.
    """
    given = [atleast_1d(t) for t in _several("hstack", tup)]
    found = ops.concat(given, axis=0 if given[0].ndim == 1 else 1)
    return found if dtype is None else ops.astype(found, dtype)


def dstack(tup: Sequence[ArrayLike]) -> Tensor:
    """The arrays behind each other, along axis 2: (m, n) is (m, n, 1), (n,) is (1, n, 1).

    Raises ValueError for no arrays or shapes that do not fit, TypeError for no list.
    """
    return ops.concat([_three(t) for t in _several("dstack", tup)], axis=2)


def column_stack(tup: Sequence[ArrayLike]) -> Tensor:
    """The arrays side by side, along axis 1; vectors are columns.

    Raises ValueError for no arrays or shapes that do not fit, TypeError for no list.
    """
    given = _several("column_stack", tup)
    columns = [t if t.ndim > 1 else ops.reshape(t, (t.size, 1)) for t in given]
    return ops.concat(columns, axis=1)


def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Tensor:
    """values behind arr along an axis (None: both flattened); dtypes promote.

    Raises ValueError for shapes that do not fit, or such an axis.
    """
    return ops.concat([arr, values], axis=axis)


def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Tensor:
    """arr with values before the places `obj` of an axis (None: of the flat array).

    obj    : an integer, a slice or integers, known now.
    values : as many as places, or broadcast to them; cast to arr's dtype.

    Raises IndexError for a place that is not there, ValueError for values that do not fit.
    """
    t = ops.reshape(arr, -1) if axis is None else ops.asarray(arr)
    k = axis_of("insert", t, 0 if axis is None else axis)
    n, fits = t.shape[k], ops.asarray(values, dtype=t.dtype)
    places = _places("insert", obj)
    try:
        count = len(np.insert(np.arange(n), places, 0)) - n
    except (IndexError, ValueError, TypeError) as error:
        raise IndexError(f"insert: {error} (shape {t.shape}, axis {axis})") from None
    one = isinstance(places, int) or not isinstance(places, slice) and np.ndim(places) == 0
    if one and fits.ndim == t.ndim and fits.ndim:  # several rows before one place
        count = fits.shape[k]
    if one and fits.ndim and fits.ndim < t.ndim and t.ndim > 1:
        fits = ops.expand_dims(fits, axis=k + t.ndim if fits.ndim == t.ndim - 1 else 0)
    if one and t.ndim == 1 and fits.ndim == 1:
        count = fits.size
    shape = tuple(count if m - t.ndim == k else length for m, length in enumerate(t.shape))
    fits = ops.broadcast_to(fits, shape)
    new = n + np.arange(count)
    order = np.insert(np.arange(n), places, new)
    return ops.take(ops.concat([t, fits], axis=k), order, axis=k)


def delete(arr: ArrayLike, obj: Any, axis: int | None = None) -> Tensor:
    """arr without the places `obj` of an axis (None: of the flat array).

    obj : an integer, a slice, integers or a mask, known now.

    Raises IndexError for a place that is not there, ValueError for such an axis.
    """
    t = ops.reshape(arr, -1) if axis is None else ops.asarray(arr)
    k = axis_of("delete", t, 0 if axis is None else axis)
    try:
        left = np.delete(np.arange(t.shape[k]), _places("delete", obj))
    except (IndexError, ValueError, TypeError) as error:
        raise IndexError(f"delete: {error} (shape {t.shape}, axis {axis})") from None
    return ops.take(t, left, axis=k)


def _places(name: str, obj: Any) -> Any:
    if isinstance(obj, slice) or type(obj) is int:
        return obj
    known = ops.asarray(obj).numpy()
    if isinstance(known, np.ndarray) and known.dtype.kind not in "iub" and known.size:
        raise TypeError(f"{name}: places are integers, a slice or a mask; got {known.dtype}")
    return known if known.size else known.astype(int)


# -- taking apart ----------------------------------------------------------------------------------


def array_split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """x cut along an axis into so many parts, or before each of the given positions, as `split`.

    Where the parts cannot be equal, the first ones are one longer.

    Raises ValueError for such an axis or number of parts, TypeError for what are no integers.
    """
    t = ops.asarray(ary)
    k = axis_of("array_split", t, axis)
    cuts = indices_or_sections
    if not np.ndim(cuts):
        parts = integer_of("array_split", "the number of parts", cuts)
        if parts < 1:
            raise ValueError(f"array_split: the number of parts is at least 1; got {parts}")
        each, more = t.shape[k] // parts, t.shape[k] % parts
        cuts = [each * i + min(i, more) for i in range(1, parts)]
    where = list(integers_of("array_split", "the positions", cuts))
    bounds = zip([None, *where], [*where, None], strict=True)
    return [part(t, k, start, stop) for start, stop in bounds]


def _split(name: str, ary: ArrayLike, cuts: Any, axis: int, least: int) -> list[Tensor]:
    t = ops.asarray(ary)
    if t.ndim < least:
        raise ValueError(f"{name}: needs at least {least} axes; got shape {t.shape}")
    return ops.split(t, cuts, axis=axis)


def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 0: into so many equal parts, or before the given positions.

    Raises ValueError for fewer than two axes, or parts that are not equal.
    """
    return _split("vsplit", ary, indices_or_sections, 0, 2)


def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 1 (of a vector, axis 0): equal parts, or before the given positions.

    Raises ValueError for a number, or parts that are not equal.
    """
    return _split("hsplit", ary, indices_or_sections, int(ops.asarray(ary).ndim > 1), 1)


def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 2: into so many equal parts, or before the given positions.

    Raises ValueError for fewer than three axes, or parts that are not equal.
    """
    return _split("dsplit", ary, indices_or_sections, 2, 3)


# -- turning ---------------------------------------------------------------------------------------


def _at_least(name: str, x: ArrayLike, least: int) -> Tensor:
    t = ops.asarray(x)
    if t.ndim < least:
        raise ValueError(f"{name}: needs at least {least} axes; got shape {t.shape}")
    return t


def flipud(m: ArrayLike) -> Tensor:
    """Reversed along axis 0; the shape of m.

    Raises ValueError for a number.
    """
    return ops.flip(_at_least("flipud", m, 1), axis=0)


def fliplr(m: ArrayLike) -> Tensor:
    """Reversed along axis 1; the shape of m.

    Raises ValueError for fewer than two axes.
    """
    return ops.flip(_at_least("fliplr", m, 2), axis=1)


def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.

    Raises ValueError for an axis that is not there, TypeError for what is no integer.
    """
    t = ops.asarray(a)
    i, j = axis_of("swapaxes", t, axis1), axis_of("swapaxes", t, axis2)
    order = list(range(t.ndim))
    order[i], order[j] = order[j], order[i]
    return ops.permute_dims(t, order)


def rot90(m: ArrayLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """m turned by k quarter turns, from the first of two axes towards the second.

    Raises ValueError for axes that are not two different ones.
    """
    t, turns = _at_least("rot90", m, 2), integer_of("rot90", "k", k) % 4
    plane = integers_of("rot90", "axes", axes)
    first, second = (axis_of("rot90", t, a) for a in (plane if len(plane) == 2 else (0, 0)))
    if first == second:
        raise ValueError(f"rot90: axes are two different ones; got {axes}")
    if turns == 2:
        return ops.flip(t, axis=(first, second))
    if turns == 1:
        return swapaxes(ops.flip(t, axis=second), first, second)
    return ops.flip(swapaxes(t, first, second), axis=second) if turns else t


# -- diagonals and products ------------------------------------------------------------------------


def diag(v: ArrayLike, k: int = 0) -> Tensor:
    """The matrix with a vector on its k-th diagonal and zeros elsewhere; of a matrix, its diagonal.

    Raises ValueError for other shapes, TypeError for a k that is no integer.
    """
    t, k = ops.asarray(v), integer_of("diag", "k", k)
    if t.ndim == 2:
        return ops.diagonal(t, offset=k)
    if t.ndim != 1:
        raise ValueError(f"diag: needs a vector or a matrix; got shape {t.shape}")
    n, off = t.size + abs(k), max(k, 0)
    line = ops.pad(t, (off, n - off - t.size))  # its columns
    return ops.where(np.eye(n, k=k, dtype=bool), line, ops.zeros_like(line))


def diagflat(v: ArrayLike, k: int = 0) -> Tensor:
    """The matrix with the elements of v, in C order, on its k-th diagonal.

    Raises TypeError for a k that is no integer.
    """
    return diag(ops.reshape(v, -1), k)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = FLOAT) -> Tensor:
    """Ones at and below the k-th diagonal, zeros above: (N, M), M as N unless told.

    Raises ValueError for a negative length, TypeError for what is no length or dtype.
    """
    rows, columns = shape_of("tri", (N, N if M is None else M))
    kind = dtype_of("tri", dtype, FLOAT)
    return constant(np.tri(rows, columns, integer_of("tri", "k", k), dtype=kind))


def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of a vector as columns, the highest first (last if `increasing`): (n, N).

    N : how many; n unless told.

    Raises ValueError for what is no vector, or a negative N.
    """
    t = ops.asarray(x)
    if t.ndim != 1:
        raise ValueError(f"vander: needs a vector; got shape {t.shape}")
    (columns,) = shape_of("vander", t.size if N is None else N)
    powers = np.arange(columns) if increasing else np.arange(columns)[::-1]
    return ops.pow(ops.reshape(t, (t.size, 1)), powers)


def inner(a: ArrayLike, b: ArrayLike) -> Tensor:
    """The sums of products over the last axis of both; a number multiplies.

    a (..., n) and b (*, n): (..., *).
    Raises ValueError for last axes that are not as long.
    """
    x, y = ops.asarray(a), ops.asarray(b)
    if not x.ndim or not y.ndim:
        return ops.multiply(x, y)
    return ops.tensordot(x, y, axes=((-1,), (-1,)))


def kron(a: ArrayLike, b: ArrayLike) -> Tensor:
    """The Kronecker product: every element of a times the whole of b, block by block.

    The shape is the product of the shapes, the shorter one with ones in front.
    Raises TypeError for what is no numbers.
    """
    x, y = ops.asarray(a), ops.asarray(b)
    n = max(x.ndim, y.ndim)
    outer, inner_ = ((1,) * (n - t.ndim) + t.shape for t in (x, y))
    large = ops.reshape(x, tuple(m for size in outer for m in (size, 1)))
    small = ops.reshape(y, tuple(m for size in inner_ for m in (1, size)))
    shape = tuple(p * q for p, q in zip(outer, inner_, strict=True))
    return ops.reshape(ops.multiply(large, small), shape)
