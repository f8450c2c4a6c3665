"""A graph, and what of it to show -> a scene; one builder per view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree

import recurrent
from minigrad.graph import Tensor, toposort
from minigrad.recur import RECUR
from minigrad.structure import Structure

from .cell import cell
from .folded import folded
from .ops import ops
from .scene import Scene
from .tree import tree
from .unfolded import unfolded


def build(
    outputs: Any,
    view: str,
    grad: Any,
    wrt: Any,
    max_steps: int | None,
    labels: Any,
    title: str | None,
    steps: Sequence[int] | None = None,
    running: bool = False,
    measure: Sequence[str] = (),
    sequences: int | None = None,
) -> Scene:
    """See ``draw``."""
    words = words_of(labels)
    if view == "tree":
        structure, more = _structure(outputs)
        if structure is not None:
            return tree([], structure, None, max_steps, words or more, title)
    ends = tensors_in(outputs, "outputs")
    scalar = _scalar(grad)
    wanted = None if wrt is None else _wanted(tensors_in(wrt, "wrt"), ends, scalar)
    if view == "tree":
        return tree(ends, None, scalar, max_steps, words, title)
    if view == "cell":
        return cell(ends, scalar, wanted, steps, title, "saturation" in measure)
    if view == "folded":
        return folded(ends, scalar, wanted, title)
    if "sensitivity" in measure and scalar is None:
        raise ValueError(
            'draw: measure="sensitivity" shades boxes by a gradient; give grad, the scalar it is of'
        )
    if view == "unfolded" and _has_recurrence([*ends, *([scalar] if scalar is not None else [])]):
        return unfolded(
            ends, scalar, wanted, max_steps, words, title, running, measure, sequences
        )  # fmt: skip
    if measure:
        raise ValueError("draw: measure= is of the steps of a recurrence, and there is none here")
    return ops(ends, scalar, wanted, title)


def tensors_in(value: Any, what: str) -> list[Tensor]:
    """The Tensors of a nesting.

    Raises TypeError for anything else in it, ValueError if there are none or it holds itself.
    """
    try:
        leaves = optree.tree_leaves(value)
    except RecursionError:
        raise ValueError(f"draw: {what} holds itself, or is nested too deeply") from None
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            hint = 'give view="tree"' if isinstance(leaf, Structure) else "mg.tensors makes them"
            raise TypeError(f"draw: {what} must hold Tensors; got {type(leaf).__name__} ({hint})")
    if not leaves:
        raise ValueError(f"draw: {what} holds no Tensor")
    return leaves


def _wanted(wrt: list[Tensor], ends: list[Tensor], scalar: Tensor | None) -> list[Tensor]:
    if scalar is None:
        raise ValueError("draw: wrt says which gradients of grad are shown; give grad as well")
    drawn = set(toposort([*ends, scalar]))
    for t in wrt:
        if t not in drawn:
            raise ValueError(
                f"draw: wrt holds {t.name or repr(t)}, which is no part of the graph that is "
                "drawn; give the Tensor that grad was computed from"
            )
    return wrt


def _scalar(grad: Any) -> Tensor | None:
    if grad is None:
        return None
    if not isinstance(grad, Tensor):
        raise TypeError(
            f"draw: grad must be the Tensor whose gradient is shown, not {type(grad).__name__}"
        )
    if grad.shape != ():
        raise ValueError(
            f"draw: grad must be one scalar; it has shape {grad.shape}. Choose one loss, or mg.sum "
            "them: a total over many losses hides vanishing gradients"
        )
    if grad.dtype.kind != "f":
        raise TypeError(f"draw: grad must be floating-point; it is {grad.dtype}")
    return grad


def _has_recurrence(ends: Sequence[Tensor]) -> bool:
    return any(t.op is RECUR for t in toposort(ends))


def _structure(value: Any) -> tuple[Structure | None, list[str] | None]:
    """A Structure as it is; trees as a structure with their words and labels."""
    if isinstance(value, Structure):
        return value, None
    try:
        tensors_in(value, "outputs")
    except TypeError:
        pass
    else:
        return None, None
    try:
        return recurrent.structure(value), words_of(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f'draw: the "tree" view takes Tensors, a Structure or trees: {error}'
        ) from None


def words_of(labels: Any) -> list[str] | None:
    """One text per structure node: as given, or of trees in post-order.

    A node's text is its word, else its label.
    """
    if labels is None:
        return None
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if isinstance(labels, (list, tuple)) and all(isinstance(label, str) for label in labels):
        return list(labels)
    try:
        trees = recurrent.Tree.parse(labels)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"draw: labels must be a list with a text per structure node, or trees: {error}"
        ) from None
    nodes = [
        node
        for tree in (trees if isinstance(trees, list) else [trees])
        for node in tree.postorder()
    ]
    return [node.word if node.word is not None else str(node.label or "") for node in nodes]
