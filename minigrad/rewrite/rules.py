"""The rules of `simplify`, as data: what is written shorter, and what that gives up.

A rule of elementwise ops is a pair of expressions.
x, y, z stand for any Tensors, b and d for truth values; a number stands for itself, repeated over a
shape, where it was written as a number (`literal`), never for a Tensor that happens to hold it.
Operands of `+`, `*`, `&`, `|`, `^`, maximum and minimum are met in either order.

Every rule keeps the values, to the bit unless `gives_up` says otherwise,
and NaN and infinities in their places; the tests try each on special numbers.
It keeps the derivatives too, by every variable, where they are conventions as well:
maximum(x, x) is no rule, for at NaN its slope is 0; nor is x ** 2 as x * x, for at infinity a
cotangent of 0 stays 0 in the one and becomes NaN in the other.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from ..graph import Primitive
from ..ops.table import TABLE

SIGN = "the sign of a zero"  # and what copysign, atan2 or 1 / x make of it
ROUNDING = "the last digit"
SUBNORMAL = "a slope of NaN where 1 / x overflows (the slope is 0)"
TRUTHS = frozenset("bd")


@dataclass(frozen=True)
class Equation:
    """`left` is written as `right`."""

    left: str
    right: str
    gives_up: str = ""
    pattern: Any = field(init=False, repr=False, compare=False)
    result: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", parsed(self.left))
        object.__setattr__(self, "result", parsed(self.right))


@dataclass(frozen=True)
class Op:
    """An op on patterns."""

    op: Primitive
    operands: tuple[Any, ...]


COMMUTES = frozenset(
    ["add", "multiply", "logical_and", "logical_or", "logical_xor", "maximum", "minimum"]
)
_SIGNS: dict[type, str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "pow",
    ast.USub: "negative", ast.BitAnd: "logical_and", ast.BitOr: "logical_or",
    ast.BitXor: "logical_xor", ast.Invert: "logical_not",
}  # fmt: skip


def parsed(text: str) -> Any:
    """A pattern: a variable (str), a number, or an `Op` on patterns."""
    return _parsed(ast.parse(text, mode="eval").body)


def _parsed(node: ast.AST) -> Any:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return -value  # type: ignore[operator]
        case ast.BinOp(left=a, op=op, right=b):
            return Op(TABLE[_SIGNS[type(op)]], (_parsed(a), _parsed(b)))
        case ast.UnaryOp(op=op, operand=a):
            return Op(TABLE[_SIGNS[type(op)]], (_parsed(a),))
        case ast.Call(func=ast.Name(id=name), args=args):
            return Op(TABLE[name], tuple(map(_parsed, args)))
    raise ValueError(f"no pattern: {ast.dump(node)}")


RULES = (
    # a neutral operand
    Equation("x * 1", "x"),
    Equation("x / 1", "x"),
    Equation("x - 0", "x"),
    Equation("x + 0", "x", SIGN),
    Equation("0 - x", "-x", SIGN),
    Equation("x ** 1", "x"),
    Equation("x ** 0", "1", SUBNORMAL),
    Equation("1 ** x", "1"),
    Equation("absorb(x, 1)", "x"),
    Equation("absorb(1, x)", "x"),
    Equation("absorb(0, x)", "0", SIGN),
    Equation("identity(x)", "x"),
    # signs
    Equation("-(-x)", "x"),
    Equation("x * -1", "-x"),
    Equation("x / -1", "-x"),
    Equation("x + -y", "x - y"),
    Equation("x - -y", "x + y"),
    Equation("-(x - y)", "y - x", SIGN),
    Equation("(-x) * (-y)", "x * y"),
    Equation("(-x) / (-y)", "x / y"),
    Equation("square(-x)", "square(x)"),
    Equation("abs(-x)", "abs(x)"),
    # done twice is done once
    Equation("abs(abs(x))", "abs(x)"),
    Equation("relu(relu(x))", "relu(x)"),
    Equation("stop_gradient(stop_gradient(x))", "stop_gradient(x)"),
    *(Equation(f"{f}({g}(x))", f"{g}(x)") for f in ("floor", "ceil", "trunc", "round")
      for g in ("floor", "ceil", "trunc", "round", "sign")),
    # choices
    Equation("where(True, x, y)", "x"),
    Equation("where(False, x, y)", "y"),
    Equation("where(b, x, x)", "x"),
    Equation("where(~b, x, y)", "where(b, y, x)"),
    Equation("where(b, where(b, x, y), z)", "where(b, x, z)"),
    Equation("where(b, x, where(b, y, z))", "where(b, x, z)"),
    # truth values
    Equation("~~b", "b"),
    Equation("b & True", "b"),
    Equation("b & False", "False"),
    Equation("b | False", "b"),
    Equation("b | True", "True"),
    Equation("b ^ False", "b"),
    Equation("b ^ True", "~b"),
    Equation("b & b", "b"),
    Equation("b | b", "b"),
)  # fmt: skip


def by_op() -> dict[Primitive, list[Equation]]:
    """The rules of each op that stands outermost on the left."""
    found: dict[Primitive, list[Equation]] = {}
    for rule in RULES:
        found.setdefault(rule.pattern.op, []).append(rule)
    return found
