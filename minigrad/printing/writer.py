"""The engine of `expr` and `latex`: from the root down, as deep as the text stays readable.

What is written for a node is a `Spelled`: a template over operands.
These need not be the node's inputs: `softmax(x, axis=1)` stands for six nodes.
Each language tells how a node is spelled and what stands for a leaf (`Writer`);
levels, what is left out where it gets long, and brackets are the same.

Whether `f(x)` may stand for a node is never guessed: `records` calls f, and compares what it
recorded with the node, down to the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor, placeholder, rebuild
from ..manners.text import ADDS, MULTIPLIES, NEGATES, Form
from ..ops.arrays import ASTYPE
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.table import name_of_ours
from ..recur import PROJ, ROW, SHARED, parts_of
from ..rewrite.merge import attributes_key

LONGEST = 300
MANY = 6  # terms of a sum; of more the first ones and the last
WHOLE_TEXT = 10**6  # characters, where nothing is left out
SILENT = frozenset(["astype", "checked", "identity"])  # say nothing to a reader
AS_IT = -1
DOTS = object()  # stands among operands for what is left out


class Number(NamedTuple):
    """An operand that is written as a plain number."""

    value: Any


class Spelled(NamedTuple):
    """A template, what it is filled with, and how it binds.

    binds, needs : as those of a `Form`; an operand that needs 0 stands within other signs.
                   Binding as its only operand does: `AS_IT`.
    open         : it ends with a sign that takes what follows (a sum), so it is last or bracketed.
    """

    text: str
    binds: int
    needs: tuple[int, ...]
    operands: tuple[Any, ...]
    open: bool = False


class Written(NamedTuple):
    """An operand's text, how tightly it binds, whether it takes what follows."""

    text: str
    binds: int
    open: bool = False


def by_form(form: Form, operands: Sequence[Any]) -> Spelled:
    return Spelled(form.text, form.binds, form.needs, tuple(operands))


class Writer:
    """Writes one text; a subclass for each language.

    exact   : nothing is left out.
    longest : characters of a text that is read as one.
    """

    exact = False
    longest = LONGEST

    def __init__(self, root: Tensor) -> None:
        self.root = root
        self._known: dict[Tensor, Spelled] = {}

    # -- what a language says ----------------------------------------------------------------------

    def spelled(self, t: Tensor) -> Spelled:
        raise NotImplementedError

    def leaf(self, t: Tensor) -> Written:
        raise NotImplementedError

    def elided(self, t: Tensor) -> Written:
        raise NotImplementedError

    def number(self, value: Any) -> Written:
        raise NotImplementedError

    def bracketed(self, words: str) -> str:
        raise NotImplementedError

    def dots(self) -> Written:
        raise NotImplementedError

    # -- levels ------------------------------------------------------------------------------------

    def ends(self, t: Tensor) -> bool:
        """Whether a name (or a value) stands for `t`."""
        if t.op in (CONSTANT, INPUT):
            return True
        return t is not self.root and (t.name is not None or t.op is PROJ and bool(_state(t)))

    def known(self, t: Tensor) -> Spelled:
        if t not in self._known:
            self._known[t] = self.spelled(t)
        return self._known[t]

    def written(self) -> str:
        """As many levels as stay within the longest text; of `exact` ones all."""
        if self.ends(self.root):
            return self.leaf(self.root).text
        levels: list[list[Tensor]] = [[self.root]]
        seen = {self.root}
        found = self.elided(self.root).text
        while True:
            below: dict[Tensor, None] = {}
            for t in levels[-1]:
                if not self.ends(t):
                    some = [x for x in self.known(t).operands if isinstance(x, Tensor)]
                    below.update(dict.fromkeys(x for x in some if x not in seen))
            if not self.exact:
                text = self._filled(levels, seen)
                if text is None:
                    return found
                found = text
            if not below:
                return found if not self.exact else self._filled(levels, seen) or ""
            seen.update(below)
            levels.append(list(below))

    def _filled(self, levels: Sequence[Sequence[Tensor]], seen: set[Tensor]) -> str | None:
        """The text of these nodes, those below them left out; None: too long."""
        done: dict[Tensor, Written] = {}
        waiting = [self.root]
        limit = WHOLE_TEXT if self.exact else self.longest
        while waiting:
            t = waiting[-1]
            if t in done:
                waiting.pop()
            elif self.ends(t):
                done[t] = self.leaf(t)
            else:
                said = self.known(t)
                rest = [x for x in said.operands if isinstance(x, Tensor) and x not in done]
                if any(x not in seen for x in rest):
                    done[t] = self.elided(t)
                    continue
                if rest:
                    waiting += rest
                    continue
                done[t] = self._said(said, done)
                if len(done[t].text) > limit:
                    if self.exact:
                        raise ValueError(
                            f"expr: the text would have more than {WHOLE_TEXT} characters, for "
                            "what is read twice is written twice; name parts by t.named(...), or "
                            "print statements by mg.source"
                        )
                    return None
        return done[self.root].text

    def _said(self, said: Spelled, done: dict[Tensor, Written]) -> Written:
        pieces = [
            done[x] if isinstance(x, Tensor)
            else self.dots() if x is DOTS
            else self.number(x.value) if isinstance(x, Number) else Written(str(x), 9)
            for x in said.operands
        ]  # fmt: skip
        words, last, opens = [], len(pieces) - 1, said.open
        for k, (piece, need) in enumerate(zip(pieces, said.needs, strict=True)):
            swallows = piece.open and need > 0 and k < last
            enough = piece.binds >= need or piece.open and k == last and need <= NEGATES
            free = enough and not swallows
            words.append(piece.text if free else self.bracketed(piece.text))
            opens = opens or (k == last and need > 0 and free and piece.open)
        if said.binds == AS_IT:
            return pieces[0]
        return Written(said.text.format(*words), said.binds, opens)


def _state(t: Tensor) -> str:
    """What a result of a recurrence is called, by itself or inside."""
    return t.name or t.attrs["ref"].name or ""


def added(operands: Sequence[Any], sign: str = "+") -> Spelled:
    """A sum; of many terms the first ones and the last."""
    some = list(operands)
    if len(some) > MANY:
        some = [*some[: MANY // 2], DOTS, some[-1]]
    needs = (ADDS, *[MULTIPLIES] * (len(some) - 1))
    return Spelled(f" {sign} ".join(["{}"] * len(some)), ADDS, needs, tuple(some))


# -- recurrences -----------------------------------------------------------------------------------


def step_of(t: Tensor) -> Tensor | None:
    """What every step of a sequence computes for `t`, of `h[t-1]`, `x[t]` and parameters.

    None for what is no result of a sequence for every step.
    """
    block, structure, vias = parts_of(t.inputs[0])
    if t.attrs["via"] is not ROW or structure.kind != "chain" or not len(structure.src):
        return None
    before = "t+1" if (structure.dst < structure.src).all() else "t-1"
    swap = {
        ph: placeholder(ph.shape, ph.dtype, f"{ph.name or 's'}[{before}]")
        for ph in block.slots.values()
    }
    for ph, via in zip(block.inputs, vias, strict=True):
        if via is ROW:
            swap[ph] = placeholder(ph.shape, ph.dtype, f"{ph.name or 'x'}[t]")
        elif via is not SHARED:  # first states: they enter before the first step
            swap[ph] = placeholder(ph.shape, ph.dtype, f"{ph.name or 'x'}[0]")
    return rebuild([t.attrs["ref"]], swap)[0]


class Vjps(NamedTuple):
    """A Jacobian as the vjps of the unit vectors: `row` of the placeholder `unit`, n of them."""

    row: Tensor
    unit: Tensor
    n: int


def jacobian_of(t: Tensor) -> Vjps | None:
    """What `mg.jacobian` recorded as `t`; None for anything else."""
    p = t.inputs[0] if t.op is RESHAPE else t
    if p.op is not PROJ or p.attrs["via"] is not ROW:
        return None
    block, structure, vias = parts_of(p.inputs[0])
    given = p.inputs[0].inputs
    if block.name != "batch" or not given or vias[0] is not ROW:
        return None
    basis = given[0]
    while basis.op is RESHAPE:
        basis = basis.inputs[0]
    n = structure.n
    if basis.op is not CONSTANT or basis.size != n * n:
        return None
    if not np.array_equal(np.asarray(basis._value).reshape(n, n), np.eye(n)):
        return None
    unit = placeholder(block.inputs[0].shape, block.inputs[0].dtype, "e")
    swap = dict(zip(block.inputs, (unit, *given[1:]), strict=True))
    return Vjps(rebuild([p.attrs["ref"]], swap)[0], unit, n)


# -- what stands for what --------------------------------------------------------------------------


def records(t: Tensor, f: Callable[[], Any], operands: Sequence[Any], loose: bool) -> bool:
    """Whether f() records what `t` is, from the operands on.

    loose : what says nothing to a reader makes no difference.
    """
    try:
        made = f()
    except Exception:  # it does not take these operands: then it is not what stands for them
        return False
    return isinstance(made, Tensor) and _agree(
        made, t, {x for x in operands if isinstance(x, Tensor)}, loose
    )


def _agree(made: Tensor, t: Tensor, given: set[Tensor], loose: bool) -> bool:
    waiting = [(made, t)]
    while waiting:
        a, b = waiting.pop()
        if a is b:
            continue
        if loose:
            a, b = _skimmed(a, given), _skimmed(b, given)
            if a is b:
                continue
        if a in given or b is not t and b.name is not None or not _alike(a, b, loose):
            return False
        waiting += zip(a.inputs, b.inputs, strict=True)
    return True


def _skimmed(t: Tensor, given: set[Tensor]) -> Tensor:
    while t not in given and t.name is None and name_of_ours(t.op) in SILENT:
        t = t.inputs[0]
    return t


def _alike(a: Tensor, b: Tensor, loose: bool) -> bool:
    if a.op is CONSTANT and b.op is CONSTANT:
        bits = np.asarray(a._value).tobytes() == np.asarray(b._value).tobytes()
        return bits and a.shape == b.shape and a.dtype == b.dtype
    product_ = loose and {a.op.name, b.op.name} == {"multiply", "absorb"}
    return (
        bool(a.inputs)
        and (a.op is b.op or product_)
        and len(a.inputs) == len(b.inputs)
        and a.shape == b.shape
        and (a.dtype == b.dtype or loose)
        and attributes_key(a) == attributes_key(b)
    )


# -- operands as they are written ------------------------------------------------------------------

def number_in(x: Tensor, shaped: bool = False) -> Any:
    """The number that stands, perhaps repeated (`shaped`: with other axes), in an operand.

    None: there is none.
    """
    while (x.op is BROADCAST or shaped and x.op is RESHAPE) and x.name is None:
        x = x.inputs[0]
    plain = x.op is CONSTANT and x.name is None and x.size == 1 and not x.ndim
    return x._value.item() if plain else None


def peeled(x: Tensor, silent: bool = True) -> Tensor:
    """An operand of an elementwise op without being repeated, which operators do by themselves.

    silent : and without what says nothing to a reader.
    """
    while x.name is None:
        if x.op is BROADCAST:
            x = x.inputs[0]
            inner = x.inputs[0] if x.op is RESHAPE and x.name is None else x
            in_front = x.ndim - inner.ndim
            if silent and in_front > 0 and x.shape == (1,) * in_front + inner.shape:
                x = inner
        elif silent and name_of_ours(x.op) in SILENT:
            x = x.inputs[0]
        else:
            break
    return x


def plain(x: Tensor) -> Tensor:
    """An operand without what says nothing to a reader."""
    while x.name is None and name_of_ours(x.op) in SILENT:
        x = x.inputs[0]
    return x


def ways(x: Tensor, bare: bool) -> list[Any]:
    """How an operand may be written, the shortest first.

    bare : without being repeated and cast is enough.
    """
    value = number_in(x, shaped=bare)
    found: list[Any] = []
    if value is not None:
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        found += [Number(int(value))] if whole else []
        found.append(Number(value))
        if bare:
            return found[:1]
    found += [peeled(x)] if bare else [peeled(x), peeled(x, False), x]
    return list(dict.fromkeys(found)) if value is None else found


def choices(xs: Sequence[Tensor], bare: bool) -> Iterator[tuple[Any, ...]]:
    """All ways of several operands, the shortest ones first."""
    several = [ways(x, bare) for x in xs]
    if len(xs) > 3:
        several = [way[:1] for way in several]
    return product(*several)


def value_of(operand: Any) -> Any:
    """What is given to a function for an operand."""
    return operand.value if isinstance(operand, Number) else operand


# -- functions made of several ops -----------------------------------------------------------------

_MOVED = (BROADCAST, RESHAPE, ASTYPE)


class Made(NamedTuple):
    """A function of several ops: where its operand is, and where one reduction, from the root.

    Movement between is skipped, on the way and at the root.
    """

    name: str
    operand: tuple[int, ...]
    reduction: tuple[int, ...]
    keeps: bool = True  # it takes keepdims


MADE: dict[str, tuple[Made, ...]] = {
    "divide": (
        Made("softmax", (0, 0, 0), (1,), keeps=False),
        Made("var", (0, 0, 0, 0), (0,)), Made("mean", (0, 0), (0,)),
    ),
    "subtract": (Made("log_softmax", (0, 0), (1, 0), keeps=False),),
    "add": (Made("logsumexp", (0, 2, 0, 0, 0, 0), (0, 2, 0)),),
    "where": (Made("std", (2, 0, 0, 0, 0, 0), (2, 0, 0)),),
    "negative": (Made("min", (0, 0, 0), (0,)),),
}  # fmt: skip


class Call(NamedTuple):
    """f(operand, **options)."""

    name: str
    operand: Tensor
    options: dict[str, Any]


def made_of(t: Tensor) -> Iterator[Call]:
    """What may stand for `t` and what is below it; to be held against `records`."""
    root = t
    while root.op is RESHAPE and (root is t or root.name is None):
        root = root.inputs[0]
    for way in MADE.get(name_of_ours(root.op) or "", ()):
        x, r = _at(root, way.operand), _at(root, way.reduction)
        if x is None or r is None:
            continue
        x, r = peeled(x, silent=False), _still(r)
        if not isinstance(r.attrs.get("axis"), tuple):
            continue
        for keepdims in (False, True)[: 1 + way.keeps]:
            more = {"keepdims": True} if keepdims else {}
            for axis in _axes_as_written(r, way.name):
                yield Call(way.name, x, axis | more)


def _at(t: Tensor, path: Sequence[int]) -> Tensor | None:
    """Along inputs by number; movement on the way is skipped."""
    for k in path:
        t = _still(t)
        if k >= len(t.inputs):
            return None
        t = t.inputs[k]
    return t


def _still(t: Tensor) -> Tensor:
    while t.op in _MOVED:
        t = t.inputs[0]
    return t


def _axes_as_written(r: Tensor, name: str) -> list[dict[str, Any]]:
    ndim, axes = r.inputs[0].ndim, r.attrs["axis"]
    front = tuple(a % ndim for a in axes)
    if name.endswith("softmax"):
        return [{}] if front == (ndim - 1,) else [{"axis": front[0] if len(front) == 1 else front}]
    if front == tuple(range(ndim)):
        return [{}]
    return [{"axis": front[0] if len(front) == 1 else front}]


# -- indices ---------------------------------------------------------------------------------------


def index_of(t: Tensor) -> tuple[Tensor, list[str]] | None:
    """x[...] that may stand for a slice, or for new and dropped axes: x, and a key for each axis.

    To be held against `records`; None: there is none.
    """
    x, shape = t.inputs[0], t.shape
    cut = t if name_of_ours(t.op) == "slice" else None
    if t.op is RESHAPE and x.name is None and name_of_ours(x.op) == "slice":
        cut, x = x, x.inputs[0]
    bounds = cut.attrs["index"] if cut is not None else ((None, None, None),) * x.ndim
    if len(bounds) != x.ndim:
        return None
    starts = [range(*slice(*b).indices(n)) for b, n in zip(bounds, x.shape, strict=True)]
    if [len(r) for r in starts if len(r) != 1] != [n for n in shape if n != 1]:
        return None
    keys: list[str] = []
    old, new = _segments([len(r) for r in starts]), _segments(shape)
    for (first, ones, long), (_, wanted, _) in zip(old, new, strict=True):
        keep = ones - max(ones - wanted, 0)
        here = range(first, first + ones)
        kept = sorted(here, key=lambda k: bounds[k][0] is not None)[:keep]  # `k:k+1` is dropped
        keys += ["None"] * (wanted - keep)
        keys += [_bounds(bounds[k]) if k in kept else str(starts[k].start) for k in here]
        keys += [_bounds(bounds[first + ones])] if long else []
    return x, keys


def _segments(shape: Sequence[int]) -> list[tuple[int, int, bool]]:
    """Runs of axes of length 1: where they start, how many, and whether a longer one follows."""
    found, first = [], 0
    for k, n in enumerate(shape):
        if n != 1:
            found.append((first, k - first, True))
            first = k + 1
    return [*found, (first, len(shape) - first, False)]


def _bounds(b: tuple[int | None, int | None, int | None]) -> str:
    start, stop, step = b
    text = ":".join("" if v is None else str(v) for v in (start, stop))
    return text if step is None else f"{text}:{step}"


def key_text(keys: Sequence[str]) -> str:
    some = list(keys)
    while len(some) > 1 and some[-1] == ":":
        some.pop()
    return ", ".join(some)
