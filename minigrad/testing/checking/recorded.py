"""A recorded function with its recorded derivatives, as tapes: what `check_grads` judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autodiff import jvp, vjp
from ...graph import Tensor, placeholder
from .point import Arrays, Point
from .tape import Narrow, Tape, point_of


class Recorded:
    """Tensors recorded from leaves, with the derivatives that minigrad records for them."""

    def __init__(
        self, outputs: Sequence[Tensor], leaves: Sequence[Tensor], names: list[str],
        modes: Sequence[str] = ("rev", "fwd"), meant: set[Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.outputs, self.leaves, self.names = list(outputs), list(leaves), names
        self.xs: Arrays = [t._value for t in leaves]
        self.shapes = [t.shape for t in outputs]
        seeds = [placeholder(t.shape, t.dtype, "u") for t in outputs]
        self.f = Tape(self.outputs, self.leaves, meant)
        self.rev = Tape(vjp(self.outputs, self.leaves, seeds), [*self.leaves, *seeds])
        self.fwd: Tape | None = None
        if "fwd" in modes:
            moves = [placeholder(t.shape, t.dtype, "v") for t in leaves]
            self.fwd = Tape(jvp(self.outputs, self.leaves, moves), [*self.leaves, *moves])
        self.cost = sum(1 + self.f.order[k].size // 1000 for k, *_ in self.f.live)
        self.largest = 1.0  # number that the last evaluation in a given dtype met

    def point(self) -> Point:
        return point_of(self.f, self.xs)

    def pull(self, u: Any, dtype: Any) -> Arrays:
        slots = _run(self.rev, [*self.xs, *self._split(u, dtype)], dtype)
        if dtype is not None:
            self.largest = _largest(slots)
        return [slots[k] for k in self.rev.outputs]

    def push(self, v: Arrays, dtype: Any) -> Any:
        assert self.fwd is not None
        moves = [np.asarray(d, dtype or x.dtype) for d, x in zip(v, self.xs, strict=True)]
        slots = _run(self.fwd, [*self.xs, *moves], dtype)
        if dtype is not None:
            self.largest = _largest(slots)
        return self.fwd.flat(slots)

    def _split(self, u: Any, dtype: Any) -> Arrays:
        ends = np.cumsum([t.size for t in self.outputs])[:-1]
        return [
            part.reshape(t.shape).astype(dtype or t.dtype)
            for part, t in zip(np.split(u, ends), self.outputs, strict=True)
        ]

    def near(self, rng: np.random.Generator) -> Recorded:
        """The same tapes a little away, where nothing is tied."""
        other = object.__new__(Recorded)
        other.__dict__.update(self.__dict__)
        with np.errstate(all="ignore"):
            sizes = [np.where(x == 0, 1, np.abs(x)) for x in self.xs]
            other.xs = [
                (x + 1e-3 * rng.normal(size=x.shape) * size).astype(x.dtype)
                for x, size in zip(self.xs, sizes, strict=True)
            ]
        return other


def _run(tape: Tape, values: Arrays, dtype: Any) -> Arrays:
    try:
        return tape.base(values, dtype)
    except Narrow:
        return tape.base(values, np.dtype(np.float64))


def _largest(slots: Arrays) -> float:
    best = 1.0
    for value in slots:
        if value is not None and np.asarray(value).dtype.kind == "f" and np.size(value):
            size = np.abs(value)
            best = max(best, float(np.max(np.where(np.isfinite(size), size, 0))))
    return best
