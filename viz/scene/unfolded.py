"""A graph with recurrences -> the scene of the "unfolded" view: one cell per structure node.

Cells are structure nodes, state edges are the structure's edges. Inputs, results and what passes
from one recurrence to another follow the exact dependencies found by ``flow.Rows``; parameters are
one box per group of users.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.graph import INPUT, Tensor, toposort
from minigrad.recur import PROJ, ROW, proj
from minigrad.run.evaluate import evaluate

from .describe import lines, name_list, norm_line, shape_text, tensor_text, value_text
from .flow import Canonical, Rows, bits_of, frontier, is_initial, is_source, leaf_name, recurs_of
from .gradient import Gradients, norm, row_norms, together
from .scene import Cluster, Edge, Node, Scene, gradient_legend, norm_text
from .steps import Unit, units
from .text import shorten, subscript

MOST_FEEDERS = (
    2  # a row that depends on more cells than this reads them through one box (attention)
)


def unfolded(
    outputs: Sequence[Tensor],
    scalar: Tensor | None = None,
    wrt: Sequence[Tensor] | None = None,
    max_steps: int | None = 60,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Scene:
    """The scene. ``scalar``: whose gradient is shown; ``wrt``: of which leaves besides the states
    (None: all).
    """
    return _Unfolding(outputs, scalar, wrt, max_steps, labels, title).scene()


class _Unfolding:
    def __init__(
        self,
        outputs: Sequence[Tensor],
        scalar: Tensor | None,
        wrt: Sequence[Tensor] | None,
        max_steps: int | None,
        labels: Sequence[str] | None,
        title: str | None,
    ) -> None:
        ends = list(dict.fromkeys([*outputs, *([scalar] if scalar is not None else [])]))
        self.ends, self.scalar, self.labels, self.title = ends, scalar, labels, title
        order = toposort(ends)
        self.recurs = recurs_of(order)
        self.leaves = [t for t in order if not t.inputs]
        self.wanted = None if wrt is None else set(wrt)
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.clusters: list[Cluster] = []
        self.flows: dict[tuple[str, str, int], list[float]] = defaultdict(
            list
        )  # (user, maker, slot) -> norms
        self.units = units(self.recurs, max_steps)
        self.unit_of = {r: unit for unit in self.units for r in unit.recurs}
        self.shown = {r: shown for unit in self.units for r, shown in unit.shown.items()}
        self.cell_of: dict[
            Tensor, np.ndarray
        ] = {}  # (n,) the number of the cell or box that stands for each node
        self.cells: list[tuple[str, Tensor, int]] = []  # id, recurrence, row (-1: a box)
        self.lanes: dict[str, Unit] = {}
        self.ties: set[tuple[str, str, int]] = set()
        self.made: dict[
            Any, str
        ] = {}  # boxes of inputs, initial states and tables, by what they stand for
        self.repeats: dict[Unit, Counter[int]] = {}  # how many calls of a unit read an argument
        self.state_norms: dict[Tensor, np.ndarray | None] = {}
        self.canonical = Canonical()
        self.offset = dict.fromkeys(self.units, 0)
        self.layer = dict.fromkeys(self.units, 0)
        has_values = all(t.op is not INPUT for t in self.leaves)
        if scalar is not None and not has_values:
            missing = next(t for t in self.leaves if t.op is INPUT)
            raise ValueError(
                f"draw: gradients need values, but {leaf_name(missing)} is a "
                "placeholder without one"
            )
        self.gradients = None
        if scalar is not None:
            self.gradients = Gradients(scalar, self.recurs, self.leaves)
        self.values = self._values() if has_values else {}

    def scene(self) -> Scene:
        self._cells()
        self.rows = Rows(self._seed)
        self._arrange()
        for r in self.recurs:
            self._states(r)
            for k in range(len(r.inputs)):
                self._argument(r, k)
        self._parameters()
        for end in self.ends:
            self._end(end)
        self._backward()
        scalar = self.scalar
        legend = None if scalar is None else gradient_legend(scalar.name, self.edges)
        return Scene(
            "unfolded",
            self.title if self.title is not None else self._title(),
            tuple(self.nodes.values()),
            tuple(self.edges),
            tuple(self.clusters),
            legend,
        )

    # -- making nodes and edges
    # ------------------------------------------------------------------------------

    def _node(self, kind: str, label: str, **more: Any) -> str:
        id = f"n{len(self.nodes)}"
        self.nodes[id] = Node(id, kind, label, **more)
        return id

    def _edge(
        self, source: str, target: str, kind: str, label: str = "", slot: int = 0, tooltip: str = ""
    ) -> None:
        self.edges.append(
            Edge(f"e{len(self.edges)}", source, target, kind, label, None, tooltip, slot)
        )

    def _connect(self, source: str, target: str, kind: str = "forward", slot: int = 0) -> None:
        """An edge unless there is one: several tensors between two nodes are one arrow."""
        if (source, target, slot) not in self.ties:
            self.ties.add((source, target, slot))
            boxed = "elided" in (self.nodes[source].kind, self.nodes[target].kind)
            self._edge(source, target, "elided" if boxed and kind != "shared" else kind, slot=slot)

    def _flow(self, source: str, target: str, norms: Any, slot: int = 0) -> None:
        """Gradient that passes from ``target`` back to ``source``; parts are joined when all are
        known.
        """
        if norms is not None:
            self.flows[target, source, slot].append(float(norms))

    def _values(self) -> dict[Tensor, np.ndarray]:
        """Values of all states and inputs and results, read together."""
        wanted = [t for r in self.recurs for t in r.inputs] + list(self.ends)
        ports = [proj(r, t, ROW) for r in self.recurs for t in r.attrs["block"].ports.values()]
        ports += [proj(r, t, ROW) for r in self.recurs for t in r.attrs["block"].outputs]
        wanted = list(dict.fromkeys([*wanted, *ports]))
        self._kept_alive = ports  # projections are held weakly by their recurrence
        return dict(zip(wanted, evaluate(wanted), strict=True))

    # -- cells -------------------------------------------------------------------------------------
    # ----------

    def _cells(self) -> None:
        for r in self.recurs:
            self.cell_of[r] = np.full(r.attrs["structure"].n, -1)
        for number, unit in enumerate(self.units):
            shown = unit.whole
            for band in shown.bands:
                lane = f"c{number}_{band}"
                self.lanes[lane] = unit
                self.clusters.append(
                    Cluster(lane, unit.name, shown.arrangement, band=band, layer=number)
                )
                for place in shown.kept[band]:
                    r, row = unit.at(place)
                    id = self._node(
                        "cell",
                        shorten(unit.name, 18),
                        lane=lane,
                        column=int(shown.column[place]),
                        level=int(shown.level[place]),
                        tooltip=self._cell_text(r, row),
                        norm=self._state_norm(r, row),
                    )
                    self._stands_for(unit, id, [place])
            for band, places in shown.groups:
                noun = ("step" if shown.arrangement == "chain" else "node") + "s" * (
                    len(places) > 1
                )
                id = self._node(
                    "elided",
                    f"… {len(places)} {noun} …",
                    lane=f"c{number}_{band}",
                    column=int(shown.column[places[0]]),
                    level=int(shown.level[places].max()),
                    count=len(places),
                    tooltip=f"{len(places)} {noun} of {unit.name} are not drawn",
                )
                self._stands_for(unit, id, places)
            if shown.hidden_bands:
                self._hidden_bands(unit, number)

    def _hidden_bands(self, unit: Unit, number: int) -> None:
        shown = unit.whole
        places = np.flatnonzero(np.isin(unit.structure.component, shown.hidden_bands)).tolist()
        noun = "sequences" if shown.arrangement == "chain" else "trees"
        lane = f"c{number}_{shown.hidden_bands[0]}"
        self.lanes[lane] = unit
        self.clusters.append(Cluster(lane, "", "chain", band=shown.hidden_bands[0], layer=number))
        first = min((int(shown.column[kept[0]]) for kept in shown.kept.values() if kept), default=0)
        id = self._node(
            "elided",
            f"… {len(shown.hidden_bands)} {noun} …",
            lane=lane,
            column=first,
            level=0,
            count=len(places),
            tooltip=f"{len(places)} steps in {len(shown.hidden_bands)} {noun} are not drawn",
        )
        self._stands_for(unit, id, places)

    def _stands_for(self, unit: Unit, id: str, places: list[int]) -> None:
        first, row = unit.at(places[0])
        for place in places:
            r, at = unit.at(place)
            self.cell_of[r][at] = len(self.cells)
        self.cells.append((id, first, row if self.nodes[id].kind == "cell" else -1))

    def _cell_text(self, r: Tensor, row: int) -> str:
        block, shown = r.attrs["block"], self.shown[r]
        place = (
            f"step {int(shown.column[row]) + 1}" if shown.arrangement == "chain" else f"node {row}"
        )
        parts = [f"{block.name}, {place}"]
        if r.attrs["structure"].components > 1:
            parts[0] += f" of component {int(r.attrs['structure'].component[row]) + 1}"
        carried = block.ports.items() or [((0, -1), t) for t in block.outputs]
        for (_, leaf), t in carried:
            name = block.slots[0, leaf].name if (0, leaf) in block.slots else t.name
            value = self.values.get(proj(r, t, ROW))
            parts.append(f"{name or 'state'}: {shape_text(t.shape, t.dtype)}")
            if value is not None:
                parts.append("  " + value_text(value[row]))
        parts.append(norm_line(self._state_norm(r, row)))
        return lines(*parts)

    def _state_norm(self, r: Tensor, row: int) -> float | None:
        """The norm of the total gradient with regard to a node's state."""
        if self.gradients is None:
            return None
        if r not in self.state_norms:
            self.state_norms[r] = self.gradients.rows(
                r, r.attrs["block"].ports.values() or r.attrs["block"].outputs
            )
        norms = self.state_norms[r]
        return None if norms is None else float(norms[row])

    # -- dependencies
    # ----------------------------------------------------------------------------------------

    def _seed(self, t: Tensor) -> np.ndarray | None:
        """Bit 0: some leaf worth drawing; bit k + 1: cell k."""
        if t.op is not PROJ:
            return np.broadcast_to(np.asarray(1, object), t.shape) if is_source(t) else None
        r, via = t.inputs[0], t.attrs["via"]
        if not r.attrs["structure"].n:
            return None
        cells = np.array([1 << (int(c) + 1) for c in self.cell_of[r]], object)
        if via.kind == "shared":
            table = np.bitwise_or.reduce(np.unique(cells))
            return np.broadcast_to(np.asarray(table, object), t.shape)
        if via.kind == "index":
            table = np.zeros(via.size, object)
            used = via.rows >= 0
            np.bitwise_or.at(table, via.rows[used], cells[used])
        else:
            table = cells
        return np.broadcast_to(table.reshape(-1, *[1] * (t.ndim - 1)), t.shape)

    def _seen_by(self, r: Tensor, k: int) -> np.ndarray:
        """(n,) bits of what each node of r reads through argument k."""
        arg, via, n = r.inputs[k], r.attrs["vias"][k], r.attrs["structure"].n
        if via.kind == "shared":
            return np.broadcast_to(self.rows.leading(arg, 0), (n,))
        table = self.rows.leading(arg, 1)
        if via.kind == "row":
            return table
        padded = np.append(table, 0) if len(table) else np.zeros(1, object)
        return padded[via.rows]

    def _arrange(self) -> None:
        """Layers upwards; a recurrence that starts from another's last state continues to its
        right.
        """
        for k, unit in enumerate(self.units):
            self.layer[unit] = k
            before: set[Unit] = set()
            below: set[Unit] = set()
            for r in unit.recurs:
                for a, arg in enumerate(r.inputs):
                    makers = {self.unit_of[p.inputs[0]] for p in frontier(arg) if p.op is PROJ} - {
                        unit
                    }
                    (before if is_initial(r, a) else below).update(makers)
            ahead = [b for b in before if b.whole.arrangement == "chain"]
            if ahead and unit.whole.arrangement == "chain":
                self.offset[unit] = max(
                    self.offset[b] + int(b.whole.column.max(initial=-1)) + 1 for b in ahead
                )
                if (
                    below <= before
                ):  # nothing of its own layer below it: it stands beside what it continues
                    self.layer[unit] = self.layer[ahead[-1]]
            elif below:
                self.offset[unit] = max(self.offset[b] for b in below)
        self.clusters = [
            Cluster(c.id, c.label, c.arrangement, c.band, self.layer[self.lanes[c.id]])
            for c in self.clusters
        ]
        for id, node in self.nodes.items():
            offset = self.offset[self.lanes[node.lane]] if node.lane is not None else 0
            if offset:
                self.nodes[id] = _replaced(node, column=(node.column or 0) + offset)

    # -- edges -------------------------------------------------------------------------------------
    # ----------

    def _states(self, r: Tensor) -> None:
        """The structure's own edges. Those inside a box of what is left out are not drawn."""
        structure, block = r.attrs["structure"], r.attrs["block"]
        names = [t.name or "h" for (slot, _), t in block.slots.items() if slot == 0]
        label = ", ".join(names) if self.shown[r].arrangement == "chain" and len(names) <= 3 else ""
        norms = (
            {
                slot: self.gradients.rows(r, [t for (s, _), t in block.slots.items() if s == slot])
                for slot in range(structure.slots)
            }
            if self.gradients
            else {}
        )
        columns = (structure.src, structure.dst, structure.slot)
        keep = np.ones(len(structure.src), bool) if structure.keep is None else structure.keep
        for s, d, slot, kept in zip(*(a.tolist() for a in columns), keep.tolist(), strict=True):
            a, b = self._cell(r, s), self._cell(r, d)
            if a == b:
                continue
            boxed = "elided" in (self.nodes[a].kind, self.nodes[b].kind)
            self._edge(a, b, "elided" if boxed else "state", label, slot)
            found = norms.get(slot)
            if found is not None and kept:
                self._flow(a, b, found[d], slot)

    def _cell(self, r: Tensor, row: int) -> str:
        return self.cells[int(self.cell_of[r][row])][0]

    def _argument(self, r: Tensor, k: int) -> None:
        """Edges into the cells of r through argument k, unless it is a parameter."""
        seen = self._seen_by(r, k)
        ph = r.attrs["block"].inputs[k]
        contributed = self.gradients.rows(r, [ph]) if self.gradients else None
        back = self._back((r, k))
        initial = is_initial(r, k)
        if self._is_parameter(r, k, seen):
            return
        readers: dict[int, int] = defaultdict(int)
        for value in seen.tolist():
            for bit in bits_of(value >> 1):
                readers[bit] += 1
        for row in self._drawn_rows(r):
            feeders = [
                bit
                for bit in bits_of(int(seen[row]) >> 1)
                if self.cells[bit][0] != self._cell(r, row)
            ]
            here = self._cell(r, row)
            flow = None if contributed is None else contributed[row]
            if len(feeders) > MOST_FEEDERS:
                hub = self._hub(r, k, int(seen[row]) >> 1, feeders, back)
                self._connect(hub, here)
                self._flow(hub, here, flow)
                continue
            for bit in feeders:
                source, maker, at = self.cells[bit]
                own = self.unit_of[maker] is self.unit_of[r]
                self._connect(source, here, "state" if initial or own else "forward")
                exact = back.get(maker)
                # One reader: what its maker gets back is this edge's. Several: what this reader
                # sends.
                only = exact is not None and at >= 0 and readers[bit] == 1
                self._flow(source, here, exact[at] if exact is not None and only else flow)
            if int(seen[row]) & 1 and not feeders and self.nodes[here].kind == "cell":
                leaf = self._initial(r, k, row) if initial else self._input(r, k, row)
                self._connect(leaf, here, "state" if initial else "forward")
                if self._asked(r.inputs[k]):
                    self._flow(leaf, here, flow)

    def _drawn_rows(self, r: Tensor) -> list[int]:
        if self.unit_of[r].calls:
            return [0]  # an elided call too: its box has edges
        return [row for band in self.shown[r].bands for row in self.shown[r].kept[band]]

    def _is_parameter(self, r: Tensor, k: int, seen: np.ndarray) -> bool:
        """Whether argument k is the same leaves at every step (of separate calls: at two)."""
        if r.attrs["vias"][k].kind != "shared" or any(v > 1 for v in set(seen.tolist())):
            return False
        unit = self.unit_of[r]
        if not unit.calls:
            return True
        if unit not in self.repeats:
            self.repeats[unit] = Counter(
                self.canonical(arg) for call in unit.recurs for arg in set(call.inputs)
            )
        return self.repeats[unit][self.canonical(r.inputs[k])] > 1

    def _asked(self, t: Tensor) -> bool:
        return self.wanted is None or bool(self.wanted & {t, *frontier(t)})

    def _back(self, consumer: Any) -> dict[Tensor, np.ndarray]:
        """(n,) norms, per recurrence, of the gradient its projections get back through one
        consumer.
        """
        if self.gradients is None:
            return {}
        parts: dict[Tensor, list[np.ndarray]] = defaultdict(list)
        for p, g in self.gradients.back.get(consumer, {}).items():
            via, r = p.attrs["via"], p.inputs[0]
            if via.kind == "row":
                parts[r].append(row_norms(g))
            elif via.kind == "shared":
                parts[r].append(np.full(r.attrs["structure"].n, norm(g)))
            else:
                parts[r].append(np.append(row_norms(g), 0.0)[via.rows])
        return {r: total for r, found in parts.items() if (total := together(found)) is not None}

    def _hub(
        self, r: Tensor, k: int, seen: int, feeders: list[int], back: dict[Tensor, np.ndarray]
    ) -> str:
        """One box for many cells read at once."""
        key = ("hub", r, k, seen)
        if key not in self.made:
            ph = r.attrs["block"].inputs[k]
            id = self.made[key] = self._node(
                "output",
                shorten(ph.name if ph.name and not ph.name.isdigit() else "memory", 14),
                detail=f"{len(feeders)} steps",
                tooltip=lines(
                    f"{ph.name or 'a table'} read by {r.attrs['block'].name}",
                    tensor_text(r.inputs[k]),
                ),
            )
            for bit in feeders:
                source, maker, at = self.cells[bit]
                self._connect(source, id)
                if maker in back and at >= 0:
                    self._flow(source, id, back[maker][at])
        return self.made[key]

    def _input(self, r: Tensor, k: int, row: int) -> str:
        """The box of one row of an input; the same row read twice is one box."""
        via, arg, ph = r.attrs["vias"][k], r.inputs[k], r.attrs["block"].inputs[k]
        at = row if via.kind == "row" else -1 if via.kind == "shared" else int(via.rows[row])
        key = ("input", self.canonical(arg), at)
        if key not in self.made:
            name = input_name(ph, arg)
            value = self.values.get(arg)
            word = self.labels[row] if self.labels is not None and row < len(self.labels) else ""
            index = (
                int(self.shown[r].column[row]) + 1
                if self.shown[r].arrangement == "chain"
                else at + 1
            )
            numbered = at >= 0 or self.unit_of[r].calls
            symbol = subscript(shorten(name, 10), index) if numbered else name
            arrived = self.gradients.rows(r, [ph]) if self.gradients and self._asked(arg) else None
            source = ", ".join(leaf_name(t) for t in frontier(arg) if is_source(t))
            self.made[key] = self._node(
                "input",
                shorten(word, 16) or symbol,
                lane=self.nodes[self._cell(r, row)].lane,
                norm=None if arrived is None else float(arrived[row]),
                tooltip=lines(
                    f"{word}  ({symbol})" if word else symbol,
                    f"row {at} of {source}" if at >= 0 else source,
                    shape_text(ph.shape, ph.dtype),
                    value_text(value[at] if at >= 0 else value) if value is not None else "",
                ),
            )
        return self.made[key]

    def _initial(self, r: Tensor, k: int, row: int) -> str:
        """The initial state of one sequence: one box for all its leaves; trees share one box."""
        lane = self.nodes[self._cell(r, row)].lane if self.shown[r].arrangement == "chain" else None
        key = ("initial", r, lane)
        ph = r.attrs["block"].inputs[k]
        name = (ph.name or "h0").removesuffix("0")
        if key not in self.made:
            self.made[key] = self._node(
                "initial", subscript(shorten(name, 8), 0), lane=lane, members=(name,)
            )
        node = self.nodes[self.made[key]]
        if name not in node.members:
            members = (*node.members, name)
            label = ", ".join(subscript(shorten(m, 8), 0) for m in members)
            self.nodes[node.id] = _replaced(node, members=members, label=label)
        at = int(r.attrs["vias"][k].rows[row])
        value = self.values.get(r.inputs[k])
        more = lines(
            f"initial {name}: {shape_text(ph.shape, ph.dtype)}",
            value_text(value[at]) if value is not None else "",
        )
        node = self.nodes[self.made[key]]
        if more not in node.tooltip:
            self.nodes[node.id] = _replaced(node, tooltip=lines(node.tooltip, more))
        return node.id

    # -- parameters
    # ------------------------------------------------------------------------------------------

    def _parameters(self) -> None:
        """One box for all the leaves that the same recurrences share."""
        users: dict[Tensor, list[tuple[Tensor, int]]] = defaultdict(list)
        for r in self.recurs:
            for k, arg in enumerate(r.inputs):
                if self._is_parameter(r, k, self._seen_by(r, k)):
                    for leaf in filter(is_source, frontier(arg)):
                        users[leaf].append((r, k))
        groups: dict[tuple[Unit, ...], list[Tensor]] = defaultdict(list)
        for leaf, found in users.items():
            groups[tuple(dict.fromkeys(self.unit_of[r] for r, _ in found))].append(leaf)
        for readers, leaves in groups.items():
            id = self._parameter_box(leaves, "shared by all steps")
            for r in (r for unit in readers for r in unit.recurs):
                args = dict.fromkeys(k for leaf in leaves for user, k in users[leaf] if user is r)
                placeholders = [
                    r.attrs["block"].inputs[k] for k in args if self._asked(r.inputs[k])
                ]
                norms = self.gradients.rows(r, placeholders) if self.gradients else None
                for row in self._drawn_rows(r) if args else ():
                    here = self._cell(r, row)
                    if self.nodes[here].kind == "elided":
                        continue
                    self._connect(id, here, "shared")
                    self._flow(id, here, None if norms is None else norms[row])

    def _parameter_box(self, leaves: Sequence[Tensor], what: str) -> str:
        names = [leaf_name(t) for t in leaves]
        parts = [what]
        total = []
        for t, name in zip(leaves, names, strict=True):
            g = self.gradients.total.get(t) if self.gradients and self._asked(t) else None
            total += [np.array([norm(g)])] if g is not None else []
            parts.append(
                f"{name}: {tensor_text(t)}"
                + (f", gradient norm {norm(g):.4g}" if g is not None else "")
            )
        size = sum(t.size for t in leaves)
        joint = together(total)
        return self._node(
            "shared",
            name_list(names),
            detail=f"{size:,} numbers" if size > 1 else "",
            members=tuple(names),
            norm=None if joint is None else float(joint[0]),
            tooltip=lines(*parts[:40]),
        )

    # -- results
    # ---------------------------------------------------------------------------------------------

    def _end(self, end: Tensor) -> None:
        kind = "loss" if end is self.scalar else "output"
        per_row = None if end is self.scalar else self._per_cell(end)
        if per_row is not None:
            return self._end_rows(end, per_row)
        seen = int(self.rows.leading(end, 0)[()])
        value = self.values.get(end)
        name = end.name or ("loss" if kind == "loss" else "output")
        scalar = value is not None and value.size == 1
        id = self._node(
            kind,
            shorten(name, 18),
            detail=f"{value.reshape(-1)[0]:.4g}".replace("-", "−")
            if scalar and value is not None
            else "",
            norm=1.0 if kind == "loss" else None,
            tooltip=lines(name, tensor_text(end), value_text(value) if value is not None else ""),
        )
        back = self._back(end) if end is self.scalar else {}
        for bit in bits_of(seen >> 1):
            source, maker, at = self.cells[bit]
            self._connect(source, id)
            if maker in back and at >= 0:
                self._flow(source, id, back[maker][at])
        leaves = [t for t in frontier(end) if t.op is not PROJ and is_source(t)]
        if leaves:
            box = self._parameter_box(leaves, f"read by {name}")
            self._connect(box, id, "shared")
            if end is self.scalar and self.nodes[box].norm is not None:
                self._flow(box, id, self.nodes[box].norm)

    def _per_cell(self, end: Tensor) -> list[tuple[tuple[int, ...], int]] | None:
        """(place, cell) for each row of a result in which every row comes from one cell; None
        otherwise.
        """
        for axes in range(1, min(end.ndim, 2) + 1):
            seen = self.rows.leading(end, axes)
            found = [(place, bits_of(int(seen[place]) >> 1)) for place in np.ndindex(seen.shape)]
            used = [(place, bits[0]) for place, bits in found if len(bits) == 1]
            drawn = [bit for _, bit in used if self.cells[bit][2] >= 0]
            if used and all(len(bits) <= 1 for _, bits in found) and len(set(drawn)) == len(drawn):
                return used
        return None

    def _end_rows(self, end: Tensor, places: list[tuple[tuple[int, ...], int]]) -> None:
        value = self.values.get(end)
        for place, bit in places:
            cell, r, row = self.cells[bit]
            if row < 0:
                continue
            name = shorten(end.name or "y", 10)
            shown = self.shown[r]
            index = int(shown.column[row]) + 1 if shown.arrangement == "chain" else row + 1
            id = self._node(
                "output",
                subscript(name, index),
                lane=self.nodes[cell].lane,
                tooltip=lines(
                    f"{name}[{', '.join(map(str, place))}]",
                    shape_text(end.shape[len(place) :], end.dtype),
                    value_text(value[place]) if value is not None else "",
                ),
            )
            self._connect(cell, id)

    # -- gradients
    # -------------------------------------------------------------------------------------------

    def _backward(self) -> None:
        """One backward edge against each forward edge along which the scalar can be reached."""
        if self.gradients is None:
            return
        losses = [id for id, node in self.nodes.items() if node.kind == "loss"]
        makers: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            makers[edge.target].append(edge.source)
        reaching, stack = set(losses), list(losses)
        while stack:
            for maker in makers[stack.pop()]:
                if maker not in reaching:
                    reaching.add(maker)
                    stack.append(maker)
        show_numbers = sum(node.kind == "cell" for node in self.nodes.values()) <= 240
        # Numbers would lie on top of each other there.
        unlabelled = {None, *(c.id for c in self.clusters if c.arrangement == "dag")}
        for edge in list(self.edges):
            norms = self.flows.get((edge.target, edge.source, edge.slot))
            if not norms or edge.target not in reaching:
                continue
            total = float(row_norms(np.asarray([norms]))[0])
            lane = self.nodes[edge.source].lane, self.nodes[edge.target].lane
            numbered = (
                show_numbers and edge.kind in ("state", "elided") and unlabelled.isdisjoint(lane)
            )
            self.edges.append(
                Edge(
                    f"e{len(self.edges)}",
                    edge.target,
                    edge.source,
                    "backward",
                    norm_text(total) if numbered else "",
                    total,
                    lines(f"gradient norm {total:.6g}", self._tip(edge)),
                    edge.slot,
                )
            )

    def _tip(self, edge: Edge) -> str:
        def named(id: str) -> str:
            return self.nodes[id].tooltip.split("\n")[0] or self.nodes[id].label

        return f"from {named(edge.target)} back to {named(edge.source)}"

    def _title(self) -> str:
        parts = []
        for unit in self.units:
            chain = unit.whole.arrangement == "chain"
            many = unit.structure.components
            parted = {"chain": "sequences", "tree": "trees"}.get(unit.whole.arrangement, "parts")
            noun = ("step" if chain else "node") + "s" * (unit.structure.n != 1)
            text = f"{unit.name}: {unit.structure.n:,} {noun}"
            parts.append(text + (f" in {many:,} {parted}" if many > 1 else ""))
        return ";  ".join(dict.fromkeys(parts[:4])) or "no recurrence"


def input_name(ph: Tensor, arg: Tensor) -> str:
    """What to call an input: the block's name for it, unless that is only its number in a tuple."""
    if ph.name and not ph.name.isdigit():
        return ph.name
    sources = [t for t in frontier(arg) if t.name]
    return arg.name or (sources[0].name if len(sources) == 1 and sources[0].name else "x")


def _replaced(node: Node, **changes: Any) -> Node:
    return Node(**{**node.__dict__, **changes})
