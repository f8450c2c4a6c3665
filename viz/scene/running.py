"""What has been added to a parameter's gradient after each turn of the backward pass.

The terms of a turn are added up by the backward recurrence itself, so none is formed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from minigrad.graph import Tensor, constant, rebuild
from minigrad.recur import SHARED, parts_of
from minigrad.run.evaluate import evaluate

from .backward import Backward
from .draft import Draft
from .flow import frontier
from .lanes import Lanes
from .numbers import norm
from .steps import Unit


@dataclass
class Uses:
    """Of one parameter in one net: what each of its nodes adds."""

    leaf: Tensor
    unit: Unit | None
    norms: dict[Tensor, np.ndarray] = field(default_factory=dict)  # by recurrence, (n,)
    ways: list[tuple[Tensor, int]] = field(default_factory=list)  # recurrence, argument
    rest: np.ndarray | None = None  # what it adds outside of all nodes


def outside_turns(draft: Draft, lanes: Lanes, found: Sequence[Uses]) -> dict[Tensor, int]:
    """When all is added that leaves get from outside of nodes: with the last argument made of them.

    What the scalar's own ops give them is there from the start.
    """
    known = {(uses.leaf, way) for uses in found for way in uses.ways}
    late = {uses.leaf: 0 for uses in found if uses.rest is not None}
    for r in lanes.recurs:
        for k, arg in enumerate(r.inputs):
            for leaf in late.keys() & set(frontier(arg)):
                if (leaf, (r, k)) not in known:
                    last = int(node_turns(draft, lanes, r).max(initial=0))
                    late[leaf] = max(late[leaf], last)
    return late


def node_turns(draft: Draft, lanes: Lanes, r: Tensor) -> np.ndarray:
    """(n,) the turn of every node of a recurrence; -1 where no gradient comes."""
    turns = [draft.nodes[lanes.cell(r, row)].turn for row in range(parts_of(r).structure.n)]
    return np.array([-1 if turn is None else turn for turn in turns], np.int64)


def sums_by_turn(
    draft: Draft, lanes: Lanes, backward: Backward, found: Sequence[Uses]
) -> dict[Tensor, tuple[float, ...]]:
    """Of each parameter, the norm of what has been added after each turn, from turn 0."""
    turns = 1 + max((node.turn or 0 for node in draft.nodes.values()), default=0)
    ways = [(uses, r, k, node_turns(draft, lanes, r)) for uses in found for r, k in uses.ways]
    values = backward.by_turn([(r, k, turn) for _, r, k, turn in ways], turns)
    added: dict[Tensor, np.ndarray] = {}
    rows: dict[Tensor, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = defaultdict(list)
    for (uses, r, k, turn), value in zip(ways, values, strict=True):
        if parts_of(r).vias[k] is not SHARED:  # rows of a table
            sent = backward.at_nodes(r, parts_of(r).block.inputs[k])
            if sent is not None:
                rows[uses.leaf].append((turn, _table_rows(uses.leaf, r, k), sent))
        elif value is not None:
            before = added.get(uses.leaf)
            added[uses.leaf] = value if before is None else before + value
    rest = {uses.leaf: uses.rest for uses in found if uses.rest is not None}
    late = outside_turns(draft, lanes, found)
    sums: dict[Tensor, tuple[float, ...]] = {}
    for leaf in dict.fromkeys(uses.leaf for uses in found):
        start = np.zeros(leaf.shape)
        more = [] if leaf not in rest else [(late[leaf], rest[leaf])]
        if leaf in rows:
            sums[leaf] = _of_rows(start, rows[leaf], more, turns)
            continue
        sizes, running = [], start
        for k in range(turns):
            running = running + added[leaf][k] if leaf in added else running
            running = running + sum(value for at, value in more if at == k)
            sizes.append(norm(running))
        sums[leaf] = tuple(sizes)
    return sums


def _table_rows(leaf: Tensor, r: Tensor, k: int) -> np.ndarray:
    """(n,) which row of a table each node of r reads through argument k; -1: none."""
    numbers = np.arange(leaf.shape[0], dtype=leaf.dtype)
    counted = constant(np.broadcast_to(numbers[:, None], leaf.shape).copy())
    (made,) = evaluate(rebuild([r.inputs[k]], {leaf: counted}))
    index, _ = parts_of(r).vias[k].index(parts_of(r).structure.n)
    first = made.reshape(len(made), -1)[:, 0].astype(np.int64)
    return np.where(index >= 0, first[np.maximum(index, 0)], -1)


def _of_rows(
    running: np.ndarray,
    ways: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    more: Sequence[tuple[int, np.ndarray]],
    turns: int,
) -> tuple[float, ...]:
    sizes = []
    for k in range(turns):
        for turn, at, sent in ways:
            here = (turn == k) & (at >= 0)
            np.add.at(running, at[here], sent[here])
        running = running + sum(value for when, value in more if when == k)
        sizes.append(norm(running))
    return tuple(sizes)
