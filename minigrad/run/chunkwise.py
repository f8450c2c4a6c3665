"""Recurrences with checkpoints: run chunk by chunk, rows computed again where they are read.

A recurrence goes over its chunks in order (`Chunkwise`).
It keeps the states that leave each chunk, and of the rest what is asked for as a whole.
Rows that only recurrences cut into the same chunks read are `Loose`: nobody holds them;
a reader that has come to a chunk has the recurrence that made them compute that chunk once more.
So the way back recomputes the way there, a gradient's gradient both, and so on for any order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ..chunks import Chunk, chunks_of, cut
from ..graph import Tensor
from ..ops.indexing import add_rows
from ..recur import ROW, SHARED, Index, Key, Via, parts_of
from .levels import execute, run_levels

States = dict[Key, Any]  # by port and leaf, a row per ghost or sending row


class Computed(NamedTuple):
    """What a chunk gives: tensors by row, sums over its rows, and the states that leave it."""

    rows: dict[Tensor, Any]
    sums: dict[Tensor, Any]
    sent: States


# (number of the chunk, its arguments, the states that arrive, the same for all chunks of a call) ->
# what it gives
OneChunk = Callable[[int, list, States, int], Computed]

_calls = count()


class Loose:
    """The rows of an interior tensor that are computed again when they are read."""

    def __init__(self, made_by: Chunkwise, ref: Tensor):
        self.made_by, self.ref = made_by, ref

    def rows(self, name: int) -> Any:
        """Those of the chunk of this name, in the order of the structure's rows."""
        return self.made_by.again(name)[self.ref]


class Chunkwise:
    """One recurrence over its chunks.

    args  : values of its arguments; None for what nothing reads.
    one   : how a chunk is computed.
    plain : makes an array of rows as that gives them, in the order of the structure's rows.
    """

    def __init__(
        self, r: Tensor, args: list, one: OneChunk, plain: Callable[[Any], np.ndarray] = np.asarray
    ):
        _, self.structure, self.vias = parts_of(r)
        self.args, self.one, self.plain = args, one, plain
        self.chunks = chunks_of(self.structure)
        self.names = list(self.chunks.number)
        self.states: States = {}
        self.call = next(_calls)
        self.latest: tuple[int, dict[Tensor, Any]] | None = None  # the chunk computed last

    def run(self, asked: Sequence[Tensor], loose: Collection[Tensor]) -> list[Any]:
        """The values of projections: arrays of the caller's own, or `Loose`."""
        held = [p for p in asked if p not in loose]
        found = {p: np.zeros(p.shape, p.dtype) for p in held}
        for number, chunk in enumerate(self.chunks.order):
            computed = self._compute(number)
            for key, rows in computed.sent.items():
                if key not in self.states:
                    shape = (self.chunks.kept, *rows.shape[1:])
                    self.states[key] = np.empty(shape, rows.dtype)
                self.states[key][chunk.leaves] = rows
            for p in held:
                ref, via = p.attrs["ref"], p.attrs["via"]
                if via is SHARED:
                    found[p] += computed.sums[ref]
                elif via is ROW:
                    found[p][chunk.rows] = self.plain(computed.rows[ref])
                else:
                    to = via.rows[chunk.rows]
                    used = to >= 0
                    if used.any():
                        rows = self.plain(computed.rows[ref])
                        found[p] += add_rows(via.size, to[used], rows[used])
        return [found[p] if p in found else Loose(self, p.attrs["ref"]) for p in asked]

    def again(self, name: int) -> dict[Tensor, Any]:
        """A chunk's rows: those at hand, or computed again from the states that were kept."""
        number = self.chunks.number[name]
        if self.latest is None or self.latest[0] != number:
            self._compute(number)
        assert self.latest is not None
        return self.latest[1]

    def _compute(self, number: int) -> Computed:
        chunk, name = self.chunks.order[number], self.names[number]
        self.latest = None  # what it holds may lie in memory that is written now
        args = [
            a if a is None or via is not ROW else a.rows(name) if isinstance(a, Loose)
            else a[chunk.rows]
            for a, via in zip(self.args, self.vias, strict=True)
        ]  # fmt: skip
        given = {key: rows[chunk.arrives] for key, rows in self.states.items()}
        computed = self.one(number, args, given if chunk.piece.ghosts else {}, self.call)
        self.latest = number, computed.rows
        return computed


def vias_of(chunk: Chunk, vias: Sequence[Via]) -> list[Via]:
    """How the arguments meet the rows of a chunk; those with one Index share one."""
    known: dict[int, Via] = {}
    for via in vias:
        if via.rows is not None and id(via) not in known:
            known[id(via)] = Index(via.rows[chunk.rows], via.size)
    return [known.get(id(via), via) for via in vias]


def in_numpy(
    r: Tensor, asked: Sequence[Tensor], plain: Callable[[Any], Any] = lambda value: value
) -> OneChunk:
    """Chunks computed level by level in NumPy; plain: as for `Chunkwise`, None left alone."""
    block, structure, vias = parts_of(r)
    leaving = [(p.attrs["ref"], p.attrs["via"]) for p in asked]
    rows = tuple(dict.fromkeys(ref for ref, via in leaving if via is not SHARED))
    sums = tuple(dict.fromkeys(ref for ref, via in leaving if via is SHARED))
    live = set(block.live((*rows, *sums), structure.wires))
    ports = {k: t for k, t in block.ports.items() if structure.wires and t in live}
    order = chunks_of(structure).order

    def one(number: int, args: list, given: States, call: int) -> Computed:
        chunk = order[number]
        piece = chunk.piece
        want = [*((t, ROW) for t in (*rows, *ports.values())), *((t, SHARED) for t in sums)]
        mine, args = vias_of(chunk, vias), [plain(a) for a in args]
        values = iter(execute(block, piece.structure, mine, args, want, (piece, given)))
        by_row = {t: next(values) for t, via in want if via is ROW}
        sent = {k: by_row[t][piece.sending] for k, t in ports.items()}
        return Computed(by_row, dict(zip(sums, values, strict=True)), sent)

    return one


def run_cut(
    r: Tensor, args: list, projections: list[Tensor], loose: Collection[Tensor] = ()
) -> list:
    """`run_levels`, chunk by chunk where the structure is cut; `loose` as `reference.unheld` says.
    """
    if not cut(parts_of(r).structure):
        return run_levels(r, args, projections)
    return Chunkwise(r, args, in_numpy(r, projections)).run(projections, loose)
