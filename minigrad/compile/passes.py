"""The passes over one row of a fused loop: which vector is computed in which of them.

A pass ends where a reduction must be known, or a vector must lie in memory to be repeated.  Vectors
live within a pass: those that a later one reads are computed again where that is cheap, else
written and read back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .language import AXES, CHEAP, MASKS, REDUCED, REPEATED, Row


def turns(nodes: Sequence[Row], stored: Collection[Row]) -> dict[Row, int]:
    """The pass in which each node is computed: as early as it can be, unless less goes through
    memory where vectors that a later pass reads wait for that pass, and all with them that they are
    computed from or with.

    stored: what lies in memory anyway.
    """
    least: dict[Row, int] = {}
    turn = _earliest(nodes, stored, least)
    cost = _traffic(nodes, stored, turn)
    p = 0
    while p < max(turn.values(), default=0):  # there may be more of them after a step
        later = {**least, **dict.fromkeys(_tied(nodes, turn, p), p + 1)}
        other = _earliest(nodes, stored, later)
        if (less := _traffic(nodes, stored, other)) < cost:
            least, turn, cost = later, other, less
        p += 1
    return turn


def spills(nodes: Sequence[Row], turn: dict[Row, int]) -> dict[Row, None]:
    """Vectors that a later pass reads back.

    Because computing them again is more than one cheap op, or they are repeated, or summed along an
    axis.
    """
    spilled: dict[Row, None] = {}
    for r in nodes:
        if r.op in AXES:
            spilled[r] = None
        elif r.op in REPEATED and r.args[0] in turn:
            spilled[r.args[0]] = None
    return spilled | dict.fromkeys(a for a, _ in _read(nodes, turn) if a in turn)


def computed_again(a: Row, turn: dict[Row, int]) -> bool:
    """Whether a vector of an earlier pass is computed again rather than read back."""
    if a.op in (*MASKS, *REPEATED, "cast"):
        return True
    there = (b.size == 1 or b not in turn or b.op in REPEATED for b in a.args)
    return a.op in CHEAP and all(there)


def _read(nodes: Sequence[Row], turn: dict[Row, int]) -> dict[tuple[Row, int], None]:
    """The vectors that each pass reads from memory, and that pass."""
    read: dict[tuple[Row, int], None] = {}
    work = [(a, turn[r]) for r in nodes if r.op not in REPEATED for a in r.args]
    while work:
        a, p = work.pop()
        if a.size == 1 or a.op in REPEATED or turn.get(a, -1) >= p or (a, p) in read:
            continue
        if a in turn and computed_again(a, turn):
            work += [(b, p) for b in a.args]
        else:
            read[a, p] = None
    return read


def _traffic(nodes: Sequence[Row], stored: Collection[Row], turn: dict[Row, int]) -> int:
    """Elements of vectors that all passes read, and write for each other."""
    written = sum(r.size for r in spills(nodes, turn) if r not in stored)
    return written + sum(a.size for a, _ in _read(nodes, turn))


def _earliest(
    nodes: Sequence[Row], stored: Collection[Row], least: dict[Row, int]
) -> dict[Row, int]:
    """The first pass in which each node can be computed; of some, one from `least` on."""
    turn: dict[Row, int] = {}
    for r in nodes:
        waits = r.op in REPEATED
        ready = [turn[a] + (waits or a.op in REDUCED) for a in r.args if a in turn]
        turn[r] = max([least.get(r, 0), *ready])
    _postpone(nodes, stored, turn)
    return turn


def _postpone(nodes: Sequence[Row], stored: Collection[Row], turn: dict[Row, int]) -> None:
    """Vectors whose operands lie in memory anyway wait for the first pass that reads them, and need
    not lie there themselves."""
    readers: dict[Row, list[Row]] = {}
    for r in nodes:
        for a in r.args:
            readers.setdefault(a, []).append(r)
    for r in reversed(nodes):
        if r.size == 1 or r.op in REDUCED or r not in readers:
            continue
        first = min(turn[b] - (b.op in REPEATED) for b in readers[r])
        if first > turn[r] and all(
            a.size == 1 or a not in turn or a.op in (*REPEATED, *AXES) or a in stored
            or readers[a] == [r] for a in r.args
        ):  # fmt: skip
            turn[r] = first


def _tied(nodes: Sequence[Row], turn: dict[Row, int], p: int) -> set[Row]:
    """The vectors of pass p that a later pass reads, and those of the same pass and length that are
    tied to them by what they read or by who reads them."""
    mine = {r for r in nodes if turn[r] == p and r.size > 1 and r.op not in REPEATED}
    near: dict[Row, set[Row]] = {r: set() for r in mine}
    found: set[Row] = set()
    for r in nodes:
        for a in r.args if r.op not in REPEATED else ():
            if a in mine and r in mine and a.size == r.size:
                near[a].add(r)
                near[r].add(a)
            elif a in mine and turn[r] > p and r.op not in REDUCED:
                found.add(a)
    stack = list(found)
    while stack:
        more = near[stack.pop()] - found
        found |= more
        stack += more
    return found
