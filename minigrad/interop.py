"""NumPy's functions on Tensors: each records the function of ours that means the same, or raises.

`ndarray * tensor` and `np.tanh(tensor)` reach `__array_ufunc__`, `np.concatenate([...])` reaches
`__array_function__`; both are tables from NumPy's function to ours.  What is not in them is
refused: quietly converting a Tensor to an array would lose its gradient.  Attached to `Tensor` when
`minigrad` is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from . import ops
from .graph import Tensor

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add, np.subtract: ops.subtract, np.multiply: ops.multiply, np.divide: ops.divide,
    np.power: ops.pow, np.matmul: ops.matmul, np.vecdot: ops.vecdot, np.negative: ops.negative,
    np.positive: ops.positive, np.absolute: ops.abs, np.sign: ops.sign, np.square: ops.square,
    np.exp: ops.exp, np.log: ops.log, np.log1p: ops.log1p, np.sqrt: ops.sqrt, np.sin: ops.sin,
    np.cos: ops.cos, np.tanh: ops.tanh, np.maximum: ops.maximum, np.minimum: ops.minimum,
    np.equal: ops.equal, np.not_equal: ops.not_equal, np.less: ops.less,
    np.less_equal: ops.less_equal, np.greater: ops.greater, np.greater_equal: ops.greater_equal,
    np.logical_and: ops.logical_and, np.logical_or: ops.logical_or, np.logical_not: ops.logical_not,
}  # fmt: skip


def _reduction(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, axis=None, *, keepdims=False: ours(a, axis=axis, keepdims=keepdims)


def _argmax(a: Any, axis: int | None = None) -> Tensor:
    return ops.argmax(ops.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis)


def _take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    return ops.take(ops.reshape(a, -1) if axis is None else a, indices, axis=axis or 0)


def _transpose(a: Any, axes: Any = None) -> Tensor:
    t = ops.asarray(a)
    return ops.permute_dims(t, range(t.ndim)[::-1] if axes is None else axes)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    order = list(range(ops.asarray(a).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return ops.permute_dims(a, order)


def _dot(a: Any, b: Any) -> Tensor:
    a, b = ops.asarray(a), ops.asarray(b)
    if not a.ndim or not b.ndim:
        return ops.multiply(a, b)
    return ops.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: _reduction(ops.sum), np.mean: _reduction(ops.mean), np.max: _reduction(ops.max),
    np.min: _reduction(ops.min), np.argmax: _argmax,
    np.concatenate: lambda arrays, axis=0: ops.concat(arrays, axis=axis),
    np.stack: lambda arrays, axis=0: ops.stack(arrays, axis=axis),
    np.where: lambda condition, x, y: ops.where(condition, x, y),
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: ops.clip(
        a, a_min if min is None else min, a_max if max is None else max
    ),
    np.einsum: lambda subscripts, *operands: ops.einsum(subscripts, *operands),
    np.dot: _dot, np.outer: lambda a, b: ops.outer(ops.reshape(a, -1), ops.reshape(b, -1)),
    np.tensordot: lambda a, b, axes=2: ops.tensordot(a, b, axes=axes),
    np.reshape: lambda a, shape: ops.reshape(a, shape), np.ravel: lambda a: ops.reshape(a, -1),
    np.transpose: _transpose, np.matrix_transpose: lambda x: ops.matrix_transpose(x),
    np.swapaxes: _swapaxes,
    np.moveaxis: lambda a, source, destination: ops.moveaxis(a, source, destination),
    np.expand_dims: lambda a, axis: ops.expand_dims(a, axis=axis),
    np.squeeze: lambda a, axis=None: ops.squeeze(a, axis=axis),
    np.broadcast_to: lambda array, shape: ops.broadcast_to(array, shape),
    np.flip: lambda m, axis=None: ops.flip(m, axis=axis), np.take: _take,
    np.zeros_like: lambda a, dtype=None: ops.zeros_like(a, dtype=dtype),
    np.ones_like: lambda a, dtype=None: ops.ones_like(a, dtype=dtype),
    np.full_like: lambda a, fill_value, dtype=None: ops.full_like(a, fill_value, dtype=dtype),
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a: a.size,
}  # fmt: skip
if hasattr(np, "astype"):  # NumPy 2.1
    FUNCTIONS[np.astype] = lambda x, dtype: ops.astype(x, dtype)


def _refused(name: str, why: str) -> TypeError:
    return TypeError(
        f"np.{name}: {why}. To compute with the value, without a gradient, give it "
        "t.numpy() or mg.evaluate(t)"
    )


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if kwargs.get("out"):
        raise _refused(
            ufunc.__name__,
            "a Tensor cannot be written into an array (out=, or array += tensor); write a = a + t",
        )
    if method != "__call__":
        raise _refused(
            f"{ufunc.__name__}.{method}", "this is not recorded for a Tensor; mg.sum and mg.max are"
        )
    if ufunc not in UFUNCS:
        raise _refused(ufunc.__name__, "there is no such function of Tensors")
    if kwargs:
        raise _refused(ufunc.__name__, f"{', '.join(kwargs)}= is not supported for a Tensor")
    return UFUNCS[ufunc](*inputs)


def _array_function(self: Tensor, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
    if func not in FUNCTIONS:
        raise _refused(func.__name__, "there is no such function of Tensors")
    ours = FUNCTIONS[func]
    try:
        signature(ours).bind(*args, **kwargs)
    except TypeError as error:  # an option of NumPy's that ours has not
        raise _refused(func.__name__, str(error)) from None
    return ours(*args, **kwargs)


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
