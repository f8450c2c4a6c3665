"""The order of the backward pass: when each cotangent is whole, and what it is the cotangent of.

Recurrences run back in the reverse of their order, each level by level; all nodes of a level at
once.  (The page's slider walks the same order, op by op: the program's calls, from the last.)
What stands between them and at their ends has its cotangent when the last of its readers has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from minigrad.graph import Tensor
from minigrad.recur import parts_of

from .backward import Backward
from .draft import Draft
from .lanes import Lanes
from .text import raised, subscript

MOST_TURNS = 120  # of more, neighbours are one


def cell_turns(draft: Draft, lanes: Lanes, backward: Backward) -> dict[str, int]:
    """Of the cells and boxes into which gradient flows, when it is their turn, from 1.

    A box that stands for many nodes has its turn with the last of them.  (What passes from one
    such box to another may have no edge.)
    """
    place = {r: k for k, r in enumerate(lanes.recurs)}
    reached = {e.target for e in draft.edges if e.kind == "backward"}
    keys: dict[str, tuple[int, int]] = {}
    for number, (id, _, row) in enumerate(lanes.cells):
        if id not in reached and row < 0 and _gets_any(lanes, backward, number):
            reached.add(id)
        if id in reached:
            keys[id] = min(
                (place[r], int(parts_of(r).structure.level[rows].min()))
                for r, rows in lanes.standing(number)
            )
    order = sorted(set(keys.values()), reverse=True)
    rank = {key: k for k, key in enumerate(order)}
    every = max(1.0, len(order) / MOST_TURNS)
    return {id: 1 + int(rank[key] / every) for id, key in keys.items()}


def _gets_any(lanes: Lanes, backward: Backward, number: int) -> bool:
    """Whether gradient reaches a node that a box stands for."""
    for r, rows in lanes.standing(number):
        norms = backward.states(r)
        if norms is not None and (norms[rows] != 0).any():
            return True
    return False


def take_turns(draft: Draft, first: Mapping[str, int]) -> None:
    """Gives every node that gradient reaches its turn: those in ``first``, the others by readers.

    A node that is not in ``first`` has its cotangent when the last of its readers has.
    """
    readers: dict[str, list[str]] = defaultdict(list)
    for edge in draft.edges:
        if edge.kind == "backward":
            readers[edge.target].append(edge.source)
    # Where gradient enters the picture: the scalar, or what leaves a cell that is seen inside.
    sending = {e.source for e in draft.edges if e.kind == "backward"}
    turn = dict.fromkeys((id for id in sending if id not in readers and id not in first), 0)
    turn |= dict(first)
    stack = [id for id in readers if id not in turn]
    while stack:
        missing = [r for r in readers[stack[-1]] if r not in turn and r in readers]
        if missing and stack[-1] not in turn:
            stack += missing
            continue
        id = stack.pop()
        turn.setdefault(id, max((turn.get(r, 0) for r in readers[id]), default=0))
    for id, when in turn.items():
        draft.change(id, turn=when)


def op_turns(draft: Draft, made: Iterable[str]) -> dict[str, int]:
    """Of ops, in the order in which they run: those that gradient reaches, from the last."""
    reached = {e.target for e in draft.edges if e.kind == "backward"}
    back = [id for id in made if id in reached][::-1]
    every = max(1.0, len(back) / MOST_TURNS)
    return {id: 1 + int(k / every) for k, id in enumerate(back)}


def name_cells(draft: Draft, lanes: Lanes) -> None:
    """What each cell hands on, by name and step: ``h₂``, ``(h₂, c₂)``, ``h at node 3``."""
    for id, r, row in lanes.cells:
        node = draft.nodes[id]
        unit = lanes.unit_of[r]
        several = f" of {lanes.group(unit, short=True)}" if len(lanes.units) > 1 else ""
        if row < 0:
            many = node.label.strip("… ")
            draft.change(id, value=f"({many} left out{several})")
            continue
        structure, step = unit.structure, lanes.step(r, row)
        names = lanes.parts(unit) or _names(r)
        texts = [subscript(raised(name), step) if step else raised(name) for name in names]
        text = texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
        if not step and structure.n > 1:
            text += f" at node {lanes.place(r, row) + 1}"
        if lanes.is_chain(r) and unit.joined and structure.components > 1:
            text += f" of sequence {int(structure.component[lanes.place(r, row)]) + 1}"
        draft.change(id, value=text + several)


def _names(r: Tensor) -> list[str]:
    block = parts_of(r).block
    slots = [t.name or "h" for (slot, _), t in block.slots.items() if slot == 0]
    outs = [t.name or "y" for t in block.outputs[:1]]
    return list(dict.fromkeys(slots or outs)) or ["y"]
