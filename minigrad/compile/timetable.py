"""Where things are while a trace becomes a list of kernels, and when they are there.

A tensor lies in an argument, in a runner's memory, in a buffer that a kernel fills, or is known
since tracing.  Kernels and Python's items alternate in *segments*; in a segment, kernels run phase
after phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..graph import Tensor
from ..kernels import glue
from ..kernels.glue import address
from ..ops.broadcast import RESHAPE
from ..run import chunkwise
from .entrance import LARGE
from .layout import Layout
from .memory import Arena, Pool
from .runner import Runner
from .sequence import Calls, Schedule

Env = dict[Tensor, Any]


@dataclass
class Step:
    """One node of the schedule: an op, or a recurrence with the projections asked for, and its
    runner if there is code for it; or how its chunks are computed, if it is cut into such."""

    t: Tensor
    asked: list[Tensor] = field(default_factory=list)
    runner: Runner | None = None
    chunks: chunkwise.OneChunk | None = None


class Lies(NamedTuple):
    """Where a tensor lies as rows: an array, or the number of an argument.

    layout: whose order the rows have; None: the user's.
    """

    array: np.ndarray | None
    place: int
    layout: Layout | None = None

    @property
    def key(self) -> bytes:
        return b"" if self.layout is None else self.layout.key


@dataclass
class Item:
    """Python between kernels.  reads: what it asks for; dead: of that, what nobody reads later."""

    run: Callable[[Env], None]
    reads: list[Tensor]
    dead: list[Tensor] = field(default_factory=list)


@dataclass
class Stretch:
    """Items, then phases of kernels."""

    items: list[Item] = field(default_factory=list)
    phases: list[Calls] = field(default_factory=list)
    schedule: Schedule | None = None


class Timetable:
    """Where all that a trace computes lies, and from when on.

    inputs: (position among the leaves, placeholder); known: the values that no argument reaches.
    """

    def __init__(
        self, inputs: Sequence[tuple[int, Tensor]], known: dict[Tensor, Any], threads: int,
        pool: Pool,
    ):  # fmt: skip
        self.inputs, self.known, self.threads = inputs, known, threads
        self.place = {ph: k for k, (_, ph) in enumerate(inputs)}
        self.targets: list[tuple[int, int]] = []  # (argument or result, where its address goes)
        self.alive: list[Any] = []
        self.alias: dict[Tensor, Tensor] = {}  # what is only looked at: the same numbers
        self.held: dict[Tensor, np.ndarray] = {}  # (n, width) results of ops that kernels compute
        self.runner_of: dict[Tensor, Runner] = {}
        self.segment_of: dict[Tensor, int] = {}  # of what is computed: where
        self.phase_of: dict[Tensor, int] = {}  # of what kernels compute: behind which phase there
        self.segments: list[Stretch] = []
        self.arena = Arena(pool)  # what kernels fill before anybody reads it

    # -- of what is computed -----------------------------------------------------------------------

    def source(self, t: Tensor) -> Tensor:
        """The tensor whose numbers `t` has, maybe in another shape."""
        while True:
            if t.op is RESHAPE:
                t = t.inputs[0]
            elif t in self.alias:
                t = self.alias[t]
            else:
                return t

    def _is_there(self, t: Tensor) -> bool:
        """Whether t is computed at all: an argument that no projection asked for reads is not."""
        source = self.source(t)
        known = source in self.place or source in self.segment_of
        return known or self._value_of(source) is not None

    def _value_of(self, t: Tensor) -> Any:
        """The value of a tensor that no argument reaches: known when the function was traced."""
        return self.known.get(t) if t._value is None else t._value

    def _parts(self, t: Tensor) -> list[tuple[np.ndarray, int]]:
        """The 2-D arrays that make up a result of kernels: one, or several to be added; none:
        Python does it."""
        if t in self.held:
            return [(self.held[t], 0)]
        if t not in self.runner_of:
            return []
        runner, ref, via = self.runner_of[t], t.attrs["ref"], t.attrs["via"]
        if via.kind == "row":
            in_order = runner.layout.order is None
            return [(runner._rows(runner.program.low.rows[ref]), 0)] if in_order else []
        if via.kind == "index":
            return []
        s, plan = runner.program.low.sums[ref], runner.program.plan
        if s.how == "outer" and not s.flip:
            outer, at = plan.outer_at[s.left, s.right]
            return [(runner.outer[plan.outers.index(outer)][:, at : at + s.right.size], 0)]
        if s.how == "column" and s.left in plan.column_at:
            outer, at = plan.column_at[s.left]
            sums = runner.outer_sums[plan.outers.index(outer)]
            return [(sums[None, at : at + s.left.size], 0)]
        if s.how == "column":
            rows = runner.columns[s.left]
            return [(rows[:1], 0), (rows[1:], 1)][: len(rows)]
        return []

    def _lies(self, t: Tensor, n: int, width: int, dtype: np.dtype) -> Lies | None:
        """Where t lies as n rows, in whatever order."""
        source = self.source(t)
        if source.dtype != dtype:
            return None
        if source in self.place:
            return Lies(None, self.place[source])
        layout = None
        if source in self.held:
            rows = self.held[source]
        elif source in self.runner_of:
            runner = self.runner_of[source]
            if source.attrs["via"].kind != "row":
                return None
            rows = runner._rows(runner.program.low.rows[source.attrs["ref"]])
            layout = runner.layout
        else:
            return None
        in_order = layout is None or layout.order is None
        if in_order and rows.flags.c_contiguous and rows.size == n * width:
            rows = rows.reshape(n, width)
        return Lies(rows, -1, layout) if rows.shape == (n, width) else None

    def _rows_of(
        self, t: Tensor, n: int, width: int, dtype: np.dtype, layout: Layout | None = None
    ) -> tuple[np.ndarray | None, int] | None:
        """Where t lies as n rows for kernels: an array, or the number of an argument.

        layout: whose order of rows is wanted; None: the user's.
        """
        lies = self._lies(t, n, width, dtype)
        if lies is None or lies.key != (b"" if layout is None else layout.key):
            return None
        return lies.array, lies.place

    def _integers(self, source: Tensor) -> int | None:
        """Where 64-bit integers lie for kernels (0: where an argument does, which is not known);
        None: nowhere."""
        if source.dtype != np.int64:
            return None
        if source in self.place:
            return 0
        if source in self.held:
            return address(self.held[source])
        known = self._value_of(source)
        if known is None:
            return None
        self.alive.append(np.array(known, np.int64, order="C"))
        return address(self.alive[-1])

    # -- when --------------------------------------------------------------------------------------

    def _ready(self, t: Tensor, to_kernels: bool) -> int:
        """The first segment whose kernels, or whose items, can read t."""
        source = self.source(t)
        at = self.segment_of.get(source, 0)
        by_kernels = source in self.runner_of or source in self.held
        return at + (by_kernels and not to_kernels)

    def _there(self, t: Tensor) -> tuple[int, int]:
        """The segment and the phase in which kernels can read t."""
        return self._ready(t, True), self.phase_of.get(self.source(t), 0)

    # -- the list ----------------------------------------------------------------------------------

    def _segment(self, k: int) -> Stretch:
        while len(self.segments) <= k:
            self.segments.append(Stretch())
        return self.segments[k]

    def _put(self, segment: int, number: int, phase: Calls) -> None:
        """Calls join those of a phase: what does not wait for each other runs side by side."""
        phases = self._segment(segment).phases
        while len(phases) <= number:
            phases.append([[] for _ in range(self.threads)])
        there = phases[number]
        if len(phase) == 1:  # of one thread: any will do
            min(there, key=len).extend(phase[0])
            return
        for calls, more in zip(there, phase, strict=False):
            calls.extend(more)

    def _item(self, run: Callable[[Env], None], reads: list[Tensor]) -> int:
        """Python as early as what it reads is there; the segment."""
        at = max([0, *(self._ready(t, False) for t in reads)])
        self._segment(at).items.append(Item(run, reads))
        return at

    def _call(self, name: str, item: list[int]) -> tuple[int, int, int, int]:
        """A call of a kernel that reads what to do in one row of numbers."""
        items = np.array([item], np.int64)
        self.alive.append(items)
        return getattr(glue.kernels(), name).address, address(items), 0, 1

    def _copy(self, rows: np.ndarray, add: int, to: int) -> tuple[int, int, int, int]:
        """A call that copies rows to an address, or adds them all to the one row there."""
        line = 0 if add else rows.shape[1] * rows.itemsize
        item = [address(rows), rows.strides[0], to, line, *rows.shape, add]
        return self._call(f"copy_{glue.bits_of(rows.dtype)}", item)

    def _shared_out(self, call: tuple[int, int, int, int], count: int, width: int) -> Calls:
        """A kernel's rows, among the threads where there are many."""
        share = self.threads if count * width > LARGE else 1
        cuts = [count * k // share for k in range(share + 1)]
        return [[(*call[:2], a, b)] for a, b in zip(cuts, cuts[1:], strict=False)]

    def _gathered(
        self, t: Tensor, n: int, width: int, index: np.ndarray, to: np.ndarray
    ) -> tuple[int, int] | None:
        """Rows of t by the user's numbers, negative ones zero, as a kernel's work; from when on
        they are there.  None: t does not lie ready."""
        lies = self._lies(t, n, width, t.dtype)
        if lies is None or not n or t.dtype.name not in ("float32", "float64", "int64"):
            return None
        if lies.layout is not None and lies.layout.order is not None:
            index = np.where(index < 0, -1, lies.layout.place[index])
        index = np.ascontiguousarray(index, np.int64)
        row = to.strides[0] if to.size else 0
        item = [0, width * t.dtype.itemsize, address(index), address(to), row, width]
        if lies.array is not None:
            item[:2] = address(lies.array), lies.array.strides[0]
            self.alive.append(lies.array)
        call = self._call(f"gather_{glue.bits_of(t.dtype)}", item)
        if lies.array is None:
            self.targets.append((lies.place, call[1]))
        self.alive += [index, to]
        at, after = self._there(t)
        self._put(at, after, self._shared_out(call, len(index), width))
        return at, after + 1
