"""Found gradients beside true slopes: what is concluded from each difference.

Sits between the oracles, which know slopes, and `check`, which knows functions.  A `Problem` is a
function with its claimed derivatives at one point; `examine` holds one against the other.  The
elements of a random direction that failed are searched by halving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .directions import Direction, dyadic, joined, paired_ways, slopes_along, tied_ways, ways_of
from .oracles import STAIRS, Move, Slopes, differences
from .tape import Arrays, Point
from .verdicts import Finding, Mistake, Verdict, diagnose

WHOLE = 1e-13  # how well directions that keep values tied are known, in double precision
TABLE = 1_000_000  # the most slopes that are kept at once
SEEN = 1e-4  # an oracle that cannot tell 1 part in 10,000 decides nothing


class Problem(Protocol):
    """A function with claimed derivatives, at one point.

    names, xs: the differentiable inputs.    pull(u, dtype): the claimed gradient of <u, f>, in
    `dtype` or (None) as recorded.    push(v, dtype): the claimed change of all outputs along v.
    """

    names: list[str]
    xs: Arrays
    shapes: list[tuple[int, ...]]

    def pull(self, u: Any, dtype: Any) -> Arrays: ...
    def push(self, v: Arrays, dtype: Any) -> Any: ...
    def size(self, u: Any) -> float: ...


def examine(
    p: Problem, pt: Point, modes: tuple[str, ...], rng: np.random.Generator,
    tol: float | None = None, budget: int = 400_000, order: int = 1, cost: int = 10,
    elements: bool = True, exact: Any = None,
) -> list[Finding]:  # fmt: skip
    """One finding per input and mode.  budget: how many op evaluations the oracle may take, `cost`
    for each run of the function.  exact(u): gradients given by the user, in place of an oracle."""
    smooth = pt.analytic and not pt.ties
    runs = max(24, budget // (max(cost, 1) * (1 if smooth else 16)))
    count = sum(x.size for x in p.xs)
    table = count * len(pt.y) * (1 if smooth else 16)  # slopes to be kept, in memory
    ways = ways_of(pt, rng, elements and count <= runs and table <= TABLE, len(p.xs))
    if pt.ties:
        ways += tied_ways(pt, rng, ways)
    slopes = slopes_along(pt, ways, smooth)
    apart = np.abs(slopes.plus - slopes.minus)[:, np.isfinite(pt.y)]
    kinked = np.flatnonzero((apart > 0).any(axis=1))
    if len(kinked) and not pt.ties:  # a kink inside an op whose branch points are not known
        extra = tied_ways(pt, rng, ways) + paired_ways([ways[k] for k in kinked])
        slopes, ways = joined(slopes, slopes_along(pt, extra, smooth)), ways + extra
    judge = _Judge(p, pt, ways, slopes, rng, tol, exact)
    judge.compare(modes)
    if smooth and judge.doubtful() and judge.distrusted():
        judge.slopes = slopes_along(pt, ways, False)
        judge.compare(modes)
    return judge.findings(order, runs)


# -- judging ---------------------------------------------------------------------------------------


@dataclass
class _Seen:
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


class _Judge:
    """Compares along every direction; what it saw becomes one finding per input and mode."""

    def __init__(
        self, p: Problem, pt: Point, ways: list[Direction], slopes: Slopes,
        rng: np.random.Generator, tol: float | None, exact: Any,
    ) -> None:  # fmt: skip
        self.p, self.pt, self.ways, self.slopes, self.rng = p, pt, ways, slopes, rng
        self.exact = exact
        coarse = (pt.eps or float(np.finfo(pt.dtype).eps)) > 1e-18
        self.rtol = (
            tol if tol is not None else 1e-6 if coarse and not slopes.name[0] == "c" else 1e-9
        )
        self.native_eps = max(
            (float(np.finfo(x.dtype).eps) for x in p.xs if x.dtype.itemsize < 8), default=0.0
        )
        self.rtol = max(self.rtol, min(256 * self.native_eps, 0.1 * SEEN)) if tol is None else tol
        self.finite = np.isfinite(pt.y)
        if pt.y_native is not None:
            self.finite = self.finite & np.isfinite(pt.y_native)
        many = 1 if len(pt.y) == 1 else 2
        self.us = [np.where(self.finite, dyadic(rng, len(pt.y)), 0.0) for _ in range(many)]
        self.wide: list[Arrays] = []
        self.seen: list[_Seen] = []
        self.done: list[Finding] = []

    def compare(self, modes: tuple[str, ...]) -> None:
        self.seen = []
        if "rev" in modes:
            self.reverse()
        if "fwd" in modes and self.exact is None:
            self.forward()

    def reverse(self) -> None:
        self.wide = []
        for n, u in enumerate(self.us):
            wide, native = self.p.pull(u, self.pt.dtype), self.p.pull(u, None)
            self.wide.append(wide)
            s = self.slopes
            if self.exact is not None:
                true = self.exact(u)
                flat = np.array([_along(true, w.move) for w in self.ways])
                plus, minus, error = flat, flat, 1e-12 * np.abs(flat)
                infinite = touched = np.zeros(len(flat), bool)
            else:
                on = u != 0
                plus, minus = _combined(s.plus[:, on], s.minus[:, on], u[on])
                error = s.error[:, on] @ np.abs(u[on])
                infinite = s.infinite[:, on].any(axis=1)
                off = s.plus[:, ~self.finite]
                touched = np.full(len(plus), off.size > 0)  # 0 * NaN is NaN, in their gradients too
            scale = self._scales(plus, minus)
            for k, way in enumerate(self.ways):
                found, plain = _along(wide, way.move), _along(native, way.move)
                rounding = _rounding(wide, native, way.move, self.pt)
                rounding += WHOLE * float(scale.max()) if way.whole else 0.0
                got = self._one(
                    "rev", way, found, plain, plus[k], minus[k], error[k], rounding, scale[k],
                    bool(infinite[k]), bool(touched[k]), u,
                )  # fmt: skip
                got.u = n
                self.seen.append(got)

    def forward(self) -> None:
        s = self.slopes
        for k, way in enumerate(self.ways):
            if way.element is not None:
                continue
            v = [
                np.zeros(x.shape) if d is None else d
                for x, d in zip(self.pt.xs, way.move, strict=True)
            ]
            wide, native = self.p.push(v, self.pt.dtype), self.p.push(v, None)
            scale = float(
                np.nanmax(np.abs(np.where(np.isfinite(s.plus[k]), s.plus[k], 0)), initial=0)
            )
            ratio = _ratio(self.pt, np.asarray(native).dtype)
            loose = WHOLE * float(np.abs(s.plus[np.isfinite(s.plus)]).max(initial=0)) * way.whole
            for out in np.flatnonzero(self.finite):
                with np.errstate(all="ignore"):
                    rounding = float(np.abs(wide[out] - native[out])) * ratio + loose
                got = self._one(
                    "fwd", way, wide[out], native[out], s.plus[k, out], s.minus[k, out],
                    s.error[k, out], rounding, scale, bool(s.infinite[k, out]), False, None,
                )  # fmt: skip
                got.out = int(out)
                self.seen.append(got)

    def _scales(self, plus: Any, minus: Any) -> Any:
        """Per direction: the largest slope of its input."""
        size = np.fmax(np.abs(plus), np.abs(minus)).astype(float)
        size = np.where(np.isfinite(size), size, 0)
        owners = np.array([w.owner for w in self.ways])
        best = {o: size[owners == o].max(initial=0) for o in set(owners.tolist())}
        best[-1] = size.max(initial=0)
        return np.array([best[o] for o in owners.tolist()])

    def _one(
        self, mode: str, way: Direction, found: Any, native: Any, plus: Any, minus: Any, error: Any,
        rounding: float, scale: float, infinite: bool, touched: bool, u: Any,
    ) -> _Seen:  # fmt: skip
        low, high = min(plus, minus), max(plus, minus)
        known = np.isfinite(low) and np.isfinite(high) and not infinite
        estimate = float(error) + rounding
        tolerance = self.rtol * float(max(abs(low), abs(high))) + 1e-6 * self.rtol * scale
        tolerance += 10 * estimate
        off = float(max(low - found, found - high, 0)) if np.isfinite(found) else np.inf
        got = _Seen(
            Verdict.CORRECT, mode, way, float(found),
            float(low) if low == high else (float(low), float(high)), off, float(error), tolerance,
        )  # fmt: skip
        if touched and not np.isfinite(found):
            got.verdict, got.error = Verdict.SINGULAR, 0.0
        elif not known:
            opposite = (
                np.isinf(found)
                and np.isinf(plus)
                and np.isinf(minus)
                and (plus == minus and found != plus)
            )
            got.verdict = Verdict.WRONG if opposite else Verdict.SINGULAR
            got.error = 0.0 if got.verdict is Verdict.SINGULAR else np.inf
        elif not off <= tolerance:
            noise = self._is_noise(found, scale, way)
            got.verdict = Verdict.CORRECT if noise else self._wrong(off, scale, u)
        elif 10 * estimate > SEEN * scale > 0 or estimate >= STAIRS:
            got.verdict = Verdict.CORRECT if self._is_noise(found, scale, way) else self._unsure()
        else:
            got.verdict = self._plain(found, native, low, high, scale, tolerance)
        return got

    def _is_noise(self, found: Any, scale: float, way: Direction) -> bool:
        """Whether no change of the input by its own size would change a digit of the outputs: the
        slope of a saturated function is lost to rounding on both sides."""
        eps = self.pt.eps or float(np.finfo(self.pt.dtype).eps)
        moved = [np.abs(x[np.isfinite(x)]).max(initial=0) for x in self.pt.xs]
        size = float(max(moved) if way.owner < 0 else moved[way.owner]) or 1.0
        y = np.abs(self.pt.y[self.finite]).max(initial=0)
        most = max(abs(float(found)), scale) * size
        lost = min(abs(float(found)), scale) == 0 and most <= 1e3 * eps
        lost |= most < 1e-290  # below the range of 64 bits
        return bool(lost or most <= 1e3 * eps * float(y))

    def _unsure(self) -> Verdict:
        return Verdict.IMPRECISE if self.pt.eps > 1e-10 else Verdict.ILL

    def _wrong(self, off: float, scale: float, u: Any) -> Verdict:
        """A difference below what rounding of the largest value on the way explains is no proof."""
        floor = self._floor(u)
        if off <= 256 * self.native_eps * scale:  # its constants were rounded to that type
            return Verdict.IMPRECISE
        if not off <= floor:
            return Verdict.WRONG
        return self._unsure() if floor > SEEN * scale and scale else Verdict.CORRECT

    def _floor(self, u: Any) -> float:
        eps = self.pt.eps or float(np.finfo(self.pt.dtype).eps)
        return 1e3 * eps * self.p.size(self.us[0] if u is None else u)

    def _plain(
        self, found: Any, native: Any, low: Any, high: Any, scale: float, tolerance: float
    ) -> Verdict:
        """The gradient as it is computed in the recorded types, beside the one without rounding."""
        ok = Verdict.KINK if high - low > max(1e-6 * abs(high), tolerance) else Verdict.CORRECT
        dtype = np.asarray(native).dtype
        if dtype == self.pt.dtype:
            return ok
        limit = (1e-6 if dtype.itemsize == 8 else 5e-4) * max(abs(float(found)), 1e-3 * scale)
        single = Verdict.IMPRECISE if dtype.itemsize < 8 else Verdict.ILL
        if not np.isfinite(native):
            return single if dtype.itemsize < 8 else Verdict.WRONG
        away = max(low - native, native - high, 0)
        return ok if away <= limit + tolerance else single

    # -- second thoughts ---------------------------------------------------------------------------

    def doubtful(self) -> bool:
        return any(s.verdict is Verdict.WRONG for s in self.seen)

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

    # -- findings ----------------------------------------------------------------------------------

    def findings(self, order: int, runs: int) -> list[Finding]:
        groups: dict[tuple[int, str], list[_Seen]] = {}
        for j in range(len(self.p.xs)):
            for mode in ("rev", "fwd"):
                groups[j, mode] = []
        for s in self.seen:
            groups.setdefault((s.way.owner, s.mode), []).append(s)
        if any(s.verdict is Verdict.WRONG for k, g in groups.items() if k[0] >= 0 for s in g):
            for mode in ("rev", "fwd"):  # one input explains it
                groups.pop((-1, mode), None)
        modes = {s.mode for s in self.seen} or {"rev"}
        for (j, mode), group in groups.items():
            if j >= 0 and mode not in modes:
                continue
            if j < 0 and all(s.verdict.severity < Verdict.WRONG.severity for s in group):
                continue
            self.done.append(self._finding(j, mode, group, order, runs))
        return self.done

    def _finding(self, j: int, mode: str, group: list[_Seen], order: int, runs: int) -> Finding:
        name = self.p.names[j] if j >= 0 else "several inputs together"
        oracle = "the reference given" if self.exact is not None else self.slopes.name
        if not group:
            bad = j >= 0 and self.p.xs[j].size > 0
            verdict = Verdict.SINGULAR if bad else Verdict.CORRECT
            return Finding(name, mode, order, verdict, "none: nothing to move" if bad else "none")
        worst = max(
            group, key=lambda s: (s.verdict.severity, _excess(s), s.way.element is not None)
        )
        single = [s for s in group if s.verdict is worst.verdict and s.way.element is not None]
        best = max(single, key=_excess, default=worst)
        element = best.way.element
        f = Finding(
            name, mode, order, best.verdict, oracle, best.error, best.estimate, best.tolerance
        )
        if best.verdict is Verdict.WRONG:
            first = all(other.verdict is not Verdict.WRONG for other in self.done)
            if element is None and j >= 0 and mode == "rev" and self.exact is None and first:
                element, best = self._search(j, best, runs)
                f.error, f.tolerance = best.error, best.tolerance
            f.found, f.expected = best.found, best.expected
            f.diagnosis = self._diagnosis(j, best) if mode == "rev" else self._moved(best)
        elif not best.verdict.conclusive:
            f.found, f.expected = best.found, best.expected
        if element is not None and j >= 0:
            f.element = tuple(int(i) for i in np.unravel_index(element, self.p.xs[j].shape))
        return f

    def _search(self, j: int, worst: _Seen, runs: int) -> tuple[int | None, _Seen]:
        """Halve the elements of a direction that failed, until one is left."""
        d = np.asarray(worst.way.move[j], float)
        at = np.flatnonzero(d)
        best = worst
        while len(at) > 1:
            for half in (at[: len(at) // 2], at[len(at) // 2 :]):
                part = np.zeros(d.size)
                part[half] = d.reshape(-1)[half]
                move: Move = [None] * len(self.p.xs)
                move[j] = part.reshape(d.shape)
                way = Direction(move, j, int(half[0]) if len(half) == 1 else None)
                smooth = self.slopes.name[0] == "c"
                u = self.us[worst.u]
                s = slopes_along(self.pt, [way], smooth)
                on = u != 0
                plus, minus = _combined(s.plus[0, on], s.minus[0, on], u[on])
                wide = self.wide[worst.u]
                got = self._one(
                    "rev", way, _along(wide, move), _along(wide, move), plus, minus,
                    s.error[0, on] @ np.abs(u[on]), 0.0, float(max(abs(plus), abs(minus))),
                    bool(s.infinite[0, on].any()), False, u,
                )  # fmt: skip
                got.u = worst.u
                if got.verdict is Verdict.WRONG:
                    at, best = half, got
                    break
            else:
                return None, best
        return int(at[0]) if len(at) else None, best

    def _diagnosis(self, j: int, best: _Seen) -> str:
        if best.way.whole and not isinstance(best.expected, tuple):
            share = (
                f"{best.found / best.expected:.4g}, not 1"
                if best.expected
                else "not what they should"
            )
            return f"tie: where tied values move together, their weights sum to {share}"
        if j < 0:
            return ""
        true = [self._expected(k, best.u) for k in range(len(self.p.xs))]
        if true[j] is None:
            seen = [s for s in self.seen if s.way.owner == j and s.mode == "rev" and s.u == best.u]
            true_j = np.array([np.mean(s.expected) for s in seen])
            return diagnose(Mistake(np.array([s.found for s in seen]), true_j))
        shape = self.p.shapes[0] if len(self.p.shapes) == 1 else None
        ct = None if shape is None else self.us[best.u].reshape(shape)
        others = [
            (f"swapped: it is the gradient by {self.p.names[k]}", t)
            for k, t in enumerate(true)
            if k != j and t is not None
        ]
        found = np.asarray(self.wide[best.u][j], float)
        words = diagnose(Mistake(found, true[j], ct, others))
        if self.pt.ties and isinstance(best.expected, tuple):
            words = words or "tie: not between the slopes to either side"
        return words

    def _expected(self, j: int, u: int) -> Any:
        """The true gradient by input j as an array, where every element was compared."""
        seen = [
            s for s in self.seen
            if s.mode == "rev" and s.u == u and s.way.owner == j and s.way.element is not None
        ]  # fmt: skip
        x = self.p.xs[j]
        if len(seen) < x.size:
            return None
        true = np.zeros(x.size)
        for s in seen:
            true[s.way.element] = np.mean(s.expected)
        return true.reshape(x.shape)

    def _moved(self, best: _Seen) -> str:
        seen = [s for s in self.seen if s.mode == "fwd" and s.way is best.way]
        true = np.array([np.mean(s.expected) for s in seen])
        return diagnose(Mistake(np.array([s.found for s in seen]), true))


def _combined(plus: Any, minus: Any, u: Any) -> tuple[Any, Any]:
    """Slopes of <u, f>: at kinks of several outputs each may lie anywhere between its two."""
    with np.errstate(all="ignore"):
        one, two = plus * u, minus * u
        return np.minimum(one, two).sum(axis=-1), np.maximum(one, two).sum(axis=-1)


def _excess(s: _Seen) -> float:
    return s.error / s.tolerance if s.tolerance else (np.inf if s.error else 0.0)


def _along(arrays: Arrays, move: Move) -> Any:
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
    """What rounding may do to the wide gradient along a direction, from what it does to the
    recorded type's."""
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
