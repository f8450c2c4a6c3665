"""python -m benchmarks: medians and ratios of ours and the installed peers, one process per system,
in turn."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from .cases import CASES, SIZES, flops


class Worker:
    """One system in a process of its own, that times rounds when asked to."""

    def __init__(self, system: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "--worker", system],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **what: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(what), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("a worker process died; its error is above")
        return json.loads(answer)


def serve(system: str) -> None:
    """Answer {case, seconds} with the times of one round, in seconds a step."""
    steps: dict[str, Any] = {}
    for line in sys.stdin:
        what = json.loads(line)
        name = what["case"]
        if name == "peak":
            print(json.dumps(peak(system)), flush=True)
            continue
        if name not in steps:
            steps = {name: CASES[name][system]()}  # one case at a time: memory of others is let go
            for _ in range(3):
                steps[name]()
        times, stop = [], time.perf_counter() + what["seconds"]
        while len(times) < 3 or time.perf_counter() < stop:
            start = time.perf_counter()
            steps[name]()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def peak(system: str) -> float:
    """The best float32 matrix product of 2048 this system does, in GFLOP/s."""
    n, best = 2048, 0.0
    if system.startswith("torch"):
        import torch

        a, b = torch.randn(n, n), torch.randn(n, n)
    else:
        a, b = np.random.default_rng(0).standard_normal((2, n, n)).astype(np.float32)
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * n**3 / (time.perf_counter() - start) / 1e9)
    return best


START = """
import time; begin = time.perf_counter()
import numpy as np
from benchmarks.cases import ours_sequence
ours_sequence("LSTM", "M")()
print(time.perf_counter() - begin)
"""


def start_times() -> tuple[float, float]:
    """Seconds to an LSTM's first gradient in a fresh process: empty cache, then warm (median of
    five)."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "MINIGRAD_CACHE_DIR": folder}
        command = [sys.executable, "-c", START]
        times = [
            float(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
            for _ in range(6)
        ]  # fmt: skip
    return times[0], statistics.median(times[1:])


def overhead() -> float:
    """Seconds of a compiled step at the smallest size that are not kernels."""
    import minigrad as mg
    import recurrent as rc

    cell = rc.LSTM(4, 4)
    params = {k: v.astype(np.float32) for k, v in cell.init(0).items()}
    x, dy = (np.ones((2, 1, 4), np.float32) for _ in range(2))

    def step(p: Any, x: Any, dy: Any) -> Any:
        _, ys = rc.unroll(cell, p, x)
        return ys, mg.vjp(ys, (p, x), dy)

    f = mg.function(step)
    f(params, x, dy)
    f(params, x, dy)
    schedule = next(iter(f.traces.values())).express.schedule

    def median(call: Any) -> float:
        times = []
        for _ in range(2000):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    whole = median(lambda: f(params, x, dy))
    alive = f(params, x, dy)  # the list writes into the results of the last call
    kernels = median(schedule.run)
    del alive
    return whole - kernels


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "filter", nargs="*",
        help="only cases whose name contains one of these; learn [TASK ...]: the training runs",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, help="rounds in turn (median of medians)")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one round")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        serve(args.worker)
        return
    if args.filter[:1] == ["learn"]:  # small products: NumPy's BLAS is slower with many threads
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.learn", *args.filter[1:]]
        sys.exit(subprocess.run(command, env=env).returncode)
    torch = importlib.util.find_spec("torch") is not None
    if not torch:
        print("torch is not installed: its columns are left out (pip install torch==2.13.0)")
    names = [n for n in CASES if not args.filter or any(f in n.split() for f in args.filter)]
    sizes = "; ".join(f"{k}: T={t} B={b} I={i} H={h}" for k, (t, b, i, h) in SIZES.items())
    print(f"forward + backward, float32, {len(os.sched_getaffinity(0))} cores.  {sizes}\n")
    print(f"{'case':18} {'minigrad':>12}   peers (times as long)")
    for name in names:
        systems = [s for s in CASES[name] if torch or not s.startswith("torch")]
        workers = {s: Worker(s) for s in systems}
        rounds: dict[str, list[float]] = {s: [] for s in systems}
        for _ in range(args.rounds):
            for s in systems:
                rounds[s].append(statistics.median(workers[s].ask(case=name, seconds=args.seconds)))
        for w in workers.values():
            w.process.stdin.close()  # type: ignore[union-attr]
            w.process.wait()
        ms = {s: 1e3 * statistics.median(t) for s, t in rounds.items()}
        own = ms.pop("minigrad")
        peers = ",  ".join(f"{s} {t:.3g} ms ({t / own:.2f}x)" for s, t in ms.items())
        print(f"{name:18} {own:9.3f} ms   {peers}", flush=True)
        if name == "LSTM L":
            best = max(_peak("minigrad"), _peak("torch") if torch else 0.0)
            rate = flops(name) / own / 1e6
            print(
                f"{'':18} {rate:9.0f} GFLOP/s, {100 * rate / best:.0f}% of the sgemm peak "
                f"of {best:.0f}"
            )
    if not args.filter:
        cold, warm = start_times()
        print(f"\nfirst LSTM gradient in a fresh process: {cold:.2f} s cold, {warm:.2f} s warm")
        print(f"a call, outside of the kernels: {1e6 * overhead():.1f} us")


def _peak(system: str) -> float:
    worker = Worker(system)
    best = max(worker.ask(case="peak") for _ in range(3))
    worker.process.stdin.close()  # type: ignore[union-attr]
    worker.process.wait()
    return best


if __name__ == "__main__":
    main()
