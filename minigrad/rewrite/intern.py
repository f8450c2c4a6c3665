"""Equal blocks are one object: what is kept for a block (its programs) serves every trace.

Regions and fusion make new blocks at every trace.  A block says nothing of the number of its nodes,
so a trace with other lengths makes the same blocks again: they are known by their structure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor, toposort
from ..recur import PROJ, RECUR, Block, proj, recurrence
from .merge import attributes_key
from .regions import again

KEPT = 512  # blocks
LARGE = 4096  # elements of a constant that is known by identity

_known: OrderedDict[Any, Block] = OrderedDict()


def intern(outputs: Sequence[Tensor], old: set[Block]) -> list[Tensor]:
    """The same outputs over blocks met before; `old`: blocks known by identity already."""
    new: dict[Tensor, Tensor] = {}
    refs: dict[Tensor, dict[Tensor, Tensor]] = {}  # of each recurrence with another block
    for t in toposort(outputs):
        inputs = [new[x] for x in t.inputs]
        if t.op is RECUR and t.attrs["block"] not in old:
            block, refs[t] = _met(t.attrs["block"])
            new[t] = recurrence(block, t.attrs["structure"], inputs, t.attrs["vias"])
        elif t.op is PROJ and t.inputs[0] in refs:
            ref = refs[t.inputs[0]][t.attrs["ref"]]
            new[t] = proj(inputs[0], ref, t.attrs["via"])
        else:
            new[t] = again(t, inputs)
    return [new[t] for t in outputs]


def _met(block: Block) -> tuple[Block, dict[Tensor, Tensor]]:
    """The block known by this structure, and its tensors for those of `block`."""
    mine = _order(block)
    key = _key(block, mine)
    known = block if key is None else _known.setdefault(key, block)
    if key is not None:
        _known.move_to_end(key)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return known, dict(zip(mine, _order(known), strict=True))


def _order(block: Block) -> list[Tensor]:
    given = [*block.inputs, *block.slots.values()]
    return list(dict.fromkeys((*given, *block.nodes)))


def _key(block: Block, order: Sequence[Tensor]) -> Any:
    """What decides what a block computes; None where that is not known."""
    number = {t: k for k, t in enumerate(order)}
    nodes = []
    for t in order:
        if t.op.kind == "recur":
            return None
        inside: Any = (tuple(number[x] for x in t.inputs), attributes_key(t))
        if t.op is INPUT:
            inside = t.attrs.get("bounds")
        elif t.op is CONSTANT:
            value = np.asarray(t._value)
            inside = value.tobytes() if value.size <= LARGE else id(t._value)
        nodes.append((t.op, inside, t.shape, t.dtype))
    ends = [number[t] for t in block.outputs]
    ports = [(k, number[t]) for k, t in sorted(block.ports.items())]
    return tuple(nodes), len(block.inputs), tuple(block.slots), tuple(ends), tuple(ports)
