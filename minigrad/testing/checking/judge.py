"""What is concluded from one difference between a found gradient and the true slope.

Everything is compared in the widest numbers to be had.
A difference is called wrong only where it exceeds what the oracle says of its own error,
what rounding does to the gradient (known from evaluating it in two types),
and what rounding of the largest value on the way could do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from .directions import Direction, dyadic, tiniest
from .oracles import STAIRS, Move, Slopes, complex_step, differences, refined
from .point import Arrays, Point
from .verdicts import Verdict

WHOLE = 1e-13  # how well directions that keep values tied are known, in double precision
SAMPLE = 4  # of so many directions with a difference in a row, each confirmed, the rest is believed
MOST = 1e300  # slopes in long double may be larger than a double
SEEN = 1e-4  # an oracle that cannot tell 1 part in 10,000 decides nothing


class Claim(Protocol):
    """A function with claimed derivatives, at one point.

    names, xs      : the differentiable inputs.
    pull(u, dtype) : the claimed gradient of <u, f>, in `dtype` or (None) as recorded.
    push(v, dtype) : the claimed change of all outputs along v.
    largest        : the largest number that the last of them in a given dtype met on its way,
                     at least 1.
    """

    names: list[str]
    xs: Arrays
    shapes: list[tuple[int, ...]]
    largest: float

    def pull(self, u: Any, dtype: Any) -> Arrays: ...
    def push(self, v: Arrays, dtype: Any) -> Any: ...


@dataclass
class Seen:
    """One comparison: the gradient along direction `way` (rev), or output `out` moved (fwd)."""

    verdict: Verdict
    mode: str
    way: Direction
    found: float
    expected: Any
    error: float
    estimate: float
    tolerance: float
    u: int = 0
    out: int = 0


class Judge:
    """Compares along every direction, and keeps what it saw."""

    def __init__(
        self, p: Claim, pt: Point, ways: list[Direction], slopes: Slopes,
        rng: np.random.Generator, tol: float | None, exact: Any,
    ) -> None:  # fmt: skip
        self.p, self.pt, self.ways, self.slopes, self.rng = p, pt, ways, slopes, rng
        self.exact, self.tol = exact, tol
        self.native_eps = max(
            (float(np.finfo(x.dtype).eps) for x in p.xs if x.dtype.itemsize < 8), default=0.0
        )
        self.finite = np.isfinite(pt.y)
        if pt.y_native is not None:
            self.finite = self.finite & np.isfinite(pt.y_native)
        many = 1 if len(pt.y) == 1 else 2
        self.us = [np.where(self.finite, dyadic(rng, len(pt.y)), 0.0) for _ in range(many)]
        self.wide: list[Arrays] = []
        self.largest: list[float] = []  # on the way to each of `wide`
        self.seen: list[Seen] = []

    @property
    def rtol(self) -> float:
        """The relative tolerance: the one asked for, or what the oracle and the types allow."""
        if self.tol is not None:
            return self.tol
        coarse = (self.pt.eps or float(np.finfo(self.pt.dtype).eps)) > 1e-18
        by_oracle = 1e-6 if coarse and self.slopes.name[0] != "c" else 1e-9
        return max(by_oracle, min(256 * self.native_eps, 0.1 * SEEN))

    def compare(self, modes: tuple[str, ...], dear: bool) -> None:
        self.seen = []
        if "rev" in modes:
            self.reverse()
        if "fwd" in modes and self.exact is None:
            self.forward(dear)

    def reverse(self) -> None:
        self.wide, self.largest = [], []
        for n, u in enumerate(self.us):
            wide, largest = self.p.pull(u, self.pt.dtype), self.p.largest
            native = self.p.pull(u, None)
            self.wide.append(wide)
            self.largest.append(largest)
            s = self.slopes
            if self.exact is not None:
                true = self.exact(u)
                flat = np.array([along(true, w.move) for w in self.ways])
                plus, minus, error = flat, flat, 1e-12 * np.abs(flat)
                infinite = touched = np.zeros(len(flat), bool)
            else:
                on = u != 0
                plus, minus = combined(s.plus[:, on], s.minus[:, on], u[on])
                error = s.error[:, on] @ np.abs(u[on])
                infinite = s.infinite[:, on].any(axis=1)
                off = s.plus[:, ~self.finite]
                touched = np.full(len(plus), off.size > 0)  # 0 * NaN is NaN, in their gradients too
            scale = self._scales(plus, minus)
            for k, way in enumerate(self.ways):
                found, plain = along(wide, way.move), along(native, way.move)
                rounding = _rounding(wide, native, way.move, self.pt)
                rounding += WHOLE * float(scale.max()) if way.whole else 0.0
                got = self.conclude(
                    "rev", way, found, plain, plus[k], minus[k], error[k], rounding, scale[k],
                    bool(infinite[k]), bool(touched[k]), largest,
                )  # fmt: skip
                got.u = n
                self.seen.append(got)

    def forward(self, dear: bool = False) -> None:
        """Along every direction of several elements.

        If `dear`, all inputs together come first,
        and only one direction of each follows, where that showed a difference.
        """
        owners = [w.owner for w in self.ways]
        chosen = set(range(len(owners)))
        if dear and -1 in owners:
            chosen = {owners.index(-1)}
            self._forward(chosen)
            if not self.doubtful():
                return
            chosen = {owners.index(o) for o in set(owners)} - chosen
        self._forward(chosen)

    def _forward(self, chosen: set[int]) -> None:
        s = self.slopes
        for k, way in enumerate(self.ways):
            if way.element is not None or k not in chosen:
                continue
            v = [
                np.zeros(x.shape) if d is None else d
                for x, d in zip(self.pt.xs, way.move, strict=True)
            ]
            wide, largest = self.p.push(v, self.pt.dtype), self.p.largest
            native = self.p.push(v, None)
            scale = _largest(s.plus[k])
            ratio = _ratio(self.pt, np.asarray(native).dtype)
            loose = WHOLE * _largest(s.plus[:, self.finite]) if way.whole else 0.0
            for out in np.flatnonzero(self.finite):
                with np.errstate(all="ignore"):
                    apart = float(np.abs(wide[out] - native[out])) * ratio
                    rounding = loose + (apart if np.isfinite(apart) else 0.0)
                got = self.conclude(
                    "fwd", way, wide[out], native[out], s.plus[k, out], s.minus[k, out],
                    s.error[k, out], rounding, scale, bool(s.infinite[k, out]), False, largest,
                )  # fmt: skip
                got.out = int(out)
                self.seen.append(got)

    def _scales(self, plus: Any, minus: Any) -> Any:
        """Per direction: the largest slope of its input."""
        size = np.fmax(np.abs(plus), np.abs(minus))
        size = np.where(np.isfinite(size), np.minimum(size, MOST), 0).astype(float)
        owners = np.array([w.owner for w in self.ways])
        best = {o: size[owners == o].max(initial=0) for o in set(owners.tolist())}
        best[-1] = size.max(initial=0)
        return np.array([best[o] for o in owners.tolist()])

    def conclude(
        self, mode: str, way: Direction, found: Any, native: Any, plus: Any, minus: Any, error: Any,
        rounding: float, scale: float, infinite: bool, touched: bool, largest: float,
    ) -> Seen:  # fmt: skip
        """What follows from one comparison.  largest: the largest number on the way to `found`."""
        low, high = min(plus, minus), max(plus, minus)
        known = np.isfinite(low) and np.isfinite(high) and not infinite
        estimate = float(error) + rounding
        tolerance = self.rtol * float(max(abs(low), abs(high))) + 1e-6 * self.rtol * scale
        tolerance += 10 * estimate
        off = float(max(low - found, found - high, 0)) if np.isfinite(found) else np.inf
        got = Seen(
            Verdict.CORRECT, mode, way, float(found),
            float(low) if low == high else (float(low), float(high)), off, float(error), tolerance,
        )  # fmt: skip
        if touched and not (np.isfinite(found) and np.isfinite(native)):
            got.verdict, got.error = Verdict.SINGULAR, 0.0
        elif not known:
            infinite = np.isinf(found) and np.isinf(plus) and np.isinf(minus)
            opposite = infinite and plus == minus and found != plus
            got.verdict = Verdict.WRONG if opposite else Verdict.SINGULAR
            got.error = 0.0 if got.verdict is Verdict.SINGULAR else np.inf
        elif not off <= tolerance:
            noise = self._is_noise(found, scale, way)
            got.verdict = Verdict.CORRECT if noise else self._wrong(off, scale, largest)
        elif 10 * estimate > SEEN * scale > 0 or estimate >= STAIRS:
            got.verdict = Verdict.CORRECT if self._is_noise(found, scale, way) else self._unsure()
        else:
            got.verdict = self._plain(found, native, low, high, scale, tolerance, largest)
        return got

    def _is_noise(self, found: Any, scale: float, way: Direction) -> bool:
        """Whether no change of the input by its own size would change a digit of the outputs.

        The slope of a saturated function is lost to rounding on both sides.
        """
        eps = self.pt.eps or float(np.finfo(self.pt.dtype).eps)
        pairs = [(x, d) for x, d in zip(self.pt.xs, way.move, strict=True) if d is not None]
        whole = max(_largest(x) for x, _ in pairs)
        sizes = [np.abs(x[d != 0]) / np.maximum(1, np.abs(d[d != 0])) for x, d in pairs]
        moved = max(float(size.max(initial=0)) for size in sizes)
        size = max(moved, min(1.0, whole)) or 1.0
        y = np.abs(self.pt.y[self.finite]).max(initial=0)
        most = max(abs(float(found)), scale) * size
        ordinary = min(1.0, max(map(_largest, self.pt.xs))) or 1.0
        lost = min(abs(float(found)), scale) == 0 and most <= 1e3 * eps * ordinary
        lost |= most < 1e-290  # below the range of 64 bits
        return bool(lost or most <= 1e3 * eps * float(y))

    def _unsure(self) -> Verdict:
        return Verdict.IMPRECISE if self.pt.eps > 1e-10 else Verdict.ILL

    def _wrong(self, off: float, scale: float, largest: float) -> Verdict:
        """A difference below what rounding of the largest value on the way explains is no proof."""
        floor = 1e3 * (self.pt.eps or float(np.finfo(self.pt.dtype).eps)) * largest
        if off <= 256 * self.native_eps * scale:  # its constants were rounded to that type
            return Verdict.IMPRECISE
        if not off <= floor:
            return Verdict.WRONG
        return self._unsure() if floor > SEEN * scale and scale else Verdict.CORRECT

    def _plain(
        self, found: Any, native: Any, low: Any, high: Any, scale: float, tolerance: float,
        largest: float,
    ) -> Verdict:  # fmt: skip
        """The gradient as it is computed in the recorded types, beside the one without rounding."""
        ok = Verdict.KINK if high - low > max(1e-6 * abs(high), tolerance) else Verdict.CORRECT
        dtype = np.asarray(native).dtype
        if dtype == self.pt.dtype:
            return ok
        limit = (1e-6 if dtype.itemsize == 8 else 5e-4) * max(abs(float(found)), 1e-3 * scale)
        single = Verdict.IMPRECISE if dtype.itemsize < 8 else Verdict.ILL
        if not np.isfinite(native):
            most = float(np.finfo(dtype).max)
            if native == np.sign(found) * np.inf and abs(found) > most:
                return ok  # no number of that type is as large
            return single if dtype.itemsize < 8 or largest > most else Verdict.WRONG
        away = float(max(low - native, native - high, 0))  # below the range of 64 bits: nothing
        return ok if away <= limit + tolerance else single

    # -- second thoughts ---------------------------------------------------------------------------

    def doubtful(self) -> bool:
        return any(s.verdict is Verdict.WRONG for s in self.seen)

    def refine(self) -> bool:
        """Closer estimates of the complex step's own error, where that left something undecided."""
        ways = {id(s.way) for s in self.seen if not s.verdict.conclusive}
        at = [k for k, w in enumerate(self.ways) if id(w) in ways]
        if not at or not self.pt.analytic:
            return False
        moves, s = [self.ways[k].move for k in at], self.slopes
        rows = complex_step(self.pt, moves).plus
        taken = (s.plus[at] == rows) & (s.minus[at] == rows)
        closer = np.fmin(s.error[at], refined(self.pt, moves, rows))
        s.error[at] = np.where(taken, closer, s.error[at])
        return True

    def confirm(self) -> None:
        """Wrong only if two means agree with each other clearly better than with what was found:
        the complex step, or differences with steps of other sizes."""
        ways = list({id(s.way): s.way for s in self.seen if s.verdict is Verdict.WRONG}.values())
        for k, way in enumerate(ways):
            means = self._means(way)
            fine = True
            for seen in self.seen:
                if seen.way is way and seen.verdict is Verdict.WRONG:
                    seen.verdict = self._confirmed(seen, means)
                    fine &= seen.verdict is Verdict.WRONG
            if fine and k >= SAMPLE:
                return

    def _means(self, way: Direction) -> list[Slopes]:
        tiny = tiniest(self.pt.xs, way.move)
        shrinks = [1.0, 2.0**-5, 2.0**-10, *([tiny, tiny * 2.0**-5] if tiny else [])]
        means = [differences(self.pt, [way.move], s) for s in shrinks]
        if self.pt.analytic:
            means.append(complex_step(self.pt, [way.move]))
        return means

    def _confirmed(self, seen: Seen, means: list[Slopes]) -> Verdict:
        if not (np.isfinite(seen.expected).all() and np.isfinite(seen.found)):
            return seen.verdict
        on = self.us[seen.u] != 0 if seen.mode == "rev" else seen.out
        ends = []
        for s in means:
            if seen.mode == "rev":
                pair = combined(s.plus[0, on], s.minus[0, on], self.us[seen.u][on])
            else:
                pair = min(s.plus[0, on], s.minus[0, on]), max(s.plus[0, on], s.minus[0, on])
            if np.isfinite(pair).all():
                ends.append((float(pair[0]), float(pair[1])))
        for a, b in combinations(ends, 2):
            apart = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
            off = min(max(x[0] - seen.found, seen.found - x[1], 0) for x in (a, b))
            if apart <= 0.1 * off and off >= max(seen.tolerance, 0.1 * seen.error):
                return Verdict.WRONG
        return self._unsure()

    def settle(self) -> None:
        """Differences that change with the size of their steps prove nothing wrong."""
        for way in {id(s.way): s.way for s in self.seen if s.verdict is Verdict.WRONG}.values():
            at = next(k for k, w in enumerate(self.ways) if w is way)
            shrink = tiniest(self.pt.xs, way.move) or 2.0**-5
            other, s = differences(self.pt, [way.move], shrink * 2.0**-5), self.slopes
            for one, two in ((s.plus, other.plus), (s.minus, other.minus)):
                apart = np.abs(one[at] - two[0])
                limit = 100 * (s.error[at] + other.error[0]) + 1e-5 * np.abs(one[at])
                if np.any((apart > limit)[self.finite]):
                    for seen in self.seen:
                        if seen.way is way and seen.verdict is Verdict.WRONG:
                            seen.verdict = self._unsure()

    def distrusted(self) -> bool:
        """Whether plain differences contradict the complex step where it called something wrong."""
        ways = list({id(s.way): s.way for s in self.seen if s.verdict is Verdict.WRONG}.values())[
            :4
        ]
        at = [next(k for k, w in enumerate(self.ways) if w is way) for way in ways]
        other = differences(self.pt, [w.move for w in ways])
        true, error = self.slopes.plus[at], 100 * other.error + 1e-6 * np.abs(self.slopes.plus[at])
        near = np.fmax(np.abs(other.plus - true), np.abs(other.minus - true)) <= error
        return not bool(np.all((near | np.isnan(other.plus))[:, self.finite]))


def _largest(values: Any) -> float:
    size = np.abs(values)
    return float(np.minimum(size[np.isfinite(size)], MOST).max(initial=0))


def combined(plus: Any, minus: Any, u: Any) -> tuple[Any, Any]:
    """Slopes of <u, f>: at kinks of several outputs each may lie anywhere between its two."""
    with np.errstate(all="ignore"):
        one, two = plus * u, minus * u
        return np.minimum(one, two).sum(axis=-1), np.maximum(one, two).sum(axis=-1)


def along(arrays: Arrays, move: Move) -> Any:
    """<gradient, direction>; elements that do not move count for nothing, whatever they hold."""
    total: Any = 0.0
    with np.errstate(all="ignore"):
        for g, d in zip(arrays, move, strict=True):
            if d is not None and g is not None:
                g = np.asarray(g)
                on = d != 0
                total = total + np.sum(g[on] * d[on].astype(g.dtype), dtype=g.dtype)
    return total


def _ratio(pt: Point, dtype: np.dtype) -> float:
    """How much smaller the wide type's rounding is than that of `dtype`."""
    return 16 * float(np.finfo(pt.dtype).eps) / float(np.finfo(dtype).eps)


def _rounding(wide: Arrays, native: Arrays, move: Move, pt: Point) -> float:
    """What rounding may do to the wide gradient along a direction.

    From what it does to the recorded type's.
    """
    total = 0.0
    with np.errstate(all="ignore"):
        for w, g, d in zip(wide, native, move, strict=True):
            if d is not None:
                ratio = _ratio(pt, np.asarray(g).dtype)
                apart = np.abs(np.asarray(w) - np.asarray(g)) * np.abs(d)
                if np.asarray(g).dtype == pt.dtype:  # nothing wider to compare with
                    apart, ratio = np.abs(w * d), 64 * float(np.finfo(pt.dtype).eps)
                total += ratio * float(np.sum(apart[np.isfinite(apart)]))
    return total
