"""The pool: every part once, errors passed on, safe with forks, nesting and other threads."""

import os
import signal
import threading

import pytest

from minigrad.compile import threads


def test_every_part_runs_once_on_its_thread():
    for count in (1, 2, 3, 5):
        for parts in (0, 1, 2, 7):
            seen = []

            def call(i, seen=seen):
                seen.append((i, threading.get_ident()))

            threads.run(call, [(i,) for i in range(parts)], count)
            assert sorted(i for i, _ in seen) == list(range(parts))
            by_thread = {}
            for i, ident in seen:
                by_thread.setdefault(ident, set()).add(i % count)
            assert all(len(x) == 1 for x in by_thread.values())


@pytest.mark.parametrize("bad", (0, 1, 2))
def test_an_error_is_raised_after_all_parts(bad):
    seen = []

    def call(i):
        seen.append(i)
        if i == bad:
            raise KeyError(i)

    for _ in range(3):
        seen.clear()
        with pytest.raises(KeyError):
            threads.run(call, [(0,), (1,), (2,)], 3)
        assert sorted(seen) == [0, 1, 2]


def test_nested_and_concurrent_use():
    seen = []

    def outer(i):
        threads.run(lambda j: seen.append((i, j)), [(0,), (1,)], 2)

    users = [
        threading.Thread(target=lambda: [threads.run(outer, [(0,), (1,)], 2) for _ in range(50)])
        for _ in range(4)
    ]
    for user in users:
        user.start()
    for user in users:
        user.join(20)
        assert not user.is_alive()
    assert len(seen) == 4 * 50 * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_pool():
    threads.run(lambda i: None, [(0,), (1,)], 2)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child without helpers would wait for ever
        seen = []
        threads.run(seen.append, [(0,), (1,)], 2)
        os._exit(0 if sorted(seen) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_interrupt_waits_for_the_helpers():
    gate, seen = threading.Event(), []

    def call(i):
        if i == 0:
            threading.Timer(0.2, gate.set).start()
            signal.raise_signal(signal.SIGINT)
        gate.wait(5)
        seen.append(i)

    with pytest.raises(KeyboardInterrupt):
        threads.run(call, [(0,), (1,)], 2)
    assert seen == [1]
    threads.run(seen.append, [(2,), (3,)], 2)
    assert sorted(seen) == [1, 2, 3]


def test_number_of_threads(monkeypatch):
    monkeypatch.delenv("MINIGRAD_NUM_THREADS", raising=False)
    assert threads.count() >= 1
    monkeypatch.setenv("MINIGRAD_NUM_THREADS", "3")
    assert threads.count() == 3
    for bad in ("0", "-1", "many", ""):
        monkeypatch.setenv("MINIGRAD_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="MINIGRAD_NUM_THREADS"):
            threads.count()
