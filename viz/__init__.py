"""Pictures of computation graphs: recurrences folded and unfolded, with the gradient flowing back.

``viz.draw(outputs, view="unfolded", grad=loss).save("x.svg")``

In rooms, each importing only those before it:
``scene`` makes plain data of a graph, ``layout`` places it, ``out`` has Graphviz draw it,
``study`` makes the report, ``commands`` are those of the command line.
"""

from minigrad.manners.spellings import answering as _answering

from .draw import Drawing, compare, draw
from .out.render import GraphvizError
from .scene.scene import Cluster, Edge, Legend, Node, Scene, Track, Use

__all__ = [
    "Cluster", "Drawing", "Edge", "GraphvizError", "Legend", "Node", "Scene", "Track", "Use",
    "compare", "draw",
]  # fmt: skip

__getattr__ = _answering(__name__, lambda: __all__)
