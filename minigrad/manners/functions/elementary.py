"""Elementwise functions of NumPy that are a line of ours: angles, NaN-ignoring choice, comparison.

Conventions are those of `ops.elementwise`: integers and booleans enter as float64 where a result
is a fraction, ties share the gradient, flat functions have slope 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor
from ...ops.broadcast import operands
from ...ops.table import FLOAT, ArrayLike, flag_of, integer_of

__all__ = [
    "allclose", "around", "array_equal", "deg2rad", "divmod", "exp2", "fabs", "float_power", "fmax",
    "fmin", "fmod", "heaviside", "isclose", "isneginf", "isposinf", "logaddexp2", "rad2deg",
]  # fmt: skip


def floating(x: ArrayLike) -> Tensor:
    """x in floating point: integers and booleans as float64."""
    t = ops.asarray(x)
    return t if t.dtype.kind == "f" else ops.astype(t, FLOAT)


# -- angles, powers, rounding ----------------------------------------------------------------------


def deg2rad(x: ArrayLike, /) -> Tensor:
    """Degrees as radians, x * pi / 180, elementwise; any shape.  NumPy's `radians` too.

    Raises TypeError for what is no numbers.
    """
    return ops.multiply(floating(x), math.pi / 180)


def rad2deg(x: ArrayLike, /) -> Tensor:
    """Radians as degrees, x * 180 / pi, elementwise; any shape.  NumPy's `degrees` too.

    Raises TypeError for what is no numbers.
    """
    return ops.multiply(floating(x), 180 / math.pi)


def exp2(x: ArrayLike, /) -> Tensor:
    """2 ** x, elementwise; any shape.  Integers and booleans enter as float64.

    Raises TypeError for what is no numbers.
    """
    return ops.pow(2.0, floating(x))


def fabs(x: ArrayLike, /) -> Tensor:
    """|x| in floating point, with slope 0 at 0, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return ops.abs(floating(x))


def float_power(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 ** x2 in float64, elementwise; shapes broadcast.  Derivatives as of `pow`.

    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return ops.pow(ops.astype(x1, FLOAT), ops.astype(x2, FLOAT))


def around(x: ArrayLike, /, decimals: int = 0) -> Tensor:
    """x rounded to that many decimals, halves to even (slope 0), elementwise; any shape.

    decimals : below 0: to tens, hundreds, ...

    Raises TypeError for decimals that are no integer, or what is no numbers.
    """
    t, n = ops.asarray(x), integer_of("around", "decimals", decimals)
    if not n or t.dtype.kind != "f" and n > 0:
        return ops.round(t)
    scale = 10.0 ** abs(n)
    wide = floating(t)
    if n > 0:
        found = ops.divide(ops.round(ops.multiply(wide, scale)), scale)
    else:
        found = ops.multiply(ops.round(ops.divide(wide, scale)), scale)
    return ops.astype(found, t.dtype)


# -- remainders ------------------------------------------------------------------------------------


def fmod(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 - x2 * trunc(x1 / x2), with the sign of x1, elementwise; shapes broadcast.

    `remainder` has the sign of x2.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    a, b = operands("fmod", x1, x2)
    if a.dtype.kind == "u":
        return ops.remainder(a, b)
    size = ops.abs(b)
    back = ops.negative(ops.remainder(ops.negative(a), size))
    return ops.where(ops.less(a, 0), back, ops.remainder(a, size))


def divmod(x1: ArrayLike, x2: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """(floor_divide(x1, x2), remainder(x1, x2)), elementwise; shapes broadcast.

    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return ops.floor_divide(x1, x2), ops.remainder(x1, x2)


# -- choice and steps ------------------------------------------------------------------------------


def _known(chosen: Any, name: str, x1: ArrayLike, x2: ArrayLike) -> Tensor:
    a, b = operands(name, x1, x2)
    found = ops.where(ops.isnan(b), a, chosen(a, b))
    return ops.where(ops.isnan(a), b, found)


def fmax(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The larger of x1 and x2, the other one where one is NaN; elementwise, shapes broadcast.

    At a tie each gets half the gradient.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return _known(ops.maximum, "fmax", x1, x2)


def fmin(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The smaller of x1 and x2, the other one where one is NaN; elementwise, shapes broadcast.

    At a tie each gets half the gradient.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return _known(ops.minimum, "fmin", x1, x2)


def heaviside(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """0 where x1 < 0, x2 where it is 0, 1 where x1 > 0 (slope 0 by x1); NaN stays.

    Elementwise; shapes broadcast.  Integers and booleans enter as float64.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    a, b = operands("heaviside", x1, x2, float_only=True)
    step = ops.where(ops.isnan(a), ops.stop_gradient(a), ops.astype(ops.greater(a, 0), a.dtype))
    return ops.where(ops.equal(a, 0), b, step)


def logaddexp2(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """log2(2 ** x1 + 2 ** x2), without overflow, elementwise; shapes broadcast.

    Integers and booleans enter as float64.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    a, b = operands("logaddexp2", x1, x2, float_only=True)
    two = math.log(2)
    return ops.divide(ops.logaddexp(ops.multiply(a, two), ops.multiply(b, two)), two)


# -- comparison ------------------------------------------------------------------------------------


def isposinf(x: ArrayLike, /) -> Tensor:
    """Whether x is +inf, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return ops.equal(x, np.inf)


def isneginf(x: ArrayLike, /) -> Tensor:
    """Whether x is -inf, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return ops.equal(x, -np.inf)


def isclose(
    a: ArrayLike, b: ArrayLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether |a - b| <= atol + rtol * |b|, elementwise; shapes broadcast.

    Infinities are close to themselves alone, NaN to nothing (to NaN, if `equal_nan`).
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    x, y = operands("isclose", a, b, float_only=True)
    gap = ops.abs(ops.subtract(x, y))
    near = ops.less_equal(gap, ops.add(atol, ops.multiply(rtol, ops.abs(y))))
    close = ops.where(ops.isfinite(y), near, ops.equal(x, y))
    if flag_of("isclose", "equal_nan", equal_nan):
        close = ops.logical_or(close, ops.logical_and(ops.isnan(x), ops.isnan(y)))
    return close


def allclose(
    a: ArrayLike, b: ArrayLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether all elements are close, as `isclose` has it: one boolean Tensor.

    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return ops.all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> Tensor:
    """Whether two arrays have one shape and equal elements: one boolean Tensor.

    equal_nan : NaN counts as equal to NaN.

    Raises TypeError for what is no numbers.
    """
    a, b = ops.asarray(a1), ops.asarray(a2)
    if a.shape != b.shape:
        return ops.asarray(False)
    same = ops.equal(a, b)
    if flag_of("array_equal", "equal_nan", equal_nan):
        same = ops.logical_or(same, ops.logical_and(ops.isnan(a), ops.isnan(b)))
    return ops.all(same)
