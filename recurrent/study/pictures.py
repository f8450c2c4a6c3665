"""What the pictures of this package share: axes of matplotlib, where that is installed."""

from __future__ import annotations

from typing import Any

__all__: list[str] = []

LINE, MARK, SOFT = "#1d4f91", "#c2570c", "#8a94a6"  # a curve, what is pointed out, what is beside
SHADES = "magma_r"  # dark is much


def axes(ax: Any, instead: str, size: tuple[float, float] = (7.0, 3.2)) -> Any:
    """`ax`, or new axes of a figure of its own.

    instead : what to read where there is no matplotlib.
    Raises ImportError naming it.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            f"a plot needs matplotlib (pip install matplotlib); {instead}"
        ) from None
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    made = figure.subplots()
    made.spines[["top", "right"]].set_visible(False)
    return made
