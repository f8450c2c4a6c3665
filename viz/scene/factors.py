"""Norms of what every node adds to the gradient of a shared tensor, without forming the terms.

At one node the cotangent of a matrix is an outer product, or a sum of a few:
its norm is the product of the factors' norms.  So a sequence of 10,000 steps costs two vectors a
step instead of a matrix a step.  (``recurrent.study.ledger`` does the same, on squares.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.graph import Tensor
from minigrad.recur import ROW, proj

from .numbers import row_norms

EXACT = 1e-9  # of what the terms come to together: below, their sum is formed after all


def factored(t: Tensor) -> list[Tensor]:
    """What to read of a cotangent per node (a projection by ROW): pairs of factors, or itself."""
    back, ref = t.inputs[0], t.attrs["ref"]
    terms = ref.inputs if ref.op.name in ("add", "add_n") else (ref,)
    pairs = [_pair(x) for x in terms]
    if len(pairs) > 4 or any(pair is None for pair in pairs):
        return [t]
    return [proj(back, x, ROW) for pair in pairs if pair is not None for x in pair]


def _pair(t: Tensor) -> tuple[Tensor, Tensor] | None:
    """The vectors of an outer product, in the order of its axes."""
    if t.op.name != "einsum" or len(t.inputs) != 2:
        return None
    subs, out = t.attrs["subs"], t.attrs["out"]
    if sorted(map(len, subs)) != [1, 1] or len(out) != 2 or subs[0] == subs[1]:
        return None
    first, second = (t.inputs[subs.index(c)] for c in out)
    return first, second


def term_norms(values: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) norms of the terms: of what ``factored`` named, as evaluated."""
    if len(values) == 1:
        return row_norms(values[0])
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(values[::2], values[1::2], strict=True)
    ]
    with np.errstate(all="ignore"):
        sizes = np.stack([row_norms(a) * row_norms(b) for a, b in pairs])
        if len(pairs) == 1 and np.isfinite(sizes).all():
            return sizes[0]
        scale = np.max(sizes, axis=0)
        scale[scale == 0] = 1.0
        square = np.zeros(len(scale))
        for k, (a, b) in enumerate(pairs):
            for j, (c, d) in enumerate(pairs[: k + 1]):
                across = np.einsum("ni,ni->n", a, c) / scale * np.einsum("ni,ni->n", b, d) / scale
                square += across if j == k else 2 * across
        found = scale * np.sqrt(np.maximum(square, 0))
        # Where the terms cancel, or are too small to be squared, they are added up.
        near = np.flatnonzero(~(square > EXACT) | ~np.isfinite(square) | ~np.isfinite(found))
        for n in near.tolist():
            whole = np.sum([np.outer(a[n], b[n]) for a, b in pairs], axis=0)
            found[n] = row_norms(whole[None])[0]
    return found
