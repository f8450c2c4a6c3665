"""Donated arguments: which results may lie in their memory, and when that is safe.

What a call computes is copied there at its very end, in one step that cannot fail,
when nothing reads the arguments any more.
So an argument is as it was until all of its results are known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..graph import Tensor

OWN = 0x0001 | 0x0004 | 0x0100 | 0x0400  # NumPy's flags: C order, owns its data, aligned, writeable


def positions(f: Callable, donate: Any) -> tuple[tuple[int, ...], int]:
    """The numbers of the arguments of `f` that are donated, and how many it has by name: 0 where
    it takes any number, so that only a call can tell.

    Raises TypeError for what is no number, ValueError for that of an argument `f` has not.
    """
    given = list(donate) if isinstance(donate, (tuple, list, set, frozenset, range)) else [donate]
    for k in given:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
            raise TypeError(
                "function: donate says by number which positional arguments may be written to: "
                f"donate=0, or donate=(0, 1); got {donate!r}"
            )
    numbers = tuple(sorted({int(k) for k in given}))
    if numbers and numbers[0] < 0:
        raise ValueError(f"function: donate={numbers[0]}: arguments are counted from 0")
    try:
        kinds = [p.kind for p in inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):  # of a function written in C nothing is known
        return numbers, 0
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return numbers, 0
    count = sum(k <= inspect.Parameter.POSITIONAL_OR_KEYWORD for k in kinds)
    refuse_missing(numbers, count, "it takes")
    return numbers, count


def refuse_missing(numbers: Sequence[int], count: int, has: str) -> None:
    """Refuse the number of an argument that there is not."""
    if numbers and numbers[-1] >= count:
        raise ValueError(
            f"function: donate={numbers[-1]}: there is no such argument, for {has} {count}, "
            "counted from 0"
        )


class Donation:
    """Which result of a trace lies in the memory of which argument: one of its shape and dtype.

    inputs  : (position among the leaves, placeholder); an argument is known by its number here.
    donated : positions of leaves, in the order of results.
    """

    def __init__(self, inputs: Sequence[tuple[int, Tensor]], donated: Collection[int]):
        self.inputs = [ph for _, ph in inputs]
        numbers = {k: n for n, (k, ph) in enumerate(inputs) if ph.size}
        self.free = [numbers[k] for k in donated if k in numbers]
        self.count = len(self.free)
        self.used: list[int] = []

    def take(self, t: Tensor) -> int | None:
        """An argument that nobody has taken, for the result t: in their orders, so that a
        parameter's new value has the place of its old one."""
        for n in self.free:
            if self.inputs[n].shape == t.shape and self.inputs[n].dtype == t.dtype:
                self.free.remove(n)
                self.used.append(n)
                return n
        return None

    def keep(self, n: int) -> bool:
        """Whether the argument n may be a result itself, as it is."""
        if n not in self.free:
            return False
        self.free.remove(n)
        self.used.append(n)
        return True

    def lent(self, arrays: Sequence[np.ndarray], given: Sequence[Any]) -> set[int]:
        """The arguments of this call whose memory may be written to.

        arrays : in C order, as kernels read them.
        given  : what the caller passed, which `arrays` are or are copied from.

        Each owns its memory, so that no two share any; it was given once;
        and no view of it is among what was given.
        """
        found = {n for n in self.used if arrays[n].flags.num & OWN == OWN}
        if len(set(map(id, arrays))) < len(arrays):
            ids = [id(x) for x in arrays]
            found = {n for n in found if ids.count(ids[n]) == 1}
        for x in given:
            if isinstance(x, np.ndarray) and not x.flags.owndata:
                found -= self._touched(x, found, arrays)
        return found

    def _touched(self, x: np.ndarray, found: set[int], arrays: Sequence[np.ndarray]) -> set[int]:
        """Those of the arguments found that share memory with x, which is a view."""
        root: Any = x
        while type(root) is np.ndarray and root.base is not None:
            root = root.base
        if type(root) is np.ndarray and root.flags.owndata:  # of NumPy's alone
            return {n for n in found if arrays[n] is root}
        return {n for n in found if np.may_share_memory(x, arrays[n])}

    def explain(self) -> str:
        return f"the memory of {len(self.used)} of {self.count} donated arrays is used for results"
