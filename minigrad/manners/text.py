"""How operators are written: their signs, how tightly these bind, and where brackets stand.

Shared by what writes Python (`printing.expression`, `printing.spellings`), by `printing.javascript`
and, where mathematics has no other sign, by `printing.latex`.
Brackets stand where the reader, Python or a mathematician, would otherwise group in another way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

COMPARES, ADDS, MULTIPLIES, NEGATES, RAISES, WHOLE = range(6)  # how tightly, as in Python


class Form(NamedTuple):
    """How an op is written.

    A template over its operands, how tightly that binds,
    and how tightly each operand must bind to stand without brackets.
    """

    text: str
    binds: int
    needs: tuple[int, ...]


def _sides(plain: str, tex: str, binds: int, *needs: int) -> tuple[Form, Form]:
    return Form(plain, binds, needs), Form(tex, binds, needs)


def _call(plain: str, tex: str, binds: int = WHOLE) -> tuple[Form, Form]:
    """Operands within brackets of its own."""
    return Form(plain, WHOLE, (COMPARES,)), Form(tex, binds, (COMPARES,))


FORMS: dict[str, tuple[Form, Form]] = {  # (plain, tex)
    "subtract": _sides("{} - {}", "{} - {}", ADDS, ADDS, MULTIPLIES),
    "multiply": _sides("{} * {}", r"{} \odot {}", MULTIPLIES, MULTIPLIES, NEGATES),
    "absorb": _sides("{} * {}", r"{} \odot {}", MULTIPLIES, MULTIPLIES, NEGATES),
    "divide": (
        Form("{} / {}", MULTIPLIES, (MULTIPLIES, NEGATES)),
        Form(r"\frac{{{}}}{{{}}}", RAISES, (COMPARES, COMPARES)),
    ),
    "negative": _sides("-{}", "-{}", NEGATES, NEGATES),
    "pow": (
        Form("{} ** {}", RAISES, (WHOLE, NEGATES)), Form("{}^{{{}}}", RAISES, (WHOLE, COMPARES))
    ),
    "square": _sides("{} ** 2", "{}^{{2}}", RAISES, WHOLE),
    "exp": _call("exp({})", r"e^{{{}}}", RAISES),
    "log": _call("log({})", r"\log\left({}\right)"),
    "tanh": _call("tanh({})", r"\tanh\left({}\right)"),
    "sigmoid": _call("sigmoid({})", r"\sigma\left({}\right)"),
    "sqrt": _call("sqrt({})", r"\sqrt{{{}}}"),
    "abs": _call("abs({})", r"\left|{}\right|"),
    "floor": _call("floor({})", r"\left\lfloor {} \right\rfloor"),
    "ceil": _call("ceil({})", r"\left\lceil {} \right\rceil"),
    "equal": _sides("{} == {}", "{} = {}", COMPARES, ADDS, ADDS),
    "not_equal": _sides("{} != {}", r"{} \neq {}", COMPARES, ADDS, ADDS),
    "less": _sides("{} < {}", "{} < {}", COMPARES, ADDS, ADDS),
    "less_equal": _sides("{} <= {}", r"{} \leq {}", COMPARES, ADDS, ADDS),
    "greater": _sides("{} > {}", "{} > {}", COMPARES, ADDS, ADDS),
    "greater_equal": _sides("{} >= {}", r"{} \geq {}", COMPARES, ADDS, ADDS),
} | {
    name: _call(f"{name}({{}})", rf"\{tex}\left({{}}\right)")
    for name, tex in {
        "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh",
        "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    }.items()
}  # fmt: skip
Part = tuple[str, int]  # an operand's text, and how tightly it binds


def _axes(axis: Any, ndim: int) -> Any:
    """Axes counted from the front, one as a number; None: all of them."""
    axes = tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    return None if axes == tuple(range(ndim)) else axes[0] if len(axes) == 1 else axes


def _matrices(a: str, b: str, out: str) -> tuple[bool, bool] | None:
    """Whether each operand is transposed in a @ b, if that is what it is."""
    common = set(a) & set(b)
    if len(common) != 1 or len(set(a)) < len(a) or len(set(b)) < len(b) or len(b) > 2:
        return None
    (c,) = common
    turns = a[-1] != c, b[0] != c
    if out != a.replace(c, "") + b.replace(c, "") or (turns[0] and len(a) > 2):
        return None
    return turns


def _bracket(part: Part, need: int, tex: bool) -> str:
    words, binds = part
    if binds >= need:
        return words
    return rf"\left({words}\right)" if tex else f"({words})"
