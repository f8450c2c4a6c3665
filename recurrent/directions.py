"""Nets over whole sequences: one direction, both, both with a limited look-ahead, in layers.

A net has `init(seed)` and is called like `unroll`:
net(params, xs, lengths=None, carry=None) -> (finals, ys).
xs (T, B, I) or (T, I); ys (T, B, O) or (T, O), 0 behind a sequence's end.
`carry` and `finals` are a cell's state, one per part of the net.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .compose import follows, seeds
from .missing import output_size
from .options import NEEDS, cell_like, flag, part, shown, whole
from .options import lengths as checked_lengths
from .sequences import _extent, _final, _start, _to_rows, _to_time, check_cell, unroll

__all__ = ["bidirectional", "layered", "over_time"]

Params = dict[str, Any]


def over_time(cell: Any, reverse: bool = False) -> OverTime:
    """One cell as a net: `unroll`, backwards in time with `reverse`.  params are the cell's.

    Raises ValueError for what is no cell, or a reverse that is no bool;
    when called, what `unroll` raises.
    """
    return OverTime(cell, reverse)


def bidirectional(
    cell: Any, backward_cell: Any = None, lookahead: int | None = None
) -> Bidirectional:
    """Both directions (Schuster and Paliwal 1997), each with parameters of its own:

        f_t = cell(f_{t-1}, x_t),   g_t = backward_cell(g_{t+1}, x_t),   y_t = [f_t; g_t]

    backward_cell : default another `cell`.
    lookahead     : k, how far the backward direction sees ahead; None: to the end.
                    g_t is what it gives after reading x_{t+k}, ..., x_{t+1}, x_t,
                    for every t afresh (Zeyer et al. 2016):
                    k + 1 steps for each t, as independent chains that share the rows of xs.

    params {"forward": ..., "backward": ...}; ys (T, B, both output sizes).
    finals: (the state of cell behind the last step, that of backward_cell at the first).

    Raises ValueError for what is no cell, cells that read inputs of different sizes,
    or a lookahead that is no number of steps; when called, for a carry that is no pair,
    and what `unroll` raises.
    """
    return Bidirectional(cell, cell if backward_cell is None else backward_cell, lookahead)


def layered(*nets: Any) -> Layered:
    """Nets or cells one behind the other, each reading the whole output of the one before.

    For cells it is `stack`, layer by layer (El Hihi and Bengio 1996);
    for bidirectional nets each layer sees both directions of the one below (Graves et al. 2013).
    params {"layer0": ..., ...}; carry and finals: a tuple with one per layer.

    Raises ValueError without nets, for what is no net,
    or where a layer reads another number of inputs than the one below it gives;
    when called, for a carry that has not one part per layer.
    """
    return Layered([over_time(n) if hasattr(n, "zero_state") else n for n in nets])


class OverTime:
    """What `over_time` returns."""

    def __init__(self, cell: Any, reverse: bool) -> None:
        self.cell = cell_like("over_time", cell, (*NEEDS, "zero_state"))
        self.reverse = flag("over_time", "reverse", reverse)
        self.input_size, self.output_size = cell.input_size, output_size(cell)

    def __repr__(self) -> str:
        return f"over_time({self.cell!r}, reverse={self.reverse})"

    def init(self, seed: int = 0) -> Params:
        return self.cell.init(seed)

    def __call__(
        self, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
    ) -> tuple[Any, mg.Tensor]:
        return unroll(self.cell, params, xs, carry, lengths, self.reverse)


class Bidirectional:
    """What `bidirectional` returns."""

    def __init__(self, cell: Any, backward_cell: Any, lookahead: int | None) -> None:
        for what, one in (("cell", cell), ("backward_cell", backward_cell)):
            cell_like("bidirectional", one, (*NEEDS, "zero_state"), what)
        if cell.input_size != backward_cell.input_size:
            raise ValueError(
                f"bidirectional: backward_cell has input_size={backward_cell.input_size}; both "
                f"cells read the same inputs, of size {cell.input_size}"
            )
        if lookahead is not None and not (whole(lookahead) and lookahead >= 0):
            raise ValueError(
                "bidirectional: lookahead must be None or a number of steps, at least 0; got "
                f"{shown(lookahead)}"
            )
        self.cell, self.backward_cell, self.lookahead = cell, backward_cell, lookahead
        self.input_size = cell.input_size
        self.output_size = output_size(cell) + output_size(backward_cell)

    def __repr__(self) -> str:
        return f"bidirectional({self.cell!r}, {self.backward_cell!r}, lookahead={self.lookahead})"

    def init(self, seed: int = 0) -> Params:
        a, b = seeds(seed, 2)
        return {"forward": self.cell.init(a), "backward": self.backward_cell.init(b)}

    def __call__(
        self, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
    ) -> tuple[Any, mg.Tensor]:
        if carry is not None and not (isinstance(carry, (tuple, list)) and len(carry) == 2):
            raise ValueError(
                "bidirectional: carry must be a pair of states, of the cell that reads forwards "
                f"and of the one that reads backwards; got {type(carry).__name__}"
            )
        part("bidirectional", params, "forward"), part("bidirectional", params, "backward")
        ahead, back = (None, None) if carry is None else carry
        last, forward = unroll(self.cell, params["forward"], xs, ahead, lengths)
        theta = params["backward"]
        if self.lookahead is None:
            first, backward = unroll(self.backward_cell, theta, xs, back, lengths, reverse=True)
        else:
            first, backward = _windows(self.backward_cell, theta, xs, back, lengths, self.lookahead)
        return (last, first), mg.concat([forward, backward], axis=-1)


def _windows(
    cell: Any, params: Params, xs: Any, carry: Any, lengths: Any, k: int
) -> tuple[Any, mg.Tensor]:
    """For every step t of every sequence a chain over x_{t+k}, ..., x_t (as far as there are).

    Its last output is row t of ys, its last state at t = 0 the final state.
    Node j of a chain of `count` nodes reads row (t + count - 1 - j, b) of xs through an index.
    """
    check_cell("bidirectional", cell, params, xs, carry)
    xs, time, batch = _extent(xs, (carry,), lengths, None)
    size = 1 if batch is None else batch
    given = checked_lengths("bidirectional", lengths, time, size, "xs has")
    start = _start(cell, params, carry, batch)
    rows = np.flatnonzero(np.arange(time)[:, None] < given)  # a chain for each, t after t
    t, b = rows // max(size, 1), rows % max(size, 1)
    count = np.minimum(k + 1, given[b] - t)
    chains = mg.Structure.chain(count.tolist())
    end = np.cumsum(count) - 1
    ahead = np.repeat(end, count) - np.arange(chains.n)
    place = np.zeros(time * size, np.int64)
    place[rows] = np.arange(len(rows))  # padding is no row of the table: it may be NaN
    read = place[np.repeat(rows, count) + ahead * size]
    dense = bool((given == time).all())
    kept = None if dense else rows
    inputs = pytrees.tree_map(
        lambda x: mg.Indexed(_to_rows(mg.asarray(x), time, batch, kept), read), xs
    )
    initial = pytrees.tree_map(lambda s: s if len(s) == 1 else mg.take(s, b), start)
    states, outputs = mg.recur(cell, chains, initial=initial, shared=params, inputs=inputs)
    first = np.zeros(size, np.int64)
    first[given > 0] = end[: np.count_nonzero(given)]
    final = pytrees.tree_map(lambda s, s0: _final(s, s0, first, given, batch), states, start)
    ys = _to_time(mg.take(outputs, end), time, batch, kept)
    return final, ys


class Layered:
    """What `layered` returns."""

    def __init__(self, nets: Sequence[Any]) -> None:
        follows("layered", nets)
        self.nets = tuple(nets)
        self.input_size, self.output_size = nets[0].input_size, nets[-1].output_size

    def __repr__(self) -> str:
        return f"layered({', '.join(map(repr, self.nets))})"

    def init(self, seed: int = 0) -> Params:
        each = zip(self.nets, seeds(seed, len(self.nets)), strict=True)
        return {f"layer{k}": net.init(s) for k, (net, s) in enumerate(each)}

    def __call__(
        self, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
    ) -> tuple[Any, mg.Tensor]:
        starts = (None,) * len(self.nets) if carry is None else carry
        if not isinstance(starts, (tuple, list)) or len(starts) != len(self.nets):
            count = len(starts) if isinstance(starts, (tuple, list)) else type(starts).__name__
            raise ValueError(
                f"layered: carry has {count} parts; it must have one per layer, {len(self.nets)}"
            )
        finals = []
        for k, (net, start) in enumerate(zip(self.nets, starts, strict=True)):
            final, xs = net(part("layered", params, f"layer{k}"), xs, lengths, start)
            finals.append(final)
        return tuple(finals), xs
