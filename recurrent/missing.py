"""Series with missing observations: cells whose input is a pair (values, observed), and a mask.

observed is 1 where a value was seen, else 0:
of the shape of the values, or one flag for the whole step, (T, B, 1).
What stands at a missing value is never looked at, it may be NaN.
Booleans will do as well, but numbers of the values' dtype are what there is compiled code for;
the nets of `patterns` make them so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .options import NEEDS, cell_like
from .options import seed as checked_seed

__all__ = ["Hold", "SelfFeeding", "with_mask"]

Params = dict[str, Any]


def output_size(cell: Any) -> int:
    """The length of a cell's y."""
    return int(getattr(cell, "output_size", None) or cell.hidden_size)


class Wrapped:
    """A cell around a cell: the same sizes, parameters and state, unless it says otherwise."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell_like(type(self).__name__, cell, (*NEEDS, "hidden_size", "zero_state"))
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size
        self.output_size = output_size(cell)
        self.state_names = getattr(cell, "state_names", ())
        self.reads_input = getattr(cell, "reads_input", False)
        self.name = f"{type(self).__name__} {getattr(cell, 'name', '')}".strip()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cell!r})"

    def init(self, seed: int = 0) -> Params:
        return self.cell.init(seed)

    def zero_state(self, dtype: Any = np.float64) -> Any:
        return self.cell.zero_state(dtype)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        raise NotImplementedError


def with_mask(values: Any, observed: Any) -> mg.Tensor:
    """The mask as a further input (Lipton, Kale and Wetzel 2016): x = [m * v; m].

    values   : (..., D).
    observed : (..., D) or (..., 1).

    Returns inputs (..., 2 D) or (..., D + 1) for any cell, in the dtype of the values.
    Raises ValueError for observed of another shape.
    """
    v = mg.asarray(values)
    m = mg.astype(observed, v.dtype)
    if m.shape not in (v.shape, (*v.shape[:-1], 1)):
        raise ValueError(
            f"with_mask: observed must have shape {v.shape} or {(*v.shape[:-1], 1)}; got {m.shape}"
        )
    return mg.concat([seen(v, m, mg.zeros_like(v)), m], axis=-1)


class Hold(Wrapped):
    """The state carries over where nothing was observed:

        s_t = m_t cell(s_{t-1}, v_t) + (1 - m_t) s_{t-1},   m_t one flag per step, (T, B, 1)

    Unrolled over xs = (values (T, B, I), observed (T, B, 1)).
    y_t is the cell's output for v_t = 0 in a step without an observation.

    Raises ValueError for what is no cell; when called, for observed that is not one flag per step.
    """

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        values, observed = x
        if observed.shape[-1:] != (1,):
            raise ValueError(
                "Hold: observed must be one flag per step, (T, B, 1); at one node it has shape "
                f"{observed.shape}"
            )
        new, y = self.cell(params, carry, seen(values, observed, 0.0))
        held = pytrees.tree_map(lambda a, b: seen(a, observed, b), new, carry)
        return held, y


class SelfFeeding(Wrapped):
    """The own prediction in place of what is missing, so also free running beyond the data:

        x_t = m_t v_t + (1 - m_t) p_{t-1},   s_t, h_t = cell(s_{t-1}, x_t),   p_t = h_t V + c

    Unrolled over xs = (values (T, B, I), observed (T, B, I) or (T, B, 1)).
    State (the cell's, p), p (..., I): a prediction of the next values, also the output y_t = p_t.
    params {"cell": ..., "V": (the cell's output size, I), "c": (I,)}.

    Raises ValueError for what is no cell.
    """

    def __init__(self, cell: Any) -> None:
        super().__init__(cell)
        self.output_size, self.state_names = cell.input_size, ()

    def init(self, seed: int = 0) -> Params:
        rng = np.random.default_rng([checked_seed("SelfFeeding.init", seed), 3])
        sizes = output_size(self.cell), self.cell.input_size
        bound = np.sqrt(6 / sum(sizes))
        return {
            "cell": self.cell.init(seed),
            "V": rng.uniform(-bound, bound, sizes),
            "c": np.zeros(sizes[1]),
        }

    def zero_state(self, dtype: Any = np.float64) -> Any:
        return self.cell.zero_state(dtype), np.zeros((1, self.cell.input_size), dtype)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        values, observed = x
        state, prediction = carry
        state, h = self.cell(params["cell"], state, seen(values, observed, prediction))
        prediction = (h @ params["V"] + params["c"]).named("prediction")
        return (state, prediction), prediction


def seen(values: Any, observed: Any, otherwise: Any) -> mg.Tensor:
    """The values where they were observed; a where, so that a NaN that was not stays outside."""
    return mg.where(mg.greater(observed, 0.5), values, otherwise)
