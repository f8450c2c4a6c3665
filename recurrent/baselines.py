"""What recurrent nets are compared with.

A window of the past instead of a state,
and parameters of their own at every step instead of shared ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .cells import Cell, Params
from .options import cell_like, size
from .options import lengths as checked_lengths
from .options import seed as checked_seed
from .sequences import check_cell, check_params, start_state

__all__ = ["TimeDelay", "Unshared"]


class TimeDelay(Cell):
    """The feed-forward net over a sliding window of `span` steps, the time-delay network.

        y_t = tanh(sum_{k < span} x_{t-k} W_k + b),    x before the first step is 0

    Lang and Hinton 1988; Waibel et al. 1989.
    What lies further back than span - 1 steps cannot reach y_t.

    net.init(seed): W_k (I, H) and b (H,);
    net(params, xs, lengths=None) -> ys (T, B, H) or (T, H), 0 behind a sequence's end.

    Raises ValueError for a size or a span that is no positive integer;
    when called, for params, xs or lengths whose shapes do not fit.
    """

    name = "time-delay net"

    def __init__(self, input_size: int, hidden_size: int, span: int) -> None:
        super().__init__(input_size, hidden_size)
        self.span = size("TimeDelay", "span", span)

    def __repr__(self) -> str:
        return f"TimeDelay({self.input_size}, {self.hidden_size}, span={self.span})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        size = (self.input_size, self.hidden_size)
        return {**{f"W_{k}": size for k in range(self.span)}, "b": (self.hidden_size,)}

    def __call__(  # type: ignore[override]
        self, params: Params, xs: Any, lengths: Any = None
    ) -> mg.Tensor:
        x = mg.asarray(xs)
        time, step, sequence, rows = _steps("TimeDelay", x, lengths)
        check_cell("TimeDelay", self, params, x, None)
        wide = rows.size and int(np.prod(x.shape[1:-1]))
        flat = mg.reshape(x, (-1, x.shape[-1]))
        window = tuple(
            mg.Indexed(flat, np.where(step >= k, rows - k * wide, -1)) for k in range(self.span)
        )
        apart = mg.Structure.edges(len(rows), [], [])
        _, ys = mg.recur(time_delay, apart, initial=(), shared=params, inputs=window)
        return _to_time(ys, rows, x.shape[:-1])


def time_delay(params: Params, state: tuple, xs: tuple) -> tuple[tuple, Any]:
    total = params["b"]
    for k, x in enumerate(xs):
        total = total + x @ params[f"W_{k}"]
    return state, mg.tanh(total)


class Unshared:
    """A cell with parameters of its own at every step: h_t, y_t = cell(theta_t, h_{t-1}, x_t).

    What parameter sharing saves and what it buys shows next to it:
    `steps` times as many parameters,
    and what is learnt at one place of a sequence says nothing about another.

    net.init(seed): the cell's parameters with a leading axis `steps`, each step drawn anew;
    net(params, xs, lengths=None) -> ys (T, B, ...) or (T, ...), T at most `steps`.

    Raises ValueError for what is no cell, or steps that are no positive integer;
    when called, for more steps than there are parameters for, or shapes that do not fit.
    """

    def __init__(self, cell: Any, steps: int) -> None:
        self.cell, self.steps = cell_like("Unshared", cell), size("Unshared", "steps", steps)

    def __repr__(self) -> str:
        return f"Unshared({self.cell!r}, {self.steps})"

    def init(self, seed: int = 0) -> Params:
        seed = checked_seed("Unshared.init", seed)
        each = [self.cell.init(seed * self.steps + t) for t in range(self.steps)]
        result: Any = pytrees.tree_map(lambda *leaves: np.stack(leaves), *each)
        return result

    def __call__(self, params: Any, xs: Any, lengths: Any = None) -> Any:
        x, cell = mg.asarray(xs), self.cell
        time, step, sequence, rows = _steps("Unshared", x, lengths)
        if time > self.steps:
            raise ValueError(
                f"Unshared: xs has {time} steps; there are parameters for {self.steps}"
            )
        if hasattr(cell, "shapes"):
            check_params("Unshared", repr(self), _stacked(cell.shapes(), self.steps), params)
        each = np.bincount(sequence, minlength=int(np.prod(x.shape[1:-1])))
        chains = mg.Structure.chain(each.tolist())
        order = np.lexsort((step, sequence))  # rows sequence after sequence
        at_step = pytrees.tree_map(lambda p: mg.Indexed(p, step[order]), params)
        at_row = mg.Indexed(mg.reshape(x, (-1, x.shape[-1])), rows[order])

        def unshared(_: Any, carry: Any, given: Any) -> Any:
            return cell(given["theta"], carry, given["x"])

        start = start_state("Unshared", cell, params)
        _, ys = mg.recur(unshared, chains, initial=start, inputs={"theta": at_step, "x": at_row})
        result: Any = pytrees.tree_map(lambda y: _to_time(y, rows[order], x.shape[:-1]), ys)
        return result


def _stacked(shapes: Any, steps: int) -> Params:
    """A table of shapes with an axis for the steps in front of each."""
    return {
        name: _stacked(shape, steps) if isinstance(shape, dict) else (steps, *shape)
        for name, shape in shapes.items()
    }


def _steps(who: str, x: mg.Tensor, lengths: Any) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Number of steps; time, sequence and place in xs (time after time) of every step there is."""
    if x.ndim not in (2, 3):
        raise ValueError(f"{who}: xs must be (T, B, I) or (T, I); got shape {x.shape}")
    time, batch = x.shape[0], x.shape[1] if x.ndim == 3 else 1
    given = checked_lengths(who, lengths, time, batch)
    rows = np.flatnonzero(np.arange(time)[:, None] < given)
    return time, rows // max(batch, 1), rows % max(batch, 1), rows


def _to_time(y: mg.Tensor, rows: np.ndarray, extent: tuple[int, ...]) -> mg.Tensor:
    return mg.reshape(mg.scatter(y, rows, int(np.prod(extent))), (*extent, *y.shape[1:]))
