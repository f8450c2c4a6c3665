"""The layout of a moment of the backward pass: everything where the finished drawing has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..scene.scene import Scene, norm_text
from ..scene.style import INK, MUTED
from ..scene.text import width
from .geometry import Box, Layout, Mark
from .tracks import bar, longest

LINES, LINE, SIZE = 3, 15.0, 11.0  # of the words above a picture
ROOM = LINES * LINE + 8.0
FLOWING = "#9a4300"  # vermilion, dark enough for text
NARROWEST = 520.0  # of a picture, so that there is room for words


def in_part(layout: Layout, whole: Scene, part: Scene) -> Layout:
    """What of a layout a scene shows that has a part of the whole scene's squares and bars."""
    uses = {use.id for track in part.tracks for use in track.uses}
    left_out = {use.id for track in whole.tracks for use in track.uses} - uses
    parts = {track.id: track for track in part.tracks}
    for track in whole.tracks:
        if parts[track.id].norm is None:
            left_out |= {f"{track.id}together", f"{track.id}total", f"{track.id}norm"}
    strips = tuple(f"{t.id}s" for t in whole.tracks if t.strip and not parts[t.id].strip)
    bars = {f"{t.id}together": t for t in part.tracks}
    totals = {f"{t.id}total" for t in part.tracks}
    most = longest(whole.tracks)
    tiles = []
    for tile in layout.tiles:
        if tile.id in left_out or tile.kind == "strip" and tile.id.startswith(strips or ("-",)):
            continue
        if tile.id in bars:  # both bars start where the longer one does
            track = bars[tile.id]
            for kind, size in (("together", track.together), ("total", track.norm)):
                if size:
                    box = Box(tile.box.left + bar(size, most) / 2, tile.box.y, bar(size, most),
                              tile.box.h)  # fmt: skip
                    tiles.append(replace(tile, id=f"{track.id}{kind}", kind=kind, box=box,
                                         norm=size))  # fmt: skip
        elif tile.id not in totals:
            tiles.append(tile)
    sizes = {f"{t.id}norm": t.norm for t in part.tracks}
    marks = []
    for mark in layout.marks:
        size = sizes.get(mark.id)
        if mark.id not in left_out:
            marks.append(mark if size is None else replace(mark, text=norm_text(size)))
    return replace(layout, tiles=tuple(tiles), marks=tuple(marks))


def captions(words: Sequence[str], count: str, page: Box, top: float) -> list[Mark]:
    """Words above the picture in at most three lines, the number of the moment before the first."""
    at = page.left + width(count, SIZE) + 16
    lines = [row for text in words for row in wrapped(text, page.right - at - 8, SIZE)]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], lines[LINES - 1] + " …"]
    marks = [Mark(count, page.left, top - LINE / 2, SIZE, MUTED)] if count else []
    for k, text in enumerate(lines):
        marks.append(Mark(text, at, top - LINE * (k + 0.5), SIZE, FLOWING if k == 0 else INK))
    return marks


def wrapped(text: str, room: float, size: float) -> list[str]:
    """Lines of whole words that fit, as far as words do."""
    rows = [""]
    for word in text.split(" "):
        longer = f"{rows[-1]} {word}" if rows[-1] else word
        if rows[-1] and width(longer, size) > room:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows
