"""What the laws are made of: results held against each other, and what a problem is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optree

from ...autodiff import grad
from ...graph import Tensor
from ...ops.reduce import sum as total_of
from ..examples.problems import Problem


def require(holds: bool, message: str) -> None:
    """An assertion that `python -O` keeps and that pytest adds nothing to."""
    if not holds:
        raise AssertionError(message)


def close(found: Any, wanted: Any, tol: float = 1e-10, what: str = "") -> None:
    """Two pytrees of arrays agree to rounding, relative to the largest number of each array, with
    NaN and infinities in the same places.  Raises AssertionError naming the leaf and the numbers.
    """
    paths, a, spec = optree.tree_flatten_with_path(found)
    b, other = optree.tree_flatten(wanted)
    require(spec == other, f"{what}: {spec} is not {other}")
    for path, x, y in zip(paths, a, b, strict=True):
        where = f"{what} {'.'.join(map(str, path))}".strip()
        x, y = np.asarray(x), np.asarray(y)
        require(x.shape == y.shape, f"{where}: shape {x.shape} is not {y.shape}")
        require(x.dtype.kind == y.dtype.kind, f"{where}: {x.dtype} is not {y.dtype}")
        finite = np.isfinite(y) if y.dtype.kind == "f" else np.zeros(y.shape, bool)
        np.testing.assert_array_equal(x[~finite], y[~finite], err_msg=where)
        if not finite.any():
            continue
        scale = max(1.0, float(np.abs(y[finite]).max()))
        off = np.where(finite, np.abs(np.where(finite, x, 0) - np.where(finite, y, 0)), 0)
        worst = tuple(int(k) for k in np.unravel_index(off.argmax(), off.shape))
        error = float(off[worst]) / scale
        require(
            error <= tol,
            f"{where}: off by {error:.2e} (relative) at {list(worst)}: "
            f"{x[worst].item()!r} where {y[worst].item()!r} was expected",
        )


def directions(like: Any, seed: int) -> Any:
    """Random arrays of the shapes and dtypes of a pytree."""
    rng = np.random.default_rng(seed)
    return optree.tree_map(lambda t: rng.standard_normal(t.shape).astype(t.dtype), like)


def dot(a: Any, b: Any) -> Any:
    """The inner product of two pytrees, recorded."""
    total: Any = 0.0
    for x, y in zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True):
        total = total + total_of(x * y)
    return total


def floats(tree: Any) -> list[Tensor]:
    """The leaves that have gradients."""
    return [t for t in optree.tree_leaves(tree) if t.dtype.kind == "f"]


def wrt_of(t: Mapping[str, Any]) -> dict[str, list[Tensor]]:
    """What a problem's loss is differentiated by: the floating-point leaves, part by part."""
    return {part: floats(tree) for part, tree in t.items()}


def record(problem: Problem) -> tuple[dict[str, Any], Any, Any, Any]:
    """(the arrays as Tensors, states, outputs, loss)."""
    t = problem.tensors()
    states, outputs = problem.run(t)
    loss = problem.loss(states, outputs)
    if not isinstance(loss, Tensor):
        raise ValueError("the cell has no floating-point state or output: there is nothing to test")
    return t, states, outputs, loss


def everything(
    problem: Problem, t: Any, checkpoint: int | None = None
) -> tuple[Any, Any, Any, Any]:
    """States, outputs, the loss, and its gradients."""
    states, outputs = problem.run(t, checkpoint)
    loss = problem.loss(states, outputs)
    return states, outputs, loss, grad(loss, wrt_of(t))
