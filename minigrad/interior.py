"""Inside the cell: what a recurrence computes at every node, by the names its cell gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from .graph import Tensor, toposort, where_recorded
from .ops.broadcast import reshape
from .ops.indexing import scatter, take
from .ops.movement import expand_dims
from .per_node import rearranged
from .recur import PROJ, RECUR, ROW, Block, parts_of, proj
from .run.evaluate import evaluate
from .structure import SINGLE

__all__ = ["interior"]


def interior(t: Tensor, name: str | None = None) -> Any:
    """A tensor inside the cell, at every node of the recurrence that made `t`, arranged as `t`.

    t    : a result of a recurrence: states or outputs, or rows of them,
           in whatever arrangement `mg.recur`, `unroll` or `fold` gave them.
    name : as the cell gave it, `f = mg.sigmoid(a).named("f")`; those of shipped cells are the
           letters of their formulas.  None: the names there are, in the order of computation.

    The leading axes are those of `t` (padding is 0), the others those of the tensor in the cell:
    of `ys` (T, B, H) the attention over L words is (T, B, L).
    It can be computed, differentiated, plotted and drawn like any other.
    What is named twice (in two layers, say) goes by `f.1`, `f.2`, in the order of computation.

    Raises ValueError for a name that is not inside, or stands for several tensors;
    and for a `t` that is no result of one recurrence, or whose own axes were cut or moved.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"interior: t must be a Tensor, a result of a recurrence; got {t!r:.60}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"interior: name is a string, or None for all names; got {name!r:.60}")
    chain = _made_by(t)
    row = chain[-1]
    found = _names(parts_of(row.inputs[0]).block)
    if name is None:
        return list(found)
    if name not in found:
        several = [n for n in found if n.rpartition(".")[0] == name]
        if several:
            lines = [f"{n} ({where_recorded(found[n]) or 'no line known'})" for n in several]
            raise ValueError(f"interior: {name!r} stands for several: say {', '.join(lines)}")
        near = get_close_matches(name, found, 3)
        perhaps = f" Is it {' or '.join(near)}?" if near else ""
        names = ", ".join(found) or "none yet: name a tensor in the cell, t.named('f')"
        raise ValueError(
            f"interior: there is no {name!r} inside.{perhaps} The names are {names}"
        )
    return _arranged(chain, proj(row.inputs[0], found[name], row.attrs["via"]))


def _made_by(t: Tensor) -> list[Tensor]:
    """`t`, and what it rearranges, back to the projection of a recurrence or of a plain call."""
    chain = rearranged(t)
    p = chain[-1]
    called = p.op is PROJ and parts_of(p.inputs[0]).structure is SINGLE
    if p.op is not PROJ or not (p.attrs["via"] is ROW or called):
        raise ValueError(
            f"interior: {t!r} is not the result of one recurrence, or a rearrangement of it; "
            "pass states or outputs as mg.recur, rc.unroll or rc.fold returned them"
        )
    return chain


def _names(block: Block) -> dict[str, Tensor]:
    """What is named inside a block, and inside what it calls; the state that arrives left out."""
    named: dict[str, list[Tensor]] = {}
    for t in toposort([*block.outputs, *block.ports.values()]):
        if t.name is not None and t.inputs and t.op is not RECUR:
            named.setdefault(t.name, []).append(t)
    return {
        name if len(ts) == 1 else f"{name}.{k}": t
        for name, ts in named.items()
        for k, t in enumerate(ts, 1)
    }


def _arranged(chain: Sequence[Tensor], new: Tensor) -> Tensor:
    """`new`, which has a row per node, with the leading axes that the first has of the last."""
    t, row = chain[0], chain[-1]
    if t is row:
        return new
    by_row = row.attrs["via"] is ROW
    own = row.ndim - by_row
    n = len(row) if by_row else 1
    at = np.broadcast_to(np.arange(1, n + 1).reshape(-1, *(1,) * own), (n, *row.shape[by_row:]))
    at = at if by_row else at[0]
    for step in reversed(chain[:-1]):  # where each row goes: 0 where none does
        at = step.op.numpy(at, *map(evaluate, step.inputs[1:]), **step.attrs)
    lead = t.shape[: t.ndim - own]
    rows = at.reshape(*lead, -1)
    whole = t.ndim >= own and t.shape[len(lead) :] == row.shape[by_row:]
    if not whole or (rows != rows[..., :1]).any():
        raise ValueError(
            f"interior: {t!r} is not arranged by rows: axes of the state itself, "
            f"{row.shape[by_row:]}, were cut, moved or merged; give states or outputs as they came"
        )
    numbers = rows[..., 0].reshape(-1) if rows.size else np.zeros(math.prod(lead), np.int64)
    table = new if by_row else expand_dims(new, axis=0)
    kept = np.flatnonzero(numbers)
    picked = take(table, numbers[kept] - 1)
    flat = picked if len(kept) == len(numbers) else scatter(picked, kept, len(numbers))
    return reshape(flat, (*lead, *table.shape[1:]))
