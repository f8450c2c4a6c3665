"""Native calls in phases, as one list per thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from operator import call as apply
from typing import Any

import numpy as np

from ..kernels import glue, threads
from ..kernels.glue import address

Call = tuple[int, int, int, int]  # address of a kernel, its table, from, to
Calls = list[list[Call]]  # of one phase, for each thread


class Schedule:
    """Phases of native calls as one call per thread."""

    def __init__(self, phases: list[Calls], parties: int):
        lists: Calls = [[] for _ in range(parties)]
        meetings = 0
        for number, phase in enumerate(phases):
            if number and parties > 1:
                meetings += 1
                for calls in lists:
                    calls.append((0, meetings, parties, 0))
            for k, calls in enumerate(phase):
                lists[k].extend(calls)
        if parties > 1:  # the caller waits for all at the end, nobody for the caller
            lists[0].append((0, meetings + 1, parties, 0))
            kernels, give_way = glue.kernels(), glue.sched_yield()
            for k, calls in enumerate(lists[1:]):
                bell = address(threads.bell(k))
                lists[0].insert(0, (kernels.strike.address, bell, 1, 0))
                calls.insert(0, (kernels.strike.address, bell, 0, 0))
                calls += [(0, 0, 0, 0), (kernels.linger.address, bell, threads.LOOKS, give_way)]
        self.lists = [glue.calls(calls) for calls in lists]
        self.arrived = np.zeros(8, np.int64)
        self.work = [
            (address(calls), len(calls), address(self.arrived), glue.sched_yield())
            for calls in self.lists
        ]
        self.call = glue.kernels().sequence.run
        self.begin = partial(self.arrived.fill, 0)

    def run(self) -> None:
        if len(self.work) == 1:
            self.call(*self.work[0])
        else:
            threads.together(self.begin, self.call, self.work)

    def run_behind(self, steps: list[Callable[..., Any]]) -> None:
        """`run` after some steps, functions written in C.

        There is no step of Python from the first of them to the end, so no signal comes between.
        """
        if len(self.work) == 1:
            steps = [*steps, partial(self.call, *self.work[0])]
            deque(map(apply, steps), maxlen=0)
        else:
            steps = [self.begin, *steps]
            threads.together(partial(deque, map(apply, steps), 0), self.call, self.work)
