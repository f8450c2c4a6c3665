"""Edges from the end of a line of steps to the start of the next, as the eye goes in reading.

Out at the right, down, back through the gap above the next line, and in at its left.
Each has a way of its own: none lies on another, none runs through a box.
"""

from __future__ import annotations

from collections import defaultdict

from ..scene.scene import Edge
from .geometry import Box, Path, Point, around, rounded
from .plan import ASIDE, Plan

OUT, APART = 12.0, 7.0  # from a cell to the first way beside it, and from way to way
HIGH = 13.0  # between ways in the gap: each may have a text
ROOM = 14.0  # above the first and below the last


class Returns:
    """Finds these edges, asks for room above the lines they lead to, and makes their paths."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        bands = {c.id: c.band for c in plan.scene.clusters}
        self._by_gap: dict[tuple[int, int], list[Edge]] = defaultdict(list)  # above which line
        self._height: dict[tuple[int, int], float] = {}
        for edge in plan.scene.edges if plan.lines > 1 else ():
            a, b = plan.line[edge.source], plan.line[edge.target]
            lane = plan.nodes[edge.source].lane
            if a != b and lane is not None and plan.nodes[edge.target].lane is not None:
                self._by_gap[bands[lane], max(a, b)].append(edge)

    @property
    def margin(self) -> float:
        """The room that the ways take beside the lanes."""
        most = max(map(len, self._by_gap.values()), default=0)
        return OUT + APART * most if most else 0.0

    def reserve(self, band: int, line: int, y: float) -> float:
        """The height of the gap above a line whose highest point is y."""
        edges = self._by_gap.get((band, line), [])
        self._height[band, line] = y
        return 2 * ROOM + HIGH * (len(edges) - 1) if edges else 0.0

    def route(self) -> None:
        boxes = around([self.plan.boxes[n.id] for n in self.plan.scene.nodes
                        if n.kind in ("cell", "elided") and n.id in self.plan.boxes])  # fmt: skip
        for gap, edges in self._by_gap.items():
            # The outermost way on the right is the lowest in the gap, and outermost on the left.
            for k, edge in enumerate(sorted(edges, key=self._depth)):
                self.plan.paths[edge.id] = self._way(edge, k, len(edges), gap, boxes)

    def _depth(self, edge: Edge) -> float:
        """Upper ends first: they turn furthest outside."""
        upper = min((edge.source, edge.target), key=lambda id: self.plan.line[id])
        return -self._height_at(edge, upper)

    def _height_at(self, edge: Edge, id: str) -> float:
        back = edge.kind == "backward"
        aside = ASIDE if back or self.plan.has_backward(edge) else 0.0
        return self.plan.port(id, edge.part) + (-aside if back else aside)

    def _way(self, edge: Edge, k: int, n: int, gap: tuple[int, int], boxes: Box) -> Path:
        plan = self.plan
        upper, lower = sorted((edge.source, edge.target), key=lambda id: plan.line[id])
        a, b = plan.boxes[upper], plan.boxes[lower]
        y = self._height[gap] + ROOM + HIGH * k
        right, left = (
            boxes.right + OUT + APART * (n - 1 - k),
            boxes.left - OUT - APART * (n - 1 - k),
        )
        first, last = self._height_at(edge, upper), self._height_at(edge, lower)
        corners: list[Point] = [
            (a.right, first), (right, first), (right, y), (left, y), (left, last), (b.left, last),
        ]  # fmt: skip
        down = edge.source == upper
        return rounded(corners if down else corners[::-1], label=(b.right + 30, y + 6))
