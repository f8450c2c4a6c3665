"""Inside the cell: the ops of one step, the state from left to right, the gradient on every edge.

Products with parameters and what is added to them are one box, as textbooks write them;
the parameters stand below it.  Several steps side by side have each op at the same place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigrad.graph import INPUT, Tensor, toposort, where_recorded
from minigrad.recur import PROJ, RECUR, ROW, SHARED, parts_of, proj

from .describe import lines, norm_line, tensor_text, value_text
from .draft import Draft
from .flow import SLOT_NAMES, argument_name, frontier, is_initial, leaf_name, recurs_of
from .inside import HIDDEN, Inside, visible
from .legend import Legend, gradient_legend, norm_text
from .measures import FLAT, HEADINGS, KEYS, NO_GATES, shares
from .numbers import norm
from .ops import SYMBOLS, constant_label
from .reading import read
from .scene import Cluster, Scene, Track, Use
from .steps import Unit, units
from .text import raised, shorten, subscript
from .turns import op_turns, take_turns

MOST = 400  # ops and steps together; beyond, nobody can read the picture
MOST_STEPS = 12
WIDEST = 26  # characters of a formula in a box


@dataclass
class _Group:
    """An op, or products with parameters and what is added to them, drawn as one box."""

    root: Tensor
    members: list[Tensor]
    operands: dict[Tensor, list[tuple[Tensor, int]]]  # what is read, by which op as which operand
    params: dict[Tensor, list[tuple[Tensor, int]]]


def cell(
    outputs: Sequence[Tensor],
    scalar: Tensor | None = None,
    wrt: Sequence[Tensor] | None = None,
    steps: Sequence[int] | None = None,
    title: str | None = None,
    saturation: bool = False,
) -> Scene:
    """The scene: each recurrence with a state (else each) once for every step asked for.

    steps: from 1 in time; of trees and other structures the numbers of nodes, from 0.
    None: one picture, the gradient summed over all steps.
    saturation: whether boxes say which share of their units is on a flat part of their function.

    Raises ValueError where there is no recurrence, or no such step; for saturation without values.
    """
    order = toposort([*outputs, *([scalar] if scalar is not None else [])])
    found = units(recurs_of(order), None)
    found = [u for u in found if parts_of(u.recurs[0]).block.slots or u.calls] or found
    if not found:
        raise ValueError(
            'draw: the "cell" view shows the inside of a recurrence, and there is none here; '
            'view="ops" shows operations'
        )
    if steps is not None and len(steps) > MOST_STEPS:
        raise ValueError(f"draw: at most {MOST_STEPS} steps are drawn side by side")
    draft = Draft()
    missing = next((t for t in order if t.op is INPUT), None)
    if saturation and missing is not None:
        raise ValueError(
            f"draw: measures need values, but {leaf_name(missing)} is a placeholder without one"
        )
    for layer, unit in enumerate(found):
        _draw(draft, unit, layer, scalar, wrt, steps, missing is None, saturation)
    if len(draft.nodes) > MOST * max(1, len(steps or ())):
        raise ValueError(
            f"draw: {len(draft.nodes):,} boxes are too many for one picture; draw an inner result, "
            "or fewer steps"
        )
    keys = (("flat", f"units {KEYS['saturation']}"),) if draft.measures else ()
    legend = Legend(keys=keys) if keys else None
    what = ", ".join(dict.fromkeys(u.name for u in found))
    whole = f"Inside {what}"
    if scalar is not None:
        made = [id for id, node in draft.nodes.items() if node.kind in ("op", "gate")]
        take_turns(draft, op_turns(draft, made))
        legend = gradient_legend(scalar.name, draft.edges)
        legend = replace(legend, keys=(*legend.keys, *keys))
        over = "" if steps is not None else ", summed over the steps"
        whole += f";  gradient of {shorten(scalar.name or 'the output', 24)}{over}"
    return draft.scene("cell", whole if title is None else title, legend)


def _draw(
    draft: Draft, unit: Unit, layer: int, scalar: Tensor | None, wrt: Sequence[Tensor] | None,
    steps: Sequence[int] | None, known: bool, saturation: bool,
) -> None:  # fmt: skip
    chain = unit.whole.arrangement == "chain"
    places: list[tuple[str, list[int] | None]] = [("", None)]
    if steps is not None:
        column = unit.whole.column + 1 if chain else np.arange(unit.structure.n)
        places = []
        for step in steps:
            rows = np.flatnonzero(column == step).tolist()
            if not rows:
                last = int(column.max(initial=0))
                raise ValueError(
                    f"draw: {unit.name} has no {'step' if chain else 'node'} {step}; it has "
                    f"{'1' if chain else '0'} to {last}"
                )
            places.append((f"{'step' if chain else 'node'} {step}", rows))
    first = unit.recurs[0]
    groups = _groups(first, unit.recurs)
    made: dict[Tensor, tuple[Inside | None, dict[Tensor, np.ndarray]]] = {}
    for band, (where, which) in enumerate(places):
        chosen: list[int] = list(range(unit.structure.n)) if which is None else which
        at = [(unit.recurs[k], [0]) for k in chosen] if unit.calls else [(first, chosen)]
        for r, _ in at:
            if r not in made:
                inside = None if scalar is None else Inside(r, scalar)
                made[r] = inside, _values(r, groups) if known else {}
        lane = f"c{len(draft.clusters)}"
        label = f"{unit.name}, {where}" if where else unit.name
        draft.clusters.append(Cluster(lane, label, band=band, layer=layer, framed=True))
        nodes = [(*made[r], index) for r, index in at]
        one = _One(draft, lane, first, groups, nodes, wrt, where, chain)
        one.draw()
        if saturation:
            one.measure(label)


def _values(r: Tensor, groups: Sequence[_Group]) -> dict[Tensor, np.ndarray]:
    wanted = [g.root for g in groups]
    return dict(zip(wanted, read([proj(r, t, ROW) for t in wanted]), strict=True))


# -- what is one box -------------------------------------------------------------------------------


def _groups(r: Tensor, calls: Sequence[Tensor]) -> list[_Group]:
    """The boxes, in the order of computation.  calls: of the same block, where it is called."""
    block, _, vias = parts_of(r)
    params = {
        ph
        for ph, via, arg in zip(block.inputs, vias, r.inputs, strict=True)
        if via is SHARED and not any(p.op is PROJ for p in frontier(arg))
    }
    if all(via is SHARED for via in vias):  # plain calls: what all of them read, or one's matrices
        params = {
            ph
            for k, ph in enumerate(block.inputs)
            if ph in params
            and (all(c.inputs[k] is r.inputs[k] for c in calls) if len(calls) > 1 else ph.ndim > 1)
        }
    ends = {*block.ports.values(), *block.outputs}
    begun = set(_begun(r).values())
    nodes = [
        t
        for t in block.nodes
        if t.inputs and t.op is not RECUR and t.op.name not in HIDDEN and t not in begun
    ]
    users: dict[Tensor, list[Tensor]] = defaultdict(list)
    for t in nodes:
        for x in dict.fromkeys(map(visible, _reads(t))):
            users[x].append(t)
    home: dict[Tensor, Tensor] = {}
    for t in reversed(nodes):  # a product or sum belongs to the sum that alone reads it
        home[t] = t
        alone = users[t][0] if len(users[t]) == 1 and t not in ends else None
        if alone is not None and t.name is None and _affine(t, params) and alone.op.name == "add":
            if _affine(alone, params):
                home[t] = home[alone]
    members: dict[Tensor, list[Tensor]] = defaultdict(list)
    for t in nodes:
        members[home[t]].append(t)
    groups = []
    for root in (t for t in nodes if home[t] is t):
        own = members[root]
        product = any(m.op.name == "einsum" and params & set(map(visible, m.inputs)) for m in own)
        pieces = own if product else [root]
        groups.append(_Group(root, pieces, {}, {}))
        if not product:
            groups[-1:] = [_Group(m, [m], {}, {}) for m in own]
    for group in groups:
        inner = set(group.members)
        for m in group.members:
            for k, x in enumerate(_reads(m)):
                source = visible(x)
                if source not in inner:
                    where = group.params if source in params else group.operands
                    where.setdefault(source, []).append((m, k))
    return groups


def _begun(r: Tensor) -> dict[Tensor, Tensor]:
    """Where an initial state is added to what arrives: that sum by the slot, drawn as one."""
    block = parts_of(r).block
    slots = set(block.slots.values())
    initial = {block.inputs[k] for k in range(len(r.inputs)) if is_initial(r, k)}
    return {
        next(x for x in t.inputs if x in slots): t
        for t in block.nodes
        if t.op.name == "add" and slots & set(t.inputs) and initial & set(t.inputs)
    }


def _reads(t: Tensor) -> tuple[Tensor, ...]:
    return t.inputs[0].inputs if t.op is PROJ else t.inputs


def _affine(t: Tensor, params: set[Tensor]) -> bool:
    """Whether a node is a sum, or a product with a parameter."""
    return t.op.name == "add" or (
        t.op.name == "einsum" and bool(params & set(map(visible, t.inputs)))
    )


# -- one picture of them ---------------------------------------------------------------------------


class _One:
    """The boxes of a cell at one step (or all, summed)."""

    def __init__(
        self, draft: Draft, lane: str, r: Tensor, groups: Sequence[_Group],
        at: Sequence[tuple[Inside | None, Mapping[Tensor, np.ndarray], list[int]]],
        wrt: Sequence[Tensor] | None, where: str, chain: bool,
    ) -> None:  # fmt: skip
        self.draft, self.lane, self.r, self.groups, self.at = draft, lane, r, groups, at
        self.block = parts_of(r).block
        self.asked = None if wrt is None else set(wrt)
        self.step = where.rpartition(" ")[2] if where.startswith("step") else ""
        self.chain = chain
        self.id: dict[Any, str] = {}

    def draw(self) -> None:
        given = {ph: k for k, ph in enumerate(self.block.inputs)}
        read = dict.fromkeys(x for g in self.groups for x in (*g.operands, *g.params))
        ends = [*self.block.ports.values(), *self.block.outputs]
        begun = _begun(self.r)
        for (slot, _), arriving in reversed(self.block.slots.items()):
            t = begun.get(arriving, arriving)
            if t in read or t in ends:
                several = self._slot(slot)
                label = self._state(arriving.name or "h", -1) + several
                text = f"{arriving.name or 'state'} as it arrives"
                self._node(t, "initial", label, tooltip=lines(text, tensor_text(t)))
        for t in read:
            if t in given and t not in self.id and any(t in g.operands for g in self.groups):
                word = argument_name(self.r, given[t])
                # What the call before made is the state.
                made = any(p.op is PROJ for p in frontier(self.r.inputs[given[t]]))
                carried = not self.block.slots and made
                label = self._state(shorten(word, 10), -1 if carried else 0)
                kind = "initial" if carried else "input"
                self._node(t, kind, label, tooltip=lines(word, tensor_text(t)))
            elif not t.inputs and t not in self.id and t not in given:
                self._node(t, "constant", constant_label(t), tooltip=tensor_text(t))
        for group in self.groups:
            self._group(group, given)
        for (port, leaf), t in reversed(self.block.ports.items()):
            name = next((s.name for (_, at), s in self.block.slots.items() if at == leaf), "h")
            more = f" {port}" if parts_of(self.r).structure.ports > 1 else ""
            label = self._state(name or "h", 0) + more
            self._end(t, ("port", port, leaf), "initial", label, "onward",
                      f"{name or 'state'} to the next node")  # fmt: skip
        outside = {p.attrs["ref"] for p in self.r.attrs["projections"].values()}
        asked = {t for inside, _, _ in self.at if inside is not None for t in inside.asked}
        for t in self.block.outputs:
            if t in outside and (not any(i for i, _, _ in self.at) or t in asked):
                name = (t.name or "y") if not self.block.slots else "y"
                self._end(t, ("y", t), "output", self._state(name, 0), "asked", "read outside")

    def measure(self, group: str) -> None:
        """Which share of the units of each gate is on a flat part of its function, at the nodes
        chosen: a line in its box, and a row of numbers."""
        uses = []
        for t in (g.root for g in self.groups if g.root.op.name in FLAT):
            values = np.concatenate([found[t][rows] for _, found, rows in self.at])
            low, high = (float(x.mean()) if len(x) else np.nan for x in shares(t, values))
            id, node = self.id[t], self.draft.nodes[self.id[t]]
            share = f"{low + high:.0%} flat" if low == low else "NaN"
            says = f"{low + high:.0%} of its units saturated: {low:.0%} low, {high:.0%} high"
            self.draft.nodes[id] = replace(
                node, detail=", ".join(filter(None, (node.detail, share))),
                tooltip=lines(node.tooltip, says if low == low else "its units hold NaN"),
            )  # fmt: skip
            uses.append(Use(f"s{len(self.draft.measures)}{id}", id, low + high, values=(low, high)))
        if not uses:
            self.draft.notes.append(f"{group}: {NO_GATES}")
            return
        self.draft.measures.append(Track(
            f"s{len(self.draft.measures)}", HEADINGS["saturation"], group, uses=tuple(uses),
            kind="saturation",
        ))  # fmt: skip

    def _slot(self, slot: int) -> str:
        slots = parts_of(self.r).structure.slots
        if slots < 2:
            return ""
        return " " + SLOT_NAMES[slots][slot] if slots in SLOT_NAMES else f" {slot}"

    def _state(self, name: str, shift: int) -> str:
        if not self.chain:
            return raised(name)
        if self.step.isdecimal():
            return subscript(raised(name), int(self.step) + shift)
        return subscript(raised(name), "t" if shift == 0 else "t-1")

    def _node(self, t: Any, kind: str, label: str, **more: Any) -> str:
        norm_ = self._norm("arrived", t) if isinstance(t, Tensor) else None
        self.id[t] = self.draft.node(kind, label, lane=self.lane, norm=norm_, **more)
        return self.id[t]

    def _norm(self, what: str, *keys: Any) -> float | None:
        """Of the sum over the nodes chosen and over the keys; None where there is no path."""
        total: Any = None
        for inside, _, rows in self.at:
            found = {} if inside is None else getattr(inside, what)
            for key in keys:
                if key in found:
                    value = found[key][rows].sum(axis=0)
                    total = value if total is None else total + value
        return None if total is None else norm(total)

    def _group(self, group: _Group, given: Mapping[Tensor, int]) -> None:
        t = group.root
        alone = len(group.members) == 1
        label = SYMBOLS.get(t.op.name, t.op.name) if alone else self._formula(group, given)
        if t.op is PROJ:
            label = parts_of(t.inputs[0]).block.name
        id = self._node(
            t,
            "gate" if t.name else "op",
            label,
            detail=shorten(t.name, 16) if t.name else "",
            tooltip=lines(
                t.name or label,
                tensor_text(t),
                self._value(t),
                norm_line(self._norm("arrived", t)),
                where_recorded(t),
            ),
        )
        for x, edges in group.operands.items():
            if x in self.id:
                constant = self.draft.nodes[self.id[x]].kind == "constant"
                flow = None if constant else self._norm("sent", *edges)
                self._edge(self.id[x], id, flow, edges)
        if group.params:
            self._params(group, id, given)

    def _edge(
        self, source: str, target: str, flow: float | None, edges: Sequence[Any] = ()
    ) -> None:
        ops = {m for m, _ in edges}
        many = {"label": f"{len(edges)}×"} if len(edges) > len(ops) else {}
        self.draft.edge(source, target, **many)
        if flow is not None:
            text = f"gradient norm {flow:.6g}"
            more = {"label": norm_text(flow), "norm": flow, "tooltip": text}
            self.draft.edge(target, source, "backward", **more)

    def _params(self, group: _Group, id: str, given: Mapping[Tensor, int]) -> None:
        """The parameters of a box below it: one arrow, a number for each in the text."""
        names, parts, rows = [], [], []
        for ph, edges in group.params.items():
            arg = self.r.inputs[given[ph]] if ph in given else ph
            name = argument_name(self.r, given[ph]) if ph in given else ph.name or "?"
            shown = self.asked is None or bool(self.asked & set(frontier(arg)))
            flow = self._norm("sent", *edges) if shown else None
            names.append(name)
            parts += [] if flow is None else [flow]
            short = name.rpartition(".")[2]
            rows.append(short if flow is None else f"{short}  {norm_text(flow)}")
        box = self.draft.node(
            "shared", "\n".join(rows), lane=self.lane, members=tuple(names),
            norm=norm(np.asarray(parts)) if parts else None,
            tooltip=lines(*rows),
        )  # fmt: skip
        self.draft.edge(box, id, "shared")
        if parts:
            flow = norm(np.asarray(parts))
            self.draft.edge(id, box, "backward", norm=flow, tooltip=f"gradient norm {flow:.6g}")

    def _end(self, t: Tensor, key: Any, kind: str, label: str, what: str, text: str) -> None:
        source = self.id.get(visible(t))
        if source is None:
            return
        flow = self._norm(what, t)
        id = self._node(key, kind, label, tooltip=lines(text, tensor_text(t), norm_line(flow)))
        self._edge(source, id, flow)

    def _formula(self, group: _Group, given: Mapping[Tensor, int]) -> str:
        """``x W + h U + b``, if that is short; the names that the cell uses."""

        def name(t: Tensor) -> str:
            if t in given:
                return argument_name(self.r, given[t]).rpartition(".")[2]
            return t.name or "·"

        terms = []
        for m in group.members:
            if m.op.name == "einsum":
                terms.append(" ".join(name(visible(x)) for x in m.inputs))
        inner = set(group.members)
        for m in group.members:
            if m.op.name == "add":
                terms += [name(visible(x)) for x in m.inputs if visible(x) not in inner]
        text = " + ".join(terms)
        return text if len(text) <= WIDEST else "affine"

    def _value(self, t: Tensor) -> str:
        if len(self.at) != 1 or t not in self.at[0][1]:
            return ""
        _, values, rows = self.at[0]
        return value_text(values[t][rows])
