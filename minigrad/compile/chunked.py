"""A recurrence with checkpoints, compiled: its chunks take turns in the same memory.

What `run.chunkwise` does in NumPy, with a chunk computed by a runner.
Chunks of one form share one runner, and all runners of a recurrence one pool,
so the workspace is that of the largest chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..chunks import Chunks, Piece, chunks_of
from ..graph import Tensor
from ..recur import SHARED, parts_of
from ..run.chunkwise import Computed, States, vias_of
from .layout import Layout
from .memory import Pool
from .program import Program
from .runner import Runner


class Chunked:
    """The runners of a recurrence's chunks; called as a `run.chunkwise.OneChunk`."""

    def __init__(self, program: Program, r: Tensor, asked: Sequence[Tensor], pool: Pool):
        _, structure, vias = parts_of(r)
        self.chunks: Chunks = chunks_of(structure)
        self.rows = [p.attrs["ref"] for p in asked if p.attrs["via"] is not SHARED]
        self.sums = [p.attrs["ref"] for p in asked if p.attrs["via"] is SHARED]
        layouts: dict[Piece, Layout] = {}
        known: dict[Any, Runner] = {}
        self.runners: list[Runner] = []
        for chunk in self.chunks.order:
            piece, mine = chunk.piece, vias_of(chunk, vias)
            if piece not in layouts:
                layouts[piece] = Layout(piece.structure, piece)
            key = piece, *(None if v.rows is None else v.rows.tobytes() for v in mine)
            if key not in known:
                known[key] = Runner(program, layouts[piece], mine, pool)
            self.runners.append(known[key])

    def __call__(self, number: int, args: list[Any], given: States, call: int) -> Computed:
        runner, chunk = self.runners[number], self.chunks.order[number]
        runner.run(args, given, call)
        place = runner.layout.place[chunk.piece.sending]
        sent = {key: rows[place] for key, rows in runner.buffers.states().items()}
        return Computed(
            {ref: runner.by_row(ref) for ref in self.rows},
            {ref: runner.total(ref) for ref in self.sums}, sent,
        )  # fmt: skip


def in_words(chunks: Chunks) -> str:
    """Chunks and what is kept of them."""
    rows = max(c.piece.structure.n for c in chunks.order)
    return (
        f"in {len(chunks.order)} chunks of at most {rows} nodes: the states of {chunks.kept} nodes "
        "are kept between them, what else the way back reads is computed again"
    )
