"""Fusion: two recurrences over the same rows, one feeding the other row by row, are one.

The law holds where one of the two has no edges: a map over rows before a recurrence is the part of
its block that no state reaches (its *pre* stage), a map behind it the part that no state needs (its
*post* stage).  So head and loss become part of a net, and the loss's derivative of its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..chunks import cut
from ..graph import Tensor, constant, placeholder, rebuild, toposort
from ..recur import PROJ, RECUR, ROW, Block, Key, Via, proj, recurrence


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
        feeding = dict.fromkeys(x.inputs[0] for x in _read_by_row(b))
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
    same = a.attrs["structure"].n == b.attrs["structure"].n
    return same and not (_has_edges(a) and _has_edges(b))


def _pairs(r: Tensor) -> list[tuple[Tensor, Via]]:
    return list(zip(r.inputs, r.attrs["vias"], strict=True))


def _read_by_row(r: Tensor) -> list[Tensor]:
    return [x for x, via in _pairs(r) if via is ROW and x.op is PROJ and x.attrs["via"] is ROW]


def _is_row_of(x: Tensor, r: Tensor) -> bool:
    return x.op is PROJ and x.inputs[0] is r and x.attrs["via"] is ROW


def _fused(outputs: Sequence[Tensor], a: Tensor, b: Tensor) -> list[Tensor]:
    """The graph with `b` made part of `a`: its block reads a's interior tensors in place."""
    first, second = a.attrs["block"], b.attrs["block"]
    order = toposort(outputs)
    read = {r: [t for t in order if t.op is PROJ and t.inputs[0] is r] for r in (a, b)}
    fed = [x.attrs["ref"] for x in _read_by_row(b) if x.inputs[0] is a]
    inside = _again(a, [*(p.attrs["ref"] for p in read[a]), *fed], _unfed(a))
    inputs, args = list(first.inputs), _pairs(a)
    swap = _unfed(b)
    slots = {k: placeholder(ph.shape, ph.dtype, ph.name) for k, ph in _slots(b).items()}
    swap.update((second.slots[k], ph) for k, ph in slots.items())
    for ph, (x, via) in zip(second.inputs, _pairs(b), strict=True):
        known = next((k for k, (y, v) in enumerate(args) if y is x and v is via), None)
        if via is ROW and _is_row_of(x, a):
            swap[ph] = inside[x.attrs["ref"]]
        elif known is not None:
            swap[ph] = inputs[known]
        else:  # a fresh one: both may be recurrences over one block
            swap[ph] = placeholder(ph.shape, ph.dtype, ph.name)
            swap[ph].attrs.update(ph.attrs)
            inputs.append(swap[ph])
            args.append((x, via))
    added = _again(b, [p.attrs["ref"] for p in read[b]], swap)
    names = dict.fromkeys((*first.name.split(" + "), *second.name.split(" + ")))
    block = Block(
        " + ".join(names), tuple(inputs),
        tuple(dict.fromkeys(
            made[p.attrs["ref"]] for r, made in ((a, inside), (b, added)) for p in read[r]
        )),
        {**_slots(a), **slots},
        {**{k: inside[t] for k, t in _ports(a).items()},
         **{k: added[t] for k, t in _ports(b).items()}},
    )  # fmt: skip
    last = _has_edges(b) or (cut(b.attrs["structure"]) and not _has_edges(a))
    structure = (b if last else a).attrs["structure"]
    r = recurrence(block, structure, [x for x, _ in args], [via for _, via in args])
    new = {
        p: proj(r, made[p.attrs["ref"]], p.attrs["via"])
        for old, made in ((a, inside), (b, added)) for p in read[old]
    }  # fmt: skip
    return rebuild(outputs, new)


def _again(r: Tensor, refs: Sequence[Tensor], swap: dict[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """Interior tensors of a recurrence's block, its ports among them, with some exchanged."""
    roots = [*refs, *_ports(r).values()]
    return dict(zip(roots, rebuild(roots, swap), strict=True))


def _has_edges(r: Tensor) -> bool:
    return len(r.attrs["structure"].src) > 0


def _slots(r: Tensor) -> dict[Key, Tensor]:
    return r.attrs["block"].slots if _has_edges(r) else {}


def _ports(r: Tensor) -> dict[Key, Tensor]:
    return r.attrs["block"].ports if _has_edges(r) else {}


def _unfed(r: Tensor) -> dict[Tensor, Tensor]:
    """Without edges nothing arrives: zeros for the block's slots."""
    slots = {} if _has_edges(r) else r.attrs["block"].slots
    return {ph: constant(np.zeros(ph.shape, ph.dtype)) for ph in slots.values()}
