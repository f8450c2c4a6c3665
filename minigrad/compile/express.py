"""The express lane: a traced function whose graph is recurrences and changes of shape only, run by
native lists.

Everything that can be known at tracing time is: which argument's address goes into which table,
which kernels run in which order on which thread, which rows are copied to which result.  A call is
then: check the arrays, write their addresses, run the list, copy the results; some ten microseconds
outside of the kernels.  `Express` raises `Slow`, with the reason, where a function is not of this
kind; it then runs step by step.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import static
from ..graph import INPUT, Tensor
from ..kernels import glue
from ..kernels.glue import address
from ..ops.broadcast import RESHAPE
from ..recur import PROJ
from .runner import Runner
from .sequence import Schedule

LARGE = 2**16  # bytes of a result from which memory of dropped results is used again


class Slow(Exception):
    """Why a function cannot take the express lane."""


def source_of(t: Tensor) -> Tensor:
    """The tensor that `t` is another shape of."""
    while t.op is RESHAPE:
        t = t.inputs[0]
    return t


class Express:
    """inputs: (position among the leaves, placeholder); runners: (recurrence, projections, runner)
    in order; known: the values that no argument reaches."""

    def __init__(
        self,
        leaves: Sequence[Any],
        inputs: Sequence[tuple[int, Tensor]],
        runners: Sequence[tuple[Tensor, list[Tensor], Runner]],
        outputs: Sequence[Any],
        known: dict[Tensor, Any],
    ):
        if not glue.reads_objects():
            raise Slow("array objects look unfamiliar on this platform")
        self.known = known
        self.place = {ph: k for k, (_, ph) in enumerate(inputs)}
        self.runner_of = {p: runner for _, asked, runner in runners for p in asked}
        self.is_array = [False] * len(leaves)
        for k, _ in inputs:
            self.is_array[k] = True
        self.static = [
            (k, x, static.key(x)) for k, x in enumerate(leaves) if not self.is_array[k]
        ]
        self.fixed: list[tuple[np.ndarray, int]] = []  # entries of tables, and what they hold
        self.targets: list[tuple[int, int]] = []
        self.alive: list[Any] = [runner for *_, runner in runners]
        threads = max((runner.threads for *_, runner in runners), default=1)
        phases: list[list[list[tuple[int, int, int, int]]]] = []
        for r, _, runner in runners:
            self._bind(r, runner)
            for phase in runner.phases():
                phases.append(phase)
        self._results(outputs, phases, threads)
        self._checks(inputs)
        self.schedule = Schedule(phases, threads)
        module = glue.kernels()
        self.bind = module.bind.run
        self.wrong = np.zeros(1, np.int64)
        self.objects: Any = np.zeros(len(inputs) + len(self.empty), np.int64)
        self.from_python = (
            address(self.objects), address(self.checks), len(self.checks), address(self.to_write),
            len(self.to_write), address(self.wrong),
        )  # fmt: skip
        self.rooms: dict[int, np.ndarray] = {}
        self.makers: list[tuple] = []  # of each result: what makes its array, and from what
        for k, (shape, dtype) in enumerate(self.empty):
            size = int(np.prod(shape)) * dtype.itemsize
            small = (np.empty, shape, dtype)
            self.makers.append(small if size < LARGE else (self._room, k, size, shape, dtype))
        self.pack = struct.Struct(f"{len(self.objects)}q").pack_into
        self.alone = threads == 1
        self.box = np.array([*self.from_python, *self.schedule.work[0]], np.int64)
        self.run_alone = module.bind_and_run.run
        self.box_at = address(self.box)

    # -- what is fixed at tracing time
    # -----------------------------------------------------------------

    def _bind(self, r: Tensor, runner: Runner) -> None:
        if runner.layout.order is not None:
            raise Slow("rows of a structure are put in another order")
        if runner.indexed:
            raise Slow("an input is read through an index")
        number = runner.numbers
        for entry, stride, row in runner.of_input:
            self._entry(r.inputs[number[row.tensor]], runner, entry, stride, row.size)
        for entry, tensor, turned, stride in runner.of_shared:
            if turned:
                raise Slow("a matrix is packed with others that lie the other way round")
            if tensor not in number:
                if tensor._value is None:
                    raise Slow("a shared tensor is computed inside the block")
                value = np.ascontiguousarray(tensor._value)
                self.alive.append(value)
                self._fix(runner, entry, address(value))
                if stride >= 0:
                    self._fix(runner, stride, value.strides[0])
                continue
            width = tensor.shape[-1] if tensor.shape else 1
            self._entry(r.inputs[number[tensor]], runner, entry, stride, width, shared=True)

    def _entry(
        self, t: Tensor, runner: Runner, entry: int, stride: int, width: int, shared: bool = False
    ) -> None:
        """Who writes a table's entry: an argument at every call, or another runner's rows once and
        for all."""
        source = source_of(t)
        if source.op is INPUT and source in self.place:
            for table in runner.table:
                self.targets.append((self.place[source], address(table[entry:])))
            step = width * runner.program.dtype.itemsize
        elif (value := self._fixed(source)) is not None:
            value = np.ascontiguousarray(value, runner.program.dtype)
            self.alive.append(value)
            self._fix(runner, entry, address(value))
            step = width * value.itemsize
        elif source.op is PROJ and source.attrs["via"].kind == "row" and not shared:
            other = self.runner_of[source]
            rows = other._rows(other.program.low.rows[source.attrs["ref"]])
            if rows.shape[1] != width or len(rows) != runner.n or other.layout.order is not None:
                raise Slow("rows change shape between two recurrences")
            self._fix(runner, entry, address(rows))
            step = rows.strides[0]
        else:
            raise Slow(f"an argument of a recurrence is computed by {source.op.name}")
        if stride >= 0:
            self._fix(runner, stride, step)

    def _fix(self, runner: Runner, entry: int, value: int) -> None:
        self.fixed.append((runner.table[:, entry], value))

    def _fixed(self, t: Tensor) -> Any:
        """The value of a tensor that no argument reaches: known when the function was traced."""
        return self.known.get(t) if t._value is None else t._value

    def _results(self, outputs: Sequence[Any], phases: list, threads: int) -> None:
        """Fresh arrays for the results, and the copies into them as a last phase (two, where parts
        are summed)."""
        self.empty: list[tuple[tuple[int, ...], np.dtype]] = []
        copies: list[list[int]] = []
        later: list[list[int]] = []
        self.returned: list[Any] = []
        dtypes = set()
        for t in outputs:
            if not isinstance(t, Tensor):
                raise Slow("a result is not a Tensor")
            source = source_of(t)
            if self._fixed(source) is not None:
                raise Slow("a result does not depend on the arguments")
            if source.op is not PROJ or source.attrs["via"].kind == "index":
                raise Slow(f"a result is computed by {source.op.name}")
            parts = self._parts(source, self.runner_of[source])
            number = len(self.empty)
            self.empty.append((t.shape, t.dtype))
            dtypes.add(t.dtype.name)
            for k, (rows, add) in enumerate(parts):
                width = rows.shape[1] * rows.itemsize
                item = [address(rows), rows.strides[0], number, width, *rows.shape, add]
                (later if k else copies).append(item)
        if len(dtypes) > 1:
            raise Slow("results of several dtypes")
        self.copies = np.array([*copies, *later], np.int64).reshape(-1, glue.COPY)
        copier = getattr(glue.kernels(), f"copy_{dtypes.pop() if dtypes else 'float64'}").address
        base = address(self.copies)
        share: list[list[tuple[int, int, int, int]]] = [[] for _ in range(threads)]
        load = [0] * threads
        for k in sorted(range(len(copies)), key=lambda k: -copies[k][4] * copies[k][5]):
            least = load.index(min(load))
            load[least] += copies[k][4] * copies[k][5]
            share[least].append((copier, base, k, k + 1))
        phases.append(share)
        if later:
            phases.append([[(copier, base, len(copies), len(copies) + len(later))]])
        at = len(self.place)
        for k, item in enumerate([*copies, *later]):
            result = item[2]
            self.targets.append((at + result, address(self.copies[k, 2:])))

    def _parts(self, p: Tensor, runner: Runner) -> list[tuple[np.ndarray, int]]:
        """The 2-D arrays that make up a result: one, or several to be added."""
        ref = p.attrs["ref"]
        if p.attrs["via"].kind == "row":
            row = runner.program.low.rows[ref]
            if row.op == "in":
                raise Slow("a result is an argument as it came")
            return [(runner._rows(row), 0)]
        s = runner.program.low.sums[ref]
        plan = runner.program.plan
        if s.how == "outer" and not s.flip:
            outer, at = plan.outer_at[s.left, s.right]
            return [(runner.outer[plan.outers.index(outer)][:, at : at + s.right.size], 0)]
        if s.how == "column" and s.left in plan.column_at:
            outer, at = plan.column_at[s.left]
            return [(runner.outer_sums[plan.outers.index(outer)][None, at : at + s.left.size], 0)]
        if s.how == "column" and len(runner.columns[s.left]):
            return [(row[None], int(k > 0)) for k, row in enumerate(runner.columns[s.left])]
        raise Slow("a sum over nodes is put together from several")

    def _checks(self, inputs: Sequence[tuple[int, Tensor]]) -> None:
        rows = []
        for k, (_, ph) in enumerate(inputs):
            if ph.ndim > glue.CHECK - 3:
                raise Slow(f"an argument has {ph.ndim} axes")
            rows.append([k, id(ph.dtype), ph.ndim, *ph.shape, *[0] * (glue.CHECK - 3 - ph.ndim)])
        self.checks = np.array(rows, np.int64).reshape(-1, glue.CHECK)
        self.to_write = np.array(self.targets, np.int64).reshape(-1, 2)

    def _room(self, k: int, size: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array for a large result, in an earlier result's memory if nobody holds that any more.

        (Memory that is new to the process costs more to touch than to fill.)
        """
        room = self.rooms.pop(k, None)
        if room is None or sys.getrefcount(room) > 2:  # ours and the call's own; more: in use
            room = np.empty(size, np.uint8)
        self.rooms[k] = room
        return room.view(dtype).reshape(shape)

    def take_tables(self) -> None:
        """Write what a call does not, should the steps have been run one by one since."""
        for entries, value in self.fixed:
            entries[:] = value

    # -- a call
    # ------------------------------------------------------------------------------------------

    def run(self, leaves: Sequence[Any]) -> list[np.ndarray] | None:
        """The results, or None where these arguments are not of this trace (or not contiguous)."""
        if self.static:
            for k, x, key in self.static:
                if leaves[k] is not x and static.key(leaves[k]) != key:
                    return None
            arrays = [x for x, yes in zip(leaves, self.is_array, strict=True) if yes]
        else:
            arrays = leaves  # type: ignore[assignment]
        for x in arrays:
            if type(x) is not np.ndarray:
                return None
        results = [make(*what) for make, *what in self.makers]
        self.pack(self.objects, 0, *map(id, arrays), *map(id, results))
        if self.alone:
            self.run_alone(self.box_at)
            return None if self.wrong[0] else results
        self.bind(*self.from_python)
        if self.wrong[0]:
            return None
        self.schedule.run()
        return results
