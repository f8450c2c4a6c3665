"""A node of a recurrence in words: its gate, the parameters it reads, its step and its sample.

Every report about the inside of a recurrence speaks of it in these terms
(`nonfinite`, and `testing.checking.locate`).
A step is the time step of a sequence, whichever way the state flows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Tensor, toposort
from ..recur import SHARED, parts_of
from ..sites import rule_of
from ..structure import Structure


@dataclass(frozen=True)
class Place:
    """A node of one recurrence.

    block     : the recurrence's name (its cell; a backward one ends with ').
    gate      : the name of the interior tensor, or of the only named one it goes into; or None.
    parameters: names of the shared arguments it reads other than through named tensors.
    row       : the row of the structure; None where the value is the same for all of them.
    sample    : which component (sequence, tree) of the batch; None if there is one node only.
    node      : the row within its component.
    step      : `node` where the component is a chain: the time step, whichever way it is run.
    """

    block: str
    gate: str | None
    parameters: tuple[str, ...]
    row: int | None = None
    sample: int | None = None
    node: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        gate = f"{self.gate or 'an unnamed value'}"
        if self.parameters:
            gate += f" (reads {', '.join(self.parameters)})"
        if self.row is None:
            return f"{gate} of {self.block}, computed once for all nodes"
        at = f"step {self.step}" if self.step is not None else f"node {self.node}"
        where = "" if self.sample is None else f", {at} of sample {self.sample}"
        return f"{gate} of {self.block}{where}"


def place_of(r: Tensor, t: Tensor, row: int | None) -> Place:
    """The place of the interior tensor `t` of the recurrence `r` at `row` (None: once for all)."""
    block, structure, vias = parts_of(r)
    shared = {ph for ph, via in zip(block.inputs, vias, strict=True) if via is SHARED}
    named = toposort([t], stop=lambda u: u is not t and bool(u.name) and bool(u.inputs))
    parameters = tuple(u.name for u in named if u in shared and u.name)
    gate = t.name if t.name else _goes_into(block.nodes, t)
    rule = rule_of(t.site)
    if gate is None and rule is not None:
        gate = rule[1]
    if row is None or structure.n == 1:
        return Place(block.name, gate, parameters, row)
    ranks = _ranks(structure)
    node = int(ranks[row])
    step = node if _in_time(structure, ranks) else None
    return Place(block.name, gate, parameters, row, int(structure.component[row]), node, step)


def _goes_into(nodes: Sequence[Tensor], t: Tensor) -> str | None:
    """The name of the only named tensor that `t` goes into by way of unnamed ones."""
    through, found = {t}, []
    for u in nodes:
        if any(i in through for i in u.inputs):
            if u.name:
                found.append(u.name)
            else:
                through.add(u)
    return found[0] if len(found) == 1 else None


def _ranks(structure: Structure) -> np.ndarray:
    """(n,) the number of each row within its component."""
    order = np.argsort(structure.component, kind="stable")
    size = np.bincount(structure.component, minlength=structure.components)
    ranks = np.empty(structure.n, np.int64)
    ranks[order] = np.arange(structure.n) - np.repeat(np.cumsum(size) - size, size)
    return ranks


def _in_time(structure: Structure, ranks: np.ndarray) -> bool:
    """Whether every component is a sequence with its rows in time order (either way it is run)."""
    steps = np.abs(ranks[structure.dst] - ranks[structure.src])
    return structure.kind == "chain" and bool(len(steps)) and bool((steps == 1).all())
