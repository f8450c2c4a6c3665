"""Batches: a block whose tensors all have the rows of a batch in front is a block on one row.

A loop over time that carries (B, H) has one node per step, and a matrix at each.  Where every row
of the batch goes its own way, that is B chains of vectors: the same recurrence over B times as many
nodes, which compiles, vectorises and splits over threads as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..graph import CONSTANT, Tensor, placeholder, toposort
from ..ops.broadcast import reshape
from ..ops.rows import ByRow, exit_rule, leads, on_one_row, rest, row_rule, summed_row
from ..recur import ROW, SHARED, Block, Index, Via, proj
from ..structure import Structure


class Batch(NamedTuple):
    """A block on one row of `size`.

    inside: its tensors by those of the block that have the rows, or are a sum over them.
    by_row: those with the rows, and which inputs (all others enter as they are).
    """

    size: int
    block: Block
    inside: dict[Tensor, Tensor]
    by_row: frozenset[Tensor]


def on_rows(block: Block, shared: tuple[bool, ...], refs: tuple[Tensor, ...]) -> Batch | None:
    """The block on one row, where its ports and all `refs` go row by row or add rows up.

    shared: which inputs are the same at every node.
    """
    key = ("on rows", shared, refs)
    if key not in block.cache:
        size = _size(block, shared)
        block.cache[key] = None if size is None else _on_rows(block, shared, refs, size)
    return block.cache[key]


def _size(block: Block, shared: Sequence[bool]) -> int | None:
    """The rows of the batch, by what arrives in slots (where there are none: at each node)."""
    given = [ph for ph, same in zip(block.inputs, shared, strict=True) if not same]
    shapes = [t.shape for t in block.slots.values()] or [t.shape for t in given if t.ndim > 1]
    sizes = {shape[0] if len(shape) > 1 else None for shape in shapes}
    return sizes.pop() if len(sizes) == 1 else None


def _on_rows(
    block: Block, shared: Sequence[bool], refs: tuple[Tensor, ...], n: int
) -> Batch | None:
    slots, same = set(block.slots.values()), dict(zip(block.inputs, shared, strict=True))
    rules: dict[Tensor, ByRow] = {}
    sums = {t: rule for t in refs if (rule := exit_rule(t, n)) is not None}
    stack = [(t, True) for t in (*block.ports.values(), *refs) if t not in sums]
    for t, rule in sums.items():
        stack += zip(t.inputs, rule.by_row, strict=True)
    modes: dict[Tensor, bool] = {}
    while stack:
        t, by_row = stack.pop()
        if t in modes:
            if modes[t] != by_row and t.op is not CONSTANT:
                return None
            continue
        modes[t] = by_row
        if not t.inputs:
            whole = t.op is CONSTANT or t in same and (same[t] or t.ndim < 2)
            if not (any(leads(t.shape, n)) and t.op is not CONSTANT if by_row else whole):
                return None
        elif by_row:
            rule = row_rule(t, n)
            if rule is None:
                return None
            rules[t] = rule
            stack += zip(t.inputs, rule.by_row, strict=True)
        else:
            stack += [(x, False) for x in t.inputs]
    inside: dict[Tensor, Tensor] = {}
    for t in (*block.inputs, *slots):
        if t in slots or modes.get(t, False):
            inside[t] = placeholder(rest(t, n), t.dtype, t.name)
    for t in toposort([*block.ports.values(), *refs]):
        rule, make = (rules[t], on_one_row) if t in rules else (sums.get(t), summed_row)
        if rule is not None:
            pairs = zip(t.inputs, rule.by_row, strict=True)
            inside[t] = make(t, n, [inside[x] if by_row else x for x, by_row in pairs], rule)
    new = Block(
        block.name, tuple(inside.get(t, t) for t in block.inputs), tuple(inside[t] for t in refs),
        {key: inside[t] for key, t in block.slots.items()},
        {key: inside[t] for key, t in block.ports.items()},
    )  # fmt: skip
    return Batch(n, new, inside, frozenset(inside) - frozenset(sums))


class Spread:
    """n nodes with `size` rows each as n * size nodes, row after row; size 0: the nodes as they
    are.  Tensors enter and leave in the shapes that they have at the n nodes."""

    def __init__(self, n: int, size: int):
        self.n, self.size = n, size
        self.node = np.repeat(np.arange(n), max(size, 1))
        self.row = np.tile(np.arange(max(size, 1)), n)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Row numbers of what has a row per node, as those of its rows (-1: none)."""
        at = np.asarray(numbers, np.int64)[self.node]
        return np.where(at < 0, -1, at * self.size + self.row) if self.size else at

    def structure(self, s: Structure) -> Structure:
        if not self.size:
            return s

        def each(ends: np.ndarray) -> np.ndarray:
            return (ends[:, None] * self.size + np.arange(self.size)).reshape(-1)

        slot, port = (np.repeat(a, self.size) for a in (s.slot, s.port))
        parts = s.component[self.node] * self.size + self.row, s.components * self.size
        keep = None if s.keep is None else np.repeat(s.keep, self.size)
        return Structure(
            self.n * self.size, each(s.src), each(s.dst), slot, port, s.level[self.node],
            s.slots, s.ports, keep, parts,
        )  # fmt: skip

    def via(self, via: Via, by_row: bool) -> Via:
        """How an argument enters, or a result leaves, that does so by `via` at the n nodes."""
        if not self.size or (via is ROW and by_row) or (via is SHARED and not by_row):
            return via
        if via is SHARED:
            return Index(self.row, self.size)
        at, size = (np.arange(self.n), self.n) if via is ROW else (via.rows, via.size)
        return Index(self.rows(at), size * self.size) if by_row else Index(at[self.node], size)

    def given(self, x: Tensor, via: Via, by_row: bool, shape: tuple[int, ...]) -> Tensor:
        """The argument as it enters; shape: at one row."""
        if not self.size or not by_row:
            return x
        return reshape(x, (self.size if via is SHARED else len(x) * self.size, *shape))

    def left(self, r: Tensor, ref: Tensor, via: Via, by_row: bool, shape: tuple) -> Tensor:
        """A result in its shape at the n nodes; shape: at one of them."""
        found = proj(r, ref, self.via(via, by_row))
        return reshape(found, via.shape(self.n, shape)) if by_row and self.size else found
