"""The command line: `minigrad study TEXT_OR_FILE`, `minigrad draw` and `check MODULE:FUNCTION`.

Whatever the user can get wrong is one line on stderr and exit status 2, with nothing half-written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .commands import check, draw, study
from .out.render import GraphvizError
from .scene.measures import MEASURES
from .scene.scene import VIEWS
from .study.corpus import EXAMPLE_TREE, FORMS, InputError
from .study.nets import NAMES, NEEDS

MOST_HIDDEN = 1024


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="minigrad",
        description="Automatic differentiation on sequences and trees, drawn.",
        epilog='Start with:  minigrad study "the Saints beat the Panthers last night"',
    )
    top.add_argument("--version", action="version", version=f"minigrad {study.version()}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    train = commands.add_parser(
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
    train.add_argument(
        "input", metavar="TEXT_OR_FILE",
        help="a text in quotes, a UTF-8 file of text, of numbers in columns (CSV), bracketed trees "
        "or CoNLL-U, or - for standard input",
    )
    train.add_argument(
        "--cell", type=_cell, metavar="CELL",
        help="what reads it (default lstm; tree-lstm for bracketed trees, child-sum-tree-lstm for "
        f"CoNLL-U, bahdanau-attention for pairs apart by a tab): {', '.join(NAMES)}",
    )  # fmt: skip
    train.add_argument(
        "--compare", type=_cells, default=(), metavar="CELLS",
        help="other cells to train on the same, beside --cell or the default, such as rnn,gru; a "
        "short text has lstm, rnn, gru",
    )  # fmt: skip
    train.add_argument(
        "--as", dest="form", choices=("auto", *FORMS), default="auto",
        help="what the input is taken for (default auto: what it looks like)",
    )  # fmt: skip
    train.add_argument(
        "--loss", type=_integer(1, 1_000_000), metavar="K",
        help="the step or node whose loss is looked into (default the last, or the root)",
    )  # fmt: skip
    train.add_argument(
        "--target", metavar="COLUMN",
        help="of a table: the column to predict, one row ahead, or to name if it holds classes "
        "(default: all columns of the next row)",
    )  # fmt: skip
    train.add_argument(
        "--columns", type=_names, default=(), metavar="NAMES",
        help="of a table: the columns to read, apart by commas (default all that hold numbers)",
    )  # fmt: skip
    train.add_argument(
        "--series", metavar="COLUMN",
        help="of a table of several series: the column that says which a row is of",
    )  # fmt: skip
    train.add_argument(
        "--window", type=_integer(2, 1000), default=40, metavar="N",
        help="tokens that are read in one go, of a longer text (default 40)",
    )  # fmt: skip
    train.add_argument(
        "--lr", type=_rate, default=0.005, metavar="RATE",
        help="learning rate of Adam (default 0.005)",
    )  # fmt: skip
    train.add_argument(
        "--tokens",
        choices=("auto", "word", "char"),
        default="auto",
        help="what a step is (default auto)",
    )
    train.add_argument(
        "--steps", type=_integer(0, 1_000_000), metavar="N",
        help="training steps (default 100 for a short text, 600 for a long one)",
    )  # fmt: skip
    train.add_argument(
        "--hidden",
        type=_integer(1, MOST_HIDDEN),
        default=32,
        metavar="N",
        help="hidden units (default 32)",
    )
    train.add_argument(
        "--seed",
        type=_integer(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="of the initial parameters (default 0)",
    )
    train.add_argument(
        "--out", type=Path, default=Path("minigrad-report"), metavar="DIR",
        help="where the report goes (default minigrad-report); an earlier report is replaced",
    )  # fmt: skip
    slopes = commands.add_parser(
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
    _function(slopes)
    slopes.add_argument(
        "--order", type=_integer(1, 6), default=1, metavar="N",
        help="check derivatives up to this order (default 1)",
    )  # fmt: skip
    slopes.add_argument(
        "--modes", choices=("rev", "fwd", "both"), default="both",
        help="reverse mode (vjp), forward mode (jvp), or both (default)",
    )  # fmt: skip
    slopes.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=0, metavar="N",
        help="of random arguments and directions (default 0)",
    )  # fmt: skip
    picture = commands.add_parser(
        "draw",
        help="draw what a function of yours returns",
        description="Call a function written with minigrad and draw the graph of the Tensors that "
        "it returns, with the gradient of the first scalar among them.",
        epilog="Arguments come as for `minigrad check`. The function may also return a drawing of "
        "viz.draw.\n\nexamples:\n  minigrad draw model.py:loss\n"
        '  minigrad draw model.py:loss --args "3,4 4" --view ops --out loss.svg',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _function(picture)
    picture.add_argument(
        "--view", choices=VIEWS, default="unfolded", help="what is drawn (default unfolded)"
    )
    picture.add_argument(
        "--animate", action="store_true",
        help="the backward pass, moment by moment (--out .svg, the default, or .gif)",
    )  # fmt: skip
    picture.add_argument(
        "--measure", choices=MEASURES, action="append",
        help="rows under the steps of the unfolded view (may be given twice)",
    )  # fmt: skip
    picture.add_argument("--no-grad", action="store_true", help="values only, no gradient")
    picture.add_argument(
        "--max-steps", type=_integer(3, 1_000_000), default=60, metavar="N",
        help="steps or nodes that are drawn, the middle left out (default 60)",
    )  # fmt: skip
    picture.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=0, metavar="N",
        help="of random arguments (default 0)",
    )  # fmt: skip
    picture.add_argument(
        "--out", type=Path, metavar="FILE",
        help="where it goes; its suffix says as what: .html (default FUNCTION.html, a page that "
        "computes), .svg, .png, .pdf, .dot, .json; .gif plays the backward pass",
    )  # fmt: skip
    return top


def _function(command: argparse.ArgumentParser) -> None:
    """What `check` and `draw` are given: a function, and shapes of its arguments."""
    command.add_argument(
        "function", metavar="MODULE:FUNCTION", help="importable.name:function, or file.py:function"
    )
    command.add_argument(
        "--args", metavar="SHAPES",
        help="shapes of random float64 arguments, apart by spaces: 3,4 is a matrix, () a number",
    )  # fmt: skip


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


def _cells(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    return tuple(map(_cell, names))


def _cell(name: str) -> str:
    if name in NEEDS:
        what, call = NEEDS[name]
        raise argparse.ArgumentTypeError(
            f"{name!r} needs {what}, which no file of text or numbers says: call {call} (drawn in "
            "docs/architectures.md)"
        )
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(NAMES)}")
    return name


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 10")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 2 for an error of use (one line on stderr), 130 if stopped"""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parser().parse_args(given)
        if options.command == "check":
            lines, status = check.check(options)
            _say(lines)
            return status
        if options.command == "draw":
            _say(draw.draw(options))
            return 0
        with study.stoppable() as stopped:
            report = study.study(options, f"minigrad {shlex.join(given)}", stopped)
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
        print("minigrad: interrupted; nothing was written", file=sys.stderr, flush=True)
        if arguments is None:  # landed in an `exec` of text, it would end Python by the signal
            os._exit(130)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _say(lines: Sequence[str]) -> None:
    """Print; a reader that has gone away (`| head`) is no error, since the report is in place."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # or Python complains again as it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    print(f"minigrad: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
