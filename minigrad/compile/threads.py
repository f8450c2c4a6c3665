"""A small pool of threads for compiled kernels, which run without the interpreter's lock.

Helpers sleep on raw locks, which hands work over in a few microseconds (futures: 84). They are
started when first needed and again after a fork. Which thread runs a part never matters for a
result: parts do not share sums.

`MINIGRAD_NUM_THREADS` sets the number of threads; default: the CPUs this process may use.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Call = Callable[..., Any]


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
    """One thread that waits for parts, runs them, and says so."""

    def __init__(self) -> None:
        self.wake, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.wake.acquire()
        self.done.acquire()
        self.work: tuple[Call, Sequence[tuple]] = (lambda: None, ())
        self.error: BaseException | None = None
        # A daemon: it holds nothing that the end of the process would lose.
        threading.Thread(target=self._serve, name="minigrad", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.wake.acquire()
            call, parts = self.work
            try:
                for part in parts:
                    call(*part)
            except BaseException as error:
                self.error = error
            self.done.release()


_helpers: list[Helper] = []
_busy = _thread.allocate_lock()
_together = threading.Lock()


def run(call: Call, parts: Sequence[tuple], threads: int | None = None) -> None:
    """call(*part) for every part, spread over up to `threads` threads; returns when all are done.

    Part i goes to thread i modulo threads; the caller's is thread 0. An exception of any part is
    raised here, after all threads have stopped. While another thread (or an outer call) uses the
    pool, the parts run one after another in the caller.
    """
    threads = min(count() if threads is None else threads, len(parts))
    if threads <= 1 or not _busy.acquire(False):
        for part in parts:
            call(*part)
        return
    try:
        _run(call, parts, threads)
    finally:
        _busy.release()


def together(call: Call, parts: Sequence[tuple]) -> None:
    """call(*part) for every part, each on a thread of its own, at the same time: parts may wait for
    each other."""
    with _together:
        while not _busy.acquire(False):  # somebody's independent parts: they end by themselves
            time.sleep(0)
        try:
            _run(call, parts, len(parts))
        finally:
            _busy.release()


def _run(call: Call, parts: Sequence[tuple], threads: int) -> None:
    while len(_helpers) < threads - 1:
        _helpers.append(Helper())
    helpers = _helpers[: threads - 1]
    for i, helper in enumerate(helpers, 1):
        helper.work = (call, parts[i::threads])
        helper.wake.release()
    errors: list[BaseException] = []
    try:
        for part in parts[::threads]:
            call(*part)
    except BaseException as error:
        errors.append(error)
    for helper in helpers:
        errors.extend(_wait(helper))
        if helper.error is not None:
            errors.append(helper.error)
        helper.work, helper.error = (lambda: None, ()), None
    if errors:
        raise errors[0]


def _wait(helper: Helper) -> list[BaseException]:
    """Until the helper is done; an interrupt (Ctrl-C) is kept for then, as memory is in use."""
    interrupts: list[BaseException] = []
    while True:
        try:
            helper.done.acquire()
            return interrupts
        except BaseException as error:
            interrupts.append(error)


def _forget() -> None:
    """After a fork, threads exist in the parent only."""
    global _busy, _together
    _helpers.clear()
    _busy, _together = _thread.allocate_lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
