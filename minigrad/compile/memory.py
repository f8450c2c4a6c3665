"""Workspace: memory that is kept between calls, and the buffers that one runner cuts from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..graph import Tensor
from ..kernels import gemm
from ..kernels.glue import address
from ..kernels.stages import BLOCK, COLUMN
from ..recur import Key, Via
from .language import Row, Sum
from .layout import Layout
from .program import Program

LINE = 64  # bytes of a cache line
APART = 4096  # between what two threads write all the time: lines are fetched ahead of what is read


class Pool:
    """Memory shared by the runners that stand at one place in the traces of a function.

    Only one runs at a time.
    """

    def __init__(self) -> None:
        self.renew(0)
        self.owner: Any = None  # who wrote last
        self.runners: dict[Any, Any] = {}  # that serve several traces

    def renew(self, size: int) -> None:
        memory = np.zeros(size, np.uint8)
        self.held = memory, address(memory)  # both at once: an interrupt may come in between

    @property
    def memory(self) -> np.ndarray:
        return self.held[0]


class Arena:
    """Pieces of a pool, each on cache lines of its own; grows the pool where it is too small."""

    def __init__(self, pool: Pool):
        self.pool, self.used = pool, 0

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        pool, dtype = self.pool, np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        room = -(-size // LINE) * LINE  # whole lines: `glue.zero` writes whole words
        memory, base = pool.held
        start = self.used + -(base + self.used) % LINE
        if start + size > len(memory):
            # Earlier pieces stay where they are, in the memory they hold on to.
            pool.renew(max(2 * len(memory), room + 4096))
            memory, base = pool.held
            start = -base % LINE
        self.used = start + room
        return memory[start : start + size].view(dtype).reshape(shape)


def stretches(index: np.ndarray) -> np.ndarray:
    """(n, 2): the number of each row in a table, and up to where the rows behind it follow there
    one by one."""
    breaks = np.append(np.flatnonzero(np.diff(index) != 1) + 1, len(index))
    ends = breaks[np.searchsorted(breaks, np.arange(len(index)), side="right")]
    return np.ascontiguousarray(np.stack([index, ends], 1), np.int64)


class Buffers:
    """The arrays that the kernels of a program work in, for one structure and number of threads.

    value  : (n, size) of every stored row node, in places of the layout.
    passing: by row node that passes, (rows, size) for every thread: as many as are at hand at once;
             of what goes round in a ring three times as many, the last of them zeros.
    dense  : by slot, how many rows back its state is read in place; None: it is gathered.
    indexed: (n, size) of every argument that enters by an Index, gathered at each call; but not of
             those looked up in their table, unless some rows are none of it.
    jumps  : by argument that is looked up: see `stretches`.
    added  : by row node that is added up in a table: the table, and the number of every row in it.
    scratch: by row node, a row per thread: what one pass over a row leaves to the next.
    packed, joined: by matrix, as the product kernel reads it; whole, where it has several blocks.
    bias   : by bundle, the shared vectors its accumulators start from.
    outer, outer_sums: by product of stacked rows, its result; the column sums that come with it.
    columns: by row node, the other column sums, in chunks of rows or by component.
    runs, loops: by what is moved, and by operand: what `kernels.tensors` reads of it.
    blank  : what must be zero whenever the kernels run; they leave it so.
    """

    def __init__(
        self, program: Program, layout: Layout, vias: Sequence[Via], threads: int, pool: Pool,
        parts: Sequence[np.ndarray], projections: Sequence[Tensor] = (),
    ):  # fmt: skip
        self.program, self.n, self.dtype = program, layout.n, program.dtype
        self.ghosts, self.ghosts_at = layout.ghosts, layout.ghosts_at
        self.components = layout.components
        self.arena = Arena(pool)
        self.blank: list[np.ndarray] = []
        plan = program.plan
        self.dense: dict[int, int | None] = {
            slot: None if plan.gathered else layout.slots[slot].shift
            for slot in {s for s, _ in program.low.slots}
        }
        level = max((int((p[:, 1] - p[:, 0]).max(initial=0)) for p in parts), default=0)
        self.at_hand = [min(BLOCK, self.n), level, min(BLOCK, self.n)]  # rows, by stage
        self.threads = threads
        self._values()
        own = [r for r in program.text.scratch if r not in self.value and r not in self.passing]
        self.scratch: dict[Row, list[np.ndarray]] = {r: [] for r in own}
        for _ in range(threads):
            for r in own:
                self.scratch[r].append(self._array(r.size))
            self._array(APART // self.dtype.itemsize)
        self._matrices()
        self._sums(threads)
        self.indexed: dict[Row, np.ndarray] = {}
        self.jumps: dict[Row, np.ndarray] = {}
        for r in program.inputs:
            via = vias[program.numbers[r.tensor]]
            if via.kind == "index":
                index = layout.to_rows(via.rows)
                if r not in plan.looked_up or (index < 0).any():
                    self.indexed[r], index = self._array(self.n, r.size), np.arange(self.n)
                if r in plan.looked_up:
                    self.jumps[r] = stretches(index)

        self.added: dict[Row, tuple[np.ndarray, np.ndarray]] = {}
        for p in projections:
            row, via = program.low.rows.get(p.attrs["ref"]), p.attrs["via"]
            if row is not None and row in plan.added:
                numbers = np.ascontiguousarray(layout.to_rows(via.rows), np.int64)
                self.added[row] = self._array(via.size, self._padded(row.size)), numbers

    def _array(self, *shape: int) -> np.ndarray:
        return self.arena.array(shape, self.dtype)

    def zeroed(self, *shape: int) -> np.ndarray:
        self.blank.append(self._array(*shape))
        return self.blank[-1]

    # -- rows --------------------------------------------------------------------------------------

    def _values(self) -> None:
        """What the plan puts side by side first, then every other row node that is stored."""
        self.value: dict[Row, np.ndarray] = {}
        self.passing: dict[Row, list[np.ndarray]] = {}
        self.whole: dict[Row, tuple[np.ndarray, int]] = {}  # with the zeros around; how many before
        shifts = [abs(shift) for shift in self.dense.values() if shift is not None]
        self.reach = max([*shifts, self.ghosts])
        plan, slots = self.program.plan, [r for r in self.program.plan.order if r.op == "slot"]
        for a in plan.areas:
            if all(r.op != "slot" or self._copied(r) for r in a.members):
                self._area(a.members)
        made = [r for r in plan.moved if r.op != "part"]
        for r in (*plan.stored, *made, *filter(self._copied, slots)):
            if r not in self.value and r not in self.passing:
                self._area([r])
        for r in slots:
            if r in plan.ring:
                self.passing[r] = self.passing[plan.ring[r]]
            elif r not in self.value:
                self.value[r] = self._shifted(r)
        for r in plan.moved:
            if r.op == "part":
                self.value[r] = self.value[r.args[0]][:, r.tensor : r.tensor + r.size]

    def _area(self, members: Sequence[Row]) -> None:
        width = sum(r.size for r in members)
        plan, first = self.program.plan, members[0]
        ring = first in plan.ring.values()
        if ring or first in plan.passing:
            rows = 3 * self.at_hand[1] if ring else self.at_hand[plan.passing[first]]
            each = [self._array(rows, self._padded(width)) for _ in range(self.threads)]
            self.blank += [whole[2 * self.at_hand[1] :] for whole in each if ring]
            ends = list(accumulate(r.size for r in members))
            for r, end in zip(members, ends, strict=True):
                self.passing[r] = [whole[:, end - r.size : end] for whole in each]
            return
        sent = not set(members).isdisjoint(self.program.low.ports.values())
        around = self.reach if sent else 0
        whole = self._array(self.n + 2 * around, self._padded(width))
        if around:
            self.blank += [whole[:around], whole[self.n + around :]]
        at = 0
        for r in members:
            columns = whole[:, at : at + r.size]
            self.whole[r] = columns, around
            self.value[r] = columns[around : around + self.n]
            at += r.size

    def _padded(self, width: int) -> int:
        """The length of a row: whole cache lines, unless it is shorter than one.

        Rows of a power of two bytes fall onto few cache sets: one line more spreads them.
        """
        line = LINE // self.dtype.itemsize
        if width <= line:
            return width
        more = line if width * self.dtype.itemsize % 4096 == 0 else 0
        return -(-width // line) * line + more

    def _copied(self, slot: Row) -> bool:
        return self.dense[slot.tensor[0]] is None

    def _shifted(self, slot: Row) -> np.ndarray:
        """A slot read in place: the port's rows, moved by the distance between levels."""
        number, leaf = slot.tensor
        port, shift = self.program.low.ports.get((0, leaf)), self.dense[number]
        if port is None or port not in self.whole or shift is None:
            return self.zeroed(self.n, slot.size)  # nothing ever arrives
        whole, around = self.whole[port]
        return whole[around - shift : around - shift + self.n]

    def states(self) -> dict[Key, np.ndarray]:
        """What leaves by each port and leaf, row by row."""
        return {k: self.value[r] for k, r in self.program.low.ports.items() if r in self.value}

    def enter(self, states: dict[Key, Any]) -> None:
        """The states of other chunks' rows, where the rows that take them look for them."""
        for key, given in states.items():
            r = self.program.low.ports.get(key)
            if r in self.whole:
                whole, around = self.whole[r]
                start = around + self.ghosts_at
                whole[start : start + self.ghosts] = given

    # -- matrices and sums -------------------------------------------------------------------------

    def _matrices(self) -> None:
        plan, size = self.program.plan, self.dtype.itemsize
        room = [gemm.packed_size(m.depth, m.columns, size) for m in plan.matrices]
        self.packed = [self._array(items) for items in room]
        self.joined: list[Any] = [
            self._array(*((m.columns, m.depth) if m.transposed else (m.depth, m.columns)))
            if len(m.blocks) > 1 else None
            for m in plan.matrices
        ]  # fmt: skip
        self.bias = [self._array(b.area.width) for b in plan.bundles]

    def _sums(self, threads: int) -> None:
        plan, size = self.program.plan, self.dtype.itemsize
        self.outer = [self._array(o.left.size, o.width) for o in plan.outers]
        self.outer_sums: list[Any] = [
            self._array(o.width) if o.want_sums else None for o in plan.outers
        ]
        chunks = -(-self.n // COLUMN)
        columns = [r for rows in plan.columns.values() for r in rows]
        self.columns = {
            r: self._array(self.components if r in plan.by_component else chunks, r.size)
            for r in columns
        }  # fmt: skip
        self.zeros = self.zeroed(max((o.width for o in plan.outers), default=1))
        self.runs = {
            (r, k): np.array(runs, np.int64)
            for r in plan.moved if r.op == "move" for k, runs in enumerate(r.tensor.runs)
        }  # fmt: skip
        self.loops = {
            r: np.array(r.tensor.loops, np.int64) for r in plan.moved if r.op == "nest"
        }
        self.ones = np.ones(1, self.dtype)
        room = [gemm.work_size(o.left.size, o.width, size) for o in plan.outers]
        self.work = [self._array(max(room, default=1)) for _ in range(threads)]

    # -- what is read of them ----------------------------------------------------------------------

    def rows(self, r: Row) -> np.ndarray:
        """The values of a row node that leaves."""
        return self.indexed[r] if r in self.indexed else self.value[r]

    def sum(self, s: Sum) -> np.ndarray:
        """The value of a sum over the nodes."""
        found: dict[int, np.ndarray] = {}
        stack = [s]
        while stack:
            top = stack[-1]
            waiting = [part for part in top.parts if id(part) not in found]
            if waiting:
                stack += waiting
                continue
            found[id(top)] = self._own_sum(top, found)
            stack.pop()
        return found[id(s)]

    def _own_sum(self, s: Sum, parts: dict[int, np.ndarray]) -> np.ndarray:
        plan = self.program.plan
        if s.how == "outer":
            outer, at = plan.outer_at[s.left, s.right]
            value = self.outer[plan.outers.index(outer)][:, at : at + s.right.size]
            return value.T if s.flip else value
        if s.how == "column":
            if s.left in plan.column_at:
                outer, at = plan.column_at[s.left]
                return self.outer_sums[plan.outers.index(outer)][at : at + s.left.size]
            return self.columns[s.left].sum(axis=0, dtype=self.dtype)
        tensor: Tensor = s.tensor
        given = zip(s.parts, tensor.inputs, strict=True)
        return tensor.op.numpy(*(parts[id(p)].reshape(i.shape) for p, i in given), **tensor.attrs)
