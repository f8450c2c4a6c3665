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
from minigrad.recur import PROJ, SHARED, Index, parts_of, proj, pulled_back
from minigrad.run.evaluate import evaluate

from .factors import factored, term_norms
from .flow import frontier
from .numbers import norm, row_norms, together
from .reading import read

__all__ = ["Gradients", "norm", "row_norms", "together"]


class Gradients:
    """Gradients of one scalar; what has no gradient path is missing from a dict.

    arrived[r][t]: (N, *shape), the cotangent of the interior tensor t of recurrence r per node.
        Of a slot: what flows back along its edges.
        Of an input of its own: what this node alone contributes to its gradient.
    sums[r, k]: what all nodes add to the gradient of argument k, a leaf that they share.
    added[r][t]: (N,) norms of what each node adds to the gradient of a shared input.
    total[t]: the gradient with regard to a leaf (or any tensor of the outer graph asked for).
    back[consumer][p]: the part of p's cotangent (p a projection) that comes through one consumer.
        A consumer is the scalar itself, or (r, k): argument k of recurrence r.
    """

    def __init__(self, scalar: Tensor, recurs: Sequence[Tensor], leaves: Iterable[Tensor]) -> None:
        self.scalar = scalar
        self._terms: dict[tuple[Tensor, Tensor], Tensor] = {}
        wanted = [t for t in leaves if t.dtype.kind == "f"]
        found = backward([scalar], [ones_like(scalar)], [*recurs, *wanted])
        recorded: dict[str, Any] = {
            "arrived": {},
            "total": {t: found[t] for t in wanted if t in found},
            "back": {},
            "terms": {},
            "sums": {"all": {}},
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
            given = zip(block.inputs, r.inputs, parts_of(r).vias, strict=True)
            shared = {
                ph
                for ph, arg, via in given
                if via is SHARED and not any(p.op is PROJ for p in frontier(arg))
            } - {*block.slots.values(), *block.ports.values(), *block.outputs}
            arrived = {t: g for t, g in zip(also, inside, strict=True) if g is not None}
            recorded["arrived"][r] = {t: g for t, g in arrived.items() if t not in shared}
            self._terms |= {(r, t): g for t, g in arrived.items() if t in shared}
            recorded["terms"] |= {
                (r, t): dict(enumerate(factored(g))) for t, g in arrived.items() if t in shared
            }
            for k, (arg, g) in enumerate(zip(r.inputs, args, strict=True)):
                if g is not None:
                    recorded["back"][r, k] = _through(arg, g)
                    if not arg.inputs and parts_of(r).vias[k] is SHARED:
                        recorded["sums"]["all"][r, k] = g
        values = read(_listed(recorded))
        self.arrived, self.total, self.back, terms, sums = _unlisted(recorded, iter(values))
        self.sums = sums["all"]
        self.added: dict[Tensor, dict[Tensor, np.ndarray]] = {r: {} for r in self.arrived}
        for (r, t), parts in terms.items():
            self.added[r][t] = term_norms(list(parts.values()))

    def by_reader(
        self, r: Tensor, k: int, rows: Sequence[int]
    ) -> dict[int, dict[Tensor, np.ndarray]]:
        """As `back[r, k]`, but of what each node of r sends back through its argument k alone."""
        block, structure, vias = parts_of(r)
        sent = self.arrived.get(r, {}).get(block.inputs[k])
        if sent is None or not len(rows):
            return {row: {} for row in rows}
        arg, index = r.inputs[k], vias[k].index(structure.n)[0]
        seed = placeholder(arg.shape, arg.dtype, "sent")
        found = _through(arg, seed)
        made: list[Tensor] = []
        for row in rows:
            table = np.zeros(arg.shape, arg.dtype)
            if vias[k] is SHARED:
                table[...] = sent[row]
            elif index[row] >= 0:
                table[index[row]] = sent[row]
            made += rebuild(list(found.values()), {seed: constant(table)})
        values = iter(read(made))
        return {row: {p: next(values) for p in found} for row in rows}

    def by_group(self, r: Tensor, k: int, rows: np.ndarray) -> dict[Tensor, np.ndarray]:
        """As `back[r, k]`, but of what some nodes of r send back together."""
        block, structure, vias = parts_of(r)
        sent = self.arrived.get(r, {}).get(block.inputs[k])
        if sent is None:
            return {}
        arg, index = r.inputs[k], vias[k].index(structure.n)[0][rows]
        table = np.zeros(arg.shape, arg.dtype)
        if vias[k] is SHARED:
            table[...] = sent[rows].sum(axis=0)
        else:
            np.add.at(table, index[index >= 0], sent[rows][index >= 0])
        seed = placeholder(arg.shape, arg.dtype, "sent")
        found = _through(arg, seed)
        values = read(rebuild(list(found.values()), {seed: constant(table)})) if found else []
        return dict(zip(found, values, strict=True))

    def by_turn(
        self, ways: Sequence[tuple[Tensor, int, np.ndarray]], turns: int
    ) -> list[np.ndarray | None]:
        """What the nodes of each turn add to argument k of r together: (turns, *shape).

        ways: (r, k, (n,) the turn of each node; -1: none).  Of an input of its own, which is no sum
        over the nodes, likewise.
        """
        made: list[Tensor] = []
        kept: list[int | np.ndarray | None] = []
        for r, k, turn in ways:
            ph = parts_of(r).block.inputs[k]
            term = self._terms.get((r, ph))
            if term is not None:
                kept.append(len(made))
                back, ref = term.inputs[0], term.attrs["ref"]
                made.append(proj(back, ref, Index(turn, turns)))
            elif ph in self.arrived.get(r, {}):
                kept.append(Index(turn, turns).leave(self.arrived[r][ph]))
            else:
                kept.append(None)
        values = read(made) if made else []
        return [values[one] if isinstance(one, int) else one for one in kept]

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
        arrived, added = self.arrived.get(r, {}), self.added.get(r, {})
        known = [t for t in tensors if t in arrived or t in added]
        return together([row_norms(arrived[t]) if t in arrived else added[t] for t in known])


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
    return [t for part in _nested(recorded) for t in part.values()]


def _nested(recorded: dict[str, Any]) -> list[dict]:
    return [recorded["total"], *(part for name in _SEVERAL for part in recorded[name].values())]


def _unlisted(recorded: dict[str, Any], values: Any) -> Any:
    filled = iter([{key: next(values) for key in part} for part in _nested(recorded)])
    total = next(filled)
    arrived, *more = ({key: next(filled) for key in recorded[name]} for name in _SEVERAL)
    return arrived, total, *more


_SEVERAL = ("arrived", "back", "terms", "sums")
