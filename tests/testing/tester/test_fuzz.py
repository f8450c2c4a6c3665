"""The fuzzer finds what is planted, shrinks it, and survives processes that die or hang."""

import os
import signal
import time

import minigrad.testing.tester.worker as worker
from minigrad.ops.table import TABLE
from minigrad.testing.tester import fuzz


def tanh_is_off():
    """Compiled cells compute 1.001 tanh."""
    object.__setattr__(TABLE["tanh"], "scalar", "1.001 * tanh(x)")


def dies():
    worker.program_of = lambda case: os.kill(os.getpid(), signal.SIGSEGV)


def hangs():
    worker.program_of = lambda case: time.sleep(100)


def test_a_planted_fault_is_found_and_shrunk():
    result = fuzz.run(300, seed=0, jobs=1, most=1, plant=tanh_is_off, shrinking=20)
    (found,) = result.found
    assert found.wrong.way == "function" and found.wrong.place
    assert "mg.tanh" in found.script and found.script.count("arguments(mg.") == 1
    cell = found.script[found.script.index("def cell") : found.script.index("def step")]
    assert len(cell.splitlines()) < 12, found.script
    assert result.kinds["FOUND function"] >= 1 and "1 findings" in str(result)


def test_a_process_that_dies_or_hangs_is_a_finding():
    for plant, way in ((dies, "crash"), (hangs, "hang")):
        worker = fuzz.Worker(None, "/nonexistent", plant, limit=0.5)
        outcome = worker.ask(fuzz.random_case(fuzz.choices_of(0, 0)))
        assert outcome.wrong is not None and outcome.wrong.way == way
        assert worker.process is None
