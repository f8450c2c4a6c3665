"""One step of a cell as a function of vectors: its states at every node, and its Jacobians there.

What `propagation`, `algorithms` and `newton` stand on: a state of any pytree is one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from ..options import shown
from ..sequences import check_cell, start_state

__all__: list[str] = []


class Steps:
    """A cell on a batch of sequences, its state flat.

    params : the parameters, arrays (or Tensors, whose values are taken).
    xs     : (T, B, ...) arrays, a pytree of them, or None with `time` steps.
    start  : (B, S), the first state.
    """

    def __init__(
        self, who: str, cell: Callable, params: Any, xs: Any, carry: Any = None,
        steps: int | None = None,
    ):  # fmt: skip
        self.who, self.cell = who, cell
        self.params = pytrees.tree_map(_array, params)
        check_cell(who, cell, self.params, xs, None)
        self.single, self.xs, self.time, self.batch = _inputs(who, xs, steps)
        state = start_state(who, cell, self.params) if carry is None else _given(carry, self.single)
        leaves, self.spec = pytrees.tree_flatten(pytrees.tree_map(_array, state))
        self.shapes = [leaf.shape[1:] for leaf in leaves]
        self.dtype = np.result_type(*leaves, np.float32)
        wide = [np.broadcast_to(x, (self.batch, *x.shape[1:])) for x in leaves]
        self.start = np.concatenate([x.reshape(self.batch, -1) for x in wide], axis=1)
        self.size = self.start.shape[1]
        self.theta, self.unflat = flat_tree(self.params)

    # -- one step, on Tensors ----------------------------------------------------------------------

    def state(self, s: Any) -> Any:
        """The cell's state from a vector."""
        leaves, at = [], 0
        for shape in self.shapes:
            n = int(np.prod(shape))
            leaves.append(mg.reshape(s[at : at + n], shape))
            at += n
        return pytrees.tree_unflatten(self.spec, leaves)

    def step(self, params: Any, s: Any, x: Any) -> tuple[Any, Any]:
        """(the next state, the output), vectors both."""
        carry, y = self.cell(params, self.state(s), x)
        return vector(carry), vector(y)

    def mapped(self, f: Callable, s: np.ndarray, xs: Any, params: Any = None) -> Any:
        """f(params, s, x) at many states and inputs, (N, S) and (N, ...), evaluated."""
        params = self.params if params is None else params
        if xs is None:
            run = mg.vmap(lambda p, s: f(p, s, None), in_axes=(None, 0))
            return mg.evaluate(run(params, mg.asarray(s)))
        run = mg.vmap(f, in_axes=(None, 0, 0))
        return mg.evaluate(run(params, mg.asarray(s), pytrees.tree_map(mg.asarray, xs)))

    # -- all steps ---------------------------------------------------------------------------------

    def rows(self, t: int | slice) -> Any:
        """The inputs of one step (B, ...), or of several as rows."""
        if self.xs is None:
            return None
        return pytrees.tree_map(
            lambda x: x[t] if isinstance(t, int) else x[t].reshape(-1, *x.shape[2:]), self.xs
        )

    @cached_property
    def ran(self) -> tuple[np.ndarray, np.ndarray]:
        """(states before and behind every step (T + 1, B, S), outputs (T, B, Y))."""
        states, outputs = [self.start], []
        xs = None if self.xs is None else pytrees.tree_map(
            lambda x: np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), self.xs
        )  # fmt: skip

        def cell(params: Any, s: Any, x: Any) -> tuple[Any, Any]:
            return self.step(params, s, x)

        chain = mg.Structure.chain([self.time] * self.batch)
        found = mg.evaluate(
            mg.recur(cell, chain, initial=self.start, shared=self.params, inputs=xs)
        )
        states, outputs = (
            np.swapaxes(a.reshape(self.batch, self.time, -1), 0, 1) for a in found
        )
        return np.concatenate([self.start[None], states]), outputs

    @cached_property
    def jacobians(self) -> dict[str, np.ndarray]:
        """By time and sequence: "ss" ds'/ds (T, B, S, S), "ys" dy/ds (T, B, Y, S)."""
        states, _ = self.ran

        def f(params: Any, s: Any, x: Any) -> Any:
            return mg.jacobian(self.step(params, s, x), s)

        ss, ys = self.mapped(f, states[:-1].reshape(-1, self.size), self.rows(slice(None)))
        split = (self.time, self.batch)
        return {"ss": ss.reshape(*split, *ss.shape[1:]), "ys": ys.reshape(*split, *ys.shape[1:])}

    def immediate(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """ds'/d theta (B, S, P) and dy/d theta (B, Y, P) at step t, the state before it held."""
        states, _ = self.ran

        def f(params: Any, s: Any, x: Any) -> Any:
            return mg.jacobian(self.step(params, s, x), params)

        found = self.mapped(f, states[t], self.rows(t))
        return tuple(_joined(tree, 2) for tree in found)  # type: ignore[return-value]


def vector(tree: Any) -> Any:
    """All arrays of a pytree of Tensors, one behind the other."""
    leaves = [mg.reshape(x, (-1,)) for x in pytrees.tree_leaves(tree)]
    return leaves[0] if len(leaves) == 1 else mg.concat(leaves)


def _joined(tree: Any, lead: int) -> np.ndarray:
    leaves = pytrees.tree_leaves(tree)
    return np.concatenate([x.reshape(*x.shape[:lead], -1) for x in leaves], axis=-1)


def flat_tree(tree: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """A pytree of arrays as one vector, and the way back."""
    leaves, spec = pytrees.tree_flatten(tree)
    ends = np.cumsum([x.size for x in leaves])[:-1]

    def back(theta: np.ndarray) -> Any:
        parts = np.split(theta, ends)
        shaped = [p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)]
        return pytrees.tree_unflatten(spec, shaped)

    return np.concatenate([x.reshape(-1) for x in leaves]), back


def _array(x: Any) -> np.ndarray:
    array = x.numpy() if isinstance(x, mg.Tensor) else np.asarray(x)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _given(carry: Any, single: bool) -> Any:
    arrays = pytrees.tree_map(_array, carry)
    return pytrees.tree_map(lambda a: a[None], arrays) if single else arrays


def _inputs(who: str, xs: Any, steps: int | None) -> tuple[bool, Any, int, int]:
    """(whether it is one sequence, (T, B, ...) arrays, T, B)."""
    if xs is None:
        if steps is None:
            raise ValueError(f"{who}: a cell without inputs needs steps=, how many there are")
        return True, None, steps, 1
    arrays = pytrees.tree_map(lambda x: _plain(who, x), xs)
    leaves: Sequence[np.ndarray] = pytrees.tree_leaves(arrays)
    axes = {x.ndim for x in leaves}
    if not axes or not axes <= {2, 3}:
        got = shown(leaves[0]) if leaves else "no array"
        raise ValueError(f"{who}: xs must be (T, B, I) or (T, I); got {got}")
    single = axes == {2}
    arrays = pytrees.tree_map(lambda x: x[:, None], arrays) if single else arrays
    time, batch = pytrees.tree_leaves(arrays)[0].shape[:2]
    if not time or not batch:
        raise ValueError(f"{who}: xs has {time} steps of {batch} sequences: nothing to run")
    return single, arrays, time, batch


def _plain(who: str, x: Any) -> np.ndarray:
    array = x.numpy() if isinstance(x, mg.Tensor) else np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{who}: xs must be numbers (T, B, I) or (T, I); got {shown(x)}")
    return array


def where_finite(f: Callable[[np.ndarray], np.ndarray], matrices: np.ndarray) -> np.ndarray:
    """f of each of (..., S, S), a row (..., S); NaN for one with a NaN or infinity in it, for which
    LAPACK would refuse all."""
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    of_these = f(matrices[finite])
    found = np.full(matrices.shape[:-1], np.nan, of_these.dtype)
    found[finite] = of_these
    return found


def singular_values(matrices: np.ndarray) -> np.ndarray:
    """(..., S) of matrices (..., S, S), the largest first; NaN of one that is not finite."""
    return where_finite(lambda a: np.linalg.svd(a, compute_uv=False), matrices)
