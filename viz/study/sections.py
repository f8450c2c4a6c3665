"""The sections of the report as HTML: figures, facts, tables."""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import Any

import numpy as np

from ..scene.scene import norm_text
from ..scene.text import clean, shorten
from .corpus import visible
from .embed import embed
from .findings import Study, late
from .model import FAINT

MOST_ROWS = 400  # of the table


class Figures:
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
            f"<figcaption><b>Figure {self.count}.</b> {escaped(caption)} "
            f'<a href="{name}">{name}</a></figcaption></figure>'
        )


def section(title: str, *parts: str) -> str:
    return (
        f"<section><h2>{escaped(title)}</h2>\n"
        + "\n".join(part for part in parts if part)
        + "\n</section>"
    )


def escaped(text: str) -> str:
    """Escaped, with subscripts set by the browser: few fonts have all of the Unicode ones."""
    return re.sub("[₀-₉]+", lambda m: f"<sub>{m[0].translate(_PLAIN)}</sub>", escape(text))


_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def facts(study: Study) -> str:
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
    return f"{losses[0]:.3g} → {late(losses)} in {len(losses):,} steps" if losses else "untrained"


def model(study: Study) -> str:
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


def equations(cell: Any) -> str:
    text = inspect.cleandoc(type(cell).__doc__ or "").replace("`", "")
    return escape(text.partition("\n\nRaises ")[0])  # what is raised is for callers


def untrained(study: Study, figures: Figures) -> str:
    drawn = figures.add(
        "untrained.svg", "The same before training, with the parameters as they were initialised."
    )
    return f"<details><summary>The same before training</summary>{drawn}</details>" if drawn else ""


def ledger(study: Study, figures: Figures) -> str:
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
    return section(
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


def numbers(study: Study) -> str:
    task, after = study.task, study.after
    states = list(after.norms)
    name = escaped(study.loss_name)
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
