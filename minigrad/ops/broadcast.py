"""Broadcasting and its dual, the sum: how operands are made equal in shape, and the way back.

Elementwise operands are made equal in shape and dtype
by explicit `broadcast_to` and `astype` nodes when they are recorded,
so unbroadcasting is just the rule of `broadcast_to`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, Trace, _trace, bind
from ..sites import running
from .arrays import asarray, astype
from .table import (
    FLOAT,
    ArrayLike,
    flag_of,
    integers_of,
    literal,
    movement_row,
    per_input,
    reduced,
    row,
    shape_of,
)

__all__ = ["broadcast_to", "reshape"]


def _reshape_shape(x: Tensor, shape: Shape) -> tuple[Shape, np.dtype]:
    if math.prod(shape) != x.size:
        raise ValueError(f"{x.size} elements of shape {x.shape} do not fill shape {shape}")
    return shape, x.dtype


def _broadcast_shape(x: Tensor, shape: Shape) -> tuple[Shape, np.dtype]:
    pairs = zip(reversed(x.shape), reversed(shape), strict=False)
    if x.ndim > len(shape) or any(n not in (1, m) for n, m in pairs):
        raise ValueError(f"shape {x.shape} does not broadcast to {shape}")
    return shape, x.dtype


def unbroadcast(g: Tensor, y: Tensor, x: Tensor, shape: Shape) -> Tensor:
    pad = len(shape) - x.ndim
    axis = tuple(
        k - len(shape) for k, n in enumerate(shape) if k < pad or (x.shape[k - pad] == 1 and n != 1)
    )
    return reshape(bind(SUM, g, axis=axis), x.shape) if axis else reshape(g, x.shape)


def _broadcast_numpy(x: Any, shape: Shape, own: int | None = None) -> Any:
    if own is not None:  # with a row axis: pad after it, not before it
        x = np.reshape(x, x.shape[:1] + (1,) * (len(shape) - 1 - own) + x.shape[1:])
    return np.broadcast_to(x, shape)


def spread(y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """A reduction's result (or cotangent) back at the shape of its operand."""
    kept = tuple(1 if k - x.ndim in axis else n for k, n in enumerate(x.shape))
    return broadcast_to(reshape(y, kept) if y.ndim else y, x.shape)


def _np_sum(x: Any, axis: tuple[int, ...]) -> Any:
    return np.sum(x, axis=axis, dtype=x.dtype)


RESHAPE = movement_row(
    "reshape", _reshape_shape, lambda x, shape: np.reshape(x, shape),
    lambda g, y, x, shape: reshape(g, x.shape), rows=lambda n, node, a: {"shape": (n, *a["shape"])},
)  # fmt: skip
BROADCAST = movement_row(
    "broadcast_to", _broadcast_shape, _broadcast_numpy, unbroadcast,
    rows=lambda n, node, a: {"shape": (n, *a["shape"]), "own": node.inputs[0].ndim},
)  # fmt: skip
SUM = row(
    "sum", "reduction", reduced, _np_sum, per_input(lambda g, y, x, axis: spread(g, x, axis)),
    linear=True,
)  # fmt: skip


def reshape(x: ArrayLike, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """The same elements in C order at another shape; one -1 is worked out.

    `copy` changes nothing: a Tensor is immutable.
    Raises ValueError for a shape that the elements do not fill, TypeError for what is no shape.
    """
    t = asarray(x)
    new = list(integers_of("reshape", "the lengths of a shape", shape))
    if new.count(-1) > 1 or any(n < -1 for n in new):
        raise ValueError(
            f"reshape: shape {tuple(new)} may hold one -1 and no other negative length"
        )
    if -1 in new:
        rest = math.prod(n for n in new if n != -1)
        if not rest:
            raise ValueError(
                f"reshape: beside a length of 0, the -1 in {tuple(new)} may be any; write it out"
            )
        if t.size % rest:
            raise ValueError(
                f"reshape: {t.size} elements of shape {t.shape} do not fill {tuple(new)}"
            )
        new[new.index(-1)] = t.size // rest
    return t if tuple(new) == t.shape else bind(RESHAPE, t, shape=tuple(new))


def broadcast_to(x: ArrayLike, /, shape: Sequence[int]) -> Tensor:
    """x repeated to `shape` by NumPy's rule; the way back sums.

    Raises ValueError for a shape that x does not broadcast to.
    """
    t = asarray(x)
    if type(shape) is tuple and t.shape == shape:
        return t
    new = shape_of("broadcast_to", shape)
    return t if t.shape == new else bind(BROADCAST, t, shape=new)


def kept(y: Tensor, x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    if not flag_of(y.op.name, "keepdims", keepdims):
        return y
    return reshape(y, tuple(1 if k - x.ndim in axis else n for k, n in enumerate(x.shape)))


_numbers: ContextVar[tuple[Trace, dict[Any, Tensor]] | None] = ContextVar("numbers", default=None)


@contextmanager
def sharing_numbers(trace: Trace) -> Iterator[None]:
    """Numbers written in formulas, spread to a shape, are one node each in this trace.

    An optimiser writes the same few for every parameter; by themselves they are half of its nodes.
    """
    before = _numbers.set((trace, {}))
    try:
        yield
    finally:
        _numbers.reset(before)


def is_sharing() -> bool:
    """Whether the function that is being traced here is traced for repeated calls."""
    shared = _numbers.get()
    return shared is not None and shared[0] is _trace.get()


def _spread_number(op: str, x: float, like: Tensor) -> Tensor:
    """A number in the dtype and shape of a tensor, recorded unless the trace has it."""
    shared = _numbers.get()
    if shared is None or not is_sharing() or not x:  # 0.0 and -0.0 are equal
        return broadcast_to(_number(op, x, like.dtype), like.shape)
    key = x, like.dtype, like.shape
    found = shared[1].get(key)
    if found is None:
        number = shared[1].get(key[:2])
        if number is None:
            number = shared[1][key[:2]] = _number(op, x, like.dtype)
        found = shared[1][key] = broadcast_to(number, like.shape)
    return found


def _number(op: str, x: Any, dtype: np.dtype) -> Tensor:
    try:
        return literal(x, dtype)
    except OverflowError as error:
        raise OverflowError(f"{op}: {error}") from None


def operands(op: str, *xs: ArrayLike, float_only: bool = False) -> list[Tensor]:
    """The operands as Tensors of one dtype (NumPy promotion, Python numbers weak) and one shape."""
    tensors = [x for x in xs if isinstance(x, Tensor)]
    if len(tensors) == len(xs):
        first = tensors[0]
        if all(t.shape == first.shape and t.dtype == first.dtype for t in tensors[1:]) and (
            not float_only or first.dtype.kind == "f"
        ):
            return tensors
    elif len(xs) == 2 and len(tensors) == 1 and tensors[0].dtype.kind == "f":
        (t,), second = tensors, xs[0] is tensors[0]
        number = xs[second]
        if type(number) is float or type(number) is int:  # as most often: the array's dtype it is
            other = _spread_number(op, number, t)
            return [t, other] if second else [other, t]
    weak = [type(x) in (bool, int, float) for x in xs]
    arrays = [
        x if w or isinstance(x, Tensor) else asarray(x) for x, w in zip(xs, weak, strict=True)
    ]
    try:
        dtype = np.result_type(*(x if w else x.dtype for x, w in zip(arrays, weak, strict=True)))
    except OverflowError as error:
        raise TypeError(f"{op}: {error}") from None
    if float_only and dtype.kind != "f":
        dtype = FLOAT
    try:
        several = {x.shape for x, w in zip(arrays, weak, strict=True) if not w and x.shape}
        shape = next(iter(several), ()) if len(several) < 2 else np.broadcast_shapes(*several)
    except ValueError:
        shapes = " and ".join(str(() if w else x.shape) for x, w in zip(arrays, weak, strict=True))
        at = running()
        raise ValueError(f"{op}: shapes {shapes} do not broadcast to one shape{at}") from None
    out = []
    for x, w in zip(arrays, weak, strict=True):
        t = _number(op, x, dtype) if w else x if x.dtype == dtype else astype(x, dtype)
        out.append(t if t.shape == shape else broadcast_to(t, shape))
    return out
