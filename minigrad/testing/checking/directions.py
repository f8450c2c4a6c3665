"""Which directions a gradient is compared along, and the slopes along them.

Sits on the oracles.
For small inputs every element is a direction;
for large ones three random directions per input stand for all;
at ties, directions that keep the tied values together are added,
because there a kink does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np

from .oracles import HUGE, STAIRS, TINY, Move, Slopes, complex_step, differences, step_of
from .point import Arrays, Point


@dataclass
class Direction:
    """One direction to compare along.  owner: the input that moves (-1: several);
    element: its flat number, where only one does.  whole: keeps tied values together.
    tied: moves the tied elements, all by the same, and nothing else."""

    move: Move
    owner: int
    element: int | None = None
    whole: bool = False
    tied: bool = False


def dyadic(rng: np.random.Generator, shape: Any) -> Any:
    """Random numbers k/8, not near 0, which every float type holds exactly."""
    return rng.choice([-1.0, 1.0], shape) * rng.integers(4, 17, shape) / 8


def ways_of(pt: Point, rng: np.random.Generator, elementwise: bool, n: int) -> list[Direction]:
    """Every element, or three random directions per input; then all inputs together.

    Elements beside which others vanish have a direction of their own, with steps of their size.
    """
    ways: list[Direction] = []
    both: Move = []
    for j, (x, ok, huge) in enumerate(zip(pt.xs, *_movable(pt), strict=True)):
        nothing: Move = [None] * n
        for k in np.flatnonzero(ok | huge) if elementwise else ():
            d = np.zeros(x.size)
            d[k] = 1.0
            ways.append(Direction([*nothing[:j], d.reshape(x.shape), *nothing[j + 1 :]], j, int(k)))
        random = [dyadic(rng, x.shape) * ok for _ in range(1 if elementwise else 3)]
        both.append(random[0] if ok.any() else None)
        random = random if ok.any() else []
        if huge.any():
            size = np.where(huge, np.minimum(np.abs(x), np.finfo(np.float64).max), 1)
            random.append(dyadic(rng, x.shape) * huge * 2.0 ** np.floor(np.log2(size / HUGE)))
        ways += [Direction([*nothing[:j], d, *nothing[j + 1 :]], j) for d in random]
    if sum(d is not None for d in both) > 1:
        ways.append(Direction(both, -1))
    return ways


def _movable(pt: Point) -> tuple[list[Any], list[Any]]:
    """Per input: which elements are finite and not huge, and which are huge."""
    huge = [np.isfinite(x) & (np.abs(x) > HUGE) for x in pt.xs]
    return [np.isfinite(x) & ~h for x, h in zip(pt.xs, huge, strict=True)], huge


def tied_ways(pt: Point, rng: np.random.Generator, ways: list[Direction]) -> list[Direction]:
    """Directions that move tied values together, to first order.

    There a kink does not show, so the gradient's part along them is known exactly.
    """
    free = _movable(pt)[0]
    found = [Direction([ok * 1.0 for ok in free], -1, whole=True)]
    for j, ok in enumerate(free):
        found.append(
            Direction([ok * 1.0 if k == j else None for k in range(len(free))], j, whole=True)
        )
    single = [w for w in ways if w.element is not None and free[w.owner].flat[w.element]]
    if not pt.analytic or pt.gaps is None or not single:
        return found
    seen = Point(pt.gaps, pt.xs, pt.gaps(pt.xs), pt.dtype, True)
    rates = np.nan_to_num(complex_step(seen, [w.move for w in single]).plus.astype(float))
    ends = [sum(rates[k] for k, w in enumerate(single) if f.owner in (-1, w.owner)) for f in found]
    found = [f for f, rate in zip(found, ends, strict=True) if np.abs(rate).max(initial=0) < 1e-12]
    tied = [np.abs(rate).max(initial=0) > 0 for rate in rates]
    if any(tied) and np.abs(rates[tied].sum(axis=0)).max(initial=0) < 1e-12:
        found.append(Direction(_parts(pt, single, tied), -1, whole=True, tied=True))
    basis = np.linalg.pinv(rates.T) @ rates.T
    for _ in range(3):
        v = rng.normal(size=len(single))
        v = v - basis @ v
        v = np.where(np.abs(v) < 1e-12, 0, v)
        if np.abs(v).max(initial=0) < 1e-6:
            break
        found.append(Direction(_parts(pt, single, v), -1, whole=True))
    return found


def _parts(pt: Point, single: list[Direction], sizes: Any) -> Move:
    """The direction that moves each of `single` by its size."""
    parts = [np.zeros(x.shape) for x in pt.xs]
    for w, size in zip(single, sizes, strict=True):
        parts[w.owner].reshape(-1)[w.element] = size
    return list(parts)


def paired_ways(kinked: list[Direction], most: int = 24) -> list[Direction]:
    """Two elements at a kink moved together, or against each other.

    Where the kink is a tie of just these two, it does not show along one of them.
    """
    single = [w for w in kinked if w.element is not None]
    found = []
    for a, b in islice(combinations(single, 2), most // 2):
        for sign in (1, -1):
            move = [
                p if q is None else sign * q if p is None else p + sign * q
                for p, q in zip(a.move, b.move, strict=True)
            ]
            owner = a.owner if a.owner == b.owner else -1
            found.append(Direction(move, owner, whole=True, tied=sign > 0))
    return found


def joined(one: Slopes, two: Slopes) -> Slopes:
    """The slopes along the directions of both."""
    parts = [np.concatenate(pair) for pair in zip(one[:4], two[:4], strict=True)]
    return Slopes(parts[0], parts[1], parts[2], parts[3], one.name)


def slopes_along(pt: Point, ways: list[Direction], smooth: bool) -> Slopes:
    """The best that can be known along `ways`.

    The complex step where nothing is tied or the tied values do not move;
    else differences to either side, and the complex step where it agrees.
    """
    moves = [w.move for w in ways]
    if smooth:
        return complex_step(pt, moves)
    if not pt.analytic:
        return _by_differences(pt, moves)
    step, fixed = complex_step(pt, moves), still(pt, moves)
    at = np.flatnonzero(~fixed)
    if not len(at):
        return step
    near = _by_differences(pt, [moves[k] for k in at])
    plus, minus, error, infinite = (np.array(part) for part in list(step)[:4])
    real = Slopes(plus, minus, error, infinite, near.name)
    for old, new in zip(list(real)[:4], list(near)[:4], strict=True):
        old[at] = new
    with np.errstate(all="ignore"):
        size = np.abs(real.plus) + np.abs(real.plus).max(initial=0) * 1e-3
        apart = np.fmax(np.abs(step.plus - real.plus), np.abs(step.plus - real.minus))
        agree = (apart <= 10 * real.error + step.error) & (real.error <= 1e-3 * size)
        agree |= (step.plus == 0) & (real.plus == 0) & (real.minus == 0)  # it does not move at all
        plus, minus = np.where(agree, step.plus, real.plus), np.where(agree, step.plus, real.minus)
        error = np.where(agree, step.error, real.error)
    return Slopes(plus, minus, error, real.infinite & ~agree, real.name)


def still(pt: Point, moves: Sequence[Move]) -> Any:
    """Which directions leave all tied values where they are, so that no kink shows along them.

    To first order, and at a step, where a distance such as a * a changes in second order.
    """
    if pt.gaps is None:
        return np.zeros(len(moves), bool)
    gaps = Point(pt.gaps, pt.xs, pt.gaps(pt.xs), pt.dtype, True)
    found = np.ones(len(moves), bool)
    if pt.analytic:
        found = (complex_step(gaps, moves).plus == 0).all(axis=1)
    for k in map(int, np.flatnonzero(found)):
        for side in (step_of(pt.xs, moves[k]), -step_of(pt.xs, moves[k])):
            moved = pt.gaps([
                x if d is None else x + side * d for x, d in zip(pt.xs, moves[k], strict=True)
            ])  # fmt: skip
            found[k] &= np.array_equal(moved, gaps.y)
    return found


def _by_differences(pt: Point, moves: Sequence[Move]) -> Slopes:
    """Differences, with smaller steps where they did not settle, or where 0 is a step away."""
    real = differences(pt, moves)
    with np.errstate(all="ignore"):
        size = np.abs(real.plus) + np.abs(real.plus).max(initial=0) * 1e-3
        bad = ~(real.error <= 1e-8 * size) & (real.error > 0) & (real.error != STAIRS)
        bad |= (real.plus != real.minus) & np.array([[tiniest(pt.xs, v) > 0] for v in moves])
        for k in map(int, np.flatnonzero((bad & np.isfinite(pt.y)).any(axis=1))):
            for shrink in filter(None, (2.0**-9, tiniest(pt.xs, moves[k]))):
                near = differences(pt, [moves[k]], shrink)
                clear = (near.error[0] <= 1e-9 * np.abs(near.plus[0])) & (shrink < TINY)
                better = bad[k] & ((near.error[0] < real.error[k]) | clear)
                for old, new in zip(list(real)[:4], list(near)[:4], strict=True):
                    old[k] = np.where(better, new[0], old[k])
    return real


def tiniest(xs: Arrays, move: Move) -> float:
    """A step's factor that suits the smallest moved element, if all are tiny; else 0.

    (Beside others such steps would be lost.)
    """
    size = np.concatenate([
        np.abs(x[d != 0]).reshape(-1) for x, d in zip(xs, move, strict=True) if d is not None
    ])  # fmt: skip
    size = size[size > 0]
    small = size.size and size.max() <= TINY
    return float(2.0 ** np.floor(np.log2(float(size.min())))) if small else 0.0
