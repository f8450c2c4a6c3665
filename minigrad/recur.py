"""`recur`: one block, repeated over a structure, as one node of the graph.

A **block** is a function traced once: a small graph with inputs,
slots (the state that arrives) and ports (the state that leaves).
A recurrence applies it at every node of a `Structure`.
Each argument enters by a *via*, and `proj` lets any interior tensor of the block leave by one:

    via           as an input                          as an output
    SHARED        the same tensor for every node       the sum over the nodes
    ROW           one row per node                     one row per node
    Index(i, M)   row i[n] of a table (-1: zeros)      rows summed into a table of M rows

The theorem that makes this closed under differentiation: *transpose the edges;
the cotangent of an input leaves by that input's via;
the cotangent of an output enters by that output's via.*
So the vjp of a recur is a recur (`pulled_back`), for every block, structure and order.
What the backward block reads of the forward one are further projections of the same node.
A plain call is a recurrence over one node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .autodiff import backward
from .graph import CONSTANT, Primitive, Shape, Tensor, placeholder, rebuild, toposort
from .lazy import Weakly, lazy
from .structure import Structure


@dataclass(frozen=True, eq=False, repr=False)
class Via:
    """How a tensor meets the nodes of a structure; `rows`, `size` only where it is an Index."""

    kind: str
    rows: Any = None  # (nodes,) int64
    size: int = 0

    def __repr__(self) -> str:
        return self.kind if self.rows is None else f"Index({len(self.rows)} rows of {self.size})"

    def shape(self, n: int, shape: Shape) -> Shape:
        """The shape outside of a tensor that has `shape` at each of n nodes."""
        rows = () if self.kind == "shared" else (n if self.rows is None else self.size,)
        return (*rows, *shape)

    def index(self, n: int) -> tuple[Any, int]:
        """As an Index: the row outside that each of n nodes meets (-1: none), and of how many."""
        ways = {"shared": (np.zeros(n, np.int64), 1), "row": (np.arange(n), n)}
        return ways.get(self.kind, (self.rows, self.size))

    def enter(self, table: Any, n: int, zeros: Any = np.zeros) -> Any:
        """What node n reads of an array, or (given the `zeros` of ops) of a Tensor."""
        if self.kind == "shared":
            return table
        row = n if self.rows is None else int(self.rows[n])
        return table[row] if row >= 0 else zeros(table.shape[1:], dtype=table.dtype)

    def leave(self, values: np.ndarray, add: np.ufunc = np.add) -> np.ndarray:
        """What stands outside where each node has a value: those that meet the same row, added."""
        rows, size = self.index(len(values))
        table = np.zeros((size, *values.shape[1:]), values.dtype)
        add.at(table, rows[rows >= 0], values[rows >= 0])
        return table[0] if self.kind == "shared" else table


SHARED, ROW = Via("shared"), Via("row")


def Index(rows: Any, size: int) -> Via:
    """Node n meets row rows[n] of a table with `size` rows; -1: none."""
    return Via("index", np.ascontiguousarray(rows, np.int64), int(size))


Key = tuple[int, int]  # (slot or port number, which leaf of the state)


@dataclass(frozen=True, eq=False)
class Block:
    """A traced function.  Immutable; derived blocks (its pullbacks) are kept in `cache`.

    inputs  : placeholders, one per argument.
    outputs : what a call of it returns.
    slots   : (slot, leaf) -> placeholder for the sum that arrives.
    ports   : (port, leaf) -> the tensor that leaves along edges.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    slots: dict[Key, Tensor] = field(default_factory=dict)
    ports: dict[Key, Tensor] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<block {self.name}: {len(self.inputs)} inputs, {len(self.ports)} ports>"

    @lazy
    def nodes(self) -> tuple[Tensor, ...]:
        """Every interior tensor that an output or port depends on, inputs before users."""
        return tuple(toposort([*self.outputs, *self.ports.values()]))

    def live(self, refs: Sequence[Tensor], wires: frozenset[Key]) -> list[Tensor]:
        """What must be computed for `refs`, in order: a demand fixpoint through slots and ports."""
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

    @lazy
    def closed(self) -> Block:
        """As a plain function, its slots further inputs: what unfolding calls at every node."""
        outputs = tuple(dict.fromkeys((*self.outputs, *self.ports.values())))
        return Block(self.name, (*self.inputs, *self.slots.values()), outputs)


# -- the two primitives ----------------------------------------------------------------------------


class Parts(NamedTuple):
    """What a recurrence is made of: a block, where it is applied, and how each argument enters."""

    block: Block
    structure: Structure
    vias: tuple[Via, ...]


def parts_of(r: Tensor) -> Parts:
    return Parts(r.attrs["block"], r.attrs["structure"], r.attrs["vias"])


def recurrence(
    block: Block, structure: Structure, args: Sequence[Tensor], vias: Sequence[Via]
) -> Tensor:
    """Record `block` over `structure`.  The node has no value of its own: `proj` reads it."""
    for k, (ph, arg, via) in enumerate(zip(block.inputs, args, vias, strict=True)):
        if via is SHARED and arg.shape == ph.shape and arg.dtype is ph.dtype:  # as most
            continue
        table = via.rows is not None and arg.shape[1:] == ph.shape
        want = arg.shape if table else via.shape(structure.n, ph.shape)
        if arg.shape != want or arg.dtype != ph.dtype:
            raise ValueError(
                f"{block.name}: argument {ph.name or k} is {arg.dtype}{list(arg.shape)}; "
                f"{ph.dtype}{list(want)} was expected"
            )
    attrs = _own({"block": block, "structure": structure, "vias": tuple(vias)})
    return Tensor(RECUR, tuple(args), attrs, (), np.dtype("V"), block.name)


def _own(attrs: dict[str, Any]) -> dict[str, Any]:
    """A recurrence's attributes with a list of projections of its own."""
    return {**attrs, "projections": Weakly()}


def proj(r: Tensor, ref: Tensor, via: Via) -> Tensor:
    """The interior tensor `ref` of recurrence `r`, leaving by `via`; one node per (ref, via)."""
    known = r.attrs["projections"]
    t = known.get((ref, via))
    if t is None:
        shape, attrs = via.shape(r.attrs["structure"].n, ref.shape), {"ref": ref, "via": via}
        t = known[ref, via] = Tensor(PROJ, (r,), attrs, shape, ref.dtype, ref.name)
    return t


def pulled_back(
    pairs: list[tuple[Tensor, Tensor]], r: Tensor, wanted: Sequence[bool],
    also: tuple[Tensor, ...] = (),
) -> tuple[list[Tensor | None], list[Tensor | None]]:  # fmt: skip
    """The theorem: cotangents of r's arguments, and per node those of the tensors in `also`."""
    block, structure, vias = parts_of(r)
    projections = [p for p, _ in pairs]
    refs = tuple(p.attrs["ref"] for p in projections)
    pull = pullback(block, refs, tuple(wanted), vias, structure.wires, also)
    args, enter = [ct for _, ct in pairs], [p.attrs["via"] for p in projections]
    for read in pull.reads:
        args.append(r.inputs[read] if isinstance(read, int) else proj(r, read, ROW))
        enter.append(vias[read] if isinstance(read, int) else ROW)
    back = recurrence(pull.block, structure.transpose(), args, enter)

    def leave(g: Tensor | None, via: Via) -> Tensor | None:
        return None if g is None else proj(back, g, via)

    grads = [leave(g, via) for g, via in zip(pull.inputs, vias, strict=True)]
    return grads, [leave(g, ROW) for g in pull.also]


_unshaped: Any = lambda: ((), None)  # noqa: E731  # their shapes are set by recurrence and proj
_pairs: Any = lambda ct, node, wanted: [(node, ct)]  # noqa: E731
RECUR = Primitive(
    "recur", "recur", _unshaped, lambda: None, lambda *given: pulled_back(*given)[0],
    collect=lambda pairs: pairs, own=_own,
)  # fmt: skip
PROJ = Primitive("proj", "recur", _unshaped, lambda: None, _pairs)


# -- the backward block ----------------------------------------------------------------------------


class Pullback(NamedTuple):
    """A backward block.

    reads        : its arguments behind the refs' cotangents:
                   an input of the forward block by number, or an interior tensor to project.
    inputs, also : its tensors holding the cotangents asked for.
    """

    block: Block
    reads: tuple[int | Tensor, ...]
    inputs: tuple[Tensor | None, ...]
    also: tuple[Tensor | None, ...]


def pullback(
    block: Block, refs: tuple[Tensor, ...], wanted: tuple[bool, ...], vias: Sequence[Via],
    wires: frozenset[Key], also: tuple[Tensor, ...] = (),
) -> Pullback:  # fmt: skip
    """The vjp of `block` with regard to `refs`, as a block; cached, whatever the number of nodes.

    Saved from the forward pass: what the backward graph reads,
    unless it is cheap (additions, products, movement)
    or lies outside the nodes' domain (`W.T`, attention keys): that is computed again.
    """
    domain_key = domain_kinds(vias)
    key = ("pullback", refs, wanted, domain_key, bool(wires), also)
    if key in block.cache:
        return block.cache[key]

    seeds = [_like(ref, f"d{ref.name or 'y'}") for ref in refs]
    states = {k: _like(t, f"d{t.name or 's'}") for k, t in block.ports.items()} if wires else {}
    wrt = [ph for ph, want in zip(block.inputs, wanted, strict=True) if want]
    while True:  # a leaf of the state whose cotangent passes no cell is no state of the way back
        ports = [block.ports[k] for k in states]
        found = backward(
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
        return mine and (
            t.op.kind == "leaf"
            or (not t.op.cheap and t.op is not RECUR and domain.get(t, "row") == "row")
        )

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
        tuple(t for t in (*inputs, *others) if t is not None), states,
        {k: fresh[found[t]] for k, t in block.slots.items() if t in found} if wires else {},
        {"cotangents": len(seeds)},  # of its arguments the first so many
    )
    block.cache[key] = Pullback(back, tuple(reads), inputs, others)
    return block.cache[key]


def domain_kinds(vias: Sequence[Via]) -> tuple:
    """What of the vias decides how a block is split up: their kinds, and which share one Index."""
    return tuple(via.kind if via.rows is None else vias.index(via) for via in vias)


def domains(block: Block, vias: Sequence[Via], nodes: Any) -> dict[Tensor, Any]:
    """Where each interior tensor lives: None (one for all nodes), "row" (one per node),
    or the number of the first argument with the same Index (once per row of its table).
    """
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
