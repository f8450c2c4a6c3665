"""What the fuzzer's programs are made of: choices, one small integer at a time.

The simplest possibility comes first, and choices are grouped in spans,
so that a case shrinks by leaving spans out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from ..examples.problems import Later

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)  # round the lanes of a vector
WIDE = (47, 49, 64, 65, 97, 130)  # round the widths of a product's tiles, rarely
MANY = (255, 256, 257, 300)  # rows, round the blocks in which sums over the nodes are taken


class Spans(Protocol):
    """A `Source` (see `examples.problems`) that is told which choices belong together."""

    def integer(self, least: int, most: int) -> int: ...

    def times(self, least: int, most: int, odds: int = 4) -> Iterable[int]:
        """0, 1, ...: before each stands the choice to go on, `odds` to 1; it is in its span."""

    def span(self) -> AbstractContextManager[None]:
        """Choices inside may be left out together."""

    def later(self, count: int) -> Later:
        """Choices to be used later, that stand (and are left out) here."""


class Choices:
    """Choices that are kept: read from `given` first, then made by `rng` (none: the least).

    `made`: what was chosen.  `spans`: (start, end) of groups of choices, outer ones first.
    """

    def __init__(self, given: Sequence[int] = (), rng: np.random.Generator | None = None) -> None:
        self.given, self.rng = list(given), rng
        self.made: list[int] = []
        self.spans: list[tuple[int, int]] = []

    def integer(self, least: int, most: int) -> int:
        at = len(self.made)
        if at < len(self.given):
            k = min(max(self.given[at], least), most)
        else:
            k = least if self.rng is None else int(self.rng.integers(least, most + 1))
        self.made.append(k)
        return k

    def times(self, least: int, most: int, odds: int = 4) -> Iterator[int]:
        for k in range(most):
            with self.span():
                if k >= least and not self.integer(0, odds):
                    return
                yield k

    def later(self, count: int) -> Later:
        return Later([self.integer(0, 59) for _ in range(count)])

    @contextmanager
    def span(self) -> Iterator[None]:
        number, start = len(self.spans), len(self.made)
        self.spans.append((start, start))
        try:
            yield
        finally:
            self.spans[number] = (start, len(self.made))
