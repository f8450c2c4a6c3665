"""What several products or sums of products have in common, computed once.

The last step of `simplify`: it looks at a graph as a whole, where a rule sees one expression.

blocks  : A x + B y + C z as one product of joined operands, [A B C] [x y z];
          gives up the last digit.
factors : of a * b * c * d and a * c the part a * c once; gives up the last digit,
          and what overflows or vanishes on the way, before the whole product is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import combinations
from typing import Any

from ..graph import Tensor, bind, toposort
from ..ops.contract import EINSUM
from ..ops.elementwise import ADD
from ..ops.movement import CONCAT
from ..ops.table import TABLE, uniform
from .regions import again

MULTIPLY = TABLE["multiply"]


def readers_of(outputs: Sequence[Tensor], order: Sequence[Tensor]) -> Counter[Tensor]:
    """How often each node is read; an output once more."""
    found = Counter(outputs)
    for t in order:
        found.update(t.inputs)
    return found


def _rebuilt(outputs: Sequence[Tensor], made: Callable[[Tensor, dict], Tensor | None]) -> list:
    """The outputs with every node as `made(node, what those before have become)`; None: again."""
    new: dict[Tensor, Tensor] = {}
    for t in toposort(outputs):
        found = made(t, new)
        if found is None:
            found = again(t, [new[x] for x in t.inputs])
        elif found is not t:
            object.__setattr__(found, "name", t.name)
            object.__setattr__(found, "site", t.site)
        new[t] = found
    return [new[t] for t in outputs]


# -- sums of products ------------------------------------------------------------------------------


def blocks(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Sums of products that differ in their operands alone, each as one product, where that is
    shorter."""
    order = toposort(outputs)
    readers = readers_of(outputs, order)
    joined: dict[Any, Tensor] = {}

    def made(t: Tensor, new: dict[Tensor, Tensor]) -> Tensor | None:
        if t.op is not ADD or len(t.inputs) < 3:
            return None
        groups: dict[Any, list[Tensor]] = {}
        for x in t.inputs:
            if x.op is EINSUM and readers[x] == 1 and x.name is None and _along(x):
                axes = _along(x)
                shapes = [_but(y.shape, a) for y, a in zip(x.inputs, axes, strict=True)]
                groups.setdefault((x.attrs["subs"], x.attrs["out"], *shapes), []).append(x)
        terms = list(t.inputs)
        for group in groups.values():
            keys = [
                (a, *(id(new[x.inputs[k]]) for x in group)) for k, a in enumerate(_along(group[0]))
            ]
            fresh = sum(key not in joined for key in keys)
            rest = len(terms) - len(group)
            if 1 + fresh >= len(group) + (rest == 0):
                continue
            parts = []
            for k, key in enumerate(keys):
                if key not in joined:
                    xs = [new[x.inputs[k]] for x in group]
                    joined[key] = bind(CONCAT, *xs, axis=key[0])
                parts.append(joined[key])
            whole = bind(EINSUM, *parts, **group[0].attrs)
            first = next(k for k, x in enumerate(terms) if x is group[0])
            gone = set(group)
            terms = [*terms[:first], whole, *(x for x in terms[first:] if x not in gone)]
        if len(terms) == len(t.inputs):
            return None
        terms = [new.get(x, x) for x in terms]
        return terms[0] if len(terms) == 1 else bind(ADD, *terms)

    return _rebuilt(outputs, made)


def _along(x: Tensor) -> tuple[int, ...]:
    """The axes of both operands that a product sums over, if it is one such pair; else ()."""
    subs, out = x.attrs["subs"], x.attrs["out"]
    if len(subs) != 2 or any(len(set(s)) < len(s) for s in subs):
        return ()
    inner = [c for c in subs[0] if c in subs[1] and c not in out]
    if len(inner) != 1:
        return ()
    return tuple(s.index(inner[0]) - len(s) for s in subs)


def _but(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[len(shape) + axis + 1 :]


# -- products --------------------------------------------------------------------------------------


def factors(outputs: list[Tensor]) -> list[Tensor]:
    """Pairs of factors that stand in several products are multiplied once."""
    order = toposort(outputs)
    readers = readers_of(outputs, order)
    products = {t: _flat(t, readers) for t in order if _is_product(t)}
    inner = {x for t in products for x in t.inputs if _within(x, t, readers)}
    roots = {t: some for t, some in products.items() if t not in inner}
    pairs: dict[Any, tuple[Any, ...]] = {}  # a pair multiplied, by its own token
    changed: set[Tensor] = set()
    held = {frozenset(some): t for t, some in roots.items() if len(_once(some)) == len(some) == 2}
    table = _PairsOfFactors(roots)
    while (best := table.best()) is not None:
        token: Any = held.get(best)
        if token is None:
            token = object()
            pairs[token] = table.ordered(best)
        for t in list(table.where[best]):
            if t is not token:
                some = roots[t]
                left = [x for x in some if x not in best]
                left.insert(min(k for k, x in enumerate(some) if x in best), token)
                table.change(t, left)
                changed.add(t)
    if not changed:
        return outputs
    made_of: dict[Any, Tensor] = {}

    def value(token: Any, new: dict[Tensor, Tensor]) -> Tensor:
        waiting = [token]
        while waiting:
            k = waiting[-1]
            if isinstance(k, Tensor) or k in made_of:
                waiting.pop()
                continue
            missing = [x for x in pairs[k] if not isinstance(x, Tensor) and x not in made_of]
            if missing:
                waiting += missing
                continue
            a, b = (new[x] if isinstance(x, Tensor) else made_of[x] for x in pairs[k])
            made_of[k] = bind(MULTIPLY, a, b)
        return new[token] if isinstance(token, Tensor) else made_of[token]

    def made(t: Tensor, new: dict[Tensor, Tensor]) -> Tensor | None:
        if t not in changed:
            return None
        first, *others = (value(x, new) for x in roots[t])
        for x in others:
            first = bind(MULTIPLY, first, x)
        return first

    return _rebuilt_by(outputs, made, roots, changed, pairs)


class _PairsOfFactors:
    """Which products have which pairs of factors; the most frequent pair first."""

    def __init__(self, roots: dict[Tensor, list[Any]]) -> None:
        self.roots = roots
        self.where: dict[frozenset[Any], dict[Tensor, None]] = {}
        self.heap: list[tuple[int, int, frozenset[Any]]] = []
        self.number: dict[frozenset[Any], int] = {}
        for t in roots:
            self._enter(t)

    def _enter(self, t: Tensor) -> None:
        for pair in _pairs(self.roots[t]):
            here = self.where.setdefault(pair, {})
            here[t] = None
            if len(here) > 1:
                number = self.number.setdefault(pair, len(self.number))
                heappush(self.heap, (-len(here), number, pair))

    def change(self, t: Tensor, some: list[Any]) -> None:
        for pair in _pairs(self.roots[t]):
            self.where[pair].pop(t)
        self.roots[t] = some
        self._enter(t)

    def best(self) -> frozenset[Any] | None:
        """Of at least two products."""
        while self.heap:
            count, number, pair = heappop(self.heap)
            now = len(self.where[pair])
            if now == -count:
                return pair
            if now > 1:
                heappush(self.heap, (-now, number, pair))
        return None

    def ordered(self, pair: frozenset[Any]) -> tuple[Any, ...]:
        return tuple(x for x in self.roots[next(iter(self.where[pair]))] if x in pair)


def _is_product(t: Tensor) -> bool:
    return t.op is MULTIPLY and t.dtype.kind == "f" and all(uniform(x) is None for x in t.inputs)


def _within(x: Tensor, t: Tensor, readers: Counter[Tensor]) -> bool:
    """Whether a factor is a product that only this one reads."""
    return _is_product(x) and x.name is None and readers[x] == 1


def _flat(t: Tensor, readers: Counter[Tensor]) -> list[Any]:
    found: list[Any] = []
    waiting = [*t.inputs[::-1]]
    while waiting:
        x = waiting.pop()
        if _within(x, t, readers):
            waiting += x.inputs[::-1]
        else:
            found.append(x)
    return found


def _pairs(some: Sequence[Any]) -> Iterator[frozenset[Any]]:
    """Of different factors that stand once."""
    once = _once(some)
    for a, b in combinations([x for x in some if x in once][:12], 2):
        yield frozenset((a, b))


def _once(some: Sequence[Any]) -> set[Any]:
    """The factors that stand once."""
    return {x for x, n in Counter(some).items() if n == 1}


def _rebuilt_by(
    outputs: Sequence[Tensor], made: Any, roots: dict[Tensor, list[Any]], changed: set[Tensor],
    pairs: dict[Any, tuple[Any, ...]],
) -> list[Tensor]:  # fmt: skip
    """In an order in which factors, and products that now read others, come after those."""
    needs: dict[Tensor, list[Tensor]] = {}
    for t in changed:
        waiting, found = list(roots[t]), []
        while waiting:
            x = waiting.pop()
            if isinstance(x, Tensor):
                found.append(x)
            else:
                waiting += pairs[x]
        needs[t] = found
    new: dict[Tensor, Tensor] = {}
    stack = list(outputs)[::-1]
    while stack:
        t = stack[-1]
        if t in new:
            stack.pop()
            continue
        inputs = needs.get(t, t.inputs)
        missing = [x for x in inputs if x not in new]
        if missing:
            stack += missing[::-1]
            continue
        one = made(t, new)
        if one is None:
            one = again(t, [new[x] for x in t.inputs])
        elif len(roots[t]) > 1:
            object.__setattr__(one, "name", t.name)
            object.__setattr__(one, "site", t.site)
        new[t] = one
        stack.pop()
    return [new[t] for t in outputs]
