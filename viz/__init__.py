"""Pictures of computation graphs: the folded and the unfolded recurrence, with the gradient flowing
back.

``viz.draw(outputs, view="unfolded", grad=loss).save("x.svg")``. The way there: ``build`` makes a
scene (plain data, ``scene.py``), ``layout`` places it, ``dot`` writes it down, ``render`` runs
Graphviz and checks what it drew.
"""

from .draw import Drawing, draw
from .out.render import GraphvizError
from .scene.scene import Cluster, Edge, Legend, Node, Scene

__all__ = ["Cluster", "Drawing", "Edge", "GraphvizError", "Legend", "Node", "Scene", "draw"]
