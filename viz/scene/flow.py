"""Who feeds whom around the recurrences of a graph.

The ops between recurrences, leaves and results are not drawn in the folded and unfolded views.
What is drawn instead is the dependency they carry, exactly:
row 3 of a table reaches step 3, the last state reaches the loss.
It is found by running those ops on sets instead of numbers (`Rows`).
Each element carries the set of cells that it depends on, as the bits of a Python int.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.recur import PROJ, RECUR, parts_of

MOST_ELEMENTS = 1_000_000  # followed one by one; of larger tensors anything reaches everything
SLOT_NAMES = {2: ("left", "right")}  # by how many slots there are
ATTENTION = "attention"  # what a cell calls the weights that it attends with
Bits = np.ndarray  # of Python ints


def is_frontier(t: Tensor) -> bool:
    """Where the ops around recurrences end: leaves and what leaves a recurrence."""
    return not t.inputs or t.op is PROJ


def frontier(t: Tensor) -> list[Tensor]:
    """The leaves and projections that `t` is computed from by ordinary ops."""
    return [node for node in toposort([t], stop=is_frontier) if is_frontier(node)]


def recurs_of(order: Iterable[Tensor]) -> list[Tensor]:
    """The recurrences in a topological order."""
    return [t for t in order if t.op is RECUR]


def leaf_name(t: Tensor) -> str:
    """The name of a leaf, else its shape."""
    return t.name or f"{t.dtype}{list(t.shape)}"


def is_source(t: Tensor) -> bool:
    """Whether a leaf is worth drawing: named, or an array of floats; no index, no number.

    What it holds makes no difference: an input of zeros is an input.
    """
    if t.name:
        return True
    return t.dtype.kind == "f" and t.size > 1 and "literal" not in t.attrs


def argument_name(r: Tensor, k: int) -> str:
    """What to call argument k of a recurrence: the block's name for it, if that says something.

    A block that is called is traced once, and names its arguments as the first call did.
    So there the name of this call's own argument comes first.
    """
    ph, arg = parts_of(r).block.inputs[k], r.inputs[k]
    given = ph.name if ph.name and not ph.name.isdigit() else None  # no number in a tuple
    sources = [t.name for t in frontier(arg) if t.name]
    own = arg.name or (sources[0] if len(sources) == 1 else None)
    called = not parts_of(r).block.slots
    return (own or given if called else given or own) or "x"


def is_initial(r: Tensor, k: int) -> bool:
    """Whether argument k is an initial state: it is added to a slot as it arrives."""
    block = parts_of(r).block
    ph, slots = block.inputs[k], set(block.slots.values())
    if parts_of(r).vias[k].kind != "index":
        return False
    # Sets, since == on Tensors is elementwise.
    return any(
        {ph} <= set(t.inputs) and slots & set(t.inputs) for t in block.nodes if t.op.name == "add"
    )


def weights_of(r: Tensor) -> Tensor | None:
    """The weights inside of a recurrence, one for each step of the memory; None: it has none."""
    found = (t for t in parts_of(r).block.nodes if t.name == ATTENTION and t.ndim == 1)
    return next(found, None)


def memory_of(r: Tensor) -> list[int]:
    """The arguments that bring the memory, its keys, its mask: a table for each sequence."""
    weights = weights_of(r)
    if weights is None:
        return []
    vias, size = parts_of(r).vias, weights.shape[0]
    tables = [
        k
        for k, arg in enumerate(r.inputs)
        if vias[k].kind == "index" and arg.ndim > 1 and arg.shape[1] == size
    ]
    read = [k for k in tables if any(p.op is PROJ for p in frontier(r.inputs[k]))]
    return [
        k for k in tables if any(np.array_equal(vias[k].rows, vias[other].rows) for other in read)
    ]


class Canonical:
    """Numbers for expressions: equal ops on equal leaves are equal, though recorded twice."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._of: dict[Tensor, int] = {}

    def __call__(self, t: Tensor) -> int:
        for node in toposort([t], stop=lambda n: n in self._of or is_frontier(n)):
            if node not in self._of:
                self._of[node] = self._numbers.setdefault(self._key(node), len(self._numbers))
        return self._of[t]

    def _key(self, t: Tensor) -> Any:
        if t.op is PROJ:
            return t
        if not t.inputs:
            # Unnamed small leaves (indices, zeros) are made anew at every use: go by their values.
            small = t.name is None and t._value is not None and t.size <= 4096
            return (t.shape, str(t.dtype), t._value.tobytes()) if small else t
        return t.op, tuple(self._of[i] for i in t.inputs), repr(sorted(t.attrs.items(), key=str))


class Rows:
    """For every tensor, element by element, which bits it depends on.

    seed: gives the bits of the frontier.
    """

    def __init__(self, seed: Callable[[Tensor], Bits | None]) -> None:
        self._seed = seed
        self._known: dict[Tensor, Bits | None] = {}

    def __call__(self, t: Tensor) -> Bits | None:
        """An object array of t's shape, or None where t depends on no bit at all."""
        for node in toposort([t], stop=lambda n: n in self._known or is_frontier(n)):
            if node not in self._known:
                self._known[node] = self._seed(node) if is_frontier(node) else self._through(node)
        return self._known[t]

    def leading(self, t: Tensor, axes: int) -> Bits:
        """The bits of `t` with all but its first `axes` axes joined."""
        found = self(t)
        if found is None:
            return np.zeros(t.shape[:axes], object)
        return joined(found, tuple(range(axes, t.ndim)))

    def _through(self, t: Tensor) -> Bits | None:
        inputs = [self._known[i] for i in t.inputs]
        if all(bits is None for bits in inputs):
            return None
        if t.size <= MOST_ELEMENTS:
            rule = _BY_NAME.get(t.op.name) or _BY_KIND.get(t.op.kind)
            if rule is not None:
                return np.asarray(rule(t, inputs), object).reshape(t.shape)
        everything = 0
        for bits in inputs:
            everything |= _union(bits)
        return np.broadcast_to(np.asarray(everything, object), t.shape)


def joined(bits: Bits, axes: tuple[int, ...]) -> Bits:
    """The union along some axes."""
    return np.asarray(np.bitwise_or.reduce(bits, axis=axes, initial=0), object) if axes else bits


def bits_of(value: int) -> list[int]:
    """The positions of the bits that are set."""
    found = []
    while value:
        low = value & -value
        found.append(low.bit_length() - 1)
        value ^= low
    return found


def _union(bits: Bits | None) -> int:
    if bits is None or not bits.size:
        return 0
    total = 0
    for value in set(bits.reshape(-1).tolist()):
        total |= value
    return total


def _full(bits: Bits | None, t: Tensor) -> Bits:
    return np.zeros(t.shape, object) if bits is None else bits


def _elementwise(t: Tensor, inputs: list[Bits | None]) -> Any:
    total: Any = 0
    for bits in inputs:
        total = total if bits is None else np.bitwise_or(total, bits)
    return total


def _reduction(t: Tensor, inputs: list[Bits | None]) -> Any:
    axis = t.attrs.get("axis")
    if axis is None or inputs[0] is None:
        return np.broadcast_to(np.asarray(_union(inputs[0]), object), t.shape)
    axes = tuple(a % t.inputs[0].ndim for a in np.atleast_1d(axis).tolist())
    merged = joined(inputs[0], axes)
    return (
        merged
        if merged.shape == t.shape
        else np.broadcast_to(np.asarray(_union(inputs[0]), object), t.shape)
    )


def _running(t: Tensor, inputs: list[Bits | None]) -> Any:
    """A running result depends on what came before it along its axis."""
    axis = t.attrs["axis"]
    there = (lambda bits: np.flip(bits, axis)) if t.attrs["reverse"] else (lambda bits: bits)
    merged = _elementwise(t, inputs)
    return there(np.bitwise_or.accumulate(there(merged), axis=axis))


def _einsum(t: Tensor, inputs: list[Bits | None]) -> Any:
    """An element of a product depends on what it is summed over, operand by operand."""
    out = t.attrs["out"]
    total: Any = np.zeros(t.shape, object)
    for sub, bits in zip(t.attrs["subs"], inputs, strict=True):
        if bits is None:
            continue
        kept: list[str] = []
        for letter in sub:
            # A repeated letter reads a diagonal; the union over the whole axis contains it.
            if letter in out and letter not in kept:
                kept.append(letter)
        first = [sub.index(letter) for letter in kept]
        merged = joined(bits, tuple(k for k in range(len(sub)) if k not in first))
        order = sorted(range(len(kept)), key=lambda k: out.index(kept[k]))
        merged = merged.transpose(
            [sorted(range(len(kept)), key=lambda k: first[k])[k] for k in order]
        )
        shape = [t.shape[k] if letter in kept else 1 for k, letter in enumerate(out)]
        total = np.bitwise_or(total, merged.reshape(shape))
    return total


def _moved(t: Tensor, inputs: list[Bits | None]) -> Any:
    """Movement moves sets as it moves numbers."""
    return t.op.numpy(*[_full(b, i) for b, i in zip(inputs, t.inputs, strict=True)], **t.attrs)


def _take(t: Tensor, inputs: list[Bits | None]) -> Any:
    return t.op.numpy(_full(inputs[0], t.inputs[0]), t.inputs[1].numpy(), **t.attrs)


def _scatter(t: Tensor, inputs: list[Bits | None]) -> Any:
    index = t.inputs[1].numpy()
    total = np.zeros(t.shape, object)
    rows = _full(inputs[0], t.inputs[0]).reshape(index.size, *t.shape[1:])
    np.bitwise_or.at(total, index.reshape(-1), rows)
    return total


_BY_KIND = {"elementwise": _elementwise, "reduction": _reduction, "movement": _moved}
_BY_NAME: Mapping[str, Callable[[Tensor, list[Bits | None]], Any]] = {
    "cumulative_prod": _running,
    "cumulative_sum": _running,
    "einsum": _einsum,
    "linear_recurrence": _running,
    "take": _take,
    "scatter": _scatter,
}
