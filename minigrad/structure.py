"""Structures: which node of a recurrence takes its state from which, as integer arrays.

A `Structure` is a directed acyclic graph over rows 0..n-1.
Edge e carries the state that row `src[e]` sends out of `port[e]` into slot `slot[e]` of `dst[e]`;
a slot receives the sum over its edges.
Chains, batches of ragged chains, forests, grids and lattices differ in these arrays only.
`transpose()` turns every edge around: it is the structure of the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .lazy import lazy
from .ordering import (
    Ints,
    booleans,
    check_ends,
    climb,
    connected,
    flag,
    integers,
    kind_of,
    listed,
    natural,
    sweep,
    whole,
)  # fmt: skip


@dataclass(eq=False, repr=False)
class Structure:
    """Edges between the nodes of a recurrence; made by `chain`, `forest`, `grid` or `edges`.

    n          : number of nodes (rows).
    src, dst   : (E,) the row an edge leaves and the row it enters.
    slot, port : (E,) where it enters and where it leaves; `slots`, `ports` say how many there are.
    level      : (n,) with level[src] < level[dst]: rows of one level may be computed together.
    keep       : (E,) whether a gradient passes back along the edge (False truncates); None: all.
    component  : (n,) which independent part a row belongs to; `components` says how many.
    chunk      : (n,) the levels whose states are dropped together (`chunks`); None: all are kept.
    All arrays hold int64 (`keep` booleans).
    The constructors raise ValueError for what does not fit, TypeError for what is no integers.
    """

    n: int
    src: Ints
    dst: Ints
    slot: Ints
    port: Ints
    level: Ints
    slots: int = 1
    ports: int = 1
    keep: Ints | None = None
    parts: tuple[Ints, int] | None = None  # (component, components), where the constructor knows
    chunk: Ints | None = None

    def __repr__(self) -> str:
        edges, levels = len(self.src), len(self.levels)
        return f"Structure(n={self.n}, edges={edges}, slots={self.slots}, levels={levels})"

    # -- constructors ------------------------------------------------------------------------------

    @staticmethod
    def chain(lengths: int | Sequence[int], reverse: bool = False) -> Structure:
        """Sequences of `lengths` steps (one number, or one per sequence); time ascending in each.

        Rows lie sequence after sequence.
        With `reverse` the state flows from the last step to the first.
        Length 0 is an empty sequence.  Raises ValueError for a negative length.
        """
        given, reverse = integers("chain: lengths", lengths).reshape(-1), flag("chain", reverse)
        if given.size and given.min() < 0:
            raise ValueError(f"chain: a length is negative: {given[given < 0][:4].tolist()}")
        n = int(given.sum())
        sequence = np.repeat(np.arange(len(given)), given)
        first = np.cumsum(given) - given
        time = np.arange(n) - first[sequence]
        later = np.flatnonzero(time > 0)
        src, dst, level = later - 1, later, time
        if reverse:
            src, dst, level = dst, src, given[sequence] - 1 - time
        zero = np.zeros(len(later), np.int64)
        return Structure(n, src, dst, zero, zero, level, parts=(sequence, len(given)))

    @staticmethod
    def forest(children: Sequence[Sequence[int | None]], slots: int | None = None) -> Structure:
        """Trees: children[n] lists the rows of n's children, left to right; slot = position.

        None or -1 leaves a position empty.
        slots : at least this many (default: the largest arity, or 1).

        State flows from the leaves to the roots.
        Raises ValueError for two parents, a cycle, a missing row.
        """
        rows = listed("forest: children must list the rows of each node's children", children)
        n, slots = len(rows), None if slots is None else natural("forest: slots", slots)
        src, dst, slot = [], [], []
        for parent, row in enumerate(rows):
            row = listed(f"forest: children[{parent}] must list rows", row)
            for position, child in enumerate(row):
                if child is not None and not (whole(child) and child == -1):
                    src.append(child)
                    dst.append(parent)
                    slot.append(position)
        s, d = integers("forest: children", src), integers("forest: rows", dst)
        k = integers("forest: slots", slot)
        check_ends("forest", n, s, d)
        twice = np.flatnonzero(np.bincount(s, minlength=n) > 1) if n else s
        if len(twice):
            raise ValueError(
                f"forest: node {twice[0]} has {np.count_nonzero(s == twice[0])} parents "
                f"({d[s == twice[0]][:4].tolist()}); a tree node has one. Use Structure.edges for "
                "a DAG"
            )
        need = int(k.max()) + 1 if len(k) else 1
        if slots is not None and slots < need:
            raise ValueError(f"forest: a node has {need} children but slots={slots}")
        level, root = climb("forest", n, s, d)
        roots = np.flatnonzero(root == np.arange(n))
        number = np.zeros(n, np.int64)
        number[roots] = np.arange(len(roots))
        return Structure(
            n, s, d, k, np.zeros_like(k), level, slots=max(need, slots or 1),
            parts=(number[root], len(roots)),
        )  # fmt: skip

    @staticmethod
    def grid(shape: Sequence[int]) -> Structure:
        """A grid in C order: slot k of a cell holds the state of its neighbour back along axis k.

        Raises ValueError for a shape that is not one or more lengths of at least 0.
        """
        dims = tuple(int(v) for v in integers("grid: shape", shape).reshape(-1))
        if not dims or min(dims) < 0:
            raise ValueError(f"grid: shape must be one or more lengths of at least 0; got {dims}")
        n = int(np.prod(dims))
        rows = np.arange(n).reshape(dims)
        src, dst, slot = [], [], []
        for axis, length in enumerate(dims):
            back = rows.take(range(0, max(length - 1, 0)), axis=axis).ravel()
            src.append(back)
            dst.append(rows.take(range(1, length), axis=axis).ravel())
            slot.append(np.full(len(back), axis))
        s, d, k = np.concatenate(src), np.concatenate(dst), np.concatenate(slot)
        level = np.indices(dims).reshape(len(dims), n).sum(axis=0)
        return Structure(
            n, s, d, k, np.zeros_like(k), level, slots=len(dims),
            parts=(np.zeros(n, np.int64), min(n, 1)),
        )  # fmt: skip

    @staticmethod
    def edges(n: int, source: Any, target: Any, slot: Any = 0) -> Structure:
        """Any DAG over rows 0..n-1: an edge per entry of `source` and `target`; repeats add up.

        slot : one number for all edges, or one per edge.
        Raises ValueError for a cycle, naming its nodes, a missing row, or numbers that do not fit.
        """
        s = integers("edges: source", source).reshape(-1)
        d = integers("edges: target", target).reshape(-1)
        n, k = natural("edges: the number of nodes", n), integers("edges: slot", slot)
        if len(s) != len(d):
            raise ValueError(f"edges: {len(s)} sources but {len(d)} targets")
        if k.ndim and k.shape != s.shape:
            raise ValueError(
                f"edges: {k.size} slots for {len(s)} edges; give one per edge, or a single number"
            )
        k = np.broadcast_to(k.reshape(-1) if k.ndim else k, s.shape).copy()
        if k.size and k.min() < 0:
            raise ValueError(f"edges: slot {k.min()} is negative")
        check_ends("edges", n, s, d)
        single = n and (not len(s) or np.bincount(s, minlength=n).max() <= 1)
        level = climb("edges", n, s, d)[0] if single else sweep("edges", n, s, d)
        return Structure(
            n, s, d, k, np.zeros_like(k), level, slots=int(k.max()) + 1 if k.size else 1
        )

    # -- derived -----------------------------------------------------------------------------------

    def transpose(self) -> Structure:
        """Every edge turned around (source/port and destination/slot exchanged), levels reversed.

        Edges that let no gradient through are left out: this is the structure of the backward pass.
        """
        return self._transposed

    @lazy
    def _transposed(self) -> Structure:
        e = slice(None) if self.keep is None else self.keep
        level = self.level.max() - self.level if self.n else self.level
        return Structure(
            self.n, self.dst[e], self.src[e], self.port[e], self.slot[e], level, slots=self.ports,
            ports=self.slots, parts=(self.component, self.components), chunk=self.chunk,
        )  # fmt: skip

    def truncated(self, keep: Any) -> Structure:
        """The same structure with gradients stopped at the edges where `keep` (E,) is False."""
        mask = booleans("truncated: keep", keep)
        if mask.shape != self.src.shape:
            raise ValueError(
                f"truncated: keep has shape {mask.shape}; there are {len(self.src)} edges"
            )
        return replace(self, keep=mask if self.keep is None else mask & self.keep)

    def with_slots(self, slots: int) -> Structure:
        """The same edges, for a cell with more slots than they use."""
        if natural("with_slots: slots", slots) < self.slots:
            raise ValueError(f"with_slots: the edges need {self.slots} slots; got {slots}")
        return self if slots == self.slots else replace(self, slots=slots)

    def copies(self, count: int) -> Structure:
        """`count` independent copies, copy after copy."""
        count = natural("copies: count", count)
        shift = np.repeat(np.arange(count) * self.n, len(self.src))
        tiled = partial(np.tile, reps=count)
        part = np.repeat(np.arange(count) * self.components, self.n)
        return Structure(
            self.n * count, tiled(self.src) + shift, tiled(self.dst) + shift, tiled(self.slot),
            tiled(self.port), tiled(self.level), slots=self.slots, ports=self.ports,
            keep=None if self.keep is None else tiled(self.keep),
            parts=(tiled(self.component) + part, self.components * count),
        )  # fmt: skip

    @lazy
    def levels(self) -> tuple[Ints, ...]:
        """The rows of each level, in the order in which levels are computed."""
        if not self.n:
            return ()
        order = np.argsort(self.level, kind="stable")
        return tuple(np.split(order, np.cumsum(np.bincount(self.level))[:-1]))

    @lazy
    def wires(self) -> frozenset[tuple[int, int]]:
        """The (port, slot) pairs that some edge joins."""
        codes = np.flatnonzero(np.bincount(self.port * self.slots + self.slot))
        return frozenset((int(c) // self.slots, int(c) % self.slots) for c in codes)

    @lazy
    def kind(self) -> str:
        """What it can be drawn and spoken of as: "chain", "tree", "grid" or "dag" (`kind_of`)."""
        return kind_of(self.n, self.src, self.dst, self.slot, self.slots, self.ports)

    @property
    def component(self) -> Ints:
        return self._parts[0]

    @property
    def components(self) -> int:
        return self._parts[1]

    @lazy
    def _parts(self) -> tuple[Ints, int]:  # weakly connected, numbered by their first row
        if self.parts is not None:
            return self.parts
        label = connected(self.n, self.src, self.dst)
        return label, int(label.max()) + 1 if self.n else 0

    def without_edge(self, slot: int) -> Ints:
        """(n,) which rows receive nothing in `slot`."""
        bare, slot = np.ones(self.n, bool), natural("without_edge: slot", slot)
        bare[self.dst[self.slot == slot]] = False
        return bare

    @lazy
    def sinks(self) -> Ints:
        """The rows whose state no other row takes: last steps, roots."""
        return np.setdiff1d(np.arange(self.n), self.src)


SINGLE = Structure.chain(1)  # a plain call: one node, no edges


def independent(n: int) -> Structure:
    """n nodes without edges: what vmap runs over."""
    none, rows = np.zeros(0, np.int64), np.arange(n)
    return Structure(n, none, none, none, none, np.zeros(n, np.int64), parts=(rows, n))
