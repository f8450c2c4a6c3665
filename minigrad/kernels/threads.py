"""A small pool of threads for compiled kernels, which run without the interpreter's lock.

Helpers sleep on raw locks, which hands work over in a few microseconds (futures: 84).
They are started when first needed and again after a fork.
A core that sleeps takes longer to come back, and so does the interpreter's lock where it must be
waited for: at the end of its work a helper looks at its `bell` for a moment, still in native code.
That only ends its waiting; when there is work, and which, the locks say.
Which thread runs a part never matters for a result: parts do not share sums.

An interrupt (Ctrl-C, or any signal handler that raises) may come between any two steps of Python,
and parts that wait for each other hang unless all of them run.
So there is no step of Python from the moment the pool is taken until it is free again:
a list of calls of C functions, run by C.
Python looks for signals between its own steps only,
and while it waits for the pool, when nothing has been touched yet.

`MINIGRAD_NUM_THREADS` sets the number of threads; default: the CPUs this process may use.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import call as apply
from typing import Any

import numpy as np

Call = Callable[..., Any]
LOOKS = 200_000  # at its bell, before a helper sleeps: some tenths of a millisecond


def count() -> int:
    """Threads to use, the caller's included."""
    forced = os.environ.get("MINIGRAD_NUM_THREADS")
    if forced is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if not forced.isdigit() or int(forced) < 1:
        raise ValueError(f"MINIGRAD_NUM_THREADS={forced!r}: must be a positive integer")
    return int(forced)


class Helper:
    """One thread that waits for a part of its own and runs it."""

    def __init__(self) -> None:
        self.wake = _thread.allocate_lock()
        self.wake.acquire()
        self.work: list[Call] = []
        # A daemon: it holds nothing that the end of the process would lose.
        threading.Thread(target=self._serve, name="minigrad", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.wake.acquire()
            self.work.pop()()


_helpers: list[Helper] = []
_bells: list[np.ndarray] = []
_pool = _thread.allocate_lock()


def bell(number: int) -> np.ndarray:
    """What helper `number` looks at before it sleeps; `glue.strike` writes there."""
    while len(_bells) <= number:
        _bells.append(np.zeros(8, np.int64))  # a cache line of its own
    return _bells[number]


def together(begin: Call, call: Call, parts: Sequence[tuple]) -> None:
    """begin(), then call(*part) for every part, each on a thread of its own, at the same time.

    begin, call : functions written in C, which never raise (a kernel, a method of an array).
    parts       : they may wait for each other;
                  the first, which the caller's thread runs, must not end before the others have.
    """
    while len(_helpers) < len(parts) - 1:
        _helpers.append(Helper())
    steps: list[Call] = [_pool.acquire, begin]
    for helper, part in zip(_helpers, parts[1:], strict=False):
        steps += [partial(helper.work.append, partial(call, *part)), helper.wake.release]
    steps += [partial(call, *parts[0]), _pool.release]
    deque(map(apply, steps), maxlen=0)


def _forget() -> None:
    """After a fork, threads exist in the parent only."""
    global _pool
    _helpers.clear()
    _pool = _thread.allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
