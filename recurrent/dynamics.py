"""Dynamical systems in which everything may change from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .options import shown

__all__ = ["dynamical_system"]


def dynamical_system(f: Callable | Sequence[Callable]) -> Callable[..., list[Any]]:
    """The general recurrence: transition, parameters and all sizes may depend on t:

        s_t = f_t(s_{t-1}, a_t; theta_t),   t = 1, ..., T

    f : f(theta, s, a) -> s, or a list of them, one for each step.

    Returns system(thetas, start, actions) -> [s_1, ..., s_T]:
    thetas  : a list with the parameters of each step (unshared weights), or one pytree for all.
    start   : s_0, any pytree of arrays.
    actions : a list with one pytree per step, of any shapes, or an array (T, ...), or None.

    Each step is a call of a block, traced once for every function and signature.
    Where nothing changes this is `unroll`,
    which folds the steps into one recurrence and so runs much faster.

    Raises ValueError for what is no function;
    when called, naming the argument with another number of steps,
    TypeError for actions that are neither a list, an array nor None.
    """
    several = isinstance(f, (list, tuple))
    given: list[Any] = list(f) if isinstance(f, (list, tuple)) else [f]
    if not given or not all(callable(g) for g in given):
        raise ValueError(
            f"dynamical_system: f must be a function or a list of functions; got {f!r}"
        )
    made: dict[int, Callable] = {}
    blocks = [made.setdefault(id(g), mg.block(g)) for g in given]

    def system(thetas: Any, start: Any, actions: Any = None) -> list[Any]:
        if not isinstance(actions, (list, tuple, np.ndarray, mg.Tensor, type(None))):
            raise TypeError(
                "dynamical_system: actions must be a list with one for each step, an array or "
                f"None; got {shown(actions)}"
            )
        if isinstance(actions, (np.ndarray, mg.Tensor)) and not actions.ndim:
            raise ValueError("dynamical_system: actions must be (T, ...); got one number")
        counts = {
            "f": len(blocks) if several else None,
            "thetas": len(thetas) if isinstance(thetas, list) else None,
            "actions": None if actions is None else len(actions),
        }
        known = {n for n in counts.values() if n is not None}
        if len(known) != 1:
            said = ", ".join(f"{name} {n}" for name, n in counts.items() if n is not None)
            raise ValueError(
                "dynamical_system: f, thetas and actions must have one entry for each step, the "
                f"same number; got {said or 'nothing that says how many there are'}"
            )
        state = pytrees.tree_map(mg.asarray, start)
        states = []
        for t in range(known.pop()):
            theta = thetas[t] if isinstance(thetas, list) else thetas
            state = blocks[t if several else 0](
                theta, state, None if actions is None else actions[t]
            )
            states.append(state)
        return states

    return system
