"""Hubs beside the lanes, and their rails: parameters below the cells, losses above.

A parameter or a loss that meets every step would ruin a picture as a fan of edges.
So its edges run along one thin rail, with a tap at each step.
"""

from __future__ import annotations

import math
from collections import defaultdict

from ..scene.scene import Edge, Node
from .avoid import Grid
from .geometry import Box, Path, Point, around, rounded, straight
from .plan import ASIDE, BAND_GAP, BEND, GAP, OUT_GAP, RAIL, RAIL_STEP, SIDE, TAP, Plan


def place_sides(plan: Plan, margin: float = 0.0) -> None:
    """What feeds cells goes to the left of the lanes, what reads them to the right.

    The rest goes beside what it is tied to.  margin: what is taken at both sides of the lanes.
    """
    lanes = around([plan.boxes[n.id] for n in plan.scene.nodes if n.lane is not None])
    # What passes by the last cells is on their right.
    passing = 16.0 + plan.apart * max(plan.ways.values()) if plan.ways else 0.0
    right = max(margin, passing)
    extent = Box(lanes.x + (right - margin) / 2, lanes.y, lanes.w + margin + right, lanes.h)
    rails = _rails(plan)
    ranks: dict[tuple[float, bool], int] = defaultdict(int)  # rails per height so far, and below
    feeding = [r for r in rails if r[2] and not r[1]]
    plan.free_left = extent.left - SIDE - 8.0 * len(feeding) if feeding else extent.left
    _place_column(plan, feeding, extent, ranks, left=True)
    near = [
        node
        for node, reads, feeds in rails
        if len(reads) == 1 and not feeds and _fits_near(plan, node, reads[0])
    ]
    _place_column(plan, [r for r in rails if r[1] and r[0] not in near], extent, ranks, left=False)
    # What is tied to no lane (targets, output weights) stands to the right of what reads it.
    tied: dict[str, list[str]] = defaultdict(list)
    for edge in plan.scene.edges:
        if edge.kind != "backward" and edge.source not in plan.boxes and edge.target in plan.boxes:
            tied[edge.target].append(edge.source)
    for target, names in tied.items():
        box = plan.boxes[target]
        start = box.right + GAP + plan.row_width(names) / 2
        plan.put_row(list(dict.fromkeys(names)), start, box.y, 0)
    lonely = [node.id for node in plan.scene.nodes if node.id not in plan.boxes]
    plan.put_row(lonely, extent.x, extent.top + BAND_GAP, 1)


def run_rails(plan: Plan) -> None:
    """Paths of all rails, once everything has its place; taps that a box is in the way of go alone.

    (A loss that reads the inner nodes of a tree: straight above them stand other nodes.)
    """
    grid = Grid(plan.boxes)
    for node, edges, rank, turn, left, below in plan.rails:
        for last in (False, True):  # without its blocked taps a rail may run elsewhere
            _run_rail(plan, node, edges, rank, turn, left, below)
            drawn = {edge.id: [edge, *_against(plan, edge)] for edge in edges}
            free = [
                edge
                for edge in edges
                if not any(grid.meets(plan.paths[e.id], e.source, e.target) for e in drawn[edge.id])
            ]
            if last or len(free) == len(edges):
                break
            for edge in (e for both in drawn.values() for e in both):
                del plan.paths[edge.id]
            edges = free


def shorten_gradients(plan: Plan) -> None:
    """The gradient into parameters that no rail brings is drawn at the cell, as beside a rail.

    All the way it would lie over everything: the parameters' rows say what they get.
    """
    for edge in plan.scene.edges:
        if edge.kind != "shared" or plan.nodes[edge.source].lane is not None:
            continue
        gradient = plan.gradients.get((edge.target, edge.source, edge.slot, edge.part))
        if gradient is None or plan.nodes[edge.target].lane is None:
            continue
        if math.dist(plan.paths[gradient.id].points[0], plan.paths[gradient.id].points[-1]) > 60:
            plan.paths[gradient.id] = _stub(plan.paths[edge.id], plan.boxes[edge.target])


def _stub(path: Path, box: Box) -> Path:
    """From the side of its box where a path enters, some way back beside it."""
    x, y = path.points[-1]
    gaps = [box.top - y, y - box.bottom, x - box.left, box.right - x]
    dx, dy = ((0, 1), (0, -1), (-1, 0), (1, 0))[min(range(4), key=lambda k: abs(gaps[k]))]
    if dx:  # on the side of the value's edge that is away from the box's middle
        y += ASIDE if y >= box.y else -ASIDE
        y = min(max(y, box.bottom + ASIDE), box.top - ASIDE)
    else:
        x += ASIDE if x + 2 * ASIDE < box.right else -ASIDE
    return straight((x, y), (x + dx * RAIL, y + dy * RAIL))


def _against(plan: Plan, edge: Edge) -> list[Edge]:
    """The gradient that flows against an edge, if its path is known."""
    found = plan.gradients.get((edge.target, edge.source, edge.slot, edge.part))
    return [found] if found is not None and found.id in plan.paths else []


def _rails(plan: Plan) -> list[tuple[Node, list[Edge], list[Edge]]]:
    """The nodes outside all lanes, each with the edges by which it reads cells and feeds them."""
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


def _fits_near(plan: Plan, node: Node, edge: Edge) -> bool:
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
    plan: Plan,
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
        plan.rails += [(node, edges, rank, turn, left, below) for edges, rank, below in runs]


def _rail_height(plan: Plan, cell: str, rank: int, below: bool) -> float:
    box = plan.boxes[cell]
    if below:
        return round(box.bottom - RAIL - RAIL_STEP * rank, 3)
    return round(plan.top(cell) + RAIL - 2 + RAIL_STEP * rank, 3)


def _run_rail(
    plan: Plan, node: Node, edges: list[Edge], rank: int, turn: float, left: bool, below: bool
) -> None:
    """Paths of a hub's edges: each runs on from its neighbour's tap, so the rail is drawn once."""
    box = plan.boxes[node.id]
    port = (box.right if left else box.left, box.y)
    rails: dict[float, list[tuple[float, Edge, str]]] = defaultdict(list)
    for edge in edges:
        cell = edge.target if below else edge.source
        at = plan.boxes[cell]
        step = TAP if plan.both_ways and below else 6
        inset = min(9.0, at.w / 4) + (step * rank if left or not below else 0)
        inset = min(inset, at.w / 2)
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
            gradient = plan.gradients.get((edge.target, edge.source, edge.slot, edge.part))
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
        # Outside the bend: there it meets neither the value's edge nor the cell's right neighbour.
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
