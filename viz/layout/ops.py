"""The layout of the "ops" view: layers from left to right, the cell of a recurrence in a frame."""

from __future__ import annotations

from collections import Counter, defaultdict

from ..scene.scene import Edge, Scene
from ..scene.style import size_of
from .geometry import Box, Layout, Mark, Path, Point, around, beside, rounded, straight
from .labels import free_labels
from .layered import GAP_X, GAP_Y, curve, layered

PAD = 16.0  # between a frame and what is in it
HEADING = 14.0  # for the name of the cell
LOOP, LOOP_PAD = 36.0, 17.0  # room of a state's way back: below a frame's ops, beside them
ASIDE = 4.0  # how far a gradient runs beside its value


def place_ops(scene: Scene) -> Layout:
    """Every framed cluster is laid out by itself, then stands as one tall node among the rest."""
    loops = [edge for edge in scene.edges if edge.kind == "state"]
    flow = [edge for edge in scene.edges if edge.kind not in ("backward", "state")]
    home = {node.id: node.lane for node in scene.nodes}
    around_it = Counter(home[edge.source] for edge in loops)
    inner: dict[str, Layout] = {}
    for cluster in scene.clusters:
        names = [node.id for node in scene.nodes if node.lane == cluster.id]
        edges = [e for e in flow if home[e.source] == home[e.target] == cluster.id]
        inner[cluster.id] = _inset(scene, names, edges, flow)
    sizes = {node.id: size_of(node) for node in scene.nodes if node.lane is None}
    for cluster_id, layout in inner.items():
        frame = _frame(layout, around_it[cluster_id])
        sizes[cluster_id] = (frame.w, frame.h)
    outer = [e for e in flow if home[e.source] is None or home[e.source] != home[e.target]]
    pairs, ports = [], {}
    for k, edge in enumerate(outer):
        ends = [home[name] or name for name in (edge.source, edge.target)]
        pairs.append((ends[0], ends[1]))
        for name, end in zip((edge.source, edge.target), ends, strict=True):
            if home[name] is not None:
                layout = inner[end]
                ports[k, end] = layout.boxes[name].y - _frame(layout, around_it[end]).y
    whole = layered(sizes, pairs, ports, gap=_gap(scene))
    boxes = {name: box for name, box in whole.boxes.items() if name not in inner}
    paths: dict[str, Path] = {}
    frames: dict[str, Box] = {}
    for cluster_id, layout in inner.items():
        frames[cluster_id] = whole.boxes[cluster_id]
        frame = _frame(layout, around_it[cluster_id])
        dx, dy = frames[cluster_id].x - frame.x, frames[cluster_id].y - frame.y
        for name, box in layout.boxes.items():
            boxes[name] = Box(box.x + dx, box.y + dy, box.w, box.h)
        for name, path in layout.paths.items():
            paths[name] = Path(tuple((x + dx, y + dy) for x, y in path.points))
    for edge, route in zip(outer, whole.routes, strict=True):
        # A frame is crossed to reach the node inside that the edge is about.
        inside = [boxes[edge.source].right, boxes[edge.target].left]
        route = list(route)
        if home[edge.source] is not None:
            route.insert(0, (inside[0], route[0][1]))
        if home[edge.target] is not None:
            route.append((inside[1], route[-1][1]))
        paths[edge.id] = curve(route)
    paths |= _loops(scene, loops, boxes, frames, home)
    ways = {(edge.source, edge.target, edge.slot): edge.id for edge in flow}
    for edge in scene.edges:
        if edge.kind == "backward" and edge.id not in paths:
            forward = ways.get((edge.target, edge.source, edge.slot))
            paths[edge.id] = (
                reversed_beside(paths[forward], ASIDE) if forward else _direct(edge, boxes)
            )
    marks = tuple(
        Mark(cluster.label, frames[cluster.id].left + 10, frames[cluster.id].top - 13, size=11)
        for cluster in scene.clusters
        if cluster.label
    )
    labels = {edge.id: edge.label for edge in scene.edges if edge.label}
    return Layout(boxes, free_labels(paths, labels, boxes, marks), frames, marks)


def _loops(
    scene: Scene,
    loops: list[Edge],
    boxes: dict[str, Box],
    frames: dict[str, Box],
    home: dict[str, str | None],
) -> dict[str, Path]:
    """From where a state leaves its frame's cell to where it comes in, below everything else.

    The first loop is the innermost; the gradient runs outside of the value.
    """
    back = {(e.source, e.target, e.slot): e.id for e in scene.edges if e.kind == "backward"}
    by_lane: dict[str | None, list[Edge]] = defaultdict(list)
    for edge in loops:
        by_lane[home[edge.source]].append(edge)
    paths: dict[str, Path] = {}
    for lane, edges in by_lane.items():
        inner = around([box for name, box in boxes.items() if home[name] == lane])
        # Nested: what comes in or leaves lowest goes round innermost.
        edges.sort(key=lambda e: (boxes[e.target].y, boxes[e.source].y))
        for k, edge in enumerate(edges):
            a, b = boxes[edge.source], boxes[edge.target]
            right, left = (
                inner.right + LOOP_PAD * (k + 0.5),
                inner.left - LOOP_PAD * (k + 0.5),
            )
            y = inner.bottom - LOOP * (k + 0.6)
            name = back.get((edge.target, edge.source, edge.slot))
            for id, aside, under in ((edge.id, 0.0, 7.0), (name, 2 * ASIDE, -7.0)):
                if id is None:
                    continue
                corners = [
                    (a.right, a.y - aside), (right + aside, a.y - aside),
                    (right + aside, y - aside), (left - aside, y - aside),
                    (left - aside, b.y - aside), (b.left, b.y - aside),
                ]  # fmt: skip
                middle = (frames[str(lane)].x, y - aside + under)
                paths[id] = rounded(corners[::-1] if aside else corners, label=middle)
    return paths


def _inset(scene: Scene, names: list[str], edges: list[Edge], flow: list[Edge]) -> Layout:
    """One cluster: what outside feeds stands in the first layer, what outside reads in the last."""
    own = set(names)
    fed = frozenset(e.target for e in flow if e.target in own and e.source not in own)
    read = frozenset(e.source for e in flow if e.source in own and e.target not in own)
    sizes = {node.id: size_of(node) for node in scene.nodes if node.id in own}
    leaving = {e.source for e in scene.edges if e.kind == "state"}
    ends = frozenset(
        n.id
        for n in scene.nodes
        if n.id in own and (n.kind in ("output", "delay") or n.id in leaving)
    )
    starts = frozenset(
        n.id for n in scene.nodes if n.id in own and n.kind in ("input", "initial", "shared")
    )
    users = {e.source for e in edges}
    placed = layered(
        sizes,
        [(e.source, e.target) for e in edges],
        first=fed | starts,
        last=(read | ends) - users,
        gap=_gap(scene),
    )
    paths = {e.id: curve(route) for e, route in zip(edges, placed.routes, strict=True)}
    return Layout(placed.boxes, paths)


def _gap(scene: Scene) -> tuple[float, float]:
    """Norms beside the edges need room."""
    return (58.0, 18.0) if any(e.kind == "backward" for e in scene.edges) else (GAP_X, GAP_Y)


def _frame(layout: Layout, loops: int = 0) -> Box:
    inner = around([*layout.boxes.values()] or [Box(0, 0, 40, 20)])
    room = LOOP * loops
    wide = inner.w + 2 * PAD + 2 * LOOP_PAD * loops
    return Box(
        inner.x, inner.y + (HEADING - room) / 2, wide, inner.h + 2 * PAD + HEADING + room
    )  # fmt: skip


def _direct(edge: Edge, boxes: dict[str, Box]) -> Path:
    a, b = boxes[edge.source], boxes[edge.target]
    return straight((a.left, a.y - ASIDE), (b.right, b.y - ASIDE))


def reversed_beside(path: Path, distance: float) -> Path:
    """The same curve backwards, shifted sideways: below a curve that runs to the right."""
    points: list[Point] = []
    last = len(path.points) - 1
    for k, point in enumerate(path.points):
        before, after = path.points[max(k - 1, 0)], path.points[min(k + 1, last)]
        shifted, _ = beside(before, after, -distance)
        points.append((point[0] + shifted[0] - before[0], point[1] + shifted[1] - before[1]))
    at = len(points) // 2
    ahead, behind = points[min(at + 1, last)], points[max(at - 1, 0)]
    outward, _ = beside(behind, ahead, -9.0)
    dx, dy = outward[0] - behind[0], outward[1] - behind[1]
    # Text is wider than high: beside an upright line it needs more room.
    middle = (points[at][0] + points[at - 1][0]) / 2, (points[at][1] + points[at - 1][1]) / 2
    return Path(tuple(reversed(points)), label=(middle[0] + 2 * dx, middle[1] + dy))
