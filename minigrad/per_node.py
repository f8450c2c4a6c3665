"""Gradients node by node of a recurrence.

The same backward recur, projected per node instead of summed over the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import refuse_unreached, scalar_leaf, wrt_leaves
from .autodiff import backward
from .graph import Tensor, rebuild
from .ops.broadcast import BROADCAST, RESHAPE
from .ops.creation import ones_like, zeros
from .ops.elementwise import ADD, IDENTITY
from .ops.indexing import SCATTER, TAKE
from .ops.movement import PERMUTE, PLACE, SLICE, concat, expand_dims
from .recur import PROJ, ROW, SHARED, proj, pulled_back

__all__ = ["contributions", "state_gradients"]

REARRANGES = (RESHAPE, PERMUTE, SLICE, PLACE, TAKE, BROADCAST, IDENTITY)  # and adds nothing up


def contributions(output: Tensor, shared: Any) -> Any:
    """What each use of a shared tensor adds to its gradient: (N, *shared.shape), summing to it.

    output : a scalar.
    shared : a Tensor, or a pytree of them (then a pytree of such rows).

    One row per node of each recurrence that shares the tensor, in the order of the graph,
    and one row for each use outside of any recurrence; no rows for a leaf that is not used.

    Raises ValueError for an output with axes, and any other node that it does not depend on;
    TypeError for arrays and integers.
    """
    outs = [scalar_leaf("contributions", output)]
    leaves, rebuilt = wrt_leaves("contributions", "shared", shared)
    found = backward(outs, [ones_like(output)], leaves)
    refuse_unreached("contributions", "shared", outs, shared, found)
    return rebuilt([_uses(t, found.get(t)) for t in leaves])


def _uses(shared: Tensor, total: Tensor | None) -> Tensor:
    if total is None:
        return zeros((0, *shared.shape), dtype=shared.dtype)
    parts = total.inputs if total.op is ADD else (total,)
    return concat([_per_node(part) for part in reversed(parts)])


def _per_node(part: Tensor) -> Tensor:
    if part.op is PROJ and part.attrs["via"] is SHARED:
        return proj(part.inputs[0], part.attrs["ref"], ROW)
    return expand_dims(part, axis=0)


def state_gradients(output: Tensor, states: Any) -> Any:
    """The total derivative of a scalar by the state of every node, through all later nodes.

    output : a scalar.
    states : a pytree of what a recurrence returned per node, (N, *state),
             or a rearrangement of it (reshaped, transposed, padded by `unroll`).

    Returns pytrees and shapes as those of `states`.
    Their direct gradient alone would miss the path through the recurrence.

    Raises ValueError for what is not the states of one recurrence,
    and for a recurrence the output does not depend on; TypeError for arrays and integers.
    """
    outs = [scalar_leaf("state_gradients", output)]
    leaves, rebuilt = wrt_leaves("state_gradients", "states", states)
    rows = [_rows_of(t) for t in leaves]
    recurrences = [row.inputs[0] for row in rows]
    found = backward(outs, [ones_like(output)], recurrences)
    refuse_unreached("state_gradients", "states", outs, states, found, recurrences)
    by_node = [_state_gradient(row, found.get(r)) for row, r in zip(rows, recurrences, strict=True)]
    pairs = zip(leaves, rows, by_node, strict=True)
    return rebuilt([rebuild([t], {row: g})[0] for t, row, g in pairs])


def _rows_of(states: Tensor) -> Tensor:
    """The projection of a recurrence, a row per node, that `states` rearranges."""
    t = states
    while t.op in REARRANGES or (t.op is SCATTER and _distinct(t.inputs[1]._value)):
        t = t.inputs[0]
    if t.op is not PROJ or t.attrs["via"] is not ROW:
        raise ValueError(
            f"state_gradients: {states!r} is not the states of one recurrence (or a rearrangement "
            "of them); pass what mg.recur, rc.unroll or rc.fold returned"
        )
    return t


def _distinct(numbers: Any) -> bool:
    return numbers is not None and len(np.unique(numbers)) == numbers.size


def _state_gradient(row: Tensor, pairs: list[tuple[Tensor, Tensor]] | None) -> Tensor:
    r, by_node = row.inputs[0], None
    if pairs:
        _, (by_node,) = pulled_back(pairs, r, [False] * len(r.inputs), also=(row.attrs["ref"],))
    return zeros(row.shape, dtype=row.dtype) if by_node is None else by_node
