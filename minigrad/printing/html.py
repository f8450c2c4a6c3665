"""HTML for notebooks: a listing as a table, a Tensor as a card with a digest of its value.

Inline styles only; legible in grey, text at a contrast of at least 4.5:1.  Nothing is evaluated.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ..graph import Tensor, where_recorded

MOST = 1000  # lines that are shown
INK, QUIET, PAPER = "#1a1a1a", "#595959", "#ffffff"  # 17:1 and 7:1
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
COLUMNS, ROWS = 48, 12  # cells of a heat strip, at most


def listing(lines: Sequence[Any]) -> str:
    """Lines (text, kind, place) as a table."""
    cell = f"padding:0 1.5em 0 0;text-align:left;border:0;color:{INK};white-space:pre"
    rows = []
    for line in lines[:MOST]:
        if line.kind or line.place:
            rows.append(
                f'<tr style="background:{PAPER}"><td style="{cell}">{escape(line.text)}</td>'
                f'<td style="{cell}">{escape(line.kind)}</td>'
                f'<td style="{cell};color:{QUIET}">{escape(line.place)}</td></tr>'
            )
        else:
            weight = ";font-weight:bold" if line.text.startswith(("block ", "returns ")) else ""
            text = escape(line.text) or "&nbsp;"
            rows.append(
                f'<tr style="background:{PAPER}"><td colspan="3" style="{cell}{weight}">'
                f"{text}</td></tr>"
            )
    left = len(lines) - MOST
    more = f'<p style="color:{QUIET}">{left} more lines; print() shows them all</p>'
    return (
        f'<div style="background:{PAPER};overflow-x:auto;padding:.5em">'
        f'<table style="font:13px/1.5 {MONO};border-collapse:collapse;margin:0">'
        f"{''.join(rows)}</table>{more if left > 0 else ''}</div>"
    )


def tensor(t: Tensor) -> str:
    """Name, op, shape and dtype; and of a value that is known its mean, range and a heat strip."""
    shape = " × ".join(map(str, t.shape)) or "a number"
    title = f"<b>{escape(t.name)}</b> · " if t.name else ""
    at = where_recorded(t)
    lines = [f"{title}{escape(t.op.name)} · {shape} · {t.dtype}"]
    strip = ""
    if t._value is not None and t.op.kind != "recur":
        lines.append(escape(digest(t._value, shades=t.ndim > 0)))
        strip = heat(t._value)
    else:
        lines.append("not computed yet")
    if at:
        where, _, text = at.partition(": ")
        lines.append(escape(f"{os.path.basename(where)}: {text:.60}"))
    first, *rest = lines
    body = "".join(f'<div style="color:{QUIET}">{line}</div>' for line in rest)
    return (
        f'<div style="display:inline-block;background:{PAPER};color:{INK};'
        f'border:1px solid #8c8c8c;border-radius:3px;padding:.5em .8em;font:13px/1.5 {MONO}">'
        f"<div>{first}</div>{body}{strip}</div>"
    )


def digest(value: np.ndarray, shades: bool = False) -> str:
    """Mean and range of the finite numbers, how many there are of the others.

    shades : say which end of the range is drawn light, and which dark.
    """
    x = np.asarray(value)
    if not x.size:
        return "no elements"
    if x.ndim == 0:
        return f"value {x.item()!r}" if x.dtype.kind != "f" else f"value {x.item():.6g}"
    if x.dtype == bool:
        return f"{int(x.sum())} of {x.size} true"
    finite = x[np.isfinite(x)].astype(float)
    said = []
    if finite.size:
        with np.errstate(all="ignore"):
            low, high = (" (light)", " (dark)") if shades else ("", "")
            said = [
                f"mean {finite.mean():.4g}, "
                f"from {finite.min():.4g}{low} to {finite.max():.4g}{high}"
            ]
    nans, infs = int(np.isnan(x).sum()), int(np.isinf(x).sum())
    said += [f"{count} {word}" for count, word in ((nans, "NaN"), (infs, "inf")) if count]
    return ", ".join(said)


def heat(value: np.ndarray) -> str:
    """A small picture of the numbers, dark where large; NaN is crossed out, inf has a dot."""
    x = np.asarray(value, dtype=float)
    if x.ndim == 0 or not x.size:
        return ""
    grid = _cells(x.reshape(-1, x.shape[-1]))
    finite = grid[np.isfinite(grid)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    rows, columns = grid.shape
    size, marks = max(10, min(24, 240 // columns)), []
    for i in range(rows):
        for j in range(columns):
            v, at = grid[i, j], f'x="{j * size}" y="{i * size}"'
            if np.isfinite(v):
                share = 0.5 if high == low else float((v / 2 - low / 2) / (high / 2 - low / 2))
                marks.append(f'<rect {at} width="{size}" height="{size}" fill="{_grey(share)}"/>')
                continue
            a, b = j * size, i * size
            marks.append(
                f'<rect x="{a + 0.5}" y="{b + 0.5}" width="{size - 1}" height="{size - 1}" '
                f'fill="{PAPER}" stroke="{QUIET}"/>'
            )
            if np.isnan(v):
                s = size - 2
                marks.append(
                    f'<path d="M{a + 1} {b + 1}l{s} {s}m0 -{s}l-{s} {s}" stroke="{INK}"/>'
                )
            else:
                c = size / 2
                marks.append(f'<circle cx="{a + c}" cy="{b + c}" r="{size / 4}" fill="{INK}"/>')
    w, h = columns * size, rows * size
    return (
        f'<svg width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        f'style="display:block;margin-top:.4em;border:1px solid #8c8c8c">'
        f"<title>{escape(digest(value))}</title>{''.join(marks)}</svg>"
    )


def _cells(x: np.ndarray) -> np.ndarray:
    """At most ROWS by COLUMNS, each the mean of what it stands for; NaN and inf are not hidden."""
    rows = np.linspace(0, len(x), min(len(x), ROWS) + 1).astype(int)
    columns = np.linspace(0, x.shape[1], min(x.shape[1], COLUMNS) + 1).astype(int)
    with np.errstate(all="ignore"):
        return np.array([
            [x[a:b, c:d].mean() for c, d in zip(columns, columns[1:], strict=False)]
            for a, b in zip(rows, rows[1:], strict=False)
        ])  # fmt: skip


def _grey(share: float) -> str:
    """From light to dark; the colours keep their order in grey."""
    light, dark = (0xF2, 0xF5, 0xF8), (0x0B, 0x2E, 0x4F)
    mixed = (round(a + (b - a) * share) for a, b in zip(light, dark, strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed)


setattr(Tensor, "_repr_html_", tensor)  # noqa: B010  # as `manners.reading` gives its methods
