"""Found gradients beside true slopes: one finding per input and mode.

Sits between the oracles, which know slopes, and `check`, which knows functions;
`judge` concludes from single differences.
Here the directions are chosen, an oracle is chosen for them,
a verdict of "wrong" is tried against a second oracle, the worst of what was seen is picked,
the elements of a random direction that failed are searched by halving,
and the mistake is given a name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .directions import Direction, joined, paired_ways, slopes_along, still, tied_ways, ways_of
from .judge import Claim, Judge, Seen, along, combined
from .oracles import Move
from .point import Point
from .verdicts import Finding, Mistake, Verdict, diagnose

TABLE = 1_000_000  # the most slopes that are kept at once


@np.errstate(all="ignore")
def examine(
    p: Claim, pt: Point, modes: tuple[str, ...], rng: np.random.Generator,
    tol: float | None = None, budget: int = 400_000, order: int = 1, cost: int = 10,
    elements: bool = True, exact: Any = None,
) -> list[Finding]:  # fmt: skip
    """One finding per input and mode.

    budget   : how many op evaluations the oracle may take, `cost` for each run of the function.
    exact(u) : gradients given by the user, in place of an oracle.
    """
    smooth, dear = pt.analytic and not pt.ties, cost > 300
    runs = max(24, budget // (max(cost, 1) * (1 if smooth else 16)))
    count = sum(x.size for x in p.xs)
    table = count * len(pt.y) * (1 if smooth else 16)  # slopes to be kept, in memory
    ways = ways_of(pt, rng, elements and count <= runs and table <= TABLE, len(p.xs))
    if pt.ties:  # where tied values move in several ways at once, a slope need not be a gradient's
        keep = still(pt, [w.move for w in ways if w.owner < 0])
        ways = [w for w in ways if w.owner >= 0] + [
            w for w, ok in zip([w for w in ways if w.owner < 0], keep, strict=True) if ok
        ]
        ways += tied_ways(pt, rng, ways)
    slopes = slopes_along(pt, ways, smooth)
    apart = np.abs(slopes.plus - slopes.minus)[:, np.isfinite(pt.y)]
    kinked = np.flatnonzero((apart > 0).any(axis=1))
    if len(kinked) and not pt.ties:  # a kink inside an op whose branch points are not known
        extra = tied_ways(pt, rng, ways) + paired_ways([ways[k] for k in kinked])
        slopes, ways = joined(slopes, slopes_along(pt, extra, smooth)), ways + extra
    judge = Judge(p, pt, ways, slopes, rng, tol, exact)
    judge.compare(modes, dear)
    if smooth and judge.doubtful() and judge.distrusted():
        judge.slopes, smooth = slopes_along(pt, ways, False), False
        judge.compare(modes, dear)
    if exact is None and judge.refine():
        judge.compare(modes, dear)
    if exact is None and judge.doubtful():
        if not smooth:
            judge.settle()
        judge.confirm()
    return _findings(judge, order)


def _findings(judge: Judge, order: int) -> list[Finding]:
    groups: dict[tuple[int, str], list[Seen]] = {}
    for j in range(len(judge.p.xs)):
        for mode in ("rev", "fwd"):
            groups[j, mode] = []
    for s in judge.seen:
        groups.setdefault((s.way.owner, s.mode), []).append(s)
    if any(s.verdict is Verdict.WRONG for k, g in groups.items() if k[0] >= 0 for s in g):
        for mode in ("rev", "fwd"):  # one input explains it
            groups.pop((-1, mode), None)
    modes = {s.mode for s in judge.seen} or {"rev"}
    done: list[Finding] = []
    for (j, mode), group in groups.items():
        if j >= 0 and mode not in modes:
            continue
        if j < 0 and all(s.verdict.severity < Verdict.WRONG.severity for s in group):
            continue
        if not group and j >= 0 and np.isfinite(judge.p.xs[j]).any():
            group = groups.get((-1, mode), [])  # it moved together with the others only
        search = not any(f.verdict is Verdict.WRONG for f in done)
        done.append(_finding(judge, j, mode, group, order, search))
    return done


def _finding(
    judge: Judge, j: int, mode: str, group: list[Seen], order: int, search: bool
) -> Finding:
    name = judge.p.names[j] if j >= 0 else "all inputs together"
    oracle = "the reference given" if judge.exact is not None else judge.slopes.name
    if not group:
        bad = j >= 0 and judge.p.xs[j].size > 0
        verdict = Verdict.SINGULAR if bad else Verdict.CORRECT
        return Finding(name, mode, order, verdict, "none: nothing to move" if bad else "none")
    worst = max(group, key=lambda s: (s.verdict.severity, _excess(s), s.way.element is not None))
    single = [s for s in group if s.verdict is worst.verdict and s.way.element is not None]
    best = max(single, key=_excess, default=worst)
    element = best.way.element
    if j < 0:
        name = _together(judge, best)
    f = Finding(name, mode, order, best.verdict, oracle, best.error, best.estimate, best.tolerance)
    if best.verdict is Verdict.WRONG:
        if search and element is None and j >= 0 and mode == "rev" and judge.exact is None:
            element, best = _search(judge, j, best)
            f.error, f.tolerance = best.error, best.tolerance
        f.found, f.expected = best.found, best.expected
        f.diagnosis = _diagnosis(judge, j, best) if mode == "rev" else _moved(judge, best)
    elif not best.verdict.conclusive:
        f.found, f.expected = best.found, best.expected
    if element is not None and j >= 0:
        f.element = tuple(int(i) for i in np.unravel_index(element, judge.p.xs[j].shape))
    return f


def _search(judge: Judge, j: int, worst: Seen) -> tuple[int | None, Seen]:
    """Halve the elements of a direction that failed, until one is left."""
    d = np.asarray(worst.way.move[j], float)
    at = np.flatnonzero(d)
    best = worst
    while len(at) > 1:
        for half in (at[: len(at) // 2], at[len(at) // 2 :]):
            part = np.zeros(d.size)
            part[half] = d.reshape(-1)[half]
            move: Move = [None] * len(judge.p.xs)
            move[j] = part.reshape(d.shape)
            way = Direction(move, j, int(half[0]) if len(half) == 1 else None)
            smooth = judge.slopes.name[0] == "c"
            u = judge.us[worst.u]
            s = slopes_along(judge.pt, [way], smooth)
            on = u != 0
            plus, minus = combined(s.plus[0, on], s.minus[0, on], u[on])
            wide = judge.wide[worst.u]
            got = judge.conclude(
                "rev", way, along(wide, move), along(wide, move), plus, minus,
                s.error[0, on] @ np.abs(u[on]), 0.0, float(max(abs(plus), abs(minus))),
                bool(s.infinite[0, on].any()), False, judge.largest[worst.u],
            )  # fmt: skip
            got.u = worst.u
            if got.verdict is Verdict.WRONG:
                at, best = half, got
                break
        else:
            return None, best
    return int(at[0]) if len(at) else None, best


def _together(judge: Judge, best: Seen) -> str:
    """The inputs that moved."""
    moved = zip(judge.p.names, best.way.move, strict=True)
    names = [name for name, d in moved if d is not None and np.any(d)]
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more inputs"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names) + (
        " together" if names[1:] else ""
    )


def _diagnosis(judge: Judge, j: int, best: Seen) -> str:
    if best.way.whole and not isinstance(best.expected, tuple):
        return _of_a_tie(judge, best)
    if j < 0:
        return ""
    true = [_expected(judge, k, best.u) for k in range(len(judge.p.xs))]
    if true[j] is None:
        seen = [s for s in judge.seen if s.way.owner == j and s.mode == "rev"]
        return _of_directions(seen, judge.p.xs[j].size == 1)
    shape = judge.p.shapes[0] if len(judge.p.shapes) == 1 else None
    ct = None if shape is None else judge.us[best.u].reshape(shape)
    others = [
        (f"swapped: it is the gradient by {judge.p.names[k]}", t)
        for k, t in enumerate(true)
        if k != j and t is not None
    ]
    found = np.asarray(judge.wide[best.u][j], float)
    words = diagnose(Mistake(found, true[j], ct, others))
    if judge.pt.ties and isinstance(best.expected, tuple):
        words = words or "tie: not between the slopes to either side"
    return words


def _expected(judge: Judge, j: int, u: int) -> Any:
    """The true gradient by input j as an array, where every element was compared."""
    seen = [
        s for s in judge.seen
        if s.mode == "rev" and s.u == u and s.way.owner == j and s.way.element is not None
    ]  # fmt: skip
    x = judge.p.xs[j]
    if len(seen) < x.size:
        return None
    true = np.zeros(x.size)
    for s in seen:
        true[s.way.element] = np.mean(s.expected)
    return true.reshape(x.shape)


def _moved(judge: Judge, best: Seen) -> str:
    if best.way.whole and not isinstance(best.expected, tuple):
        return _of_a_tie(judge, best)
    j = best.way.owner
    seen = [s for s in judge.seen if s.mode == "fwd" and s.way.owner == j]
    return _of_directions(seen, j >= 0 and judge.p.xs[j].size == 1)


def _of_directions(seen: list[Seen], whole: bool) -> str:
    """A mistake that shows in all of several comparisons.

    One number has a ratio to anything, so it tells nothing, unless it is the whole gradient.
    """
    true = np.array([np.mean(s.expected) for s in seen])
    words = diagnose(Mistake(np.array([s.found for s in seen]), true))
    alone = np.count_nonzero(true) < 2 and not whole
    return "" if alone and words.startswith(("factor", "sign", "reversed")) else words


def _of_a_tie(judge: Judge, best: Seen) -> str:
    """What the shares of tied values sum to, from the direction in which just these move."""
    for s in (best, *judge.seen):
        if s.way.tied and s.verdict is Verdict.WRONG and not isinstance(s.expected, tuple):
            if s.expected:
                return f"tie: the shares of tied values sum to {s.found / s.expected:.4g}, not 1"
    return "tie: not the slope where tied values move together"


def _excess(s: Seen) -> float:
    return s.error / s.tolerance if s.tolerance else (np.inf if s.error else 0.0)
