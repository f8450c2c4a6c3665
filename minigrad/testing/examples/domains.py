"""Where functions are smooth by a margin, so that differences across it mean something.

The one list of domains: rows of `minigrad.ops` name theirs, samples draw from them,
and random expressions bring their operands there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Rng = np.random.Generator
Shape = tuple[int, ...]
MARGIN = 0.03  # how far an operand of a random expression stays from a kink


@dataclass(frozen=True)
class Domain:
    """draw : an array of a shape.    holds: whether an operand's values lie in it.
    bring: an expression that takes `{a}` there; None: an operand outside cannot be used."""

    draw: Callable[[Rng, Shape], Any]
    holds: Callable[[np.ndarray], Any]
    bring: str | None = None


def _apart(rng: Rng, shape: Shape) -> np.ndarray:
    """Distinct by at least 0.3, in random order."""
    n = int(np.prod(shape))
    places = rng.permutation(n) - n // 2 + rng.uniform(-0.1, 0.1, n)
    return 0.5 * places.reshape(shape)


def _least_gap(v: np.ndarray) -> float:
    """The smallest distance between two elements."""
    return float(np.diff(np.sort(v, axis=None)).min(initial=np.inf))


def _signed(rng: Rng, low: float, high: float, shape: Shape) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(low, high, shape)


DOMAINS: dict[str, Domain] = {
    "any": Domain(lambda rng, shape: rng.standard_normal(shape), lambda v: True),
    "small": Domain(
        lambda rng, shape: rng.standard_normal(shape), lambda v: (np.abs(v) < 3).all(),
        "mg.sin({a})",
    ),
    "positive": Domain(
        lambda rng, shape: rng.uniform(0.3, 3.0, shape), lambda v: (v > 0.2).all(),
        "(mg.square({a}) + 0.5)",
    ),
    "not zero": Domain(
        lambda rng, shape: _signed(rng, 0.3, 2.0, shape), lambda v: (np.abs(v) > MARGIN).all(),
        "(mg.square({a}) + 0.5)",
    ),
    "above one": Domain(
        lambda rng, shape: rng.uniform(1.3, 3.0, shape), lambda v: (v > 1.2).all(),
        "(mg.square({a}) + 1.5)",
    ),
    "above minus one": Domain(
        lambda rng, shape: rng.uniform(-0.8, 0.8, shape), lambda v: (v > -0.8).all(),
        "(mg.square({a}) + 0.5)",
    ),
    "inside one": Domain(
        lambda rng, shape: rng.uniform(-0.8, 0.8, shape), lambda v: (np.abs(v) < 0.8).all(),
        "(0.75 * mg.sin({a}))",
    ),
    "not cot": Domain(
        lambda rng, shape: rng.uniform(-0.8, 0.8, shape), lambda v: (np.abs(np.cos(v)) > 0.3).all(),
        "mg.sin({a})",
    ),
    "not whole": Domain(  # nor half, where rounding to the nearest jumps
        lambda rng, shape: rng.integers(-2, 2, shape) + rng.uniform(0.2, 0.8, shape),
        lambda v: (np.abs(v * 2 - np.round(v * 2)) > MARGIN).all(),
    ),
    "whole": Domain(
        lambda rng, shape: _signed(rng, 1.0, 1.0, shape) * rng.integers(1, 3, shape),
        lambda v: (v == np.round(v)).all(), "mg.round({a})",
    ),
    "one": Domain(
        lambda rng, shape: _signed(rng, 1.0, 1.0, shape), lambda v: (np.abs(v) == 1).all(),
        "mg.ones_like({a})",
    ),
    "distinct": Domain(_apart, lambda v: _least_gap(v) > MARGIN),
    "distinct, positive": Domain(
        lambda rng, shape: 0.2 + 0.5 * rng.permutation(int(np.prod(shape))).reshape(shape),
        lambda v: _least_gap(v) > MARGIN and (v > MARGIN).all(),
    ),
}  # fmt: skip
