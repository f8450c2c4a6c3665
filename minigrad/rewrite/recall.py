"""Graphs met before, but for their sizes: what the rewrites made of one is written down, and said
again of the next.

Another length, batch or forest gives a graph that differs in its structures, its row numbers and in
lengths of axes alone.  `known_by` is what two such graphs have in common.  The rewrites use that
lengths (and products of leading ones) are equal, never what they are; so their result holds for
the other graph as well, wherever equal lengths have stayed equal, with the lengths in their places
(`_Sizes`).  Numbers and lengths that have become part of a block must be the same.  Every op of the
result is recorded anew and checks its operands; what does not fit is rewritten from the beginning.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import mul
from threading import Lock
from typing import Any, NamedTuple

from ..chunks import cut as cut_up
from ..graph import CONSTANT, INPUT, Shape, Tensor, toposort
from ..ops.indexing import SCATTER, TAKE
from ..recur import PROJ, RECUR, ROW, SHARED, Block, Via, proj, recurrence
from ..structure import Structure, independent
from .flat import cut
from .intern import intern
from .merge import attributes_key
from .regions import bounds_of

KEPT, WAYS = 64, 4  # graphs, and memos for one
SIZED = ("shape", "size")  # attributes that hold lengths

_memos: OrderedDict[Any, deque[Memo]] = OrderedDict()
_lock = Lock()


def recalled(
    outputs: Sequence[Tensor], rewrite: Callable[[Sequence[Tensor]], list[Tensor]], key: Any
) -> list[Tensor]:
    """rewrite(outputs) over blocks met before; `key`: what else decides what it is."""
    graph = _Graph(outputs)
    if any(isinstance(part, Structure) and cut_up(part) for part in graph.parts):
        return intern(rewrite(outputs), graph.blocks)  # what is fused depends on its chunks
    memos = _memos_for((key, graph.key))
    for memo in tuple(memos):
        if (again := memo.followed(graph)) is not None:
            return again
    made = rewrite(outputs)
    found = intern(made, graph.blocks)
    if (written := _written(graph, made, found)) is not None:
        memos.appendleft(written)
    return found


def _memos_for(key: Any) -> deque[Memo]:
    with _lock:
        found = _memos.setdefault(key, deque(maxlen=WAYS))
        _memos.move_to_end(key)
        while len(_memos) > KEPT:
            _memos.popitem(last=False)
    return found


class _Graph:
    """A graph apart: what it has in common with others (`key`), and what it has of its own.

    sizes : all lengths, and products of leading ones, in order.
    parts : its structures and the vias with row numbers, by number.
    """

    def __init__(self, outputs: Sequence[Tensor]):
        self.order = toposort(outputs)
        self.number = {t: k for k, t in enumerate(self.order)}
        self.sizes: list[int] = []
        self.parts: dict[Any, int] = {}
        self.blocks: set[Block] = set()
        indices = self._indices()
        entries = [self._entry(t, indices) for t in self.order]
        self.key = (*entries, *(self.number[t] for t in outputs))

    def _indices(self) -> set[Tensor]:
        """Constants that are row numbers and nothing else."""
        found: set[Tensor] = set()
        others: set[Tensor] = set()
        for t in self.order:
            gathers = t.op in (TAKE, SCATTER)
            for k, x in enumerate(t.inputs):
                if x.op is CONSTANT:
                    (found if gathers and k == 1 else others).add(x)
        return found - others

    def _entry(self, t: Tensor, indices: set[Tensor]) -> Any:
        inputs = [self.number[x] for x in t.inputs]
        if t.op is RECUR:
            s, vias = t.attrs["structure"], t.attrs["vias"]
            self.blocks.add(t.attrs["block"])
            self.sizes += [s.n, *(via.size for via in vias if via.rows is not None)]
            edges = s.wires, s.slots, s.ports
            ways = [self._part(via) for via in vias]
            return RECUR, t.attrs["block"], self._part(s), edges, *ways, *inputs
        self.sizes += t.shape
        self.sizes += accumulate(t.shape, mul)
        if t.op is PROJ:
            return PROJ, t.attrs["ref"], self._part(t.attrs["via"]), *inputs
        if t.op is CONSTANT:
            bounds = None if t in indices else bounds_of(t)
            return CONSTANT, t.ndim, t.dtype, bounds
        if t.op is INPUT:
            return INPUT, t.ndim, t.dtype, t.attrs.get("bounds")
        attrs = tuple(pair for pair in attributes_key(t) if pair[0] not in SIZED)
        self.sizes += _sizes_of(t.attrs)
        return t.op, t.ndim, t.dtype, attrs, *inputs

    def _part(self, part: Any) -> Any:
        """A structure or a via as a number, the same for the same object."""
        if part is ROW or part is SHARED:
            return part
        return self.parts.setdefault(part, len(self.parts))


def _sizes_of(attrs: dict[str, Any]) -> Iterable[int]:
    shape, size = attrs.get("shape", ()), attrs.get("size")
    return (*shape, *([] if size is None else [size]))


class _Sizes:
    """From the lengths of one graph to those of another; `fits`: where equal ones stay equal, and
    nothing becomes 0 or 1."""

    def __init__(self, old: Sequence[int], new: Sequence[int]):
        self.of = dict(zip(old, new, strict=True))
        get = self.of.__getitem__
        self.fits = list(map(get, old)) == list(new) and all(
            (a < 2 or b < 2) <= (a == b) for a, b in self.of.items()
        )

    def __call__(self, n: int) -> int:
        return self.of.get(n, n)

    def shape(self, shape: Shape) -> Shape:
        return tuple(map(self, shape))


class Memo(NamedTuple):
    """How the rewritten graph is made of a graph.

    sizes  : of the graph it was written for.
    pinned : constants that are in blocks, by their number; inside: lengths that are.
    steps  : tensors in order: a number (of the graph's), or an op and what it is given.
    kept   : what is known by its identity.
    """

    sizes: list[int]
    pinned: list[tuple[int, bytes]]
    inside: frozenset[int]
    steps: list[Any]
    outputs: list[int]
    kept: list[Any]

    def followed(self, graph: _Graph) -> list[Tensor] | None:
        """The rewritten graph for another; None where it does not fit."""
        sizes = _Sizes(self.sizes, graph.sizes)
        if not sizes.fits or any(sizes(n) != n for n in self.inside):
            return None
        if any(graph.order[k]._value.tobytes() != value for k, value in self.pinned):
            return None
        parts = list(graph.parts)
        rows: dict[int, Structure] = {}
        new: list[Tensor] = []
        try:
            for step in self.steps:
                if isinstance(step, int):
                    new.append(graph.order[step])
                else:
                    make, inputs, *given = step
                    new.append(make([new[k] for k in inputs], sizes, parts, rows, *given))
        except (ValueError, TypeError):
            return None
        return [new[k] for k in self.outputs]


def _written(graph: _Graph, made: Sequence[Tensor], found: Sequence[Tensor]) -> Memo | None:
    """The memo for what was made of a graph, before and after blocks met before were put in."""
    pinned: dict[int, bytes] = {}
    inside: set[int] = set()
    for r in toposort(made):
        if r.op is RECUR and r.attrs["block"] not in graph.blocks:
            block = r.attrs["block"]
            for t in (*block.inputs, *block.slots.values(), *block.nodes):
                inside.update(t.shape, accumulate(t.shape, mul))
                if t in graph.number and t.op is CONSTANT:
                    pinned[graph.number[t]] = t._value.tobytes()
    steps: list[Any] = []
    at: dict[Tensor, int] = {}
    for t in toposort(found):
        at[t] = len(steps)
        if t in graph.number:
            steps.append(graph.number[t])
            continue
        inputs = [at[x] for x in t.inputs]
        if t.op is RECUR:
            s, vias = t.attrs["structure"], t.attrs["vias"]
            over = graph.parts.get(s, s if s is cut(s.n) else None if len(s.src) else (s.n,))
            ways = [_way(graph, via) for via in vias]
            if over is None or None in ways:
                return None
            steps.append((_recur, inputs, t.attrs["block"], over, ways))
        elif t.op is PROJ:
            way = _way(graph, t.attrs["via"])
            if way is None:
                return None
            steps.append((_proj, inputs, t.attrs["ref"], way))
        elif t.op is CONSTANT:
            steps.append((_itself, inputs, t))
        else:
            steps.append((_op, inputs, t.op, t.attrs, t.shape, t.name, t.site))
    kept = [t.attrs for t in graph.order if t.inputs and t.op not in (RECUR, PROJ)]
    outputs = [at[t] for t in found]
    return Memo(graph.sizes, list(pinned.items()), frozenset(inside), steps, outputs, kept)


def _way(graph: _Graph, via: Via) -> Any:
    return via if via.rows is None else graph.parts.get(via)


# -- the steps of a memo -------------------------------------------------------------------------


def _recur(
    inputs: list[Tensor], sizes: _Sizes, parts: list[Any], rows: dict[int, Structure],
    block: Block, over: Any, ways: list[Any],
) -> Tensor:  # fmt: skip
    if isinstance(over, tuple):
        n = sizes(over[0])
        over = rows[n] if n in rows else rows.setdefault(n, independent(n))
    structure = parts[over] if isinstance(over, int) else over
    return recurrence(block, structure, inputs, [_via(way, parts) for way in ways])


def _via(way: Any, parts: list[Any]) -> Via:
    return parts[way] if isinstance(way, int) else way


def _proj(
    inputs: list[Tensor], sizes: _Sizes, parts: list[Any], rows: Any, ref: Tensor, way: Any
) -> Tensor:
    return proj(inputs[0], ref, _via(way, parts))


def _itself(inputs: Any, sizes: Any, parts: Any, rows: Any, t: Tensor) -> Tensor:
    return t


def _op(
    inputs: list[Tensor], sizes: _Sizes, parts: Any, rows: Any, op: Any, attrs: dict[str, Any],
    shape: Shape, name: str | None, site: Any,
) -> Tensor:  # fmt: skip
    if "shape" in attrs:
        attrs = {**attrs, "shape": sizes.shape(attrs["shape"])}
    if "size" in attrs:
        attrs = {**attrs, "size": sizes(attrs["size"])}
    found, dtype = op.shape(*inputs, **attrs)
    if found != sizes.shape(shape):
        raise ValueError("another shape")
    return Tensor(op, tuple(inputs), attrs, found, dtype, name, site=site)
