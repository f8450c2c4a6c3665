"""What a Python loop does to every row of a tensor, done to all rows at once.

    losses = [mg.sum(mg.square(ys[t])) for t in range(T)]; loss = sum(losses)

is T times the same three ops, on slices of one tensor.  Tensors that come from row i of the same
tensors by the same ops are one *family*; a family of MANY members becomes one block over rows, and
a sum or a stack of members what it is of the block's result.  Members never depend on each other
(what they share is the same for all), so no cycle can come of it.  One walk, iterative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, bind, placeholder, toposort
from ..ops.broadcast import reshape
from ..ops.elementwise import ADD, add_n
from ..ops.indexing import CHECKED, take
from ..ops.movement import CONCAT, SLICE
from ..ops.reduce import sum as summed
from ..ops.table import name_of_ours
from ..recur import PROJ, RECUR, ROW, SHARED, Block, proj, recurrence
from ..structure import independent
from .merge import attributes_key
from .regions import again

MANY = 4  # members from which on a family is one block


class Family:
    """Tensors made alike from the rows of one tensor.

    members : by row, in the order of the walk; `like` is the first of them.
    moves   : whether nothing is computed: a family of slices and reshapes stays as it is.
    """

    def __init__(self, like: Tensor, sources: tuple[Any, ...]):
        self.like, self.sources = like, sources  # a Family, or a Tensor: the same for all
        self.members: dict[int, Tensor] = {}
        above = [s for s in sources if isinstance(s, Family)]
        self.moves: bool = all(s.moves for s in above) and (like.op.kind == "movement")
        self.rows: list[int] = []  # in the order of `all`
        self.all: Tensor | None = None  # (members, *shape)

    @property
    def is_many(self) -> bool:
        return len(self.members) >= MANY


def alike(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with families of tensors computed at once; equal expressions are one
    tensor already (see `merge`)."""
    order = toposort(outputs)
    member = {t: pair for t, pair in _families(order).items() if pair[0].is_many}
    if all(f.moves for f, _ in member.values()):
        return list(outputs)
    sums, inner = _sums(order, outputs, member)
    new: dict[Tensor, Tensor] = {}

    def value(t: Tensor) -> Tensor:
        if t not in new:
            family, row = member[t]
            at = family.rows.index(row)
            assert family.all is not None
            new[t] = reshape(family.all[at : at + 1], t.shape)
        return new[t]

    for t in order:
        if t in inner:
            continue
        family, _ = member.get(t, (None, 0))
        if family is not None:
            if family.all is None:
                _at_once(family, t, value)
            if not family.moves:
                continue
        if t in sums:
            new[t] = _sum(sums[t], member, value)
        elif t.op is CONCAT and (whole := _stacked(t, member)) is not None:
            new[t] = whole
        else:
            new[t] = again(t, [value(x) for x in t.inputs])
    return [value(t) for t in outputs]


def _families(order: Sequence[Tensor]) -> dict[Tensor, tuple[Family, int]]:
    """The family and row of every tensor that has one."""
    known: dict[Any, Family] = {}
    member: dict[Tensor, tuple[Family, int]] = {}
    for t in order:
        key: Any
        sources: tuple[Any, ...]
        row = _row(t)
        if row is not None:
            key, sources = ("row", t.inputs[0]), (t.inputs[0],)
        else:
            found = [member.get(x) for x in t.inputs]
            rows = {f[1] for f in found if f is not None}
            if len(rows) != 1 or name_of_ours(t.op) is None or t.op in (RECUR, PROJ):
                continue
            (row,) = rows
            sources = tuple(f[0] if f else x for f, x in zip(found, t.inputs, strict=True))
            key = (t.op, sources, attributes_key(t), t.shape, t.dtype)
        family = known.get(key)
        if family is None:
            family = known[key] = Family(t, sources)
        if row not in family.members:
            family.members[row] = t
            member[t] = family, row
    return member


def _row(t: Tensor) -> int | None:
    """Which row of its operand t is, with an axis of length 1 in its place."""
    if t.op is not SLICE or t.inputs[0].shape[0] < MANY:
        return None
    (start, stop, step), *rest = t.attrs["index"]
    whole = all(bound == (None, None, None) for bound in rest)
    single = start is not None and start >= 0 and stop == start + 1 and step in (None, 1)
    return start if whole and single else None


def _at_once(family: Family, t: Tensor, value: Any) -> None:
    """All members of the family as one tensor."""
    family.rows = sorted(family.members)
    n = len(family.rows)
    args, vias, inputs = [], [], []
    for s, x in zip(family.sources, t.inputs, strict=True):
        if isinstance(s, Family):
            assert s.all is not None
            args.append(_picked(s, family.rows))
        elif _row(t) is not None:
            rows = value(s)
            family.all = reshape(
                rows if n == rows.shape[0] else take(rows, np.array(family.rows)), (n, *t.shape)
            )
            return
        else:
            args.append(value(s))
        vias.append(ROW if isinstance(s, Family) else SHARED)
        inputs.append(placeholder(x.shape, x.dtype, x.name))
    if t.op is CHECKED:  # a check goes over any number of integers
        family.all = bind(CHECKED, *args, **t.attrs)
        return
    one = again(t, inputs)
    r = recurrence(Block("rows", tuple(inputs), (one,)), independent(n), args, vias)
    family.all = proj(r, one, ROW)


def _picked(family: Family, rows: Sequence[int]) -> Tensor:
    assert family.all is not None
    if list(rows) == family.rows:
        return family.all
    place = {row: k for k, row in enumerate(family.rows)}
    return take(family.all, np.array([place[row] for row in rows]))


# -- members put together again --------------------------------------------------------------------


def _sums(
    order: Sequence[Tensor], outputs: Sequence[Tensor], member: dict[Tensor, tuple[Family, int]]
) -> tuple[dict[Tensor, list[Tensor]], set[Tensor]]:
    """The terms of sums in which many of a family meet; and the partial sums that nobody else
    reads."""
    users = Counter(x for t in order for x in t.inputs)
    users.update(outputs)
    adds = [t for t in order if t.op is ADD and t not in member]
    partial = {x for t in adds for x in t.inputs if users[x] == 1 and x.op is ADD}
    partial -= set(member)
    terms: dict[Tensor, list[Tensor]] = {}
    for t in adds:  # what a partial sum is made of goes to the one that reads it
        terms[t] = [y for x in t.inputs for y in (terms.pop(x) if x in partial else [x])]
    sums, inner = {}, set()
    for t, found in terms.items():
        count = Counter(member[x][0] for x in found if x in member)
        if any(k >= MANY and not f.moves for f, k in count.items()):
            sums[t] = found
            stack = [t]
            while stack:
                below = [x for x in stack.pop().inputs if x in partial]
                inner.update(below)
                stack += below
    return sums, inner


def _sum(
    terms: Sequence[Tensor], member: dict[Tensor, tuple[Family, int]], value: Any
) -> Tensor:
    groups: dict[Family, list[int]] = {}
    rest = []
    for x in terms:
        family, row = member.get(x, (None, 0))
        if family is None or family.moves:
            rest.append(value(x))
        else:
            groups.setdefault(family, []).append(row)
    added = [summed(_picked(f, rows), axis=0) for f, rows in groups.items()]
    return add_n([*rest, *added])


def _stacked(t: Tensor, member: dict[Tensor, tuple[Family, int]]) -> Tensor | None:
    """A join of members along their first axis."""
    found = [member.get(x) for x in t.inputs]
    family = found[0][0] if found[0] else None
    if family is None or family.moves or t.attrs["axis"] != -t.ndim:
        return None
    if any(f is None or f[0] is not family for f in found):
        return None
    rows = [f[1] for f in found if f is not None]
    return reshape(_picked(family, rows), t.shape)
