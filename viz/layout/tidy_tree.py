"""Horizontal places for the nodes of a forest whose heights are given, parents above children.

Subtrees are pushed together until their outlines nearly touch, as Reingold and Tilford (1981) do.
An outline is the left and right extent per level.
Levels are given here (the leaves of a sentence all at the bottom), so edges may span several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Outline = dict[int, tuple[float, float]]


def tidy_tree(
    roots: Sequence[str],
    children: Mapping[str, Sequence[str]],
    level: Mapping[str, int],
    half: Mapping[str, tuple[float, float]],
    gap: float,
    edge_room: float = 12.0,
) -> dict[str, float]:
    """x of every node; ``half[n]`` is how far node n reaches to its left and right. Iterative."""
    shift: dict[str, float] = {}  # of a subtree against its parent's frame
    centre: dict[str, float] = {}  # of a node within its own subtree's frame
    outline: dict[str, Outline] = {}
    order = _post_order(roots, children)
    for node in order:
        merged: Outline = {}
        kids = children.get(node, ())
        for kid in kids:
            # A long edge rises straight up from its child: it needs room on the levels it passes.
            for at in range(level[kid] + 1, level[node]):
                stem = centre[kid] - edge_room, centre[kid] + edge_room
                low, high = outline[kid].get(at, stem)
                outline[kid][at] = min(low, stem[0]), max(high, stem[1])
            shift[kid] = _push(merged, outline[kid], gap)
            _merge(merged, outline.pop(kid), shift[kid])
        places = [shift[kid] + centre[kid] for kid in kids]
        centre[node] = (places[0] + places[-1]) / 2 if places else 0.0
        left, right = half[node]
        low, high = merged.get(level[node], (centre[node], centre[node]))
        merged[level[node]] = min(low, centre[node] - left), max(high, centre[node] + right)
        outline[node] = merged
    whole: Outline = {}
    x: dict[str, float] = {}
    base: dict[str, float] = {}
    for root in roots:
        base[root] = _push(whole, outline[root], gap * 2)
        _merge(whole, outline[root], base[root])
    for node in reversed(order):
        x[node] = base[node] + centre[node]
        for kid in children.get(node, ()):
            base[kid] = base[node] + shift[kid]
    return x


def _push(left: Outline, right: Outline, gap: float) -> float:
    """How far ``right`` must move to clear ``left``."""
    clear = [left[at][1] + gap - low for at, (low, _) in right.items() if at in left]
    if clear:
        return max(clear)
    return (
        max((high for _, high in left.values()), default=-gap)
        + gap
        - min(low for low, _ in right.values())
    )


def _merge(into: Outline, outline: Outline, dx: float) -> None:
    for at, (low, high) in outline.items():
        old_low, old_high = into.get(at, (low + dx, high + dx))
        into[at] = min(old_low, low + dx), max(old_high, high + dx)


def _post_order(roots: Sequence[str], children: Mapping[str, Sequence[str]]) -> list[str]:
    order: list[str] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(children.get(node, ()))
    order.reverse()
    return order
