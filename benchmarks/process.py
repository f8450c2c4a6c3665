"""What a step costs besides its kernels: a call, a parameter array, the first step, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
HEAD = ("what", "measured", "wanted", "reached")


class Result(NamedTuple):
    """`value` in `unit`, which must not be above `limit`; value None: `why` it was not measured."""

    name: str
    value: float | None
    unit: str
    limit: float
    why: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        wanted = f"at most {self.limit:g} {self.unit}"
        if self.value is None:
            return self.name, f"skipped: {self.why}", wanted, ""
        reached = "yes" if self.value <= self.limit else "NO"
        return self.name, f"{self.value:.3g} {self.unit}", wanted, reached


class Measure(NamedTuple):
    name: str
    unit: str
    limit: float
    run: Callable[[bool], float | str]  # of `quick`; a text says why it cannot be measured

    def result(self, quick: bool = False) -> Result:
        found = self.run(quick)
        if isinstance(found, str):
            return Result(self.name, None, self.unit, self.limit, found)
        return Result(self.name, found, self.unit, self.limit)


# -- calls -----------------------------------------------------------------------------------------


def seconds_a_call(arrays: int, calls: int) -> float:
    """The median of a training step whose arithmetic is next to nothing.

    An RNN of four numbers over two steps,
    with `arrays` further parameters of four numbers and Adam.
    """
    import minigrad as mg
    import recurrent as rc

    from .rows import ours

    cell = rc.RNN(4, 4)
    params = {"cell": cell.init(0), "more": [np.ones(4) for _ in range(arrays)]}
    x = np.ones((2, 1, 4), np.float32)

    def loss(p: Any, x: Any) -> Any:
        _, ys = rc.unroll(cell, p["cell"], x)
        return mg.sum(mg.square(ys)) + sum(mg.sum(mg.square(a)) for a in p["more"])

    step = ours(loss, params, iter(()), dict).step
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        step(x)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def call(quick: bool) -> float:
    """Microseconds of the smallest step."""
    return 1e6 * seconds_a_call(0, 20 if quick else 2000)


def parameter_array(quick: bool) -> float:
    """Microseconds that one more parameter array costs."""
    many = 4 if quick else 64
    calls = 20 if quick else 500
    return 1e6 * (seconds_a_call(many, calls) - seconds_a_call(0, calls)) / many


# -- the first step --------------------------------------------------------------------------------

START = """
import time; begin = time.perf_counter()
from benchmarks.table import ROWS
work = next(r for r in ROWS if r.name == "language model M").systems()["minigrad"]()
work.step(next(work.batches))
print(time.perf_counter() - begin)
"""


def first_step(warm: bool) -> Callable[[bool], float]:
    """Seconds to a language model's first step in a fresh process.

    Kernels compiled, or on disk (median of five).  Python's bytecode is there, as pip leaves it.
    """

    def run(quick: bool) -> float:
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "MINIGRAD_CACHE_DIR": folder}
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            sources = [str(ROOT / name) for name in ("minigrad", "recurrent", "benchmarks")]
            command = [sys.executable, "-m", "compileall", "-q", *sources]
            subprocess.run(command, env=env, check=True)

            def once() -> float:
                command = [sys.executable, "-c", START]
                done = subprocess.run(command, env=env, capture_output=True, check=True)
                return float(done.stdout)

            cold = once()
            return statistics.median(once() for _ in range(1 if quick else 5)) if warm else cold

    return run


LOOP = """
import sys, time
from benchmarks.nodes import python_loop
begin = time.perf_counter()
work = python_loop(int(sys.argv[1]), 1, 32, 32)["minigrad"]()
work.step(next(work.batches))
print(time.perf_counter() - begin)
"""


def loop_start(quick: bool) -> float:
    """How many times as long the first call of a Python loop takes at T=400 as at T=50.

    Both in a fresh process with nothing on disk.
    """

    def once(time: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "MINIGRAD_CACHE_DIR": folder}
            command = [sys.executable, "-c", LOOP, str(time)]
            done = subprocess.run(command, env=env, capture_output=True, check=True)
            return float(done.stdout)

    return once(8 if quick else 400) / once(4 if quick else 50)


# -- checkpoints -----------------------------------------------------------------------------------

MEMORY = """
import sys, time
import numpy as np
import minigrad as mg, recurrent as rc
T, B, H, k = map(int, sys.argv[1:])
cell = rc.LSTM(H, H)
params = {n: v.astype(np.float32) for n, v in cell.init(0).items()}
how = {"checkpoint": k} if k else {}
def step(p, x):
    loss = mg.sum(mg.square(rc.unroll(cell, p, x, **how)[0][0]))
    return loss, mg.grad(loss, p)
f = mg.function(step)
def kilobytes(what):
    return int(open("/proc/self/status").read().split(what + ":")[1].split()[0])
f(params, np.ones((2 * k + 8, 2, H), np.float32))
x = np.random.default_rng(0).standard_normal((T, B, H)).astype(np.float32)
open("/proc/self/clear_refs", "w").write("5")  # the peak from now on: compiling needs more
before = kilobytes("VmRSS")
f(params, x)
peak, times = kilobytes("VmHWM") - before, []
for _ in range(5):
    start = time.perf_counter()
    f(params, x)
    times.append(time.perf_counter() - start)
print(peak, min(times))
"""


def checkpoint(which: int) -> Callable[[bool], float | str]:
    """Memory (0) or time (1) of a gradient with every 64th level kept, as a part of all kept."""

    def run(quick: bool) -> float | str:
        if not os.access("/proc/self/clear_refs", os.W_OK):
            return "the peak of a process is only known on Linux"
        size = ("256", "2", "8") if quick else ("4096", "50", "40")

        def once(k: int) -> float:
            command = [sys.executable, "-c", MEMORY, *size, str(k)]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
            return float(done.stdout.split()[which])

        return once(64) / max(once(0), 1e-9)

    return run


MEASURES = (
    Measure("a call (the smallest training step)", "us", 15.0, call),
    Measure("one more parameter array", "us", 1.0, parameter_array),
    Measure("first step, cold", "s", 5.0, first_step(warm=False)),
    Measure("first step, warm", "s", 0.5, first_step(warm=True)),
    Measure("Python loop's first call, T=400 to T=50", "times", 1.5, loop_start),
    Measure("checkpoint, memory (LSTM T=4096 B=50 H=40)", "of all kept", 0.1, checkpoint(0)),
    Measure("checkpoint, time", "of all kept", 1.5, checkpoint(1)),
)
