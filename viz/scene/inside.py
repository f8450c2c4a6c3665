"""Gradients inside of a recurrence's cell: what each op sends back to each of its operands.

The backward recurrence gives the cotangent of every tensor inside, at every node.
What of it goes to which operand is the op's own vjp, run at all nodes at once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from minigrad.autodiff import backward
from minigrad.graph import CONSTANT, Tensor, placeholder, rebuild, toposort
from minigrad.ops import ones_like
from minigrad.recur import PROJ, RECUR, ROW, Block, parts_of, proj, pulled_back, recurrence
from minigrad.structure import independent

from .reading import read

HIDDEN = frozenset({"broadcast_to", "astype", "checked"})
Edge = tuple[Tensor, int]  # an op, and which operand


def visible(t: Tensor) -> Tensor:
    """The tensor itself, or behind hidden ops what they pass on."""
    while t.op.name in HIDDEN:
        t = t.inputs[0]
    return t


class Inside:
    """Cotangents at the nodes of one recurrence; what has no gradient path is missing.

    arrived[t]: (N, *shape), of a tensor inside.
    sent[op, k]: (N, *shape), the part of it that an op sends to what stands behind its operand k.
    onward[t], asked[t]: the part that later nodes, and that what is outside sends back.
    """

    def __init__(self, r: Tensor, scalar: Tensor) -> None:
        found = backward([scalar], [ones_like(scalar)], [r])
        self.arrived: dict[Tensor, np.ndarray] = {}
        self.sent: dict[Edge, np.ndarray] = {}
        self.onward: dict[Tensor, np.ndarray] = {}
        self.asked: dict[Tensor, np.ndarray] = {}
        if r not in found:
            return
        block, structure, _ = parts_of(r)
        within = dict.fromkeys((*block.nodes, *block.inputs, *block.slots.values()))
        also = tuple(t for t in within if t.dtype.kind == "f")
        floats = [arg.dtype.kind == "f" for arg in r.inputs]
        _, cotangents = pulled_back(found[r], r, floats, also)
        arrived = {t: g for t, g in zip(also, cotangents, strict=True) if g is not None}
        sent = _sent(r, arrived)
        seeds = [ct for _, ct in found[r]]
        values = read([*arrived.values(), *sent.values(), *seeds])
        self.arrived = dict(zip(arrived, values, strict=False))
        self.sent = dict(zip(sent, values[len(arrived) :], strict=False))
        for (p, _), ct in zip(found[r], values[len(arrived) + len(sent) :], strict=True):
            rows, _ = p.attrs["via"].index(structure.n)
            table = np.asarray(ct)[None] if p.attrs["via"].kind == "shared" else np.asarray(ct)
            shape = (structure.n, *[1] * (table.ndim - 1))
            value = np.where((rows >= 0).reshape(shape), table[rows], 0)
            ref = p.attrs["ref"]
            self.asked[ref] = self.asked[ref] + value if ref in self.asked else value
        self._hand_on(block, structure)
        self._complete(block)

    def _hand_on(self, block: Block, structure: Any) -> None:
        """What the slots of later nodes send back along the structure's edges."""
        keep = np.ones(len(structure.src), bool) if structure.keep is None else structure.keep
        for (port, leaf), t in block.ports.items():
            for (slot, at), arriving in block.slots.items():
                edges = keep & (structure.port == port) & (structure.slot == slot)
                if at != leaf or arriving not in self.arrived or not edges.any():
                    continue
                g = self.arrived[arriving]
                total = self.onward.setdefault(t, np.zeros((structure.n, *t.shape), g.dtype))
                np.add.at(total, structure.src[edges], g[structure.dst[edges]])

    def _complete(self, block: Block) -> None:
        """Of calls inside the cell only the whole is known: what is left for the one that is."""
        users: dict[Tensor, list[Edge]] = defaultdict(list)
        for t in block.nodes:
            if t.op.name not in HIDDEN and t.op is not RECUR:
                read_by = t.inputs[0].inputs if t.op is PROJ else t.inputs
                for k, x in enumerate(read_by):
                    users[visible(x)].append((t, k))
        for t, edges in users.items():
            unknown = [e for e in edges if e not in self.sent and e[0] in self.arrived]
            if t in self.arrived and len(unknown) == 1 and unknown[0][0].op is PROJ:
                known = [self.sent[e] for e in edges if e in self.sent]
                more = [part[t] for part in (self.onward, self.asked) if t in part]
                self.sent[unknown[0]] = self.arrived[t] - sum([*known, *more])


def _sent(r: Tensor, arrived: dict[Tensor, Tensor]) -> dict[Edge, Tensor]:
    """The vjp of every op inside, as one block over the nodes."""
    block, structure, vias = parts_of(r)
    given = {t: placeholder(t.shape, t.dtype, "ct") for t in arrived}
    parts: dict[Edge, Tensor] = {}
    for t in block.nodes:
        if t not in given or t.op in (RECUR, PROJ) or t.op.vjp is None or not t.inputs:
            continue
        if t.op.name in HIDDEN:
            continue
        wanted = [x in arrived for x in t.inputs]
        for k, g in enumerate(t.op.vjp(given[t], t, wanted)):
            x = t.inputs[k]
            while g is not None and wanted[k] and x.op.name in HIDDEN:
                (g,) = x.op.vjp(g, x, [True])  # type: ignore[misc]
                x = x.inputs[0]
            if g is not None and wanted[k]:
                parts[t, k] = g
    if not parts:
        return {}
    forward = set(block.nodes) | set(block.inputs) | set(block.slots.values())
    number = {ph: k for k, ph in enumerate(block.inputs)}
    swap: dict[Tensor, Tensor] = {}
    args = [arrived[t] for t in given]
    enter = [ROW] * len(args)
    for t in toposort(parts.values(), stop=lambda t: t in forward):
        if t in forward and t.op is not CONSTANT:
            swap[t] = placeholder(t.shape, t.dtype, t.name)
            args.append(r.inputs[number[t]] if t in number else proj(r, t, ROW))
            enter.append(vias[number[t]] if t in number else ROW)
    fresh = rebuild(list(parts.values()), swap)
    edges = Block("edges", (*given.values(), *swap.values()), tuple(dict.fromkeys(fresh)))
    made = recurrence(edges, independent(structure.n), args, enter)
    return {e: proj(made, g, ROW) for e, g in zip(parts, fresh, strict=True)}
