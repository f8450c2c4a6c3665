"""How far rounding can carry a result: the error model of the fuzzer.

Two correct ways to compute one graph differ by rounding, and how much depends on the graph:
a mean that is subtracted cancels, a recurrence amplifies.
So the graph is written out, op by op, and run several times
with every op's result (and the terms of every sum) moved
by a few units in the last place, at random.
What those runs differ by is what rounding can do
(Monte Carlo arithmetic: Parker, "Monte Carlo Arithmetic", 1997).
Equal numbers round alike: what is added up of n equal rows is off by n errors,
of which independent moves show only about sqrt(n).
So every third run moves equal numbers alike; and as a running total of n equal numbers is rounded
the same way again and again, their sum by as many errors as a part of n besides.
Another order of summation, a fused multiply-add,
or a vector function good to a few units stays within a small factor of that;
a wrong number does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...graph import Tensor, toposort
from ...rewrite.unfold import unfold
from ...run.reference import compute

UNITS = 4.0  # how many rounding errors a value is moved by, at most
TOGETHER = 2.0  # the same where equal numbers are moved alike, and nothing averages out
AGAIN = 1 / 8  # rounding errors for every equal number in a sum (a half each, were all one way)
FACTOR = 8.0  # by how much more than the runs seen another correct run may differ
# Where the middle run is off by this share of the value, errors have grown by powers of ten, and
# runs differ by powers: another may be as far above the largest as that is above the middle one.
CHAOS = 0.01
EXACT = frozenset(  # ops that round nothing
    "negative abs relu maximum minimum where sign identity stop_gradient absorb astype max min "
    "argmax argmin argsort searchsorted floor ceil trunc round any all".split()
)
MIX = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)
SUMS = frozenset("add subtract sum cumulative_sum einsum scatter linear_recurrence norm".split())


class Growth:
    """The error model of a graph's outputs, from so many runs.

    value[k] : output k.
    far[k]   : how far each run lies from it, elementwise;
               infinite where they do not agree on what is NaN or infinite.
    """

    def __init__(self, outputs: Sequence[Tensor], runs: int = 9) -> None:
        self.plain = unfold(list(outputs), expand=True)
        self.order = toposort(self.plain)
        self.value, self.huge = _run(self.order, self.plain, None)
        self.far: list[list[np.ndarray]] = [[] for _ in self.value]
        self.runs = 0
        self.more(runs)

    def more(self, runs: int, tick: Callable[[int], Any] = id) -> None:
        """Go on until there were so many runs; `tick` is told each one's number."""
        for k in range(self.runs, runs):
            tick(k)
            moved, huge = _run(self.order, self.plain, _Moves(k))
            self.huge |= huge
            for far, a, b in zip(self.far, moved, self.value, strict=True):
                far.append(distance(a, b))
        self.runs = max(runs, self.runs)

    def tolerance(self, k: int) -> np.ndarray:
        """How far output k may differ from a correct result, elementwise."""
        value, spread = np.asarray(self.value[k]), np.max(self.far[k], axis=0)
        if self.huge:  # near the end of the range, the order of a sum decides whether it overflows
            return np.full_like(spread, np.inf)
        if value.dtype.kind != "f":
            return spread
        info = np.finfo(value.dtype)
        with np.errstate(all="ignore"):
            size = np.where(np.isfinite(value), np.abs(value), 0).astype(float)
            own = 4 * UNITS * float(info.eps) * size + 4 * float(info.tiny)
            middle = np.median(self.far[k], axis=0)
            tail = np.where(middle > CHAOS * size, spread / middle, 0)
            return np.maximum(FACTOR, np.nan_to_num(tail, nan=0.0)) * spread + own


def distance(a: Any, b: Any) -> np.ndarray:
    """|a - b| elementwise; 0 for equal infinities and two NaN, infinity where only one is."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "f":
        return np.where(a == b, 0.0, np.inf)
    with np.errstate(all="ignore"):
        far = np.abs(np.subtract(a, b, dtype=np.float64))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        return np.where(same, 0.0, np.where(np.isfinite(a) & np.isfinite(b), far, np.inf))


def _run(
    order: Sequence[Tensor], outputs: Sequence[Tensor], moves: _Moves | None
) -> tuple[list[Any], bool]:
    """The outputs' values, moved where there are `moves`; whether some value nearly overflows."""
    env: dict[Tensor, Any] = {}
    huge = False
    with np.errstate(all="ignore"):
        for t in order:
            if not t.inputs and t._value is not None:
                env[t] = t._value
                continue
            if moves is not None and t.op.name in SUMS:
                read = {i: moves.moved(env[i]) for i in t.inputs}
            else:
                read = env
            value = compute(t, read)
            if moves is not None and t.dtype.kind == "f":
                if t.op.kind != "movement" and t.op.name not in EXACT:
                    value = moves.moved(value, _equal_terms(t, env) if moves.alike else 0)
                size = np.abs(value)
                huge |= bool(((size > np.finfo(t.dtype).max / 64) & np.isfinite(size)).any())
            env[t] = value
    return [env[t] for t in outputs], huge


def _equal_terms(t: Tensor, env: dict[Tensor, Any]) -> Any:
    """Of a sum, elementwise, how many of its terms are one number."""
    if t.op.name == "add" and len(t.inputs) > 2:
        terms = np.stack(np.broadcast_arrays(*(env[x] for x in t.inputs)))
        return (terms == terms[len(terms) // 2]).sum(axis=0)
    if t.op.name == "sum" and t.inputs[0].size:
        x, axis = np.asarray(env[t.inputs[0]]), t.attrs["axis"]
        one = x[tuple(n // 2 if k - x.ndim in axis else slice(None) for k, n in enumerate(x.shape))]
        return (x == np.expand_dims(one, axis)).sum(axis=axis)
    return 0


class _Moves:
    """The rounding errors of run k; of every third the same for equal numbers, in whatever node
    they are: the rows of a recurrence are written out as nodes of their own."""

    def __init__(self, k: int) -> None:
        self.rng, self.alike = np.random.default_rng(k), k % 3 == 2
        self.key = self.rng.integers(2**64, dtype=np.uint64)

    def moved(self, value: Any, again: Any = 0) -> Any:
        """A value off by some rounding errors, and by one for each of so many equal terms of it;
        a number too small to be normal by as much as itself, and a zero with either sign: neither
        is promised."""
        a = np.asarray(value)
        if a.dtype.kind != "f" or not a.size:
            return value
        info = np.finfo(a.dtype)
        u = self._by_number(a) if self.alike else self.rng.uniform(-1, 1, a.shape)
        units = TOGETHER + AGAIN * np.asarray(again) if self.alike else UNITS
        small = np.abs(a) < info.tiny
        moved = a * np.where(small, 1 + u, 1 + units * info.eps * u).astype(a.dtype)
        return np.where(a == 0, np.copysign(a, u.astype(a.dtype)), moved)

    def _by_number(self, a: np.ndarray) -> np.ndarray:
        """Random in [-1, 1), made of the bits of |a| (mixed as by MurmurHash3's finalizer)."""
        bits = np.abs(a).view(f"u{a.itemsize}").astype(np.uint64)
        bits ^= self.key
        for factor in MIX:
            bits ^= bits >> np.uint64(33)
            bits *= factor
        return (bits >> np.uint64(11)) * 2.0**-52 - 1
