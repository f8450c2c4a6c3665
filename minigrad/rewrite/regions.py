"""Regions: what goes row by row around the recurrences of a graph becomes blocks over rows.

A map over rows is a recurrence without edges.  So the ops of a graph whose results have the rows of
one of its recurrences are gathered into blocks over `independent(n)`: embeddings and heads, losses
per step and their derivatives.  What all rows share enters such a block as it is, and what adds the
rows up (a sum of losses, the gradient of a weight) leaves it as a sum over its nodes.

A region holds the ops of one *level*: how often the longest way to an op leaves the rows and comes
back, or passes a recurrence with edges.  So nothing outside stands between two ops of a region, and
levels are found in one walk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, Shape, Tensor, placeholder, toposort
from ..ops.arrays import astype
from ..ops.broadcast import BROADCAST, RESHAPE, reshape
from ..ops.contract import EINSUM
from ..ops.indexing import CHECKED
from ..ops.movement import PLACE
from ..ops.rows import ByRow, exit_rule, on_one_row, rest, row_rule, summed_row
from ..recur import PROJ, RECUR, ROW, SHARED, Block, proj, recurrence
from ..structure import Structure, independent

# (an op on one row, its operands there, which of them are by row, whether rows are added up)
Able = Callable[[Tensor, Sequence[Tensor], Sequence[bool], bool], bool]


def regions(outputs: Sequence[Tensor], able: Able | None = None) -> list[Tensor]:
    """The same outputs, with what is row by row gathered into blocks.

    able: whether an op may be part of a block (default: any); what may not stays where it is.
    """
    found = list(outputs)
    for seeds_of in (_rows_of_recurrences, _rows_of_products):
        done: set[int] = set()
        while left := {n: s for n, s in seeds_of(found).items() if n > 1 and n not in done}:
            n = max(left)
            found = by_rows(found, n, left[n], able)
            done.add(n)
    return found


def by_rows(
    outputs: Sequence[Tensor], n: int, seeds: Iterable[Tensor], able: Able | None = None,
    structure: Structure | None = None,
) -> list[Tensor]:  # fmt: skip
    """The same outputs, with what is row by row over n rows (`structure`: these) gathered into
    blocks, starting from tensors that have these rows."""
    rows = _Rows(outputs, n, seeds, able or (lambda *_: True))
    return rows.rewritten(structure or independent(n))


def _rows_of_recurrences(outputs: Sequence[Tensor]) -> dict[int, list[Tensor]]:
    """What recurrences take and give by row, by the number of rows."""
    found: dict[int, list[Tensor]] = {}
    for t in toposort(outputs):
        if t.op is PROJ and t.attrs["via"] is ROW:
            found.setdefault(t.inputs[0].attrs["structure"].n, []).append(t)
        if t.op is RECUR:
            pairs = zip(t.inputs, t.attrs["vias"], strict=True)
            rows = [x for x, via in pairs if via is ROW]
            found.setdefault(t.attrs["structure"].n, []).extend(rows)
    return found


def _rows_of_products(outputs: Sequence[Tensor]) -> dict[int, list[Tensor]]:
    """Products of stacked rows with a matrix, as of a batch with weights, by the number of rows."""
    found: dict[int, list[Tensor]] = {}
    for t in toposort(outputs):
        if t.op is EINSUM and len(t.inputs) == 2 and len(t.attrs["out"]) >= 2:
            (a, b), out = t.attrs["subs"], t.attrs["out"]
            for left, right in ((a, b), (b, a)):
                shared = len(right) == 2 and not set(right) & set(out[:-1])
                if shared and left[:-1] == out[:-1]:
                    found.setdefault(math.prod(t.shape[:-1]), []).append(t)
    return found


class _Rows:
    """A graph seen by its tensors with n rows."""

    def __init__(self, outputs: Sequence[Tensor], n: int, seeds: Iterable[Tensor], able: Able):
        self.outputs, self.n, self.seeds, self.able = list(outputs), n, seeds, able
        self.order = toposort(outputs)
        self.varying: set[Tensor] = set()  # what depends on an argument: the rest is known before
        for t in self.order:
            if t.op is INPUT or any(i in self.varying for i in t.inputs):
                self.varying.add(t)
        self.maps: dict[Tensor, ByRow] = {}  # of each op that goes row by row
        self.exits: dict[Tensor, ByRow] = {}  # of each op that adds rows up
        self._mark()
        self._leave_out()
        self.free = self._free()
        self.level: dict[Tensor, int] = {}
        self._levels()

    # -- which ops ---------------------------------------------------------------------------------

    def _mark(self) -> None:
        """From the rows of recurrences, downwards and upwards until nothing is added."""
        rows = set(self.seeds)
        by_row = {t: f for t in self.order if (f := self._rule(row_rule, t)) is not None}
        adding = {t: f for t in self.order if (f := self._rule(exit_rule, t)) is not None}
        count = -1
        while len(rows) != count:
            count = len(rows)
            for t in self.order:
                rule = by_row.get(t) or adding.get(t)
                if rule is None or rows.isdisjoint(_operands_by_row(t, rule)):
                    continue
                if t in by_row:
                    self.maps[t] = rule
                    rows.add(t)
                else:
                    self.exits[t] = rule
                rows.update(_operands_by_row(t, rule))
            for t in reversed(self.order):
                if t in rows and t in by_row:
                    self.maps[t] = by_row[t]
                    rows.update(_operands_by_row(t, by_row[t]))

    def _rule(self, rule: Any, t: Tensor) -> ByRow | None:
        """A rule's answer for an ordinary op.  What no argument reaches is known before, and enters
        as it is, unless it repeats something smaller."""
        if not t.inputs or t.op.kind == "recur":
            return None
        if t not in self.varying and t.op not in (BROADCAST, RESHAPE):
            return None
        return rule(t, self.n)

    def _leave_out(self) -> None:
        """Ops that may not be part of a block."""
        for found in (self.maps, self.exits):
            for t in [t for t in self.order if t in found]:
                rule = found[t]
                pairs = zip(t.inputs, rule.by_row, strict=True)
                operands = [self.entering(x, by_row) for x, by_row in pairs]
                summed = found is self.exits
                new = (summed_row if summed else on_one_row)(t, self.n, operands, rule)
                if not self.able(new, operands, rule.by_row, summed):
                    del found[t]

    def _free(self) -> set[Tensor]:
        """What costs nothing and reads nothing computed: part of every region that reads it, and
        of none that it would have to leave.  So are truth values and integers, made of what no
        region computes."""
        free: set[Tensor] = set()
        for t in self.order:
            if t not in self.maps:
                continue
            if t.dtype.kind != "f":
                inside = [x for x in t.inputs if x in self.maps or x in self.exits]
                given = free.issuperset(inside)
            else:
                given = t.op.cheap and all(
                    not x.inputs or x in free or x not in self.varying for x in t.inputs
                )
            if given:
                free.add(t)
        return free

    # -- in which region ---------------------------------------------------------------------------

    def _levels(self) -> None:
        level = self.level
        for t in self.order:
            if t.op is PROJ:
                level[t] = level[t.inputs[0]] + 1
            elif t in self.maps or t in self.exits:
                pairs = zip(t.inputs, self.rule_of(t).by_row, strict=True)
                level[t] = max(
                    level[x] if by_row and x in self.maps else self._seen(x) for x, by_row in pairs
                )
            elif t.op is RECUR:
                level[t] = max((level[x] for x in t.inputs), default=0)
            else:
                level[t] = max(map(self._seen, t.inputs), default=0)

        self._sink()

    def _sink(self) -> None:
        """What reads no region joins the first that reads it, rather than being one of its own."""
        early: set[Tensor] = set()
        for t in self.order:
            if t in self.maps and t not in self.free:
                if all(x in early or x in self.free or x not in self.maps for x in t.inputs):
                    early.add(t)
        latest: dict[Tensor, int] = {}
        held = set(self.outputs)
        for t in reversed(self.order):
            if t in early and t in latest and t not in held:
                self.level[t] = max(self.level[t], latest[t])
            if t in self.maps or t in self.exits:
                for x, by_row in zip(t.inputs, self.rule_of(t).by_row, strict=True):
                    if by_row:
                        latest[x] = min(self.level[t], latest.get(x, self.level[t]))
                    else:
                        held.add(x)
            else:
                held.update(t.inputs)

    def _seen(self, t: Tensor) -> int:
        """The level from outside of t's region."""
        return self.level[t] + (t in self.maps and t not in self.free or t in self.exits)

    def entering(self, x: Tensor, by_row: bool) -> Tensor:
        """What stands for x in a block that is given it."""
        if not by_row and x.op is CONSTANT:
            return x
        ph = placeholder(rest(x, self.n) if by_row else x.shape, x.dtype, x.name)
        if (bounds := bounds_of(x)) is not None:
            ph.attrs["bounds"] = bounds
        return ph

    def rule_of(self, t: Tensor) -> ByRow:
        return self.maps[t] if t in self.maps else self.exits[t]

    def holds(self, x: Tensor, reader: Tensor, by_row: bool) -> bool:
        """Whether the region that computes `reader` computes its operand x as well."""
        if not by_row or x not in self.maps:
            return False
        return x in self.free or self.level[x] == self.level[reader]

    # -- the graph again ---------------------------------------------------------------------------

    def rewritten(self, structure: Structure) -> list[Tensor]:
        if not self.maps and not self.exits:
            return self.outputs
        new: dict[Tensor, Tensor] = {}
        inside = {**self.maps, **self.exits}
        mine = [t for t in self.order if t in inside and t not in self.free]
        wanted = self._wanted()
        by_level: dict[int, list[Tensor]] = {}
        for t in mine:
            by_level.setdefault(self.level[t], []).append(t)
        outside: dict[int, list[Tensor]] = {}
        recurs: dict[int, list[Tensor]] = {}
        for t in self.order:
            if t not in inside:
                (recurs if t.op is RECUR else outside).setdefault(self.level[t], []).append(t)
        for k in range(1 + max(self.level.values())):
            for t in outside.get(k, ()):
                self._again(t, new)
            for members in self._components(by_level.get(k, ())):
                _Region(self, members, structure).enter(new, wanted)
            for t in recurs.get(k, ()):
                self._again(t, new)
        return [self._value(t, new) for t in self.outputs]

    def _components(self, members: Sequence[Tensor]) -> list[list[Tensor]]:
        """Members of one level, apart where none reads another: each becomes a block."""
        parent: dict[Tensor, Tensor] = {t: t for t in members}

        def root(t: Tensor) -> Tensor:
            while parent[t] is not t:
                parent[t] = parent[parent[t]]
                t = parent[t]
            return t

        for t in members:
            for x, by_row in zip(t.inputs, self.rule_of(t).by_row, strict=True):
                if x in parent and self.holds(x, t, by_row):
                    parent[root(x)] = root(t)
        found: dict[Tensor, list[Tensor]] = {}
        for t in members:
            found.setdefault(root(t), []).append(t)
        return list(found.values())

    def _wanted(self) -> set[Tensor]:
        """Which tensors of regions are read outside of their own."""
        wanted = set(self.outputs)
        for t in self.order:
            if t in self.maps or t in self.exits:
                pairs = zip(t.inputs, self.rule_of(t).by_row, strict=True)
                wanted.update(x for x, by_row in pairs if not self.holds(x, t, by_row))
            else:
                wanted.update(t.inputs)
        return wanted

    def _value(self, t: Tensor, new: dict[Tensor, Tensor]) -> Tensor:
        """t in the new graph; what is free and read by an op outside is computed there as well."""
        for u in toposort([t], stop=new.__contains__):
            if u not in new:
                self._again(u, new)
        return new[t]

    def _again(self, t: Tensor, new: dict[Tensor, Tensor]) -> None:
        """An op outside of regions, on the new inputs."""
        new[t] = again(t, [self._value(x, new) for x in t.inputs])


def again(t: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """The same op on other inputs (on the same ones: itself)."""
    if all(map(is_, inputs, t.inputs)):
        return t
    if t.op is PROJ:
        return proj(inputs[0], t.attrs["ref"], t.attrs["via"])
    if t.op is RECUR:
        return recurrence(t.attrs["block"], t.attrs["structure"], inputs, t.attrs["vias"])
    new = Tensor(t.op, tuple(inputs), t.attrs, t.shape, t.dtype, t.name, site=t.site)
    if t.site is None:  # not the line that is running now
        object.__setattr__(new, "site", None)
    return new


class _Region:
    """The block of one level."""

    def __init__(self, rows: _Rows, members: Sequence[Tensor], structure: Structure):
        self.rows, self.members, self.structure = rows, members, structure
        self.entering: dict[tuple[Tensor, bool], Tensor] = {}
        self.inside: dict[Tensor, Tensor] = {}

    def enter(self, new: dict[Tensor, Tensor], wanted: set[Tensor]) -> None:
        """Record the region, and what leaves it as the new values of its members."""
        n, rows = self.rows.n, self.rows
        for t in self.members:
            self._inside(t)
        args, vias = [], []
        for t, by_row in self.entering:
            value = rows._value(t, new)
            args.append(_as_rows(value, (n, *rest(t, n))) if by_row else value)
            vias.append(ROW if by_row else SHARED)
        leaving = {t: self._number(t) for t in self.members if t in wanted}
        outputs = tuple(dict.fromkeys(leaving.values()))
        block = Block("rows", tuple(self.entering.values()), outputs)
        r = recurrence(block, self.structure, args, vias)
        for t, ref in leaving.items():
            if t in rows.exits:
                new[t] = proj(r, ref, SHARED)
            else:
                new[t] = astype(reshape(proj(r, ref, ROW), t.shape), t.dtype)

    def _number(self, t: Tensor) -> Tensor:
        """t as it leaves the block: a truth value as a number."""
        ref = self.inside[t]
        if t.dtype.kind == "f":
            return ref
        kinds = {u.dtype for u in (*self.members, *(x for x, _ in self.entering))}
        return astype(ref, max((d for d in kinds if d.kind == "f"), default=np.dtype(np.float64)))

    def _inside(self, t: Tensor) -> Tensor:
        """t on one row, made of what the region holds; iterative."""
        rows, stack = self.rows, [t]
        while stack:
            top = stack[-1]
            if top in self.inside:
                stack.pop()
                continue
            rule = rows.rule_of(top)
            held = [rows.holds(x, top, f) for x, f in zip(top.inputs, rule.by_row, strict=True)]
            pairs = list(zip(top.inputs, rule.by_row, held, strict=True))
            waiting = [x for x, _, mine in pairs if mine and x not in self.inside]
            if waiting:
                stack += waiting
                continue
            operands = [self.inside[x] if mine else self._entering(x, f) for x, f, mine in pairs]
            make = on_one_row if top in rows.maps else summed_row
            self.inside[stack.pop()] = make(top, rows.n, operands, rule)
        return self.inside[t]

    def _entering(self, x: Tensor, by_row: bool) -> Tensor:
        if not by_row and x.op is CONSTANT:
            return x
        key = (x, by_row)
        if key not in self.entering:
            self.entering[key] = self.rows.entering(x, by_row)
        return self.entering[key]


def bounds_of(t: Tensor) -> tuple[int, int] | None:
    """From where to where a tensor's integers go, if that was checked or is known."""
    while t.op.kind == "movement" and len(t.inputs) == 1 and t.op is not PLACE:
        t = t.inputs[0]
    if t.op is CHECKED:
        return t.attrs["start"], t.attrs["stop"]
    if t.dtype.kind in "iu" and t._value is not None:
        return int(np.min(t._value, initial=0)), int(np.max(t._value, initial=0)) + 1
    return None


def _as_rows(t: Tensor, shape: Shape) -> Tensor:
    """t in the shape of rows, without a detour over other shapes."""
    while t.op is RESHAPE:
        t = t.inputs[0]
    return reshape(t, shape)


def _operands_by_row(t: Tensor, rule: ByRow) -> list[Tensor]:
    return [x for x, by_row in zip(t.inputs, rule.by_row, strict=True) if by_row]
