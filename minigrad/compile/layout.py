"""How a structure lies in memory: rows' order, threads' ranges of levels, where states come from.

Rows are kept level after level, sequences or trees in order within a level,
so that a thread's part of a level is one range.
A structure and its transpose share one order
(so nothing is moved between forward and backward),
and where the user's rows are level after level already, that order is the user's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..chunks import Piece
from ..structure import Structure

SMALL = 2**15  # levels that are sorted as short integers, digit by digit


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Edges into one slot, row by row.

    Edge e of row r, first[r] <= e < first[r + 1], comes from row source[e] and port[e].
    shift : the source of row r is r - shift, from port 0, for all rows but `shift` first ones.
    """

    first: np.ndarray
    source: np.ndarray
    port: np.ndarray
    shift: int | None


class Layout:
    """order     : the user's row at each place (None: the same).
    ranges    : (levels, 2) first and last place of each level in the order of execution.
    component : of each place.
    ghosts    : of a chunk, where the states of other chunks lie: places before the first, or after
                the last, from `ghosts_at` on.
    """

    def __init__(self, s: Structure, piece: Piece | None = None):
        self.n, self.components = s.n, s.components
        count = np.bincount(s.level) if s.n else np.zeros(0, np.int64)
        order, upward = _in_order(s)
        stop = np.cumsum(count if upward else count[::-1])
        ranges = np.stack([stop - (count if upward else count[::-1]), stop], axis=1)
        self.ranges = np.ascontiguousarray(ranges if upward else ranges[::-1], np.int64)
        self.order = None if np.array_equal(order, np.arange(s.n)) else order
        self.place = np.empty(s.n, np.int64)
        self.place[order] = np.arange(s.n)
        self.component = s.component[order]
        self.key = order.tobytes() if self.order is not None else b""
        self.ghosts = 0 if piece is None else piece.ghosts
        self.ghosts_at = -self.ghosts if upward else s.n
        dst, src = (s.dst, s.src)
        if piece is not None:
            dst = np.concatenate([dst, piece.dst])
            src = np.concatenate([src, np.arange(s.n)[piece.sending]])
        self.slots = {slot: self._arrivals(s, slot, piece) for slot in range(s.slots)}
        self.bare, self.silent = (self._untouched(s, ends) for ends in (dst, src))
        self._parts: dict[int, list[np.ndarray]] = {}

    def _untouched(self, s: Structure, ends: np.ndarray) -> np.ndarray:
        """(levels,) 1 where no row of the level is among the ends of edges."""
        level = s.level[ends]
        return (np.bincount(level, minlength=len(self.ranges)) == 0).astype(np.int64)

    def _arrivals(self, s: Structure, slot: int, piece: Piece | None) -> Arrivals:
        mine = np.flatnonzero(s.slot == slot)
        to, source, port = self.place[s.dst[mine]], self.place[s.src[mine]], s.port[mine]
        if piece is not None:
            enter = np.flatnonzero(piece.slot == slot)
            to = np.concatenate([to, self.place[piece.dst[enter]]])
            source = np.concatenate([source, piece.ghost[enter] + self.ghosts_at])
            port = np.concatenate([port, piece.port[enter]])
        count = np.bincount(to, minlength=s.n)
        first = np.concatenate([[0], np.cumsum(count)])
        single = count.max(initial=0) <= 1  # at most one edge into each row
        if single:
            order = np.full(s.n, -1)
            order[to] = np.arange(len(to))
            order = order[order >= 0]
        else:
            order = np.lexsort((source, to))
        to, source, port = to[order], source[order], port[order]
        shift = None
        if len(to) and single and not port.any():
            step = int(to[0] - source[0])
            low, high = min(self.ghosts_at, 0), max(self.ghosts_at + self.ghosts, s.n)
            reading = min(s.n, high + step) - max(0, low + step)
            if (to - source == step).all() and len(to) == reading:
                shift = step
        if s.n and not len(to):
            shift = s.n + self.ghosts  # no edges at all: everything reads zeros, past any ghosts
        return Arrivals(first, np.ascontiguousarray(source), np.ascontiguousarray(port), shift)

    def parts(self, count: int) -> list[np.ndarray]:
        """`ranges` for each of `count` threads: whole components, about as many rows each."""
        count = max(1, min(count, self.components))
        if count not in self._parts:
            if count == 1:
                self._parts[1] = [self.ranges]
            else:
                sizes = np.cumsum(np.bincount(self.component, minlength=self.components))
                cuts = np.searchsorted(sizes, self.n * np.arange(1, count) / count) + 1
                bounds = [0, *cuts.tolist(), self.components]
                self._parts[count] = [
                    self._within(lo, hi) for lo, hi in zip(bounds, bounds[1:], strict=False)
                ]
        return self._parts[count]

    def _within(self, low: int, high: int) -> np.ndarray:
        before = np.concatenate([[0], np.cumsum(self.component < low)])
        inside = np.concatenate([[0], np.cumsum((self.component >= low) & (self.component < high))])
        a, b = self.ranges.T
        start = a + before[b] - before[a]
        return np.ascontiguousarray(np.stack([start, start + inside[b] - inside[a]], axis=1))

    def to_rows(self, values: np.ndarray) -> np.ndarray:
        """The user's rows in the order of places."""
        return values if self.order is None else values[self.order]

    def to_user(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.order is None else rows[self.place]


def _in_order(s: Structure) -> tuple[np.ndarray, bool]:
    """The rows level after level, components in order in each; and whether the first level comes
    first.  (For a structure and its transpose, the same: see above.)"""
    if not s.n:
        return np.zeros(0, np.int64), True
    if s.level.max() < SMALL and (s.component[1:] >= s.component[:-1]).all():  # as most lie
        upward = bool(s.level.argmin() <= s.level.argmax())
        level = s.level if upward else s.level.max() - s.level
        return np.argsort(level.astype(np.int16), kind="stable"), upward
    up = np.lexsort((s.component, s.level))
    down = np.lexsort((s.component, -s.level))
    upward = bool(up[0] <= down[0])
    return (up, True) if upward else (down, False)


def layout_of(s: Structure) -> Layout:
    known = s.__dict__.get("_layout")
    if known is None:
        known = s.__dict__["_layout"] = Layout(s)
    return known


class Rows:
    """Values by node in the order of a layout's places.

    `user()` in the order of the structure's rows.
    """

    def __init__(self, values: np.ndarray, layout: Layout):
        self.values, self.layout = values, layout

    def user(self) -> np.ndarray:
        return self.layout.to_user(self.values)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Some of the user's rows, without putting all in order."""
        at = index if self.layout.order is None else self.layout.place[index]
        return self.values[at]


def by_place(value: Any, layout: Layout) -> np.ndarray:
    if isinstance(value, Rows):
        if value.layout is layout or value.layout.key == layout.key:
            return value.values
        value = value.user()
    return layout.to_rows(value)
