"""The layout of unrolled graphs: one step is laid out and tiled, lanes are stacked, hubs become
rails.

A *lane* is one recurrence over one sequence or tree. Time runs from left to right, layers and
directions are stacked upwards, trees stand on their words. A parameter or a loss that meets every
step would ruin a picture as a fan of edges (and makes ``dot`` take forever), so its edges run along
one thin rail with a tap at each step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from ..scene.scene import Cluster, Edge, Node, Scene
from ..scene.style import size_of
from ..scene.text import width
from .geometry import Box, Layout, Path, Point, around, beside, rounded, smooth, straight
from .layered import curve, layered
from .ops import reversed_beside
from .tidy_tree import tidy_tree

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


class _Plan:
    """The boxes and paths while they are being decided."""

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

    def row_width(self, names: list[str]) -> float:
        return sum(self.size[name][0] + 10 for name in names) - 10 if names else 0.0

    def has_backward(self, edge: Edge) -> bool:
        return (edge.target, edge.source, edge.slot) in self.gradients


def place_steps(scene: Scene) -> Layout:
    """Boxes lane by lane, then what belongs to no lane, then the edges."""
    plan = _Plan(scene)
    columns = _columns(plan)
    y = start = 0.0
    before: Cluster | None = None
    for lane in plan.lanes:
        if before is not None and (lane.band, lane.layer) != (before.band, before.layer):
            start = y + (BAND_GAP if lane.band != before.band else LAYER_GAP)
        # Lanes of one band and layer continue each other: they stand side by side.
        y = max(y, _PLACE_LANE[lane.arrangement](plan, lane, columns, start))
        before = lane
    _place_sides(plan)
    for edge in scene.edges:
        if edge.id not in plan.paths:
            plan.paths[edge.id] = _route(plan, edge)
    return Layout(plan.boxes, plan.paths)


# -- lanes -----------------------------------------------------------------------------------------
# ----------


def _columns(plan: _Plan) -> dict[int, float]:
    """x of every time step shown; all chains share them, so that steps stand above each other."""
    shown: set[int] = set()
    pitch = 0.0
    for lane in plan.lanes:
        if lane.arrangement != "chain":
            continue
        for cell in plan.cells(lane.id):
            shown.add(cell.column or 0)
            around_cell = (
                max(plan.row_width(plan.below[cell.id]), plan.row_width(plan.above[cell.id])) + 16
            )
            pitch = max(pitch, plan.size[cell.id][0] + _gap(plan), around_cell)
    return {column: k * pitch for k, column in enumerate(sorted(shown))}


def _gap(plan: _Plan) -> float:
    labels = [
        width(e.label, 9) for e in plan.scene.edges if e.kind in ("state", "elided", "backward")
    ]
    return max(GAP, 22 + max(labels, default=0.0))


def _chain(plan: _Plan, lane: Cluster, columns: dict[int, float], y: float) -> float:
    cells = plan.cells(lane.id)
    tall = max((plan.size[c.id][1] for c in cells), default=0.0)
    base = y + _inputs_height(plan, [c.id for c in cells]) + tall / 2
    for cell in cells:
        plan.put(cell.id, columns[cell.column or 0], base)
        _place_attached(plan, cell.id)
    _place_initials(plan, lane)
    return base + tall / 2 + _outputs_height(plan, [c.id for c in cells])


def _tree(plan: _Plan, lane: Cluster, columns: dict[int, float], y: float) -> float:
    cells = plan.cells(lane.id)
    ids = {cell.id for cell in cells}
    level = {cell.id: cell.level or 0 for cell in cells}
    children: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    has_parent = set()
    for k, edge in enumerate(plan.scene.edges):
        if edge.kind in ("state", "elided") and edge.source in ids and edge.target in ids:
            children[edge.target].append((edge.slot, k, edge.source))
            has_parent.add(edge.source)
    kids = {cell: [name for *_, name in sorted(found)] for cell, found in children.items()}
    half = {}
    for cell in cells:
        reach = plan.size[cell.id][0] / 2
        row = plan.row_width(plan.below[cell.id])
        # An inner node's own input stands to its right, a leaf's below it.
        beside = row + 22 if row and kids.get(cell.id) else 0.0
        half[cell.id] = (
            max(reach, 0 if beside else row / 2),
            max(reach + beside, row / 2 if not beside else 0),
        )
    roots = [cell.id for cell in cells if cell.id not in has_parent]
    x = tidy_tree(roots, kids, level, half, LEAF_GAP)
    tall = max((plan.size[c.id][1] for c in cells), default=0.0)
    leaves = [cell.id for cell in cells if not kids.get(cell.id)]
    base = y + _inputs_height(plan, leaves) + tall / 2
    for cell in cells:
        plan.put(cell.id, x[cell.id], base + level[cell.id] * LEVEL)
        _place_attached(plan, cell.id, inputs_right=bool(kids.get(cell.id)))
    _place_initials(plan, lane)
    top = max((box.top for name, box in plan.boxes.items() if name in ids), default=base)
    return top + _outputs_height(plan, [c.id for c in cells])


def _grid(plan: _Plan, lane: Cluster, columns: dict[int, float], y: float) -> float:
    """Rows downwards, as a page is read; the input of a cell comes in from its upper left."""
    cells = plan.cells(lane.id)
    rows = max((cell.level or 0 for cell in cells), default=0)
    wide = max((plan.size[c.id][0] for c in cells), default=0.0)
    tall = max((plan.size[c.id][1] for c in cells), default=0.0)
    inputs = max((plan.row_width(plan.below[c.id]) for c in cells), default=0.0)
    pitch_x, pitch_y = wide + max(_gap(plan), inputs + 16), tall + 66.0
    for cell in cells:
        plan.put(
            cell.id,
            (cell.column or 0) * pitch_x,
            y + tall / 2 + RAIL + (rows - (cell.level or 0)) * pitch_y,
        )
        box = plan.boxes[cell.id]
        _place_row(plan, plan.below[cell.id], box.left - inputs / 2 - 6, box.top + 22, 0)
        _place_row(plan, plan.above[cell.id], box.right + 12, box.top + 22, 0)
    top = max(
        (plan.boxes[n.id].top for n in plan.members[lane.id] if n.id in plan.boxes), default=y
    )
    return top + RAIL


def _dag(plan: _Plan, lane: Cluster, columns: dict[int, float], y: float) -> float:
    names = {node.id for node in plan.members[lane.id]}
    edges = [e for e in plan.scene.edges if e.kind != "backward" and {e.source, e.target} <= names]
    sizes = {name: plan.size[name] for name in names_in_order(plan, lane)}
    placed = layered(sizes, [(e.source, e.target) for e in edges], gap=(DAG_GAP, 26.0))
    lift = y - min((box.bottom for box in placed.boxes.values()), default=0.0)
    for name, box in placed.boxes.items():
        plan.put(name, box.x, box.y + lift)
    for edge, route in zip(edges, placed.routes, strict=True):
        plan.paths[edge.id] = curve([(px, py + lift) for px, py in route])
    top = max((plan.boxes[name].top for name in names), default=y)
    return top + RAIL


def names_in_order(plan: _Plan, lane: Cluster) -> list[str]:
    """The lane's nodes in the scene's order, which keeps layouts the same from run to run."""
    return [node.id for node in plan.members[lane.id]]


_PLACE_LANE: dict[str, Callable[[_Plan, Cluster, dict[int, float], float], float]] = {
    "chain": _chain,
    "tree": _tree,
    "grid": _grid,
    "dag": _dag,
}


def _inputs_height(plan: _Plan, cells: list[str]) -> float:
    tall = [plan.size[name][1] for cell in cells for name in plan.below[cell]]
    return max(tall) + IN_GAP if tall else 0.0


def _outputs_height(plan: _Plan, cells: list[str]) -> float:
    tall = [plan.size[name][1] for cell in cells for name in plan.above[cell]]
    return (max(tall) + OUT_GAP if tall else 0.0) + (RAIL if _feeds_loss(plan, cells) else 0.0)


def _feeds_loss(plan: _Plan, cells: list[str]) -> bool:
    return not plan.feeding.isdisjoint(cells)


def _place_attached(plan: _Plan, cell: str, inputs_right: bool = False) -> None:
    box = plan.boxes[cell]
    if inputs_right:
        x = box.right + 22
        for name in plan.below[cell]:
            plan.put(name, x + plan.size[name][0] / 2, box.y)
            x += plan.size[name][0] + 10
    else:
        _place_row(plan, plan.below[cell], box.x, box.bottom - IN_GAP, -1)
    aside = 9.0 if _feeds_loss(plan, [cell]) else 0.0  # room for the way up to the loss
    _place_row(plan, plan.above[cell], box.x - aside, box.top + OUT_GAP, 1)


def _place_row(plan: _Plan, names: list[str], x: float, y: float, side: int) -> None:
    """A row of boxes around x: above the line y (side 1), below it (-1), or centred on it (0)."""
    x -= plan.row_width(names) / 2
    for name in names:
        wide, tall = plan.size[name]
        plan.put(name, x + wide / 2, y + side * tall / 2)
        x += wide + 10


def _place_initials(plan: _Plan, lane: Cluster) -> None:
    """Initial states stand before the cell they enter: on the left, or on the right where time is
    reversed.
    """
    waiting: dict[str, list[str]] = defaultdict(list)
    for node in plan.members[lane.id]:
        if node.kind == "initial" and node.id in plan.host:
            waiting[plan.host[node.id]].append(node.id)
    steps = [plan.boxes[c.id].x for c in plan.cells(lane.id)]
    for cell, names in waiting.items():
        box = plan.boxes[cell]
        reverse = len(steps) > 1 and box.x == max(steps) and box.x != min(steps)
        for k, name in enumerate(names):
            wide, tall = plan.size[name]
            x = box.right + GAP + wide / 2 if reverse else box.left - GAP - wide / 2
            plan.put(name, x, box.y + ((len(names) - 1) / 2 - k) * (tall + 6))


# -- rails: parameters below the cells, losses above
# ---------------------------------------------------------------


def _rails(plan: _Plan) -> list[tuple[Node, list[Edge], list[Edge]]]:
    """The nodes outside all lanes, with the edges by which they read cells and those by which they
    feed them.
    """
    reads: dict[str, list[Edge]] = defaultdict(list)
    feeds: dict[str, list[Edge]] = defaultdict(list)
    for edge in plan.scene.edges:
        if edge.kind == "backward":
            continue
        outer_source = plan.nodes[edge.source].lane is None
        outer_target = plan.nodes[edge.target].lane is None
        if outer_source and not outer_target:
            feeds[edge.source].append(edge)
        elif outer_target and not outer_source:
            reads[edge.target].append(edge)
    return [
        (node, reads[node.id], feeds[node.id]) for node in plan.scene.nodes if node.lane is None
    ]


def _place_sides(plan: _Plan) -> None:
    """What feeds cells goes to the left of the lanes, what reads them to the right, the rest by
    what it is tied to.
    """
    extent = around([plan.boxes[n.id] for n in plan.scene.nodes if n.lane is not None])
    rails = _rails(plan)
    ranks: dict[tuple[float, bool], int] = defaultdict(
        int
    )  # rails per height so far, below and above
    _place_column(plan, [r for r in rails if r[2] and not r[1]], extent, ranks, left=True)
    near = [
        node
        for node, reads, feeds in rails
        if len(reads) == 1 and not feeds and _fits_near(plan, node, reads[0])
    ]
    _place_column(plan, [r for r in rails if r[1] and r[0] not in near], extent, ranks, left=False)
    # What is tied to no lane (targets, output weights) stands in a row to the right of the loss
    # that reads it.
    tied: dict[str, list[str]] = defaultdict(list)
    for edge in plan.scene.edges:
        if edge.kind != "backward" and edge.source not in plan.boxes and edge.target in plan.boxes:
            tied[edge.target].append(edge.source)
    for target, names in tied.items():
        box = plan.boxes[target]
        start = box.right + GAP + plan.row_width(names) / 2
        _place_row(plan, list(dict.fromkeys(names)), start, box.y, 0)
    lonely = [node.id for node in plan.scene.nodes if node.id not in plan.boxes]
    _place_row(plan, lonely, extent.x, extent.top + BAND_GAP, 1)


def _fits_near(plan: _Plan, node: Node, edge: Edge) -> bool:
    """Put a reader of one cell straight above or to the right of it if there is nothing else."""
    box = plan.boxes[edge.source]
    wide, tall = plan.size[node.id]
    above = Box(box.x, box.top + OUT_GAP + 10 + tall / 2, wide + 8, tall)
    right = Box(box.right + GAP + wide / 2, box.y, wide, tall)
    if not any(
        abs(b.x - above.x) < (b.w + above.w) / 2 and b.y > box.top for b in plan.boxes.values()
    ):
        plan.put(node.id, above.x, above.y)
    elif not any(
        abs(b.y - right.y) < (b.h + right.h) / 2 and b.x > box.right for b in plan.boxes.values()
    ):
        plan.put(node.id, right.x, right.y)
    return node.id in plan.boxes


def _place_column(
    plan: _Plan,
    rails: list[tuple[Node, list[Edge], list[Edge]]],
    extent: Box,
    ranks: dict[tuple[float, bool], int],
    left: bool,
) -> None:
    heights: list[tuple[float, Node, list[tuple[list[Edge], int, bool]]]] = []
    for node, reads, feeds in rails:
        runs, ys = [], []
        for edges, below in ((feeds, True), (reads, False)):
            if not edges:
                continue
            cells = [edge.target if below else edge.source for edge in edges]
            rows = {_rail_height(plan, cell, 0, below) for cell in cells}
            rank = max(ranks[row, below] for row in rows)
            ranks.update({(row, below): rank + 1 for row in rows})
            runs.append((edges, rank, below))
            ys += [_rail_height(plan, cell, rank, below) for cell in cells]
        heights.append((min(ys) if left else max(ys), node, runs))
    heights.sort(key=lambda item: item[0])
    floor = -float("inf")
    away = SIDE + 8.0 * len(heights) + 12
    for k, (wish, node, runs) in enumerate(heights):
        wide, tall = plan.size[node.id]
        y = max(wish, floor + tall / 2)
        floor = y + tall / 2 + 14
        x = extent.left - away - wide / 2 if left else extent.right + away + wide / 2
        plan.put(node.id, x, y)
        turn = extent.left - SIDE - 8.0 * k if left else extent.right + SIDE + 8.0 * k
        for edges, rank, below in runs:
            _run_rail(plan, node, edges, rank, turn, left, below)


def _rail_height(plan: _Plan, cell: str, rank: int, below: bool) -> float:
    box = plan.boxes[cell]
    if below:
        return round(box.bottom - RAIL - RAIL_STEP * rank, 3)
    lane = str(plan.nodes[cell].lane)
    members = [plan.boxes[n.id].top for n in plan.members[lane] if n.id in plan.boxes]
    return round(max(members) + RAIL - 2 + RAIL_STEP * rank, 3)


def _run_rail(
    plan: _Plan, node: Node, edges: list[Edge], rank: int, turn: float, left: bool, below: bool
) -> None:
    """Paths of a hub's edges: each runs along the rail from its neighbour's tap, so the rail is
    drawn once.
    """
    box = plan.boxes[node.id]
    port = (box.right if left else box.left, box.y)
    rails: dict[float, list[tuple[float, Edge, str]]] = defaultdict(list)
    for edge in edges:
        cell = edge.target if below else edge.source
        at = plan.boxes[cell]
        inset = min(9.0, at.w / 4) + (6 * rank if left or not below else 0)
        tap = at.left + inset if below and left else at.right - inset
        rails[_rail_height(plan, cell, rank, below)].append((tap, edge, cell))
    alone = sum(map(len, rails.values())) == 1
    for y, taps in rails.items():
        # Nearest to the hub first; each edge starts where the one before it left the rail.
        taps.sort(key=lambda item: item[0], reverse=not left)
        before = None
        for tap, edge, cell in taps:
            at = plan.boxes[cell]
            from_side = below and plan.arrangement.get(plan.nodes[cell].lane or "") == "tree"
            # In a tree the lower corners belong to the children: parameters enter at the side.
            edge_end = (at.left, at.y) if from_side else (tap, at.bottom if below else at.top)
            bend = (
                [(at.left - ASIDE * 2, y), (at.left - ASIDE * 2, at.y)] if from_side else [(tap, y)]
            )
            way = [port, (turn, box.y), (turn, y)] if before is None else [(before, y)]
            corners = _without_repeats([*way, *bend, edge_end])
            # Into a hub only the nearest tap carries the head: the others join the rail.
            arrow = below or before is None
            plan.paths[edge.id] = rounded(corners if below else corners[::-1], arrow=arrow)
            before = bend[0][0] + (-BEND if left else BEND)  # where its bend left the rail
            gradient = plan.gradients.get((edge.target, edge.source, edge.slot))
            if gradient is not None:
                if from_side:
                    x, start = at.left - ASIDE, at.y - ASIDE
                    plan.paths[gradient.id] = rounded(
                        [(at.left, start), (x, start), (x, y)], radius=3
                    )
                else:
                    plan.paths[gradient.id] = _tap_gradient(
                        corners, edge_end, y, left, below, alone
                    )


def _tap_gradient(
    corners: list[Point], end: Point, y: float, left: bool, below: bool, alone: bool
) -> Path:
    """The gradient beside a tap; all the way where the hub has one tap, else as far as the rail."""
    if below:
        x = end[0] + (ASIDE if left else -ASIDE)
        return straight((x, end[1]), (x, y))
    if alone:
        # Outside the bend, so that it meets neither the value's edge nor the cell's right
        # neighbour.
        shifted = [
            (x - ASIDE if k >= len(corners) - 2 else x, py + ASIDE)
            for k, (x, py) in enumerate(corners)
        ]
        return rounded([*shifted[:-1], (end[0] - ASIDE, end[1])])
    return straight((end[0] - ASIDE, y), (end[0] - ASIDE, end[1]))


def _without_repeats(corners: list[Point]) -> list[Point]:
    kept = [corners[0]]
    for corner in corners[1:]:
        if abs(corner[0] - kept[-1][0]) + abs(corner[1] - kept[-1][1]) > 0.01:
            kept.append(corner)
    return kept


# -- edges between boxes
# -------------------------------------------------------------------------------------------


def _route(plan: _Plan, edge: Edge) -> Path:
    """The path of an edge that is not on a rail. A backward edge runs beside its forward edge, the
    other way.
    """
    back = edge.kind == "backward"
    source, target = (edge.target, edge.source) if back else (edge.source, edge.target)
    aside = ASIDE if back or plan.has_backward(edge) else 0.0
    a, b = plan.boxes[source], plan.boxes[target]
    first, second = plan.nodes[source], plan.nodes[target]
    same = first.lane is not None and first.lane == second.lane
    arrangement = plan.arrangement.get(first.lane or "", "dag")
    steps = ("cell", "elided", "tree")
    if same and arrangement == "dag":
        return _in_dag(plan, edge, source, target, back)
    level = arrangement == "chain" or (arrangement == "grid" and abs(a.y - b.y) < 1)
    if same and first.kind in (*steps, "initial") and second.kind in steps and level:
        return _along(a, b, aside, back)
    if (
        {first.kind, second.kind} <= {"cell", "elided"}
        and abs(a.y - b.y) < 1
        and arrangement == "chain"
    ):
        return _along(a, b, aside, back)
    if same and first.kind == "input" and arrangement == "grid":
        return _into_corner(a, b, back)
    if same and first.kind == "input" and a.bottom < b.top and a.top > b.bottom:
        return _along(a, b, aside, back)
    if (first.lane is None or second.lane is None) and abs(a.y - b.y) < (a.h + b.h) / 2:
        return _along(a, b, aside, back)
    if first.lane and second.lane and _blocked(plan, source, target):
        return _bypass(plan, a, b, aside, back)
    return _upwards(a, b, aside, back, stem=same and arrangement == "tree")


def _along(a: Box, b: Box, aside: float, back: bool) -> Path:
    """Sideways between boxes at one height: values above, gradients below."""
    to_right = b.x >= a.x
    y = a.y - aside if back else a.y + aside
    y_end = b.y - aside if back else b.y + aside
    start = (a.right if to_right else a.left, y)
    end = (b.left if to_right else b.right, y_end)
    middle = ((start[0] + end[0]) / 2, (y + y_end) / 2 + (-9 if back else 8))
    if abs(y - y_end) > 1:
        path = smooth([end, start] if back else [start, end], label=middle)
    else:
        path = straight(*((end, start) if back else (start, end)), label=middle)
    return path


def _upwards(a: Box, b: Box, aside: float, back: bool, stem: bool = False) -> Path:
    """From the top of one box to the bottom of another above it (or down to one below).

    stem: in a tree, where a long edge must rise between the branches without crossing them.
    """
    up = b.y >= a.y
    leave, enter = (a.top, b.bottom) if up else (a.bottom, b.top)
    start, end = (_toward_x(a, b), leave), (_toward_x(b, a), enter)
    # Shifted sideways so that the two edges stay equally far apart at any slope.
    slope = math.dist(start, end) / max(abs(end[1] - start[1]), 1.0)
    shift = aside * min(slope, 2.2) * (1 if back == up else -1)
    start, end = (start[0] + shift, leave), (end[0] + shift, enter)
    knee = enter - (LEVEL - b.h) if up else enter
    side = math.copysign(1.0, shift) if aside else (1.0 if back else -1.0)
    normal, _ = beside(start, end, -9.0 * side if up else 9.0 * side)
    away = normal[0] - start[0] + 10 * side, normal[1] - start[1]
    middle = ((start[0] + end[0]) / 2 + away[0], (start[1] + end[1]) / 2 + away[1])
    corners = [start, end]
    if up and stem and knee > leave + 12:
        # Straight up between the branches, then over to the parent.
        x = a.x + (aside if back else -aside)
        knee += 0.8 * aside * (1 if back == (b.x < a.x) else -1)  # the way over is nearly flat
        corners = [(x, leave), (x, knee), end]
        middle = x + (16 if back else -16), (leave + knee) / 2
    return rounded(corners[::-1] if back else corners, label=middle)


def _into_corner(a: Box, b: Box, back: bool) -> Path:
    """From an input at the upper left of a cell into the left part of its top."""
    shift = (ASIDE, ASIDE * 0.6) if back else (0.0, 0.0)
    start, end = (a.x + a.w / 4 + shift[0], a.bottom), (b.left + 10 + 2 * shift[0], b.top)
    if back:
        start = (a.right - 4, a.y - a.h / 4)
    return straight(*((end, start) if back else (start, end)))


def _toward_x(box: Box, other: Box) -> float:
    """Where an edge leaves a box: straight up where it can, else shifted towards the other by up to
    a quarter.
    """
    reach = box.w / 4
    return box.x + min(reach, max(-reach, (other.x - box.x) * 0.35))


def _blocked(plan: _Plan, source: str, target: str) -> bool:
    """Whether a box of another lane stands straight between the two."""
    a, b = plan.boxes[source], plan.boxes[target]
    if abs(a.x - b.x) > 1:
        return False
    return any(
        abs(plan.boxes[n.id].x - a.x) < 1 and a.top < plan.boxes[n.id].y < b.bottom
        for lane in plan.lanes
        for n in plan.members[lane.id]
        if n.id not in (source, target)
    )


def _bypass(plan: _Plan, a: Box, b: Box, aside: float, back: bool) -> Path:
    """Up through the gap between two columns, around what stands between."""
    wide = max(box.w for box in plan.boxes.values() if abs(box.x - a.x) < 1)
    inner = aside if back else -aside
    x = a.x + wide / 2 + 12 - inner / 2
    y = a.y + inner / 2 if aside else a.y
    low = b.bottom - 12 - (4 if back else 0)
    end = b.x + b.w / 4 + (-inner if aside else 0)
    corners = [(a.right, y), (x, y), (x, low), (end, low), (end, b.bottom)]
    return rounded(corners[::-1] if back else corners, label=(x + 12, (y + low) / 2))


def _in_dag(plan: _Plan, edge: Edge, source: str, target: str, back: bool) -> Path:
    for forward in plan.scene.edges:
        same = (forward.source, forward.target, forward.slot) == (source, target, edge.slot)
        if same and forward.kind != "backward" and forward.id in plan.paths:
            return reversed_beside(plan.paths[forward.id], ASIDE)
    a, b = plan.boxes[source], plan.boxes[target]
    return (
        straight((b.left, b.y), (a.right, a.y)) if back else straight((a.right, a.y), (b.left, b.y))
    )
