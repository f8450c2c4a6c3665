"""Which structure nodes of a recurrence are drawn, where, and what stands for each that is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.graph import Tensor
from minigrad.ordering import grid_width
from minigrad.recur import PROJ, SHARED, parts_of
from minigrad.structure import Structure

from .flow import frontier

MOST_BANDS = 5  # sequences or trees drawn below each other, unless everything is asked for


@dataclass
class Shown:
    """The drawn part of a structure.

    arrangement: "chain", "tree", "grid" or "dag".
    column, level: (n,) place of every node.
    bands: the drawn components.  hidden_bands: those of which nothing is drawn.
    kept: the drawn nodes by component.
    groups: what is left out, as lists of rows, each with its component.
    """

    arrangement: str
    column: np.ndarray
    level: np.ndarray
    bands: list[int]
    kept: dict[int, list[int]] = field(default_factory=dict)
    groups: list[tuple[int, list[int]]] = field(default_factory=list)
    hidden_bands: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Unit:
    """What is drawn as one lane per component: a recurrence, or all separate calls of one block.

    recurs: the one recurrence, or the calls in topological order.
    structure: who feeds whom among its places.
    whole: the drawn part of the structure.  shown: the same as each recurrence sees it.
    """

    name: str
    recurs: list[Tensor]
    structure: Structure
    whole: Shown
    shown: dict[Tensor, Shown]
    calls: bool = False

    @property
    def net(self) -> tuple:
        """The cell by name, and what all its nodes share: another run of it has the same.

        (Its block may be another: one that starts from a given state adds that.)
        """
        r = self.recurs[0]
        shared = [a for a, via in zip(r.inputs, parts_of(r).vias, strict=True) if via is SHARED]
        return self.name, frozenset(shared)

    @cached_property
    def first(self) -> int:
        """The first sequence that has steps, from 0: strips of one sequence are of this one."""
        return int(self.structure.component.min()) if self.structure.n else 0

    @cached_property
    def of_first(self) -> str:
        """What is said of such strips: which sequence, where there are several."""
        return f", sequence {self.first + 1}" if self.structure.components > 1 else ""

    @cached_property
    def joined(self) -> bool:
        """Whether edges order its places, or could: else they stand side by side."""
        stateful = bool(parts_of(self.recurs[0]).block.slots)
        return stateful or bool(len(self.structure.src)) or self.structure.n == 1

    def at(self, place: int) -> tuple[Tensor, int]:
        """The recurrence and its row at a place of the structure."""
        return (self.recurs[place], 0) if self.calls else (self.recurs[0], place)


def units(
    recurs: Sequence[Tensor], max_steps: int | None, sequences: int | None = None,
    heat: bool = False,
) -> list[Unit]:  # fmt: skip
    """Recurrences one by one, and the calls of one block together.

    Such calls are what a Python loop or ``mg.unfold`` leaves.
    sequences, heat: see ``choose``.
    """
    families: dict[Any, list[Tensor]] = {}
    for r in recurs:
        block, structure, _ = parts_of(r)
        families.setdefault(block if structure.n == 1 else r, []).append(r)
    found = []
    for members in families.values():
        block, structure, _ = parts_of(members[0])
        if len(members) == 1:
            whole = choose(structure, max_steps, bool(block.slots), sequences, heat)
            found.append(Unit(block.name, members, structure, whole, {members[0]: whole}))
            continue
        number = {r: k for k, r in enumerate(members)}
        pairs = [
            (number[maker], k)
            for r, k in number.items()
            for maker in dict.fromkeys(
                p.inputs[0] for arg in r.inputs for p in frontier(arg) if p.op is PROJ
            )
            if maker in number
        ]
        structure = Structure.edges(len(members), [a for a, _ in pairs], [b for _, b in pairs])
        whole = choose(structure, max_steps, bool(block.slots))
        drawn = {place for kept in whole.kept.values() for place in kept}
        shown = {
            r: Shown(
                whole.arrangement,
                whole.column[[k]],
                whole.level[[k]],
                [0],
                {0: [0] if k in drawn else []},
            )
            for r, k in number.items()
        }
        found.append(Unit(block.name, members, structure, whole, shown, calls=True))
    return found


def check_labels(labels: Sequence[str] | None, sizes: Sequence[int]) -> None:
    """ValueError unless the labels are as many as a structure that is drawn has nodes, or all."""
    if labels is not None and len(labels) not in (*sizes, sum(sizes)):
        nodes = " or ".join(map(str, dict.fromkeys(sizes))) or "no"
        raise ValueError(
            f"draw: labels must be one text per structure node, in the order of its rows: "
            f"{len(labels)} were given for {nodes} nodes"
        )


def choose(
    structure: Structure, max_steps: int | None, stateful: bool = True,
    sequences: int | None = None, heat: bool = False,
) -> Shown:  # fmt: skip
    """The first and last steps of chains, the tops of trees, the ends of other structures.

    max_steps: None: everything.  stateful: whether the cell has a state: of those, nodes without
    edges are sequences of one step.
    sequences: how many of a batch are drawn; None: all of a few, of many the first and last ones.
    heat: whether those that are not drawn have a strip each: then one of many is drawn.
    """
    if structure.n > 1 and not len(structure.src) and not stateful:
        return _side_by_side(structure.n, max_steps)
    arrangement = structure.kind
    column, level = _places(structure, arrangement)
    everything = list(range(structure.components))
    bands, hidden = everything, []
    if arrangement == "chain":
        full = np.flatnonzero(np.bincount(structure.component, minlength=1)).tolist()
        if sequences is None and heat and max_steps is not None and len(full) > MOST_BANDS:
            sequences = 1
        if sequences is not None:
            bands, hidden = full[:sequences], full[sequences:]
    many = max_steps is not None and len(everything) > MOST_BANDS
    if many and (sequences is None or arrangement != "chain"):
        head = (MOST_BANDS + 1) // 2
        bands = everything[:head] + everything[len(everything) - (MOST_BANDS - head) :]
        hidden = everything[head : len(everything) - (MOST_BANDS - head)]
    if arrangement == "grid" and max_steps is not None and structure.n > max_steps:
        arrangement, column = "dag", structure.level  # a grid with a hole is no grid
        level = column
    shown = Shown(arrangement, column, level, bands, hidden_bands=hidden)
    component = structure.component
    order = (
        np.lexsort((column, component))
        if arrangement in ("chain", "tree")
        else np.lexsort((level, component))
    )
    ends = np.searchsorted(component[order], np.arange(structure.components + 1))
    for band in bands:
        rows = order[ends[band] : ends[band + 1]].tolist()
        if max_steps is None or len(rows) <= max_steps:
            shown.kept[band] = rows
        elif arrangement == "tree":
            _top_of_tree(structure, band, rows, max_steps, shown)
        else:
            head = (max_steps + 1) // 2
            tail = len(rows) - (max_steps - head)
            shown.kept[band] = rows[:head] + rows[tail:]
            shown.groups.append((band, rows[head:tail]))
    return shown


def _side_by_side(n: int, max_steps: int | None) -> Shown:
    """Nodes that no edge joins, such as the places of a sliding window: one row of them."""
    shown = Shown("chain", np.arange(n), np.zeros(n, np.int64), [0])
    if max_steps is None or n <= max_steps:
        shown.kept[0] = list(range(n))
    else:
        head, tail = (max_steps + 1) // 2, n - max_steps // 2
        shown.kept[0] = [*range(head), *range(tail, n)]
        shown.groups.append((0, list(range(head, tail))))
    return shown


def _places(structure: Structure, arrangement: str) -> tuple[np.ndarray, np.ndarray]:
    level = structure.level - _least(structure.level, structure)
    if arrangement == "chain":
        # A sequence's rows are in the order of time, whichever way the state flows.
        backwards = len(structure.src) > 0 and bool(np.all(structure.src > structure.dst))
        return (-level - _least(-level, structure)) if backwards else level, level
    if arrangement == "grid":
        s = structure
        row, column = np.divmod(np.arange(s.n), grid_width(s.n, s.src, s.dst, s.slot, s.slots))
        return column, row
    if arrangement == "tree":
        return np.arange(structure.n), _heights(structure)
    return level, level


def _least(values: np.ndarray, structure: Structure) -> np.ndarray:
    """Per node, the smallest value in its component."""
    low = np.full(structure.components, np.iinfo(np.int64).max)
    np.minimum.at(low, structure.component, values)
    return low[structure.component]


def _heights(structure: Structure) -> np.ndarray:
    """Longest way down to a leaf: words of a sentence stand on one line."""
    height = np.zeros(structure.n, np.int64)
    order = np.argsort(structure.level[structure.src], kind="stable")
    for s, d in zip(structure.src[order].tolist(), structure.dst[order].tolist(), strict=True):
        height[d] = max(height[d], height[s] + 1)
    return height


def _top_of_tree(structure: Structure, band: int, rows: list[int], most: int, shown: Shown) -> None:
    """Breadth first from the roots; every subtree below what is kept becomes one group."""
    children = children_of(structure)
    parents = set(structure.src.tolist())
    queue = [row for row in rows if row not in parents]
    for row in queue:  # grows while it is walked
        queue.extend(children[row])
    kept = set(queue[:most])
    shown.kept[band] = [row for row in rows if row in kept]
    for row in queue[:most]:
        for child in children[row]:
            if child not in kept:
                below = [child]
                for inner in below:
                    below.extend(children[inner])
                shown.groups.append((band, below))


def children_of(structure: Structure) -> dict[int, list[int]]:
    """The rows that feed each row, by slot."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for s, d, slot in zip(
        structure.src.tolist(), structure.dst.tolist(), structure.slot.tolist(), strict=True
    ):
        found[d].append((slot, s))
    return defaultdict(list, {row: [s for _, s in sorted(kids)] for row, kids in found.items()})
