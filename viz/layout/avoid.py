"""Edges that would run through a box find another way: along free lines, with few bends.

A free line is a maximal stretch, upright or level, that passes some boxes at a distance and meets
none.  A way is a walk over free lines that cross.  Each bend costs, and so does a line in use.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..scene.scene import Scene
from .geometry import Box, Path, Point, rounded, straight
from .ops import reversed_beside

MARGINS = (11.0, 19.0, 27.0)  # of free lines from the boxes that they pass
BEND, USED = 45.0, 60.0  # what a bend, and a line in use, count against a point of way
EDGE = 0.5  # a path may touch a box
NEAR = 7.0  # a free line keeps this distance, and the gradient beside it is nearer
CELL = 80.0  # of the grid in which boxes are looked up
MOST = 40  # edges that are led around; a picture with more of them is beyond reading anyway
ASIDE = 5.0
SLANT = 40.0  # how far a loss's path goes in both directions before it slants
STEP = 3.5  # between the points at which a path is looked at


def lead_around(
    scene: Scene, boxes: Mapping[str, Box], tiles: Iterable[Box], paths: dict[str, Path]
) -> None:
    """Replaces, in ``paths``, those that run through a box which is none of their ends.

    And those that run slanting out of a tree, a grid or a DAG, or from parameters, across other
    edges.
    """
    solid = dict(boxes) | {f"\0{k}": box for k, box in enumerate(tiles)}
    near = Grid(solid)
    ways = {(e.source, e.target, e.slot, e.part): e for e in scene.edges if e.kind != "backward"}
    chains = {c.id for c in scene.clusters if c.arrangement == "chain"}
    lane = {node.id: node.lane for node in scene.nodes}
    through, slanting = {}, {}
    for edge in scene.edges:
        leaves = lane[edge.source] not in (None, *chains) and lane[edge.target] is None
        across = edge.kind != "backward" and (leaves or edge.kind == "shared")
        if near.meets(paths[edge.id], edge.source, edge.target):
            back = edge.kind == "backward"
            key = (edge.target, edge.source) if back else (edge.source, edge.target)
            forward = ways.get((*key, edge.slot, edge.part), edge)
            through[forward.id] = forward
        elif across and _slants(paths[edge.id], 3.0 if edge.kind == "shared" else SLANT):
            slanting[edge.id] = edge
    wrong = through | slanting
    if len(wrong) > MOST:
        wrong = through  # what slants can be read all the same
    if len(wrong) > MOST:
        return
    gradients = {
        (e.target, e.source, e.slot, e.part): e.id for e in scene.edges if e.kind == "backward"
    }
    lines = _Lines(list(solid.values()))
    for edge in wrong.values():
        corners = lines.way(boxes[edge.source], boxes[edge.target])
        if corners is None:
            continue
        middle = max(zip(corners, corners[1:], strict=False), key=lambda p: abs(p[0][0] - p[1][0]))
        label = (middle[0][0] + middle[1][0]) / 2, middle[0][1] + 8
        paths[edge.id] = rounded(corners, label=label) if len(corners) > 2 else straight(*corners)
        gradient = gradients.get((edge.source, edge.target, edge.slot, edge.part))
        if gradient is not None:
            paths[gradient] = reversed_beside(paths[edge.id], ASIDE)


def _slants(path: Path, least: float) -> bool:
    (x, y), (u, v) = path.points[0], path.points[-1]
    return len(path.points) == 4 and min(abs(u - x), abs(v - y)) > least


class Grid:
    """Boxes by the cells of a grid that they touch."""

    def __init__(self, boxes: Mapping[str, Box]) -> None:
        self._cells: dict[tuple[int, int], list[tuple[str, Box]]] = defaultdict(list)
        for name, box in boxes.items():
            for cell in _cells(box.left, box.right, box.bottom, box.top):
                self._cells[cell].append((name, box))

    def meets(self, path: Path, *ends: str) -> bool:
        """Whether a path runs through a box other than its ends."""
        for k in range(0, len(path.points) - 1, 3):
            piece = path.points[k : k + 4]
            xs, ys = [p[0] for p in piece], [p[1] for p in piece]
            left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)
            # A piece lies within the rectangle around its points.
            found = {
                name: box
                for cell in _cells(left, right, bottom, top)
                for name, box in self._cells.get(cell, ())
                if box.left + EDGE < right
                and box.right - EDGE > left
                and box.bottom + EDGE < top
                and box.top - EDGE > bottom
                and name not in ends
            }
            if found and (min(right - left, top - bottom) < 0.01 or _within(piece, found)):
                return True
        return False


def _within(piece: Sequence[Point], boxes: Mapping[str, Box]) -> bool:
    """Whether a curved or slanted piece has a point in a box."""
    a, d = piece[0], piece[3]
    t = np.linspace(0, 1, 8 + int((abs(a[0] - d[0]) + abs(a[1] - d[1])) / STEP))
    basis = np.array([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    points = basis.T @ np.array(piece)
    middle = np.array([(box.x, box.y) for box in boxes.values()])
    half = np.array([(box.w / 2 - EDGE, box.h / 2 - EDGE) for box in boxes.values()])
    return bool((np.abs(points[:, None] - middle) < half).all(axis=2).any())


def _cells(left: float, right: float, bottom: float, top: float) -> Iterator[tuple[int, int]]:
    for x in range(int(left // CELL), int(right // CELL) + 1):
        for y in range(int(bottom // CELL), int(top // CELL) + 1):
            yield x, y


@dataclass
class _Line:
    """A free line at a place, from low to high; upright: the place is its x."""

    upright: bool
    place: float
    low: float
    high: float
    used: int = 0


class _Lines:
    """All free lines among some boxes."""

    def __init__(self, boxes: list[Box]) -> None:
        # (left, right, bottom, top); turned: the same with x and y exchanged.
        self._sides = np.array([(b.left, b.right, b.bottom, b.top) for b in boxes])
        self._turned = self._sides[:, [2, 3, 0, 1]]
        self._bounds = (
            self._sides[:, 0].min() - 60, self._sides[:, 1].max() + 60,
            self._sides[:, 2].min() - 60, self._sides[:, 3].max() + 60,
        )  # fmt: skip
        self._made: list[_Line] = []
        for upright in (True, False):
            sides = self._sides if upright else self._turned
            places = [c for m in MARGINS for c in (*(sides[:, 0] - m), *(sides[:, 1] + m))]
            for place in _distinct(places):
                self._made += self._free(upright, place)

    def _free(self, upright: bool, place: float, near: float = NEAR) -> list[_Line]:
        """The stretches of a line that keep a distance from all boxes."""
        sides = self._sides if upright else self._turned
        low, high = self._bounds[2:] if upright else self._bounds[:2]
        met = sides[(sides[:, 0] - near < place) & (place < sides[:, 1] + near)]
        found, start = [], low
        for a, b in sorted((row[2] - near, row[3] + near) for row in met):
            if a > start + 2:
                found.append(_Line(upright, place, start, float(a)))
            start = max(start, float(b))
        if high > start + 2:
            found.append(_Line(upright, place, start, high))
        return found

    def _exits(self, box: Box) -> list[tuple[_Line, Point]]:
        """Lines that leave a box straight from one of its sides, and where."""
        found = []
        for share in (0.0, -0.25, 0.25):
            for upright, place, edge, up in (
                (True, box.x + share * box.w, box.top, True),
                (True, box.x + share * box.w, box.bottom, False),
                (False, box.y + share * box.h, box.right, True),
                (False, box.y + share * box.h, box.left, False),
            ):
                for line in self._free(upright, place):
                    begins = line.low if up else line.high
                    if abs(begins - edge) < NEAR + 0.5:
                        low, high = (edge, line.high) if up else (line.low, edge)
                        out = (place, edge) if upright else (edge, place)
                        found.append((_Line(upright, place, low, high), out))
        return found

    def way(self, source: Box, target: Box) -> list[Point] | None:
        """Corners from one box to another; None: there is no free way."""
        starts, ends = self._exits(source), self._exits(target)
        lines = [*self._made, *(line for line, _ in starts), *(line for line, _ in ends)]
        first, last = len(self._made), len(self._made) + len(starts)
        upright = np.array([line.upright for line in lines])
        place = np.array([line.place for line in lines])
        low, high = (np.array([getattr(line, n) for line in lines]) for n in ("low", "high"))
        used = np.array([line.used for line in lines])
        best = np.full(len(lines), np.inf)
        came: dict[int, tuple[int, Point]] = {}
        queue: list[tuple[float, int, int, Point]] = []
        for k, (_, out) in enumerate(starts):
            share = abs(out[0] - source.x) / source.w + abs(out[1] - source.y) / source.h
            heapq.heappush(queue, (4 * share, k, first + k, out))
            best[first + k] = 4 * share
        number, outs = len(starts), {first + k: out for k, (_, out) in enumerate(starts)}
        goal = {last + k: out for k, (_, out) in enumerate(ends)}
        done: set[int] = set()
        while queue:
            cost, _, here, point = heapq.heappop(queue)
            if here in done:
                continue
            done.add(here)
            if here in goal:
                return self._walk(here, goal[here], came, outs, lines)
            line = lines[here]
            along = 1 if line.upright else 0
            crossing = (
                (upright != line.upright) & (line.low <= place) & (place <= line.high)
                & (low <= line.place) & (line.place <= high)
            )  # fmt: skip
            for other in np.flatnonzero(crossing).tolist():
                if other in done or first <= other < last:
                    continue
                length = abs(place[other] - point[along])
                if other in goal:
                    out = goal[other]
                    length += abs(out[1 - along] - line.place)
                total = cost + length + BEND + USED * int(used[other])
                if total < best[other]:
                    best[other] = total
                    where = (line.place, float(place[other]))
                    corner = where if line.upright else where[::-1]
                    came[other] = here, (corner[0], corner[1])
                    number += 1
                    heapq.heappush(queue, (total, number, other, came[other][1]))
        return None

    def _walk(
        self, here: int, end: Point, came: dict[int, tuple[int, Point]], outs: dict[int, Point],
        lines: list[_Line],
    ) -> list[Point]:  # fmt: skip
        corners = [end]
        while here in came:
            lines[here].used += 1
            here, corner = came[here]
            corners.append(corner)
        corners.append(outs[here])
        corners.reverse()
        return [c for k, c in enumerate(corners) if k == 0 or c != corners[k - 1]]


def _distinct(places: list[float]) -> list[float]:
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > 3.0:
            found.append(float(place))
    return found
