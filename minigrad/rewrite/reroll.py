"""Re-rolling: calls of one block, written by a Python loop or recursion, become one recurrence.

Calls of one block with the same shared arguments *are* a structure: its edges are the call graph's.
Arguments that are sums of the calls' own results become slots; identical ones are SHARED; others
are rows.  Calls that carry cotangents back through those calls become the pullback of the
recurrence, over the same edges turned around: what is rolled is differentiated as if it had been
rolled before, and reads what that saved.

    forward    h = step(p, h, x[t])          slot: the state that leaves the call before; row: x[t]
    backward   step'(dh, p, h, x[t])         slot: what leaves the call after; row: the loss's own

Rows of the calls that ordinary ops read one by one are taken apart again; where all are stacked or
added up they leave the recurrence as they are.  Everything is iterative and linear in the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import CONSTANT, Tensor, constant, placeholder, rebuild, toposort
from ..ops.broadcast import BROADCAST, RESHAPE, reshape
from ..ops.elementwise import ADD, add_n
from ..ops.indexing import take
from ..ops.movement import CONCAT, PLACE, SLICE, concat, expand_dims, moveaxis, part
from ..recur import (
    PROJ,
    RECUR,
    ROW,
    SHARED,
    Block,
    Index,
    Pullback,
    Via,
    proj,
    pullback,
    recurrence,
)  # fmt: skip
from ..structure import Structure
from .convex import peeled, untangled
from .regions import again

TERMS = 64  # a sum of more, read by several calls, is no sum of states


def reroll(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with calls of one block made one recurrence wherever that makes no cycle.

    A rolled block is called "..., re-rolled".  A graph without two calls of one block is returned
    as it is.
    """
    found = list(outputs)
    while (groups := _Calls(found).groups()) is not None:
        found = _Rolled(*groups).outputs()
    return found


# -- the calls of a graph --------------------------------------------------------------------------


class _Calls:
    """A graph seen by its calls: what they read, and which of them belong together."""

    def __init__(self, outputs: Sequence[Tensor]):
        self.outputs, self.order = list(outputs), toposort(outputs)
        self.asked: dict[Tensor, list[Tensor]] = {}
        for t in self.order:
            if _is_call(t):
                self.asked[t] = []
            elif t.op is PROJ and t.inputs[0] in self.asked:
                self.asked[t.inputs[0]].append(t)
        for t in [t for t in self.asked if not self._plain(t)]:
            del self.asked[t]
        self.readers = Counter(self.outputs) if self.asked else Counter()
        self.args: dict[Tensor, tuple[Tensor, ...]] = {}
        known: dict[Any, Tensor] = {}
        for t in self.order if self.asked else ():
            self.readers.update(t.inputs)
            if t in self.asked:
                self.args[t] = tuple([_one_constant(x, known) for x in t.inputs])
        self.sums: dict[Tensor, list[Tensor]] = {}

    def _plain(self, call: Tensor) -> bool:
        """Whether all that is read of a call can be read of a recurrence."""
        nodes = set(call.attrs["block"].nodes)
        return all(p.attrs["via"].rows is None and p.attrs["ref"] in nodes
                   for p in self.asked[call])  # fmt: skip

    def states(self, t: Tensor) -> list[Tensor]:
        """What an argument is the sum of."""
        found = self.terms(t)
        return [t] if len(found) > TERMS and self.readers[t] > 1 else found

    def terms(self, t: Tensor) -> list[Tensor]:
        """What t is the sum of, in place of sums that nothing else reads."""
        if t.op is not ADD or t.dtype.kind not in "fiu":
            return [t]
        if t not in self.sums:
            found, stack = [], [t]
            while stack:
                x = stack.pop()
                if x.op is ADD and (x is t or self.readers[x] == 1):
                    stack.extend(reversed(x.inputs))
                else:
                    found.append(x)
            self.sums[t] = found
        return self.sums[t]

    def groups(self) -> tuple[_Calls, list[_Forward], list[_Back]] | None:
        """What becomes a recurrence; None: nothing."""
        forward = self._forward()
        if not forward:
            return None
        return self, forward, self._backward(forward)

    # -- forward: one block, the same shared arguments ---------------------------------------------

    def _forward(self) -> list[_Forward]:
        blocks: dict[Block, list[Tensor]] = {}
        for t in self.asked:
            blocks.setdefault(t.attrs["block"], []).append(t)
        pulled = {p.block for b in blocks if len(blocks[b]) > 1 for _, p in _pullbacks(b)}
        classes: dict[Tensor, Any] = {}
        number: dict[Any, int] = {}
        for block, calls in blocks.items():
            if len(calls) > 1 and block not in pulled:
                keys = self._keys(calls)
                many = Counter(keys)
                for t, key in zip(calls, keys, strict=True):
                    if many[key] > 1:
                        classes[t] = number.setdefault((block, key), len(number))
        inside: dict[Tensor, list[Tensor]] = {t: [] for t in classes}
        outside: dict[Tensor, list[Tensor]] = {t: [] for t in classes}
        for t, mine in classes.items():
            for x in dict.fromkeys(self.args[t]):
                for term in self.states(x):
                    source = _call_of(term)
                    if source is not None and classes.get(source) == mine:
                        inside[t].append(source)
                    else:
                        outside[t].append(term)
        sets = untangled(self.order, {}, classes, inside, outside) if classes else []
        return [_Forward(self, calls) for calls in sets if len(calls) > 1]

    def _keys(self, calls: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        """Calls with other matrices are calls of another recurrence; the calls' own results and
        what differs from call to call are none of these."""
        mine, columns = set(calls), []
        for column in zip(*(self.args[t] for t in calls), strict=True):
            distinct = set(column)
            if column[0].ndim > 1 and 1 < len(distinct) <= len(calls) / 2:
                terms = [y for x in distinct for y in self.states(x)]
                if not any(_call_of(y) in mine for y in terms):
                    columns.append(column)
        return list(zip(*columns, strict=True)) if columns else [()] * len(calls)

    # -- backward: pullbacks of these --------------------------------------------------------------

    def _backward(self, forward: Sequence[_Forward]) -> list[_Back]:
        found = self._pulled(forward)
        base: dict[Tensor, Any] = {t: g for g in forward for t in g.calls}
        inside: dict[Tensor, list[Tensor]] = {}
        outside: dict[Tensor, list[Any]] = {t: g.outside[t] for t, g in base.items()}

        arrive: dict[Tensor, _Arrivals] = {}

        def apart(t: Tensor) -> Iterable[Any]:
            return (*outside[t], *inside.get(t, ())) if t in outside else t.inputs

        while found:
            bad: set[Tensor] = set()
            for t, pulled in found.items():
                arrive[t] = edges, rest = self._arrivals(t, found)
                inside[t] = [e.source for e in edges]
                outside[t] = [*(term for _, term in rest), pulled.group]
                bad.update(() if _complete(edges, found) else (t, *inside[t]))
            bad |= peeled(self.order, base, apart)[1].intersection(found)
            if not bad:
                break
            for t in _Parts(found, inside).of(bad):
                del found[t], inside[t], outside[t]
        classes = _Parts(found, inside).passes(found)
        for t in [t for t in inside if t not in classes]:
            del found[t], inside[t], outside[t]
        sets = untangled(self.order, base, classes, inside, outside) if found else []
        return [_Back(self, calls, found, arrive) for calls in sets if len(calls) > 1]

    def _pulled(self, forward: Sequence[_Forward]) -> dict[Tensor, _Pulled]:
        """The calls that are the pullback of a rolled one, with the row of that."""
        pulls: dict[Block, _Matches] = {}
        for block in dict.fromkeys(g.block for g in forward):
            groups = [g for g in forward if g.block is block]
            for key, pull in _pullbacks(block):
                pulls[pull.block] = _Matches(self, groups, key[1], key[2], pull)
        found = {}
        for t in self.asked:
            match = pulls.get(t.attrs["block"])
            refs = {p.attrs["ref"] for p in self.asked[t]}
            if match is not None and refs.issubset(match.pull.inputs):
                pulled = match.find(self.args[t])
                if pulled is not None:
                    found[t] = pulled
        return found

    def _arrivals(self, t: Tensor, found: dict[Tensor, _Pulled]) -> _Arrivals:
        """The cotangents that a call gets: along edges of the forward calls, turned around; and
        others."""
        mine = found[t]
        edges: list[_BackEdge] = []
        rest: list[tuple[Tensor, Tensor]] = []
        times: Counter = Counter()
        for ref, x in zip(mine.refs, self.args[t], strict=False):
            for term in self.states(x):
                source = _call_of(term)
                other = found.get(source) if source is not None else None
                ways = []
                if other is not None and other.group is mine.group:
                    known = mine.group.ways.get((mine.row, ref, other.row), ())
                    of = term.attrs["ref"]
                    ways = [w for w in known if other.pull.inputs[w.position] is of]
                if ways:
                    assert source is not None
                    way = ways[times[ref, term] % len(ways)]
                    edges.append(_BackEdge(source, way, ref, term))
                    times[ref, term] += 1
                else:
                    rest.append((ref, term))
        return edges, rest


def _complete(edges: Sequence[_BackEdge], found: dict[Tensor, _Pulled]) -> bool:
    """Whether all leaves of a state come back along each edge, but those that are zero."""
    count = Counter((e.source, e.way) for e in edges)
    times: dict[Any, int] = {}
    for (source, way), k in count.items():
        if times.setdefault((source, way.slot, way.port), k) != k:
            return False
    for source, slot, port in times:
        pulled = found[source]
        for leaf, k in enumerate(pulled.group.positions[slot]):
            zero = pulled.wanted[k] and pulled.pull.inputs[k] is None
            if (source, _Way(k, slot, leaf, port)) not in count and not zero:
                return False
    return True


def _is_call(t: Tensor) -> bool:
    if t.op is not RECUR:
        return False
    s = t.attrs["structure"]
    return s.n == 1 and not len(s.src) and all(via is SHARED for via in t.attrs["vias"])


def _call_of(t: Tensor) -> Tensor | None:
    """The call whose result t is."""
    return t.inputs[0] if t.op is PROJ and t.attrs["via"] is SHARED else None


def _one_constant(x: Tensor, known: dict[Any, Tensor]) -> Tensor:
    """Equal constants are one: an array that is passed to every call is made a Tensor each time."""
    if x.op is not CONSTANT:
        return x
    return known.setdefault((x._value.tobytes(), x.shape, x.dtype), x)


def _pullbacks(block: Block) -> list[tuple[Any, Pullback]]:
    """The pullbacks of a block as calls of it have them."""
    return [
        (key, pull) for key, pull in block.cache.items()
        if key[0] == "pullback" and not key[4] and not key[5]
        and all(kind == "shared" for kind in key[3])
    ]  # fmt: skip


class _Matches:
    """Which row a call of a pullback belongs to: one with the arguments that it reads."""

    def __init__(
        self, graph: _Calls, groups: Sequence[_Forward], refs: tuple, wanted: tuple, pull: Pullback
    ):
        self.refs, self.wanted, self.pull = refs, wanted, pull
        self.rows: dict[Any, list[tuple[_Forward, int]]] = {}
        self.times: Counter = Counter()
        for g in groups:
            for row, t in enumerate(g.calls):
                key = tuple([graph.args[t][k] for k in pull.reads])  # type: ignore[index]
                self.rows.setdefault(key, []).append((g, row))

    def find(self, args: tuple[Tensor, ...]) -> _Pulled | None:
        """Where several rows fit, any is right: the last one is gone back through first."""
        key = args[len(self.refs) :]
        rows = self.rows.get(key)
        if not rows:
            return None
        self.times[key] += 1
        group, row = rows[-self.times[key] % len(rows)]
        return _Pulled(group, row, self.refs, self.wanted, self.pull)


class _Parts:
    """Calls in the parts that their edges connect."""

    def __init__(self, calls: Iterable[Tensor], inside: dict[Tensor, list[Tensor]]):
        self.up: dict[Tensor, Tensor] = {t: t for t in calls}
        for t in self.up:
            for x in inside[t]:
                self.up[self.root(x)] = self.root(t)

    def root(self, t: Tensor) -> Tensor:
        while self.up[t] is not t:
            self.up[t] = self.up[self.up[t]]
            t = self.up[t]
        return t

    def of(self, some: Iterable[Tensor]) -> list[Tensor]:
        """All calls in the parts of these."""
        roots = {self.root(t) for t in some}
        return [t for t in self.up if self.root(t) in roots]

    def passes(self, found: dict[Tensor, _Pulled]) -> dict[Tensor, Any]:
        """Parts put together so that none goes through a row twice."""
        parts: dict[Tensor, list[Tensor]] = {}
        for t in self.up:
            parts.setdefault(self.root(t), []).append(t)
        passes: dict[_Forward, list[set[int]]] = {}
        classes: dict[Tensor, Any] = {}
        for calls in parts.values():
            group, rows = found[calls[0]].group, {found[t].row for t in calls}
            if len(rows) < len(calls):
                continue
            known = passes.setdefault(group, [])
            number = next((k for k, had in enumerate(known) if had.isdisjoint(rows)), len(known))
            if number == len(known):
                known.append(set())
            known[number].update(rows)
            classes.update(dict.fromkeys(calls, (group, number)))
        return classes


class _Way(NamedTuple):
    """An edge between two calls: the argument it enters by, as a slot and leaf, and its port."""

    position: int
    slot: int
    leaf: int
    port: int


class _Pulled(NamedTuple):
    """What a call of a pullback goes back through: a row of a group."""

    group: _Forward
    row: int
    refs: tuple[Tensor, ...]
    wanted: tuple[bool, ...]
    pull: Pullback


class _BackEdge(NamedTuple):
    """A cotangent (`term`, of `ref`) that comes back from a call along a way."""

    source: Tensor
    way: _Way
    ref: Tensor
    term: Tensor


_Arrivals = tuple[list[_BackEdge], list[tuple[Tensor, Tensor]]]


# -- what a group becomes --------------------------------------------------------------------------


class _Table:
    """Rows of a group (`tag`: an interior tensor, or the number of an argument) or of a tensor
    along an axis (`tag`)."""

    def __init__(self, owner: Any, tag: Any, n: int):
        self.owner, self.tag, self.n = owner, tag, n


Source = Any  # of an argument: a Tensor, a _Table, or a tuple of Tensors to be stacked


class _Forward:
    """Calls that become one recurrence: row i is calls[i]."""

    def __init__(self, graph: _Calls, calls: Sequence[Tensor]):
        self.calls, self.block = calls, calls[0].attrs["block"]
        self.row = {t: i for i, t in enumerate(calls)}
        self.edges: list[list[tuple[int, int, Tensor]]] = []  # by argument: (from, to, what)
        self.others: list[list[list[Tensor]]] = []  # by argument and row: what else is added up
        self.outside: dict[Tensor, list[Tensor]] = {t: [] for t in calls}
        self.same: list[bool] = []
        for k in range(len(self.block.inputs)):
            column = [graph.args[t][k] for t in calls]
            edges, others = [], []
            for i, x in enumerate(column):
                rest = []
                for term in graph.states(x):
                    source = self.row.get(_call_of(term))  # type: ignore[arg-type]
                    if source is None:
                        rest.append(term)
                    else:
                        edges.append((source, i, term.attrs["ref"]))
                others.append(rest)
                self.outside[calls[i]] += rest
            same = not edges and all(x is column[0] for x in column)
            if edges:
                others = [[x for x in rest if not _is_zero(x)] for rest in others]
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
        self.ways: dict[Any, list[_Way]] = {}
        columns: list[tuple[int, int, int, int]] = []
        level = [0] * len(self.calls)
        for slot, ks in enumerate(self.positions):
            for together in zip(*(self.edges[k] for k in ks), strict=True):
                a, b, _ = together[0]
                port = ports.setdefault(tuple([ref for _, _, ref in together]), len(ports))
                columns.append((a, b, slot, port))
                for leaf, (k, (_, _, ref)) in enumerate(zip(ks, together, strict=True)):
                    known = self.ways.setdefault((a, ref, b), [])
                    if (way := _Way(k, slot, leaf, port)) not in known:
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

    def plan(self, rolled: _Rolled) -> None:
        """The block, and from where its arguments come."""
        kinds: list[tuple[int, ...]] = []
        found: list[tuple[Via, Source]] = []
        for k, rows in enumerate(self.others):
            columns = [(SHARED, rows[0][0])] if self.same[k] else rolled.columns(rows)
            found += columns
            kinds.append((len(columns), *self.place.get(k, ())))
        key = ("rolled", tuple(kinds), self.ports)
        if key not in self.block.cache:
            self.block.cache[key] = _rolled_block(self.block, kinds, self.ports)
        self.new, self.inside, self.first = self.block.cache[key]
        self.vias = [via for via, _ in found]
        self.sources = [source for _, source in found]

    def needs(self, rolled: _Rolled) -> list[Any]:
        return [x for source in self.sources for x in rolled.needs(source)]

    def record(self, rolled: _Rolled) -> None:
        self.args = [rolled.given(source) for source in self.sources]
        self.r = recurrence(self.new, self.structure, self.args, self.vias)

    def ref(self, tag: Any) -> Tensor:
        return self.inside[tag if isinstance(tag, Tensor) else self.block.inputs[tag]]


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


class _Back:
    """Calls of pullbacks that become the pullback of one recurrence, over some of its rows."""

    def __init__(
        self, graph: _Calls, calls: Sequence[Tensor], found: dict[Tensor, _Pulled],
        arrive: dict[Tensor, _Arrivals],
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
                if not _is_zero(term):
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

    def plan(self, rolled: _Rolled) -> None:
        group = self.group
        self.enter: list[tuple[Via, Source]] = []
        refs: list[Tensor] = []
        for ref, rows in self.others.items():
            for column in rolled.columns(rows):
                refs.append(group.inside[ref])
                self.enter.append(column)
        wanted = [False] * len(group.new.inputs)
        for k in set(self.tags.values()):
            if k not in group.place:
                wanted[group.first[k]] = True
        wires = group.structure.wires
        self.pull = pullback(group.new, tuple(refs), tuple(wanted), group.vias, wires)

    def needs(self, rolled: _Rolled) -> list[Any]:
        return [self.group, *(x for _, source in self.enter for x in rolled.needs(source))]

    def record(self, rolled: _Rolled) -> None:
        group = self.group
        args = [rolled.given(source) for _, source in self.enter]
        vias = [via for via, _ in self.enter]
        for read in self.pull.reads:
            if isinstance(read, int):
                args.append(group.args[read])
                vias.append(self._at(group.vias[read]))
            else:
                args.append(proj(group.r, read, ROW))
                vias.append(self._at(ROW))
        self.r = recurrence(self.pull.block, self.structure, args, vias)

    def _at(self, via: Via) -> Via:
        """How rows of the group are met from ours."""
        if via is SHARED or len(self.rows) == self.group.structure.n:
            return via
        rows = self.rows if via is ROW else via.rows[self.rows]
        return Index(rows, self.group.structure.n if via is ROW else via.size)

    def ref(self, tag: int) -> Tensor:
        place = self.group.place.get(tag)
        if place is not None:
            return self.pull.block.ports[place]
        found = self.pull.inputs[self.group.first[tag]]
        assert found is not None
        return found


# -- the graph again -------------------------------------------------------------------------------


class _Rolled:
    """A graph with groups of calls as recurrences."""

    def __init__(self, graph: _Calls, forward: Sequence[_Forward], back: Sequence[_Back]):
        self.graph = graph
        groups: list[Any] = [*forward, *back]
        self.groups: dict[Tensor, Any] = {t: g for g in groups for t in g.calls}
        self.tables: dict[tuple[Any, Any], _Table] = {}
        self.at: dict[Tensor, list[tuple[_Table, int]]] = {}
        for g in groups:
            for i, t in enumerate(g.calls):
                for p in graph.asked[t]:
                    ref = p.attrs["ref"]
                    table = self._table(g, g.tags[t, ref] if isinstance(g, _Back) else ref,
                                        len(g.calls))  # fmt: skip
                    self.at.setdefault(p, []).append((table, i))
        for g in forward:
            for k in g.place:
                table = self._table(g, k, len(g.calls))
                for i in sorted({b for _, b, _ in g.edges[k]}):  # what depends on the group anyhow
                    self.at.setdefault(graph.args[g.calls[i]][k], []).append((table, i))
        self.whole: dict[_Table, Tensor] = {}
        self.new: dict[Any, Tensor] = {}
        self.how: dict[Tensor, tuple[list[Any], Callable[[], Tensor]]] = {}
        for g in groups:
            g.plan(self)

    def _table(self, owner: Any, tag: Any, n: int) -> _Table:
        if (owner, tag) not in self.tables:
            self.tables[owner, tag] = _Table(owner, tag, n)
        return self.tables[owner, tag]

    def outputs(self) -> list[Tensor]:
        """Made on demand, what is needed first; iterative."""
        stack: list[Any] = self.graph.outputs[::-1]
        done: set[Any] = set()
        while stack:
            x = stack[-1]
            if x in done:
                stack.pop()
                continue
            waiting = [y for y in self._needs(x) if y not in done]
            if waiting:
                stack += reversed(waiting)
                continue
            done.add(stack.pop())
            if isinstance(x, Tensor):
                self.new[x] = self.how[x][1]()
            else:
                x.record(self)
        return [self.new[t] for t in self.graph.outputs]

    def _needs(self, x: Any) -> list[Any]:
        if not isinstance(x, Tensor):
            return x.needs(self)
        if x not in self.how:
            self.how[x] = self._how(x)
        return self.how[x][0]

    # -- rows --------------------------------------------------------------------------------------

    def places(self, t: Tensor) -> list[tuple[_Table, int]]:
        """The rows that t is known to be, if it has no axis in front of a row."""
        found = self.at.get(t)
        if found is None:
            found = self.at[t] = []
            if (cut := _slice_of(t)) is not None:
                base, axis, i = cut
                found.append((self._table(base, axis, base.shape[axis]), i))
        return [] if t.op is PROJ and t.attrs["via"] is ROW else found

    def columns(self, rows: Sequence[Sequence[Tensor]]) -> list[tuple[Via, Source]]:
        """Sums, one per row, as a sum of columns: each one tensor, or a row of a table or nothing
        for each row."""
        found: dict[Any, list[Tensor | None]] = {}
        single = all(len(terms) == 1 for terms in rows)
        common = self._common([terms[0] for terms in rows]) if single else None
        for i, terms in enumerate(rows):
            used: Counter = Counter()
            for t in terms:
                table = common[0] if common else next((tab for tab, _ in self.places(t)), None)
                found.setdefault((table, used[table]), [None] * len(rows))[i] = t
                used[table] += 1
        if len(found) > max(map(len, rows), default=0):
            sums = [add_n(terms) if terms else None for terms in rows]
            return [self._column(sums, None)]
        return [self._column(column, table) for (table, _), column in found.items()]

    def _column(self, column: Sequence[Tensor | None], table: _Table | None) -> tuple[Via, Source]:
        some = [t for t in column if t is not None]
        if len(some) == len(column) and all(t is some[0] for t in some):
            return SHARED, some[0]
        if table is not None:
            at = [-1 if t is None else dict(self.places(t))[table] for t in column]
            whole = at == list(range(table.n))
            return (ROW if whole else Index(at, table.n)), table
        number = {t: k for k, t in enumerate(dict.fromkeys(some))}
        if len(number) == len(column):
            return ROW, tuple(number)
        return Index([-1 if t is None else number[t] for t in column], len(number)), tuple(number)

    def _common(self, rows: Sequence[Tensor]) -> tuple[_Table, list[int]] | None:
        """A table that has all these rows, and their numbers."""
        tables = [table for table, _ in self.places(rows[0])] if rows else []
        for t in rows[1:]:
            if not tables:
                break
            mine = {table for table, _ in self.places(t)}
            tables = [table for table in tables if table in mine]
        for table in tables:
            return table, [dict(self.places(t))[table] for t in rows]
        return None

    def needs(self, source: Source) -> list[Any]:
        if isinstance(source, Tensor):
            return [source]
        if isinstance(source, _Table):
            return [source.owner]
        return self._stack(source)[0]

    def given(self, source: Source) -> Tensor:
        """The argument itself."""
        if isinstance(source, Tensor):
            return self.new[source]
        return self._whole(source) if isinstance(source, _Table) else self._stack(source)[1]()

    def _whole(self, table: _Table) -> Tensor:
        if table not in self.whole:
            if isinstance(table.owner, Tensor):
                self.whole[table] = moveaxis(self.new[table.owner], table.tag, 0)
            else:
                self.whole[table] = proj(table.owner.r, table.owner.ref(table.tag), ROW)
        return self.whole[table]

    def _stack(self, rows: Sequence[Tensor]) -> tuple[list[Any], Callable[[], Tensor]]:
        """Rows stacked along a new first axis: what that needs, and how it is made."""
        if all(t.op is CONSTANT for t in rows):
            return [], lambda: constant(np.stack([t._value for t in rows]))
        if (common := self._common(rows)) is not None:
            table, at = common
            return [table.owner], lambda: _taken(self._whole(table), at)
        pieces: list[Any] = []  # a Tensor, or [table, first row, row behind]
        for k, t in enumerate(rows):
            places = self.places(t)
            last = pieces[-1] if pieces else None
            if isinstance(last, list) and (last[0], last[2]) in places:
                last[2] += 1
                continue
            follow = self.places(rows[k + 1]) if k + 1 < len(rows) else []
            runs = [(table, i) for table, i in places if (table, i + 1) in follow]
            pieces.append([runs[0][0], runs[0][1], runs[0][1] + 1] if runs else t)

        def made() -> Tensor:
            return concat([
                part(self._whole(p[0]), -self._whole(p[0]).ndim, p[1], p[2])
                if isinstance(p, list) else expand_dims(self.new[p]) for p in pieces
            ])  # fmt: skip

        return [p[0].owner if isinstance(p, list) else p for p in pieces], made

    # -- ordinary tensors --------------------------------------------------------------------------

    def _how(self, t: Tensor) -> tuple[list[Any], Callable[[], Tensor]]:
        """What a tensor of the old graph needs, and how it is made in the new one."""
        if t.op is PROJ and t.inputs[0] in self.groups:
            return self._result(t)
        made = self._sum(t) if t.op is ADD else self._joined(t) if t.op is CONCAT else None
        if made is not None:
            return made
        return list(t.inputs), lambda: again(t, [self.new[x] for x in t.inputs])

    def _result(self, t: Tensor) -> tuple[list[Any], Callable[[], Tensor]]:
        """One row of what leaves a group."""
        table, i = self.at[t][0]
        group = table.owner

        def made() -> Tensor:
            ref = group.ref(table.tag)
            if isinstance(group, _Back) and group.group.same[table.tag]:  # a gradient of weights
                one = np.where(np.arange(table.n) == i, 0, -1)
                return reshape(proj(group.r, ref, Index(one, 1)), t.shape)
            rows = self._whole(table)
            return reshape(part(rows, -rows.ndim, i, i + 1), t.shape)

        return [group], made

    def _sum(self, t: Tensor) -> tuple[list[Any], Callable[[], Tensor]] | None:
        """A sum of rows of one group leaves it as a sum over its nodes."""
        rest: list[Tensor] = []
        sums: dict[Any, dict[int, int]] = {}  # (table, axis, length): row -> where it is added
        first: dict[tuple[Any, int], Tensor] = {}
        for x in self.graph.terms(t):
            y, axis, j = _place_of(x) or (x, 0, -1)
            place = next((p for p in self.places(y) if isinstance(p[0].owner, (_Forward, _Back))),
                         None)  # fmt: skip
            key = None if place is None else (place[0], axis, j >= 0)
            if place is None or place[1] in sums.setdefault(key, {}):
                rest.append(x)
            else:
                sums[key][place[1]] = j
                first[key, place[1]] = x
        for key, rows in list(sums.items()):
            if len(rows) < 2:
                rest += [first[key, i] for i in rows]
                del sums[key]
        if not sums:
            return None

        def made() -> Tensor:
            parts = [self.new[x] for x in rest]
            for (table, axis, placed), rows in sums.items():
                group, ref = table.owner, table.owner.ref(table.tag)
                if placed:
                    to = [rows.get(i, -1) for i in range(table.n)]
                    summed = proj(group.r, ref, Index(to, t.shape[axis]))
                    parts.append(moveaxis(summed, 0, axis))
                elif len(rows) == table.n:
                    parts.append(proj(group.r, ref, SHARED))
                else:
                    to = [0 if i in rows else -1 for i in range(table.n)]
                    parts.append(reshape(proj(group.r, ref, Index(to, 1)), t.shape))
            return add_n(parts)

        return [*rest, *(key[0].owner for key in sums)], made

    def _joined(self, t: Tensor) -> tuple[list[Any], Callable[[], Tensor]] | None:
        """Rows stacked along an axis, or joined along their first."""
        axis = t.attrs["axis"]
        rows = [_before(x, axis) for x in t.inputs]
        joined = any(x is None for x in rows)
        if joined:
            if axis != -t.ndim or any(x.shape != t.inputs[0].shape for x in t.inputs):
                return None
            rows = [self._alone(x) for x in t.inputs]
        if not any(self.places(x) for x in rows):  # type: ignore[arg-type]
            return None
        needs, stacked = self._stack(rows)  # type: ignore[arg-type]
        if len(needs) > len(rows) // 2 + 1:
            return None
        if joined:
            return needs, lambda: reshape(stacked(), t.shape)
        return needs, lambda: moveaxis(stacked(), 0, axis)


    def _alone(self, x: Tensor) -> Tensor:
        """One call's result where it was asked for as a row of one call."""
        if x not in self.at or x.op is not PROJ or x.attrs["via"] is not ROW:
            return x
        alone = proj(x.inputs[0], x.attrs["ref"], SHARED)
        self.at[alone] = self.at[x]
        return alone


def _taken(table: Tensor, at: Sequence[int]) -> Tensor:
    if list(at) == list(range(at[0], at[0] + len(at))):
        if len(at) == len(table):
            return table
        return part(table, -table.ndim, at[0], at[0] + len(at))
    return take(table, np.array(at, np.int64))


def _is_zero(t: Tensor) -> bool:
    while t.op in (BROADCAST, RESHAPE):
        t = t.inputs[0]
    return t.op is CONSTANT and not t._value.any()


def _only(index: Sequence[Any]) -> tuple[int, int] | None:
    """The axis of which one place alone is meant, counted from the end, and the place."""
    cut = [k for k, bounds in enumerate(index) if bounds != (None, None, None)]
    if len(cut) != 1:
        return None
    start, stop, step = index[cut[0]]
    fits = start is not None and start >= 0 and stop == start + 1 and step in (None, 1)
    return (cut[0] - len(index), start) if fits else None


def _slice_of(t: Tensor) -> tuple[Tensor, int, int] | None:
    """(x, axis, i) for t = x[i], of any axis."""
    if t.op is not RESHAPE or t.inputs[0].op is not SLICE:
        return None
    x = t.inputs[0].inputs[0]
    only = _only(t.inputs[0].attrs["index"])
    if only is None or t.shape != _without(x.shape, only[0]):
        return None
    return x, *only


def _place_of(t: Tensor) -> tuple[Tensor, int, int] | None:
    """(x, axis, i) for x put at [i] of zeros: what goes back through a slice."""
    only = _only(t.attrs["index"]) if t.op is PLACE else None
    x = None if only is None else _before(t.inputs[0], only[0])
    return None if only is None or x is None else (x, *only)


def _before(t: Tensor, axis: int) -> Tensor | None:
    """What t is without an axis of length 1; None: t was not made of it."""
    if t.op is RESHAPE and t.inputs[0].shape == _without(t.shape, axis):
        return t.inputs[0]
    return None


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    k = axis % len(shape)
    return shape[:k] + shape[k + 1 :]
