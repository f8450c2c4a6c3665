"""A layered layout for small graphs (the ops of a cell), left to right.

Sugiyama's method in its plainest form:
layers by longest paths, with one dummy point per layer that an edge crosses;
the order in a layer by barycentre sweeps;
heights by a few rounds of "move towards your neighbours, keep your distance".
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .geometry import Box, Path, Point, smooth

GAP_X, GAP_Y = 34.0, 11.0
SWEEPS = 8
_DUMMY = (0.0, 7.0)  # size of the point at which a long edge crosses a layer


@dataclass(frozen=True)
class Layered:
    """Boxes by node id, and for each edge (by its place in the list) the points it runs through."""

    boxes: dict[str, Box]
    routes: list[list[Point]]


def layered(
    sizes: Mapping[str, tuple[float, float]],
    edges: Sequence[tuple[str, str]],
    ports: Mapping[tuple[int, str], float] | None = None,
    last: frozenset[str] = frozenset(),
    first: frozenset[str] = frozenset(),
    gap: tuple[float, float] = (GAP_X, GAP_Y),
    weights: Mapping[int, float] | None = None,
    top: frozenset[str] = frozenset(),
) -> Layered:
    """Place nodes of the given (width, height).

    edges: must be acyclic; else ValueError.
    ports[(k, node)]: the height at which edge k meets the node, relative to its centre; else 0.
    first, last: nodes that go to the outermost layers.
    gap: between layers, and between neighbours in one.
    weights[k]: how much it matters that edge k is straight; else 1.
    top: nodes above all others of their layers, with the edges of weight between them.
    """
    ports = ports or {}
    layer = _layers(sizes, edges, first, last)
    size = dict(sizes)
    chains: list[list[str]] = []
    # Neighbours in adjacent layers, with the ports' heights.
    links: list[tuple[str, str, float, float]] = []
    heavy: dict[tuple[str, str], float] = {}
    pinned = set(top)
    for k, (a, b) in enumerate(edges):
        chain = [a]
        for step in range(layer[a] + 1, layer[b]):
            name = f"\0{k}.{step}"
            if {a, b} <= top and weights and k in weights:
                pinned.add(name)
            size[name], layer[name] = _DUMMY, step
            chain.append(name)
        chain.append(b)
        chains.append(chain)
        for u, v in zip(chain, chain[1:], strict=False):
            links.append((u, v, ports.get((k, u), 0.0), ports.get((k, v), 0.0)))
            if weights and k in weights:
                heavy[u, v] = weights[k]
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in layer:
        rows[layer[name]].append(name)
    _order(rows, links, pinned)
    height = _heights(rows, links, size, gap[1], heavy)
    _straighten(height, pinned, ports)
    boxes, x = {}, 0.0
    band: dict[str, tuple[float, float]] = {}  # where a layer begins and ends
    for row in rows:
        wide = max((size[name][0] for name in row), default=0.0)
        for name in row:
            boxes[name] = Box(x + wide / 2, height[name], *size[name])
            band[name] = x, x + wide
        x += wide + gap[0]
    routes = []
    for k, chain in enumerate(chains):
        # Edges rise and fall between the layers only: within one they would meet its boxes.
        start, end = boxes[chain[0]], boxes[chain[-1]]
        y, y_end = (
            box.y + ports.get((k, name), 0.0) for box, name in ((start, chain[0]), (end, chain[-1]))
        )
        route = [(start.right, y), (band[chain[0]][1], y)]
        route += [(x, boxes[name].y) for name in chain[1:-1] for x in band[name]]
        route += [(band[chain[-1]][0], y_end), (end.left, y_end)]
        routes.append(_apart(route))
    return Layered({name: boxes[name] for name in sizes}, routes)


def _apart(route: list[Point]) -> list[Point]:
    """Without points that do not go on, such as the two ends of a layer as wide as its box."""
    kept = route[:1]
    for point in route[1:-1]:
        if point[0] > kept[-1][0] + 0.5 and point[0] < route[-1][0] - 0.5:
            kept.append(point)
    return [*kept, route[-1]]


def _straighten(
    height: dict[str, float], top: set[str], ports: Mapping[tuple[int, str], float]
) -> None:
    """What is above all others can be lifted onto one line."""
    lift = {name: 0.0 for name in top}
    lift |= {name: at for (_, name), at in ports.items() if name in top}
    line = max((height[name] + at for name, at in lift.items()), default=0.0)
    for name, at in lift.items():
        height[name] = line - at


def curve(route: Sequence[Point]) -> Path:
    """The path through a route, flat where it meets nodes."""
    return smooth(route)


def _layers(
    sizes: Mapping[str, tuple[float, float]],
    edges: Sequence[tuple[str, str]],
    first: frozenset[str],
    last: frozenset[str],
) -> dict[str, int]:
    """Longest path from a source.

    Sources then move next to their first user, so that constants sit close by.
    """
    after: dict[str, list[str]] = defaultdict(list)
    before: dict[str, int] = defaultdict(int)
    for a, b in edges:
        after[a].append(b)
        before[b] += 1
    layer = dict.fromkeys(sizes, 0)
    waiting = dict(before)
    ready = [name for name in sizes if not waiting.get(name)]
    done = 0
    for name in ready:  # grows while it is walked: a queue
        done += 1
        for user in after[name]:
            layer[user] = max(layer[user], layer[name] + 1)
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    if done != len(sizes):
        raise ValueError("layered layout: the graph has a cycle")
    for name in reversed(ready):
        if after[name] and not before[name] and name not in first:
            layer[name] = min(layer[user] for user in after[name]) - 1
    deepest = max(layer.values(), default=0)
    for name in last:
        layer[name] = deepest
    return layer


def _order(
    rows: list[list[str]], links: Sequence[tuple[str, str, float, float]], pinned: set[str]
) -> None:
    """Barycentre sweeps, forth and back; the best order seen (fewest crossings) is kept."""
    before, after = defaultdict(list), defaultdict(list)
    for u, v, at_u, at_v in links:
        before[v].append((u, at_u))
        after[u].append((v, at_v))
    for row in rows:
        row.sort(key=lambda name: name in pinned)
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for row in rows if forth else reversed(rows):
            place = {name: k for other in rows for k, name in enumerate(other)}
            # A port higher up on a tall neighbour counts as a fraction of a place.
            weight = {
                name: sum(place[n] + at * 1e-3 for n, at in neighbours[name])
                / len(neighbours[name])
                if neighbours[name]
                else float(place[name])
                for name in row
            }
            row.sort(key=lambda name: (name in pinned, weight[name]))  # noqa: B023
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: list[list[str]], links: Sequence[tuple[str, str, float, float]]) -> int:
    layer = {name: k for k, row in enumerate(rows) for name in row}
    place = {name: k for row in rows for k, name in enumerate(row)}
    between = defaultdict(list)
    for u, v, at_u, at_v in links:
        between[layer[u]].append((place[u] + at_u * 1e-3, place[v] + at_v * 1e-3))
    total = 0
    for pairs in between.values():
        seen: list[float] = []
        for _, end in sorted(pairs):  # inversions, by insertion into a sorted list
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


def _heights(
    rows: list[list[str]],
    links: Sequence[tuple[str, str, float, float]],
    size: Mapping[str, tuple[float, float]],
    gap: float,
    heavy: Mapping[tuple[str, str], float],
) -> dict[str, float]:
    y: dict[str, float] = {}
    for row in rows:
        at = 0.0
        for name in row:
            y[name] = at + size[name][1] / 2
            at += size[name][1] + gap
        for name in row:
            y[name] -= (at - gap) / 2
    near = defaultdict(list)
    for u, v, at_u, at_v in links:
        # Straight long edges matter more than the placement of boxes.
        weight = 4.0 if u.startswith("\0") and v.startswith("\0") else 1.0
        weight = max(weight, heavy.get((u, v), 0.0))
        near[u].append((v, at_v - at_u, weight))
        near[v].append((u, at_u - at_v, weight))
    for round in range(24):
        for row in rows if round % 2 == 0 else reversed(rows):
            wish = [
                sum((y[n] + d) * w for n, d, w in near[name]) / sum(w for *_, w in near[name])
                if near[name]
                else y[name]
                for name in row
            ]
            for name, at in zip(
                row, _spread(wish, [size[name][1] for name in row], gap), strict=True
            ):
                y[name] = at
    return y


def _spread(wish: Sequence[float], heights: Sequence[float], gap: float) -> list[float]:
    """The positions closest to the wished ones (least squares) that keep the order and the gaps.

    Pool adjacent violators: neighbours that want to overlap form a block.
    A block is placed at the mean wish of its members.
    """
    offsets, at = [], 0.0
    for k, height in enumerate(heights):
        at += (heights[k - 1] + height) / 2 + gap if k else 0.0
        offsets.append(at)
    blocks: list[list[float]] = []  # [sum of (wish - offset), members]
    for want, offset in zip(wish, offsets, strict=True):
        blocks.append([want - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    bases = [total / count for total, count in blocks for _ in range(int(count))]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]
