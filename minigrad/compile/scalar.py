"""An op on one element, as text: all that the compiler knows of an elementwise op.

`Primitive.scalar` is an expression of the operands x, y, z, of numbers, + - * /, comparisons,
& | ~ and the functions named here.  `lower` carries it, `emit` computes it on vectors while a
kernel is traced.  It stands beside the op's NumPy meaning; that the two agree is a law.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType
from typing import Any

OPERANDS = ("x", "y", "z")
FUNCTIONS = {
    "abs": 1, "cos": 1, "differs": 2, "equal": 2, "erf": 1, "exp": 1, "expm1": 1, "log": 1,
    "log1p": 1, "maximum": 2, "minimum": 2, "sigmoid": 1, "sin": 1, "sqrt": 1, "tanh": 1,
    "where": 3,
}  # fmt: skip
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
    known = {*OPERANDS, *FUNCTIONS, *NUMBERS}
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Name) and node.id not in known):
            raise ValueError(
                f"scalar {text!r}: {ast.unparse(node)!r} is not understood; it may use x, y, z, "
                f"numbers, + - * /, < <= > >=, & | ~ and {', '.join(FUNCTIONS)}"
            )
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FUNCTIONS and (FUNCTIONS[name] != len(node.args) or node.keywords):
                raise ValueError(f"scalar {text!r}: {name} takes {FUNCTIONS[name]} operand(s)")
    return compile(tree, f"<scalar {text}>", "eval")


def compute(text: str, functions: Mapping[str, Any], operands: Sequence[Any]) -> Any:
    """The expression for these operands, by these functions."""
    names = {**functions, **NUMBERS, **dict(zip(OPERANDS, operands, strict=False))}
    return eval(code(text), {"__builtins__": {}}, names)
