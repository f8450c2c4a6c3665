"""python -m benchmarks: whole training steps, ours and the installed peers'.

Each system in a process of its own, in turn; medians, and ratios of the same round.

The table is Markdown.  `python -m benchmarks learn [TASK ...]` trains on the classic tasks instead,
`python -m benchmarks claims` measures again what the field's papers say.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from typing import Any

from . import process
from .rows import Row, Work
from .table import ROWS

PACKAGES = {"torch": "torch", "JAX": "jax"}  # the first word of a system, and what it needs


class Worker:
    """One system of one row in a process of its own, that times rounds when asked to."""

    def __init__(self, row: str, system: str, warm: int):
        command = [sys.executable, "-m", "benchmarks", "--worker", row, system, str(warm)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def times(self, seconds: float, least: int) -> list[float]:
        """Seconds a step, of one round.  Raises RuntimeError with what the system said."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps([seconds, least]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("its process died; the error is above")
        found = json.loads(answer)
        if isinstance(found, str):
            raise RuntimeError(found)
        return found

    def stop(self) -> None:
        self.process.communicate()  # closes both pipes, and waits


def serve(name: str, system: str, warm: int) -> None:
    """The other end of a Worker: the times of each round asked for, or a line of an error."""
    out, sys.stdout = sys.stdout, sys.stderr  # what others print is no answer
    work: Work | None = None
    for line in sys.stdin:
        seconds, least = json.loads(line)
        try:
            if work is None:
                work = next(r for r in ROWS if r.name == name).systems()[system]()
                _round(work, 0, warm)
                if system.startswith("torch"):
                    set_threads(work, warm)
            found: Any = _round(work, seconds, least)
        except Exception as error:
            found = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps(found), file=out, flush=True)


def set_threads(work: Work, least: int) -> None:
    """Leave torch with all cores or with one, whichever is faster here: for tiny steps it is one.
    """
    import torch

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        return min(_round(work, 0, least))

    torch.set_num_threads(min((torch.get_num_threads(), 1), key=seconds))


def _round(work: Work, seconds: float, least: int) -> list[float]:
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < stop:
        batch = next(work.batches)
        start = time.perf_counter()
        work.step(batch)
        times.append(time.perf_counter() - start)
    return times


# -- what it ran on --------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    from minigrad.kernels import target

    versions = {"Python": platform.python_version()}
    for package in ("numpy", "numba", "torch", "jax"):
        if importlib.util.find_spec(package):
            versions[package] = importlib.metadata.version(package)
    return {
        "CPU": cpu(),
        "vectors": f"{32 * target.lanes()} bits ({target.lanes()} float32)",
        "compiled for": target.host()[0],
        "cores": str(cores()),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
    }


def cpu() -> str:
    """The name of the processor, where the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            found = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        found = platform.processor()
    return found or platform.machine()


def cores() -> int:
    """How many this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


# -- the table -------------------------------------------------------------------------------------

HEAD = ("step", "minigrad", "peer", "ms", "times as long", "wanted", "reached")


def line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def missing(system: str) -> str | None:
    """The package that a system needs and that is not installed."""
    package = PACKAGES.get(system.split()[0])
    return package if package and importlib.util.find_spec(package) is None else None


def measure(row: Row, rounds: int, seconds: float, warm: int, least: int) -> dict[str, Any]:
    """{system: the medians of its rounds, in seconds}, and {system: why not} for the others."""
    systems = row.systems()
    errors = {s: f"{missing(s)} is not installed" for s in systems if missing(s)}
    workers = {s: Worker(row.name, s, warm) for s in systems if s not in errors}
    times: dict[str, list[float]] = {s: [] for s in workers}
    try:
        for _ in range(rounds):
            for s, worker in workers.items():
                if s in errors:
                    continue
                try:
                    times[s].append(statistics.median(worker.times(seconds, least)))
                except RuntimeError as error:
                    errors[s] = str(error)
                    del times[s]
    finally:
        for worker in workers.values():
            worker.stop()
    return {"times": times, "errors": errors}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """How many times as long as ours each peer takes: the median over rounds."""
    own = found["times"].get("minigrad")
    if not own:
        return {}
    return {
        s: statistics.median(t / o for t, o in zip(times, own, strict=True))
        for s, times in found["times"].items() if s != "minigrad"
    }  # fmt: skip


def lines(row: Row, found: dict[str, Any]) -> list[str]:
    """A line for each peer; a target stands at the fastest of the peers it speaks of."""
    ratio = ratios(found)
    marks: dict[str, tuple[float, bool]] = {}
    for target in row.targets:
        measured = [s for s in target.peers if s in ratio]
        if measured:
            best = min(measured, key=ratio.__getitem__)
            marks[best] = target.times, ratio[best] >= target.times
    own = found["times"].get("minigrad")
    ours = f"{1e3 * statistics.median(own):.3g} ms" if own else "-"
    first, made = (f"{row.name} ({row.what})" if row.what else row.name), []
    for s in [*found["times"], *found["errors"]]:
        if s == "minigrad":
            if s in found["errors"]:
                made.append(line((first, "-", "", "", found["errors"][s], "", "")))
            continue
        if s in found["errors"]:
            cells = ("", "", s, "-", found["errors"][s], "", "")
        else:
            ms = f"{1e3 * statistics.median(found['times'][s]):.3g}"
            wanted = f"{marks[s][0]:.3g}" if s in marks else ""
            reached = ("yes" if marks[s][1] else "NO") if s in marks else ""
            cells = ("", "", s, ms, f"{ratio[s]:.3g}" if s in ratio else "-", wanted, reached)
        made.append(line((first, ours, *cells[2:]) if not made else cells))
    return made or [line((first, ours, "", "", "", "", ""))]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("learn", nargs="*", help="learn [TASK ...]: the training runs; claims "
                        "[NAME ...] [--out FOLDER]: what papers say, measured again")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="rows with these words in their name; may be given several times")
    parser.add_argument("--list", action="store_true", help="the names of all rows")
    parser.add_argument("--quick", action="store_true",
                        help="two short rounds: does it run; the numbers mean little")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write all medians of rounds there too")
    parser.add_argument("--rounds", type=int, default=9, help="rounds in turn (default 9)")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one round")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else arguments
    rest = given[1:] if given[:1] == ["claims"] else []
    args = parser.parse_args(given[:1] if rest else given)
    if args.worker:
        serve(args.worker[0], args.worker[1], int(args.worker[2]))
        return
    if args.learn[:1] == ["claims"]:
        sys.exit(subprocess.run([sys.executable, "-m", "benchmarks.claims", *rest]).returncode)
    if args.learn[:1] == ["learn"]:  # small products: NumPy's BLAS is slower with many threads
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.learn", *args.learn[1:]]
        sys.exit(subprocess.run(command, env=env).returncode)
    if args.learn:
        parser.error(f"unknown command {args.learn[0]!r}; rows are chosen with --only")

    def chosen(name: str) -> bool:
        words = [rf"(?<!\w){re.escape(part)}(?!\w)" for part in args.only or ()]
        return not words or any(re.search(w, name, re.IGNORECASE) for w in words)

    rows = [r for r in ROWS if chosen(r.name)]
    others = [m for m in process.MEASURES if chosen(m.name)]
    if args.list:
        print("\n".join([*(r.name for r in rows), *(m.name for m in others)]))
        return
    if not rows and not others:
        parser.error(f"no row is called {' or '.join(args.only)}; --list shows their names")
    how = (2, 0.05, 1, 1) if args.quick else (args.rounds, args.seconds, 3, 3)
    report: dict[str, Any] = {"environment": environment(), "rows": {}, "measures": {}}
    print("One training step, float32" + (" (quick: numbers mean little)" if args.quick else ""))
    for k, v in report["environment"].items():
        print(f"{k}: {v}")
    for package in PACKAGES.values():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: its lines are left empty")
    if rows:
        print(f"\n{line(HEAD)}\n{line(('---',) * len(HEAD))}")
    for row in rows:
        found = measure(row, *how)
        print("\n".join(lines(row, found)), flush=True)
        targets = [{"peers": t.peers, "times": t.times} for t in row.targets]
        report["rows"][row.name] = {**found, "ratios": ratios(found), "targets": targets}
    if others:
        print(f"\n{line(process.HEAD)}\n{line(('---',) * len(process.HEAD))}")
    for m in others:
        result = m.result(args.quick)
        print(line(result.cells), flush=True)
        report["measures"][m.name] = result._asdict()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
