"""The operators of `Tensor`: a table from Python's method names to the functions they record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Tensor
from . import elementwise as e
from .arrays import asarray
from .contract import matmul
from .functions import pow
from .indexing import getitem
from .movement import matrix_transpose, transpose
from .table import BOOL, ArrayLike


def _swapped(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda self, other: f(other, self)


def _guarded(f: Callable[..., Tensor]) -> Callable[..., Any]:
    """An operator that leaves operands it does not know (a str, a dict) to Python's TypeError."""

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, (str, bytes, dict, set)) or other is None:
            return NotImplemented
        return f(self, other)

    return method


def _logic_or_bits(logic: Callable[..., Tensor], bits: Callable[..., Tensor]) -> Any:
    """&, |, ^ and ~: logic on booleans, bits on integers."""

    def f(*xs: ArrayLike) -> Tensor:
        tensors = [asarray(x) for x in xs]
        return (logic if all(t.dtype == BOOL for t in tensors) else bits)(*xs)

    return f


TWO_SIDED = {
    "add": e.add, "sub": e.subtract, "mul": e.multiply, "truediv": e.divide, "pow": pow,
    "matmul": matmul, "floordiv": e.floor_divide, "mod": e.remainder,
    "lshift": e.bitwise_left_shift, "rshift": e.bitwise_right_shift,
    "and": _logic_or_bits(e.logical_and, e.bitwise_and),
    "or": _logic_or_bits(e.logical_or, e.bitwise_or),
    "xor": _logic_or_bits(e.logical_xor, e.bitwise_xor),
}  # fmt: skip
COMPARISONS = {
    "lt": e.less, "le": e.less_equal, "gt": e.greater, "ge": e.greater_equal, "eq": e.equal,
    "ne": e.not_equal,
}  # fmt: skip
ONE_SIDED: dict[str, Any] = {
    "neg": e.negative, "pos": e.positive, "abs": e.abs,
    "invert": _logic_or_bits(e.logical_not, e.bitwise_invert), "getitem": getitem,
}  # fmt: skip

for _name, _f in TWO_SIDED.items():
    setattr(Tensor, f"__{_name}__", _guarded(_f))
    setattr(Tensor, f"__r{_name}__", _guarded(_swapped(_f)))
for _name, _f in COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _guarded(_f))
for _name, _f in ONE_SIDED.items():
    setattr(Tensor, f"__{_name}__", _f)
Tensor.T = property(transpose)  # type: ignore[assignment]
Tensor.mT = property(matrix_transpose)  # type: ignore[assignment]
