"""`simplify`: the same values from a shorter graph.

Every node is recorded again on inputs that are simple already, and settled:
looked up among the expressions there are (equal ones are made one),
then rewritten by the first rule that fits, until none does.
The rules of elementwise ops are data (`rules`); those of shapes are the functions below.

What a gradient may be asked by stays: leaves are never folded, merged or exchanged,
but for numbers written as numbers, which no gradient is taken by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from .. import pytrees
from ..arguments import tensor_leaves
from ..graph import CONSTANT, Primitive, Shape, Tensor, bind, toposort
from ..ops.arrays import ASTYPE
from ..ops.broadcast import BROADCAST, RESHAPE, SUM
from ..ops.contract import EINSUM
from ..ops.elementwise import ADD
from ..ops.movement import CONCAT, PERMUTE, SLICE
from ..ops.table import TABLE, literal, uniform
from ..recur import PROJ, RECUR, Block, parts_of, proj, recurrence
from .abreast import abreast
from .merge import attributes_key
from .regions import again
from .rules import COMMUTES, Op, by_op
from .sharing import blocks, factors

__all__ = ["simplify"]


def simplify(outputs: Any) -> Any:
    """The same pytree of Tensors, computed by a shorter graph.

    Numbers are folded, neutral operands, double negations, choices that are known, movement that
    undoes itself and copies of one expression left out; inside the cells of recurrences as well.
    The rules are `minigrad.rewrite.rules.RULES` and the functions in `minigrad.rewrite.simplify`.

    What several products share is computed once, and many products of matrices that are summed
    are one of joined matrices (`minigrad.rewrite.sharing`).

    Values are the same to rounding, NaN and infinities in the same places,
    and so are derivatives of any order by any leaf.
    But the sign of a zero may differ, and what copysign, atan2 or 1 / x make of it;
    and a product of three or more may overflow or vanish on the way where it did not, or not
    where it did; so in derivatives, where what has overflowed is NaN after a factor of 0.
    Never more nodes than before; simplified again, nothing changes.
    A derived node that is no longer needed is no ancestor of the result:
    differentiate by leaves, or before simplifying.

    Raises TypeError for a leaf that is no Tensor.
    """
    leaves, spec = tensor_leaves("simplify", "outputs", outputs)
    return pytrees.tree_unflatten(spec, simplified(leaves))


def simplified(outputs: Sequence[Tensor]) -> list[Tensor]:
    found, before = list(outputs), None
    while found is not before:  # what is shared may be written shorter, and so on
        work = _Simplifier()
        work.run(found)
        before = blocks(_sums([work.new[t] for t in found]))
        found = factors(abreast(before))
    longer = len(toposort(found)) > len(toposort(outputs))
    return list(outputs) if longer else found


def folded(outputs: Sequence[Tensor]) -> list[Tensor]:
    """One pass of the rules alone, nothing joined or shared: for who compares."""
    work = _Simplifier()
    work.run(outputs)
    return [work.new[t] for t in outputs]


class _Simplifier:
    """One pass over a graph.

    new   : what each node has become.
    known : the expressions met so far, by what decides their value.
    given : the nodes of the graph as it came, which stay as they are.
    """

    def __init__(self) -> None:
        self.new: dict[Tensor, Tensor] = {}
        self.given: set[Tensor] = set()
        self.known: dict[Any, Tensor] = {}
        self.refs: dict[Tensor, dict[Tensor, Tensor]] = {}  # of each recurrence, by old ref

    def run(self, outputs: Sequence[Tensor]) -> None:
        order = toposort(outputs)
        self.given.update(order)
        asked: dict[Tensor, list[Tensor]] = {}
        for t in order:
            if t.op is PROJ:
                asked.setdefault(t.inputs[0], []).append(t.attrs["ref"])
        for t in order:
            inputs = [self.new[x] for x in t.inputs]
            if t.op is RECUR:
                self.new[t] = self._recurrence(t, inputs, asked.get(t, []))
            elif t.op is PROJ:
                ref = self.refs[t.inputs[0]][t.attrs["ref"]]
                self.new[t] = proj(inputs[0], ref, t.attrs["via"])
            else:
                self.new[t] = self._named(self.settled(again(t, inputs)), t)

    def settled(self, t: Tensor) -> Tensor:
        """`t`, whose inputs are settled, in its shortest form."""
        while True:
            key = _key(t)
            if key in self.known:
                return self.known[key]
            shorter = self._shorter(t)
            if shorter is None or shorter is t:
                return t if key is None else self.known.setdefault(key, t)
            t = shorter

    def record(self, op: Primitive, *inputs: Tensor, **attrs: Any) -> Tensor:
        return self.settled(bind(op, *inputs, **attrs))

    def number(self, value: Any, shape: Shape, dtype: np.dtype) -> Tensor:
        """A literal, repeated over a shape; the one there is of it."""
        one = self.settled(literal(value, dtype))
        return one if shape == () else self.record(BROADCAST, one, shape=shape)

    def _named(self, found: Tensor, t: Tensor) -> Tensor:
        """A name is kept where what has become of the node has none and is new."""
        if t.name and found.name is None and found.inputs and found not in self.given:
            object.__setattr__(found, "name", t.name)
        return found

    def _shorter(self, t: Tensor) -> Tensor | None:
        if not t.inputs:
            return None
        value = uniform(t)
        if value is not None:
            whole = t.op is BROADCAST and t.inputs[0].op is CONSTANT
            return t if whole else self.number(value, t.shape, t.dtype)
        for rule in _BY_OP.get(t.op, ()):
            bound = matched(rule.pattern, t, {})
            if bound is not None:
                return self._built(rule.result, bound, t)
        for shape_rule in SHAPES.get(t.op, ()):
            found = shape_rule(self, t)
            if found is not None:
                return found
        folded = self._folded(t)
        return folded

    def _built(self, pattern: Any, bound: dict[str, Tensor], like: Tensor) -> Tensor:
        if isinstance(pattern, str):
            return bound[pattern]
        if isinstance(pattern, Op):
            return self.record(
                pattern.op, *(self._built(x, bound, like) for x in pattern.operands)
            )
        return self.number(pattern, like.shape, like.dtype)

    def _folded(self, t: Tensor) -> Tensor | None:
        """An op of ours on nothing but numbers."""
        if t.op.kind != "elementwise" or TABLE.get(t.op.name) is not t.op or not t.size:
            return None
        values = [uniform(x) for x in t.inputs]
        if any(v is None for v in values):
            return None
        with np.errstate(all="ignore"):
            value = t.op.numpy(*map(np.asarray, values), **t.attrs)
        return self.number(np.asarray(value, t.dtype)[()], t.shape, t.dtype)

    def _recurrence(self, r: Tensor, inputs: list[Tensor], asked: list[Tensor]) -> Tensor:
        block, structure, vias = parts_of(r)
        made, self.refs[r] = _simpler(block, tuple(dict.fromkeys(asked)))
        if made is block and all(a is b for a, b in zip(inputs, r.inputs, strict=True)):
            return r
        return recurrence(made, structure, inputs, vias)


def _simpler(block: Block, refs: tuple[Tensor, ...]) -> tuple[Block, dict[Tensor, Tensor]]:
    """A block in its shortest form, and what has become of the tensors that leave it."""
    key = ("simplified", refs)
    if key not in block.cache:
        old = list(dict.fromkeys((*block.outputs, *block.ports.values(), *refs)))
        found = dict(zip(old, simplified(old), strict=True))
        made = block
        if any(a is not b for a, b in found.items()):
            made = Block(
                block.name, block.inputs, tuple(found[t] for t in block.outputs), block.slots,
                {k: found[t] for k, t in block.ports.items()},
            )  # fmt: skip
            made.cache["before"] = block, {b: a for a, b in found.items()}  # for who reads it
        block.cache[key] = made, found
        made.cache["simplified", tuple(dict.fromkeys(found[t] for t in refs))] = (
            made, {t: t for t in found.values()}
        )  # fmt: skip
    return block.cache[key]


def _key(t: Tensor) -> Any:
    """What decides a value; None: itself alone."""
    if t.op is CONSTANT:
        value = uniform(t)
        return None if value is None else ("number", value.tobytes(), t.shape, t.dtype)
    if not t.inputs or t.op in (PROJ, RECUR):
        return None
    return t.op, t.inputs, attributes_key(t), t.shape, t.dtype


# -- patterns --------------------------------------------------------------------------------------

_BY_OP = by_op()
_MULTIPLY, _NEGATIVE = TABLE["multiply"], TABLE["negative"]


def matched(pattern: Any, t: Tensor, bound: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """What the variables of a pattern stand for in `t`; None where it does not fit."""
    if isinstance(pattern, str):
        if pattern in bound:
            return bound if bound[pattern] is t else None
        return {**bound, pattern: t}
    if not isinstance(pattern, Op):
        value = uniform(t)
        same = value is not None and bool(value == pattern)
        return bound if same and (t.dtype.kind == "b") == isinstance(pattern, bool) else None
    if t.op is not pattern.op or len(t.inputs) != len(pattern.operands):
        return None
    orders = permutations(t.inputs) if t.op.name in COMMUTES else (t.inputs,)
    for operands in orders:
        found: dict[str, Tensor] | None = bound
        for part, x in zip(pattern.operands, operands, strict=True):
            found = None if found is None else matched(part, x, found)
        if found is not None:
            return found
    return None


# -- rules of shapes -------------------------------------------------------------------------------


def _terms(work: _Simplifier, t: Tensor) -> Tensor | None:
    """A sum of several without its zeros."""
    if len(t.inputs) < 3:
        return None
    kept = [x for x in t.inputs if (v := uniform(x)) is None or v != 0]
    if len(kept) == len(t.inputs):
        return None
    return kept[0] if len(kept) == 1 else work.record(ADD, *(kept or t.inputs[:1] * 2))


def _factors(work: _Simplifier, t: Tensor) -> Tensor | None:
    """2 * (3 * x) is 6 * x, unless one number shrinks what the other lets overflow."""
    for a, b in permutations(t.inputs):
        c, inner = uniform(a), b
        if c is None or inner.op is not t.op or t.dtype.kind != "f":
            continue
        for k, x in permutations(inner.inputs):
            d = uniform(k)
            if d is None or not (min(abs(c), abs(d)) >= 1 or 0 < max(abs(c), abs(d)) <= 1):
                continue
            product = c * d
            if np.isfinite(product) and product != 0:
                return work.record(t.op, work.number(product, t.shape, t.dtype), x)
    return None


def _plain(work: _Simplifier, t: Tensor) -> Tensor | None:
    """A product with a number other than 0, of which nothing is absorbed, is a product."""
    for k, x in enumerate(t.inputs):
        c = uniform(x)
        if c is not None and np.isfinite(c) and (c != 0 or k == 1):
            return work.record(_MULTIPLY, *t.inputs)
    return None


def _minus(work: _Simplifier, t: Tensor) -> Tensor | None:
    """-(2 * x) and 2 * -x are -2 * x."""
    inner = t.inputs[0] if t.op is _NEGATIVE else t
    if inner.op is not _MULTIPLY or t.dtype.kind != "f":
        return None
    for k, x in permutations(inner.inputs):
        c = uniform(k)
        if c is not None and t is not inner:
            return work.record(_MULTIPLY, work.number(-c, t.shape, t.dtype), x)
        if c is not None and x.op is _NEGATIVE:
            return work.record(_MULTIPLY, work.number(-c, t.shape, t.dtype), x.inputs[0])
    return None


def _cast(work: _Simplifier, t: Tensor) -> Tensor | None:
    x = t.inputs[0]
    if x.dtype == t.dtype:
        return x
    if x.op is ASTYPE and x.inputs[0].dtype == t.dtype:  # there and back through a wider one
        way_there = x.inputs[0].dtype
        same = (x.dtype.kind == "f") == (way_there.kind == "f")
        if same and np.can_cast(way_there, x.dtype, "safe"):
            return x.inputs[0]
    return None


def _reshape(work: _Simplifier, t: Tensor) -> Tensor | None:
    x = t.inputs[0]
    if x.shape == t.shape:
        return x
    return work.record(RESHAPE, x.inputs[0], shape=t.shape) if x.op is RESHAPE else None


def _broadcast(work: _Simplifier, t: Tensor) -> Tensor | None:
    x = t.inputs[0]
    if "own" in t.attrs or "own" in x.attrs:
        return None
    if x.shape == t.shape:
        return x
    if x.op is BROADCAST and x.inputs[0].ndim <= x.ndim:
        return work.record(BROADCAST, x.inputs[0], shape=t.shape)
    if x.op is RESHAPE and _trimmed(x.shape) == _trimmed(x.inputs[0].shape):
        if x.inputs[0].ndim <= t.ndim:
            return work.record(BROADCAST, x.inputs[0], shape=t.shape)
    return None


def _trimmed(shape: Shape) -> Shape:
    """Without the axes of length 1 in front, which broadcasting gives anyway."""
    first = next((k for k, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


def _permute(work: _Simplifier, t: Tensor) -> Tensor | None:
    x, axes = t.inputs[0], t.attrs["axes"]
    if axes == tuple(range(-t.ndim, 0)):
        return x
    if x.op is PERMUTE:
        inner = x.attrs["axes"]
        return work.record(PERMUTE, x.inputs[0], axes=tuple(inner[a] for a in axes))
    if x.op is EINSUM and len(x.attrs["out"]) == x.ndim:
        out = "".join(x.attrs["out"][a] for a in axes)
        return work.record(EINSUM, *x.inputs, subs=x.attrs["subs"], out=out)
    return None


def _slice(work: _Simplifier, t: Tensor) -> Tensor | None:
    same = t.shape == t.inputs[0].shape
    forward = all(step is None or step > 0 for _, _, step in t.attrs["index"])
    return t.inputs[0] if same and forward else None


def _concat(work: _Simplifier, t: Tensor) -> Tensor | None:
    parts = [x for x in t.inputs if x.shape[t.attrs["axis"]]]
    if len(parts) == 1 and parts[0].shape == t.shape:
        return parts[0]
    return None


def _sum(work: _Simplifier, t: Tensor) -> Tensor | None:
    """What is repeated along the axes summed is a multiple; along axes of length 1 it is itself."""
    x, axes = t.inputs[0], t.attrs["axis"]
    if all(x.shape[a] == 1 for a in axes):
        return work.record(RESHAPE, x, shape=t.shape)
    if x.op is not BROADCAST or "own" in x.attrs or not x.size:
        return None
    source = x.inputs[0]
    padded = (1,) * (x.ndim - source.ndim) + source.shape
    if any(padded[a] != 1 for a in axes):
        return None
    times = math.prod(x.shape[a] for a in axes)
    rest = tuple(n for k, n in enumerate(padded) if k - x.ndim not in axes)
    once = work.record(RESHAPE, source, shape=rest)
    if rest != t.shape:
        once = work.record(BROADCAST, once, shape=t.shape)
    return work.record(TABLE["multiply"], work.number(times, t.shape, t.dtype), once)


def _einsum(work: _Simplifier, t: Tensor) -> Tensor | None:
    """Operands read with their axes as they lie."""
    if not any(x.op is PERMUTE and x.name is None for x in t.inputs):
        return None
    inputs, subs = [], []
    for x, sub in zip(t.inputs, t.attrs["subs"], strict=True):
        if x.op is PERMUTE and x.name is None and len(sub) == x.ndim:
            letters = [""] * x.ndim
            for letter, a in zip(sub, x.attrs["axes"], strict=True):
                letters[a] = letter
            x, sub = x.inputs[0], "".join(letters)
        inputs.append(x)
        subs.append(sub)
    return work.record(EINSUM, *inputs, subs=tuple(subs), out=t.attrs["out"])


ShapeRule = Callable[[_Simplifier, Tensor], Tensor | None]
SHAPES: dict[Primitive, tuple[ShapeRule, ...]] = {
    TABLE["absorb"]: (_plain,), ADD: (_terms,), _MULTIPLY: (_factors, _minus),
    _NEGATIVE: (_minus,), ASTYPE: (_cast,),
    RESHAPE: (_reshape,), BROADCAST: (_broadcast,), PERMUTE: (_permute,), SLICE: (_slice,),
    CONCAT: (_concat,), SUM: (_sum,), EINSUM: (_einsum,),
}  # fmt: skip


# -- sums of sums ----------------------------------------------------------------------------------



def _sums(outputs: Sequence[Tensor]) -> list[Tensor]:
    """(x + y) + z, where nobody else reads x + y, as one sum of three: the same additions."""
    order = toposort(outputs)
    readers: dict[Tensor, int] = dict.fromkeys(outputs, 2)
    for t in order:
        for x in t.inputs:
            readers[x] = readers.get(x, 0) + 1
    new: dict[Tensor, Tensor] = {}
    for t in order:
        inputs = [new[x] for x in t.inputs]
        if t.op is ADD:
            first = t.inputs[0]
            if first.op is ADD and readers[first] == 1 and first.name is None:
                inputs = [*inputs[0].inputs, *inputs[1:]]
                new[t] = bind(ADD, *inputs)
                object.__setattr__(new[t], "name", t.name)
                object.__setattr__(new[t], "site", t.site)
                continue
        new[t] = again(t, inputs)
    return [new[t] for t in outputs]
