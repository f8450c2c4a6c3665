"""From traced functions to machine code, and from machine code to callables.

Compiling goes through Numba's code generator (`compiler`); the object code is what `cache` keeps.
Loading needs llvmlite alone (30 ms instead of the 400 ms it takes Numba to import and warm up),
so a process whose kernels are all cached never imports Numba.

Every function has the signature `void(int64...)`.
Called from Python it runs without the interpreter's lock (ctypes releases it),
so threads run side by side.
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import compiler

MARK = "__minigrad_kernel__"


def kernel(f: Callable[..., None]) -> Callable[..., None]:
    """Mark `f(k, *ints)` as a kernel to be traced with a `vectors.Builder` k."""
    setattr(f, MARK, True)
    return f


@dataclass(frozen=True)
class Code:
    """One compiled function, not yet linked. `needs`: symbols outside of it."""

    name: str
    symbol: str
    arity: int
    needs: tuple[str, ...]
    object: bytes


class Native:
    """A linked function: call it with ints, or hand on its `address` to other kernels."""

    __slots__ = ("address", "name", "run", "_keep")

    def __init__(self, name: str, address: int, arity: int, keep: Any):
        self.name, self.address = name, address
        self._keep = keep  # the code is unmapped when this is collected
        self.run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arity)(address)

    def __call__(self, *args: int) -> None:
        self.run(*args)

    def __repr__(self) -> str:
        return f"<compiled {self.name} at {self.address:#x}>"


def compile_kernel(name: str, f: Callable[..., None], lanes: int) -> Code:
    """Machine code of a function marked by `kernel`; `lanes`: float32 per vector."""
    library, arity = traced(name, f, lanes)
    declared = (g.name for g in library._final_module.functions if g.is_declaration)
    needs = tuple(sorted(n for n in declared if not n.startswith("llvm.")))
    return Code(name, library.name, arity, needs, library.emit_native_object())


def traced(name: str, f: Callable[..., None], lanes: int) -> tuple[Any, int]:
    """Numba's library of what `f` traces, and how many arguments it has."""
    from .vectors import Builder, Int

    def trace(builder: Any, args: Any) -> None:
        k = Builder(builder, lanes)
        f(k, *(Int(k, a) for a in args))

    arity = len(inspect.signature(f).parameters) - 1
    generator = compiler.codegen()
    return compiler.library_of(generator, f"minigrad_{name}", arity, trace), arity


_linked = itertools.count()


def link(code: Code) -> Native:
    """Map the code into memory. RuntimeError if it is no object file or a symbol is missing."""
    import llvmlite.binding as llvm

    library = llvm.JITLibraryBuilder().add_object_img(code.object).add_current_process()
    for symbol in code.needs:
        address = llvm.address_of_symbol(symbol)
        if address is None:
            raise RuntimeError(f"compiled {code.name} needs the unknown symbol {symbol}")
        library.import_symbol(symbol, address)
    tracker = library.export_symbol(code.symbol).link(compiler.linker(), f"minigrad{next(_linked)}")
    return Native(code.name, tracker[code.symbol], code.arity, tracker)
