"""What a picture shows, as plain data: nodes, edges, clusters, a legend.

A scene is made from a graph (``unfolded``, ``folded``, ``ops``, ``tree``), without coordinates.
It is what the tests judge: "what is drawn is what is in the graph" is asked here.
Afterwards a layout, or Graphviz, might lose something.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .checks import fields, id_and_norm
from .legend import Legend, gradient_legend, legend_for, norm_text

__all__ = [
    "ARRANGEMENTS", "EDGE_KINDS", "NODE_KINDS", "VIEWS", "Cluster", "Edge", "Legend", "Node",
    "Scene", "Track", "Use", "gradient_legend", "legend_for", "norm_text",
]  # fmt: skip
VIEWS = ("folded", "unfolded", "ops", "tree", "cell")
NODE_KINDS = (
    "cell",  # one application of a block
    "input",  # a leaf, or one row of one
    "initial",  # an initial state
    "shared",  # parameters: tensors that every step of a recurrence reads
    "output",  # a tensor the user asked for, or one row of it
    "loss",  # the scalar whose gradient is shown
    "op",  # one primitive
    "gate",  # a primitive that the cell gave a name
    "attend",  # a weighted sum over many cells
    "constant",
    "delay",  # the one-step delay on the loop of a folded recurrence
    "elided",  # stands for what is left out
    "tree",  # a node of the structure alone
)
SHADED = ("cell", "input", "initial")  # boxes that show how sensitive a loss is to them
EDGE_KINDS = (
    "forward",  # a value used
    "state",  # a state handed from one structure node to another
    "shared",  # a parameter used by a step
    "backward",  # a gradient flowing against a forward, state or shared edge
    "elided",  # a connection into what is left out
)
TRACK_KINDS = (
    "gradient",  # norms of what is added to a gradient
    "saturation",  # the share of units that are on a flat part of their function
    "singular",  # a singular value of a step's Jacobian
)
ARRANGEMENTS = ("chain", "tree", "grid", "dag")


@dataclass(frozen=True)
class Node:
    """One shape with a label.

    lane: the cluster the node lives in.
    column, level: its place in the structure (time step, longest path from a source).
    norm: of the gradient with regard to the node's value; None where there is no gradient path.
    count: how many nodes an elided box stands for.  members: the tensors that a shared box holds.
    parts: the parts of the state that it hands on, the first at the bottom.
    mark: what is to be noticed about it, such as where NaN begins.
    turn: when in the backward pass its cotangent is whole, from 0, the loss; None: nothing comes.
    value: what it hands on, as a formula would name it; "": what its label says.

    Raises TypeError for text or numbers that are none.
    Raises ValueError for an id that is not letters and digits, or a norm below 0.
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
    parts: tuple[str, ...] = ()
    mark: str = ""
    turn: int | None = None
    value: str = ""

    def __post_init__(self) -> None:
        fields(self, str, "kind", "label", "detail", "tooltip", "mark", "value")
        fields(self, str | None, "lane")
        fields(self, int | None, "column", "level", "turn")
        fields(self, int, "count")
        fields(self, tuple, "members", "parts")
        id_and_norm(self, self.id, self.norm)


@dataclass(frozen=True)
class Edge:
    """One arrow from node ``source`` to node ``target``.

    A backward edge runs from the user of a value to its maker.
    norm: of the gradient that flows along it.  slot: tells the children of a tree node apart.
    part: of the state, where each has an edge of its own.
    weight: of the value among those that are summed (attention), 0 to 1.
    cut: whether gradients are stopped here: back-propagation through time is truncated.

    Raises TypeError and ValueError as ``Node`` does.
    """

    id: str
    source: str
    target: str
    kind: str
    label: str = ""
    norm: float | None = None
    tooltip: str = ""
    slot: int = 0
    part: str = ""
    weight: float | None = None
    cut: bool = False

    def __post_init__(self) -> None:
        fields(self, str, "source", "target", "kind", "label", "tooltip", "part")
        fields(self, int, "slot")
        id_and_norm(self, self.id, self.norm)


@dataclass(frozen=True)
class Cluster:
    """A group of nodes: a lane of cells, or a block in a frame.

    band: which sequence or tree.  layer: which recurrence.
    heading: what is written beside a lane, such as its direction in time.

    Raises TypeError for text or numbers that are none.
    """

    id: str
    label: str = ""
    arrangement: str = "dag"
    band: int = 0
    layer: int = 0
    framed: bool = False
    tooltip: str = ""
    heading: str = ""

    def __post_init__(self) -> None:
        fields(self, str, "id", "label", "arrangement", "tooltip", "heading")
        fields(self, int, "band", "layer")


@dataclass(frozen=True)
class Use:
    """One use of a parameter, at a cell or at what stands for cells that are left out.

    at: the node's id; None: outside of all cells.
    norm: of what the use adds to the gradient; where several are left out, the sum of their norms.
    label: what its column is called, where it does not stand below the node.
    turn: when in the backward pass it is added; None: it adds nothing.
    values: of a measure, all the numbers behind this one: a spectrum, the shares low and high.

    Raises TypeError and ValueError as ``Node`` does.
    """

    id: str
    at: str | None
    norm: float
    count: int = 1
    label: str = ""
    turn: int | None = None
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        fields(self, str, "label")
        fields(self, str | None, "at")
        fields(self, int, "count")
        fields(self, int | None, "turn")
        fields(self, tuple, "values")
        id_and_norm(self, self.id, self.norm)


@dataclass(frozen=True)
class Track:
    """A row in time: what each use of a parameter adds to its gradient; or one number a step.

    label: the parameter, or the part of the state.  group: of which net.
    norm: of the whole gradient; None where another track has it, or where there is none.
    together: the sum of the norms of the uses: what the norm would be if none cancelled.
    uses: in the order of the cells.
    strip: instead of uses, norms by step from the first; None where there is no use.
    running: the norm of what has been added after each turn of the backward pass (``animate``).
    head: the id of the row that has the parameter's totals.
    kind: one of TRACK_KINDS; of measures the numbers are no norms.
    columns: what a column of a strip is: "t", a step, or "node".

    Raises TypeError and ValueError as ``Node`` does.
    """

    id: str
    label: str
    group: str = ""
    norm: float | None = None
    together: float | None = None
    uses: tuple[Use, ...] = ()
    strip: tuple[float | None, ...] = ()
    tooltip: str = ""
    running: tuple[float, ...] = ()
    head: str = ""
    kind: str = "gradient"
    columns: str = "t"

    def __post_init__(self) -> None:
        fields(self, str, "label", "group", "tooltip", "head", "kind", "columns")
        fields(self, tuple, "uses", "strip", "running")
        id_and_norm(self, self.id, self.norm)
        id_and_norm(self, self.id, self.together)
        for use in self.uses:
            if not isinstance(use, Use):
                raise TypeError(f"Track {self.id}: uses must be a tuple of Use; got {use!r:.40}")
        for size in (*self.strip, *self.running):
            id_and_norm(self, self.id, size)


@dataclass(frozen=True)
class Scene:
    """A picture without coordinates.

    tracks: rows of gradients under the steps.  measures: rows of other numbers there.
    shading: the scale by which boxes are tinted by their norms; None: they are not.
    Ids are unique, edges name existing nodes, lanes existing clusters, view and kinds are known.

    Raises ValueError where this does not hold, TypeError for parts that are of another class.
    """

    view: str
    title: str = ""
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    legend: Legend | None = None
    notes: tuple[str, ...] = ()
    tracks: tuple[Track, ...] = ()
    measures: tuple[Track, ...] = ()
    shading: Legend | None = None

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ValueError(f"scene: unknown view {self.view!r}: one of {', '.join(VIEWS)}")
        fields(self, str, "title")
        for name, kind in _PARTS.items():
            parts = getattr(self, name)
            wrong = [parts] if not isinstance(parts, (tuple, list)) else parts
            for part in wrong:
                if not isinstance(part, kind) or wrong[0] is parts:
                    raise TypeError(
                        f"scene: {name} must be a tuple of {kind.__name__}; "
                        f"got {type(part).__name__} {part!r:.40}"
                    )
        if not isinstance(self.legend, Legend | None):
            raise TypeError(f"scene: legend must be a Legend or None, not {self.legend!r:.40}")
        if not isinstance(self.shading, Legend | None):
            raise TypeError(f"scene: shading must be a Legend or None, not {self.shading!r:.40}")
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
        for track in (*self.tracks, *self.measures):
            if track.kind not in TRACK_KINDS:
                raise ValueError(f"scene: track {track.id} has unknown kind {track.kind!r}")
            for use in track.uses:
                if use.at is not None and use.at not in known:
                    raise ValueError(f"scene: {use.id} of {track.id} is at unknown node {use.at}")
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
        raise KeyError(f"scene: there is no node {id!r}; it has {len(self.nodes)}, see .nodes")

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """Nodes, then edges, of one kind (the kinds ``shared`` and ``elided`` exist for both).

        Raises ValueError for a kind that there is not.
        """
        if kind not in NODE_KINDS + EDGE_KINDS:
            known = ", ".join(dict.fromkeys(NODE_KINDS + EDGE_KINDS))
            raise ValueError(f"scene: unknown kind {kind!r}: one of {known}")
        items: Iterable[Node | Edge] = (*self.nodes, *self.edges)
        return tuple(item for item in items if item.kind == kind)

    def to_json(self) -> str:
        """JSON text; NaN and infinities as the strings "nan", "inf", which strict JSON allows.

        Half a surrogate pair, which no encoding has, is written as an escape.
        """
        text = json.dumps(_strict(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    def summary(self) -> str:
        """A few lines of text: what is drawn, and how the gradient norms run."""
        lines = [f"{self.title or self.view}  [{self.view}]"]
        lines += _counts("nodes", self.nodes)
        lines += _counts("edges", self.edges)
        for node in self.nodes:
            if node.kind == "elided":
                lines.append(f"  left out: {node.label}")
        lines += self._gradient_lines()
        lines += [
            f"  {track.label}: gradient norm {track.norm:.3g}, of its uses together "
            f"{track.together:.3g}"
            for track in self.tracks
            if track.norm is not None and track.together is not None
        ]
        lines += [_measured(track) for track in self.measures]
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


_PARTS = {"nodes": Node, "edges": Edge, "clusters": Cluster, "notes": str, "tracks": Track,
          "measures": Track}  # fmt: skip


def _counts(what: str, items: tuple[Node, ...] | tuple[Edge, ...]) -> list[str]:
    counts = Counter(item.kind for item in items)
    text = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return [f"  {len(items)} {what}" + (f": {text}" if text else "")]


def _measured(track: Track) -> str:
    sizes = [use.norm for use in track.uses] + [size for size in track.strip if size is not None]
    span = f"{min(sizes):.3g} .. {max(sizes):.3g}" if sizes else "nothing known"
    return f"  {track.group}, {track.label}: {span}"


def _strict(value: Any) -> Any:
    """``value`` with non-finite floats as strings; scenes nest three deep, so this may recurse."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
