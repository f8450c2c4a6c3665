"""Attention in the unfolded view: a sum for each step that attends, an arrow for each step seen.

What is summed is found by its name: the weights that a cell calls "attention", as
``recurrent.attend`` does.  An arrow's opacity is its weight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from minigrad.graph import Tensor
from minigrad.recur import ROW, parts_of, proj

from .backward import Backward, at_rows
from .describe import lines
from .draft import Draft
from .flow import bits_of, memory_of, weights_of
from .lanes import Lanes
from .text import subscript


def attend(
    draft: Draft, lanes: Lanes, backward: Backward, values: Mapping[Tensor, np.ndarray], r: Tensor
) -> set[int]:
    """Makes the sums and arrows of a recurrence; the arguments that they show."""
    weights, read = weights_of(r), memory_of(r)
    if weights is None or not read or not lanes.is_chain(r):
        return set()
    block, _, vias = parts_of(r)
    shares = values.get(proj(r, weights, ROW))
    tables = {k: lanes.rows.leading(r.inputs[k], 2) for k in read}
    rows = lanes.drawn_rows(r)
    sent = {k: backward.by_reader(r, k, rows) for k in read}
    arrived = backward.rows(r, [block.inputs[k] for k in read])
    for row in rows:
        seen: dict[int, float] = defaultdict(float)
        for k, table in tables.items():
            for j, bits in enumerate(table[vias[k].rows[row]].tolist()):
                for bit in bits_of(bits >> 1):
                    known = seen[bit]
                    share = 0.0 if shares is None else float(shares[row, j])
                    # Memory and keys are of the same steps: each counts once.
                    seen[bit] = known + share if k == read[0] or not known else known
        if not seen:
            continue
        here = lanes.cell(r, row)
        names = ", ".join(block.inputs[k].name or "memory" for k in read)
        box = draft.node(
            "attend",
            "Σ",
            lane=draft.nodes[here].lane,
            column=draft.nodes[here].column,
            value=subscript("Σ", lanes.step(r, row) or row + 1),
            tooltip=lines("what this step attends to", f"a weighted sum of {names}"),
        )
        draft.connect(box, here)
        backward.flow(box, here, None if arrived is None else arrived[row])
        for bit, share in sorted(seen.items()):
            source = lanes.cells[bit][0]
            weight = None if shares is None else share
            text = "" if weight is None else f"weight {weight:.4g}"
            draft.connect(source, box, weight=weight, tooltip=text)
            if arrived is None:
                continue
            backward.flow(source, box, 0.0)
            for maker, at in lanes.standing(bit):
                for k in read:
                    found = at_rows(sent[k][row], maker, at)
                    backward.add(source, box, {(maker, ref): g for ref, g in found.items()})
    return set(read)
