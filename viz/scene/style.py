"""How each kind of node and edge looks, in colours that colour-blind readers can tell apart.

Slate carries values forward, vermilion carries gradients back.
Fills are pale, so that text stays readable in print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

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
TRACK = "#5b4f8f"
LIT, LIT_PEN = "#ffe3cc", 3.0  # what is happening now: its fill, the width of its outline
USE_PEN = 1.3  # of a square
FAINTLY = 0.4  # how opaque the gradient is that flowed before
FAINT = "#6b7280"  # text that says little: 4.5 to 1 on white all the same
RAMP = ((255, 246, 236), (252, 205, 150), (240, 140, 60), (205, 86, 0), (128, 48, 0))
BLUES = ((255, 255, 255), (198, 219, 239), (107, 164, 206), (33, 103, 171), (8, 48, 107))
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
    "gate": NodeStyle(
        fill="#dbe8f5", line="#3f6797", size=10.5, least=(34, 24), pad=(14, 8), pen=1.1
    ),
    "attend": NodeStyle(
        shape="ellipse",
        style="filled",
        fill="#ffffff",
        line=SLATE,
        size=11,
        least=(24, 24),
        pad=(8, 6),
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


UNKNOWN = EdgeStyle(GRADIENT, width=0.9, dash="dotted", arrow=0.55, label="#b34f00")


def edge_style(edge: Edge, legend: Legend | None) -> EdgeStyle:
    """The style of ``edge``; a backward edge is as wide as the logarithm of its norm says."""
    if edge.kind != "backward" and edge.weight is not None:
        return attention_style(edge.weight)
    if edge.kind == "backward":
        style = UNKNOWN if edge.norm is None else gradient_style(edge.norm, legend)
        # Of many that cross, none may cover the weights.
        slim = replace(style, width=max(0.7, style.width * 0.4), arrow=style.arrow * 0.6)
        return style if edge.weight is None else slim
    return EDGES[edge.kind]


def attention_style(weight: float) -> EdgeStyle:
    """As opaque as the weight, and never quite invisible."""
    alpha = round(255 * min(1.0, max(0.08, weight))) if math.isfinite(weight) else 255
    return EdgeStyle(f"{INK if math.isfinite(weight) else ALARM}{alpha:02x}", width=2.4)


def gradient_style(norm: float, legend: Legend | None) -> EdgeStyle:
    """Vermilion with a width by log10.

    Zero is dashed grey, what is too small for the scale dotted; NaN alarming and dashed, infinite
    alarming.
    """
    if not math.isfinite(norm):
        dash = "dashed" if math.isnan(norm) else "solid"
        return EdgeStyle(ALARM, width=4.5, dash=dash, arrow=1.0, label=ALARM)
    if norm == 0:
        return EdgeStyle(VANISHED, width=1.0, dash="dashed", arrow=0.6, label=FAINT)
    if legend is not None and legend.clipped and norm < legend.norms[-1]:
        return EdgeStyle(GRADIENT, width=1.0, dash="dotted", arrow=0.55, label="#b34f00")
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


def ramp(norm: float, legend: Legend | None) -> str:
    """The fill of a square: pale to dark by log10, darker in grey too.

    Of what is not finite the legend's: in a strip nothing else would tell infinity from nothing.
    """
    if not math.isfinite(norm):
        return ALARM
    if norm == 0:
        return "#f3f4f6"
    return _along(RAMP, (stroke_width(norm, legend) - THIN) / (THICK - THIN))


def shade(size: float, scale: str, legend: Legend | None) -> str:
    """The fill of a square by one of the scales.

    A gradient's as ``ramp`` has it; a share from white to dark blue; a singular value white at 1,
    blue below, orange above, full at a tenth and at ten; a tint of boxes from 1 to 100.
    """
    if scale == "gradient":
        return ramp(size, legend)
    if scale == "tint":
        return tint(size, Legend(norms=(100.0, 1.0)))  # samples of all shades
    if math.isnan(size):
        return ALARM
    if scale == "saturation":
        return _along(BLUES, min(max(size, 0.0), 1.0))
    place = max(-1.0, min(1.0, math.log10(size))) if size > 0 else -1.0
    return _along(BLUES[:4] if place < 0 else RAMP[:4], abs(place))


def _along(colors: Sequence[tuple[int, int, int]], place: float) -> str:
    """From the first colour (place 0) to the last (1), in steps that no eye tells apart."""
    return _mixed(tuple(colors), round(place * 4096))


@cache  # a strip has ten thousand squares
def _mixed(colors: tuple[tuple[int, int, int], ...], step: int) -> str:
    at = step / 4096 * (len(colors) - 1)
    low = min(int(at), len(colors) - 2)
    pairs = zip(colors[low], colors[low + 1], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (at - low)):02x}" for a, b in pairs)


def faint(color: str) -> str:
    """A colour (#rrggbb) as it would be on white where it is hardly opaque."""
    parts = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (c - 255) * FAINTLY):02x}" for c in parts)


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 has it, of #rrggbb."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(fill: str) -> str:
    """Black or white, whichever reads better: one of them always has 4.5 to 1."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, fill))


def size_of(node: Node) -> tuple[float, float]:
    """Width and height in points of a node's box."""
    style = NODES[node.kind]
    text = clean(node.label + (f"\n{node.detail}" if node.detail else ""))
    wide = width(text, style.size) + style.pad[0]
    high = style.size * LINE * (text.count("\n") + 1) + style.pad[1]
    return max(style.least[0], wide), max(style.least[1], high)
