"""``animate``: the backward pass of a drawing, moment by moment, in its true order."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .draw import MOST_PIXELS, Drawing, drawn, shown_as, write, xml
from .layout import frames as laid
from .layout.geometry import Box, Layout
from .layout.place import place
from .layout.tracks import bar, longest
from .out import render
from .out.dot import is_shaded, to_dot, whole
from .out.moving import Clock, Stage, gif
from .page.embed import inline
from .scene.frames import Moment, edge_turn, moments, numbered, so_far
from .scene.scene import Scene
from .scene.style import INK, LIT, USE_PEN
from .scene.text import shorten

VIEWS = ("unfolded", "ops", "cell", "tree")
PACE, HOLD = 1.0, 3.0  # seconds of a moment, and how many moments the finished drawing stands
GIF_DPI, GIF_PIXELS = 96.0, 1600  # of bitmaps; their longer side


@dataclass(frozen=True)
class Frame:
    """One moment of the backward pass.

    number: from 1.  words: what happens in it.
    drawing: what has flowed back so far, what happens now lit: a ``Drawing``, which can be saved.
    lit: ids of the nodes, edges and squares that are lit.
    """

    number: int
    words: str
    drawing: Drawing
    lit: frozenset[str]

    def __repr__(self) -> str:
        return f"{self.number}: {self.words}"


class Still(Drawing):
    """The drawing of one moment, everything where the finished one has it."""

    def __init__(self, scene: Scene, layout: Layout, page: Box, lit: frozenset[str] | None) -> None:
        super().__init__(scene)
        self._given, self._page, self._lit = layout, page, lit

    @functools.cached_property
    def layout(self) -> Layout:
        """Positions of everything in points."""
        return self._given

    @functools.cached_property
    def dot(self) -> str:
        """DOT text with all positions, for ``neato -n2``."""
        return to_dot(self.scene, self.layout, self._lit, self._page)


def animate(
    outputs: Any,
    view: str = "unfolded",
    grad: Any = None,
    wrt: Any = None,
    max_steps: int | None = 60,
    *,
    labels: Any = None,
    title: str | None = None,
    scale: tuple[float, float] | None = None,
    step: int | Sequence[int] | None = None,
    measure: str | Sequence[str] | None = None,
    sequences: int | None = None,
    pace: float = PACE,
) -> Animation:
    """The backward pass of ``grad`` as frames, in its true order: all arguments are ``draw``'s.

    A frame is a turn of the backward pass.  The nodes whose cotangents become whole in it are lit,
    with the edges that bring what they are the sum of and the squares that parameters get; words
    above say which; bars grow to the norm of what has been added so far.
    Recurrences run back in the reverse of their order, level by level: all sequences of a batch at
    once, a tree by depth.  Steps that are left out have one frame together; of more than 120 turns
    neighbours share one; the strips of long sequences come with the last frame, which is the
    drawing as ``draw`` makes it.

    pace: seconds a frame; the last one stands three times as long.

    ``.save("x.svg")`` needs no script: it stands still where less motion is preferred, on paper,
    and while the pointer is on it.  ``.save("x.gif")`` needs Pillow.

    Raises ValueError without ``grad``, for the folded view (which has no order in time), or a pace
    that is not positive; TypeError for a pace that is no number.
    Raises otherwise what ``draw`` raises.
    """
    if isinstance(pace, bool) or not isinstance(pace, (int, float, np.integer, np.floating)):
        raise TypeError(f"animate: pace must be a number of seconds; got {pace!r:.60}")
    if not 0 < pace < np.inf:
        raise ValueError(f"animate: pace must be positive seconds a frame; got {pace!r}")
    if grad is None:
        raise ValueError("animate: shows a backward pass; give grad, the scalar it starts from")
    if isinstance(view, str) and view == "folded":
        raise ValueError(
            'animate: the "folded" view has one cell for all steps, so no order in time; '
            f"choose one of {', '.join(VIEWS)}"
        )
    given = (
        outputs, view, grad, wrt, max_steps, labels, title, scale, step, measure, sequences
    )  # fmt: skip
    try:
        drawing = drawn(*given, running=True)
    except (TypeError, ValueError) as error:
        text = str(error)
        if not text.startswith("draw: "):
            raise
        raise type(error)("animate" + text.removeprefix("draw")) from None
    return Animation(drawing, shorten(grad.name or "L", 18), float(pace))


class Animation:
    """The backward pass of a drawing as frames; ``animate`` makes it.

    drawing: the finished one.  pace: seconds a frame.
    """

    def __init__(self, drawing: Drawing, name: str, pace: float) -> None:
        self.drawing, self.pace = drawing, pace
        self._moments = moments(drawing.scene, name)

    @functools.cached_property
    def frames(self) -> tuple[Frame, ...]:
        """All of them in order; the last one is the finished drawing."""
        return tuple(self._frame(k, moment) for k, moment in enumerate(self._moments))

    @functools.cached_property
    def svg(self) -> str:
        """SVG that plays, without a script; the finished drawing where nothing plays."""
        token = "mg" + hashlib.sha256(self.drawing.dot.encode()).hexdigest()[:8]
        return self._moving(token)

    @property
    def gif(self) -> bytes:
        """The same as a GIF. Raises ImportError where Pillow is missing."""
        pictures = self._page.w, self._page.h
        dpi = min(GIF_DPI, GIF_PIXELS * 72 / max(*pictures), MOST_PIXELS * 72 / max(*pictures))
        gif([], self._clock)  # before minutes of drawing: is there a Pillow?
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            made = list(pool.map(lambda f: render.run(f.drawing.dot, "png", dpi=dpi), self.frames))
        return gif(made, self._clock)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the animation; the suffix says as what: .svg, .gif.

        The file appears whole or not at all.

        Raises TypeError for what is no path, ValueError for any other suffix.
        Raises OSError, of the system's kind, where it cannot be written.
        Raises ImportError for a .gif without Pillow, GraphvizError if drawing fails.
        """
        return write(path, _WRITERS, self, "an animation")

    def summary(self) -> str:
        """What is drawn, and what happens in each frame, as text; needs no Graphviz."""
        lines = [self.drawing.summary(), f"  {len(self._moments)} frames"]
        lines += [f"  {k}: {' · '.join(m.words)}" for k, m in enumerate(self._moments, 1)]
        return "\n".join(lines)

    def _repr_svg_(self) -> str | None:
        return self._shown() if render.engine() else None

    def _repr_html_(self) -> str | None:
        if not render.engine():
            return None
        return f'<div style="overflow-x:auto;background:white">{self._shown()}</div>'

    def _shown(self) -> str:
        token = shown_as()
        # Ids become its own in `inline`, which takes style sheets away: ours is put back.
        moving = self._moving(token)
        style = moving[moving.index("<style") : moving.index("</style>") + len("</style>")]
        picture = inline(moving, token, self.drawing.scene.title)
        at = picture.index(">") + 1
        return picture[:at] + style + picture[at:]

    def __repr__(self) -> str:
        return self.summary()

    # -- how it is made ----------------------------------------------------------------------------

    @functools.cached_property
    def _clock(self) -> Clock:
        return Clock(len(self._moments), self.pace, self.pace * HOLD)

    @functools.cached_property
    def _layout(self) -> Layout:
        return place(self.drawing.scene, laid.ROOM)

    @functools.cached_property
    def _page(self) -> Box:
        found = whole(self._layout)
        wide = max(found.w, laid.NARROWEST)
        return Box(found.left + wide / 2, found.y, wide, found.h)

    @functools.cached_property
    def _top(self) -> float:
        """Where the words begin."""
        return self._page.top - (26 if self.drawing.scene.title else 0)

    def _captions(self, k: int, moment: Moment) -> list[Any]:
        count = f"{k + 1} / {len(self._moments)}"
        return laid.captions(moment.words, count, self._page, self._top)

    def _frame(self, k: int, moment: Moment) -> Frame:
        scene = so_far(self.drawing.scene, moment.turn)
        layout = laid.in_part(self._layout, self.drawing.scene, scene)
        marks = (*layout.marks, *self._captions(k, moment))
        layout = replace(layout, marks=marks)
        lit = moment.lit if moment.turn is not None else None
        return Frame(
            k + 1, "; ".join(moment.words), Still(scene, layout, self._page, lit), moment.lit
        )

    def _moving(self, token: str) -> str:
        scene, last = self.drawing.scene, len(self._moments) - 1
        numbers = {f"{t.id}norm": t for t in scene.tracks if t.norm is not None and t.running}
        fixed = tuple(m for m in self._layout.marks if m.id not in numbers)
        layout = replace(self._layout, marks=fixed)
        stage = Stage(Still(scene, layout, self._page, None).svg, self._clock, token)
        nodes = {node.id: node for node in scene.nodes}
        for node in scene.nodes:
            if node.turn is not None:
                tree = node.kind == "tree" or is_shaded(scene, node)
                stage.lights(node.id, node.turn, "" if tree else LIT, "#ffffff" * tree)
                if numbered(node, scene.view):
                    stage.tells(node.id, node.turn)
        for edge in scene.edges:
            if edge.kind == "backward":
                stage.flows(edge.id, edge_turn(edge, nodes))
        parts = [so_far(scene, m.turn) for m in self._moments]
        for track in scene.tracks:
            for use in track.uses:
                if use.turn is not None:
                    stage.appears(use.id, use.turn)
                    stage.lights(use.id, use.turn, line=INK, pen=USE_PEN)
            for first in range(0, len(track.strip), 500):
                stage.appears(f"{track.id}s{first}", last)
        self._running(stage, parts)
        for k, moment in enumerate(self._moments):
            stage.says(self._captions(k, moment), (k,))
        return stage.text()

    def _running(self, stage: Stage, parts: Sequence[Scene]) -> None:
        """Bars that grow, and the numbers beside them."""
        scene = self.drawing.scene
        most = longest(scene.tracks)
        places = {mark.id: mark for mark in self._layout.marks if mark.id}
        by_moment = [{t.id: t for t in part.tracks} for part in parts]
        for track in scene.tracks:
            if track.norm is None or track.together is None or not track.running:
                continue
            now = [found[track.id] for found in by_moment]
            for kind, whole_, sizes in (
                ("total", track.norm, [t.norm for t in now]),
                ("together", track.together, [t.together for t in now]),
            ):
                full = bar(whole_, most)
                shares = [bar(size, most) / full if size else 0.0 for size in sizes]
                stage.stretches(f"{track.id}{kind}", shares)
            at: dict[str, list[int]] = {}
            for k, size in enumerate(t.norm for t in now):
                at.setdefault("" if size is None else laid.norm_text(size), []).append(k)
            mark = places[f"{track.id}norm"]
            for text, when in at.items():
                stage.says([laid.Mark(text, mark.x, mark.y, mark.size, mark.color)], when)


_WRITERS = {".svg": xml, ".gif": lambda animation: animation.gif}
SUFFIXES = tuple(_WRITERS)
