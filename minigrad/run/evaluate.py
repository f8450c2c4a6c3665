"""`evaluate`: values as users read them, recurrences level by level, kept on the nodes read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import pytrees
from ..graph import Tensor, constant, rebuild, toposort
from ..rewrite.simplify import folded
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

    A symbol that turns out not to be needed may have a value or none: a derivative may not depend
    on it; of `where` with a known condition, and of what is empty, only the shape counts.

    Raises TypeError for a Tensor of a trace, which has no value yet, and a symbol that is needed
    and has none; ValueError for another node that nothing is computed from, or a value of another
    shape;
    ValueError or IndexError for integers that turn out to lie outside of their range.
    """
    leaves, spec = with_values("evaluate", tree, values)
    missing = [t for t in leaves if isinstance(t, Tensor) and t._value is None]
    if missing:
        known = _without_spare(missing)
        env = run(known, run_cut, remember=True)
        for t, value in (*env.items(), *((t, env[x]) for t, x in zip(missing, known, strict=True))):
            if t._value is None:
                object.__setattr__(t, "_value", frozen(value, t))
    return pytrees.tree_unflatten(spec, [t._value if isinstance(t, Tensor) else t for t in leaves])


def _without_spare(outputs: list[Tensor]) -> list[Tensor]:
    """The outputs where every symbol has a value; else what is left of them by the rules, with
    nothing computed for what is empty."""
    order = toposort(outputs, stop=lambda t: t._value is not None)
    if all(t._value is not None or "symbol" not in t.attrs for t in order):
        return outputs
    empty = {t: constant(np.zeros(t.shape, t.dtype)) for t in order if 0 in t.shape}
    return folded(rebuild(outputs, empty))
