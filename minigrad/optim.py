"""Optimisers over pytrees of NumPy arrays: a pair of pure functions each.

opt = optim.adam(1e-3);  state = opt.init(params);  params, state = opt.update(params, grads, state)

A schedule is a plain function of the number of the update, from 0, to a learning rate:
opt = optim.scheduled(optim.adam, optim.warmup(optim.cosine(1e-3, 10_000), 500)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optree


class Optimizer(NamedTuple):
    """init(params) -> state;  update(params, grads, state) -> (params, state).  Nothing is changed
    in place."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def _arrays(tree: Any) -> Any:
    return optree.tree_map(np.asarray, tree)


def _positive(who: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{who}: {name} must be positive; got {value}")


def sgd(lr: float, momentum: float = 0.0) -> Optimizer:
    """Stochastic gradient descent: v = momentum * v + g;  p = p - lr * v  (Polyak 1964)."""
    _positive("sgd", lr=lr)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        state = optree.tree_map(lambda v, g: momentum * v + g, state, _arrays(grads))
        return optree.tree_map(lambda p, v: p - lr * v, _arrays(params), state), state

    return Optimizer(lambda params: optree.tree_map(np.zeros_like, _arrays(params)), update)


def adam(
    lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1), with the bias corrections."""
    _positive("adam", lr=lr, eps=eps)

    def init(params: Any) -> Any:
        zeros = optree.tree_map(np.zeros_like, _arrays(params))
        return 0, zeros, zeros

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        step, m, v = state
        step += 1
        m = optree.tree_map(lambda a, g: beta1 * a + (1 - beta1) * g, m, _arrays(grads))
        v = optree.tree_map(lambda a, g: beta2 * a + (1 - beta2) * g * g, v, _arrays(grads))
        unbias1, unbias2 = 1 - beta1**step, 1 - beta2**step

        def move(p: Any, a: Any, b: Any) -> Any:
            return (p - lr * (a / unbias1) / (np.sqrt(b / unbias2) + eps)).astype(p.dtype)

        return optree.tree_map(move, _arrays(params), m, v), (step, m, v)

    return Optimizer(init, update)


def global_norm(tree: Any) -> float:
    """The Euclidean norm of all numbers in a pytree together."""
    return float(np.sqrt(sum(float(np.vdot(g, g)) for g in optree.tree_leaves(_arrays(tree)))))


def clip_by_global_norm(grads: Any, max_norm: float) -> Any:
    """The gradients scaled down together so that their joint norm is at most max_norm (Pascanu et
    al. 2013)."""
    _positive("clip_by_global_norm", max_norm=max_norm)
    norm = global_norm(grads)
    if not np.isfinite(norm) or norm <= max_norm:
        return _arrays(grads)
    return optree.tree_map(lambda g: g * np.asarray(max_norm / norm, g.dtype), _arrays(grads))


# -- schedules -------------------------------------------------------------------------------------

Schedule = Callable[[int], float]


def scheduled(make: Callable[[float], Optimizer], schedule: Schedule) -> Optimizer:
    """`make(lr)` with lr = schedule(number of the update, from 0).

    make : an optimiser of one argument, `adam`, or lambda lr: sgd(lr, momentum=0.9).
    """

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        step, inner = state
        params, inner = make(schedule(step)).update(params, grads, inner)
        return params, (step + 1, inner)

    return Optimizer(lambda params: (0, make(schedule(0)).init(params)), update)


def constant(lr: float) -> Schedule:
    """lr at every step."""
    _positive("constant", lr=lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.5) -> Schedule:
    """lr * factor ** (step // every)."""
    _positive("step_decay", lr=lr, every=every, factor=factor)
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, steps: int, floor: float = 0.0) -> Schedule:
    """From lr to floor along half a cosine in `steps` steps (Loshchilov and Hutter 2017), then
    floor, which must be positive if steps are to follow."""
    _positive("cosine", lr=lr, steps=steps)

    def at(step: int) -> float:
        return floor + (lr - floor) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2

    return at


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """The schedule, its first `steps` values scaled by 1/steps, 2/steps, ..., 1 (Goyal et al.
    2017)."""
    _positive("warmup", steps=steps)
    return lambda step: schedule(step) * min((step + 1) / steps, 1.0)
