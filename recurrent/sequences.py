"""Sequences: a cell unrolled over time, dense or ragged, forwards or backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .masking import lengths_of, masked
from .options import flag, shown, tensor
from .options import size as checked_size

__all__ = ["unroll"]


def unroll(
    cell: Callable,
    params: Any,
    xs: Any,
    carry: Any = None,
    lengths: Sequence[int] | None = None,
    reverse: bool = False,
    steps: int | None = None,
    memory: Any = None,
    checkpoint: int | None = None,
    truncate: int | None = None,
) -> tuple[Any, Any]:
    """Run `cell` over time: h_t, y_t = cell(params, h_{t-1}, x_t).  Returns (carry, ys).

    xs      : (T, B, I) for B sequences, or (T, I) for one;
              None with `steps=T` for a cell without inputs.
    carry   : the state before the first step, leaves (B, ...) (or without B for one sequence);
              default zeros.
    lengths : one per sequence, 0 to T; what lies behind a sequence's end is never looked at.
              As a list, a tuple or `Lengths`, which an `mg.function` is traced for, only what is
              there is computed.  Integers (B,) that are an argument of it serve all lengths with
              one trace: all T steps are computed, for the same values and derivatives.  That is
              faster where lengths are new at every call.
    reverse : run each sequence from its last step to its first.
    steps   : T, where there are no xs to tell it.
    memory  : leaves (B, ...), what every step of a sequence reads (a source to attend to).
              The cell is then given x = (x_t, memory of its sequence), never copied per step.
    checkpoint : keep the states of every so many steps only, and compute what lies between again
              in the backward pass: less memory for about a forward pass more, and the same values
              and derivatives (`mg.recur`).  None keeps all.
              A power of two near sqrt(T) to T / 10 is a good choice.
    truncate : let no gradient through between chunks of so many steps (truncated BPTT, Williams and
              Peng 1990), counted from where a sequence begins to run; values are the same.
              None lets all through.

    Returns
    carry : each sequence's last state, (B, ...) or (...); of an empty sequence: where it started.
    ys    : leaves (T, B, ...) or (T, ...), each at its input's time;
            rows behind a sequence's end are 0.

    Both have the dtype the cell computes in: that of xs and params, promoted as in NumPy.

    Raises TypeError for a cell that is no function, or xs that are no numbers;
    ValueError naming the argument whose shape does not fit, or that is no number of steps.
    """
    if not callable(cell) or isinstance(cell, (type, mg.Tensor)):
        raise TypeError(
            "unroll: the order is unroll(cell, params, xs), with a function cell(params, carry, x) "
            f"-> (carry, y); got {shown(cell)} for cell"
        )
    reverse = flag("unroll", "reverse", reverse)
    check_cell("unroll", cell, params, xs, carry)
    xs, time, batch = _extent(xs, (carry, memory), lengths, steps)
    check_input("unroll", cell, next(iter(pytrees.tree_leaves(xs)), None))
    size = 1 if batch is None else batch
    ends = lengths_of("unroll", lengths, time, size, "xs has")
    given = np.full(size, time) if isinstance(ends, mg.Tensor) else ends
    start = _start(cell, params, carry, batch)
    dense = bool((given == time).all())
    rows = np.flatnonzero(np.arange(time)[:, None] < given)  # (t, b) flattened: time after time
    inputs: Any = pytrees.tree_map(
        lambda x: _to_rows(mg.asarray(x), time, batch, None if dense else rows), xs
    )
    if memory is not None:
        inputs = inputs, pytrees.tree_map(lambda m: _per_sequence(m, rows, batch), memory)
    step = cell
    if isinstance(ends, mg.Tensor):
        if truncate is not None:
            raise ValueError(
                "unroll: with truncate, lengths must be known while the function is traced: give "
                "them as a list or rc.Lengths"
            )
        dtype = next((np.dtype(s.dtype) for s in pytrees.tree_leaves(start)), np.dtype(float))
        step, inputs = masked(cell, inputs, ends, rows, dtype, memory is not None)
    structure = _truncated(_steps(rows, given, time, reverse), truncate)
    if checkpoint is not None:
        checkpoint = checked_size("unroll", "checkpoint", checkpoint, 1)
    states, outputs = mg.recur(
        step, structure, initial=start, shared=params, inputs=inputs, checkpoint=checkpoint
    )
    stop = np.zeros_like(given) if reverse else given - 1
    last = np.searchsorted(rows, stop * size + np.arange(size))
    final = pytrees.tree_map(lambda s, s0: _final(s, s0, last, given, batch), states, start)
    ys = pytrees.tree_map(lambda y: _to_time(y, time, batch, None if dense else rows), outputs)
    return final, ys


def _extent(xs: Any, carry: Any, lengths: Any, steps: int | None) -> tuple[Any, int, int | None]:
    """The inputs, the number of time steps, and the number of sequences.

    None sequences: one, without an axis of its own.
    """
    leaves = pytrees.tree_leaves(xs)
    if not leaves:
        if steps is None:
            raise ValueError("unroll: without inputs (xs=None) give the number of steps, steps=")
        steps = checked_size("unroll", "steps", steps, 0)
        ndims = {np.ndim(t) for t in pytrees.tree_leaves(carry)}
        if lengths is None and (not ndims or max(ndims) < 2):
            return xs, steps, None
        if lengths is None:
            return xs, steps, np.shape(pytrees.tree_leaves(carry)[0])[0]
        return xs, steps, lengths.size if isinstance(lengths, mg.Tensor) else np.size(lengths)
    for x in leaves:
        if not isinstance(x, mg.Tensor) and np.asarray(x).dtype.kind not in "fiub":
            raise TypeError(
                "unroll: xs must be numbers (T, B, I) or (T, I); the order is unroll(cell, params, "
                f"xs); got {shown(x)}"
            )
    shapes = [np.shape(x) if not isinstance(x, mg.Tensor) else x.shape for x in leaves]
    wide = {len(s) for s in shapes}
    if min(wide) < 2 and lengths is None or not min(wide):
        raise ValueError(f"unroll: xs must be (T, B, I) or (T, I); got shape {shapes[0]}")
    batched = max(wide) > 2 or lengths is not None and max(wide) != 2
    extents = {s[: 1 + batched] for s in shapes}
    if len(extents) > 1:
        raise ValueError(
            f"unroll: the leaves of xs differ in their leading axes: {sorted(extents)}; with "
            "three axes or more (T, B) lead in all, so for one sequence with a matrix per step put "
            "in an axis of length 1: (T, 1, I, J)"
        )
    extent = extents.pop()
    if len(extent) < 1 + batched:
        raise ValueError(f"unroll: xs must be (T, B, I) or (T, I); got shape {shapes[0]}")
    if steps is not None and checked_size("unroll", "steps", steps, 0) != extent[0]:
        raise ValueError(f"unroll: steps={steps} but xs has {extent[0]} time steps")
    return xs, extent[0], extent[1] if batched else None


def check_cell(who: str, cell: Any, params: Any, xs: Any, carry: Any) -> None:
    """Raise ValueError for parameters, inputs or a state that a shipped cell cannot take.

    The error names the argument and the shape it should have.
    """
    if hasattr(cell, "shapes"):
        check_params(who, repr(cell), cell.shapes(), params)
    size = getattr(cell, "input_size", None)
    first = next(iter(pytrees.tree_leaves(xs)), None)
    if size and first is not None and np.ndim(first) > 1 and np.shape(first)[-1] != size:
        raise ValueError(
            f"{who}: xs must be (T, B, {size}) or (T, {size}) for {cell!r}; got shape "
            f"{tuple(np.shape(first))}"
        )
    check_carry(who, cell, carry)


def check_input(who: str, cell: Any, first: Any) -> None:
    """Raise ValueError where a shipped cell that reads inputs is given none."""
    if first is None and getattr(cell, "reads_input", False):
        raise ValueError(f"{who}: xs is missing; {cell!r} reads {cell.input_size} numbers a step")


def check_carry(who: str, cell: Any, carry: Any) -> None:
    """Raise ValueError for a state whose shapes are not those of a shipped cell's."""
    if carry is None or not hasattr(cell, "zero_state"):
        return
    wanted, spec = pytrees.tree_flatten(cell.zero_state(np.float64))
    leaves, found = pytrees.tree_flatten(pytrees.tree_map(mg.asarray, carry))
    sizes = [(*np.shape(c)[:-1], z.shape[-1]) for c, z in zip(leaves, wanted, strict=False)]
    if spec != found or any(np.shape(c) != s for c, s in zip(leaves, sizes, strict=True)):
        like = pytrees.tree_unflatten(spec, [("B", z.shape[-1]) for z in wanted])
        got = pytrees.tree_unflatten(found, [tuple(np.shape(c)) for c in leaves])
        raise ValueError(f"{who}: carry must have the shapes {like} for {cell!r}; got {got}")


def check_params(who: str, cell: str, shapes: Any, params: Any, at: str = "params") -> None:
    """`params` against a table of shapes, nested like them; further entries do not matter."""
    for name, shape in shapes.items():
        here = f"{at}[{name!r}]"
        if not isinstance(params, dict) or name not in params:
            if not isinstance(params, (dict, np.ndarray, mg.Tensor, list, tuple)):
                raise TypeError(
                    f"{who}: {at} must be a dict, as {cell}.init gives; got {shown(params)}"
                )
            raise ValueError(f"{who}: {here} is missing; {cell} needs {sorted(shapes)}")
        if isinstance(shape, dict):
            check_params(who, cell, shape, params[name], here)
            continue
        given = tensor(who, here, params[name])
        if given.shape != shape:
            found = given.shape
            raise ValueError(f"{who}: {here} has shape {found}; {cell} needs {shape}")


def start_state(who: str, cell: Any, params: Any) -> Any:
    """A cell's zero state in the dtype of its parameters."""
    if not hasattr(cell, "zero_state"):
        raise ValueError(
            f"{who}: {getattr(cell, '__name__', type(cell).__name__)} has no zero_state of its "
            "own; give its first state with carry="
        )
    dtypes = [mg.asarray(p).dtype for p in pytrees.tree_leaves(params)]
    floats = [d for d in dtypes if d.kind == "f"]
    return cell.zero_state(np.result_type(*floats) if floats else np.float64)


def _start(cell: Any, params: Any, carry: Any, batch: int | None) -> Any:
    """The first state with a leading axis: 1, or one row per sequence."""
    if carry is None:
        return start_state("unroll", cell, params)

    def leading(leaf: Any) -> Any:
        shape = leaf.shape if isinstance(leaf, mg.Tensor) else np.shape(leaf)
        if batch is not None and (not shape or shape[0] != batch):
            raise ValueError(
                f"unroll: carry has a leaf of shape {shape}; its leading axis must be {batch}, for "
                f"xs has {batch} sequences, (T, B, ...). (One sequence with a matrix per step has "
                "xs (T, 1, I, J) and carry (1, ...).)"
            )
        if isinstance(leaf, mg.Tensor):
            return leaf if batch is not None else mg.expand_dims(leaf, axis=0)
        array = np.asarray(leaf)  # stays an array: recur leaves out a start that is known to be 0
        return array if batch is not None else array[None]

    return pytrees.tree_map(leading, carry)


def _steps(rows: np.ndarray, given: np.ndarray, time: int, reverse: bool) -> mg.Structure:
    """The chains of a batch, with rows time after time, as the inputs lie."""
    size = len(given)
    at = np.full(time * size, -1)
    at[rows] = np.arange(len(rows))
    later = np.flatnonzero(rows >= size)
    earlier = at[rows[later] - size]
    step, sequence = rows // max(size, 1), rows % max(size, 1)
    src, dst, level = (
        (later, earlier, given[sequence] - 1 - step) if reverse else (earlier, later, step)
    )
    none = np.zeros(len(later), np.int64)
    return mg.Structure(len(rows), src, dst, none, none, level, parts=(sequence, size))


def _truncated(structure: mg.Structure, every: int | None) -> mg.Structure:
    """Without gradients along the edges into every `every`-th level."""
    if every is None:
        return structure
    every = checked_size("unroll", "truncate", every, 1)
    return structure.truncated(structure.level[structure.dst] % every > 0)


def _per_sequence(leaf: Any, rows: np.ndarray, batch: int | None) -> mg.Indexed:
    """A table with a row per sequence, which each of its steps reads."""
    t = mg.asarray(leaf)
    table = mg.expand_dims(t, axis=0) if batch is None else t
    size = 1 if batch is None else batch
    if not table.ndim or len(table) != size:
        raise ValueError(
            f"unroll: memory has a leaf of shape {t.shape}; its leading axis must be {size}"
        )
    return mg.Indexed(table, rows % max(size, 1))


def _to_rows(x: mg.Tensor, time: int, batch: int | None, rows: np.ndarray | None) -> mg.Tensor:
    flat = x if batch is None else mg.reshape(x, (time * batch, *x.shape[2:]))
    return flat if rows is None else mg.take(flat, rows)


def _to_time(y: mg.Tensor, time: int, batch: int | None, rows: np.ndarray | None) -> mg.Tensor:
    flat = y if rows is None else mg.scatter(y, rows, time * (batch or 1))
    return flat if batch is None else mg.reshape(flat, (time, batch, *y.shape[1:]))


def _final(
    states: mg.Tensor, start: Any, last: np.ndarray, given: np.ndarray, batch: int | None
) -> mg.Tensor:
    start = mg.broadcast_to(mg.astype(start, states.dtype), (len(given), *states.shape[1:]))
    if not len(states):
        final = start
    elif given.all():
        final = mg.take(states, last)
    else:
        ran = (given > 0).reshape(-1, *(1,) * (states.ndim - 1))
        final = mg.where(ran, mg.take(states, np.where(given > 0, last, 0)), start)
    return final if batch is not None else final[0]
