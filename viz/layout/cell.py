"""The layout of the "cell" view: one step's ops from left to right, the same for every step shown.

The state keeps its height where it can: what it passes through stands on one line.
Parameters stand below the op that reads them.
"""

from __future__ import annotations

from collections import defaultdict

from ..scene.scene import Edge, Node, Scene
from ..scene.style import size_of
from .geometry import Box, Layout, Mark, Path, Point, around, straight
from .labels import free_labels
from .layered import curve, layered
from .ops import reversed_beside

PAD, HEADING = 22.0, 18.0  # in a frame; for its name
BELOW = 24.0  # from an op down to its parameters
ASIDE = 3.6
GAP = (64.0, 16.0)  # between layers: numbers stand there; between neighbours in one
BETWEEN = 34.0  # frames
STRAIGHT = 12.0  # the weight of the state's way


def place_cell(scene: Scene) -> Layout:
    """The first step of each recurrence is laid out, the others are copies of it."""
    members: dict[str, list[Node]] = defaultdict(list)
    for node in scene.nodes:
        members[str(node.lane)].append(node)
    lane_of = {node.id: str(node.lane) for node in scene.nodes}
    inner: dict[str, list[Edge]] = defaultdict(list)
    for edge in scene.edges:
        inner[lane_of[edge.source]].append(edge)
    boxes: dict[str, Box] = {}
    paths: dict[str, Path] = {}
    frames: dict[str, Box] = {}
    marks: list[Mark] = []
    below = 0.0
    for layer in sorted({c.layer for c in scene.clusters}):
        lanes = [c for c in scene.clusters if c.layer == layer]
        # A label may be wider at another step: every box is as wide as the widest of its copies.
        sizes = _widest([members[c.id] for c in lanes])
        whole = _place(members[lanes[0].id], inner[lanes[0].id], sizes)
        frame = around([*whole.boxes.values(), *_reach(whole)])
        wide, tall = frame.w + 2 * PAD, frame.h + 2 * PAD + HEADING
        for k, lane in enumerate(lanes):
            dx = k * (wide + BETWEEN) + PAD - frame.left
            dy = below - PAD - HEADING - frame.top
            frames[lane.id] = Box(k * (wide + BETWEEN) + wide / 2, below - tall / 2, wide, tall)
            marks.append(
                Mark(lane.label, frames[lane.id].left + 12, frames[lane.id].top - 15, size=12)
            )
            for first, node in zip(members[lanes[0].id], members[lane.id], strict=True):
                box = whole.boxes[first.id]
                boxes[node.id] = Box(box.x + dx, box.y + dy, box.w, box.h)
            same = {_key(e, members[lanes[0].id]): e.id for e in inner[lanes[0].id]}
            for edge in inner[lane.id]:
                path = whole.paths.get(same.get(_key(edge, members[lane.id]), ""))
                paths[edge.id] = _moved(path, dx, dy) if path else _direct(edge, boxes)
        below -= tall + BETWEEN
    labels = {e.id: e.label for e in scene.edges if e.label}
    return Layout(boxes, free_labels(paths, labels, boxes, marks), frames, tuple(marks))


def _widest(copies: list[list[Node]]) -> list[tuple[float, float]]:
    return [
        (max(size_of(n)[0] for n in nodes), max(size_of(n)[1] for n in nodes))
        for nodes in zip(*copies, strict=True)
    ]


def _key(edge: Edge, members: list[Node]) -> tuple[int, int, bool]:
    number = {node.id: k for k, node in enumerate(members)}
    return number[edge.source], number[edge.target], edge.kind == "backward"


def _place(nodes: list[Node], edges: list[Edge], given: list[tuple[float, float]]) -> Layout:
    size = {node.id: wh for node, wh in zip(nodes, given, strict=True)}
    kind = {node.id: node.kind for node in nodes}
    below: dict[str, str] = {}  # parameters by the op that reads them
    for edge in edges:
        if edge.kind == "shared":
            below[edge.target] = edge.source
    guests = set(below.values())
    tall = {
        id: wh if id not in below
        else (max(wh[0], size[below[id]][0]), wh[1] + BELOW + size[below[id]][1])
        for id, wh in reversed(size.items()) if id not in guests
    }  # fmt: skip
    flow = [e for e in edges if e.kind != "backward" and e.source not in guests]
    pairs = [(e.source, e.target) for e in flow]
    sends = {a for a, _ in pairs}
    # In a layer the first is the lowest.
    firsts = [n.id for n in nodes if n.kind in ("initial", "input") and n.id in sends]
    lasts = [n.id for n in nodes if n.kind in ("initial", "output") and n.id not in sends]
    heavy = _state_ways(pairs, [f for f in firsts if kind[f] == "initial"], lasts)
    ports = {
        (k, end): (tall[end][1] - size[end][1]) / 2 for k, pair in enumerate(pairs) for end in pair
    }
    found = layered(
        tall, pairs, ports, last=frozenset(lasts), first=frozenset(firsts), gap=GAP,
        weights={k: STRAIGHT for ways in heavy for k in ways},
        top=frozenset(end for k in heavy[0] for end in pairs[k]) if heavy else frozenset(),
    )  # fmt: skip
    best, routes = found.boxes, found.routes
    boxes: dict[str, Box] = {}
    for id, box in best.items():
        wide, high = size[id]
        boxes[id] = Box(box.x, box.top - high / 2, wide, high)
        if id in below:
            w, h = size[below[id]]
            boxes[below[id]] = Box(box.x, box.bottom + h / 2, w, h)
    paths: dict[str, Path] = {}
    ways: dict[tuple[str, str], str] = {}
    for edge, way in zip(flow, routes, strict=True):
        # A box may be narrower than the room that its parameters below it take.
        ends = (boxes[edge.source].right, way[0][1]), (boxes[edge.target].left, way[-1][1])
        if abs(ends[0][0] - way[0][0]) > 1 or abs(ends[1][0] - way[-1][0]) > 1:
            way = [ends[0], *way, ends[1]] if len(way) > 1 else [*ends]
        paths[edge.id] = curve(_distinct(way))
        ways[edge.source, edge.target] = edge.id
    for edge in edges:
        if edge.id in paths:
            continue
        a, b = boxes[edge.source], boxes[edge.target]
        forward = ways.get((edge.target, edge.source))
        if edge.kind == "shared":
            paths[edge.id] = straight((b.x - ASIDE, a.top), (b.x - ASIDE, b.bottom))
        elif forward is not None:
            paths[edge.id] = reversed_beside(paths[forward], ASIDE)
        elif edge.target in guests:
            paths[edge.id] = straight((a.x + ASIDE, a.bottom), (a.x + ASIDE, b.top))
        else:
            paths[edge.id] = _direct(edge, boxes)
    return Layout(boxes, paths)


def _state_ways(
    pairs: list[tuple[str, str]], firsts: list[str], lasts: list[str]
) -> list[list[int]]:
    """The edges of the shortest way of each state to where it leaves."""
    after: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for k, (a, b) in enumerate(pairs):
        after[a].append((b, k))
    found: list[list[int]] = []
    for first, last in zip(firsts, lasts, strict=False):
        came: dict[str, tuple[str, int]] = {}
        queue = [first]
        for node in queue:  # grows while it is walked
            for target, k in after[node]:
                if target not in came and target != first:
                    came[target] = node, k
                    queue.append(target)
        node = last
        found.append([])
        while node in came and node != first:
            node, k = came[node]
            found[-1].append(k)
    return found


def _distinct(way: list[Point]) -> list[Point]:
    kept = [way[0]]
    for point in way[1:]:
        if point[0] - kept[-1][0] > 0.5:
            kept.append(point)
    return kept if len(kept) > 1 else [way[0], way[-1]]


def _reach(layout: Layout) -> list[Box]:
    return [Box(x, y, 2, 2) for path in layout.paths.values() for x, y in path.points]


def _moved(path: Path, dx: float, dy: float) -> Path:
    label = None if path.label is None else (path.label[0] + dx, path.label[1] + dy)
    return Path(tuple((x + dx, y + dy) for x, y in path.points), path.arrow, label)


def _direct(edge: Edge, boxes: dict[str, Box]) -> Path:
    a, b = boxes[edge.source], boxes[edge.target]
    return straight((a.right, a.y), (b.left, b.y), label=((a.right + b.left) / 2, a.y + 8))
