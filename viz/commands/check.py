"""`minigrad check MODULE:FUNCTION`: find a function and arguments for it, and check its gradients.

Whatever the user can get wrong is an `InputError`.
What their own code raises is reported as theirs, with the line it came from.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from minigrad.sites import OURS

from ..study.corpus import InputError

_STANDARD = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
_SHAPE = re.compile(r"\(\)|\(?\d+(,\d+)*,?\)?")


def check(options: argparse.Namespace) -> tuple[list[str], int]:
    """What to print, and the exit status: 0 no gradient is wrong, 1 one is."""
    from minigrad.testing import GradientError, check_grads

    module, f, name = find(options.function)
    args = arguments(module, f, name, options.args, options.seed)
    modes = ("rev", "fwd") if options.modes == "both" else (options.modes,)
    try:
        report = check_grads(f, *args, order=options.order, modes=modes, seed=options.seed)
    except GradientError as error:
        return str(error).splitlines(), 1
    except Exception as error:
        said = told(error, module.__name__)
        raise InputError(f"{name} could not be checked: {said}") from None
    lines = str(report).splitlines()
    if not report.conclusive:
        lines.append("This decided nothing; try other arguments (--args, --seed).")
    return lines, 0


def told(error: BaseException, checked: str) -> str:
    """The error and the last line of the user's own that it passed through.

    checked: the name of the module that is checked, whose lines are the user's wherever it lies.
    """
    at = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _is_theirs(frame, checked):
            at = f"{frame.f_code.co_filename}:{line}"
    said = f"{type(error).__name__}: {error}"
    return said if not at or at in said else f"{said} ({at})"


def _is_theirs(frame: FrameType, checked: str) -> bool:
    """Whether the user wrote a frame's line: it is neither ours nor a library's."""
    name = frame.f_globals.get("__name__", "").partition(".")[0]
    if name == checked.partition(".")[0]:
        return True
    file = Path(frame.f_code.co_filename).resolve()
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    library = installed or any(home in file.parents for home in _STANDARD)
    return name not in OURS and not library and file.is_file()


def find(target: str) -> tuple[ModuleType, Callable[..., Any], str]:
    """The module and the function that `module:function` or `file.py:function` names."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise InputError(
            f"{target!r} does not name a function; write module:function or file.py:function"
        )
    try:
        module = _file(Path(place)) if place.endswith(".py") else _module(place)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        said = told(error, Path(place).stem if place.endswith(".py") else place)
        raise InputError(f"importing {place!r} failed: {said}") from None
    if not hasattr(module, name):
        own = [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
        known = [
            v.__name__ for v in own if inspect.isfunction(v) and not v.__name__.endswith("_args")
        ]
        there = f"; it has {', '.join(known[:8])}" if known else "; it has no functions"
        raise InputError(f"{place!r} has no function {name!r}{there}")
    f = getattr(module, name)
    if not callable(f):
        raise InputError(f"{name!r} in {place!r} is no function: {f!r:.60}")
    return module, f, name


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    name = path.stem if path.stem not in sys.modules else f"checked_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module
    # Compiled here, as Python does its program: an import leaves a __pycache__ beside the file.
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


def _module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise InputError(
            f"there is no module {name!r} here; for a file, give its path: file.py:function"
        ) from None


def arguments(
    module: ModuleType, f: Callable[..., Any], name: str, shapes: str | None, seed: int
) -> tuple[Any, ...]:
    """From `shapes`, `f.example` or `{name}_args`, in this order."""
    if shapes is not None:
        return _random(shapes, seed)
    given = getattr(f, "example", None)
    source = f"{name}.example"
    if given is None:
        given, source = getattr(module, f"{name}_args", None), f"{name}_args"
    if given is None:
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        if not [p for p in parameters if p.default is p.empty and p.kind not in (2, 4)]:
            return ()
        wanted = ", ".join(p.name for p in parameters) or "its arguments"
        raise InputError(
            f"no arguments to check {name}({wanted}) at: give their shapes (--args "
            f'"3,4 4"), or set {name}.example or {name}_args to a tuple of arguments. Annotations '
            "say nothing of shapes, so none are guessed"
        )
    if callable(given):
        try:
            given = given()
        except Exception as error:
            said = told(error, module.__name__)
            raise InputError(f"{source}() failed: {said}") from None
    if not isinstance(given, (tuple, list)):
        raise InputError(
            f"{source} must be a tuple of arguments, or a function that returns one; it is a "
            f"{type(given).__name__} (one argument: a tuple of one)"
        )
    return tuple(given)


def _random(shapes: str, seed: int) -> tuple[np.ndarray, ...]:
    rng, found = np.random.default_rng(seed), []
    words = shapes.split()
    for word in words:
        if not _SHAPE.fullmatch(word):
            raise InputError(
                f"--args: {word!r} is no shape; write lengths apart by commas (3,4), () for a "
                "number, and a space between arguments"
            )
        found.append(np.asarray(rng.standard_normal([int(n) for n in re.findall(r"\d+", word)])))
    if not found:
        raise InputError('--args: no shapes; write one for each argument, such as "3,4 4"')
    return tuple(found)
