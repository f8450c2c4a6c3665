"""Ops on complex numbers, and where they branch: what `Facts` of rows refer to.

A complex step through a function gives its slope to the last digit,
if the function is continued to complex numbers as it is meant on real ones:
piecewise ops take the branch of the real part, and are NaN where the real function is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# -- meanings on complex numbers -------------------------------------------------------------------


def cast(x: Any, dtype: np.dtype) -> Any:
    """`astype` without rounding: a cast between floats is the identity to a slope."""
    return x if dtype.kind == "f" and np.asarray(x).dtype.kind in "fc" else np.asarray(x, dtype)


def within(f: Callable[..., Any], low: float, high: float = np.inf) -> Callable[..., Any]:
    """`f`, NaN where the real function is: a complex logarithm is defined below 0, too."""
    return lambda x: np.where((np.real(x) >= low) & (np.real(x) <= high), f(x), np.nan)


def chosen(first: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def choose(a: Any, b: Any) -> Any:
        return np.where(np.isnan(np.real(a)) | first(np.real(a), np.real(b)), a, b)

    return choose


def side(x: Any) -> Any:
    return np.where(np.real(x) < 0, -1, 1)


def maximum_along(x: Any, axis: Any) -> Any:
    top = np.real(x) == np.max(np.real(x), axis=axis, keepdims=True)
    return np.sum(np.where(top, x, 0), axis=axis) / np.sum(top, axis=axis)


def power(a: Any, b: Any) -> Any:
    """a ** b through a positive base: the logarithm of a negative one has an imaginary part."""
    n = np.real(b)
    even = np.where(n % 2 == 0, 1, np.where(n % 1 == 0, -1, np.nan))
    low = np.real(a) < 0
    even = np.where(np.imag(b) == 0, even, np.nan)  # real numbers have no slope that way
    zero = np.where(n == 0, 1, np.where(n == 1, a, np.where(n > 1, 0, np.nan)))
    y = np.power(np.where(low, -a, np.where(np.real(a) == 0, 1, a)) + 0j, b)
    return np.where(np.real(a) == 0, zero, np.where(low, even * y, y))


def sigmoid(x: Any) -> Any:
    e = np.exp(np.where(np.real(x) >= 0, -x, x))
    return np.where(np.real(x) >= 0, 1 / (1 + e), e / (1 + e))


def tanh(x: Any) -> Any:
    e = np.exp(np.where(np.real(x) >= 0, -2 * x, 2 * x))  # the library's overflows far out
    y = (1 - e) / (1 + e)
    near = np.abs(np.real(x)) < 1
    return np.where(near, np.tanh(np.where(near, x, 0)), np.where(np.real(x) >= 0, y, -y))


def erf(x: Any) -> Any:
    """Near 0 a series whose terms are all positive, far out 1 - erfc(x) by its continued fraction.

        2x / sqrt(pi) exp(-x^2) sum (2x^2)^n / (2n+1)!!        Abramowitz and Stegun, 7.1.6; 7.1.14
    """
    sign = side(x)
    size = np.real(x * sign)
    pi = 4 * np.arctan(np.ones((), np.real(x).dtype))
    near, far = np.where(size < 3, x, 0), np.where(size < 3, 3, x * sign)
    term = total = np.ones_like(near)
    for n in range(1, 90):
        term = term * (2 * near * near) / (2 * n + 1)
        total = total + term
    tail = far
    for n in range(150, 0, -1):
        tail = far + 0.5 * n / tail
    series = 2 * near / np.sqrt(pi) * np.exp(-near * near) * total
    return np.where(size < 3, series, sign * (1 - np.exp(-far * far) / (np.sqrt(pi) * tail)))


def logaddexp(a: Any, b: Any) -> Any:
    high, low = np.where(a.real >= b.real, a, b), np.where(a.real >= b.real, b, a)
    return np.where(np.isinf(low.real), high, high + np.log1p(np.exp(low - high)))


def hypot(a: Any, b: Any) -> Any:
    size = np.fmax(np.abs(np.real(a)), np.abs(np.real(b)))
    size = np.where(size > 0, size, 1)
    return size * np.sqrt((a / size) ** 2 + (b / size) ** 2)


def atan2(a: Any, b: Any) -> Any:
    wide = np.abs(np.real(b)) >= np.abs(np.real(a))
    pi = 4 * np.arctan(np.ones((), np.real(a).dtype))
    turn = np.where(np.real(b) < 0, np.copysign(pi, np.real(a)), 0)
    near = np.arctan(np.where(wide, a, 0) / np.where(wide & (np.real(b) != 0), b, 1)) + turn
    return np.where(
        wide, near, np.copysign(pi / 2, np.real(a)) - np.arctan(b / np.where(wide, 1, a))
    )


# -- numbers that are 0 at a branch point ----------------------------------------------------------


def at_zero(x: Any) -> Any:
    return x


def at_equality(a: Any, b: Any) -> Any:
    return np.subtract(a, b)


def to_integer(x: Any) -> Any:
    """Distance to an integer; past a million, steps are too coarse to look for jumps."""
    return np.where(np.abs(np.real(x)) < 1e6, x - np.rint(np.real(x)), 1)


def whole_ratio(a: Any, b: Any) -> Any:
    return to_integer(a / b)


def from_the_top(x: Any, axis: Any) -> Any:
    """Distance to the maximum; a maximum that stands alone is no tie."""
    top = maximum_along(x, axis)
    gap = x - np.reshape(top, [1 if k - x.ndim in axis else n for k, n in enumerate(x.shape)])
    alone = np.sum(np.real(gap) == 0, axis=axis, keepdims=True) <= 1
    return np.where(alone & (np.real(gap) == 0), 1, gap)


def between_neighbours(x: Any, axis: int, descending: bool) -> Any:
    """Distances of neighbours in sorted order."""
    order = np.argsort(np.real(x), axis=axis)
    return np.diff(np.take_along_axis(x, order, axis), axis=axis)


BY_SIDES = (at_zero, at_equality)  # where one operand is 0, or two are equal
