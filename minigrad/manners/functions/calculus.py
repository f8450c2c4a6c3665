"""Numerical analysis with NumPy's names: slopes, integrals, interpolation, convolution, choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor
from ...ops.broadcast import operands
from ...ops.movement import part
from ...ops.table import ArrayLike, axes_of, axis_of, choice_of, integer_of
from .elementary import floating

__all__ = [
    "convolve", "correlate", "ediff1d", "gradient", "interp", "piecewise", "polyval", "select",
    "trapezoid",
]  # fmt: skip


# -- slopes and integrals --------------------------------------------------------------------------


def ediff1d(
    ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None
) -> Tensor:
    """The differences of neighbours of the flat array, between `to_begin` and `to_end`.

    Raises TypeError for what is no numbers.
    """
    t = ops.reshape(ary, -1)
    middle = ops.diff(t) if t.size else t
    ends = [
        None if e is None else ops.reshape(ops.asarray(e, dtype=t.dtype), -1)
        for e in (to_begin, to_end)
    ]
    return ops.concat([x for x in (ends[0], middle, ends[1]) if x is not None])


def _spacings(name: str, t: Tensor, axes: Sequence[int], given: tuple[Any, ...]) -> list[Tensor]:
    """Per axis, the distance of neighbours: one number, or one for each pair."""
    if len(given) not in (0, 1, len(axes)):
        raise ValueError(f"{name}: spacings are none, one, or one an axis; got {len(given)}")
    many = list(given or (1.0,)) * (len(axes) if len(given) < 2 else 1)
    found = []
    for k, x in zip(axes, many, strict=True):
        s = floating(x)
        if s.ndim and s.shape != (t.shape[k],):
            raise ValueError(
                f"{name}: coordinates of shape {s.shape} are not one for each of the "
                f"{t.shape[k]} places of axis {k} of shape {t.shape}"
            )
        found.append(ops.diff(s) if s.ndim else s)
    return found


def gradient(f: ArrayLike, *varargs: ArrayLike, axis: Any = None, edge_order: int = 1) -> Any:
    """The slopes of sampled values along each axis, by central differences: `numpy.gradient`.

    (`mg.grad` is the derivative of a computation.)
    varargs    : the spacing: one number, or per axis a number or the coordinates.
    axis       : None: all axes.
    edge_order : 1 or 2, of the differences at both ends.

    One axis: a Tensor in the shape of f; several: a tuple of them.
    Second order accurate inside, also for uneven coordinates (Fornberg 1988).
    Raises ValueError for spacings that do not fit, or fewer than edge_order + 1 places.
    """
    t = floating(f)
    if axis is None:
        axes: tuple[int, ...] = tuple(range(-t.ndim, 0))
    else:
        axes = tuple(axes_of("gradient", t, a)[0] for a in (
            axis if isinstance(axis, (tuple, list)) else (axis,)
        ))  # fmt: skip
    order = integer_of("gradient", "edge_order", edge_order)
    if order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2; got {edge_order!r}")
    found = []
    for k, h in zip(axes, _spacings("gradient", t, axes, varargs), strict=True):
        if t.shape[k] < order + 1:
            raise ValueError(
                f"gradient: axis {k} of shape {t.shape} needs at least {order + 1} places"
            )
        found.append(_slopes(t, k, h, order))
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(t: Tensor, k: int, h: Tensor, order: int) -> Tensor:
    n, h = t.shape[k], ops.astype(h, t.dtype)
    gaps = ops.reshape(h, (h.size, *(1,) * (-1 - k))) if h.ndim else h
    f = [part(t, k, i, i + 1) for i in (0, 1, min(2, n - 1))]  # the first three, the last three
    g = [part(t, k, n - 1 - i, n - i) for i in (0, 1, min(2, n - 1))]
    at = (lambda i: part(gaps, k, i, i + 1)) if h.ndim else (lambda i: gaps)
    if order == 1:
        first = ops.divide(ops.subtract(f[1], f[0]), at(0))
        last = ops.divide(ops.subtract(g[0], g[1]), at(n - 2))
    else:  # the slope of the parabola through three places, at its end
        first = _weighed(f, _one_sided(at(0), at(1)))
        last = _weighed(g, [ops.negative(w) for w in _one_sided(at(n - 2), at(n - 3))])
    if n == 2:
        return ops.concat([first, last], axis=k)
    before, here, after = part(t, k, None, -2), part(t, k, 1, -1), part(t, k, 2, None)
    if not h.ndim:
        inside = ops.divide(ops.subtract(after, before), ops.multiply(2, h))
    else:
        d, e = part(gaps, k, None, -1), part(gaps, k, 1, None)
        both = ops.add(d, e)
        inside = _weighed([before, here, after], [
            ops.divide(ops.negative(e), ops.multiply(d, both)),
            ops.divide(ops.subtract(e, d), ops.multiply(d, e)),
            ops.divide(d, ops.multiply(e, both)),
        ])  # fmt: skip
    return ops.concat([first, inside, last], axis=k)


def _one_sided(d: Tensor, e: Tensor) -> list[Tensor]:
    """The weights of three values in the slope at the first; d and e are the gaps after it."""
    both = ops.add(d, e)
    return [
        ops.negative(ops.divide(ops.add(d, both), ops.multiply(d, both))),
        ops.divide(both, ops.multiply(d, e)),
        ops.negative(ops.divide(d, ops.multiply(e, both))),
    ]


def _weighed(values: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    a, b, c = (ops.multiply(v, w) for v, w in zip(values, weights, strict=True))
    return ops.add(ops.add(a, b), c)


def trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1
) -> Tensor:
    """The integral of sampled values along an axis, by the trapezoidal rule.

    x : where they were taken: along the axis, or shaped as y; None: `dx` apart.

    Raises ValueError for an axis that is not there, or an x that does not fit.
    """
    t = floating(y)
    if not t.ndim:
        raise ValueError("trapezoid: needs at least one axis; got a number")
    k = axis_of("trapezoid", t, axis)
    gaps: ArrayLike
    if x is None:
        gaps = dx
    else:
        at = floating(x)
        gaps = ops.diff(at, axis=-1 if at.ndim == 1 else k)
        if at.ndim == 1:
            gaps = ops.reshape(gaps, (gaps.size, *(1,) * (-1 - k)))
    pairs = ops.add(part(t, k, 1, None), part(t, k, None, -1))
    return ops.sum(ops.divide(ops.multiply(gaps, pairs), 2.0), axis=k)


# -- interpolation ---------------------------------------------------------------------------------


def interp(
    x: ArrayLike, xp: ArrayLike, fp: ArrayLike, left: ArrayLike | None = None,
    right: ArrayLike | None = None, period: float | None = None,
) -> Tensor:  # fmt: skip
    """The piecewise linear function through the points (xp, fp), at x; the shape of x.

    xp, fp      : vectors as long as each other; xp increasing.
    left, right : the values outside; fp[0] and fp[-1] unless told.
    period      : of x and xp, which then need not increase.

    At a point the slope is that of the line to the right of it.
    Raises ValueError for points that are no two vectors of one length, or for none.
    """
    at, knots, values = (floating(a) for a in (x, xp, fp))
    if knots.ndim != 1 or knots.shape != values.shape or not knots.size:
        raise ValueError(
            f"interp: xp and fp are vectors of one length, at least 1; got {knots.shape} and "
            f"{values.shape}"
        )
    if period is not None:
        length = abs(float(ops.asarray(period).item()))
        if not length:
            raise ValueError("interp: a period is not 0")
        at, knots = ops.remainder(at, length), ops.remainder(knots, length)
        order = ops.argsort(knots)
        knots, values = ops.take(knots, order), ops.take(values, order)
        knots = ops.concat([knots[-1:] - length, knots, knots[:1] + length])
        values = ops.concat([values[-1:], values, values[:1]])
        left = right = None
    n = knots.size
    low = values[0] if left is None else ops.asarray(left)
    high = values[-1] if right is None else ops.asarray(right)
    if n == 1:
        found = ops.add(ops.multiply(at, 0.0), values[0])
    else:
        row = ops.searchsorted(knots, at, side="right") - 1
        row = ops.clip(row, 0, n - 2)
        x0, x1, y0, y1 = (ops.take(v, r) for v in (knots, values) for r in (row, row + 1))
        slope = ops.divide(ops.subtract(y1, y0), ops.subtract(x1, x0))
        found = ops.add(ops.multiply(slope, ops.subtract(at, x0)), y0)
        back = ops.add(ops.multiply(slope, ops.subtract(at, x1)), y1)  # as NumPy, from an infinity
        back = ops.where(ops.logical_and(ops.isnan(back), ops.equal(y0, y1)), y0, back)
        found = ops.where(ops.isnan(found), back, found)
    last = ops.equal(at, knots[-1])
    found = ops.where(last, ops.broadcast_to(values[-1], at.shape), found)
    found = ops.where(ops.less(at, knots[0]), low, found)
    return ops.where(ops.greater(at, knots[-1]), high, found)


def polyval(p: ArrayLike, x: ArrayLike) -> Tensor:
    """The polynomial p[0] x^(n-1) + ... + p[n-1], by Horner's rule; the shape of x.

    Raises ValueError for coefficients that are no vector.
    """
    c, t = ops.asarray(p), ops.asarray(x)
    if c.ndim != 1:
        raise ValueError(f"polyval: the coefficients are a vector; got shape {c.shape}")
    found = ops.zeros_like(t)
    for a in ops.unstack(c):
        found = ops.add(ops.multiply(found, t), a)
    return found


# -- convolution -----------------------------------------------------------------------------------

MODES = ("full", "same", "valid")


def _two_vectors(name: str, a: ArrayLike, v: ArrayLike, mode: str) -> tuple[Tensor, Tensor]:
    choice_of(name, "mode", mode, MODES)
    x, y = ops.asarray(a), ops.asarray(v)
    for t in (x, y):
        if t.ndim > 1 or not t.size:
            raise ValueError(f"{name}: needs two vectors that are not empty; got shape {t.shape}")
    dtype = np.result_type(x.dtype, y.dtype)
    return ops.reshape(ops.astype(x, dtype), -1), ops.reshape(ops.astype(y, dtype), -1)


def _slid(x: Tensor, y: Tensor, mode: str) -> Tensor:
    """The sums of products of y with every stretch of x, which is no shorter."""
    n, m = x.size, y.size
    edge = {"valid": (0, 0), "full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2)}[mode]
    rows = np.arange(sum(edge) + n - m + 1)[:, None] + np.arange(m) - edge[0]
    inside = (rows >= 0) & (rows < n)
    products = ops.multiply(ops.take(x, np.where(inside, rows, 0)), y)
    if x.dtype == np.bool_:
        return ops.any(ops.logical_and(products, inside), axis=1)
    if inside.all():
        return ops.sum(products, axis=1, dtype=x.dtype)
    # 0 times what may be infinite is not added: there is nothing outside
    return ops.sum(ops.where(inside, products, ops.zeros_like(products)), axis=1, dtype=x.dtype)


def convolve(a: ArrayLike, v: ArrayLike, mode: str = "full") -> Tensor:
    """The sums of a[i] v[n - i], for every n: the convolution of two vectors.

    mode : "full" for all n, "valid" for those where they overlap completely,
           "same" for the middle ones, as many as the longer is long.

    Raises ValueError for what are no vectors, empty ones, or another mode.
    """
    x, y = _two_vectors("convolve", a, v, mode)
    x, y = (x, y) if x.size >= y.size else (y, x)
    flipped = ops.flip(y)
    if mode == "same":  # NumPy centres on the left of the middle
        whole = _slid(x, flipped, "full")
        start = (y.size - 1) // 2
        return part(whole, -1, start, start + x.size)
    return _slid(x, flipped, mode)


def correlate(a: ArrayLike, v: ArrayLike, mode: str = "valid") -> Tensor:
    """The sums of a[n + i] v[i], for every n: the cross-correlation of two vectors.

    mode as of `convolve`.
    Raises ValueError for what are no vectors, empty ones, or another mode.
    """
    x, y = _two_vectors("correlate", a, v, mode)
    if x.size >= y.size:
        return _slid(x, y, mode)
    return ops.flip(_slid(y, x, mode))


# -- choice ----------------------------------------------------------------------------------------


def select(
    condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0
) -> Tensor:
    """Elementwise the choice of the first condition that holds, `default` where none does.

    Shapes broadcast, dtypes promote; what is not taken gets gradient exactly 0.
    Raises ValueError for no conditions or another number of choices,
    TypeError for conditions that are not booleans, or what are no lists.
    """
    for given in (condlist, choicelist):
        if not isinstance(given, (list, tuple)):
            raise TypeError(f"select: conditions and choices are lists; got {str(given)[:80]!r}")
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: as many choices as conditions, at least one; got {len(condlist)} conditions "
            f"and {len(choicelist)} choices"
        )
    conditions = [ops.asarray(c) for c in condlist]
    for c in conditions:
        if c.dtype != np.bool_:
            raise TypeError(f"select: conditions are booleans; got {c.dtype}")
    *choices, found = operands("select", *choicelist, default)
    for c, choice in zip(conditions[::-1], choices[::-1], strict=True):
        found = ops.where(c, choice, found)
    return found


def piecewise(
    x: ArrayLike, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any
) -> Tensor:
    """funclist[k](x) where condlist[k] holds (the last such k); 0, or one function more, elsewhere.

    condlist : booleans in the shape of x.
    funclist : functions of a Tensor, or numbers.  Each function is given the whole of x (NumPy
               gives it the elements chosen); what is not taken gets gradient exactly 0.
    args, kw : handed on to the functions.

    The result has the dtype of x.
    Raises ValueError for another number of functions.
    """
    t = ops.asarray(x)
    given = condlist
    if not isinstance(given, (list, tuple)) or not given or (
        t.ndim and not isinstance(given[0], (list, tuple, np.ndarray, Tensor))
    ):
        given = [given] if getattr(given, "ndim", 0) <= t.ndim else list(given)
    conditions = [ops.asarray(c) for c in given]
    if not isinstance(funclist, (list, tuple)):
        raise TypeError(f"piecewise: funclist is a list; got {str(funclist)[:80]!r}")
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: as many functions as conditions, or one more; got {len(conditions)} "
            f"conditions and {len(functions)} functions"
        )

    def at(f: Callable[..., Any] | ArrayLike) -> Tensor:
        return ops.asarray(f(t, *args, **kw) if callable(f) else f, dtype=t.dtype)

    more = len(functions) > len(conditions)
    found = ops.broadcast_to(at(functions[-1] if more else 0), t.shape)
    for c, f in zip(conditions, functions, strict=False):
        found = ops.where(ops.astype(c, np.bool_), at(f), found)
    return found
