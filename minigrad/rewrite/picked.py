"""Some rows of a recurrence with checkpoints: taken, they leave it alone; given, they enter alone.

The last states of a batch are a few rows taken of all, and their cotangents a few rows among zeros.
Where their numbers are known, they leave and enter by an Index,
and nobody makes the array of all rows that a checkpoint is there to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..chunks import cut
from ..graph import CONSTANT, Shape, Tensor, constant, toposort
from ..ops.broadcast import RESHAPE, reshape
from ..ops.elementwise import ADD, add_n
from ..ops.indexing import SCATTER, TAKE, scatter, take
from ..ops.movement import PLACE, SLICE
from ..recur import PROJ, RECUR, ROW, Index, Via, parts_of, proj, recurrence
from .regions import again


def picked(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with known rows of recurrences that are cut into chunks by themselves."""
    order = toposort(outputs)
    if not any(t.op is RECUR and cut(parts_of(t).structure) for t in order):
        return list(outputs)
    new: dict[Tensor, Tensor] = {}
    for t in order:
        made = again(t, [new[x] for x in t.inputs])
        if t.op is RECUR and cut(parts_of(t).structure):
            made = _given(made)
        elif t.op in (TAKE, SLICE):
            made = _taken(made)
        new[t] = made
    return [new[t] for t in outputs]


# -- what leaves -----------------------------------------------------------------------------------


def _taken(t: Tensor) -> Tensor:
    p = t.inputs[0]
    while p.op is RESHAPE:
        p = p.inputs[0]
    if p.op is not PROJ or p.attrs["via"] is not ROW:
        return t
    r, ref = p.inputs[0], p.attrs["ref"]
    n = parts_of(r).structure.n
    lead = _leading(t.inputs[0], ref.shape, n)
    if not cut(parts_of(r).structure) or lead is None:
        return t
    rows: np.ndarray | None = None
    if t.op is TAKE and len(lead) == 1:
        rows = _numbers(t, n)
    elif t.op is SLICE and t.shape[len(lead) :] == ref.shape:
        rows = np.arange(n).reshape(lead)[_slices(t, len(lead))].reshape(-1)
    if rows is None or 2 * len(rows) > n:
        return t
    once, where = _once(rows)
    few = proj(r, ref, _at(once, n))
    return reshape(few if where is None else take(few, constant(where)), t.shape)


def _at(rows: np.ndarray, n: int) -> Via:
    """These of n rows meet a table of theirs, in this order."""
    to = np.full(n, -1)
    to[rows] = np.arange(len(rows))
    return Index(to, len(rows))


def _once(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows without repetition, and where each of `rows` is among them (None: in its place)."""
    once, where = np.unique(rows, return_inverse=True)
    return (rows, None) if len(once) == len(rows) else (once, where.reshape(-1))


def _leading(t: Tensor, shape: Shape, n: int) -> Shape | None:
    """The axes before those of `shape`, if they count n rows."""
    at = t.ndim - len(shape)
    fits = at > 0 and t.shape[at:] == shape and int(np.prod(t.shape[:at])) == n
    return t.shape[:at] if fits else None


def _slices(t: Tensor, axes: int) -> tuple[slice, ...]:
    return tuple(slice(*part) for part in t.attrs["index"][:axes])


def _numbers(t: Tensor, n: int) -> np.ndarray | None:
    """The row numbers of a take or scatter, if they are known."""
    index = t.inputs[1]
    if index.op is not CONSTANT:
        return None
    rows = np.asarray(index._value).reshape(-1)
    if rows.size and not (-n <= rows.min() and rows.max() < n):
        return None
    return rows % max(n, 1)


# -- what enters -----------------------------------------------------------------------------------


class _Sparse(NamedTuple):
    """Rows among zeros: a table (M, ...), and the row that each of its rows is."""

    table: Tensor
    rows: np.ndarray


def _given(r: Tensor) -> Tensor:
    block, structure, vias = parts_of(r)
    args, enter = list(r.inputs), list(vias)
    for k, (ph, via) in enumerate(zip(block.inputs, vias, strict=True)):
        found = _sparse(args[k], ph.shape, structure.n) if via is ROW else None
        if found is not None and 2 * len(found.rows) <= structure.n:
            args[k], enter[k] = found.table, _at(found.rows, structure.n)
    same = all(a is b for a, b in zip(args, r.inputs, strict=True))
    return r if same else recurrence(block, structure, args, enter)


def _sparse(t: Tensor, shape: Shape, n: int) -> _Sparse | None:
    """A tensor of n rows of `shape` as few of them, if it is made of such."""
    terms, waiting = [], [t]
    while waiting:
        one = waiting.pop()
        lead = _leading(one, shape, n)
        if lead is None:
            return None
        if one.op is RESHAPE:
            waiting.append(one.inputs[0])
        elif one.op is ADD:
            waiting += one.inputs
        elif one.op is PLACE and one.inputs[0].shape[len(lead) :] == shape:
            rows = np.arange(n).reshape(lead)[_slices(one, len(lead))].reshape(-1)
            terms.append(_Sparse(reshape(one.inputs[0], (len(rows), *shape)), rows))
        elif one.op is SCATTER and len(lead) == 1 and (given := _numbers(one, n)) is not None:
            terms.append(_Sparse(reshape(one.inputs[0], (len(given), *shape)), given))
        else:
            return None
    if len(terms) == 1 and _once(terms[0].rows)[1] is None:
        return terms[0]
    union = np.unique(np.concatenate([s.rows for s in terms]))
    parts = [
        scatter(s.table, constant(np.searchsorted(union, s.rows)), len(union)) for s in terms
    ]
    return _Sparse(add_n(parts), union)
