"""What a plan is made of: buffers, products, loops over rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, NamedTuple

from .language import Row


@dataclass(eq=False)
class Area:
    """One buffer with a row per node: the columns of its members, side by side."""

    members: list[Row]
    number: int

    @property
    def width(self) -> int:
        return sum(r.size for r in self.members)


@dataclass(eq=False)
class Matrix:
    """Shared matrices packed as one: blocks (matrix, transposed, k offset, column offset) of a K x
    N whole.
    """

    blocks: list[tuple[Any, bool, int, int]]
    depth: int
    columns: int
    transposed: bool  # how the whole is laid out before packing: (columns, depth)


@dataclass(eq=False)
class Product:
    """C += A @ packed: `operand` is the first of adjacent rows that `matrix.depth` spans."""

    operand: Row
    matrix: Matrix
    bundle: Bundle
    first: bool = False  # starts from the bundle's bias row instead of what is there


@dataclass(eq=False)
class Bundle:
    """Accumulators with equal operands, columns of one area; `products` by (stage, depth)."""

    zs: list[Row]
    area: Area
    products: dict[tuple[int, int], list[Product]] = field(default_factory=dict)


@dataclass(eq=False)
class Outer:
    """One product of stacked rows: left^T @ [rights], rights adjacent; maybe their column sums."""

    left: Row
    rights: list[Row]
    want_sums: bool = False

    @property
    def width(self) -> int:
        return sum(r.size for r in self.rights)


@dataclass(eq=False)
class Segment:
    """One fused loop over rows: what it computes, in passes between reductions."""

    place: tuple[int, int]
    nodes: list[Row]  # computed here, in order
    stores: list[Row]  # of those, or of leaves: written to their place
    columns: list[Row]  # of those, or of leaves: added into their column sums


class Course(NamedTuple):
    """What a plan is told of a structure.

    large: elements of a tensor per node from which on its way through memory is what it costs.
    wide : a level has many rows, so products with the inputs are as fast there as for all rows
           at once, and what they give need not go through memory.  The numbers are the same.
    chain: every row but those of the first level has one source, as far away in every row, and of
           the level before.
    long : a component has many rows: sums by component need less memory than what they add up.
    """

    large: int
    wide: bool = False
    chain: bool = False
    long: bool = False


def families(groups: Sequence[tuple[Row, ...]]) -> list[list[Row]]:
    """Groups that share members, joined."""
    found: list[dict[Row, None]] = []
    for g in groups:
        new = dict.fromkeys(g)
        rest = []
        for f in found:
            if f.keys() & new.keys():
                new = {**f, **new}
            else:
                rest.append(f)
        found = [*rest, new]
    return [list(f) for f in found]


def side_by_side(members: list[Row], groups: Sequence[tuple[Row, ...]]) -> list[Row]:
    """An order of the members in which as few groups as possible are torn apart."""
    mine = [g for g in groups if g[0] in members]
    if len(members) > 7:
        return members

    def torn(order: Iterable[Row]) -> int:
        at = {r: k for k, r in enumerate(order)}
        return sum(max(at[r] for r in g) - min(at[r] for r in g) - len(g) + 1 for g in mine)

    return list(min(permutations(members), key=torn))
