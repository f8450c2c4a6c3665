"""Which nodes of a graph may become one: contracting them must not make a cycle.

A set of calls may be one node if no way between two of them leaves the set.  Sets that are tangled,
alone or with each other, are cut by *depth*: how often the longest way to a call leaves a tangled
set and enters one again.  Everything here is linear in the number of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Tensor

Unit = Any  # a Tensor that stands for itself, or the set that it was put into
Before = Callable[[Tensor], Iterable[Unit]]  # what a node needs


def peeled(
    order: Sequence[Tensor], unit: Mapping[Tensor, Unit], before: Before
) -> tuple[list[Unit], set[Unit]]:
    """The units that can be put in order, in that order, and those on a cycle or between two."""
    number: dict[Unit, int] = {}
    for t in order:
        number.setdefault(unit.get(t, t), len(number))
    ends: list[int] = []
    starts: list[int] = []
    for t in order:
        u = number[unit.get(t, t)]
        for x in before(t):
            starts.append(number[unit.get(x, x)])
            ends.append(u)
    units, edges = list(number), np.array([starts, ends], np.int64)
    first = _peel(len(units), edges)
    rest = np.ones(len(units), bool)
    rest[first] = False
    rest[_peel(len(units), edges[::-1, rest[edges].all(axis=0)])] = False
    return [units[u] for u in first], {units[u] for u in np.flatnonzero(rest).tolist()}


def _peel(n: int, edges: np.ndarray) -> list[int]:
    """Of n nodes, those all of whose sources come before them."""
    start, end = edges
    waiting = np.bincount(end, minlength=n).tolist()
    behind = np.searchsorted(np.sort(start), np.arange(n + 1)).tolist()
    after = end[np.argsort(start, kind="stable")].tolist()
    found = [u for u in range(n) if not waiting[u]]
    for u in found:  # grows meanwhile
        for v in after[behind[u] : behind[u + 1]]:
            waiting[v] -= 1
            if not waiting[v]:
                found.append(v)
    return found


def untangled(
    order: Sequence[Tensor],
    base: Mapping[Tensor, Unit],
    classes: Mapping[Tensor, Hashable],
    inside: Mapping[Tensor, Sequence[Tensor]],
    outside: Mapping[Tensor, Sequence[Unit]],
) -> list[list[Tensor]]:
    """The classes of calls, cut where contracting them would make a cycle.

    base   : nodes that are contracted already, by their unit; that graph has no cycle.
    inside : of each call, the calls of its class that it reads by an edge of the class.
    outside: of each call, and of each node in `base`, all else that it needs.
    """

    def contracted(t: Tensor) -> Iterable[Unit]:
        return outside[t] if t in outside else t.inputs

    def apart(t: Tensor) -> Iterable[Unit]:
        return (*outside[t], *inside.get(t, ())) if t in outside else t.inputs

    unit = {**base, **{t: ("class", key) for t, key in classes.items()}}
    tangled = peeled(order, unit, contracted)[1]
    cut = {t for t in classes if unit[t] in tangled}
    depth: dict[Unit, int] = {}
    if cut:
        members: dict[Unit, list[Tensor]] = {}
        for t in order:
            members.setdefault(base.get(t, t), []).append(t)
        for u in peeled(order, base, apart)[0]:
            found = [depth[x] for t in members[u] if t in cut for x in inside[t]]
            for t in members[u]:
                for x in contracted(t):
                    found.append(depth[base.get(x, x)] + (x in cut))
            depth[u] = max(found, default=0)
    sets: dict[Any, list[Tensor]] = {}
    for t in order:
        if t in classes:
            sets.setdefault((classes[t], depth[t] if t in cut else -1), []).append(t)
    return list(sets.values())
