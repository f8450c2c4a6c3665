"""The graph again, with groups of calls as recurrences: what was one call's is a row of a table.

Rows that are stacked again, summed up or put back where a slice was are not taken apart at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, Tensor, constant
from ..ops.broadcast import RESHAPE, reshape
from ..ops.elementwise import ADD, add_n
from ..ops.indexing import take
from ..ops.movement import CONCAT, PLACE, SLICE, concat, expand_dims, moveaxis, part
from ..recur import PROJ, ROW, SHARED, Index, Via, proj
from .calls import Calls
from .groups import Back, Forward, Source
from .regions import again


class _Table:
    """Rows of a group (`tag`: an interior tensor, or the number of an argument) or of a tensor
    along an axis (`tag`)."""

    def __init__(self, owner: Any, tag: Any, n: int):
        self.owner, self.tag, self.n = owner, tag, n


class Rolled:
    """A graph with groups of calls as recurrences."""

    def __init__(self, graph: Calls, forward: Sequence[Forward], back: Sequence[Back]):
        self.graph = graph
        groups: list[Any] = [*forward, *back]
        self.groups: dict[Tensor, Any] = {t: g for g in groups for t in g.calls}
        self.tables: dict[tuple[Any, Any], _Table] = {}
        self.at: dict[Tensor, list[tuple[_Table, int]]] = {}
        for g in groups:
            for i, t in enumerate(g.calls):
                for p in graph.asked[t]:
                    ref = p.attrs["ref"]
                    table = self._table(g, g.tags[t, ref] if isinstance(g, Back) else ref,
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
                self.whole[table] = table.owner.leave(table.tag, ROW)
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
            if isinstance(group, Back) and group.group.same[table.tag]:  # a gradient of weights
                one = np.where(np.arange(table.n) == i, 0, -1)
                return reshape(group.leave(table.tag, Index(one, 1)), t.shape)
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
            place = next((p for p in self.places(y) if isinstance(p[0].owner, (Forward, Back))),
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
                group, tag = table.owner, table.tag
                if placed:
                    to = [rows.get(i, -1) for i in range(table.n)]
                    summed = group.leave(tag, Index(to, t.shape[axis]))
                    parts.append(moveaxis(summed, 0, axis))
                elif len(rows) == table.n:
                    parts.append(group.leave(tag, SHARED))
                else:
                    to = [0 if i in rows else -1 for i in range(table.n)]
                    parts.append(reshape(group.leave(tag, Index(to, 1)), t.shape))
            return add_n(parts)

        return [*rest, *(key[0].owner for key in sums)], made

    def _joined(self, t: Tensor) -> tuple[list[Any], Callable[[], Tensor]] | None:
        """Rows stacked along an axis, or joined along their first."""
        axis = t.attrs["axis"]
        rows = [self._alone(x) if axis == -t.ndim and self._is_row(x) else _before(x, axis)
                for x in t.inputs]  # fmt: skip
        joined = any(x is None for x in rows)
        if joined:
            if axis != -t.ndim or any(x.shape != t.inputs[0].shape for x in t.inputs):
                return None
            rows = list(t.inputs)
        if not any(self.places(x) for x in rows):  # type: ignore[arg-type]
            return None
        needs, stacked = self._stack(rows)  # type: ignore[arg-type]
        if len(needs) > len(rows) // 2 + 1:
            return None
        if joined:
            return needs, lambda: reshape(stacked(), t.shape)
        return needs, lambda: moveaxis(stacked(), 0, axis)

    def _is_row(self, x: Tensor) -> bool:
        """Whether x is a row of one call that is rolled, asked for as such."""
        return x in self.at and x.op is PROJ and x.attrs["via"] is ROW

    def _alone(self, x: Tensor) -> Tensor:
        alone = proj(x.inputs[0], x.attrs["ref"], SHARED)
        self.at[alone] = self.at[x]
        return alone


def _taken(table: Tensor, at: Sequence[int]) -> Tensor:
    if list(at) == list(range(at[0], at[0] + len(at))):
        if len(at) == len(table):
            return table
        return part(table, -table.ndim, at[0], at[0] + len(at))
    return take(table, np.array(at, np.int64))


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
