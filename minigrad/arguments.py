"""What users hand to the derivative functions, checked.

Pytrees of Tensors, with errors that name the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np

from . import pytrees
from .graph import CONSTANT, Tensor, toposort, where_recorded
from .ops.arrays import asarray


def tensor_leaves(who: str, what: str, tree: Any) -> tuple[list[Tensor], Any]:
    """(leaves, form) of a pytree that holds nothing but Tensors."""
    leaves, spec = pytrees.tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{who}: {what} must hold Tensors; got {_kind_of(leaf)}")
    return leaves, spec


def float_leaves(who: str, what: str, tree: Any) -> list[Tensor]:
    leaves = pytrees.tree_leaves(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{who}: {what} must hold Tensors; got {_kind_of(leaf)}")
        if leaf.dtype.kind != "f":
            raise TypeError(
                f"{who}: {what} must be floating-point to have derivatives; got {leaf.dtype}"
            )
    return leaves


def scalar_leaf(who: str, output: Any) -> Tensor:
    """The output, which must be one number to have a gradient."""
    if not isinstance(output, Tensor):
        raise TypeError(f"{who}: output must be a Tensor, not {type(output).__name__}")
    if output.shape != ():
        raise ValueError(
            f"{who}: output must be a scalar; it has shape {output.shape}. "
            "Sum it (mg.sum), or give cotangents with mg.vjp, or ask for mg.jacobian"
        )
    return float_leaves(who, "output", output)[0]


def wrt_leaves(who: str, what: str, tree: Any) -> tuple[list[Tensor], Callable[[list], Any]]:
    paths, leaves, spec = pytrees.tree_flatten_with_path(tree)
    for path, leaf in zip(paths, leaves, strict=True):
        at = _place(what, path)
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"{who}: {at} is {_kind_of(leaf)}, which no graph node stands for. Make Tensors "
                "first, p = mg.tensors(p), compute with those, and pass them here"
            )
        if leaf.dtype.kind != "f":
            raise TypeError(
                f"{who}: {at} is {leaf.dtype}; only floating-point Tensors have gradients"
            )
    return leaves, lambda values: pytrees.tree_unflatten(spec, values)


def refuse_unreached(
    who: str, what: str, outputs: Sequence[Tensor], tree: Any, found: Container[Tensor],
    nodes: Sequence[Tensor] | None = None,
) -> None:  # fmt: skip
    """Refuse a node of `tree` that the outputs were not computed from.

    Its zeros would be a mistake that nobody sees.
    A leaf may well be independent, unless it is a named copy of one that is not.

    found : those to which a derivative came.
    nodes : what stands for the leaves of `tree` in the graph, where it is not they themselves.
    """
    paths, leaves, _ = pytrees.tree_flatten_with_path(tree)
    wrt = leaves if nodes is None else nodes
    if all(w in found for w in wrt):
        return
    order = toposort(outputs)
    known = set(order)
    snapshots = {id(t._value) for t in order if t.op is CONSTANT}
    for path, t, w in zip(paths, leaves, wrt, strict=True):
        copy = w.op is CONSTANT and id(w._value) in snapshots
        if w not in known and (w.inputs or copy):
            at = where_recorded(t)
            raise ValueError(
                f"{who}: the output is not computed from {_place(what, path)}, {t!r}"
                f"{f' (recorded at {at})' if at else ''}, and it is no leaf, whose gradient would "
                "be zeros. x[0], x.named('x') or any other op written again is a new node: keep "
                "the node in a variable, compute the output from it, and pass it here, as in "
                "h = x[0]; y = f(h); mg.grad(y, h). For the states of a recurrence, through "
                "all later ones, there is mg.state_gradients"
            )


def _place(what: str, path: tuple) -> str:
    return f"{what}[{']['.join(map(repr, path))}]" if path else what


def _kind_of(leaf: Any) -> str:
    return "a NumPy array" if isinstance(leaf, np.ndarray) else f"a {type(leaf).__name__}"


def matching_leaves(who: str, what: str, tree: Any, like: Sequence[Tensor]) -> list[Tensor]:
    leaves = pytrees.tree_leaves(tree)
    if len(leaves) != len(like):
        raise ValueError(f"{who}: {len(leaves)} {what} were given for {len(like)} Tensors")
    out = []
    for k, (leaf, t) in enumerate(zip(leaves, like, strict=True)):
        c = asarray(leaf, dtype=t.dtype)
        if c.shape != t.shape:
            raise ValueError(f"{who}: {what} {k} has shape {c.shape}; its Tensor has {t.shape}")
        out.append(c)
    return out
