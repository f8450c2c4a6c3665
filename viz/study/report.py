"""The report of a study: one self-contained HTML page, and its drawings as SVG files.

`build` makes all texts in memory; the command puts them in place.
The page loads nothing from anywhere: no script, font, image or style.
Its Content-Security-Policy forbids it as well.
"""

from __future__ import annotations

import platform
from html import escape
from string import Template

import numpy as np

from ..draw import Drawing, draw
from ..scene.style import GRADIENT, SLATE, VANISHED
from ..scene.text import clean
from . import charts
from .charts import Line
from .findings import Study, summary, training_line
from .model import FAINT
from .page import PAGE
from .sections import (
    Figures,
    equations,
    escaped,
    facts,
    ledger,
    model,
    numbers,
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
    return {"index.html": _page(study, pictures)} | pictures


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
    source = after.norms["h"][task.chosen]
    floor = float(source) * FAINT if np.isfinite(source) and source > 0 else None
    ylabel = f"‖∂{study.loss_name}/∂h‖"
    if study.is_tree:
        gradient = charts.depth_chart(after.norms["h"], task.distance, task.leaves, floor, ylabel)
    else:
        lines = [Line(after.norms["h"], f"{study.loss_name} alone", GRADIENT, "-", "o")]
        if "c" in after.norms:
            lines.append(
                Line(after.norms["c"], f"{study.loss_name}, cell state c", "#e69f5c", "--")
            )
        lines.append(Line(after.total["h"], "all losses together", SLATE, "-"))
        if study.training.losses:
            lines.append(
                Line(study.before.norms["h"], f"{study.loss_name}, before training", VANISHED, ":")
            )
        gradient = charts.gradient_chart(lines, task.names, floor, ylabel)
    made = {"gradient.svg": gradient}
    width = len(next(iter(after.ledger.values())))
    if width:
        made["ledger.svg"] = charts.ledger_chart(after.ledger, task.names, range(1, width + 1))
    if study.training.losses:
        made["loss.svg"] = charts.loss_chart(study.training.losses)
    return made


# -- the page --------------------------------------------------------------------------------------


def _page(study: Study, pictures: dict[str, str]) -> str:
    figures = Figures(pictures)
    after, name, unit = study.after, study.loss_name, study.unit
    cell = type(study.task.cell).__name__
    what = clean(" ".join(study.task.text.split()), TITLE)
    returns = "from each child" if study.is_tree else "through a delay of one step"
    sections = [
        section(
            "The model, folded",
            f"<p>{model(study)}</p>",
            figures.add(
                "folded.svg",
                "The recurrence as the circuit it is: one cell, whose state returns to it "
                f"{returns}. The parameters are the same at every {unit}.",
            ),
            "<details><summary>The cell’s "
            f"equations</summary><pre>{equations(study.task.cell)}</pre></details>",
        ),
        section(
            f"The same model, unfolded, and the gradient of {name}",
            figures.add(
                "unfolded.svg",
                "Grey arrows carry values forward; orange arrows carry the gradient of one loss, "
                f"{name}, back from {study.place}. Their width grows with the logarithm of the "
                f"gradient’s norm; the numbers are the norm of what passes from {unit} to {unit}"
                + (", h and c together." if "c" in after.norms else "."),
            ),
            untrained(study, figures),
        ),
        section(
            "Where the gradient went",
            *(f"<p>{escaped(sentence)}</p>" for sentence in summary(study)),
            figures.add(
                "gradient.svg",
                f"How strongly {name} depends on the hidden state of every {unit}, ‖∂{name}/∂h‖ on "
                "a logarithmic scale"
                + (
                    "."
                    if study.is_tree
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
            "Training",
            f"<p>{escape(training_line(study))}</p>",
            figures.add(
                "loss.svg",
                "The loss at every training step: the mean cross-entropy of the predictions.",
            ),
        ),
        section("The numbers", numbers(study)),
        section("How this report was made", _made(study)),
    ]
    return Template(PAGE).substitute(
        mark=MARK,
        title=escape(f"{cell}: {what}"),
        cell=escape(cell),
        what=escape(what),
        lead=escaped(summary(study)[0]),
        facts=facts(study),
        body="\n".join(sections),
    )


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
