"""Optimisers against torch's over several steps, in NumPy and inside one compiled step."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.laws import close

torch = pytest.importorskip("torch")
M, T = mg.optim, torch.optim
START = {"b": np.array([0.3, -1.1]), "w": np.random.default_rng(0).standard_normal((3, 2))}


def groups(t, decay):
    return [{"params": [t["w"]]}, {"params": [t["b"]], "weight_decay": decay}]


PAIRS = {
    "sgd": (lambda: M.sgd(0.1, 0.9), lambda t: T.SGD(t.values(), lr=0.1, momentum=0.9)),
    "adam": (
        lambda: M.adam(0.1, 0.8, 0.95, 1e-6),
        lambda t: T.Adam(t.values(), lr=0.1, betas=(0.8, 0.95), eps=1e-6),
    ),
    "adamw": (
        lambda: M.adamw(0.1, weight_decay=0.3),
        lambda t: T.AdamW(t.values(), lr=0.1, weight_decay=0.3),
    ),
    "adamw, matrices alone": (
        lambda: M.adamw(0.1, weight_decay=0.3, mask=lambda name, p: p.ndim > 1),
        lambda t: T.AdamW(groups(t, 0.0), lr=0.1, weight_decay=0.3),
    ),
    "rmsprop": (
        lambda: M.rmsprop(0.1, 0.8, 1e-6, 0.5),
        lambda t: T.RMSprop(t.values(), lr=0.1, alpha=0.8, eps=1e-6, momentum=0.5),
    ),
    "rmsprop, centered": (
        lambda: M.rmsprop(0.1, centered=True),
        lambda t: T.RMSprop(t.values(), lr=0.1, centered=True),
    ),
    "adagrad": (lambda: M.adagrad(0.3), lambda t: T.Adagrad(t.values(), lr=0.3)),
}  # fmt: skip


def ours(opt, compiled, steps=8):
    p, state = START, opt.init(START)

    def step(p, state):
        loss = mg.sum(mg.sin(p["w"]) ** 2) + mg.sum((p["b"] - 1) ** 4)
        return opt.update(p, mg.grad(loss, p), state)

    compiled_step = mg.function(step) if compiled else None
    for _ in range(steps):
        if compiled_step:
            p, state = compiled_step(p, state)
        else:
            p, state = mg.evaluate(step(mg.tensors(p), state))
    return p


def theirs(make, steps=8):
    t = {k: torch.tensor(v, requires_grad=True) for k, v in START.items()}
    opt = make(t)
    for _ in range(steps):
        opt.zero_grad()
        ((t["w"].sin() ** 2).sum() + ((t["b"] - 1) ** 4).sum()).backward()
        opt.step()
    return {k: v.detach().numpy() for k, v in t.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_eight_steps_are_torchs(name):
    make, other = PAIRS[name]
    wanted = theirs(other)
    close(ours(make(), False), wanted, 1e-12)
    close(ours(make(), name.startswith(("adamw, ", "rmsprop, "))), wanted, 1e-12)
