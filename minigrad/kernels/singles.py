"""Kernels for single numbers: what a training step computes between its blocks.

A mean's divisor, a count of updates, Adam's corrections for the start:
one number each, in dtypes that the blocks around them do not have.
An op in NumPy is a step of Python, 4 us, before or between the lists of kernels; here it is 20 ns.

Which ops there are is data, by the expression of one element (`ops.scalar`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

from ..ops import scalar
from . import cache
from .stages import vector_functions
from .values import F32, F64, REALS, Int, Real
from .vectors import Builder

FLOATS = (
    "x + y", "x - y", "x * y", "x / y", "-x", "1 / x", "x * x", "sqrt(x)", "exp(x)", "log(x)",
    "cos(x)", "abs(x)", "pow(x, y)", "maximum(x, y)", "minimum(x, y)",
)  # fmt: skip
INTEGERS: dict[str, Callable[[Int, Int], Int]] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "-x": lambda x, y: 0 - x,
}
CASTS = (("int64", "float32"), ("int64", "float64"), ("float32", "float64"), ("float64", "float32"))

_SOURCE = '''"""Kernels for single numbers, see minigrad.kernels.singles."""

from minigrad.kernels import singles
from minigrad.kernels.native import kernel
from minigrad.kernels.values import REALS

float32 = kernel(singles.floats(REALS["float32"]))
float64 = kernel(singles.floats(REALS["float64"]))
int64 = kernel(singles.integers)
cast = kernel(singles.cast)
'''


@once
def kernels() -> cache.Module:
    return cache.load(_SOURCE, "singles")


def call_of(text: str, given: Sequence[str], dtype: str) -> tuple[str, int] | None:
    """The kernel that computes an op on one element, and its number there; None: there is none.

    text : the op as an expression; "astype" for a cast.
    given: the dtypes of its operands; dtype: of its result.
    """
    if text == "astype":
        pair = (given[0], dtype)
        return ("cast", CASTS.index(pair)) if pair in CASTS else None
    known: Sequence[str] = tuple(INTEGERS) if dtype == "int64" else FLOATS
    if set(given) != {dtype} or dtype not in (*REALS, "int64") or text not in known:
        return None
    return dtype, known.index(text)


# -- kernels, run inside a trace; item: (number of the op, to, x, y) -------------------------------


def _words(k: Builder, item: Int) -> list[Int]:
    return [k.index(item, j) for j in range(4)]


def floats(real: Real) -> Callable[..., None]:
    def single(k: Builder, item: Int, _: Int, __: Int) -> None:
        number, to, x, y = _words(k, item)
        functions = vector_functions(k, real)
        operands = [k.broadcast(x, 0, real), k.broadcast(y, 0, real)]
        for which, text in enumerate(FLOATS):
            with k.when(number.equals(which)):
                k.put(to, 0, scalar.compute(text, functions, operands))

    return single


def integers(k: Builder, item: Int, _: Int, __: Int) -> None:
    """64-bit integers, which wrap as NumPy's do."""
    number, to, x, y = _words(k, item)
    a, b = k.index(x, 0), k.index(y, 0)
    for which, made in enumerate(INTEGERS.values()):
        with k.when(number.equals(which)):
            k.put_index(to, 0, made(a, b))


def cast(k: Builder, item: Int, _: Int, __: Int) -> None:
    number, to, x, _y = _words(k, item)
    for which, (old, new) in enumerate(CASTS):
        with k.when(number.equals(which)):
            value = _read(k, x, old)
            real = REALS[new]
            if old == "int64":
                value = k.ir.sitofp(value, real.ir)
            else:
                value = (k.ir.fpext if real is F64 else k.ir.fptrunc)(value, real.ir)
            k.ir.store(value, k.pointer(to, 0, real.ir), align=real.bytes)


def _read(k: Builder, at: Int, dtype: str) -> Any:
    if dtype == "int64":
        return k.index(at, 0).value
    real = F32 if dtype == "float32" else F64
    return k.ir.load(k.pointer(at, 0, real.ir), align=real.bytes)
