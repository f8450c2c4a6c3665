"""From traced functions to machine code, and from machine code to callables.

Compiling goes through Numba's public `cfunc`; the object code is what `cache` keeps.
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
    compiled, arity = compile_numba(f, lanes)
    library = compiled._library
    if library.has_dynamic_globals:
        raise ValueError(f"kernel {name} refers to objects of this process; it cannot be stored")
    declared = (g.name for g in library._final_module.functions if g.is_declaration)
    needs = tuple(sorted(n for n in declared if not n.startswith("llvm.")))
    object_code = library.serialize_using_object_code()[2][0]
    return Code(name, compiled._wrapper_name, arity, needs, object_code)


def compile_numba(f: Callable[..., None], lanes: int) -> tuple[Any, int]:
    """The same as Numba's CFunc, and the number of arguments."""
    numba = compiler.numba()
    types = numba.types
    arity = len(inspect.signature(f).parameters) - 1
    parameters = ", ".join(f"a{i}" for i in range(arity))
    # Numba needs a function of fixed arity around the intrinsic; this is all it types.
    scope = {"body": _tracer(f, arity, lanes)}
    f = eval(f"lambda {parameters}: body({parameters})", scope)
    return numba.cfunc(types.void(*[types.int64] * arity), error_model="numpy")(f), arity


def _tracer(f: Callable[..., None], arity: int, lanes: int) -> Any:
    from .vectors import Builder, Int

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        k = Builder(builder, lanes)
        f(k, *(Int(k, a) for a in args))
        return context.get_dummy_value()

    numba = compiler.numba()
    signature = numba.types.void(*[numba.types.int64] * arity)
    parameters = ", ".join(f"a{i}" for i in range(arity))
    scope = {"result": (signature, generate)}
    return numba.extending.intrinsic(eval(f"lambda typing, {parameters}: result", scope))


_linked = itertools.count()


def link(code: Code) -> Native:
    """Map the code into memory. RuntimeError if it is no object file or a symbol is missing."""
    import llvmlite.binding as llvm

    library = llvm.JITLibraryBuilder().add_object_img(code.object).add_current_process()
    for symbol in code.needs:
        address = llvm.address_of_symbol(symbol)
        if address is None:
            # Functions of Numba's own runtime are known once it has been initialised.
            compiler.numba().core.registry.cpu_target.target_context  # noqa: B018
            address = llvm.address_of_symbol(symbol)
        if address is None:
            raise RuntimeError(f"compiled {code.name} needs the unknown symbol {symbol}")
        library.import_symbol(symbol, address)
    tracker = library.export_symbol(code.symbol).link(compiler.linker(), f"minigrad{next(_linked)}")
    return Native(code.name, tracker[code.symbol], code.arity, tracker)
