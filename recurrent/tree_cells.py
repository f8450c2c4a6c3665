"""More cells for trees: the tensor network, the child-sum Tree-LSTM, the recursive autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

from .cells import Cell, Params, TreeCell

__all__ = ["ChildSumNet", "ChildSumTreeLSTM", "RNTN", "RecursiveAutoencoder"]


class RNTN(TreeCell):
    """The recursive neural tensor network (Socher et al. 2013, section 4.3).

        h = tanh(c^T V^[1:H] c + sum_k h_k U_k + x W + b),   c = (h_0, ..., h_K),   y = h

    V is (K H, H, K H): V[:, j] is the form whose value at c is added to unit j.
    W (I, H), U_k (H, H), b (H,).
    Leaves have x (..., I), inner nodes of a constituency tree x = 0; state and y (..., H).

    Raises ValueError for a size or an arity that is no positive integer.
    """

    name = "RNTN"
    equation = "h = tanh(cᵀ V c + Σ_k h_k U_k + x W + b),  c = (h_0, h_1)"
    variants = ({}, {"arity": 3})

    def shapes(self) -> dict[str, tuple[int, ...]]:
        i, h, wide = self.input_size, self.hidden_size, self.arity * self.hidden_size
        return {
            "W": (i, h),
            **{f"U_{k}": (h, h) for k in range(self.arity)},
            "V": (wide, h, wide),
            "b": (h,),
        }

    def init(self, seed: int = 0) -> Params:
        params = super().init(seed)
        params["V"] *= 0.1  # nearly the plain recursive net at first
        return params

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        children = self.children(carry)
        c = mg.concat(children, axis=-1) if self.arity > 1 else carry
        wide, h = self.arity * self.hidden_size, self.hidden_size
        forms = c @ mg.reshape(params["V"], (wide, h * wide))  # c^T V, one row per unit
        forms = mg.reshape(forms, (*c.shape[:-1], h, wide))
        total = mg.sum(forms * mg.expand_dims(c, axis=-2), axis=-1) + params["b"]
        total = total + x @ params["W"]
        for k, child in enumerate(children):
            total = total + child @ params[f"U_{k}"]
        state = mg.tanh(total).named("h")
        return state, state


class ChildSumTreeLSTM(Cell):
    """The child-sum Tree-LSTM (Tai, Socher and Manning 2015, equations 2 to 8).

        s = sum_k h_k
        i, o = sigmoid(x W + s U + b) each,   u = tanh(x W_u + s U_u + b_u)
        f_k = sigmoid(x W_f + h_k U_f + b_f)      one forget gate per child k, from its own h_k
        c = i * u + sum_k f_k * c_k,   h = o * tanh(c),   y = h

    For nodes with any number of children whose order does not matter, as in dependency trees.
    A child has one parent, so it computes its forget gate itself from the parent's x:
    the state it sends is (h, f * c), and what arrives is the sum over the children.
    Called with x = (x, x of the parent), both (..., I); `fold` sees to both.
    y and both parts of the state (..., H).
    Parameters for each of i, f, o and u: W (I, H), U (H, H), b (H,).
    `init` sets b_f to 1.

    Raises ValueError for a size that is no positive integer.
    """

    name = "child-sum Tree-LSTM"
    equation = (
        "s = Σ_k h_k;  f_k = σ(x W_f + h_k U_f + b_f);  c = i u + Σ_k f_k c_k,  h = o tanh(c)"
    )
    over = "tree, one summed slot"
    state_names = ("h", "fc")
    ones: tuple[str, ...] = ("b_f",)
    sums_children = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.gate_shapes("ifou")

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        (s, fc), (x, above) = carry, x

        def gate(g: str, x: Any, h: Any) -> Any:
            return x @ params[f"W_{g}"] + h @ params[f"U_{g}"] + params[f"b_{g}"]

        i = mg.sigmoid(gate("i", x, s)).named("i")
        o = mg.sigmoid(gate("o", x, s)).named("o")
        u = mg.tanh(gate("u", x, s)).named("u")
        c = (i * u + fc).named("c")
        h = (o * mg.tanh(c)).named("h")
        f = mg.sigmoid(gate("f", above, h)).named("f")
        return (h, (f * c).named("fc")), h


class ChildSumNet(Cell):
    """The plain recursive net over trees of any arity: h = tanh(x W + (sum_k h_k) U + b), y = h.

    With x for every node it is a net for dependency trees; on a chain it is the `RNN`.
    Called with x = (x, x of the parent), both (..., I); `fold` sees to both.
    State and y (..., H); parameters W (I, H), U (H, H), b (H,).

    Raises ValueError for a size that is no positive integer.
    """

    name = "child-sum net"
    equation = "h = tanh(x W + (Σ_k h_k) U + b)"
    over = "tree, one summed slot"
    sums_children = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        i, h = self.input_size, self.hidden_size
        return {"W": (i, h), "U": (h, h), "b": (h,)}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        here, _ = x
        h = mg.tanh(here @ params["W"] + carry @ params["U"] + params["b"]).named("h")
        return h, h


class RecursiveAutoencoder(TreeCell):
    """The recursive autoencoder (Socher et al. 2011, EMNLP, equations 1 to 6), for binary trees.

        p = tanh((c_1, c_2) W + b),  normalised to length 1
        (c_1', c_2') = p W' + b'
        E = n_1 / (n_1 + n_2) |c_1 - c_1'|^2 + n_2 / (n_1 + n_2) |c_2 - c_2'|^2

    n_k is the number of words below child k.
    A leaf is its vector, h = x, so hidden_size is the length of the word vectors.
    State (h, n), (..., H) and (..., 1); y = E (...), 0 at a leaf.
    Training makes the sum of y over the nodes small, and `parse` merges what is rebuilt best.
    Called with x = (x, 1 at a word and 0 elsewhere); `fold` sees to both.
    Parameters W_1, W_2, D_1 and D_2 (H, H), b, d_1 and d_2 (H,): D and d are W' and b'.

    Raises ValueError for a size that is no positive integer.
    """

    name = "recursive autoencoder"
    equation = "p = tanh(c W + b) / |.|,  E = Σ_k n_k / n |c_k - c_k'|²,  c' = p W' + b'"
    state_names = ("h", "n")

    def __init__(self, hidden_size: int) -> None:
        super().__init__(1, hidden_size, arity=2)
        self.input_size = self.hidden_size

    @classmethod
    def examples(cls, input_size: int = 2, hidden_size: int = 3) -> list[Cell]:
        return [cls(input_size)]  # a leaf's state is its vector

    def __repr__(self) -> str:
        return f"RecursiveAutoencoder({self.hidden_size})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        h = self.hidden_size
        return {
            **{f"W_{k}": (h, h) for k in (1, 2)}, "b": (h,),
            **{f"D_{k}": (h, h) for k in (1, 2)}, **{f"d_{k}": (h,) for k in (1, 2)},
        }  # fmt: skip

    def zero_state(self, dtype: Any = np.float64) -> Any:
        return np.zeros((1, self.hidden_size), dtype), np.zeros((1, 1), dtype)

    @staticmethod
    def word_inputs(xs: Any) -> Any:
        """x = (the word's vector, 1), which `fold` gives at words; 0 elsewhere."""
        return xs, mg.ones((len(xs), 1), dtype=xs.dtype)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        ((c1, n1), (c2, n2)), (x, word) = carry, x
        p = mg.tanh(c1 @ params["W_1"] + c2 @ params["W_2"] + params["b"])
        p = p / mg.sqrt(mg.sum(mg.square(p), axis=-1, keepdims=True) + 1e-12)
        e1 = mg.square(c1 - (p @ params["D_1"] + params["d_1"]))
        e2 = mg.square(c2 - (p @ params["D_2"] + params["d_2"]))
        inner = 1 - word
        n = n1 + n2 + word
        error = mg.sum(inner * (n1 * e1 + n2 * e2) / n, axis=-1).named("E")
        h = (x + inner * p).named("h")
        return (h, n), error
