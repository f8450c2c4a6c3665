"""Beyond chains and trees: cells over grids (images) and over lattices (many readings of a text).

Both are structures; the cells are written for one node and know nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .cells import Params, RecursiveNet, TreeLSTM
from .options import array, cell_like, listed, part, shown, size, tensor, whole
from .sequences import start_state
from .trees import check_tree_cell

__all__ = ["Lattice", "MDLSTM", "MDRNN", "Multidirectional", "lattice", "run_lattice", "sweep"]


class MDRNN(RecursiveNet):
    """The multi-dimensional RNN (Graves, Fernandez and Schmidhuber 2007, section 2), for `sweep`.

        h[p] = tanh(x[p] W + sum_d h[p - e_d] U_d + b),   y = h

    e_d is one step along axis d: on a grid the plain recursive net is the same equation.
    W (I, H), U_d (H, H), b (H,); x (..., I), state and y (..., H).

    Raises ValueError for sizes or dims that are no positive integers.
    """

    name, title = "MD-RNN", "Multi-dimensional RNN"
    equation = "h_p = tanh(x_p W + Σ_d h_{p - e_d} U_d + b)"
    over = "grid"

    def __init__(self, input_size: int, hidden_size: int, dims: int = 2) -> None:
        super().__init__(input_size, hidden_size, arity=dims)


class MDLSTM(TreeLSTM):
    """The multi-dimensional LSTM (Graves, Fernandez and Schmidhuber 2007, section 3), for `sweep`.

        i   = sigmoid(x W_i + sum_d h_d U_i_d + sum_d p_i_d * c_d + b_i)
        f_d = sigmoid(x W_f_d + sum_e h_e U_f_de + p_f_d * c_d + b_f_d)     one per axis d
        u   = tanh(x W_u + sum_d h_d U_u_d + b_u),   c = i * u + sum_d f_d * c_d
        o   = sigmoid(x W_o + sum_d h_d U_o_d + p_o * c + b_o),   h = o * tanh(c),   y = h

    h_d, c_d are the states one step back along axis d; with one axis, the LSTM with peepholes.
    Every W (I, H), U (H, H), b and p (H,); x (..., I), y (..., H), state (h, c), both (..., H).
    `init` sets every b_f to 1.

    Raises ValueError for sizes or dims that are no positive integers.
    """

    name, title = "MD-LSTM", "Multi-dimensional LSTM"
    equation = "c_p = i u + Σ_d f_d c_{p - e_d}"
    over = "grid"
    variants = ({}, {"dims": 3})

    def __init__(self, input_size: int, hidden_size: int, dims: int = 2) -> None:
        super().__init__(input_size, hidden_size, arity=dims)
        self.ones = tuple(f"b_f_{d}" for d in range(dims))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        i, h, axes = self.input_size, self.hidden_size, range(self.arity)
        gates = ["i", "u", "o", *(f"f_{d}" for d in axes)]
        peep = ["p_o", *(f"p_{g}_{d}" for g in "if" for d in axes)]
        return {
            **{f"W_{g}": (i, h) for g in gates},
            **{f"U_{g}_{d}": (h, h) for g in gates for d in axes},
            **{f"b_{g}": (h,) for g in gates},
            **{p: (h,) for p in peep},
        }

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        back = self.children(carry)

        def gate(g: str, peep: Any = 0.0) -> mg.Tensor:
            total = x @ params[f"W_{g}"] + params[f"b_{g}"] + peep
            for d, (h, _) in enumerate(back):
                total = total + h @ params[f"U_{g}_{d}"]
            return total

        peeps = [c * params[f"p_i_{d}"] for d, (_, c) in enumerate(back)]
        i = mg.sigmoid(gate("i", sum(peeps[1:], peeps[0]))).named("i")
        u = mg.tanh(gate("u")).named("u")
        c = i * u
        for d, (_, cd) in enumerate(back):
            c = c + mg.sigmoid(gate(f"f_{d}", cd * params[f"p_f_{d}"])).named(f"f_{d}") * cd
        c = c.named("c")
        o = mg.sigmoid(gate("o", c * params["p_o"])).named("o")
        h = (o * mg.tanh(c)).named("h")
        return (h, c), h


def sweep(
    cell: Callable, params: Any, xs: Any, reverse: Sequence[int] = (), dims: int | None = None
) -> tuple[Any, Any]:
    """Run `cell` over a grid (Graves, Fernandez and Schmidhuber 2007):

        state[p], y[p] = cell(params, (state[p - e_0], state[p - e_1], ...), x[p])

    Outside of the grid states are the cell's zero state.

    xs      : (D_0, ..., D_k, I) for one grid or (B, D_0, ..., D_k, I) for B of them.
    reverse : axes along which the state flows from the last row to the first.
    dims    : number of axes; default `cell.arity`.

    Returns (states, ys), leaves of the shape of xs without I, then their own axes.

    Raises ValueError for xs with another number of axes, a reverse that names no axes,
    or parameters whose shapes do not fit; TypeError for what is no cell or no numbers.
    """
    t = tensor("sweep", "xs", xs)
    axes = size("sweep", "dims", getattr(cell, "arity", 2) if dims is None else dims)
    ways = listed("sweep", "reverse", reverse, "axes")
    if t.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"sweep: xs must have {axes} axes and I, or B in front of these; got shape {t.shape}"
        )
    extent, batch = t.shape[:-1], t.shape[: t.ndim - 1 - axes]
    if any(not whole(a) or not 0 <= a < axes for a in ways) or len(set(ways)) < len(ways):
        raise ValueError(f"sweep: reverse must name axes 0 to {axes - 1}; got {tuple(ways)}")
    check_tree_cell("sweep", cell, params, None)
    structure = _grid(extent[len(batch) :], tuple(ways)).copies(batch[0] if batch else 1)
    rows = mg.reshape(t, (structure.n, t.shape[-1]))
    start = start_state("sweep", cell, params)
    found: Any = mg.recur(cell, structure, initial=start, shared=params, inputs=rows)
    result: Any = pytrees.tree_map(lambda a: mg.reshape(a, (*extent, *a.shape[1:])), found)
    return result


def _grid(extent: tuple[int, ...], reverse: tuple[int, ...]) -> mg.Structure:
    """The grid whose state flows backwards along some axes: the same edges between other rows."""
    s = mg.Structure.grid(extent)
    if not reverse:
        return s
    row = np.flip(np.arange(s.n).reshape(extent), reverse).ravel()
    return replace(s, src=row[s.src], dst=row[s.dst], level=s.level[row])


class Multidirectional:
    """A cell swept over a grid from every corner (Graves and Schmidhuber 2009).

    2^k sweeps, each with parameters of its own, y their outputs side by side;
    with one axis, the bidirectional net.

    net.init(seed); net(params, xs) -> ys (..., 2^k H).

    Raises ValueError for what is no cell; when called, what `sweep` raises.
    """

    def __init__(self, cell: Any) -> None:
        self.cell = cell_like("Multidirectional", cell)
        axes = range(getattr(cell, "arity", 2))
        self.corners = [
            tuple(a for a, back in zip(axes, way, strict=True) if back)
            for way in product((False, True), repeat=len(axes))
        ]

    def init(self, seed: int = 0) -> dict[str, Params]:
        n = len(self.corners)
        return {self._key(c): self.cell.init(seed * n + k) for k, c in enumerate(self.corners)}

    def __call__(self, params: Any, xs: Any) -> mg.Tensor:
        theta = [part("Multidirectional", params, self._key(c)) for c in self.corners]
        pairs = zip(theta, self.corners, strict=True)
        ways = [sweep(self.cell, p, xs, reverse=c)[1] for p, c in pairs]
        return mg.concat(ways, axis=-1)

    @staticmethod
    def _key(corner: tuple[int, ...]) -> str:
        return "reverse_" + "".join(map(str, corner)) if corner else "forward"


# -- lattices --------------------------------------------------------------------------------------


class Lattice(mg.Structure):
    """Several readings of a text in one structure: an arc (start, end, word) per word.

    Row n is arc n; its state comes from every arc that ends where it starts.

    words[n]  : the arc's word.
    scores[n] : its score, 1 by default.
    share[n]  : what the scores that arrive must be multiplied by to add up to 1
                (1 where an arc begins the text).

    Made by `lattice`.
    """

    words: list[Any]
    scores: np.ndarray
    share: np.ndarray


def lattice(arcs: Sequence[tuple], scores: Any = None) -> Lattice:
    """The lattice of arcs (start, end, word) between numbered places of a text.

    As recognisers and segmenters write them (Ladhak et al. 2016).
    scores : one positive number per arc (its probability); default 1.

    Raises ValueError naming an arc that is malformed, for a cycle, scores that are not positive,
    or a lattice without arcs; TypeError for what is no list of arcs.
    """
    arcs = listed("lattice", "arcs", arcs, "arcs (start, end, word)")
    if not len(arcs):
        raise ValueError("lattice: there are no arcs; one is (start, end, word)")
    for k, arc in enumerate(arcs):
        triple = isinstance(arc, (tuple, list)) and len(arc) == 3
        if not triple or not all(whole(v) and abs(v) < 2**62 for v in arc[:2]):
            raise ValueError(
                f"lattice: arc {k} must be (start, end, word) with integers; got {arc}"
            )
    n = len(arcs)
    starts, ends = np.array([(a, b) for a, b, _ in arcs], np.int64).T
    weight = np.ones(n) if scores is None else array("lattice", "scores", scores).astype(float)
    if weight.shape != (n,) or not (weight > 0).all():
        raise ValueError(f"lattice: scores must be {n} positive numbers, one per arc")
    if (starts == ends).any():
        k = int(np.flatnonzero(starts == ends)[0])
        raise ValueError(f"lattice: arc {k} starts and ends at {starts[k]}")
    order = np.argsort(ends, kind="stable")
    low, high = (np.searchsorted(ends[order], starts, side) for side in ("left", "right"))
    many = high - low
    target = np.repeat(np.arange(n), many)
    source = order[np.arange(len(target)) - np.repeat(np.cumsum(many) - many - low, many)]
    s = mg.Structure.edges(n, source, target)
    result = Lattice(**{f.name: getattr(s, f.name) for f in fields(s)})
    arrived = np.bincount(target, weight[source], minlength=n)
    result.words, result.scores = [arc[2] for arc in arcs], weight
    result.share = 1 / np.where(many > 0, arrived, 1.0)
    return result


def run_lattice(
    cell: Callable, params: Any, lattice: Lattice, xs: Any, carry: Any = None
) -> tuple[Any, Any]:
    """Run a cell for sequences over a lattice (LatticeRNN, Ladhak et al. 2016).

    Where several arcs meet, the next one starts from the mean of their states,
    weighted by their scores, with m running over the arcs that end where n starts:

        state_n, y_n = cell(params, sum_m s_m state_m / sum_m s_m, x_n)

    xs    : (N, I), a row per arc.
    carry : the state before the text, leaves (1, ...); default zeros.

    A lattice with one reading is the sequence.  Returns (states, ys), leaves (N, ...).

    Raises TypeError for what is no `lattice` or no cell;
    ValueError for xs that have not a row per arc, or a cell without a state.
    """
    if not isinstance(lattice, Lattice):
        raise TypeError(f"run_lattice: lattice must be a rc.lattice; got {shown(lattice)}")
    table = tensor("run_lattice", "xs", xs)
    if not table.ndim or len(table) != lattice.n:
        raise ValueError(
            f"run_lattice: the lattice has {lattice.n} arcs but xs has shape {table.shape}: a row "
            "per arc"
        )
    check_tree_cell("run_lattice", cell, params, carry)
    start = start_state("run_lattice", cell, params) if carry is None else carry

    def over_lattice(params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        x, score, share = x
        mean = pytrees.tree_map(lambda a: a * share, carry)
        state, y = cell(params, mean, x)
        return pytrees.tree_map(lambda a: a * score, state), (state, y)

    parts = pytrees.tree_leaves(pytrees.tree_map(mg.asarray, start))
    if not parts:
        raise ValueError("run_lattice: the state of the cell has no part; what is to be averaged?")
    dtype = parts[0].dtype
    weights = (v.astype(dtype)[:, None] for v in (lattice.scores, lattice.share))
    inputs = table, *weights
    return mg.recur(over_lattice, lattice, initial=start, shared=params, inputs=inputs)[1]
