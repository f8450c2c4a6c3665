"""Elementwise functions of analysis.

Exponentials, logarithms and powers, trigonometric and hyperbolic functions with their inverses,
and the activations made of them.
Declared like the ops of `elementwise`, whose conventions hold here.
Slopes are written so that they stay finite and exact where the function is: sigmoid(+-1000),
log_sigmoid(-1000), logaddexp(-inf, -inf), hypot(0, 0), sinc at 0 to every order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Tensor, bind
from . import analytic
from .arrays import asarray, astype
from .broadcast import broadcast_to, operands
from .creation import zeros_like
from .elementwise import (
    absorb,
    add,
    binary,
    divide,
    equal,
    greater,
    isinf,
    isnan,
    less_equal,
    logical_and,
    logical_or,
    multiply,
    negative,
    numbers,
    sqrt,
    square,
    subtract,
    unary,
    where,
)  # fmt: skip
from .facts import elementwise
from .table import FLOAT, ArrayLike, literal, per_input, row, same, uniform

__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf", "exp",
    "expm1", "gelu", "hypot", "log", "log10", "log1p", "log2", "log_sigmoid", "logaddexp", "pow",
    "sigmoid", "silu", "sin", "sinc", "sinh", "softplus", "tan", "tanh", "xlogy",
]  # fmt: skip


def _over(ct: Tensor, slope: Tensor) -> Tensor:
    return absorb(ct, divide(1, slope))


def _outside(a: Tensor) -> Tensor:
    """1 - a ** 2, without cancelling near 1."""
    return multiply(subtract(1, a), add(1, a))


def _inside_one(x: Any) -> Any:
    """Where functions of numbers within [-1, 1] branch."""
    return 1 - x * x


# -- exponentials and logarithms -------------------------------------------------------------------

exp = unary(
    "exp", "e ** x", np.exp, lambda g, y, a: absorb(g, y), domain="small", scalar="exp(x)",
    analytic=True,
)  # fmt: skip
expm1 = unary(
    "expm1", "e ** x - 1", np.expm1, lambda g, y, a: absorb(g, add(y, 1)), domain="small",
    scalar="expm1(x)", analytic=True,
)  # fmt: skip
log = unary(
    "log", "The natural logarithm", np.log, lambda g, y, a: _over(g, a), domain="positive",
    scalar="log(x)", branch=analytic.at_zero, analytic=analytic.within(np.log, 0),
)  # fmt: skip
log1p = unary(
    "log1p", "log(1 + x)", np.log1p, lambda g, y, a: _over(g, add(a, 1)),
    domain="above minus one", scalar="log1p(x)", branch=lambda x: x + 1,
    analytic=analytic.within(np.log1p, -1),
)  # fmt: skip
log2 = unary(
    "log2", "The logarithm to base 2", np.log2,
    lambda g, y, a: _over(g, multiply(a, math.log(2))), domain="positive",
    scalar="log(x) * 1.4426950408889634", branch=analytic.at_zero,
    analytic=analytic.within(np.log2, 0),
)  # fmt: skip
log10 = unary(
    "log10", "The logarithm to base 10", np.log10,
    lambda g, y, a: _over(g, multiply(a, math.log(10))), domain="positive",
    scalar="log(x) * 0.4342944819032518", branch=analytic.at_zero,
    analytic=analytic.within(np.log10, 0),
)  # fmt: skip


def _share(ct: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """e^a / (e^a + e^b), one half where both are the same infinity."""
    gap = where(logical_and(equal(a, b), isinf(a)), zeros_like(a), subtract(a, b))
    return multiply(ct, sigmoid(gap))


logaddexp = binary(
    "logaddexp", "log(e ** x1 + e ** x2), without overflow", np.logaddexp,
    lambda g, y, a, b: _share(g, a, b), lambda g, y, a, b: _share(g, b, a), floats=True,
    domains=("any", "any"), analytic=analytic.logaddexp,
    scalar="where(equal(x, y), x + 0.6931471805599453, maximum(x, y) + log1p(exp(-abs(x - y))))",
)  # fmt: skip


def _log_or_zero(a: Tensor, b: Tensor) -> Tensor:
    return where(logical_and(equal(a, 0), less_equal(b, 0)), zeros_like(b), log(b))


xlogy = binary(
    "xlogy", "x1 * log(x2), and 0 where x1 is 0 (unless x2 is NaN)",
    lambda a, b: np.where((a == 0) & ~np.isnan(b), np.zeros_like(a), a * np.log(b)),
    lambda g, y, a, b: absorb(g, _log_or_zero(a, b)),
    lambda g, y, a, b: absorb(g, absorb(a, divide(1, b))), floats=True,
    domains=("not zero", "positive"), branch=lambda a, b: b,
    analytic=lambda a, b: np.where(a == 0, 0, a * analytic.within(np.log, 0)(b)),
    scalar="where(equal(x, 0.0), where(differs(y, y), y, 0.0), x * log(y))",
)  # fmt: skip


# -- powers ----------------------------------------------------------------------------------------


def _power_base(ct: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    power = uniform(b)
    if power is not None and power != 0 and a.dtype.kind == "f":  # as one would write it
        return absorb(ct, b if power == 1 else multiply(b, _pow_of_number(a, power - 1)))
    # x ** 0 has slope 0 even at x = 0 (or NaN); elsewhere b = 0 is a number like any other,
    # for the derivative of this slope by b is 1 / a there.
    bad = logical_and(equal(b, 0), logical_or(equal(a, 0), isnan(a)))
    slope = multiply(b, _pow(where(bad, 1, a), subtract(b, 1)))
    return absorb(ct, where(bad, zeros_like(b), slope))


def _pow_of_number(a: Tensor, power: Any) -> Tensor:
    if power in (1, 2):
        return a if power == 1 else square(a)
    return _pow(a, broadcast_to(literal(power, a.dtype), a.shape))


def _power_exponent(ct: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    zero = equal(a, 0)  # what is not taken must be finite, for the derivative of this slope
    return absorb(ct, multiply(where(zero, zeros_like(y), y), log(where(zero, 1, a))))


_pow = binary(
    "pow", "x1 ** x2", np.power, _power_base, _power_exponent, domains=("positive", "small"),
    shape=numbers, scalar="pow(x, y)", branch=lambda a, b: a, analytic=analytic.power,
)  # fmt: skip


cbrt = unary(
    "cbrt", "The cube root, of negative numbers too (slope inf at 0)", np.cbrt,
    lambda g, y, a: absorb(g, divide(1 / 3, square(y))), domain="not zero",
    # One step of Newton's method makes good what the exponential loses.
    scalar="where(equal(x, 0.0), x, where(equal(abs(x), inf), x, where(x < 0.0, -1.0, 1.0)"
           " * (R - (R - abs(x) / (R * R)) / 3.0)))".replace("R", "exp(log(abs(x)) / 3.0)"),
    branch=analytic.at_zero,
    analytic=lambda x: analytic.side(x) * (x * analytic.side(x)) ** (np.real(x).dtype.type(1) / 3),
)  # fmt: skip


def pow(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 ** x2, elementwise; shapes broadcast, dtypes promote as in NumPy.

    x ** 0 has slope 0; the derivative by the exponent is 0 at base 0, NaN below 0.
    Integers to a negative power known when recorded are fractions, so float64.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    if type(x2) is int and x2 == 2:
        return square(x1)
    whole = not isinstance(x2, Tensor) and asarray(x1).dtype.kind != "f"
    if whole and (asarray(x2).numpy() < 0).any():
        x1 = astype(x1, FLOAT)
    return _pow(x1, x2)


# -- trigonometric, hyperbolic, and their inverses -------------------------------------------------

sin = unary(
    "sin", "The sine", np.sin, lambda g, y, a: multiply(g, cos(a)), domain="any",
    scalar="sin(x)", analytic=True,
)  # fmt: skip
cos = unary(
    "cos", "The cosine", np.cos, lambda g, y, a: multiply(g, negative(sin(a))), domain="any",
    scalar="cos(x)", analytic=True,
)  # fmt: skip
tan = unary(
    "tan", "The tangent", np.tan, lambda g, y, a: multiply(g, add(1, square(y))),
    domain="not cot", scalar="sin(x) / cos(x)", analytic=True,
)  # fmt: skip
asin = unary(
    "asin", "The arc sine", np.arcsin, lambda g, y, a: _over(g, sqrt(_outside(a))),
    domain="inside one", scalar="asin(x)", branch=_inside_one,
    analytic=analytic.within(np.arcsin, -1, 1),
)  # fmt: skip
acos = unary(
    "acos", "The arc cosine", np.arccos, lambda g, y, a: _over(negative(g), sqrt(_outside(a))),
    domain="inside one", scalar="acos(x)", branch=_inside_one,
    analytic=analytic.within(np.arccos, -1, 1),
)  # fmt: skip
atan = unary(
    "atan", "The arc tangent", np.arctan, lambda g, y, a: _over(g, add(1, square(a))),
    domain="any", scalar="atan(x)", analytic=True,
)  # fmt: skip
_SINH = (  # e^x / 2 is the square of e^(x / 2), halved: it overflows where sinh does
    "where(abs(x) < 20.0, 0.5 * (expm1(x) - expm1(-x)),"
    " 0.5 * exp(0.5 * x) * exp(0.5 * x) - 0.5 * exp(-0.5 * x) * exp(-0.5 * x))"
)
_COSH = "0.5 * exp(0.5 * x) * exp(0.5 * x) + 0.5 * exp(-0.5 * x) * exp(-0.5 * x)"
sinh = unary(
    "sinh", "The hyperbolic sine", np.sinh, lambda g, y, a: absorb(g, cosh(a)), domain="small",
    scalar=_SINH, analytic=True,
)  # fmt: skip
cosh = unary(
    "cosh", "The hyperbolic cosine", np.cosh, lambda g, y, a: absorb(g, sinh(a)), domain="small",
    scalar=_COSH, analytic=True,
)  # fmt: skip
tanh = unary(
    "tanh", "The hyperbolic tangent", np.tanh,
    lambda g, y, a: multiply(g, subtract(1, square(y))), domain="any", scalar="tanh(x)",
    analytic=analytic.tanh,
)  # fmt: skip
asinh = unary(
    "asinh", "The inverse of sinh", np.arcsinh, lambda g, y, a: _over(g, hypot(a, 1)),
    domain="any", scalar="asinh(x)", analytic=True,
)  # fmt: skip
acosh = unary(
    "acosh", "The inverse of cosh", np.arccosh,
    lambda g, y, a: _over(g, multiply(sqrt(subtract(a, 1)), sqrt(add(a, 1)))),
    domain="above one", scalar="acosh(x)", branch=lambda x: x - 1,
    analytic=analytic.within(np.arccosh, 1),
)  # fmt: skip
atanh = unary(
    "atanh", "The inverse of tanh", np.arctanh, lambda g, y, a: _over(g, _outside(a)),
    domain="inside one", scalar="atanh(x)", branch=_inside_one,
    analytic=analytic.within(np.arctanh, -1, 1),
)  # fmt: skip


def _ratio(a: Tensor, length: Tensor) -> Tensor:
    """a / length, and 0 where the length is 0."""
    return where(equal(length, 0), zeros_like(a), divide(a, length))


hypot = binary(
    "hypot", "sqrt(x1 ** 2 + x2 ** 2), without overflow (slope 0 at the origin)", np.hypot,
    lambda g, y, a, b: multiply(g, _ratio(a, y)), lambda g, y, a, b: multiply(g, _ratio(b, y)),
    floats=True, domains=("not zero", "not zero"), branch=lambda a, b: a * a + b * b,
    scalar="hypot(x, y)", analytic=analytic.hypot,
)  # fmt: skip


def _turn(ct: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """ct * a / (a ** 2 + b ** 2)."""
    length = hypot(a, b)
    return absorb(ct, _ratio(_ratio(a, length), length))


atan2 = binary(
    "atan2", "The angle of the point (x2, x1), in (-pi, pi] (slope 0 at the origin)", np.arctan2,
    lambda g, y, a, b: _turn(g, b, a), lambda g, y, a, b: _turn(negative(g), a, b), floats=True,
    domains=("not zero", "not zero"), scalar="atan2(x, y)", analytic=analytic.atan2,
    branch=lambda a, b: np.where(np.real(b) < 0, a, a * a + b * b),
)  # fmt: skip


def _sinc_numpy(x: Any, order: int) -> Any:
    """The derivative of that order of sin(u) / u at u = pi x, by x.

    With f(u) = sin(u) / u, differentiating u f = sin u n times gives
    u f(n) + n f(n-1) = sin(u + n pi / 2), used forwards where it is stable; near 0 the series.
    """
    u = np.pi * x
    near = np.abs(u) < order + 1
    far = np.where(near, 1, u)
    y = np.sin(far) / far
    for n in range(1, order + 1):
        y = (np.sin(far + n * np.pi / 2) - n * y) / far
    small = np.where(near, u, 0)
    total = np.zeros_like(u)
    for k in range((order + 1) // 2, order + 16):
        scale = math.perm(2 * k, order) / math.factorial(2 * k + 1)
        total = total + (-1) ** k * scale * small ** (2 * k - order)
    return np.pi**order * np.where(near, total, y)


SINC = row(
    "sinc", "elementwise", lambda x, order: same(x), _sinc_numpy,
    per_input(lambda g, y, x, order: multiply(g, bind(SINC, x, order=order + 1))), analytic=True,
)  # fmt: skip


@elementwise("any")
def sinc(x: ArrayLike, /) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0, elementwise; any shape.  Smooth at 0 to every order.

    Raises TypeError for what is no numbers.
    """
    return bind(SINC, *operands("sinc", x, float_only=True), order=0)


# -- activations -----------------------------------------------------------------------------------


def _sigmoid_numpy(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _erf_numpy(x: Any) -> Any:
    return np.asarray(_math_erf(x), dtype=x.dtype)  # NumPy has none; the C library's is exact


_math_erf = np.frompyfunc(math.erf, 1, 1)

sigmoid = unary(
    "sigmoid", "1 / (1 + e ** -x), without overflow", _sigmoid_numpy,
    lambda g, y, a: multiply(g, multiply(y, subtract(1, y))), domain="any",
    scalar="sigmoid(x)", analytic=analytic.sigmoid,
)  # fmt: skip
softplus = unary(
    "softplus", "log(1 + e ** x), without overflow",
    lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    lambda g, y, a: multiply(g, _softplus_slope(a)), domain="any",
    scalar="maximum(x, 0.0) + log1p(exp(-abs(x)))",
    analytic=lambda x: np.where(np.real(x) >= 0, x, 0) + np.log1p(np.exp(-x * analytic.side(x))),
)  # fmt: skip


def _softplus_slope(a: Tensor) -> Tensor:
    """sigmoid(a), by its smaller half: where it rounds to 1 its own slope is not lost."""
    right = greater(a, 0)
    half = sigmoid(where(right, negative(a), a))
    return where(right, subtract(1, half), half)


erf = unary(
    "erf", "The error function", _erf_numpy,
    lambda g, y, a: multiply(g, multiply(2 / math.sqrt(math.pi), exp(negative(square(a))))),
    domain="any", scalar="erf(x)", analytic=analytic.erf, wide=analytic.erf,
)  # fmt: skip


@elementwise("any")
def log_sigmoid(x: ArrayLike, /) -> Tensor:
    """log(sigmoid(x)), without underflow, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return negative(softplus(negative(x)))


@elementwise("any")
def silu(x: ArrayLike, /) -> Tensor:
    """x * sigmoid(x), elementwise; any shape (Elfwing et al. 2018).

    Raises TypeError for what is no numbers.
    """
    (t,) = operands("silu", x, float_only=True)
    return multiply(t, sigmoid(t))


@elementwise("any")
def gelu(x: ArrayLike, /, *, approximate: bool = False) -> Tensor:
    """x times the normal distribution function at x, elementwise; any shape.

    Hendrycks and Gimpel 2016, section 2.
    approximate : its tanh form, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x ** 3))).

    Raises TypeError for an `approximate` that is no bool, or what is no numbers.
    """
    if not isinstance(approximate, (bool, np.bool_)):
        raise TypeError(f"gelu: approximate is True (the tanh form) or False; got {approximate!r}")
    (t,) = operands("gelu", x, float_only=True)
    if approximate:
        bend = multiply(t, add(1, multiply(0.044715, square(t))))
        turn = tanh(multiply(math.sqrt(2 / math.pi), bend))
    else:
        turn = erf(multiply(t, math.sqrt(0.5)))
    return multiply(multiply(0.5, t), add(1, turn))
