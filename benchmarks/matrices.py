"""Steps of nets whose state is a matrix: DeltaNet, and a selective state space (Mamba).

torch has no fused module of either on CPUs: loops, with all products of the inputs before them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import Arrays, Systems, ours, pool, torch_work


def _systems(
    cell: Any, theirs: Any, params: Arrays, state: tuple[int, int], time: int, batch: int
) -> Systems:
    """Mean squared error of a readout at every step."""
    import minigrad as mg
    import recurrent as rc

    width = len(params["out"])
    zeros = np.zeros((batch, *state), np.float32)

    def draw(rng: np.random.Generator) -> Any:
        xs, ys = rng.standard_normal((2, time, batch, width)).astype(np.float32)
        return {"xs": xs, "ys": ys}

    def loss(p: Any, b: Any) -> Any:
        theta = {k: v for k, v in p.items() if k != "out"}
        _, hs = rc.unroll(cell, theta, b["xs"], zeros)
        return mg.mean(mg.square(hs @ p["out"] - b["ys"]))

    def make(p: Any) -> Any:
        return lambda b: (theirs(p, b["xs"]) @ p["out"] - b["ys"]).square().mean()

    return {
        "minigrad": lambda: ours(loss, params, pool(draw), dict),
        "torch loop": lambda: torch_work(make, params, pool(draw)),
    }


def deltanet(time: int, batch: int, size: int) -> Systems:
    """S' = S + beta k (v - S^T k)^T,  y = S'^T q  (Schlag et al. 2021; Yang et al. 2024): S (D, D),
    q, k, v and beta linear in x, k of length 1, beta in [0, 1]."""
    import minigrad as mg

    rng = np.random.default_rng(0)
    params = {f"W_{g}": rng.standard_normal((size, size)) / size**0.5 for g in "qkv"}
    params["W_beta"] = rng.standard_normal((size, 1)) / size**0.5
    params["out"] = rng.standard_normal((size, size)) / size**0.5

    def cell(p: Any, s: Any, x: Any) -> Any:
        q, k, v = (x @ p[f"W_{g}"] for g in "qkv")
        k = k / mg.sqrt(mg.sum(k * k, axis=-1, keepdims=True) + 1e-6)
        beta = mg.sigmoid(x @ p["W_beta"])
        found = mg.squeeze(mg.expand_dims(k, axis=-2) @ s, axis=-2)
        s = s + mg.expand_dims(k, axis=-1) * mg.expand_dims(beta * (v - found), axis=-2)
        return s, mg.squeeze(mg.expand_dims(q, axis=-2) @ s, axis=-2)

    def theirs(p: Any, x: Any) -> Any:
        import torch

        q, k, v = (x @ p[f"W_{g}"] for g in "qkv")
        k = k / (k.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        beta = torch.sigmoid(x @ p["W_beta"])
        s, states = torch.zeros(x.shape[1], size, size), []
        across, down = k.unsqueeze(2), (beta * k).unsqueeze(3)
        for row, column, value in zip(
            across.unbind(0), down.unbind(0), v.unsqueeze(2).unbind(0), strict=True
        ):
            s = torch.baddbmm(s, column, value - torch.bmm(row, s))
            states.append(s)
        return (q.unsqueeze(2) @ torch.stack(states)).squeeze(2)

    return _systems(cell, theirs, params, (size, size), time, batch)


def mamba(time: int, batch: int, size: int, states: int) -> Systems:
    """A selective state space (Gu and Dao 2023): h (D, N), B and C linear in x.

        h' = exp(-d exp(A)) h + d x B^T,  y = h' C + D x,  d = softplus(x W_d + b_d)
    """
    import minigrad as mg

    rng = np.random.default_rng(0)
    params = {
        "W_d": rng.standard_normal((size, size)) / size**0.5, "b_d": np.full(size, -2.0),
        "W_B": rng.standard_normal((size, states)) / size**0.5,
        "W_C": rng.standard_normal((size, states)) / size**0.5,
        "A": np.log(np.tile(np.arange(1.0, states + 1), (size, 1))), "D": np.ones(size),
        "out": rng.standard_normal((size, size)) / size**0.5,
    }  # fmt: skip

    def cell(p: Any, h: Any, x: Any) -> Any:
        d = mg.softplus(x @ p["W_d"] + p["b_d"])
        b, c = x @ p["W_B"], x @ p["W_C"]
        decay = mg.exp(-mg.expand_dims(d, axis=-1) * mg.exp(p["A"]))
        h = decay * h + mg.expand_dims(d * x, axis=-1) * mg.expand_dims(b, axis=-2)
        return h, mg.squeeze(h @ mg.expand_dims(c, axis=-1), axis=-1) + p["D"] * x

    def theirs(p: Any, x: Any) -> Any:
        import torch

        d = torch.nn.functional.softplus(x @ p["W_d"] + p["b_d"])
        b, c = x @ p["W_B"], x @ p["W_C"]
        decay = torch.exp(-d.unsqueeze(3) * torch.exp(p["A"]))
        given = (d * x).unsqueeze(3) * b.unsqueeze(2)
        h, found = torch.zeros(x.shape[1], size, states), []
        for part, new in zip(decay.unbind(0), given.unbind(0), strict=True):
            h = torch.addcmul(new, part, h)
            found.append(h)
        return (torch.stack(found) @ c.unsqueeze(3)).squeeze(3) + p["D"] * x

    return _systems(cell, theirs, params, (size, states), time, batch)
