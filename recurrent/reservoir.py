"""Leaky integrators, echo state networks, and the ridge regression that reads them out."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

from .cells import Cell, Params
from .options import array, number
from .options import seed as checked_seed

__all__ = ["EchoState", "LeakyRNN", "ridge_readout"]


class LeakyRNN(Cell):
    """Leaky-integrator units (Jaeger et al. 2007).

        h' = (1 - a) * h + a * tanh(x W + h U + b),   y = h'

    leak : a in (0, 1], how far h moves in a step; 1 is the RNN.

    x (..., I), state and y (..., H); parameters W (I, H), U (H, H), b (H,).

    Raises ValueError for a size that is no positive integer, or a leak outside of (0, 1].
    """

    name, title = "leaky RNN", "Leaky units"
    equation = "h' = (1 - a) h + a tanh(x W + h U + b)"

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.3) -> None:
        super().__init__(input_size, hidden_size)
        self.leak = number(type(self).__name__, "leak", leak, lambda a: 0 < a <= 1, "in (0, 1]")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "W": (self.input_size, self.hidden_size),
            "U": (self.hidden_size, self.hidden_size),
            "b": (self.hidden_size,),
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        new = mg.tanh(x @ params["W"] + carry @ params["U"] + params["b"])
        h = ((1 - self.leak) * carry + self.leak * new).named("h")
        return h, h


class EchoState(LeakyRNN):
    """An echo state network (Jaeger 2001): leaky units with a random reservoir that is not trained.

        h' = (1 - a) * h + a * tanh(x W + h U + b),   y = h';  the readout is fitted to y

    spectral_radius : the largest absolute eigenvalue of U; below 1 the past is forgotten.
    density         : in (0, 1], the share of the entries of U that are not 0.
    input_scale     : W is uniform in [-input_scale, input_scale].

    The parameters are those `init` draws; fit the readout with `ridge_readout`.

    Raises ValueError for a size, spectral radius, leak, density or scale that is none.
    """

    name = "echo state network"
    equation = "h' as leaky units, W and U random and fixed"
    variants = ({"density": 0.6, "leak": 0.7},)

    def __init__(
        self, input_size: int, hidden_size: int, spectral_radius: float = 0.9, leak: float = 1.0,
        density: float = 0.1, input_scale: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, leak)
        who = "EchoState"
        self.spectral_radius = number(
            who, "spectral_radius", spectral_radius, lambda r: r > 0, "positive"
        )
        self.density = number(who, "density", density, lambda d: 0 < d <= 1, "in (0, 1]")
        self.input_scale = number(who, "input_scale", input_scale, lambda a: a >= 0, "at least 0")

    def init(self, seed: int = 0) -> Params:
        rng, h = np.random.default_rng(checked_seed("EchoState.init", seed)), self.hidden_size
        u = rng.uniform(-1, 1, (h, h)) * (rng.random((h, h)) < self.density)
        radius = np.abs(np.linalg.eigvals(u)).max()
        if radius < 1e-6:  # a sparse matrix may be nilpotent: a cycle through all units is not
            u += np.roll(np.eye(h), 1, axis=1)
            radius = np.abs(np.linalg.eigvals(u)).max()
        w = rng.uniform(-self.input_scale, self.input_scale, (self.input_size, h))
        return {"W": w, "U": u * (self.spectral_radius / radius), "b": np.zeros(h)}


def ridge_readout(ys: Any, targets: Any, ridge: float = 1e-6) -> Params:
    """The linear readout y V + c nearest to the targets: ridge regression, in closed form.

        V, c = argmin sum |y V + c - target|^2 + ridge |V|^2        (Hoerl and Kennard 1970)

    ys      : (..., H) outputs of a reservoir.
    targets : (..., D) with the same leading axes.
    ridge   : at least 0; the bias c is not penalised.

    Returns {"V": (H, D), "c": (D,)} as NumPy arrays.

    Raises ValueError for shapes that do not fit, no rows, a NaN or inf, or a negative ridge;
    TypeError for what is no numbers.
    """
    y, d = array("ridge_readout", "ys", ys), array("ridge_readout", "targets", targets)
    if y.ndim < 2 or d.ndim != y.ndim or y.shape[:-1] != d.shape[:-1]:
        raise ValueError(
            f"ridge_readout: targets must have the leading axes of ys, {(*y.shape[:-1], 'D')}; got "
            f"{d.shape}"
        )
    ridge = number("ridge_readout", "ridge", ridge, lambda r: r >= 0, "at least 0")
    y, d = y.reshape(-1, y.shape[-1]), d.reshape(-1, d.shape[-1])
    if not len(y):
        raise ValueError(f"ridge_readout: ys has no rows: shape {np.shape(ys)}")
    if not (np.isfinite(y).all() and np.isfinite(d).all()):
        raise ValueError("ridge_readout: ys and targets must be finite; a NaN or inf is in them")
    mean_y, mean_d = y.mean(axis=0), d.mean(axis=0)
    a = np.concatenate([y - mean_y, np.sqrt(ridge) * np.eye(y.shape[1])])
    b = np.concatenate([d - mean_d, np.zeros((y.shape[1], d.shape[1]))])
    v = np.linalg.lstsq(a, b, rcond=None)[0]
    return {"V": v, "c": mean_d - mean_y @ v}
