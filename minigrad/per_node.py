"""Gradients node by node of a recurrence, and from node to node: the products of step Jacobians.

The same backward recur, projected per node instead of summed over the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import pytrees
from .arguments import float_leaves, refuse_unreached, scalar_leaf, wrt_leaves
from .autodiff import backward
from .graph import Tensor, placeholder, rebuild
from .ops.broadcast import BROADCAST, RESHAPE, reshape
from .ops.creation import eye, ones_like, zeros
from .ops.elementwise import ADD, IDENTITY
from .ops.indexing import SCATTER, TAKE
from .ops.movement import PERMUTE, PLACE, SLICE, concat, expand_dims
from .recur import PROJ, ROW, SHARED, proj, pulled_back
from .transforms import batch

__all__ = ["contributions", "state_gradients", "state_jacobians"]

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
    seed = placeholder((), outs[0].dtype, "seed")  # with a number here, a sum could be the user's
    found = backward(outs, [seed], leaves)
    refuse_unreached("contributions", "shared", outs, shared, found)
    return rebuilt(rebuild([_uses(t, found.get(t)) for t in leaves], {seed: ones_like(output)}))


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
             or a rearrangement of it (reshaped, transposed, padded by `unroll`, rows picked).

    Returns pytrees and shapes as those of `states`.
    Their direct gradient alone would miss the path through the recurrence.

    Raises ValueError for what is not the states of one recurrence,
    and for a recurrence the output does not depend on; TypeError for arrays and integers.
    """
    out = scalar_leaf("state_gradients", output)
    return _by_states("state_gradients", out, states, ones_like(output))


def state_jacobians(later: Tensor, earlier: Any) -> Any:
    """d later / d earlier through the recurrence: how a state moves when one before it is moved.

    later   : floating-point, computed from the recurrence: the states of chosen rows such as
              `hs[6]`, or anything made of them.
    earlier : a pytree of states of chosen rows, such as `hs[1]` or `hs[:, 0]`;
              rearranged and picked out as for `state_gradients`.

    Shape later.shape + earlier.shape, for every leaf of `earlier`.
    It is the product of the step Jacobians between the two, summed over all paths;
    the identity where they are the same state, zeros where `earlier` comes after `later`.
    One backward pass for each element of `later`, all run at once.

    Raises ValueError and TypeError as `state_gradients` does.
    """
    if not isinstance(later, Tensor):
        raise TypeError(f"state_jacobians: later must be a Tensor, not {type(later).__name__}")
    (out,) = float_leaves("state_jacobians", "later", later)
    seed = placeholder(out.shape, out.dtype, "seed")
    wanted, spec = pytrees.tree_flatten(_by_states("state_jacobians", out, earlier, seed))
    basis = reshape(eye(out.size, dtype=out.dtype), (out.size, *out.shape))
    rows = batch(wanted, seed, basis)
    shaped = [reshape(g, out.shape + x.shape) for g, x in zip(rows, wanted, strict=True)]
    return pytrees.tree_unflatten(spec, shaped)


def _by_states(who: str, out: Tensor, states: Any, seed: Tensor) -> Any:
    """The derivative of <out, seed> by every leaf of `states`, arranged as that is."""
    leaves, rebuilt = wrt_leaves(who, "states", states)
    rows = [_rows_of(who, t) for t in leaves]
    recurrences = [row.inputs[0] for row in rows]
    found = backward([out], [seed], recurrences)
    refuse_unreached(who, "states", [out], states, found, recurrences)
    by_node = [_state_gradient(row, found.get(r)) for row, r in zip(rows, recurrences, strict=True)]
    pairs = zip(leaves, rows, by_node, strict=True)
    return rebuilt([rebuild([t], {row: g})[0] for t, row, g in pairs])


def _rows_of(who: str, states: Tensor) -> Tensor:
    """The projection of a recurrence, a row per node, that `states` rearranges."""
    t = rearranged(states)[-1]
    if t.op is not PROJ or t.attrs["via"] is not ROW:
        raise ValueError(
            f"{who}: {states!r} is not the states of one recurrence (or a rearrangement "
            "of them); pass what mg.recur, rc.unroll or rc.fold returned"
        )
    return t


def rearranged(t: Tensor) -> list[Tensor]:
    """`t`, and what it is a rearrangement of, step by step back to what is none."""
    found = [t]
    while t.op in REARRANGES or (t.op is SCATTER and _distinct(t.inputs[1]._value)):
        t = t.inputs[0]
        found.append(t)
    return found


def _distinct(numbers: Any) -> bool:
    return numbers is not None and len(np.unique(numbers)) == numbers.size


def _state_gradient(row: Tensor, pairs: list[tuple[Tensor, Tensor]] | None) -> Tensor:
    r, by_node = row.inputs[0], None
    if pairs:
        _, (by_node,) = pulled_back(pairs, r, [False] * len(r.inputs), also=(row.attrs["ref"],))
    return zeros(row.shape, dtype=row.dtype) if by_node is None else by_node
