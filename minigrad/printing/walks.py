"""In which order a loop visits the nodes of a structure, and what a structure is called in words.

A structure of chains is a list of paths; where these are regular they can be written as ranges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..chunks import cut
from ..structure import Structure


class Regular(NamedTuple):
    """Paths of one length: step t of path b is row first + across * b + along * t.

    back : the paths are walked from the last t to the first.
    """

    paths: int
    steps: int
    first: int
    across: int
    along: int
    back: bool


def paths_of(s: Structure) -> list[list[int]] | None:
    """Every chain of a structure as its rows in the order of the walk; None: there are others."""
    if not len(s.src) or s.kind != "chain":
        return None
    after = np.full(s.n, -1)
    after[s.src] = s.dst
    follow, paths = after.tolist(), []
    for row in np.setdiff1d(np.arange(s.n), s.dst).tolist():
        path = []
        while row >= 0:
            path.append(row)
            row = follow[row]
        paths.append(path)
    return paths


def regular(paths: list[list[int]]) -> Regular | None:
    """The paths as ranges, if they are that."""
    if len({len(p) for p in paths}) != 1:
        return None
    rows = np.array(paths)
    count, steps = rows.shape
    back = steps > 1 and rows[0, 1] < rows[0, 0]
    rows = rows[:, ::-1] if back else rows
    along = int(rows[0, 1] - rows[0, 0]) if steps > 1 else 1
    across = int(rows[1, 0] - rows[0, 0]) if count > 1 else 0
    first = int(rows[0, 0])
    wanted = first + across * np.arange(count)[:, None] + along * np.arange(steps)
    return Regular(count, steps, first, across, along, back) if (rows == wanted).all() else None


def sources(s: Structure, slot: int, port: int) -> list[list[int]]:
    """For every row the rows whose state enters that slot out of that port."""
    found: list[list[int]] = [[] for _ in range(s.n)]
    here = (s.slot == slot) & (s.port == port)
    for a, b in zip(s.src[here].tolist(), s.dst[here].tolist(), strict=True):
        found[b].append(a)
    return found


def visited(s: Structure) -> list[int]:
    """All rows, those that send before those that receive."""
    return [n for rows in s.levels for n in rows.tolist()]


def described(s: Structure) -> str:
    """A structure in words: "a chain of 5 steps", "a forest of 7 nodes in 2 trees"."""
    chunks = ", checkpointed" if cut(s) else ""
    held = 0 if s.keep is None else int((~s.keep).sum())
    stopped = f", no gradient along {held} of its edges" if held else ""
    return _kind(s) + chunks + stopped


def _kind(s: Structure) -> str:
    n, parts = s.n, s.components
    if n == 1:
        return "one node"
    if not len(s.src):
        return f"{n} nodes without edges"
    if s.kind == "chain":
        back = " backwards" if (s.dst < s.src).all() else ""
        if parts == 1:
            return f"a chain of {n} steps{back}"
        lengths = sorted(np.bincount(s.component, minlength=parts).tolist())
        some = lengths[0] if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
        return f"{parts} chains of {some} steps{back}"
    if s.kind == "tree" or s.transpose().kind == "tree":
        down = "" if s.kind == "tree" else ", from the roots to the leaves"
        what = f"a forest of {n} nodes in {parts} trees" if parts > 1 else f"a tree of {n} nodes"
        return what + down
    if s.kind == "grid":
        return f"a grid of {n} nodes"
    return f"a directed acyclic graph of {n} nodes and {len(s.src)} edges"
