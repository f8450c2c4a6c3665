"""The structure alone -> the scene of the "tree" view: nodes with their words, tinted by gradient
norm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from minigrad.graph import Tensor, toposort
from minigrad.structure import Structure

from .describe import lines, norm_line
from .flow import recurs_of
from .gradient import Gradients
from .scene import Cluster, Edge, Node, Scene, legend_for
from .steps import choose
from .text import shorten


def tree(
    outputs: Sequence[Tensor],
    structure: Structure | None = None,
    scalar: Tensor | None = None,
    max_steps: int | None = 60,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Scene:
    """The structure given, or that of the first recurrence with edges that the outputs depend on.

    Raises ValueError if there is none.
    """
    norms: np.ndarray | None = None
    name = "structure"
    if structure is None:
        ends = [*outputs, *([scalar] if scalar is not None else [])]
        recurs = recurs_of(toposort(ends))
        shaped = [
            r
            for r in recurs
            if r.attrs["structure"].n > 1 and not r.attrs["block"].name.endswith("'")
        ]
        if not shaped:
            raise ValueError(
                'draw: the "tree" view shows the structure of a recurrence, and there is none here'
            )
        r = shaped[0]
        structure, name = r.attrs["structure"], r.attrs["block"].name
        if scalar is not None:
            norms = Gradients(scalar, recurs, []).rows(r, r.attrs["block"].ports.values())
    shown = choose(structure, max_steps)
    nodes: list[Node] = []
    clusters: list[Cluster] = []
    stands: dict[int, str] = {}
    for band in shown.bands:
        lane = f"c{band}"
        clusters.append(Cluster(lane, "", shown.arrangement, band=band))
        for row in shown.kept[band]:
            word = labels[row] if labels is not None and row < len(labels) else str(row)
            value = None if norms is None else float(norms[row])
            stands[row] = f"n{len(nodes)}"
            nodes.append(
                Node(
                    stands[row],
                    "tree",
                    shorten(word, 18) or "·",
                    lane=lane,
                    column=int(shown.column[row]),
                    level=int(shown.level[row]),
                    norm=value,
                    tooltip=lines(f"node {row}: {word}", norm_line(value)),
                )
            )
    for band, rows in shown.groups:
        id = f"n{len(nodes)}"
        noun = "step" if shown.arrangement == "chain" else "node"
        label = f"… {len(rows)} {noun}{'s' * (len(rows) > 1)} …"
        nodes.append(
            Node(
                id,
                "elided",
                label,
                lane=f"c{band}",
                column=int(shown.column[rows[0]]),
                level=int(shown.level[rows].max()),
                count=len(rows),
                tooltip=f"{len(rows)} nodes are not drawn",
            )
        )
        stands.update(dict.fromkeys(rows, id))
    drawn = {row for kept in shown.kept.values() for row in kept}
    edges: list[Edge] = []
    for s, d, slot in zip(
        structure.src.tolist(), structure.dst.tolist(), structure.slot.tolist(), strict=True
    ):
        a, b = stands.get(s), stands.get(d)
        if a is None or b is None or a == b:
            continue
        boxed = s not in drawn or d not in drawn
        edges.append(
            Edge(
                f"e{len(edges)}",
                a,
                b,
                "elided" if boxed else "state",
                slot=slot,
                tooltip=f"slot {slot}",
            )
        )
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
    return Scene("tree", title, tuple(nodes), tuple(edges), tuple(clusters), legend, notes)
