"""The differential fuzzer: random programs, each computed in several ways that must agree.

    python -m minigrad.testing fuzz --seconds 60 --seed 0 [--lanes 4|8|16] [--jobs N]

`cases` makes the programs,
`worker` runs and judges them in processes of their own, so that a crash or a hang is a finding too,
and `growth` says how far rounding may carry a result.
Here cases are handed out, and what is found is shrunk
(choices are left out and lowered while the finding stays)
and printed as a script that shows it.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case, random_case
from .choices import Choices
from .options import at_least, check_at_least
from .scripts import script
from .worker import Outcome, Wrong, judge

WARM = 100  # cases after which a process is replaced: kernels once loaded stay in memory
LIMIT = 120.0  # seconds for one call of a case, after which it counts as hanging
SHRINKING = 90.0  # seconds for one finding
ALIKE = 3  # findings of one kind that are shrunk; further ones are counted only


# -- a process that runs cases ---------------------------------------------------------------------


class Worker:
    """A process that judges one case after another; replaced when it dies, hangs or has grown.

    lanes : the width of vectors in float32 numbers (None: the host's).
    cache : a folder for kernels.
    plant : called first in the process, to plant a fault.
    """

    def __init__(
        self, lanes: int | None, cache: str, plant: Callable[[], Any] | None = None,
        limit: float = LIMIT,
    ) -> None:  # fmt: skip
        self.lanes, self.cache, self.plant, self.limit = lanes, cache, plant, limit
        self.process: Any = None
        self.done = 0

    def ask(self, case: Case) -> Outcome:
        if self.process is None or self.done >= WARM:
            self.start()
        self.done += 1
        try:
            self.pipe.send(case)
            while self.answers():
                answer = self.pipe.recv()
                if isinstance(answer, Outcome):
                    return answer  # else it has come to the next call
        except (EOFError, OSError):
            self.process.join(10)
            code = self.process.exitcode
            words = f"the process ended with exit code {code}\n{self.stacks()}"
            self.stop()
            return Outcome(Wrong("crash", 0, words))
        if hasattr(signal, "SIGUSR1"):
            os.kill(self.process.pid, signal.SIGUSR1)
            time.sleep(0.5)
        words = f"no answer within {self.limit:.0f} s\n{self.stacks()}"
        self.stop()
        return Outcome(Wrong("hang", 0, words))

    def answers(self) -> bool:
        """Whether something comes in time.  On a machine that is kept busy by something else a
        process is slow without hanging: it is given ten times as long while it computes."""
        for _ in range(10):
            before = cpu_seconds(self.process.pid)
            if self.pipe.poll(self.limit):
                return True
            used = cpu_seconds(self.process.pid) - before
            if not 0.02 * self.limit < used < 0.5 * self.limit:  # it waits, or turns in a circle
                return False
        return False

    def stacks(self) -> str:
        """Where the process was: what `faulthandler` wrote."""
        file = Path(self.cache, f"stacks-{self.process.pid}")
        text = file.read_text() if file.exists() else ""
        file.unlink(missing_ok=True)
        return text

    def start(self) -> None:
        self.stop()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        settings = {"MINIGRAD_CACHE_DIR": self.cache}
        if self.lanes is not None:
            settings["MINIGRAD_LANES"] = str(self.lanes)
        self.process = context.Process(target=serve, args=(theirs, settings, self.plant))
        self.process.start()
        theirs.close()
        if self.pipe.poll(120):
            self.pipe.recv()  # it is ready: its time begins with the case
        self.done = 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.stacks()  # removes the file
            self.process = None
            self.pipe.close()


def cpu_seconds(process: int) -> float:
    """What a process has used of a processor so far (0 where the system does not say)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def serve(pipe: Any, settings: dict[str, str], plant: Callable[[], Any] | None) -> None:
    """What the process does: judge the cases that come, until the pipe is closed."""
    os.environ.update(settings)
    stacks = open(Path(settings["MINIGRAD_CACHE_DIR"], f"stacks-{os.getpid()}"), "w")
    faulthandler.enable(stacks)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, stacks)
    if plant is not None:
        plant()
    pipe.send("ready")
    while True:
        try:
            case = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        pipe.send(judge(case, pipe.send))
        for file in Path(settings["MINIGRAD_CACHE_DIR"]).glob("mg_block_*"):
            file.unlink(missing_ok=True)  # random kernels are not met again


# -- the run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A finding: the shrunk program as a script.  number: of the case, for `replay`."""

    number: int
    wrong: Wrong
    script: str
    shows: bool

    def __str__(self) -> str:
        hint = "" if self.shows else (
            "# This script alone does not show it: it took the cases before, or the odds.\n"
        )  # fmt: skip
        return f"{hint}{self.script}"


@dataclass
class Fuzzed:
    """What a run did.

    kinds       : how many cases held each.
    more        : findings that were only counted.
    interrupted : whether Ctrl-C ended it before its time.
    """

    lanes: int
    seed: int
    cases: int = 0
    calls: int = 0
    compiled: int = 0
    seconds: float = 0.0
    kinds: Counter = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)
    more: Counter = field(default_factory=Counter)
    interrupted: bool = False

    def __str__(self) -> str:
        kinds = ", ".join(f"{k} {n}" for k, n in sorted(self.kinds.items(), key=lambda p: -p[1]))
        lines = [
            f"{self.cases} cases, {self.calls} calls in {self.seconds:.0f} s with {self.lanes} "
            f"lanes, seed {self.seed}; {self.compiled} cases were compiled throughout",
            f"kinds: {kinds}",
        ]
        for f in self.found:
            lines += ["", f"# finding in case {f.number}: {f.wrong.way}", str(f)]
        lines += [f"and {n} more: {key}" for key, n in self.more.items()]
        findings = len(self.found) + sum(self.more.values())
        early = ", interrupted before its time" if self.interrupted else ""
        return "\n".join([*lines, f"{findings} findings{early}"])


def choices_of(seed: int, number: int) -> Choices:
    return Choices(rng=np.random.default_rng([seed, number]))


def replay(seed: int, number: int) -> Case:
    """The case of that number in a run with that seed."""
    return random_case(choices_of(seed, number))


def run(
    seconds: float = 60.0, seed: int = 0, *, lanes: int | None = None, jobs: int = 1,
    cases: int | Sequence[int] | None = None, most: int = 5, plant: Callable[[], Any] | None = None,
    limit: float = LIMIT, shrinking: float = SHRINKING, folder: str | None = None,
    cache: str | None = None,
) -> Fuzzed:  # fmt: skip
    """Judge random cases on `jobs` processes for so many seconds, or so many cases.

    cases  : how many, or the numbers of those to judge (default: 0, 1, 2, ... till time is over).
    most   : stop after as many findings were shrunk.
    limit  : seconds that a call may take.
    plant  : a picklable function, called in every process before anything else: a fault to find.
    folder : where each finding's script is written.
    cache  : where kernels are kept (default: a folder that is removed at the end).
    """
    count = cases if isinstance(cases, int) else None
    check_at_least("fuzz.run", 1, jobs=jobs, cases=count, most=most)
    check_at_least("fuzz.run", 0, seed=seed)
    from ...kernels import target

    result = Fuzzed(lanes or target.lanes(), seed)
    kept = cache is not None
    cache = cache or tempfile.mkdtemp(prefix="minigrad-fuzz-")  # never the user's own
    many = sys.maxsize if cases is None else cases
    numbers = iter(range(many) if isinstance(many, int) else many)
    start, lock = time.monotonic(), threading.Lock()
    errors: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        worker = Worker(lanes, cache, plant, limit)
        try:
            while time.monotonic() - start < seconds and not over.is_set():
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                case = replay(seed, number)
                outcome = worker.ask(case)
                with lock:
                    result.cases += 1
                    result.calls += outcome.calls
                    result.compiled += outcome.compiled
                    result.kinds.update(case.kinds)
                    if outcome.wrong is None:
                        continue
                    key = outcome.wrong.key
                    result.kinds[f"FOUND {key}"] += 1
                    if sum(f.wrong.key == key for f in result.found) >= ALIKE:
                        result.more[key] += 1
                        continue
                found = examined(worker, seed, number, outcome.wrong, lanes, shrinking)
                with lock:
                    result.found.append(found)
                    if len(result.found) >= most:
                        over.set()
                    if folder is not None:
                        name = f"{result.lanes}-{seed}-{number}.py"
                        Path(folder).mkdir(parents=True, exist_ok=True)
                        Path(folder, name).write_text(str(found))
        except BaseException as error:
            errors.append(error)
            over.set()
        finally:
            worker.stop()

    try:
        crew = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        for t in crew:
            t.start()
        for t in crew:
            while t.is_alive():  # so that Ctrl-C arrives
                t.join(0.2)
    except KeyboardInterrupt:  # what was found so far is not lost
        result.interrupted = True
    finally:
        over.set()
        for t in crew:
            t.join(5)
        if not kept:
            shutil.rmtree(cache, ignore_errors=True)
    if errors:
        raise errors[0]
    result.seconds = time.monotonic() - start
    return result


def examined(
    worker: Worker, seed: int, number: int, wrong: Wrong, lanes: int | None, seconds: float
) -> Found:
    """A finding, run alone in a new process, shrunk, and its script tried."""
    choices = choices_of(seed, number)
    case = random_case(choices)
    worker.start()
    alone = worker.ask(case).wrong
    if alone is None or alone.key != wrong.key:
        return Found(number, wrong, script(case, wrong, lanes), False)
    case, wrong = shrunk(worker, choices.made, alone, seconds)
    text = script(case, wrong, lanes)
    return Found(number, wrong, text, _shows(text, worker))


def _shows(text: str, worker: Worker) -> bool:
    """Whether a script fails, in a fresh Python."""
    if worker.plant is not None:
        return True  # the fault is planted in the worker only
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(text)
        file.flush()
        env = {**os.environ, "MINIGRAD_CACHE_DIR": worker.cache}
        env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        try:
            done = subprocess.run(
                [sys.executable, file.name], env=env, capture_output=True, timeout=worker.limit
            )
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


# -- shrinking -------------------------------------------------------------------------------------


def shrunk(
    worker: Any, made: Sequence[int], wrong: Wrong, seconds: float
) -> tuple[Case, Wrong]:
    """The simplest case found with the same kind of finding.

    made : the choices of a case.

    Spans of choices are left out or set to their least, then single choices lowered, then both at
    once, as long as the text gets no longer; again and again until nothing helps or the time is
    over.
    """
    end = time.monotonic() + seconds
    choices = Choices(made)
    best = random_case(choices)
    seen = {best.text}
    progress = True
    while progress and time.monotonic() < end:
        progress, at = False, 0
        tries = list(_simpler(choices))
        while at < len(tries) and time.monotonic() < end:
            new = Choices(tries[at])
            case = random_case(new)
            size, old = (len(case.text), new.made), (len(best.text), choices.made)
            if case.text in seen or size >= old:
                at += 1
                continue
            seen.add(case.text)
            again = worker.ask(case).wrong
            if again is not None and again.key == wrong.key:
                choices, best, wrong, progress = new, case, again, True
                tries = list(_simpler(choices))  # and on from here
            else:
                at += 1
    return best, wrong


def _simpler(choices: Choices) -> Iterator[list[int]]:
    made = choices.made
    outer: list[tuple[int, int]] = []  # a span that lies in another begins before that one's end
    for span in choices.spans:
        if not outer or span[0] >= outer[-1][1]:
            outer.append(span)
    count = len(outer) // 2
    while count > 1:  # many calls at once
        for k in range(0, len(outer), count):
            run = outer[k : k + count]
            yield made[: run[0][0]] + made[run[-1][1] :]
        count //= 2
    spans = sorted({s for s in choices.spans if s[0] < s[1]}, key=lambda s: s[0] - s[1])
    for start, end in spans:
        yield made[:start] + made[end:]
        yield made[:start] + [0] + made[end:]  # as where its first choice decides on the rest
        yield made[:start] + [0] * (end - start) + made[end:]
    for k, v in enumerate(made):
        for lower in dict.fromkeys((0, v // 2, v - 1)):
            if 0 <= lower < v:
                yield [*made[:k], lower, *made[k + 1 :]]
    for start, end in spans:  # what is left out may be what another choice was about
        for k in [k for k, v in enumerate(made) if v and not start <= k < end]:
            least = [*made[:k], 0, *made[k + 1 :]]
            yield least[:start] + least[end:]


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="begin no case after that time")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--lanes", type=int, choices=(4, 8, 16), help="default: the host's")
    parser.add_argument("--jobs", type=at_least(1), default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--cases", type=at_least(1), help="how many at most")
    parser.add_argument("--case", type=at_least(0), action="append", metavar="N", help="only this")
    parser.add_argument("--most", type=at_least(1), default=5, help="stop after so many findings")
    parser.add_argument("--out", metavar="FOLDER", help="write each finding's script there")


def main(given: argparse.Namespace) -> int:
    """The command; its exit code is 0 without a finding, 130 if it was interrupted."""
    result = run(
        given.seconds, given.seed, lanes=given.lanes, jobs=given.jobs,
        cases=given.case or given.cases, most=given.most, folder=given.out,
    )  # fmt: skip
    print(result)
    return 1 if result.found or result.more else 130 if result.interrupted else 0
