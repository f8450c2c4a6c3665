"""`recur`: one block, repeated over a structure, as one node of the graph.

A **block** is a function traced once: a small graph with inputs, slots (the state that arrives) and ports (the
state that leaves).  A recurrence applies it at every node of a `Structure`.  Each argument enters by a *via*,
and `proj` lets any interior tensor of the block leave by one:

    via           as an input                          as an output
    SHARED        the same tensor for every node       the sum over the nodes
    ROW           one row per node                     one row per node
    Index(i, M)   row i[n] of a table (-1: zeros)      rows summed into a table of M rows

The theorem that makes this closed under differentiation: *transpose the edges; the cotangent of an input leaves
by that input's via; the cotangent of an output enters by that output's via.*  So the vjp of a recur is a recur
(`_recur_vjp`), for every block, structure and order.  What the backward block reads of the forward one are
further projections of the same, unchanged node.  A plain call is a recurrence over one node.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import optree

from .autodiff import cotangents
from .graph import (
    CONSTANT, INPUT, Primitive, Shape, Tensor, Trace, placeholder, rebuild, toposort, trace_call,
    where_recorded,
)  # fmt: skip
from .ops import asarray
from .structure import Structure


@dataclass(frozen=True, eq=False, repr=False)
class Via:
    """How a tensor meets the nodes of a structure; `rows`, `size` only where it is an Index."""

    kind: str
    rows: np.ndarray | None = None
    size: int = 0

    def __repr__(self) -> str:
        return self.kind if self.rows is None else f"Index({len(self.rows)} rows of {self.size})"

    def shape(self, n: int, shape: Shape) -> Shape:
        """The shape outside of a tensor that has `shape` at each of n nodes."""
        return {"shared": shape, "row": (n, *shape), "index": (self.size, *shape)}[self.kind]


SHARED, ROW = Via("shared"), Via("row")


def Index(rows: Any, size: int) -> Via:
    """Node n meets row rows[n] of a table with `size` rows; -1: none."""
    return Via("index", np.ascontiguousarray(rows, np.int64), int(size))


Key = tuple[int, int]  # (slot or port number, which leaf of the state)


@dataclass(frozen=True, eq=False)
class Block:
    """A traced function.  Immutable; derived blocks (its pullbacks) are kept in `cache`.

    inputs : placeholders, one per argument.      slots : (slot, leaf) -> placeholder for the sum that arrives.
    outputs: what a call of it returns.           ports : (port, leaf) -> the tensor that leaves along edges.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    slots: dict[Key, Tensor] = field(default_factory=dict)
    ports: dict[Key, Tensor] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<block {self.name}: {len(self.inputs)} inputs, {len(self.ports)} ports>"

    @cached_property
    def nodes(self) -> tuple[Tensor, ...]:
        """Every interior tensor that an output or port depends on, inputs before users."""
        return tuple(toposort([*self.outputs, *self.ports.values()]))

    def live(self, refs: Sequence[Tensor], wires: frozenset[Key]) -> list[Tensor]:
        """What must be computed for `refs`, in order: a demand fixpoint through slots, edges and ports."""
        key = ("live", tuple(refs), wires)
        if key not in self.cache:
            roots, order = list(refs), toposort(refs)
            reached: set[Key] = set()
            while True:
                seen = set(order)
                arrived = {k for k, t in self.slots.items() if t in seen and k not in reached}
                if not arrived:
                    break
                reached |= arrived
                roots += [
                    self.ports[p, leaf]
                    for slot, leaf in sorted(arrived)
                    for p, s in sorted(wires)
                    if s == slot and (p, leaf) in self.ports
                ]
                order = toposort(roots)
            self.cache[key] = order
        return self.cache[key]

    @cached_property
    def closed(self) -> Block:
        """The block as a plain function: its slots are further inputs.  What unfolding calls at every node."""
        outputs = tuple(dict.fromkeys((*self.outputs, *self.ports.values())))
        return Block(self.name, (*self.inputs, *self.slots.values()), outputs)


# -- the two primitives --------------------------------------------------------------------------------------------


def recurrence(block: Block, structure: Structure, args: Sequence[Tensor], vias: Sequence[Via]) -> Tensor:
    """Record `block` over `structure`.  The node has no value of its own: `proj` reads what left it."""
    for k, (ph, arg, via) in enumerate(zip(block.inputs, args, vias, strict=True)):
        want = arg.shape if via.rows is not None and arg.shape[1:] == ph.shape else via.shape(structure.n, ph.shape)
        if arg.shape != want or arg.dtype != ph.dtype:
            raise ValueError(
                f"{block.name}: argument {ph.name or k} is {arg.dtype}{list(arg.shape)}; "
                f"{ph.dtype}{list(want)} was expected"
            )
    attrs = {
        "block": block, "structure": structure, "vias": tuple(vias),
        "projections": weakref.WeakValueDictionary(),
    }  # fmt: skip
    return Tensor(RECUR, tuple(args), attrs, (), np.dtype("V"), block.name)


def proj(r: Tensor, ref: Tensor, via: Via) -> Tensor:
    """The interior tensor `ref` of recurrence `r`, leaving by `via`; one node per (ref, via)."""
    known = r.attrs["projections"]
    t = known.get((ref, via))
    if t is None:
        shape = via.shape(r.attrs["structure"].n, ref.shape)
        t = known[ref, via] = Tensor(PROJ, (r,), {"ref": ref, "via": via}, shape, ref.dtype, ref.name)
    return t


def _recur_vjp(pairs: list[tuple[Tensor, Tensor]], r: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """The theorem: one recurrence over the transposed structure."""
    grads, _ = pulled_back(pairs, r, wanted)
    return grads


def pulled_back(
    pairs: list[tuple[Tensor, Tensor]], r: Tensor, wanted: Sequence[bool], also: tuple[Tensor, ...] = ()
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Cotangents of r's arguments, and per node those of the interior tensors in `also`."""
    structure, vias = r.attrs["structure"], r.attrs["vias"]
    projections = [p for p, _ in pairs]
    refs = tuple(p.attrs["ref"] for p in projections)
    pull = pullback(r.attrs["block"], refs, tuple(wanted), vias, structure.wires, also)
    args, enter = [ct for _, ct in pairs], [p.attrs["via"] for p in projections]
    for read in pull.reads:
        args.append(r.inputs[read] if isinstance(read, int) else proj(r, read, ROW))
        enter.append(vias[read] if isinstance(read, int) else ROW)
    back = recurrence(pull.block, structure.transpose(), args, enter)

    def leave(g: Tensor | None, via: Via) -> Tensor | None:
        return None if g is None else proj(back, g, via)

    grads = [leave(g, via) for g, via in zip(pull.inputs, vias, strict=True)]
    return grads, [leave(g, ROW) for g in pull.also]


RECUR = Primitive("recur", "recur", lambda: ((), None), lambda: None, _recur_vjp, collect=lambda pairs: pairs)  # type: ignore
PROJ = Primitive("proj", "recur", lambda: ((), None), lambda: None, lambda ct, node, wanted: [(node, ct)])  # type: ignore


# -- the backward block --------------------------------------------------------------------------------------------


class Pullback(NamedTuple):
    """A backward block.  Its arguments: the refs' cotangents, then `reads` (an input of the forward block by
    number, or an interior tensor to project).  `inputs`, `also`: its tensors holding the cotangents asked for."""

    block: Block
    reads: tuple[int | Tensor, ...]
    inputs: tuple[Tensor | None, ...]
    also: tuple[Tensor | None, ...]


def pullback(
    block: Block, refs: tuple[Tensor, ...], wanted: tuple[bool, ...], vias: Sequence[Via],
    wires: frozenset[Key], also: tuple[Tensor, ...] = (),
) -> Pullback:  # fmt: skip
    """The vjp of `block` with regard to `refs`, as a block; cached, whatever the number of nodes.

    Saved from the forward pass: what the backward graph reads, unless it is cheap (additions, products,
    movement) or lies outside the nodes' domain (`W.T`, attention keys): that is computed again.
    """
    domain_key = domain_kinds(vias)
    key = ("pullback", refs, wanted, domain_key, bool(wires), also)
    if key in block.cache:
        return block.cache[key]

    seeds = [_like(ref, f"d{ref.name or 'y'}") for ref in refs]
    states = {k: _like(t, f"d{t.name or 's'}") for k, t in block.ports.items()} if wires else {}
    wrt = [ph for ph, want in zip(block.inputs, wanted, strict=True) if want]
    while True:  # a leaf of the state whose cotangent never passes a cell is not a state of the backward pass
        ports = [block.ports[k] for k in states]
        found = cotangents(
            [*refs, *ports], [*seeds, *states.values()], [*wrt, *block.slots.values(), *also]
        )
        alive = {leaf for (_, leaf), t in block.slots.items() if t in found}
        if all(leaf in alive for _, leaf in states):
            break
        states = {k: t for k, t in states.items() if k[1] in alive}

    forward = set(toposort([*refs, *ports, *also]))
    domain = domains(block, vias, forward)
    roots = list(dict.fromkeys(found.values()))

    def kept(t: Tensor) -> bool:
        mine = t in forward or (t.op is PROJ and t.inputs[0] in forward)
        return mine and (t.op.kind == "leaf" or (not t.op.cheap and t.op is not RECUR and domain.get(t, "row") == "row"))

    number = {ph: k for k, ph in enumerate(block.inputs)}
    swap: dict[Tensor, Tensor] = {}
    reads: list[int | Tensor] = []
    for t in toposort(roots, stop=kept):
        if kept(t) and t.op is not CONSTANT:
            swap[t] = _like(t, t.name)
            reads.append(number.get(t, t))
    fresh = dict(zip(roots, rebuild(roots, swap), strict=True))

    def new(t: Tensor) -> Tensor | None:
        return fresh[found[t]] if t in found else None

    inputs = tuple(new(ph) if want else None for ph, want in zip(block.inputs, wanted, strict=True))
    others = tuple(new(t) for t in also)
    back = Block(
        f"{block.name}'",
        (*seeds, *swap.values()),
        tuple(t for t in (*inputs, *others) if t is not None),
        states,
        {k: fresh[found[t]] for k, t in block.slots.items() if t in found} if wires else {},
    )
    block.cache[key] = Pullback(back, tuple(reads), inputs, others)
    return block.cache[key]


def domain_kinds(vias: Sequence[Via]) -> tuple:
    """What of the vias decides how a block is split up: their kinds, and which share one Index."""
    return tuple(via.kind if via.rows is None else vias.index(via) for via in vias)


def domains(block: Block, vias: Sequence[Via], nodes: Any) -> dict[Tensor, Any]:
    """Where each interior tensor lives: None (one for all nodes), "row" (one per node), or the number of the
    first argument with the same Index (once per row of its table)."""
    domain: dict[Tensor, Any] = {t: "row" for t in block.slots.values()}
    for ph, via in zip(block.inputs, vias, strict=True):
        domain[ph] = {"shared": None, "row": "row", "index": vias.index(via)}[via.kind]
    for t in toposort(nodes):
        if t not in domain:
            found = {domain[i] for i in t.inputs} - {None}
            domain[t] = None if not found else found.pop() if len(found) == 1 else "row"
    return domain


def _like(t: Tensor, name: str | None) -> Tensor:
    return placeholder(t.shape, t.dtype, name)


# -- tracing -------------------------------------------------------------------------------------------------------

_known: dict[int, tuple[weakref.ref, dict]] = {}  # id(function) -> its traces, while it lives


def traces_of(f: Callable) -> dict:
    """The traces kept for one function object; forgotten with it.  By identity: equal is not the same."""
    entry = _known.get(id(f))
    if entry is None or entry[0]() is not f:
        try:
            entry = (weakref.ref(f, lambda _, k=id(f): _known.pop(k, None)), {})  # type: ignore[misc]
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


def placeholders(prefix: str, tree: Any, trace: Trace, names: Sequence[str] = (), drop: int = 0) -> Any:
    """A pytree of placeholders like the arrays in `tree`, without their first `drop` axes."""
    paths, leaves, spec = optree.tree_flatten_with_path(tree)
    named = names if len(names) == len(leaves) else [path_name(prefix, p) for p in paths]
    new = [placeholder(t.shape[drop:], t.dtype, n, trace) for t, n in zip(leaves, named, strict=True)]
    return optree.tree_unflatten(spec, new)


def refuse_captured(trace: Trace, outputs: Sequence[Tensor], remedy: str) -> None:
    """A traced function is a function of its arguments: Tensors made outside it cannot be seen inside."""
    for t in toposort(outputs):
        if t.op in (CONSTANT, INPUT) and t.attrs.get("trace") is not trace:
            at = where_recorded(t)
            raise TypeError(
                f"{trace.name} uses the Tensor {t.name or repr(t)} made outside of it{f' at {at}' if at else ''}. "
                f"A traced function sees its arguments only: {remedy}"
            )


class Indexed:
    """An input that node n reads at row rows[n] of a table (-1: zeros); nothing is copied per node."""

    def __init__(self, table: Any, rows: Any) -> None:
        self.table, self.rows = asarray(table), np.asarray(rows)
        self.shape, self.dtype = self.table.shape, self.table.dtype
        size = self.shape[0] if self.shape else 0
        if self.rows.ndim != 1 or self.rows.dtype.kind not in "iu":
            raise ValueError(f"Indexed: rows must be one integer per node; got {self.rows.dtype}{self.rows.shape}")
        if self.rows.size and not (-1 <= self.rows.min() and self.rows.max() < size):
            raise ValueError(f"Indexed: row numbers go from -1 to {size - 1}; got {self.rows.min()} to {self.rows.max()}")


def _signature(tree: Any) -> tuple:
    leaves, spec = optree.tree_flatten(tree)
    return spec, tuple((t.shape, t.dtype) for t in leaves)


def trace_cell(
    cell: Callable, slots: int, shared: Any, state: Any, x: Any, bare: tuple[tuple[bool, ...], ...]
) -> tuple[Block, Any]:
    """`cell(shared, carry, x) -> (carry, y)` at one node, as a Block; and the pytree of y.

    state: one node's state with a leading axis in front; x: likewise (a row per node).  bare[slot][leaf]: an
    initial state is to be added to that leaf of that slot.  Block inputs: shared, x, then the initial states.
    """
    known, key = traces_of(cell), (slots, _signature(shared), _signature(state), _signature(x), bare)
    if key in known:
        return known[key]
    trace = Trace(name_of(cell))
    shared_in = placeholders("theta", shared, trace)
    x_in = placeholders("x", x, trace, drop=1)
    names = getattr(cell, "state_names", ())
    arrived = [placeholders("h", state, trace, names, drop=1) for _ in range(slots)]
    initial = [placeholders("h0", state, trace, [f"{n}0" for n in names], drop=1) for _ in range(slots)]
    spec = optree.tree_structure(state)

    def run() -> tuple[Any, Any]:
        carry = []
        for k in range(slots):
            pairs = zip(optree.tree_leaves(arrived[k]), optree.tree_leaves(initial[k]), bare[k], strict=True)
            carry.append(optree.tree_unflatten(spec, [a + i if b else a for a, i, b in pairs]))
        result = cell(shared_in, tuple(carry) if slots > 1 else carry[0], x_in)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{trace.name} must return (carry, y); it returned {type(result).__name__}")
        return optree.tree_map(asarray, result[0]), optree.tree_map(asarray, result[1])

    carry_out, y = trace_call(trace, run)
    if optree.tree_structure(carry_out) != spec:
        raise TypeError(
            f"{trace.name}: the carry leaves as {optree.tree_structure(carry_out)} but entered as {spec}"
        )
    for path, a, b in zip(
        optree.tree_paths(state), optree.tree_leaves(carry_out), optree.tree_leaves(arrived[0]), strict=True
    ):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(
                f"{trace.name}: carry {path_name('state', path)} enters as {b.dtype}{list(b.shape)} and leaves as "
                f"{a.dtype}{list(a.shape)}; make the initial state and the parameters agree (mg.astype)"
            )
    sent, outputs = optree.tree_leaves(carry_out), optree.tree_leaves(y)
    refuse_captured(trace, [*sent, *outputs], "give it in `shared`, `inputs` or `initial`")
    block = Block(
        trace.name,
        (
            *optree.tree_leaves(shared_in), *optree.tree_leaves(x_in),
            *(t for s, row in zip(initial, bare, strict=True) for t, b in zip(optree.tree_leaves(s), row, strict=True) if b),
        ),
        tuple(outputs),
        {(s, leaf): t for s in range(slots) for leaf, t in enumerate(optree.tree_leaves(arrived[s]))},
        {(0, leaf): t for leaf, t in enumerate(sent)},
    )  # fmt: skip
    known[key] = block, optree.tree_structure(y)
    return known[key]


def recur(
    cell: Callable[..., tuple[Any, Any]],
    structure: Structure,
    *,
    initial: Any,
    shared: Any = None,
    inputs: Any = None,
) -> tuple[Any, Any]:
    """Apply `cell` at every node of `structure`; returns (states, outputs), pytrees with rows (N, ...).

    cell     : cell(shared, carry, x) -> (carry, y), written for ONE node and traced once per signature.  With
               several slots, carry is a tuple with one state per slot (and the returned carry is one state).
    initial  : pytree like the state; leading axis 1, or one row per component.  It enters every slot that no
               edge feeds.
    shared   : pytree of parameters, the same at every node.
    inputs   : pytree of arrays with one row per node, (N, ...), or `Indexed` tables; None for a cell without.

    Raises ValueError or TypeError naming the leaf whose leading axis, shape or dtype does not fit, and for a cell
    that uses Tensors from outside.
    """
    if not isinstance(structure, Structure):
        raise TypeError(f"recur: structure must be a mg.Structure, not {type(structure).__name__}")
    zero = [isinstance(t, np.ndarray) and not t.any() for t in optree.tree_leaves(initial)]
    shared, state = optree.tree_map(asarray, shared), optree.tree_map(asarray, initial)
    xs = optree.tree_map(lambda x: x if isinstance(x, Indexed) else asarray(x), inputs)
    _check_rows("inputs", xs, (structure.n,), f"the structure has {structure.n} nodes")
    parts = structure.components
    _check_rows("initial", state, (1, parts), f"it must be 1, or {parts}: one row per component")
    open_rows = [structure.without_edge(s) for s in range(structure.slots)]
    bare = tuple(tuple(bool(rows.any()) and not z for z in zero) for rows in open_rows)
    block, y_spec = trace_cell(cell, structure.slots, shared, state, xs, bare)
    args = optree.tree_leaves(shared)
    vias = [SHARED] * len(args)
    for x in optree.tree_leaves(xs):
        args.append(x.table if isinstance(x, Indexed) else x)
        vias.append(Index(x.rows, x.shape[0]) if isinstance(x, Indexed) else ROW)
    for rows, row in zip(open_rows, bare, strict=True):
        entries: dict[int, Via] = {}
        for t, used in zip(optree.tree_leaves(state), row, strict=True):
            if used:
                at = structure.component if t.shape[0] == parts else 0
                args.append(t)
                vias.append(entries.setdefault(len(t), Index(np.where(rows, at, -1), len(t))))
    r = recurrence(block, structure, args, vias)
    states = [proj(r, t, ROW) for t in block.ports.values()]
    outputs = [proj(r, t, ROW) for t in block.outputs]
    return optree.tree_unflatten(optree.tree_structure(state), states), optree.tree_unflatten(y_spec, outputs)


def _check_rows(what: str, tree: Any, allowed: tuple[int, ...], why: str) -> None:
    paths, leaves, _ = optree.tree_flatten_with_path(tree)
    for path, t in zip(paths, leaves, strict=True):
        rows = t.rows.shape if isinstance(t, Indexed) else t.shape
        if not rows or rows[0] not in allowed:
            named = f"{what}[{']['.join(map(repr, path))}]" if path else what
            raise ValueError(f"recur: {named} has shape {rows}; its leading axis does not fit: {why}")
