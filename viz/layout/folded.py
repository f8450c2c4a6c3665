"""The layout of the "folded" view: each recurrence a box with its loops, layers stacked upwards."""

from __future__ import annotations

from collections import defaultdict

from ..scene.scene import Node, Scene
from ..scene.style import size_of
from .geometry import Box, Layout, Path, around, rounded, smooth, straight
from .layered import curve, layered
from .ops import reversed_beside

COLUMN, ROW = 56.0, 46.0  # between neighbours sideways and upwards
LOOP = 40.0  # from one delay to the next
_LEFT = ("shared", "initial")


def place_folded(scene: Scene) -> Layout:
    """Cells upwards by layer, results on top.

    Inputs stand below their cell, parameters to its left, delays to its right.
    """
    size = {node.id: size_of(node) for node in scene.nodes}
    nodes = {node.id: node for node in scene.nodes}
    boxes: dict[str, Box] = {}
    host = _hosts(scene, nodes)
    cells = [node for node in scene.nodes if node.kind == "cell"]
    rows: dict[int, list[Node]] = defaultdict(list)
    for cell in cells:
        rows[cell.level or 0].append(cell)
    circuits: dict[str, Box] = {}  # a cell with its loops
    y = 0.0
    for level in sorted(rows):
        x, top = 0.0, y
        guests: dict[str, dict[str, list[str]]] = {c.id: defaultdict(list) for c in rows[level]}
        for name, at in host.items():
            if at in guests:
                guests[at][nodes[name].kind].append(name)
        inputs = [size[name][1] for of in guests.values() for name in of["input"]]
        bottom = y + (max(inputs) + ROW if inputs else 0.0)  # one line for all cells of a row
        for cell in rows[level]:
            box = _circuit(cell.id, guests[cell.id], size, boxes, x, y, bottom)
            circuits[cell.id] = _circle(boxes, cell.id, guests[cell.id]["delay"])
            x = box.right + COLUMN
            top = max(top, box.top)
        y = top + ROW
    rest = [node for node in scene.nodes if node.id not in boxes]
    _place_rest(scene, rest, size, boxes, y)
    paths: dict[str, Path] = {}
    ways: dict[tuple[str, str], str] = {}
    for edge in scene.edges:
        if edge.kind != "backward":
            paths[edge.id] = _path(nodes, boxes, edge.source, edge.target, circuits)
            ways[edge.source, edge.target] = edge.id
    for edge in scene.edges:
        if edge.kind == "backward":
            way = ways.get((edge.target, edge.source))
            forward = paths[way] if way else _path(nodes, boxes, edge.target, edge.source, circuits)
            paths[edge.id] = reversed_beside(forward, 6.0)
    return Layout(boxes, paths)


def _hosts(scene: Scene, nodes: dict[str, Node]) -> dict[str, str]:
    """The cell beside which a node stands: the first that it feeds, or the one it belongs to."""
    host: dict[str, str] = {}
    for edge in scene.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        if target.kind == "cell" and source.kind in ("input", "delay", *_LEFT):
            host.setdefault(source.id, target.id)
    return host


def _circle(boxes: dict[str, Box], cell: str, delays: list[str]) -> Box:
    """A cell together with the loops to its right."""
    box = around([boxes[name] for name in (cell, *delays)])
    return Box(box.x + 17, box.y, box.w + 34, box.h) if delays else box


def _circuit(
    cell: str, guests: dict[str, list[str]], size: dict, boxes: dict[str, Box], x: float, y: float,
    bottom: float,
) -> Box:  # fmt: skip
    left = [name for kind in _LEFT for name in guests[kind]]
    delays, inputs = guests["delay"], guests["input"]
    left_wide = max((size[name][0] for name in left), default=0.0)
    left_tall = sum(size[name][1] + 10 for name in left)
    wide, tall = size[cell]
    tall = max(tall, left_tall, LOOP * len(delays) + 10)
    wide = max(wide, sum(size[name][0] + 10 for name in inputs), 84.0)
    start = len(boxes)
    cx = x + (left_wide + COLUMN if left else 0.0) + wide / 2
    cy = bottom + tall / 2
    boxes[cell] = Box(cx, cy, wide, tall)
    at = cy + (left_tall - 10) / 2
    for name in left:
        boxes[name] = Box(x + left_wide - size[name][0] / 2, at - size[name][1] / 2, *size[name])
        at -= size[name][1] + 10
    # Above another cell the way straight down belongs to what comes from there.
    aside = wide / 2 + 6 if y > 0 else 0.0
    at_x = cx - aside - (sum(size[name][0] + 10 for name in inputs) - 10) / 2
    for name in inputs:
        boxes[name] = Box(at_x + size[name][0] / 2, y + size[name][1] / 2, *size[name])
        at_x += size[name][0] + 10
    for k, name in enumerate(delays):
        level = cy + ((len(delays) - 1) / 2 - k) * LOOP - 6
        boxes[name] = Box(cx + wide / 2 + 44 + size[name][0] / 2, level, *size[name])
    return around(list(boxes.values())[start:])


def _place_rest(
    scene: Scene, rest: list[Node], size: dict, boxes: dict[str, Box], y: float
) -> None:
    """Results in layers upwards from the cells, each above what it reads."""
    if not rest:
        return
    flow = [e for e in scene.edges if e.kind != "backward"]
    fed = {e.target for e in flow}
    results = [node.id for node in rest if node.id in fed]
    names = set(results)
    turned = {name: (size[name][1], size[name][0]) for name in results}
    placed = layered(turned, [(e.source, e.target) for e in flow if {e.source, e.target} <= names])
    read = [boxes[e.source].x for e in flow if e.source in boxes and e.target in names]
    middle = around(list(placed.boxes.values()))
    centre = sum(read) / len(read) if read else 0.0
    for name, box in placed.boxes.items():
        boxes[name] = Box(centre + box.y - middle.y, y + box.x, *size[name])
    # What nothing feeds (output weights, targets) stands to the right of its reader.
    for edge in flow:
        if edge.source not in boxes and edge.target in boxes:
            row = [box for box in boxes.values() if abs(box.y - boxes[edge.target].y) < box.h]
            x = max(box.right for box in row) + COLUMN + size[edge.source][0] / 2
            boxes[edge.source] = Box(x, boxes[edge.target].y, *size[edge.source])
    lonely = [node.id for node in rest if node.id not in boxes]
    for k, name in enumerate(lonely):
        boxes[name] = Box(centre + k * 2 * COLUMN, y, *size[name])


def _around(a: Box, b: Box, x: float, others: list[Box]) -> list[tuple[float, float]]:
    """Where a way from a up to b, at x, has to turn so as not to run behind what lies between."""
    low, high = sorted((a.x, x))
    between = [o for o in others if o.bottom < b.bottom and o.top > a.top]
    met = [o for o in between if o.left - 6 < high and o.right + 6 > low]
    if not met:
        return []
    while True:  # to the right of all that is met, and of what is met there
        beside = max(o.right for o in met) + 16
        more = [o for o in between if o not in met and o.left - 6 < beside < o.right + 6]
        if not more:
            break
        met += more
    bottom, top = min(o.bottom for o in met), max(o.top for o in met)
    return [(beside, max(a.top + 10, bottom)), (beside, min(b.bottom - 10, top))]


def _path(
    nodes: dict[str, Node], boxes: dict[str, Box], source: str, target: str,
    circuits: dict[str, Box],
) -> Path:  # fmt: skip
    a, b = boxes[source], boxes[target]
    if nodes[target].kind == "delay":  # out of the cell, around, into the delay from above
        high, far = b.y + LOOP / 2 - 4, b.right + 26
        return rounded([(a.right, high), (far, high), (far, b.y), (b.right, b.y)])
    if nodes[source].kind == "delay":
        y = min(max(a.y, b.bottom + 6), b.top - 6)
        return straight((a.left, y), (b.right, y), label=((a.left + b.right) / 2, y - 8))
    if nodes[source].kind in _LEFT and a.right < b.left:
        y = min(max(a.y, b.bottom + 8), b.top - 8)
        return smooth([(a.right, a.y), (b.left, y)])
    if a.top <= b.bottom:
        x = min(max(a.x, b.left + 8), b.right - 8)
        between = [circuits.get(name, box) for name, box in boxes.items()
                   if name not in (source, target) and nodes[name].kind != "delay"]  # fmt: skip
        return smooth([(a.x, a.top), *_around(a, b, x, between), (x, b.bottom)], horizontal=False)
    if a.left >= b.right:
        return straight((a.left, a.y), (b.right, b.y))
    return curve([(a.right, a.y), (b.left, b.y)])
