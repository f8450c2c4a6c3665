"""The pool: every part once, several users, interrupts between any two steps, forks."""

import os
import signal
import threading
from functools import partial

import numpy as np
import pytest

from minigrad.compile.sequence import Schedule
from minigrad.kernels import glue, threads
from minigrad.kernels.glue import address
from tests.interrupts import interrupt, points


@pytest.fixture
def schedule():
    """schedule(parties): who writes 1.0 to a place of its own in each of two phases, and where."""

    def make(parties):
        module = glue.kernels()
        found, phases = np.zeros((2, parties, 1)), []
        one = np.ones((1, 1))
        to = [address(a) for a in found.reshape(-1, 1)]
        copies = np.array([[address(one), 8, a, 8, 1, 1, 1] for a in to], np.int64)
        base = address(copies)
        for phase in range(2):
            at = [phase * parties + k for k in range(parties)]
            phases.append([[(module.copy_float64.address, base, k, k + 1)] for k in at])
        made = Schedule(phases, parties)
        made.keep = one, copies
        return made, found

    return make


@pytest.mark.parametrize("parties", (1, 2, 3, 5))
def test_every_part_runs_once(schedule, parties):
    made, found = schedule(parties)
    for k in range(1, 4):
        made.run()
        assert (found == k).all()


def test_a_helper_looks_at_its_bell_for_a_moment():
    kernels, bell = glue.kernels(), np.zeros(8, np.int64)
    linger = partial(kernels.linger.run, address(bell), 10**12, glue.sched_yield())
    thread = threading.Thread(target=linger, daemon=True)
    thread.start()
    assert thread.is_alive()
    kernels.strike.run(address(bell), 1, 0)
    thread.join(60)
    assert not thread.is_alive()
    kernels.strike.run(address(bell), 0, 0)
    kernels.linger.run(address(bell), 1000, 0)  # nobody rings: it ends nevertheless
    assert not bell.any()


def test_several_users(schedule):
    """Threads take turns; the parts of a call are never mixed with another's."""
    users = [schedule(2 + k % 3) for k in range(4)]
    crew = [
        threading.Thread(target=lambda made=made: [made.run() for _ in range(100)], daemon=True)
        for made, _ in users
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(60)
        assert not thread.is_alive()
    assert all((found == 100).all() for _, found in users)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_pool(schedule):
    made, found = schedule(2)
    made.run()
    threads._pool.acquire()  # as if another thread were in the middle of a call
    try:
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a child that waits for its parent's threads would wait for ever
            made.run()
            os._exit(0 if (found == 2).all() else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        threads._pool.release()


def test_an_interrupt_between_any_two_steps(schedule):
    """A call runs as a whole or not at all, and the next one does not hang."""
    made, found = schedule(3)
    made.run()  # which starts the helpers
    number = points(made.run)
    assert number > 5
    for k in range(number):
        before = found.copy()
        assert interrupt(made.run, k)
        assert (found - before == (found - before).flat[0]).all()
        before = found.copy()
        made.run()
        assert (found == before + 1).all()


def test_a_signal_while_the_pool_is_taken(schedule):
    """Whoever waits for the pool can be interrupted, and has touched nothing."""
    made, found = schedule(2)
    made.run()

    def stop(*_):
        raise InterruptedError

    old = signal.signal(signal.SIGINT, stop)
    threads._pool.acquire()
    try:
        me = threading.get_ident()
        later = threading.Timer(0.05, lambda: signal.pthread_kill(me, signal.SIGINT))
        with pytest.raises(InterruptedError):
            later.start()
            made.run()
    finally:
        threads._pool.release()
        signal.signal(signal.SIGINT, old)
    assert (found == 1).all()
    made.run()
    assert (found == 2).all()


def test_number_of_threads(monkeypatch):
    monkeypatch.delenv("MINIGRAD_NUM_THREADS", raising=False)
    assert threads.count() >= 1
    monkeypatch.setenv("MINIGRAD_NUM_THREADS", "3")
    assert threads.count() == 3
    for bad in ("0", "-1", "many", ""):
        monkeypatch.setenv("MINIGRAD_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="MINIGRAD_NUM_THREADS"):
            threads.count()
