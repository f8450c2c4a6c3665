"""Calling compiled kernels from code that Numba types: by address, as C function pointers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic(prefer_literal=False)
def call_address(typing: Any, address: Any, *args: Any) -> Any:
    """call_address(address, *ints) calls `void f(int64...)` at an address (an int)."""
    given = args[0] if len(args) == 1 and isinstance(args[0], types.BaseTuple) else args
    signature = types.void(types.int64, types.StarArgTuple((types.int64,) * len(given)))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * len(given))
        pointer = builder.inttoptr(values[0], kind.as_pointer())
        words = [builder.extract_value(values[1], i) for i in range(len(given))]
        builder.call(pointer, words)
        return context.get_dummy_value()

    return signature, generate
