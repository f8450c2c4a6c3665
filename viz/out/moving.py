"""A drawing that plays the backward pass: SVG whose parts appear by CSS, and a GIF of bitmaps.

The SVG has no script.  Without style sheets, on paper, and where less motion is preferred, it is
the finished drawing: only rules within a media query hide anything.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..layout.geometry import Mark
from ..scene.style import FAINTLY, FONT, GRADIENT, LIT_PEN
from ..scene.text import clean
from .render import SVG

MEDIA = "@media screen and (prefers-reduced-motion: no-preference)"
HIDDEN, THERE = "visibility:hidden;opacity:1", "visibility:visible;opacity:1"
COLORS, NEARLY_WHITE = 250, 246  # of a GIF, besides white; it has 256
SHAPES = ("path", "polygon", "ellipse")  # what Graphviz draws nodes and squares as
Changes = list[tuple[int, str]]  # from which moment on which declarations hold


@dataclass(frozen=True)
class Clock:
    """How long moments last: all but the last one ``pace`` seconds, that one ``hold``."""

    count: int
    pace: float
    hold: float

    @property
    def round(self) -> float:
        """Seconds until everything begins anew."""
        return self.pace * (self.count - 1) + self.hold


class Stage:
    """A finished drawing whose parts are bound to moments.

    svg: as ``Drawing.svg``, with ids.
    token: a word of its own for the names of rules, so that two pictures on a page cannot meet.
    """

    def __init__(self, svg: str, clock: Clock, token: str) -> None:
        self._root, self._clock, self._token = ET.fromstring(svg), clock, token
        self._groups = {g.get("id"): g for g in self._root.iter(f"{SVG}g") if g.get("id")}
        self._rules: dict[tuple[str, tuple[tuple[int, str], ...]], str] = {}

    def flows(self, id: str, start: int) -> None:
        """A gradient: hidden until a moment, then faint until everything is there again."""
        last = self._clock.count - 1
        faint = f"visibility:visible;opacity:{FAINTLY}"
        changes = [(0, HIDDEN), (start, THERE), (start + 1, faint), (last, THERE)]
        self._bind(id, "", changes)

    def appears(self, id: str, start: int) -> None:
        """Something that is there from a moment on."""
        self._bind(id, "", [(0, HIDDEN), (start, THERE)])

    def lights(
        self, id: str, when: int, fill: str = "", before: str = "", line: str = GRADIENT,
        pen: float = LIT_PEN,
    ) -> None:  # fmt: skip
        """The outline of a box, and its filling if one is given, at one moment.

        before: its filling until then.
        """
        group = self._groups.get(id)
        shape = None if group is None else next((g for g in group if _local(g) in SHAPES), None)
        if shape is None:
            return
        own = {
            "fill": shape.get("fill", "none"),
            "stroke": shape.get("stroke", "none"),
            "stroke-width": f"{shape.get('stroke-width', '1')}px",
        }
        lit = own | {
            "stroke": line,
            "stroke-width": f"{pen}px",
            "fill": fill or own["fill"],
        }
        start = own | ({"fill": before} if before else {})
        looks = [(0, start), (when, lit), (when + 1, own)]
        self._bind(id, ">" + _local(shape), [(k, _css(look)) for k, look in looks])

    def tells(self, id: str, start: int) -> None:
        """A box whose text is there from a moment on."""
        group = self._groups.get(id)
        name = self._rule("", [(0, HIDDEN), (start, THERE)])
        for text in () if group is None else group.iter(f"{SVG}text"):
            text.set("class", name)

    def stretches(self, id: str, sizes: Sequence[float]) -> None:
        """A bar, as long at each moment as a part of what it is in the end."""
        changes = [(k, f"transform:scaleX({size:.4g})") for k, size in enumerate(sizes)]
        self._bind(id, ">polygon", changes, "transform-box:fill-box;transform-origin:left;")

    def says(self, marks: Sequence[Mark], when: Collection[int]) -> None:
        """Texts that are there at some moments only."""
        last = self._clock.count - 1
        graph = next(g for g in self._root.iter(f"{SVG}g") if g.get("class") == "graph")
        visible = ["visible" if k in when else "hidden" for k in range(last + 1)]
        name = self._rule("", [(k, f"visibility:{what}") for k, what in enumerate(visible)])
        for mark in marks:
            text = _text(mark)
            if last not in when:
                text.set("visibility", "hidden")
            text.set("class", name)
            graph.append(text)

    def text(self) -> str:
        """The SVG."""
        self._root.set("class", self._token)
        still = f".{self._token}:hover *{{animation-play-state:paused!important}}"
        style = ET.Element(f"{SVG}style")
        rules = [self._written(target, list(c), name) for (target, c), name in self._rules.items()]
        style.text = f"{MEDIA}{{\n{chr(10).join([*rules, still])}\n}}"
        self._root.insert(0, style)
        return ET.tostring(self._root, encoding="unicode")

    def _bind(self, id: str, target: str, changes: Changes, more: str = "") -> None:
        group = self._groups.get(id)
        if group is not None and (name := self._rule(target, changes, more)):
            group.set("class", f"{group.get('class', '')} {name}".strip())

    def _rule(self, target: str, changes: Changes, more: str = "") -> str:
        """The class that makes some changes; "" where there is none to make."""
        kept: Changes = []
        for k, what in changes:
            if kept and kept[-1][0] == k:
                kept[-1] = k, what
            elif not kept or kept[-1][1] != what:
                kept.append((k, what))
        kept = [x for k, x in enumerate(kept) if k == 0 or x[1] != kept[k - 1][1]]
        if len(kept) < 2 and not more:
            return ""
        key = f"{target}|{more}", tuple(kept)
        return self._rules.setdefault(key, f"{self._token}-{len(self._rules)}")

    def _written(self, target: str, changes: Changes, name: str) -> str:
        clock, (where, _, more) = self._clock, target.partition("|")
        steps = [
            f"{100 * clock.pace * k / clock.round:.3f}%{{{what}}}"
            for k, what in changes
            if k < clock.count
        ]
        return (
            f"@keyframes {name}{{{''.join(steps)}}}"
            f".{name}{where}{{{more}animation:{name} {clock.round:.3f}s step-end infinite}}"
        )


def _css(look: dict[str, str]) -> str:
    return ";".join(f"{key}:{value}" for key, value in look.items())


def _local(element: ET.Element) -> str:
    return element.tag.removeprefix(SVG)


def _text(mark: Mark) -> ET.Element:
    found = ET.Element(f"{SVG}text")
    found.set("x", f"{mark.x:.2f}")
    found.set("y", f"{-mark.y + mark.size * 0.35:.2f}")
    found.set("font-family", FONT)
    found.set("font-size", f"{mark.size:g}")
    found.set("fill", mark.color)
    found.text = clean(mark.text)
    return found


def gif(pictures: Sequence[bytes], clock: Clock) -> bytes:
    """Bitmaps (PNG) as a GIF that plays for ever, the last one held.

    Raises ImportError, naming what to install, where there is no Pillow.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "a GIF is written by Pillow, which is not installed (pip install pillow); "
            "an SVG (.svg) needs nothing"
        ) from None
    if not pictures:
        return b""
    frames: list[Any] = [Image.open(io.BytesIO(data)).convert("RGB") for data in pictures]
    some = [frames[k] for k in sorted({0, len(frames) // 2, len(frames) - 2, len(frames) - 1})]
    sheet = Image.new("RGB", (some[0].width, sum(f.height for f in some)))
    for k, frame in enumerate(some):
        sheet.paste(frame, (0, k * frame.height))
    palette = sheet.quantize(COLORS)
    colors = (palette.getpalette() or [])[: 3 * COLORS]
    for k in range(0, len(colors), 3):
        if min(colors[k : k + 3]) >= NEARLY_WHITE:  # Pillow looks colours up in steps of four
            colors[k : k + 3] = [255] * 3
    palette.putpalette([*colors, *[255] * (768 - len(colors))])
    made = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    file = io.BytesIO()
    times = [round(1000 * clock.pace)] * (len(made) - 1) + [round(1000 * clock.hold)]
    made[0].save(file, "GIF", save_all=True, append_images=made[1:], duration=times, loop=0)
    return file.getvalue()
