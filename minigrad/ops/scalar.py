"""An op on one element, as text: all that the compiler knows of an elementwise op.

`Primitive.scalar` is an expression of the operands x, y, z, of numbers, + - * /, comparisons,
& | ~ and the functions named here.
`lower` carries it, `emit` computes it on vectors while a kernel is traced.
It stands beside the op's NumPy meaning; that the two agree is a law.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType
from typing import Any

OPERANDS = ("x", "y", "z")
FUNCTIONS = {
    "abs": 1, "acos": 1, "acosh": 1, "asin": 1, "asinh": 1, "atan": 1, "atan2": 2, "atanh": 1,
    "ceil": 1, "copysign": 2, "cos": 1, "differs": 2, "equal": 2, "erf": 1, "exp": 1, "expm1": 1,
    "floor": 1, "floor_divide": 2, "hypot": 2, "log": 1, "log1p": 1, "maximum": 2, "minimum": 2,
    "nextafter": 2, "pow": 2, "remainder": 2, "rint": 1, "sigmoid": 1, "sin": 1, "sqrt": 1,
    "tanh": 1, "trunc": 1, "where": 3,
}  # fmt: skip
TOTAL = "x + y + ..."  # a sum of any number of operands; no expression of one op is written so
NUMBERS = {"inf": float("inf"), "nan": float("nan")}
_ALLOWED = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.UnaryOp, ast.USub, ast.Invert,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr, ast.Compare, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


@cache
def code(text: str) -> CodeType:
    """The expression, ready to run.  Raises ValueError that says what in it is not understood."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"scalar {text!r} is not an expression: {error.msg}") from None
    called = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if not _is_understood(node, id(node) in called):
            raise ValueError(
                f"scalar {text!r}: {ast.unparse(node)!r} is not understood; it may use x, y, z, "
                f"numbers, + - * /, < <= > >=, & | ~ and {', '.join(FUNCTIONS)}"
            )
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FUNCTIONS and (FUNCTIONS[name] != len(node.args) or node.keywords):
                raise ValueError(f"scalar {text!r}: {name} takes {FUNCTIONS[name]} operand(s)")
    return compile(tree, f"<scalar {text}>", "eval")


def operands_of(text: str) -> int:
    """How many operands the expression reads: 3 if it reads z, 0 if it reads none."""
    names = code(text).co_names
    return max((k for k, name in enumerate(OPERANDS, 1) if name in names), default=0)


def _is_understood(node: ast.AST, called: bool) -> bool:
    if called:
        return isinstance(node, ast.Name) and node.id in FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in (*OPERANDS, *NUMBERS)
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    return isinstance(node, _ALLOWED)


def compute(text: str, functions: Mapping[str, Any], operands: Sequence[Any]) -> Any:
    """The expression for these operands, by these functions."""
    names = {**functions, **NUMBERS, **dict(zip(OPERANDS, operands, strict=False))}
    return eval(code(text), {"__builtins__": {}}, names)
