"""A plan of the "unfolded" and "tree" views: what belongs to what, and where it has been put."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from ..scene.scene import Edge, Node, Scene
from ..scene.style import size_of
from ..scene.text import width
from .geometry import Box, Path

GAP = 48.0  # between neighbouring cells of a chain
LEAF_GAP = 32.0  # between neighbouring leaves of a tree
DAG_GAP = 84.0  # between the levels of a structure that is neither chain nor tree
LEVEL = 96.0  # from one level of a tree to the next
IN_GAP, OUT_GAP = 50.0, 34.0  # from an input to its cell, from a cell to its output
LAYER_GAP, BAND_GAP = 52.0, 44.0
RAIL, RAIL_STEP = 20.0, 6.0  # the first rail below (above) a cell, and the distance to the next
ASIDE = 6.5  # half the distance between a value's edge and the gradient beside it
BEND = 6.0  # radius of the bends of rails
SIDE = 26.0  # between the lanes and what stands left and right of them


class Plan:
    """The boxes and paths of a scene while they are being decided."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.nodes = {node.id: node for node in scene.nodes}
        self.size = {node.id: size_of(node) for node in scene.nodes}
        self.lanes = sorted(scene.clusters, key=lambda c: (-c.band, c.layer))
        self.arrangement = {lane.id: lane.arrangement for lane in scene.clusters}
        self.boxes: dict[str, Box] = {}
        self.paths: dict[str, Path] = {}
        self.gradients = {
            (e.source, e.target, e.slot): e for e in scene.edges if e.kind == "backward"
        }
        self.members: dict[str, list[Node]] = defaultdict(list)
        for node in scene.nodes:
            if node.lane is not None:
                self.members[node.lane].append(node)
        self.below: dict[str, list[str]] = defaultdict(list)  # inputs by cell
        self.above: dict[str, list[str]] = defaultdict(list)  # outputs by cell
        self.feeding = {  # cells that a loss, or another box outside the lanes, reads
            e.source
            for e in scene.edges
            if e.kind in ("forward", "elided") and self.nodes[e.target].lane is None
        }
        self._tops: dict[tuple[str, int], float] = {}  # of a lane, by how many boxes there are
        self._upright: dict[int, list[str]] = defaultdict(list)
        self.host: dict[str, str] = {}  # the cell an input, output or initial state stands beside
        for edge in scene.edges:
            self._attach(edge)

    def _attach(self, edge: Edge) -> None:
        source, target = self.nodes[edge.source], self.nodes[edge.target]
        if edge.kind == "backward" or source.lane is None or source.lane != target.lane:
            return
        if source.kind == "input" and source.id not in self.host:
            self.below[target.id].append(source.id)
            self.host[source.id] = target.id
        elif source.kind == "initial" and source.id not in self.host:
            self.host[source.id] = target.id
        elif target.kind == "output" and target.id not in self.host:
            self.above[source.id].append(target.id)
            self.host[target.id] = source.id

    def cells(self, lane: str) -> list[Node]:
        return [n for n in self.members[lane] if n.kind in ("cell", "elided", "tree")]

    def put(self, id: str, x: float, y: float) -> None:
        self.boxes[id] = Box(x, y, *self.size[id])

    def top(self, lane: str) -> float:
        """The highest point of what is placed in a lane; every tap of a rail asks."""
        key = lane, len(self.boxes)
        if key not in self._tops:
            placed = (n.id for n in self.members[lane] if n.id in self.boxes)
            self._tops[key] = max(self.boxes[id].top for id in placed)
        return self._tops[key]

    def upright(self, x: float) -> list[str]:
        """What is centred on an upright line; asked when everything has its place."""
        if not self._upright:
            for id, box in self.boxes.items():
                self._upright[round(box.x)].append(id)
        near = (id for at in (-1, 0, 1) for id in self._upright.get(round(x) + at, ()))
        return [id for id in near if abs(self.boxes[id].x - x) < 1]

    def row_width(self, names: list[str]) -> float:
        return sum(self.size[name][0] + 10 for name in names) - 10 if names else 0.0

    def has_backward(self, edge: Edge) -> bool:
        return (edge.target, edge.source, edge.slot) in self.gradients

    def put_row(self, names: list[str], x: float, y: float, side: int) -> None:
        """A row of boxes around x: above the line y (side 1), below (-1), or centred on it (0)."""
        x -= self.row_width(names) / 2
        for name in names:
            wide, tall = self.size[name]
            self.put(name, x + wide / 2, y + side * tall / 2)
            x += wide + 10

    @cached_property
    def gap(self) -> float:
        """Between neighbouring cells: the widest text beside an edge has to fit."""
        labels = [
            width(e.label, 9) for e in self.scene.edges if e.kind in ("state", "elided", "backward")
        ]
        return max(GAP, 22 + max(labels, default=0.0))

    def inputs_height(self, cells: list[str]) -> float:
        tall = [self.size[name][1] for cell in cells for name in self.below[cell]]
        return max(tall) + IN_GAP if tall else 0.0

    def outputs_height(self, cells: list[str]) -> float:
        tall = [self.size[name][1] for cell in cells for name in self.above[cell]]
        return (max(tall) + OUT_GAP if tall else 0.0) + (RAIL if self.feeds_loss(cells) else 0.0)

    def feeds_loss(self, cells: list[str]) -> bool:
        return not self.feeding.isdisjoint(cells)
