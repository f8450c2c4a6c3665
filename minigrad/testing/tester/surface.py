"""The public surface, called with wrong arguments: a result, or an error in words.

    found = surface.explore(surface.public(package), examples, ours=("package",))

Every function is called with values of a wrong type, rank, sign and size,
in place of each argument of an example (name -> (args, kwargs) of a call that is right),
or of all arguments where there is none.
What may come of it is a result, or an error that the package raises itself,
by a `raise` of its own:
an exception out of NumPy or Python says what went wrong inside, not what was wrong with the call.
Packages of one's own can be explored likewise.
"""

from __future__ import annotations

import dis
import inspect
import io
import os
import random
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

import minigrad as mg

Example = tuple[tuple, dict[str, Any]]
IN_WORDS = (TypeError, ValueError, IndexError, OSError, OverflowError, NotImplementedError)


def wrong_values() -> dict[str, Any]:
    """What nobody should hand over, by a name for each; fresh every time."""
    circle: list[Any] = [1.0]
    circle.append(circle)
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return {
        "None": None, "True": True, "''": "", "'text'": "text", "b'bytes'": b"bytes", "-1": -1,
        "0": 0, "1.5": 1.5, "2**70": 2**70, "nan": float("nan"), "-inf": float("-inf"), "1j": 1j,
        "()": (), "[]": [], "{}": {}, "{'a': 1}": {"a": 1}, "{1, 2}": {1, 2}, "[1, [2]]": [1, [2]],
        "['a', 'b']": ["a", "b"], "a list in itself": circle, "a dict in itself": loop,
        "object()": object(), "a class": int, "len": len, "...": ..., "slice": slice(1, 2),
        "zeros(())": np.zeros(()), "zeros(0)": np.zeros(0), "ones(3)": np.ones(3),
        "ones((2, 3))": np.ones((2, 3)), "ones((1, 2, 1, 3))": np.ones((1, 2, 1, 3)),
        "full(3, nan)": np.full(3, np.nan), "arange(3)": np.arange(3), "booleans": np.ones(2, bool),
        "an array of objects": np.array([None, "x"], object), "an array of text": np.array(["a"]),
        "an array of dates": np.array(["2020-01-01"], "M8[D]"), "complex": np.ones(2, complex),
        "a Tensor": mg.asarray(np.ones((2, 2))), "a Tensor of ints": mg.asarray(np.arange(3)),
        "a structure": mg.Structure.chain(3), "an iterator": iter([1, 2]), "range(3)": range(3),
    }  # fmt: skip


def public(*modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """Every function and class that a module shows, "module.name" -> it, each once."""
    found: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for name in dir(module):
            thing = getattr(module, name)
            home = str(getattr(thing, "__module__", "")).partition(".")[0]
            ours = home == module.__name__.partition(".")[0]
            if name[0] != "_" and callable(thing) and ours and thing not in found.values():
                found[f"{module.__name__}.{name}"] = thing
    return found


@dataclass(frozen=True)
class Escape:
    """An exception that is not in words: which call, what it raised, and where."""

    function: str
    call: str
    error: str
    place: str

    def __str__(self) -> str:
        return f"{self.function}: {self.call}\n    {self.error}\n    {self.place}"


class _TooSlow(BaseException):
    pass


def judge(error: BaseException, ours: Sequence[str]) -> str | None:
    """Where an exception comes from, if not from a `raise` in one of our packages; None: in words.

    A TypeError that Python raises at the call itself, for too few or too many arguments, is right.
    """
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    last = frames[-1]
    code = last.tb_frame.f_code
    package = last.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    if code.co_filename == __file__ and isinstance(error, TypeError):
        return None
    raised = _is_raise(code, last.tb_lasti)
    known = isinstance(error, IN_WORDS) or type(error).__module__.partition(".")[0] in ours
    if package in ours and raised and known and code.co_filename != __file__:
        return None
    inside = [f for f in frames if f.tb_frame.f_globals.get("__name__", "").split(".")[0] in ours]
    at = next((f for f in reversed(inside) if f.tb_frame.f_code.co_filename != __file__), last)
    return f"{at.tb_frame.f_globals.get('__name__')}:{at.tb_lineno}"


def _is_raise(code: CodeType, at: int) -> bool:
    return dis.opname[code.co_code[at]] in ("RAISE_VARARGS", "RERAISE")


def explore(
    functions: Mapping[str, Callable[..., Any]],
    examples: Mapping[str, Example] | None = None,
    *,
    ours: Sequence[str],
    random_calls: int = 20,
    seed: int = 0,
    limit: float = 5.0,
    skip: Callable[[str], bool] = lambda name: False,
) -> list[Escape]:
    """Call every function with wrong arguments; what was found, one per place and kind.

    examples     : name -> (args, kwargs), a call that is right; each argument is exchanged in turn.
    ours         : the packages whose own `raise` is an error in words.
    random_calls : calls with random arguments for a function without an example.
    limit        : seconds after which a call is a finding (in the main thread).
    """
    found: dict[tuple[str, str, str], Escape] = {}
    with _aside():
        for name, f in functions.items():
            if skip(name):
                continue
            rng = random.Random(f"{seed} {name}")
            for text, args, kwargs in _calls(f, (examples or {}).get(name), rng, random_calls):
                finding = _tried(name, f, text, args, kwargs, ours, limit)
                if finding is not None:
                    kind = finding.error.partition(":")[0]
                    found.setdefault((name, kind, finding.place), finding)
    return list(found.values())


def _tried(
    name: str, f: Callable, text: str, args: tuple, kwargs: dict, ours: Sequence[str], limit: float
) -> Escape | None:
    try:
        with _at_most(limit):
            result = f(*args, **kwargs)
            if inspect.isgenerator(result):
                next(result, None)
    except _TooSlow:
        return Escape(name, text, f"no answer within {limit} seconds", "?")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = judge(error, ours)
        bound = f"{getattr(f, '__qualname__', None)}() "  # Python's own words at the call
        if isinstance(error, TypeError) and str(error).startswith(bound):
            return None
        if place is not None:
            said = " ".join(str(error).split())[:200]
            return Escape(name, text, f"{type(error).__name__}: {said}", place)
    return None


def _calls(
    f: Callable, example: Example | None, rng: random.Random, count: int
) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    """(in words, args, kwargs) of wrong calls."""
    values = wrong_values()
    if example is None:
        least, most = _arity(f)
        yield "()", (), {}
        for value in values:
            n = max(least, 1)
            yield f"({', '.join([value] * n)})", (wrong_values()[value],) * n, {}
        for _ in range(count):
            chosen = [rng.choice(list(values)) for _ in range(rng.randint(least, most))]
            fresh = wrong_values()
            yield f"({', '.join(chosen)})", tuple(fresh[v] for v in chosen), {}
        return
    args, kwargs = example
    for k in range(len(args)):
        for value in values:
            new = (*args[:k], wrong_values()[value], *args[k + 1 :])
            yield f"argument {k} is {value}", new, dict(kwargs)
        yield f"without the arguments from {k} on", args[:k], dict(kwargs)
    for key in kwargs:
        for value in values:
            yield f"{key}={value}", args, {**kwargs, key: wrong_values()[value]}
    yield "too many arguments", (*args, *[None] * 20), dict(kwargs)
    yield "an unknown keyword", args, {**kwargs, "no_such_keyword": 1}


def _arity(f: Callable) -> tuple[int, int]:
    """How many positional arguments a function needs, and takes."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return 1, 3
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return sum(p.default is p.empty for p in placed), len(placed) + 2 * any_number


@contextmanager
def _aside() -> Iterator[None]:
    """In a folder of its own, without a word on the terminal."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                yield
        finally:
            os.chdir(before)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def late(*_: Any) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
