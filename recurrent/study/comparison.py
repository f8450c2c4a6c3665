"""Algorithms side by side: how far from BPTT each is, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..options import choice, size
from .algorithms import ALGORITHMS, gradient

__all__ = ["Comparison", "compare"]


class Line(NamedTuple):
    """One algorithm of a `Comparison`, against BPTT.

    cosine   : of the angle between the (mean) gradient and BPTT's.
    bias     : |mean - BPTT's| / |BPTT's|.
    spread   : the root mean square distance of a random estimate from its mean, likewise; else 0.
    """

    algorithm: str
    cosine: float
    bias: float
    spread: float
    numbers: int | None
    seconds: float


@dataclass(eq=False)
class Comparison:
    """What `compare` found; printed as a table.

    lines : one for each algorithm, with its cosine to BPTT, bias, spread, numbers held and seconds.
    """

    lines: list[Line]

    def __str__(self) -> str:
        rows = [("algorithm", "cosine", "bias", "spread", "numbers", "ms")]
        rows += [
            (x.algorithm, f"{x.cosine:.4f}", f"{x.bias:.2g}", f"{x.spread:.2g}",
             "" if x.numbers is None else str(x.numbers), f"{1e3 * x.seconds:.1f}")
            for x in self.lines
        ]  # fmt: skip
        wide = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
        return "\n".join(
            "  ".join(c.ljust(w) if k == 0 else c.rjust(w)
                      for k, (c, w) in enumerate(zip(r, wide, strict=True))) for r in rows
        )  # fmt: skip


def compare(
    cell: Callable, params: Any, xs: Any, loss: Callable[[Any], Any],
    names: Sequence[str] | None = None, *, seeds: int = 20, carry: Any = None,
    steps: int | None = None, options: dict[str, dict[str, Any]] | None = None,
) -> Comparison:  # fmt: skip
    """Several algorithms beside BPTT: cosine, bias, spread over seeds, numbers held, time.

    names   : of algorithms, default all that the cell allows.
    seeds   : how many runs of each random one.
    options : {name: its options}.

    Other arguments as for `gradient`, which raises what this raises; of the default names those are
    left out whose error is that they do not fit the cell.
    """
    wanted = {name: (options or {}).get(name, {}) for name in names or ALGORITHMS}
    right = gradient(cell, params, xs, loss, carry=carry, steps=steps).flat
    size("compare", "seeds", seeds)
    lines = []
    for name, more in wanted.items():
        choice("compare", "algorithm", name, tuple(ALGORITHMS))
        runs = []
        try:
            for k in range(seeds if ALGORITHMS[name].random else 1):
                runs.append(gradient(cell, params, xs, loss, name, carry=carry, steps=steps,
                                     seed=k, **more))  # fmt: skip
        except (ValueError, ArithmeticError):
            if names is None:
                continue
            raise
        flat = np.stack([r.flat for r in runs])
        mean, whole = flat.mean(axis=0), np.linalg.norm(right)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = float(np.vdot(mean, right) / (np.linalg.norm(mean) * whole))
            bias = float(np.linalg.norm(mean - right) / whole)
            spread = float(np.sqrt(np.mean(np.sum((flat - mean) ** 2, axis=1))) / whole)
        seconds = float(np.median([r.seconds for r in runs]))
        lines.append(Line(name, cosine, bias, spread, runs[0].numbers, seconds))
    return Comparison(lines)
