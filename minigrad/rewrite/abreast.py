"""Sums that are alike, side by side: x A + a and x B + b as the parts of x [A B] + [a b].

A step of `simplify`, after `blocks`: the gates of a cell read one state by matrices of their own,
which gradients have joined already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph import Tensor, bind, toposort
from ..ops.contract import EINSUM
from ..ops.elementwise import ADD
from ..ops.movement import CONCAT, part
from ..ops.table import TABLE
from .regions import again
from .sharing import readers_of

Term = tuple[str, Any, int]  # of a sum: how it is joined, by what it is like others, which operand


def abreast(outputs: list[Tensor]) -> list[Tensor]:
    """Groups of sums of products, alike but for one operand of each, as one sum, where that is
    shorter; the list itself where none is.

    Only sums that all the same outputs have derivatives by: then a cotangent of one comes with
    those of the others, and none is made of zeros, which times an infinite matrix are NaN.
    Gives up the last digit.
    """
    order = toposort(outputs)
    readers = readers_of(outputs, order)
    terms = {t: found for t in order if (found := _terms(t, readers))}
    if len(terms) < 3:
        return outputs
    level: dict[Tensor, int] = {}
    for t in order:
        level[t] = 1 + max((level[x] for x in t.inputs), default=0)
    reach = _reached(outputs, order)
    alike: dict[Any, list[Tensor]] = {}
    for t, some in terms.items():  # of one level, none depends on another
        key = t.shape[:-1], t.dtype, level[t], reach[t], tuple(x[:2] for x in some)
        alike.setdefault(key, []).append(t)
    joined = {(t.attrs["axis"], frozenset(t.inputs)): t for t in order if t.op is CONCAT}
    groups: dict[Tensor, tuple[list[Tensor], list[list[Tensor]]]] = {}
    for group in alike.values():
        group = _as_joined(group, terms, joined)
        parts = [[_operand(t, k, terms) for t in group] for k in range(len(terms[group[0]]))]
        axes = [_axis(x) for x in terms[group[0]]]
        products = sum(x[0] == "product" for x in terms[group[0]])
        there = [joined.get((a, frozenset(p))) for a, p in zip(axes, parts, strict=True)]
        fresh = sum(t is None or not _are(t.inputs, p) for t, p in zip(there, parts, strict=True))
        if products and products + fresh + 1 < len(group) * products:
            groups.update(dict.fromkeys(group, (group, parts)))
    return _with(outputs, groups, terms, joined) if groups else outputs


def _terms(t: Tensor, readers: Any) -> list[Term]:
    """How the terms of a sum could be joined with those of others, along its last axis."""
    if t.op is not ADD or t.dtype.kind != "f" or not t.ndim or not t.size:
        return []
    found: list[Term] = []
    for x in t.inputs:
        k = _apart(x) if x.op is EINSUM and readers[x] == 1 and x.name is None else None
        if k is None:
            found.append(("term", None, 0))
            continue
        subs, out = x.attrs["subs"], x.attrs["out"]
        axis = subs[k].index(out[-1]) - len(subs[k])
        other = x.inputs[1 - k]
        shape = x.inputs[k].shape
        rest = shape[:axis] + shape[len(shape) + axis + 1 :]
        found.append(("product", (k, axis, subs, out, id(other), rest), k))
    return found


def _apart(x: Tensor) -> int | None:
    """Of a product of two the operand that alone has the last axis of the result."""
    subs, out = x.attrs["subs"], x.attrs["out"]
    if len(subs) != 2 or not out or any(len(set(s)) < len(s) for s in (*subs, out)):
        return None
    have = [k for k in (0, 1) if out[-1] in subs[k]]
    return have[0] if len(have) == 1 else None


def _axis(term: Term) -> int:
    return term[1][1] if term[0] == "product" else -1


def _operand(t: Tensor, k: int, terms: dict[Tensor, list[Term]]) -> Tensor:
    kind, _, which = terms[t][k]
    return t.inputs[k].inputs[which] if kind == "product" else t.inputs[k]


def _as_joined(
    group: list[Tensor], terms: dict[Tensor, list[Term]], joined: dict[Any, Tensor]
) -> list[Tensor]:
    """A group in the order in which operands of it are joined already."""
    for k, term in enumerate(terms[group[0]]):
        place = {_operand(t, k, terms): t for t in group}
        there = joined.get((_axis(term), frozenset(place)))
        if there is not None and len(place) == len(group) == len(there.inputs):
            return [place[x] for x in there.inputs]
    return group


def _are(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _reached(outputs: Sequence[Tensor], order: Sequence[Tensor]) -> dict[Tensor, int]:
    """The outputs that have derivatives by each node, as bits."""
    found = dict.fromkeys(order, 0)
    for k, t in enumerate(outputs):
        found[t] |= 1 << k
    for t in reversed(order):
        if t.op.vjp is not None and t.dtype.kind == "f" and t.op is not TABLE["stop_gradient"]:
            for x in t.inputs:
                found[x] |= found[t]
    return found


def _with(
    outputs: list[Tensor], groups: dict[Tensor, tuple[list[Tensor], list[list[Tensor]]]],
    terms: dict[Tensor, list[Term]], joined: dict[Any, Tensor],
) -> list[Tensor]:  # fmt: skip
    new: dict[Tensor, Tensor] = {}
    made: dict[Any, Tensor] = {}
    sums: dict[Tensor, Tensor] = {}  # by the first of a group

    def whole(axis: int, some: list[Tensor]) -> Tensor:
        there = joined.get((axis, frozenset(some)))
        if there is not None and _are(there.inputs, some) and there in new:
            return new[there]
        key = axis, *some
        if key not in made:
            made[key] = bind(CONCAT, *(new[x] for x in some), axis=axis)
        return made[key]

    def side_by_side(group: list[Tensor], parts: list[list[Tensor]]) -> Tensor:
        total = []
        for k, term in enumerate(terms[group[0]]):
            one = whole(_axis(term), parts[k])
            if term[0] == "product":
                x = group[0].inputs[k]
                operands = [new[x.inputs[0]], new[x.inputs[1]]]
                operands[term[2]] = one
                one = bind(EINSUM, *operands, **x.attrs)
            total.append(one)
        return bind(ADD, *total)

    waiting = list(outputs)[::-1]
    while waiting:
        t = waiting[-1]
        if t in new:
            waiting.pop()
            continue
        group, parts = groups.get(t, ([], []))
        inputs = t.inputs
        if group:
            others = [y for x in group[0].inputs if x.op is EINSUM for y in x.inputs]
            there = [joined.get((_axis(x), frozenset(p)))
                     for x, p in zip(terms[group[0]], parts, strict=True)]  # fmt: skip
            inputs = (*others, *(x for p in parts for x in p), *(x for x in there if x is not None))
        missing = [x for x in inputs if x not in new]
        if missing:
            waiting += missing[::-1]
            continue
        if not group:
            new[t] = again(t, [new[x] for x in t.inputs])
        else:
            if group[0] not in sums:
                sums[group[0]] = side_by_side(group, parts)
            first = next(k for k, x in enumerate(group) if x is t)
            start = sum(x.shape[-1] for x in group[:first])
            one = part(sums[group[0]], -1, start, start + t.shape[-1])
            object.__setattr__(one, "name", t.name)
            object.__setattr__(one, "site", t.site)
            new[t] = one
        waiting.pop()
    return [new[t] for t in outputs]
