"""Pictures of computation graphs: recurrences folded and unfolded, with the gradient flowing back.

``viz.draw(outputs, view="unfolded", grad=loss).save("x.svg")``

In rooms, each importing only those before it:
``scene`` makes plain data of a graph, ``layout`` places it, ``out`` has Graphviz draw it,
``study`` makes the report, ``commands`` are those of the command line.
"""

from minigrad.manners.spellings import answering as _answering

from .animate import Animation, Frame, animate
from .draw import Drawing, compare, draw
from .out.render import GraphvizError
from .scene.scene import Cluster, Edge, Legend, Node, Scene, Track, Use

__all__ = [
    "Animation", "Cluster", "Drawing", "Edge", "Frame", "GraphvizError", "Legend", "Node", "Scene",
    "Track", "Use", "animate", "compare", "draw",
]  # fmt: skip

__getattr__ = _answering(__name__, lambda: __all__)
