"""Depth: the four places where a recurrent network can be deep (Pascanu et al. 2014).

    stack(a, b)                 stacked hidden states: b reads the output of a at the same step
    deep_input(cell, ...)       layers between x_t and the cell
    deep_transition(cell, ...)  layers between h_{t-1} and h_t
    deep_output(cell, ...)      layers between h_t and y_t

Each returns a cell, to be unrolled or composed again: stack(deep_transition(a, [8]), b).
Their parameters are nested dicts, their states nested tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .missing import Wrapped, output_size
from .options import cell_like, flag, sizes
from .options import seed as checked_seed
from .patterns import matrix

__all__ = ["deep_input", "deep_output", "deep_transition", "stack"]

Params = dict[str, Any]


def stack(*cells: Any) -> Stack:
    """Stacked hidden states (El Hihi and Bengio 1996; Graves 2013): at every step,

        s_k, y_k = cell_k(s_k, y_{k-1}),   y_0 = x,   y = y_K

    params {"layer0": ..., "layer1": ...}, state (s_1, ..., s_K).

    Raises ValueError without cells, for what is no cell,
    or where a cell reads another number of inputs than the one below it gives.
    """
    return Stack(cells)


def deep_input(cell: Any, layers: Sequence[int]) -> DeepInput:
    """Deep input-to-hidden (Pascanu et al. 2014): the cell reads tanh(... tanh(x W_0 + b_0) ...).

    layers : sizes from x inwards, the last layer leading to cell.input_size.
             With [3, 16] x has 3 numbers, which become 16 and then what the cell takes.

    params {"cell": ..., "input": {"W_0", "b_0", ...}}.

    Raises ValueError for layers that are no list of one positive integer or more, or for no cell.
    """
    return DeepInput(cell, _sizes("deep_input", layers, 1))


def deep_transition(cell: Any, layers: Sequence[int] = (), shortcut: bool = True) -> DeepTransition:
    """Deep hidden-to-hidden transition (Pascanu et al. 2014, DT and, with shortcuts, DT(S)):

        m = cell(h_{t-1}, x_t),   h_t = tanh(... tanh(m W_0 + b_0) ... W_L + b_L [+ h_{t-1} S])
        y = h_t

    cell     : one whose output is a part of its state, as h is of the LSTM's (h, c).
               The other parts stay as the cell leaves them.
    layers   : sizes of what lies between m and h_t; () for one layer from m to h_t.
    shortcut : with h_{t-1} S, which keeps the way back through time short.

    params {"cell": ..., "transition": {"W_0", "b_0", ..., "S"}}.

    Raises ValueError for layers that are no list of positive integers, a shortcut that is no bool,
    or for no cell; when called, where the cell's output is no part of its state.
    """
    return DeepTransition(cell, _sizes("deep_transition", layers, 0), shortcut)


def deep_output(cell: Any, layers: Sequence[int]) -> DeepOutput:
    """Deep hidden-to-output (Pascanu et al. 2014, DO), the last layer linear:

        y = tanh(... tanh(h W_0 + b_0) ...) W_L + b_L

    layers : sizes from the cell outwards: with [16, 4] its output becomes 16 numbers, then 4.

    params {"cell": ..., "output": {"W_0", "b_0", ...}}.

    Raises ValueError for layers that are no list of one positive integer or more, or for no cell.
    """
    return DeepOutput(cell, _sizes("deep_output", layers, 1))


def _sizes(who: str, layers: Sequence[int], least: int) -> tuple[int, ...]:
    if not isinstance(layers, (list, tuple)) or len(layers) < least:
        raise ValueError(f"{who}: layers must be a list of at least {least} sizes; got {layers!r}")
    sizes(who, **{f"layers[{k}]": size for k, size in enumerate(layers)})
    return tuple(int(size) for size in layers)


def seeds(seed: Any, count: int) -> list[int]:
    """Independent seeds for the parts of a composition."""
    start = checked_seed("init", seed)
    return [int(s) for s in np.random.SeedSequence(start).generate_state(count)]


def follows(who: str, parts: Sequence[Any]) -> None:
    """Raise ValueError unless each part reads as many numbers as the one before it gives."""
    if not parts:
        raise ValueError(f"{who}: give at least one cell")
    for k, part in enumerate(parts):
        cell_like(who, part, what=f"layer {k}")
    for k, (a, b) in enumerate(zip(parts, parts[1:], strict=False)):
        if output_size(a) != b.input_size:
            raise ValueError(
                f"{who}: layer {k} gives {output_size(a)} numbers but layer {k + 1} reads "
                f"input_size={b.input_size}"
            )


def shapes_of(cell: Any) -> Params:
    """The shapes of a cell's parameters, as far as it says them."""
    return cell.shapes() if hasattr(cell, "shapes") else {}


class Stack:
    """What `stack` returns."""

    def __init__(self, cells: Sequence[Any]) -> None:
        follows("stack", cells)
        self.cells = tuple(cells)
        self.input_size, self.output_size = cells[0].input_size, output_size(cells[-1])
        self.hidden_size = getattr(cells[-1], "hidden_size", self.output_size)
        self.reads_input = getattr(cells[0], "reads_input", False)
        names = [getattr(cell, "state_names", ()) for cell in cells]
        self.state_names = tuple(f"{n}_{k}" for k, own in enumerate(names) for n in own)
        self.name = "stack of " + ", ".join(getattr(c, "name", type(c).__name__) for c in cells)

    def __repr__(self) -> str:
        return f"stack({', '.join(map(repr, self.cells))})"

    def init(self, seed: int = 0) -> Params:
        each = zip(self.cells, seeds(seed, len(self.cells)), strict=True)
        return {f"layer{k}": cell.init(s) for k, (cell, s) in enumerate(each)}

    def shapes(self) -> Params:
        return {f"layer{k}": shapes_of(cell) for k, cell in enumerate(self.cells)}

    def zero_state(self, dtype: Any = np.float64) -> Any:
        return tuple(cell.zero_state(dtype) for cell in self.cells)

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        states = []
        for k, (cell, s) in enumerate(zip(self.cells, carry, strict=True)):
            s, x = cell(params[f"layer{k}"], s, x)
            states.append(s)
        return tuple(states), x


def _dense(sizes: Sequence[int], seed: int) -> Params:
    """W_k, b_k of the layers between `sizes`."""
    rng = np.random.default_rng(seed)
    params: Params = {}
    for k, (rows, columns) in enumerate(zip(sizes, sizes[1:], strict=False)):
        params[f"W_{k}"], params[f"b_{k}"] = matrix(rng, rows, columns), np.zeros(columns)
    return params


def _dense_shapes(sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (rows, columns) in enumerate(zip(sizes, sizes[1:], strict=False)):
        shapes |= {f"W_{k}": (rows, columns), f"b_{k}": (columns,)}
    return shapes


def _layer(params: Params, k: int, a: Any) -> mg.Tensor:
    return a @ params[f"W_{k}"] + params[f"b_{k}"]


class DeepInput(Wrapped):
    """What `deep_input` returns."""

    def __init__(self, cell: Any, sizes: tuple[int, ...]) -> None:
        super().__init__(cell)
        self.sizes, self.input_size = (*sizes, cell.input_size), sizes[0]

    def __repr__(self) -> str:
        return f"deep_input({self.cell!r}, {list(self.sizes[:-1])})"

    def init(self, seed: int = 0) -> Params:
        inner, own = seeds(seed, 2)
        return {"cell": self.cell.init(inner), "input": _dense(self.sizes, own)}

    def shapes(self) -> Params:
        return {"cell": shapes_of(self.cell), "input": _dense_shapes(self.sizes)}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        for k in range(len(self.sizes) - 1):
            x = mg.tanh(_layer(params["input"], k, x))
        return self.cell(params["cell"], carry, x)


class DeepTransition(Wrapped):
    """What `deep_transition` returns."""

    def __init__(self, cell: Any, sizes: tuple[int, ...], shortcut: bool) -> None:
        super().__init__(cell)
        self.sizes = (self.output_size, *sizes, self.output_size)
        self.shortcut = flag("deep_transition", "shortcut", shortcut)

    def __repr__(self) -> str:
        return f"deep_transition({self.cell!r}, {list(self.sizes[1:-1])}, {self.shortcut})"

    def init(self, seed: int = 0) -> Params:
        inner, own, short = seeds(seed, 3)
        transition = _dense(self.sizes, own)
        if self.shortcut:
            size = self.output_size
            transition["S"] = matrix(np.random.default_rng(short), size, size)
        return {"cell": self.cell.init(inner), "transition": transition}

    def shapes(self) -> Params:
        short = {"S": (self.output_size, self.output_size)} if self.shortcut else {}
        return {"cell": shapes_of(self.cell), "transition": _dense_shapes(self.sizes) | short}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        p, last = params["transition"], len(self.sizes) - 2
        state, m = self.cell(params["cell"], carry, x)
        leaves, spec = pytrees.tree_flatten(state)
        own = [leaf is m for leaf in leaves]
        if not any(own):
            raise ValueError(
                f"deep_transition: the output of {self.cell!r} is no part of its state; wrap the "
                "cell itself, and put deep_output and the like around the result"
            )
        before = pytrees.tree_leaves(carry)[own.index(True)]
        for k in range(last):
            m = mg.tanh(_layer(p, k, m))
        total = _layer(p, last, m)
        if self.shortcut:
            total = total + before @ p["S"]
        h = mg.tanh(total).named("h")
        new = [h if yes else leaf for yes, leaf in zip(own, leaves, strict=True)]
        return pytrees.tree_unflatten(spec, new), h


class DeepOutput(Wrapped):
    """What `deep_output` returns."""

    def __init__(self, cell: Any, sizes: tuple[int, ...]) -> None:
        super().__init__(cell)
        self.sizes, self.output_size = (self.output_size, *sizes), sizes[-1]

    def __repr__(self) -> str:
        return f"deep_output({self.cell!r}, {list(self.sizes[1:])})"

    def init(self, seed: int = 0) -> Params:
        inner, own = seeds(seed, 2)
        return {"cell": self.cell.init(inner), "output": _dense(self.sizes, own)}

    def shapes(self) -> Params:
        return {"cell": shapes_of(self.cell), "output": _dense_shapes(self.sizes)}

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        p, last = params["output"], len(self.sizes) - 2
        state, h = self.cell(params["cell"], carry, x)
        for k in range(last):
            h = mg.tanh(_layer(p, k, h))
        return state, _layer(p, last, h).named("y")
