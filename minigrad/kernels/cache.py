"""Compiled modules by content: source text in, callable kernels out, kept on disk.

`load(source, tag)` runs generated Python source that marks functions with `native.kernel`,
compiles them, and keeps their object code in `mg_<tag>_<hash>.mgo`,
the source beside it (`.py`, for people and tracebacks).
The next process only maps the object code:
the source is not run, Numba is not imported, a module takes a millisecond.

The hash covers whatever the machine code depends on:
the source, this package's own helpers, the versions of Python, NumPy, Numba and llvmlite,
Numba's settings, the CPU and its features, the vector width.
Numba's own cache is not used: it forgets edited callees (numba#1833)
and does not notice flipped bits (numba#10434).

Never a wrong answer:
a file that is truncated, altered or of another key is compiled again;
a directory that cannot be used is done without; each with one warning.
Files are written aside and moved into place, so processes may share a directory.
What is in it is executed, so it must be ours alone: one that others may write to is refused.

`MINIGRAD_CACHE_DIR` names the directory; default `minigrad` in the user's cache directory.
Deleting it, or any file in it, is always safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import linecache
import logging  # noqa: F401  # for its place among the hooks of a fork
import os
import platform
import stat
import struct
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ..ops.scalar import NUMBERS
from . import compiler, native, target

MAGIC = b"minigrad kernels 1\n"


class CacheWarning(UserWarning):
    """Kernels are compiled again because the cache cannot be used. Results are not affected."""


class Module:
    """Kernels of one source by name, as attributes."""

    def __init__(self, key: str, kernels: dict[str, native.Native]):
        self.key, self.kernels = key, kernels
        self.__dict__.update(kernels)

    def __getattr__(self, name: str) -> native.Native:
        raise AttributeError(f"no kernel {name!r}; there are {', '.join(self.kernels)}")


_loaded: WeakValueDictionary[str, Module] = WeakValueDictionary()  # unmapped with its last user
_lock = threading.RLock()
_warned: set[str] = set()
_waited = False


def _wait() -> None:
    """Before a fork, nobody compiles: LLVM and Numba have locks and states of their own."""
    global _waited
    _waited = False
    _waited = _lock.acquire(timeout=60)


def _go_on() -> None:
    if _waited:
        _lock.release()


def _renew() -> None:
    """In the child, whoever had the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # What is registered last is called first: `logging`, which compiling needs, is not held yet.
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_renew)


def load(source: str, tag: str, lanes: int | None = None) -> Module:
    """The kernels of `source`, compiled at most once per machine.

    tag   : letters, digits and _, which make file names readable.
    lanes : float32 per vector; defaults to the host's.

    Errors of the source itself, when it is run or traced, are passed on.
    """
    lanes = target.lanes() if lanes is None else lanes
    key = key_of(source, lanes)
    with _lock:
        module = _loaded.get(key)
        if module is None:
            module = _loaded[key] = _load(source, f"mg_{tag}_{key}", key, lanes)
        return module


def key_of(source: str, lanes: int) -> str:
    """Hash of everything the machine code of `source` depends on."""
    digest = hashlib.sha256(_environment())
    digest.update(f"{target.host()} {lanes}\n{source}".encode())
    return digest.hexdigest()[:32]


def _load(source: str, stem: str, key: str, lanes: int) -> Module:
    folder = directory()
    file = folder / f"{stem}.mgo" if folder else None
    if file:
        try:
            return _link(key, unpack(file.read_bytes(), key))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RuntimeError) as error:
            _warn(f"cached kernels {file} are unusable ({error})")
    codes = compile_source(source, str(file.with_suffix(".py")) if file else f"<{stem}>", lanes)
    if file:
        try:
            write(file.with_suffix(".py"), source.encode())
            write(file, pack(codes, key))
        except OSError as error:
            _warn(f"cannot keep compiled kernels in {folder} ({error})")
    return _link(key, codes)


def compile_source(source: str, filename: str, lanes: int) -> list[native.Code]:
    """Run the source and compile every function in it that is marked as a kernel."""
    # For tracebacks of what fails here, as the file is not written yet.
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    names = {"__name__": Path(filename).stem, "__file__": filename}
    scope: dict[str, Any] = names | NUMBERS  # a plan may hold inf: data are written by repr
    exec(compile(source, filename, "exec"), scope)
    marked = {n: f for n, f in scope.items() if hasattr(f, native.MARK)}
    codes = [native.compile_kernel(n, f, lanes) for n, f in marked.items()]
    del linecache.cache[filename]
    return codes


def _link(key: str, codes: list[native.Code]) -> Module:
    return Module(key, {code.name: native.link(code) for code in codes})


# ---- file format: magic, SHA-256 of the rest, length and JSON of the header, object files ------


def pack(codes: list[native.Code], key: str) -> bytes:
    rows = [[c.name, c.symbol, c.arity, c.needs, len(c.object)] for c in codes]
    header = json.dumps({"key": key, "kernels": rows}).encode()
    body = struct.pack("<q", len(header)) + header + b"".join(c.object for c in codes)
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(data: bytes, key: str) -> list[native.Code]:
    """ValueError if the data is damaged or belongs to another key."""
    start = len(MAGIC) + 32
    digest, body = data[len(MAGIC) : start], data[start:]
    if not data.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise ValueError("checksum does not match")
    at = 8 + struct.unpack_from("<q", body)[0]
    header = json.loads(body[8:at])
    if header["key"] != key:
        raise ValueError("it belongs to another source")
    codes = []
    for name, symbol, arity, needs, size in header["kernels"]:
        codes.append(native.Code(name, symbol, arity, tuple(needs), body[at : at + size]))
        at += size
    return codes


def write(file: Path, data: bytes) -> None:
    """Readers see the old file or the whole new one, never part of it."""
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=".mg_", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(aside, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


# ---- where, and for what environment -------------------------------------------------------------


def directory() -> Path | None:
    """The cache directory, created if need be; None (and one warning) if there is none to use."""
    try:
        folder = _wanted_directory()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "geteuid"):
            info = folder.stat()
            if info.st_uid not in (os.geteuid(), 0) or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError("others may write to it; chmod 700 or choose another")
        return folder
    except (OSError, RuntimeError) as error:
        _warn(f"no directory to keep compiled kernels in ({error}); set MINIGRAD_CACHE_DIR")
        return None


def _wanted_directory() -> Path:
    if chosen := os.environ.get("MINIGRAD_CACHE_DIR"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "minigrad"
    return Path.home() / ".cache" / "minigrad"


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(f"{message}; compiling again", CacheWarning, stacklevel=4)


@cache
def _environment() -> bytes:
    """What is the same for all sources of a process."""
    import llvmlite
    import numpy

    parts = [platform.python_version(), numpy.__version__]
    parts += [llvmlite.__version__, compiler.numba_version()]
    # Numba reads its settings from variables and from a file in the working directory.
    parts += sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_"))
    config = Path(".numba_config.yaml")
    parts.append(config.read_text() if config.exists() else "")
    digest = hashlib.sha256("\n".join(parts).encode())
    here = Path(__file__).parent
    for helper in (*sorted(here.glob("*.py")), here.parent / "ops" / "scalar.py"):
        digest.update(helper.name.encode() + helper.read_bytes())
    return digest.digest()
