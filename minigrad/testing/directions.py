"""Which directions a gradient is compared along, and the slopes along them.

Sits on the oracles.  For small inputs every element is a direction; for large ones three random
directions per input stand for all; at ties, directions that keep the tied values together are
added, because there a kink does not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np

from .oracles import STAIRS, Move, Slopes, complex_step, differences
from .tape import Point


@dataclass
class Direction:
    """One direction to compare along.  owner: the input that moves (-1: several);
    element: its flat number, where only one does.  whole: keeps tied values together."""

    move: Move
    owner: int
    element: int | None = None
    whole: bool = False


def dyadic(rng: np.random.Generator, shape: Any) -> Any:
    """Random numbers k/8, not near 0, which every float type holds exactly."""
    return rng.choice([-1.0, 1.0], shape) * rng.integers(4, 17, shape) / 8


def ways_of(pt: Point, rng: np.random.Generator, elementwise: bool, n: int) -> list[Direction]:
    """Every element, or three random directions per input; then all inputs together."""
    ways: list[Direction] = []
    free = [np.isfinite(x) for x in pt.xs]
    both: Move = []
    for j, (x, ok) in enumerate(zip(pt.xs, free, strict=True)):
        nothing: Move = [None] * n
        for k in np.flatnonzero(ok) if elementwise else ():
            d = np.zeros(x.size)
            d[k] = 1.0
            ways.append(Direction([*nothing[:j], d.reshape(x.shape), *nothing[j + 1 :]], j, int(k)))
        random = [dyadic(rng, x.shape) * ok for _ in range(1 if elementwise else 3)]
        if ok.any():
            ways += [Direction([*nothing[:j], d, *nothing[j + 1 :]], j) for d in random]
        both.append(random[0] if ok.any() else None)
    if sum(d is not None for d in both) > 1:
        ways.append(Direction(both, -1))
    return ways


def tied_ways(pt: Point, rng: np.random.Generator, ways: list[Direction]) -> list[Direction]:
    """Directions that move tied values together, to first order: there a kink does not show, so
    the gradient's part along them is known exactly."""
    free = [np.isfinite(x) for x in pt.xs]
    found = [Direction([ok * 1.0 for ok in free], -1, whole=True)]
    for j, ok in enumerate(free):
        found.append(
            Direction([ok * 1.0 if k == j else None for k in range(len(free))], j, whole=True)
        )
    single = [w for w in ways if w.element is not None]
    if not pt.analytic or pt.gaps is None or not single:
        return found
    seen = Point(pt.gaps, pt.xs, pt.gaps(pt.xs), pt.dtype, True)
    rates = np.nan_to_num(complex_step(seen, [w.move for w in single]).plus.astype(float))
    basis = np.linalg.pinv(rates.T) @ rates.T
    for _ in range(3):
        v = rng.normal(size=len(single))
        v = v - basis @ v
        v = np.where(np.abs(v) < 1e-12, 0, v)
        if np.abs(v).max(initial=0) < 1e-6:
            break
        parts = [np.zeros(x.shape) for x in pt.xs]
        for w, size in zip(single, v, strict=True):
            parts[w.owner].reshape(-1)[w.element] = size
        found.append(Direction(list(parts), -1, whole=True))
    return found


def paired_ways(kinked: list[Direction], most: int = 24) -> list[Direction]:
    """Two elements at a kink moved together, or against each other: where the kink is a tie of
    just these two, it does not show along one of them."""
    single = [w for w in kinked if w.element is not None]
    found = []
    for a, b in islice(combinations(single, 2), most // 2):
        for sign in (1, -1):
            move = [
                p if q is None else sign * q if p is None else p + sign * q
                for p, q in zip(a.move, b.move, strict=True)
            ]
            found.append(Direction(move, a.owner if a.owner == b.owner else -1, whole=True))
    return found


def joined(one: Slopes, two: Slopes) -> Slopes:
    """The slopes along the directions of both."""
    parts = [np.concatenate(pair) for pair in zip(one[:4], two[:4], strict=True)]
    return Slopes(parts[0], parts[1], parts[2], parts[3], one.name)


def slopes_along(pt: Point, ways: list[Direction], smooth: bool) -> Slopes:
    """The best that can be known along `ways`: at a possible kink by differences to either side,
    with smaller steps where they did not settle, and the complex step where the sides agree."""
    moves = [w.move for w in ways]
    if smooth:
        return complex_step(pt, moves)
    real = differences(pt, moves)
    with np.errstate(all="ignore"):
        size = np.abs(real.plus) + np.abs(real.plus).max(initial=0) * 1e-3
        bad = ~(real.error <= 1e-8 * size) & (real.error > 0) & (real.error != STAIRS)
        again = np.flatnonzero((bad & np.isfinite(pt.y)).any(axis=1))
        if len(again):
            near = differences(pt, [moves[k] for k in again], 2.0**-9)
            for k, row in enumerate(again):
                better = bad[row] & (near.error[k] < real.error[row])
                for old, new in zip(real[:4], near[:4], strict=True):
                    old[row] = np.where(better, new[k], old[row])
        if not pt.analytic:
            return real
        step = complex_step(pt, moves)
        apart = np.fmax(np.abs(step.plus - real.plus), np.abs(step.plus - real.minus))
        agree = (apart <= 10 * real.error + step.error) & (real.error <= 1e-3 * size)
        plus, minus = np.where(agree, step.plus, real.plus), np.where(agree, step.plus, real.minus)
        error = np.where(agree, step.error, real.error)
    return Slopes(plus, minus, error, real.infinite & ~agree, real.name)
