"""Pictures of computation graphs: recurrences folded and unfolded, with the gradient flowing back.

``viz.draw(outputs, view="unfolded", grad=loss).save("x.svg")``

In rooms, each importing only those before it:
``scene`` makes plain data of a graph, ``layout`` places it, ``out`` has Graphviz draw it,
``study`` makes the report, ``commands`` are those of the command line.
"""

from minigrad.manners.spellings import answering as _answering

from .draw import Drawing, draw
from .out.render import GraphvizError
from .scene.scene import Cluster, Edge, Legend, Node, Scene

__all__ = ["Cluster", "Drawing", "Edge", "GraphvizError", "Legend", "Node", "Scene", "draw"]

__getattr__ = _answering(__name__, lambda: __all__)
