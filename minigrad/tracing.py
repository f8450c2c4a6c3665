"""From functions to blocks: tracing a cell at one node, and `recur`, which repeats it.

A function is traced once per signature (the shapes and dtypes of what it is given);
its traces live as long as the function object does.
Everything it may see comes in as an argument.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, compress
from typing import Any

import numpy as np

from . import pytrees, static
from .chunks import checkpointed
from .graph import CONSTANT, INPUT, Tensor, Trace, placeholder, toposort, trace_call, where_recorded
from .ops.arrays import asarray
from .pytrees import tree_leaves as leaves_of
from .recur import ROW, SHARED, Block, Index, Via, proj, recurrence
from .structure import Structure

_known: dict[int, tuple[weakref.ref, dict]] = {}  # id(function) -> its traces, while it lives


def _forget(key: int, _: weakref.ref, known: dict = _known) -> None:
    known.pop(key, None)  # at the end of the process the module has lost its names


def traces_of(f: Callable) -> dict:
    """The traces kept for one function object; forgotten with it.

    By identity: equal is not the same.
    """
    entry = _known.get(id(f))
    if entry is None or entry[0]() is not f:
        try:
            forget = partial(_forget, id(f))
            entry = (weakref.ref(f, forget), {})
        except TypeError:
            return {}
        _known[id(f)] = entry
    return entry[1]


def name_of(f: Callable) -> str:
    name = getattr(f, "name", None) or getattr(f, "__name__", None) or type(f).__name__
    return name if isinstance(name, str) else type(f).__name__


def path_name(prefix: str, path: tuple) -> str:
    """'cell.W_f' from a pytree path; a lone leaf is called by its prefix."""
    return ".".join(str(p) for p in path) if path else prefix


def placeholders(
    prefix: str, tree: Any, trace: Trace, names: Sequence[str] = (), drop: int = 0
) -> Any:
    """A pytree of placeholders like the arrays in `tree`, without their first `drop` axes."""
    paths, leaves, spec = pytrees.tree_flatten_with_path(tree)
    named = names if len(names) == len(leaves) else [path_name(prefix, p) for p in paths]
    new = [
        placeholder(t.shape[drop:], t.dtype, n, trace) for t, n in zip(leaves, named, strict=True)
    ]
    return pytrees.tree_unflatten(spec, new)


def refuse_captured(trace: Trace, outputs: Sequence[Tensor], remedy: str) -> None:
    """A traced function is a function of its arguments.

    Tensors made outside it cannot be seen inside: TypeError.
    """
    for t in toposort(outputs):
        if t.op in (CONSTANT, INPUT) and t.attrs.get("trace") is not trace:
            at = where_recorded(t)
            raise TypeError(
                f"{trace.name} uses the Tensor {t.name or repr(t)} made outside of it"
                f"{f' at {at}' if at else ''}. "
                f"A traced function sees its arguments only: {remedy}"
            )


class Indexed:
    """An input that node n reads at row rows[n] of a table; nothing is copied per node.

    table : (M, ...), an array or a Tensor.
    rows  : (N,) integers, -1 for zeros.

    Raises ValueError for rows that are not one integer per node, or no rows of the table;
    TypeError for rows that are an argument of a function being traced.
    """

    def __init__(self, table: Any, rows: Any) -> None:
        if isinstance(rows, Tensor) and rows.op is INPUT:
            raise TypeError(
                f"Indexed: rows of shape {rows.shape} are an argument of a function that is being "
                "traced; which node reads which row is known then, as the structure is: make "
                "Indexed outside, or look the rows up with mg.take(table, rows)"
            )
        self.table = asarray(table)
        try:
            self.rows = np.asarray(rows)
        except ValueError:
            what = "Indexed: rows must be one integer per node; got a ragged list"
            raise ValueError(what) from None
        self.shape, self.dtype = self.table.shape, self.table.dtype
        size = self.shape[0] if self.shape else 0
        if self.rows.ndim != 1 or self.rows.dtype.kind not in "iu":
            raise ValueError(
                "Indexed: rows must be one integer per node; got "
                f"{self.rows.dtype}{self.rows.shape}"
            )
        if self.rows.size and not (-1 <= self.rows.min() and self.rows.max() < size):
            raise ValueError(
                f"Indexed: row numbers go from -1 to {size - 1}; got {self.rows.min()} to "
                f"{self.rows.max()}"
            )


def _signature(tree: Any, drop: int = 0) -> tuple:
    """Structure, shapes and dtypes at one node: the first `drop` axes count the rows."""
    return static.form(tree), tuple((t.shape[drop:], t.dtype) for t in leaves_of(tree))


def trace_cell(
    cell: Callable, slots: int, shared: Any, state: Any, x: Any, bare: tuple[tuple[bool, ...], ...]
) -> tuple[Block, Any]:
    """`cell(shared, carry, x) -> (carry, y)` at one node, as a Block; and the pytree of y.

    state            : one node's state with a leading axis in front.
    x                : likewise (a row per node).
    bare[slot][leaf] : an initial state is to be added to that leaf of that slot.

    Block inputs: shared, x, then the initial states.
    """
    known = traces_of(cell)
    key = slots, _signature(shared), _signature(state, drop=1), _signature(x, drop=1), bare
    if key in known:
        return known[key]
    trace = Trace(name_of(cell))
    shared_in = placeholders("theta", shared, trace)
    x_in = placeholders("x", x, trace, drop=1)
    names = getattr(cell, "state_names", ())
    arrived = [placeholders("h", state, trace, names, drop=1) for _ in range(slots)]
    initial = [
        placeholders("h0", state, trace, [f"{n}0" for n in names], drop=1) for _ in range(slots)
    ]
    spec = pytrees.tree_structure(state)

    def run() -> tuple[Any, Any]:
        carry = []
        for k in range(slots):
            pairs = zip(leaves_of(arrived[k]), leaves_of(initial[k]), bare[k], strict=True)
            carry.append(pytrees.tree_unflatten(spec, [a + i if b else a for a, i, b in pairs]))
        result = cell(shared_in, tuple(carry) if slots > 1 else carry[0], x_in)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                f"{trace.name} must return (carry, y); it returned {type(result).__name__}"
            )
        return pytrees.tree_map(asarray, result[0]), pytrees.tree_map(asarray, result[1])

    carry_out, y = trace_call(trace, run)
    if pytrees.tree_structure(carry_out) != spec:
        raise TypeError(
            f"{trace.name}: the carry leaves as {pytrees.tree_structure(carry_out)} but entered as "
            f"{spec}"
        )
    paths = pytrees.tree_paths(state)
    for path, a, b in zip(paths, leaves_of(carry_out), leaves_of(arrived[0]), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(
                f"{trace.name}: carry {path_name('state', path)} enters as "
                f"{b.dtype}{list(b.shape)} and leaves as {a.dtype}{list(a.shape)}; "
                "make the initial state and the parameters agree (mg.astype)"
            )
    sent, outputs = leaves_of(carry_out), leaves_of(y)
    refuse_captured(trace, [*sent, *outputs], "give it in `shared`, `inputs` or `initial`")
    block = Block(
        trace.name,
        (
            *leaves_of(shared_in), *leaves_of(x_in),
            *compress(chain(*map(leaves_of, initial)), chain(*bare)),
        ),
        tuple(outputs),
        {(s, leaf): t for s in range(slots) for leaf, t in enumerate(leaves_of(arrived[s]))},
        {(0, leaf): t for leaf, t in enumerate(sent)},
    )  # fmt: skip
    known[key] = block, pytrees.tree_structure(y)
    return known[key]


def recur(
    cell: Callable[..., tuple[Any, Any]],
    structure: Structure,
    *,
    initial: Any,
    shared: Any = None,
    inputs: Any = None,
    checkpoint: int | None = None,
) -> tuple[Any, Any]:
    """Apply `cell` at every node of `structure`.

    cell    : cell(shared, carry, x) -> (carry, y),
              written for ONE node and traced once per signature.
              With several slots, carry is a tuple with one state per slot
              (and the returned carry is one state).
    initial : pytree like the state; leading axis 1, or one row per component.
              It enters every slot that no edge feeds.
    shared  : pytree of parameters, the same at every node.
    inputs  : pytree of arrays with one row per node, (N, ...), or `Indexed` tables;
              None for a cell without.
    checkpoint : keep the states of every so many levels only, and compute what lies between again
              in the backward pass (Chen et al. 2016, "Training deep nets with sublinear memory
              cost"): less memory for about a forward pass more.  Values and derivatives of any
              order are the same, over any structure.  None keeps all.
              What is read as a whole, such as all the outputs, is there as a whole.

    Returns (states, outputs), pytrees with a row per node, (N, ...).
    One row per component: of a batch the sequences, of a forest the trees.

    Raises ValueError or TypeError naming the leaf whose leading axis, shape or dtype does not fit,
    for a cell that uses Tensors from outside, and a checkpoint that is no integer from 1 on.
    """
    if not callable(cell) or isinstance(cell, (type, Tensor)):
        raise TypeError(
            f"recur: cell must be a function cell(shared, carry, x) -> (carry, y); got {cell!r:.80}"
        )
    if not isinstance(structure, Structure):
        raise TypeError(f"recur: structure must be a mg.Structure, not {type(structure).__name__}")
    structure = checkpointed(structure, checkpoint)
    zero = [isinstance(t, np.ndarray) and not t.any() for t in leaves_of(initial)]
    shared, state = pytrees.tree_map(asarray, shared), pytrees.tree_map(asarray, initial)
    xs = pytrees.tree_map(lambda x: x if isinstance(x, Indexed) else asarray(x), inputs)
    _check_rows("inputs", xs, (structure.n,), f"the structure has {structure.n} nodes")
    parts = structure.components
    _check_rows("initial", state, (1, parts), f"it must be 1, or {parts}: one row per component")
    open_rows = [structure.without_edge(s) for s in range(structure.slots)]
    bare = tuple(tuple(bool(rows.any()) and not z for z in zero) for rows in open_rows)
    block, y_spec = trace_cell(cell, structure.slots, shared, state, xs, bare)
    args = leaves_of(shared)
    vias = [SHARED] * len(args)
    for x in leaves_of(xs):
        args.append(x.table if isinstance(x, Indexed) else x)
        vias.append(Index(x.rows, x.shape[0]) if isinstance(x, Indexed) else ROW)
    for rows, row in zip(open_rows, bare, strict=True):
        entries: dict[int, Via] = {}
        for t, used in zip(leaves_of(state), row, strict=True):
            if used:
                at = structure.component if t.shape[0] == parts else 0
                args.append(t)
                vias.append(entries.setdefault(len(t), Index(np.where(rows, at, -1), len(t))))
    r = recurrence(block, structure, args, vias)
    states = [proj(r, t, ROW) for t in block.ports.values()]
    outputs = [proj(r, t, ROW) for t in block.outputs]
    spec = pytrees.tree_structure(state)
    return pytrees.tree_unflatten(spec, states), pytrees.tree_unflatten(y_spec, outputs)


def _check_rows(what: str, tree: Any, allowed: tuple[int, ...], why: str) -> None:
    paths, leaves, _ = pytrees.tree_flatten_with_path(tree)
    for path, t in zip(paths, leaves, strict=True):
        rows = t.rows.shape if isinstance(t, Indexed) else t.shape
        if not rows or rows[0] not in allowed:
            named = f"{what}[{']['.join(map(repr, path))}]" if path else what
            raise ValueError(
                f"recur: {named} has shape {rows}; its leading axis does not fit: {why}"
            )
