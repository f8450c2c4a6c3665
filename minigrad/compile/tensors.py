"""What an op on tensors per node does to their elements, as data for `kernels.tensors`.

Two forms are enough.  A `Move` says where every element of the result lies among the operands':
every op of the kind "movement" is one, found by running the op on the elements' numbers.  A `Nest`
is a nest of loops: the einsum of one or two operands, and sums and maxima along axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from typing import Any

import numpy as np

from ..graph import Tensor
from ..kernels.tensors import INNER, OUTER
from ..ops import elementwise as e
from ..ops import reduce
from ..ops.arrays import astype
from ..ops.broadcast import reshape
from ..ops.indexing import SCATTER
from ..ops.table import name_of_ours

Run = tuple[int, int, int, int, int]  # from, step, to, count, add


@dataclass(frozen=True)
class Move:
    """Runs of elements by operand (last: of zeros), each as `kernels.tensors.moving` reads it."""

    runs: tuple[tuple[Run, ...], ...]


@dataclass(frozen=True)
class Nest:
    """A kernel's name and its loops, as `kernels.tensors.nest` reads them; `swap`: the operands."""

    kernel: str
    loops: tuple[int, ...]
    swap: bool = False
    work: int = 0  # multiply-adds for a node of the structure


class Places:
    """Where the elements of a result lie: `operand` and `element` of each, operand -1: zero."""

    def __init__(self, operand: np.ndarray, element: np.ndarray):
        self.operand, self.element = operand, element

    @classmethod
    def of(cls, t: Tensor) -> Places | None:
        """Those of a movement, its operands numbered in order; None where elements are added up.

        Only what t's float (or whole) operands hold is moved: index operands are constants.
        """
        if t.op is SCATTER and len(np.unique(_index(t))) < _index(t).size:
            return None
        data = moved(t)
        # Number 0 is a place that no element goes to.
        ends = np.cumsum([0, *(i.size for i in data)])
        given: list[Any] = [
            np.arange(start + 1, start + 1 + i.size).reshape(i.shape)
            for start, i in zip(ends, data, strict=False)
        ]
        numbers = t.op.numpy(*given, *(_value(i) for i in t.inputs[len(data) :]), **t.attrs)
        flat = np.asarray(numbers, np.int64).reshape(-1) - 1
        operand = np.searchsorted(ends, flat, side="right") - 1
        return cls(operand, flat - ends[operand] * (operand >= 0))

    def through(self, parts: Sequence[tuple[Sequence[int], Places | None]]) -> Places:
        """These places where operand k is itself a movement, of operands with new numbers.

        parts : for each operand the new numbers of what it was made of, and its places (None:
                it was not moved).
        """
        operand, element = np.full_like(self.operand, -1), np.zeros_like(self.element)
        for k, (new, inner) in enumerate(parts):
            here = self.operand == k
            at = self.element[here]
            if inner is None:
                operand[here], element[here] = new[0], at
            else:
                of = inner.operand[at]
                operand[here] = np.where(of < 0, -1, np.array([*new, -1])[of])
                element[here] = inner.element[at]
        return Places(operand, element)

    def joined(self, other: Places, shift: int) -> Places | None:
        """The sum of two movements none of whose elements meet; the other's operands come after
        `shift` of these."""
        if ((self.operand >= 0) & (other.operand >= 0)).any():
            return None
        mine = self.operand >= 0
        theirs = np.where(other.operand < 0, -1, other.operand + shift)
        return Places(
            np.where(mine, self.operand, theirs), np.where(mine, self.element, other.element)
        )

    def slice_of(self, size: int) -> int | None:
        """Where operand 0, of that size, is cut out as it lies; None if it is not."""
        first = int(self.element[0]) if len(self.element) else 0
        plain = (self.operand == 0).all() and (np.diff(self.element) == 1).all()
        return first if plain and len(self.element) <= size else None

    def repeated(self, size: int) -> tuple[str, tuple[int, int]] | None:
        """Whether operand 0, of that size, is one axis of a grid: which, and the grid."""
        times = len(self.element) // size
        if times < 2 or times * size != len(self.element) or (self.operand != 0).any():
            return None
        own = np.arange(size)
        if (self.element.reshape(size, times) == own[:, None]).all():
            return "down", (size, times)
        if (self.element.reshape(times, size) == own).all():
            return "across", (times, size)
        return None

    def move(self, operands: int, numbers: Sequence[bool]) -> Move:
        """The runs.  numbers: which operands are one number, whatever their size."""
        element = np.where(np.array([*numbers, True])[self.operand], 0, self.element)
        runs: list[list[Run]] = [[] for _ in range(operands + 1)]
        start, n = 0, len(element)
        while start < n:
            k, first = int(self.operand[start]), int(element[start])
            stop, step = start + 1, 1
            if stop < n and self.operand[stop] == k:
                step = int(element[stop]) - first
                expected = first + step * np.arange(n - start)
                same = (self.operand[start:] == k) & (element[start:] == expected)
                stop = n if same.all() else start + int(np.argmin(same))
            runs[k].append((first, step, start, stop - start, 0))
            start = stop
        return Move(tuple(map(tuple, runs)))


def moved(t: Tensor) -> tuple[Tensor, ...]:
    """The operands of a movement whose elements it moves; others are constant row numbers."""
    return t.inputs[:1] if t.op.name in ("take", "scatter") else t.inputs


def added(t: Tensor) -> Move:
    """A scatter in which elements meet: zeros, then every element added to its place."""
    (x, _), index = t.inputs, _index(t)
    width = int(np.prod(x.shape[index.ndim :]))
    to = index.reshape(-1)[:, None] * width + np.arange(width)
    runs = [(e, 1, int(p), 1, 1) for e, p in enumerate(to.reshape(-1))]
    return Move((tuple(runs), ((0, 0, 0, t.size, 0),)))


def _index(t: Tensor) -> np.ndarray:
    index = np.asarray(_value(t.inputs[1]))
    return index % max(t.attrs["size"], 1)


def _value(t: Tensor) -> Any:
    if t._value is None:
        raise LookupError("rows are picked by numbers that are not constant")
    return t._value


def fold(t: Tensor, how: str) -> Nest | None:
    """The loops of a sum or maximum along axes."""
    subs, out = letters(t)
    return nest(how, subs, out, [t.inputs[0].shape])


def letters(t: Tensor) -> tuple[list[str], str]:
    """The axes of the operands and of the result of an einsum, or of a sum along axes."""
    if "subs" in t.attrs:
        return list(t.attrs["subs"]), t.attrs["out"]
    (x,) = t.inputs
    own = "".join(chr(97 + k) for k in range(x.ndim))
    gone = {k % x.ndim for k in t.attrs["axis"]}
    return [own], "".join(c for k, c in enumerate(own) if k not in gone)


def grid_of(
    subs: Sequence[str], out: str, shapes: Sequence[Any]
) -> tuple[tuple[int, int], list[str]] | None:
    """A sum of products as one over a grid (m, n): where it lies so, the grid and how each operand
    and then the result lies on it: "whole", "down" or "across"."""
    loops = _loops(subs, out, shapes) if len(subs) <= 2 else []
    for (m, *down, _), (n, *across, _) in permutations(loops) if len(loops) == 2 else ():
        ways = {(n, 1): "whole", (1, 0): "down", (0, 1): "across"}
        steps = list(zip(down, across, strict=True))
        if len(subs) == 1:
            del steps[1]
        if all(s in ways for s in steps):
            return (m, n), [ways[s] for s in steps]
    return None


def nest(how: str, subs: Sequence[str], out: str, shapes: Sequence[Any]) -> Nest | None:
    """The loops over the letters, and which of them the vector runs over."""
    return None if len(subs) > 2 else _arranged(how, _loops(subs, out, shapes))


def _loops(subs: Sequence[str], out: str, shapes: Sequence[Any]) -> list[list[int]]:
    """Of each: n, step of a, of b, of out, whether it is an axis of out."""
    size: dict[str, int] = {}
    steps: list[dict[str, int]] = []
    for term, shape in zip(subs, shapes, strict=True):
        own: dict[str, int] = {}
        step = 1
        for c, n in zip(term[::-1], shape[::-1], strict=True):
            own[c], size[c] = own.get(c, 0) + step, n
            step *= n
        steps.append(own)
    to, step = {}, 1
    for c in out[::-1]:
        to[c], step = step, step * size[c]
    steps = [*steps, *([{}] * (2 - len(steps))), to]
    loops = [
        [size[c], *(s.get(c, 0) for s in steps), int(c in out)]
        for c in dict.fromkeys((*out, *subs[0], *subs[-1]))
        if size[c] != 1
    ]
    return _merged(loops)


def _merged(loops: list[list[int]]) -> list[list[int]]:
    """Loops that run through memory as one are one."""
    found: list[list[int]] = []
    for _, group in groupby(loops, lambda loop: loop[-1]):
        kept: list[list[int]] = []
        for n, *steps, kind in group:
            before = kept[-1] if kept else None
            if before and before[1:4] == [s * n for s in steps]:
                kept[-1] = [before[0] * n, *steps, kind]
            else:
                kept.append([n, *steps, kind])
        found += kept
    return found


def _arranged(how: str, loops: list[list[int]]) -> Nest | None:
    def fits(loop: list[int]) -> bool:
        _, a, b, to, kept = loop
        return a in (0, 1) and b in (0, 1) and a + b > 0 and (to == 1 or not kept)

    usable = [loop for loop in loops if fits(loop)]
    vector = max(usable, key=lambda loop: (min(loop[0], 16), loop[-1]), default=[1, 1, 0, 1, 1])
    rest = [loop for loop in loops if loop is not vector]
    n, a, b, _, across = vector
    swap = a == 0
    around = [loop for loop in rest if loop[-1]]
    inside = [loop for loop in rest if not loop[-1]]
    if len(around) > OUTER or len(inside) > INNER:
        return None
    numbers: list[int] = []
    for loop in [*around, *[[1, 0, 0, 0]] * (OUTER - len(around))]:
        numbers += [loop[0], *(loop[1:3][::-1] if swap else loop[1:3]), loop[3]]
    for loop in [*inside, *[[1, 0, 0]] * (INNER - len(inside))]:
        numbers += [loop[0], *(loop[1:3][::-1] if swap else loop[1:3])]
    form = "both" if a == b else "one"
    what = "product" if how == "sum" and across and not inside else how
    kernel = f"{what}_{'across' if across else 'along'}_{form}"
    return Nest(kernel, (*numbers, n), swap, int(np.prod([loop[0] for loop in [*rest, vector]])))


RUNNING = ("cumulative_sum", "cumulative_prod", "linear_recurrence")


def running(t: Tensor) -> Nest | None:
    """The loops of what runs along an axis."""
    axis, reverse, shape = t.attrs["axis"] % t.ndim, t.attrs["reverse"], t.shape
    steps = [int(np.prod(shape[k + 1 :])) for k in range(t.ndim)]
    alone = t.op.name == "cumulative_sum"  # its factors are ones
    around = [[shape[k], *[steps[k]] * 3, 1] for k in range(t.ndim) if k != axis and shape[k] > 1]
    around = _merged(around)
    if len(around) > OUTER:
        return None
    step = -steps[axis] if reverse else steps[axis]
    begin = (shape[axis] - 1) * steps[axis] if reverse else 0
    numbers: list[int] = []
    for loop in [*around, *[[1, 0, 0, 0]] * (OUTER - len(around))]:
        numbers += [loop[0], *((0,) if alone else loop[1:2]), *loop[2:4]]
    numbers += [shape[axis], 0 if alone else step, step, step, 0 if alone else begin, begin, begin]
    kernel = "running_prod" if t.op.name == "cumulative_prod" else "running_sum"
    return Nest(kernel, tuple(numbers), swap=alone, work=t.size)


# -- ops that are a few others ---------------------------------------------------------------------


def _norm(t: Tensor) -> Tensor:
    """The largest element is taken out first: no square overflows."""
    (x,), axis = t.inputs, t.attrs["axis"]
    top = reduce.max(e.abs(x), axis=axis, keepdims=True)
    scale = e.where(e.logical_and(e.greater(top, 0), e.isfinite(top)), top, 1)
    squares = reduce.sum(e.square(e.divide(x, scale)), axis=axis, keepdims=True)
    return reshape(e.multiply(scale, e.sqrt(squares)), t.shape)


def _any(t: Tensor) -> Tensor:
    (x,) = t.inputs
    truth = x if x.dtype.kind == "b" else e.not_equal(x, 0)
    return e.greater(reduce.max(astype(truth, np.float32), axis=t.attrs["axis"]), 0.5)


def _all(t: Tensor) -> Tensor:
    (x,) = t.inputs
    false = e.logical_not(x) if x.dtype.kind == "b" else e.equal(x, 0)
    return e.less(reduce.max(astype(false, np.float32), axis=t.attrs["axis"]), 0.5)


def _where(t: Tensor) -> Tensor | None:
    """One of two truth values: in the code they are no numbers to choose from."""
    if t.dtype.kind != "b":
        return None
    mask, yes, no = t.inputs
    return e.logical_or(e.logical_and(mask, yes), e.logical_and(e.logical_not(mask), no))


COMPOSED = {"norm": _norm, "any": _any, "all": _all, "where": _where}


def composed(t: Tensor) -> Tensor | None:
    """The same as a few other ops on its inputs; None where it is said as it is."""
    make = COMPOSED.get(name_of_ours(t.op) or "")
    return None if make is None else make(t)
