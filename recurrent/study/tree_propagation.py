"""How a perturbation propagates through a tree: a Jacobian for every edge, products to the root.

    d s_root / d s_n = J_1 J_2 ... J_d,   along the d edges from the root down to n

Where a chain's distance is time, a tree's is depth: log n for a balanced tree over n words
(Bengio, Goodfellow and Courville 2016, section 10.6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees
from minigrad.recur import ROW, parts_of, proj, recurrence
from minigrad.structure import Structure, independent

from ..trees import fold, roots
from .pictures import LINE, SOFT, axes
from .steps import singular_values

__all__ = ["TreePropagation"]


@dataclass(eq=False)
class TreePropagation:
    """What `propagation(..., trees=)` found.  N nodes in post-order, S numbers of a state.

    A state is what a node hands to its parent, all its parts as one vector
    (of a child-sum Tree-LSTM, h and f * c).

    structure : of the forest; its E edges lead from children to parents.
    jacobians : (E, S, S), of every edge the parent's state by the child's.
    depth     : (N,), how many edges lead from a node to its root.
    """

    cell: Callable
    params: Any
    xs: Any
    trees: Any
    carry: Any = None

    @cached_property
    def _ran(self) -> tuple[mg.Tensor, Any]:
        params = pytrees.tree_map(mg.asarray, self.params)
        xs = pytrees.tree_map(mg.asarray, self.xs)
        states, ys = fold(self.cell, params, self.trees, xs, self.carry)
        return pytrees.tree_leaves(states)[0].inputs[0], ys

    @property
    def structure(self) -> Structure:
        return parts_of(self._ran[0]).structure

    @cached_property
    def depth(self) -> np.ndarray:
        s, found = self.structure, np.zeros(self.structure.n, np.int64)
        for edge in self._downwards():
            found[s.src[edge]] = found[s.dst[edge]] + 1
        return found

    def _downwards(self) -> np.ndarray:
        """The edges, those into higher levels first: parents are reached before children."""
        return np.argsort(-self.structure.level[self.structure.dst], kind="stable")

    @cached_property
    def jacobians(self) -> np.ndarray:
        node, _ = self._ran
        block, s, vias = parts_of(node)
        slots, ports = list(block.slots), list(block.ports)
        sent = mg.evaluate([proj(node, block.ports[p], ROW) for p in ports])
        given: list[mg.Tensor] = []
        values: dict[mg.Tensor, np.ndarray] = {}
        for slot, leaf in slots:  # what arrives at every node, as independent inputs
            ph = block.slots[slot, leaf]
            arrived = np.zeros((s.n, *ph.shape), ph.dtype)
            for (port, other), rows in zip(ports, sent, strict=True):
                edges = (s.slot == slot) & (s.port == port)
                if other == leaf:
                    np.add.at(arrived, s.dst[edges], rows[s.src[edges]])
            given.append(mg.symbol(f"s{len(given)}", arrived.shape, dtype=arrived.dtype))
            values[given[-1]] = arrived
        args = [*mg.evaluate(list(node.inputs))]
        step = recurrence(block.closed, independent(s.n), [*map(mg.asarray, args), *given],
                          [*vias, *[ROW] * len(given)])  # fmt: skip
        leaving = [proj(step, block.ports[p], ROW) for p in ports]
        found = self._by_slots(leaving, given, values)  # of every port, of every slot
        widths = [int(np.prod(rows.shape[1:])) for rows in sent]
        ends = np.cumsum([0, *widths])
        out = np.zeros((len(s.src), ends[-1], ends[-1]))
        for k, (slot, leaf) in enumerate(slots):
            for m, (port, other) in enumerate(ports):
                edges = (s.slot == slot) & (s.port == port)
                if other == leaf:
                    out[edges, :, ends[m] : ends[m + 1]] = found[k][s.dst[edges]]
        return out

    def _by_slots(
        self, leaving: list[mg.Tensor], given: list[mg.Tensor], values: dict[mg.Tensor, Any]
    ) -> list[np.ndarray]:
        """Of every slot (N, S, its size): what leaves a node by what arrives at it there."""
        seeds = [mg.symbol(f"seed{k}", t.shape, dtype=t.dtype) for k, t in enumerate(leaving)]
        read = set(mg.nodes(leaving))
        slopes = [
            mg.vjp(leaving, g, seeds) if g in read else mg.zeros_like(g) for g in given
        ]  # fmt: skip
        known = set(mg.nodes(slopes))
        fixed = {t: v for t, v in values.items() if t in known}
        rows: list[list[np.ndarray]] = []
        for t in seeds:
            for place in np.ndindex(t.shape[1:]):
                basis = {other: np.zeros(other.shape, other.dtype) for other in seeds}
                basis[t][(slice(None), *place)] = 1
                given_seeds = {k: v for k, v in basis.items() if k in known}
                rows.append(mg.evaluate(slopes, fixed | given_seeds))
        return [
            np.stack([r[k].reshape(len(r[k]), -1) for r in rows], axis=1) for k in range(len(given))
        ]

    @cached_property
    def products(self) -> np.ndarray:
        """(N, S, S): d s_root / d s_n, the identity at a root."""
        s, size = self.structure, self.jacobians.shape[-1]
        found = np.zeros((s.n, size, size))
        found[roots(self.trees)] = np.eye(size)
        for edge in self._downwards():
            found[s.src[edge]] += found[s.dst[edge]] @ self.jacobians[edge]
        return found

    def norms(self) -> np.ndarray:
        """(N,): the largest singular value of d s_root / d s_n."""
        return singular_values(self.products)[..., 0]

    @cached_property
    def singular_values(self) -> np.ndarray:
        """(E, S), of every edge's Jacobian, the largest first; NaN of one that is not finite."""
        return singular_values(self.jacobians)

    def by_depth(self) -> dict[int, np.ndarray]:
        """{depth: the norms of d s_root / d s_n of all nodes that deep}."""
        norms = self.norms()
        return {int(d): norms[self.depth == d] for d in np.unique(self.depth)}

    @property
    def growth(self) -> float:
        """Nats an edge: the mean over nodes that are no roots of log(norm) / depth; NaN of none."""
        below = self.depth > 0
        if not below.any():
            return float("nan")
        with np.errstate(divide="ignore"):
            return float(np.mean(np.log(self.norms()[below]) / self.depth[below]))

    @cached_property
    def sensitivity(self) -> np.ndarray:
        """(words,): |d output of the root / d x_w|, each word's in its own tree."""
        if self.xs is None:
            raise ValueError("propagation: trees without inputs have no sensitivity to them")
        leaves, spec = pytrees.tree_flatten(pytrees.tree_map(mg.asarray, self.xs))
        _, ys = fold(self.cell, pytrees.tree_map(mg.asarray, self.params), self.trees,
                     pytrees.tree_unflatten(spec, leaves), self.carry)  # fmt: skip
        rows = roots(self.trees)
        total = 0
        for y in pytrees.tree_leaves(ys):
            top = mg.sum(mg.take(y, rows, axis=0), axis=0)  # a word is in one tree alone
            for g in mg.evaluate([mg.jacobian(top, x) for x in leaves]):
                by_word = np.moveaxis(g, top.ndim, 0).reshape(g.shape[top.ndim], -1)
                total = total + np.sum(by_word**2, axis=1)
        return np.sqrt(total)

    def __str__(self) -> str:
        s = self.structure
        lines = [f"{s.n} nodes in {s.components} tree(s), a state of {self.jacobians.shape[-1]} "
                 f"numbers; {self.growth:.3g} nats an edge"]  # fmt: skip
        for depth, norms in self.by_depth().items():
            lines.append(
                f"depth {depth}: |d s_root / d s_n| = {norms.mean():.3g} "
                f"({norms.min():.2g} to {norms.max():.2g}, {len(norms)} of them)"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        s = self.structure
        return f"<propagation over {s.components} trees of {s.n} nodes>"

    def plot(self, ax: Any = None) -> Any:
        """|d s_root / d s_n| by depth, a point a node and their mean, on matplotlib axes.

        Raises ImportError where matplotlib is not installed.
        """
        ax = axes(ax, "by_depth() is the data")
        ax.semilogy(self.depth, self.norms(), "o", color=SOFT, markersize=4, alpha=0.6)
        means = {d: float(np.mean(n)) for d, n in self.by_depth().items()}
        ax.semilogy(list(means), list(means.values()), color=LINE)
        ax.set_xticks(list(means))
        ax.set_xlabel("depth")
        ax.set_ylabel("|d s_root / d s_n|")
        return ax
