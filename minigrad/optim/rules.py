"""The optimisers: each is a rule for one parameter, its gradient and what is kept of the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from .. import pytrees
from ..graph import Tensor
from ..rewrite.once import written_once
from ..tracing import path_name
from .given import (
    Optimizer,
    cast,
    flags_of,
    fraction,
    holds_tensor,
    leaves_of,
    next_of,
    number,
    parts_of,
    positive,
    rate,
    zeros,
)


def _least(who: str, **values: Any) -> None:
    for name, value in values.items():
        number(who, name, value, lambda x: x >= 0, "at least 0")


def _rule(
    who: str, lr: Any, kept: Sequence[str], rule: Callable[..., Any], numbers: tuple[Any, ...],
    at: Callable[[Any], tuple[Any, ...]] = lambda step: (),
) -> Optimizer:  # fmt: skip
    """rule(p, g, *what is kept, *what `at` gives of the number of the update from 1) ->
    (p, *what is kept), by leaf; what `at` gives in the dtype of p.

    numbers: those that the rule is made with.

    State: (number of updates, one pytree like the parameters for each name in `kept`).
    """
    rate(who, lr)

    def init(params: Any) -> Any:
        return np.asarray(0), *(zeros(who, params) for _ in kept)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        count, *past = parts_of(who, state, 1 + len(kept))
        recorded = holds_tensor(lr, params, state)
        trees = {"params": params, "grads": grads, **dict(zip(kept, past, strict=True))}
        leaves, joined = leaves_of(who, params, recorded, **trees)
        _, step = next_of(count)
        given = at(step)
        common: dict[Any, list[Any]] = {}
        for p in leaves[0]:
            if p.dtype not in common:
                common[p.dtype] = [cast(x, p) for x in given]
        each, width = list(zip(*leaves, strict=True)), len(leaves)

        def rules(*xs: Any) -> list[Any]:
            """The rule for every parameter, from all that there is of all of them."""
            own, rest = xs[: len(each) * width], iter(xs[len(each) * width :])
            shared = {dtype: [next(rest) for _ in of] for dtype, of in common.items()}
            parts = [own[k : k + width] for k in range(0, len(own), width)]
            new = [rule(*part, *shared[part[0].dtype]) for part in parts]
            return [x for of in zip(*new, strict=True) for x in of]

        # A rate that is a Tensor was recorded outside of the rules.
        once = recorded and not isinstance(lr, Tensor)
        f = partial(written_once, who, rules, (lr, *numbers)) if once else rules
        new = f(*chain(*each), *chain(*common.values())) if each else []
        many, parts = len(each), range(1 + len(kept))
        params, *past = (joined(new[k * many : (k + 1) * many]) for k in parts)
        return params, (step, *past)

    return Optimizer(init, update)


def sgd(lr: Any, momentum: float = 0.0) -> Optimizer:
    """Stochastic gradient descent with momentum (Robbins and Monro 1951; Polyak 1964):

        v = momentum * v + g;  p = p - lr * v

    lr       : a positive number, or a scalar Tensor (then every update is recorded).
    momentum : in [0, 1).

    State: v, a pytree like the parameters.

    Raises TypeError for what is no number, ValueError for one outside of these bounds.
    """
    rate("sgd", lr)
    fraction("sgd", momentum=momentum)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        recorded = holds_tensor(lr, params, state)
        trees = {"params": params, "grads": grads, "state": state}
        (ps, gs, vs), joined = leaves_of("sgd", params, recorded, **trees)
        vs = [momentum * v + g for v, g in zip(vs, gs, strict=True)]
        ps = [p - cast(lr, p) * v for p, v in zip(ps, vs, strict=True)]
        return joined(ps), joined(vs)

    return Optimizer(lambda params: zeros("sgd", params), update)


def _adam(who: str, lr: Any, beta1: Any, beta2: Any, eps: Any) -> Optimizer:
    positive(who, eps=eps)
    fraction(who, beta1=beta1, beta2=beta2)

    def rule(p: Any, g: Any, m: Any, v: Any, *unbias: Any) -> tuple[Any, Any, Any]:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        mean, square = m / unbias[0], v / unbias[1]
        return p - cast(lr, p) * mean / (np.sqrt(square) + eps), m, v

    numbers = beta1, beta2, eps
    return _rule(who, lr, ("m", "v"), rule, numbers, lambda n: (1 - beta1**n, 1 - beta2**n))


def adam(lr: Any = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1), with the bias corrections.

    lr           : a positive number, or a scalar Tensor (then every update is recorded).
    beta1, beta2 : in [0, 1), the decay of the means of g and of g^2.
    eps          : positive.

    State: (number of updates, m, v), the last two pytrees like the parameters.

    Raises TypeError for what is no number, ValueError for one outside of these bounds.
    """
    return _adam("adam", lr, beta1, beta2, eps)


def adamw(
    lr: Any = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 1e-2, mask: Any = None,
) -> Optimizer:  # fmt: skip
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2):

        p = p - lr * weight_decay * p, then as `adam`

    weight_decay : at least 0, for the parameters that `mask` marks.
    mask         : None: all; a pytree of bools structured as the parameters;
                   or mask(name, p) -> bool, called for each with its name in the pytree,
                   as in lambda name, p: p.ndim > 1, which leaves biases alone.
    The others are as those of `adam`, and so is the state.

    Raises TypeError for what is no number, ValueError for one outside of these bounds;
    in `update` for a mask that is neither.
    """
    _least("adamw", weight_decay=weight_decay)
    plain = _adam("adamw", lr, beta1, beta2, eps)

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        recorded = holds_tensor(lr, params, state)
        (ps, _), joined = leaves_of("adamw", params, recorded, params=params, grads=grads)
        marks = _marks("adamw", mask, params, ps)
        ps = [
            p - cast(lr, p) * (weight_decay * p) if yes else p
            for p, yes in zip(ps, marks, strict=True)
        ]
        return plain.update(joined(ps), grads, state)

    return Optimizer(plain.init, update)


def _marks(who: str, mask: Any, params: Any, leaves: Sequence[Any]) -> list[bool]:
    """A mask as one bool per parameter."""
    if mask is None:
        return [True] * len(leaves)
    paths, _, spec = pytrees.tree_flatten_with_path(params)
    if callable(mask):
        found = [mask(path_name("", at), p) for at, p in zip(paths, leaves, strict=True)]
    else:
        found, own = pytrees.tree_flatten(mask)
        if own != spec:
            raise ValueError(
                f"{who}: mask is a function of name and parameter, or structured as params; "
                f"it is {own}, params are {spec}"
            )
    return flags_of(who, "mask", found)


def rmsprop(
    lr: Any = 1e-2, decay: float = 0.99, eps: float = 1e-8, momentum: float = 0.0,
    centered: bool = False,
) -> Optimizer:  # fmt: skip
    """RMSprop (Tieleman and Hinton 2012, lecture 6e; centered: Graves 2013, section 4.2):

        v = decay * v + (1 - decay) * g^2;  u = momentum * u + g / (sqrt(v) + eps);  p = p - lr * u

    lr       : a positive number, or a scalar Tensor (then every update is recorded).
    decay    : in [0, 1).
    eps      : positive.
    momentum : in [0, 1).
    centered : v - m^2 in the place of v, with m the mean of g taken as v is of g^2.

    State: (number of updates, v, u, m), the last three pytrees like the parameters
    (m stays 0 unless centered).

    Raises TypeError for what is no number or flag, ValueError for one outside of these bounds.
    """
    positive("rmsprop", eps=eps)
    fraction("rmsprop", decay=decay, momentum=momentum)
    (central,) = flags_of("rmsprop", "centered", [centered])

    def rule(p: Any, g: Any, v: Any, u: Any, m: Any) -> tuple[Any, ...]:
        v = decay * v + (1 - decay) * g * g
        m = decay * m + (1 - decay) * g if central else m
        # The variance of equal gradients is 0, and rounding may leave it below.
        spread = np.maximum(v - m * m, cast(0, p)) if central else v
        u = momentum * u + g / (np.sqrt(spread) + eps)
        return p - cast(lr, p) * u, v, u, m

    return _rule("rmsprop", lr, ("v", "u", "m"), rule, (decay, eps, momentum, central))


def adagrad(lr: Any = 1e-2, eps: float = 1e-10) -> Optimizer:
    """Adagrad (Duchi et al. 2011, figure 1), diagonal:

        v = v + g^2;  p = p - lr * g / (sqrt(v) + eps)

    lr  : a positive number, or a scalar Tensor (then every update is recorded).
    eps : positive.

    State: (number of updates, v), the last a pytree like the parameters.

    Raises TypeError for what is no number, ValueError for one that is not positive.
    """
    positive("adagrad", eps=eps)

    def rule(p: Any, g: Any, v: Any) -> tuple[Any, Any]:
        v = v + g * g
        return p - cast(lr, p) * g / (np.sqrt(v) + eps), v

    return _rule("adagrad", lr, ("v",), rule, (eps,))
