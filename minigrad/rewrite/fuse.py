"""Fusion: two recurrences over the same rows, one feeding the other row by row, are one.

The law holds where one of the two has no edges: a map over rows before a recurrence is the part of
its block that no state reaches (its *pre* stage), a map behind it the part that no state needs (its
*post* stage).  So head and loss become part of a net, and the loss's derivative of its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Tensor, rebuild, toposort
from ..recur import PROJ, RECUR, ROW, Block, Via, proj, recurrence


def fuse(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, with every pair that the law allows made one, until none is left."""
    found = list(outputs)
    while (pair := _pair(found)) is not None:
        found = _fused(found, *pair)
    return found


def _pair(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
    """A recurrence and one that reads it row by row, and not by any other way."""
    order = toposort(outputs)
    number = {t: k for k, t in enumerate(t for t in order if t.op is RECUR)}
    above: dict[Tensor, int] = {}  # the recurrences that a tensor depends on, as bits
    for t in order:
        bits = 1 << number[t] if t in number else 0
        for x in t.inputs:
            bits |= above[x]
        above[t] = bits
    for b in number:
        feeding = {x.inputs[0] for x in _read_by_row(b)}
        for a in feeding:
            if not _alike(a, b):
                continue
            others = [x for x in b.inputs if not _is_row_of(x, a)]
            others += [x for x, via in _pairs(b) if _is_row_of(x, a) and via is not ROW]
            if not any(above[x] >> number[a] & 1 for x in others):
                return a, b
    return None


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two recurrences have the same rows and at most one of them edges."""
    s, t = a.attrs["structure"], b.attrs["structure"]
    return s.n == t.n and not (len(s.src) and len(t.src))


def _pairs(r: Tensor) -> list[tuple[Tensor, Via]]:
    return list(zip(r.inputs, r.attrs["vias"], strict=True))


def _read_by_row(r: Tensor) -> list[Tensor]:
    return [x for x, via in _pairs(r) if via is ROW and x.op is PROJ and x.attrs["via"] is ROW]


def _is_row_of(x: Tensor, r: Tensor) -> bool:
    return x.op is PROJ and x.inputs[0] is r and x.attrs["via"] is ROW


def _fused(outputs: Sequence[Tensor], a: Tensor, b: Tensor) -> list[Tensor]:
    """The graph with `b` made part of `a`: its block reads a's interior tensors in place."""
    first, second = a.attrs["block"], b.attrs["block"]
    inputs, args = list(first.inputs), _pairs(a)
    swap: dict[Tensor, Tensor] = {}
    for ph, (x, via) in zip(second.inputs, _pairs(b), strict=True):
        known = next((k for k, (y, v) in enumerate(args) if y is x and v is via), None)
        if via is ROW and _is_row_of(x, a):
            swap[ph] = x.attrs["ref"]
        elif known is not None:
            swap[ph] = inputs[known]
        else:
            inputs.append(ph)
            args.append((x, via))
    read = [t for t in toposort(outputs) if t.op is PROJ and t.inputs[0] is b]
    roots = [*second.outputs, *second.ports.values(), *(p.attrs["ref"] for p in read)]
    fresh = dict(zip(roots, rebuild(roots, swap), strict=True))
    block = Block(
        " + ".join(dict.fromkeys((*first.name.split(" + "), *second.name.split(" + ")))),
        tuple(inputs), (*first.outputs, *(fresh[t] for t in second.outputs)),
        {**first.slots, **second.slots},
        {**first.ports, **{key: fresh[t] for key, t in second.ports.items()}},
    )  # fmt: skip
    structure = (a if len(a.attrs["structure"].src) else b).attrs["structure"]
    r = recurrence(block, structure, [x for x, _ in args], [via for _, via in args])
    new = {p: proj(r, fresh[p.attrs["ref"]], p.attrs["via"]) for p in read}
    for p in toposort(outputs):
        if p.op is PROJ and p.inputs[0] is a:
            new[p] = proj(r, p.attrs["ref"], p.attrs["via"])
    return rebuild(outputs, new)


