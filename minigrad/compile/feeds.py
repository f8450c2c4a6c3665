"""What runners read: each argument of a recurrence as their kernels want it.

In place, where it lies so; else brought into a buffer, by kernels where they can reach it, and by
Python where they cannot (another dtype, a table turned around, a value computed in the block).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..graph import Tensor, toposort
from ..kernels.glue import address
from ..recur import Via
from .layout import Layout, by_place
from .memory import Pool, stretches
from .results import plain
from .runner import Runner, shared_value
from .timetable import Env, Timetable


class Feeds(Timetable):
    """Tables of runners, and who writes which entry."""

    def __init__(
        self, inputs: Sequence[tuple[int, Tensor]], known: dict[Tensor, Any], threads: int,
        pool: Pool,
    ):  # fmt: skip
        super().__init__(inputs, known, threads, pool)
        self.fixed: list[tuple[np.ndarray, int]] = []  # entries of tables, and what they hold
        self.fed: dict[tuple, tuple[np.ndarray, int, int]] = {}  # buffers, and from when on filled

    def value(self, t: Tensor, env: Env) -> Any:
        """The value of a tensor between kernels."""
        raise NotImplementedError

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
        for entry, stride, jumps, row in runner.of_table:
            t, via = r.inputs[number[row.tensor]], runner.vias[number[row.tensor]]
            found.append(self._looked_up(t, runner, via, entry, stride, jumps, row.size))
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
                into = partial(shared_into, turned=turned)
                buffer, when = self._fed(t, shape, dtype, into, turned)
                found.append(when)
            elif tensor._value is not None:
                value = tensor._value.T if turned else tensor._value
                buffer = np.array(value, dtype, order="C")
            else:
                shape = tensor.shape[::-1] if turned else tensor.shape
                buffer = self.arena.array(shape, dtype)
                run = partial(self._shared, r, runner, tensor, turned, buffer)
                found.append((self._item(run, _leaves_read(r, runner, tensor)), 0))
            self._hold(runner, entry, stride, buffer)
        return found

    def _looked_up(
        self, t: Tensor, runner: Runner, via: Via, entry: int, stride: int, jumps: int, width: int
    ) -> tuple[int, int]:
        """A table that is read where it lies, row by row; else it is brought as one piece."""
        lies = self._lies(t, via.size, width, runner.program.dtype)
        if lies is None and self._direct(t, runner, entry, stride, width, shared=True):
            return self._there(t)
        if lies is None:
            shape = (via.size, width)
            into = partial(shared_into, turned=False)
            buffer, when = self._fed(t, shape, runner.program.dtype, into, False)
            self._hold(runner, entry, stride, buffer)
            return when
        if lies.array is None:
            self._given(lies.place, runner, entry, stride, width)
        else:
            self._hold(runner, entry, stride, lies.array)
        if lies.layout is not None and lies.layout.order is not None:
            index = lies.layout.place[runner.layout.to_rows(via.rows)]
            self._hold(runner, jumps, -1, stretches(index))
        return self._there(t)

    def _direct(
        self, t: Tensor, runner: Runner, entry: int, stride: int, width: int, shared: bool = False
    ) -> bool:
        """Whether kernels read t where it lies: in an argument, a constant, another runner."""
        source, dtype = self.source(t), runner.program.dtype
        order = None if shared else runner.layout.order
        if source in self.place and source.dtype == dtype and order is None:
            self._given(self.place[source], runner, entry, stride, width)
            return True
        if (value := self._value_of(source)) is not None:
            value = np.asarray(value, dtype)
            if order is not None:
                value = value.reshape(runner.n, width)[order]
            self._hold(runner, entry, -1, np.array(value, order="C"))
            if stride >= 0:
                self._fix(runner, stride, width * dtype.itemsize)
            return True
        n, layout = (t.size // max(width, 1), None) if shared else (runner.n, runner.layout)
        given = self._rows_of(t, n, width, dtype, layout)
        if given is None or given[0] is None:
            return False
        if shared and stride < 0 and not given[0].flags.c_contiguous:
            return False  # a vector in rows with something in between
        self._hold(runner, entry, stride, given[0])
        return True

    def _given(self, place: int, runner: Runner, entry: int, stride: int, width: int) -> None:
        """The entry is an argument's address, at every call."""
        for row in runner.entries.rows:
            self.targets.append((place, row + 8 * entry))
        if stride >= 0:
            self._fix(runner, stride, width * runner.program.dtype.itemsize)

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
            buffer = self.arena.array(shape, dtype)
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
            if not parts and (turned := self._turned(source)) is not None:
                return self._elements(source, turned, buffer)
        if not parts:
            return None
        at, after = self._there(t)
        self._put(at, after, [[self._copy(rows, add, address(buffer)) for rows, add in parts]])
        return at, after + 1

    def _turned(self, source: Tensor) -> np.ndarray | None:
        """A sum of products that lies the other way round than it is read."""
        runner = self.runner_of.get(source)
        s = None if runner is None else runner.program.low.sums[source.attrs["ref"]]
        if runner is None or s is None or s.how != "outer" or not s.flip:
            return None
        return runner.buffers.sum(s)

    def _elements(self, source: Tensor, of: np.ndarray, buffer: np.ndarray) -> tuple[int, int]:
        """The elements of an array, one by one, in order."""
        size, (rows, columns) = of.itemsize, of.shape
        down, across = of.strides
        steps = np.arange(rows) * (down // size), np.arange(columns) * (across // size)
        index = np.add.outer(*steps).reshape(-1).astype(np.int64)
        self.alive += [of, index]
        item = [address(of), size, address(index), address(buffer), size, 1]
        call = self._call(f"gather_{of.dtype.name}", item)
        at, after = self._there(source)
        self._put(at, after, self._shared_out(call, len(index), 1))
        return at, after + 1

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
            ordered = self.arena.array((n, width), np.int64)
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

    def _shared(
        self, r: Tensor, runner: Runner, t: Tensor, turned: bool, buffer: np.ndarray, env: Env
    ) -> None:
        """What all nodes share and the block computes itself, such as a joined bias."""
        args: Any = {k: plain(self.value(r.inputs[k], env)) for k in _numbers_read(runner, t)}
        shared_into(shared_value(t, runner.numbers, args), buffer, turned)


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


def shared_into(value: Any, buffer: np.ndarray, turned: bool) -> None:
    value = np.asarray(plain(value))
    value = value.T if turned else value
    np.copyto(buffer, value.reshape(buffer.shape), casting="unsafe")
