"""Paths of edges from box to box; a backward edge runs beside its forward edge, the other way."""

from __future__ import annotations

import math

from ..scene.scene import Edge
from .geometry import Box, Path, beside, rounded, smooth, straight
from .ops import reversed_beside
from .plan import ASIDE, LEVEL, Plan


def route(plan: Plan, edge: Edge) -> Path:
    """The path of an edge that is not on a rail."""
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
    ports = plan.port(source, edge.part), plan.port(target, edge.part)
    if same and first.kind in (*steps, "initial") and second.kind in steps and level:
        return _along(a, b, aside, back, ports, plan.beside / 2)
    cells = {first.kind, second.kind} <= {"cell", "elided"}
    if cells and abs(a.y - b.y) < 1 and arrangement == "chain":
        return _along(a, b, aside, back, ports, plan.beside / 2)
    if same and first.kind == "input" and arrangement == "grid":
        return _into_corner(a, b, back)
    beside = "input" in (first.kind, second.kind) or second.kind == "output"
    if same and beside and a.bottom < b.top and a.top > b.bottom:
        return _along(a, b, aside, back)
    if (first.lane is None or second.lane is None) and abs(a.y - b.y) < (a.h + b.h) / 2:
        return _along(a, b, aside, back)
    if second.kind == "attend" and not same:
        return _to_sum(plan, a, b, aside, back, _blocked_above(plan, source, a, b))
    if edge.part and cells and not same:
        return _corridor(plan, a, b, aside, back, ports)
    if first.lane and second.lane and _blocked(plan, source, target):
        return _bypass(plan, source, target, aside, back)
    return _upwards(a, b, aside, back, stem=same and arrangement == "tree")


def _along(
    a: Box, b: Box, aside: float, back: bool, ports: tuple[float, float] | None = None,
    shift: float = 0.0,
) -> Path:  # fmt: skip
    """Sideways between boxes at one height: values above, gradients below.

    ports: the heights at which the edge meets them; None: their middles.
    """
    to_right = b.x >= a.x
    at, at_end = ports or (a.y, b.y)
    y = at - aside if back else at + aside
    y_end = at_end - aside if back else at_end + aside
    start = (a.right if to_right else a.left, y)
    end = (b.left if to_right else b.right, y_end)
    # Other edges may pass right of a cell: the text stands where the gap is free.
    past = (start[0] + end[0]) / 2 + (shift if abs(end[0] - start[0]) > 2 * shift else 0.0)
    middle = past, (y + y_end) / 2 + (-9 if back else 8)
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
    """Where an edge leaves a box: straight up if it can, else up to a quarter towards the other."""
    reach = box.w / 4
    return box.x + min(reach, max(-reach, (other.x - box.x) * 0.35))


def _blocked(plan: Plan, source: str, target: str) -> bool:
    """Whether a box of another lane stands straight between the two."""
    a, b = plan.boxes[source], plan.boxes[target]
    if abs(a.x - b.x) > 1:
        return False
    return any(
        a.top < plan.boxes[id].y < b.bottom
        for id in plan.upright(a.x, plan.line[source])
        if id not in (source, target) and plan.nodes[id].lane is not None
    )


def _bypass(plan: Plan, source: str, target: str, aside: float, back: bool) -> Path:
    """Up through the gap between two columns, around what stands between."""
    a, b = plan.boxes[source], plan.boxes[target]
    wide = max(plan.boxes[id].w for id in plan.upright(a.x, plan.line[source]))
    inner = aside if back else -aside
    key = source, target
    way, first = plan.ways.get(key, 0), plan.shares[0].get(key, 0)
    at, many = plan.shares[1].get(key, (0, 1))
    x = a.x + wide / 2 + 12 + plan.apart * way - inner / 2
    pair = min(aside, 4.0) / 2 * (1 if back else -1)
    if plan.nodes[source].kind != "cell":
        y = a.y + pair - min(9.0 * first, a.h / 2)
    elif first == 0:  # a cell's middle is where its state leaves
        y = a.top - 9 + pair
    else:
        y = a.bottom + max(2.0, 9.5 - 2.5 * first) + pair
    low = b.bottom - 12 - (4 if back else 0) - 9 * (many - 1 - at)
    # Right of what comes straight from below.
    end = b.x + 0.31 * b.w + 13 * (at - (many - 1) / 2) - (inner / 2 if aside else 0.0)
    end = min(end, b.right - 5)
    corners = [(a.right, y), (x, y), (x, low), (end, low), (end, b.bottom)]
    return rounded(corners[::-1] if back else corners, label=(x + 12, (y + low) / 2))


def _blocked_above(plan: Plan, source: str, a: Box, b: Box) -> Box | None:
    """The highest box of a lane between a cell and the height of what looks at it."""
    over = [
        plan.boxes[id]
        for id in plan.upright(a.x, plan.line[source])
        if id != source and plan.nodes[id].lane is not None and a.top < plan.boxes[id].y < b.bottom
    ]
    return max(over, key=lambda box: box.top, default=None)


def _to_sum(plan: Plan, a: Box, b: Box, aside: float, back: bool, above: Box | None) -> Path:
    """From a cell that is looked at up to the sum; around the lanes that stand above it."""
    shift = 0.6 * aside * (1 if back else -1)
    end = (b.x + shift, b.bottom)
    if above is None:
        start = (a.x + min(a.w / 4, max(-a.w / 4, (b.x - a.x) * 0.1)) + shift, a.top)
        return straight(*((end, start) if back else (start, end)))
    x = a.right + 12 + (shift if aside else 0)
    y = a.y + (-shift if aside else 0)
    corners = [(a.right, y), (x, y), (x, above.top + 10), end]
    return rounded(corners[::-1] if back else corners)


def _corridor(
    plan: Plan, a: Box, b: Box, aside: float, back: bool, ports: tuple[float, float]
) -> Path:
    """A state from the end of one lane to the start of another: between them, to its left."""
    inner = aside if back else -aside
    up = b.y > a.y
    y, y_end = ports[0] - inner, ports[1] - inner
    right, left = a.right + 16 - inner, b.left - 34 + inner
    middle = (a.top + 12 - inner * 0.8) if up else (a.bottom - 12 + inner * 0.8)
    corners = [(a.right, y), (right, y), (right, middle), (left, middle), (left, y_end),
               (b.left, y_end)]  # fmt: skip
    at = b.left - 16, y_end + (-9 if back else 8)
    return rounded(corners[::-1] if back else corners, label=at)


def _in_dag(plan: Plan, edge: Edge, source: str, target: str, back: bool) -> Path:
    forward = plan.forward.get((source, target, edge.slot))
    if forward is not None and forward in plan.paths:
        return reversed_beside(plan.paths[forward], ASIDE)
    a, b = plan.boxes[source], plan.boxes[target]
    return (
        straight((b.left, b.y), (a.right, a.y)) if back else straight((a.right, a.y), (b.left, b.y))
    )
