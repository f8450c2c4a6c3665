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

`given` checks what is handed in, `rules` has the optimisers, `around` what goes around one.
"""

from ..manners.spellings import answering as _answering
from .around import (
    accumulated,
    clip_by_global_norm,
    constant,
    cosine,
    global_norm,
    scheduled,
    step_decay,
    warmup,
)
from .given import Optimizer
from .rules import adagrad, adam, adamw, rmsprop, sgd

__all__ = [
    "Optimizer", "accumulated", "adagrad", "adam", "adamw", "clip_by_global_norm", "constant",
    "cosine", "global_norm", "rmsprop", "scheduled", "sgd", "step_decay", "warmup",
]  # fmt: skip

__getattr__ = _answering(__name__, lambda: __all__)
