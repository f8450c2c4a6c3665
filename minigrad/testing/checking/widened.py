"""Every op in other number types: on complex numbers, and in floats wider than 64 bits.

Tables for `tape`: `ANALYTIC` (the op's meaning on complex numbers), `REAL` (on wide floats, where
NumPy's own function rounds), `GAPS` (where an op may have a kink, a jump or an infinite slope).
Piecewise ops take the branch of the real part, so that a complex step sees the same function as
real steps do.  An op that is not listed is never given a complex number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops.table import TABLE


def _cast(x: Any, dtype: np.dtype) -> Any:
    """`astype` without rounding: a cast between floats is the identity to a slope."""
    return x if dtype.kind == "f" and np.asarray(x).dtype.kind in "fc" else np.asarray(x, dtype)


def _on_real(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs, **attrs: f(*[np.real(x) for x in xs], **attrs)


def _within(f: Callable[..., Any], low: float, high: float = np.inf) -> Callable[..., Any]:
    """`f`, NaN where the real function is: a complex logarithm is defined below 0, too."""
    return lambda x: np.where((np.real(x) >= low) & (np.real(x) <= high), f(x), np.nan)


def _chosen(first: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def choose(a: Any, b: Any) -> Any:
        return np.where(np.isnan(np.real(a)) | first(np.real(a), np.real(b)), a, b)

    return choose


def _max(x: Any, axis: Any) -> Any:
    top = np.real(x) == np.max(np.real(x), axis=axis, keepdims=True)
    return np.sum(np.where(top, x, 0), axis=axis) / np.sum(top, axis=axis)


def _power(a: Any, b: Any) -> Any:
    """a ** b through a positive base: the logarithm of a negative one has an imaginary part."""
    n = np.real(b)
    even = np.where(n % 2 == 0, 1, np.where(n % 1 == 0, -1, np.nan))
    low = np.real(a) < 0
    even = np.where(np.imag(b) == 0, even, np.nan)  # real numbers have no slope that way
    at_zero = np.where(n == 0, 1, np.where(n == 1, a, np.where(n > 1, 0, np.nan)))
    y = np.power(np.where(low, -a, np.where(np.real(a) == 0, 1, a)) + 0j, b)
    return np.where(np.real(a) == 0, at_zero, np.where(low, even * y, y))


def _sigmoid(x: Any) -> Any:
    e = np.exp(np.where(np.real(x) >= 0, -x, x))
    return np.where(np.real(x) >= 0, 1 / (1 + e), e / (1 + e))


def _tanh(x: Any) -> Any:
    e = np.exp(np.where(np.real(x) >= 0, -2 * x, 2 * x))  # the library's overflows far out
    y = (1 - e) / (1 + e)
    near = np.abs(np.real(x)) < 1
    return np.where(near, np.tanh(np.where(near, x, 0)), np.where(np.real(x) >= 0, y, -y))


def _sign(x: Any) -> Any:
    return np.where(np.real(x) < 0, -1, 1)


def _erf(x: Any) -> Any:
    """Near 0 the series 2x/sqrt(pi) exp(-x^2) sum (2x^2)^n / (2n+1)!! (Abramowitz and Stegun
    7.1.6), whose terms are all positive; far out 1 - erfc(x) by its continued fraction (7.1.14)."""
    side = _sign(x)
    size = np.real(x * side)
    pi = 4 * np.arctan(np.ones((), np.real(x).dtype))
    near, far = np.where(size < 3, x, 0), np.where(size < 3, 3, x * side)
    term = total = np.ones_like(near)
    for n in range(1, 90):
        term = term * (2 * near * near) / (2 * n + 1)
        total = total + term
    tail = far
    for n in range(150, 0, -1):
        tail = far + 0.5 * n / tail
    series = 2 * near / np.sqrt(pi) * np.exp(-near * near) * total
    return np.where(size < 3, series, side * (1 - np.exp(-far * far) / (np.sqrt(pi) * tail)))


def _logaddexp(a: Any, b: Any) -> Any:
    high, low = np.where(a.real >= b.real, a, b), np.where(a.real >= b.real, b, a)
    return np.where(np.isinf(low.real), high, high + np.log1p(np.exp(low - high)))


def _hypot(a: Any, b: Any) -> Any:
    size = np.fmax(np.abs(np.real(a)), np.abs(np.real(b)))
    size = np.where(size > 0, size, 1)
    return size * np.sqrt((a / size) ** 2 + (b / size) ** 2)


def _atan2(a: Any, b: Any) -> Any:
    wide = np.abs(np.real(b)) >= np.abs(np.real(a))
    pi = 4 * np.arctan(np.ones((), np.real(a).dtype))
    turn = np.where(np.real(b) < 0, np.copysign(pi, np.real(a)), 0)
    near = np.arctan(np.where(wide, a, 0) / np.where(wide & (np.real(b) != 0), b, 1)) + turn
    return np.where(
        wide, near, np.copysign(pi / 2, np.real(a)) - np.arctan(b / np.where(wide, 1, a))
    )


# The analytic ops, each with its meaning on complex numbers; None: NumPy's function as it is.
ANALYTIC: dict[str, Callable[..., Any] | None] = dict.fromkeys(
    "add subtract multiply divide negative identity square exp exp2 expm1 sin cos tan sinh cosh "
    "sinc asinh atan einsum sum absorb reshape broadcast_to permute_dims slice place concat take "
    "scatter stop_gradient norm linear_recurrence cumulative_sum cumulative_prod prod".split()
)
ANALYTIC |= {
    "log": _within(np.log, 0), "log2": _within(np.log2, 0), "log10": _within(np.log10, 0),
    "log1p": _within(np.log1p, -1), "sqrt": _within(np.sqrt, 0),
    "asin": _within(np.arcsin, -1, 1), "acos": _within(np.arccos, -1, 1),
    "acosh": _within(np.arccosh, 1), "atanh": _within(np.arctanh, -1, 1),
    "pow": _power, "xlogy": lambda a, b: np.where(a == 0, 0, a * _within(np.log, 0)(b)),
    "logaddexp": _logaddexp, "hypot": _hypot, "atan2": _atan2, "erf": _erf,
    "softplus": lambda x: np.where(np.real(x) >= 0, x, 0) + np.log1p(np.exp(-x * _sign(x))),
    "sigmoid": _sigmoid, "tanh": _tanh, "max": _max,
    "abs": lambda x: x * _sign(x), "relu": lambda x: np.where(np.real(x) > 0, x, 0 * x),
    "maximum": _chosen(np.greater_equal), "minimum": _chosen(np.less_equal),
    "copysign": lambda a, b: a * _sign(a) * np.copysign(1, np.real(b)),
    "remainder": lambda a, b: a - b * np.floor(np.real(a) / np.real(b)),
    "where": lambda c, a, b: np.where(np.real(c) != 0, a, b),
    "astype": _cast,
}  # fmt: skip
_FLAT = (  # piecewise constant: their value depends on real parts only
    "sign floor ceil trunc round floor_divide argmax argmin equal not_equal less less_equal "
    "greater greater_equal logical_and logical_or logical_xor logical_not "
    "isnan isinf isfinite signbit any all argsort searchsorted"
)
for _name in _FLAT.split():
    if _name in TABLE:
        ANALYTIC[_name] = _on_real(TABLE[_name].numpy)


def _top_gap(x: Any, axis: Any) -> Any:
    """Distance to the maximum; a maximum that stands alone is no tie."""
    top = _max(x, axis)
    gap = x - np.reshape(top, [1 if k - x.ndim in axis else n for k, n in enumerate(x.shape)])
    alone = np.sum(np.real(gap) == 0, axis=axis, keepdims=True) <= 1
    return np.where(alone & (np.real(gap) == 0), 1, gap)


def _neighbours(x: Any, axis: int, descending: bool) -> Any:
    """Distances of neighbours in sorted order."""
    order = np.argsort(np.real(x), axis=axis)
    return np.diff(np.take_along_axis(x, order, axis), axis=axis)


def _self(x: Any) -> Any:
    return x


def _difference(a: Any, b: Any) -> Any:
    return np.subtract(a, b)


BY_SIDES = (_self, _difference)  # gaps at which one operand is 0, or two are equal


def _to_integer(x: Any) -> Any:
    """Distance to an integer; past a million, steps are too coarse to look for jumps."""
    return np.where(np.abs(np.real(x)) < 1e6, x - np.rint(np.real(x)), 1)


REAL = {"astype": _cast, "erf": _erf}  # also without rounding to 64 bits in wide real numbers
HELD = frozenset({"stop_gradient", "nextafter"})  # documented to be constants to a derivative


def _whole_ratio(a: Any, b: Any) -> Any:
    return _to_integer(a / b)


# Where a function may have a kink, a jump or an infinite slope: at the zeros of these.
GAPS: dict[str, Callable[..., Any]] = (
    dict.fromkeys("abs relu sign sqrt log log2 log10 cbrt logical_not".split(), _self)
    | dict.fromkeys(
        "maximum minimum equal not_equal less less_equal greater greater_equal".split(),
        _difference,
    )
    | dict.fromkeys("floor ceil trunc".split(), _to_integer)
    | dict.fromkeys("floor_divide remainder".split(), _whole_ratio)
    | dict.fromkeys("asin acos atanh".split(), lambda x: 1 - x * x)
    | {
        "acosh": lambda x: x - 1, "log1p": lambda x: x + 1, "max": _top_gap,
        "divide": lambda a, b: b, "pow": lambda a, b: a, "xlogy": lambda a, b: b,
        "hypot": lambda a, b: a * a + b * b, "argsort": _neighbours,
        "norm": lambda x, axis: np.sum(x * x, axis=axis),
        "atan2": lambda a, b: np.where(np.real(b) < 0, a, a * a + b * b),
        "copysign": lambda a, b: np.stack(np.broadcast_arrays(a, b)),
        "round": lambda x: _to_integer(x + 0.5),
    }
)  # fmt: skip
