"""Rows: which tensors of a graph are computed row by row, and what an op is on one row.

The rows of a graph are time steps of sequences, examples of a batch, nodes of trees: `n` of them,
numbered by the leading axes of a tensor, so that (T, B, H) and (T * B, H) have the same rows.  Each
op says by its kind whether a row of its result depends on that row of its operands alone
(`row_rule`), or whether it adds the rows up (`exit_rule`).  `on_one_row` is the op without its
rows, the inverse of what a row axis in front does to it.

Nothing here is about meaning: any tensor with leading axes of n elements may enter by rows, so a
wrong guess costs speed and never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..graph import Shape, Tensor, bind
from ..ops.broadcast import BROADCAST, RESHAPE, SUM
from ..ops.contract import EINSUM
from ..ops.movement import PERMUTE, PLACE, SLICE

Flags = tuple[bool, ...]  # of an op's inputs: by row (True), or the same for all rows
WHOLE = (None, None, None)  # a slice of everything


def lead(shape: Shape, n: int) -> int | None:
    """How many leading axes number n rows: the fewest; None where none do."""
    size = 1
    for k, length in enumerate(shape, 1):
        size *= length
        if size == n:
            return k
        if size > n:
            return None
    return None


# -- is an op row by row? --------------------------------------------------------------------------


def row_rule(t: Tensor, n: int) -> Flags | None:
    """Which inputs are read by row, if t's rows are computed one by one; None if they are not."""
    k = lead(t.shape, n)
    rule = RULES.get(t.op.name if t.op.kind == "movement" else t.op.kind)
    if k is None or rule is None:
        return None
    return rule(t, n, k)


def exit_rule(t: Tensor, n: int) -> Flags | None:
    """Which inputs are read by row, if t is a sum over all n rows; None if it is not."""
    if t.op is SUM:
        x = t.inputs[0]
        k = lead(x.shape, n)
        summed = k is not None and set(range(-x.ndim, k - x.ndim)) <= set(t.attrs["axis"])
        return (True,) if summed else None
    if t.op is EINSUM:
        for letters in {s[: lead(x.shape, n) or 0] for s, x in _operands(t)} - {""}:
            if len(set(letters)) == len(letters) and not set(letters) & set(t.attrs["out"]):
                flags = _by_letters(t, letters)
                if flags is not None:
                    return flags
    return None


def _operands(t: Tensor) -> list[tuple[str, Tensor]]:
    return list(zip(t.attrs["subs"], t.inputs, strict=True))


def _by_letters(t: Tensor, letters: str) -> Flags | None:
    """Operands that have these letters in front, once, are read by row; others may have none."""
    flags = []
    for sub in t.attrs["subs"]:
        has = sub.startswith(letters)
        if set(letters) & set(sub[len(letters) :] if has else sub):
            return None
        flags.append(has)
    return tuple(flags)


def _elementwise(t: Tensor, n: int, k: int) -> Flags:
    return (True,) * len(t.inputs)


def _reduction(t: Tensor, n: int, k: int) -> Flags | None:
    """A reduction of trailing axes; the operand's other axes stay in order in front."""
    axis = t.attrs.get("axis")
    axes = axis if isinstance(axis, tuple) else (axis,)
    x = t.inputs[0]
    inside = all(isinstance(a, int) and a >= k - x.ndim for a in axes)
    return (True,) if inside and len(t.inputs) == 1 and x.shape[:k] == t.shape[:k] else None


def _contraction(t: Tensor, n: int, k: int) -> Flags | None:
    letters = t.attrs["out"][:k]
    flags = _by_letters(t, letters) if len(set(letters)) == k else None
    return flags if flags and any(flags) else None


def _reshape(t: Tensor, n: int, k: int) -> Flags | None:
    return (True,) if lead(t.inputs[0].shape, n) is not None else None


def _broadcast(t: Tensor, n: int, k: int) -> Flags | None:
    """From the same rows, or of something that all rows share."""
    x = t.inputs[0]
    front = x.shape[: max(k - (t.ndim - x.ndim), 0)]
    if x.ndim == t.ndim and front == t.shape[:k]:
        return (True,)
    return (False,) if all(length == 1 for length in front) else None


def _permute(t: Tensor, n: int, k: int) -> Flags | None:
    return (True,) if t.attrs["axes"][:k] == tuple(range(-t.ndim, k - t.ndim)) else None


def _cut(t: Tensor, n: int, k: int) -> Flags | None:
    """A part of trailing axes, or its dual."""
    same = t.inputs[0].shape[:k] == t.shape[:k]
    return (True,) if same and all(i in (WHOLE, None) for i in t.attrs["index"][:k]) else None


def _concat(t: Tensor, n: int, k: int) -> Flags | None:
    return (True,) * len(t.inputs) if t.attrs["axis"] >= k - t.ndim else None


RULES: dict[str, Callable[[Tensor, int, int], Flags | None]] = {
    "elementwise": _elementwise, "reduction": _reduction, "contraction": _contraction,
    "reshape": _reshape, "broadcast_to": _broadcast, "permute_dims": _permute, "slice": _cut,
    "place": _cut, "concat": _concat,
}  # fmt: skip


# -- the op on one row -----------------------------------------------------------------------------


def rest(t: Tensor, n: int) -> Shape:
    """The shape of one row."""
    k = lead(t.shape, n)
    assert k is not None, f"{t!r} has no {n} rows"
    return t.shape[k:]


def on_one_row(t: Tensor, n: int, inputs: Sequence[Tensor], flags: Flags) -> Tensor:
    """The op at one row; `inputs`: one row of those flagged, the others whole."""
    if t.op is EINSUM:
        new = _contracted(t, inputs, flags, n)
    elif t.op in (RESHAPE, BROADCAST):
        new = _shaped(t, inputs[0], rest(t, n))
    else:
        new = bind(t.op, *inputs, **_attributes(t, n))
    return _called(new, t)


def summed_row(t: Tensor, n: int, inputs: Sequence[Tensor], flags: Flags) -> Tensor:
    """What one row adds to the sum over all rows that t is."""
    if t.op is EINSUM:
        return _called(_contracted(t, inputs, flags, n), t)
    axis = tuple(a for a in t.attrs["axis"] if a >= -inputs[0].ndim)
    return _called(bind(SUM, inputs[0], axis=axis) if axis else inputs[0], t)


def _contracted(t: Tensor, inputs: Sequence[Tensor], flags: Flags, n: int) -> Tensor:
    first = flags.index(True)
    letters = t.attrs["subs"][first][: lead(t.inputs[first].shape, n)]

    def without(sub: str) -> str:
        return sub.removeprefix(letters)

    subs, out = tuple(map(without, t.attrs["subs"])), without(t.attrs["out"])
    return inputs[0] if subs == (out,) else bind(EINSUM, *inputs, subs=subs, out=out)


def _shaped(t: Tensor, x: Tensor, shape: Shape) -> Tensor:
    if t.op is BROADCAST and x.ndim > len(shape):  # axes of length 1 in the place of the rows
        x = bind(RESHAPE, x, shape=x.shape[x.ndim - len(shape) :])
    return x if x.shape == shape else bind(t.op, x, shape=shape)


def _attributes(t: Tensor, n: int) -> dict[str, Any]:
    k, attrs = lead(t.shape, n) or 0, dict(t.attrs)
    if t.op is PERMUTE:
        attrs["axes"] = attrs["axes"][k:]
    if t.op in (SLICE, PLACE):
        attrs["index"] = attrs["index"][k:]
    if t.op is PLACE:
        attrs["shape"] = attrs["shape"][k:]
    return attrs


def _called(new: Tensor, t: Tensor) -> Tensor:
    """With the name and the line of what it stands for."""
    if t.name and not new.name and new.inputs:
        new = new.named(t.name)
    if new.inputs:
        object.__setattr__(new, "site", t.site)
    return new


