"""Steps written node by node.

A plain Python loop over a block, and what each use of a weight adds to its gradient.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from .rows import Arrays, Systems, Work, flat, ours, single
from .sequences import packed_cell


def python_loop(time: int, batch: int, inputs: int, hidden: int) -> Systems:
    """An LSTM as a Python loop over an `mg.block`; its peer is the same by `rc.unroll`."""
    import minigrad as mg
    import recurrent as rc

    cell = rc.LSTM(inputs, hidden)
    x = np.random.default_rng(0).standard_normal((time, batch, inputs))
    params = {"cell": cell.init(0), "x": x}
    block = mg.block(cell)

    def looped(p: Any, _: Any) -> Any:
        zero: Any = np.zeros((batch, hidden), np.float32)
        carry, total = (zero, zero), 0.0
        for t in range(time):
            carry, y = block(p["cell"], carry, p["x"][t])
            total = total + mg.sum(mg.square(y))
        return total

    def unrolled(p: Any, _: Any) -> Any:
        return mg.sum(mg.square(rc.unroll(cell, p["cell"], p["x"])[1]))

    return {
        "minigrad": lambda: ours(looped, params, repeat(()), dict, learn=False),
        "unroll": lambda: ours(unrolled, params, repeat(()), dict, learn=False),
    }


def contributions(time: int, batch: int, inputs: int, hidden: int) -> Systems:
    """What every step of every sequence adds to the gradient of the LSTM's recurrent weights.

    With a sum of squares for a loss: (T, B, H, 4H) numbers.
    torch: weights of its own for every step, and a gradient mapped over the sequences.
    """
    import recurrent as rc

    params, x = rc.LSTM(inputs, hidden).init(0), _inputs(time, batch, inputs)
    packed = packed_cell("LSTM", flat(params), "")
    return {
        "minigrad": lambda: _of_recurrent_weights(params, x, hidden, _uses),
        "torch vmapped": lambda: _vmapped(packed, x, hidden),
    }


def contribution_norms(time: int, batch: int, inputs: int, hidden: int) -> Systems:
    """The norms of what `contributions` gives, (T, B) for each gate, without forming it.

    The peer is one gradient of the same weights, ours.
    """
    import minigrad as mg
    import recurrent as rc

    params, x = rc.LSTM(inputs, hidden).init(0), _inputs(time, batch, inputs)

    def norms(value: Any, weights: Any) -> Any:
        squares = rc.study.ledger(value, weights).squares()
        return {k: mg.sqrt(of_net) for k, (of_net,) in squares.items()}

    return {
        "minigrad": lambda: _of_recurrent_weights(params, x, hidden, norms),
        "one gradient": lambda: _of_recurrent_weights(params, x, hidden, mg.grad),
    }


def _inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _uses(value: Any, weights: Any) -> Any:
    import minigrad as mg

    return mg.contributions(value, weights)


def _of_recurrent_weights(params: Arrays, x: np.ndarray, hidden: int, what: Any) -> Work:
    """`what`(loss, {name: weights}) of an LSTM, compiled."""
    import minigrad as mg
    import recurrent as rc

    cell, theta = rc.LSTM(x.shape[-1], hidden), single(params)
    last: list[Any] = []

    @mg.function
    def f(p: Any, x: Any) -> Any:
        value = mg.sum(mg.square(rc.unroll(cell, p, x)[1]))
        return value, what(value, {f"U_{g}": p[f"U_{g}"] for g in "ifgo"})

    def step(_: Any) -> Any:
        last[:] = f(theta, x)
        return last[0]

    return Work(step, repeat(()), lambda: last[1])


def _vmapped(packed: Arrays, x: np.ndarray, hidden: int) -> Work:
    import torch

    p = {k: torch.tensor(v) for k, v in single(packed).items()}
    time = len(x)
    before = torch.tensor(x) @ p["weight_ih_l0"].T + p["bias_ih_l0"]
    u = p["weight_hh_l0"].T.contiguous()

    def of_sequence(weights: Any, before: Any) -> Any:
        h = c = torch.zeros(hidden)
        total: Any = 0.0
        for w, a in zip(weights.unbind(0), before.unbind(0), strict=True):
            i, f, g, o = (a + h @ w).split(hidden)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            total = total + h.square().sum()
        return total

    gradient = torch.func.vmap(torch.func.grad_and_value(of_sequence), in_dims=(None, 1))
    last: list[Any] = []

    def step(_: Any) -> Any:
        grads, values = gradient(u.expand(time, *u.shape), before)
        last[:] = [grads]
        return values.sum()

    def gradients() -> Arrays:
        """(B, T, H, 4H) as our rows: step after step, sequence after sequence."""
        by_gate = last[0].transpose(0, 1).flatten(0, 1).split(hidden, dim=2)
        return {f"U_{g}": part.numpy() for g, part in zip("ifgo", by_gate, strict=True)}

    return Work(step, repeat(()), gradients)
