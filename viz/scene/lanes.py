"""The cells of the unfolded view, in lanes: one per recurrence (or family of calls) and component.

Each cell, and each box that stands for cells left out, has a number.
Sets of numbers, followed through the ops between recurrences, say who reads whom (``flow.Rows``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from minigrad.graph import Tensor
from minigrad.recur import PROJ, ROW, SHARED, parts_of, proj

from .backward import Backward
from .describe import lines, norm_line, shape_text, value_text
from .draft import Draft
from .flow import Rows, frontier, is_initial, is_source, memory_of
from .scene import Cluster
from .steps import Shown, Unit, units
from .text import broken, raised, subscript

MOST_PARTS = 4  # of a state that have edges of their own
FORWARD, BACKWARD = "forward in time →", "← backward in time"


class Lanes:
    """Makes the cells, and answers which of them stands for which node of which recurrence."""

    def __init__(
        self,
        draft: Draft,
        recurs: Sequence[Tensor],
        max_steps: int | None,
        values: Mapping[Tensor, np.ndarray],
        backward: Backward,
        sequences: int | None = None,
    ) -> None:
        self._draft, self._values, self._backward = draft, values, backward
        self.recurs = recurs
        self.units = units(recurs, max_steps, sequences, backward.scalar is not None)
        self.unit_of = {r: unit for unit in self.units for r in unit.recurs}
        self._calls = {r: k for u in self.units if u.calls for k, r in enumerate(u.recurs)}
        self._shown = {r: shown for unit in self.units for r, shown in unit.shown.items()}
        self._numbers = {r: np.full(parts_of(r).structure.n, -1) for r in recurs}
        self.begins = self._continued()
        self._reversed = {unit for unit in self.units if _is_reversed(unit)}
        self._parts = {unit: self._parts_of(unit) for unit in self.units}
        self.cells: list[tuple[str, Tensor, int]] = []  # by number: id, recurrence, row (-1: a box)
        self._lanes: dict[str, Unit] = {}
        for k, unit in enumerate(self.units):
            self._make(unit, k)
        self.rows = Rows(self._seed)
        self._arrange()

    # -- who stands where --------------------------------------------------------------------------

    def cell(self, r: Tensor, row: int) -> str:
        """The id of the cell or box that stands for a node of a recurrence."""
        return self.cells[int(self._numbers[r][row])][0]

    def standing(self, number: int) -> list[tuple[Tensor, np.ndarray]]:
        """The recurrences, and of each its nodes, that a cell or box stands for."""
        found = [(r, np.flatnonzero(self._numbers[r] == number)) for r in self._unit(number).recurs]
        return [(r, rows) for r, rows in found if len(rows)]

    def boxes_of(self, r: Tensor) -> list[int]:
        """The numbers of the boxes that stand for nodes of a recurrence, in their order."""
        numbers = np.unique(self._numbers[r]).tolist()
        return [number for number in numbers if number >= 0 and self.cells[number][2] < 0]

    def _unit(self, number: int) -> Unit:
        return self.unit_of[self.cells[number][1]]

    def drawn_rows(self, r: Tensor) -> list[int]:
        """The nodes of a recurrence whose edges are drawn."""
        if self.unit_of[r].calls:
            return [0]  # an elided call too: its box has edges
        return [row for band in self._shown[r].bands for row in self._shown[r].kept[band]]

    def is_chain(self, r: Tensor) -> bool:
        return self._shown[r].arrangement == "chain"

    def place(self, r: Tensor, row: int) -> int:
        """The place of a node in its unit's structure: of separate calls, which call it is."""
        return self._calls.get(r, row)

    def step(self, r: Tensor, row: int) -> int | None:
        """The time step of a node, from 1; None where no edges order the nodes in time.

        Where a net goes on from the last state of the same net, its steps go on too.
        """
        unit = self.unit_of[r]
        if not self.is_chain(r) or not unit.joined or unit.structure.n == 1 and not unit.calls:
            return None if unit.structure.n > 1 or not self.begins[unit] else self.begins[unit] + 1
        return int(self._shown[r].column[row]) + self.begins[unit] + 1

    def steps(self, r: Tensor) -> np.ndarray:
        """`step` of all nodes of a recurrence; where time does not order them, their numbers."""
        n = parts_of(r).structure.n
        first = self.step(r, 0) if n else None
        if first is None:
            return np.arange(1, n + 1)
        if n == 1:
            return np.array([first])
        return np.asarray(self._shown[r].column) + self.begins[self.unit_of[r]] + 1

    def parts(self, unit: Unit) -> list[str]:
        """The parts of the state that have edges of their own, the first at the bottom."""
        return self._parts[unit]

    def clusters_of(self, unit: Unit) -> list[Cluster]:
        return [c for c in self._draft.clusters if self._lanes.get(c.id) is unit]

    def group(self, unit: Unit, short: bool = False) -> str:
        """What a unit is called among the others: its name, which of those, its direction.

        short: of the direction the arrow alone.
        """
        heading = self._heading(unit)
        same = [u for u in self.units if (u.name, self._heading(u)) == (unit.name, heading)]
        number = f" {same.index(unit) + 1}" if len(same) > 1 else ""
        if short:
            return f"{unit.name}{number}" + {FORWARD: " →", BACKWARD: " ←"}.get(heading, "")
        return f"{unit.name}{number}" + (f", {heading}" if heading else "")

    def _heading(self, unit: Unit) -> str:
        return next((c.heading for c in self.clusters_of(unit) if c.heading), "")

    def part(self, r: Tensor, k: int) -> str:
        """The part of the state that comes through argument k."""
        name = (parts_of(r).block.inputs[k].name or "h").removesuffix("0")
        return name if name in self._parts[self.unit_of[r]] else ""

    def state_text(self, part: str, r: Tensor, row: int) -> str:
        """What the edge that leaves a node says: h₃; of the last steps that are left out, h."""
        step = self.step(r, row)
        return subscript(raised(part), step) if part and step else raised(part)

    def _parts_of(self, unit: Unit) -> list[str]:
        if unit.whole.arrangement != "chain" or not unit.joined:
            return []
        block = parts_of(unit.recurs[0]).block
        names = [t.name or "h" for (slot, _), t in block.slots.items() if slot == 0]
        if unit.calls:  # what each call hands to the next
            own = set(unit.recurs)
            names = [
                (ph.name or "h").removesuffix("0")
                for ph, args in zip(
                    block.inputs, zip(*(r.inputs for r in unit.recurs), strict=True), strict=True
                )
                if any(p.op is PROJ and p.inputs[0] in own for a in args for p in frontier(a))
            ]
        return names if len(set(names)) == len(names) <= MOST_PARTS else []

    def _continued(self) -> dict[Unit, int]:
        """How many steps the same net has made before each unit's first."""
        begins = dict.fromkeys(self.units, 0)
        for unit in self.units:
            same = [b for b in self._makers(unit)[0] if b.net == unit.net]
            if unit.whole.arrangement == "chain" and same and unit.structure.components <= 1:
                begins[unit] = max(begins[b] + _width(b.whole) for b in same)
        return begins

    def seen(self, r: Tensor, k: int) -> np.ndarray:
        """(n,) bits of what each node of ``r`` reads through argument k."""
        _, structure, vias = parts_of(r)
        table = self.rows.leading(r.inputs[k], 0 if vias[k] is SHARED else 1)
        rows, _ = vias[k].index(structure.n)
        return np.append(table, np.zeros(1, object))[rows]  # -1: nothing

    def _seed(self, t: Tensor) -> np.ndarray | None:
        """Bit 0: some leaf worth drawing; bit k + 1: cell k."""
        if t.op is not PROJ:
            return np.broadcast_to(np.asarray(1, object), t.shape) if is_source(t) else None
        r, via = t.inputs[0], t.attrs["via"]
        if not parts_of(r).structure.n:
            return None
        cells = np.array([1 << (int(c) + 1) for c in self._numbers[r]], object)
        table = np.asarray(via.leave(cells, np.bitwise_or), object)
        return np.broadcast_to(table.reshape(*table.shape, *[1] * (t.ndim - table.ndim)), t.shape)

    # -- making them -------------------------------------------------------------------------------

    def _make(self, unit: Unit, layer: int) -> None:
        shown, draft = unit.whole, self._draft
        for band in shown.bands:
            self._lane(unit, band, layer, unit.name, shown.arrangement)
            for place in shown.kept[band]:
                r, row = unit.at(place)
                id = draft.node(
                    "cell",
                    broken(unit.name),
                    lane=f"c{layer}_{band}",
                    parts=tuple(self.parts(unit)),
                    column=int(shown.column[place]),
                    level=int(shown.level[place]),
                    tooltip=self._text(r, row),
                    norm=self._backward.state(r, row),
                )
                self._stands_for(unit, id, [place])
        noun = "step" if shown.arrangement == "chain" and unit.joined else "node"
        for band, places in shown.groups:
            id = draft.left_out(
                len(places),
                noun,
                lane=f"c{layer}_{band}",
                column=int(shown.column[places[0]]),
                level=int(shown.level[places].max()),
                count=len(places),
                parts=tuple(self.parts(unit)),
                tooltip=f"{len(places)} {noun}{'s' * (len(places) > 1)} of {unit.name} "
                "are not drawn",
            )
            self._stands_for(unit, id, places)
        if shown.hidden_bands:
            self._hide(unit, layer)

    def _lane(self, unit: Unit, band: int, layer: int, label: str, arrangement: str) -> str:
        lane = f"c{layer}_{band}"
        self._lanes[lane] = unit
        heading = ""
        if self._reversed and unit.whole.arrangement == "chain" and label:
            heading = BACKWARD if unit in self._reversed else FORWARD
        self._draft.clusters.append(
            Cluster(lane, label, arrangement, band=band, layer=layer, heading=heading)
        )
        return lane

    def _hide(self, unit: Unit, layer: int) -> None:
        """One box for all the components that are not drawn."""
        shown = unit.whole
        places = np.flatnonzero(np.isin(unit.structure.component, shown.hidden_bands)).tolist()
        count = len(shown.hidden_bands)
        noun = "sequence" if shown.arrangement == "chain" else "tree"
        firsts = [int(shown.column[kept[0]]) for kept in shown.kept.values() if kept]
        id = self._draft.left_out(
            count,
            noun,
            lane=self._lane(unit, shown.hidden_bands[0], layer, "", "chain"),
            column=min(firsts, default=0),
            level=0,
            count=len(places),
            tooltip=f"{len(places)} steps in {count} {noun}{'s' * (count > 1)} are not drawn",
        )
        self._stands_for(unit, id, places)

    def _stands_for(self, unit: Unit, id: str, places: list[int]) -> None:
        first, row = unit.at(places[0])
        for place in places:
            r, at = unit.at(place)
            self._numbers[r][at] = len(self.cells)
        self.cells.append((id, first, -1 if self._draft.boxed(id) else row))

    def _text(self, r: Tensor, row: int) -> str:
        block, structure, _ = parts_of(r)
        unit, column = self.unit_of[r], int(self._shown[r].column[row])
        chain = self.is_chain(r) and unit.joined
        step = column + self.begins[unit] + 1
        parts = [f"{block.name}, " + (f"step {step}" if chain else f"node {row + 1}")]
        if structure.components > 1 and unit.joined:
            parts[0] += f" of component {int(structure.component[row]) + 1}"
        carried = block.ports.items() or [((0, -1), t) for t in block.outputs]
        for (_, leaf), t in carried:
            name = block.slots[0, leaf].name if (0, leaf) in block.slots else t.name
            value = self._values.get(proj(r, t, ROW))
            parts.append(f"{name or 'state'}: {shape_text(t.shape, t.dtype)}")
            if value is not None:
                parts.append("  " + value_text(value[row]))
        return lines(*parts, norm_line(self._backward.state(r, row)))

    def _arrange(self) -> None:
        """Layers upwards; a recurrence that starts from another's last state continues it."""
        layer = {unit: k for k, unit in enumerate(self.units)}
        offset = dict.fromkeys(self.units, 0)
        for unit in self.units:
            before, below = self._makers(unit)
            ahead = [b for b in before if b.whole.arrangement == "chain"]
            if any(memory_of(r) for r in unit.recurs):
                continue  # what attends stands above what it looks at
            if ahead and unit.whole.arrangement == "chain":
                offset[unit] = max(offset[b] + _width(b.whole) for b in ahead)
                # With nothing of its own layer below, it stands to the right of what it continues.
                if below.keys() <= before.keys():
                    layer[unit] = layer[ahead[-1]]
            elif below:
                offset[unit] = max(offset[b] for b in below)
        self._draft.clusters = [
            replace(c, layer=layer[self._lanes[c.id]]) for c in self._draft.clusters
        ]
        for node in list(self._draft.nodes.values()):
            shift = offset[self._lanes[node.lane]] if node.lane is not None else 0
            if shift:
                self._draft.change(node.id, column=(node.column or 0) + shift)

    def _makers(self, unit: Unit) -> tuple[dict[Unit, None], dict[Unit, None]]:
        """The units whose states this one starts from, and those whose results it reads."""
        before: dict[Unit, None] = {}
        below: dict[Unit, None] = {}
        for r in unit.recurs:
            for k, arg in enumerate(r.inputs):
                makers = [self.unit_of[p.inputs[0]] for p in frontier(arg) if p.op is PROJ]
                found = dict.fromkeys(maker for maker in makers if maker is not unit)
                (before if is_initial(r, k) else below).update(found)
        return before, below


def _is_reversed(unit: Unit) -> bool:
    s = unit.structure
    return unit.whole.arrangement == "chain" and len(s.src) > 0 and bool(np.all(s.src > s.dst))


def _width(shown: Shown) -> int:
    return int(shown.column.max(initial=-1)) + 1
