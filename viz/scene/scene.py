"""What a picture shows, as plain data: nodes, edges, clusters, a legend.

A scene is made from a graph (``unfolded``, ``folded``, ``ops``, ``tree``), without coordinates.
It is what the tests judge: "what is drawn is what is in the graph" is asked here.
Afterwards a layout, or Graphviz, might lose something.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from .text import shorten

VIEWS = ("folded", "unfolded", "ops", "tree")
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
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)  # what DOT takes for a name unquoted
DECADES = 12  # a wider range of norms would leave no visible difference in width
ARRANGEMENTS = ("chain", "tree", "grid", "dag")


@dataclass(frozen=True)
class Node:
    """One shape with a label.

    lane: the cluster the node lives in.
    column, level: its place in the structure (time step, longest path from a source).
    norm: of the gradient with regard to the node's value; None where there is no gradient path.
    count: how many nodes an elided box stands for.  members: the tensors that a shared box holds.

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

    def __post_init__(self) -> None:
        _fields(self, str, "kind", "label", "detail", "tooltip")
        _fields(self, str | None, "lane")
        _fields(self, int | None, "column", "level")
        _fields(self, int, "count")
        _fields(self, tuple, "members")
        _id_and_norm(self, self.id, self.norm)


@dataclass(frozen=True)
class Edge:
    """One arrow from node ``source`` to node ``target``.

    A backward edge runs from the user of a value to its maker.
    norm: of the gradient that flows along it.  slot: tells the children of a tree node apart.

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

    def __post_init__(self) -> None:
        _fields(self, str, "source", "target", "kind", "label", "tooltip")
        _fields(self, int, "slot")
        _id_and_norm(self, self.id, self.norm)


@dataclass(frozen=True)
class Cluster:
    """A group of nodes: a lane of cells, or a block in a frame.

    band: which sequence or tree.  layer: which recurrence.

    Raises TypeError for text or numbers that are none.
    """

    id: str
    label: str = ""
    arrangement: str = "dag"
    band: int = 0
    layer: int = 0
    framed: bool = False
    tooltip: str = ""

    def __post_init__(self) -> None:
        _fields(self, str, "id", "label", "arrangement", "tooltip")
        _fields(self, int, "band", "layer")


@dataclass(frozen=True)
class Legend:
    """What the widths of the backward edges mean.

    norms: samples, largest first.  clipped: whether smaller ones share the last width.
    vanished, nonfinite: whether these styles occur.

    Raises ValueError for a sample that is not positive and finite.
    """

    title: str = ""
    norms: tuple[float, ...] = ()
    clipped: bool = False
    vanished: bool = False
    nonfinite: bool = False

    def __post_init__(self) -> None:
        _fields(self, str, "title")
        _fields(self, tuple, "norms")
        for norm in self.norms:
            if not isinstance(norm, Real) or not 0 < norm < math.inf:
                raise ValueError(
                    f"Legend: the norms shown must be positive and finite; got {norm!r}"
                )


@dataclass(frozen=True)
class Scene:
    """A picture without coordinates.

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

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ValueError(f"scene: unknown view {self.view!r}: one of {', '.join(VIEWS)}")
        _fields(self, str, "title")
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


_PARTS = {"nodes": Node, "edges": Edge, "clusters": Cluster, "notes": str}


_WORDS: dict[Any, str] = {
    str: "text",
    str | None: "text or None",
    int: "a whole number",
    int | None: "a whole number or None",
    tuple: "a tuple",
}


def _fields(part: Any, kind: Any, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if not isinstance(value, kind):
            what = f"{type(part).__name__}: {name} must be {_WORDS[kind]}"
            raise TypeError(f"{what}; got {value!r:.40}")


def _id_and_norm(part: Node | Edge, id: Any, norm: Any) -> None:
    what = type(part).__name__
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ValueError(f"{what}: an id is letters and digits, such as n0; got {id!r:.40}")
    if norm is not None and not isinstance(norm, Real):
        raise TypeError(f"{what} {id}: norm must be a number or None; got {norm!r:.40}")
    if norm is not None and norm < 0:
        raise ValueError(f"{what} {id}: a norm is not negative; got {norm}")


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
    """``value`` with non-finite floats as strings; scenes nest three deep, so this may recurse."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
