"""How each kind of node and edge looks, in colours that colour-blind readers can tell apart.

Slate carries values forward, vermilion carries gradients back.
Fills are pale, so that text stays readable in print.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .scene import Edge, Legend, Node
from .text import clean, width

FONT = "Helvetica,Arial,Liberation Sans,sans-serif"
INK = "#1f2937"
MUTED = "#64748b"
SLATE = "#475569"
GRADIENT = "#d55e00"
VANISHED = "#9ca3af"
ALARM = "#c2185b"
SHARED = "#8a7fb8"
FRAME = "#cbd5e1"
LANE = "#f6f8fb"
THIN, THICK = 0.7, 5.0  # widths of the smallest and largest gradient shown, points
LINE = 1.2  # line height, times the font size


@dataclass(frozen=True)
class NodeStyle:
    """Graphviz shape, colours, font size; the smallest size (points); the padding around text."""

    shape: str = "box"
    style: str = "rounded,filled"
    fill: str = "#ffffff"
    line: str = SLATE
    ink: str = INK
    size: float = 11
    least: tuple[float, float] = (34, 24)
    pad: tuple[float, float] = (14, 10)
    pen: float = 1.0


NODES = {
    "cell": NodeStyle(fill="#dbe8f5", line="#3f6797", size=12, least=(62, 44), pen=1.2),
    "input": NodeStyle(fill="#e9f4e4", line="#5d8a4e", least=(36, 24)),
    "initial": NodeStyle(fill="#ffffff", line=MUTED, ink=SLATE, least=(30, 24), pad=(12, 8)),
    "shared": NodeStyle(fill="#eeeaf6", line="#6f63a3", least=(44, 30), pad=(16, 12)),
    "output": NodeStyle(fill="#fdf5dc", line="#a37f1c", least=(36, 24)),
    "loss": NodeStyle(
        fill="#fbe6d8", line="#b34f00", size=12, least=(44, 32), pad=(18, 12), pen=1.4
    ),
    "op": NodeStyle(fill="#f8fafc", line="#64748b", size=10, least=(30, 20), pad=(12, 8), pen=0.9),
    "constant": NodeStyle(
        style="filled",
        fill="#ffffff",
        line="#ffffff",
        ink=MUTED,
        size=9,
        least=(14, 14),
        pad=(6, 4),
    ),
    "delay": NodeStyle(
        style="filled", fill=SLATE, line=SLATE, ink="#ffffff", size=9, least=(16, 16), pad=(8, 6)
    ),
    "elided": NodeStyle(
        style="rounded,filled,dashed",
        fill="#ffffff",
        line=VANISHED,
        ink=MUTED,
        size=10,
        least=(46, 30),
    ),
    "tree": NodeStyle(fill="#ffffff", line="#3f6797", least=(30, 26), pad=(14, 10)),
}


@dataclass(frozen=True)
class EdgeStyle:
    """Colour, width (points), dash style, arrowhead scale; label: the colour of its text."""

    color: str
    width: float = 1.1
    dash: str = "solid"
    arrow: float = 0.65
    label: str = MUTED


EDGES = {
    "forward": EdgeStyle(SLATE),
    "state": EdgeStyle(SLATE, width=1.4, arrow=0.7),
    "shared": EdgeStyle(SHARED, width=0.8, arrow=0.45),
    "elided": EdgeStyle(VANISHED, dash="dashed", arrow=0.6),
}


def edge_style(edge: Edge, legend: Legend | None) -> EdgeStyle:
    """The style of ``edge``; a backward edge is as wide as the logarithm of its norm says."""
    if edge.kind == "backward":
        return gradient_style(math.nan if edge.norm is None else edge.norm, legend)
    return EDGES[edge.kind]


def gradient_style(norm: float, legend: Legend | None) -> EdgeStyle:
    """Vermilion with a width by log10; zero is dashed grey, a non-finite norm alarming."""
    if not math.isfinite(norm):
        return EdgeStyle(ALARM, width=4.5, dash="dashed", arrow=1.0, label=ALARM)
    if norm == 0:
        return EdgeStyle(VANISHED, width=1.0, dash="dashed", arrow=0.6, label=VANISHED)
    stroke = stroke_width(norm, legend)
    return EdgeStyle(GRADIENT, width=stroke, arrow=0.55 + 0.07 * stroke, label="#b34f00")


def stroke_width(norm: float, legend: Legend | None) -> float:
    """Points, linear in log10: THICK at the legend's largest norm, THIN at its smallest."""
    if legend is None or not legend.norms:
        return (THIN + THICK) / 2
    high, low = math.log10(legend.norms[0]), math.log10(legend.norms[-1])
    place = (math.log10(norm) - low) / max(high - low, 1e-9)
    return THIN + (THICK - THIN) * min(1.0, max(0.0, place))


def tint(norm: float | None, legend: Legend | None) -> str:
    """A node's fill, from white to vermilion by log10; zero is grey, non-finite magenta."""
    if norm is None:
        return "#ffffff"
    if not math.isfinite(norm):
        return "#f3b6cd"
    if norm == 0:
        return "#e5e7eb"
    place = (stroke_width(norm, legend) - THIN) / (THICK - THIN)
    white, full = (255, 250, 246), (238, 146, 84)
    mixed = (round(w + (f - w) * place) for w, f in zip(white, full, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def size_of(node: Node) -> tuple[float, float]:
    """Width and height in points of a node's box."""
    style = NODES[node.kind]
    text = clean(node.label + (f"\n{node.detail}" if node.detail else ""))
    wide = width(text, style.size) + style.pad[0]
    high = style.size * LINE * (text.count("\n") + 1) + style.pad[1]
    return max(style.least[0], wide), max(style.least[1], high)
