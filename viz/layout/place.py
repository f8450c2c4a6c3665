"""Where everything goes: the layout by the scene's view, the title above, the legend below."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ..scene.scene import Legend, Scene, norm_text
from ..scene.style import INK
from ..scene.text import width
from .cell import place_cell
from .folded import place_folded
from .geometry import Box, Layout, Mark, Stroke, Swatch, Tile, around
from .lanes import place_steps
from .ops import place_ops

PLACERS: dict[str, Callable[[Scene], Layout]] = {
    "unfolded": place_steps,
    "tree": place_steps,
    "folded": place_folded,
    "ops": place_ops,
    "cell": place_cell,
}
SAMPLE, TEXT = 30.0, 8.0  # length of a legend's sample stroke, and the space after it


def place(scene: Scene, room: float = 0.0) -> Layout:
    """Positions for every node, edge and cluster of the scene.

    room: the height that is kept free between the title and the picture, points.
    """
    layout = PLACERS[scene.view](scene)
    extent = around(
        [*layout.boxes.values(), *layout.frames.values(), *(tile.box for tile in layout.tiles)]
        + _paths(layout)
        + [Box(mark.x, mark.y, 2, mark.size * 1.3) for mark in layout.marks]
    )
    marks: list[Mark] = list(layout.marks)
    strokes: list[Stroke] = []
    swatches: list[Swatch] = []
    if scene.title:
        marks.append(Mark(scene.title, extent.left, extent.top + 26 + room, size=14, color=INK))
    at = extent.bottom - 26
    if scene.legend is not None and (
        scene.legend.norms or scene.legend.vanished or scene.legend.nonfinite
    ):
        more, samples = _legend(scene, extent.left, at)
        marks += more
        if scene.view == "tree":
            swatches = [Swatch(Box(x + SAMPLE / 2, at, SAMPLE, 12), norm) for x, norm in samples]
        else:
            # Samples point left, as gradients do in a picture whose time runs to the right.
            strokes = [Stroke((x + SAMPLE, at), (x, at), norm) for x, norm in samples]
        if layout.tiles:  # squares have the same scale
            at -= 13
            squares = [
                Tile(f"l{k}", Box(x + SAMPLE / 2, at, SAMPLE, 8), "use", norm=norm)
                for k, (x, norm) in enumerate(samples)
            ]
            layout = replace(layout, tiles=(*layout.tiles, *squares))
        at -= 20
    if scene.legend is not None and scene.legend.keys:
        wide = max(extent.w, 760.0)
        texts, more_strokes, tiles, at = _keys(scene.legend, extent.left, extent.left + wide, at)
        marks += texts
        strokes += more_strokes
        layout = replace(layout, tiles=(*layout.tiles, *tiles))
    for note in scene.notes:
        marks.append(Mark(note, extent.left, at, size=9))
        at -= 14
    return replace(layout, marks=tuple(marks), strokes=tuple(strokes), swatches=tuple(swatches))


def _legend(scene: Scene, x: float, y: float) -> tuple[list[Mark], list[tuple[float, float]]]:
    """The legend's texts, and where a sample of which norm goes."""
    legend = scene.legend or Legend()
    entries = [(norm, _tick(norm)) for norm in legend.norms]
    if legend.clipped and entries:
        entries.append((entries[-1][0] / 10, "less"))
    entries += [(0.0, "exactly 0")] if legend.vanished else []
    entries += [(math.nan, "not finite")] if legend.nonfinite else []
    marks = [Mark(legend.title, x, y, size=9.5, color=INK)]
    samples: list[tuple[float, float]] = []
    x += width(legend.title, 9.5) + 28
    for norm, text in entries:
        samples.append((x, norm))
        marks.append(Mark(text, x + SAMPLE + TEXT, y, size=9))
        x += SAMPLE + TEXT + 5.2 * len(text) + 18
    return marks, samples


def _keys(
    legend: Legend, left: float, right: float, y: float
) -> tuple[list[Mark], list[Stroke], list[Tile], float]:
    """Samples of the other signs with their meanings, in lines; and the height below them."""
    marks: list[Mark] = []
    strokes: list[Stroke] = []
    tiles: list[Tile] = []
    some = legend.norms[len(legend.norms) // 2] if legend.norms else 1.0
    x = left
    for kind, text in legend.keys:
        wide = SAMPLE + TEXT + width(text, 9) + 22
        if x > left and x + wide > right:
            x, y = left, y - 16
        if kind in ("use", "rest", "state"):
            box, look = Box(x + SAMPLE / 2, y, SAMPLE, 9), "use" if kind == "state" else kind
            tiles.append(Tile(f"key{kind}", box, look, norm=some))
        elif kind == "sensitivity":
            for k in range(3):
                box = Box(x + SAMPLE * (2 * k + 1) / 6, y, SAMPLE / 3, 9)
                tiles.append(Tile(f"keysens{k}", box, "use", norm=10.0**k, scale="tint"))
        elif kind == "saturation":
            tiles.append(Tile("keysat", Box(x + SAMPLE / 2, y, SAMPLE, 9), "use", norm=0.5,
                              scale=kind))  # fmt: skip
        elif kind == "flat":  # a word in boxes
            marks.append(Mark("% flat", x, y, size=9))
        elif kind == "singular":
            for k, size in enumerate((0.1, 1.0, 10.0)):
                box = Box(x + SAMPLE * (2 * k + 1) / 6, y, SAMPLE / 3, 9)
                tiles.append(Tile(f"keysing{k}", box, "use", norm=size, scale=kind))
        elif kind == "bar":
            tiles.append(Tile("keytogether", Box(x + SAMPLE / 2, y, SAMPLE, 8), "together"))
            tiles.append(Tile("keytotal", Box(x + SAMPLE / 4, y, SAMPLE / 2, 8), "total"))
        else:
            ends = (x, y), (x + SAMPLE, y)
            back = kind in ("backward", "unknown")
            strokes.append(Stroke(*(ends[::-1] if back else ends), some if back else 0.0, kind))
        marks.append(Mark(text, x + SAMPLE + TEXT, y, size=9))
        x += wide
    return marks, strokes, tiles, y - 18


def _tick(norm: float) -> str:
    exponent = round(math.log10(norm))
    if not math.isclose(norm, 10.0**exponent, rel_tol=1e-6):
        return norm_text(norm)
    return norm_text(norm) if -2 <= exponent <= 2 else f"1e{exponent}"


def _paths(layout: Layout) -> list[Box]:
    return [Box(x, y, 2, 2) for path in layout.paths.values() for x, y in path.points]
