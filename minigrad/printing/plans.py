"""What of a graph is printed: the nodes that are wanted, how often each is read, and by whom.

Dead arguments of recurrences, broadcasts and ops that say nothing are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.table import name_of_ours
from ..recur import PROJ, RECUR, Key, parts_of
from .spellings import SILENT


@dataclass(eq=False)
class PrintPlan:
    """What of a part of the graph is printed.

    order  : its nodes, inputs first.
    wanted : those that are printed.     uses : how often each is read.
    asked  : the projections of each recurrence.
    """

    order: list[Tensor]
    wanted: set[Tensor]
    uses: Counter[Tensor]
    asked: dict[Tensor, list[Tensor]]


# -- which nodes an op is shown to read ------------------------------------------------------------


def seen(t: Tensor) -> Tensor:
    """Without ops that say nothing."""
    while t.op.name in SILENT and name_of_ours(t.op):
        t = t.inputs[0]
    return t


def bare(t: Tensor) -> Tensor:
    """Without broadcasts."""
    t = seen(t)
    while t.op is BROADCAST:
        t = seen(t.inputs[0])
        while t.op is RESHAPE and t.shape == (1,) * (t.ndim - t.inputs[0].ndim) + t.inputs[0].shape:
            t = seen(t.inputs[0])
    return t


def operands(t: Tensor) -> list[Tensor]:
    """The nodes that stand as operands of `t` in the text."""
    xs = [seen(i) for i in t.inputs]
    if t.op.kind != "elementwise" or not name_of_ours(t.op):
        return xs
    small = [bare(x) for x in xs]
    whole = np.broadcast_shapes(*(x.shape for x in small)) == t.shape
    return small if whole else [xs[0], *small[1:]]


def planned(order: list[Tensor], roots: Iterable[Tensor]) -> PrintPlan:
    wanted = {seen(t) for t in roots}
    plan = PrintPlan(order, wanted, Counter(map(seen, roots)), {})
    for t in reversed(order):
        if t not in wanted:
            continue
        if t.op is PROJ:
            plan.asked.setdefault(t.inputs[0], []).append(t)
            wanted.add(t.inputs[0])
        elif t.op is RECUR:
            refs = tuple(dict.fromkeys(p.attrs["ref"] for p in plan.asked[t]))
            part = inside(t, refs)
            read = [seen(t.inputs[k]) for k in part.inputs]
            wanted.update(read)
            plan.uses.update(read)
        else:
            read = operands(t)
            wanted.update(read)
            plan.uses.update(read)
    return plan


def is_literal(t: Tensor) -> bool:
    return t.op is CONSTANT and t.name is None and t.shape == ()


class Inside(NamedTuple):
    """What of a recurrence's block is printed for some of its tensors.

    plan    : of the block's nodes.
    inputs  : the numbers of its inputs that are read.
    states  : the slots that are read.
    sent    : what leaves along edges into those.
    returns : what a call of the cell returns: states first, no placeholders.
    """

    plan: PrintPlan
    inputs: list[int]
    states: dict[Key, Tensor]
    sent: dict[Key, Tensor]
    returns: list[Tensor]


def inside(r: Tensor, refs: tuple[Tensor, ...]) -> Inside:
    block, structure, _ = parts_of(r)
    key = ("printed", refs, structure.wires)
    if key not in block.cache:
        order = block.live(refs, structure.wires)
        live = set(order)
        states = {k: ph for k, ph in block.slots.items() if ph in live}
        ports = {
            (p, leaf): None for slot, leaf in states for p, s in sorted(structure.wires)
            if s == slot and (p, leaf) in block.ports
        }  # fmt: skip
        sent = {k: block.ports[k] for k in ports}
        returns = [t for t in dict.fromkeys([*sent.values(), *refs]) if seen(t).op is not INPUT]
        plan = planned(order, [*sent.values(), *refs])
        inputs = [k for k, ph in enumerate(block.inputs) if ph in plan.wanted]
        block.cache[key] = Inside(plan, inputs, states, sent, returns)
    return block.cache[key]
