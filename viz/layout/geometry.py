"""Boxes and paths, in points, y upwards (as Graphviz has it): all that a layout hands on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..scene.style import MUTED

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre and size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> float:
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        return self.x + self.w / 2

    @property
    def bottom(self) -> float:
        return self.y - self.h / 2

    @property
    def top(self) -> float:
        return self.y + self.h / 2


@dataclass(frozen=True)
class Path:
    """A piecewise cubic curve: a start, then three points for each piece.

    arrow: whether its end has a head.  label: where the middle of its text goes.

    Raises ValueError for a number of points that is no such curve's.
    """

    points: tuple[Point, ...]
    arrow: bool = True
    label: Point | None = None

    def __post_init__(self) -> None:
        # Graphviz silently draws a route of its own where it is given a malformed one.
        if len(self.points) < 4 or len(self.points) % 3 != 1:
            raise ValueError(f"a path of {len(self.points)} points is no piecewise cubic")


@dataclass(frozen=True)
class Mark:
    """Text that is no node: a title, a legend entry. ``x`` is its left end, ``y`` its middle.

    id: of a text that is about something, such as the number beside a bar.
    """

    text: str
    x: float
    y: float
    size: float = 10
    color: str = MUTED
    id: str = ""


@dataclass(frozen=True)
class Stroke:
    """A sample line of the legend for one gradient norm (0: vanished, NaN: not finite).

    kind: of the edges it is a sample of.
    """

    start: Point
    end: Point
    norm: float
    kind: str = "backward"


@dataclass(frozen=True)
class Swatch:
    """A filled sample of the legend: the tint of nodes with this gradient norm."""

    box: Box
    norm: float


@dataclass(frozen=True)
class Tile:
    """A small box of a table: a square, a bar, a strip.

    kind: "use", "rest" (several uses), "together" and "total" (bars), "strip", "tick".
    norm: what its colour shows.  norms: of a strip, from left to right; None: nothing there.
    scale: by which scale, one of the kinds of tracks.
    """

    id: str
    box: Box
    kind: str
    text: str = ""
    norm: float = 0.0
    norms: tuple[float | None, ...] = ()
    tooltip: str = ""
    scale: str = "gradient"


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    boxes: by node id.  paths: by edge id.  frames: by cluster id.
    marks, strokes, swatches: the title, the notes and the legend.  tiles: tables.
    """

    boxes: dict[str, Box]
    paths: dict[str, Path]
    frames: dict[str, Box] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    swatches: tuple[Swatch, ...] = ()
    tiles: tuple[Tile, ...] = ()


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that contains them all; an empty one at the origin for none."""
    if not boxes:
        return Box(0, 0, 0, 0)
    left, right = min(b.left for b in boxes), max(b.right for b in boxes)
    bottom, top = min(b.bottom for b in boxes), max(b.top for b in boxes)
    return Box((left + right) / 2, (bottom + top) / 2, right - left, top - bottom)


def straight(start: Point, end: Point, **kwargs: object) -> Path:
    """A straight line from ``start`` to ``end``."""
    return Path((start, _between(start, end, 1 / 3), _between(start, end, 2 / 3), end), **kwargs)  # type: ignore[arg-type]


def rounded(corners: Sequence[Point], radius: float = 6, **kwargs: object) -> Path:
    """Straight pieces through ``corners`` with each inner corner rounded off."""
    points: list[Point] = [corners[0]]
    here = corners[0]
    for corner, after in zip(corners[1:-1], corners[2:], strict=True):
        r = min(radius, math.dist(here, corner) / 2, math.dist(corner, after) / 2)
        enter, leave = _toward(corner, here, r), _toward(corner, after, r)
        points += _line(points[-1], enter)
        points += [_toward(corner, here, r * 0.45), _toward(corner, after, r * 0.45), leave]
        here = corner
    points += _line(points[-1], corners[-1])
    return Path(tuple(points), **kwargs)  # type: ignore[arg-type]


def smooth(through: Sequence[Point], horizontal: bool = True, **kwargs: object) -> Path:
    """A curve through the points that leaves and enters each along the flow.

    horizontal: the flow is from left to right, else upwards.
    """
    points: list[Point] = [through[0]]
    for a, b in zip(through, through[1:], strict=False):
        if horizontal:
            reach = (b[0] - a[0]) * 0.45
            points += [(a[0] + reach, a[1]), (b[0] - reach, b[1]), b]
        else:
            reach = (b[1] - a[1]) * 0.45
            points += [(a[0], a[1] + reach), (b[0], b[1] - reach), b]
    return Path(tuple(points), **kwargs)  # type: ignore[arg-type]


def beside(start: Point, end: Point, distance: float) -> tuple[Point, Point]:
    """The segment from ``start`` to ``end`` shifted to its left by ``distance``."""
    length = math.dist(start, end) or 1.0
    dx, dy = -(end[1] - start[1]) / length * distance, (end[0] - start[0]) / length * distance
    return (start[0] + dx, start[1] + dy), (end[0] + dx, end[1] + dy)


def _between(a: Point, b: Point, part: float) -> Point:
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _toward(a: Point, b: Point, distance: float) -> Point:
    return _between(a, b, distance / (math.dist(a, b) or 1.0))


def _line(a: Point, b: Point) -> list[Point]:
    return [_between(a, b, 1 / 3), _between(a, b, 2 / 3), b]
