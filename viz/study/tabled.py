"""The parts of a table's report that are not those of a text's: numbers, results, how to use it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ..scene.scene import norm_text
from ..scene.text import clean, shorten
from .charts import Panel
from .findings import Study
from .forecast import AHEAD
from .model import FAINT
from .results import MODEL, Score

MOST_ROWS = 400  # of the table
MOST_SHOWN = 3  # columns whose values stand in the table
MOST_PANELS = 6  # columns drawn
MOST_CLASSES = 12  # of a table of confusions


def amount(study: Study) -> str:
    table = study.corpus.table
    task: Any = study.task
    columns = f"{len(task.columns)} column{'s' if len(task.columns) != 1 else ''}"
    several = f" in {len(table.spans):,} series" if len(table.spans) > 1 else ""
    return f"{len(table.values):,} rows{several}, {columns} read"


def model(study: Study) -> str:
    """What the model is, in two sentences; as text."""
    task: Any = study.task
    count, hidden = task.inputs.shape[1], task.cell.hidden_size
    flags = f", {len(task.gaps)} of them flags of what was observed" if task.gaps else ""
    what = f"{count} number{'s' if count != 1 else ''} per row{flags}"
    if task.classes:
        return (
            f"{what}, {task.title} with {hidden} hidden units, and a softmax over "
            f"{len(task.classes)} classes. The model names the class of every row "
            f"({task.predicts[0]}) from its other columns and the rows before."
        )
    told = "every column" if len(task.predicts) == len(task.columns) else task.predicts[0]
    if not task.shift:
        return (
            f"{what}, {task.title} with {hidden} hidden units, and a linear layer. The model tells "
            f"{told} of every row from the rows before and behind it."
        )
    return (
        f"{what}, {task.title} with {hidden} hidden units, and a linear layer whose output is "
        f"added to the row that was read. The model predicts, after every row, {told} of the next."
    )


def numbers(study: Study) -> str:
    """The table of the rows that are looked into."""
    task, after = study.task, study.after
    task_: Any = task
    main, name = task.main, f"L<sub>{task.chosen + 1}</sub>"
    shown = task_.predicts[:MOST_SHOWN]
    later = "next " if task_.shift else ""
    if task.classes:
        heads = [escape(_short(shown[0])), "predicted", "p"]
    else:
        heads = [x for c in shown for x in (f"{later}{escape(_short(c))}", "predicted")]
    heads += ["loss", *(f"‖∂{name}/∂{s}‖" for s in after.norms), f"‖∂Σ<i>L</i>/∂{main}‖",
              "part of last"]  # fmt: skip
    source, rows = after.norms[main][task.chosen], []
    for k, label in enumerate(task.names[:MOST_ROWS]):
        part = after.norms[main][k] / source if source > 0 else np.nan
        if task.classes:
            known, guess = task.targets[k], after.predicted[k]
            right = " ✓" if known == guess else ""
            told = _short(task.classes[known]) if known >= 0 else "–"
            cells = [escape(told), f"{escape(_short(task.classes[guess]))}{right}",
                     f"{after.confidence[k]:.2f}"]  # fmt: skip
        else:
            true, out = task_.units(task.targets[k]), task_.units(after.predicted[k])
            cells = [c for j in range(len(shown)) for c in (quantity(true[j]), quantity(out[j]))]
        loss = after.losses[k]
        cells += ["–" if np.isnan(loss) else norm_text(float(loss))]
        cells += [norm_text(float(after.norms[s][k])) for s in after.norms]
        cells += [norm_text(float(after.total[main][k])), norm_text(float(part))]
        faint = ' class="faint"' if part < FAINT else ""
        rows.append(
            f"<tr{faint}><th scope=row class=n>{k + 1}</th><td>{escape(clean(_short(label)))}</td>"
            + "".join(f"<td class=n>{c}</td>" for c in cells)
            + "</tr>"
        )
    left = len(task_.predicts) - len(shown)
    more = f" Of {len(task_.predicts)} columns the first {len(shown)} are shown." if left else ""
    heading = "<th scope=col class=n>#<th scope=col>row" + "".join(
        f"<th scope=col class=n>{h}" for h in heads
    )
    loss_said = (
        "Loss: cross-entropy in nats." if task.classes
        else "Values are in the units of the table; the loss is the mean square error over the "
        "columns, in deviations."
    )  # fmt: skip
    return (
        f"<div class=scroll><table><thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody>"
        f"</table></div><p class=note>{loss_said}{more} Gradients are total derivatives, through "
        "everything that comes later. Slanted rows: the gradient vanished (below a thousandth of "
        "what it was where the loss is). –: missing.</p>"
    )


def compared(study: Study) -> str:
    """The models and the baselines side by side, on the same rows."""
    task: Any = study.task
    found = study.models[0].results
    held = found.held is not None
    rows: list[tuple[str, str, Score]] = []
    for m in study.models:
        rows.append((m.task.title, "model", m.results.held if held else m.results.own))  # type: ignore[arg-type]
    rows += [(name, "baseline", s) for name, s in found.forecast.baselines.items()]
    columns = task.predicts[:6]
    if task.classes:
        heads = ["right", "loss (nats)"]
        cells = [[f"{s.accuracy:.0%}", "–" if np.isnan(s.loss) else f"{s.loss:.3f}"]
                 for _, _, s in rows]  # fmt: skip
        best = max(s.accuracy for _, _, s in rows)
        top = [s.accuracy == best for _, _, s in rows]
    else:
        heads = ["loss", *(f"error of {escape(_short(c))}" for c in columns)]
        cells = [[f"{s.loss:.3g}", *(quantity(e) for e in s.errors[:6])] for _, _, s in rows]
        best = min(s.loss for _, _, s in rows)
        top = [s.loss == best for _, _, s in rows]
    body = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{kind}</td>"
        + "".join(_cell(c, first and k == 0) for k, c in enumerate(row))
        + "</tr>"
        for (name, kind, _), row, first in zip(rows, cells, top, strict=True)
    )
    which = (
        f"{found.held.count:,} rows that training has not seen" if held and found.held
        else f"the {found.own.count:,} rows looked into, which were trained on (none were held out)"
    )  # fmt: skip
    what = (
        ""
        if task.classes
        else (
            ". Loss: mean square, in deviations; error: root of the mean square, in the column’s "
            "units"
        )
    )
    heading = "".join(f"<th scope=col class=n>{h}" for h in heads)
    return (
        f"<div class=scroll><table><caption>On {which}{what}. Green: the best</caption>"
        f"<thead><tr><th scope=col>what<th scope=col>kind{heading}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def panels(study: Study) -> tuple[list[Panel], list[str]]:
    """The end of the first series: columns for `charts.series_chart`, and its rows' labels."""
    task: Any = study.task
    found = study.models[0].results.forecast
    a, b = task.table.spans[0]
    held = int(task.held[a:b].sum())
    begin = max(a, b - max(3 * held, 2 * AHEAD, 40))
    actual = task.units(task.values)
    predicted = found.predicted
    return [
        Panel(
            name, begin - a, actual[begin:b, k], predicted[begin:b, k],
            np.array([]) if found.ahead is None else found.ahead[:, k],
            b - a - held if held else None,
        )
        for k, name in enumerate(task.predicts[:MOST_PANELS])
    ], task.table.labels[begin:b]  # fmt: skip


def series_said(study: Study) -> str:
    if not study.is_table or study.task.classes:
        return ""
    task: Any = study.task
    found = study.models[0].results.forecast
    several = len(task.table.spans)
    first = (
        f"The end of the first of {several:,} series" if several > 1 else "The end of the series"
    )
    left = len(task.predicts) - MOST_PANELS
    some = f" (the first {MOST_PANELS} of {len(task.predicts)} columns)" if left > 0 else ""
    on = (
        "and how it goes on when each prediction is read as the next row"
        if found.ahead is not None else f"not continued beyond its end, since {found.why}"
    )  # fmt: skip
    grey = " Grey ground: rows that training has not seen." if task.held.any() else ""
    where = (
        "in the rows held out, each from the true rows before it"
        if task.held.any()
        else ("in the rows looked into, each from the true rows before it")
    )
    return (
        f"{first}{some} in its units: what was observed, what the model says {where}, {on}.{grey}"
    )


def confusion(study: Study) -> str:
    table = study.models[0].results.forecast.confusion
    if table is None or len(table) > MOST_CLASSES:
        return ""
    names = [escape(_short(c)) for c in study.task.classes]
    body = "".join(
        f"<tr><th scope=row>{name}</th>"
        + "".join(_cell(f"{n:,}", k == j) for j, n in enumerate(row))
        + "</tr>"
        for k, (name, row) in enumerate(zip(names, table.tolist(), strict=True))
    )
    heads = "".join(f"<th scope=col class=n>{n}" for n in names)
    return (
        "<div class=scroll><table><caption>What is (rows) and what the model says (columns), on "
        f"the same rows</caption><thead><tr><th scope=col>{heads}</tr></thead><tbody>{body}</tbody>"
        "</table></div>"
    )


def again(study: Study) -> str:
    """How the saved model is used on other rows, as Python that runs."""
    task: Any = study.task
    if hasattr(task.cell, "run_over") or task.gaps:
        extra = (
            " Of every column in <code>flags</code> a further input says 1 where it was observed; "
            "a missing value is the last one seen."
            if task.gaps else ""
        )  # fmt: skip
        return (
            f"<p>The model is saved as <code>{MODEL}</code> beside this page; "
            f"<code>mg.load(&quot;{MODEL}&quot;)</code> reads its parameters, its columns and "
            f"their mean and deviation.{extra}</p>"
        )
    cell = study.models[0].name
    code = snippet(cell, bool(task.classes), task.outputs == list(range(len(task.columns))))
    return (
        f"<p>The model is saved as <code>{MODEL}</code> beside this page. What follows predicts "
        "from <code>rows</code>, an array of as many rows as you like with the columns "
        f"{escape(', '.join(clean(_short(c)) for c in task.columns[:12]))}"
        f"{' …' if len(task.columns) > 12 else ''}, in their units:</p>"
        f"<pre>{escape(code)}</pre>"
    )


def snippet(cell: str, classes: bool, every: bool) -> str:
    """Python that uses a saved model of rows: `rows` -> `predicted`."""
    lines = [
        "import minigrad as mg, recurrent as rc",
        "from viz.study.nets import SEQUENCES",
        "",
        f'm = mg.load("{MODEL}")',
        'net, params = SEQUENCES[m["cell"]](m["input_size"], m["hidden_size"]), m["params"]',
        'z = (rows - m["mean"]) / m["deviation"]',
        '_, ys = rc.unroll(net, params["cell"], z)',
        'out = ys @ params["W_y"] + params["b_y"]',
    ]
    if classes:
        return "\n".join(
            [*lines, 'predicted = [m["classes"][k] for k in mg.argmax(out, axis=-1).numpy()]']
        )
    where = "" if every else '[:, [m["columns"].index(n) for n in m["predicts"]]]'
    scale = "" if every else '[[m["columns"].index(n) for n in m["predicts"]]]'
    return "\n".join([
        *lines,
        f"step = z{where} + out.numpy()  # the row that follows each",
        f'predicted = step * m["deviation"]{scale} + m["mean"]{scale}',
    ])  # fmt: skip


def quantity(value: float) -> str:
    """A number in the units of a table, short."""
    if not np.isfinite(value):
        return "–"
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1e4 else f"{value:.4g}"


def _cell(text: str, good: bool) -> str:
    return f'<td class="n right">{text}</td>' if good else f"<td class=n>{text}</td>"


def _short(text: str) -> str:
    return shorten(text, 28)
