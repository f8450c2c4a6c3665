"""The layout of unrolled graphs: one step is laid out and tiled, lanes are stacked.

A *lane* is one recurrence over one sequence or tree.
Time runs from left to right, layers and directions are stacked upwards, trees stand on their words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from ..scene.scene import Cluster, Node, Scene
from ..scene.text import width
from .avoid import lead_around
from .geometry import Layout, Mark, around
from .layered import curve, layered
from .plan import (
    BAND_GAP,
    DAG_GAP,
    GAP,
    IN_GAP,
    LAYER_GAP,
    LEAF_GAP,
    LEVEL,
    MOST_IN_LINE,
    OUT_GAP,
    RAIL,
    Plan,
)  # fmt: skip
from .rails import place_sides, run_rails, shorten_gradients
from .returns import Returns
from .routes import route
from .tidy_tree import tidy_tree
from .tracks import Place, Tables


def place_steps(scene: Scene) -> Layout:
    """Boxes lane by lane, then what belongs to no lane, then the edges."""
    plan = Plan(scene)
    columns = _columns(plan)
    tables, returns = Tables(plan), Returns(plan)
    tops: dict[Place, float] = {}
    y = 0.0
    bands = list(dict.fromkeys(lane.band for lane in plan.lanes))  # the last one at the bottom
    for band in bands:
        for line in reversed(range(plan.lines)):
            lanes = [lane for lane in plan.lanes if lane.band == band and plan.in_line(lane, line)]
            if not lanes:
                continue
            y += BAND_GAP if tops else 0.0
            tops[band, line] = y + tables.height((band, line))
            y = start = tops[band, line]
            before: Cluster | None = None
            for lane in lanes:
                if before is not None and lane.layer != before.layer:
                    start = y + LAYER_GAP
                # Lanes of one band and layer continue each other: they stand side by side.
                here = plan.in_line(lane, line)
                if not here:
                    continue
                y = max(y, _PLACE_LANE[lane.arrangement](plan, lane, here, columns, start))
                before = lane
            y += returns.reserve(band, line, y)
    returns.route()
    place_sides(plan, returns.margin)
    for place, top in reversed(tops.items()):
        lowest = place == next(iter(tops))
        tables.put(place, min(top, plan.beside_bottom + 18) if lowest else top)
    run_rails(plan)
    for edge in scene.edges:
        if edge.id not in plan.paths:
            plan.paths[edge.id] = route(plan, edge)
    lead_around(scene, plan.boxes, (tile.box for tile in tables.tiles), plan.paths)
    shorten_gradients(plan)
    extent = around([*plan.boxes.values(), *(tile.box for tile in tables.tiles)])
    tables.put_strips(extent, extent.bottom)
    return Layout(
        plan.boxes, plan.paths, marks=(*tables.marks, *_headings(plan)), tiles=tuple(tables.tiles)
    )


def _columns(plan: Plan) -> dict[int, float]:
    """x of every time step shown; all chains share them, so that steps stand above each other.

    Of many steps, lines are made as of words.
    """
    shown: set[int] = set()
    pitch = 0.0
    chains = [lane for lane in plan.lanes if lane.arrangement == "chain"]
    for lane in chains:
        for cell in plan.cells(lane.id):
            shown.add(cell.column or 0)
            around_cell = (
                max(plan.row_width(plan.below[cell.id]), plan.row_width(plan.above[cell.id])) + 16
            )
            pitch = max(pitch, plan.size[cell.id][0] + plan.gap, around_cell)
    rank = {column: k for k, column in enumerate(sorted(shown))}
    if len(rank) > MOST_IN_LINE and len(chains) == len(plan.lanes):
        plan.wrap(rank)
    return {column: k % plan.per_line * pitch for column, k in rank.items()}


def _headings(plan: Plan) -> list[Mark]:
    """What is written at the upper left of a lane's first line."""
    marks = []
    for lane in plan.lanes:
        cells = [plan.boxes[c.id] for c in plan.in_line(lane, 0)]
        if lane.heading and cells:
            first = min(cells, key=lambda box: box.left)
            wide = width(lane.heading, 10)
            right = first.left - 24
            if plan.lines > 1 or len({c.band for c in plan.lanes}) > 1:  # rails turn upwards here
                right = min(right, plan.free_left - 8)
            marks.append(Mark(lane.heading, right - wide, first.top + 2, size=10))
    return marks


def _chain(
    plan: Plan, lane: Cluster, cells: list[Node], columns: dict[int, float], y: float
) -> float:
    # With those that continue it, or that it continues, it stands on one line.
    level = [
        cell
        for other in plan.lanes
        if (other.band, other.layer, other.arrangement) == (lane.band, lane.layer, "chain")
        for cell in plan.in_line(other, plan.line[cells[0].id])
    ]
    tall = max((plan.size[c.id][1] for c in level), default=0.0)
    base = y + plan.inputs_height([c.id for c in level]) + tall / 2
    for cell in cells:
        plan.put(cell.id, columns[cell.column or 0], base)
        _place_attached(plan, cell.id)
    _place_initials(plan, lane, cells)
    return base + tall / 2 + plan.outputs_height([c.id for c in cells])


def _tree(
    plan: Plan, lane: Cluster, cells: list[Node], columns: dict[int, float], y: float
) -> float:
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
        # An inner node's own input stands to its right, a leaf's below it; results to the right.
        own = [] if kids.get(cell.id) else plan.below[cell.id]
        row = plan.row_width(own)
        beside = plan.row_width(_beside(plan, cell.id, bool(kids.get(cell.id))))
        half[cell.id] = max(reach, row / 2), max(reach + (beside + 22 if beside else 0.0), row / 2)
    roots = [cell.id for cell in cells if cell.id not in has_parent]
    x = tidy_tree(roots, kids, level, half, LEAF_GAP)
    tall = max((plan.size[c.id][1] for c in cells), default=0.0)
    leaves = [cell.id for cell in cells if not kids.get(cell.id)]
    base = y + plan.inputs_height(leaves) + tall / 2
    for cell in cells:
        plan.put(cell.id, x[cell.id], base + level[cell.id] * LEVEL)
        _place_attached(plan, cell.id, inputs_right=bool(kids.get(cell.id)), tree=True)
    _place_initials(plan, lane, cells)
    top = max((box.top for name, box in plan.boxes.items() if name in ids), default=base)
    return top + (RAIL if plan.feeds_loss([c.id for c in cells]) else 0.0)


def _grid(
    plan: Plan, lane: Cluster, cells: list[Node], columns: dict[int, float], y: float
) -> float:
    """Rows downwards, as a page is read; the input of a cell comes in from its upper left."""
    rows = max((cell.level or 0 for cell in cells), default=0)
    wide = max((plan.size[c.id][0] for c in cells), default=0.0)
    tall = max((plan.size[c.id][1] for c in cells), default=0.0)
    inputs = max((plan.row_width(plan.below[c.id]) for c in cells), default=0.0)
    results = max((plan.row_width(plan.above[c.id]) for c in cells), default=0.0)
    pitch_x, pitch_y = wide + max(plan.gap, inputs + results + 24), tall + 66.0
    for cell in cells:
        plan.put(
            cell.id,
            (cell.column or 0) * pitch_x,
            y + tall / 2 + RAIL + (rows - (cell.level or 0)) * pitch_y,
        )
        box = plan.boxes[cell.id]
        plan.put_row(plan.below[cell.id], box.left - inputs / 2 - 6, box.top + 22, 0)
        plan.put_row(plan.above[cell.id], box.right + results / 2 + 6, box.top + 22, 0)
    top = max(
        (plan.boxes[n.id].top for n in plan.members[lane.id] if n.id in plan.boxes), default=y
    )
    return top + RAIL


def _dag(
    plan: Plan, lane: Cluster, cells: list[Node], columns: dict[int, float], y: float
) -> float:
    names = {node.id for node in plan.members[lane.id]}
    edges = [e for e in plan.scene.edges if e.kind != "backward" and {e.source, e.target} <= names]
    sizes = {node.id: plan.size[node.id] for node in plan.members[lane.id]}  # in the scene's order
    placed = layered(sizes, [(e.source, e.target) for e in edges], gap=(DAG_GAP, 26.0))
    lift = y - min((box.bottom for box in placed.boxes.values()), default=0.0)
    for name, box in placed.boxes.items():
        plan.put(name, box.x, box.y + lift)
    for edge, way in zip(edges, placed.routes, strict=True):
        plan.paths[edge.id] = curve([(px, py + lift) for px, py in way])
    top = max((plan.boxes[name].top for name in names), default=y)
    return top + RAIL


_PLACE_LANE: dict[str, Callable[[Plan, Cluster, list[Node], dict[int, float], float], float]] = {
    "chain": _chain,
    "tree": _tree,
    "grid": _grid,
    "dag": _dag,
}


def _beside(plan: Plan, cell: str, inputs_right: bool) -> list[str]:
    """What stands to the right of a tree's node."""
    return [*(plan.below[cell] if inputs_right else ()), *plan.above[cell]]


def _place_attached(plan: Plan, cell: str, inputs_right: bool = False, tree: bool = False) -> None:
    box = plan.boxes[cell]
    if tree:
        x = box.right + 22
        for name in _beside(plan, cell, inputs_right):
            plan.put(name, x + plan.size[name][0] / 2, box.y)
            x += plan.size[name][0] + 10
    if not inputs_right:
        plan.put_row(plan.below[cell], box.x, box.bottom - IN_GAP, -1)
    if tree:
        return
    aside = 9.0 if plan.feeds_loss([cell]) else 0.0  # room for the way up to the loss
    plan.put_row(plan.above[cell], box.x - aside, box.top + OUT_GAP, 1)


def _place_initials(plan: Plan, lane: Cluster, cells: list[Node]) -> None:
    """Initial states stand before the cell they enter: on the right where time is reversed."""
    waiting: dict[str, list[str]] = defaultdict(list)
    here = {cell.id for cell in cells}
    for node in plan.members[lane.id]:
        if node.kind == "initial" and plan.host.get(node.id) in here:
            waiting[plan.host[node.id]].append(node.id)
    steps = [plan.boxes[c.id].x for c in cells]
    for cell, names in waiting.items():
        box = plan.boxes[cell]
        reverse = len(steps) > 1 and box.x == max(steps) and box.x != min(steps)
        for k, name in enumerate(names):
            wide, tall = plan.size[name]
            x = box.right + GAP + wide / 2 if reverse else box.left - GAP - wide / 2
            part = plan.entering.get(name, "")
            if part and part in plan.nodes[cell].parts:
                plan.put(name, x, plan.port(cell, part))
            else:
                plan.put(name, x, box.y + ((len(names) - 1) / 2 - k) * (tall + 6))
