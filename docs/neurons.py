"""Pictures of textbooks that draw every neuron and weight: used by docs/figures.md, by matplotlib.

Each takes arrays (weights, sensitivities, who reads whom) and returns axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurrent.study.pictures import LINE, MARK, SHADES, SOFT, axes

INK = "#1e2430"


def _blank(size: tuple[float, float]) -> Any:
    ax = axes(None, "there is no picture without it", size)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.margins(0.12)
    return ax


def _layer(x: float, y: float, count: int, apart: float = 0.55) -> np.ndarray:
    """(count, 2): places side by side, the middle at (x, y)."""
    return np.stack([x + apart * (np.arange(count) - (count - 1) / 2), np.full(count, y)], axis=1)


def _weights(ax: Any, below: np.ndarray, above: np.ndarray, w: np.ndarray, top: float) -> None:
    """A line for every weight (inputs, outputs): thick where large, blue above 0, orange below."""
    for i, a in enumerate(below):
        for j, b in enumerate(above):
            width = 0.3 + 2.2 * abs(float(w[i, j])) / top
            color = LINE if w[i, j] > 0 else MARK
            ax.plot(*zip(a, b, strict=True), color=color, lw=width, alpha=0.75, zorder=1)


def _units(ax: Any, places: np.ndarray, fill: Any = "white", name: str = "") -> None:
    ax.scatter(*places.T, s=190, c=fill, edgecolors=INK, linewidths=1.1, zorder=3)
    if name:
        ax.text(places[-1, 0] + 0.3, places[-1, 1], name, va="center", fontsize=10, color=INK)


def network(params: dict[str, np.ndarray], steps: int = 1, recurrent: bool = True) -> Any:
    """An Elman net with a readout, every neuron and weight: W, U and V of `params`.

    steps     : of which one net is drawn each; the same weights, whichever step.
    recurrent : without it there is no U: the net of one step that is called once.
    """
    w, u, v = (np.asarray(params[k]) for k in "WUV")
    top = max(np.abs(a).max() for a in (w, u, v))
    wide, slant = 0.5 * max(len(w), len(u), v.shape[1]) + 1.6, 0.55 if recurrent else 0.0
    ax = _blank((max(2.8, 1.05 * wide * steps), 4.2 if recurrent else 3.4))
    states = []
    for t in range(steps):
        rows = [
            _layer(t * wide, y, n, 0.5) for y, n in ((0, len(w)), (1.7, len(u)), (3.4, v.shape[1]))
        ]
        for places in rows:  # a layer leans, so that the lines to the next step are seen
            places[:, 1] += slant * (places[:, 0] - t * wide)
        _weights(ax, rows[0], rows[1], w, top)
        _weights(ax, rows[1], rows[2], v, top)
        if recurrent and t:
            _weights(ax, states[-1], rows[1], u, top)
        states.append(rows[1])
        mark = f"$_{{{t + 1}}}$" if steps > 1 else ""
        for places, name in zip(rows, "xhy", strict=True):
            _units(ax, places, name=name + mark)
    return ax


def shaded(sensitivity: np.ndarray) -> Any:
    """Sensitivity over time (Graves 2012, figure 4.1): each step's input, hidden layer and output
    as a circle, as dark as it depends on the input of the first step.  sensitivity: (T,)."""
    from matplotlib import colormaps

    share = np.asarray(sensitivity) / np.max(sensitivity)
    first = np.where(np.arange(len(share)) == 0, 1.0, 0.0)
    ax = _blank((0.72 * len(share) + 0.6, 2.6))
    places = [_layer(0.9 * (len(share) - 1) / 2, y, len(share), 0.9) for y in (0, 0.9, 1.8)]
    for row, name in zip(places, ("input", "hidden", "output"), strict=True):
        colors = colormaps[SHADES](0.85 * (first if name == "input" else share))
        _units(ax, row, colors, name)
    for t in range(len(share)):
        for low, high in ((0, 1), (1, 2)):
            _arrow(ax, places[low][t], places[high][t])
        if t:
            _arrow(ax, places[1][t - 1], places[1][t])
    return ax


def windows(reads: np.ndarray) -> Any:
    """Who reads whom, on a time axis: reads (T, T) booleans, outputs by inputs.

    Below the inputs, above the outputs; a window spans what an output in the middle reads.
    """
    time = len(reads)
    ax = _blank((0.62 * time + 1.2, 2.3))
    below, above = (_layer((time - 1) * 0.4, y, time, 0.8) for y in (0, 1.3))
    middle = time // 2
    for t, k in zip(*np.nonzero(reads), strict=True):
        own = t == middle
        _arrow(ax, below[k], above[t], MARK if own else SOFT, 1.6 if own else 0.7)
    seen = below[np.flatnonzero(reads[middle]), 0]
    ax.plot([seen[0] - 0.32, seen[-1] + 0.32], [-0.42] * 2, color=MARK, lw=3)
    _units(ax, below, name="x")
    _units(ax, above, name="y")
    ax.annotate("time", (below[-1, 0] + 0.4, -0.8), (below[0, 0] - 0.3, -0.8), fontsize=10,
                va="center", ha="right", arrowprops={"arrowstyle": "->", "color": INK})  # fmt: skip
    ax.set_ylim(-1.05, 1.6)
    ax.set_xlim(below[0, 0] - 1.2, below[-1, 0] + 0.9)
    return ax


def _arrow(ax: Any, start: Sequence[float], end: Sequence[float], color: str = INK,
           width: float = 0.9) -> None:  # fmt: skip
    ax.annotate("", end, start, zorder=1, arrowprops={
        "arrowstyle": "-|>", "color": color, "lw": width, "shrinkA": 7, "shrinkB": 7,
    })  # fmt: skip
