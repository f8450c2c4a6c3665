"""What is known of the numbers in a block: their type, whether integers fit, which are constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import CONSTANT, Tensor, toposort
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.elementwise import WHERE
from ..run.reference import reference
from .language import Unsupported


def is_exact(t: Tensor, real: str) -> bool:
    """Whether all integers that t may hold are numbers of the type `real`."""
    while t.op in (BROADCAST, RESHAPE):  # the same integers
        (t,) = t.inputs
    if t._value is not None:
        low, high = (int(np.min(t._value, initial=0)), int(np.max(t._value, initial=0)))
    else:
        limits = np.iinfo(t.dtype)
        low, high = t.attrs.get("bounds", (limits.min, limits.max + 1))
    return max(-low, high) <= 2 ** (np.finfo(real).nmant + 1)


def one_dtype(order: Sequence[Tensor]) -> str:
    """The block's float type.

    Choices among constants (`where(mask, -inf, 0.0)`) have none of their own until they are cast.
    """
    free: set[Tensor] = set()
    for t in order:
        data = [i for i in t.inputs if i.dtype.kind == "f"]
        if t.op is CONSTANT or (t.op in (WHERE, BROADCAST, RESHAPE) and free.issuperset(data)):
            free.add(t)
    kinds = {t.dtype.name for t in order if t.dtype.kind == "f" and t not in free}
    kinds = kinds or {t.dtype.name for t in order if t.dtype.kind == "f"}
    used = {i for t in order if t not in free and t.op.name != "astype" for i in t.inputs}
    kinds |= {t.dtype.name for t in free if t in used and t.dtype.kind == "f"}
    if len(kinds) != 1 or kinds - {"float32", "float64"}:
        raise Unsupported(f"a block in {' and '.join(sorted(kinds)) or 'no floating-point type'}")
    return kinds.pop()


def only_number(t: Tensor) -> float | None:
    """The one number that fills `t`, where it is made of constants alone (such as 1 / n)."""
    if any(leaf.op is not CONSTANT for leaf in toposort([t]) if not leaf.inputs):
        return None
    value = reference(t)
    return float(value.flat[0]) if value.size and (value == value.flat[0]).all() else None
