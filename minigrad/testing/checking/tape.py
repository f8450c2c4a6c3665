"""A recorded graph as a list of NumPy calls, to be run again with other leaf values.

In any number type: as recorded, in the platform's widest float, or in complex numbers.
Nothing is recorded again and nothing is cast back,
so that steps in a leaf are seen by the outputs to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...graph import INPUT, Tensor, toposort
from ...ops.analytic import BY_SIDES
from ...ops.facts import FACTS, facts_of
from ...rewrite.unfold import unfold
from .oracles import seems_analytic
from .point import Arrays, Point

MANY = 64  # ops of the user's own, beyond which none is tried on complex numbers
EXTENDED = np.finfo(np.longdouble).nmant == 63  # the 80-bit format of x86
WIDE: Any = np.dtype(np.longdouble if EXTENDED else np.float64)


class Narrow(TypeError):
    """An op on the tape cannot be run in the wide number type."""


class Tape:
    """A recorded graph as a list of calls.

    Recurrences are written out.
    `stop_gradient` holds the value it has at the base point when leaves move,
    since that is what it says it does.
    """

    def __init__(
        self, outputs: Sequence[Tensor], leaves: Sequence[Tensor], meant: set[Tensor] | None = None
    ) -> None:
        """meant : the nodes that may stop a gradient (None: all that do).

        Others, which a derivative rule put in, are run again like any op.
        """
        outputs = list(outputs)
        order = toposort(outputs)
        if any(t.op.kind == "recur" for t in order):
            outputs, meant = unfold(outputs, expand=True), None
            order = toposort(outputs)
        held = {t for t in order if facts_of(t.op).held and (meant is None or t in meant)}
        slot = {t: k for k, t in enumerate(order)}
        known = set(leaves)
        if any(t.op is INPUT and t not in known for t in order):
            raise ValueError(  # a jvp reads the cotangent it was derived with
                "a vjp is not linear in its cotangent, so no jvp follows from it"
            )
        self.order, self.outputs = order, [slot[t] for t in outputs]
        self.leaves = [slot.get(t) for t in leaves]
        steps = [(slot[t], t.op, [slot[i] for i in t.inputs], t.attrs) for t in order if t.inputs]
        given = {k for k in self.leaves if k is not None}
        moving, self.stops = set(given), False
        for k, _, ins, _ in steps:
            if order[k] in held:
                self.stops |= any(i in moving for i in ins)
            elif any(i in moving for i in ins):
                moving.add(k)
        reached = {slot[t] for t in toposort(outputs, stop=held.__contains__)}
        self.steps = [s for s in steps if s[0] not in given]
        self.live = [s for s in self.steps if s[0] in moving and s[0] in reached]
        self.complex = [
            (k, facts_of(op).analytic or op.numpy, i, a) for k, op, i, a in self.live
        ]
        self.unknown = [s for s in self.live if not facts_of(s[1]).analytic]
        self.opaque: list[str] = []  # the names of those that are not analytic at the point

    def base(self, values: Arrays, dtype: Any = None) -> Arrays:
        """Every value at a point; dtype None: in the recorded types.  Raises Narrow."""
        slots: Arrays = [None] * len(self.order)
        for k, t in enumerate(self.order):
            if t._value is not None and not t.inputs:
                slots[k] = (
                    t._value if dtype is None or t.dtype.kind != "f" else t._value.astype(dtype)
                )
        for at, value in zip(self.leaves, values, strict=True):
            if at is not None:
                slots[at] = value if dtype is None else np.asarray(value, dtype)
        with np.errstate(all="ignore"):
            for k, op, ins, attrs in self.steps:
                args = [slots[i] for i in ins]
                if dtype is None:
                    slots[k] = op.numpy(*args, **attrs)
                    continue
                slots[k] = self._wide(k, op, args, attrs, dtype)
        return slots

    def _wide(self, k: int, op: Any, args: Arrays, attrs: Any, dtype: np.dtype) -> Any:
        known = op in FACTS
        try:
            out = np.asarray(_meaning(op)(*args, **attrs))
        except Exception as error:
            if known or dtype == np.float64:
                raise
            raise Narrow(op.name) from error
        if self.order[k].dtype.kind == "f" and out.dtype != dtype:
            if known or dtype == np.float64:
                return out.astype(dtype)
            raise Narrow(op.name)
        return out

    def moved(self, slots: Arrays, values: Arrays) -> Arrays:
        """All values with the leaves elsewhere, from the base point's `slots`; complex or real."""
        slots = list(slots)
        turned = False
        for at, value in zip(self.leaves, values, strict=True):
            if at is not None:
                slots[at] = value
                turned = turned or np.iscomplexobj(value)
        with np.errstate(all="ignore"):
            if turned:
                for k, f, ins, attrs in self.complex:
                    slots[k] = f(*[slots[i] for i in ins], **attrs)
            else:
                for k, op, ins, attrs in self.live:
                    slots[k] = _meaning(op)(*[slots[i] for i in ins], **attrs)
        return slots

    def flat(self, slots: Arrays) -> Any:
        """The outputs as one vector."""
        parts = [np.reshape(slots[k], -1) for k in self.outputs]
        return np.concatenate(parts) if len(parts) != 1 else parts[0]


def _meaning(op: Any) -> Any:
    return facts_of(op).wide or op.numpy


# -- a function at a point -------------------------------------------------------------------------


def point_of(tape: Tape, xs: Arrays) -> Point:
    """The tape at `xs`, in the widest type its ops can be run in."""
    native = tape.base(xs)
    dtype = WIDE
    try:
        slots = tape.base(xs, dtype)
    except Narrow:
        dtype = np.dtype(np.float64)
        slots = tape.base(xs, dtype)
    wide = [np.asarray(x, dtype) for x in xs]
    marks = _ties(tape, slots, native)
    tape.opaque = sorted({s[1].name for s in tape.unknown} if len(tape.unknown) > MANY else {
        s[1].name for s in tape.unknown if not _turns(s, slots, dtype)
    })  # fmt: skip

    def gaps(values: Arrays) -> Any:
        moved = tape.moved(slots, values)
        with np.errstate(all="ignore"):
            parts = [g(*[moved[i] for i in ins], **a)[mask] for _, g, ins, a, mask in marks]
        return np.concatenate([np.reshape(p, -1) for p in parts])

    return Point(
        lambda values: tape.flat(tape.moved(slots, values)), wide, tape.flat(slots), dtype,
        not tape.opaque, bool(marks), gaps if marks else None, tape.flat(native),
        all(np.isfinite(v).all() for v in (*xs, *(native[k] for k, *_ in tape.live))),
        _places(marks) if marks else "",
    )  # fmt: skip


def _turns(step: tuple, slots: Arrays, dtype: np.dtype) -> bool:
    """Whether an op of the user's own is an analytic function at the operands it has here."""
    _, op, ins, attrs = step
    given = [np.asarray(slots[i]) for i in ins]
    at = [k for k, v in enumerate(given) if v.dtype.kind == "f"]

    def run(values: Arrays) -> Any:
        args = list(given)
        for k, v in zip(at, values, strict=True):
            args[k] = v
        with np.errstate(all="ignore"):
            return np.reshape(op.numpy(*args, **attrs), -1)

    rng = np.random.default_rng(0)
    xs = [given[k].astype(dtype) for k in at]
    moves = [[rng.integers(4, 17, x.shape) / 8 * rng.choice([-1, 1], x.shape) for x in xs]
             for _ in range(2)]  # fmt: skip
    try:
        point = Point(run, xs, run(xs), dtype, False)
    except Exception:  # it cannot be run in these numbers
        return False
    return all(np.isfinite(x).all() for x in xs) and seems_analytic(point, moves)


def _ties(tape: Tape, slots: Arrays, native: Arrays) -> list[tuple]:
    """Operands at a branch point, or so near that the recorded type's rounding cannot tell."""
    found = []
    for k, op, ins, attrs in tape.live:
        rule = facts_of(op).branch
        if rule is None or not any(np.asarray(slots[i]).dtype.kind == "f" for i in ins):
            continue
        with np.errstate(all="ignore"):
            gap = np.asarray(rule(*[np.asarray(slots[i]) for i in ins], **attrs))
            near = np.asarray(rule(*[np.asarray(native[i]) for i in ins], **attrs))
            mask = (gap == 0) | (np.abs(gap) <= 4 * np.abs(gap - near))
        if mask.any():
            found.append((tape.order[k], rule, ins, attrs, mask))
    return found


def _places(marks: list[tuple]) -> str:
    """The first of the ties, as a user would point at it."""
    node, rule, _, _, mask = marks[0]
    first = tuple(int(i) for i in np.argwhere(mask)[0])
    sides = []
    for t in node.inputs:
        last = zip(first[mask.ndim - t.ndim :], t.shape, strict=False)
        own = [k if n > 1 else 0 for k, n in last]
        at = f"[{', '.join(map(str, own))}]" if t.ndim else ""
        known = t._value is not None and not t.name and not t.ndim
        sides.append(f"{float(t._value):g}" if known else t.name and f"{t.name}{at}")
    words = f"{node.op.name} at [{', '.join(map(str, first))}]" if first else node.op.name
    if rule in BY_SIDES and all(sides):
        words = f"{sides[0]} = {sides[1] if len(sides) > 1 else 0} in {node.op.name}"
    more = sum(int(m[-1].sum()) for m in marks) - 1
    return words + (f", and {more} more" if more else "")
