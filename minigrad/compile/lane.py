"""The lane: one traced function as a list of kernels, with Python in between only where an op has
no code.

Everything that can be known at tracing time is: which argument's address goes into which table,
which kernels run in which order on which thread, which rows are copied to which result.  A call is
then: check the arrays, write their addresses, run the list, copy the results; some ten microseconds
outside of the kernels.

What has no code, or does not lie in memory as a kernel reads it (another dtype or order, a table
read through an index), is an `Item`: Python that runs before the kernels that need it.  Kernels and
items alternate in *segments*, as few as the graph allows: an item runs as early as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import setitem
from typing import Any, NamedTuple

import numpy as np

from .. import static
from ..graph import Tensor, toposort
from ..kernels import glue, singles
from ..kernels.glue import address
from ..ops.arrays import ASTYPE
from ..ops.broadcast import RESHAPE
from ..ops.indexing import CHECKED, SCATTER, TAKE, check_rows
from ..run import chunkwise
from ..run.levels import run_levels
from ..run.reference import compute
from .donate import Donation
from .entrance import LARGE, Entrance
from .layout import Layout, Rows, by_place
from .results import fresh, plain
from .runner import Runner, shared_value
from .sequence import Calls, Schedule

MOVES = (RESHAPE, CHECKED, TAKE, SCATTER)  # ops that kernels may do, or that do nothing

Env = dict[Tensor, Any]
Phase = list[list[tuple[int, int, int, int]]]


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
    phases: list[Phase] = field(default_factory=list)
    schedule: Schedule | None = None


class Lane:
    """inputs: (position among the leaves, placeholder); steps: in order; known: the values that no
    argument reaches; donated: positions of leaves whose memory may be used for results."""

    def __init__(
        self,
        leaves: Sequence[Any],
        inputs: Sequence[tuple[int, Tensor]],
        steps: Sequence[Step],
        outputs: Sequence[Any],
        known: dict[Tensor, Any],
        donated: Collection[int] = (),
        loose: Collection[Tensor] = (),
    ):
        self.inputs, self.outputs, self.known = inputs, outputs, known
        self.loose = loose  # rows that are computed again where they are read
        self.place = {ph: k for k, (_, ph) in enumerate(inputs)}
        self.is_array = [False] * len(leaves)
        for k, _ in inputs:
            self.is_array[k] = True
        self.static = [
            (k, x, static.key(x)) for k, x in enumerate(leaves) if not self.is_array[k]
        ]
        self.fixed: list[tuple[np.ndarray, int]] = []  # entries of tables, and what they hold
        self.targets: list[tuple[int, int]] = []  # (argument or result, where its address goes)
        self.alive: list[Any] = []
        self.alias: dict[Tensor, Tensor] = {}  # what is only looked at: the same numbers
        self.held: dict[Tensor, np.ndarray] = {}  # (n, width) results of ops that kernels compute
        self.by_numpy: list[str] = []  # names of the ops that have no kernel
        self.guarded: list[Tensor] = []  # ops whose kernels refuse data
        self.flag = np.zeros(1, np.int64)  # set by those
        self.runner_of: dict[Tensor, Runner] = {}
        self.segment_of: dict[Tensor, int] = {}  # of what is computed: where
        self.phase_of: dict[Tensor, int] = {}  # of what kernels compute: behind which phase there
        self.fed: dict[tuple, tuple[np.ndarray, int, int]] = {}  # buffers, and from when on filled
        self.segments: list[Stretch] = []
        self.donation = Donation(inputs, donated)
        threads = max((s.runner.threads for s in steps if s.runner is not None), default=1)
        self.threads = threads
        self.by_python: set[Tensor] = set()  # what ordinary ops read, whatever its shape
        for step in reversed(steps):
            single = not step.asked and step.t not in self.by_python and _single(step.t)
            if step.runner is None and step.t.op not in MOVES and not single:
                self.by_python.update(map(self.source, step.t.inputs))
        for step in steps:
            self._add(step)
        self._results()
        self._forget()
        for segment in self.segments:
            if segment.phases:
                segment.schedule = Schedule(segment.phases, threads)
        self._native(threads)

    # -- the list, made when the function is traced ------------------------------------------------

    def _add(self, step: Step) -> None:
        t = step.t
        if t.op is RESHAPE or self._by_kernel(t):
            return
        if step.runner is not None:
            self.alive.append(step.runner)
            at, after = max([(0, 0), *self._bind(t, step.runner)])
            for phase in step.runner.phases():
                self._put(at, after, phase)
                after += 1
            self.runner_of.update(dict.fromkeys(step.asked, step.runner))
            self.segment_of.update(dict.fromkeys(step.asked, at))
            self.phase_of.update(dict.fromkeys(step.asked, after))
            for p in step.asked:
                if p.attrs["via"].kind == "index" and p.dtype == step.runner.program.dtype:
                    self._into_a_table(p, step.runner, at, after)
            return
        if step.asked:
            run = partial(self._chunkwise if step.chunks else self._evaluated, step)
            at = self._item(run, [i for i in t.inputs if self._is_there(i)])
        else:
            self.by_numpy.append(t.op.name)
            at = self._item(partial(self._op, t), list(t.inputs))
        self.segment_of.update(dict.fromkeys(step.asked or [t], at))

    def source(self, t: Tensor) -> Tensor:
        """The tensor whose numbers `t` has, maybe in another shape."""
        while True:
            if t.op is RESHAPE:
                t = t.inputs[0]
            elif t in self.alias:
                t = self.alias[t]
            else:
                return t

    # -- ops around recurrences that have kernels --------------------------------------------------

    def _by_kernel(self, t: Tensor) -> bool:
        """Integers looked over, rows taken and rows scattered by number, where they lie ready."""
        if t.op is CHECKED:
            return self._checked(t)
        if (single := _single(t)) is not None:
            return t not in self.by_python and self._computed(t, *single)
        real = t.dtype.kind == "f" and t.dtype.itemsize >= 4
        if real and t.op in (TAKE, SCATTER) or t.op is TAKE and t.dtype == np.int64:
            return self._moved(t)
        return False

    def _checked(self, t: Tensor) -> bool:
        source = self.source(t.inputs[0])
        start = self._integers(source)
        if start is None or t in self.by_python:
            return False  # an op in NumPy that reads it runs before the kernels
        ends = [t.attrs["start"], t.attrs["stop"], self._flag_of(t)]
        item = self._call("check", [start, t.size, *ends])
        if source in self.place:
            self.targets.append((self.place[source], item[1]))
        self._put(*self._there(source), [[item]])
        self.alias[t] = source
        return True

    def _computed(self, t: Tensor, kernel: str, number: int) -> bool:
        """An op on single numbers, where they lie ready."""
        found = [self._number_at(x) for x in t.inputs]
        if None in found:
            return False
        buffer = np.zeros((1, 1), t.dtype)
        items = np.array([[number, address(buffer), *[0] * 2]], np.int64)
        start = address(items)
        when = [(0, 0)]
        for k, (x, (array, place)) in enumerate(zip(t.inputs, found, strict=True)):  # type: ignore
            if array is None:
                self.targets.append((place, start + (2 + k) * 8))
            else:
                items[0, 2 + k] = address(array)
                self.alive.append(array)
            when.append(self._there(x))
        if len(found) == 1:  # not read, but there
            items[0, 3] = address(buffer)
        self.alive += [items, buffer]
        at, after = max(when)
        self._put(at, after, [[(getattr(singles.kernels(), kernel).address, start, 0, 1)]])
        self.held[t], self.segment_of[t], self.phase_of[t] = buffer, at, after + 1
        return True

    def _number_at(self, t: Tensor) -> tuple[np.ndarray | None, int] | None:
        """Where a single number lies: an array, or the number of an argument."""
        source = self.source(t)
        if source in self.place:
            return None, self.place[source]
        if (known := self._value_of(source)) is not None:
            return np.array(known, t.dtype), -1
        parts = self._parts(source)
        if len(parts) == 1 and not parts[0][1]:
            return parts[0][0], -1
        if not parts:
            return None
        buffer, (at, after) = self._fed(t, (1, 1), t.dtype, _shared_into, None)
        self.held[source], self.segment_of[source], self.phase_of[source] = buffer, at, after
        return buffer, -1

    def _moved(self, t: Tensor) -> bool:
        """A table's rows by number, or rows added into a table, as one buffer."""
        x, index = t.inputs
        numbers, row = self.source(index), int(np.prod(x.shape[index.ndim :]))
        row = int(np.prod(x.shape[1:])) if t.op is TAKE else row
        given = self._rows_of(x, x.size // row if row else 0, row, t.dtype)
        first = self._integers(numbers)
        if given is None or first is None or t.dtype.kind == "i" and t in self.by_python:
            return False
        array, place = given
        lds = row * t.dtype.itemsize if array is None else array.strides[0]
        count = index.size
        buffer = np.zeros((count if t.op is TAKE else t.attrs["size"], row), t.dtype)
        ends = [address(buffer), buffer.strides[0], row, self._flag_of(t)]
        start = 0 if array is None else address(array)
        if t.op is TAKE:
            call = self._call(f"take_{t.dtype.name}", [start, lds, x.shape[0], first, *ends])
            phase = self._shared_out(call, count, row)
        else:
            call = self._call(
                f"scatter_{t.dtype.name}", [start, lds, count, first, *ends, t.attrs["size"]]
            )
            phase = [[call]]
        if array is None:
            self.targets.append((place, call[1]))
        if numbers in self.place:
            self.targets.append((self.place[numbers], call[1] + 3 * 8))
        self.alive.append(buffer)
        at, after = max(self._there(x), self._there(index))
        self._put(at, after, phase)
        self.held[t], self.segment_of[t], self.phase_of[t] = buffer, at, after + 1
        return True

    def _into_a_table(self, p: Tensor, runner: Runner, at: int, after: int) -> None:
        """Rows of a recurrence added up by the number of a table's row; those of none in one row
        more."""
        via, rows = p.attrs["via"], runner._rows(runner.program.low.rows[p.attrs["ref"]])
        numbers = runner.layout.to_rows(via.rows)
        numbers = np.where(numbers < 0, via.size, numbers).astype(np.int64)
        buffer = np.zeros((via.size + 1, rows.shape[1]), p.dtype)
        shares = self.threads if rows.size > LARGE else 1
        cuts = [rows.shape[1] * k // shares for k in range(shares + 1)]
        phase: Phase = []
        for a, b in zip(cuts, cuts[1:], strict=False):
            part, to = rows[:, a:b], buffer[:, a:b]
            phase.append([self._call(f"scatter_{p.dtype.name}", [
                address(part), rows.strides[0], len(rows), address(numbers), address(to),
                buffer.strides[0], b - a, address(self.flag), len(buffer),
            ])])  # fmt: skip
        self.alive += [numbers, buffer]
        self._put(at, after, phase)
        self.held[p], self.phase_of[p] = buffer[:-1], after + 1

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
        return Lies(rows, -1, layout) if rows.shape == (n, width) else None

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
        call = self._call(f"gather_{t.dtype.name}", item)
        if lies.array is None:
            self.targets.append((lies.place, call[1]))
        self.alive += [index, to]
        at, after = self._there(t)
        self._put(at, after, self._shared_out(call, len(index), width))
        return at, after + 1

    def _shared_out(self, call: tuple[int, int, int, int], count: int, width: int) -> Phase:
        """A kernel's rows, among the threads where there are many."""
        share = self.threads if count * width > LARGE else 1
        cuts = [count * k // share for k in range(share + 1)]
        return [[(*call[:2], a, b)] for a, b in zip(cuts, cuts[1:], strict=False)]

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

    def _flag_of(self, t: Tensor) -> int:
        self.guarded.append(t)
        return address(self.flag)

    def _call(self, name: str, item: list[int]) -> tuple[int, int, int, int]:
        """A call of a kernel that reads what to do in one row of numbers."""
        items = np.array([item], np.int64)
        self.alive.append(items)
        return getattr(glue.kernels(), name).address, address(items), 0, 1

    # -- where things are --------------------------------------------------------------------------

    def _segment(self, k: int) -> Stretch:
        while len(self.segments) <= k:
            self.segments.append(Stretch())
        return self.segments[k]

    def _put(self, segment: int, number: int, phase: Phase) -> None:
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

    def _ready(self, t: Tensor, to_kernels: bool) -> int:
        """The first segment whose kernels, or whose items, can read t."""
        source = self.source(t)
        at = self.segment_of.get(source, 0)
        by_kernels = source in self.runner_of or source in self.held
        return at + (by_kernels and not to_kernels)

    def _there(self, t: Tensor) -> tuple[int, int]:
        """The segment and the phase in which kernels can read t."""
        return self._ready(t, True), self.phase_of.get(self.source(t), 0)

    def _is_there(self, t: Tensor) -> bool:
        """Whether t is computed at all: an argument that no projection asked for reads is not."""
        source = self.source(t)
        known = source in self.place or source in self.segment_of
        return known or self._value_of(source) is not None

    def _value_of(self, t: Tensor) -> Any:
        """The value of a tensor that no argument reaches: known when the function was traced."""
        return self.known.get(t) if t._value is None else t._value

    def _bind(self, r: Tensor, runner: Runner) -> list[tuple[int, int]]:
        """Who writes the entries of a runner's table that arguments fill; from which segment and
        phase on each is there."""
        number, dtype, found = runner.numbers, runner.program.dtype, []
        for entry, stride, row in runner.of_input:
            t = r.inputs[number[row.tensor]]
            if self._direct(t, runner, entry, stride, row.size):
                found.append(self._there(t))
                continue
            buffer, when = self._fed(
                t, (runner.n, row.size), dtype, partial(_rows_into, layout=runner.layout),
                runner.layout.key, runner.layout,
            )  # fmt: skip
            found.append(when)
            self._hold(runner, entry, stride, buffer)
        for row, buffer in runner.indexed.items():
            k = number[row.tensor]
            index, t = runner.layout.to_rows(runner.vias[k].rows), r.inputs[k]
            ready = None
            if t.dtype == dtype:
                ready = self._gathered(t, t.shape[0], row.size, index, buffer)
            into = partial(_gathered_into, index=index)
            found.append(ready or (self._feed(t, buffer, into), 0))
        for entry, tensor, turned, stride in runner.of_shared:
            width = tensor.shape[-1] if tensor.shape else 1
            if tensor in number:
                t = r.inputs[number[tensor]]
                if not turned and self._direct(t, runner, entry, stride, width, shared=True):
                    found.append(self._there(t))
                    continue
                shape = tensor.shape[::-1] if turned else tensor.shape
                into = partial(_shared_into, turned=turned)
                buffer, when = self._fed(t, shape, dtype, into, turned)
                found.append(when)
            elif tensor._value is not None:
                value = tensor._value.T if turned else tensor._value
                buffer = np.array(value, dtype, order="C")
            else:
                shape = tensor.shape[::-1] if turned else tensor.shape
                buffer = np.zeros(shape, dtype)
                run = partial(self._shared, r, runner, tensor, turned, buffer)
                found.append((self._item(run, _leaves_read(r, runner, tensor)), 0))
            self._hold(runner, entry, stride, buffer)
        return found

    def _direct(
        self, t: Tensor, runner: Runner, entry: int, stride: int, width: int, shared: bool = False
    ) -> bool:
        """Whether kernels read t where it lies: an argument, what is known, another runner's rows.
        """
        source, dtype = self.source(t), runner.program.dtype
        order = None if shared else runner.layout.order
        if source in self.place and source.dtype == dtype and order is None:
            for table in runner.table:
                self.targets.append((self.place[source], address(table[entry:])))
            if stride >= 0:
                self._fix(runner, stride, width * dtype.itemsize)
            return True
        if (value := self._value_of(source)) is not None:
            value = np.asarray(value, dtype)
            if order is not None:
                value = value.reshape(runner.n, width)[order]
            self._hold(runner, entry, -1, np.array(value, order="C"))
            if stride >= 0:
                self._fix(runner, stride, width * dtype.itemsize)
            return True
        given = None if shared else self._rows_of(t, runner.n, width, dtype, runner.layout)
        if given is None or given[0] is None:
            return False
        self._hold(runner, entry, stride, given[0])
        return True

    def _hold(self, runner: Runner, entry: int, stride: int, array: np.ndarray) -> None:
        """The entry is this array's address, for good."""
        self.alive.append(array)
        self._fix(runner, entry, address(array))
        if stride >= 0:
            self._fix(runner, stride, array.strides[0] if array.ndim > 1 else array.nbytes)

    def _fix(self, runner: Runner, entry: int, value: int) -> None:
        self.fixed.append((runner.table[:, entry], value))

    def _fed(
        self, t: Tensor, shape: tuple[int, ...], dtype: np.dtype, into: Callable[..., None],
        how: Any, layout: Layout | None = None,
    ) -> tuple[np.ndarray, tuple[int, int]]:  # fmt: skip
        """A buffer that holds t as kernels read it, and from when on: brought there by kernels
        where it lies in their reach, else by an item; once for all who read it so.

        layout: whose order its rows are to have.
        """
        source = self.source(t)
        key = (source, shape, dtype, how)
        if key not in self.fed:
            buffer = np.zeros(shape, dtype)
            when = None
            if layout is not None and source not in self.known:
                when = self._rows_brought(source, buffer, layout)
            if when is None and not how and source.dtype == dtype:
                when = self._parts_added(t, source, buffer)
            self.fed[key] = buffer, *(when or (self._feed(t, buffer, into), 0))
        buffer, at, after = self.fed[key]
        return buffer, (at, after)

    def _parts_added(self, t: Tensor, source: Tensor, buffer: np.ndarray) -> tuple[int, int] | None:
        """A result of kernels as one piece."""
        parts = []
        if source not in self.place and ("via" not in source.attrs or _is_shared(source)):
            parts = self._parts(source)
        at, after = self._there(t)
        for k, (rows, add) in enumerate(parts):
            width = rows.shape[1] * rows.itemsize
            item = [address(rows), rows.strides[0], address(buffer), width, *rows.shape]
            self._put(at, after, [[self._call(f"copy_{buffer.dtype.name}", [*item, add])]])
            after += k + 1 < len(parts)
        return (at, after + 1) if parts else None

    def _rows_brought(
        self, source: Tensor, buffer: np.ndarray, layout: Layout
    ) -> tuple[int, int] | None:
        """Rows in the order of a layout; integers as floats."""
        n, width = buffer.shape
        if source.size != buffer.size:
            return None
        if source.dtype == buffer.dtype:
            order = np.arange(n) if layout.order is None else layout.order
            return self._gathered(source, n, width, order, buffer)
        integers = self._integers(source)
        if integers is None:
            return None
        at, after = self._there(source)
        place = self.place.get(source, -1)
        if layout.order is not None:
            ordered = np.zeros((n, width), np.int64)
            when = self._gathered(source, n, width, layout.order, ordered)
            if when is None:
                return None
            integers, place, (at, after) = address(ordered), -1, when
        item = [integers, address(buffer), source.size]
        call = self._call(f"number_{buffer.dtype.name}", item)
        if place >= 0:
            self.targets.append((place, call[1]))
        self._put(at, after, [[call]])
        return at, after + 1

    def _feed(self, t: Tensor, buffer: np.ndarray, into: Callable[..., None]) -> int:
        """An item that writes t into a buffer that kernels read."""
        return self._item(lambda env: into(self.value(t, env), buffer), [t])

    # -- results -----------------------------------------------------------------------------------

    def _results(self) -> None:
        """Arrays for the results, and the copies into them; `returned` says of each output where
        it comes from.

        What may lie in a donated argument's memory is copied last, when nothing can fail any more.
        """
        self.empty: list[tuple[tuple[int, ...], np.dtype]] = []
        self.lender: list[int | None] = []  # of each native result: the argument with its memory
        self.returned: list[int | None] = []  # the native result; None: Python's
        self.same: dict[int, int] = {}  # outputs that are a donated argument: its number
        self.moved: dict[int, int] = {}  # Python's outputs that may lie in one
        last: list[tuple[int, Calls]] = []  # bytes and calls of a result
        sources: list[Any] = [
            self.source(t) if isinstance(t, Tensor) else None for t in self.outputs
        ]
        for j, (t, source) in enumerate(zip(self.outputs, sources, strict=True)):
            if source in self.place and t.shape == source.shape:
                if self.donation.keep(self.place[source]):
                    self.same[j] = self.place[source]
        for j, (t, source) in enumerate(zip(self.outputs, sources, strict=True)):
            parts = [] if source is None else self._parts(source)
            if source is None or not parts:
                self.returned.append(None)
                lender = None if source is None or j in self.same else self.donation.take(t)
                if lender is not None:
                    self.moved[j] = lender
                continue
            number = len(self.empty)
            self.returned.append(number)
            self.empty.append((t.shape, t.dtype))
            self.lender.append(self.donation.take(t))
            calls = []
            for rows, add in parts:
                width = rows.shape[1] * rows.itemsize
                item = [address(rows), rows.strides[0], 0, width, *rows.shape, add]
                calls.append(self._call(f"copy_{t.dtype.name}", item))
                self.targets.append((len(self.place) + number, calls[-1][1] + 2 * 8))
            if self.lender[-1] is not None:
                last.append((t.size * t.dtype.itemsize, [calls]))
                continue
            at, after = self._there(source)
            for k, call in enumerate(calls):
                self._put(at, after + k, [[call]])
        parties = self.threads if sum(size for size, _ in last) > LARGE else 1
        shares: Calls = [[] for _ in range(parties)]
        busy = [0] * parties
        for size, (calls,) in sorted(last, key=lambda r: -r[0]):
            k = busy.index(min(busy))
            busy[k] += size
            shares[k] += calls
        self.finish = Schedule([shares], parties) if self.donation.used else None

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
            return [(row[None], int(k > 0)) for k, row in enumerate(runner.columns[s.left])]
        return []

    def _forget(self) -> None:
        """What nobody reads any more is dropped after the last item that does."""
        seen = {self.source(t) for t in self.outputs if isinstance(t, Tensor)}
        for segment in reversed(self.segments):
            for item in reversed(segment.items):
                for t in dict.fromkeys(u for r in item.reads for u in (r, self.source(r))):
                    if t not in seen and t not in self.place and t not in self.known:
                        item.dead.append(t)
                    seen.add(t)

    def _native(self, threads: int) -> None:
        """How a call begins, and whether kernels are all there is to it."""
        first = self.segments[0] if self.segments else None
        self.only_kernels = (
            glue.reads_objects() and len(self.segments) == 1 and first is not None
            and not first.items and None not in self.returned
        )  # fmt: skip
        self.alone = self.only_kernels and threads == 1
        made = [(*what, lender) for what, lender in zip(self.empty, self.lender, strict=True)]
        self.entrance = Entrance(
            [ph for _, ph in self.inputs], made, self.targets, self.donation,
            first.schedule if self.alone and first else None,
        )  # fmt: skip

    def take_tables(self) -> None:
        """Write what a call does not, should another lane have worked with the runners since."""
        for entries, value in self.fixed:
            entries[:] = value

    # -- a call ------------------------------------------------------------------------------------

    def run(self, leaves: Sequence[Any], given: Sequence[Any] | None = None) -> list[Any] | None:
        """The results, or None where these arguments are not of this trace (or not contiguous).

        given: what the caller passed, where these are copies.
        """
        if self.static:
            for k, x, key in self.static:
                if leaves[k] is not x and static.key(leaves[k]) != key:
                    return None
            arrays = [x for x, yes in zip(leaves, self.is_array, strict=True) if yes]
        else:
            arrays = leaves  # type: ignore[assignment]
        entered = self.entrance.enter(arrays, given)
        if entered is None:
            return None
        results, lent = entered
        if self.only_kernels:
            if not self.alone:
                self.segments[0].schedule.run()  # type: ignore[union-attr]
            if self.flag[0]:
                self._refuse(arrays)
            if self.finish is not None:
                self.finish.run()
            return results
        env: Env = {ph: x for (_, ph), x in zip(self.inputs, arrays, strict=True)}
        with np.errstate(all="ignore"):
            for segment in self.segments:
                for item in segment.items:
                    item.run(env)
                    for t in item.dead:
                        env.pop(t, None)
                if segment.schedule is not None:
                    segment.schedule.run()
                    if self.flag[0]:
                        self._refuse(arrays)
            taken = set(map(id, (*arrays, *results, *self.known.values())))
            found: list[Any] = []
            for j, (t, native) in enumerate(zip(self.outputs, self.returned, strict=True)):
                if native is not None:
                    found.append(results[native])
                elif not isinstance(t, Tensor):
                    found.append(t)
                elif self.same.get(j) in lent:
                    found.append(arrays[self.same[j]])
                else:
                    found.append(fresh(self.value(t, env), t, taken))
        return self._write_last(found, {j: arrays[n] for j, n in self.moved.items() if n in lent})

    def _write_last(self, found: list[Any], places: dict[int, np.ndarray]) -> list[Any]:
        """Results into donated memory.  places: of those that Python made.
"""
        if self.finish is not None:
            steps: list[Any] = [partial(setitem, x, ..., found[j]) for j, x in places.items()]
            self.finish.run_behind(steps)
            for j, x in places.items():
                found[j] = x
        return found

    def _refuse(self, arrays: Sequence[np.ndarray]) -> None:
        """A kernel met an integer that it may not: the op once more, for the error's words."""
        self.flag[0] = 0
        env: Env = {ph: x for (_, ph), x in zip(self.inputs, arrays, strict=True)}
        for t in self.guarded:
            compute(t, {i: plain(self.value(i, env)) for i in t.inputs})
        raise RuntimeError("a kernel refused data that the reference accepts")

    def value(self, t: Tensor, env: Env) -> Any:
        """The value of a tensor between kernels: an array, or `Rows` of a runner."""
        value = env.get(t)
        if value is None:
            source = self.source(t)
            if source is not t:
                value = plain(self.value(source, env)).reshape(t.shape)
            elif t in self.held:
                value = self.held[t].reshape(t.shape)
            elif t in self.runner_of:
                value = self.runner_of[t]._leave(t)
            else:
                value = self._value_of(t)
            env[t] = value
        return value

    def _op(self, t: Tensor, env: Env) -> None:
        """An ordinary op, in NumPy."""
        values = [self.value(i, env) for i in t.inputs]
        try:
            if t.op is TAKE and isinstance(values[0], Rows):
                index = np.asarray(plain(values[1]))
                check_rows(index, t.inputs[0].shape[0])
                env[t] = values[0].take(index)
            else:
                env[t] = t.op.numpy(*map(plain, values), **t.attrs)
        except Exception:  # once more, for the error's words
            env[t] = compute(t, {i: plain(v) for i, v in zip(t.inputs, values, strict=True)})

    def _evaluated(self, step: Step, env: Env) -> None:
        """A recurrence without code: level by level in NumPy."""
        values = run_levels(step.t, self._arguments(step.t, env), step.asked)
        env.update(zip(step.asked, values, strict=True))

    def _chunkwise(self, step: Step, env: Env) -> None:
        """A recurrence with checkpoints, chunk by chunk."""
        assert step.chunks is not None
        run = chunkwise.Chunkwise(step.t, self._arguments(step.t, env), step.chunks, plain).run
        env.update(zip(step.asked, run(step.asked, self.loose), strict=True))

    def _arguments(self, r: Tensor, env: Env) -> list[Any]:
        return [plain(self.value(i, env)) if self._is_there(i) else None for i in r.inputs]

    def _shared(
        self, r: Tensor, runner: Runner, t: Tensor, turned: bool, buffer: np.ndarray, env: Env
    ) -> None:
        """What all nodes share and the block computes itself, such as a joined bias."""
        args: Any = {k: plain(self.value(r.inputs[k], env)) for k in _numbers_read(runner, t)}
        _shared_into(shared_value(t, runner.numbers, args), buffer, turned)


def _single(t: Tensor) -> tuple[str, int] | None:
    """The kernel of an op on single numbers, and the op's number there."""
    if t.size != 1 or any(x.size != 1 for x in t.inputs):
        return None
    text = "astype" if t.op is ASTYPE else t.op.scalar
    if text is None or t.attrs and t.op is not ASTYPE:
        return None
    return singles.call_of(text, [x.dtype.name for x in t.inputs], t.dtype.name)


def _is_shared(t: Tensor) -> bool:
    return t.attrs["via"].kind == "shared"


def _numbers_read(runner: Runner, t: Tensor) -> list[int]:
    """Which arguments a shared tensor of the block is computed from."""
    return [runner.numbers[u] for u in toposort([t]) if u in runner.numbers]


def _leaves_read(r: Tensor, runner: Runner, t: Tensor) -> list[Tensor]:
    return [r.inputs[k] for k in _numbers_read(runner, t)]


def _rows_into(value: Any, buffer: np.ndarray, layout: Any) -> None:
    np.copyto(buffer, by_place(value, layout).reshape(buffer.shape), casting="unsafe")


def _gathered_into(value: Any, buffer: np.ndarray, index: np.ndarray) -> None:
    rows = np.asarray(plain(value))
    rows = rows.reshape(len(rows), buffer.shape[1])
    if len(rows):
        np.take(rows, index, axis=0, out=buffer, mode="clip")
    buffer[index < 0] = 0


def _shared_into(value: Any, buffer: np.ndarray, turned: bool) -> None:
    value = np.asarray(plain(value))
    value = value.T if turned else value
    np.copyto(buffer, value.reshape(buffer.shape), casting="unsafe")
