"""A program on one structure: who does what on which thread, and a call of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, toposort
from ..kernels import glue, threads
from ..kernels.glue import address
from ..kernels.stages import COLUMN
from ..lazy import lazy
from ..ops.indexing import add_rows
from ..recur import ROW, SHARED, Key, Via
from ..run.reference import compute
from .language import Row
from .layout import Layout, Rows, by_place
from .memory import Buffers, Pool
from .program import Program
from .sequence import Calls, Schedule
from .table import Limits, Table

# Multiply-adds below which a second thread costs more than it brings; -1: threads always share.
SPLIT = float(os.environ.get("MINIGRAD_SPLIT", "2e7"))


class Runner:
    """A program bound to the layout of one structure and one set of shapes.

    With workspace that is kept between calls.
    `run` takes the arguments of the recurrence and returns its projections.
    """

    def __init__(
        self,
        program: Program,
        layout: Layout,
        vias: Sequence[Via],
        pool: Pool,
        projections: Sequence[Tensor] = (),
        args: Sequence[Tensor] = (),
    ):
        self.program, self.vias, self.pool = program, vias, pool
        self.layout, self.n = layout, layout.n
        self.numbers = program.numbers
        self.threads = threads.count() if program.flops * self.n > SPLIT else 1
        self.parts = self.layout.parts(self.threads)
        self.limits = Limits(program, self.layout, vias, projections, args)
        b = self.buffers = Buffers(program, self.layout, vias, self.threads, pool, self.parts,
                                   projections)  # fmt: skip
        t = self.entries = Table(program, self.layout, b, self.limits, self.parts, self.threads)
        self.table, self.of_input, self.of_shared = t.array, t.of_input, t.of_shared
        self.of_table = t.of_table
        self.indexed, self.columns = b.indexed, b.columns
        self.outer, self.outer_sums = b.outer, b.outer_sums
        self.rests = self._rests()
        self.bound: object = None  # the call whose shared arguments stand in the table
        self.copies: list[Any] = []  # of those

    @lazy
    def sequence(self) -> Schedule:
        """A call by itself; a lane has the phases in its own list."""
        return Schedule(self.phases, self.threads)

    # -- what runs, and where ----------------------------------------------------------------------

    @lazy
    def phases(self) -> list[Calls]:
        """What to call, phase after phase: for each thread (kernel, table, from, to)."""
        plan, kernels, tables = self.program.plan, self.program.module, self.entries.rows
        common = self.program.common
        added = (table for table, _ in self.buffers.added.values())
        sums = *self.columns.values(), *self.outer_sums, *added
        clear = [a for a in sums if a is not None and a.size]
        zero = glue.kernels().zero.address
        first: Calls = [[] for _ in range(self.threads)]
        for k, a in enumerate(clear):
            first[k % self.threads].append((zero, address(a), -(-a.nbytes // 8), 0))
        for k in range(max(len(plan.matrices), 1)):
            at = k % self.threads
            first[at].append((common.prepare.address, tables[at], k, k + 1))
        found = [first]
        gathers = self.program.text.gather and None in self.buffers.dense.values()
        for stage, name in ((0, "pre"), (1, "core"), (2, "post")):
            if (plan.places(stage) or stage == 1 and gathers) and self.n:
                work = self._levels() if stage == 1 else self._shares(stage)
                f = getattr(kernels, name).address
                found.append([[(f, tables[k], a, b)] for k, (a, b) in enumerate(work)])
        if plan.outers:
            f = common.outers.address
            found.append([[(f, tables[k], k, self.threads)] for k in range(self.threads)])
            if len(self.rests):
                copy = getattr(glue.kernels(), f"copy_{self.program.dtype}").address
                found.append([[(copy, address(self.rests), 0, len(self.rests))]])
        return found

    def _shares(self, stage: int) -> list[tuple[int, int]]:
        """Each thread's rows of a stage outside the loop.

        Whole chunks, where column sums are kept by chunk.
        """
        unit = COLUMN if any(place[0] == stage for place in self.program.plan.columns) else 8
        share = -(-self.n // (self.threads * unit)) * unit
        cuts = [(k * share, min(self.n, (k + 1) * share)) for k in range(self.threads)]
        return [c for c in cuts if c[0] < c[1]]

    def _levels(self) -> list[tuple[int, int]]:
        return [(0, len(self.layout.ranges))] * len(self.parts)

    def _rests(self) -> np.ndarray:
        """Column sums that come with a product of some rows only: what copies the other rows' part.

        One row of numbers, as `glue.copy` reads them, for the rows before and for those behind.
        """
        found = []
        for k, o in enumerate(self.program.plan.outers):
            sums, (low, high) = self.outer_sums[k], self.limits.outer(k)
            if sums is None:
                continue
            d = self.buffers.value[o.rights[0]]  # stored: else its sums would not come along
            for a, b in ((0, low), (high, self.n)):
                if a < b:
                    start = address(d) + a * d.strides[0]
                    found.append([start, d.strides[0], address(sums), 0, b - a, o.width, 1])
        return np.array(found, np.int64).reshape(-1, glue.COPY)

    # -- a call ------------------------------------------------------------------------------------

    def run(self, args: Sequence[Any], entering: dict[Key, Any], call: object) -> None:
        """One call by itself; of a chunk, with the states that other chunks sent.

        What is computed lies in our buffers until the pool is used again.
        call: the same for all chunks of one, whose shared arguments stay where they are.
        """
        self.take_pool()
        self.buffers.enter(entering)
        keep = self._bind(args)
        if self.bound != call:
            self.bound = None  # should an interrupt come in between
            self.copies = self._bind_shared(args)
            self.bound = call
        self.sequence.run()
        del keep

    def _bind(self, args: Sequence[Any]) -> list[Any]:
        """Write the addresses of arguments by row into the table; what must stay alive."""
        table, dtype, keep = self.table, self.program.dtype, []
        for entry, stride, r in self.of_input:
            rows = by_place(args[self.numbers[r.tensor]], self.layout)
            rows = rows.reshape(self.n, r.size)
            if rows.dtype != dtype or (r.size > 1 and rows.strides[1] != dtype.itemsize):
                rows = np.ascontiguousarray(rows, dtype)
            keep.append(rows)
            table[:, entry] = address(rows)
            if stride >= 0:
                table[:, stride] = rows.strides[0]
        for entry, stride, _, r in self.of_table:
            values = np.asarray(args[self.numbers[r.tensor]])
            keep.append(np.ascontiguousarray(values.reshape(len(values), r.size), dtype))
            table[:, entry], table[:, stride] = address(keep[-1]), keep[-1].strides[0]
        for r, buffer in self.indexed.items():
            k = self.numbers[r.tensor]
            index = self.layout.to_rows(self.vias[k].rows)
            values = np.asarray(args[k])
            values = values.reshape(len(values), r.size)
            if (index < 0).all():  # as in most chunks, where states enter in the first
                buffer.fill(0)
                continue
            if len(values):
                np.take(values, index, axis=0, out=buffer, mode="clip")
            buffer[index < 0] = 0
        return keep

    def _bind_shared(self, args: Sequence[Any]) -> list[Any]:
        """The same of arguments that all rows share; the caller keeps those alive that it gave."""
        table, dtype, copies = self.table, self.program.dtype, []
        shared = self._shared(args)
        for entry, tensor, turned, stride in self.of_shared:
            value = shared[tensor]
            if stride >= 0:
                value = np.ascontiguousarray(value.T if turned else value, dtype)
                table[:, stride] = value.strides[0]
            else:
                value = np.ascontiguousarray(value, dtype).reshape(-1)
            if not any(isinstance(a, np.ndarray) and np.may_share_memory(a, value) for a in args):
                copies.append(value)
            table[:, entry] = address(value)
        return copies

    def _shared(self, args: Sequence[Any]) -> dict[Tensor, np.ndarray]:
        """The values of the shared tensors that the stages read; some are computed in the block."""
        values: dict[Tensor, Any] = {}
        for t in self.program.low.shared:
            k = self.numbers.get(t)
            if k is not None:
                values[t] = args[k]
            elif t._value is not None:
                values[t] = t._value
            else:
                values[t] = shared_value(t, self.numbers, args)
        return values

    def take_pool(self) -> None:
        """Make zero again what must be, should another runner have worked in the pool since."""
        if self.pool.owner is not self:
            self.pool.owner = None  # should an interrupt come before all is zero
            for piece in self.buffers.blank:
                piece.fill(0)
            self.pool.owner = self

    # -- what leaves -------------------------------------------------------------------------------

    def _leave(self, p: Tensor) -> Any:
        ref, via = p.attrs["ref"], p.attrs["via"]
        if via is SHARED:
            return self.total(ref)
        if (table := self.added(ref)) is not None:
            return table.reshape(via.size, *ref.shape)
        rows = self.by_row(ref)
        if via is ROW:
            return rows
        index = self.layout.to_rows(via.rows)
        used = index >= 0
        return add_rows(via.size, index[used], rows.values[used])

    def added(self, ref: Tensor) -> np.ndarray | None:
        """The table of a tensor whose rows are added up in one."""
        r = self.program.low.rows[ref]
        return self.buffers.added[r][0][:, : r.size] if r in self.buffers.added else None

    def total(self, ref: Tensor) -> np.ndarray:
        """The sum of a tensor over the nodes."""
        total = self.buffers.sum(self.program.low.sums[ref])
        return np.array(total, self.program.dtype).reshape(ref.shape)

    def by_row(self, ref: Tensor) -> Rows:
        """A tensor's rows in our memory, in our order."""
        value = self.buffers.rows(self.program.low.rows[ref])
        return Rows(value.reshape(self.n, *ref.shape), self.layout)

    def _rows(self, r: Row) -> np.ndarray:
        return self.buffers.rows(r)


def shared_value(t: Tensor, numbers: dict[Tensor, int], args: Sequence[Any]) -> np.ndarray:
    """A shared tensor computed inside the block (a transposed weight, a joined bias)."""
    env: dict[Tensor, Any] = {}
    for u in toposort([t]):
        if u in numbers:
            env[u] = args[numbers[u]]
        else:
            env[u] = u._value if u._value is not None else compute(u, env)
    return env[t]
