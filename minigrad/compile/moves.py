"""Ops around recurrences that have kernels of their own.

Integers looked over, rows taken and scattered by number, whole rows moved (axes exchanged, slices
cut out or put among zeros), single numbers: each a call in the list where what it reads lies ready;
else, as any other op, a step of Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, placeholder
from ..kernels import singles
from ..kernels.glue import address
from ..ops.arrays import ASTYPE
from ..ops.broadcast import RESHAPE
from ..ops.indexing import CHECKED, SCATTER, TAKE
from ..ops.movement import PERMUTE, PLACE, SLICE
from ..rewrite.regions import again
from .entrance import LARGE
from .feeds import Feeds, shared_into
from .runner import Runner
from .sequence import Calls
from .timetable import Step

MOVES = (RESHAPE, CHECKED, TAKE, SCATTER)  # ops that kernels may do, or that do nothing
REARRANGED = (PERMUTE, SLICE, PLACE)
SHORT, FEW = 8, 4096  # rows of fewer elements are gathered only where there are few in all


class Moves(Feeds):
    """Which op has a kernel, and its call."""

    def _start(self, steps: Sequence[Step]) -> None:
        """Before any op has its place: what Python reads, whatever its shape."""
        # Ops whose kernels refuse data, and where their operands lie.
        self.guarded: list[tuple[Tensor, list[Any]]] = []
        self.flag = np.zeros(1, np.int64)  # set by those
        self.by_python: set[Tensor] = set()
        for step in reversed(steps):
            single = not step.asked and step.t not in self.by_python and _single(step.t)
            moves = step.t.op in MOVES or step.t.op in REARRANGED and _is_real(step.t)
            if step.runner is None and not moves and not single:
                self.by_python.update(map(self.source, step.t.inputs))

    def _by_kernel(self, t: Tensor) -> bool:
        """Integers looked over, rows taken and rows scattered by number, where they lie ready."""
        if t.op is CHECKED:
            return self._checked(t)
        if (single := _single(t)) is not None:
            return t not in self.by_python and self._computed(t, *single)
        if _is_real(t) and t.op in (TAKE, SCATTER) or t.op is TAKE and t.dtype == np.int64:
            return self._moved(t)
        return _is_real(t) and t.op in REARRANGED and self._rearranged(t)

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
        """An op on single numbers, where they lie ready; a sum of several in their order."""
        found = [self._number_at(x) for x in t.inputs]
        if None in found:
            return False
        buffer = self.arena.array((1, 1), t.dtype)
        calls, f = [], getattr(singles.kernels(), kernel).address
        for k in range(1, max(len(found), 2)):
            # What there is only one of stands in both places.
            pair = [found[0] if k == 1 else (buffer, -1), found[min(k, len(found) - 1)]]
            items = np.array([number, address(buffer), 0, 0])
            for j, (array, place) in enumerate(pair, 2):  # type: ignore[misc]
                if array is None:
                    self.targets.append((place, address(items) + j * 8))
                else:
                    items[j] = address(array)
                    self.alive.append(array)
            self.alive.append(items)
            calls.append((f, address(items), 0, 1))
        at, after = max(map(self._there, t.inputs))
        self.alive.append(buffer)
        self._put(at, after, [calls])
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
        buffer, (at, after) = self._fed(t, (1, 1), t.dtype, shared_into, None)
        self.held[source], self.segment_of[source], self.phase_of[source] = buffer, at, after
        return buffer, -1

    def _moved(self, t: Tensor) -> bool:
        """A table's rows by number, or rows added into a table, as one buffer."""
        x, index = t.inputs
        numbers, row = self.source(index), math.prod(x.shape[1 if t.op is TAKE else index.ndim :])
        given = self._rows_of(x, x.size // row if row else 0, row, t.dtype)
        first = self._integers(numbers)
        if given is None or first is None or t.dtype.kind == "i" and t in self.by_python:
            return False
        array, place = given
        lds = row * t.dtype.itemsize if array is None else array.strides[0]
        count = index.size
        buffer = self.arena.array((count if t.op is TAKE else t.attrs["size"], row), t.dtype)
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

    def _rearranged(self, t: Tensor) -> bool:
        """Whole rows elsewhere, as one buffer: gathered by numbers that are known now."""
        found = _rows_moved(t)
        if found is None:
            return False
        numbers, width = found
        x, source = t.inputs[0], self.source(t.inputs[0])
        if source in self.runner_of and (own := source.attrs["ref"].size) and width % own == 0:
            some = np.arange(width // own)  # the runner's rows are shorter
            numbers = np.where(numbers[:, None] < 0, -1, numbers[:, None] * len(some) + some)
            numbers, width = numbers.reshape(-1), own
        buffer = self.arena.array((len(numbers), width), t.dtype)
        when = self._gathered(x, x.size // width, width, numbers, buffer)
        if when is None:
            return False
        self.held[t], (self.segment_of[t], self.phase_of[t]) = buffer, when
        return True

    def _into_a_table(self, p: Tensor, runner: Runner, at: int, after: int) -> None:
        """Rows of a recurrence added up by the number of a table's row; those of none in one row
        more."""
        if (table := runner.added(p.attrs["ref"])) is not None:
            self.held[p] = table
            return
        via, rows = p.attrs["via"], runner._rows(runner.program.low.rows[p.attrs["ref"]])
        numbers = runner.layout.to_rows(via.rows)
        numbers = np.where(numbers < 0, via.size, numbers).astype(np.int64)
        buffer = self.arena.array((via.size + 1, rows.shape[1]), p.dtype)
        shares = self.threads if rows.size > LARGE else 1
        cuts = [rows.shape[1] * k // shares for k in range(shares + 1)]
        phase: Calls = []
        for a, b in zip(cuts, cuts[1:], strict=False):
            part, to = rows[:, a:b], buffer[:, a:b]
            phase.append([self._call(f"scatter_{p.dtype.name}", [
                address(part), rows.strides[0], len(rows), address(numbers), address(to),
                buffer.strides[0], b - a, address(self.flag), len(buffer),
            ])])  # fmt: skip
        self.alive += [numbers, buffer]
        self._put(at, after, phase)
        self.held[p], self.phase_of[p] = buffer[:-1], after + 1

    def _flag_of(self, t: Tensor) -> int:
        """Where the kernel of an op says that it refuses its integers.  Kept for the words: the op
        by itself, and where the integers lie."""
        alone = again(t, [placeholder(x.shape, x.dtype, x.name) for x in t.inputs])
        self.guarded.append((alone, [self._found(x) for x in t.inputs]))
        return address(self.flag)

    def _found(self, t: Tensor) -> np.ndarray | int | None:
        """Integers that lie for kernels: an array, or the number of an argument."""
        source = self.source(t)
        if t.dtype.kind == "f" or source in self.place:
            return self.place.get(source)
        return self.held.get(source, self._value_of(source))


def _is_real(t: Tensor) -> bool:
    return t.dtype.kind == "f" and t.dtype.itemsize >= 4


def _rows_moved(t: Tensor) -> tuple[np.ndarray, int] | None:
    """Which row of its operand each row of t is (-1: zeros), and how long the longest rows are that
    are moved whole: what the op does to the leading axes.  None where they are too short."""
    given, attrs = t.inputs[0].shape, t.attrs
    keeps = (
        [axis == k - t.ndim for k, axis in enumerate(attrs["axes"])] if t.op is PERMUTE
        else [bounds == (None, None, None) for bounds in attrs["index"]]
    )  # fmt: skip
    lead = max((k + 1 for k, kept in enumerate(keeps) if not kept), default=0)
    width = math.prod(given[lead:])
    if not t.size or width < SHORT and t.size > FEW:
        return None
    rows = np.arange(math.prod(given[:lead])).reshape(given[:lead])
    if t.op is PERMUTE:
        return rows.transpose([a + t.ndim for a in attrs["axes"][:lead]]).reshape(-1), width
    index = tuple(slice(*bounds) for bounds in attrs["index"][:lead])
    if t.op is SLICE:
        return rows[index].reshape(-1), width
    whole = np.full(attrs["shape"][:lead], -1)
    whole[index] = rows
    return whole.reshape(-1), width


def _single(t: Tensor) -> tuple[str, int] | None:
    """The kernel of an op on single numbers, and the op's number there."""
    if t.size != 1 or any(x.size != 1 for x in t.inputs):
        return None
    text = "astype" if t.op is ASTYPE else t.op.scalar
    if text is None or t.attrs and t.op is not ASTYPE:
        return None
    return singles.call_of(text, [x.dtype.name for x in t.inputs], t.dtype.name)
