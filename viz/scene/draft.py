"""The nodes, edges and clusters of a scene while a view is making them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .scene import Cluster, Edge, Legend, Node, Scene, Track


class Draft:
    """Gives out ids in the order of making, which is also the order of drawing."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.clusters: list[Cluster] = []
        self.tracks: list[Track] = []
        self.measures: list[Track] = []
        self.shading: Legend | None = None
        self.notes: list[str] = []
        self._joined: set[tuple[str, str, int, str]] = set()

    def node(self, kind: str, label: str, **more: Any) -> str:
        """A new node; its id."""
        id = f"n{len(self.nodes)}"
        self.nodes[id] = Node(id, kind, label, **more)
        return id

    def change(self, id: str, **changes: Any) -> None:
        self.nodes[id] = replace(self.nodes[id], **changes)

    def edge(self, source: str, target: str, kind: str = "forward", **more: Any) -> None:
        """A new edge, whether or not there is one between the two."""
        self.edges.append(Edge(f"e{len(self.edges)}", source, target, kind, **more))

    def connect(
        self, source: str, target: str, kind: str = "forward", slot: int = 0, part: str = "",
        **more: Any,
    ) -> None:  # fmt: skip
        """An edge unless there is one: several tensors between two nodes are one arrow."""
        if (source, target, slot, part) not in self._joined:
            self._joined.add((source, target, slot, part))
            boxed = kind != "shared" and self.boxed(source, target)
            kind = "elided" if boxed else kind
            self.edge(source, target, kind, slot=slot, part=part, **more)

    def boxed(self, *ids: str) -> bool:
        """Whether one of the nodes stands for what is left out."""
        return any(self.nodes[id].kind == "elided" for id in ids)

    def left_out(self, number: int, noun: str, **more: Any) -> str:
        """A box that stands for so many steps, nodes or sequences which are not drawn."""
        return self.node("elided", f"… {number} {noun}{'s' * (number != 1)} …", **more)

    def scene(
        self, view: str, title: str, legend: Legend | None = None, notes: tuple[str, ...] = ()
    ) -> Scene:
        """What has been made so far."""
        parts = tuple(self.nodes.values()), tuple(self.edges), tuple(self.clusters)
        rows = tuple(self.tracks), tuple(self.measures)
        return Scene(view, title, *parts, legend, (*notes, *self.notes), *rows, self.shading)
