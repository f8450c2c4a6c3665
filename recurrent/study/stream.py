"""Learning from what has no end: a cell that gives a gradient at every step it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from ..options import choice
from ..options import seed as checked_seed
from .influence import ONLINE, Influence, read_from_state
from .steps import Steps

__all__ = ["Stream", "stream"]


class Stream:
    """A cell that runs and learns step by step; made by `stream`.

    params : its parameters; exchange them on the way, as an optimiser does.
             (The influence carried is then that of older parameters, as for all such algorithms.)
    carry  : the state.
    """

    def __init__(self, steps: Steps, kind: type[Influence], rng: Any, options: dict[str, Any]):
        self._steps, self._read = steps, read_from_state(steps)
        self._influence = kind(steps, rng, **options)
        self._state, self._flat = steps.start, np.zeros(0)
        self.params = steps.params

    @property
    def carry(self) -> Any:
        lead, leaves, at = self._steps.batch, [], 0
        for shape in self._steps.shapes:
            n = int(np.prod(shape))
            leaves.append(self._state[:, at : at + n].reshape(lead, *shape))
            at += n
        found = pytrees.tree_unflatten(self._steps.spec, leaves)
        return pytrees.tree_map(lambda a: a[0], found) if self._steps.single else found

    def step(self, x: Any, loss: Callable[[Any], Any]) -> tuple[float, Any]:
        """One step on x (B, I) or (I,): (loss(y), the gradient of it by the parameters).

        The gradient is that of this step's loss alone, through all steps before it.
        """
        s = self._steps
        s.params = pytrees.tree_map(np.asarray, self.params)
        s.xs = pytrees.tree_map(lambda a: np.asarray(a)[None, None] if s.single
                                else np.asarray(a)[None], x)  # fmt: skip
        s.ran = (np.stack([self._state, self._state]), np.zeros((1, s.batch, 0)))
        rows = s.rows(0)

        def f(p: Any, h: Any, x: Any) -> Any:
            new, y = s.step(p, h, x)
            return new, y, mg.jacobian((new, y), {"h": h, "p": p})

        new, y, (by_new, by_y) = s.mapped(f, self._state, rows)
        out = mg.asarray(y[0] if s.single else y)
        value = loss(out)
        c = mg.evaluate(mg.grad(value, out)).reshape(s.batch, -1)
        slopes = {"ss": by_new["h"], "ys": by_y["h"]}
        immediate = _flat_last(by_new["p"]), _flat_last(by_y["p"])
        total = self._influence.term(0, c, slopes, immediate, self._read)
        self._state = new
        return float(value), s.unflat(total)


def _flat_last(tree: Any) -> np.ndarray:
    leaves = pytrees.tree_leaves(tree)
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in leaves], axis=-1)


def stream(
    cell: Callable, params: Any, x: Any, algorithm: str = "rtrl", *, carry: Any = None,
    seed: int = 0, **options: Any,
) -> Stream:  # fmt: skip
    """A cell that learns on a stream without an end, by an algorithm that runs forward in time.

    x         : an input like those to come, (I,), or (B, I) for several streams at once.
    algorithm : "rtrl", "snap" (n=1), "eprop", "rflo" (feedback=), "uoro", "kf-rtrl" or "immediate".

        learner = rc.study.stream(cell, cell.init(0), np.zeros(3))
        for x, target in data:
            value, g = learner.step(x, lambda y: mg.sum((y - target) ** 2))
            learner.params = {k: p - 0.1 * g[k] for k, p in learner.params.items()}

    Memory does not grow.  Raises ValueError for another algorithm, and what does not fit.
    """
    choice("stream", "algorithm", algorithm, tuple(ONLINE))
    rng = np.random.default_rng(checked_seed("stream", seed))
    steps = Steps("stream", cell, params, pytrees.tree_map(lambda a: np.asarray(a)[None], x), carry)
    return Stream(steps, ONLINE[algorithm], rng, options)
