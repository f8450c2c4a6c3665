"""What users hand to the derivative functions, checked: pytrees of Tensors, with errors that name
the leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from .graph import Tensor
from .ops.arrays import asarray


def float_leaves(who: str, what: str, tree: Any) -> list[Tensor]:
    leaves = optree.tree_leaves(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{who}: {what} must hold Tensors; got {_kind_of(leaf)}")
        if leaf.dtype.kind != "f":
            raise TypeError(
                f"{who}: {what} must be floating-point to have derivatives; got {leaf.dtype}"
            )
    return leaves


def wrt_leaves(who: str, what: str, tree: Any) -> tuple[list[Tensor], Callable[[list], Any]]:
    paths, leaves, spec = optree.tree_flatten_with_path(tree)
    for path, leaf in zip(paths, leaves, strict=True):
        at = f"{what}[{']['.join(map(repr, path))}]" if path else what
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"{who}: {at} is {_kind_of(leaf)}, which no graph node stands for. Make Tensors "
                "first, "
                f"p = mg.tensors(p), compute with those, and pass them here"
            )
        if leaf.dtype.kind != "f":
            raise TypeError(
                f"{who}: {at} is {leaf.dtype}; only floating-point Tensors have gradients"
            )
    return leaves, lambda values: optree.tree_unflatten(spec, values)


def _kind_of(leaf: Any) -> str:
    return "a NumPy array" if isinstance(leaf, np.ndarray) else f"a {type(leaf).__name__}"


def matching_leaves(who: str, what: str, tree: Any, like: Sequence[Tensor]) -> list[Tensor]:
    leaves = optree.tree_leaves(tree)
    if len(leaves) != len(like):
        raise ValueError(f"{who}: {len(leaves)} {what} were given for {len(like)} Tensors")
    out = []
    for k, (leaf, t) in enumerate(zip(leaves, like, strict=True)):
        c = asarray(leaf, dtype=t.dtype)
        if c.shape != t.shape:
            raise ValueError(f"{who}: {what} {k} has shape {c.shape}; its Tensor has {t.shape}")
        out.append(c)
    return out
