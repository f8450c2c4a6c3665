"""Expressions by number: equal ones, written alike, have the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor, toposort
from ..recur import PROJ, RECUR, Block, Via, parts_of
from ..structure import Structure
from .merge import attributes_key


def numbered(
    order: Sequence[Tensor], shared: set[Tensor], book: dict[Any, int],
    given: dict[Tensor, Any] | None = None,
) -> dict[Tensor, int]:  # fmt: skip
    """The number of each node's expression in the `book`, of which equal ones have the same.

    given : keys of placeholders that mean something by their place.
    """
    found: dict[Tensor, int] = {}
    insides: dict[Tensor, dict[Tensor, int]] = {}  # of each recurrence: its block's
    free = 0
    for t in order:
        key: Any
        inputs = tuple(found[x] for x in t.inputs)
        if t in shared and not t.inputs and "literal" not in t.attrs:  # a number is its value
            key = "itself", id(t)
        elif given and t in given:
            key = given[t]
        elif t.op is INPUT:
            key, free = ("free", free, t.shape, t.dtype), free + 1
        elif t.op is CONSTANT:
            key = "value", np.asarray(t._value).tobytes(), t.shape, t.dtype
        elif t.op is RECUR:
            block, structure, vias = parts_of(t)
            made, insides[t] = _block_key(block, shared, book)
            key = "recur", inputs, made, _structure_key(structure), tuple(map(_via_key, vias))
        elif t.op is PROJ:
            r, via = t.inputs[0], t.attrs["via"]
            key = "proj", inputs, insides[r][t.attrs["ref"]], _via_key(via)
        else:
            key = t.op, inputs, attributes_key(t), t.shape, t.dtype
        found[t] = book.setdefault(key, len(book))
    return found


def _block_key(
    block: Block, shared: set[Tensor], book: dict[Any, int]
) -> tuple[Any, dict[Tensor, int]]:
    """Its arguments and slots mean something by their place; the rest is an expression of them."""
    given: dict[Tensor, Any] = {}
    for k, ph in enumerate(block.inputs):
        given.setdefault(ph, ("argument", k, ph.shape, ph.dtype))
    for place, ph in block.slots.items():
        given.setdefault(ph, ("slot", place, ph.shape, ph.dtype))
    order = toposort([*given, *block.outputs, *block.ports.values()])
    found = _Inside(numbered(order, shared, book, given))
    found.more = lambda t: numbered(toposort([*given, t]), shared, book, given)[t]
    ports = tuple(sorted((place, found[t]) for place, t in block.ports.items()))
    return (len(block.inputs), tuple(sorted(block.slots)), ports), found


class _Inside(dict[Tensor, int]):
    """The tensors of a block; one that no output or port depends on is looked up when asked."""

    more: Any

    def __missing__(self, t: Tensor) -> int:
        self[t] = self.more(t)
        return self[t]


def _via_key(via: Via) -> Any:
    return via.kind if via.rows is None else (via.kind, via.rows.tobytes(), via.size)


def _structure_key(s: Structure) -> Any:
    arrays = (s.src, s.dst, s.slot, s.port, s.level, s.keep, s.chunk)
    return s.n, s.slots, s.ports, *(None if a is None else a.tobytes() for a in arrays)
