"""`evaluate`: values as users read them, recurrences level by level, kept on the nodes read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import pytrees
from ..graph import Tensor
from .chunkwise import run_cut
from .reference import frozen, run, with_values


def evaluate(tree: Any, values: Mapping[Tensor, Any] | None = None) -> Any:
    """The values of all Tensors in a pytree, as read-only NumPy arrays in the same structure.

    Reads many at once: a loss and its gradients share one forward pass.
    Keeps the values on the Tensors read and on every projection of the recurrences that ran
    (of those with checkpoints on the Tensors read alone).
    Leaves that are not Tensors are returned as they are.  Compiles nothing.

    values : {node: its value}, for symbols (`mg.symbol`), or to put other values in the place of
             any nodes: the graph, and what is kept on its nodes, stays as it is.

    Raises TypeError for a Tensor of a trace, which has no value yet, and a symbol without one;
    ValueError for a node that nothing is computed from, or a value of another shape;
    ValueError or IndexError for integers that turn out to lie outside of their range.
    """
    leaves, spec = with_values("evaluate", tree, values)
    missing = [t for t in leaves if isinstance(t, Tensor) and t._value is None]
    if missing:
        env = run(missing, run_cut, remember=True)
        for t, value in env.items():
            if t._value is None:
                object.__setattr__(t, "_value", frozen(value, t))
    return pytrees.tree_unflatten(spec, [t._value if isinstance(t, Tensor) else t for t in leaves])
