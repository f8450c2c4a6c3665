"""Flat work: elementwise ops on what all rows share, as rows of a fixed length.

An optimiser's update or a chain of functions of a million numbers has no rows of its own.  Cut into
rows it is one block like any other: threads share them, and sums over them do not depend on how.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..graph import INPUT, Shape, Tensor, bind, toposort
from ..ops.arrays import ASTYPE
from ..ops.broadcast import BROADCAST, SUM, reshape
from ..structure import Structure, independent
from .regions import Able, again, by_rows

LENGTHS = (512, 256, 1024, 128, 64, 32, 16)  # of a row, the one liked best first
LEAST = 2  # elements below which nothing is cut
SHORT, SMALL = 8, 256  # shorter rows than this only where there are few elements


def flat(outputs: Sequence[Tensor], able: Able | None = None) -> list[Tensor]:
    """The same outputs, with elementwise work on equal shapes gathered into blocks over rows."""
    found = list(outputs)
    for shape in _shapes(found):
        found = _cut(found, shape, able)
    return found


def _shapes(outputs: Sequence[Tensor]) -> list[Shape]:
    """The shapes of elementwise results, those that can be cut into rows."""
    shapes = {t.shape for t in _varying(outputs) if _is_known(t) and _is_float(t)}
    return sorted(s for s in shapes if rows_of(s) is not None)


def _varying(outputs: Sequence[Tensor]) -> list[Tensor]:
    found: dict[Tensor, None] = {}
    for t in toposort(outputs):
        if t.op is INPUT or any(x in found for x in t.inputs):
            found[t] = None
    return [t for t in found if t.inputs and t.op.kind != "recur"]


def _is_known(t: Tensor) -> bool:
    """An elementwise op that says what it is on one element; any other keeps the shape it has."""
    return t.op.kind == "elementwise" and (t.op.scalar is not None or t.op is ASTYPE)


def _is_float(t: Tensor) -> bool:
    return t.dtype.kind == "f"


def rows_of(shape: Shape) -> tuple[int, int] | None:
    """(rows, length) for as many elements as `shape` has; None where no length divides them."""
    size = 1
    for n in shape:
        size *= n
    if size < LEAST:
        return None
    for length in LENGTHS:
        if size % length == 0 and size > length:
            return size // length, length
    longest = next(k for k in range(min(size // 2, 1024), 0, -1) if size % k == 0)
    return (size // longest, longest) if longest >= SHORT or size <= SMALL else None


@lru_cache(256)
def cut(n: int) -> Structure:
    """The rows of what is cut into n: always the same, and no structure of a graph's own."""
    return independent(n)


def _cut(outputs: Sequence[Tensor], shape: Shape, able: Able | None) -> list[Tensor]:
    """Elementwise ops of this shape, and what sums their results up, as (n, length)."""
    rows = rows_of(shape)
    assert rows is not None
    mine = {t for t in _varying(outputs) if _is_known(t) and t.shape == shape}
    new: dict[Tensor, Tensor] = {}
    wide: dict[Tensor, Tensor] = {}
    seeds: list[Tensor] = []

    def widened(x: Tensor) -> Tensor:
        if x not in wide:
            if x.op is BROADCAST and x.inputs[0].size == 1:
                wide[x] = bind(BROADCAST, reshape(new[x.inputs[0]], ()), shape=rows)
            else:
                wide[x] = reshape(new[x], rows)
        return wide[x]

    for t in toposort(outputs):
        if t in mine:
            wide[t] = _call(bind(t.op, *map(widened, t.inputs), **t.attrs), t)
            new[t] = reshape(wide[t], shape)
            if _is_float(t):
                seeds.append(wide[t])
        elif t.op is SUM and t.size == 1 and t.inputs[0] in mine:
            total = bind(SUM, wide[t.inputs[0]], axis=(-2, -1))
            new[t] = reshape(_call(total, t), t.shape)
        else:
            new[t] = again(t, [new[x] for x in t.inputs])
    if not seeds:
        return list(outputs)
    return by_rows([new[t] for t in outputs], rows[0], seeds, able, cut(rows[0]))


def _call(new: Tensor, t: Tensor) -> Tensor:
    object.__setattr__(new, "name", t.name)
    object.__setattr__(new, "site", t.site)
    return new

