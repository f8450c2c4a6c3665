"""Re-rolling: calls of one block, written by a Python loop or recursion, become one recurrence.

Calls of one block with the same shared arguments *are* a structure: its edges are the call graph's.
Arguments that are sums of the calls' own results become slots; identical ones are SHARED; others
are rows.  Calls that carry cotangents back through those calls become the pullback of the
recurrence, over the same edges turned around: what is rolled is differentiated as if it had been
rolled before, and reads what that saved.

    forward    h = step(p, h, x[t])          slot: the state that leaves the call before; row: x[t]
    backward   step'(dh, p, h, x[t])         slot: what leaves the call after; row: the loss's own

Rows of the calls that ordinary ops read one by one are taken apart again; where all are stacked or
added up they leave the recurrence as they are.  A loop that carries a batch of rows is a chain for
each of them (`batches`).  Everything is iterative and linear in the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..graph import Tensor
from ..recur import Block, Pullback
from .calls import Calls, call_of, pullbacks
from .convex import peeled, untangled
from .groups import Arrivals, Back, BackEdge, Forward, Pulled, Way
from .rolled import Rolled


def reroll(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with calls of one block made one recurrence wherever that makes no cycle.

    A rolled block is called "..., re-rolled".  A graph without two calls of one block is returned
    as it is.
    """
    found = list(outputs)
    while forward := forward_groups(graph := Calls(found)):
        found = Rolled(graph, forward, backward_groups(graph, forward)).outputs()
    return found


# -- forward: one block, the same shared arguments -------------------------------------------------


def forward_groups(graph: Calls) -> list[Forward]:
    """Calls of one block with the same shared arguments, where they may be one."""
    blocks: dict[Block, list[Tensor]] = {}
    for t in graph.asked:
        blocks.setdefault(t.attrs["block"], []).append(t)
    pulled = {p.block for b in blocks if len(blocks[b]) > 1 for _, p in pullbacks(b)}
    classes: dict[Tensor, Any] = {}
    number: dict[Any, int] = {}
    for block, calls in blocks.items():
        if len(calls) > 1 and block not in pulled:
            keys = _keys(graph, calls)
            many = Counter(keys)
            for t, key in zip(calls, keys, strict=True):
                if many[key] > 1:
                    classes[t] = number.setdefault((block, key), len(number))
    inside: dict[Tensor, list[Tensor]] = {t: [] for t in classes}
    outside: dict[Tensor, list[Tensor]] = {t: [] for t in classes}
    for t, mine in classes.items():
        for x in dict.fromkeys(graph.args[t]):
            for term in graph.states(x):
                source = call_of(term)
                if source is not None and classes.get(source) == mine:
                    inside[t].append(source)
                else:
                    outside[t].append(term)
    sets = untangled(graph.order, {}, classes, inside, outside) if classes else []
    return [Forward(graph, calls) for calls in sets if len(calls) > 1]


def _keys(graph: Calls, calls: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Calls with other matrices are calls of another recurrence; the calls' own results and
    what differs from call to call are none of these."""
    mine, columns = set(calls), []
    for column in zip(*(graph.args[t] for t in calls), strict=True):
        distinct = set(column)
        if column[0].ndim > 1 and 1 < len(distinct) <= len(calls) / 2:
            terms = [y for x in distinct for y in graph.states(x)]
            if not any(call_of(y) in mine for y in terms):
                columns.append(column)
    return list(zip(*columns, strict=True)) if columns else [()] * len(calls)


# -- backward: pullbacks of these ------------------------------------------------------------------


def backward_groups(graph: Calls, forward: Sequence[Forward]) -> list[Back]:
    """Calls that carry cotangents back through rolled ones, where they may be one."""
    found = _pulled(graph, forward)
    base: dict[Tensor, Any] = {t: g for g in forward for t in g.calls}
    inside: dict[Tensor, list[Tensor]] = {}
    outside: dict[Tensor, list[Any]] = {t: g.outside[t] for t, g in base.items()}

    arrive: dict[Tensor, Arrivals] = {}

    def apart(t: Tensor) -> Iterable[Any]:
        return (*outside[t], *inside.get(t, ())) if t in outside else t.inputs

    while found:
        bad: set[Tensor] = set()
        for t, pulled in found.items():
            arrive[t] = edges, rest = _arrivals(graph, t, found)
            inside[t] = [e.source for e in edges]
            outside[t] = [*(term for _, term in rest), pulled.group]
            bad.update(() if _complete(edges, found) else (t, *inside[t]))
        bad |= peeled(graph.order, base, apart)[1].intersection(found)
        if not bad:
            break
        for t in _Parts(found, inside).of(bad):
            del found[t], inside[t], outside[t]
    classes = _Parts(found, inside).passes(found)
    for t in [t for t in inside if t not in classes]:
        del found[t], inside[t], outside[t]
    sets = untangled(graph.order, base, classes, inside, outside) if found else []
    return [Back(graph, calls, found, arrive) for calls in sets if len(calls) > 1]


def _pulled(graph: Calls, forward: Sequence[Forward]) -> dict[Tensor, Pulled]:
    """The calls that are the pullback of a rolled one, with the row of that."""
    pulls: dict[Block, _Matches] = {}
    for block in dict.fromkeys(g.block for g in forward):
        groups = [g for g in forward if g.block is block]
        for key, pull in pullbacks(block):
            pulls[pull.block] = _Matches(graph, groups, key[1], key[2], pull)
    found = {}
    for t in graph.asked:
        match = pulls.get(t.attrs["block"])
        refs = {p.attrs["ref"] for p in graph.asked[t]}
        if match is not None and refs.issubset(match.pull.inputs):
            pulled = match.find(graph.args[t])
            if pulled is not None:
                found[t] = pulled
    return found


def _arrivals(graph: Calls, t: Tensor, found: dict[Tensor, Pulled]) -> Arrivals:
    """The cotangents that a call gets: along edges of the forward calls, turned around; and
    others."""
    mine = found[t]
    edges: list[BackEdge] = []
    rest: list[tuple[Tensor, Tensor]] = []
    times: Counter = Counter()
    for ref, x in zip(mine.refs, graph.args[t], strict=False):
        for term in graph.states(x):
            source = call_of(term)
            other = found.get(source) if source is not None else None
            ways = []
            if other is not None and other.group is mine.group:
                known = mine.group.ways.get((mine.row, ref, other.row), ())
                of = term.attrs["ref"]
                ways = [w for w in known if other.pull.inputs[w.position] is of]
            if ways:
                assert source is not None
                way = ways[times[ref, term] % len(ways)]
                edges.append(BackEdge(source, way, ref, term))
                times[ref, term] += 1
            else:
                rest.append((ref, term))
    return edges, rest

def _complete(edges: Sequence[BackEdge], found: dict[Tensor, Pulled]) -> bool:
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
            if (source, Way(k, slot, leaf, port)) not in count and not zero:
                return False
    return True


class _Matches:
    """Which row a call of a pullback belongs to: one with the arguments that it reads."""

    def __init__(
        self, graph: Calls, groups: Sequence[Forward], refs: tuple, wanted: tuple, pull: Pullback
    ):
        self.refs, self.wanted, self.pull = refs, wanted, pull
        self.rows: dict[Any, list[tuple[Forward, int]]] = {}
        self.times: Counter = Counter()
        for g in groups:
            for row, t in enumerate(g.calls):
                key = tuple([graph.args[t][k] for k in pull.reads])  # type: ignore[index]
                self.rows.setdefault(key, []).append((g, row))

    def find(self, args: tuple[Tensor, ...]) -> Pulled | None:
        """Where several rows fit, any is right: the last one is gone back through first."""
        key = args[len(self.refs) :]
        rows = self.rows.get(key)
        if not rows:
            return None
        self.times[key] += 1
        group, row = rows[-self.times[key] % len(rows)]
        return Pulled(group, row, self.refs, self.wanted, self.pull)


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

    def passes(self, found: dict[Tensor, Pulled]) -> dict[Tensor, Any]:
        """Parts put together so that none goes through a row twice."""
        parts: dict[Tensor, list[Tensor]] = {}
        for t in self.up:
            parts.setdefault(self.root(t), []).append(t)
        passes: dict[Forward, list[set[int]]] = {}
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
