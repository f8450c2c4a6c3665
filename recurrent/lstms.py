"""Forms of the LSTM from the literature, each next to its equation (compared in Greff et al. 2017).

All have state (h, c) and y = h', and gates with parameters W_g (I, H), U_g (H, H) and b_g (H,):
a_g(x, h) = x W_g + h U_g + b_g.
All raise ValueError for a size that is no positive integer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

from .cells import LSTM, Cell, Params, affine
from .options import size

__all__ = ["CoupledLSTM", "LayerNormLSTM", "OriginalLSTM", "PeepholeLSTM", "ProjectedLSTM"]


class OriginalLSTM(Cell):
    """The LSTM of Hochreiter and Schmidhuber 1997, without a forget gate: the memory only adds up.

        i, o = sigmoid(a_i), sigmoid(a_o),   g = tanh(a_g)
        c' = c + i * g,   h' = o * tanh(c'),   y = h'

    x (..., I), y (..., H), state (h, c), both (..., H).

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM without forget gate"
    equation = "c' = c + i g,  h' = o tanh(c')"
    state_names = ("h", "c")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.gate_shapes("iog")

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, c = carry
        i = mg.sigmoid(affine(params, "i", x, h)).named("i")
        o = mg.sigmoid(affine(params, "o", x, h)).named("o")
        g = mg.tanh(affine(params, "g", x, h)).named("g")
        c = (c + i * g).named("c")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


class CoupledLSTM(Cell):
    """Coupled input and forget gates (CIFG; Greff et al. 2017): what is forgotten is written.

        f, o = sigmoid(a_f), sigmoid(a_o),   g = tanh(a_g)
        c' = f * c + (1 - f) * g,   h' = o * tanh(c'),   y = h'

    x (..., I), y (..., H), state (h, c), both (..., H).
    `init` sets b_f to 1.

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM with coupled gates"
    equation = "c' = f c + (1 - f) g,  h' = o tanh(c')"
    state_names = ("h", "c")
    ones: tuple[str, ...] = ("b_f",)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.gate_shapes("fog")

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, c = carry
        f = mg.sigmoid(affine(params, "f", x, h)).named("f")
        o = mg.sigmoid(affine(params, "o", x, h)).named("o")
        g = mg.tanh(affine(params, "g", x, h)).named("g")
        c = (f * c + (1 - f) * g).named("c")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


class PeepholeLSTM(LSTM):
    """Peepholes: the gates see the memory (Gers and Schmidhuber 2000), each through a vector p.

        i, f = sigmoid(a_i + p_i * c), sigmoid(a_f + p_f * c),   g = tanh(a_g)
        c' = f * c + i * g
        o  = sigmoid(a_o + p_o * c'),   h' = o * tanh(c'),   y = h'

    x (..., I), y (..., H), state (h, c), both (..., H); p_i, p_f and p_o (H,).
    `init` sets b_f to 1.

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM with peepholes"
    equation = "i, f = σ(a + p c),  o = σ(a_o + p_o c');  c' = f c + i g,  h' = o tanh(c')"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {f"p_{g}": (self.hidden_size,) for g in "ifo"}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, c = carry
        i = mg.sigmoid(affine(params, "i", x, h) + params["p_i"] * c).named("i")
        f = mg.sigmoid(affine(params, "f", x, h) + params["p_f"] * c).named("f")
        g = mg.tanh(affine(params, "g", x, h)).named("g")
        c = (f * c + i * g).named("c")
        o = mg.sigmoid(affine(params, "o", x, h) + params["p_o"] * c).named("o")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


class ProjectedLSTM(LSTM):
    """LSTMP (Sak, Senior and Beaufays 2014): what feeds back is a projection to P numbers.

        c' = f * c + i * g,   h' = (o * tanh(c')) V,   y = h'        V (H, P), U_g (P, H)

    proj_size : P, the length of h and y (`proj_size` of torch.nn.LSTM).

    x (..., I), y (..., P), state h (..., P) and c (..., H).

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM with projection"
    equation = "h' = (o tanh(c')) V"
    variants = ({"proj_size": 2},)

    def __init__(self, input_size: int, hidden_size: int, proj_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.proj_size = size("ProjectedLSTM", "proj_size", proj_size)

    def __repr__(self) -> str:
        return f"ProjectedLSTM({self.input_size}, {self.hidden_size}, {self.proj_size})"

    @property
    def output_size(self) -> int:
        return self.proj_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.proj_size, self.hidden_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {"V": (self.hidden_size, self.proj_size)}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        (m, c), _ = super().__call__(params, carry, x)
        h = (m @ params["V"]).named("h")
        return (h, c), h


def layer_norm(a: Any, eps: float = 1e-5) -> mg.Tensor:
    """(a - mean) / sqrt(variance + eps) along the last axis (Ba, Kiros and Hinton 2016, eq. 3)."""
    d = a - mg.mean(a, axis=-1, keepdims=True)
    return d / mg.sqrt(mg.mean(mg.square(d), axis=-1, keepdims=True) + eps)


class LayerNormLSTM(LSTM):
    """Layer normalisation (Ba, Kiros and Hinton 2016, equations 20 to 22), each gate on its own.

        a_g = r_g * LN(x W_g) + s_g * LN(h U_g) + b_g
        c'  = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)
        h'  = sigmoid(a_o) * tanh(r_c * LN(c') + b_c),   y = h'

    x (..., I), y (..., H), state (h, c), both (..., H); gains r_g, s_g and r_c and bias b_c (H,).
    The gains start at 1, b_f as well.

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM with layer norm"
    equation = "a_g = r_g LN(x W_g) + s_g LN(h U_g) + b_g;  h' = o tanh(r_c LN(c') + b_c)"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        gains = {f"{kind}_{g}": (self.hidden_size,) for g in "ifog" for kind in "rs"}
        return super().shapes() | gains | {"r_c": (self.hidden_size,), "b_c": (self.hidden_size,)}

    def init(self, seed: int = 0) -> Params:
        params = super().init(seed)
        return params | {k: np.ones_like(v) for k, v in params.items() if k[:2] in ("r_", "s_")}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, c = carry

        def gate(g: str) -> mg.Tensor:
            return (
                params[f"r_{g}"] * layer_norm(x @ params[f"W_{g}"])
                + params[f"s_{g}"] * layer_norm(h @ params[f"U_{g}"])
                + params[f"b_{g}"]
            )

        i = mg.sigmoid(gate("i")).named("i")
        f = mg.sigmoid(gate("f")).named("f")
        o = mg.sigmoid(gate("o")).named("o")
        g = mg.tanh(gate("g")).named("g")
        c = (f * c + i * g).named("c")
        h = (o * mg.tanh(params["r_c"] * layer_norm(c) + params["b_c"])).named("h")
        return (h, c), h
