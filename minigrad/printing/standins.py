"""What may stand for a node in an expression: a function, an index, an operand without its repeats.

Whether `f(x)` may stand for a node is never guessed: `records` calls f, and compares what it
recorded with the node, down to the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..graph import CONSTANT, Tensor, placeholder, rebuild
from ..ops.arrays import ASTYPE
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.table import name_of_ours
from ..recur import PROJ, ROW, SHARED, parts_of
from ..rewrite.merge import attributes_key
from .writer import SILENT, Number

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
    plain = x.op is CONSTANT and x.name is None and x.size == 1 and (shaped or not x.ndim)
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


def turned(x: Tensor, turn: bool) -> tuple[Tensor, bool]:
    """A factor of a product and whether it is transposed there: W.T, transposed, is W."""
    while x.name is None and name_of_ours(x.op) == "permute_dims" and x.ndim == 2:
        x, turn = x.inputs[0], not turn
    return x, turn


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


def row_of(t: Tensor) -> tuple[Tensor, str] | None:
    """Where `t` takes one row of x by a number: x, and k for x[k], an axis less, or [k]."""
    row = t.inputs[0] if t.op is RESHAPE and t.inputs[0].name is None else t
    k = number_in(row.inputs[1], shaped=True) if name_of_ours(row.op) == "take" else None
    if k is None or row.inputs[1].size != 1:
        return None
    x = row.inputs[0]
    if t.shape == x.shape[1:]:
        return x, str(int(k))
    return (x, f"[{int(k)}]") if t.shape == (1, *x.shape[1:]) else None


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
