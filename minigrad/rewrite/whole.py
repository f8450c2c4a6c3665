"""The whole graph as a handful of recurrences: the order of the rewrites."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from ..graph import Tensor, toposort
from ..recur import RECUR
from .alike import alike
from .flat import flat
from .fuse import fuse
from .intern import intern
from .lift import lift
from .merge import merge
from .once import inlined
from .picked import picked
from .recall import recalled
from .regions import Able, regions
from .reroll import reroll
from .sink import sink


def whole(outputs: Sequence[Tensor], able: Able | None = None) -> list[Tensor]:
    """The same outputs with all that goes row by row in blocks, and those parts of recurrences that
    they feed or are fed by; loops over a block are rolled up first, what a loop does to each row is
    done to all, rows that are taken are taken before what goes row by row, and what a block
    computes of shared arguments alone is computed outside of it.

    able: whether an op may be part of a block (see `regions`).
    """
    once = merge(picked(reroll(outputs)))
    given = sink(_at_once(once))
    if not _same(given, once):
        given = merge(given)
    return recalled(given, lambda found: _in_blocks(merge(inlined(found)), able), able)


def _at_once(outputs: Sequence[Tensor]) -> list[Tensor]:
    """What is alike at once, in blocks met before."""
    found = alike(outputs)
    if _same(found, outputs):
        return found
    old = {t.attrs["block"] for t in toposort(outputs) if t.op is RECUR}
    return intern(found, old)


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(map(is_, a, b))


def _in_blocks(outputs: Sequence[Tensor], able: Able | None) -> list[Tensor]:
    return merge(flat(lift(fuse(regions(outputs, able))), able))
