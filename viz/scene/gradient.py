"""The numbers of the gradient view: how much gradient passes each edge of the unfolded picture.

All of it comes from the one backward recurrence of each recurrence.
What reaches an interior tensor at a node is a projection of it.
Norms are Euclidean, per structure node, over all leaves of what the edge carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.autodiff import backward
from minigrad.graph import Tensor, constant, placeholder, rebuild
from minigrad.ops import ones_like
from minigrad.recur import PROJ, SHARED, parts_of, pulled_back
from minigrad.run.evaluate import evaluate

from .flow import frontier


class Gradients:
    """Gradients of one scalar; what has no gradient path is missing from a dict.

    arrived[r][t]: (N, *shape), the cotangent of the interior tensor t of recurrence r per node.
        Of a slot: what flows back along its edges.
        Of an input: what this node alone contributes to its gradient.
    total[t]: the gradient with regard to a leaf (or any tensor of the outer graph asked for).
    back[consumer][p]: the part of p's cotangent (p a projection) that comes through one consumer.
        A consumer is the scalar itself, or (r, k): argument k of recurrence r.
    """

    def __init__(self, scalar: Tensor, recurs: Sequence[Tensor], leaves: Iterable[Tensor]) -> None:
        self.scalar = scalar
        wanted = [t for t in leaves if t.dtype.kind == "f"]
        found = backward([scalar], [ones_like(scalar)], [*recurs, *wanted])
        recorded: dict[str, Any] = {
            "arrived": {},
            "total": {t: found[t] for t in wanted if t in found},
            "back": {},
        }
        recorded["back"][scalar] = _through(scalar, ones_like(scalar))
        for r in recurs:
            if r not in found:
                continue
            block = parts_of(r).block
            floats = [arg.dtype.kind == "f" for arg in r.inputs]
            interior = dict.fromkeys(
                (*block.slots.values(), *block.inputs, *block.ports.values(), *block.outputs)
            )
            also = tuple(t for t in interior if t.dtype.kind == "f")
            args, inside = pulled_back(found[r], r, floats, also)
            recorded["arrived"][r] = {
                t: g for t, g in zip(also, inside, strict=True) if g is not None
            }
            for k, (arg, g) in enumerate(zip(r.inputs, args, strict=True)):
                if g is not None:
                    recorded["back"][r, k] = _through(arg, g)
        values = evaluate(_listed(recorded))
        self.arrived, self.total, self.back = _unlisted(recorded, iter(values))

    def one_reader(self, r: Tensor, k: int, row: int) -> dict[Tensor, np.ndarray]:
        """As `back[r, k]`, but of what one node of r sends back through its argument k alone."""
        block, structure, vias = parts_of(r)
        sent = self.arrived.get(r, {}).get(block.inputs[k])
        if sent is None:
            return {}
        arg, index = r.inputs[k], vias[k].index(structure.n)[0]
        table = np.zeros(arg.shape, arg.dtype)
        if vias[k] is SHARED:
            table[...] = sent[row]
        elif index[row] >= 0:
            table[index[row]] = sent[row]
        found = _through(arg, constant(table))
        return dict(zip(found, evaluate(list(found.values())), strict=True))

    def direct(self, leaves: Sequence[Tensor]) -> list[np.ndarray]:
        """What the scalar's own ops, with no recurrence between, give the leaves back."""
        ends = [t for t in frontier(self.scalar) if t.op is PROJ]
        cut = {p: placeholder(p.shape, p.dtype, p.name) for p in ends}
        (severed,) = rebuild([self.scalar], cut)
        found = backward([severed], [ones_like(severed)], leaves)
        mended = rebuild([found[t] for t in leaves if t in found], {c: p for p, c in cut.items()})
        return evaluate(mended)

    def rows(self, r: Tensor, tensors: Iterable[Tensor]) -> np.ndarray | None:
        """(N,) norms of what arrives at interior tensors of r together; None: no gradient path."""
        arrived = self.arrived.get(r, {})
        return together([row_norms(arrived[t]) for t in tensors if t in arrived])


def row_norms(values: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows of (N, ...), safe from overflow and underflow."""
    flat = np.abs(np.asarray(values, np.float64).reshape(len(values), -1))
    largest = flat.max(axis=1, initial=0.0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(all="ignore"):
        return scale * np.sqrt(np.square(flat / scale[:, None]).sum(axis=1))


def norm(value: np.ndarray) -> float:
    """The Euclidean norm of all elements."""
    return float(row_norms(np.asarray(value).reshape(1, -1))[0])


def together(norms: Sequence[np.ndarray]) -> np.ndarray | None:
    """Norms of parts joined to the norm of the whole, elementwise; None for no parts."""
    return row_norms(np.stack(norms, axis=-1)) if norms else None


def _through(t: Tensor, ct: Tensor) -> dict[Tensor, Tensor]:
    """The cotangents of the projections that `t` is computed from by ordinary ops alone."""
    ends = [p for p in frontier(t) if p.op is PROJ and p.dtype.kind == "f"]
    if not ends:
        return {}
    cut = {p: placeholder(p.shape, p.dtype, p.name) for p in ends}
    (severed,) = rebuild([t], cut)
    found = backward([severed], [ct], list(cut.values()))
    some = [(p, found[c]) for p, c in cut.items() if c in found]
    mended = rebuild([g for _, g in some], {c: p for p, c in cut.items()})
    return dict(zip([p for p, _ in some], mended, strict=True))


def _listed(recorded: dict[str, Any]) -> list[Tensor]:
    nested = [*recorded["arrived"].values(), recorded["total"], *recorded["back"].values()]
    return [t for part in nested for t in part.values()]


def _unlisted(recorded: dict[str, Any], values: Any) -> tuple[dict, dict, dict]:
    def fill(part: dict) -> dict:
        return {key: next(values) for key in part}

    arrived = {r: fill(part) for r, part in recorded["arrived"].items()}
    total = fill(recorded["total"])
    return arrived, total, {key: fill(part) for key, part in recorded["back"].items()}
