"""What a picture shows, as plain data: nodes, edges, clusters, a legend.

A scene is made from a graph (``unfolded.py``, ``folded.py``, ``ops_view.py``, ``tree_view.py``),
knows nothing of coordinates, and is what the tests judge: "what is drawn is what is in the graph"
is asked here, before any layout (``layout.py``) or Graphviz (``dot.py``, ``render.py``) has had a
chance to lose something.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .text import shorten

NODE_KINDS = (
    "cell",  # one application of a block
    "input",  # a leaf, or one row of one
    "initial",  # an initial state
    "shared",  # parameters: tensors that every step of a recurrence reads
    "output",  # a tensor the user asked for, or one row of it
    "loss",  # the scalar whose gradient is shown
    "op",  # one primitive
    "constant",
    "delay",  # the one-step delay on the loop of a folded recurrence
    "elided",  # stands for what is left out
    "tree",  # a node of the structure alone
)
EDGE_KINDS = (
    "forward",  # a value used
    "state",  # a state handed from one structure node to another
    "shared",  # a parameter used by a step
    "backward",  # a gradient flowing against a forward, state or shared edge
    "elided",  # a connection into what is left out
)
DECADES = 12  # a wider range of norms would leave no visible difference in width
ARRANGEMENTS = ("chain", "tree", "grid", "dag")


@dataclass(frozen=True)
class Node:
    """One shape with a label.

    ``lane`` names the cluster the node lives in; ``column`` and ``level`` are its place in the
    structure (time step and longest path from a source), not coordinates. ``norm`` is the Euclidean
    norm of the gradient with regard to the node's value, None where there is no gradient path.
    ``count`` says how many nodes an elided box stands for, ``members`` which tensors a shared box
    holds.
    """

    id: str
    kind: str
    label: str
    detail: str = ""
    tooltip: str = ""
    lane: str | None = None
    column: int | None = None
    level: int | None = None
    norm: float | None = None
    count: int = 1
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """One arrow from node ``source`` to node ``target``.

    A backward edge runs from the user of a value to its maker, and ``norm`` is the Euclidean norm
    of the gradient that flows along it. ``slot`` tells the children of a tree node apart.
    """

    id: str
    source: str
    target: str
    kind: str
    label: str = ""
    norm: float | None = None
    tooltip: str = ""
    slot: int = 0


@dataclass(frozen=True)
class Cluster:
    """A group of nodes: a lane of cells (``band``: which sequence, ``layer``: which recurrence) or
    a block.
    """

    id: str
    label: str = ""
    arrangement: str = "dag"
    band: int = 0
    layer: int = 0
    framed: bool = False
    tooltip: str = ""


@dataclass(frozen=True)
class Legend:
    """What the widths of the backward edges mean: norms, largest first; whether smaller ones share
    the last width; which exceptional styles occur."""

    title: str = ""
    norms: tuple[float, ...] = ()
    clipped: bool = False
    vanished: bool = False
    nonfinite: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture without coordinates. Ids are unique, edges name existing nodes, lanes existing
    clusters.
    """

    view: str
    title: str = ""
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    legend: Legend | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        ids = [node.id for node in self.nodes]
        known = set(ids)
        lanes = {cluster.id for cluster in self.clusters}
        edge_ids = {edge.id for edge in self.edges}
        if len(known) != len(ids) or len(edge_ids) != len(self.edges):
            raise ValueError("scene: two nodes or two edges have the same id")
        for node in self.nodes:
            if node.kind not in NODE_KINDS:
                raise ValueError(f"scene: node {node.id} has unknown kind {node.kind!r}")
            if node.lane is not None and node.lane not in lanes:
                raise ValueError(f"scene: node {node.id} is in unknown cluster {node.lane!r}")
        for edge in self.edges:
            if edge.kind not in EDGE_KINDS:
                raise ValueError(f"scene: edge {edge.id} has unknown kind {edge.kind!r}")
            if edge.source not in known or edge.target not in known:
                raise ValueError(
                    f"scene: edge {edge.id} joins unknown nodes {edge.source}, {edge.target}"
                )
        for cluster in self.clusters:
            if cluster.arrangement not in ARRANGEMENTS:
                raise ValueError(
                    f"scene: cluster {cluster.id}: unknown arrangement {cluster.arrangement!r}"
                )

    def node(self, id: str) -> Node:
        """The node with this id; KeyError if there is none."""
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """Nodes, then edges, of one kind (the kinds ``shared`` and ``elided`` exist for both)."""
        items: Iterable[Node | Edge] = (*self.nodes, *self.edges)
        return tuple(item for item in items if item.kind == kind)

    def to_json(self) -> str:
        """JSON text; NaN and infinities as the strings "nan", "inf", which strict JSON allows."""
        return json.dumps(_strict(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)

    def summary(self) -> str:
        """A few lines of text: what is drawn, and how the gradient norms run."""
        lines = [f"{self.title or self.view}  [{self.view}]"]
        lines += _counts("nodes", self.nodes)
        lines += _counts("edges", self.edges)
        for node in self.nodes:
            if node.kind == "elided":
                lines.append(f"  left out: {node.label}")
        lines += self._gradient_lines()
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _gradient_lines(self) -> list[str]:
        norms = [
            edge.norm for edge in self.edges if edge.kind == "backward" and edge.norm is not None
        ]
        norms += [n.norm for n in self.nodes if self.view == "tree" and n.norm is not None]
        if not norms:
            return []
        positive = [norm for norm in norms if math.isfinite(norm) and norm > 0]
        title = self.legend.title if self.legend and self.legend.title else "gradient"
        span = f"{min(positive):.3g} .. {max(positive):.3g}" if positive else "none positive"
        line = f"  {title}: {len(norms)} norms, {span}"
        vanished = sum(norm == 0 for norm in norms)
        broken = sum(not math.isfinite(norm) for norm in norms)
        line += f", {vanished} exactly zero" if vanished else ""
        line += f", {broken} NOT FINITE" if broken else ""
        return [line]


def norm_text(norm: float) -> str:
    """A norm in at most seven characters: ``3.2e-04``, ``0.41``, ``0``, ``nan``."""
    if norm == 0 or not math.isfinite(norm):
        return {True: "0"}.get(norm == 0, str(norm))
    if 0.01 <= norm < 1000:
        return f"{norm:.2g}" if norm < 100 else f"{norm:.0f}"
    mantissa, exponent = f"{norm:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def legend_for(norms: Iterable[float | None], title: str) -> Legend:
    """The legend of these gradient norms: up to five decades that span the positive finite ones."""
    known = [norm for norm in norms if norm is not None]
    positive = [norm for norm in known if math.isfinite(norm) and norm > 0]
    ticks: tuple[float, ...] = ()
    clipped = False
    if positive:
        high = math.ceil(math.log10(max(positive)) - 1e-9)
        low = min(math.floor(math.log10(min(positive)) + 1e-9), high - 1)
        clipped, low = low < high - DECADES, max(low, high - DECADES)
        stride = math.ceil((high - low) / 4)
        # Counted down from the largest, so the widest stroke of the picture is always explained.
        decades = range(high, low - stride, -stride)
        ticks = tuple(10.0 ** min(max(d, -307), 308) for d in decades)
    return Legend(
        title=title,
        norms=ticks,
        clipped=clipped,
        vanished=any(norm == 0 for norm in known),
        nonfinite=any(not math.isfinite(norm) for norm in known),
    )


def gradient_legend(name: str | None, edges: Iterable[Edge]) -> Legend:
    """The legend of the gradient of the scalar ``name`` that these edges carry."""
    norms = (e.norm for e in edges if e.kind == "backward")
    return legend_for(norms, f"gradient norm  ‖∂{shorten(name or 'output', 12)}/∂·‖")


def _counts(what: str, items: tuple[Node, ...] | tuple[Edge, ...]) -> list[str]:
    counts = Counter(item.kind for item in items)
    text = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return [f"  {len(items)} {what}" + (f": {text}" if text else "")]


def _strict(value: Any) -> Any:
    """``value`` with non-finite floats as strings. Scenes nest three deep, so recursion is safe
    here.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
