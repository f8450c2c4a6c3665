"""Orders of a directed graph in NumPy: levels, roots, connected parts, nodes on a cycle.

What `structure` is built with.
Nothing here loops over nodes in Python unless an error is to be worded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Ints = np.ndarray


def integers(what: str, values: Any) -> Ints:
    """A copy as int64: the caller's array may change, or be donated."""
    try:
        a = np.asarray(values)
        if a.size == 0:
            a = a.astype(np.int64)
        if a.dtype.kind not in "iu" or a.dtype.kind == "u" and a.size and a.max() > 2**63 - 1:
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be integers; got {str(values)[:80]!r}") from None
    return np.array(a, np.int64, order="C")  # ascontiguousarray would turn one number into a row


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) < 80 else f"{text[:76]} ..."


def whole(given: Any) -> bool:
    """Whether something is an integer; True and 1.0 are none."""
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool)


def natural(what: str, given: Any) -> int:
    """An integer from 0 on, of a size that memory may hold."""
    if not whole(given) or not 0 <= given < 2**40:
        raise ValueError(f"{what} must be an integer from 0 on; got {_short(given)}")
    return int(given)


def booleans(what: str, values: Any) -> np.ndarray:
    """Booleans, or nothing at all."""
    try:
        a = np.asarray(values)
    except (TypeError, ValueError):
        a = np.array(["?"])
    if a.dtype.kind != "b" and a.size:
        raise TypeError(f"{what} must be booleans; got {_short(values)}")
    return a.astype(bool)


def flag(who: str, reverse: Any) -> bool:
    if not isinstance(reverse, (bool, np.bool_)):
        raise TypeError(f"{who}: reverse must be True or False; got {_short(reverse)}")
    return bool(reverse)


def listed(what: str, values: Any) -> list:
    """The entries of a list; text, a dict and what is no iterable are none."""
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, dict)):
        raise TypeError(f"{what}; got {_short(values)}")
    if getattr(values, "shape", None) == ():
        raise TypeError(f"{what}; got {_short(values)}")
    return list(values)


def check_ends(who: str, n: int, src: Ints, dst: Ints) -> None:
    natural(f"{who}: the number of nodes", n)
    for what, rows in (("source", src), ("target", dst)):
        if rows.size and (rows.min() < 0 or rows.max() >= n):
            bad = rows[(rows < 0) | (rows >= n)]
            raise ValueError(
                f"{who}: {what} row {bad[0]} does not exist; there are {n} nodes (0 to {n - 1})"
            )
    loops = np.flatnonzero(src == dst)
    if len(loops):
        raise ValueError(
            f"{who}: node {src[loops[0]]} takes its state from itself; a structure has no cycles"
        )


def climb(who: str, n: int, src: Ints, dst: Ints) -> tuple[Ints, Ints]:
    """Where each node has at most one edge out: its height (the longest way up to it) and its root.

    By pointer doubling: after k rounds `up` is 2^k edges away,
    and `height` knows all ways shorter than that.
    """
    up = np.arange(n)
    up[src] = dst
    moved = (up != np.arange(n)).astype(np.int64)  # edges between a node and its `up`
    height = np.zeros(n, np.int64)
    for k in range(max(n - 1, 1).bit_length()):
        whole = moved == 2**k
        if not whole.any():  # every `up` is a root
            break
        longer = height.copy()
        np.maximum.at(longer, up[whole], height[whole] + 2**k)
        height = longer
        moved, up = moved + moved[up], up[up]
    root = np.ones(n, bool)
    root[src] = False
    if not root[up].all():  # from a cycle nothing ever arrives at a root
        raise cycle_error(who, n, src, dst)
    return height, up


def sweep(who: str, n: int, src: Ints, dst: Ints) -> Ints:
    """Levels of a general DAG: the longest path from a source, one NumPy step per level."""
    order = np.argsort(src, kind="stable")
    first = np.searchsorted(src[order], np.arange(n + 1))
    waiting = np.bincount(dst, minlength=n)
    level = np.zeros(n, np.int64)
    front = np.flatnonzero(waiting == 0)
    done, step = 0, 0
    while len(front):
        level[front] = step
        done += len(front)
        count = first[front + 1] - first[front]
        at = np.repeat(first[front] - np.cumsum(count) + count, count) + np.arange(count.sum())
        hit, times = np.unique(dst[order[at]], return_counts=True)
        waiting[hit] -= times
        front = hit[waiting[hit] == 0]
        step += 1
    if done < n:
        raise cycle_error(who, n, src, dst)
    return level


def cycle_error(who: str, n: int, src: Ints, dst: Ints) -> ValueError:
    """Strip what merely leads to or from a cycle, then name the nodes of one."""
    live = np.ones(n, bool)
    while True:
        e = live[src] & live[dst]
        inside = (np.bincount(src[e], minlength=n) > 0) & (np.bincount(dst[e], minlength=n) > 0)
        if np.array_equal(inside, live):
            break
        live = inside
    e = live[src] & live[dst]
    nxt = dict(zip(src[e].tolist(), dst[e].tolist(), strict=True))
    place: dict[int, int] = {}
    node = int(np.flatnonzero(live)[0])
    while node not in place:
        place[node] = len(place)
        node = nxt[node]
    loop: Iterable[int] = [*list(place)[place[node] :], node]
    text = " -> ".join(map(str, loop))
    text = text if len(text) < 200 else text[:150] + " ... " + str(node)
    return ValueError(f"{who}: the structure has a cycle: {text}; state can only flow along a DAG")


def connected(n: int, src: Ints, dst: Ints) -> Ints:
    """The weakly connected part of each node, numbered by first node."""
    label = np.arange(n)
    while True:  # spread the smaller label over every edge, then jump: the rounds are logarithmic
        low = np.minimum(label[src], label[dst])
        new = label.copy()
        np.minimum.at(new, label[src], low)
        np.minimum.at(new, label[dst], low)
        while not np.array_equal(new, new[new]):
            new = new[new]
        if np.array_equal(new, label):
            return np.unique(label, return_inverse=True)[1].reshape(n).astype(np.int64)
        label = new


def kind_of(n: int, src: Ints, dst: Ints, slot: Ints, slots: int, ports: int) -> str:
    """What a structure is.

    "chain": sequences; one slot, one port, and at most one edge into and out of each node.
    "tree": at most one edge out of each.  "grid": of two axes.  "dag": anything else.
    """
    if np.bincount(src).max(initial=0) > 1:
        return "grid" if grid_width(n, src, dst, slot, slots) else "dag"
    single = slots == ports == 1 and np.bincount(dst).max(initial=0) <= 1
    return "chain" if single else "tree"


def grid_width(n: int, src: Ints, dst: Ints, slot: Ints, slots: int) -> int:
    """The length of a row of a 2-D grid in C order, whichever way states flow; else 0."""
    stride = dst - src
    down, right = stride[slot == 0], stride[slot == 1]
    if slots != 2 or not len(down) or not len(right) or np.ptp(down) or np.ptp(right):
        return 0
    width, step = abs(int(down[0])), abs(int(right[0]))
    whole = n % width == 0 and len(down) == n - width and len(right) == n - n // width
    # Edges along a row must not wrap around its end.
    wrapped = np.any(src[slot == 1] // width != dst[slot == 1] // width)
    return width if whole and step == 1 and not wrapped else 0
