"""Measures of a run, step by step: which gates are saturated, how steps stretch the state.

Saturated units are those on a flat part of their function: a sigmoid below 0.1 or above 0.9
(Karpathy, Johnson and Fei-Fei 2015), tanh and erf beyond 0.9 either way, a relu at 0.
(What that takes away from a step's Jacobian, in nats, is ``rc.study.propagation``'s
``losses_of_norm["saturation"]``.)
Sensitivity shades boxes by the gradient that is drawn (Graves 2012, figure 4.1).
The step Jacobian is the next state, all its parts, by the one before, d s_t / d s_(t-1); of trees
and other structures by the state that came in at one slot.  ``rc.study.propagation`` has the same
singular values of a cell that is given to it; here they are of the graph that is drawn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

import minigrad as mg
from minigrad.graph import CONSTANT, Tensor, placeholder, rebuild, toposort
from minigrad.recur import PROJ, RECUR, ROW, SHARED, Block, Index, parts_of, proj, recurrence
from minigrad.structure import independent

from .describe import lines
from .draft import Draft
from .flow import SLOT_NAMES
from .lanes import Lanes
from .legend import Legend, shading_key
from .reading import read
from .scene import Track, Use
from .steps import Unit
from .tracks import MOST_NODES, MOST_SQUARES, drawn, names_of_columns, words_read

MEASURES = ("sensitivity", "saturation", "singular")
MOST_NUMBERS = 40_000_000  # of all step Jacobians together
Flat = Callable[[np.ndarray], np.ndarray]
FLAT: dict[str, tuple[Flat, Flat]] = {  # by op: where its value is low, and where it is high
    "sigmoid": (lambda y: y < 0.1, lambda y: y > 0.9),
    "tanh": (lambda y: y < -0.9, lambda y: y > 0.9),
    "erf": (lambda y: y < -0.9, lambda y: y > 0.9),
    "relu": (lambda y: y <= 0, lambda y: np.zeros_like(y, bool)),
}
HEADINGS = {
    "saturation": "share of units saturated",
    "singular": "singular values of the step Jacobian",
}
NO_GATES = "no sigmoid, tanh, erf or relu inside, so nothing that could be saturated"
KEYS = {
    "saturation": "saturated: a sigmoid below 0.1 or above 0.9, tanh or erf beyond ±0.9, relu at 0",
    "singular": "singular value: white is 1, blue shrinks, orange stretches",
}


@dataclass
class _Row:
    """One row of a table: a number for nodes of recurrences.  more: all the numbers behind each."""

    kind: str
    label: str
    values: dict[Tensor, np.ndarray]  # (n,); NaN with `known` False: no number
    known: dict[Tensor, np.ndarray]
    more: dict[Tensor, np.ndarray] = field(default_factory=dict)  # (n, many)
    about: str = ""


def add_measures(draft: Draft, lanes: Lanes, kinds: Sequence[str]) -> list[Track]:
    """Rows under the steps, for every net that is drawn."""
    made: list[Track] = []
    for kind in (kind for kind in kinds if kind in HEADINGS):
        for unit in lanes.units:
            rows, note = _saturation(unit) if kind == "saturation" else _singular(lanes, unit)
            if note:
                draft.notes.append(f"{unit.name}: {note}")
            several = f", {lanes.group(unit)}" if len(lanes.units) > 1 else ""
            for row in rows:
                made.append(_track(draft, lanes, unit, row, HEADINGS[kind] + several, len(made)))
    return made


def _track(draft: Draft, lanes: Lanes, unit: Unit, row: _Row, group: str, k: int) -> Track:
    id, tip = f"y{k}", lines(f"{row.label}: {HEADINGS[row.kind]}", row.about)
    chain = unit.whole.arrangement == "chain"
    if _is_long(unit):
        steps = _first_sequence(lanes, unit, row) if chain else _by_node(lanes, row)
        columns, group = ("t", group + unit.of_first) if chain else ("node", group)
        return Track(
            id, row.label, group, strip=tuple(steps), tooltip=tip, kind=row.kind, columns=columns
        )
    at: dict[str, list[tuple[float, tuple[float, ...]]]] = defaultdict(list)
    for r, values in row.values.items():
        for n in np.flatnonzero(row.known[r]).tolist():
            more = tuple(row.more[r][n].tolist()) if r in row.more else ()
            at[lanes.cell(r, n)].append((float(values[n]), more))
    names = {} if chain else names_of_columns(words_read(draft), lanes, unit)
    uses = []
    for j, (node, found) in enumerate(at.items()):
        mean = float(np.mean([value for value, _ in found]))
        uses.append(
            Use(
                f"{id}u{j}", node, mean, count=len(found),
                label="" if chain else names.get(node, "…") if len(found) == 1 else "…",
                values=found[0][1] if len(found) == 1 else (),
            )
        )  # fmt: skip
    return Track(id, row.label, group, uses=tuple(uses), tooltip=tip, kind=row.kind)


def _first_sequence(lanes: Lanes, unit: Unit, row: _Row) -> list[float | None]:
    steps: dict[int, float] = {}
    for r, values in row.values.items():
        for n in np.flatnonzero(row.known[r]).tolist():
            place = lanes.place(r, n)
            if unit.structure.component[place] == unit.first:
                steps[int(unit.whole.column[place])] = float(values[n])
    return [steps.get(k) for k in range(max(steps, default=-1) + 1)]


def _is_long(unit: Unit) -> bool:
    """Whether there are too many nodes for a square each."""
    if unit.whole.arrangement != "chain":
        return drawn(unit) > MOST_NODES
    return bool(np.bincount(unit.structure.component).max(initial=0) > MOST_SQUARES)


def _by_node(lanes: Lanes, row: _Row) -> list[float | None]:
    found: dict[int, float] = {}
    for r, values in row.values.items():
        for n in np.flatnonzero(row.known[r]).tolist():
            found[lanes.place(r, n)] = float(values[n])
    return [found.get(k) for k in range(max(found, default=-1) + 1)]


# -- saturation ------------------------------------------------------------------------------------


def _saturation(unit: Unit) -> tuple[list[_Row], str]:
    block = parts_of(unit.recurs[0]).block
    gates = [t for t in block.nodes if t.op.name in FLAT]
    if not gates:
        return [], NO_GATES
    values = iter(read([proj(r, t, ROW) for r in unit.recurs for t in gates]))
    flat = {(r, t): shares(t, next(values)) for r in unit.recurs for t in gates}
    rows = []
    for t, label in zip(gates, _labels(block, gates), strict=True):
        found = {r: flat[r, t] for r in unit.recurs}
        total = {r: low + high for r, (low, high) in found.items()}
        rows.append(
            _Row(
                "saturation", label, total, {r: np.ones(len(x), bool) for r, x in total.items()},
                {r: np.stack(pair, axis=1) for r, pair in found.items()}, t.op.name,
            )
        )  # fmt: skip
    return rows, ""


def shares(t: Tensor, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the shares of units that are low, and that are high; NaN where a unit is NaN."""
    flat = value.reshape(len(value), -1)
    bad = np.isnan(flat).any(axis=1)
    low, high = (np.where(bad, np.nan, f(flat).mean(axis=1)) for f in FLAT[t.op.name])
    return low, high


def _labels(block: Block, gates: Sequence[Tensor]) -> list[str]:
    """The cell's names: of the tensor, else of the state that it is, else its function, counted."""
    states = {t: block.slots[0, leaf].name for (_, leaf), t in block.ports.items()
              if (0, leaf) in block.slots}  # fmt: skip
    names = [t.name or states.get(t) or t.op.name for t in gates]
    many, seen = Counter(names), Counter[str]()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} {seen[name]}" if many[name] > 1 else name)
    return labels


# -- singular values -------------------------------------------------------------------------------


def _singular(lanes: Lanes, unit: Unit) -> tuple[list[_Row], str]:
    first = unit.recurs[0]
    structure = parts_of(first).structure
    if unit.calls:
        ways = {0: _carried(unit)}
    elif structure.ports > 1:
        return [], "no singular values: its state leaves by several ports"
    else:
        ways = {slot: _state(first, slot) for slot in range(structure.slots)}
    ways = {slot: way for slot, way in ways.items() if way[0] and way[1]}
    if not ways:
        return [], "no singular values: no state is handed on"
    size = max(sum(t.size for t in outs) * sum(t.size for t in ins) for outs, ins in ways.values())
    wanted = {r: np.arange(parts_of(r).structure.n) if _is_long(unit) else _drawn_rows(lanes, r)
              for r in unit.recurs}  # fmt: skip
    many = sum(map(len, wanted.values()))
    if many * size > MOST_NUMBERS:
        return [], (f"no singular values: {many:,} Jacobians of {size:,} numbers are more than "
                    f"{MOST_NUMBERS:,}; draw fewer steps (max_steps)")  # fmt: skip
    rows: list[_Row] = []
    for slot, (outs, ins) in ways.items():
        found = _spectra(unit.recurs, outs, ins, wanted)
        known: dict[Tensor, np.ndarray] = {}
        full: dict[Tensor, np.ndarray] = {}
        for r in unit.recurs:
            n = parts_of(r).structure.n
            full[r] = np.full((n, found[r].shape[1]), np.nan)
            full[r][wanted[r]] = found[r]
            known[r] = np.zeros(n, bool)
            known[r][wanted[r]] = True
            if unit.whole.arrangement != "chain":  # where nothing comes in there is no such state
                known[r] &= np.isin(np.arange(n), structure.dst[structure.slot == slot])
        rows += _picked(full, known, _side(structure.slots, slot))
    return rows, ""


def _picked(
    full: dict[Tensor, np.ndarray], known: dict[Tensor, np.ndarray], side: str
) -> list[_Row]:
    """The largest, the middle and the smallest of each spectrum; the first has all of it."""
    many = next(iter(full.values())).shape[1]
    picks = {"largest": 0, "middle": (many - 1) // 2, "smallest": many - 1}
    if many < 3:
        picks.pop("middle")
    if many == 1:
        picks = {"the only one": 0}
    return [
        _Row(
            "singular", label + side, {r: x[:, k] for r, x in full.items()}, known,
            full if k == 0 else {}, f"of {many}",
        )
        for label, k in picks.items()
    ]  # fmt: skip


def _side(slots: int, slot: int) -> str:
    if slots < 2:
        return ""
    return f", {SLOT_NAMES[slots][slot]}" if slots in SLOT_NAMES else f", slot {slot}"


def _drawn_rows(lanes: Lanes, r: Tensor) -> np.ndarray:
    kept = {id for id, _, row in lanes.cells if row >= 0}
    n = parts_of(r).structure.n
    return np.array([row for row in range(n) if lanes.cell(r, row) in kept], np.int64)


def _state(r: Tensor, slot: int) -> tuple[list[Tensor], list[Tensor]]:
    """What a node hands on, and what comes in at a slot, part by part."""
    block = parts_of(r).block
    leaves = [leaf for (s, leaf), t in block.slots.items() if s == slot and t.dtype.kind == "f"]
    leaves = [leaf for leaf in leaves if (0, leaf) in block.ports]
    return [block.ports[0, leaf] for leaf in leaves], [block.slots[slot, leaf] for leaf in leaves]


def _carried(unit: Unit) -> tuple[list[Tensor], list[Tensor]]:
    """The same of calls in a row: what the next one reads of a call as it is."""
    block, own = parts_of(unit.recurs[0]).block, set(unit.recurs)
    found: dict[int, Tensor] = {}
    for r in unit.recurs:
        for k, arg in enumerate(r.inputs):
            if arg.op is PROJ and arg.inputs[0] in own and arg.dtype.kind == "f":
                found.setdefault(k, arg.attrs["ref"])
    return list(found.values()), [block.inputs[k] for k in found]


def _spectra(
    recurs: Sequence[Tensor], outs: Sequence[Tensor], ins: Sequence[Tensor],
    wanted: dict[Tensor, np.ndarray],
) -> dict[Tensor, np.ndarray]:  # fmt: skip
    """(m, S) singular values of d outs / d ins at some nodes of recurrences of one block."""
    block = parts_of(recurs[0]).block
    rows = mg.jacobian(list(outs), list(ins))
    refs = [entry for row in rows for entry in row]
    forward = {*block.nodes, *block.inputs, *block.slots.values()}
    reads = [t for t in toposort(refs, stop=lambda t: t in forward)
             if t in forward and t.op is not CONSTANT and t.op is not RECUR]  # fmt: skip
    swap = {t: placeholder(t.shape, t.dtype, t.name) for t in reads}
    fresh = rebuild(refs, swap)
    jacobians = Block("jacobians", tuple(swap.values()), tuple(dict.fromkeys(fresh)))
    number = {ph: k for k, ph in enumerate(block.inputs)}
    made: list[Tensor] = []
    for r in recurs:
        n, vias, at = parts_of(r).structure.n, parts_of(r).vias, wanted[r]
        args, enter = [], []
        for t in reads:
            via = vias[number[t]] if t in number else ROW
            args.append(r.inputs[number[t]] if t in number else proj(r, t, ROW))
            index, size = via.index(n)
            enter.append(SHARED if via is SHARED else Index(np.asarray(index)[at], size))
        ran = recurrence(jacobians, independent(len(at)), args, enter)
        made += [proj(ran, t, ROW) for t in fresh]
    values = iter(read(made))
    found = {}
    for r in recurs:
        m = len(wanted[r])
        parts = [[next(values).reshape(m, y.size, x.size) for x in ins] for y in outs]
        whole = np.concatenate([np.concatenate(row, axis=2) for row in parts], axis=1)
        found[r] = _values(whole)
    return found


def _values(matrices: np.ndarray) -> np.ndarray:
    """Singular values, the largest first; NaN of a matrix that is not finite."""
    good = np.isfinite(matrices).all(axis=(1, 2))
    found = np.full((len(matrices), min(matrices.shape[1:])), np.nan)
    if good.any():
        found[good] = np.linalg.svd(matrices[good].astype(np.float64), compute_uv=False)
    return found


def measure_keys(tracks: Iterable[Track], shading: Legend | None) -> list[tuple[str, str]]:
    """What the colours of the measures mean that are there."""
    found = [(kind, KEYS[kind]) for kind in dict.fromkeys(t.kind for t in tracks)]
    return found if shading is None else [shading_key(shading), *found]
