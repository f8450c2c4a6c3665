"""Rows taken by known numbers: a tensor of which only some rows matter, as those rows alone.

`take` with constant rows, none twice, and its dual `scatter` are how ragged sequences and chosen
nodes leave and enter arrays of all rows.  A cotangent that is such a scatter is zero in every other
row.  So an op that goes row by row is pulled back at these rows only (`pulled_at`), and what comes
of it is a scatter again: the way back touches no row that nothing read, and what stands there (a
NaN in the padding, say) reaches no gradient.  `rewrite.sink` does the same to the way forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from ..graph import CONSTANT, Tensor, _trace, bind, constant, toposort
from .broadcast import BROADCAST, RESHAPE, reshape
from .elementwise import add_n
from .indexing import SCATTER, TAKE
from .rows import leads, on_rows, rest, row_rule
from .table import name_of_ours

_numbers: WeakValueDictionary[tuple, Tensor] = WeakValueDictionary()  # constants by value


class Packed(NamedTuple):
    """What is zero but in some of its rows: `value` in `rows` (a constant) of `n`."""

    value: Tensor
    rows: Tensor
    n: int


def numbered(rows: np.ndarray) -> Tensor:
    """Row numbers as a constant: equal ones of one trace are one Tensor."""
    given = np.ascontiguousarray(rows, np.int64)
    key = _trace.get(), given.tobytes()
    known = _numbers.get(key)
    return _numbers.setdefault(key, constant(given)) if known is None else known


def known_rows(index: Tensor) -> np.ndarray | None:
    """The row numbers of a gather or scatter, if they are constant and none comes twice."""
    if index.op is not CONSTANT or index.ndim != 1:
        return None
    rows = index._value
    if rows.size and (rows.min() < 0 or np.bincount(rows).max() > 1):
        return None
    return rows


def packed(t: Tensor) -> Packed | None:
    """t as what is scattered into it."""
    inner = t
    while inner.op is RESHAPE:
        inner = inner.inputs[0]
    if inner.op is not SCATTER or known_rows(inner.inputs[1]) is None:
        return None
    value, rows = inner.inputs
    n = inner.attrs["size"]
    if n < 2 or not any(leads(t.shape, n)):
        return None
    return Packed(reshape(value, (rows.size, *rest(t, n))), rows, n)


def taken(t: Tensor, rows: Tensor, n: int) -> Tensor:
    """Some rows of t, which has n; `rows`: known.  Of what was scattered, those it has."""
    found = packed(t)
    if t.op is BROADCAST and (rule := row_rule(t, n)) is not None and not rule.by_row[0]:
        return on_rows(t, n, t.inputs, rule, (rows.size,))  # in some rows as in all
    if found is None or found.n != n:
        return bind(TAKE, reshape(t, (n, *rest(t, n))), rows)
    place = np.full(n, -1)
    place[found.rows._value] = np.arange(found.rows.size)
    at = place[rows._value]
    there = np.flatnonzero(at >= 0)
    value = found.value
    if not np.array_equal(at[there], np.arange(found.rows.size)):
        value = bind(TAKE, value, numbered(at[there]))
    return value if len(there) == len(at) else bind(SCATTER, value, numbered(there), size=len(at))


def placed(t: Tensor, rows: np.ndarray, n: int) -> Tensor:
    """The rows of t at `rows` of n: of what was scattered itself, at once."""
    found = packed(t)
    if found is not None and found.n == len(rows):
        t, rows = found.value, rows[found.rows._value]
    return bind(SCATTER, t, numbered(rows), size=n)


# -- the way back ----------------------------------------------------------------------------------


def added(cotangents: Sequence[Tensor]) -> Tensor:
    """Their sum; of those with the same rows, row by row."""
    found = [packed(t) for t in cotangents] if len(cotangents) > 1 else []
    first = found[0] if found else None
    if first is None or not all(p and _alike(p, first) for p in found):
        return add_n(cotangents)
    total = add_n([p.value for p in found if p])
    return reshape(bind(SCATTER, total, first.rows, size=first.n), cotangents[0].shape)


def _alike(a: Packed, b: Packed) -> bool:
    return a.n == b.n and np.array_equal(a.rows._value, b.rows._value)


def pulled_at(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> Sequence[Tensor | None]:
    """The cotangents of a node's inputs: `node.op.vjp`, at the rows where `ct` may not be zero."""
    assert node.op.vjp is not None
    found = packed(ct) if node.op.collect is None else None
    if found is None:
        return node.op.vjp(ct, node, wanted)
    if node.op is SCATTER and found.n == node.attrs["size"]:
        x, index = node.inputs
        if known_rows(index) is not None:
            return [reshape(taken(ct, index, found.n), x.shape), None]
    if node.op is TAKE:
        x, index = node.inputs
        rows, size = known_rows(index), x.shape[0]
        if found.n == index.size:
            if rows is not None:
                return [placed(reshape(ct, (found.n, *x.shape[1:])), rows, size), None]
            value = reshape(found.value, (found.rows.size, *x.shape[1:]))
            return [bind(SCATTER, value, taken(index, found.rows, found.n), size=size), None]
    rule = row_rule(node, found.n) if name_of_ours(node.op) else None
    if rule is None:
        return node.op.vjp(ct, node, wanted)
    operands = [
        taken(x, found.rows, found.n) if by_row else x
        for x, by_row in zip(node.inputs, rule.by_row, strict=True)
    ]
    here = on_rows(node, found.n, operands, rule, (found.rows.size,))
    grads = _back(here, found.value, operands, wanted)
    return [
        g if g is None or not by_row
        else reshape(bind(SCATTER, g, found.rows, size=found.n), x.shape)
        for g, x, by_row in zip(grads, node.inputs, rule.by_row, strict=True)
    ]  # fmt: skip


def _back(
    here: Tensor, ct: Tensor, operands: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """From an op, and the reshapes around it, back to its operands."""
    given = set(operands)
    asked = {x for x, want in zip(operands, wanted, strict=True) if want}
    arrived: dict[Tensor, list[Tensor]] = {here: [ct]}
    for t in reversed(toposort([here], stop=given.__contains__)):
        if t in given or t not in arrived:
            continue
        assert t.op.vjp is not None
        active = [x in asked or (x not in given and x.dtype.kind == "f") for x in t.inputs]
        grads = t.op.vjp(add_n(arrived.pop(t)), t, active)
        for x, g, yes in zip(t.inputs, grads, active, strict=True):
            if g is not None and yes:
                arrived.setdefault(x, []).append(g)
    return [add_n(arrived.pop(x)) if x in arrived else None for x in operands]
