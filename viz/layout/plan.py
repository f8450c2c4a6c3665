"""A plan of the "unfolded" and "tree" views: what belongs to what, and where it has been put."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from ..scene.scene import Cluster, Edge, Node, Scene
from ..scene.style import size_of
from ..scene.text import width
from .geometry import Box, Path

GAP = 48.0  # between neighbouring cells of a chain
LEAF_GAP = 32.0  # between neighbouring leaves of a tree
DAG_GAP = 84.0  # between the levels of a structure that is neither chain nor tree
LEVEL = 96.0  # from one level of a tree to the next
IN_GAP, OUT_GAP = 54.0, 34.0  # from an input to its cell, from a cell to its output
LAYER_GAP, BAND_GAP = 52.0, 44.0
RAIL, RAIL_STEP = 24.0, 6.0  # the first rail below (above) a cell, and the distance to the next
TAP = 14.0  # between the taps of two rails at one cell, where gradients run beside them
PASS = 9.0  # between edges that pass by cells; with gradients beside them PASS_BOTH
PASS_BOTH = 15.0
ASIDE = 6.5  # half the distance between a value's edge and the gradient beside it
BEND = 6.0  # radius of the bends of rails
SIDE = 26.0  # between the lanes and what stands left and right of them


MOST_IN_LINE = 20  # columns of chains; more are wrapped into lines, as text is
LINE_LENGTH = 16  # columns of such a line, about


class Plan:
    """The boxes and paths of a scene while they are being decided."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.nodes = {node.id: node for node in scene.nodes}
        both_ways = any(edge.kind == "backward" for edge in scene.edges)
        self.both_ways = both_ways
        self.pitch = 44.0 if both_ways else 30.0  # between the parts of a state
        hubs: dict[str, set[str]] = defaultdict(set)  # parameters by the lane that they feed
        for edge in scene.edges:
            if edge.kind == "shared" and self.nodes[edge.source].lane is None:
                hubs[str(self.nodes[edge.target].lane)].add(edge.source)
        self._hubs = {lane: len(found) for lane, found in hubs.items()}
        self.size = {node.id: self._size(node) for node in scene.nodes}
        self.lanes = sorted(scene.clusters, key=lambda c: (-c.band, c.layer))
        self.arrangement = {lane.id: lane.arrangement for lane in scene.clusters}
        self.boxes: dict[str, Box] = {}
        self.paths: dict[str, Path] = {}
        self.gradients = {
            (e.source, e.target, e.slot, e.part): e for e in scene.edges if e.kind == "backward"
        }
        self.forward = {
            (e.source, e.target, e.slot): e.id
            for e in reversed(scene.edges)
            if e.kind != "backward"
        }
        self.rails: list[tuple[Node, list[Edge], int, float, bool, bool]] = []  # see rails
        self.free_left = 0.0  # left of here no rail turns
        self.lines, self.per_line = 1, 1 << 30
        self.line = dict.fromkeys(self.nodes, 0)  # of text, as it were, in which a node stands
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
        self._by_line: dict[tuple[str, int], list[Node]] = defaultdict(list)
        self._tops: dict[tuple[str, int], float] = {}  # of a lane's lines
        self._upright: dict[tuple[int, int], list[str]] = defaultdict(list)
        self.entering: dict[str, str] = {}  # the part of the state that an initial state is
        self.host: dict[str, str] = {}  # the cell an input, output or initial state stands beside
        for edge in scene.edges:
            self._attach(edge)

    def _attach(self, edge: Edge) -> None:
        source, target = self.nodes[edge.source], self.nodes[edge.target]
        if edge.kind == "backward" or source.lane is None or source.lane != target.lane:
            return
        if source.kind in ("input", "attend") and source.id not in self.host:
            self.below[target.id].append(source.id)
            self.host[source.id] = target.id
        elif source.kind == "initial" and source.id not in self.host:
            self.host[source.id] = target.id
            self.entering[source.id] = edge.part
        elif target.kind == "output" and target.id not in self.host:
            self.above[source.id].append(target.id)
            self.host[target.id] = source.id

    def cells(self, lane: str) -> list[Node]:
        return self._cells[lane]

    def put(self, id: str, x: float, y: float) -> None:
        self.boxes[id] = Box(x, y, *self.size[id])

    def wrap(self, rank: dict[int, int]) -> None:
        """Break the columns into lines, unless an edge would have to leave one in its middle."""
        lines = -(-len(rank) // LINE_LENGTH)
        per_line = -(-len(rank) // lines)
        line = {
            id: rank[node.column or 0] // per_line if node.kind in ("cell", "elided") else 0
            for id, node in self.nodes.items()
            if node.lane is not None
        }
        line |= {id: line[host] for id, host in self.host.items()}
        for edge in self.scene.edges:
            a, b = line.get(edge.source), line.get(edge.target)
            if a is None or b is None or a == b:
                continue
            first, second = (rank[self.nodes[n].column or 0] for n in (edge.source, edge.target))
            if (
                abs(first - second) > 1
                or self.nodes[edge.source].lane != self.nodes[edge.target].lane
            ):
                return
        self.lines, self.per_line = lines, per_line
        self.line |= line

    def in_line(self, lane: Cluster, line: int) -> list[Node]:
        """The cells of a lane in a line; asked when the lines are made."""
        if not self._by_line:
            for id in self.members:
                for cell in self.cells(id):
                    self._by_line[id, self.line[cell.id]].append(cell)
        return self._by_line.get((lane.id, line), [])

    def _size(self, node: Node) -> tuple[float, float]:
        wide, tall = size_of(node)
        if node.kind == "cell" and self.both_ways:  # the taps of several rails, each with gradient
            wide = max(wide, 2 * (28 + TAP * (self._hubs.get(str(node.lane), 1) - 1)))
        return wide, max(tall, self.pitch * len(node.parts) + 4 if len(node.parts) > 1 else 0.0)

    def port(self, id: str, part: str) -> float:
        """The height at which a part of the state meets a node."""
        parts, box = self.nodes[id].parts, self.boxes[id]
        if part not in parts:
            return box.y
        return box.y + (parts.index(part) - (len(parts) - 1) / 2) * self.pitch

    def top(self, id: str) -> float:
        """The highest point of the line in which a node stands; asked when the lanes are placed."""
        if not self._tops:
            for name, box in self.boxes.items():
                key = str(self.nodes[name].lane), self.line.get(name, 0)
                self._tops[key] = max(self._tops.get(key, box.top), box.top)
        return self._tops[str(self.nodes[id].lane), self.line.get(id, 0)]

    def upright(self, x: float, line: int) -> list[str]:
        """What is centred on an upright line of a line; asked when everything has its place."""
        if not self._upright:
            for id, box in self.boxes.items():
                self._upright[self.line[id], round(box.x)].append(id)
        near = (id for at in (-1, 0, 1) for id in self._upright.get((line, round(x) + at), ()))
        return [id for id in near if abs(self.boxes[id].x - x) < 1]

    @cached_property
    def _cells(self) -> dict[str, list[Node]]:
        steps = ("cell", "elided", "tree")
        found = {id: [n for n in nodes if n.kind in steps] for id, nodes in self.members.items()}
        return defaultdict(list, found)

    @property
    def beside_bottom(self) -> float:
        """How far down what stands beside the lanes reaches."""
        hubs = (self.boxes[n.id] for n in self.scene.nodes if n.lane is None and n.id in self.boxes)
        return min((box.bottom for box in hubs), default=float("inf"))

    def row_width(self, names: list[str]) -> float:
        return sum(self.size[name][0] + 10 for name in names) - 10 if names else 0.0

    def has_backward(self, edge: Edge) -> bool:
        return (edge.target, edge.source, edge.slot, edge.part) in self.gradients

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
        return max(GAP, 22 + max(labels, default=0.0)) + self.beside

    @cached_property
    def ways(self) -> dict[tuple[str, str], int]:
        """Which way beside the cells an edge takes that passes some, on its way to another lane.

        Those that pass by each other have ways of their own; the shorter ones are further inside.
        """
        layer = {c.id: c.layer for c in self.scene.clusters if c.arrangement == "chain"}
        spans: dict[int | None, list[tuple[float, float, tuple[str, str]]]] = defaultdict(list)
        for e in self.scene.edges:
            a, b = self.nodes[e.source], self.nodes[e.target]
            if e.kind == "backward" or a.lane == b.lane or a.lane not in layer:
                continue
            if b.lane not in layer:
                continue
            start, end = float(layer[str(a.lane)]), float(layer[str(b.lane)])
            if a.kind != "cell":
                start -= 0.5  # below the cell that it stands at
            if a.kind != "cell" or abs(end - start) > 1:
                column = self.nodes[self.host.get(a.id, a.id)].column
                spans[column].append((min(start, end), max(start, end), (e.source, e.target)))
        found: dict[tuple[str, str], int] = {}
        for passing in spans.values():
            taken: list[tuple[float, float, int]] = []
            for low, high, key in sorted(passing, key=lambda s: (s[1] - s[0], s[0])):
                if key in found:
                    continue
                used = {way for a, b, way in taken if a < high and low < b}
                found[key] = next(way for way in range(len(taken) + 1) if way not in used)
                taken.append((low, high, found[key]))
        return found

    @cached_property
    def shares(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], tuple[int, int]]]:
        """Of edges with ways: which it is of those that leave its source; at its target which of
        how many."""
        leaving, entering = defaultdict(list), defaultdict(list)
        for key in sorted(self.ways, key=lambda key: self.ways[key]):
            leaving[key[0]].append(key)
            entering[key[1]].append(key)
        return (
            {key: k for keys in leaving.values() for k, key in enumerate(keys)},
            {key: (k, len(keys)) for keys in entering.values() for k, key in enumerate(keys)},
        )

    @property
    def apart(self) -> float:
        """Between two ways beside a cell."""
        return PASS_BOTH if self.both_ways else PASS

    @cached_property
    def beside(self) -> float:
        """Room right of the cells of chains for edges that pass by, on their way to other lanes."""
        return 24.0 + self.apart * max(self.ways.values()) if self.ways else 0.0

    def inputs_height(self, cells: list[str]) -> float:
        tall = [self.size[name][1] for cell in cells for name in self.below[cell]]
        return max(tall) + IN_GAP if tall else 0.0

    def outputs_height(self, cells: list[str]) -> float:
        tall = [self.size[name][1] for cell in cells for name in self.above[cell]]
        return (max(tall) + OUT_GAP if tall else 0.0) + (RAIL if self.feeds_loss(cells) else 0.0)

    def feeds_loss(self, cells: list[str]) -> bool:
        return not self.feeding.isdisjoint(cells)
