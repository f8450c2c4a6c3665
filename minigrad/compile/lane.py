"""The lane: one traced function as a list of kernels, with Python in between only for ops without.

Everything that can be known at tracing time is: which argument's address goes into which table,
which kernels run in which order on which thread, which rows are copied to which result.  A call is
then: check the arrays, write their addresses, run the list, copy the results; some ten microseconds
outside of the kernels.

What has no kernel, or lies where none can read it (another dtype, a table turned around), is an
`Item`: Python that runs before the kernels that need it.  Kernels and items alternate in segments,
as few as the graph allows: an item runs as early as it can.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from operator import setitem
from typing import Any

import numpy as np

from .. import static
from ..graph import Tensor
from ..kernels import glue
from ..ops.broadcast import RESHAPE
from ..ops.indexing import TAKE, check_rows
from ..run import chunkwise
from ..run.levels import run_levels
from ..run.reference import compute
from .donate import Donation
from .entrance import LARGE, Entrance
from .layout import Rows
from .memory import Pool
from .moves import Moves
from .results import fresh, plain
from .sequence import Calls, Schedule
from .timetable import Env, Step

GRAPH = (  # what a lane knows of tensors; only Python between kernels asks for it
    "known", "outputs", "place", "alias", "held", "runner_of", "segment_of", "phase_of", "fed",
    "by_python", "loose", "same", "moved",
)  # fmt: skip


class Lane(Moves):
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
        pool: Pool | None = None,
    ):
        threads = max((s.runner.threads for s in steps if s.runner is not None), default=1)
        super().__init__(inputs, known, threads, Pool() if pool is None else pool)
        self.outputs = outputs
        self.loose = loose  # rows that are computed again where they are read
        self.is_array = [False] * len(leaves)
        for k, _ in inputs:
            self.is_array[k] = True
        self.static = [(k, x, static.key(x)) for k, x in enumerate(leaves) if not self.is_array[k]]
        self.by_numpy: list[str] = []  # names of the ops that have no kernel
        self.donation = Donation(inputs, donated)
        self._start(steps)
        for step in steps:
            self._add(step)
        self._results()
        self._forget()
        for segment in self.segments:
            if segment.phases:
                segment.schedule = Schedule(segment.phases, threads)
                segment.phases = []
        self._native(threads)

    # -- the list, made when the function is traced ------------------------------------------------

    def _add(self, step: Step) -> None:
        t = step.t
        if t.op is RESHAPE or self._by_kernel(t):
            return
        if step.runner is not None:
            self.alive.append(step.runner)
            at, after = max([(0, 0), *self._bind(t, step.runner)])
            for phase in step.runner.phases:
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
                calls.append(self._copy(rows, add, 0))
                self.targets.append((len(self.place) + number, calls[-1][1] + 2 * 8))
            if self.lender[-1] is not None:
                last.append((t.size * t.dtype.itemsize, [calls]))
                continue
            at, after = self._there(source)
            self._put(at, after, [calls])
        parties = self.threads if sum(size for size, _ in last) > LARGE else 1
        shares: Calls = [[] for _ in range(parties)]
        busy = [0] * parties
        for size, (calls,) in sorted(last, key=lambda r: -r[0]):
            k = busy.index(min(busy))
            busy[k] += size
            shares[k] += calls
        self.finish = Schedule([shares], parties) if self.donation.used else None

    def _forget(self) -> None:
        """What nobody reads any more is dropped after the last item that does."""
        seen = {self.source(t) for t in self.outputs if isinstance(t, Tensor)}
        for segment in reversed(self.segments):
            for item in reversed(segment.items):
                for t in dict.fromkeys(u for r in item.reads for u in (r, self.source(r))):
                    if t not in seen and t not in self.place and t not in self.known:
                        item.dead.append(t)
                    seen.add(t)

    # -- from Python to kernels --------------------------------------------------------------------

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

    def forget(self) -> None:
        """The graph, where kernels are all there is to a call: a program that meets new lengths at
        every step has many lanes, and Python's collector would look through all of their graphs."""
        if self.only_kernels:
            for name in GRAPH:
                setattr(self, name, None)

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
        """Results into donated memory.  places: of those that Python made."""
        if self.finish is not None:
            steps: list[Any] = [partial(setitem, x, ..., found[j]) for j, x in places.items()]
            self.finish.run_behind(steps)
            for j, x in places.items():
                found[j] = x
        return found

    def _refuse(self, arrays: Sequence[np.ndarray]) -> None:
        """A kernel met an integer that it may not: the op once more, for the error's words."""
        self.flag[0] = 0
        for t, lie in self.guarded:
            env: Env = {}
            for x, given in zip(t.inputs, lie, strict=True):
                value = arrays[given] if isinstance(given, int) else given
                # Of what is no integer, the shape is all that matters.
                env[x] = np.zeros(x.shape, x.dtype) if value is None else value.reshape(x.shape)
            compute(t, env)
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
