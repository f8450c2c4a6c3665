"""The calls of a graph: recurrences over one node, what they read and what is read of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..graph import CONSTANT, Tensor, toposort
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.elementwise import ADD
from ..recur import PROJ, RECUR, SHARED, Block, Pullback
from .once import ONCE

TERMS = 64  # a sum of more, read by several calls, is no sum of states


class Calls:
    """A graph seen by its calls: what they read, and which of them belong together."""

    def __init__(self, outputs: Sequence[Tensor]):
        self.outputs, self.order = list(outputs), toposort(outputs)
        self.asked: dict[Tensor, list[Tensor]] = {}
        for t in self.order:
            if is_call(t):
                self.asked[t] = []
            elif t.op is PROJ and t.inputs[0] in self.asked:
                self.asked[t.inputs[0]].append(t)
        for t in [t for t in self.asked if not self._plain(t)]:
            del self.asked[t]
        self.readers = Counter(self.outputs) if self.asked else Counter()
        self.args: dict[Tensor, tuple[Tensor, ...]] = {}
        known: dict[Any, Tensor] = {}
        for t in self.order if self.asked else ():
            self.readers.update(t.inputs)
            if t in self.asked:
                self.args[t] = tuple([one_constant(x, known) for x in t.inputs])
        self.sums: dict[Tensor, list[Tensor]] = {}

    def _plain(self, call: Tensor) -> bool:
        """Whether all that is read of a call can be read of a recurrence."""
        nodes = set(call.attrs["block"].nodes)
        return all(p.attrs["via"].rows is None and p.attrs["ref"] in nodes
                   for p in self.asked[call])  # fmt: skip

    def states(self, t: Tensor) -> list[Tensor]:
        """What an argument is the sum of."""
        found = self.terms(t)
        return [t] if len(found) > TERMS and self.readers[t] > 1 else found

    def terms(self, t: Tensor) -> list[Tensor]:
        """What t is the sum of, in place of sums that nothing else reads."""
        if t.op is not ADD or t.dtype.kind not in "fiu":
            return [t]
        if t not in self.sums:
            found, stack = [], [t]
            while stack:
                x = stack.pop()
                if x.op is ADD and (x is t or self.readers[x] == 1):
                    stack.extend(reversed(x.inputs))
                else:
                    found.append(x)
            self.sums[t] = found
        return self.sums[t]


def is_call(t: Tensor) -> bool:
    if t.op is not RECUR or (s := t.attrs["structure"]) is ONCE:
        return False
    return s.n == 1 and not len(s.src) and all(via is SHARED for via in t.attrs["vias"])


def call_of(t: Tensor) -> Tensor | None:
    """The call whose result t is."""
    return t.inputs[0] if t.op is PROJ and t.attrs["via"] is SHARED else None


def one_constant(x: Tensor, known: dict[Any, Tensor]) -> Tensor:
    """Equal constants are one: an array that is passed to every call is made a Tensor each time."""
    if x.op is not CONSTANT:
        return x
    return known.setdefault((x._value.tobytes(), x.shape, x.dtype), x)


def pullbacks(block: Block) -> list[tuple[Any, Pullback]]:
    """The pullbacks of a block as calls of it have them."""
    return [
        (key, pull) for key, pull in list(block.cache.items())  # others may add meanwhile
        if key[0] == "pullback" and not key[4] and not key[5]
        and all(kind == "shared" for kind in key[3])
    ]  # fmt: skip


def is_zero(t: Tensor) -> bool:
    while t.op in (BROADCAST, RESHAPE):
        t = t.inputs[0]
    return t.op is CONSTANT and not t._value.any()
