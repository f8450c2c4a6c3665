"""Steps without a recurrence: a perceptron, and a chain of elementwise functions."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from .rows import Arrays, Systems, jax_work, ours, pool, torch_work


def mlp(inputs: int, hidden: int, outputs: int, batch: int) -> Systems:
    """relu(x W1 + b1) W2 + b2 with cross-entropy."""
    rng = np.random.default_rng(0)
    params = {
        "W1": rng.standard_normal((inputs, hidden)) / inputs**0.5, "b1": np.zeros(hidden),
        "W2": rng.standard_normal((hidden, outputs)) / hidden**0.5, "b2": np.zeros(outputs),
    }  # fmt: skip

    def draw(rng: np.random.Generator) -> Any:
        xs = rng.standard_normal((batch, inputs)).astype(np.float32)
        return {"xs": xs, "ys": rng.integers(0, outputs, batch)}

    def loss(p: Any, b: Any) -> Any:
        import minigrad as mg
        import recurrent as rc

        return rc.cross_entropy(mg.relu(b["xs"] @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], b["ys"])

    def pack(p: Arrays) -> Arrays:
        return {**p, "W1": p["W1"].T.copy(), "W2": p["W2"].T.copy()}

    def theirs(p: Any) -> Any:
        from torch.nn.functional import cross_entropy, linear, relu

        def loss(b: Any) -> Any:
            hidden = relu(linear(b["xs"], p["W1"], p["b1"]))
            return cross_entropy(linear(hidden, p["W2"], p["b2"]), b["ys"])

        return loss

    def jitted(p: Any, b: Any) -> Any:
        import jax

        logits = jax.nn.relu(b["xs"] @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]
        picked = jax.numpy.take_along_axis(jax.nn.log_softmax(logits), b["ys"][:, None], axis=1)
        return -picked.mean()

    return {
        "minigrad": lambda: ours(loss, params, pool(draw), pack),
        "torch": lambda: torch_work(theirs, pack(params), pool(draw)),
        "JAX": lambda: jax_work(jitted, pack(params), pool(draw)),
    }


def elementwise(size: int) -> Systems:
    """sum(sigmoid(z) tanh(z z + 1) - exp(-z z)) and its gradient."""
    params = {"z": np.random.default_rng(0).standard_normal(size)}

    def loss(p: Any, _: Any) -> Any:
        import minigrad as mg

        z = p["z"]
        return mg.sum(mg.sigmoid(z) * mg.tanh(z * z + 1) - mg.exp(-z * z))

    def theirs(p: Any) -> Any:
        import torch

        z = p["z"]
        return lambda _: (torch.sigmoid(z) * torch.tanh(z * z + 1) - torch.exp(-z * z)).sum()

    def jitted(p: Any, _: Any) -> Any:
        import jax

        z, np = p["z"], jax.numpy
        return (jax.nn.sigmoid(z) * np.tanh(z * z + 1) - np.exp(-z * z)).sum()

    return {
        "minigrad": lambda: ours(loss, params, repeat(()), dict, learn=False),
        "torch": lambda: torch_work(theirs, params, repeat(()), learn=False),
        "JAX": lambda: jax_work(jitted, params, repeat(()), learn=False),
    }
