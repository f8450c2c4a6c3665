"""Checkpoints: a structure cut into chunks of levels, of which only the states in between are kept.

`Structure.chunk` says which chunk a row belongs to, the same for the structure and its transpose;
that is all a graph knows of it, for values and derivatives are those of the uncut structure.
Who runs a recurrence (`run.chunkwise`) goes from chunk to chunk:
it keeps the states that leave a chunk,
and with them computes a chunk's rows again where the way back reads them.
Chen et al. 2016, "Training deep nets with sublinear memory cost", for any directed acyclic graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .ordering import Ints, natural
from .structure import Structure


def checkpointed(structure: Structure, every: int | None) -> Structure:
    """The structure with the states of every `every`-th level kept; None: with all of them.

    One of no more levels than that is not cut.
    Raises ValueError for what is no integer from 1 on.
    """
    if every is None:
        return structure
    if not (every := natural("checkpoint", every)):
        raise ValueError(
            "checkpoint=0 keeps no states at all; give the number of levels between those that are "
            "kept, from 1 on, or None to keep all"
        )
    if structure.level.max(initial=0) < every:
        return structure if structure.chunk is None else replace(structure, chunk=None)
    known = structure.__dict__.setdefault("_checkpointed", {})
    if every not in known:
        known[every] = replace(structure, chunk=structure.level // every)
    return known[every]


def cut(structure: Structure) -> bool:
    """Whether it is run chunk by chunk."""
    return structure.chunk is not None


def same_chunks(a: Structure, b: Structure) -> bool:
    """Whether the rows of both are cut alike, so that one may read the other's chunk by chunk."""
    if a.chunk is None or b.chunk is None:
        return False
    return a.chunk is b.chunk or np.array_equal(a.chunk, b.chunk)


@dataclass(eq=False)
class Piece:
    """The edges of a chunk, which many chunks of one structure have in common.

    structure : the edges within, over the chunk's own rows.
    ghosts    : number of rows of other chunks whose state enters.
    ghost, dst, slot, port : of every edge that enters, (E,): the ghost it leaves and where it goes.
    sending   : the chunk's rows whose states other chunks take.
    """

    structure: Structure
    ghosts: int
    ghost: Ints
    dst: Ints
    slot: Ints
    port: Ints
    sending: Any


@dataclass(eq=False)
class Chunk:
    """A chunk of a structure: row numbers, as a slice where they follow each other.

    rows    : of the structure, ascending.
    arrives : which of the kept states its ghosts are.
    leaves  : which of the kept states its sending rows are.
    """

    rows: Any
    piece: Piece
    arrives: Any
    leaves: Any


@dataclass(eq=False)
class Chunks:
    """A structure's chunks in the order in which they are run; kept: how many states are."""

    order: list[Chunk]
    number: dict[int, int]  # a chunk's number in `Structure.chunk` -> its place in the order
    kept: int


def chunks_of(structure: Structure) -> Chunks:
    """The chunks of a structure that is `cut`, made once."""
    known = structure.__dict__.get("_chunks")
    if known is None:
        known = structure.__dict__["_chunks"] = _chunks(structure)
    return known


def _chunks(s: Structure) -> Chunks:
    chunk, places = s.chunk, np.arange(s.n)
    assert chunk is not None
    names, first = np.unique(chunk, return_index=True)
    names = names[np.argsort(s.level[first], kind="stable")]
    rows_of = dict(zip(names.tolist(), _grouped(names, chunk, places), strict=True))
    local = np.empty(s.n, np.int64)
    for rows in rows_of.values():
        local[rows] = np.arange(len(rows))
    across = chunk[s.src] != chunk[s.dst]
    inside, between = np.flatnonzero(~across), np.flatnonzero(across)
    kept = np.unique(s.src[between])
    place = np.searchsorted(kept, s.src[between])  # of the source of each edge between chunks
    within = _grouped(names, chunk[s.dst[inside]], inside)
    entering = _grouped(names, chunk[s.dst[between]], np.arange(len(between)))
    leaving = _grouped(names, chunk[kept], np.arange(len(kept)))
    pieces: dict[Any, Piece] = {}
    order = []
    for name, edges, enter, leave in zip(names.tolist(), within, entering, leaving, strict=True):
        rows = rows_of[name]
        arrives, ghost = np.unique(place[enter], return_inverse=True)
        # As they lie in the chunk they come from: a state is read in place where it can be.
        lie = np.lexsort((s.component[kept[arrives]], s.level[kept[arrives]]))
        turned = np.empty_like(lie)
        turned[lie] = np.arange(len(lie))
        arrives, ghost = arrives[lie], turned[ghost.reshape(-1)]
        e = between[enter]
        arrays = (
            local[s.src[edges]], local[s.dst[edges]], s.slot[edges], s.port[edges],
            s.level[rows] - s.level[rows].min(), s.component[rows], ghost, local[s.dst[e]],
            s.slot[e], s.port[e], local[kept[leave]],
        )  # fmt: skip
        key = tuple(a.tobytes() for a in arrays)
        if key not in pieces:
            pieces[key] = _piece(s, len(arrives), arrays)
        order.append(Chunk(_span(rows), pieces[key], _span(arrives), _span(leave)))
    return Chunks(order, {name: k for k, name in enumerate(names.tolist())}, len(kept))


def _piece(s: Structure, ghosts: int, arrays: tuple[Ints, ...]) -> Piece:
    src, dst, slot, port, level, component, ghost, into, to_slot, from_port, sending = arrays
    inside = Structure(
        len(level), src, dst, slot, port, level, slots=s.slots, ports=s.ports,
        parts=(component, s.components),
    )  # fmt: skip
    # A chunk runs the block as the whole structure does, also where no edge lies within.
    inside.__dict__["wires"] = s.wires
    return Piece(inside, ghosts, ghost, into, to_slot, from_port, _span(sending))


def _grouped(names: Ints, of: Ints, what: Ints) -> list[Ints]:
    """Those of `what` that belong to each name, in their order; `of`: the name of each."""
    number = np.empty(int(names.max()) + 1, np.int64)
    number[names] = np.arange(len(names))
    at = number[of]
    count = np.bincount(at, minlength=len(names))
    return np.split(what[np.argsort(at, kind="stable")], np.cumsum(count)[:-1])


def _span(rows: Ints) -> Any:
    """Row numbers as a slice, where they follow each other: a view instead of a copy."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
