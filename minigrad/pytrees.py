"""Pytrees (nested containers of arrays) by optree, with errors in words.

Everything here is optree's function of the same name,
but for what it says of a container that contains itself, and of trees that are not alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import optree


def _in_words(walk: Callable[..., Any]) -> Callable[..., Any]:
    """`walk(tree)`, where recursion ends in words."""

    @wraps(walk)
    def walked(tree: Any, **how: Any) -> Any:
        try:
            return walk(tree, **how)
        except RecursionError:
            raise ValueError(
                f"a {type(tree).__name__} cannot be walked to its leaves: it contains itself, or "
                "containers lie too deep in each other"
            ) from None

    return walked


tree_flatten = _in_words(optree.tree_flatten)
tree_flatten_with_path = _in_words(optree.tree_flatten_with_path)
tree_leaves = _in_words(optree.tree_leaves)
tree_structure = _in_words(optree.tree_structure)
tree_paths = _in_words(optree.tree_paths)
tree_unflatten = optree.tree_unflatten


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`f` of every leaf of the tree, and of what stands at its place in each of the others."""
    leaves, spec = tree_flatten(tree)
    beside = []
    for other in others:
        try:
            beside.append(spec.flatten_up_to(other))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"two trees are not alike: {error}") from None
    return optree.tree_unflatten(spec, list(map(f, leaves, *beside)))
