"""Elementwise ops: arithmetic, comparison, choice, rounding.  Those of analysis are in `functions`.

Each op is declared once, by `unary` or `binary`: its name, its meaning,
and per input one rule `(ct, out, *inputs) -> cotangent`.
An op without rules has derivative zero wherever it has one (`floor`, `sign`, comparisons).

Conventions:
integers and booleans enter floating-point functions as float64;
at a tie the sides of `maximum` and `minimum` get half the gradient each;
0 * inf is 0 in a derivative where the incoming cotangent is exactly 0 (`absorb`),
so `where(x > 0, sqrt(x), 0)` has gradient 0 at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import IDENTITY, Shape, Tensor, bind
from . import analytic, facts
from .arrays import asarray, astype
from .broadcast import broadcast_to, operands
from .creation import zeros_like
from .facts import elementwise
from .table import BOOL, TABLE, ArrayLike, literal, per_input, row, same

__all__ = [
    "abs", "add", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "ceil", "clip", "copysign", "divide", "equal", "floor",
    "floor_divide", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "multiply",
    "nan_to_num", "negative", "nextafter", "not_equal", "positive", "reciprocal", "relu",
    "remainder", "round", "sign", "signbit", "sqrt", "square", "stop_gradient", "subtract", "trunc",
    "where",
]  # fmt: skip


# -- how an op is declared -------------------------------------------------------------------------


def _elementwise(
    name: str, numpy: Any, rules: Sequence[Any], shape: Any, domains: Sequence[str] = (),
    ufunc: Any = None, **more: Any,
) -> Any:  # fmt: skip
    ufunc = numpy if ufunc is None and isinstance(numpy, np.ufunc) else ufunc
    facts.ELEMENTWISE[name] = facts.Elementwise(ufunc, tuple(domains), any(rules))
    return row(name, "elementwise", shape, numpy, per_input(*rules) if any(rules) else None, **more)


def unary(
    name: str, doc: str, numpy: Any, rule: Any = None, *, domain: str = "", floats: bool = True,
    shape: Any = same, **more: Any,
) -> Callable[[ArrayLike], Tensor]:  # fmt: skip
    """Declare an op of one operand.

    numpy  : its meaning; `ufunc`: the function of NumPy that records it, if that is another.
    rule   : (ct, out, x) -> the cotangent of x; None: its slope is 0 wherever it has one.
    domain : where it is smooth by a margin, in the words of `testing.examples.domains`:
             what samples and random expressions take for it; "": none is drawn.
    floats : integers enter as float64.
    more   : of the `Primitive` (scalar, cheap, linear) and of its `Facts` (analytic, branch, ...).
    """
    op = _elementwise(name, numpy, [rule], shape, [domain] if domain else [], **more)

    def f(x: ArrayLike, /) -> Tensor:
        return bind(op, *operands(name, x, float_only=floats))

    f.__name__ = f.__qualname__ = name
    weak = "Integers and booleans enter as float64.\n" if floats else ""
    raised = f"{weak}Raises TypeError for what is no numbers."
    f.__doc__ = f"{doc}, elementwise; any shape.\n\n{raised}"
    return f


def binary(
    name: str, doc: str, numpy: Any, left: Any = None, right: Any = None, *,
    domains: Sequence[str] = (), floats: bool = False, shape: Any = same, cast: Any = None,
    **more: Any,
) -> Callable[[ArrayLike, ArrayLike], Tensor]:  # fmt: skip
    """Declare an op of two operands, which are broadcast and promoted, as `unary` does.

    left, right : (ct, out, x1, x2) -> the cotangents.
    domains     : one per operand.
    cast        : the dtype that both are made.
    """
    op = _elementwise(name, numpy, [left, right], shape, domains, **more)

    def f(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
        pair = operands(name, x1, x2, float_only=floats)
        return bind(op, *(pair if cast is None else [astype(t, cast) for t in pair]))

    f.__name__ = f.__qualname__ = name
    weak = "Integers and booleans enter as float64.\n" if floats else ""
    raised = f"{weak}Raises ValueError for other shapes, TypeError for what is no numbers."
    f.__doc__ = f"{doc}, elementwise; shapes broadcast, dtypes promote as in NumPy.\n\n{raised}"
    return f


def numbers(*xs: Tensor) -> tuple[Shape, np.dtype]:
    if xs[0].dtype == BOOL:
        raise TypeError("booleans are not numbers; use ~, != or mg.astype")
    return same(*xs)


def _whole(*xs: Tensor) -> tuple[Shape, np.dtype]:
    if xs[0].dtype.kind not in "iu":
        raise TypeError(f"bits are shifted in integers; got {xs[0].dtype}")
    return same(*xs)


def _integers(*xs: Tensor) -> tuple[Shape, np.dtype]:
    if xs[0].dtype.kind == "f":
        raise TypeError("bits are those of integers and booleans; compare first, as in (t > 0)")
    return same(*xs)


def _truth(*xs: Tensor) -> tuple[Shape, np.dtype]:
    return xs[0].shape, BOOL


def pick(ct: Tensor, mask: Tensor) -> Tensor:
    """ct where the mask holds, else exactly 0."""
    return where(mask, ct, zeros_like(ct))


# -- arithmetic ------------------------------------------------------------------------------------


def _sum_arrays(*xs: Any) -> Any:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


ADD = row(
    "add", "elementwise", same, _sum_arrays, lambda ct, node, wanted: [ct] * len(wanted),
    cheap=True, linear=True, scalar="x + y",
)  # n-ary: also the sum of several cotangents  # fmt: skip


@elementwise("any", "any", ufunc=np.add)
def add(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 + x2, elementwise; shapes broadcast, dtypes promote as in NumPy.

    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    return bind(ADD, *operands("add", x1, x2))


def add_n(xs: Sequence[Tensor]) -> Tensor:
    """The sum of several Tensors of one shape and dtype, as one node."""
    return xs[0] if len(xs) == 1 else bind(ADD, *xs)


subtract = binary(
    "subtract", "x1 - x2", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: negative(g),
    domains=("any", "any"), shape=numbers, cheap=True, linear=True, scalar="x - y",
)  # fmt: skip
multiply = binary(
    "multiply", "x1 * x2", np.multiply,
    lambda g, y, a, b: multiply(g, b), lambda g, y, a, b: multiply(g, a),
    domains=("any", "any"), analytic=True, cheap=True, scalar="x * y",
)  # fmt: skip
absorb = binary(
    "absorb", "x1 * x2, and 0 wherever x1 is exactly 0 (the product of singular rules)",
    lambda a, b: np.where(a == 0, a, a * b),  # a == 0 keeps a's dtype and zero
    lambda g, y, a, b: absorb(g, b),
    lambda g, y, a, b: absorb(pick(g, not_equal(a, 0)), a),  # g may be the infinite one
    analytic=True, cheap=True, scalar="where(equal(x, 0.0), x, x * y)",
)  # fmt: skip
divide = binary(
    "divide", "x1 / x2", np.divide, lambda g, y, a, b: absorb(g, divide(1, b)),
    lambda g, y, a, b: absorb(negative(g), divide(y, b)), domains=("any", "not zero"), floats=True,
    cheap=True, scalar="x / y", analytic=True, branch=lambda a, b: b,
)  # fmt: skip
floor_divide = binary(
    "floor_divide", "x1 / x2 rounded down (slope 0)", np.floor_divide, shape=numbers,
    scalar="floor_divide(x, y)",
    branch=analytic.whole_ratio,
)  # fmt: skip
remainder = binary(
    "remainder", "x1 - x2 * floor(x1 / x2), with the sign of x2", np.remainder,
    lambda g, y, a, b: g, lambda g, y, a, b: absorb(negative(g), floor_divide(a, b)),
    domains=("not whole", "one"), shape=numbers, branch=analytic.whole_ratio,
    scalar="remainder(x, y)",
    analytic=lambda a, b: a - b * np.floor(np.real(a) / np.real(b)),
)  # fmt: skip
negative = unary(
    "negative", "-x", np.negative, lambda g, y, a: negative(g),
    domain="any", floats=False, shape=numbers, cheap=True, linear=True, scalar="-x",
)  # fmt: skip
TABLE[IDENTITY.name] = IDENTITY
facts.state(IDENTITY)


@elementwise("any", ufunc=np.positive)
def positive(x: ArrayLike, /) -> Tensor:
    """+x: x itself, as a node of its own, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return bind(IDENTITY, asarray(x))


stop_gradient = unary(
    "stop_gradient", "x, as a constant to every derivative", lambda x: x,
    domain="any", floats=False, cheap=True, scalar="x", analytic=True, held=True,
)  # fmt: skip
square = unary(
    "square", "x * x", np.square, lambda g, y, a: multiply(g, multiply(2, a)),
    domain="any", floats=False, shape=numbers, cheap=True, scalar="x * x", analytic=True,
)  # fmt: skip
sqrt = unary(
    "sqrt", "The square root", np.sqrt, lambda g, y, a: absorb(g, divide(0.5, y)),
    domain="positive", scalar="sqrt(x)", branch=analytic.at_zero,
    analytic=analytic.within(np.sqrt, 0),
)  # fmt: skip
abs = unary(
    "abs", "|x|, with slope 0 at 0", np.abs, lambda g, y, a: multiply(g, sign(a)),
    domain="not zero", floats=False, scalar="abs(x)", branch=analytic.at_zero,
    analytic=lambda x: x * analytic.side(x),
)  # fmt: skip
sign = unary(
    "sign", "The sign of x (slope 0)", np.sign, domain="not zero", floats=False, shape=numbers,
    branch=analytic.at_zero,
    scalar="where(x > 0.0, 1.0, where(x < 0.0, -1.0, x * 0.0))",
)  # fmt: skip


@elementwise("not zero")
def reciprocal(x: ArrayLike, /) -> Tensor:
    """1 / x, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return divide(1, x)


# -- rounding --------------------------------------------------------------------------------------

floor = unary(
    "floor", "x rounded down (slope 0)", np.floor, domain="not whole", floats=False,
    scalar="floor(x)", branch=analytic.to_integer,
)  # fmt: skip
ceil = unary(
    "ceil", "x rounded up (slope 0)", np.ceil, domain="not whole", floats=False,
    scalar="ceil(x)", branch=analytic.to_integer,
)  # fmt: skip
trunc = unary(
    "trunc", "x rounded towards 0 (slope 0)", np.trunc, domain="not whole", floats=False,
    scalar="trunc(x)", branch=analytic.to_integer,
)  # fmt: skip
round = unary(
    "round", "x rounded, halves to even (slope 0)", np.round, domain="not whole", floats=False,
    scalar="rint(x)", shape=numbers, ufunc=np.rint,
    branch=lambda x: analytic.to_integer(x + 0.5),
)  # fmt: skip
nextafter = binary(
    "nextafter", "The next number after x1 towards x2 (slope 0)", np.nextafter, floats=True,
    held=True, scalar="nextafter(x, y)",
)  # fmt: skip
copysign = binary(
    "copysign", "|x1| with the sign of x2 (slope 0 by x2, and at x1 = 0)", np.copysign,
    lambda g, y, a, b: multiply(g, multiply(sign(a), sign(y))), floats=True,
    domains=("not zero", "not zero"), scalar="copysign(x, y)",
    branch=lambda a, b: np.stack(np.broadcast_arrays(a, b)),
    analytic=lambda a, b: a * analytic.side(a) * np.copysign(1, np.real(b)),
)  # fmt: skip


# -- choice ----------------------------------------------------------------------------------------


def _tie(ct: Tensor, wins: Tensor, a: Tensor, b: Tensor) -> Tensor:
    half = multiply(ct, 0.5)  # a choice, no product: 0 times what may be infinite would be NaN
    return where(equal(a, b), half, pick(ct, wins))


relu = unary(
    "relu", "max(x, 0), with slope 0 at 0", lambda x: np.maximum(x, 0),
    lambda g, y, a: pick(g, greater(a, 0)), domain="not zero", floats=False, shape=numbers,
    scalar="maximum(x, 0.0)", branch=analytic.at_zero,
    analytic=lambda x: np.where(np.real(x) > 0, x, 0 * x),
)  # fmt: skip
maximum = binary(
    "maximum", "The larger of x1 and x2 (NaN propagates; at a tie each gets half the gradient)",
    np.maximum, lambda g, y, a, b: _tie(g, greater(a, b), a, b),
    lambda g, y, a, b: _tie(g, greater(b, a), a, b), scalar="maximum(x, y)",
    domains=("not whole", "whole"), branch=analytic.at_equality,
    analytic=analytic.chosen(np.greater_equal),
)  # fmt: skip
minimum = binary(
    "minimum", "The smaller of x1 and x2 (NaN propagates; at a tie each gets half the gradient)",
    np.minimum, lambda g, y, a, b: _tie(g, less(a, b), a, b),
    lambda g, y, a, b: _tie(g, less(b, a), a, b), scalar="minimum(x, y)",
    domains=("not whole", "whole"), branch=analytic.at_equality,
    analytic=analytic.chosen(np.less_equal),
)  # fmt: skip
WHERE = _elementwise(
    "where", np.where,
    [None, lambda g, y, c, a, b: pick(g, c), lambda g, y, c, a, b: where(c, zeros_like(g), g)],
    lambda c, a, b: (a.shape, a.dtype), cheap=True, scalar="where(x, y, z)",
    analytic=lambda c, a, b: np.where(np.real(c) != 0, a, b),
)  # fmt: skip


def where(condition: ArrayLike, x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 where the condition holds, else x2; the side not taken gets gradient exactly 0.

    Shapes broadcast; dtypes of x1 and x2 promote.
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    a, b = operands("where", x1, x2)
    known = isinstance(condition, bool)  # written as a number is, not an array that holds it
    c = literal(condition, BOOL) if known else astype(condition, BOOL)
    try:
        shape = np.broadcast_shapes(c.shape, a.shape)
    except ValueError:
        raise ValueError(
            f"where: shapes {c.shape} and {a.shape} do not broadcast to one shape"
        ) from None
    return bind(WHERE, *(broadcast_to(t, shape) for t in (c, a, b)))


def clip(x: ArrayLike, /, min: ArrayLike = None, max: ArrayLike = None) -> Tensor:
    """x kept within [min, max]; shapes broadcast.

    Exactly at a bound the slope is 1/2 (a tie of maximum or minimum).
    Raises ValueError for shapes that do not broadcast, TypeError for what is no numbers.
    """
    t = asarray(x)
    t = t if min is None else maximum(t, min)
    return t if max is None else minimum(t, max)


@elementwise("any")
def nan_to_num(
    x: ArrayLike, /, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with NaN and the infinities replaced; those get gradient 0.

    nan, posinf, neginf : by what; default 0 and the dtype's largest numbers.

    Any shape.  Raises TypeError for what is no numbers.
    """
    t = asarray(x)
    if t.dtype.kind != "f":
        return t
    top = np.finfo(t.dtype).max
    t = where(isnan(t), nan, t)
    t = where(equal(t, np.inf), top if posinf is None else posinf, t)
    return where(equal(t, -np.inf), -top if neginf is None else neginf, t)


# -- comparison and logic --------------------------------------------------------------------------


def _test(name: str, doc: str, numpy: Any, scalar: str | None, **more: Any) -> Any:
    return binary(
        name, doc, numpy, shape=_truth, cheap=True, scalar=scalar, branch=analytic.at_equality,
        **more,
    )  # fmt: skip


equal = _test("equal", "x1 == x2", np.equal, "equal(x, y)")
not_equal = _test("not_equal", "x1 != x2", np.not_equal, "differs(x, y)")
less = _test("less", "x1 < x2", np.less, "x < y")
less_equal = _test("less_equal", "x1 <= x2", np.less_equal, "x <= y")
greater = _test("greater", "x1 > x2", np.greater, "x > y")
greater_equal = _test("greater_equal", "x1 >= x2", np.greater_equal, "x >= y")
logical_and = _test("logical_and", "x1 and x2", np.logical_and, "x & y", cast=BOOL)
logical_or = _test("logical_or", "x1 or x2", np.logical_or, "x | y", cast=BOOL)
logical_xor = _test(
    "logical_xor", "x1 or x2, not both", np.logical_xor, "(x & ~y) | (~x & y)", cast=BOOL
)
isnan = unary(
    "isnan", "Whether x is NaN", np.isnan, floats=False, shape=_truth, cheap=True,
    scalar="differs(x, x)",
)  # fmt: skip
isinf = unary(
    "isinf", "Whether x is infinite", np.isinf, floats=False, shape=_truth, cheap=True,
    scalar="equal(abs(x), inf)",
)  # fmt: skip
isfinite = unary(
    "isfinite", "Whether x is neither NaN nor infinite", np.isfinite, floats=False, shape=_truth,
    cheap=True, scalar="abs(x) < inf",
)  # fmt: skip
signbit = unary(
    "signbit", "Whether the sign bit of x is set", np.signbit, shape=_truth, cheap=True,
    scalar="copysign(1.0, x) < 0.0",
)  # fmt: skip
LOGICAL_NOT = _elementwise(
    "logical_not", np.logical_not, [None], _truth, cheap=True, scalar="~x",
    branch=analytic.at_zero,
)  # fmt: skip


def logical_not(x: ArrayLike, /) -> Tensor:
    """not x, elementwise; any shape.

    Raises TypeError for what is no numbers.
    """
    return bind(LOGICAL_NOT, astype(x, BOOL))


def _bits(name: str, doc: str, numpy: Any, shape: Any = _integers) -> Any:
    of = "integers or booleans" if shape is _integers else "integers"
    return binary(name, f"{doc} of {of}", numpy, shape=shape)


bitwise_and = _bits("bitwise_and", "x1 & x2", np.bitwise_and)
bitwise_or = _bits("bitwise_or", "x1 | x2", np.bitwise_or)
bitwise_xor = _bits("bitwise_xor", "x1 ^ x2", np.bitwise_xor)
bitwise_left_shift = _bits("bitwise_left_shift", "x1 << x2", np.left_shift, _whole)
bitwise_right_shift = _bits("bitwise_right_shift", "x1 >> x2", np.right_shift, _whole)
bitwise_invert = unary(
    "bitwise_invert", "~x of integers or booleans", np.invert, floats=False, shape=_integers
)
