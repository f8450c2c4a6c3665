"""Reductions, and the normalised forms built on them (softmax, cross-entropy).

`axis` is an int, a tuple, or None for all axes.
Rules are written so that a slope is exact where the value is:
ties of `max`, zeros of `prod`, `norm` at the origin, `std` of equal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from ..sites import running
from . import analytic
from .arrays import asarray, astype
from .broadcast import SUM, broadcast_to, kept, reshape, spread
from .creation import zeros_like
from .cumulative import CUMPROD, HEAD, TAIL, accumulated, product_before
from .elementwise import (
    abs,
    absorb,
    add,
    bitwise_invert,
    divide,
    equal,
    less,
    multiply,
    negative,
    not_equal,
    pick,
    sqrt,
    square,
    stop_gradient,
    subtract,
    where,
)  # fmt: skip
from .functions import exp, log, pow
from .indexing import checked
from .movement import concat, expand_dims, part, permute_dims
from .table import (
    BOOL,
    FLOAT,
    ArrayLike,
    axes_of,
    axis_of,
    dtype_of,
    integer_of,
    literal,
    number_of,
    per_input,
    reduced,
    row,
)

__all__ = [
    "all", "any", "argmax", "argmin", "count_nonzero", "cross_entropy", "diff", "log_softmax",
    "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var",
]  # fmt: skip


# -- the primitives --------------------------------------------------------------------------------


def _some(word: str) -> Callable[..., tuple[Shape, np.dtype]]:
    """The shape rule of a reduction that means nothing over no elements."""

    def shape(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
        if 0 in [x.shape[a] for a in axis]:
            raise ValueError(f"the {word} of no elements is not defined (shape {x.shape})")
        return reduced(x, axis)

    return shape


def _max_vjp(g: Tensor, y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    wins = astype(equal(x, spread(y, x, axis)), x.dtype)
    share = divide(wins, spread(bind(SUM, wins, axis=axis), x, axis))  # of all ties: they sum to 1
    return multiply(spread(g, x, axis), share)


def _prod_vjp(g: Tensor, y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """ct times the product of all other factors: those before times those behind, no division."""
    order = [k for k in range(-x.ndim, 0) if k not in axis] + list(axis)
    front = tuple(x.shape[k] for k in order[: x.ndim - len(axis)])
    moved = permute_dims(x, order)
    flat = reshape(moved, (*front, math.prod(x.shape[a] for a in axis)))
    before, behind = (
        product_before(bind(CUMPROD, flat, axis=-1, reverse=r), -1, r) for r in (False, True)
    )
    others = reshape(multiply(before, behind), moved.shape)
    inverse = sorted(range(x.ndim), key=lambda k: order[k])
    return absorb(spread(g, x, axis), permute_dims(others, inverse))


def _norm_numpy(x: Any, axis: tuple[int, ...]) -> Any:
    """Scaled by a power of two, so that squares neither overflow nor vanish and nothing rounds.

    Complex x: the analytic continuation of the real norm.
    """
    top = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    scale = np.ldexp(np.ones_like(top), np.frexp(top)[1] - 1)
    z = x / scale
    return np.squeeze(scale, axis) * np.sqrt(np.sum(z * z, axis=axis))


def _norm_vjp(g: Tensor, y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    length = spread(y, x, axis)
    unit = where(equal(length, 0), zeros_like(x), divide(x, length))
    return multiply(spread(g, x, axis), unit)


def _truth(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    return reduced(x, axis)[0], BOOL


def _position(x: Tensor, axis: int) -> tuple[Shape, np.dtype]:
    return _some("position of the largest or smallest")(x, (axis,))[0], np.dtype(np.int64)


MAX = row(
    "max", "reduction", _some("maximum"), lambda x, axis: np.max(x, axis=axis),
    per_input(_max_vjp), branch=analytic.from_the_top, analytic=analytic.maximum_along,
)  # fmt: skip
PROD = row(
    "prod", "reduction", reduced, lambda x, axis: np.prod(x, axis=axis, dtype=x.dtype),
    per_input(_prod_vjp), analytic=True,
)  # fmt: skip
NORM = row(
    "norm", "reduction", reduced, _norm_numpy, per_input(_norm_vjp), analytic=True,
    branch=lambda x, axis: np.sum(x * x, axis=axis),
)  # fmt: skip
ANY = row("any", "reduction", _truth, lambda x, axis: np.any(x, axis=axis), cheap=True)
ALL = row("all", "reduction", _truth, lambda x, axis: np.all(x, axis=axis), cheap=True)
ARGMAX = row("argmax", "reduction", _position, lambda x, axis: np.argmax(x, axis=axis))
ARGMIN = row("argmin", "reduction", _position, lambda x, axis: np.argmin(x, axis=axis))


def _reduce(op: Any, t: Tensor, axis: Any, keepdims: bool) -> Tensor:
    axes = axes_of(op.name, t, axis)
    return kept(bind(op, t, axis=axes) if axes else t, t, axes, keepdims)


def _floating(x: ArrayLike) -> Tensor:
    t = asarray(x)
    return t if t.dtype.kind == "f" else astype(t, FLOAT)


def _length(op: str, t: Tensor, axis: Any) -> int:
    return math.prod(t.shape[a] for a in axes_of(op, t, axis))


# -- sums and products -----------------------------------------------------------------------------


def sum(x: ArrayLike, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis`; of no elements: 0.

    dtype : to sum in; booleans and small integers sum in 64 bits.

    Raises ValueError for an axis that is not there or is given twice,
    TypeError for a dtype of booleans.
    """
    return _reduce(SUM, accumulated("sum", x, dtype), axis, keepdims)


def prod(x: ArrayLike, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over `axis`; of no elements: 1.  Gradients of every order are exact at zeros.

    dtype : to multiply in; booleans and small integers multiply in 64 bits.

    Raises ValueError for an axis that is not there or is given twice,
    TypeError for a dtype of booleans.
    """
    return _reduce(PROD, accumulated("prod", x, dtype), axis, keepdims)


def count_nonzero(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements over `axis` are not 0 (NaN is not), as int64.

    Raises ValueError for an axis that is not there or is given twice.
    """
    return sum(not_equal(x, 0), axis=axis, keepdims=keepdims)


def diff(
    x: ArrayLike, /, *, axis: int = -1, n: int = 1, prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:  # fmt: skip
    """The differences x[1:] - x[:-1] along one axis, taken n times.

    prepend, append : joined to x first; arrays that fit x but for that axis, or numbers.

    n = 0 gives x as it came.
    Raises ValueError for an axis that is not there, a negative n, or ends that do not fit.
    """
    t, n = asarray(x), integer_of("diff", "n", n)
    if n < 0:
        raise ValueError(f"diff: n counts how often differences are taken; got {n}")
    k = axis_of("diff", t, axis)
    if not n:
        return t
    one = tuple(1 if m - t.ndim == k else length for m, length in enumerate(t.shape))
    ends = [e if e is None else asarray(e) for e in (prepend, append)]
    ends = [broadcast_to(e, one) if e is not None and not e.ndim else e for e in ends]
    t = concat([e for e in (ends[0], t, ends[1]) if e is not None], axis=k)
    for _ in range(n if n < t.shape[k] else t.shape[k]):
        t = subtract(part(t, k, *TAIL), part(t, k, *HEAD))
    return t


# -- means and spreads -----------------------------------------------------------------------------


def mean(x: ArrayLike, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`; of no elements: NaN.

    dtype : to sum and divide in, floating point; integers and booleans use float64.

    Raises ValueError for an axis that is not there or is given twice,
    TypeError for a dtype that is no floating-point one.
    """
    t = _floating(x if dtype is None else astype(x, dtype))
    if dtype is not None and t.dtype != dtype_of("mean", dtype):
        raise TypeError(f"mean: dtype is a floating-point one; got {np.dtype(dtype)}")
    return divide(sum(t, axis=axis, keepdims=keepdims), float(_length("mean", t, axis)))


def var(
    x: ArrayLike, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The variance over `axis`: squared distances from the mean, summed, by n - correction.

    correction : 1 for an unbiased estimate.
                 With no more elements than that: NaN (or inf), quietly.

    Integers and booleans use float64.
    Raises ValueError for an axis that is not there or is given twice,
    or a correction that is no number.
    """
    t = _floating(x)
    off = square(subtract(t, mean(t, axis=axis, keepdims=True)))
    n = _length("var", t, axis) - float(number_of("var", "correction", correction))
    return divide(sum(off, axis=axis, keepdims=keepdims), n if n > 0 else 0.0)


def std(
    x: ArrayLike, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The standard deviation over `axis`, the root of `var`; of equal numbers: 0 with slope 0.

    Raises what `var` raises.
    """
    v = var(x, axis=axis, correction=correction, keepdims=keepdims)
    return where(equal(v, 0), zeros_like(v), sqrt(v))


def norm(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The vector norm over `axis` (None: of the flat array), as the array API's vector_norm.

    ord : 2            the length: neither overflows nor vanishes; slope 0 at the origin
          1            the sum of |x|
          inf, -inf    the largest and smallest |x|; ties share the gradient
          0            how many are not 0; slope 0
          p            any other number: sum(|x| ** p) ** (1 / p)

    Written out as sqrt(sum(x * x)) it would have slope NaN at the origin.
    Integers and booleans use float64.
    Raises ValueError for an axis that is not there or is given twice, or an ord that is no number.
    """
    t = _floating(x)
    if not isinstance(ord, (int, float, np.number)) or math.isnan(p := float(ord)):
        raise ValueError(f"norm: ord is the number of a vector norm (2, 1, inf, ...); got {ord!r}")
    axes = axes_of("norm", t, axis)
    if p == 2 and axes:
        return _reduce(NORM, t, axes, keepdims)
    if p == 0:
        return sum(not_equal(t, 0), axis=axes, dtype=t.dtype, keepdims=keepdims)
    if p == 1 or not axes:
        return sum(abs(t), axis=axes, keepdims=keepdims)
    if math.isinf(p):
        return (max if p > 0 else min)(abs(t), axis=axes, keepdims=keepdims)
    top = _top(abs(t), axes)
    top = where(equal(top, 0), 1.0, top)
    total = sum(pow(divide(abs(t), top), p), axis=axes, keepdims=True)
    zero = equal(total, 0)  # a root has an infinite slope there
    root = pow(where(zero, 1.0, total), 1.0 / p)
    return _dropped(where(zero, 0.0, multiply(top, root)), axes, keepdims)


def _top(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The maximum, axes kept, as a constant to take out before an overflow.

    0 if it is infinite or of no elements.
    """
    if 0 in [t.shape[a] for a in axes]:
        shape = [1 if k - t.ndim in axes else n for k, n in enumerate(t.shape)]
        return broadcast_to(literal(0, t.dtype), shape)
    top = stop_gradient(max(t, axis=axes, keepdims=True))
    return where(less(abs(top), np.inf), top, zeros_like(top))  # inf - inf is NaN


def _dropped(y: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """y without the axes of length 1 that a reduction kept."""
    rest = tuple(n for k, n in enumerate(y.shape) if k - y.ndim not in axes)
    return y if keepdims else reshape(y, rest)


# -- largest, smallest, truth ----------------------------------------------------------------------


def max(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The maximum over `axis`; NaN propagates; equal maxima share the gradient.

    Raises ValueError for an axis that is not there or is given twice, and for no elements.
    """
    return _reduce(MAX, asarray(x), axis, keepdims)


def min(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The minimum over `axis`; NaN propagates; equal minima share the gradient.

    Raises ValueError for an axis that is not there or is given twice, and for no elements.
    """
    t = asarray(x)
    if not _length("min", t, axis):
        at = running()
        raise ValueError(f"min: the minimum of no elements is not defined (shape {t.shape}){at}")
    mirror = negative if t.dtype.kind == "f" else bitwise_invert  # -x of integers can overflow
    return mirror(max(mirror(t), axis=axis, keepdims=keepdims))


def _place(op: Any, x: ArrayLike, axis: int | None, keepdims: bool) -> Tensor:
    t = asarray(x)
    flat = reshape(t, -1) if axis is None else t
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"{op.name}: axis is one integer or None; got {axis!r}")
    k = axis_of(op.name, flat, -1 if axis is None else axis)
    return kept(bind(op, flat, axis=k), t, axes_of(op.name, t, axis), keepdims)


def argmax(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the first maximum along one axis (None: of the flat array), as int64.

    Raises ValueError for an axis that is not there, and for no elements;
    TypeError for several axes.
    """
    return _place(ARGMAX, x, axis, keepdims)


def argmin(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the first minimum along one axis (None: of the flat array), as int64.

    Raises ValueError for an axis that is not there, and for no elements;
    TypeError for several axes.
    """
    return _place(ARGMIN, x, axis, keepdims)


def any(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element over `axis` is true, that is not 0; of no elements: False.

    Raises ValueError for an axis that is not there or is given twice.
    """
    return _reduce(ANY, astype(x, BOOL), axis, keepdims)


def all(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true, that is not 0; of no elements: True.

    Raises ValueError for an axis that is not there or is given twice.
    """
    return _reduce(ALL, astype(x, BOOL), axis, keepdims)


# -- normalised exponentials -----------------------------------------------------------------------


def logsumexp(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow (Blanchard, Higham and Higham 2021).

    Of all -inf, or of no elements: -inf (with gradient 0).
    Raises ValueError for an axis that is not there or is given twice.
    """
    t = _floating(x)
    axes = axes_of("logsumexp", t, axis)
    top = _top(t, axes)
    total = sum(exp(subtract(t, top)), axis=axes, keepdims=True)
    total = add(where(equal(total, 0), -np.inf, log(total)), top)  # log 0 has an infinite slope
    return _dropped(total, axes, keepdims)


def _shifted(op: str, x: ArrayLike, axis: Any) -> tuple[Tensor, tuple[int, ...]]:
    """x with its maximum along the axes at 0."""
    t = _floating(x)
    axes = axes_of(op, t, axis)
    return (subtract(t, stop_gradient(max(t, axis=axes, keepdims=True))) if t.size else t), axes


def softmax(x: ArrayLike, /, *, axis: Any = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis` (Bridle 1990), without overflow; the shape of x.

    An entry of -inf has share 0 (all of them -inf: NaN).
    Raises ValueError for an axis that is not there or is given twice.
    """
    t, axes = _shifted("softmax", x, axis)
    e = exp(t)
    return divide(e, sum(e, axis=axes, keepdims=True))


def log_softmax(x: ArrayLike, /, *, axis: Any = -1) -> Tensor:
    """x - logsumexp(x) along `axis`; the shape of x.

    An entry of -inf stays -inf (all of them -inf: NaN).
    Raises ValueError for an axis that is not there or is given twice.
    """
    t, axes = _shifted("log_softmax", x, axis)
    return subtract(t, log(sum(exp(t), axis=axes, keepdims=True)))


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Tensor:
    """-log softmax(logits)[label], in nats.

    logits : (..., C).
    labels : (...) integers from 0 to C-1.

    Returns (...), in the dtype of the logits.
    Raises ValueError for other shapes, and for any other label, -100 too: now, or when it is known.
    """
    z, y = asarray(logits), asarray(labels)
    if not z.ndim:
        raise ValueError("cross_entropy: logits must be (..., C); got one number")
    if y.dtype.kind not in "iu" or y.shape != z.shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels must be integers of shape {z.shape[:-1]} for logits of shape "
            f"{z.shape}; got {y.dtype} of shape {y.shape}"
        )
    y = checked(y, 0, z.shape[-1], what="cross_entropy: labels")
    hot = equal(expand_dims(y, axis=-1), np.arange(z.shape[-1], dtype=y.dtype))
    return negative(sum(pick(log_softmax(z), hot), axis=-1))
