"""The table of primitives and what its rows are made with: one row per op, whatever file it is in.

Sits right above `graph`.
A row states an op's shape rule, its NumPy meaning and its vjp.
Axes are stored counted from the end, so that a leading row axis changes nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..graph import CONSTANT, Primitive, Shape, Tensor, constant
from . import facts

ArrayLike = Any  # a Tensor, an array, a (nested list of) Python number(s)
FLOAT = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)
TABLE: dict[str, Primitive] = {}  # every primitive by name
DECLARED: dict[str, Primitive] = {}  # the user's, by `mg.primitive`: the latest of each name


def name_of_ours(op: Primitive) -> str | None:
    """The op's name if it is a row of the table; a user's op may have the name of one of ours."""
    return op.name if TABLE.get(op.name) is op else None


def per_input(*rules: Callable[..., Tensor | None] | None) -> Callable[..., list[Tensor | None]]:
    """A vjp rule from one function `(ct, out, *inputs, **attrs)` per input.

    None: that input has no gradient.
    """

    def vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        found = [
            rule(ct, node, *node.inputs, **node.attrs) if want and rule else None
            for rule, want in zip(rules, wanted, strict=True)
        ]
        one = uniform(ct)
        return found if one is None or one != 1 else [_once(ct, g) for g in found]

    return vjp


def _once(ct: Tensor, g: Tensor | None) -> Tensor | None:
    """A slope times a cotangent of ones, as the slope."""
    times = g is not None and g.op.name in ("multiply", "absorb") and g.inputs[0] is ct
    return g.inputs[1] if g is not None and times else g


_REPEATS = frozenset(["broadcast_to", "reshape"])


def literal(value: Any, dtype: Any) -> Tensor:
    """A number that stands in a formula, as its own node: nobody takes a gradient by it."""
    t = constant(value, dtype)
    t.attrs["literal"] = True
    return t


def uniform(t: Tensor) -> Any:
    """The number, of t's dtype, that all elements of `t` are by the way it is written; or None.

    Only a `literal` counts, repeated, cast and moved: an array may be what a gradient is asked by.
    """
    while t.op.name in _REPEATS and TABLE.get(t.op.name) is t.op and t.size:
        t = t.inputs[0]
    if t.op is not CONSTANT or "literal" not in t.attrs or not t.size:
        return None
    return t._value.reshape(-1)[0]


def row(
    name: str, kind: str, shape: Any, numpy: Any, vjp: Any = None, *, analytic: Any = None,
    branch: Any = None, held: bool = False, wide: Any = None, **more: Any,
) -> Primitive:  # fmt: skip
    """Declare a primitive.

    more                         : what else a `Primitive` has.
    analytic, branch, held, wide : its `facts.Facts`, as `facts.state` takes them.
    """
    op = TABLE[name] = Primitive(name, kind, shape, numpy, vjp, **more)
    facts.state(op, analytic=analytic, branch=branch, held=held, wide=wide)
    return op


def movement_row(
    name: str, shape: Any, numpy: Any, *rules: Any, rows: Any, vjp: Any = None
) -> Primitive:
    vjp = vjp or (per_input(*rules) if rules else None)
    return row(name, "movement", shape, numpy, vjp, rows=rows, cheap=True, linear=True)


def same(*xs: Tensor, **_: Any) -> tuple[Shape, np.dtype]:
    return xs[0].shape, xs[0].dtype


def reduced(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    keep = [n for k, n in enumerate(x.shape) if k - x.ndim not in axis]
    return tuple(keep), x.dtype


def dtype_of(op: str, given: Any, default: np.dtype | None = None) -> np.dtype:
    """A dtype that a Tensor can have."""
    given = default if given is None else given
    try:
        dtype = np.dtype(given)
    except (TypeError, ValueError, RecursionError):
        raise TypeError(f"{op}: no dtype: {str(given)[:80]!r}") from None
    if given is None or dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(
            f"{op}: a Tensor holds floats, integers or booleans of at most 64 bits; got {dtype}"
        )
    return dtype


def integers_of(op: str, what: str, given: Any) -> tuple[int, ...]:
    """An integer or a sequence of them as a tuple."""
    many = isinstance(given, (tuple, list, range)) or (isinstance(given, np.ndarray) and given.ndim)
    try:
        return tuple(operator.index(n) for n in (given if many else (given,)))
    except TypeError:
        raise TypeError(f"{op}: {what} must be integer; got {given!r}") from None


def number_of(op: str, what: str, given: Any) -> int | float:
    """A finite number, of Python's."""
    one = isinstance(given, (np.number, np.ndarray)) and given.size == 1
    value = given.item() if one else given
    most = 2**63 if isinstance(value, int) else np.inf
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < most:
        raise ValueError(f"{op}: {what} must be a finite number; got {str(given)[:80]!r}")
    return value


def integer_of(op: str, what: str, given: Any) -> int:
    """One integer."""
    found = integers_of(op, what, given)
    if len(found) != 1 or not abs(found[0]) < 2**62:
        raise ValueError(f"{op}: {what} must be one integer; got {given!r}")
    return found[0]


def flag_of(op: str, what: str, given: Any) -> bool:
    """True or False, or a number that stands for one of these."""
    if not isinstance(given, (bool, np.bool_)) and not (isinstance(given, int) and given in (0, 1)):
        raise TypeError(f"{op}: {what} must be True or False; got {str(given)[:80]!r}")
    return bool(given)


def choice_of(op: str, what: str, given: Any, allowed: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(given, str) or given not in allowed:
        words = " or ".join(map(repr, allowed))
        raise ValueError(f"{op}: {what} is {words}; got {given!r}")
    return given


def axis_of(op: str, x: Tensor, axis: Any) -> int:
    """One axis, counted from the end."""
    found = axes_of(op, x, axis)
    if axis is None or len(found) != 1:
        raise TypeError(f"{op}: an axis is an integer; got {axis!r}")
    return found[0]


def shape_of(op: str, given: Any) -> tuple[int, ...]:
    """A shape (an int: of a vector), whose lengths are at least 0."""
    shape = integers_of(op, "the lengths of a shape", given)
    if any(not 0 <= n < 2**48 for n in shape):
        raise ValueError(
            f"{op}: a length of a shape is at least 0, and no more than memory holds; got {given}"
        )
    return shape


def named(f: Callable[..., Any], home: str | None = __package__) -> Callable[..., Any]:
    """`f` as users call it: an error out of what it is made of (`stack` of `expand_dims`) names it.

    home : the module that shows it, where pickle finds it.
    """
    name = f.__name__

    @wraps(f)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            text = str(error.args[0]) if error.args else ""
            match = _PREFIX.match(text)
            if match and match[1] != name and (match[1] in TABLE or match[1] in PUBLIC):
                inner = match[2] == "("  # a primitive, with what it was given
                error.args = (f"{name}: {text if inner else text[match.end() :]}", *error.args[1:])
            raise

    called.__module__, called.__qualname__ = str(home), name
    return called


_PREFIX = re.compile(r"(\w+)(: |\()")
PUBLIC: set[str] = set()  # the names of all functions of the package


def axes_of(op: str, x: Tensor, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """Axes as a sorted tuple counted from the end."""
    if axis is None:
        return tuple(range(-x.ndim, 0))
    try:
        given = [operator.index(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    except TypeError:
        raise TypeError(f"{op}: an axis is an integer; got {axis!r}") from None
    for a in given:
        if not -x.ndim <= a < x.ndim:
            raise ValueError(f"{op}: axis {a} is out of range for shape {x.shape}")
    out = tuple(sorted(a - x.ndim if a >= 0 else a for a in given))
    if len(set(out)) < len(out):
        raise ValueError(f"{op}: an axis is given twice in {axis}")
    return out
