"""`minigrad study TEXT_OR_FILE`: read, train, look, and put the report in place.

Whatever the user can get wrong is an `InputError`.
The report appears whole or not at all, and replaces nothing but an earlier report.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..out.render import GraphvizError, engine
from ..study.corpus import Corpus, InputError, given, read


def version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("minigrad")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "(not installed)"


def study(options: argparse.Namespace, command: str, check: Callable[[], None]) -> list[str]:
    """`minigrad study`: what to tell the user. check: called at every step, may raise."""
    corpus, names = _asked(options)
    if engine() is None:
        raise GraphvizError(
            "drawing needs Graphviz, and there is none here: pip install pygraphviz (its wheel "
            "carries Graphviz), or install Graphviz so that `neato` is on PATH"
        )
    with _staged(options.out) as (aside, place):
        from ..study.answers import Answers, answered
        from ..study.findings import Model, Study, results_lines, summary, training_line
        from ..study.forecast import forecasts
        from ..study.model import Sequences, Trees
        from ..study.pairs import Pairs, translations
        from ..study.report import write
        from ..study.results import results
        from ..study.series import Numbers
        from ..study.training import look, train

        kind: Any = {"tree": Trees, "table": Numbers, "pairs": Pairs, "answers": Answers}.get(
            corpus.kind, Sequences
        )
        models: list[Model] = []
        for name in names:
            task = kind(name, options.hidden, corpus, options.window, options.loss)
            if name == names[0]:
                before = look(task, task.init(options.seed))
            steps = task.steps if options.steps is None else options.steps
            with _progress(task.title, steps) as show:

                def on_step(step: int, loss: float, show: Any = show) -> None:
                    check()
                    show(step, loss)

                training = train(task, steps, options.seed, on_step, options.lr)
            got = (
                forecasts(task, training.params) if corpus.kind == "table"
                else translations(task, training.params) if corpus.kind == "pairs"
                else answered(task, training.params) if corpus.kind == "answers"
                else results(task, corpus, training.params, options.seed)
            )  # fmt: skip
            models.append(Model(name, task, training, look(task, training.params), got))
            check()
        first = models[0]
        found = Study(
            corpus, first.task, first.training, before, first.after, command, options.seed,
            version(), tuple(models),
        )  # fmt: skip
        write(found, aside)
        check()
        index = place()
    notes = [note for note in (*first.task.notes, first.training.note) if note]
    lines = [training_line(found), *notes, *results_lines(found), summary(found)[0]]
    return [*lines, f"Open {index}"]


def _asked(options: argparse.Namespace) -> tuple[Corpus, list[str]]:
    """What is read, and the cells that are trained on it, the one that is looked into first.

    Raises InputError where the two do not go together.
    """
    from ..study.answers import repeated
    from ..study.nets import (
        ALIASES,
        ANY_ARITY,
        BINARY,
        PAIRS,
        SEVERAL,
        TOGETHER,
        reads,
        reads_trees,
    )
    from ..study.table import Asked, tabular

    asked = [options.cell] if options.cell else []
    asked += [name for name in options.compare if name not in asked]
    asked = list(dict.fromkeys(ALIASES.get(name, name) for name in asked))
    kinds = list(dict.fromkeys(map(reads, asked)))
    if len(kinds) > 1:
        raise InputError(f"{' and '.join(asked)} read different things: {' and '.join(kinds)}")
    what = given(options.input)
    if asked and not options.cell:  # what is compared is compared with the usual one
        usual = {"words": "lstm", "trees": "tree-lstm", "pairs": "bahdanau-attention"}[kinds[0]]
        if what.looks == "conllu" and usual == "tree-lstm":
            usual = ANY_ARITY[0]
        asked = asked if usual in asked else [usual, *asked]
    tree, form = bool(asked) and reads_trees(asked[0]), options.form
    if form == "auto":
        form = "trees" if tree and what.looks != "conllu" else what.looks
    if not asked and form == "conllu":
        asked = [ANY_ARITY[0]]
    named = Asked(options.columns, options.target or "", options.series or "")
    if asked and kinds == ["pairs"]:
        form = "pairs"
    if form == "pairs":
        several = [name for name in asked if name in SEVERAL]
        if asked and (kinds[0] == "trees" or several):
            no = "is no cell that ends in one state" if several else f"reads {kinds[0]}"
            raise InputError(
                f"{what.source} holds pairs apart by tabs, and --cell {(several or asked)[0]} "
                f"{no}: choose one of {', '.join(PAIRS)}, or a cell for words, as lstm, which "
                "names the second part as an answer, or give --as text"
            )
        corpus = read(what, options.tokens, "pairs")
        if kinds == ["words"] or (not asked and repeated(corpus)):
            return replace(corpus, kind="answers"), asked or ["lstm"]
        return corpus, asked or ["bahdanau-attention"]
    if form == "table" and not tree:
        return tabular(what, named), asked or ["lstm"]
    for name in ("columns", "target", "series"):
        if getattr(named, name):
            raise InputError(
                f"--{name} names a column of a table, and {what.source} is taken for {form}; "
                "give --as table if it is one"
            )
    any_arity = bool(asked) and set(asked) <= set(ANY_ARITY)
    most = 0 if any_arity else 2 if set(asked) & set(BINARY) else 3
    corpus = read(what, options.tokens, form, most)
    if corpus.kind != "tree":
        if tree:
            raise InputError(f"--cell {asked[0]} reads trees, and --as {form} gives words")
        short = len(corpus.tokens) <= options.window and not options.compare
        together = [n for n in TOGETHER if short and (not asked or asked[0] in TOGETHER)]
        return corpus, list(dict.fromkeys([*(asked or ["lstm"]), *together]))
    held = {"conllu": "CoNLL-U"}.get(corpus.form, "bracketed trees")
    if asked and not reads_trees(asked[0]):
        raise InputError(
            f"{corpus.source} holds {held}, and --cell {asked[0]} reads words in a row: choose a "
            f"tree cell ({', '.join((*ALIASES.values(), *ANY_ARITY))}), or give --as text to "
            "take its brackets and columns for text"
        )
    asked = asked or ["tree-lstm"]
    source = corpus.source[:1].upper() + corpus.source[1:]
    corpus.notes.insert(0, f"{source} holds {held}: read as trees, by {asked[0]}.")
    return corpus, asked


# -- being stopped ---------------------------------------------------------------------------------


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Ctrl-C and a polite kill both unwind, so nothing is left behind.

    A compiler's callbacks swallow exceptions.
    While one runs, a stop waits until the function that is yielded is called.
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
    from ..study.report import FILES, MARK

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
def _progress(name: str, steps: int) -> Iterator[Callable[[int, float], None]]:
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
        TextColumn(f"training {name}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        job = bar.add_task("training", total=steps, loss=float("nan"))
        yield lambda step, loss: bar.update(job, completed=step, loss=loss)
