"""Running sums and products along one axis, and the linear recurrence their derivatives are.

Next to `reduce`, which takes the product over an axis from here.
A product is differentiated without dividing by its factors, so zeros are exact at every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from .arrays import asarray, astype
from .broadcast import broadcast_to
from .elementwise import absorb, multiply
from .movement import PLACE, bounds_on, concat, part
from .table import BOOL, ArrayLike, axis_of, dtype_of, flag_of, literal, per_input, row, same

__all__ = ["cumulative_prod", "cumulative_sum"]

HEAD, TAIL = (None, -1, None), (1, None, None)  # all but the last, all but the first


# -- neighbours along an axis ----------------------------------------------------------------------


def _back(x: Tensor, like: Tensor, axis: int, bounds: Any) -> Tensor:
    """x at that part of zeros shaped as `like`."""
    return bind(PLACE, x, index=bounds_on(axis, like.ndim, bounds), shape=like.shape)


def _next(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Each element's successor in running order, 0 for the last."""
    came, goes = (HEAD, TAIL) if reverse else (TAIL, HEAD)
    return _back(part(x, axis, *came), x, axis, goes)


def _single(like: Tensor, axis: int, value: int) -> Tensor:
    """A number over one row of `like` along the axis."""
    shape = tuple(1 if k - like.ndim == axis else n for k, n in enumerate(like.shape))
    return broadcast_to(literal(value, like.dtype), shape)


def product_before(y: Tensor, axis: int, reverse: bool) -> Tensor:
    """Running products y without each element's own factor: 1, y_0, y_1, ..."""
    if not y.shape[axis]:
        return y
    one = _single(y, axis, 1)
    if reverse:
        return concat([part(y, axis, *TAIL), one], axis=axis)
    return concat([one, part(y, axis, *HEAD)], axis=axis)


# -- the primitives --------------------------------------------------------------------------------


def _running(ufunc: np.ufunc, x: Any, axis: int, reverse: bool) -> Any:
    if not reverse:
        return ufunc.accumulate(x, axis=axis, dtype=x.dtype)
    return np.flip(ufunc.accumulate(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)


def _alike(*xs: Tensor, axis: int, reverse: bool) -> tuple[Shape, np.dtype]:
    return same(*xs)


def _recurrence_numpy(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    a, b = (np.moveaxis(x, axis, 0) for x in np.broadcast_arrays(a, b))  # rows on one side only
    h = np.empty(b.shape, np.result_type(a, b))
    steps = range(len(h))[::-1] if reverse else range(len(h))
    state: Any = None
    for t in steps:  # a scan by doubling would multiply factors first: inf * 0 where h is 0
        state = b[t] if state is None else a[t] * state + b[t]
        h[t] = state
    return np.moveaxis(h, 0, axis)


def _recurrence_factor(
    ct: Tensor, h: Tensor, a: Tensor, b: Tensor, axis: int, reverse: bool
) -> Tensor:
    r = bind(RECURRENCE, _next(a, axis, reverse), ct, axis=axis, reverse=not reverse)
    here, before = (HEAD, TAIL) if reverse else (TAIL, HEAD)  # the first factor is never read
    return _back(multiply(part(r, axis, *here), part(h, axis, *before)), a, axis, here)


def _product_vjp(ct: Tensor, y: Tensor, x: Tensor, axis: int, reverse: bool) -> Tensor:
    """dx_i = (x_0 ... x_{i-1}) r_i with r_i = ct_i + x_{i+1} r_{i+1}."""
    r = bind(RECURRENCE, _next(x, axis, reverse), ct, axis=axis, reverse=not reverse)
    return absorb(r, product_before(y, axis, reverse))


CUMSUM = row(
    "cumulative_sum", "reduction", _alike,
    lambda x, axis, reverse: _running(np.add, x, axis, reverse),
    per_input(
        lambda g, y, x, axis, reverse: bind(CUMSUM, g, axis=axis, reverse=not reverse)
    ),
    linear=True,
)  # fmt: skip
CUMPROD = row(
    "cumulative_prod", "reduction", _alike,
    lambda x, axis, reverse: _running(np.multiply, x, axis, reverse), per_input(_product_vjp),
    analytic=True,
)  # fmt: skip
# h_t = a_t h_{t-1} + b_t along an axis (reverse: from the end), h = b at the first step.
# Its vjp is the same recurrence backwards, so products differentiate to any order.
RECURRENCE = row(
    "linear_recurrence", "reduction", _alike, _recurrence_numpy,
    per_input(
        _recurrence_factor,
        lambda g, h, a, b, axis, reverse: bind(
            RECURRENCE, _next(a, axis, reverse), g, axis=axis, reverse=not reverse
        ),
    ),
    analytic=True,
)  # fmt: skip


# -- the functions ---------------------------------------------------------------------------------


def accumulated(op: str, x: ArrayLike, dtype: Any) -> Tensor:
    """x in the dtype a sum or product of it is taken in: small integers and booleans in 64 bits."""
    t = asarray(x)
    if dtype is None and t.dtype.kind in "iub" and t.dtype.itemsize < 8:
        dtype = np.uint64 if t.dtype.kind == "u" else np.int64
    if dtype is not None and dtype_of(op, dtype) == BOOL:
        raise TypeError(f"{op}: dtype is that of a number, not bool; see mg.any and mg.all")
    return t if dtype is None else astype(t, dtype)


def _cumulative(
    op: Any, x: ArrayLike, axis: int | None, dtype: Any, initial: int, include_initial: bool
) -> Tensor:
    t = accumulated(op.name, x, dtype)
    if not t.ndim:
        raise ValueError(f"{op.name}: needs at least one axis; got a scalar")
    if axis is None:
        if t.ndim > 1:
            raise ValueError(f"{op.name}: shape {t.shape} needs axis=, one of its {t.ndim} axes")
        axis = -1
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"{op.name}: runs along one axis; got {axis!r}")
    k = axis_of(op.name, t, axis)
    y = bind(op, t, axis=k, reverse=False)
    more = flag_of(op.name, "include_initial", include_initial)
    return concat([_single(t, k, initial), y], axis=k) if more else y


def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The sums x_0, x_0 + x_1, ... along one axis; any shape.

    axis            : may be left out for a vector.
    dtype           : to sum in; small integers and booleans sum in 64 bits.
    include_initial : begin with the empty sum 0, so that axis is one longer.

    Raises ValueError for an axis that is not there, or none where there are several;
    TypeError for several axes, or a dtype of booleans.
    """
    return _cumulative(CUMSUM, x, axis, dtype, 0, include_initial)


def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The products x_0, x_0 x_1, ... along one axis; any shape.  Gradients are exact at zeros.

    axis            : may be left out for a vector.
    dtype           : to multiply in; small integers and booleans multiply in 64 bits.
    include_initial : begin with the empty product 1, so that axis is one longer.

    Raises ValueError for an axis that is not there, or none where there are several;
    TypeError for several axes, or a dtype of booleans.
    """
    return _cumulative(CUMPROD, x, axis, dtype, 1, include_initial)
