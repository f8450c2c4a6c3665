"""Formulas written down once: the update of all parameters is one node of a traced graph.

Three quarters of what a training step records would be the optimiser's rule, the same few ops for
every parameter.  In a function that is traced for repeated calls an update is recorded as a block
over one node (`ONCE`), traced once per signature for all functions; `inlined` puts its ops into the
node's place.  So a trace with other lengths records one node, and compares it with that of the
trace before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from .. import static
from ..graph import Tensor, Trace, copied, placeholder, toposort, trace_call
from ..ops.broadcast import is_sharing
from ..recur import PROJ, RECUR, SHARED, Block, proj, recurrence
from ..structure import Structure
from ..tracing import refuse_captured
from .regions import again

KEPT = 512  # formulas

ONCE = Structure.chain(1)  # known by its identity, turned around too
ONCE.__dict__["_transposed"] = ONCE
_known: OrderedDict[Hashable, tuple[Block, Any]] = OrderedDict()


def written_once(
    name: str, f: Callable[..., Sequence[Tensor]], given: tuple[Any, ...], *args: Tensor
) -> Sequence[Tensor]:
    """f(*args), recorded as one node where a function is traced for repeated calls.

    given: what f is made of beside its arguments, numbers and such; with the name it decides what
           f does.
    """
    if not is_sharing():
        return f(*args)
    key = (name, static.key(given), *[(t.shape, t.dtype) for t in args])
    block, _ = _known.get(key) or _written(key, name, f, given, args)
    r = recurrence(block, ONCE, args, (SHARED,) * len(args))
    return [proj(r, t, SHARED) for t in block.outputs]


def _written(
    key: Hashable, name: str, f: Callable, given: tuple[Any, ...], args: Sequence[Tensor]
) -> tuple[Block, Any]:
    trace = Trace(name)
    inputs = tuple(placeholder(t.shape, t.dtype, t.name, trace) for t in args)
    outputs = tuple(trace_call(trace, f, *inputs))
    refuse_captured(trace, outputs, "pass it as an argument")
    found = _known[key] = Block(name, inputs, outputs), given  # alive as long as its key
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return found


def inlined(outputs: Sequence[Any]) -> list[Any]:
    """The same outputs, with the ops of formulas in place of their nodes; what is no Tensor stays
    as it is."""
    order = toposort([t for t in outputs if isinstance(t, Tensor)])
    if not any(_is_formula(t) for t in order):
        return list(outputs)
    new: dict[Tensor, Tensor] = {}
    inside: dict[Tensor, dict[Tensor, Tensor]] = {}
    for t in order:
        if _is_formula(t):
            inside[t] = _ops(t, [new[x] for x in t.inputs])
            new[t] = t
        elif t.op is PROJ and t.inputs[0] in inside:
            new[t] = inside[t.inputs[0]][t.attrs["ref"]]
        else:
            new[t] = again(t, [new[x] for x in t.inputs])
    return [new[t] if isinstance(t, Tensor) else t for t in outputs]


def _is_formula(t: Tensor) -> bool:
    return t.op is RECUR and t.attrs["structure"] is ONCE


def _ops(r: Tensor, args: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """The tensors of a formula on these arguments, recorded where it is used."""
    block: Block = r.attrs["block"]
    found = dict(zip(block.inputs, args, strict=True))
    for t in block.nodes:
        if t not in found:
            found[t] = copied(t, [found[x] for x in t.inputs], r.site) if t.inputs else t
    return found
