"""A graph with recurrences -> the scene of the "unfolded" view: one cell per structure node.

Cells are structure nodes, state edges are the structure's edges.
Inputs, results and what passes from one recurrence to another follow the exact dependencies.
Parameters are one box per group of users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from minigrad.graph import INPUT, Tensor, toposort
from minigrad.recur import PROJ, ROW, parts_of, proj

from .attention import attend
from .backward import Backward
from .describe import lines, number_text, shape_text, tensor_text, value_text
from .draft import Draft
from .feeds import Feeds
from .flow import bits_of, frontier, is_source, leaf_name, recurs_of, weights_of
from .lanes import Lanes
from .legend import shading_of
from .measures import add_measures, measure_keys
from .reading import read
from .scene import SHADED, Legend, Scene, gradient_legend
from .steps import Unit, check_labels, units
from .text import shorten, subscript
from .tracks import add_tracks
from .trouble import mark_trouble
from .turns import cell_turns, name_cells, take_turns

KEYS = {
    "forward": "value", "shared": "parameters", "backward": "gradient",
    "elided": "left out",
}  # fmt: skip


def unfolded(
    outputs: Sequence[Tensor],
    scalar: Tensor | None = None,
    wrt: Sequence[Tensor] | None = None,
    max_steps: int | None = 60,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    running: bool = False,
    measure: Sequence[str] = (),
    sequences: int | None = None,
) -> Scene:
    """The scene. Raises ValueError for a gradient of what has placeholders without values.

    scalar: whose gradient is shown.  wrt: of which leaves besides the states; None: all.
    running: whether parameters say what has been added after each turn of the backward pass.
    measure: which MEASURES have rows under the steps.
    sequences: how many of a batch are drawn in full; None: of many the first.
    """
    ends = list(dict.fromkeys([*outputs, *([scalar] if scalar is not None else [])]))
    order = toposort(ends)
    recurs, leaves = recurs_of(order), [t for t in order if not t.inputs]
    missing = next((t for t in leaves if t.op is INPUT), None)
    if scalar is not None and missing is not None:
        raise ValueError(
            f"draw: gradients need values, but {leaf_name(missing)} is a placeholder without one"
        )
    if measure and missing is not None:
        raise ValueError(
            f"draw: measures need values, but {leaf_name(missing)} is a placeholder without one"
        )
    draft, backward = Draft(), Backward(scalar, recurs, leaves, wrt)
    values = _values(recurs, ends) if missing is None else {}
    each = units(recurs, None)
    sizes = [unit.structure.n for unit in each]
    check_labels(labels, sizes)
    starts = np.cumsum([0, *sizes]).tolist() if len(labels or ()) == sum(sizes) else []
    begin = {unit.recurs[0]: start for unit, start in zip(each, starts, strict=False)}
    lanes = Lanes(draft, recurs, max_steps, values, backward, sequences)
    feeds = Feeds(draft, lanes, values, backward, labels, begin)
    for r in recurs:
        _states(draft, lanes, backward, r)
        attended = attend(draft, lanes, backward, values, r)
        for k in (k for k in range(len(r.inputs)) if k not in attended):
            feeds.argument(r, k)
    by_row = {end: None if end is scalar else _per_cell(lanes, end) for end in ends}
    feeds.parameters([end for end in ends if by_row[end] is None])
    made: dict[Tensor, str] = {}
    for end, rows in by_row.items():
        if rows is None:
            made[end] = _end(draft, lanes, feeds, backward, end, values.get(end), end is scalar)
        else:
            _end_rows(draft, lanes, end, rows, values.get(end))
    backward.draw(draft)
    mark_trouble(draft, lanes, values)
    if measure:
        draft.measures = add_measures(draft, lanes, measure)
    if "sensitivity" in measure:
        draft.shading = shading_of(n.norm for n in draft.nodes.values() if n.kind in SHADED)
    keys = measure_keys(draft.measures, draft.shading)
    if scalar is None:
        legend = Legend(keys=tuple(keys)) if keys else None
        return draft.scene("unfolded", _title(lanes) if title is None else title, legend)
    take_turns(draft, cell_turns(draft, lanes, backward))
    name_cells(draft, lanes)
    parameters = [t for t in leaves if t in feeds.box_of]
    add_tracks(draft, lanes, backward, made, parameters, running)
    norms = [use.norm for track in draft.tracks for use in track.uses if use.count == 1]
    norms += [size for track in draft.tracks for size in track.strip if size is not None]
    legend = gradient_legend(scalar.name, draft.edges, norms)
    legend = replace(legend, keys=(*_keys(draft), *keys))
    whose = f"{_title(lanes)};  gradient of {shorten(scalar.name or 'the output', 24)}"
    return draft.scene("unfolded", whose if title is None else title, legend)


def _values(recurs: Sequence[Tensor], ends: Sequence[Tensor]) -> dict[Tensor, np.ndarray]:
    """Values of all states and inputs and results, read together."""
    wanted = [*(t for r in recurs for t in r.inputs), *ends]
    for r in recurs:
        block = parts_of(r).block
        wanted += [proj(r, t, ROW) for t in (*block.ports.values(), *block.outputs)]
        weights = weights_of(r)
        wanted += [proj(r, weights, ROW)] if weights is not None else []
    wanted = list(dict.fromkeys(wanted))
    return dict(zip(wanted, read(wanted), strict=True))


def _states(draft: Draft, lanes: Lanes, backward: Backward, r: Tensor) -> None:
    """The structure's own edges. Those inside a box of what is left out are not drawn."""
    block, structure, _ = parts_of(r)
    own = lanes.parts(lanes.unit_of[r]) if len(structure.src) else []
    slots = {key: t for key, t in block.slots.items()}
    by_part = {(key[0], t.name or "h"): t for key, t in slots.items()}
    norms = {
        (slot, part): backward.rows(
            r, [by_part[slot, part]] if part else [t for (s, _), t in slots.items() if s == slot]
        )
        for slot in range(structure.slots)
        for part in own or [""]
    }
    keep = np.ones(len(structure.src), bool) if structure.keep is None else structure.keep
    columns = (structure.src, structure.dst, structure.slot, keep)
    for s, d, slot, kept in zip(*(column.tolist() for column in columns), strict=True):
        a, b = lanes.cell(r, s), lanes.cell(r, d)
        if a == b:
            continue
        kind = "elided" if draft.boxed(a, b) else "state"
        for part in own or [""]:
            text = lanes.state_text(part, r, s)
            draft.edge(a, b, kind, label=text, slot=slot, part=part, cut=not kept)
            found = norms[slot, part]
            if found is not None and kept:
                backward.flow(a, b, found[d], slot, part)


# -- results ---------------------------------------------------------------------------------------


def _end(
    draft: Draft,
    lanes: Lanes,
    feeds: Feeds,
    backward: Backward,
    end: Tensor,
    value: np.ndarray | None,
    is_loss: bool,
) -> str:
    """One box for a whole result."""
    kind = "loss" if is_loss else "output"
    name = end.name or kind
    id = draft.node(
        kind,
        shorten(name, 18),
        detail=number_text(value),
        norm=1.0 if is_loss else None,
        tooltip=lines(name, tensor_text(end), value_text(value) if value is not None else ""),
    )
    seen = int(lanes.rows.leading(end, 0)[()])
    feeds.read(id, bits_of(seen >> 1), backward.through(end) if is_loss else {})
    leaves = [t for t in frontier(end) if t.op is not PROJ and is_source(t)]
    boxes: dict[str, list[Tensor]] = {}
    for leaf in leaves:
        boxes.setdefault(feeds.box_of[leaf], []).append(leaf)
    for box, inside in boxes.items():
        draft.connect(box, id, "shared")
        if is_loss:
            backward.flow(box, id, backward.direct(inside))
    return id


def _per_cell(lanes: Lanes, end: Tensor) -> list[tuple[tuple[int, ...], int]] | None:
    """(place, cell) of each row of a result whose rows come from one cell each; else None."""
    for axes in range(1, min(end.ndim, 2) + 1):
        seen = lanes.rows.leading(end, axes)
        found = [(place, bits_of(int(seen[place]) >> 1)) for place in np.ndindex(seen.shape)]
        used = [(place, bits[0]) for place, bits in found if len(bits) == 1]
        drawn = [bit for _, bit in used if lanes.cells[bit][2] >= 0]
        if used and all(len(bits) <= 1 for _, bits in found) and len(set(drawn)) == len(drawn):
            return used
    return None


def _end_rows(
    draft: Draft,
    lanes: Lanes,
    end: Tensor,
    rows: Sequence[tuple[tuple[int, ...], int]],
    value: np.ndarray | None,
) -> None:
    """A box at each cell for its row of a result."""
    name = shorten(end.name or "y", 10)
    for place, bit in rows:
        cell, r, row = lanes.cells[bit]
        if row < 0:
            continue
        id = draft.node(
            "output",
            subscript(name, lanes.step(r, row) or lanes.place(r, row) + 1),
            lane=draft.nodes[cell].lane,
            tooltip=lines(
                f"{name}[{', '.join(map(str, place))}]",
                shape_text(end.shape[len(place) :], end.dtype),
                value_text(value[place]) if value is not None else "",
            ),
        )
        draft.connect(cell, id)


def _keys(draft: Draft) -> Iterator[tuple[str, str]]:
    """What each kind of sign that occurs in a picture with a gradient means."""
    kinds = {e.kind for e in draft.edges if not e.cut and e.weight is None}
    for kind, text in KEYS.items():
        if kind in kinds:
            yield kind, text
    if any(e.weight is not None for e in draft.edges):
        yield "attend", "attention: as opaque as its weight"
    if any(e.cut for e in draft.edges):
        yield "cut", "no gradient passes: truncated"
    if any(t.strip and not t.head for t in draft.tracks):
        yield "state", "norm of the gradient of a state, a column for each step"
    if any(t.head for t in draft.tracks):
        yield "use", "what one use adds to a parameter's gradient"
        yield "bar", "norm of its gradient, within the sum of the norms of its uses"
    if any(use.count > 1 for t in draft.tracks for use in t.uses):
        yield "rest", "sum of the norms of uses left out"


def _title(lanes: Lanes) -> str:
    """What there is: nets that go on where the same net stopped as one, equal ones counted."""
    parts: list[str] = []
    runs: list[list[Unit]] = []
    for unit in lanes.units:
        before = [run for run in runs if run[0].net == unit.net] if lanes.begins[unit] else []
        if before:
            before[-1].append(unit)
        else:
            runs.append([unit])
    for units_of in runs:
        unit, many = units_of[0], units_of[0].structure.components
        n = sum(u.structure.n for u in units_of)
        parted = {"chain": "sequences", "tree": "trees"}.get(unit.whole.arrangement, "parts")
        steps = unit.whole.arrangement == "chain" and (unit.joined or len(units_of) > 1)
        text = f"{unit.name}: {n:,} {'step' if steps else 'node'}{'s' * (n != 1)}"
        if not unit.joined:
            text += " side by side"
        elif many > 1:
            text += f" in {many:,} {parted}"
        if len(units_of) > 1:
            text += f" in {len(units_of)} runs"
        chunk = unit.structure.chunk
        if chunk is not None:
            text += f", states kept between {len(np.unique(chunk)):,} chunks"
        parts.append(text)
    counted = [f"{c} × {text}" if c > 1 else text for text, c in Counter(parts).items()]
    return ";  ".join(counted[:4]) or "no recurrence"
