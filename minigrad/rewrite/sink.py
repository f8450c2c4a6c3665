"""Sinking: rows taken by known numbers are taken as early as they can be.

Ragged sequences leave a recurrence as rows scattered into a padded array; heads and losses go row
by row over all of it, and what counts is taken out again.  A `take` of known rows goes through what
is computed row by row, until it meets the `scatter`, and the two cancel: what is padded is not
computed, and head and loss have the rows of the recurrence, which they become part of.  (The way
back is recorded like this from the beginning: `ops.taken`.)

A take sinks where some way below it ends in a scatter (or in another take, which is then of fewer
rows); and not through an op that computes what something else needs in all its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import CONSTANT, Tensor, bind, toposort
from ..ops.broadcast import BROADCAST, RESHAPE, reshape
from ..ops.elementwise import WHERE
from ..ops.indexing import SCATTER, TAKE
from ..ops.rows import ByRow, on_rows, rest, row_rule
from ..ops.table import name_of_ours
from ..ops.taken import known_rows, numbered, packed, taken
from .regions import again


def sink(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with rows taken before, not behind, what goes row by row."""
    return _Takes(outputs).rewritten()


class _Takes:
    """A graph seen by what takes known rows of its tensors."""

    def __init__(self, outputs: Sequence[Tensor]):
        self.outputs, self.order = list(outputs), toposort(outputs)
        self.new: dict[Tensor, Tensor] = {}
        self.known: dict[tuple[Tensor, Tensor], Tensor] = {}  # rows of a tensor
        self.sizes = {t.inputs[0].shape[0] for t in self.order if _is_known(t)}
        self.rules: dict[tuple[Tensor, int], ByRow] = {}
        self.over: dict[int, set[Tensor]] = {n: self._over(n) for n in self.sizes}
        self.whole = self._needed_whole() if self.sizes else set()

    def rewritten(self) -> list[Tensor]:
        if not self.sizes:
            return self.outputs
        for t in self.order:
            if _is_known(t) and self._sinks(t.inputs[0], t.inputs[0].shape[0]):
                x, index = t.inputs
                rows = self._rows(x, numbered(index._value), x.shape[0])
                self.new[t] = reshape(rows, t.shape)
            elif (chosen := _branch(t, None)) is not None:
                self.new[t] = self.new[chosen]
            else:
                self.new[t] = again(t, [self.new[x] for x in t.inputs])
        return [self.new[t] for t in self.outputs]

    def _over(self, n: int) -> set[Tensor]:
        """Where a take of some of n rows meets a scatter, or another take, further down."""
        over: set[Tensor] = set()
        for t in self.order:
            if t.op is SCATTER and (found := packed(t)) is not None and found.n == n:
                over.add(t)
            elif t.op is TAKE and t.inputs[1].size == n:  # by the rows of an index
                self.rules[t, n] = ByRow((False, True), t.inputs[1].ndim)
                over.add(t)
            elif not over.isdisjoint(t.inputs) and name_of_ours(t.op):
                rule = row_rule(t, n)
                if rule is not None and not over.isdisjoint(_by_row(t, rule)):
                    self.rules[t, n] = rule
                    over.add(t)
        return over

    def _needed_whole(self) -> set[Tensor]:
        """What is needed in all its rows by something that no take is behind."""
        whole = set(self.outputs)
        for t in reversed(self.order):
            if _is_known(t) and self._sinks(t.inputs[0], t.inputs[0].shape[0]):
                continue
            if t in whole or not any(t in over for over in self.over.values()):
                whole.update(t.inputs)
                continue
            for n in self.sizes:
                if (rule := self.rules.get((t, n))) is not None:
                    pairs = zip(t.inputs, rule.by_row, strict=True)
                    whole.update(x for x, by_row in pairs if not by_row)
        return whole

    # -- one tensor of n rows ----------------------------------------------------------------------

    def _sinks(self, t: Tensor, n: int) -> bool:
        return t in self.over[n]

    def _rows(self, t: Tensor, rows: Tensor, n: int) -> Tensor:
        """Rows of t in the new graph, (rows, *rest); iterative."""
        stack = [t]
        while stack:
            top = stack[-1]
            if (top, rows) in self.known:
                stack.pop()
                continue
            chosen = _branch(top, rows._value, n)
            rule = None if chosen is not None else self._through(top, n)
            below = [chosen] if chosen is not None else _by_row(top, rule) if rule else []
            below = [] if _is_known(top) else below
            waiting = [x for x in below if (x, rows) not in self.known]
            stack += waiting
            if not waiting:
                self.known[stack.pop(), rows] = self._made(top, chosen, rule, rows, n)
        return self.known[t, rows]

    def _through(self, t: Tensor, n: int) -> ByRow | None:
        """The rule by which a take goes through t, if it does."""
        if not self._sinks(t, n) or t in self.whole and t.op.kind != "movement":
            return None
        return self.rules.get((t, n))

    def _made(
        self, t: Tensor, chosen: Tensor | None, rule: ByRow | None, rows: Tensor, n: int
    ) -> Tensor:
        if chosen is not None:
            return self.known[chosen, rows]
        if rule is None:
            return taken(self.new[t], rows, n)
        if _is_known(t):
            table, index = t.inputs
            if self._sinks(table, table.shape[0]):
                return taken(self.new[t], rows, n)
            at = numbered(index._value[rows._value])
            found = taken(self.new[table], at, table.shape[0])
            return reshape(found, (rows.size, *rest(t, n)))
        operands = [
            self.known[x, rows] if by_row else self.new[x]
            for x, by_row in zip(t.inputs, rule.by_row, strict=True)
        ]
        if t.op is not TAKE:
            return on_rows(t, n, operands, rule, (rows.size,))
        found = bind(TAKE, operands[0], reshape(operands[1], (rows.size,)))
        return reshape(found, (rows.size, *rest(t, n)))


def _is_known(t: Tensor) -> bool:
    return t.op is TAKE and t.inputs[0].shape[0] > 1 and known_rows(t.inputs[1]) is not None


def _by_row(t: Tensor, rule: ByRow) -> list[Tensor]:
    return [x for x, by_row in zip(t.inputs, rule.by_row, strict=True) if by_row]


def _branch(t: Tensor, rows: np.ndarray | None, n: int = 1) -> Tensor | None:
    """Of a choice that is known (in these of n rows) to go one way: that way."""
    if t.op is not WHERE:
        return None
    truth = _value(t.inputs[0], n)
    if truth is None or not truth.size:
        return None
    if rows is not None:
        truth = truth.reshape(n, -1)[rows]
    return t.inputs[1] if truth.all() else None if truth.any() else t.inputs[2]


def _value(t: Tensor, n: int) -> np.ndarray | None:
    """The numbers that a tensor made of a constant has in each of n rows, maybe not as often."""
    found: list[Tensor] = []
    while t.op is not CONSTANT:
        if t.op not in (RESHAPE, BROADCAST) and not _is_known(t):
            return None
        if found or t.op is not BROADCAST or not _same_rows(t, n):
            found.append(t)
        t = t.inputs[0]
    value = t._value
    for t in reversed(found):
        if t.op is TAKE:
            value = value[t.inputs[1]._value]
        else:
            value = (np.reshape if t.op is RESHAPE else np.broadcast_to)(value, t.shape)
    return value


def _same_rows(t: Tensor, n: int) -> bool:
    """Whether a broadcast has the n rows of its input."""
    rule = row_rule(t, n)
    return n == 1 or rule is not None and rule.by_row[0]
