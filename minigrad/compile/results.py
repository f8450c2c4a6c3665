"""What leaves a call: arrays of the caller's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import INPUT, Tensor
from ..recur import RECUR
from ..run.chunkwise import run_cut
from ..run.reference import run
from .layout import Rows


def plain(value: Any) -> Any:
    return value.user() if isinstance(value, Rows) else value


def fresh(value: Any, t: Tensor, taken: set[int]) -> np.ndarray:
    """A result of the caller's own: never workspace, nor an argument or another result (whose
    identities are `taken`), nor a view of one."""
    value = plain(value)
    owned = isinstance(value, np.ndarray) and value.base is None and value.flags.writeable
    if owned and value.dtype == t.dtype and id(value) not in taken:
        taken.add(id(value))
        return value
    return np.array(value, t.dtype)


def varying(order: Sequence[Tensor]) -> set[Tensor]:
    """What an argument reaches, of a topological order."""
    found: set[Tensor] = set()
    for t in order:
        if t.op is INPUT or any(i in found for i in t.inputs):
            found.add(t)
    return found


def settled(order: Sequence[Tensor], needed: set[Tensor], moving: set[Tensor]) -> dict[Tensor, Any]:
    """The values of what no argument reaches: the same at every call."""
    fixed = [t for t in order if t in needed and t not in moving and t.op is not RECUR]
    return run(fixed, run_cut) if fixed else {}
