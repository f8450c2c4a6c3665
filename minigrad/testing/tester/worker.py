"""A case of the fuzzer is run and judged, in a process of its own (see `fuzz`).

Every call of a case is computed in several ways, of which all must agree:

    reference       one node at a time: what is wanted
    evaluate        level by level, in NumPy
    unfold          every recurrence written out as ordinary ops
    function        compiled; the same bits with 1, 2 and 3 threads, however small the work is,
                    when called again, also after other calls in the same workspace,
                    and when its first argument is donated; to rounding where small tensors are
                    taken for large ones
"""

from __future__ import annotations

import copy
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from ...compile import compiled, runner
from ...compile.function import function
from ...graph import Tensor
from ...io import tensors
from ...rewrite.unfold import unfold
from ...run.evaluate import evaluate
from ...run.reference import reference
from .cases import Case
from .growth import Growth, distance

QUICK = 100.0  # rounding errors of its size within which a result needs no error model


@dataclass(frozen=True)
class Wrong:
    """What disagreed: `way` with the reference (or with its own bits), in one call of a case.

    place: the path of the output and the index in it.   limit: what rounding may do there.
    """

    way: str
    call: int
    words: str
    place: tuple = ()
    limit: float = 0.0

    @property
    def key(self) -> str:
        """What findings of one kind share."""
        return self.way if self.place else f"{self.way}: {self.words.partition(':')[0]}"


class Disagreement(Exception):
    def __init__(self, words: str, place: tuple = (), limit: float = 0.0) -> None:
        super().__init__(words)
        self.place, self.limit = place, limit


def program_of(case: Case) -> dict[str, Any]:
    """What the text of a case defines."""
    scope: dict[str, Any] = {"__name__": "case"}
    exec(compile(case.text, "<case>", "exec"), scope)
    return scope


@dataclass(frozen=True)
class Outcome:
    """What became of a case; compiled: whether all of its recurrences have code."""

    wrong: Wrong | None
    calls: int = 0
    compiled: bool = False


def judge(case: Case, progress: Callable[[int], Any] = id, threads: Any = (1, 2, 3)) -> Outcome:
    """Run all calls of a case in every way; `progress` is told the number of each call."""
    way, number, compiled = "build", 0, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scope = program_of(case)
            step, calls = scope["step"], scope["calls"]
            functions = {n: function(step) for n in threads}
            donating, large = function(step, donate=0), function(step)
            first: list[np.ndarray] = []
            for number, args in enumerate(calls):
                progress(number)
                way = "record"
                graph = step(*tensors(args))
                wanted = Wanted(graph, args[1].n, progress)
                for way, run in _ways(graph, number):  # noqa: B007  # names what raises
                    wanted.compare(run())
                way = "function"
                with splitting(threads[0]):
                    found = _copied(functions[threads[0]](*args))
                wanted.compare(found)
                for n in (threads[0], *threads):
                    way = f"function, {n} threads" if n != threads[0] else "function, again"
                    if n != threads[0] and number % 2:
                        continue
                    with splitting(n):
                        same_bits(wanted.paths, _copied(functions[n](*args)), found)
                first = first or found
                if number % 3 == 0:
                    way = "function, all tensors large"
                    with splitting(threads[-1]), large_tensors():
                        wanted.compare(_copied(large(*args)))
                if number % 2 == 0:
                    way = "function, donated"
                    with splitting(threads[-1]):
                        given = copy.deepcopy(args[0])
                        same_bits(wanted.paths, _copied(donating(given, *args[1:])), found)
            number, way = 0, "function, after other calls"
            with splitting(threads[0]):
                again = _copied(functions[threads[0]](*calls[0]))
            same_bits(_paths(again), again, first)
            text = functions[threads[0]].explain(*calls[0])
            compiled = "no code" not in text and "compiled" in text
    except Disagreement as error:
        return Outcome(Wrong(way, number, str(error), error.place, error.limit))
    except Exception as error:
        words = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        return Outcome(Wrong(f"{way} raises", number, words))
    return Outcome(None, len(calls), compiled)


def _ways(graph: Any, number: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "evaluate", lambda: evaluate(graph)
    if number == 0:
        yield "unfold", lambda: reference(unfold(graph, expand=True))


@contextmanager
def splitting(threads: int) -> Iterator[None]:
    """Compiled kernels on so many threads, however small the work; on several, levels are taken
    for wide, which must make no difference either."""
    kept = runner.SPLIT, os.environ.get("MINIGRAD_NUM_THREADS")
    wide, compiled.WIDE = compiled.WIDE, 0 if threads > 1 else compiled.WIDE
    runner.SPLIT = -1
    os.environ["MINIGRAD_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        runner.SPLIT, compiled.WIDE = kept[0], wide
        if kept[1] is None:
            del os.environ["MINIGRAD_NUM_THREADS"]
        else:
            os.environ["MINIGRAD_NUM_THREADS"] = kept[1]


@contextmanager
def large_tensors() -> Iterator[None]:
    """Every tensor per node is taken for one whose way through memory costs most."""
    kept = compiled.LARGE, compiled.LONG
    compiled.LARGE, compiled.LONG = 1, 0
    try:
        yield
    finally:
        compiled.LARGE, compiled.LONG = kept


def _copied(tree: Any) -> list[np.ndarray]:
    return [np.array(a) for a in optree.tree_leaves(tree)]


def _paths(tree: Any) -> list[tuple]:
    return optree.tree_paths(tree)


class Wanted:
    """The reference's values, and how far rounding may carry them (found out when needed)."""

    def __init__(self, graph: Any, rows: int, tick: Callable[[int], Any]) -> None:
        self.rows, self.tick = rows, tick
        self.paths = _paths(graph)
        leaves = optree.tree_leaves(graph)
        self.values = [np.asarray(a) for a in optree.tree_leaves(reference(graph))]
        self.outputs = [t for t in leaves if isinstance(t, Tensor)]
        self.number = {k: n for n, k in enumerate(
            k for k, t in enumerate(leaves) if isinstance(t, Tensor))}  # fmt: skip
        self.growth: Growth | None = None

    def compare(self, found: Any) -> None:
        """Raises Disagreement where `found` is not the reference, to rounding."""
        for k, (a, b) in enumerate(zip(optree.tree_leaves(found), self.values, strict=True)):
            a = np.asarray(a)
            if a.shape != b.shape or a.dtype != b.dtype:
                raise Disagreement(f"{a.dtype}{a.shape} in place of {b.dtype}{b.shape}",
                                   (self.paths[k], ()))  # fmt: skip
            far = distance(a, b)
            if (far <= self._quick(b)).all():
                continue
            self.growth = self.growth or Growth(self.outputs, runs=0)
            for runs in (9, 60):  # a kink that rounding may cross is seen with enough runs
                self.growth.more(runs, self.tick)
                limit = self._limit(self.growth, self.number[k], b)
                if (far <= limit).all():
                    break
            else:
                with np.errstate(all="ignore"):
                    at = int(np.nanargmax(np.where(far > limit, far, -1)))
                index = tuple(map(int, np.unravel_index(at, a.shape)))
                value, right = a.flat[at].item(), b.flat[at].item()
                bad = int((far > limit).sum())
                raise Disagreement(
                    f"{self.paths[k]}{list(index)} is {value!r}, the reference says {right!r} "
                    f"(rounding allows {limit.flat[at]:.2g}; {bad} of {a.size} numbers are off)",
                    (self.paths[k], index), float(limit.flat[at]),
                )  # fmt: skip

    def _quick(self, b: np.ndarray) -> Any:
        """Some rounding errors of its size or the usual one, and more where more is summed."""
        if b.dtype.kind != "f" or not b.size:
            return 0.0
        with np.errstate(all="ignore"):
            size = np.abs(b).astype(float)
            finite = size[np.isfinite(size) & (size > 0)]
            usual = float(np.median(finite)) if finite.size else 0.0
            size = np.where(np.isfinite(size), size, 0)
            errors = QUICK * (1 + self.rows / 16)
            return errors * float(np.finfo(b.dtype).eps) * np.maximum(size, usual)

    @staticmethod
    def _limit(growth: Growth, n: int, b: np.ndarray) -> np.ndarray:
        """What the written-out graph's runs allow around its own value, and so around ours."""
        limit, own = growth.tolerance(n), distance(growth.value[n], b)
        return limit + np.where(own <= limit, own, 0)


def same_bits(paths: list[tuple], found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for path, *pair in zip(paths, found, wanted, strict=True):
        # IEEE 754 leaves the sign and the payload of a NaN open.
        a, b = (np.where(np.isnan(x), np.nan, x).astype(x.dtype) for x in pair)
        if a.tobytes() != b.tobytes():
            raw = [np.ascontiguousarray(x).reshape(-1).view(f"u{x.itemsize}") for x in (a, b)]
            at = int(np.argmax(raw[0] != raw[1]))
            index = tuple(map(int, np.unravel_index(at, a.shape)))
            raise Disagreement(
                f"{path}{list(index)} is {a.flat[at].item()!r}, before it was "
                f"{b.flat[at].item()!r}", (path, index),
            )  # fmt: skip
