"""What passes back along each edge of the ops view: outside of recurrences, into them, inside.

Outside, what an op's own vjp sends to an operand.  Into a recurrence, the cotangent of its argument
that comes out of it.  Inside, the same of all its nodes together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.autodiff import backward
from minigrad.graph import Tensor
from minigrad.ops import ones_like
from minigrad.recur import PROJ, RECUR, SHARED, parts_of, pulled_back

from .flow import is_source
from .inside import HIDDEN, Inside, visible
from .numbers import norm
from .reading import read


class Passed:
    """Gradients of one scalar in a graph, in the order of its nodes.

    norms[t]: of the whole gradient with regard to a tensor outside.
    wanted: of which leaves gradients are shown; None: all.
    """

    def __init__(
        self, scalar: Tensor, order: Sequence[Tensor], wanted: Sequence[Tensor] | None
    ) -> None:
        self._wanted = None if wanted is None else set(wanted)
        floats = [t for t in order if t.dtype.kind == "f" and t.op is not RECUR]
        recurs = [t for t in order if t.op is RECUR]
        found = backward([scalar], [ones_like(scalar)], [*floats, *recurs])
        reached = [t for t in floats if t in found]
        sent: dict[tuple[Tensor, int], Tensor] = {}
        for t in reached:
            if t.op is PROJ or t.op.vjp is None or not t.inputs:
                continue
            wants = [x in found for x in t.inputs]
            for k, g in enumerate(t.op.vjp(found[t], t, wants)):
                if g is not None and wants[k]:
                    sent[t, k] = _behind(g, t.inputs[k])
        for r in recurs:
            if r in found:
                wants = [arg.dtype.kind == "f" for arg in r.inputs]
                args, _ = pulled_back(found[r], r, wants)
                for k, g in enumerate(args):
                    if g is not None:
                        sent[r, k] = _behind(g, r.inputs[k])
        values = read([*(found[t] for t in reached), *sent.values()])
        self.norms = {t: norm(v) for t, v in zip(reached, values, strict=False)}
        self._sent = dict(zip(sent, values[len(reached) :], strict=True))
        self._inside = {r: Inside(r, scalar) for r in recurs if r in found}

    def along(self, t: Tensor, operands: Sequence[int]) -> float | None:
        """The norm of what an op, or a recurrence, sends back to one source by some operands."""
        shown = [k for k in operands if self._asked(t.inputs[k])]
        parts = [self._sent[t, k] for k in shown if (t, k) in self._sent]
        return norm(np.sum(parts, axis=0)) if parts else None

    def _asked(self, source: Tensor) -> bool:
        leaf = visible(source)
        if leaf.inputs:
            return True
        return is_source(leaf) and (self._wanted is None or leaf in self._wanted)

    # -- inside of a recurrence --------------------------------------------------------------------

    def within(self, r: Tensor, t: Tensor, operands: Sequence[int]) -> float | None:
        """The norm of what an op inside sends back to one source, of all nodes together.

        To what all nodes share: of the sum.  None: no path.  UNKNOWN: there is one, no number.
        """
        inside, block, vias = self._inside.get(r), parts_of(r).block, parts_of(r).vias
        if inside is None or t not in inside.arrived:
            return None
        read_by = t.inputs[0].inputs if t.op is PROJ else t.inputs
        source = visible(read_by[operands[0]])
        shared = False
        k = {ph: k for k, ph in enumerate(block.inputs)}.get(source)
        if k is None and not source.inputs and source not in set(block.slots.values()):
            return None  # a number of the cell's own
        if k is not None:
            shared = vias[k] is SHARED
            if not self._asked(r.inputs[k]):
                return None
        parts = [inside.sent[t, k] for k in operands if (t, k) in inside.sent]
        if len(parts) < len(operands) and t.op is PROJ and source in inside.arrived:
            return UNKNOWN
        if not parts:
            return None
        total = np.sum(parts, axis=0)
        return norm(total.sum(axis=0) if shared else total)

    def leaving(self, r: Tensor, t: Tensor, onward: bool) -> float | None:
        """Of what comes back to a tensor that leaves: from later nodes, or from outside."""
        inside = self._inside.get(r)
        found = {} if inside is None else inside.onward if onward else inside.asked
        return norm(found[t]) if t in found else None

    def around(self, r: Tensor, slot: int, leaf: int, port: int) -> float | None:
        """Of what flows back along all edges of the structure from a slot to a port."""
        inside, (block, s, _) = self._inside.get(r), parts_of(r)
        arriving = block.slots[slot, leaf]
        if inside is None or arriving not in inside.arrived:
            return None
        edges = (s.port == port) & (s.slot == slot)
        edges &= True if s.keep is None else s.keep
        return norm(inside.arrived[arriving][s.dst[edges]])


UNKNOWN = -1.0  # there is a path, and what passes along it is not known


def _behind(g: Tensor, source: Tensor) -> Tensor:
    """A cotangent where its edge ends: behind ops that are not drawn."""
    while source.op.name in HIDDEN:
        (pulled,) = source.op.vjp(g, source, [True])  # type: ignore[misc]
        if pulled is None:
            break
        g, source = pulled, source.inputs[0]
    return g
