"""What every architecture is put to.

The laws of DESIGN.md section 7 that hold for any model, and an independent oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close, directions, dot


def loss_of(outputs: Any) -> mg.Tensor:
    """A scalar that weighs every number differently and is not linear."""
    total: Any = 0.0
    for k, t in enumerate(optree.tree_leaves(outputs)):
        weights = np.random.default_rng([7, k]).standard_normal(t.shape)
        total = total + mg.sum(mg.sin(t) * weights)
    return total


def laws(run: Callable[[Any], Any], arrays: Any, seed: int = 0, tol: float = 1e-9) -> None:
    """Laws 1, 2 and 6 for run(arrays as Tensors) -> pytree of Tensors, values and gradients."""
    t = mg.tensors(arrays)
    out = run(t)
    loss = loss_of(out)
    grads = mg.grad(loss, t)
    wanted = mg.reference((out, grads))
    close(mg.evaluate((out, grads)), wanted, tol, "evaluate against reference")

    def step(a: Any) -> Any:
        found = run(a)
        return found, mg.grad(loss_of(found), a)

    compiled = mg.function(step)
    close(compiled(arrays), wanted, tol, "compiled against reference")
    unfolded = mg.unfold(out, expand=True)
    found = mg.evaluate((unfolded, mg.grad(loss_of(unfolded), t)))
    close(found, wanted, tol, "unfolded, then differentiated")
    u, v = directions(out, seed + 1), directions(t, seed + 2)
    left, right = dot(mg.jvp(out, t, v), u), dot(mg.vjp(out, t, u), v)
    close(*mg.evaluate((left, right)), tol, "<u, Jv> against <J^T u, v>")


def against(
    oracle: Callable[[Any], Any], run: Callable[[Any], Any], arrays: Any, tol: float = 1e-8
) -> None:
    """Values and gradients against a model written in torch, float64."""
    import torch

    t = mg.tensors(arrays)
    out = run(t)
    found = mg.evaluate((out, mg.grad(loss_of(out), t)))
    leaves = optree.tree_map(lambda a: torch.tensor(np.asarray(a), requires_grad=True), arrays)
    theirs = oracle(leaves)
    total = 0.0
    for k, y in enumerate(optree.tree_leaves(theirs)):
        weights = np.random.default_rng([7, k]).standard_normal(tuple(y.shape))
        total = total + (torch.sin(y) * torch.tensor(weights)).sum()
    total.backward()
    values = optree.tree_map(lambda y: y.detach().numpy(), theirs)
    grads = optree.tree_map(
        lambda a: np.zeros(tuple(a.shape)) if a.grad is None else a.grad.numpy(), leaves
    )
    close(found, (values, grads), tol, "against torch")


def random_params(cell: Any, seed: int, scale: float = 0.6) -> Any:
    """Parameters in which nothing is zero or one."""
    rng = np.random.default_rng(seed)
    return optree.tree_map(lambda a: scale * rng.standard_normal(a.shape), cell.init(seed))


def fold_is_a_recursion(cell: Any, trees: list, seed: int = 0) -> None:
    """`rc.fold` against the cell called in a plain recursion over the trees.

    Values and gradients.
    """
    rng = np.random.default_rng(seed)
    words = sum(len(t.words()) for t in trees)
    params = {k: rng.standard_normal(v.shape) for k, v in cell.init(seed).items()}
    t = mg.tensors({"p": params, "x": rng.standard_normal((words, cell.input_size))})
    states, ys = rc.fold(cell, t["p"], trees, t["x"])

    place = iter(range(words))
    zero = optree.tree_map(lambda a: mg.asarray(a[0]), cell.zero_state())
    rows: list[tuple[Any, Any]] = []

    def visit(tree: Any) -> Any:
        children = [visit(c) for c in tree.children]
        x = t["x"][next(place)] if tree.word is not None else mg.zeros(cell.input_size)
        carry = (*children, *[zero] * (cell.arity - len(children)))
        rows.append(cell(t["p"], carry if cell.arity > 1 else carry[0], x))
        return rows[-1][0]

    for tree in trees:
        visit(tree)
    spec = optree.tree_structure(states)
    leaves = zip(*(optree.tree_leaves(state) for state, _ in rows), strict=True)
    wanted_states = optree.tree_unflatten(spec, [mg.stack(leaf) for leaf in leaves])
    wanted = mg.stack([y for _, y in rows])

    def everything(s: Any, y: Any) -> Any:
        weights = rng_weights(y.shape, seed)
        loss = mg.sum(y * weights) + dot(s, s)
        return s, y, mg.grad(loss, t)

    close(
        mg.evaluate(everything(states, ys)), mg.evaluate(everything(wanted_states, wanted)), 1e-11
    )


def rng_weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).standard_normal(shape)
