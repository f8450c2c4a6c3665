"""Lifting: what a block computes of shared arguments alone is computed once, outside of it.

`exp(A)` of a decay, a masked or normalised matrix, a sum of two weights: the same number in every
row.  Outside it is an ordinary part of the graph, which becomes a block of its own (`flat`), and
which a recurrence and its derivative have in common.  What only puts elements elsewhere stays
inside: a transpose of a matrix is no work there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import INPUT, Tensor, placeholder, rebuild, toposort
from ..recur import PROJ, RECUR, SHARED, Block, domains, parts_of, proj, recurrence


def lift(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with no work on shared arguments alone left in a recurrence."""
    found = list(outputs)
    done = 0  # recurrences that have been looked at, in order: what is lifted goes before them
    while True:
        order = toposort(found)
        for r in [t for t in order if t.op is RECUR][done:]:
            done += 1
            read = [t for t in order if t.op is PROJ and t.inputs[0] is r]
            if work := _work(r, [p.attrs["ref"] for p in read]):
                found = _lifted(found, r, read, work)
                break
        else:
            return found


def _work(r: Tensor, refs: Sequence[Tensor]) -> list[Tensor]:
    """What is computed of shared arguments and read by what is not, below all movements."""
    block, structure, vias = parts_of(r)
    order = block.live(refs, structure.wires)
    domain = domains(block, vias, order)
    stack = [t for t in (*refs, *block.ports.values()) if domain.get(t, "row") is None]
    stack += [x for t in order if domain[t] is not None for x in t.inputs if domain[x] is None]
    found: dict[Tensor, None] = {}
    seen: set[Tensor] = set()
    while stack:
        t = stack.pop()
        if t in seen or not t.inputs:
            continue
        seen.add(t)
        if t.op.kind == "movement" or t.dtype.kind != "f":
            stack += t.inputs
        elif any(leaf.op is INPUT for leaf in toposort([t])):
            found[t] = None
    return list(found)


def _lifted(
    outputs: Sequence[Tensor], r: Tensor, read: Sequence[Tensor], work: Sequence[Tensor]
) -> list[Tensor]:
    """The graph with `work` as further arguments of a recurrence."""
    block, structure, vias = parts_of(r)
    given = {ph: x for ph, x, v in zip(block.inputs, r.inputs, vias, strict=True) if v is SHARED}
    outside = rebuild(work, given)
    fresh = {t: placeholder(t.shape, t.dtype, t.name) for t in work}
    refs = [p.attrs["ref"] for p in read]
    roots = list(dict.fromkeys((*refs, *block.ports.values())))
    made = dict(zip(roots, rebuild(roots, fresh), strict=True))
    block = Block(
        block.name, (*block.inputs, *fresh.values()), tuple(dict.fromkeys(made[t] for t in refs)),
        block.slots, {key: made[t] for key, t in block.ports.items()},
    )  # fmt: skip
    vias = (*vias, *[SHARED] * len(work))
    new = recurrence(block, structure, [*r.inputs, *outside], vias)
    return rebuild(outputs, {p: proj(new, made[p.attrs["ref"]], p.attrs["via"]) for p in read})
