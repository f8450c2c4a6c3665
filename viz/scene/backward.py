"""The gradient in the unfolded view: what flows along each edge, added up until all is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.recur import SHARED, parts_of

from .describe import lines
from .draft import Draft
from .flow import frontier
from .gradient import Gradients, norm, together
from .scene import norm_text

MOST_NUMBERED = 240  # cells; beyond, the numbers beside the edges could not be read
Way = tuple[str, str, int, str]  # user, maker, slot, part of the state
Sent = dict[Tensor, np.ndarray]  # what projections get back


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
        self.scalar = scalar
        self._gradients = None if scalar is None else Gradients(scalar, recurs, leaves)
        self._wanted = None if wanted is None else set(wanted)
        self._states: dict[Tensor, np.ndarray | None] = {}
        self._flows: dict[Way, list[float]] = defaultdict(list)
        self._sums: dict[Way, dict[Any, np.ndarray]] = defaultdict(dict)

    def flow(self, source: str, target: str, size: Any, slot: int = 0, part: str = "") -> None:
        """Some of what passes from ``target`` back to ``source``: of its own; None: no path."""
        if size is not None:
            self._flows[target, source, slot, part].append(float(size))

    def add(self, source: str, target: str, sent: Mapping[Any, np.ndarray], part: str = "") -> None:
        """What passes back to parts of ``source``, which is added to what passes there already.

        Two arguments may read one state: what comes back through both is a sum.
        """
        sums = self._sums[target, source, 0, part]
        for key, value in sent.items():
            sums[key] = sums[key] + value if key in sums else value

    def asked(self, t: Tensor) -> bool:
        """Whether gradients with regard to ``t``, or to a leaf of it, are shown."""
        return self._wanted is None or bool(self._wanted & {t, *frontier(t)})

    def rows(self, r: Tensor, tensors: Iterable[Tensor]) -> np.ndarray | None:
        """(n,) norms of what arrives at interior tensors of ``r`` together, at each node."""
        return None if self._gradients is None else self._gradients.rows(r, tensors)

    def vector(self, r: Tensor, ph: Tensor, row: int) -> np.ndarray | None:
        """What one node of ``r`` gives an input of its own back."""
        arrived = None if self._gradients is None else self._gradients.arrived.get(r, {}).get(ph)
        return None if arrived is None else arrived[row]

    def at_nodes(self, r: Tensor, ph: Tensor) -> np.ndarray | None:
        """The same of all nodes, (n, *shape)."""
        return None if self._gradients is None else self._gradients.arrived.get(r, {}).get(ph)

    def state(self, r: Tensor, row: int) -> float | None:
        """The norm of the total gradient with regard to a node's state."""
        norms = self.states(r)
        return None if norms is None else float(norms[row])

    def states(self, r: Tensor) -> np.ndarray | None:
        """(n,) the same of all nodes.

        An output that is not computed from the state counts with it: the loss may read only that.
        """
        if r not in self._states:
            block = parts_of(r).block
            ports = set(block.ports.values())
            apart = [y for y in block.outputs if ports.isdisjoint(toposort([y]))]
            self._states[r] = self.rows(r, [*dict.fromkeys((*block.ports.values(), *apart))])
        return self._states[r]

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

    def outside(self, leaf: Tensor) -> np.ndarray | None:
        """What the scalar gives a leaf back with no recurrence between; None: there is no path."""
        if self._gradients is None:
            return None
        found = self._gradients.direct([leaf])
        return found[0] if found else None

    def by_turn(
        self, ways: Sequence[tuple[Tensor, int, np.ndarray]], turns: int
    ) -> list[np.ndarray | None]:
        """Of arguments of recurrences, what their nodes add at each turn: (turns, *shape).

        ways: (recurrence, argument, (n,) the turn of each node, -1 for none).
        """
        if self._gradients is None:
            return [None] * len(ways)
        return self._gradients.by_turn(ways, turns)

    def total(self, t: Tensor) -> np.ndarray | None:
        """The gradient with regard to a leaf, where it is shown."""
        asked = self._gradients is not None and self.asked(t)
        return self._gradients.total.get(t) if asked and self._gradients is not None else None

    def added(self, r: Tensor, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(n,) norms of what each node adds to the gradient of a leaf it shares, and the sum."""
        if self._gradients is None or (r, k) not in self._gradients.sums:
            return None
        norms = self._gradients.rows(r, [parts_of(r).block.inputs[k]])
        return None if norms is None else (norms, self._gradients.sums[r, k])

    def through(self, consumer: Any) -> Sent:
        """What projections of recurrences get back through one consumer.

        consumer: the scalar, or (recurrence, number of the argument).
        """
        return {} if self._gradients is None else self._gradients.back.get(consumer, {})

    def by_reader(self, r: Tensor, k: int, rows: Sequence[int]) -> dict[int, Sent]:
        """The same of what each of some nodes of ``r`` sends back through its argument k."""
        if self._gradients is None:
            return {row: {} for row in rows}
        return self._gradients.by_reader(r, k, rows)

    def by_group(self, r: Tensor, k: int, rows: np.ndarray) -> Sent:
        """The same of what some nodes of ``r`` send back together."""
        return {} if self._gradients is None else self._gradients.by_group(r, k, rows)

    def draw(self, draft: Draft) -> None:
        """One backward edge against each forward edge along which the scalar can be reached."""
        if self._gradients is None:
            return
        reaching = _reaching(draft)
        numbered = sum(n.kind == "cell" for n in draft.nodes.values()) <= MOST_NUMBERED
        # In a dag the numbers would lie on top of each other.
        unnumbered = {None, *(c.id for c in draft.clusters if c.arrangement == "dag")}
        for edge in list(draft.edges):
            way = edge.target, edge.source, edge.slot, edge.part
            parts = [*self._flows.get(way, ()), *map(norm, self._sums.get(way, {}).values())]
            if not parts or edge.target not in reaching or edge.cut:
                continue
            total = norm(np.asarray(parts))
            lanes = draft.nodes[edge.source].lane, draft.nodes[edge.target].lane
            shown = numbered and edge.kind in ("state", "elided") and unnumbered.isdisjoint(lanes)
            place = f"from {_named(draft, edge.target)} back to {_named(draft, edge.source)}"
            draft.edge(
                edge.target,
                edge.source,
                "backward",
                label=norm_text(total) if shown else "",
                norm=total,
                tooltip=lines(f"gradient norm {total:.6g}", place),
                slot=edge.slot,
                part=edge.part,
                weight=edge.weight,
            )


def at_rows(sent: Sent, r: Tensor, rows: np.ndarray) -> dict[Any, np.ndarray]:
    """Of what projections get back, what belongs to some nodes of ``r``, by what they project."""
    found: dict[Any, np.ndarray] = {}
    for p, g in sent.items():
        if p.inputs[0] is not r:
            continue
        at = p.attrs["via"].index(parts_of(r).structure.n)[0][rows]
        table = g[None] if p.attrs["via"] is SHARED else g
        value = np.where((at >= 0).reshape(-1, *[1] * (table.ndim - 1)), table[at], 0)
        ref = p.attrs["ref"]
        found[ref] = found[ref] + value if ref in found else value
    return found


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
