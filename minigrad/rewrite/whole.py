"""The whole graph as a handful of recurrences: the order of the rewrites."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Tensor
from .flat import flat
from .fuse import fuse
from .merge import merge
from .regions import Able, regions


def whole(outputs: Sequence[Tensor], able: Able | None = None) -> list[Tensor]:
    """The same outputs with all that goes row by row in blocks, each part of a recurrence that it
    feeds or is fed by.  able: whether an op may be part of a block (see `regions`)."""
    return merge(flat(fuse(regions(merge(outputs), able)), able))
