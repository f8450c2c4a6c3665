"""Sequences whose lengths are data: an argument of a compiled function, one graph for all of them.

Where lengths are known while a graph is recorded, a batch has a node for each step there is.  Where
they are a Tensor that is not, each of its sequences has all T nodes: behind a sequence's end a node
reads zeros, hands on the state that it got, and its output is 0.  Values and gradients are those of
the other way, also where the padding holds NaN; more is computed, and nothing is traced again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees
from minigrad.ops.indexing import CHECKED
from minigrad.pytrees import tree_leaves as leaves_of
from minigrad.tracing import name_of, traces_of

from . import options


def lengths_of(
    who: str, given: Any, time: int, batch: int, there: str = "there are", least: int = 0
) -> np.ndarray | mg.Tensor:
    """(batch,) how many of `time` steps each sequence has, None: all.  As an array, or as a Tensor
    where that is known only when a traced function runs; then they are checked at every call."""
    if not options.is_data(given):
        return options.lengths(who, given, time, batch, there)
    if given.shape != (batch,) or given.dtype.kind not in "iu":
        raise ValueError(
            f"{who}: lengths must be {batch} integers, one per sequence; got {given.dtype} of "
            f"shape {given.shape}"
        )
    if given.op is CHECKED and given.attrs["start"] >= least and given.attrs["stop"] <= time + 1:
        return given
    return mg.checked(given, least, time + 1, what=f"{who}: lengths")


def checked_once(who: str, given: Any, xs: Any) -> Any:
    """Lengths of sequences xs (time, batch, ...) for several that look at them: if they are data,
    looked over once."""
    shapes = [np.shape(x) if not isinstance(x, mg.Tensor) else x.shape for x in leaves_of(xs)]
    if not shapes or len(shapes[0]) < 2 or not options.is_data(given):
        return given
    time, *batch = shapes[0][:-1]
    return lengths_of(who, given, time, batch[0] if batch else 1)


def running(lengths: np.ndarray | mg.Tensor, time: int) -> Any:
    """(time, batch) booleans: step t of sequence b is one of its first lengths[b]."""
    steps = np.arange(time)[:, None]
    return steps < lengths if isinstance(lengths, np.ndarray) else mg.less(steps, lengths)


def kept(mask: Any, x: mg.Tensor) -> mg.Tensor:
    """x (time, batch, ...) where `mask` holds, else 0."""
    if isinstance(mask, np.ndarray) and mask.all():
        return x
    axes = tuple(range(mask.ndim, x.ndim))
    return mg.where(mg.expand_dims(mask, axis=axes) if axes else mask, x, mg.zeros_like(x))


class Ending:
    """A cell that knows where its sequence ends: called with x = (x_t, (t, length)).

    memory: x_t is (x_t, what all steps read), which has an end of its own.
    """

    def __init__(self, cell: Callable, memory: bool) -> None:
        try:  # it lives as long as the cell, which it is kept with, and does not keep it alive
            self.cell: Callable[[], Any] = weakref.ref(cell)
        except TypeError:
            self.cell = lambda: cell
        self.memory, self.name = memory, name_of(cell)
        self.state_names = getattr(cell, "state_names", ())

    def __call__(self, params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        x, (step, length) = x
        inside = step < length
        given = x[0] if self.memory else x
        given = pytrees.tree_map(lambda a: mg.where(inside, a, mg.zeros_like(a)), given)
        new, y = self.cell()(params, carry, (given, x[1]) if self.memory else given)
        state = pytrees.tree_map(lambda a, old: mg.where(inside, a, old), new, carry)
        return state, pytrees.tree_map(lambda a: mg.where(inside, a, mg.zeros_like(a)), y)


def masked(
    cell: Callable, inputs: Any, lengths: mg.Tensor, rows: np.ndarray, dtype: np.dtype,
    memory: bool,
) -> tuple[Callable, Any]:  # fmt: skip
    """The cell and its inputs, (t, b) after (t, b) in `rows`, with the end of each sequence.

    dtype: of the state; times are numbers of that dtype, as all that a cell computes with.
    """
    known = traces_of(cell)
    found = known.setdefault(("masked", memory), Ending(cell, memory))
    size, ends = max(len(lengths), 1), mg.astype(lengths, dtype)
    return found, (inputs, ((rows // size).astype(dtype), mg.Indexed(ends, rows % size)))


def at_ends(hs: mg.Tensor, lengths: mg.Tensor) -> mg.Tensor:
    """The outputs (time, batch, ...) at each sequence's last step; of an empty one 0."""
    time, batch, *rest = hs.shape
    rows = mg.maximum(lengths - 1, 0) * batch + np.arange(batch)
    return kept(lengths > 0, mg.take(mg.reshape(hs, (time * batch, *rest)), rows))
