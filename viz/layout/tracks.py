"""Tables under the steps: a row for each parameter, a square for each use, a bar for the total.

A row stands under the cells that it is about: its squares have their columns.
Where there are too many steps for squares, a strip has a thin column for each, in lines like text.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ..scene.scene import Track, Use, norm_text
from ..scene.style import INK, MUTED, TRACK
from ..scene.text import shorten, width
from .geometry import Box, Mark, Tile
from .plan import Plan

ROW, HEAD, ABOVE = 14.0, 19.0, 26.0  # heights of a row and a heading; free space above a table
BAR, SQUARE = 64.0, 66.0  # of the longest bar; the widest square
COLUMN = 44.0  # from one to the next, where they do not stand below their nodes
SIZE = 8.5  # of the text
BETWEEN = 10.0
STRIP, THINNEST, CHUNK = 9.5, 1.0, 500  # height of a strip, width of a column; columns in one box
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
Place = tuple[int, int]  # the sequence (band) and the line of text


def longest(tracks: Sequence[Track]) -> float:
    """What the longest bar stands for."""
    known = [t.together for t in tracks if t.together is not None]
    return max((x for x in known if math.isfinite(x)), default=0.0)


def bar(size: float, most: float) -> float:
    """How long the bar of a norm is, points."""
    long = BAR * size / most if most and math.isfinite(size) else 0.0
    return min(max(long, 1.0), BAR)


def _says(track: Track, use: Use) -> tuple[str, str]:
    """What stands in a square, and its tooltip."""
    if track.kind == "gradient":
        where = f"{use.count} uses that are not drawn, together" if use.count > 1 else "adds"
        text = norm_text(use.norm) if use.count == 1 else f"Σ {norm_text(use.norm)}"
        return text, f"{track.label}: {where} {use.norm:.6g}"
    text = norm_text(use.norm)
    if track.kind == "singular" and 0.1 <= use.norm < 10:  # what counts is how far it is from 1
        text = f"{use.norm:.3g}"
    if track.kind == "saturation":
        text = f"{100 * use.norm:.0f}%" if math.isfinite(use.norm) else text
    more = ", ".join(f"{value:.4g}" for value in use.values[:40])
    some = f"\nlow, high: {more}" if track.kind == "saturation" else f"\nall: {more}"
    mean = f"mean of {use.count} that are not drawn, " if use.count > 1 else ""
    tip = f"{track.label}: {mean}{use.norm:.6g}" + (some if more else "")
    return f"ø {text}" if use.count > 1 else text, tip


class Tables:
    """What tables there are, how high they are, and where their parts go."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tiles: list[Tile] = []
        self.marks: list[Mark] = []
        tracks = (*plan.scene.tracks, *plan.scene.measures)
        self.squared = [t for t in tracks if t.uses or not t.strip]
        self.strips = [t for t in tracks if t.strip]
        bands = self.bands = {c.id: c.band for c in plan.scene.clusters}
        # Columns that stand below no cell stand in one table, below all trees of a forest.
        apart = {c.id for c in plan.scene.clusters if c.arrangement != "chain"}
        lowest = max((bands[id] for id in apart), default=0), 0
        places = [
            lowest if plan.nodes[id].lane in apart
            else (bands[str(plan.nodes[id].lane)], plan.line.get(id, 0))
            for id in plan.nodes
            if plan.nodes[id].lane is not None
        ]  # fmt: skip
        top = min((band for band, _ in places), default=0)
        self.last = max((p for p in places if p[0] == top), default=(0, 0))
        self.uses: dict[Place, dict[str, list[Use]]] = defaultdict(lambda: defaultdict(list))
        for track in self.squared:
            for use in track.uses:
                lane = plan.nodes[use.at].lane if use.at is not None else None
                here = bands.get(str(lane), 0), plan.line.get(str(use.at), 0)
                place = self.last if lane is None else lowest if lane in apart else here
                self.uses[place][track.id].append(use)
        self.most = longest(plan.scene.tracks)
        self._barred: set[str] = set()

    def rows(self, place: Place) -> list[Track]:
        return [t for t in self.squared if t.id in self.uses.get(place, {})]

    def height(self, place: Place) -> float:
        """How much room a table needs below its cells."""
        rows = self.rows(place)
        heads = len(dict.fromkeys(t.group for t in rows if t.group))
        heads += any(u.label for t in rows for u in self.uses[place][t.id])
        return self._above(place) + len(rows) * ROW + heads * HEAD if rows else 0.0

    def _above(self, place: Place) -> float:
        """Rails run below cells that have no inputs."""
        lowest = next((c for c in self.plan.lanes if c.band == place[0]), None)
        cells = self.plan.cells(lowest.id) if lowest is not None else []
        return ABOVE if any(self.plan.below[c.id] for c in cells) else 2 * ABOVE

    def put(self, place: Place, top: float) -> None:
        """The table whose upper edge is at ``top``."""
        rows = self.rows(place)
        if not rows:
            return
        boxes = [
            self.plan.boxes[str(u.at)]
            for t in rows
            for u in self.uses[place][t.id]
            if u.at is not None and self.plan.nodes[u.at].lane is not None
        ]
        left = min((b.left for b in boxes), default=0.0) - 22
        left = min(left, self.plan.free_left) if len(self.uses) > 1 else left
        right = max((b.right for b in boxes), default=0.0)
        y, group = top - self._above(place), ""
        columns, y = self._columns(rows, place, left, y)
        right = max([right, *columns.values()])
        for track in rows:
            if track.group and track.group != group:
                group = track.group
                y -= HEAD
                self.marks.append(Mark(group, left - self._side(rows), y + 5, SIZE, TRACK))
            y -= ROW
            self._head(track, left, left - self._side(rows), y + ROW / 2)
            taken: set[float] = set()
            for use in self.uses[place][track.id]:
                self._square(track, use, y + ROW / 2, right, taken, columns)

    def _columns(
        self, rows: Sequence[Track], place: Place, left: float, y: float
    ) -> tuple[dict[str, float], float]:
        """Of nodes that have no column of their own, in the order of the picture, with a name."""
        uses = {u.at: u for t in rows for u in self.uses[place][t.id] if u.label and u.at}
        lane = {at: str(self.plan.nodes[at].lane) for at in uses}
        order = sorted(uses, key=lambda at: (self.bands.get(lane[at], 0), self.plan.boxes[at].x))
        found = {at: left + 22 + (k + 0.5) * COLUMN for k, at in enumerate(order)}
        for at, x in found.items():
            fits = (shorten(uses[at].label, n) for n in range(12, 1, -1))
            text = next((t for t in fits if width(t, 8) < COLUMN - 3), "…")
            self.marks.append(Mark(text, x - width(text, 8) / 2, y - HEAD / 2, 8, MUTED))
        return found, y - (HEAD - 4 if found else 0.0)

    def _side(self, rows: Sequence[Track]) -> float:
        names = [width(shorten(t.label, 24), SIZE) for t in rows]
        return max(names, default=0.0) + 12 + BAR + 34

    def _head(self, track: Track, right: float, left: float, y: float) -> None:
        """The name, and once the bar: outlined what its uses come to, filled what is left."""
        self.marks.append(Mark(shorten(track.label, 24), left, y, SIZE, INK))
        if track.norm is None or track.together is None or track.id in self._barred:
            return
        self._barred.add(track.id)
        start = right - BAR - 34
        for kind, size in (("together", track.together), ("total", track.norm)):
            long = bar(size, self.most)
            if size == 0:
                continue
            box = Box(start + long / 2, y, long, ROW - 5)
            self.tiles.append(
                Tile(f"{track.id}{kind}", box, kind, norm=size, tooltip=track.tooltip)
            )
        text = norm_text(track.norm)
        self.marks.append(Mark(text, start + BAR + 3, y, SIZE, MUTED, f"{track.id}norm"))

    def _square(
        self, track: Track, use: Use, y: float, right: float, taken: set[float],
        columns: dict[str, float],
    ) -> None:  # fmt: skip
        box = self.plan.boxes[use.at] if use.at is not None else None
        wide = min(box.w, SQUARE) if box is not None else SQUARE + 10
        x = box.x if box is not None else right + 40 + SQUARE / 2
        if use.at in columns:
            x, wide = columns[use.at], COLUMN - 6
        if x in taken:
            x = max(right, *taken) + 40 + SQUARE / 2
        taken.add(x)
        kind = "use" if use.count == 1 else "rest"
        text, tip = _says(track, use)
        text = text if box is not None else f"elsewhere {text}"
        self.tiles.append(
            Tile(
                use.id,
                Box(x, y, wide, ROW - (2.5 if use.count == 1 else 4)),
                kind,
                text,
                use.norm,
                tooltip=tip,
                scale=track.kind,
            )
        )

    # -- strips ------------------------------------------------------------------------------------

    def put_strips(self, extent: Box, top: float) -> None:
        """All strips, in lines of as many steps as fit, below everything else."""
        for columns in dict.fromkeys(t.columns for t in self.strips):
            strips = [t for t in self.strips if t.columns == columns]
            top = self._block(strips, columns, extent, top)

    def _block(self, strips: Sequence[Track], columns: str, extent: Box, top: float) -> float:
        """The strips whose columns are of one kind; the height below them."""
        steps = max(len(t.strip) for t in strips)
        side = self._side(strips)
        left = extent.left + side + 10
        room = max(extent.right - left, 720.0)
        each = max(room / steps, THINNEST)
        lines = math.ceil(steps * each / room - 1e-9)
        below = self._pitch(steps) if columns == "t" else None
        if below is not None:
            left, each, lines = *below, 1
        line = math.ceil(steps / lines)
        y = top - ABOVE
        for start in range(0, steps, line):
            end = min(start + line, steps)
            self._ticks(start, end, left, each, y, columns)
            y -= HEAD
            group = ""
            for track in strips:
                if track.group and track.group != group:
                    group = track.group
                    y -= HEAD
                    self.marks.append(Mark(group, left - side - 10, y + 4, SIZE, TRACK))
                y -= STRIP + 2.5
                self._head(track, left - 10, left - side - 10, y + STRIP / 2)
                for first in range(start, min(end, len(track.strip)), CHUNK):
                    part = track.strip[first : min(first + CHUNK, end)]
                    x = left + (first - start) * each
                    box = Box(x + len(part) * each / 2, y + STRIP / 2, len(part) * each, STRIP)
                    what = "nodes" if columns == "node" else "steps"
                    tip = f"{track.label}: {what} {first + 1} to {first + len(part)}"
                    name = f"{track.id}s{first}"
                    self.tiles.append(
                        Tile(name, box, "strip", norms=part, tooltip=tip, scale=track.kind)
                    )
            y -= BETWEEN
        return y

    def _pitch(self, steps: int) -> tuple[float, float] | None:
        """Where the first column begins and how wide each is, if each has a cell above it."""
        chains = {c.id for c in self.plan.scene.clusters if c.arrangement == "chain"}
        xs = sorted({
            round(self.plan.boxes[n.id].x, 1) for n in self.plan.scene.nodes
            if n.kind == "cell" and n.lane in chains and n.id in self.plan.boxes
        })  # fmt: skip
        if self.plan.lines > 1 or len(xs) < max(steps, 2):
            return None
        pitch = (xs[-1] - xs[0]) / (len(xs) - 1)
        even = all(abs(b - a - pitch) < 1 for a, b in zip(xs, xs[1:], strict=False))
        return (xs[0] - pitch / 2, pitch) if even else None

    def _ticks(
        self, start: int, end: int, left: float, each: float, y: float, columns: str
    ) -> None:
        apart = next((t for t in TICKS if t * each >= 60), TICKS[-1])
        steps = [start + 1, *range((start // apart + 1) * apart, end + 1, apart)]
        if len(steps) > 1 and (steps[1] - steps[0]) * each < 40:
            del steps[1]
        for step in steps:
            x = left + (step - 1 - start + 0.5) * each
            first = f"node {step:,}" if columns == "node" else f"t = {step:,}"
            text = first if step == start + 1 else f"{step:,}"
            self.marks.append(Mark(text, x, y - HEAD / 2 + 2, 8, MUTED))
            box = Box(x, y - HEAD + 1, 0.7, 4)
            self.tiles.append(Tile(f"k{columns}{step}", box, "tick"))
