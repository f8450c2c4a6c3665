"""Noise that keeps a recurrent network from fitting too well: cells that read masks.

The masks are arrays drawn outside of the graph, from a NumPy Generator, and passed in.
Without them, for evaluation, unroll `wrapped.cell` with the same parameters (Dropout),
or pass the masks' mean (`zoneout_masks` with rng=None).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from . import options
from .compose import shapes_of
from .missing import Wrapped
from .options import cell_like, number, size

__all__ = ["Dropout", "Zoneout", "dropout_masks", "tied_logits", "zoneout_masks"]

Params = dict[str, Any]


def _rate(who: str, **rates: float) -> None:
    for name, rate in rates.items():
        number(who, name, rate, lambda r: 0 <= r < 1, "in [0, 1)")


def _masked(who: str, carry: Any, x: Any, makes: str) -> tuple[Any, Any]:
    """(x_t, masks), when both are there and the masks of the state are like the state."""
    if not (isinstance(x, tuple) and len(x) == 2):
        raise ValueError(f"{who}: the cell reads (x_t, masks), masks made by {makes}")
    masks: Any = x[1].get("state") if isinstance(x[1], dict) else x[1]
    shapes = [pytrees.tree_map(lambda a: tuple(np.shape(a)), t) for t in (carry, masks)]
    if pytrees.tree_structure(masks) != pytrees.tree_structure(carry) or shapes[0] != shapes[1]:
        raise ValueError(
            f"{who}: the state at one node has the shapes {shapes[0]}, its masks {shapes[1]}; they "
            f"must agree, as {makes} makes them"
        )
    return x


class Dropout(Wrapped):
    """Variational dropout (Gal and Ghahramani 2016): one mask per sequence, the same at all steps.

        s_t, y_t = cell(m_s * s_{t-1}, m_x * x_t)

    The cell reads x = (x_t, masks), so give the masks as memory, which is not copied per step:

        masks = rc.dropout_masks(cell, rng, batch=B, inputs=0.2, state=0.3)
        rc.unroll(rc.Dropout(cell), params, xs, memory=masks)

    Raises ValueError for what is no cell; when called, where the masks are not like the state.
    """

    def shapes(self) -> Params:
        return shapes_of(self.cell)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        values, masks = _masked("Dropout", carry, x, "dropout_masks")
        kept = pytrees.tree_map(lambda s, m: s * m, carry, masks["state"])
        return self.cell(params, kept, values * masks["x"])


def dropout_masks(
    cell: Any, rng: np.random.Generator, batch: int, inputs: float = 0.0, state: float = 0.0,
    dtype: Any = np.float64,
) -> dict[str, Any]:  # fmt: skip
    """Masks for `Dropout(cell)`: {"x": (B, I), "state": leaves (B, size)} of 0 and 1 / (1 - p).

    inputs, state : p in [0, 1), the share that is dropped.
                    Memory parts, those named c, are never dropped.
    dtype         : that of the masks, floating-point.

    Raises ValueError for a share outside of [0, 1), a batch that is no size, another dtype,
    or a cell without input_size and zero_state; TypeError for an rng that is no Generator.
    """
    who = "dropout_masks"
    _rate(who, inputs=inputs, state=state)
    options.generator(who, rng)
    cell_like(who, cell, ("input_size", "zero_state"))
    batch, dtype = size(who, "batch", batch, 0), options.dtype(who, dtype)

    def mask(length: int, rate: float) -> np.ndarray:
        return ((rng.random((batch, length)) >= rate) / (1 - rate)).astype(dtype)

    parts, spec = pytrees.tree_flatten(cell.zero_state(dtype))
    names = getattr(cell, "state_names", ())
    names = names if len(names) == len(parts) else [""] * len(parts)
    masks = [
        mask(part.shape[-1], 0.0 if name.split("_")[0] == "c" else state)
        for name, part in zip(names, parts, strict=True)
    ]
    return {"x": mask(cell.input_size, inputs), "state": pytrees.tree_unflatten(spec, masks)}


class Zoneout(Wrapped):
    """Zoneout (Krueger et al. 2017): parts of the state keep their value, others at each step.

        n_t, _ = cell(s_{t-1}, x_t),   s_t = m_t * s_{t-1} + (1 - m_t) * n_t

    The cell reads x = (x_t, masks): xs = (xs, rc.zoneout_masks(cell, rng, T, B, 0.1)).
    Its output must be a part of the state, and y_t is that part of s_t.

    Raises ValueError for what is no cell; when called, where the masks are not like the state,
    or the cell's output is no part of it.
    """

    def shapes(self) -> Params:
        return shapes_of(self.cell)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        values, masks = _masked("Zoneout", carry, x, "zoneout_masks")
        new, y = self.cell(params, carry, values)
        kept = pytrees.tree_map(lambda s, n, m: m * s + (1 - m) * n, carry, new, masks)
        leaves = zip(pytrees.tree_leaves(new), pytrees.tree_leaves(kept), strict=True)
        outputs = [s for n, s in leaves if n is y]
        if not outputs:
            raise ValueError(
                f"Zoneout: the output of {self.cell!r} is no part of its state; wrap the cell "
                "itself, and put deep_output and the like around the result"
            )
        return kept, outputs[0]


def zoneout_masks(
    cell: Any, rng: np.random.Generator | None, steps: int, batch: int, rate: float,
    dtype: Any = np.float64,
) -> Any:  # fmt: skip
    """Masks for `Zoneout(cell)`: like its state, leaves (T, B, size), 1 where the old value stays.

    rate  : in [0, 1), the share that stays.
    rng   : None: the masks' mean, for evaluation.
    dtype : that of the masks, floating-point.

    Raises ValueError for a rate outside of [0, 1), steps or a batch that are no sizes,
    another dtype, or a cell without zero_state;
    TypeError for an rng that is neither a Generator nor None.
    """
    who = "zoneout_masks"
    _rate(who, rate=rate)
    if rng is not None:
        options.generator(who, rng)
    cell_like(who, cell, ("zero_state",))
    steps, batch = size(who, "steps", steps, 0), size(who, "batch", batch, 0)
    dtype = options.dtype(who, dtype)

    def mask(part: np.ndarray) -> np.ndarray:
        shape = steps, batch, part.shape[-1]
        drawn = np.full(shape, rate) if rng is None else rng.random(shape) < rate
        return drawn.astype(dtype)

    return pytrees.tree_map(mask, cell.zero_state(dtype))


def tied_logits(embedding: Any, hs: Any, bias: Any = 0.0) -> mg.Tensor:
    """Weight tying (Press and Wolf 2017): the embedding is also the readout, h E^T + bias.

    embedding : E (V, H).
    hs        : (..., H), as long as the tokens' vectors.
    bias      : (V,) or a number.

    Returns (..., V).
    Raises ValueError for shapes that do not fit, TypeError for what is no numbers.
    """
    e = options.tensor("tied_logits", "embedding", embedding, 2)
    h = options.tensor("tied_logits", "hs", hs)
    if e.ndim != 2 or h.shape[-1:] != e.shape[1:]:
        raise ValueError(
            f"tied_logits: hs must be (..., {e.shape[-1]}) for an embedding of shape {e.shape}; "
            f"got {h.shape}"
        )
    return h @ e.T + options.tensor("tied_logits", "bias", bias)
