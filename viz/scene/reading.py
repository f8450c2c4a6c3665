"""The values that a picture shows: read as a user would read them, or compiled where that is long.

``mg.evaluate`` runs level by level, about a tenth of a millisecond each and more on the way back.
Of thousands of steps that is seconds: then ``mg.function`` runs the same graph, whose kernels are
kept on disk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import minigrad as mg
from minigrad.graph import CONSTANT, Tensor, rebuild, toposort
from minigrad.recur import parts_of
from minigrad.run.evaluate import evaluate

from .flow import recurs_of

MOST_LEVELS = 4000  # one after the other; below, compiling would take longer than it saves


def read(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """The values of all, in one run."""
    order = toposort(tensors)
    levels = sum(_depth(r) for r in recurs_of(order))
    leaves = [t for t in order if t.op is CONSTANT and t.dtype.kind == "f"]
    if levels <= MOST_LEVELS or not leaves:
        return evaluate(list(tensors))
    run = mg.function(lambda given: rebuild(list(tensors), dict(zip(leaves, given, strict=True))))
    return [np.asarray(value) for value in run([t.numpy() for t in leaves])]


def _depth(r: Tensor) -> int:
    return int(parts_of(r).structure.level.max(initial=-1)) + 1
