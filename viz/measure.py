"""How large a node has to be for its text."""

from __future__ import annotations

from .scene import Node
from .style import NODES
from .text import clean, width

LINE = 1.2  # line height, times the font size


def size_of(node: Node) -> tuple[float, float]:
    """Width and height in points of a node's box."""
    style = NODES[node.kind]
    text = clean(node.label + (f"\n{node.detail}" if node.detail else ""))
    wide = width(text, style.size) + style.pad[0]
    high = style.size * LINE * (text.count("\n") + 1) + style.pad[1]
    return max(style.least[0], wide), max(style.least[1], high)
