"""Slopes known without any derivative rule: what the gradients of `check_grads` are held against.

Two oracles answer one question, the slope of every output of a `Point` along directions,
each with an estimate of its own error:

    complex_step   Im f(x + i h v) / h with h beyond the range of doubles:
                   no subtraction, so it is exact to rounding (Squire and Trapp 1998).
                   Valid only where every op on the way is analytic (`ops.facts`).
    differences    (f(x + h v) - f(x - h v)) / 2h and both one-sided quotients,
                   at eight steps h, extrapolated to h = 0 (Richardson 1911; Ridders 1982).
                   Valid for every op.

Where an operand sits on a branch point (`ops.facts`),
the point is a possible kink and only one-sided differences can tell.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .point import Arrays, Point

Move = list[Any]  # a direction: one array (or None, no move) per input
NAMES: dict[Any, str] = {np.dtype(np.longdouble): "long double"}
# The complex step's exponent: its square vanishes beside subnormal numbers too,
# if the type has the range for it; COARSE is for functions that round to fewer than 64 bits.
STEPS, COARSE = {"long double": -2000, "float64": -300}, -100
HUGE, TINY = 2.0**20, 1e-6  # where a step of 1 is too small, or far too large
STAIRS = 1e300  # the error of a slope that depends on the step's size
LEVELS, RATIO, FIRST = 8, 4.0, 0.125


class Slopes(NamedTuple):
    """Slopes of every output along several directions, each (directions, outputs).

    plus, minus: to either side; equal except at a kink.  error: an estimate, of either.
    infinite: the quotients grow without bound.
    """

    plus: Any
    minus: Any
    error: Any
    infinite: Any
    name: str


def complex_step(p: Point, moves: Sequence[Move], single: bool = False) -> Slopes:
    """Exact to rounding, at analytic points only.  `single`: in plain double precision."""
    dtype = np.dtype(np.float64) if single else p.dtype
    name = NAMES.get(dtype, dtype.name)
    h = np.ldexp(dtype.type(1), COARSE if p.eps else STEPS[name])
    xs = [x.astype(dtype) for x in p.xs]
    turn = np.array(1j, np.result_type(dtype, np.complex64)) * h
    rows = np.zeros((len(moves), len(p.y)), dtype)
    for k, v in enumerate(moves):
        rows[k] = np.imag(
            p.at([x if d is None else x + turn * d for x, d in zip(xs, v, strict=True)])
        )
    rows /= h
    size = np.abs(rows)
    finite = np.where(np.isfinite(size), size, 0)
    error = 64 * np.finfo(dtype).eps * (size + finite.max(axis=0, initial=0) * 1e-3)
    return Slopes(rows, rows, error, np.isinf(rows), f"complex step ({name})")


def seems_analytic(p: Point, moves: Sequence[Move]) -> bool:
    """Whether complex steps through a function of which nothing is known give its slopes.

    As differences see them; it is a possible kink where they do not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a discarded imaginary part, above all
            turned = p.at([x + 0j for x in p.xs])
            if turned.dtype.kind != "c" or not np.allclose(turned.real, p.y, equal_nan=True):
                return False
            step = complex_step(p, moves)
        real = differences(p, moves)
    except Exception:  # whatever a function not made for complex numbers raises
        return False
    with np.errstate(all="ignore"):
        away = np.fmax(np.abs(step.plus - real.plus), np.abs(step.plus - real.minus))
        size = np.abs(real.plus) + np.abs(real.plus).max(initial=0)
        close = (away <= 10 * real.error + 1e-7 * size) & (real.error <= 1e-5 * size + 1e-300)
    return bool(close.all())


def refined(p: Point, moves: Sequence[Move], rows: Any) -> Any:
    """The rounding error of complex steps `rows`, seen from what 64 bits make of them."""
    double = np.dtype(np.float64)
    if p.dtype == double:
        return np.full(rows.shape, np.inf)
    near = complex_step(p, moves, single=True).plus
    ratio = 64 * float(np.finfo(p.dtype).eps / np.finfo(double).eps)
    apart = np.where(np.isfinite(near), np.abs(rows - near), np.inf)
    return 64 * np.finfo(p.dtype).eps * np.abs(rows) + ratio * apart


def differences(p: Point, moves: Sequence[Move], shrink: float = 1.0) -> Slopes:
    """Extrapolated differences with one-sided slopes; the error estimate is part of the answer."""
    eps = p.eps or float(np.finfo(p.dtype).eps)
    ahead = np.zeros((LEVELS, len(moves), len(p.y)), p.dtype)
    behind, steps = ahead.copy(), np.zeros((LEVELS, len(moves), 1), p.dtype)
    for k, v in enumerate(moves):
        h = shrink * step_of(p.xs, v)
        for level in range(LEVELS):
            steps[level, k] = h
            ahead[level, k] = p.at(
                [x if d is None else x + h * d for x, d in zip(p.xs, v, strict=True)]
            )
            behind[level, k] = p.at(
                [x if d is None else x - h * d for x, d in zip(p.xs, v, strict=True)]
            )
            h /= RATIO
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(ahead), np.abs(behind)) + np.abs(p.y)
        noise = 8 * eps * size / steps
        slope = (ahead - behind) / (2 * steps)
        central, error = _extrapolate(slope, noise, 2)
        jitter = np.abs(slope[-2:] - central) * steps[-2:]  # rounding inside the function itself
        noise = noise + np.where(np.isfinite(jitter), jitter, 0).max(axis=0) / steps
        central, error = _extrapolate(slope, noise, 2)
        flat = (slope[-1] == 0) & (slope != 0).any(axis=0)  # stairs: rounding to coarser numbers?
        stairs = flat & (not p.analytic)
        error = np.where(stairs, STAIRS, error)
        plus, error_plus = _extrapolate((ahead - p.y) / steps, noise, 1)
        minus, error_minus = _extrapolate((p.y - behind) / steps, noise, 1)
        grows = _grows((ahead - p.y) / steps) | _grows((p.y - behind) / steps)
        alone = np.isnan(plus) | np.isnan(minus)  # at the end of the domain there is one side
        side = np.fmax(error_plus, error_minus)
        apart = np.abs(plus - minus)
        kink = alone | (apart > 1e-6 * np.fmax(np.abs(plus), np.abs(minus)) + 8 * side + error)
        plus, minus = np.where(np.isnan(plus), minus, plus), np.where(np.isnan(minus), plus, minus)
        plus, minus = np.where(kink, plus, central), np.where(kink, minus, central)
        error = np.where(alone, np.fmin(error_plus, error_minus), np.where(kink, side, error))
    name = f"differences ({NAMES.get(p.dtype, p.dtype.name)})"
    return Slopes(plus, minus, error, grows, name)


def step_of(xs: Arrays, v: Move) -> float:
    """The first step, to suit the moved elements: a power of two, so that x + h is exact."""
    pairs = [(x[d != 0], d[d != 0]) for x, d in zip(xs, v, strict=True) if d is not None]
    size = np.concatenate([np.abs(x) for x, _ in pairs])
    move = np.concatenate([np.maximum(1, np.abs(d)) for _, d in pairs])
    suits = np.where(size > HUGE, size / HUGE, np.minimum(1, size)) / move
    suits = suits[(size > TINY) & np.isfinite(size)]
    return FIRST * float(2.0 ** np.floor(np.log2(suits.min()))) if suits.size else FIRST


def _extrapolate(table: Any, noise: Any, power: int) -> tuple[Any, Any]:
    """The limit at step 0 of quotients whose error goes by powers of the step, and its error:
    of all entries of the triangle, the one that moved least from its two parents."""
    best, error = table[-1], np.full(table.shape[1:], np.inf, table.dtype)
    for column in range(1, min(LEVELS, 6)):
        factor = RATIO ** (power * column)
        new = (factor * table[1:] - table[:-1]) / (factor - 1)
        noise = (factor * noise[1:] + noise[:-1]) / (factor - 1)
        moved = 4 * np.fmax(np.abs(new - table[1:]), np.abs(new - table[:-1])) + noise
        moved = np.where(np.isfinite(new), moved, np.inf)
        for value, change in zip(new, moved, strict=True):
            better = change < error
            best, error = np.where(better, value, best), np.where(better, change, error)
        table = new
    return np.where(np.isinf(error), np.nan, best), error


def _grows(quotients: Any) -> Any:
    """Quotients that go to infinity: their changes follow each other by one factor, not below 1.
    (Rounding makes quotients grow, too, but by no rule.)"""
    change = np.diff(quotients, axis=0)[-4:]
    factors = change[1:] / change[:-1]
    regular = factors.max(axis=0) - factors.min(axis=0) < 0.2 * factors.max(axis=0)
    return (regular & (factors.min(axis=0) > 0.7)) | np.isinf(quotients[-1])
