"""The gradient in the unfolded view: what flows along each edge, added up until all is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.recur import SHARED, parts_of

from .describe import lines
from .draft import Draft
from .flow import frontier
from .gradient import Gradients, norm, row_norms, together
from .scene import norm_text

MOST_NUMBERED = 240  # cells; beyond, the numbers beside the edges could not be read


class Backward:
    """Norms of the gradient of one scalar, by edge of the drawing; without a scalar, all None.

    wanted: the leaves whose gradients are shown besides those of the states; None: all.
    """

    def __init__(
        self,
        scalar: Tensor | None,
        recurs: Sequence[Tensor],
        leaves: Sequence[Tensor],
        wanted: Sequence[Tensor] | None,
    ) -> None:
        self._gradients = None if scalar is None else Gradients(scalar, recurs, leaves)
        self._wanted = None if wanted is None else set(wanted)
        self._states: dict[Tensor, np.ndarray | None] = {}
        self._flows: dict[tuple[str, str, int], list[float]] = defaultdict(list)  # by user, maker

    def flow(self, source: str, target: str, part: Any, slot: int = 0) -> None:
        """A part of what passes from ``target`` back to ``source``; None: no gradient path."""
        if part is not None:
            self._flows[target, source, slot].append(float(part))

    def asked(self, t: Tensor) -> bool:
        """Whether gradients with regard to ``t``, or to a leaf of it, are shown."""
        return self._wanted is None or bool(self._wanted & {t, *frontier(t)})

    def rows(self, r: Tensor, tensors: Iterable[Tensor]) -> np.ndarray | None:
        """(n,) norms of what arrives at interior tensors of ``r`` together, at each node."""
        return None if self._gradients is None else self._gradients.rows(r, tensors)

    def state(self, r: Tensor, row: int) -> float | None:
        """The norm of the total gradient with regard to a node's state.

        An output that is not computed from the state counts with it: the loss may read only that.
        """
        if r not in self._states:
            block = parts_of(r).block
            ports = set(block.ports.values())
            apart = [y for y in block.outputs if ports.isdisjoint(toposort([y]))]
            self._states[r] = self.rows(r, [*dict.fromkeys((*block.ports.values(), *apart))])
        norms = self._states[r]
        return None if norms is None else float(norms[row])

    def leaf(self, t: Tensor) -> float | None:
        """The norm of the gradient with regard to a leaf."""
        if self._gradients is None or not self.asked(t) or t not in self._gradients.total:
            return None
        return norm(self._gradients.total[t])

    def direct(self, leaves: Iterable[Tensor]) -> float | None:
        """The norm of what the scalar gives leaves back with no recurrence between.

        None: there is no path.
        """
        asked = [t for t in leaves if t.dtype.kind == "f" and self.asked(t)]
        if self._gradients is None or not asked:
            return None
        found = together([np.array([norm(g)]) for g in self._gradients.direct(asked)])
        return None if found is None else float(found[0])

    def through(self, consumer: Any) -> dict[Tensor, np.ndarray]:
        """(n,) norms, per recurrence, of what its projections get back through one consumer.

        consumer: the scalar, or (recurrence, number of the argument).
        """
        if self._gradients is None:
            return {}
        return _by_maker(self._gradients.back.get(consumer, {}))

    def one_reader(self, r: Tensor, k: int, row: int) -> dict[Tensor, np.ndarray]:
        """The same of what one node of ``r`` sends back through its argument k."""
        if self._gradients is None:
            return {}
        return _by_maker(self._gradients.one_reader(r, k, row))

    def draw(self, draft: Draft) -> None:
        """One backward edge against each forward edge along which the scalar can be reached."""
        if self._gradients is None:
            return
        reaching = _reaching(draft)
        numbered = sum(n.kind == "cell" for n in draft.nodes.values()) <= MOST_NUMBERED
        # In a dag the numbers would lie on top of each other.
        unnumbered = {None, *(c.id for c in draft.clusters if c.arrangement == "dag")}
        for edge in list(draft.edges):
            parts = self._flows.get((edge.target, edge.source, edge.slot))
            if not parts or edge.target not in reaching:
                continue
            total = norm(np.asarray(parts))
            lanes = draft.nodes[edge.source].lane, draft.nodes[edge.target].lane
            shown = numbered and edge.kind in ("state", "elided") and unnumbered.isdisjoint(lanes)
            way = f"from {_named(draft, edge.target)} back to {_named(draft, edge.source)}"
            draft.edge(
                edge.target,
                edge.source,
                "backward",
                label=norm_text(total) if shown else "",
                norm=total,
                tooltip=lines(f"gradient norm {total:.6g}", way),
                slot=edge.slot,
            )


def _by_maker(cotangents: dict[Tensor, np.ndarray]) -> dict[Tensor, np.ndarray]:
    """(n,) norms, per recurrence, of the cotangents of its projections."""
    parts: dict[Tensor, list[np.ndarray]] = defaultdict(list)
    for p, g in cotangents.items():
        via, r = p.attrs["via"], p.inputs[0]
        rows, _ = via.index(parts_of(r).structure.n)
        norms = norm(g) if via is SHARED else row_norms(g)
        parts[r].append(np.append(norms, 0.0)[rows])  # -1: nothing
    return {r: total for r, found in parts.items() if (total := together(found)) is not None}


def _reaching(draft: Draft) -> set[str]:
    """The nodes from which a forward path leads to the loss."""
    makers: dict[str, list[str]] = defaultdict(list)
    for edge in draft.edges:
        makers[edge.target].append(edge.source)
    stack = [id for id, node in draft.nodes.items() if node.kind == "loss"]
    found = set(stack)
    while stack:
        for maker in makers[stack.pop()]:
            if maker not in found:
                found.add(maker)
                stack.append(maker)
    return found


def _named(draft: Draft, id: str) -> str:
    return draft.nodes[id].tooltip.split("\n")[0] or draft.nodes[id].label
