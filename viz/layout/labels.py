"""Texts beside edges: each is moved along its edge until it lies on no other text and no box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..scene.text import width
from .geometry import Box, Mark, Path, Point

SIZE = 9.0
PLACES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78, 0.15, 0.85)
OFFSETS = (8.0, -8.0, 14.0, -14.0, 20.0, -20.0)
LINE = 0.5  # what a point of an edge counts against the area of other texts and boxes
CELL = 60.0  # of the grid in which neighbours are looked up


def free_labels(
    paths: Mapping[str, Path],
    labels: Mapping[str, str],
    boxes: Mapping[str, Box],
    marks: Sequence[Mark] = (),
) -> dict[str, Path]:
    """The paths with places for their labels; one that finds none keeps the least bad."""
    taken: dict[tuple[int, int], list[Box]] = defaultdict(list)
    for box in boxes.values():
        _take(taken, box)
    for mark in marks:
        wide = width(mark.text, mark.size)
        _take(taken, Box(mark.x + wide / 2, mark.y, wide, mark.size * 1.2))
    passing: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for path in paths.values():
        for x, y in _sampled(path):
            passing[int(x // CELL), int(y // CELL)].append((x, y))
    found = dict(paths)
    for id, path in paths.items():
        if id not in labels:
            continue
        wide = width(labels[id], SIZE) + 2
        best: tuple[float, Box] | None = None
        for t in PLACES:
            (x, y), (dx, dy) = at(path, t)
            for offset in OFFSETS:
                # Beside an upright line the text moves sideways, as far as it is wide.
                steep = abs(dy) > 2 * abs(dx)
                aside = (wide / 2 + abs(offset) - 4) * (1 if offset > 0 else -1)
                box = Box(x + (aside if steep else 0), y + (0 if steep else -offset), wide, SIZE)
                bad = sum(_shared(box, other) for other in _near(taken, box))
                bad += LINE * _crossed(passing, box)
                if best is None or bad < best[0] - 1e-9:
                    best = bad, box
                if bad == 0:
                    break
            if best is not None and best[0] == 0:
                break
        assert best is not None
        _take(taken, best[1])
        found[id] = replace(path, label=(best[1].x, best[1].y))
    return found


def _sampled(path: Path) -> list[Point]:
    pieces = (len(path.points) - 1) // 3
    length = sum(
        abs(a[0] - b[0]) + abs(a[1] - b[1])
        for a, b in zip(path.points, path.points[1:], strict=False)
    )
    count = max(4 * pieces, int(length / 3))
    return [at(path, k / count)[0] for k in range(count)]


def _crossed(passing: dict[tuple[int, int], list[Point]], box: Box) -> int:
    """How much of any edge runs through a text."""
    points = (point for cell in _cells(box) for point in passing.get(cell, ()))
    return sum(abs(x - box.x) < box.w / 2 and abs(y - box.y) < box.h / 2 for x, y in points)


def at(path: Path, t: float) -> tuple[Point, Point]:
    """A point of the path, and its direction there."""
    pieces = (len(path.points) - 1) // 3
    k = min(int(t * pieces), pieces - 1)
    u = t * pieces - k
    a, b, c, d = path.points[3 * k : 3 * k + 4]
    w = ((1 - u) ** 3, 3 * (1 - u) ** 2 * u, 3 * (1 - u) * u**2, u**3)
    v = (-((1 - u) ** 2), (1 - u) ** 2 - 2 * (1 - u) * u, 2 * (1 - u) * u - u**2, u**2)
    point = tuple(sum(f * p[i] for f, p in zip(w, (a, b, c, d), strict=True)) for i in (0, 1))
    slope = tuple(sum(f * p[i] for f, p in zip(v, (a, b, c, d), strict=True)) for i in (0, 1))
    return (point[0], point[1]), (slope[0], slope[1])


def _cells(box: Box) -> list[tuple[int, int]]:
    xs = range(int(box.left // CELL), int(box.right // CELL) + 1)
    ys = range(int(box.bottom // CELL), int(box.top // CELL) + 1)
    return [(x, y) for x in xs for y in ys]


def _take(taken: dict[tuple[int, int], list[Box]], box: Box) -> None:
    for cell in _cells(box):
        taken[cell].append(box)


def _near(taken: dict[tuple[int, int], list[Box]], box: Box) -> list[Box]:
    found = {id(other): other for cell in _cells(box) for other in taken.get(cell, ())}
    return list(found.values())


def _shared(a: Box, b: Box) -> float:
    wide = min(a.right, b.right) - max(a.left, b.left)
    high = min(a.top, b.top) - max(a.bottom, b.bottom)
    return wide * high if wide > 0 and high > 0 else 0.0
