"""Rows: which tensors of a graph are computed row by row, and what an op is on one row.

The rows of a graph are time steps of sequences, examples of a batch, nodes of trees: `n` of them,
numbered by the leading axes of a tensor, so that (T, B, H) and (T * B, H) have the same rows.  Each
op says by its kind whether a row of its result depends on that row of its operands alone
(`row_rule`), or whether it adds the rows up (`exit_rule`).  `on_one_row` is the op without its
rows, the inverse of what a row axis in front does to it; `on_rows` is the op on some of them.

Nothing here is about meaning: any tensor with leading axes of n elements may enter by rows, so a
wrong guess costs speed and never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..graph import Shape, Tensor, bind
from .broadcast import BROADCAST, RESHAPE, SUM
from .contract import EINSUM
from .movement import PERMUTE, PLACE, SLICE

WHOLE = (None, None, None)  # a slice of everything


class ByRow(NamedTuple):
    """How an op goes by rows: `axes` leading axes number them, of the result (of a sum over the
    rows: of its operands), and of the inputs that `by_row` marks; the others are the same for all
    rows."""

    by_row: tuple[bool, ...]
    axes: int


def leads(shape: Shape, n: int) -> Iterator[int]:
    """How many leading axes may number n rows, the most (with axes of length 1 behind) first."""
    size, found = 1, []
    for k, length in enumerate(shape, 1):
        size *= length
        if size == n:
            found.append(k)
        if size > n:
            break
    return reversed(found)


def rest(t: Tensor, n: int) -> Shape:
    """The shape of one row."""
    return t.shape[next(leads(t.shape, n)) :]


# -- is an op row by row? --------------------------------------------------------------------------


def row_rule(t: Tensor, n: int) -> ByRow | None:
    """How t's rows are computed one by one; None if they are not."""
    rule = RULES.get(t.op.name if t.op.kind == "movement" else t.op.kind)
    if rule is None:
        return None
    for k in leads(t.shape, n):
        by_row = rule(t, n, k)
        if by_row is not None:
            return ByRow(by_row, k)
    return None


def exit_rule(t: Tensor, n: int) -> ByRow | None:
    """How t is a sum over all n rows; None if it is not."""
    for number, x in enumerate(t.inputs if t.op in (SUM, EINSUM) else ()):
        for k in leads(x.shape, n):
            by_row: tuple[bool, ...] | None
            if t.op is SUM:
                summed = set(range(-x.ndim, k - x.ndim)) <= set(t.attrs["axis"])
                by_row = (True,) if summed else None
            else:
                letters = t.attrs["subs"][number][:k]
                kept = set(letters) & set(t.attrs["out"])
                by_row = None if kept else _by_letters(t, letters)
            if by_row is not None:
                return ByRow(by_row, k)
    return None


def _by_letters(t: Tensor, letters: str) -> tuple[bool, ...] | None:
    """Operands with these letters in front, once, are read by row; others may have none of them."""
    flags = []
    for sub in t.attrs["subs"]:
        has = sub.startswith(letters)
        if set(letters) & set(sub[len(letters) :] if has else sub):
            return None
        flags.append(has)
    return tuple(flags) if any(flags) and len(set(letters)) == len(letters) else None


def _elementwise(t: Tensor, n: int, k: int) -> tuple[bool, ...]:
    return (True,) * len(t.inputs)


def _reduction(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    """Of trailing axes; the operand's other axes stay in order in front."""
    axis, x = t.attrs.get("axis"), t.inputs[0]
    axes = axis if isinstance(axis, tuple) else (axis,)
    inside = all(isinstance(a, int) and a >= k - x.ndim for a in axes)
    return (True,) if inside and len(t.inputs) == 1 and x.shape[:k] == t.shape[:k] else None


def _contraction(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    return _by_letters(t, t.attrs["out"][:k])


def _reshape(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    return (True,) if any(leads(t.inputs[0].shape, n)) else None


def _broadcast(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    """From the same rows, or of something that all rows share."""
    x = t.inputs[0]
    if x.ndim == t.ndim and x.shape[:k] == t.shape[:k]:
        return (True,)
    front = x.shape[: max(k - (t.ndim - x.ndim), 0)]
    return (False,) if all(length == 1 for length in front) else None


def _permute(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    return (True,) if t.attrs["axes"][:k] == tuple(range(-t.ndim, k - t.ndim)) else None


def _cut(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    """A part of trailing axes, or its dual."""
    same = t.inputs[0].shape[:k] == t.shape[:k]
    return (True,) if same and all(i in (WHOLE, None) for i in t.attrs["index"][:k]) else None


def _concat(t: Tensor, n: int, k: int) -> tuple[bool, ...] | None:
    return (True,) * len(t.inputs) if t.attrs["axis"] >= k - t.ndim else None


RULES: dict[str, Callable[[Tensor, int, int], tuple[bool, ...] | None]] = {
    "elementwise": _elementwise, "reduction": _reduction, "contraction": _contraction,
    "reshape": _reshape, "broadcast_to": _broadcast, "permute_dims": _permute, "slice": _cut,
    "place": _cut, "concat": _concat,
}  # fmt: skip


# -- the op on one row, or on some -----------------------------------------------------------------


def on_one_row(t: Tensor, n: int, inputs: Sequence[Tensor], rule: ByRow) -> Tensor:
    """The op at one row; `inputs`: one row (shaped as `rest`) of those by row, the others whole."""
    return on_rows(t, n, inputs, rule, ())


def on_rows(t: Tensor, n: int, inputs: Sequence[Tensor], rule: ByRow, lead: Shape) -> Tensor:
    """The op at the rows that one axis in front numbers, `lead` = (rows,), or at one row, ();
    `inputs`: these rows of those by row, the others whole."""
    k, given = rule.axes, _in_place(t, inputs, rule, lead)
    if t.op is EINSUM:
        new = _contracted(t, given, t.attrs["out"][:k], len(lead))
    elif t.op in (RESHAPE, BROADCAST):
        new = _shaped(t, given[0], t.shape[k:], lead if rule.by_row[0] else (), lead)
    else:
        new = bind(t.op, *given, **_attributes(t, k, lead))
    new = _shaped_as(new, (*lead, *rest(t, n)))
    return new if any(new is x for x in inputs) else _called(new, t)


def summed_row(t: Tensor, n: int, inputs: Sequence[Tensor], rule: ByRow) -> Tensor:
    """What one row adds to the sum over all rows that t is."""
    given = _in_place(t, inputs, rule, ())
    if t.op is EINSUM:
        first = t.attrs["subs"][rule.by_row.index(True)]
        return _called(_contracted(t, given, first[: rule.axes], 0), t)
    axis = tuple(a for a in t.attrs["axis"] if a >= -given[0].ndim)
    return _called(bind(SUM, given[0], axis=axis) if axis else given[0], t)


def _in_place(t: Tensor, inputs: Sequence[Tensor], rule: ByRow, lead: Shape) -> list[Tensor]:
    """The operands with the axes that the op knows, those of length 1 in front included."""
    if t.op is RESHAPE:
        return list(inputs)
    return [
        _shaped_as(x, (*lead, *old.shape[rule.axes :])) if by_row else x
        for x, old, by_row in zip(inputs, t.inputs, rule.by_row, strict=True)
    ]


def _shaped_as(x: Tensor, shape: Shape) -> Tensor:
    return x if x.shape == shape else bind(RESHAPE, x, shape=shape)


def _contracted(t: Tensor, inputs: Sequence[Tensor], letters: str, kept: int) -> Tensor:
    """Without the letters that number rows, or with `kept` of them in their place."""

    def again(sub: str) -> str:
        has = sub.startswith(letters)
        return letters[:kept] + sub.removeprefix(letters) if has else sub

    subs, out = tuple(map(again, t.attrs["subs"])), again(t.attrs["out"])
    return inputs[0] if subs == (out,) else bind(EINSUM, *inputs, subs=subs, out=out)


def _shaped(t: Tensor, x: Tensor, shape: Shape, given: Shape, lead: Shape) -> Tensor:
    """given: the axes in front that number x's rows."""
    size = len(given) + len(shape)
    if t.op is BROADCAST and x.ndim > size:  # axes of length 1 in the place of the rows
        x = bind(RESHAPE, x, shape=x.shape[x.ndim - size :])
    shape = (*lead, *shape)
    return x if x.shape == shape else bind(t.op, x, shape=shape)


def _attributes(t: Tensor, k: int, lead: Shape) -> dict[str, Any]:
    attrs, more = dict(t.attrs), len(lead)
    if t.op is PERMUTE:
        attrs["axes"] = (*range(k - t.ndim - more, k - t.ndim), *attrs["axes"][k:])
    if t.op in (SLICE, PLACE):
        attrs["index"] = (*(WHOLE,) * more, *attrs["index"][k:])
    if t.op is PLACE:
        attrs["shape"] = (*lead, *attrs["shape"][k:])
    return attrs


def _called(new: Tensor, t: Tensor) -> Tensor:
    """With the name and the line of what it stands for."""
    if new.inputs:
        new = new.named(t.name) if t.name and not new.name else new
        object.__setattr__(new, "site", t.site)
    return new
