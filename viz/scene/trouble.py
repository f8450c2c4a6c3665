"""Where NaN and infinity begin: in the values, and in the gradient on its way back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from minigrad.graph import Tensor
from minigrad.recur import ROW, parts_of, proj

from .draft import Draft
from .lanes import Lanes

VALUE, GRADIENT = "not finite from here", "gradient breaks here"


def mark_trouble(draft: Draft, lanes: Lanes, values: Mapping[Tensor, np.ndarray]) -> None:
    """Marks the nodes where something is not finite though nothing that enters is."""
    broken = _broken_cells(lanes, values)
    makers: dict[str, list[str]] = defaultdict(list)
    entering: dict[str, bool] = defaultdict(bool)  # by node: whether a broken gradient enters
    leaving: dict[str, bool] = defaultdict(bool)
    for edge in draft.edges:
        if edge.kind == "backward":
            bad = edge.norm is not None and not math.isfinite(edge.norm)
            entering[edge.target] |= bad
            leaving[edge.source] |= bad
        else:
            makers[edge.target].append(edge.source)
    for id in list(draft.nodes):
        if id in broken and not broken.intersection(makers[id]):
            _mark(draft, id, VALUE)
        elif leaving[id] and not entering[id]:
            _mark(draft, id, GRADIENT)


def _broken_cells(lanes: Lanes, values: Mapping[Tensor, np.ndarray]) -> set[str]:
    found = set()
    for r in lanes.recurs:
        block, structure, _ = parts_of(r)
        for t in dict.fromkeys((*block.ports.values(), *block.outputs)):
            value = values.get(proj(r, t, ROW))
            if value is not None and value.dtype.kind == "f" and structure.n:
                rows = np.flatnonzero(~np.isfinite(value.reshape(structure.n, -1)).all(axis=1))
                found |= {lanes.cell(r, row) for row in rows.tolist()}
    return found


def _mark(draft: Draft, id: str, text: str) -> None:
    before = draft.nodes[id].detail
    draft.change(id, mark=text, detail=f"{before}\n{text}" if before else text)
