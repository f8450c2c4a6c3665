"""The rows under the steps of the unfolded view: what each use of a parameter adds to its gradient.

A parameter that all steps share has as gradient the sum of what its uses add.
Norms do not add up: where the terms cancel, the norm of the sum is less than the sum of the norms.
A row has both.  (``mg.contributions`` and ``recurrent.study.ledger`` give the same numbers.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from minigrad.graph import Tensor
from minigrad.per_node import rearranged
from minigrad.recur import SHARED, parts_of

from .backward import Backward
from .describe import lines, tensor_text
from .draft import Draft
from .flow import frontier, is_source, leaf_name
from .lanes import Lanes
from .numbers import norm
from .scene import Track, Use
from .steps import Unit

MOST_ROWS = 40  # more would be longer than a page: the smallest share one
MOST_NODES = 32  # of a tree or another structure: their columns stand side by side
MOST_SQUARES = 64  # steps of a sequence; beyond, a strip has a column for each
AWAY = 1e-12  # of the total: what is left of a difference of sums when there is nothing left


@dataclass
class _Uses:
    """Of one parameter in one net: what each of its nodes adds."""

    leaf: Tensor
    unit: Unit | None
    norms: dict[Tensor, np.ndarray] = field(default_factory=dict)  # by recurrence, (n,)
    rest: float | None = None  # what it adds outside of all nodes


def add_tracks(
    draft: Draft,
    lanes: Lanes,
    backward: Backward,
    ends: dict[Tensor, str],
    leaves: Sequence[Tensor],
) -> None:
    """Rows for the parameters that chains use, and strips where there are too many steps.

    ends: the boxes of the results that read parameters themselves.
    """
    found = _all_uses(lanes, backward, leaves)
    chains = {unit for unit in lanes.units if unit.whole.arrangement == "chain"}
    wide = {unit for unit in lanes.units if unit not in chains and _drawn(unit) > MOST_NODES}
    outside = {uses.leaf for uses in found if uses.unit in wide}
    words = _words(draft)
    found = [uses for uses in found if uses.leaf not in outside]
    if not any(uses.unit is not None for uses in found):
        return
    long = {unit for unit in chains if max(_lengths(unit), default=0) > MOST_SQUARES}
    for unit in long:
        _state_strips(draft, lanes, backward, unit)
    several = len({uses.unit for uses in found if uses.unit is not None}) > 1
    seen: set[Tensor] = set()
    total: dict[Tensor, float] = defaultdict(float)
    for uses in found:
        total[uses.leaf] += sum(float(n.sum()) for n in uses.norms.values()) + (uses.rest or 0.0)
    kept = found
    if len(found) > MOST_ROWS:
        order = sorted(found, key=lambda u: -total[u.leaf])[: MOST_ROWS - 1]
        kept = [uses for uses in found if any(uses is k for k in order)]
    for uses in kept:
        first, name = uses.leaf not in seen, leaf_name(uses.leaf)
        seen.add(uses.leaf)
        group = _group(lanes, uses.unit) if several and uses.unit is not None else ""
        gradient = backward.total(uses.leaf)
        id = f"t{len(draft.tracks)}"
        whole = norm(gradient) if gradient is not None else 0.0
        strip = uses.unit in long
        draft.tracks.append(
            Track(
                id,
                _short(uses, kept),
                group,
                norm=whole if first else None,
                together=total[uses.leaf] if first else None,
                uses=() if strip else tuple(_squares(id, lanes, uses, ends, words)),
                strip=_by_step(lanes, uses) if strip else (),
                tooltip=lines(
                    f"{name}: {tensor_text(uses.leaf)}",
                    f"norm of the gradient {whole:.6g}",
                    f"sum of the norms of its uses {total[uses.leaf]:.6g}",
                ),
            )
        )
    if len(kept) < len(found):
        hidden = len({u.leaf for u in found}) - len({u.leaf for u in kept})
        draft.notes.append(f"{hidden} more parameters, of the least gradient, have no row")


def _lengths(unit: Unit) -> list[int]:
    return np.bincount(unit.structure.component).tolist() if unit.structure.n else []


def _all_uses(lanes: Lanes, backward: Backward, leaves: Sequence[Tensor]) -> list[_Uses]:
    """In the order of the nets, of their arguments; what results alone read comes last."""
    by_unit: dict[tuple[Tensor, Unit], _Uses] = {}
    summed: dict[Tensor, np.ndarray] = {}
    tables: set[Tensor] = set()
    known = set(leaves)
    for r in lanes.recurs:
        unit = lanes.unit_of[r]
        for k, arg in enumerate(r.inputs):
            leaf = _table_of(arg, parts_of(r).vias[k])
            if leaf is not None and backward.total(leaf) is not None and _only(lanes, leaf, arg):
                norms = backward.rows(r, [parts_of(r).block.inputs[k]])
                tables.add(leaf)
            elif arg in known and (added := backward.added(r, k)) is not None:
                leaf, (norms, share) = arg, added
                if backward.total(leaf) is None:
                    continue
                summed[leaf] = summed[leaf] + share if leaf in summed else share
            else:
                continue
            if norms is not None and leaf is not None:
                uses = by_unit.setdefault((leaf, unit), _Uses(leaf, unit))
                before = uses.norms.get(r)
                uses.norms[r] = norms if before is None else before + norms
    found = list(by_unit.values())
    for leaf in leaves:
        gradient = backward.total(leaf)
        if gradient is None:
            continue
        if leaf in tables:
            direct = backward.direct([leaf])
            if direct is not None:
                found.append(_Uses(leaf, None, rest=direct))
            continue
        rest = norm(gradient - summed[leaf]) if leaf in summed else norm(gradient)
        if leaf not in summed or rest > AWAY * max(norm(gradient), norm(summed[leaf])):
            if leaf not in summed or _read_elsewhere(lanes, backward, leaf):
                found.append(_Uses(leaf, None, rest=rest))
    return found


def _read_elsewhere(lanes: Lanes, backward: Backward, leaf: Tensor) -> bool:
    """Whether anything but the nodes themselves reads a leaf."""
    if backward.scalar is not None and leaf in set(frontier(backward.scalar)):
        return True
    return any(
        arg is not leaf and leaf in set(frontier(arg)) for r in lanes.recurs for arg in r.inputs
    )


def _table_of(arg: Tensor, via: object) -> Tensor | None:
    """The table of which an argument picks a row per node (embeddings), if it does only that."""
    if via is SHARED:
        return None
    chain = rearranged(arg)
    picks = len(chain) > 1 and chain[-2].op.name == "take" and chain[-1].ndim == 2
    spread = any(t.op.name == "broadcast_to" for t in chain)
    leaf = chain[-1]
    return leaf if picks and not spread and not leaf.inputs and is_source(leaf) else None


def _only(lanes: Lanes, leaf: Tensor, arg: Tensor) -> bool:
    """Whether no other argument of a recurrence is made of a leaf."""
    args = {a for r in lanes.recurs for a in r.inputs if a is not arg}
    return not any(leaf in set(frontier(a)) for a in args)


def _drawn(unit: Unit) -> int:
    return sum(map(len, unit.whole.kept.values())) + len(unit.whole.groups)


def _words(draft: Draft) -> dict[str, str]:
    """What the input of each cell says."""
    found: dict[str, str] = {}
    for edge in draft.edges:
        if draft.nodes[edge.source].kind == "input" and edge.kind != "backward":
            found.setdefault(edge.target, draft.nodes[edge.source].label)
    return found


def _squares(
    id: str, lanes: Lanes, uses: _Uses, ends: dict[Tensor, str], words: dict[str, str]
) -> list[Use]:
    if uses.unit is None:
        at = next((box for end, box in ends.items() if uses.leaf in set(frontier(end))), None)
        return [Use(f"{id}u0", at, uses.rest or 0.0)]
    chain = uses.unit.whole.arrangement == "chain"
    at_node: dict[str, list[float]] = defaultdict(list)
    label: dict[str, str] = {}
    for r, norms in uses.norms.items():
        for row, size in enumerate(norms.tolist()):
            node = lanes.cell(r, row)
            at_node[node].append(size)
            if not chain:
                place, word = lanes.place(r, row), words.get(node)
                label.setdefault(node, f"{word} ({place})" if word else f"node {place}")
    return [
        Use(
            f"{id}u{k}",
            node,
            sum(sizes),
            count=len(sizes),
            label="" if chain else label[node] if len(sizes) == 1 else "…",
        )
        for k, (node, sizes) in enumerate(at_node.items())
    ]


def _by_step(lanes: Lanes, uses: _Uses) -> tuple[float | None, ...]:
    """By step of the first sequence; of several sequences, the sum at each step."""
    steps: dict[int, float] = defaultdict(float)
    for r, norms in uses.norms.items():
        for row, size in enumerate(norms.tolist()):
            steps[(lanes.step(r, row) or row + 1) - 1] += size
    low = min(steps, default=0)
    return tuple(steps.get(k) for k in range(low, max(steps, default=-1) + 1))


def _state_strips(draft: Draft, lanes: Lanes, backward: Backward, unit: Unit) -> None:
    """How much gradient enters each step's state, by part."""
    if unit.calls:
        return
    r = unit.recurs[0]
    block = parts_of(r).block
    rows = np.argsort(unit.whole.column[unit.structure.component == 0], kind="stable")
    rows = np.flatnonzero(unit.structure.component == 0)[rows]
    for (_, leaf), port in block.ports.items():
        norms = backward.rows(r, [port])
        if norms is not None:
            name = next((t.name for (_, at), t in block.slots.items() if at == leaf), None) or "h"
            draft.tracks.append(
                Track(
                    f"t{len(draft.tracks)}", f"state {name}", _group(lanes, unit),
                    strip=tuple(norms[rows].tolist()),
                    tooltip=f"norm of the total gradient with regard to {name} after each step",
                )
            )  # fmt: skip


def _group(lanes: Lanes, unit: Unit) -> str:
    heading = next((c.heading for c in lanes.clusters_of(unit) if c.heading), "")
    same = [u for u in lanes.units if u.name == unit.name]
    number = f" {same.index(unit) + 1}" if len(same) > 1 and not heading else ""
    return f"{unit.name}{number}" + (f", {heading}" if heading else "")


def _short(uses: _Uses, kept: Sequence[_Uses]) -> str:
    """What stands behind the last dot of a name, if that is no other row's of the net."""
    name = leaf_name(uses.leaf)
    last = name.rpartition(".")[2]
    others = (leaf_name(u.leaf) for u in kept if u.unit is uses.unit and u is not uses)
    return name if any(other.rpartition(".")[2] == last for other in others) else last
