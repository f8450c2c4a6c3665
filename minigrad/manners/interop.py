"""NumPy's functions on Tensors: each records the function of ours that means the same, or raises.

`ndarray * tensor` and `np.tanh(tensor)` reach `__array_ufunc__`,
`np.concatenate([...])` reaches `__array_function__`;
both are tables from NumPy's function to ours.
What is not in them is refused: quietly converting a Tensor to an array would lose its gradient.
One door is NumPy's own: `np.array([t, u])` makes an array in C, of values alone.
Of numbers it warns (`reading`); of other lists nothing can be seen, so write `mg.stack([t, u])`.
Attached to `Tensor` when `minigrad` is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from inspect import signature
from typing import Any

import numpy as np

from .. import linalg, ops
from ..graph import Tensor
from ..ops.facts import ELEMENTWISE
from ..ops.table import choice_of
from . import calls
from .namespace import can_cast, result_type

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {  # those of elementwise ops stand beside their rows
    f.ufunc: getattr(ops, name)
    for name, f in ELEMENTWISE.items() if f.ufunc is not None and name in ops.__all__
} | {np.matmul: ops.matmul, np.vecdot: ops.vecdot} | calls.UFUNCS  # fmt: skip


def _reduction(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, axis=None, *, keepdims=False: ours(a, axis=axis, keepdims=keepdims)


def _total(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, axis=None, dtype=None, *, keepdims=False: ours(
        a, axis=axis, dtype=dtype, keepdims=keepdims
    )


def _spread(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, axis=None, *, ddof=0, keepdims=False, correction=None: ours(
        a, axis=axis, correction=ddof if correction is None else correction, keepdims=keepdims
    )


def _along(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of one axis, of the flat array where NumPy's axis is None."""

    def f(a: Any, axis: int | None, **options: Any) -> Tensor:
        return ours(ops.reshape(a, -1) if axis is None else a, axis=axis or 0, **options)

    return f


def _running(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, axis=None, dtype=None: _along(ours)(a, axis, dtype=dtype)


def _take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    return ops.take(ops.reshape(a, -1) if axis is None else a, indices, axis=axis or 0)


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    arr = ops.reshape(arr, -1) if axis is None else arr
    return ops.take_along_axis(arr, indices, axis=0 if axis is None else axis)


def _transpose(a: Any, axes: Any = None) -> Tensor:
    t = ops.asarray(a)
    return ops.permute_dims(t, range(t.ndim)[::-1] if axes is None else axes)


def _dot(a: Any, b: Any) -> Tensor:
    a, b = ops.asarray(a), ops.asarray(b)
    if not a.ndim or not b.ndim:
        return ops.multiply(a, b)
    return ops.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def _last(a: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes made the last ones: NumPy's matrices may lie anywhere."""
    return ops.moveaxis(a, (axis1, axis2), (-2, -1))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    t = ops.asarray(x)
    axes = tuple(range(t.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if ord is None or len(axes) == 1:
        return ops.norm(t, axis=axis, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise _refused("linalg.norm", f"ord={ord!r} over {len(axes)} axes is not recorded")
    y = linalg.matrix_norm(_last(t, *axes), ord=ord)
    return ops.expand_dims(y, tuple(k % t.ndim for k in axes)) if keepdims else y


def _cond(x: Any, p: Any = None) -> Tensor:
    """The condition number: of a singular matrix inf by singular values, NaN by another norm."""
    if p is None or p in (2, -2):
        s = linalg.svdvals(x)
        return ops.divide(s[..., -1], s[..., 0]) if p == -2 else ops.divide(s[..., 0], s[..., -1])
    return ops.multiply(linalg.matrix_norm(x, ord=p), linalg.matrix_norm(linalg.inv(x), ord=p))


def _mirrored(a: Any, UPLO: str) -> Tensor:
    """The symmetric matrices that have this triangle, the only one that NumPy reads."""
    t = linalg.matrices.square("linalg", a)
    upper = choice_of("linalg", "UPLO", UPLO, ("L", "U")) == "U"
    own = ops.triu(t) if upper else ops.tril(t)
    other = ops.triu(t, k=1) if upper else ops.tril(t, k=-1)
    return ops.add(own, ops.matrix_transpose(other))


def _cast(t: Tensor, dtype: Any) -> Tensor:
    return t if dtype is None else ops.astype(t, dtype)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    # reductions
    np.sum: _total(ops.sum), np.prod: _total(ops.prod), np.mean: _total(ops.mean),
    np.var: _spread(ops.var), np.std: _spread(ops.std), np.max: _reduction(ops.max),
    np.min: _reduction(ops.min), np.any: _reduction(ops.any), np.all: _reduction(ops.all),
    np.count_nonzero: _reduction(ops.count_nonzero), np.argmax: _reduction(ops.argmax),
    np.argmin: _reduction(ops.argmin), np.linalg.norm: _norm,
    # running and ordered
    np.cumsum: _running(ops.cumulative_sum), np.cumprod: _running(ops.cumulative_prod),
    np.diff: lambda a, n=1, axis=-1, prepend=None, append=None: ops.diff(
        a, axis=axis, n=n, prepend=prepend, append=append
    ),
    np.searchsorted: lambda a, v, side="left", sorter=None: ops.searchsorted(
        a, v, side=side, sorter=sorter
    ),
    # elementwise
    np.where: lambda condition, x, y: ops.where(condition, x, y),
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: ops.clip(
        a, a_min if min is None else min, a_max if max is None else max
    ),
    np.sinc: lambda x: ops.sinc(x),
    # products and matrices
    np.einsum: lambda subscripts, *operands, optimize=False: ops.einsum(subscripts, *operands),
    np.dot: _dot, np.outer: lambda a, b: ops.outer(ops.reshape(a, -1), ops.reshape(b, -1)),
    np.diagonal: lambda a, offset=0, axis1=0, axis2=1: ops.diagonal(
        _last(a, axis1, axis2), offset=offset
    ),
    np.trace: lambda a, offset=0, axis1=0, axis2=1, dtype=None: ops.trace(
        _last(a, axis1, axis2), offset=offset, dtype=dtype
    ),
    np.tril: lambda m, k=0: ops.tril(m, k=k), np.triu: lambda m, k=0: ops.triu(m, k=k),
    # joining and taking apart
    np.concatenate: lambda arrays, axis=0, *, dtype=None: _cast(
        ops.concat(arrays, axis=axis), dtype
    ),
    np.stack: lambda arrays, axis=0, *, dtype=None: _cast(ops.stack(arrays, axis=axis), dtype),
    np.split: lambda ary, indices_or_sections, axis=0: ops.split(
        ary, indices_or_sections, axis=axis
    ),
    np.take: _take, np.take_along_axis: _take_along_axis,
    # movement
    np.transpose: _transpose, np.matrix_transpose: lambda x: ops.matrix_transpose(x),
    np.moveaxis: lambda a, source, destination: ops.moveaxis(a, source, destination),
    np.expand_dims: lambda a, axis: ops.expand_dims(a, axis=axis),
    np.squeeze: lambda a, axis=None: ops.squeeze(a, axis=axis),
    np.broadcast_to: lambda array, shape: ops.broadcast_to(array, shape),
    np.broadcast_arrays: lambda *args: tuple(ops.broadcast_arrays(*args)),
    np.meshgrid: lambda *xi, indexing="xy": tuple(ops.meshgrid(*xi, indexing=indexing)),
    np.flip: lambda m, axis=None: ops.flip(m, axis=axis),
    np.roll: lambda a, shift, axis=None: ops.roll(a, shift, axis=axis),
    np.tile: lambda A, reps: ops.tile(A, reps),
    np.repeat: lambda a, repeats, axis=None: ops.repeat(a, repeats, axis=axis),
    np.pad: lambda array, pad_width, mode="constant", *, constant_values=0: ops.pad(
        array, pad_width, mode, constant_values=constant_values
    ),
    # creation and questions
    np.empty_like: lambda prototype, dtype=None: ops.empty_like(prototype, dtype=dtype),
    np.zeros_like: lambda a, dtype=None: ops.zeros_like(a, dtype=dtype),
    np.ones_like: lambda a, dtype=None: ops.ones_like(a, dtype=dtype),
    np.full_like: lambda a, fill_value, dtype=None: ops.full_like(a, fill_value, dtype=dtype),
    np.result_type: result_type, np.can_cast: can_cast,
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a: a.size,
}  # fmt: skip
FUNCTIONS |= calls.FUNCTIONS
NEWER = {  # since NumPy 2.1
    "astype": lambda x, dtype: ops.astype(x, dtype), "unstack": ops.unstack,
    "cumulative_sum": ops.cumulative_sum, "cumulative_prod": ops.cumulative_prod,
}  # fmt: skip
FUNCTIONS |= {getattr(np, name): f for name, f in NEWER.items() if hasattr(np, name)}
LINALG: dict[str, Callable[..., Any]] = {  # the array API's names, which NumPy's linalg repeats
    name: getattr(linalg, name)
    for name in """cross det diagonal eig eigvals inv matmul matrix_norm matrix_power
    matrix_transpose outer slogdet solve svdvals tensordot trace vecdot vector_norm""".split()
}
MATRICES: dict[str, Callable[..., Any]] = {  # those with options of NumPy's own
    "cholesky": lambda a, *, upper=False: linalg.cholesky(
        _mirrored(a, "U" if upper else "L"), upper=upper
    ),
    "cond": _cond, "multi_dot": lambda arrays: reduce(ops.matmul, arrays),
    "eigh": lambda a, UPLO="L": linalg.factors.decomposed(_mirrored(a, UPLO), UPLO == "U"),
    "eigvalsh": lambda a, UPLO="L": linalg.eigvalsh(_mirrored(a, UPLO)),
    "matrix_rank": lambda A, *, rtol=None: linalg.matrix_rank(A, rtol=rtol),
    "pinv": lambda a, rcond=None, *, rtol=None: linalg.pinv(
        a, rtol=rcond if rtol is None else rtol
    ),
    "qr": lambda a, mode="reduced": linalg.qr(a, mode=mode),
    "svd": lambda a, full_matrices=True, compute_uv=True: (
        linalg.svd(a, full_matrices=full_matrices) if compute_uv else linalg.svdvals(a)
    ),
}  # fmt: skip
FUNCTIONS |= {getattr(np.linalg, name): f for name, f in (LINALG | MATRICES).items()}


def _refused(name: str, why: str) -> TypeError:
    return TypeError(
        f"np.{name}: {why}. To compute with the value, without a gradient, give it "
        "t.numpy() or mg.evaluate(t)"
    )


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if any(x is not None for x in kwargs.pop("out", ())):
        raise _refused(
            name,
            "a Tensor cannot be written into an array (out=, or array += tensor); write a = a + t",
        )
    if method == "__call__" and ufunc in UFUNCS:
        if kwargs:
            raise _refused(name, f"{', '.join(kwargs)}= is not supported for a Tensor")
        return UFUNCS[ufunc](*inputs)
    if method == "outer" and ufunc in UFUNCS and ufunc.nin == 2 and not kwargs:
        return calls.outer(UFUNCS[ufunc])(*inputs)
    if (ufunc, method) in calls.UFUNC_METHODS:
        return _bound(name, calls.UFUNC_METHODS[ufunc, method], inputs, kwargs)
    raise _refused(name, "there is no such function of Tensors")


def _array_function(self: Tensor, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
    if func not in FUNCTIONS:
        name = func.__name__
        instead = calls.IN_PLACE.get(name)
        why = f"it writes into its first argument; {instead} gives a new Tensor" if instead else ""
        raise _refused(name, why or "there is no such function of Tensors")
    return _bound(func.__name__, FUNCTIONS[func], args, kwargs)


def _bound(name: str, ours: Callable, args: tuple, kwargs: dict) -> Any:
    if kwargs.get("out", name) is None:
        kwargs = {k: v for k, v in kwargs.items() if k != "out"}
    try:
        signature(ours).bind(*args, **kwargs)
    except TypeError as error:  # an option of NumPy's that ours has not
        raise _refused(name, str(error)) from None
    return ours(*args, **kwargs)


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
