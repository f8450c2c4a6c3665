"""The command line: `minigrad study TEXT_OR_FILE`, `minigrad check MODULE:FUNCTION`.

Whatever the user can get wrong is one line on stderr and exit status 2, with nothing half-written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .out.render import GraphvizError, engine
from .study.corpus import EXAMPLE_TREE, InputError, read

CELLS = ("rnn", "lstm", "gru", "tree")
MOST_HIDDEN = 1024


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("minigrad")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "(not installed)"


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="minigrad",
        description="Automatic differentiation on sequences and trees, drawn.",
        epilog='Start with:  minigrad study "the Saints beat the Panthers last night"',
    )
    top.add_argument("--version", action="version", version=f"minigrad {version()}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    study = commands.add_parser(
        "study",
        help="train a small recurrent model on a text or tree and draw where its gradient went",
        description="Train a small recurrent model on a text (or bracketed trees), then write a "
        "report: the folded and the unfolded graph with the gradient of one loss flowing back, "
        "where it vanished, and all the numbers.",
        epilog=f'examples:\n  minigrad study "the Saints beat the Panthers last night"\n'
        f"  minigrad study notes.txt --cell rnn --tokens char --out notes-report\n"
        f'  minigrad study "{EXAMPLE_TREE}" --cell tree',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study.add_argument(
        "input", metavar="TEXT_OR_FILE", help="a text in quotes, or a UTF-8 text file"
    )
    study.add_argument(
        "--cell",
        choices=CELLS,
        default="lstm",
        help="the recurrent cell (default lstm); tree reads bracketed trees",
    )
    study.add_argument(
        "--tokens",
        choices=("auto", "word", "char"),
        default="auto",
        help="what a step is (default auto)",
    )
    study.add_argument(
        "--steps", type=_integer(0, 1_000_000), metavar="N",
        help="training steps (default 100 for a short text, 600 for a long one, within a minute)",
    )  # fmt: skip
    study.add_argument(
        "--hidden",
        type=_integer(1, MOST_HIDDEN),
        default=32,
        metavar="N",
        help="hidden units (default 32)",
    )
    study.add_argument(
        "--seed",
        type=_integer(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="of the initial parameters (default 0)",
    )
    study.add_argument(
        "--out", type=Path, default=Path("minigrad-report"), metavar="DIR",
        help="where the report goes (default minigrad-report); an earlier report is replaced",
    )  # fmt: skip
    check = commands.add_parser(
        "check",
        help="check the gradients of a function of yours",
        description="Check the gradients of a function written with minigrad against slopes that "
        "no gradient rule had a part in. Exit status: 0 none is wrong, 1 one is, 2 wrong usage.",
        epilog="The arguments of FUNCTION come from --args, or else from its attribute `example` "
        "or from FUNCTION_args\nbeside it in the module: a tuple of arguments, or a function that "
        "returns one.\n\nexamples:\n"
        '  minigrad check mymodel.losses:loss\n  minigrad check losses.py:loss --args "3,4 4 ()"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "function", metavar="MODULE:FUNCTION", help="importable.name:function, or file.py:function"
    )
    check.add_argument(
        "--args", metavar="SHAPES",
        help="shapes of random float64 arguments, apart by spaces: 3,4 is a matrix, () a number",
    )  # fmt: skip
    check.add_argument(
        "--order", type=_integer(1, 6), default=1, metavar="N",
        help="check derivatives up to this order (default 1)",
    )  # fmt: skip
    check.add_argument(
        "--modes", choices=("rev", "fwd", "both"), default="both",
        help="reverse mode (vjp), forward mode (jvp), or both (default)",
    )  # fmt: skip
    check.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=0, metavar="N",
        help="of random arguments and directions (default 0)",
    )  # fmt: skip
    return top


def _integer(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return convert


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 2 for an error of use (one line on stderr), 130 if stopped"""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parser().parse_args(given)
        if options.command == "check":
            from .commands import check as gradients

            lines, status = gradients.check(options)
            _say(lines)
            return status
        with _stoppable() as check:
            report = study(options, f"minigrad {shlex.join(given)}", check)
        _say(report)
    except (InputError, GraphvizError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(
            f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        )
    except MemoryError:
        return _fail("out of memory; choose a smaller --hidden, a shorter text, smaller arguments")
    except KeyboardInterrupt:
        print("minigrad: interrupted; nothing was written", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _fail(message: str) -> int:
    print(f"minigrad: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Ctrl-C and a polite kill both unwind, so nothing is left behind. While a compiler runs, whose
    callbacks swallow exceptions, they wait for the next call of what is yielded.
    """
    came: list[BaseException] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        if not _compiling(frame):
            raise came[-1]

    def check() -> None:
        if came:
            raise came[-1]

    try:
        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield check
        return
    try:
        yield check
    except Exception:
        check()  # what broke because it was stopped is no error of its own
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _compiling(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(("numba.", "llvmlite.")):
            return True
        frame = frame.f_back
    return False


def study(options: argparse.Namespace, command: str, check: Callable[[], None]) -> list[str]:
    """`minigrad study`: what to tell the user. check: called at every step, may raise."""
    kind = "tree" if options.cell == "tree" else options.tokens
    corpus = read(options.input, kind)
    if engine() is None:
        raise GraphvizError(
            "drawing needs Graphviz, and there is none here: pip install pygraphviz (its wheel "
            "carries Graphviz), or install Graphviz so that `neato` is on PATH"
        )
    with _staged(options.out) as (aside, place):
        from .study.model import Sequences, Trees, look, train
        from .study.report import Study, build, summary, training_line

        task: Any = (Trees if kind == "tree" else Sequences)(options.cell, options.hidden, corpus)
        before = look(task, task.init(options.seed))
        with _progress(task.steps if options.steps is None else options.steps) as show:

            def on_step(step: int, loss: float) -> None:
                check()
                show(step, loss)

            training = train(task, options.steps, options.seed, on_step)
        after = look(task, training.params)
        found = Study(corpus, task, training, before, after, command, options.seed)
        for name, text in build(found).items():
            (aside / name).write_text(text, encoding="utf-8", errors="replace")
        check()
        index = place()
    notes = [note for note in (*task.notes, training.note) if note]
    return [training_line(found), *notes, summary(found)[0], f"Open {index}"]


def _say(lines: Sequence[str]) -> None:
    """Print; a reader that has gone away (`| head`) is no error, since the report is in place."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # or Python complains again as it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- where the report goes -------------------------------------------------------------------------


@contextlib.contextmanager
def _staged(out: Path) -> Iterator[tuple[Path, Callable[[], Path]]]:
    """A directory beside `out` to write into, and what puts it in place; gone if anything fails."""
    target = Path(os.path.realpath(out))
    _refuse(out, target)
    parent = next(p for p in target.parents if p.exists())
    try:
        aside = Path(tempfile.mkdtemp(prefix=".minigrad-", dir=parent))
    except OSError as error:
        raise InputError(
            f"cannot write --out {str(out)!r} ({error.strerror}); choose another --out"
        ) from None
    (aside / "new").mkdir()

    def place() -> Path:
        _refuse(out, target)  # again: minutes may have passed
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            os.rename(target, aside / "old")
        try:
            os.rename(aside / "new", target)
        except OSError:
            if (aside / "old").exists():
                os.rename(aside / "old", target)
            raise
        return target / "index.html"

    try:
        yield aside / "new", place
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refuse(out: Path, target: Path) -> None:
    """Nothing but an earlier report, or an empty directory, is ever replaced."""
    from .study.report import FILES, MARK

    name = str(out)
    if not target.exists():
        blocked = next((p for p in target.parents if p.exists() and not p.is_dir()), None)
        if blocked is not None:
            raise InputError(
                f"cannot write --out {name!r}: {str(blocked)!r} is a file; choose another --out"
            )
        return
    if not target.is_dir():
        raise InputError(f"--out {name!r} is a file; remove it or choose another --out")
    try:
        held = sorted(p.name for p in target.iterdir())
    except OSError as error:
        raise InputError(
            f"cannot read --out {name!r} ({error.strerror}); choose another --out"
        ) from None
    strange = [entry for entry in held if entry not in FILES]
    index = target / "index.html"
    ours = (
        not held
        or index.is_file()
        and MARK in index.read_text(encoding="utf-8", errors="replace")[:2000]
    )
    if strange or not ours:
        what = (
            f"holds {strange[0]!r}" if strange else "holds files that are not a report of minigrad"
        )
        raise InputError(
            f"--out {name!r} {what}, which replacing it would delete; choose another --out"
        )


# -- progress --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[int, float], None]]:
    """A bar on stderr while training; nothing where stderr is no terminal."""
    if not sys.stderr.isatty() or not steps:
        yield lambda step, loss: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("training"), BarColumn(), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        job = bar.add_task("training", total=steps, loss=float("nan"))
        yield lambda step, loss: bar.update(job, completed=step, loss=loss)


if __name__ == "__main__":
    sys.exit(main())
