"""`unfold`: a recurrence written out, one call of its block per node of the structure.

The folded recurrence and the unfolded graph are one object seen twice: same values, same gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import pytrees
from ..arguments import tensor_leaves
from ..graph import Shape, Tensor, rebuild, toposort
from ..ops.broadcast import broadcast_to
from ..ops.elementwise import add_n, stop_gradient
from ..ops.movement import stack
from ..ops.table import literal
from ..recur import PROJ, RECUR, SHARED, parts_of, proj, recurrence
from ..structure import SINGLE


def unfold(outputs: Any, expand: bool = False) -> Any:
    """The same pytree of Tensors with every recurrence written out.

    One call of its block per node of the structure; values and gradients are the same.
    With `expand` the calls are written out too, so that only ordinary ops are left.

    Raises TypeError for a leaf that is no Tensor.
    """
    leaves, spec = tensor_leaves("unfold", "outputs", outputs)
    while True:
        order = toposort(leaves)
        todo = [
            t for t in order if t.op is RECUR and (expand or parts_of(t).structure is not SINGLE)
        ]
        if not todo:
            return pytrees.tree_unflatten(spec, leaves)
        asked: dict[Tensor, list[Tensor]] = {r: [] for r in todo}
        for t in order:
            if t.op is PROJ and t.inputs[0] in asked:
                asked[t.inputs[0]].append(t)
        swap: dict[Tensor, Tensor] = {}
        for r in todo:  # in topological order: what a recurrence reads has been rewritten before
            args = rebuild(r.inputs, swap)
            new = _written_out(r, args, asked[r], expand)
            swap.update(zip(asked[r], new, strict=True))
        leaves = rebuild(leaves, swap)


def _written_out(
    r: Tensor, args: Sequence[Tensor], asked: Sequence[Tensor], expand: bool
) -> list[Tensor]:
    original, structure, vias = parts_of(r)
    block = original.closed
    sent = {key: t for key, t in original.ports.items() if structure.wires}
    arrivals: list[dict[int, list[tuple[int, int, bool]]]] = [{} for _ in range(structure.n)]
    keep = np.ones(len(structure.src), bool) if structure.keep is None else structure.keep
    columns = (structure.src, structure.dst, structure.slot, structure.port, keep)
    for s, d, slot, port, kept in zip(*(a.tolist() for a in columns), strict=True):
        arrivals[d].setdefault(slot, []).append((s, port, kept))
    values: list[dict[Tensor, Tensor]] = [{} for _ in range(structure.n)]
    refs = list(dict.fromkeys([p.attrs["ref"] for p in asked] + list(sent.values())))
    for rows in structure.levels:
        for n in rows.tolist():
            given = [via.enter(a, n, zeros) for a, via in zip(args, vias, strict=True)]
            for (slot, leaf), ph in original.slots.items():
                arrived = [
                    (values[s][sent[port, leaf]], kept)
                    for s, port, kept in arrivals[n].get(slot, ())
                    if (port, leaf) in sent
                ]
                parts = [state if kept else stop_gradient(state) for state, kept in arrived]
                given.append(add_n(parts) if parts else zeros(ph.shape, dtype=ph.dtype))
            if expand:
                results = rebuild(refs, dict(zip(block.inputs, given, strict=True)))
            else:
                call = recurrence(block, SINGLE, given, [SHARED] * len(given))
                results = [proj(call, ref, SHARED) for ref in refs]
            values[n] = dict(zip(refs, results, strict=True))
    return [_leave([v[p.attrs["ref"]] for v in values], p) for p in asked]


def zeros(shape: Shape, dtype: np.dtype) -> Tensor:
    """Where nothing arrives."""
    return broadcast_to(literal(0, dtype), shape)


def _leave(rows: Sequence[Tensor], p: Tensor) -> Tensor:
    via, ref = p.attrs["via"], p.attrs["ref"]
    index, size = via.index(len(rows))
    parts: list[list[Tensor]] = [[] for _ in range(size)]
    for row, value in zip(index.tolist(), rows, strict=True):
        if row >= 0:
            parts[row].append(value)
    table = [add_n(part) if part else zeros(ref.shape, dtype=ref.dtype) for part in parts]
    if via is SHARED:
        return table[0]
    return stack(table) if table else zeros(p.shape, dtype=p.dtype)
