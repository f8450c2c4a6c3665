"""Interrupts, forks and changing sizes, many times, while other threads use the same functions.

The thorough profile of Hypothesis asks for all of them (minutes), any other for a few.
"""

import gc
import os
import random
import signal
import sys
import threading

import numpy as np
import optree
import pytest
from hypothesis import settings

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner
from minigrad.kernels import threads
from minigrad.testing.plugin import PREFIX

MANY = settings.get_current_profile_name() == PREFIX + "thorough"
GRU, TREE = rc.GRU(3, 4), rc.TreeLSTM(3, 4)


def chain(p, x):
    return rc.unroll(GRU, p, x)[1]


def slopes(p, x, lengths):
    ys = rc.unroll(GRU, p, x, lengths=list(lengths))[1]
    return mg.grad(mg.sum(mg.square(ys)), p)


def forest(p, x, s):
    _, ys = rc.fold(TREE, p, s, x)
    return ys, mg.grad(mg.sum(mg.square(ys)), p)


def flipped(p, x):
    """Has no code: runs level by level."""
    return rc.unroll(lambda p, h, x: (mg.tanh(h * p + mg.flip(x)), h), p, x, np.zeros(3))[1]


def grown(words, draw):
    if words == 1:
        return rc.Tree(word="w")
    left = draw.integers(1, words)
    return rc.Tree(children=[grown(left, draw), grown(words - left, draw)])


class Load:
    """One function, arguments with their results, and threads that call it meanwhile."""

    def __init__(self, monkeypatch, crew=2):
        monkeypatch.setattr(runner, "SPLIT", 0)
        monkeypatch.setattr(threads, "count", lambda: 2)
        draw = np.random.default_rng(0)
        self.f = mg.function(lambda p, x: (chain(p, x), mg.grad(mg.sum(chain(p, x)), p)))
        self.cases = [(GRU.init(k), draw.standard_normal((3 + k, 2, 3))) for k in range(3)]
        self.wanted = [optree.tree_leaves(self.f(*args)) for args in self.cases]
        self.wrong, self.over = [], threading.Event()
        self.crew = [threading.Thread(target=self.work, daemon=True) for _ in range(crew)]

    def right(self, k):
        found = optree.tree_leaves(self.f(*self.cases[k]))
        return all(a.tobytes() == b.tobytes() for a, b in zip(found, self.wanted[k], strict=True))

    def work(self):
        k = 0
        while not self.over.is_set():
            k = (k + 1) % 3
            if not self.right(k):
                self.wrong.append(k)

    def __enter__(self):
        for thread in self.crew:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.crew:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.wrong


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
@pytest.mark.parametrize("crew", (0, 2))
def test_interrupts_under_load(crew, monkeypatch):
    """Wherever they land, the next call is right, and nobody hangs."""
    number, landed, me = (1000 if MANY else 40), 0, threading.get_ident()
    asked, stop = threading.Event(), threading.Event()
    draw = random.Random(0)

    def strike():
        while asked.wait() and not stop.is_set():
            asked.clear()
            for _ in range(draw.randrange(20_000)):  # some steps of the other thread's
                pass
            signal.pthread_kill(me, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    striker = threading.Thread(target=strike, daemon=True)
    try:
        striker.start()
        with Load(monkeypatch, crew) as load:
            for k in range(number):
                try:
                    asked.set()
                    while True:
                        load.f(*load.cases[k % 3])
                except KeyboardInterrupt:
                    landed += 1
                assert load.right((k + 1) % 3)
    finally:
        stop.set()
        asked.set()
        striker.join(60)
        signal.signal(signal.SIGINT, before)
    assert landed == number


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_under_load(monkeypatch):
    """The child of a process whose other threads are inside a function calls it, and is right."""
    with Load(monkeypatch) as load:
        for k in range(200 if MANY else 10):
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(60)
                try:
                    os._exit(0 if all(map(load.right, (0, 1, 2, k % 3))) else 1)
                finally:
                    os._exit(2)
            assert load.right(k % 3)
            assert os.waitpid(child, 0)[1] == 0, f"fork {k}"


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc/self/statm")
def test_memory_stays_flat():
    """Shapes, lengths and forests that are new at nearly every call."""
    number, draw = (20_000 if MANY else 400), np.random.default_rng(0)
    functions = [mg.function(f) for f in (chain, slopes, forest, flipped)]
    gru, tree = GRU.init(0), TREE.init(0)

    def call(k):
        steps, batch = map(int, draw.integers(1, 9, 2))
        x = draw.standard_normal((steps, batch, 3))
        if k % 4 == 0:
            functions[0](gru, x)
        elif k % 4 == 1:
            lengths = tuple(draw.integers(0, steps + 1, batch).tolist())
            functions[1](gru, x, lengths)
        elif k % 4 == 2:
            words = draw.integers(1, 7, int(draw.integers(1, 4))).tolist()
            trees = rc.structure([grown(w, draw) for w in words])
            functions[2](tree, draw.standard_normal((sum(words), 3)), trees)
        else:
            functions[3](np.ones(3), x[:, 0])

    for k in range(number // 4):
        call(k)
    gc.collect()
    before, known = resident(), len(gc.get_objects())
    for k in range(number):
        call(k)
    gc.collect()
    if MANY:
        print(f"{number} calls: {before:.1f} -> {resident():.1f} MiB", file=sys.stderr)
        assert resident() - before < 32  # a trace kept at every call would be a thousand
    for f in functions:
        assert len(f.traces) <= 64
    assert len(gc.get_objects()) < 1.5 * known
