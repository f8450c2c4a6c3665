"""Cells: one step of a recurrence, written as in the paper.

A cell is any function `cell(params, carry, x) -> (carry, y)`, written for one node with vectors
(or with leading batch axes, called in a plain Python loop).
The classes here add `init(seed)`, the named parameters,
and `zero_state`, where a sequence or a leaf starts.
Tree cells take the tuple of their children's states as carry.
Products are written `x @ W` with W of shape (inputs, outputs).
Further forms of the LSTM are in `lstms`, leaky units and reservoirs in `reservoir`.

A class states beside its equation what those read who treat all cells alike
(the tests of all cells, docs/architectures.md);
`kinds` lists the classes, so that a new one is seen by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

from . import options
from .options import choice, flag, size, sizes

__all__ = [
    "Cell", "GRU", "JordanRNN", "LSTM", "MGU", "MinGRU", "RNN", "RecursiveNet", "TreeCell",
    "TreeLSTM",
]  # fmt: skip

Params = dict[str, Any]


class Cell:
    """What the shipped cells share: sizes, parameters from a table of shapes, a zero state.

    input_size, hidden_size, output_size: lengths of x, h and y.
    `shapes()` names every parameter with its shape.

    name, title: what drawings call it, and its full name (default: the same).
    equation   : in a line; a class that states none of its own is no new kind of cell.
    over       : the structures it runs over: "chain", "tree", "grid", ...
    variants   : options of the constructor that make it another cell; the first is the usual one.

    Raises ValueError for a size that is no positive integer.
    """

    name = "cell"
    title = ""
    equation = ""
    over = "chain"
    variants: tuple[dict[str, Any], ...] = ({},)
    state_names: tuple[str, ...] = ("h",)
    ones: tuple[str, ...] = ()  # parameters that start at 1

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = vars(cls)
        cls.title = own.get("title", cls.name[:1].upper() + cls.name[1:])
        cls.variants = own.get("variants", ({},))  # the options are those of the class alone
        ours = cls.__module__.partition(".")[0] == __package__
        if ours and "equation" in own:
            _KINDS.append(cls)

    @classmethod
    def examples(cls, input_size: int = 2, hidden_size: int = 3) -> list[Cell]:
        """One cell of each variant."""
        return [cls(input_size, hidden_size, **options) for options in cls.variants]
    reads_input = True

    def __init__(self, input_size: int, hidden_size: int) -> None:
        sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)

    @property
    def output_size(self) -> int:
        """The length of y."""
        return self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The length of each part of the state."""
        return tuple(self.hidden_size for _ in self.state_names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def init(self, seed: int = 0) -> Params:
        """Fresh float64 parameters, the same for the same seed.

        Input weights W are uniform (Glorot and Bengio 2010, equation 16),
        recurrent weights U orthogonal (Saxe et al. 2014),
        biases 0 (1 for those named in `ones`).

        Raises ValueError for a seed that is no integer of at least 0.
        """
        rng = np.random.default_rng(options.seed(f"{type(self).__name__}.init", seed))
        params = {name: _initial(name, shape, rng) for name, shape in self.shapes().items()}
        return params | {name: np.ones_like(params[name]) for name in self.ones}

    def zero_state(self, dtype: Any = np.float64) -> Any:
        """The state before the first step, one row: (1, hidden_size), or a tuple of those.

        Raises ValueError for a dtype that is no floating-point one of at most 64 bits.
        """
        kind = options.dtype(f"{type(self).__name__}.zero_state", dtype)
        rows = tuple(np.zeros((1, length), kind) for length in self.state_sizes)
        return rows if len(rows) > 1 else rows[0]

    def gate_shapes(self, gates: str) -> dict[str, tuple[int, ...]]:
        """W_g, U_g and b_g for every gate letter; U reads the first part of the state."""
        i, h, state = self.input_size, self.hidden_size, self.state_sizes[0]
        return {
            f"{kind}_{g}": shape
            for kind, shape in (("W", (i, h)), ("U", (state, h)), ("b", (h,)))
            for g in gates
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        raise NotImplementedError


_KINDS: list[type[Cell]] = []


def kinds(*over: str) -> list[type[Cell]]:
    """Every class of cells of this package, in the order of the files.

    Those over the structures named, if any are.
    """
    return [kind for kind in _KINDS if not over or kind.over in over]


def _initial(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if len(shape) < 2:
        return np.zeros(shape)
    if name.startswith("U") and shape[0] == shape[1]:
        q, r = np.linalg.qr(rng.standard_normal(shape))
        return q * np.sign(np.diag(r))
    bound = np.sqrt(6 / (shape[0] + shape[1]))
    return rng.uniform(-bound, bound, shape)


def affine(params: Params, gate: str, x: Any, h: Any) -> mg.Tensor:
    """x @ W_gate + h @ U_gate + b_gate."""
    return x @ params[f"W_{gate}"] + h @ params[f"U_{gate}"] + params[f"b_{gate}"]


ACTIVATIONS = {"tanh": mg.tanh, "relu": mg.relu, "sigmoid": mg.sigmoid, "identity": mg.asarray}


class RNN(Cell):
    """Elman's simple recurrent network (Elman 1990): h' = tanh(x W + h U + b), y = h'.

    activation : "tanh" or "relu".
    recurrent  : how `init` makes U: "orthogonal" (Saxe et al. 2014),
                 or "identity", with relu the IRNN (Le, Jaitly and Hinton 2015).

    x (..., I), state and y (..., H); parameters W (I, H), U (H, H), b (H,).

    Raises ValueError for a size that is no positive integer, or another activation or `recurrent`.
    """

    name, title = "RNN", "Elman RNN"
    equation = "h' = tanh(x W + h U + b)"
    variants = ({}, {"activation": "relu", "recurrent": "identity"})

    def __init__(
        self, input_size: int, hidden_size: int, activation: str = "tanh",
        recurrent: str = "orthogonal",
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size)
        self.nonlinearity = choice("RNN", "activation", activation, ("tanh", "relu"))
        self.recurrent = choice("RNN", "recurrent", recurrent, ("orthogonal", "identity"))
        self.activation = ACTIVATIONS[activation]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "W": (self.input_size, self.hidden_size),
            "U": (self.hidden_size, self.hidden_size),
            "b": (self.hidden_size,),
        }

    def init(self, seed: int = 0) -> Params:
        params = super().init(seed)
        if self.recurrent == "identity":
            params["U"] = np.eye(self.hidden_size)
        return params

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h = self.activation(x @ params["W"] + carry @ params["U"] + params["b"]).named("h")
        return h, h


class JordanRNN(Cell):
    """Jordan's network (Jordan 1986): the output feeds back, not the hidden layer.

        h = tanh(x W + y_{t-1} U + b),   y = g(h V + c)

    output_size : O, the length of y, the state (default hidden_size).
    activation  : "tanh" or "relu".
    output      : g, "identity", "tanh" or "sigmoid".

    x (..., I), state and y (..., O); parameters W (I, H), U (O, H), b (H,), V (H, O), c (O,).

    Raises ValueError for a size that is no positive integer, or another activation or output.
    """

    name = "Jordan RNN"
    equation = "h = tanh(x W + y U + b),  y' = g(h V + c)"
    variants = ({}, {"output_size": 2, "output": "tanh"})
    state_names = ("y",)

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int | None = None,
        activation: str = "tanh", output: str = "identity",
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size)
        length = self.hidden_size if output_size is None else output_size
        self._output_size = size("JordanRNN", "output_size", length)
        choice("JordanRNN", "activation", activation, ("tanh", "relu"))
        choice("JordanRNN", "output", output, ("identity", "tanh", "sigmoid"))
        self.activation, self.output = ACTIVATIONS[activation], ACTIVATIONS[output]

    @property
    def output_size(self) -> int:
        return self._output_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.output_size,)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "W": (self.input_size, self.hidden_size),
            "U": (self.output_size, self.hidden_size),
            "b": (self.hidden_size,),
            "V": (self.hidden_size, self.output_size),
            "c": (self.output_size,),
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h = self.activation(x @ params["W"] + carry @ params["U"] + params["b"]).named("h")
        y = self.output(h @ params["V"] + params["c"]).named("y")
        return y, y


class LSTM(Cell):
    """Long short-term memory with a forget gate.

        i, f, o = sigmoid(x W + h U + b) each with its own parameters
        g  = tanh(x W_g + h U_g + b_g)
        c' = f * c + i * g,   h' = o * tanh(c'),   y = h'

    The memory is of Hochreiter and Schmidhuber 1997, the forget gate of Gers et al. 2000.
    x (..., I), y (..., H), state (h, c), both (..., H).
    Parameters for each of i, f, o and g: W (I, H), U (H, H), b (H,).
    `init` sets b_f to 1 (Jozefowicz et al. 2015).

    Raises ValueError for a size that is no positive integer.
    """

    name = "LSTM"
    equation = (
        "a_g = x W_g + h U_g + b_g;  i, f, o = σ(a),  g = tanh(a_g);  c' = f c + i g,  "
        "h' = o tanh(c')"
    )
    state_names = ("h", "c")
    ones: tuple[str, ...] = ("b_f",)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.gate_shapes("ifog")

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, c = carry
        i = mg.sigmoid(affine(params, "i", x, h)).named("i")
        f = mg.sigmoid(affine(params, "f", x, h)).named("f")
        o = mg.sigmoid(affine(params, "o", x, h)).named("o")
        g = mg.tanh(affine(params, "g", x, h)).named("g")
        c = (f * c + i * g).named("c")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014), with the update convention of cuDNN and PyTorch.

        r, z = sigmoid(x W + h U + b) each,   h' = (1 - z) * n + z * h,   y = h'
        n = tanh(x W_n + b_n + r * (h U_n + c_n))      reset_after=True: the product first
        n = tanh(x W_n + (r * h) U_n + b_n)            reset_after=False: as in the paper

    x (..., I), state and y (..., H).
    Parameters for each of r, z and n: W (I, H), U (H, H), b (H,), and c_n (H,) with reset_after.

    Raises ValueError for a size that is no positive integer, or a reset_after that is no bool.
    """

    name = "GRU"
    equation = (
        "r, z = σ(a);  n = tanh(x W_n + b_n + r (h U_n + c_n)), reset after, or "
        "tanh(x W_n + (r h) U_n + b_n), before;  h' = (1 - z) n + z h"
    )
    variants = ({}, {"reset_after": False})

    def __init__(self, input_size: int, hidden_size: int, reset_after: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.reset_after = flag("GRU", "reset_after", reset_after)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        extra = {"c_n": (self.hidden_size,)} if self.reset_after else {}
        return self.gate_shapes("rzn") | extra

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h = carry
        r = mg.sigmoid(affine(params, "r", x, h)).named("r")
        z = mg.sigmoid(affine(params, "z", x, h)).named("z")
        if self.reset_after:
            inner = x @ params["W_n"] + params["b_n"] + r * (h @ params["U_n"] + params["c_n"])
        else:
            inner = affine(params, "n", x, r * h)
        n = mg.tanh(inner).named("n")
        h = ((1 - z) * n + z * h).named("h")
        return h, h


class MGU(Cell):
    """The minimal gated unit (Zhou et al. 2016), one gate that forgets and resets.

        f = sigmoid(x W_f + h U_f + b_f),   n = tanh(x W_n + (f * h) U_n + b_n)
        h' = (1 - f) * h + f * n,   y = h'

    x (..., I), state and y (..., H); parameters for each of f and n: W (I, H), U (H, H), b (H,).

    Raises ValueError for a size that is no positive integer.
    """

    name, title = "MGU", "Minimal gated unit"
    equation = "f = σ(a_f),  n = tanh(x W_n + (f h) U_n + b_n),  h' = (1 - f) h + f n"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.gate_shapes("fn")

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h = carry
        f = mg.sigmoid(affine(params, "f", x, h)).named("f")
        n = mg.tanh(affine(params, "n", x, f * h)).named("n")
        h = ((1 - f) * h + f * n).named("h")
        return h, h


class MinGRU(Cell):
    """The minimal GRU (Feng et al. 2024, section 3.1).

        z = sigmoid(x W_z + b_z),   n = x W_n + b_n
        h' = (1 - z) * h + z * n,   y = h'

    Gate and candidate read the input only, so that the state enters linearly.
    x (..., I), state and y (..., H); parameters for each of z and n: W (I, H), b (H,).

    Raises ValueError for a size that is no positive integer.
    """

    name, title = "minGRU", "Minimal GRU"
    equation = "z = σ(x W_z + b_z),  n = x W_n + b_n,  h' = (1 - z) h + z n"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        i, h = self.input_size, self.hidden_size
        return {"W_z": (i, h), "W_n": (i, h), "b_z": (h,), "b_n": (h,)}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        z = mg.sigmoid(x @ params["W_z"] + params["b_z"]).named("z")
        n = (x @ params["W_n"] + params["b_n"]).named("n")
        h = ((1 - z) * carry + z * n).named("h")
        return h, h


class TreeCell(Cell):
    """A cell over trees: its carry is the tuple of its children's states.

    With arity 1 it is the only child's state itself.

    arity : the number of children a node may have; `fold` gives a missing one the zero state.

    Raises ValueError for a size or an arity that is no positive integer.
    """

    over = "tree"

    def __init__(self, input_size: int, hidden_size: int, arity: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        self.arity = size(type(self).__name__, "arity", arity)

    def children(self, carry: Any) -> tuple[Any, ...]:
        return carry if self.arity > 1 else (carry,)


class RecursiveNet(TreeCell):
    """The plain recursive network (Pollack 1990; Socher et al. 2011).

        h = tanh(x W + sum_k h_k U_k + b),   y = h

    One weight matrix per child position: W (I, H), U_k (H, H), b (H,).
    Leaves have x (..., I), inner nodes of a constituency tree x = 0; state and y (..., H).

    Raises ValueError for a size or an arity that is no positive integer.
    """

    name = "recursive net"
    equation = "h = tanh(x W + Σ_k h_k U_k + b)"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        square = (self.hidden_size, self.hidden_size)
        return {
            "W": (self.input_size, self.hidden_size),
            **{f"U_{k}": square for k in range(self.arity)},
            "b": (self.hidden_size,),
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        total = x @ params["W"] + params["b"]
        for k, h in enumerate(self.children(carry)):
            total = total + h @ params[f"U_{k}"]
        h = mg.tanh(total).named("h")
        return h, h


class TreeLSTM(TreeCell):
    """The N-ary Tree-LSTM (Tai, Socher and Manning 2015, equations 9 to 14).

        i, o = sigmoid(x W + sum_l h_l U_l + b),  u = tanh(x W_u + sum_l h_l U_u_l + b_u)
        f_k = sigmoid(x W_f + sum_l h_l U_f_kl + b_f)      one forget gate per child k
        c = i * u + sum_k f_k * c_k,   h = o * tanh(c),   y = h

    x (..., I), y (..., H), state (h, c), both (..., H).
    Parameters: W (I, H), every U (H, H), b (H,).
    `init` sets b_f to 1.

    Raises ValueError for a size or an arity that is no positive integer.
    """

    name, title = "Tree-LSTM", "N-ary Tree-LSTM"
    equation = "c = i u + Σ_k f_k c_k,  h = o tanh(c)"
    state_names = ("h", "c")
    ones: tuple[str, ...] = ("b_f",)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        i, h, places = self.input_size, self.hidden_size, range(self.arity)
        return {
            **{f"W_{g}": (i, h) for g in "ifou"},
            **{f"U_{g}_{k}": (h, h) for g in "iou" for k in places},
            **{f"U_f_{k}{j}": (h, h) for k in places for j in places},
            **{f"b_{g}": (h,) for g in "ifou"},
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        children = self.children(carry)
        own = {g: x @ params[f"W_{g}"] + params[f"b_{g}"] for g in "ifou"}

        def gate(letter: str, place: str) -> mg.Tensor:
            total = own[letter]
            for k, (h, _) in enumerate(children):
                total = total + h @ params[f"U_{letter}_{place}{k}"]
            return total

        i = mg.sigmoid(gate("i", "")).named("i")
        o = mg.sigmoid(gate("o", "")).named("o")
        u = mg.tanh(gate("u", "")).named("u")
        c = i * u
        for k, (_, ck) in enumerate(children):
            c = c + mg.sigmoid(gate("f", str(k))).named(f"f_{k}") * ck
        c = c.named("c")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h
