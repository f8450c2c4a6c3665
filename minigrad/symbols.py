"""Graphs in hand: leaves without a value, the nodes of a graph, one node put in another's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import pytrees
from .arguments import tensor_leaves
from .graph import Tensor, _trace, placeholder, rebuild, toposort
from .ops.arrays import asarray
from .ops.table import FLOAT, dtype_of, shape_of

__all__ = ["nodes", "substitute", "symbol"]


def symbol(name: str, shape: int | Sequence[int] = (), *, dtype: Any = FLOAT) -> Tensor:
    """A leaf without a value: what is computed from it is a formula.

    name  : what `mg.expr`, `mg.show`, `mg.source` and drawings call it.
    shape : its axes, an int for a vector; none unless given.
    dtype : float64 unless told.

    A value is given when one is wanted: `mg.evaluate(y, {x: 2.0})`.
    Raises TypeError for a name that is no string, for no shape or dtype, and inside a function
    that is being traced, whose arguments are its symbols; ValueError for a negative length.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"symbol: its name comes first, as in mg.symbol('x', (3,)); got {name!r}")
    if _trace.get() is not None:
        raise TypeError(
            f"symbol: {name!r} is made inside a function that is being traced, which sees its "
            "arguments only: make it an argument"
        )
    t = placeholder(shape_of("symbol", shape), dtype_of("symbol", dtype, FLOAT), name)
    t.attrs["symbol"] = True
    return t


def nodes(outputs: Any) -> list[Tensor]:
    """Every node that a pytree of Tensors is computed from, themselves too, inputs before users.

    Of a node `t`: `t.op.name` and `t.op.kind` say what it does, `t.inputs` what it reads,
    `t.attrs` what else it was told, `t.name` how it was called.
    A recurrence is one node; what it computes is in `t.attrs["block"]`, which `mg.show` lists.
    Raises TypeError for a leaf that is no Tensor.
    """
    return toposort(tensor_leaves("nodes", "outputs", outputs)[0])


def substitute(outputs: Any, values: Mapping[Tensor, Any]) -> Any:
    """The same pytree of Tensors, computed from other nodes: `{old: new}`.

    old : any node that the outputs are computed from, a leaf or not.
    new : what stands there instead: a Tensor, array or number of its shape, cast to its dtype.

    All are exchanged at once: what is put in is not searched for others.
    What depends on none of them stays the node it is.
    Raises ValueError for a node that the outputs are not computed from, and for another shape;
    TypeError for a leaf or an `old` that is no Tensor, and for what is no numbers.
    """
    leaves, spec = tensor_leaves("substitute", "outputs", outputs)
    swap = exchanged("substitute", leaves, values)
    return pytrees.tree_unflatten(spec, rebuild(leaves, swap))


def exchanged(
    who: str, leaves: Sequence[Tensor], values: Any, spare: bool = False
) -> dict[Tensor, Tensor]:
    """What is to stand in the place of which node, checked.

    spare : a symbol that nothing is computed from may be given, and is left out.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{who}: values are a dict {{node: value}}; got a {type(values).__name__}")
    known, swap = set(toposort(leaves)), {}
    for old, new in values.items():
        if not isinstance(old, Tensor):
            raise TypeError(f"{who}: {old!r:.60} is no Tensor of the graph; give the node itself")
        if old not in known and not (spare and "symbol" in old.attrs):
            raise ValueError(
                f"{who}: the outputs are not computed from {old!r}; "
                "a node written again, or named again, is a new one: keep it in a variable"
            )
        made = asarray(new, dtype=old.dtype)
        if made.shape != old.shape:
            raise ValueError(
                f"{who}: {old.name or repr(old)} has shape {old.shape}; got {made.shape} for it"
            )
        if old in known:
            swap[old] = made
    return swap
