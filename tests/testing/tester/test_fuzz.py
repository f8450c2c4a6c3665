"""The fuzzer.

A short run at each width finds nothing, what is planted in the engine is found and shrunk,
and processes that die or hang are findings.
"""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import settings

import minigrad.testing.tester.worker as worker
from minigrad.compile import layout
from minigrad.testing.plugin import PROFILES
from minigrad.testing.tester import fuzz, scripts
from minigrad.testing.tester.worker import Outcome, Wrong

pytestmark = pytest.mark.long  # the tester itself, at work

EXAMPLES = settings.default.max_examples  # of the profile


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Kernels that all cases use are compiled once."""
    folder = tmp_path_factory.mktemp("kernels")
    folder.chmod(0o700)
    return str(folder)


@pytest.mark.parametrize("lanes", [8, *(pytest.param(n, marks=pytest.mark.long) for n in (4, 16))])
def test_a_short_run_finds_nothing(lanes, cache):
    """Every call also with 2 and 3 threads, however small the work."""
    few = (28, 56, 90, 240)  # with few kernels of their own
    thin = few[lanes == 8 :: 2] if EXAMPLES < PROFILES["ci"] and lanes > 4 else few
    cases = range(100) if EXAMPLES >= PROFILES["thorough"] else thin
    result = fuzz.run(1e9, cases=cases, lanes=lanes, cache=cache)
    assert not result.found and not result.more, str(result)
    assert result.cases == len(cases) and result.calls >= 2 * len(cases), str(result)


# -- planted faults, in the process that runs the cases --------------------------------------------


def every_state_comes_from_the_first_port():
    right = layout.Layout._arrivals

    def wrong(self, *given):
        a = right(self, *given)
        return layout.Arrivals(a.first, a.source, np.zeros_like(a.port), a.shift)

    layout.Layout._arrivals = wrong


def a_thread_leaves_out_a_row():
    right = layout.Layout._within

    def wrong(self, low, high):
        ranges = right(self, low, high).copy()
        ranges[:, 1] -= (ranges[:, 1] > ranges[:, 0]) & (low > 0)
        return ranges

    layout.Layout._within = wrong


def dies():
    worker.program_of = lambda case: os.kill(os.getpid(), signal.SIGSEGV)


def hangs():
    worker.program_of = lambda case: time.sleep(100)


@pytest.mark.parametrize("plant,way,number", [
    (every_state_comes_from_the_first_port, "function", 159),
    pytest.param(a_thread_leaves_out_a_row, "threads", 128, marks=pytest.mark.long),
])  # fmt: skip
def test_a_planted_fault_is_found(plant, way, number, cache):
    result = fuzz.run(1e9, cases=[number], plant=plant, shrinking=0, cache=cache)
    (found,) = result.found
    assert way in found.wrong.way and found.wrong.place and "1 findings" in str(result)
    assert ("MINIGRAD_NUM_THREADS" in found.script) == (way == "threads")
    compile(found.script, "script", "exec")


class Stub:
    """Finds fault with a forest whose cell has a softmax, where a call is given a NaN."""

    asked = 0

    def ask(self, case):
        self.asked += 1
        calls = case.text.splitlines()
        bad = "mg.softmax" in case.text and any("forest" in c and "np.nan" in c for c in calls)
        return Outcome(Wrong("function", 0, "off") if bad else None)


def test_shrinking_leaves_what_matters():
    """Of each case next to nothing is left, of some nothing but what is to blame."""
    numbers = [n for n in range(1300, 1490) if Stub().ask(fuzz.replay(0, n)).wrong]
    least = []
    for number in numbers:
        choices, stub = fuzz.choices_of(0, number), Stub()
        fuzz.random_case(choices)
        case, wrong = fuzz.shrunk(stub, choices.made, Wrong("function", 0, "off"), 1e9)
        assert stub.ask(case).wrong == wrong
        assert len(case.text) < min(len(fuzz.replay(0, number).text) / 3, 1600)
        assert len(re.findall(r"^    v\d+ = ", case.text, re.MULTILINE)) <= 3  # lines of cells
        assert case.calls <= 2 and case.text.count("np.nan") == 1
        least.append(case.calls == 1 and "cell2" not in case.text)
    assert len(numbers) >= 3 and any(least)


def test_a_process_that_dies_or_hangs_is_a_finding(cache):
    for plant, way in ((dies, "crash"), (hangs, "hang")):
        one = fuzz.Worker(None, cache, plant, limit=0.5)
        wrong = one.ask(fuzz.random_case(fuzz.choices_of(0, 0))).wrong
        assert wrong is not None and wrong.way == way
        assert "in judge" in wrong.words  # it says where the process was
        assert one.process is None  # and the next case gets another


def test_a_donated_argument_has_a_script_of_its_own():
    wrong = Wrong("function, donated", 0, "off", ((0, 1), (0,)), 0.0)
    text = scripts.script(fuzz.replay(0, 0), wrong)
    compile(text, "script", "exec")
    assert "mg.function(step, donate=0)" in text and "found[0][1].tobytes()" in text


def test_ctrl_c_keeps_what_was_found(cache, monkeypatch):
    """Its first case never ends, and the run is interrupted."""
    timer = threading.Timer(1.0, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here
    try:
        timer.start()
        result = fuzz.run(1e9, cases=[1], plant=hangs, shrinking=0, cache=cache)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.interrupted and "0 findings, interrupted" in str(result)
