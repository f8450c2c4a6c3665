"""The report's charts, by matplotlib, as SVG text.

The gradient per step, the contributions of every step, the loss curve.
Drawn without pyplot and without a display.
Labels are set literally: a `$` in a text starts no mathematics.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..scene.style import FRAME, GRADIENT, INK, MUTED, SLATE, VANISHED
from ..scene.text import clean, shorten

# A first run's font cache is no news to our user.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
MOST_LABELS = 60  # ticks with a text of their own
_RC: Any = {
    "svg.fonttype": "none",  # real text: small, searchable, in the fonts of whoever looks at it
    "svg.hashsalt": "minigrad",
    "font.size": 10.5,
    "axes.edgecolor": FRAME,
    "axes.labelcolor": SLATE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eef1f5",
    "xtick.color": SLATE,
    "ytick.color": SLATE,
    "text.color": INK,
    "legend.frameon": False,
}


class Line:
    """One curve: its values by step, its name, how it looks."""

    def __init__(
        self, values: np.ndarray, name: str, color: str = SLATE, style: str = "-", marker: str = ""
    ) -> None:
        self.values, self.name, self.color, self.style, self.marker = (
            values,
            name,
            color,
            style,
            marker,
        )


def gradient_chart(
    lines: Sequence[Line], names: Sequence[str], floor: float | None, ylabel: str
) -> str:
    """Norms by step on a log scale; zeros are left out.

    floor: where a gradient counts as vanished.
    """

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        at = np.arange(1, len(names) + 1)
        for line in lines:
            values = np.where(line.values > 0, line.values, np.nan)
            axes.plot(
                at, values, line.style, color=line.color, marker=line.marker, label=line.name,
                lw=1.8, ms=5, mec="white", mew=0.6,
            )  # fmt: skip
        _log(axes, [line.values for line in lines])
        if floor:
            low, high = axes.get_ylim()
            if low < floor:
                axes.axhspan(low, floor, color="#f3f4f6", zorder=0, lw=0)
                axes.axhline(floor, color=VANISHED, lw=0.9, ls=(0, (4, 3)))
                axes.text(
                    0.995, floor, "vanished: below 1/1000 ", transform=axes.get_yaxis_transform(),
                    va="top", ha="right", color=MUTED, fontsize=9,
                )  # fmt: skip
            axes.set_ylim(low, high)
        axes.set_ylabel(ylabel)
        _words(axes, names)
        _legend(axes)

    return _svg(draw, _wide(len(names)), 3.6)


def depth_chart(
    values: np.ndarray, depth: np.ndarray, leaves: np.ndarray, floor: float | None, ylabel: str
) -> str:
    """Norms of tree nodes by distance from the root, and their geometric mean at every distance."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        seen = values > 0
        for mask, name, color, face in (
            (~leaves, "inner nodes", GRADIENT, GRADIENT),
            (leaves, "words", GRADIENT, "white"),
        ):
            axes.plot(
                depth[mask & seen],
                values[mask & seen],
                "o",
                color=color,
                mfc=face,
                ms=6,
                label=name,
                zorder=3,
            )
        levels = [d for d in range(int(depth.max()) + 1) if (seen & (depth == d)).any()]
        means = [np.exp(np.log(values[seen & (depth == d)]).mean()) for d in levels]
        axes.plot(levels, means, "-", color=SLATE, lw=1.6, label="geometric mean")
        _log(axes, [values])
        if floor and axes.get_ylim()[0] < floor:
            axes.axhline(floor, color=VANISHED, lw=0.9, ls=(0, (4, 3)))
        axes.set_xlabel("distance from the root")
        axes.set_ylabel(ylabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _legend(axes)

    return _svg(draw, 8.6, 3.6)


def ledger_chart(ledger: dict[str, np.ndarray], names: Sequence[str], steps: Sequence[int]) -> str:
    """A heat map: how much each step contributed to each parameter's gradient (norm, log scale)."""

    def draw(figure: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        table = np.stack([rows for rows in ledger.values()])
        positive = table[np.isfinite(table) & (table > 0)]
        high = float(positive.max()) if positive.size else 1.0
        low = max(float(positive.min()) if positive.size else 0.1, high * 1e-8)
        colors = LinearSegmentedColormap.from_list(
            "flow", ["#fdf6f0", "#f2b583", GRADIENT, "#7a3200"]
        )
        colors.set_bad("#e5e7eb")
        axes = figure.add_subplot()
        shown = np.ma.masked_invalid(np.where(table > 0, np.maximum(table, low), np.nan))
        mesh = axes.pcolormesh(
            np.arange(len(names) + 1) + 0.5, np.arange(len(ledger) + 1) - 0.5, shown, cmap=colors,
            norm=LogNorm(low * 0.999, high), edgecolors="white", linewidth=0.8,
        )  # fmt: skip
        axes.set_yticks(range(len(ledger)), list(ledger), parse_math=False)
        axes.invert_yaxis()
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _words(axes, names, steps)
        bar = figure.colorbar(mesh, ax=axes, pad=0.015, aspect=max(8, 2.2 * len(ledger)))
        bar.outline.set_visible(False)
        bar.set_label("norm of the contribution", color=SLATE)

    return _svg(draw, _wide(len(names)) + 0.6, 1.15 + 0.26 * len(ledger))


def loss_chart(losses: Sequence[float], measure: str = "nats") -> str:
    """The training loss by step, with a running mean where it is noisy."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        at = np.arange(1, len(losses) + 1)
        rises = np.diff(losses) > 0
        long = len(losses) > 60 and rises.mean() > 0.2  # many and noisy: sampled batches
        axes.plot(
            at,
            losses,
            color="#b8c1cd" if long else SLATE,
            lw=1.0 if long else 1.8,
            label="each step",
        )
        if long:
            width = max(5, len(losses) // 40)
            mean = np.convolve(losses, np.ones(width) / width, "valid")
            axes.plot(at[width - 1 :], mean, color=SLATE, lw=1.8, label=f"mean of {width} steps")
            _legend(axes)
        axes.set_xlabel("training step")
        axes.set_ylabel(f"loss ({measure})")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)

    return _svg(draw, 8.6, 2.9)


class Panel:
    """One column of a series: what was observed, what was predicted one row ahead, what comes.

    begin: the row (from 0) at which what is shown begins.  held: at which training ended, or None.
    """

    def __init__(
        self, name: str, begin: int, actual: np.ndarray, predicted: np.ndarray,
        ahead: np.ndarray, held: int | None,
    ) -> None:  # fmt: skip
        self.name, self.begin, self.actual, self.predicted = name, begin, actual, predicted
        self.ahead, self.held = ahead, held


def series_chart(panels: Sequence[Panel], labels: Sequence[str]) -> str:
    """Columns under each other, in their units; labels: of the rows from the first shown on."""

    def draw(figure: Any) -> None:
        every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, p in zip(every, panels, strict=True):
            at = p.begin + 1 + np.arange(len(p.actual))
            few = "." if len(at) <= 80 else ""
            axes.plot(at, p.actual, color=SLATE, lw=1.4, marker=few, ms=4, label="observed")
            axes.plot(
                at, p.predicted, color=GRADIENT, lw=1.4, marker=few, ms=4,
                label="predicted, one row ahead",
            )  # fmt: skip
            if len(p.ahead):
                last = [p.actual[-1], *p.ahead]
                axes.plot(
                    at[-1] + np.arange(len(last)), last, color=GRADIENT, lw=1.6, ls=(0, (4, 2)),
                    label="continued from its own predictions",
                )  # fmt: skip
            if p.held is not None:
                right = at[-1] + len(p.ahead)
                axes.axvspan(p.held + 0.5, at[-1] + 0.5, color="#f3f4f6", zorder=0, lw=0,
                             label="held out")  # fmt: skip
                axes.set_xlim(at[0] - 0.5, right + 0.5)
            axes.set_ylabel(clean(shorten(p.name, 22)), parse_math=False)
        first, end = panels[0].begin, panels[0].begin + len(labels)
        ticks = [int(t) for t in every[-1].get_xticks() if first < t <= end and t % 1 == 0]
        names = [clean(shorten(labels[t - 1 - first], 16)) for t in ticks]
        texts = [f"{t}" if n == f"row {t}" else f"{n}\n{t}"
                 for n, t in zip(names, ticks, strict=True)]  # fmt: skip
        every[-1].set_xticks(ticks, texts, parse_math=False)
        every[-1].set_xlabel("row")
        _legend(every[0])

    return _svg(draw, 10.5, 1.1 + (2.4 if len(panels) == 1 else 1.5 * len(panels)))


def _wide(count: int) -> float:
    return min(max(8.6, 0.26 * count + 2), 15.0)


def _log(axes: Any, series: Sequence[np.ndarray]) -> None:
    values = np.concatenate(series)
    if (np.isfinite(values) & (values > 0)).any():
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 10 * low:  # less than a decade would leave the axis without a single label
            middle = np.sqrt(low * high)
            axes.set_ylim(middle / 4, middle * 4)


def _words(axes: Any, names: Sequence[str], steps: Sequence[int] | None = None) -> None:
    """Steps below the axis, each with its token."""
    stride = -(-len(names) // MOST_LABELS)
    numbers = list(steps) if steps is not None else list(range(1, len(names) + 1))
    ticks = list(range(0, len(names), stride))
    words = [clean(shorten(names[k], 16)) for k in ticks]
    short = len(names) <= 12 and max(map(len, words), default=0) <= 10
    texts = [
        word if word == f"row {numbers[k]}"
        else f"{word}\n{numbers[k]}" if short else f"{word}  {numbers[k]}"
        for word, k in zip(words, ticks, strict=True)
    ]  # fmt: skip
    axes.set_xticks([k + 1 for k in ticks], texts, parse_math=False, rotation=0 if short else 90)
    axes.set_xlim(0.5, len(names) + 0.5)


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2, handlelength=2.2
    )


def _svg(draw: Any, width: float, height: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph its font lacks: the viewer's font has it
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        out = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=empty, transparent=True)
    return out.getvalue()
