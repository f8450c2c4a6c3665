"""The rows under the steps of the unfolded view: what each use of a parameter adds to its gradient.

A parameter that all steps share has as gradient the sum of what its uses add.
Norms do not add up: where the terms cancel, the norm of the sum is less than the sum of the norms.
A row has both.  (``mg.contributions`` and ``recurrent.study.ledger`` give the same numbers.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

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
from .running import Uses, outside_turns, sums_by_turn
from .scene import Track, Use
from .steps import Unit

MOST_ROWS = 40  # more would be longer than a page: the smallest share one
MOST_STRIPS = 40  # of sequences that are not drawn
MOST_NODES = 32  # of a tree or another structure: their columns stand side by side
MOST_SQUARES = 64  # steps of a sequence; beyond, a strip has a column for each
AWAY = 1e-12  # of the total: what is left of a difference of sums when there is nothing left


def add_tracks(
    draft: Draft,
    lanes: Lanes,
    backward: Backward,
    ends: dict[Tensor, str],
    leaves: Sequence[Tensor],
    running: bool = False,
) -> None:
    """Rows for the parameters that chains use, and strips where there are too many steps.

    ends: the boxes of the results that read parameters themselves.
    running: whether rows say what has been added after each turn of the backward pass.
    """
    for unit in lanes.units:
        _sequence_strips(draft, lanes, backward, unit)
    found = _all_uses(lanes, backward, leaves)
    chains = {unit for unit in lanes.units if unit.whole.arrangement == "chain"}
    wide = {unit for unit in lanes.units if unit not in chains and drawn(unit) > MOST_NODES}
    words = words_read(draft)
    if not any(uses.unit is not None for uses in found):
        return
    long = {unit for unit in chains if max(_lengths(unit), default=0) > MOST_SQUARES}
    for unit in (unit for unit in lanes.units if unit in long):
        _state_strips(draft, lanes, backward, unit)
    long |= wide
    several = len({uses.unit for uses in found if uses.unit is not None}) > 1
    head: dict[Tensor, str] = {}
    total: dict[Tensor, float] = defaultdict(float)
    for uses in found:
        total[uses.leaf] += sum(float(n.sum()) for n in uses.norms.values())
        total[uses.leaf] += 0.0 if uses.rest is None else norm(uses.rest)
    kept = found
    if len(found) > MOST_ROWS:
        order = sorted(found, key=lambda u: -total[u.leaf])[: MOST_ROWS - 1]
        kept = [uses for uses in found if any(uses is k for k in order)]
    late = outside_turns(draft, lanes, found)
    sums = sums_by_turn(draft, lanes, backward, found) if running else {}
    for uses in kept:
        first, name = uses.leaf not in head, leaf_name(uses.leaf)
        group = lanes.group(uses.unit) if several and uses.unit is not None else ""
        gradient = backward.total(uses.leaf)
        id = f"t{len(draft.tracks)}"
        head.setdefault(uses.leaf, id)
        whole = norm(gradient) if gradient is not None else 0.0
        strip = uses.unit in long
        draft.tracks.append(
            Track(
                id,
                _short(uses, kept),
                group,
                norm=whole if first else None,
                together=total[uses.leaf] if first else None,
                uses=() if strip else tuple(_squares(draft, id, lanes, uses, ends, words, late)),
                strip=_by_step(lanes, uses) if strip else (),
                running=sums.get(uses.leaf, ()) if first else (),
                columns="node" if uses.unit in wide else "t",
                head=head[uses.leaf],
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


def _all_uses(lanes: Lanes, backward: Backward, leaves: Sequence[Tensor]) -> list[Uses]:
    """In the order of the nets, of their arguments; what results alone read comes last."""
    by_unit: dict[tuple[Tensor, Unit], Uses] = {}
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
                uses = by_unit.setdefault((leaf, unit), Uses(leaf, unit))
                before = uses.norms.get(r)
                uses.norms[r] = norms if before is None else before + norms
                uses.ways.append((r, k))
    found = list(by_unit.values())
    for leaf in leaves:
        gradient = backward.total(leaf)
        if gradient is None:
            continue
        if leaf in tables:
            direct = backward.outside(leaf)
            if direct is not None:
                found.append(Uses(leaf, None, rest=direct))
            continue
        rest = gradient - summed[leaf] if leaf in summed else gradient
        if leaf not in summed or norm(rest) > AWAY * max(norm(gradient), norm(summed[leaf])):
            if leaf not in summed or _read_elsewhere(lanes, backward, leaf):
                found.append(Uses(leaf, None, rest=rest))
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


def drawn(unit: Unit) -> int:
    """How many boxes of a unit there are."""
    return sum(map(len, unit.whole.kept.values())) + len(unit.whole.groups)


def words_read(draft: Draft) -> dict[str, str]:
    """What the input of each cell says."""
    found: dict[str, str] = {}
    for edge in draft.edges:
        if draft.nodes[edge.source].kind == "input" and edge.kind != "backward":
            found.setdefault(edge.target, draft.nodes[edge.source].label)
    return found


def _squares(
    draft: Draft, id: str, lanes: Lanes, uses: Uses, ends: dict[Tensor, str],
    words: dict[str, str], late: dict[Tensor, int],
) -> list[Use]:  # fmt: skip
    if uses.unit is None:
        at = next((box for end, box in ends.items() if uses.leaf in set(frontier(end))), None)
        size = 0.0 if uses.rest is None else norm(uses.rest)
        return [Use(f"{id}u0", at, size, turn=late[uses.leaf])]
    chain = uses.unit.whole.arrangement == "chain"
    at_node: dict[str, list[float]] = defaultdict(list)
    for r, norms in uses.norms.items():
        for row, size in enumerate(norms.tolist()):
            at_node[lanes.cell(r, row)].append(size)
    label = {} if chain else names_of_columns(words, lanes, uses.unit)
    return [
        Use(
            f"{id}u{k}",
            node,
            sum(sizes),
            count=len(sizes),
            label="" if chain else label[node] if len(sizes) == 1 else "…",
            turn=draft.nodes[node].turn,
        )
        for k, (node, sizes) in enumerate(at_node.items())
    ]


def names_of_columns(words: dict[str, str], lanes: Lanes, unit: Unit) -> dict[str, str]:
    """Of nodes that have no column of their own: the word that is read, the number from 1."""
    found: dict[str, str] = {}
    for r in unit.recurs:
        for row in range(parts_of(r).structure.n):
            node, number = lanes.cell(r, row), lanes.place(r, row) + 1
            word = words.get(node)
            found.setdefault(node, f"{word} ({number})" if word else f"node {number}")
    return found


def _by_step(lanes: Lanes, uses: Uses) -> tuple[float | None, ...]:
    """By step, of several sequences the sum at each; of other structures by node."""
    known = [r for r, norms in uses.norms.items() if len(norms)]
    if not known:
        return ()
    steps = np.concatenate([lanes.steps(r) for r in known])
    steps -= steps.min()
    sums = np.bincount(steps, np.concatenate([uses.norms[r] for r in known]))
    return tuple(
        size if count else None
        for size, count in zip(sums.tolist(), np.bincount(steps).tolist(), strict=True)
    )


def _state_strips(draft: Draft, lanes: Lanes, backward: Backward, unit: Unit) -> None:
    """How much gradient enters each step's state, by part."""
    if unit.calls:
        return
    r = unit.recurs[0]
    block = parts_of(r).block
    rows = np.flatnonzero(unit.structure.component == unit.first)
    rows = rows[np.argsort(unit.whole.column[rows], kind="stable")]
    for (_, leaf), port in block.ports.items():
        norms = backward.rows(r, [port])
        if norms is not None:
            name = next((t.name for (_, at), t in block.slots.items() if at == leaf), None) or "h"
            draft.tracks.append(
                Track(
                    f"t{len(draft.tracks)}", f"state {name}{unit.of_first}", lanes.group(unit),
                    strip=tuple(norms[rows].tolist()),
                    tooltip=f"norm of the total gradient with regard to {name} after each step"
                    + unit.of_first.replace(",", " of"),
                )
            )  # fmt: skip


def _sequence_strips(draft: Draft, lanes: Lanes, backward: Backward, unit: Unit) -> None:
    """A strip for each sequence that is not drawn: the norms of its states' gradients."""
    hidden = unit.whole.hidden_bands
    norms = None if unit.calls else backward.states(unit.recurs[0])
    if norms is None or unit.whole.arrangement != "chain":
        return
    component, column = unit.structure.component, unit.whole.column
    several = f"{lanes.group(unit)}: " if len(lanes.units) > 1 else ""
    for band in hidden[:MOST_STRIPS]:
        rows = np.flatnonzero(component == band)
        rows = rows[np.argsort(column[rows], kind="stable")]
        draft.tracks.append(
            Track(
                f"t{len(draft.tracks)}",
                f"sequence {band + 1}",
                f"{several}states of the further sequences",
                strip=tuple(norms[rows].tolist()),
                tooltip=f"norm of the total gradient of the state after each step of sequence "
                f"{band + 1}, {len(rows)} steps",
            )
        )
    if len(hidden) > MOST_STRIPS:
        more = len(hidden) - MOST_STRIPS
        draft.notes.append(f"{more:,} more sequences have no strip of their own")


def _short(uses: Uses, kept: Sequence[Uses]) -> str:
    """What stands behind the last dot of a name, if that is no other row's of the net."""
    name = leaf_name(uses.leaf)
    last = name.rpartition(".")[2]
    others = (leaf_name(u.leaf) for u in kept if u.unit is uses.unit and u is not uses)
    return name if any(other.rpartition(".")[2] == last for other in others) else last
