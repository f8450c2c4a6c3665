"""Equal expressions made one: the same op on the same inputs with the same attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import static
from ..graph import CONSTANT, Tensor, toposort
from ..recur import PROJ, RECUR
from .regions import again

SMALL = 64  # elements of constants that are compared


def merge(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same outputs, every expression computed once.  Names make no difference to a value; the
    first that is met stays."""
    new: dict[Tensor, Tensor] = {}
    known: dict[Any, Tensor] = {}
    for t in toposort(outputs):
        made = again(t, [new[x] for x in t.inputs])
        key = _key(made)
        new[t] = made if key is None else known.setdefault(key, made)
    return [new[t] for t in outputs]


def _key(t: Tensor) -> Any:
    """What decides a value; None: itself alone."""
    if t.op is CONSTANT:
        value = np.asarray(t._value)
        return (value.tobytes(), t.shape, t.dtype) if t.size <= SMALL else None
    if not t.inputs or t.op in (PROJ, RECUR):
        return None
    return t.op, t.inputs, attributes_key(t), t.shape, t.dtype


def attributes_key(t: Tensor) -> Any:
    """The attributes of an op, to compare: exactly, by identity what has no value of its own; but
    for a shape that is the tensor's."""
    if not t.attrs or len(t.attrs) == 1 and t.attrs.get("shape") == t.shape:
        return ()
    return tuple([(name, static.key(value)) for name, value in sorted(t.attrs.items())])
