"""What feeds the cells of the unfolded view: inputs, initial states, each other, parameters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.graph import Tensor
from minigrad.recur import PROJ, SHARED, parts_of

from .backward import Backward, Sent, at_rows
from .describe import lines, name_list, shape_text, tensor_text, value_text
from .draft import Draft
from .flow import Canonical, argument_name, bits_of, frontier, is_initial, is_source, leaf_name
from .lanes import Lanes
from .numbers import norm, together
from .steps import Unit
from .text import shorten, subscript

MOST_FEEDERS = 2  # a row that depends on more cells reads them through one box (attention)


class Feeds:
    """Makes the edges into cells, and the boxes outside of the lanes that they come from."""

    def __init__(
        self,
        draft: Draft,
        lanes: Lanes,
        values: Mapping[Tensor, np.ndarray],
        backward: Backward,
        labels: Sequence[str] | None,
        begin: Mapping[Tensor, int] = MappingProxyType({}),
    ) -> None:
        """begin: where the labels of a unit, by its first recurrence, stand among all."""
        self._begin = begin
        self._draft, self._lanes, self._values = draft, lanes, values
        self._backward, self._labels = backward, labels
        self._made: dict[Any, str] = {}  # inputs, initial states and tables, by what they stand for
        self._repeats: dict[Unit, Counter[int]] = {}  # how many calls of a unit read an argument
        self._canonical = Canonical()
        self._arrived: dict[str, np.ndarray] = {}  # at inputs
        self.box_of: dict[Tensor, str] = {}  # of parameters

    # -- what one argument brings ------------------------------------------------------------------

    def argument(self, r: Tensor, k: int) -> None:
        """Edges into the cells of ``r`` through argument k, unless it is a parameter."""
        lanes, seen = self._lanes, self._lanes.seen(r, k)
        if self._is_parameter(r, k, seen):
            return
        contributed = self._backward.rows(r, [parts_of(r).block.inputs[k]])
        back = self._backward.through((r, k))
        initial = is_initial(r, k)
        readers = Counter(bit for value in seen.tolist() for bit in bits_of(value >> 1))
        drawn = lanes.drawn_rows(r)
        feeding = {row: self._feeders(r, row, int(seen[row]) >> 1) for row in drawn}
        alone = self._backward.by_reader(
            r, k, [row for row, bits in feeding.items() if any(readers[b] > 1 for b in bits)
                   and len(bits) <= MOST_FEEDERS]
        )  # fmt: skip
        for row in drawn:
            here, bits, feeders = lanes.cell(r, row), int(seen[row]), feeding[row]
            flow = None if contributed is None else contributed[row]
            if len(feeders) > MOST_FEEDERS:
                hub = self._hub(r, k, bits >> 1, feeders, back)
                self._draft.connect(hub, here)
                self._backward.flow(hub, here, flow)
                continue
            for bit in feeders:
                source, maker, at = lanes.cells[bit]
                own = lanes.unit_of[maker] is lanes.unit_of[r]
                part = lanes.part(r, k) if initial or own else ""
                self._draft.connect(
                    source, here, "state" if initial or own else "forward", part=part,
                    label=lanes.state_text(part, maker, at) if at >= 0 else part,
                )  # fmt: skip
                # From one reader comes all that the maker gets back; of several, each is asked.
                if flow is not None:
                    self._sent(back if readers[bit] == 1 else alone[row], source, here, bit, part)
            if bits & 1 and not feeders and not self._draft.boxed(here):
                part = lanes.part(r, k) if initial else ""
                leaf = self._initial(r, k, row) if initial else self._input(r, k, row)
                self._draft.connect(leaf, here, "state" if initial else "forward", part=part)
                if self._backward.asked(r.inputs[k]):
                    self._backward.flow(leaf, here, flow, part=part)
                    if not initial:
                        self._arrive(leaf, r, k, row, flow)

        if not lanes.unit_of[r].calls:
            self._boxes(r, k, seen, readers, back if contributed is not None else None)

    def _boxes(
        self, r: Tensor, k: int, seen: np.ndarray, readers: Counter[int], back: Sent | None
    ) -> None:
        """What the boxes read that stand for nodes of ``r``: other boxes, or cells beside them."""
        lanes, initial = self._lanes, is_initial(r, k)
        for number in lanes.boxes_of(r):
            here = lanes.cells[number][0]
            rows = next(rows for maker, rows in lanes.standing(number) if maker is r)
            within = Counter(bit for v in seen[rows].tolist() for bit in bits_of(v >> 1))
            feeders = [bit for bit in within if lanes.cells[bit][0] != here]
            if len(feeders) > MOST_FEEDERS:
                continue
            for bit in feeders:
                source, maker, at = lanes.cells[bit]
                part = lanes.part(r, k) if initial else ""
                self._draft.connect(
                    source, here, "state" if initial else "forward", part=part,
                    label=lanes.state_text(part, maker, at) if at >= 0 and part else "",
                )  # fmt: skip
                if back is None:
                    continue
                all_of_it = readers[bit] == within[bit]
                sent = back if all_of_it else self._backward.by_group(r, k, rows)
                self._sent(sent, source, here, bit, part)

    def _feeders(self, r: Tensor, row: int, seen: int) -> list[int]:
        here = self._lanes.cell(r, row)
        return [bit for bit in bits_of(seen) if self._lanes.cells[bit][0] != here]

    def _sent(self, sent: Sent, source: str, here: str, bit: int, part: str = "") -> None:
        """What of a reader's gradient reaches a cell, or the nodes that a box stands for.

        Between them it may be stopped: then it is 0, whatever arrived at the reader.
        """
        self._backward.flow(source, here, 0.0, part=part)
        for r, rows in self._lanes.standing(bit):
            found = at_rows(sent, r, rows)
            self._backward.add(source, here, {(r, ref): g for ref, g in found.items()}, part)

    def _hub(self, r: Tensor, k: int, seen: int, feeders: list[int], back: Sent) -> str:
        """One box for many cells read at once."""
        key = ("hub", r, k, seen)
        if key not in self._made:
            block = parts_of(r).block
            name = block.inputs[k].name
            id = self._made[key] = self._draft.node(
                "output",
                shorten(name if name and not name.isdigit() else "memory", 14),
                detail=f"{len(feeders)} steps",
                tooltip=lines(
                    f"{name or 'a table'} read by {block.name}", tensor_text(r.inputs[k])
                ),
            )
            self.read(id, feeders, back)
        return self._made[key]

    def read(self, id: str, feeders: Sequence[int], back: Sent) -> None:
        """Edges from cells (by number) into a box that reads them; back: what they get for it."""
        for bit in feeders:
            source = self._lanes.cells[bit][0]
            self._draft.connect(source, id)
            if back:
                self._sent(back, source, id, bit)

    # -- inputs and their words --------------------------------------------------------------------

    def _input(self, r: Tensor, k: int, row: int) -> str:
        """The box of one row of an input; the same row read twice is one box."""
        arg, ph = r.inputs[k], parts_of(r).block.inputs[k]
        at = _table_row(r, k, row)
        key = ("input", self._canonical(arg), at)
        if key not in self._made:
            readers = self._readers(r, k, row)
            word, symbol = self._word(r, k, readers), self._symbol(r, k, readers, at)
            value = self._values.get(arg)
            source = ", ".join(leaf_name(t) for t in frontier(arg) if is_source(t))
            self._made[key] = self._draft.node(
                "input",
                shorten(word, 16) or symbol,
                lane=self._draft.nodes[self._lanes.cell(r, row)].lane,
                tooltip=lines(
                    f"{word}  ({symbol})" if word else symbol,
                    f"row {at} of {source}" if at >= 0 else source,
                    shape_text(ph.shape, ph.dtype),
                    value_text(value[at] if at >= 0 else value) if value is not None else "",
                ),
            )
        return self._made[key]

    def _arrive(self, box: str, r: Tensor, k: int, row: int, flow: float | None) -> None:
        """The gradient of an input is the sum of what all its readers give back."""
        vector = self._backward.vector(r, parts_of(r).block.inputs[k], row)
        if vector is None:
            self._draft.change(box, norm=None if flow is None else float(flow))
            return
        known = self._arrived.get(box)
        self._arrived[box] = vector if known is None else known + vector
        self._draft.change(box, norm=norm(self._arrived[box]))

    def _readers(self, r: Tensor, k: int, row: int) -> list[int]:
        """The nodes whose own a row of a table is: those that read it as their first argument.

        A window over time reads one table through several arguments, each a step further back.
        Node 6 then reads row 4 as well, which belongs to node 4.
        """
        vias, table = parts_of(r).vias, self._canonical(r.inputs[k])
        if vias[k].kind != "index":
            return [row]
        first = next(
            j
            for j, arg in enumerate(r.inputs)
            if vias[j].kind == "index" and self._canonical(arg) == table
        )
        nodes = np.flatnonzero(vias[first].rows == vias[k].rows[row]).tolist()
        return [row, *nodes] if first == k else nodes

    def _word(self, r: Tensor, k: int, readers: Sequence[int]) -> str:
        """The label of the nodes an input belongs to, if they agree: else it is no word of theirs.

        Where something is called x, only that has words: parameters of each step have none.
        """
        names = [ph.name or "" for ph in parts_of(r).block.inputs]
        called_x = [name == "x" or name.startswith("x.") for name in names]
        if self._labels is None or any(called_x) and not called_x[k]:
            return ""
        begin = self._begin.get(self._lanes.unit_of[r].recurs[0], 0)
        places = [begin + self._lanes.place(r, node) for node in readers]
        words = {self._labels[place] for place in places if place < len(self._labels)}
        return words.pop() if len(words) == 1 else ""

    def _symbol(self, r: Tensor, k: int, readers: Sequence[int], at: int) -> str:
        """The name of an input, numbered by its step, else by its row or its call."""
        name = argument_name(r, k)
        if at < 0 and (not self._lanes.unit_of[r].calls or name == r.inputs[k].name):
            return name
        step = self._lanes.step(r, readers[0]) if readers else None
        number = step or (at + 1 if at >= 0 else self._lanes.place(r, 0) + 1)
        return subscript(shorten(name, 10), number)

    def _initial(self, r: Tensor, k: int, row: int) -> str:
        """The initial state of one sequence: one box for all its leaves; trees share one box."""
        draft, ph = self._draft, parts_of(r).block.inputs[k]
        lane = draft.nodes[self._lanes.cell(r, row)].lane if self._lanes.is_chain(r) else None
        name = (ph.name or "h0").removesuffix("0")
        key = ("initial", r, lane, self._lanes.part(r, k))
        if key not in self._made:
            label = subscript(shorten(name, 8), 0)
            self._made[key] = draft.node("initial", label, lane=lane, members=(name,))
        node = draft.nodes[self._made[key]]
        if name not in node.members:
            members = (*node.members, name)
            label = ", ".join(subscript(shorten(m, 8), 0) for m in members)
            draft.change(node.id, members=members, label=label)
        value = self._values.get(r.inputs[k])
        more = lines(
            f"initial {name}: {shape_text(ph.shape, ph.dtype)}",
            value_text(value[_table_row(r, k, row)]) if value is not None else "",
        )
        if more not in node.tooltip:
            draft.change(node.id, tooltip=lines(node.tooltip, more))
        return node.id

    # -- parameters --------------------------------------------------------------------------------

    def parameters(self, ends: Sequence[Tensor] = ()) -> None:
        """One box for all the leaves that the same recurrences share, and the same results read."""
        unit_of = self._lanes.unit_of
        read: dict[Tensor, list[Tensor]] = defaultdict(list)
        for end in ends:
            for leaf in frontier(end):
                if leaf.op is not PROJ and is_source(leaf):
                    read[leaf].append(end)
        users: dict[Tensor, list[tuple[Tensor, int]]] = defaultdict(list)
        for r in self._lanes.recurs:
            for k, arg in enumerate(r.inputs):
                if self._is_parameter(r, k, self._lanes.seen(r, k)):
                    for leaf in filter(is_source, frontier(arg)):
                        users[leaf].append((r, k))
        groups: dict[Any, list[Tensor]] = defaultdict(list)
        for leaf in dict.fromkeys((*users, *read)):
            readers = tuple(dict.fromkeys(unit_of[r] for r, _ in users.get(leaf, ())))
            groups[readers, tuple(read[leaf])].append(leaf)
        for (readers, results), leaves in groups.items():
            also = ", ".join(end.name or "the result" for end in results)
            what = ["shared by all steps"] * bool(readers) + [f"read by {also}"] * bool(also)
            id = self.parameter_box(leaves, ", ".join(what))
            self.box_of.update(dict.fromkeys(leaves, id))
            for r in (r for unit in readers for r in unit.recurs):
                args = dict.fromkeys(k for leaf in leaves for user, k in users[leaf] if user is r)
                self._shared(id, r, list(args))

    def _shared(self, id: str, r: Tensor, args: Sequence[int]) -> None:
        """Edges from a box of parameters into every cell of a recurrence."""
        inputs = parts_of(r).block.inputs
        norms = self._backward.rows(
            r, [inputs[k] for k in args if self._backward.asked(r.inputs[k])]
        )
        for row in self._lanes.drawn_rows(r) if args else ():
            here = self._lanes.cell(r, row)
            if not self._draft.boxed(here):
                self._draft.connect(id, here, "shared")
                self._backward.flow(id, here, None if norms is None else norms[row])

    def parameter_box(self, leaves: Sequence[Tensor], what: str) -> str:
        """One box for some leaves; what: who reads them."""
        names = [leaf_name(t) for t in leaves]
        norms = [self._backward.leaf(t) for t in leaves]
        parts = [what]
        for t, name, size in zip(leaves, names, norms, strict=True):
            gradient = "" if size is None else f", gradient norm {size:.4g}"
            parts.append(f"{name}: {tensor_text(t)}{gradient}")
        total = sum(t.size for t in leaves)
        joint = together([np.array([size]) for size in norms if size is not None])
        return self._draft.node(
            "shared",
            f"{len(names)} parameters" if joint and len(names) > 3 else name_list(names),
            detail=f"{total:,} numbers" if total > 1 else "",
            members=tuple(names),
            norm=None if joint is None else float(joint[0]),
            tooltip=lines(*parts[:40]),
        )

    def _is_parameter(self, r: Tensor, k: int, seen: np.ndarray) -> bool:
        """Whether argument k is the same leaves at every step (of separate calls: at two)."""
        if parts_of(r).vias[k] is not SHARED or any(v > 1 for v in set(seen.tolist())):
            return False
        unit = self._lanes.unit_of[r]
        if not unit.calls:
            return True
        if unit not in self._repeats:
            self._repeats[unit] = Counter(
                self._canonical(arg) for call in unit.recurs for arg in set(call.inputs)
            )
        return self._repeats[unit][self._canonical(r.inputs[k])] > 1


def _table_row(r: Tensor, k: int, row: int) -> int:
    """The row of argument k that a node reads; -1: the argument has no rows, or it reads none."""
    _, structure, vias = parts_of(r)
    return -1 if vias[k] is SHARED else int(vias[k].index(structure.n)[0][row])
