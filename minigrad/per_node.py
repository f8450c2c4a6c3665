"""Gradients node by node of a recurrence: the same backward recur, projected per node instead of
summed over the nodes.
"""

from __future__ import annotations

from typing import Any

import optree

from .autodiff import cotangents
from .graph import Tensor, rebuild
from .ops.arrays import zeros
from .ops.broadcast import ones_like
from .ops.elementwise import ADD
from .ops.movement import concat, expand_dims
from .recur import PROJ, ROW, SHARED, proj, pulled_back

__all__ = ["contributions", "state_gradients"]


def contributions(output: Tensor, shared: Tensor) -> Tensor:
    """What each use of a shared tensor adds to its gradient: (N, *shared.shape), rows summing to
    the gradient.

    One row per node of each recurrence that shares the tensor, in the order of the graph, and one
    row for each use outside of any recurrence.  output: a scalar.
    """
    total = _pull(output, [shared]).get(shared)
    if total is None:
        return zeros((0, *shared.shape), dtype=shared.dtype)
    parts = total.inputs if total.op is ADD else (total,)
    return concat([_per_node(part) for part in reversed(parts)])


def _per_node(part: Tensor) -> Tensor:
    if part.op is PROJ and part.attrs["via"] is SHARED:
        return proj(part.inputs[0], part.attrs["ref"], ROW)
    return expand_dims(part, axis=0)


def state_gradients(output: Tensor, states: Any) -> Any:
    """The total derivative of a scalar by the state of every node, through all later nodes: shaped
    as `states`.

    states: a pytree of what a recurrence returned per node, (N, *state), or a rearrangement of it
            (reshaped, transposed, padded by `unroll`).
    Their direct gradient alone would miss the path through the
    recurrence.
    """
    return optree.tree_map(lambda t: _state_gradient(output, t), states)


def _state_gradient(output: Tensor, states: Tensor) -> Tensor:
    t = states
    while t.op.kind == "movement" and t.op.name != "concat":
        t = t.inputs[0]
    if t.op is not PROJ or t.attrs["via"] is not ROW:
        raise ValueError(
            f"state_gradients: {states!r} is not the states of one recurrence (or a rearrangement "
            "of them); "
            "pass what mg.recur, rc.unroll or rc.fold returned"
        )
    r, ref = t.inputs[0], t.attrs["ref"]
    pairs = _pull(output, [r]).get(r)
    by_node = None
    if pairs:
        _, (by_node,) = pulled_back(pairs, r, [False] * len(r.inputs), also=(ref,))
    gradient = zeros(t.shape, dtype=t.dtype) if by_node is None else by_node
    return rebuild([states], {t: gradient})[0]


def _pull(output: Tensor, wrt: list[Tensor]) -> dict[Tensor, Any]:
    if not isinstance(output, Tensor) or output.shape != ():
        raise ValueError(f"a scalar Tensor is needed to take gradients of; got {output!r}")
    return cotangents([output], [ones_like(output)], wrt)
