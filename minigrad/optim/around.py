"""What goes around an optimiser: clipping, accumulated gradients, schedules of learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import pytrees
from ..graph import Tensor
from ..ops.arrays import asarray
from ..ops.reduce import NORM, norm
from .given import (
    Optimizer,
    cast,
    holds_tensor,
    leaves_of,
    next_of,
    number,
    parts_of,
    positive,
    shown,
    zeros,
)

# -- clipping --------------------------------------------------------------------------------------


def global_norm(tree: Any) -> Any:
    """The Euclidean norm of all numbers in a pytree together: a float, or a Tensor if one is in it.

    It neither overflows nor vanishes, and has slope 0 at the origin.
    Raises TypeError for a leaf that is no real numbers.
    """
    leaves = _numbers("global_norm", tree)
    if holds_tensor(leaves):
        return norm(asarray([norm(x) for x in leaves]))
    flat = np.concatenate([np.zeros(0), *(np.asarray(x, float).reshape(-1) for x in leaves)])
    return float(NORM.numpy(flat, axis=(-1,)))


def _numbers(who: str, tree: Any) -> list[Any]:
    leaves = [x if isinstance(x, Tensor) else np.asarray(x) for x in pytrees.tree_leaves(tree)]
    for x in leaves:
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{who}: a pytree of real numbers is needed; it holds {x.dtype}")
    return leaves


def clip_by_global_norm(grads: Any, max_norm: float) -> Any:
    """The gradients scaled down together so that their joint norm is at most max_norm.

    Pascanu et al. 2013, algorithm 1; as they came where that norm is not finite.

    grads    : a pytree of arrays, or (one suffices) of Tensors: then the scaling is recorded.
    max_norm : a positive number.

    Raises TypeError for a leaf that is no real numbers or a max_norm that is no number,
    ValueError for one that is not positive.
    """
    positive("clip_by_global_norm", max_norm=max_norm)
    length = global_norm(grads)
    scale = np.where(np.isfinite(length), max_norm / np.maximum(length, max_norm), 1.0)

    def scaled(g: Any) -> Any:
        g = asarray(g) if isinstance(scale, Tensor) else np.asarray(g)
        g = g if g.dtype.kind == "f" else cast(g, np.zeros(0))
        return g * cast(scale, g)

    return pytrees.tree_map(scaled, grads)


# -- accumulation of gradients ---------------------------------------------------------------------


def accumulated(opt: Optimizer, every: int) -> Optimizer:
    """`opt` once in `every` updates, with the mean of the gradients since; else nothing moves.

    So a batch that does not fit into memory is taken in parts of equal size.

    opt   : an optimiser; a schedule goes inside, and counts its updates alone.
    every : an integer, at least 1.

    State: (number of updates, sum of the gradients since the last of opt's, state of opt).

    Raises TypeError for what is no optimiser or no integer, ValueError for an integer below 1;
    later what `opt` raises.
    """
    if not isinstance(opt, Optimizer):
        raise TypeError(f"accumulated: opt is an optimiser; got {shown(opt)}")
    if not isinstance(every, (int, np.integer)) or isinstance(every, bool):
        raise TypeError(f"accumulated: every must be an integer; got {shown(every)}")
    number("accumulated", "every", every, lambda n: n >= 1, "at least 1")

    def init(params: Any) -> Any:
        return np.asarray(0), zeros("accumulated", params), opt.init(params)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        count, total, inner = parts_of("accumulated", state, 3)
        trees = {"params": params, "grads": grads, "sum": total}
        recorded = holds_tensor(params, state)
        (_, gs, ss), joined = leaves_of("accumulated", params, recorded, **trees)
        sums = [s + g for s, g in zip(ss, gs, strict=True)]
        _, step = next_of(count)
        now = step % every == 0
        moved = opt.update(params, joined([s / every for s in sums]), inner)
        kept = pytrees.tree_map(lambda new, old: np.where(now, new, old), moved, (params, inner))
        rest = [np.where(now, cast(0, s), s) for s in sums]
        return kept[0], (step, joined(rest), kept[1])

    return Optimizer(init, update)


# -- schedules -------------------------------------------------------------------------------------

Schedule = Callable[[Any], Any]  # of an int, or of an integer Tensor where the update is recorded


def scheduled(make: Callable[[Any], Optimizer], schedule: Schedule) -> Optimizer:
    """`make(lr)` with lr = schedule(number of the update, from 0).

    make     : an optimiser of one argument, `adam`, or lambda lr: sgd(lr, momentum=0.9).
    schedule : in a traced step its argument is a Tensor,
               so it is made of array functions (np.where, np.minimum, arithmetic),
               as those below are.

    State: (number of updates, that of the optimiser).

    Raises, when it runs, what `make` raises for a learning rate that is none.
    """

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        count, inner = parts_of("scheduled", state, 2)
        step, after = next_of(count)
        lr = schedule(step if isinstance(step, Tensor) else int(step))
        lr = lr if isinstance(lr, Tensor) else float(lr)
        params, inner = make(lr).update(params, grads, inner)
        return params, (after, inner)

    return Optimizer(lambda params: (np.asarray(0), make(float(schedule(0))).init(params)), update)


def constant(lr: float) -> Schedule:
    """lr at every step.

    Raises TypeError for what is no number, ValueError for what is not positive.
    """
    positive("constant", lr=lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.5) -> Schedule:
    """lr * factor ** (step // every).

    Raises TypeError for what is no number, ValueError for what is not positive.
    """
    positive("step_decay", lr=lr, every=every, factor=factor)
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, steps: int, floor: float = 0.0) -> Schedule:
    """From lr to floor along half a cosine in `steps` steps, then floor.

    Loshchilov and Hutter 2017, equation 5.
    floor must be positive if steps are to follow.

    Raises TypeError for what is no number,
    ValueError for an lr or steps that are not positive, or a floor outside of [0, lr].
    """
    positive("cosine", lr=lr, steps=steps)
    number("cosine", "floor", floor, lambda x: 0 <= x <= lr, "between 0 and lr")

    def at(step: Any) -> Any:
        return floor + (lr - floor) * (1 + np.cos(math.pi * np.minimum(step / steps, 1.0))) / 2

    return at


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """The schedule, its first `steps` values scaled by 1/steps, 2/steps, ..., 1.

    Gradual warmup (Goyal et al. 2017, section 2.2).

    Raises TypeError for steps that are no number, ValueError for such as are not positive.
    """
    positive("warmup", steps=steps)
    return lambda step: schedule(step) * np.minimum((step + 1) / steps, 1.0)
