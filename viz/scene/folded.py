"""A graph with recurrences -> the scene of the "folded" view: each once, with loops and delays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.recur import PROJ, SHARED, parts_of

from .describe import lines, name_list, tensor_text
from .draft import Draft
from .flow import (
    SLOT_NAMES,
    Canonical,
    argument_name,
    frontier,
    is_initial,
    is_source,
    leaf_name,
    recurs_of,
)
from .gradient import Gradients, norm
from .scene import Scene, gradient_legend, norm_text
from .text import shorten, subscript


def folded(
    outputs: Sequence[Tensor],
    scalar: Tensor | None = None,
    wrt: Sequence[Tensor] | None = None,
    title: str | None = None,
) -> Scene:
    """The scene.

    scalar: the totals of its gradient with regard to the leaves are drawn too.
    wrt: only of these leaves.
    """
    return _Folding(outputs, scalar, wrt, title).scene()


class _Folding:
    def __init__(
        self,
        outputs: Sequence[Tensor],
        scalar: Tensor | None,
        wrt: Sequence[Tensor] | None,
        title: str | None,
    ) -> None:
        self.ends = list(dict.fromkeys([*outputs, *([scalar] if scalar is not None else [])]))
        self.scalar, self.title = scalar, title
        order = toposort(self.ends)
        self.recurs = recurs_of(order)
        leaves = [t for t in order if not t.inputs]
        self.wanted = set(leaves if wrt is None else wrt)
        self.gradients = Gradients(scalar, [], leaves) if scalar is not None else None
        self.draft = Draft()
        self.cell: dict[Tensor, str] = {}
        self.boxes: dict[Any, str] = {}
        self.canonical = Canonical()
        self.readers: dict[Tensor, tuple] = defaultdict(tuple)  # of leaves: recurrences and ends
        ends = [(end, (end,)) for end in self.ends]
        for reader, args in [*((r, r.inputs) for r in self.recurs), *ends]:
            for t in dict.fromkeys(t for arg in args for t in frontier(arg)):
                self.readers[t] = (*self.readers[t], reader)

    def scene(self) -> Scene:
        level: dict[Tensor, int] = {}
        for r in self.recurs:  # those that do not read each other stand side by side
            makers = {p.inputs[0] for arg in r.inputs for p in frontier(arg) if p.op is PROJ}
            level[r] = 1 + max((level[maker] for maker in makers), default=-1)
            self._circuit(r, level[r])
        for end in self.ends:
            self._end(end)
        scalar = self.scalar
        legend = None if scalar is None else gradient_legend(scalar.name, self.draft.edges)
        title = (
            self.title
            if self.title is not None
            else "; ".join(
                dict.fromkeys(f"{parts_of(r).block.name}, folded" for r in self.recurs[:4])
            )
        )
        return self.draft.scene("folded", title, legend)

    def _circuit(self, r: Tensor, level: int) -> None:
        block, structure, _ = parts_of(r)
        chain = structure.kind == "chain"
        noun = "steps" if chain else "nodes"
        cell = self.cell[r] = self.draft.node(
            "cell",
            shorten(block.name, 24),
            level=level,
            detail=f"{structure.n:,} {noun}" if structure.n > 1 else "",
            tooltip=lines(
                f"{block.name} over {structure.n} {noun}, {structure.components} component(s)",
                *(
                    f"state {t.name or 'h'}: {tensor_text(t)}"
                    for (slot, _), t in block.slots.items()
                    if slot == 0
                ),
            ),
        )
        self._loops(r, cell, chain)
        groups: dict[str, list[int]] = defaultdict(list)
        for k, arg in enumerate(r.inputs):
            makers = tuple(
                dict.fromkeys(self.cell[p.inputs[0]] for p in frontier(arg) if p.op is PROJ)
            )
            for maker in makers:
                self.draft.connect(maker, cell)
            if not makers:
                shared = parts_of(r).vias[k] is SHARED
                groups["shared" if shared else "initial" if is_initial(r, k) else "input"].append(k)
        for kind, args in groups.items():
            leaves = [t for k in args for t in frontier(r.inputs[k]) if is_source(t)]
            for part in self._alike(leaves) if kind == "shared" else [leaves]:
                self._leaf_box(r, cell, kind, args, part)

    def _loops(self, r: Tensor, cell: str, chain: bool) -> None:
        """One delay per slot that edges of the structure feed."""
        block, structure, _ = parts_of(r)
        for slot in sorted({slot for _, slot in structure.wires}):
            states = [t.name or "h" for (s, _), t in block.slots.items() if s == slot]
            names = SLOT_NAMES.get(structure.slots) or tuple(
                f"slot {k}" for k in range(structure.slots)
            )
            label = "1 step" if chain else "child" if structure.slots == 1 else names[slot]
            delay = self.draft.node(
                "delay",
                label,
                tooltip=f"{', '.join(states)} of the "
                f"{'step before' if chain else label + ' predecessor'}: "
                f"{int((structure.slot == slot).sum()):,} edges",
            )
            self.draft.edge(cell, delay, "state", slot=slot)
            self.draft.edge(delay, cell, "state", label=", ".join(states), slot=slot)

    def _alike(self, leaves: Sequence[Tensor]) -> list[list[Tensor]]:
        """Parameters by who reads them, so that each is drawn, and its total counted, once."""
        groups: dict[Any, list[Tensor]] = defaultdict(list)
        for t in dict.fromkeys(leaves):
            groups[self.readers[t]].append(t)
        return list(groups.values())

    def _leaf_box(
        self, r: Tensor, cell: str, kind: str, args: list[int], given: list[Tensor]
    ) -> None:
        block = parts_of(r).block
        leaves = list(dict.fromkeys(given))
        if not leaves:
            return
        # The same array given twice is one input; a parameter is one by its node.
        key = kind, tuple(leaves if kind == "shared" else map(self.canonical, leaves))
        index = "t" if parts_of(r).structure.kind == "chain" else "n"
        if key not in self.boxes:
            names = [leaf_name(t) for t in leaves]
            if kind == "input":
                label = ", ".join(subscript(shorten(argument_name(r, k), 10), index) for k in args)
            elif kind == "initial":
                stems = [(block.inputs[k].name or "h0").removesuffix("0") for k in args]
                label = ", ".join(dict.fromkeys(subscript(shorten(s, 8), 0) for s in stems))
            else:
                label = name_list(names)
            norms = self._norms(leaves)
            self.boxes[key] = self.draft.node(
                kind,
                label,
                members=tuple(names),
                detail=f"{sum(t.size for t in leaves):,} numbers" if kind == "shared" else "",
                norm=norms,
                tooltip=lines(
                    *(f"{n}: {tensor_text(t)}" for n, t in zip(names[:40], leaves, strict=False))
                ),
            )
        box = self.boxes[key]
        self.draft.connect(
            box, cell, "shared" if kind == "shared" else "state" if kind == "initial" else "forward"
        )
        self._gradient(cell, box)

    def _norms(self, leaves: Sequence[Tensor]) -> float | None:
        if self.gradients is None:
            return None
        found = [
            norm(self.gradients.total[t])
            for t in leaves
            if t in self.wanted and t in self.gradients.total
        ]
        return norm(np.array(found)) if found else None

    def _gradient(self, user: str, box: str) -> None:
        """Once per box: its total, drawn from the first user."""
        norm = self.draft.nodes[box].norm
        if norm is not None and not any(e.target == box for e in self.draft.edges):
            text = f"total gradient norm {norm:.6g}"
            self.draft.edge(user, box, "backward", label=norm_text(norm), norm=norm, tooltip=text)

    def _end(self, end: Tensor) -> None:
        kind = "loss" if end is self.scalar else "output"
        reads = frontier(end)
        makers = dict.fromkeys(self.cell[p.inputs[0]] for p in reads if p.op is PROJ)
        name = shorten(end.name or ("loss" if kind == "loss" else "y"), 18)
        label = name if not end.shape or not makers else subscript(name, "t")
        box = self.draft.node(kind, label, tooltip=lines(name, tensor_text(end)))
        for maker in makers:
            self.draft.connect(maker, box)
        leaves = [t for t in reads if t.op is not PROJ and is_source(t)]
        for part in self._alike(leaves):
            key = "shared", tuple(part)
            if key not in self.boxes:
                names = [leaf_name(t) for t in part]
                self.boxes[key] = self.draft.node(
                    "shared",
                    name_list(names),
                    members=tuple(names),
                    norm=self._norms(part),
                    tooltip=lines(
                        *(f"{n}: {tensor_text(t)}" for n, t in zip(names, part, strict=True))
                    ),
                )
            self.draft.connect(self.boxes[key], box, "shared")
            self._gradient(box, self.boxes[key])
