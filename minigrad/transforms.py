"""Functions of graphs: calls, maps, whole derivatives.

All of them are recurrences seen from another side:
a `block` call is a recur over one node, `vmap` a recur without edges,
a Jacobian the `vmap` of a vjp over the basis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from . import pytrees, static
from .arguments import float_leaves, matching_leaves, refuse_unreached, scalar_leaf, wrt_leaves
from .autodiff import backward, pulled
from .graph import Tensor, Trace, placeholder, rebuild, toposort, trace_call
from .ops.arrays import asarray
from .ops.broadcast import broadcast_to, reshape
from .ops.creation import eye, ones_like, zeros_like
from .ops.movement import moveaxis
from .ops.table import integer_of
from .recur import ROW, SHARED, Block, proj, recurrence
from .structure import SINGLE, independent
from .tracing import name_of, refuse_captured, traces_of


def _split(tree: Any) -> tuple[list[Tensor], list[Any], Callable[[Sequence], Any]]:
    """Arrays of a pytree as Tensors, what else is in it, and how to put it together.

    In an array's place among what else there is stands None.
    """
    leaves, spec = pytrees.tree_flatten(tree)
    is_array = [isinstance(x, (Tensor, np.ndarray, np.generic)) for x in leaves]
    arrays = [asarray(x) for x, yes in zip(leaves, is_array, strict=True) if yes]
    others = [None if yes else x for x, yes in zip(leaves, is_array, strict=True)]

    def join(values: Sequence) -> Any:
        rest = iter(values)
        merged = [next(rest) if yes else x for x, yes in zip(leaves, is_array, strict=True)]
        return pytrees.tree_unflatten(spec, merged)

    return arrays, others, join


def _traced(
    f: Callable, args: tuple, arrays: Sequence[Tensor], ndims: Sequence[int]
) -> tuple[Block, Any]:
    """`f` traced at one node: of the arrays in its arguments the last axes, as `ndims` says."""
    _, others, join = _split(args)
    shapes = tuple((t.shape[t.ndim - n :], t.dtype) for t, n in zip(arrays, ndims, strict=True))
    known, key = traces_of(f), (static.form(args), *map(static.key, others), shapes)
    if key not in known:
        trace = Trace(name_of(f))
        names = [t.name or f"arg{k}" for k, t in enumerate(arrays)]
        inputs = [
            placeholder(s, d, name, trace) for (s, d), name in zip(shapes, names, strict=True)
        ]
        result = trace_call(trace, lambda: pytrees.tree_map(asarray, f(*join(inputs))))
        outputs, spec = pytrees.tree_flatten(result)
        refuse_captured(trace, outputs, "pass it as an argument")
        made = Block(trace.name, tuple(inputs), tuple(outputs)), spec
        known[key] = made, others  # kept alive: their key may be their identity
    return known[key][0]


def block(f: Callable) -> Callable:
    """`f`, traced once per signature; every use of it is one `call` node of the graph.

    The arrays in its arguments (any pytrees) become inputs; numbers, strings and None are static.

    Raises TypeError, when called, for a Tensor captured from outside.
    """

    @wraps(f)
    def call(*args: Any) -> Any:
        arrays, _, _ = _split(args)
        traced, spec = _traced(f, args, arrays, [t.ndim for t in arrays])
        r = recurrence(traced, SINGLE, arrays, [SHARED] * len(arrays))
        return pytrees.tree_unflatten(spec, [proj(r, t, SHARED) for t in traced.outputs])

    return call


def vmap(f: Callable, in_axes: Any = 0) -> Callable:
    """`f` written for one example, over many.

    in_axes : which axis of each argument counts the examples, None for a shared argument:
              one for all arguments, or a tuple with one per argument.

    Results have the axis first.

    Raises ValueError, when called, for an argument without the axis,
    mapped axes of different lengths, or another number of axes than arguments;
    TypeError for an axis that is no integer, or a Tensor captured from outside.
    """

    @wraps(f)
    def mapped(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ValueError(f"vmap: in_axes has {len(axes)} entries for {len(args)} arguments")
        arrays, vias, sizes = [], [], {}
        for k, (arg, axis) in enumerate(zip(args, axes, strict=True)):
            if axis is not None:
                axis = integer_of("vmap", "an axis in in_axes", axis)
            for t in _split(arg)[0]:
                if axis is not None:
                    if not -t.ndim <= axis < t.ndim:
                        raise ValueError(
                            f"vmap: argument {k} of shape {t.shape} has no axis {axis} to map over"
                        )
                    t = moveaxis(t, axis, 0)
                    sizes[k] = len(t)
                arrays.append(t)
                vias.append(SHARED if axis is None else ROW)
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"vmap: mapped axes must agree in length; by argument they are {sizes or 'none'}"
            )
        ndims = [t.ndim - (via is ROW) for t, via in zip(arrays, vias, strict=True)]
        traced, spec = _traced(f, args, arrays, ndims)
        r = recurrence(traced, independent(next(iter(sizes.values()))), arrays, vias)
        return pytrees.tree_unflatten(spec, [proj(r, t, ROW) for t in traced.outputs])

    return mapped


def batch(outputs: Sequence[Tensor], seed: Tensor, values: Tensor) -> list[Tensor]:
    """Each output for every row of `values` put in the place of the placeholder `seed`.

    Of shapes (len(values), *output.shape).
    """
    depends: set[Tensor] = {seed}
    order = toposort(outputs)
    for t in order:
        if any(i in depends for i in t.inputs):
            depends.add(t)
    inside = [t for t in order if t in depends]
    outside = list(dict.fromkeys(i for t in inside for i in t.inputs if i not in depends))
    swap = {t: placeholder(t.shape, t.dtype, t.name) for t in (seed, *outside)}
    refs = [t for t in outputs if t in depends]
    results = dict(zip(refs, rebuild(refs, swap), strict=True))
    batched = Block("batch", tuple(swap.values()), tuple(results.values()))
    vias = [ROW] + [SHARED] * len(outside)
    r = recurrence(batched, independent(len(values)), [values, *outside], vias)
    return [
        proj(r, results[t], ROW) if t in results else broadcast_to(t, (len(values), *t.shape))
        for t in outputs
    ]


# -- whole derivatives -----------------------------------------------------------------------------


def jacobian(output: Any, input: Any) -> Any:
    """d output / d input, shape output.shape + input.shape: one vjp for all basis cotangents.

    output, input : floating-point Tensors, or pytrees of them.
                    Of pytrees: the structure of `output`, in every leaf's place that of `input`.

    Zeros for a leaf that an output does not depend on.

    Raises ValueError for any other node that none of them depends on,
    TypeError for arrays and integers.
    """
    outs = float_leaves("jacobian", "output", output)
    wrt_leaves("jacobian", "input", input)
    rows, found = _jacobian(outs, input)
    refuse_unreached("jacobian", "input", outs, input, found)
    return pytrees.tree_unflatten(pytrees.tree_structure(output), rows)


def _jacobian(outs: Sequence[Tensor], input: Any) -> tuple[list[Any], set[Tensor]]:
    """For each output its derivative by `input`, in that structure; and what was depended on."""
    wrt, spec = pytrees.tree_flatten(input)
    rows: list[Any] = []
    reached: set[Tensor] = set()
    for out in outs:
        seed = placeholder(out.shape, out.dtype, "seed")
        found = backward([out], [seed], wrt)
        reached.update(found)
        basis = reshape(eye(out.size, dtype=out.dtype), (out.size, *out.shape))
        pulled = batch([found[x] if x in found else zeros_like(x) for x in wrt], seed, basis)
        parts = [reshape(g, out.shape + x.shape) for g, x in zip(pulled, wrt, strict=True)]
        rows.append(pytrees.tree_unflatten(spec, parts))
    return rows, reached


def hessian(output: Tensor, input: Any) -> Any:
    """The second derivative of a scalar, shape input.shape + input.shape.

    output : a floating-point Tensor without axes.
    input  : a floating-point Tensor, or a pytree of them:
             then its structure, with its structure in the place of every leaf.

    Zeros for a leaf that the output does not depend on.

    Raises ValueError for an output with axes, and any other node that it does not depend on;
    TypeError for arrays and integers.
    """
    first = pulled("hessian", "input", [scalar_leaf("hessian", output)], input, ones_like(output))
    leaves, spec = pytrees.tree_flatten(first)
    return pytrees.tree_unflatten(spec, _jacobian(leaves, input)[0])


def hvp(output: Tensor, inputs: Any, vectors: Any) -> Any:
    """The Hessian of a scalar times vectors, without the Hessian: one gradient of a gradient.

    output  : a floating-point Tensor without axes.
    inputs  : a floating-point Tensor, or a pytree of them.
    vectors : one for each input, of its shape: along them the gradient is differentiated.

    Returns the structure of `inputs`:
    for each the sum over all inputs of d^2 output / d input d other times the other's vector.
    Reverse over reverse, the gradient of <gradient, vectors> (Pearlmutter 1994),
    which costs some four times what the output does, however many numbers the inputs have.
    Zeros for a leaf that the output does not depend on, or depends on linearly.

    Raises ValueError for an output with axes, vectors that do not fit,
    and any other node that the output does not depend on; TypeError for arrays and integers.
    """
    first = pulled("hvp", "inputs", [scalar_leaf("hvp", output)], inputs, ones_like(output))
    wrt, rebuild_tree = wrt_leaves("hvp", "inputs", inputs)
    seeds = matching_leaves("hvp", "vectors", vectors, wrt)
    found = backward(pytrees.tree_leaves(first), seeds, wrt)
    return rebuild_tree([found[w] if w in found else zeros_like(w) for w in wrt])
