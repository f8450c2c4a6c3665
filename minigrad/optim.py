"""Optimisers over pytrees of arrays or Tensors: a pair of pure functions each.

opt = optim.adam(1e-3);  state = opt.init(params);  params, state = opt.update(params, grads, state)

They are written in array functions.
Of arrays they make arrays, and Tensors in `grads` are read;
where `params`, the state or the learning rate hold a Tensor the update is recorded,
and has a gradient.
So a training step, update and all, can be one `mg.function`:
the number of the update is an array in the state, and no step traces again.

A schedule is a plain function of the number of the update, from 0, to a learning rate:
opt = optim.scheduled(optim.adam, optim.warmup(optim.cosine(1e-3, 10_000), 500)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import pytrees
from .graph import Tensor
from .manners.spellings import answering as _answering
from .ops.arrays import asarray, astype
from .ops.reduce import NORM, norm
from .run.evaluate import evaluate

__all__ = [
    "Optimizer", "adam", "clip_by_global_norm", "constant", "cosine", "global_norm", "scheduled",
    "sgd", "step_decay", "warmup",
]  # fmt: skip


class Optimizer(NamedTuple):
    """init(params) -> state;  update(params, grads, state) -> (params, state).

    Nothing is changed in place; parameters keep their shapes and dtypes.

    Raises ValueError for grads or a state that are not structured and shaped as the parameters,
    TypeError for parameters that are not floating-point, or a state that is none.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


# -- what is given, checked ------------------------------------------------------------------------


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def _number(who: str, name: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    if not _is_number(value):
        raise TypeError(f"{who}: {name} must be a number; got {_shown(value)}")
    if not (math.isfinite(value) and holds(value)):
        raise ValueError(f"{who}: {name} must be {must}; got {value}")


def _positive(who: str, **values: Any) -> None:
    for name, value in values.items():
        _number(who, name, value, lambda x: x > 0, "positive")


def _fraction(who: str, **values: Any) -> None:
    for name, value in values.items():
        _number(who, name, value, lambda x: 0 <= x < 1, "at least 0 and less than 1")


def _rate(who: str, lr: Any) -> None:
    """A positive number, or a scalar Tensor: recorded, it may have a gradient."""
    if isinstance(lr, Tensor):
        if lr.shape != () or lr.dtype.kind != "f":
            raise TypeError(
                f"{who}: lr as a Tensor is a floating-point scalar; got {lr.dtype} of shape "
                f"{lr.shape}"
            )
    else:
        _positive(who, lr=lr)


def _shown(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}, {value!r:.40}"


def _leaves(
    who: str, like: Any, recorded: bool, **trees: Any
) -> tuple[list[list[Any]], Callable[[Sequence[Any]], Any]]:
    """The leaves of several pytrees, which are structured and shaped as the first of them.

    As arrays or (recorded) Tensors; and what puts such leaves together again.
    """
    paths, _, spec = pytrees.tree_flatten_with_path(like)
    convert: Callable[[Any], Any] = asarray if recorded else np.asarray
    found: list[list[Any]] = []
    for name, tree in trees.items():
        leaves, own = pytrees.tree_flatten(tree)
        if own != spec:
            raise ValueError(
                f"{who}: {name} are not structured as params; they are {own}, params are {spec}"
            )
        arrays: list[Any] = [convert(x) for x in (leaves if recorded else _read(leaves))]
        for path, x, p in zip(paths, arrays, found[0] if found else arrays, strict=True):
            at = f"{name}[{']['.join(map(repr, path))}]" if path else name
            if x.dtype.kind != "f":
                raise TypeError(f"{who}: {at} is {x.dtype}; only floating-point arrays are trained")
            if x.shape != p.shape:
                raise ValueError(f"{who}: {at} has shape {x.shape}, its parameter {p.shape}")
        found.append(arrays)
    return found, lambda leaves: pytrees.tree_unflatten(spec, leaves)


def _holds_tensor(*trees: Any) -> bool:
    return any(isinstance(x, Tensor) for tree in trees for x in pytrees.tree_leaves(tree))


def _read(leaves: list[Any]) -> list[Any]:
    """Arrays, the Tensors among them evaluated together."""
    return evaluate(leaves) if _holds_tensor(leaves) else leaves


def _parts(who: str, state: Any, count: int) -> Any:
    if not isinstance(state, (tuple, list)) or len(state) != count:
        raise TypeError(
            f"{who}: state is what init or update returned, a tuple of {count}; got {_shown(state)}"
        )
    return state


def _cast(x: Any, like: Any) -> Any:
    """An array or a number in the dtype of `like`."""
    return astype(x, like.dtype) if isinstance(x, Tensor) else np.asarray(x, like.dtype)


def _zeros(who: str, params: Any) -> Any:
    (leaves,), joined = _leaves(who, params, _holds_tensor(params), params=params)
    return joined([np.zeros_like(p) for p in leaves])


def _next(step: Any) -> tuple[Any, Any]:
    """The number of this update and of the next one, as an array or a Tensor."""
    step = step if isinstance(step, Tensor) else np.asarray(step)
    if step.dtype.kind not in "iu" or step.shape != ():
        raise TypeError(f"the number of an update is an integer; the state holds {_shown(step)}")
    return step, step + np.asarray(1)


# -- optimisers ------------------------------------------------------------------------------------


def sgd(lr: Any, momentum: float = 0.0) -> Optimizer:
    """Stochastic gradient descent with momentum (Robbins and Monro 1951; Polyak 1964):

        v = momentum * v + g;  p = p - lr * v

    lr       : a positive number, or a scalar Tensor (then every update is recorded).
    momentum : in [0, 1).

    State: v, a pytree like the parameters.

    Raises TypeError for what is no number, ValueError for one outside of these bounds.
    """
    _rate("sgd", lr)
    _fraction("sgd", momentum=momentum)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        recorded = _holds_tensor(lr, params, state)
        trees = {"params": params, "grads": grads, "state": state}
        (ps, gs, vs), joined = _leaves("sgd", params, recorded, **trees)
        vs = [momentum * v + g for v, g in zip(vs, gs, strict=True)]
        ps = [p - _cast(lr, p) * v for p, v in zip(ps, vs, strict=True)]
        return joined(ps), joined(vs)

    return Optimizer(lambda params: _zeros("sgd", params), update)


def adam(lr: Any = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1), with the bias corrections.

    lr           : a positive number, or a scalar Tensor (then every update is recorded).
    beta1, beta2 : in [0, 1), the decay of the means of g and of g^2.
    eps          : positive.

    State: (number of updates, m, v), the last two pytrees like the parameters.

    Raises TypeError for what is no number, ValueError for one outside of these bounds.
    """
    _rate("adam", lr)
    _positive("adam", eps=eps)
    _fraction("adam", beta1=beta1, beta2=beta2)

    def init(params: Any) -> Any:
        return np.asarray(0), _zeros("adam", params), _zeros("adam", params)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        step, m, v = _parts("adam", state, 3)
        recorded = _holds_tensor(lr, params, state)
        trees = {"params": params, "grads": grads, "m": m, "v": v}
        (ps, gs, ms, vs), joined = _leaves("adam", params, recorded, **trees)
        ms = [beta1 * a + (1 - beta1) * g for a, g in zip(ms, gs, strict=True)]
        vs = [beta2 * b + (1 - beta2) * g * g for b, g in zip(vs, gs, strict=True)]
        _, step = _next(step)
        unbias1, unbias2 = 1 - beta1**step, 1 - beta2**step

        def move(p: Any, a: Any, b: Any) -> Any:
            mean, square = a / _cast(unbias1, p), b / _cast(unbias2, p)
            return p - _cast(lr, p) * mean / (np.sqrt(square) + eps)

        moved = [move(*each) for each in zip(ps, ms, vs, strict=True)]
        return joined(moved), (step, joined(ms), joined(vs))

    return Optimizer(init, update)


def global_norm(tree: Any) -> Any:
    """The Euclidean norm of all numbers in a pytree together: a float, or a Tensor if one is in it.

    It neither overflows nor vanishes, and has slope 0 at the origin.
    Raises TypeError for a leaf that is no real numbers.
    """
    leaves = _numbers("global_norm", tree)
    if _holds_tensor(leaves):
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
    _positive("clip_by_global_norm", max_norm=max_norm)
    length = global_norm(grads)
    scale = np.where(np.isfinite(length), max_norm / np.maximum(length, max_norm), 1.0)

    def scaled(g: Any) -> Any:
        g = asarray(g) if isinstance(scale, Tensor) else np.asarray(g)
        g = g if g.dtype.kind == "f" else _cast(g, np.zeros(0))
        return g * _cast(scale, g)

    return pytrees.tree_map(scaled, grads)


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
        count, inner = _parts("scheduled", state, 2)
        step, after = _next(count)
        lr = schedule(step if isinstance(step, Tensor) else int(step))
        lr = lr if isinstance(lr, Tensor) else float(lr)
        params, inner = make(lr).update(params, grads, inner)
        return params, (after, inner)

    return Optimizer(lambda params: (np.asarray(0), make(float(schedule(0))).init(params)), update)


def constant(lr: float) -> Schedule:
    """lr at every step.

    Raises TypeError for what is no number, ValueError for what is not positive.
    """
    _positive("constant", lr=lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.5) -> Schedule:
    """lr * factor ** (step // every).

    Raises TypeError for what is no number, ValueError for what is not positive.
    """
    _positive("step_decay", lr=lr, every=every, factor=factor)
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, steps: int, floor: float = 0.0) -> Schedule:
    """From lr to floor along half a cosine in `steps` steps, then floor.

    Loshchilov and Hutter 2017, equation 5.
    floor must be positive if steps are to follow.

    Raises TypeError for what is no number,
    ValueError for an lr or steps that are not positive, or a floor outside of [0, lr].
    """
    _positive("cosine", lr=lr, steps=steps)
    _number("cosine", "floor", floor, lambda x: 0 <= x <= lr, "between 0 and lr")

    def at(step: Any) -> Any:
        return floor + (lr - floor) * (1 + np.cos(math.pi * np.minimum(step / steps, 1.0))) / 2

    return at


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """The schedule, its first `steps` values scaled by 1/steps, 2/steps, ..., 1.

    Gradual warmup (Goyal et al. 2017, section 2.2).

    Raises TypeError for steps that are no number, ValueError for such as are not positive.
    """
    _positive("warmup", steps=steps)
    return lambda step: schedule(step) * np.minimum((step + 1) / steps, 1.0)


__getattr__ = _answering(__name__, lambda: __all__)
