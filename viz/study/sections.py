"""The sections of the report as HTML: figures, facts, tables."""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import Any

import numpy as np
import optree

from ..page.embed import embed
from ..scene.scene import norm_text
from ..scene.text import clean, shorten
from . import tabled
from .corpus import visible
from .findings import Study, late
from .model import FAINT
from .results import MODEL, Results

MOST_ROWS = 400  # of the table


class Figures:
    """Numbers the figures in the order in which they appear; one that was not made is left out."""

    def __init__(self, pictures: dict[str, str]) -> None:
        self.pictures, self.count = pictures, 0

    def add(self, name: str, caption: str, number: bool = True, look: str = "") -> str:
        """A figure. look: the id of the data by which it is lit, if it is."""
        if name not in self.pictures:
            return ""
        self.count += number
        prefix = name.removesuffix(".svg")
        least = 1.0 if name in ("unfolded.svg", "untrained.svg", "tree.svg") else 0.8
        said = caption.split(":")[0].split(".")[0]
        drawing = embed(self.pictures[name], prefix, said, least)
        lit = f' data-look="{look}"' if look else ""
        told = f"<b>Figure {self.count}.</b> {escaped(caption)}" if number else escaped(caption)
        return (
            f'<figure id="{prefix}" class="still"{lit}><div class="scroll">{drawing}</div>'
            f"<figcaption>{told} "
            f'<a href="{name}">{name}</a></figcaption></figure>'
        )

    def still(self, name: str, caption: str, look: str = "") -> str:
        """A figure that the page closes where it draws a better one itself."""
        made = self.add(name, caption, number=False, look=look)
        return (
            '<details class="still" open><summary>The drawing that was made beforehand'
            f"</summary>{made}</details>" if made else ""
        )  # fmt: skip


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
        ("cell", f"{study.task.title}, {study.task.cell.hidden_size} hidden"),
        ("data", f"{study.corpus.source}: {_amount(study)}"),
        ("loss", _loss_fact(study)),
        ("seed", str(study.seed)),
    ]
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in rows)


def _amount(study: Study) -> str:
    if study.is_table:
        return tabled.amount(study)
    if study.is_tree:
        count = len(study.corpus.trees)
        kind = {"conllu": "dependency tree"}.get(study.corpus.form, "bracketed tree")
        return f"1 {kind}" if count == 1 else f"{count:,} {kind}s"
    if study.corpus.kind == "pairs":
        return f"{len(study.corpus.pairs):,} pairs"
    if study.corpus.kind == "answers":
        return f"{len(study.corpus.pairs):,} texts with an answer each"
    count = len(study.corpus.tokens)
    noun = "word" if study.corpus.kind == "word" else "character"
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _loss_fact(study: Study) -> str:
    losses = study.training.losses
    if not losses:
        return study.training.note or "untrained"
    return f"{losses[0]:.3g} → {late(losses)}{study.task.measure} in {len(losses):,} steps"


def model(study: Study) -> str:
    if study.is_table:
        size_said = f" It has {size(study.training.params):,} parameters."
        return escape(tabled.model(study) + size_said)
    outputs = len(study.task.classes)
    if study.corpus.kind == "pairs":
        net: Any = study.task.cell
        return escape(
            f"A GRU reads the source, another writes the target ({study.task.title}), with "
            f"{net.hidden_size} hidden units, embeddings of {net.input_size} numbers a token, "
            f"and a softmax over {outputs:,} classes: {size(study.training.params):,} "
            "parameters. The decoder reads the target so far and names its next token."
        )
    count = size(study.training.params)
    cell, kind = study.task.cell, study.task.title
    article = "an" if kind in ("LSTM", "RNN", "MGU", "irnn") else "a"
    task = (
        "names the label of every node from what lies below it"
        if study.is_tree
        else "names the answer after the last token"
        if study.corpus.kind == "answers"
        else "predicts, after every token, the next one"
        if getattr(study.task, "shift", 1)
        else "names every token from those before and behind it"
    )
    return escape(
        f"An embedding of {cell.input_size} numbers per token, {article} {kind} cell with "
        f"{cell.hidden_size} hidden units, and a softmax over {outputs:,} classes: "
        f"{count:,} parameters. The model {task}."
    )


def size(params: Any) -> int:
    """How many numbers."""
    leaves: list[Any] = optree.tree_leaves(params)
    return sum(int(np.size(p)) for p in leaves)


def equations(cell: Any) -> str:
    text = inspect.cleandoc(type(cell).__doc__ or "").replace("`", "")
    return escape(text.partition("\n\nRaises ")[0])  # what is raised is for callers


def continuation(study: Study) -> str:
    """How the model goes on, if it is one that can; a table's is a chart."""
    found = study.models[0].results if study.models else None
    if found is not None and found.examples:
        return examples(found, study.corpus.kind == "answers")
    if found is None or found.continuation is None:
        return ""
    told = escape(clean(found.prompt or "", 200))
    more = escape(clean(found.continuation, 800)) or "<i>(it ends here)</i>"
    return (
        "<p>Drawn from the model, token by token, after what stands in grey:</p>"
        f'<pre><span class="quiet">{told}</span> {more}</pre>'
    )


def examples(found: Results, answers: bool) -> str:
    """What a model of pairs makes of some sources, or says of some texts."""
    rows = "".join(
        f"<tr><td>{_word(a)}</td><td>{_word(b)}</td>"
        + (f'<td class="right">{_word(c)} ✓</td>' if b == c else f"<td>{_word(c)}</td>")
        + "</tr>"
        for a, b, c in found.examples
    )
    which = "that training has not seen" if found.held else "that were trained on"
    caption, first, second = (
        (f"Texts {which}, and what the model says of them", "text", "answer") if answers
        else (f"Sources {which}, and what the model makes of them: always the likeliest token next",
              "source", "target")
    )  # fmt: skip
    return (
        f"<div class=scroll><table><caption>{caption}</caption><thead><tr><th scope=col>{first}"
        f"<th scope=col>{second}<th scope=col>the model says</tr></thead><tbody>"
        f"{rows}</tbody></table></div>"
    )


def compared(study: Study) -> str:
    """The models side by side, if there are several; beside the baselines, of a table."""
    if study.is_table:
        return tabled.compared(study) + tabled.confusion(study) if study.models else ""
    if len(study.models) < 2:
        return ""
    rows = []
    for m in study.models:
        norms, chosen = m.after.norms[m.task.main], m.task.chosen
        share = norms[0] / norms[chosen] if norms[chosen] > 0 else np.nan
        held = m.results.held
        rows.append(
            f"<tr><th scope=row>{escape(m.task.title)}</th><td class=n>"
            f"{size(m.training.params):,}</td>"
            f"<td class=n>{_loss(m.results.own.loss)}</td>"
            f"<td class=n>{m.results.own.accuracy:.0%}</td>"
            f"<td class=n>{'–' if held is None else _loss(held.loss)}</td>"
            f"<td class=n>{norm_text(float(norms[0]))}</td>"
            f"<td class=n>{norm_text(float(share))}</td></tr>"
        )
    name, main = escaped(study.loss_name), study.task.main
    heads = [
        "parameters", "loss", "right", "held-out loss", f"‖∂{name}/∂{main}<sub>1</sub>‖",
        f"part of that at {study.unit} {study.task.chosen + 1}",
    ]  # fmt: skip
    cells = "".join(f"<th scope=col class=n>{h}</th>" for h in heads)
    return (
        "<div class=scroll><table><caption>The same data, seed and steps, several cells</caption>"
        f"<thead><tr><th scope=col>cell</th>{cells}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def saved() -> str:
    return (
        f"<p>The model is saved as <code>{MODEL}</code> beside this page; "
        f"<code>mg.load(&quot;{MODEL}&quot;)</code> reads its parameters and its classes.</p>"
    )


def book_of(study: Study) -> dict[str, np.ndarray]:
    """What every step adds to every parameter's gradient: the embedding, the cell, the head."""
    after, task = study.after, study.task
    count = len(task.names)
    book = {}
    if len(after.inputs) == count and not study.is_table:
        several = study.corpus.kind == "pairs"
        book["embeddings" if several else "embedding"] = after.inputs
    return book | after.ledger


def untrained(study: Study, figures: Figures, apart: bool) -> str:
    """The same before training.  apart: only where to find it."""
    if apart and "untrained.svg" in figures.pictures:
        link = '<a href="untrained.svg">untrained.svg</a>'
        return f'<p class="note">The same before training: {link}</p>'
    drawn = figures.add(
        "untrained.svg", "The same before training, with the parameters as they were initialised.",
        number=False,
    )  # fmt: skip
    return f"<details><summary>The same before training</summary>{drawn}</details>" if drawn else ""


def ledger(study: Study, figures: Figures) -> str:
    after, unit = study.after, study.unit
    if not any(len(rows) for rows in after.ledger.values()):
        return ""
    body = []
    for name, shares in after.shares.items():
        top = int(np.argmax(after.ledger[name]))
        value: Any = study.training.params["cell"]
        for step in name.split("."):
            value = value[int(step) if isinstance(value, list) else step]
        body.append(
            f"<tr><td><code>{escape(name)}</code></td>"
            f"<td class=n>{' × '.join(map(str, value.shape))}</td>"
            f"<td class=n>{norm_text(after.gradient[name])}</td>"
            f"<td>{unit} {top + 1} ({_word(study.task.names[top])})</td>"
            f"<td class=n>{100 * shares[top]:.0f}%</td></tr>"
        )
    table = (
        "<div class=scroll><table><thead><tr><th scope=col>parameter<th scope=col "
        "class=n>shape<th scope=col class=n>‖gradient‖<th scope=col>largest "
        "contribution<th scope=col class=n>its "
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
    if study.is_table:
        return tabled.numbers(study)
    task, after = study.task, study.after
    states, main = list(after.norms), task.main
    name = escaped(study.loss_name)
    named = "label" if study.is_tree else "answer" if study.corpus.kind == "answers" else "next"
    head = ["node" if study.is_tree else "token", named, "predicted"]
    numeric = ["p", "loss", *(f"‖∂{name}/∂{s}‖" for s in states), f"‖∂Σ<i>L</i>/∂{main}‖"]
    numeric += [] if study.is_tree else ["part of last"]
    source = after.norms[main][task.chosen]
    rows = []
    for k, token in enumerate(task.names[:MOST_ROWS]):
        target = task.classes[task.targets[k]] if task.targets[k] >= 0 else "–"
        guess = task.classes[after.predicted[k]]
        answers = study.is_tree or task.known[k]  # a source has none
        right = ' class="right"' if task.targets[k] == after.predicted[k] else ""
        part = after.norms[main][k] / source if source > 0 else np.nan
        faint = ' class="faint"' if part < FAINT else ""
        cells = [f"{after.confidence[k]:.2f}" if answers else "–", _loss(after.losses[k])]
        cells += [norm_text(float(after.norms[s][k])) for s in states]
        cells += [norm_text(float(after.total[main][k]))]
        cells += [] if study.is_tree else [norm_text(float(part))]
        rows.append(
            f"<tr{faint}><th scope=row class=n>{k + 1}</th><td>{_word(token)}</td>"
            f"<td>{_word(target)}</td>"
            f"<td{right}>{_word(guess) if answers else '–'}{' ✓' if right else ''}</td>"
            + "".join(f"<td class=n>{c}</td>" for c in cells)
            + "</tr>"
        )
    more = len(task.names) - MOST_ROWS
    rest = f"<p>{more:,} more rows are left out.</p>" if more > 0 else ""
    heading = (
        "<th scope=col class=n>#"
        + "".join(f"<th scope=col>{h}" for h in head)
        + "".join(f"<th scope=col class=n>{h}" for h in numeric)
    )
    body = f"<thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return (
        f"<div class=scroll><table>{body}</table></div>{rest}<p class=note>p: the probability of "
        "the prediction. Loss: cross-entropy in nats. Gradients are total derivatives, through "
        "everything that comes later. Slanted rows: the gradient vanished (below a thousandth of "
        "what it was where the loss is). ✓: predicted right.</p>"
    )


def _loss(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _word(token: str) -> str:
    return escape(clean(shorten(visible(token), 48))) or "&nbsp;"
