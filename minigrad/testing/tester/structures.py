"""Random structures as text: chains, batches, forests, grids, graphs, round awkward sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..examples.problems import Recipe, choice, edges_recipe, random_children
from .choices import MANY, SIZES, Spans


def _chain(source: Spans, slots: int) -> Recipe:
    steps = source.integer(0, 9) if source.integer(0, 3) else choice(source, SIZES)
    return Recipe("chain", (steps,))


def _ragged(source: Spans, slots: int) -> Recipe:
    lengths = [source.integer(0, 4) for _ in source.times(0, 5)]
    return Recipe("chain", (lengths,), {"reverse": True} if source.integer(0, 1) else {})


def _batch(source: Spans, slots: int) -> Recipe:
    """Many sequences, about as many as a tile has rows."""
    count, longest = choice(source, SIZES), source.integer(1, 3)
    ragged = source.integer(0, 1)
    lengths = [longest - (k % 3 == 2 if ragged else 0) for k in range(count)]
    return Recipe("chain", (lengths,))


def _forest(source: Spans, slots: int) -> Recipe:
    rows: Iterable[int] = source.times(0, 9)
    n = len(list(rows)) + source.integer(0, 2)
    arity = source.integer(1, slots)
    return Recipe("forest", (random_children(source, n, arity),), {"slots": slots})


def _grid(source: Spans, slots: int) -> Recipe:
    return Recipe("grid", (tuple(source.integer(1, 4 if slots < 3 else 2) for _ in range(slots)),))


def _dag(source: Spans, slots: int) -> Recipe:
    """Edges between rows in any order; some twice, fan-out, isolated rows, slots without edges."""
    n = source.integer(1, 9)
    place = list(range(n))
    if source.integer(0, 1):
        place = place[::-1]
    edges: list[tuple[int, int, int]] = []
    for _ in source.times(0, 14):
        if n < 2:
            break
        if edges and source.integer(0, 5) == 5:
            edges.append(edges[-1])
        else:
            a = source.integer(0, n - 2)
            b = source.integer(a + 1, n - 1)
            edges.append((place[a], place[b], source.integer(0, slots - 1)))
    return edges_recipe(n, edges)


def _many(source: Spans, slots: int) -> Recipe:
    n, form = choice(source, MANY), source.integer(0, 2)
    if form == 0:
        return Recipe("chain", ([1] * n,))
    if form == 1:
        return Recipe("chain", ([2] * (n // 2),))
    return edges_recipe(n, [(k, k % 7 + 1, k % slots) for k in range(8, n)])  # seven parents


def _alone(source: Spans, slots: int) -> Recipe:
    return Recipe("chain", ([1] * choice(source, SIZES),))


STRUCTURES: dict[str, Callable[[Spans, int], Recipe]] = {
    "chain": _chain, "ragged": _ragged, "batch": _batch, "forest": _forest, "grid": _grid,
    "dag": _dag, "alone": _alone, "many": _many,
}  # fmt: skip


def random_structure(source: Spans, slots: int, kind: str) -> tuple[str, list[str]]:
    """Text that makes a structure with that many slots, and what it is."""
    with source.span():
        recipe = STRUCTURES[kind](source, slots)
    text, tags = repr(recipe), [kind]
    if kind not in ("forest", "grid"):
        text += f".with_slots({slots})" if slots > 1 else ""
    if source.integer(0, 9) == 9:
        edges = len(recipe.build().src)
        text += f".truncated(np.arange({edges}) % 3 > 0)"
        tags.append("truncated")
    return text, tags
