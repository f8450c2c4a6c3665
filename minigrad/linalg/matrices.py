"""What the functions of `linalg` share: arguments as matrices, and NumPy on stacks of them.

Sits on `ops`.
A primitive here takes matrices on the last two axes, and any axes in front count matrices,
so that a row axis of a recurrence is one more of them and no row rule is needed.

Bad matrices are never an exception, since others stand beside them:
what LAPACK refuses, and what is not finite where an iteration would not end,
is NaN for that matrix alone (`per_matrix`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Primitive, Shape, Tensor, bind
from ..ops.arrays import asarray, astype
from ..ops.broadcast import broadcast_to
from ..ops.creation import eye
from ..ops.elementwise import add, multiply
from ..ops.movement import PLACE, matrix_transpose, part
from ..ops.table import FLOAT, TABLE, ArrayLike
from ..sites import running

PRIMITIVES: dict[str, Primitive] = {}  # those of this package, by name


def whole(name: str, shape: Any, numpy: Any, vjp: Any = None) -> Primitive:
    """Declare a primitive of stacks of matrices.

    It is known to a compiled function as a user's op of whole arrays is: run by NumPy.
    """
    op = PRIMITIVES[name] = Primitive(name, "reduction", shape, numpy, vjp)
    return op


# -- arguments -------------------------------------------------------------------------------------


def floats(who: str, x: ArrayLike, ndim: int = 2) -> Tensor:
    """x as float32 or float64 (integers and booleans: float64) with at least `ndim` axes."""
    t = asarray(x)
    t = t if t.dtype.kind == "f" else astype(t, FLOAT)
    if t.dtype.itemsize < 4:
        raise TypeError(f"{who}: needs float32 or float64; got {t.dtype}, cast it with mg.astype")
    if t.ndim < ndim:
        what = "matrices, (..., rows, columns)" if ndim == 2 else "at least one axis"
        raise ValueError(f"{who}: needs {what}; got shape {t.shape}{running()}")
    return t


def square(who: str, x: ArrayLike) -> Tensor:
    t = floats(who, x)
    if t.shape[-1] != t.shape[-2]:
        raise ValueError(f"{who}: needs square matrices, (..., n, n); got {t.shape}{running()}")
    return t


def identity_like(t: Tensor) -> Tensor:
    """Identity matrices in the shape of t, whose matrices are square."""
    return broadcast_to(eye(t.shape[-1], dtype=t.dtype), t.shape)


def symmetric(t: Tensor) -> Tensor:
    """The symmetric part of square matrices."""
    return multiply(0.5, add(t, matrix_transpose(t)))


# -- NumPy, matrix by matrix where it must be ------------------------------------------------------


def per_matrix(f: Callable[..., Any], tail: Shape, *arrays: Any) -> Any:
    """`f` of stacks of matrices, results of shape `tail` each; NaN for those that LAPACK refuses.

    A stack in which none is refused is one call; any other is halved until those that are stand
    alone, so that a few of many cost a few calls.
    """
    with np.errstate(all="ignore"):
        try:
            return f(*arrays)
        except np.linalg.LinAlgError:
            pass
        lead = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        n = math.prod(lead)
        flat = [np.broadcast_to(a, lead + a.shape[-2:]).reshape(n, *a.shape[-2:]) for a in arrays]
        out = np.full((n, *tail), np.nan, np.result_type(*arrays))
        parts = [(0, n)]
        while parts:
            start, stop = parts.pop()
            try:
                out[start:stop] = f(*(a[start:stop] for a in flat))
            except np.linalg.LinAlgError:
                if stop - start > 1:
                    half = (start + stop) // 2
                    parts += [(start, half), (half, stop)]
        return out.reshape(lead + tail)


def of_finite(f: Callable[[Any], Any], tail: Shape, x: Any) -> Any:
    """`per_matrix` for one operand, NaN for matrices that are not finite.

    LAPACK's iterations on these end in NaN, an error or not at all, as it was built.
    """
    bad = ~np.isfinite(x).all(axis=(-2, -1))
    if not bad.any():
        return per_matrix(f, tail, x)
    out = np.array(per_matrix(f, tail, np.where(bad[..., None, None], 0, x)))
    out[bad] = np.nan
    return out


# -- a product for the rules -----------------------------------------------------------------------


def _absorbing(a: Any, b: Any, both: bool) -> Any:
    used = np.any(a != 0, axis=(-2, -1), keepdims=True)
    if both:
        used = used & np.any(b != 0, axis=(-2, -1), keepdims=True)
    with np.errstate(all="ignore"):
        y = np.matmul(a, b)
    return y if used.all() else np.where(used, y, np.zeros((), y.dtype))


def _absorbing_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    a, b = node.inputs
    left = bind(TIMES, ct, matrix_transpose(b), both=False) if wanted[0] else None
    return [left, bind(TIMES, matrix_transpose(a), ct, both=True) if wanted[1] else None]


def _product_shape(a: Tensor, b: Tensor, both: bool) -> tuple[Shape, np.dtype]:
    return (*a.shape[:-1], b.shape[-1]), a.dtype


# a @ b, and exactly 0 for a matrix a of zeros whatever b is: what `absorb` is among the products.
# A cotangent is its left operand: where nothing read a matrix, its NaN reaches no gradient.
# both : where a is zeros or b is, as in the rule for b, whose cotangent may be the infinite one.
TIMES = whole("absorbing_matmul", _product_shape, _absorbing, _absorbing_vjp)


def times(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of stacks with the same axes in front; zeros where a is."""
    return bind(TIMES, a, b, both=False)


def times_left(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of stacks with the same axes in front; zeros where b is."""
    return matrix_transpose(times(matrix_transpose(b), matrix_transpose(a)))


# -- several results as one array ------------------------------------------------------------------


def packed(parts: Sequence[Any], dtype: Any) -> Any:
    """Matrices below each other, narrow ones filled up with zeros: one array per factorization."""
    width = max(p.shape[-1] for p in parts)
    out = np.zeros((*parts[0].shape[:-2], sum(p.shape[-2] for p in parts), width), dtype)
    start = 0
    for p in parts:
        stop = start + p.shape[-2]
        out[..., start:stop, : p.shape[-1]] = p
        start = stop
    return out


def unpacked(t: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The parts of what was packed, of (rows, columns) each."""
    found, start = [], 0
    for rows, columns in sizes:
        y = part(t, -2, start, start + rows)
        found.append(y if columns == t.shape[-1] else part(y, -1, 0, columns))
        start += rows
    return found


def arrived(ct: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor | None]:
    """The cotangent of each part of what was packed; None where the graph shows that none came.

    The slices that the parts are pull back to places in zeros.
    So a loss of eigenvalues alone never asks for the derivative of eigenvectors,
    which there may not be.
    """
    ends = np.cumsum([rows for rows, _ in sizes])
    came = [False] * len(sizes)
    waiting = [ct]
    while waiting:
        t = waiting.pop()
        if t.op is TABLE["add"]:
            waiting.extend(t.inputs)
            continue
        low, high = 0, int(ends[-1])
        if t.op is PLACE:
            low, high, _ = slice(*t.attrs["index"][-2]).indices(high)
        for k, (end, (rows, _)) in enumerate(zip(ends, sizes, strict=True)):
            came[k] |= low < end and end - rows < high
    parts = unpacked(ct, sizes)
    return [p if yes else None for p, yes in zip(parts, came, strict=True)]
