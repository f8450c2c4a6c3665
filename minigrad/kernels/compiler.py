"""The compiler we stand on, Numba and llvmlite: whether it can be used here, and the door to it.

Both may be missing (in a browser, under a Python that is newer than they are) or broken
(another NumPy, another llvmlite, a library that does not load).
What goes wrong on the way in is kept in words: there is no compiler then, for the whole process.
`compile.ways` asks here, and nothing else decides.

Numba is imported as late as can be, when a kernel is compiled that no cache holds.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from . import target

_failures: list[str] = []


class CompilerMissing(ImportError):
    """Numba or llvmlite is not there, or of no use."""


@contextmanager
def _needed(name: str) -> Iterator[None]:
    """Whatever happens inside means that there is no compiler."""
    try:
        yield
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        words = " ".join(f"{type(error).__name__}: {error}".split())
        why = "is not installed" if missing else f"cannot be used ({words:.300})"
        _failures.append(f"{name} {why}")
        raise CompilerMissing(_failures[0]) from error


def failure() -> str | None:
    """Why nothing can be compiled here, in words; None where nothing is known to be in the way."""
    if not _failures:
        try:
            linker()
            numba_version()
        except CompilerMissing:
            pass
    return _failures[0] if _failures else None


@cache
def linker() -> Any:
    """LLVM's, which maps object code into memory."""
    with _needed("llvmlite"):
        for module in ("llvmlite", "llvmlite.ir", "llvmlite.binding"):
            llvm = importlib.import_module(module)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu, features = target.host()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu, features=features, jit=True
        )
        llvm.JITLibraryBuilder  # noqa: B018  # older ones have none
        return llvm.create_lljit_compiler(machine)


@cache
def numba_version() -> str:
    """Read from the file: importing Numba takes a quarter of a second."""
    with _needed("numba"):
        spec = importlib.util.find_spec("numba")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("No module named 'numba'", name="numba")
        return Path(spec.origin).with_name("_version.py").read_text()


@cache
def codegen() -> Any:
    """Numba's code generator for this machine, which has compiled something.

    Kernels are LLVM's instructions when they come (`vectors`) and object code when they go, so two
    steps of Numba's are left out: passes over each function before those over the module, which
    find nothing more, and the engine that maps code into memory, which keeps it for good.
    """
    with _needed("numba"):
        parts = importlib.import_module("numba.core.codegen")

        class Library(parts.AOTCodeLibrary):  # type: ignore[name-defined]
            def _optimize_functions(self, module: Any) -> None:
                module.data_layout = self._codegen._data_layout

            def _optimize_final_module(self) -> None:
                found = self._codegen._module_pass_manager()
                if isinstance(found, tuple):
                    passes, builder = found
                    passes.run(self._final_module, builder)
                else:  # with LLVM's older interface
                    super()._optimize_final_module()

        class Codegen(parts.JITCPUCodegen):  # type: ignore[name-defined]
            _library_class = Library

            def _add_module(self, module: Any) -> None:
                """It is not mapped into memory here."""

        found = Codegen("minigrad")
        library_of(found, "nothing", 0, lambda builder, args: None)
        return found


def library_of(generator: Any, name: str, arity: int, fill: Callable[[Any, Any], None]) -> Any:
    """A module of one function `void name(int64...)`, optimised; `emit_native_object()` is next.

    fill(builder, args) puts the instructions there.
    """
    from llvmlite import ir
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        library = generator.create_library(name)
        module = library.create_ir_module(name)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * arity)
        function = ir.Function(module, kind, name)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        fill(builder, function.args)
        builder.ret_void()
        library.add_ir_module(module)
        library.finalize()
    return library
