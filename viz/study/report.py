"""The report of a study: one self-contained HTML page, and its drawings as SVG files.

`build` makes all texts in memory; the command puts them in place.
The page loads nothing from anywhere: its scripts and style stand in it (`viz.page`), and its
Content-Security-Policy forbids all else.
"""

from __future__ import annotations

import platform
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..draw import Drawing, draw
from ..page.frame import frame, graph, kind_of
from ..page.ops import TooMuch
from ..page.program import program, said, words_of
from ..scene.style import GRADIENT, SLATE, VANISHED
from ..scene.text import clean
from . import charts, tabled
from .charts import Line
from .corpus import visible
from .findings import Study, results_lines, summary, training_line
from .model import FAINT
from .paged import paged
from .results import MODEL, save
from .sections import (
    Figures,
    book_of,
    compared,
    continuation,
    equations,
    escaped,
    facts,
    ledger,
    model,
    numbers,
    saved,
    section,
    untrained,
)

MARK = '<meta name="generator" content="minigrad study">'
FILES = frozenset(
    {
        "index.html",
        "folded.svg",
        "unfolded.svg",
        "untrained.svg",
        "tree.svg",
        "gradient.svg",
        "ledger.svg",
        "loss.svg",
        "series.svg",
        MODEL,
    }
)
FEW_CELLS, MOST_CELLS = 8, 12  # steps drawn unfolded: all up to 12, else 8, the middle left out
MOST_NODES = 40  # of a tree
TITLE = 110  # characters of the text studied


def build(study: Study) -> dict[str, str]:
    """The files of the report: name -> text, index.html among them.

    Raises GraphvizError where drawing fails.
    """
    drawings = _drawings(study)
    pictures = {
        name: "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', d.svg, ""])
        for name, d in drawings.items()
    }
    pictures |= _charts(study)
    several = Counter((e.source, e.target) for e in drawings["unfolded.svg"].scene.edges
                      if e.kind == "backward").most_common(1)  # fmt: skip
    apart = bool(several) and several[0][1] > 1  # a part of the state on each arrow
    lit = graph(drawings["unfolded.svg"].scene, "unfolded")
    return {"index.html": _page(study, pictures, apart, lit)} | pictures


# -- figures ---------------------------------------------------------------------------------------


def _drawings(study: Study) -> dict[str, Drawing]:
    task = study.task
    labels = task.names
    short = len(labels) <= MOST_CELLS
    most = MOST_NODES if study.is_tree else MOST_CELLS if short else FEW_CELLS
    after, before = study.after.chosen_loss, study.before.chosen_loss
    made = {
        "folded.svg": draw(after, "folded", title=""),
        "unfolded.svg": draw(
            after, "unfolded", grad=after, max_steps=most, labels=labels, title=""
        ),
    }
    if study.is_tree and len(labels) > 1:
        made["tree.svg"] = draw(
            after, "tree", grad=after, max_steps=most, labels=task.tags, title=""
        )
    if study.training.losses:
        made["untrained.svg"] = draw(
            before, "unfolded", grad=before, max_steps=most, labels=labels, title=""
        )
    return made


def _charts(study: Study) -> dict[str, str]:
    task, after = study.task, study.after
    source = after.norms[task.main][task.chosen]
    floor = float(source) * FAINT if np.isfinite(source) and source > 0 else None
    ylabel, norms = f"‖∂{study.loss_name}/∂{task.main}‖", after.norms[task.main]
    if study.is_tree:
        gradient = charts.depth_chart(norms, task.distance, task.leaves, floor, ylabel)
    else:
        lines = [Line(norms, f"{study.loss_name} alone", GRADIENT, "-", "o")]
        if "c" in after.norms:
            lines.append(
                Line(after.norms["c"], f"{study.loss_name}, cell state c", "#e69f5c", "--")
            )
        if study.corpus.kind != "answers":  # of one loss all are that one
            lines.append(Line(after.total[task.main], "all losses together", SLATE, "-"))
        if study.training.losses:
            untaught = study.before.norms[task.main]
            lines.append(Line(untaught, f"{study.loss_name}, before training", VANISHED, ":"))
        gradient = charts.gradient_chart(lines, task.names, floor, ylabel)
    made = {"gradient.svg": gradient}
    book = book_of(study)
    width = len(next(iter(book.values())))
    if width:
        made["ledger.svg"] = charts.ledger_chart(book, task.names, range(1, width + 1))
    if study.training.losses:
        measure = study.task.measure.strip().strip("()")
        made["loss.svg"] = charts.loss_chart(study.training.losses, measure)
    if study.is_table and study.models and not task.classes:
        made["series.svg"] = charts.series_chart(*tabled.panels(study))
    return made


# -- the page --------------------------------------------------------------------------------------


def _page(study: Study, pictures: dict[str, str], apart: bool, lit: dict[str, Any]) -> str:
    figures = Figures(pictures)
    after, name, unit = study.after, study.loss_name, study.unit
    what = clean(" ".join(study.task.text.split()), TITLE)
    returns = "from each child" if study.is_tree else "through a delay of one step"
    data, ops, why = _program(study)
    alone = data is not None and "models" in data
    parts = ""
    if len(after.norms) > 1:
        together = f", by {', '.join(after.norms)} together"
        parts = ", by each part of the state" if apart else together
    main = study.task.main
    sections = [
        section(
            f"The model unfolded, and the gradient of {name}",
            _panel(study, data is not None, why, alone),
            figures.still(
                "unfolded.svg",
                "Grey arrows carry values forward; orange arrows carry the gradient of one loss, "
                f"{name}, back from {study.place}. Their width grows with the logarithm of the "
                f"gradient’s norm; the numbers are the norm of what passes from {unit} to {unit}"
                f"{parts}.",
                look="scene" if data is None else "",
            ),
            untrained(study, figures, data is not None),
        ),
        section(
            "The numbers",
            f"<div{' data-numbers' if alone else ''}>{numbers(study)}</div>",
        ),
        section(
            "Where the gradient went",
            *(f"<p>{escaped(sentence)}</p>" for sentence in summary(study)),
            figures.add(
                "gradient.svg",
                f"How strongly {name} depends on the state {main} of every {unit}, "
                f"‖∂{name}/∂{main}‖ on a logarithmic scale"
                + (
                    "."
                    if study.is_tree or study.corpus.kind == "answers"
                    else ", beside the same for all losses together: each step has a loss of its "
                    "own, which covers up how little of a late one arrives."
                ),
            ),
            figures.add(
                "tree.svg",
                f"The tree itself, with its labels. The deeper a node’s colour, the larger the "
                f"gradient of {name} with regard to its state.",
            ),
        ),
        ledger(study, figures),
        section(
            "What it learnt",
            f"<p>{escape(training_line(study))}</p>",
            *(f"<p>{escape(line)}</p>" for line in results_lines(study)),
            continuation(study),
            compared(study),
            figures.add("series.svg", tabled.series_said(study)),
            tabled.again(study) if study.is_table else saved(),
            figures.add(
                "loss.svg",
                "The loss at every training step: the mean "
                f"{'cross-entropy' if study.task.classes else 'square error'} of the predictions.",
            ),
        ),
        section(
            "The model",
            f"<p>{model(study)}</p>",
            figures.add(
                "folded.svg",
                "The recurrence as the circuit it is: one cell, whose state returns to it "
                f"{returns}. The parameters are the same at every {unit}.",
            ),
            "<details><summary>The cell’s "
            f"equations</summary><pre>{equations(study.task.cell)}</pre></details>",
        ),
        section("How this report was made", _made(study)),
    ]
    cell = study.task.title
    quoted = escape(what) if study.is_table else f"“{escape(what)}”"
    body = (
        f'<header><p class="kicker">minigrad study · {escape(cell)}</p><h1>{quoted}</h1>'
        f'<p class="lead">{escaped(summary(study)[0])}</p><dl>{facts(study)}</dl></header>'
    )
    kind = kind_of(data)
    held = {"scene": lit} if data is None else {"program": data}
    return frame(f"{cell}: {what}", body + "\n".join(sections), kind, held, ops, MARK + "\n")


def _program(study: Study) -> tuple[Any, str, str]:
    """What the page computes: (data, JavaScript, ""), or (None, "", why not)."""
    if study.is_table or study.corpus.kind in ("pairs", "answers"):
        return _as_graph(study, "")
    if not study.models:
        return None, "", "nothing was trained"
    if study.is_tree:
        return _as_graph(study, "")
    named: list[Any] = [(m.task.title, m.task, m.training.params) for m in study.models]
    own, *others = named
    try:
        try:
            return *paged([own, *others]), ""
        except TooMuch:
            return *paged([own]), ""
    except TooMuch as error:
        return _as_graph(study, f"{error}; ")


def _as_graph(study: Study, why: str) -> tuple[Any, str, str]:
    """The graph of what is looked into: other losses, weights and steps; where words can be told
    from the graph (of trees, pairs and texts with an answer) other words."""
    task: Any = study.task
    chosen, run = study.after.chosen_loss, study.after.run
    try:
        data, ops = program([run.losses], chosen, task.names)
        two = study.corpus.kind in ("pairs", "answers")
        xs = run.xs[0] if isinstance(run.xs, tuple) else run.xs
        if (study.is_tree or two) and (words := words_of(data, xs)):
            known = task.words if two else task.number
            data |= words | {"vocabulary": [said(visible(w), 40) for w in known]}
            data["named"] = task.named()
        return data, ops, ""
    except TooMuch as error:
        return None, "", f"{why}{error}"


def _panel(study: Study, computes: bool, why: str, alone: bool) -> str:
    """alone: a model that is a cell over words, which can be others."""
    if not computes:
        return f'<p class="note">Not computed in this page: {escape(why)}.</p>' if why else ""
    words = "rewrite the words, leave a step out" if alone else "leave steps out"
    words = "rewrite the words" if study.is_tree else words
    if study.corpus.kind in ("pairs", "answers"):
        words = "rewrite the words that are read, leave steps out"
    several = alone and len(study.models) > 1
    more = " Choose another cell, or all together." if several else ""
    words += ", change a number of x" if study.is_table else ""
    return (
        f"<p>This page computes: {words}, change a weight, choose "
        f"another loss, and both passes run again here.{more} Point at a node, or walk there with "
        "Tab and the arrow keys, to light what it depends on (blue) and what depends on it "
        "(violet, dashed). The slider walks the backward pass in its order, product by product "
        "and sum by sum.</p>"
        '<div class="panel" data-program="program"></div>'
    )


def write(study: Study, folder: Path) -> None:
    """All files of the report, the model among them, into a folder that is there."""
    for name, text in build(study).items():
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
    if study.models:
        first = study.models[0]
        save(folder / MODEL, first.name, first.task, first.training.params)


def _made(study: Study) -> str:
    notes = [*study.task.notes, *([study.training.note] if study.training.note else [])]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<p>Command: <code>{escape(clean(study.command, 2000))}</code></p>"
        f"<p>Seed {study.seed}: the same command gives the same numbers. minigrad "
        f"{escape(study.version)}, NumPy "
        f"{escape(np.__version__)}, Python {platform.python_version()}.</p>"
        + (f"<ul>{listed}</ul>" if listed else "")
    )
