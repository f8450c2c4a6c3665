"""Reverse mode: cotangents walk the graph backwards, and what they meet becomes a graph again.

    y = f(x)      forward:   the graph records y and every value on the way to it
    ct = dL/dy    backward:  each node turns the cotangent of its result into those of its inputs

One loop does it all (`backward`): visit the nodes in reverse topological order,
add up the cotangents that arrived at a node,
ask the node's rule for those of its inputs, pass them on.

The rules are written in the same ops that users call, so a gradient is an ordinary graph:
it can be read, drawn and differentiated again, to any order.
Forward mode needs no rules of its own:
a vjp is linear in its cotangent, and the vjp of a linear map is its transpose,
so the vjp of a vjp is the jvp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import pytrees, sites
from .arguments import float_leaves, matching_leaves, refuse_unreached, scalar_leaf, wrt_leaves
from .graph import Tensor, placeholder, toposort
from .ops.creation import ones_like, zeros_like
from .ops.taken import added, pulled_at

__all__ = ["grad", "jvp", "vjp"]


def backward(
    outputs: Sequence[Tensor], seeds: Sequence[Tensor], wrt: Iterable[Tensor]
) -> dict[Tensor, Any]:
    """d(sum of <output, seed>) / d(w), as new nodes, for each w in `wrt` the outputs depend on."""
    wanted = set(wrt)
    order = toposort(outputs)
    active = _dependents(order, wanted)
    arrived: dict[Tensor, list] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        if output in active:
            arrived.setdefault(output, []).append(seed)
    result: dict[Tensor, Any] = {}
    with sites.marking() as mark:  # an error or a NaN in a rule is traced back to the rule's node
        for node in reversed(order):
            if node not in arrived:
                continue
            mark(node.op.name, node.name, node.site)
            ct = (node.op.collect or added)(arrived.pop(node))
            if node in wanted:
                result[node] = ct
            if node.op.vjp is None or not node.inputs:
                continue
            grads = pulled_at(ct, node, [x in active for x in node.inputs])
            for x, g in zip(node.inputs, grads, strict=True):
                if g is not None and x in active:
                    if isinstance(g, Tensor) and g.shape != x.shape:
                        raise ValueError(
                            f"the vjp of {node.op.name} returned a cotangent of shape {g.shape} "
                            f"for an input of shape {x.shape}"
                        )
                    arrived.setdefault(x, []).append(g)
    return result


def _dependents(order: Sequence[Tensor], sources: set[Tensor]) -> set[Tensor]:
    """The nodes of `order` that depend on `sources` by a path along which derivatives exist."""
    found: set[Tensor] = set()
    for node in order:
        if node in sources or (node.op.vjp and any(x in found for x in node.inputs)):
            if differentiable(node):
                found.add(node)
    return found


def differentiable(t: Tensor) -> bool:
    """Whether cotangents may arrive: at floats, and at what has no value itself but its results."""
    return t.dtype.kind == "f" or t.op.collect is not None


def vjp(outputs: Any, inputs: Any, cotangents: Any) -> Any:
    """The vector-Jacobian product: what each input gets when `outputs` receive `cotangents`.

    outputs, cotangents : pytrees of one structure and one set of shapes, floating-point.
    inputs              : a Tensor or a pytree of Tensors: leaves, or nodes the outputs depend on.

    Returns the structure of `inputs`; zeros for a leaf that the outputs do not depend on.
    Reverse accumulation (Griewank and Walther 2008, chapter 3).
    Raises ValueError for any other node that they do not depend on, or cotangents that do not fit;
    TypeError for arrays and integers.
    """
    return pulled("vjp", "inputs", float_leaves("vjp", "outputs", outputs), inputs, cotangents)


def pulled(who: str, what: str, outs: Sequence[Tensor], inputs: Any, cotangents: Any) -> Any:
    """The vjp, for a function `who` that calls its inputs `what`."""
    seeds = matching_leaves(who, "cotangents", cotangents, outs)
    wrt, rebuild_tree = wrt_leaves(who, what, inputs)
    found = backward(outs, seeds, wrt)
    refuse_unreached(who, what, outs, inputs, found)
    return rebuild_tree([found[w] if w in found else zeros_like(w) for w in wrt])


def grad(output: Tensor, wrt: Any) -> Any:
    """The gradient of a scalar: d output / d w for every Tensor w in `wrt`, structured as `wrt`.

    output : a floating-point Tensor with one element and no axes.
    wrt    : a Tensor or any pytree of them: leaves, or nodes that the output depends on.

    Each has the shape and dtype of its w; by a leaf that the output does not depend on it is zeros.
    Raises ValueError for an output with axes,
    and any other node that it does not depend on (`x[0]` written again is a new node);
    TypeError for arrays and integers.
    """
    return pulled("grad", "wrt", [scalar_leaf("grad", output)], wrt, ones_like(output))


def jvp(outputs: Any, inputs: Any, tangents: Any) -> Any:
    """The Jacobian-vector product: how `outputs` change when `inputs` move along `tangents`.

    outputs, inputs : as those of `vjp`.
    tangents        : one for each input, of its shape.

    Returns the structure of `outputs`.
    Recorded as the vjp of a vjp (Townsend 2017), so it costs about one more forward pass.
    Raises ValueError and TypeError as `vjp` does.
    """
    outs = float_leaves("jvp", "outputs", outputs)
    wrt, _ = wrt_leaves("jvp", "inputs", inputs)
    moves = matching_leaves("jvp", "tangents", tangents, wrt)
    # The seeds are never read: the vjp is linear in them.
    seeds = [placeholder(t.shape, t.dtype, "u") for t in outs]
    pulled = backward(outs, seeds, wrt)
    refuse_unreached("jvp", "inputs", outs, inputs, pulled)
    some = [(pulled[w], m) for w, m in zip(wrt, moves, strict=True) if w in pulled]
    pushed = backward([p for p, _ in some], [m for _, m in some], seeds)
    leaves = [pushed[u] if u in pushed else zeros_like(u) for u in seeds]
    return pytrees.tree_unflatten(pytrees.tree_structure(outputs), leaves)
