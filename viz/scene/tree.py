"""The structure alone -> the scene of the "tree" view: words, tinted by the gradient's norm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.recur import parts_of
from minigrad.structure import Structure

from .describe import lines, norm_line
from .draft import Draft
from .flow import recurs_of
from .gradient import Gradients
from .scene import Cluster, Scene, legend_for
from .steps import check_labels, choose
from .text import shorten


def tree(
    outputs: Sequence[Tensor],
    structure: Structure | None = None,
    scalar: Tensor | None = None,
    max_steps: int | None = 60,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Scene:
    """The structure given, or that of the first recurrence with more than one node.

    Raises ValueError if there is none.
    """
    norms: np.ndarray | None = None
    name = "structure"
    if structure is None:
        recurs = recurs_of(toposort([*outputs, *([scalar] if scalar is not None else [])]))
        r = _first(recurs)
        block, structure, _ = parts_of(r)
        name = block.name
        if scalar is not None:
            norms = Gradients(scalar, recurs, []).rows(r, block.ports.values())
    check_labels(labels, [structure.n])
    shown = choose(structure, max_steps)
    draft = Draft()
    last = int(structure.level.max(initial=0))
    turns = [None if norms is None else 1 + last - level for level in structure.level.tolist()]
    stands: dict[int, str] = {}
    for band in shown.bands:
        lane = f"c{band}"
        draft.clusters.append(Cluster(lane, "", shown.arrangement, band=band))
        for row in shown.kept[band]:
            word = labels[row] if labels is not None and row < len(labels) else str(row)
            value = None if norms is None else float(norms[row])
            stands[row] = draft.node(
                "tree",
                shorten(word, 18) or "·",
                lane=lane,
                column=int(shown.column[row]),
                level=int(shown.level[row]),
                norm=value,
                turn=turns[row] if value is not None else None,
                value=f"(the state at {shorten(word, 18)})" if value is not None else "",
                tooltip=lines(f"node {row + 1}: {word}", norm_line(value)),
            )
    for band, rows in shown.groups:
        box = draft.left_out(
            len(rows),
            "step" if shown.arrangement == "chain" else "node",
            lane=f"c{band}",
            column=int(shown.column[rows[0]]),
            level=int(shown.level[rows].max()),
            count=len(rows),
            tooltip=f"{len(rows)} nodes are not drawn",
        )
        stands.update(dict.fromkeys(rows, box))
    columns = (structure.src, structure.dst, structure.slot)
    for s, d, slot in zip(*(column.tolist() for column in columns), strict=True):
        a, b = stands.get(s), stands.get(d)
        if a is not None and b is not None and a != b:
            kind = "elided" if draft.boxed(a, b) else "state"
            draft.edge(a, b, kind, slot=slot, tooltip=f"slot {slot}")
    legend = None
    if scalar is not None:
        what = f"node tint: norm of the gradient ∂{shorten(scalar.name or 'output', 12)}/∂state"
        legend = legend_for(() if norms is None else norms.tolist(), what)
    hidden = Counter(structure.component.tolist())
    notes: tuple[str, ...] = ()
    if shown.hidden_bands:
        count = sum(hidden[band] for band in shown.hidden_bands)
        notes = (f"{len(shown.hidden_bands)} more components with {count} nodes are not drawn",)
    if title is None:
        title = f"{name}: {structure.n} nodes" + (
            f" in {structure.components} components" if structure.components > 1 else ""
        )
    return draft.scene("tree", title, legend, notes)


def _first(recurs: Sequence[Tensor]) -> Tensor:
    """The first recurrence of a forward pass (a derivative's name ends in a prime) with a shape."""
    for r in recurs:
        block, structure, _ = parts_of(r)
        if structure.n > 1 and not block.name.endswith("'"):
            return r
    raise ValueError(
        'draw: the "tree" view shows the structure of a recurrence, and there is none here'
    )
