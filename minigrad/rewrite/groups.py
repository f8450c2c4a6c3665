"""Groups of calls and the recurrences they become: slots, ports and edges, and the way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..graph import Tensor, placeholder, rebuild
from ..ops.elementwise import add_n
from ..recur import ROW, SHARED, Block, Index, Pullback, Via, proj, pullback, recurrence
from ..structure import Structure
from .batches import Spread, on_rows
from .calls import Calls, call_of, is_zero

Source = Any  # of an argument: a Tensor, a table of rows, or a tuple of Tensors to be stacked


class Known(Protocol):
    """Who knows which tensors are rows of what (see `rolled`)."""

    def columns(self, rows: Sequence[Sequence[Tensor]]) -> list[tuple[Via, Source]]: ...
    def needs(self, source: Source) -> list[Any]: ...
    def given(self, source: Source) -> Tensor: ...


class Way(NamedTuple):
    """An edge between two calls: the argument it enters by, as a slot and leaf, and its port."""

    position: int
    slot: int
    leaf: int
    port: int


class Pulled(NamedTuple):
    """What a call of a pullback goes back through: a row of a group."""

    group: Forward
    row: int
    refs: tuple[Tensor, ...]
    wanted: tuple[bool, ...]
    pull: Pullback


class BackEdge(NamedTuple):
    """A cotangent (`term`, of `ref`) that comes back from a call along a way."""

    source: Tensor
    way: Way
    ref: Tensor
    term: Tensor


Arrivals = tuple[list[BackEdge], list[tuple[Tensor, Tensor]]]


class Forward:
    """Calls that become one recurrence: row i is calls[i]."""

    def __init__(self, graph: Calls, calls: Sequence[Tensor]):
        self.calls, self.block = calls, calls[0].attrs["block"]
        self.row = {t: i for i, t in enumerate(calls)}
        self.edges: list[list[tuple[int, int, Tensor]]] = []  # by argument: (from, to, what)
        self.others: list[list[list[Tensor]]] = []  # by argument and row: what else is added up
        self.outside: dict[Tensor, list[Tensor]] = {t: [] for t in calls}
        self.same: list[bool] = []
        asked = {p.attrs["ref"] for t in calls for p in graph.asked[t]}
        self.also = [t for t in self.block.nodes if t in asked]
        for k in range(len(self.block.inputs)):
            column = [graph.args[t][k] for t in calls]
            edges, others = [], []
            for i, x in enumerate(column):
                rest = []
                for term in graph.states(x):
                    source = self.row.get(call_of(term))  # type: ignore[arg-type]
                    if source is None:
                        rest.append(term)
                    else:
                        edges.append((source, i, term.attrs["ref"]))
                others.append(rest)
                self.outside[calls[i]] += rest
            same = not edges and all(x is column[0] for x in column)
            if edges:
                others = [[x for x in rest if not is_zero(x)] for rest in others]
            self.edges.append(sorted(edges, key=lambda e: (e[1], e[0])))
            self.others.append([[column[0]]] if same else others)
            self.same.append(same)
        self._wire()

    def _wire(self) -> None:
        """Slots, of arguments that take all their states from the same calls; ports, of results
        that leave along the same edges."""
        slots: dict[Any, list[int]] = {}
        for k, edges in enumerate(self.edges):
            if edges:
                ends = tuple([(a, b) for a, b, _ in edges])
                slots.setdefault(ends if len(set(ends)) == len(ends) else k, []).append(k)
        self.positions = list(slots.values())
        self.place = {
            k: (slot, leaf) for slot, ks in enumerate(self.positions) for leaf, k in enumerate(ks)
        }
        ports: dict[tuple[Tensor, ...], int] = {}
        self.ways: dict[Any, list[Way]] = {}
        columns: list[tuple[int, int, int, int]] = []
        level = [0] * len(self.calls)
        for slot, ks in enumerate(self.positions):
            for together in zip(*(self.edges[k] for k in ks), strict=True):
                a, b, _ = together[0]
                port = ports.setdefault(tuple([ref for _, _, ref in together]), len(ports))
                columns.append((a, b, slot, port))
                for leaf, (k, (_, _, ref)) in enumerate(zip(ks, together, strict=True)):
                    known = self.ways.setdefault((a, ref, b), [])
                    if (way := Way(k, slot, leaf, port)) not in known:
                        known.append(way)
        for a, b, *_ in sorted(columns, key=lambda e: e[1]):
            level[b] = max(level[b], level[a] + 1)
        self.ports = tuple(ports)
        self.columns = columns
        src, dst, into, out = np.array(columns, np.int64).reshape(-1, 4).T.copy()
        self.structure = Structure(
            len(self.calls), src, dst, into, out, np.array(level, np.int64),
            slots=max(len(slots), 1), ports=max(len(ports), 1),
        )  # fmt: skip

    def plan(self, known: Known) -> None:
        """The block, and from where its arguments come."""
        kinds: list[tuple[int, ...]] = []
        found: list[tuple[Via, Source]] = []
        for k, rows in enumerate(self.others):
            columns = [(SHARED, rows[0][0])] if self.same[k] else known.columns(rows)
            found += columns
            kinds.append((len(columns), *self.place.get(k, ())))
        key = ("rolled", tuple(kinds), self.ports)
        if key not in self.block.cache:
            self.block.cache[key] = _rolled_block(self.block, kinds, self.ports)
        whole, self.inside, self.first = self.block.cache[key]
        self.sources = [source for _, source in found]
        self.enter = [via for via, _ in found]
        self._spread(whole)

    def _spread(self, whole: Block) -> None:
        """Where the block goes row by row over a batch, its nodes are the rows."""
        read = (*whole.outputs, *(self.inside[t] for t in self.also),
                *(self.inside[self.block.inputs[k]] for k in self.place))  # fmt: skip
        shared = tuple(via is SHARED for via in self.enter)
        self.batch = on_rows(whole, shared, tuple(dict.fromkeys(read)))
        self.spread = Spread(len(self.calls), self.batch.size if self.batch else 0)
        self.new = self.batch.block if self.batch else whole
        self.marks = [self.batch is not None and ph in self.batch.by_row for ph in whole.inputs]
        self.vias = [self.spread.via(*pair) for pair in zip(self.enter, self.marks, strict=True)]

    def needs(self, known: Known) -> list[Any]:
        return [x for source in self.sources for x in known.needs(source)]

    def record(self, known: Known) -> None:
        columns = zip(self.sources, self.enter, self.marks, self.new.inputs, strict=True)
        self.args = [self.spread.given(known.given(source), via, mark, ph.shape)
                     for source, via, mark, ph in columns]  # fmt: skip
        self.over = self.spread.structure(self.structure)
        self.r = recurrence(self.new, self.over, self.args, self.vias)

    def ref(self, tag: Any) -> tuple[Tensor, bool, tuple[int, ...]]:
        """A tensor of the new block, whether it goes by row, and its shape where it does not."""
        t = self.inside[tag if isinstance(tag, Tensor) else self.block.inputs[tag]]
        if self.batch is None:
            return t, False, t.shape
        return self.batch.inside[t], t in self.batch.by_row, t.shape

    def leave(self, tag: Any, via: Via) -> Tensor:
        ref, by_row, shape = self.ref(tag)
        return self.spread.left(self.r, ref, via, by_row, shape)


def _rolled_block(
    block: Block, kinds: Sequence[tuple[int, ...]], ports: Sequence[tuple[Tensor, ...]]
) -> tuple[Block, dict[Tensor, Tensor], list[int]]:
    """A block whose arguments are sums of as many inputs as `kinds` says, and of what arrives in a
    slot, if one is named; its tensors by those of `block`, and each argument's first input."""
    inputs: list[Tensor] = []
    slots: dict[tuple[int, int], Tensor] = {}
    swap: dict[Tensor, Tensor] = {}
    first: list[int] = []
    for ph, (count, *place) in zip(block.inputs, kinds, strict=True):
        first.append(len(inputs))
        parts = [ph]
        if count + bool(place) > 1:
            parts = [placeholder(ph.shape, ph.dtype, ph.name) for _ in range(count + bool(place))]
            swap[ph] = add_n(parts)
        if place:
            slots[place[0], place[1]] = parts.pop(0)
        inputs += parts
    nodes = list(dict.fromkeys((*block.nodes, *block.inputs)))
    inside = dict(zip(nodes, rebuild(nodes, swap), strict=True))
    leaving = {(p, j): inside[t] for p, refs in enumerate(ports) for j, t in enumerate(refs)}
    outputs = tuple(inside[t] for t in block.outputs)
    return Block(f"{block.name}, re-rolled", tuple(inputs), outputs, slots, leaving), inside, first


class Back:
    """Calls of pullbacks that become the pullback of one recurrence, over some of its rows."""

    def __init__(
        self, graph: Calls, calls: Sequence[Tensor], found: dict[Tensor, Pulled],
        arrive: dict[Tensor, Arrivals],
    ):  # fmt: skip
        self.group = found[calls[0]].group
        self.calls = sorted(calls, key=lambda t: found[t].row)
        self.rows = np.array([found[t].row for t in self.calls], np.int64)
        self.row = {t: i for i, t in enumerate(self.calls)}
        self.others: dict[Tensor, list[list[Tensor]]] = {}
        self.tags: dict[tuple[Tensor, Tensor], int] = {}
        times: dict[Any, int] = {}
        for i, t in enumerate(self.calls):
            edges, rest = arrive[t]
            mine = [(e.source, e.way) for e in edges if e.source in self.row]
            for (source, way), k in Counter(mine).items():
                times[self.row[source], i, way.port, way.slot] = k
            others = [(e.ref, e.term) for e in edges if e.source not in self.row]
            for ref, term in (*rest, *others):
                if ref not in self.others:
                    self.others[ref] = [[] for _ in self.calls]
                if not is_zero(term):
                    self.others[ref][i].append(term)
            numbers: dict[Any, int] = {}
            for k, g in enumerate(found[t].pull.inputs):
                numbers.setdefault(g, k)
            for p in graph.asked[t]:
                self.tags[t, p.attrs["ref"]] = numbers[p.attrs["ref"]]
        self.structure = self._structure(times)

    def _structure(self, times: dict[Any, int]) -> Structure:
        """The forward edges that cotangents come back along, turned around."""
        forward, rows = self.group.structure, self.rows.tolist()
        if len(rows) == forward.n:
            left = Counter(times)
            keep = []
            for a, b, slot, port in self.group.columns:
                keep.append(left[b, a, port, slot] > 0)
                left[b, a, port, slot] -= keep[-1]
            if not any(k > 0 for k in left.values()):
                return (forward if all(keep) else forward.truncated(np.array(keep))).transpose()
        edges = [edge for edge, k in times.items() for _ in range(k)]
        src, dst, into, out = np.array(edges, np.int64).reshape(-1, 4).T.copy()
        level = forward.level[self.rows]
        level = level.max() - level
        if not (level[src] < level[dst]).all():
            level = Structure.edges(len(rows), src, dst).level
        return Structure(
            len(rows), src, dst, into, out, level, slots=forward.ports, ports=forward.slots
        )

    def plan(self, known: Known) -> None:
        group = self.group
        self.enter: list[tuple[Via, Source]] = []
        refs: list[Tensor] = []
        self.marks: list[bool] = []
        for ref, rows in self.others.items():
            for column in known.columns(rows):
                t, by_row, _ = group.ref(ref)
                refs.append(t)
                self.marks.append(by_row)
                self.enter.append(column)
        wanted = [False] * len(group.new.inputs)
        for k in set(self.tags.values()):
            if k not in group.place:
                wanted[group.first[k]] = True
        wires = group.structure.wires
        self.pull = pullback(group.new, tuple(refs), tuple(wanted), group.vias, wires)
        self.spread = Spread(len(self.rows), group.spread.size)

    def needs(self, known: Known) -> list[Any]:
        return [self.group, *(x for _, source in self.enter for x in known.needs(source))]

    def record(self, known: Known) -> None:
        group, args, vias = self.group, [], []
        seeds = zip(self.enter, self.marks, self.pull.block.inputs, strict=False)
        for (via, source), by_row, ph in seeds:
            args.append(self.spread.given(known.given(source), via, by_row, ph.shape))
            vias.append(self.spread.via(via, by_row))
        for read in self.pull.reads:
            if isinstance(read, int):
                args.append(group.args[read])
                vias.append(self._at(group.vias[read]))
            else:
                args.append(proj(group.r, read, ROW))
                vias.append(self._at(ROW))
        over = self.spread.structure(self.structure)
        self.r = recurrence(self.pull.block, over, args, vias)

    def _at(self, via: Via) -> Via:
        """How rows of the group are met from ours."""
        group = self.group
        if via is SHARED or len(self.rows) == group.structure.n:
            return via
        rows = self.spread.rows(self.rows)
        rows = rows if via is ROW else via.rows[rows]
        return Index(rows, group.over.n if via is ROW else via.size)

    def leave(self, tag: int, via: Via) -> Tensor:
        group, place = self.group, self.group.place.get(tag)
        first = group.first[tag]
        ref = self.pull.inputs[first] if place is None else self.pull.block.ports[place]
        by_row = bool(self.spread.size) if place is not None else group.marks[first]
        assert ref is not None
        return self.spread.left(self.r, ref, via, by_row, group.block.inputs[tag].shape)
