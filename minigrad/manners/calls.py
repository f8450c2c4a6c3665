"""NumPy's functions with NumPy's arguments, as functions of ours: most of the table of `interop`.

Those of `manners.functions` are taken as they are, for they have NumPy's calling conventions.
What is told apart here is how NumPy's arguments are said in ours,
what NumPy has two names for, the methods of ufuncs (`np.add.reduce`),
and what cannot be recorded because it writes into its argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..graph import Tensor
from . import functions as f
from .functions import elementary
from .namespace import imag, real

_Call = Callable[..., Any]


# -- in the order of memory ------------------------------------------------------------------------


def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> Tensor:
    """`numpy.reshape`: elements in C order, or ("F") with the first axis changing fastest."""
    t = ops.asarray(a)
    if order not in ("C", "F", "A", "K"):
        raise ValueError(f"reshape: order is 'C' or 'F'; got {order!r}")
    if order != "F":
        return ops.reshape(t, shape)
    lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    back = ops.reshape(ops.permute_dims(t, range(t.ndim)[::-1]), lengths[::-1])
    return ops.permute_dims(back, range(back.ndim)[::-1])


def ravel(a: Any, order: str = "C") -> Tensor:
    """`numpy.ravel`: the elements as a vector."""
    return reshape(a, -1, order)


def resize(a: Any, new_shape: Any) -> Tensor:
    """`numpy.resize`: the elements, over and over, in a new shape."""
    t = ops.reshape(a, -1)
    shape = (new_shape,) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    n = int(np.prod(shape, dtype=int))
    if not t.size or n < 0:
        return ops.zeros(shape, dtype=t.dtype)
    return ops.reshape(ops.take(t, np.arange(n) % t.size), shape)


def rollaxis(a: Any, axis: int, start: int = 0) -> Tensor:
    """`numpy.rollaxis`: one axis moved before another."""
    t = ops.asarray(a)
    axis, start = axis % max(t.ndim, 1), start + t.ndim if start < 0 else start
    return ops.moveaxis(t, axis, start - (axis < start))


# -- put together and taken apart ------------------------------------------------------------------


def block(arrays: Any) -> Tensor:
    """`numpy.block`: nested lists, the innermost joined along the last axis."""

    def depth(x: Any) -> int:
        return 1 + depth(x[0]) if isinstance(x, list) and x else 0

    deep = depth(arrays)

    def joined(x: Any, level: int, ndim: int) -> Tensor:
        if isinstance(x, list):
            return ops.concat([joined(y, level - 1, ndim) for y in x], axis=-level)
        t = ops.asarray(x)
        return ops.reshape(t, (1,) * (ndim - t.ndim) + t.shape)

    def leaves(x: Any) -> list[Tensor]:
        return [t for y in x for t in leaves(y)] if isinstance(x, list) else [ops.asarray(x)]

    return joined(arrays, deep, max(deep, *(t.ndim for t in leaves(arrays))))


def compress(condition: Any, a: Any, axis: int | None = None) -> Tensor:
    """`numpy.compress`: the places of an axis where a known condition holds."""
    t = ops.reshape(a, -1) if axis is None else ops.asarray(a)
    places = np.flatnonzero(np.asarray(condition))
    return ops.take(t, places, axis=axis or 0)


def extract(condition: Any, arr: Any) -> Tensor:
    """`numpy.extract`: the elements where a known condition holds."""
    return compress(np.ravel(np.asarray(condition)), arr)


def choose(a: Any, choices: Sequence[Any]) -> Tensor:
    """`numpy.choose`: of several arrays the one that each integer names."""
    index, *given = ops.broadcast_arrays(ops.checked(a, 0, len(choices)), *choices)
    stacked = ops.stack(given)
    return ops.squeeze(
        ops.take_along_axis(stacked, ops.expand_dims(index, axis=0), axis=0), axis=0
    )


def apply_along_axis(func1d: _Call, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Tensor:
    """`numpy.apply_along_axis`: func1d of every vector along an axis."""
    t = ops.moveaxis(arr, axis, -1)
    rows = ops.reshape(t, (-1, t.shape[-1]))
    found = ops.stack([ops.asarray(func1d(row, *args, **kwargs)) for row in rows])
    back = ops.reshape(found, (*t.shape[:-1], *found.shape[1:]))
    place = axis % t.ndim
    new = tuple(range(t.ndim - 1, back.ndim))
    return ops.moveaxis(back, new, tuple(place + k for k in range(len(new))))


# -- sums and products -----------------------------------------------------------------------------


def matvec(x1: Any, x2: Any) -> Tensor:
    """`numpy.matvec`: matrices times vectors, batch axes broadcast."""
    return ops.einsum("...ij,...j->...i", x1, x2)


def vecmat(x1: Any, x2: Any) -> Tensor:
    """`numpy.vecmat`: vectors times matrices, batch axes broadcast."""
    return ops.einsum("...i,...ij->...j", x1, x2)


def vdot(a: Any, b: Any) -> Tensor:
    """`numpy.vdot`: the sum of products of all elements."""
    return ops.vecdot(ops.reshape(a, -1), ops.reshape(b, -1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """`numpy.tensordot`: `axes` a number, or per operand one axis or a list."""
    if not isinstance(axes, (int, np.integer)):
        axes = tuple(list(np.atleast_1d(own)) for own in axes)
    return ops.tensordot(a, b, axes=axes)


def angle(z: Any, deg: bool = False) -> Tensor:
    """`numpy.angle`: pi of negative numbers, else 0."""
    t = elementary.floating(z)
    found = ops.atan2(ops.zeros_like(t), t)
    return f.rad2deg(found) if deg else found


def modf(x: Any) -> tuple[Tensor, Tensor]:
    """`numpy.modf`: what is behind the decimal point, and what is before it."""
    t = elementary.floating(x)
    whole = ops.trunc(t)
    part = ops.where(ops.isinf(t), 0.0, ops.subtract(t, whole))
    return ops.copysign(part, t), whole


def reciprocal(x: Any) -> Tensor:
    """`numpy.reciprocal`: 1 / x in floating point."""
    t = ops.asarray(x)
    if t.dtype.kind != "f":
        raise TypeError(
            f"np.reciprocal: of {t.dtype}, NumPy rounds it to an integer; write 1 / t"
        )
    return ops.reciprocal(t)


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None):
    """`numpy.cross`: of vectors of three, each along its own axis."""
    if axis is not None:
        axisa = axisb = axisc = axis
    found = ops.cross(ops.moveaxis(a, axisa, -1), ops.moveaxis(b, axisb, -1))
    return ops.moveaxis(found, -1, axisc)


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:  # fmt: skip
    """`numpy.nan_to_num`: NaN and the infinities replaced."""
    if not copy:
        raise TypeError(
            "np.nan_to_num: copy=False would write into a Tensor, which is immutable; leave it "
            "out, or give t.numpy(), or mg.evaluate(t), for the value without a gradient"
        )
    return ops.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


# -- questions -------------------------------------------------------------------------------------


def isin(element: Any, test_elements: Any, *, invert: bool = False) -> Tensor:
    """`numpy.isin`: whether each element is one of others."""
    t, others = ops.asarray(element), ops.reshape(test_elements, -1)
    found = ops.any(ops.equal(ops.expand_dims(t, axis=t.ndim), others), axis=-1)
    return ops.logical_not(found) if invert else found


def array_equiv(a1: Any, a2: Any) -> Tensor:
    """`numpy.array_equiv`: whether two arrays broadcast and are equal."""
    try:
        return ops.all(ops.equal(a1, a2))
    except ValueError:
        return ops.asarray(False)


def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """`numpy.digitize`: the number of the interval between known bounds that holds each element."""
    known = np.asarray(bins)
    if (np.diff(known) < 0).any():
        places = ops.searchsorted(known[::-1], x, side="left" if not right else "right")
        return ops.subtract(len(known), places)
    return ops.searchsorted(known, x, side="left" if right else "right")


def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None
) -> Tensor:
    y = ops.pow(base, ops.linspace(start, stop, num, endpoint=endpoint))
    return y if dtype is None else ops.astype(y, dtype)


def _geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None
) -> Tensor:
    y = ops.exp(ops.linspace(ops.log(start), ops.log(stop), num, endpoint=endpoint))
    return y if dtype is None else ops.astype(y, dtype)


def _rounded(a: Any, decimals: int = 0) -> Tensor:
    return f.around(a, decimals)


def _joining(ours: _Call) -> _Call:
    return lambda tup, *, dtype=None, casting="same_kind": ours(tup, dtype=dtype)


def _true(a: Any) -> Tensor:
    return ops.ones_like(a, dtype=np.bool_)


def _false(a: Any) -> Tensor:
    return ops.zeros_like(a, dtype=np.bool_)


def _read(name: str) -> _Call:
    """A function of NumPy's that makes text, of the value."""
    numpy = getattr(np, name)
    return lambda *args, **options: numpy(args[0].numpy(), *args[1:], **options)


_UFUNCS: dict[str, _Call] = {
    "conjugate": real, "degrees": f.rad2deg, "matvec": matvec, "modf": modf, "radians": f.deg2rad,
    "reciprocal": reciprocal, "vecmat": vecmat,
}  # fmt: skip
UFUNCS: dict[np.ufunc, _Call] = {  # matvec and vecmat since NumPy 2.2
    getattr(np, name): ours for name, ours in _UFUNCS.items() if hasattr(np, name)
}
UFUNCS |= {
    found: getattr(f, name) for name in f.__all__
    if isinstance(found := getattr(np, name, None), np.ufunc)
}  # fmt: skip

IN_PLACE = {
    "put_along_axis": "mg.put_along_axis(t, indices, values, axis=...)", "copyto": "mg.where",
    "put": "mg.put_along_axis(t, indices, values, axis=None)", "place": "mg.where(mask, v, t)",
    "putmask": "mg.where(mask, v, t)", "fill_diagonal": "mg.where(mg.eye(n) > 0, v, t)",
}  # fmt: skip
FUNCTIONS: dict[_Call, _Call] = {
    getattr(np, name): getattr(f, name) for name in f.__all__
    if name not in IN_PLACE and not isinstance(getattr(np, name, np.add), np.ufunc)
}  # fmt: skip
FUNCTIONS |= {
    np.reshape: reshape, np.ravel: ravel, np.resize: resize, np.rollaxis: rollaxis,
    np.block: block, np.compress: compress, np.extract: extract, np.choose: choose,
    np.apply_along_axis: apply_along_axis, np.vdot: vdot, np.tensordot: tensordot,
    np.cross: cross, np.isin: isin, np.array_equiv: array_equiv, np.digitize: digitize,
    np.round: _rounded, np.around: _rounded,
    np.fix: lambda x: ops.trunc(x), np.copy: lambda a, order="K": a,
    np.linspace: lambda start, stop, num=50, endpoint=True, dtype=None: ops.linspace(
        start, stop, num, endpoint=endpoint, dtype=dtype
    ),
    np.logspace: _logspace, np.geomspace: _geomspace,
    # of a length that is read
    np.unique: f.counted.unique, np.flatnonzero: lambda a: f.nonzero(ops.reshape(a, -1))[0],
    np.argwhere: lambda a: ops.stack(f.nonzero(a), axis=1),
    # real numbers
    np.real: real, np.imag: imag, np.real_if_close: lambda a, tol=100: real(a),
    np.angle: angle,
    np.iscomplex: _false, np.isreal: _true, np.iscomplexobj: lambda x: False,
    np.isrealobj: lambda x: True,
    # sorted is partitioned
    np.sort: lambda a, axis=-1, kind=None, *, stable=None: ops.sort(
        ops.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis
    ),
    np.argsort: lambda a, axis=-1, kind=None, *, stable=None: ops.argsort(
        ops.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis
    ),
    np.partition: lambda a, kth, axis=-1: ops.sort(
        ops.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis
    ),
    np.argpartition: lambda a, kth, axis=-1: ops.argsort(
        ops.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis
    ),
    # two names
    np.swapaxes: f.swapaxes,
    np.amax: lambda a, axis=None, *, keepdims=False: ops.max(a, axis=axis, keepdims=keepdims),
    np.amin: lambda a, axis=None, *, keepdims=False: ops.min(a, axis=axis, keepdims=keepdims),
    np.nan_to_num: nan_to_num,
    # known numbers of the shape
    np.tril_indices_from: lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1]),
    np.triu_indices_from: lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1]),
    np.diag_indices_from: lambda arr: np.diag_indices(arr.shape[0], arr.ndim),
    np.array_repr: lambda arr: repr(arr), np.array_str: _read("array_str"),
    np.array2string: _read("array2string"),
}  # fmt: skip
FUNCTIONS |= {
    getattr(np, name): _joining(ours) for name, ours in {
        "vstack": f.vstack, "hstack": f.hstack, "row_stack": f.vstack
    }.items() if hasattr(np, name)
}  # fmt: skip


# -- the methods of ufuncs -------------------------------------------------------------------------


def _reduce(ours: _Call) -> _Call:
    return lambda a, axis=0, *, keepdims=False: ours(a, axis=axis, keepdims=keepdims)


def _running(ours: _Call) -> _Call:
    return lambda a, axis=0: ours(a, axis=axis)


UFUNC_METHODS: dict[tuple[np.ufunc, str], _Call] = {
    (np.add, "reduce"): _reduce(ops.sum), (np.multiply, "reduce"): _reduce(ops.prod),
    (np.maximum, "reduce"): _reduce(ops.max), (np.minimum, "reduce"): _reduce(ops.min),
    (np.fmax, "reduce"): _reduce(f.nanmax), (np.fmin, "reduce"): _reduce(f.nanmin),
    (np.logaddexp, "reduce"): _reduce(ops.logsumexp),
    (np.logical_and, "reduce"): _reduce(ops.all), (np.logical_or, "reduce"): _reduce(ops.any),
    (np.add, "accumulate"): _running(ops.cumulative_sum),
    (np.multiply, "accumulate"): _running(ops.cumulative_prod),
    (np.maximum, "accumulate"): _running(f.cummax), (np.minimum, "accumulate"): _running(f.cummin),
    (np.logaddexp, "accumulate"): _running(f.logcumsumexp),
}  # fmt: skip


def outer(ours: _Call) -> _Call:
    """`ufunc.outer` of a function of two operands: every element of one with every of the other."""

    def of_pairs(a: Any, b: Any) -> Any:
        x, y = ops.asarray(a), ops.asarray(b)
        return ours(ops.reshape(x, (*x.shape, *(1,) * y.ndim)), y)

    return of_pairs

