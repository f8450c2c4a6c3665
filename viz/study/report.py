"""The report of a study: one self-contained HTML page, and its drawings as SVG files.

`build` makes all texts in memory; `cli` puts them in place. The page loads nothing: no script,
font, image or style from anywhere, which its Content-Security-Policy also forbids.
"""

from __future__ import annotations

import inspect
import platform
import re
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

import numpy as np

from ..draw import Drawing, draw
from ..scene.scene import norm_text
from ..scene.style import GRADIENT, SLATE, VANISHED
from ..scene.text import clean, shorten, subscript
from . import charts
from .charts import Line
from .corpus import Corpus, visible
from .embed import embed
from .model import FAINT, Look, Task, Training
from .page import PAGE
from .story import hiding, rate, story

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
MOST_ROWS = 400  # of the table
TITLE = 110  # characters of the text studied


@dataclass(frozen=True)
class Study:
    """Everything the report tells."""

    corpus: Corpus
    task: Task
    training: Training
    before: Look
    after: Look
    command: str
    seed: int

    @property
    def is_tree(self) -> bool:
        return self.corpus.kind == "tree"

    @property
    def unit(self) -> str:
        return "node" if self.is_tree else "step"

    @property
    def loss_name(self) -> str:
        return subscript("L", self.task.chosen + 1)


def summary(study: Study) -> list[str]:
    """What the study found, in sentences: the gradient first, then the training."""
    norms, chosen = study.after.norms["h"], study.task.chosen
    names, below = study.task.names, study.task.below
    found = story(
        norms, names, chosen, f"{study.loss_name}, the loss {_where(study)},", study.unit, below
    )
    extra = hiding(norms[below], study.after.total["h"][below], study.loss_name, study.unit)
    if extra:
        found.append(extra)
    factor = None if study.is_tree else rate(norms)
    if factor is not None:
        found.append(f"On average a step back in time multiplies the gradient by {factor:.2g}.")
    return found


def training_line(study: Study) -> str:
    losses = study.training.losses
    if not losses:
        return "The model is untrained: its parameters are as initialised."
    steps = "1 step" if len(losses) == 1 else f"{len(losses):,} steps"
    return (
        f"Training took {steps} and {study.training.seconds:.1f} seconds; the loss went from "
        f"{losses[0]:.3g} to {_late(losses)} nats."
    )


def _late(losses: list[float]) -> str:
    """The loss at the end: the mean of the last twentieth, since a sampled batch varies."""
    return f"{float(np.mean(losses[-max(1, len(losses) // 20) :])):.3g}"


def build(study: Study) -> dict[str, str]:
    """The files of the report: name -> text, index.html among them. Raises GraphvizError where
    drawing fails.
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
    figures = _Figures(pictures)
    after, name, unit = study.after, study.loss_name, study.unit
    cell = type(study.task.cell).__name__
    what = clean(" ".join(study.task.text.split()), TITLE)
    returns = "from each child" if study.is_tree else "through a delay of one step"
    sections = [
        _section(
            "The model, folded",
            f"<p>{_model(study)}</p>",
            figures.add(
                "folded.svg",
                "The recurrence as the circuit it is: one cell, whose state returns to it "
                f"{returns}. The parameters are the same at every {unit}.",
            ),
            "<details><summary>The cell’s "
            f"equations</summary><pre>{_equations(study.task.cell)}</pre></details>",
        ),
        _section(
            f"The same model, unfolded, and the gradient of {name}",
            figures.add(
                "unfolded.svg",
                "Grey arrows carry values forward; orange arrows carry the gradient of one loss, "
                f"{name}, back from {_place(study)}. Their width grows with the logarithm of the "
                f"gradient’s norm; the numbers are the norm of what passes from {unit} to {unit}"
                + (", h and c together." if "c" in after.norms else "."),
            ),
            _untrained(study, figures),
        ),
        _section(
            "Where the gradient went",
            *(f"<p>{_text(sentence)}</p>" for sentence in summary(study)),
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
        _ledger(study, figures),
        _section(
            "Training",
            f"<p>{escape(training_line(study))}</p>",
            figures.add(
                "loss.svg",
                "The loss at every training step: the mean cross-entropy of the predictions.",
            ),
        ),
        _section("The numbers", _numbers(study)),
        _section("How this report was made", _made(study)),
    ]
    return Template(PAGE).substitute(
        mark=MARK,
        title=escape(f"{cell}: {what}"),
        cell=escape(cell),
        what=escape(what),
        lead=_text(summary(study)[0]),
        facts=_facts(study),
        body="\n".join(sections),
    )


class _Figures:
    """Numbers the figures in the order in which they appear; one that was not made is left out."""

    def __init__(self, pictures: dict[str, str]) -> None:
        self.pictures, self.count = pictures, 0

    def add(self, name: str, caption: str) -> str:
        if name not in self.pictures:
            return ""
        self.count += 1
        prefix = name.removesuffix(".svg")
        drawing = embed(self.pictures[name], prefix, caption.split(":")[0].split(".")[0])
        return (
            f'<figure id="{prefix}"><div class="scroll">{drawing}</div>'
            f"<figcaption><b>Figure {self.count}.</b> {_text(caption)} "
            f'<a href="{name}">{name}</a></figcaption></figure>'
        )


def _section(title: str, *parts: str) -> str:
    return (
        f"<section><h2>{_text(title)}</h2>\n"
        + "\n".join(part for part in parts if part)
        + "\n</section>"
    )


def _where(study: Study) -> str:
    return f"at {_place(study)}"


def _place(study: Study) -> str:
    at_root = study.is_tree and study.task.chosen == len(study.task.names) - 1
    return "the root" if at_root else f"{study.unit} {study.task.chosen + 1}"


def _text(text: str) -> str:
    """Escaped, with subscripts set by the browser: few fonts have all of the Unicode ones."""
    return re.sub("[₀-₉]+", lambda m: f"<sub>{m[0].translate(_PLAIN)}</sub>", escape(text))


_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def _facts(study: Study) -> str:
    rows = [
        ("cell", f"{type(study.task.cell).__name__}, {study.task.cell.hidden_size} hidden"),
        ("data", f"{study.corpus.source}, {_amount(study)}"),
        ("loss", _loss_fact(study)),
        ("seed", str(study.seed)),
    ]
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in rows)


def _amount(study: Study) -> str:
    if study.is_tree:
        count = len(study.corpus.trees)
        return "1 tree" if count == 1 else f"{count:,} trees"
    count = len(study.corpus.tokens)
    noun = "word" if study.corpus.kind == "word" else "character"
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _loss_fact(study: Study) -> str:
    losses = study.training.losses
    return f"{losses[0]:.3g} → {_late(losses)} in {len(losses):,} steps" if losses else "untrained"


def _model(study: Study) -> str:
    sizes = study.training.params
    outputs = len(study.task.classes)
    count = sum(
        np.size(p) for p in [*sizes["cell"].values(), *(v for k, v in sizes.items() if k != "cell")]
    )
    cell = study.task.cell
    kind = type(cell).__name__
    article = "an" if kind in ("LSTM", "RNN") else "a"
    task = (
        "names the label of every node from what lies below it"
        if study.is_tree
        else "predicts, after every token, the next one"
    )
    return escape(
        f"An embedding of {cell.input_size} numbers per token, {article} {kind} cell with "
        f"{cell.hidden_size} hidden units, and a softmax over {outputs:,} classes: "
        f"{count:,} parameters. The model {task}."
    )


def _equations(cell: Any) -> str:
    text = inspect.cleandoc(type(cell).__doc__ or "").replace("`", "")
    return escape(text)


def _untrained(study: Study, figures: _Figures) -> str:
    drawn = figures.add(
        "untrained.svg", "The same before training, with the parameters as they were initialised."
    )
    return f"<details><summary>The same before training</summary>{drawn}</details>" if drawn else ""


def _ledger(study: Study, figures: _Figures) -> str:
    after, unit = study.after, study.unit
    if not any(len(rows) for rows in after.ledger.values()):
        return ""
    body = []
    for name, shares in after.shares.items():
        top = int(np.argmax(after.ledger[name]))
        body.append(
            f"<tr><td><code>{escape(name)}</code></td>"
            f"<td class=n>{' × '.join(map(str, study.training.params['cell'][name].shape))}</td>"
            f"<td class=n>{norm_text(after.gradient[name])}</td>"
            f"<td>{unit} {top + 1} ({_word(study.task.names[top])})</td>"
            f"<td class=n>{100 * shares[top]:.0f}%</td></tr>"
        )
    table = (
        "<div class=scroll><table><thead><tr><th>parameter<th class=n>shape<th "
        "class=n>‖gradient‖<th>largest "
        "contribution<th class=n>its "
        f"share</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
    exact = f"Checked: the contributions sum to the gradient within {after.drift:.0e} (relative)."
    return _section(
        f"The ledger: which {unit} taught which parameter",
        f"<p>A parameter is used at every {unit}, and its gradient is the sum of what each use "
        "contributes. A share is "
        "the part of the gradient, along its own direction, that one contribution makes up; shares "
        "sum to 100%, and "
        f"one may be negative or above 100%. {exact}</p>",
        figures.add(
            "ledger.svg",
            f"The norm of what every {unit} contributes to every parameter’s gradient of "
            f"{study.loss_name}, on a "
            "logarithmic scale. Grey: exactly zero.",
        ),
        table,
    )


def _numbers(study: Study) -> str:
    task, after = study.task, study.after
    states = list(after.norms)
    name = _text(study.loss_name)
    head = ["node" if study.is_tree else "token", "label" if study.is_tree else "next", "predicted"]
    numeric = ["p", "loss", *(f"‖∂{name}/∂{s}‖" for s in states), "‖∂Σ<i>L</i>/∂h‖"]
    numeric += [] if study.is_tree else ["part of last"]
    source = after.norms["h"][task.chosen]
    rows = []
    for k, token in enumerate(task.names[:MOST_ROWS]):
        target = task.classes[task.targets[k]] if task.targets[k] >= 0 else "–"
        guess = task.classes[after.predicted[k]]
        right = ' class="right"' if task.targets[k] == after.predicted[k] else ""
        part = after.norms["h"][k] / source if source > 0 else np.nan
        faint = ' class="faint"' if part < FAINT else ""
        cells = [f"{after.confidence[k]:.2f}", _loss(after.losses[k])]
        cells += [norm_text(float(after.norms[s][k])) for s in states]
        cells += [norm_text(float(after.total["h"][k]))]
        cells += [] if study.is_tree else [norm_text(float(part))]
        rows.append(
            f"<tr{faint}><td class=n>{k + 1}</td><td>{_word(token)}</td><td>{_word(target)}</td>"
            f"<td{right}>{_word(guess)}</td>"
            + "".join(f"<td class=n>{c}</td>" for c in cells)
            + "</tr>"
        )
    more = len(task.names) - MOST_ROWS
    rest = f"<p>{more:,} more rows are left out.</p>" if more > 0 else ""
    heading = (
        "<th class=n>#"
        + "".join(f"<th>{h}" for h in head)
        + "".join(f"<th class=n>{h}" for h in numeric)
    )
    body = f"<thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return (
        f"<div class=scroll><table>{body}</table></div>{rest}<p class=note>p: the probability of "
        "the prediction. Loss: cross-entropy in nats. Gradients are total derivatives, through "
        "everything that comes later. Grey rows: the gradient vanished (below a thousandth of what "
        "it was where the loss is). Green: predicted right.</p>"
    )


def _loss(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _word(token: str) -> str:
    return escape(clean(shorten(visible(token), 48))) or "&nbsp;"


def _made(study: Study) -> str:
    notes = [*study.task.notes, *([study.training.note] if study.training.note else [])]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    from ..cli import version

    return (
        f"<p>Command: <code>{escape(clean(study.command, 2000))}</code></p>"
        f"<p>Seed {study.seed}: the same command gives the same numbers. minigrad "
        f"{escape(version())}, NumPy "
        f"{escape(np.__version__)}, Python {platform.python_version()}.</p>"
        + (f"<ul>{listed}</ul>" if listed else "")
    )
