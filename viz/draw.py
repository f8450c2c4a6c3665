"""``draw``: a graph in, a ``Drawing`` out, which saves and shows itself."""

from __future__ import annotations

import errno
import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .layout.geometry import Layout, around
from .layout.place import place
from .out import render
from .out.dot import MARGIN, drawn_edges, drawn_nodes, to_dot
from .page.embed import inline
from .page.frame import page
from .page.ops import TooMuch
from .page.program import program
from .scene.build import build, tensors_in, words_of
from .scene.measures import MEASURES
from .scene.merge import merge, rescaled
from .scene.scene import VIEWS, Scene
from .scene.text import clean

DPI = 144.0
MOST_PIXELS = 16_000  # a side of a bitmap: cairo refuses 32,768, and many programs much less
MOST_PAGE = 14_000.0  # points; PDF readers refuse pages beyond 14,400


_shown = itertools.count(1)  # pictures that notebooks were given


class Drawing:
    """A scene, laid out and drawn on demand.

    ``scene`` is what it shows (plain data), ``layout`` where.
    Graphviz runs when it is needed: ``.dot``, ``.scene`` and ``summary()`` work without it.

    graph: what it was drawn of, which its page computes again: the outputs, the scalar whose
    gradient is shown, a word per step or None.

    Raises TypeError for what is no Scene; when rendered, GraphvizError.
    """

    def __init__(self, scene: Scene, graph: Any = None) -> None:
        if not isinstance(scene, Scene):
            raise TypeError(
                f"Drawing: needs a viz.Scene; got {type(scene).__name__} "
                "(viz.draw makes drawings of Tensors)"
            )
        self.scene, self._graph = scene, graph

    @functools.cached_property
    def layout(self) -> Layout:
        """Positions of everything in points."""
        return place(self.scene)

    @functools.cached_property
    def dot(self) -> str:
        """DOT text with all positions, for ``neato -n2``."""
        return to_dot(self.scene, self.layout)

    @functools.cached_property
    def svg(self) -> str:
        """SVG text with tooltips. Raises ``GraphvizError`` without Graphviz or if it failed."""
        root = render.render_svg(
            self.dot, drawn_nodes(self.scene, self.layout), drawn_edges(self.scene, self.layout)
        )
        return render.tidy(root, self.scene.title or f"{self.scene.view} view")

    @property
    def html(self) -> str:
        """A self-contained HTML page.

        Of a sequence and its gradient it computes both passes again, offline, when a weight, a
        loss or a step is changed; any other is lit and searched.
        """
        made, why = None, ""
        if self._graph is not None:
            try:
                made = program(*self._graph)
            except TooMuch as error:
                why = str(error)
        return page(self.scene, self.svg, self.summary(), made, why)

    def summary(self) -> str:
        """What is drawn, as a few lines of text; needs no Graphviz."""
        return clean(self.scene.summary(), limit=100_000)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing; the suffix (.svg .png .pdf .html .dot .json) says as what.

        The file appears whole or not at all.

        Raises TypeError for what is no path, ValueError for any other suffix.
        Raises OSError, of the system's kind, where it cannot be written.
        Raises GraphvizError if drawing fails.
        """
        return write(path, _WRITERS, self, "a drawing")

    def _repr_svg_(self) -> str | None:
        return self._shown() if render.engine() else None

    def _repr_html_(self) -> str | None:
        # A notebook prefers HTML: a wide picture scrolls instead of shrinking.
        if not render.engine():
            return None
        return f'<div style="overflow-x:auto;background:white">{self._shown()}</div>'

    def _shown(self) -> str:
        """The picture with ids of its own: a notebook holds many on one page."""
        return inline(self.svg, shown_as(), self.scene.title)

    def __repr__(self) -> str:
        return self.summary()


def shown_as() -> str:
    """What the ids of one more picture in a notebook begin with."""
    return f"mg{next(_shown)}-{os.getpid()}"


def write(path: Any, writers: Mapping[str, Callable[[Any], bytes]], one: Any, what: str) -> Path:
    """Writes one drawing by the writer of its suffix. See ``Drawing.save``."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"save: a path is text or a pathlib.Path; got {path!r:.60}")
    where = Path(path)
    writer = writers.get(where.suffix.lower())
    if writer is None:
        raise ValueError(
            f"cannot save {what} as {where.name!r}: the suffix must be one of {', '.join(writers)}"
        )
    if not where.parent.exists():
        folder = str(where.parent)
        why = f"cannot save the drawing: there is no folder {folder!r}; make it first"
        raise FileNotFoundError(errno.ENOENT, why, str(where))
    data = writer(one)
    try:
        render.write(where, data)
    except OSError as error:
        why = f"cannot save the drawing: {error.strerror or error}; choose another place"
        raise type(error)(error.errno, why, str(where)) from error
    except ValueError as error:
        raise ValueError(f"cannot save {what} as {str(where)!r}: {error}") from error
    return where


def xml(drawing: Any) -> bytes:
    """The SVG of a drawing as a file."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + drawing.svg + "\n").encode()


def _png(drawing: Drawing) -> bytes:
    return render.run(drawing.dot, "png", dpi=min(DPI, MOST_PIXELS * 72 / _longest_side(drawing)))


def _pdf(drawing: Drawing) -> bytes:
    scale = min(1.0, MOST_PAGE / _longest_side(drawing))
    return render.run(drawing.dot, "pdf", dpi=None if scale == 1.0 else 72 * scale)


def _longest_side(drawing: Drawing) -> float:
    layout = drawing.layout
    tiles = (tile.box for tile in layout.tiles)
    extent = around([*layout.boxes.values(), *layout.frames.values(), *tiles])
    return max(extent.w, extent.h, 1.0) + 2 * MARGIN + 200


_WRITERS: dict[str, Callable[[Drawing], bytes]] = {
    ".svg": xml,
    ".png": _png,
    ".pdf": _pdf,
    ".html": lambda drawing: drawing.html.encode(),
    ".dot": lambda drawing: drawing.dot.encode(),
    ".json": lambda drawing: drawing.scene.to_json().encode(),
}


SUFFIXES = tuple(_WRITERS)


def draw(
    outputs: Any,
    view: str = "unfolded",
    grad: Any = None,
    wrt: Any = None,
    max_steps: int | None = 60,
    *,
    labels: Any = None,
    title: str | None = None,
    scale: tuple[float, float] | None = None,
    step: int | Sequence[int] | None = None,
    measure: str | Sequence[str] | None = None,
    sequences: int | None = None,
) -> Drawing:
    """Draw what ``outputs`` (a Tensor or any nesting of them) are computed by.

    view: what is drawn.
        "folded": each recurrence as a circuit with its loop.
        "unfolded": one cell per time step or tree node.
        "ops": every operation; of a recurrence those of one step in a frame, with the loop of its
        state, the gradient in it that of all steps together.
        "cell": the operations of one step, with the gradient on every edge.
        "tree": the structure alone; outputs may also be a ``Structure`` or trees.
    grad: the scalar Tensor whose gradient is drawn against the arrows.
        Widths go by the logarithm of its norm.
    wrt: the Tensors (any nesting) whose gradients are shown besides those of the states.
        None: all leaves.
    max_steps: at most this many steps (tree nodes) of a sequence are drawn, the middle is elided.
        None: all.
    labels: one text per structure node (a list, or the trees): words for inputs and tree nodes;
            of several structures those of one, or of all in the order in which they run.
    title: above the drawing; None: one that says what is drawn.
    scale: the smallest and largest norm that widths and colours tell apart, for pictures that are
        to be compared. None: those of this picture.
    step: which step the cell view shows, from 1 (of trees the number of a node, from 0);
        several stand side by side. None: one picture, gradients summed over the steps.
    measure: what is measured of every step of the unfolded view, in rows under it; one or a list.
        The cell view takes "saturation", in the boxes, the mean over its steps.
        "sensitivity": no row, but each box is the darker the larger the gradient of ``grad`` with
        regard to its value (Graves 2012, figure 4.1).
        "saturation": of each sigmoid, tanh, erf and relu inside the share of its units on a flat
        part: a sigmoid below 0.1 or above 0.9 (Karpathy et al. 2015), tanh and erf beyond 0.9
        either way, a relu at 0.
        "singular": the largest, middle and smallest singular value of the step's Jacobian, the
        next state by the one before, as ``rc.study.propagation`` has them; of trees by each slot.
        All are data in ``.scene.measures``.
    sequences: how many sequences of a batch are drawn in full; with a gradient each further one is
        a strip of its states' norms, a column a step. None: all up to five; of more the first with
        a gradient, without one the first and last ones.

    Raises TypeError for what is no Tensor, text or number where there must be one.
    Raises ValueError for an unknown view or measure, a ``grad`` that is no scalar, a ``wrt`` not in
    the graph, too few steps or sequences, labels that are not as many as the nodes, a scale that is
    none, or ``step``, ``measure`` and ``sequences`` for a view that has no such thing.
    """
    return drawn(
        outputs, view, grad, wrt, max_steps, labels, title, scale, step, measure, sequences
    )  # fmt: skip


def drawn(
    outputs: Any, view: Any, grad: Any, wrt: Any, max_steps: Any, labels: Any, title: Any,
    scale: Any, step: Any, measure: Any, sequences: Any, running: bool = False,
) -> Drawing:  # fmt: skip
    """See ``draw``.  running: whether parameters say what they have got after each turn."""
    if not isinstance(view, str) or view not in VIEWS:
        raise ValueError(f"draw: unknown view {view!r}: one of {', '.join(VIEWS)}")
    whole = isinstance(max_steps, (int, np.integer)) and not isinstance(max_steps, bool)
    if max_steps is not None and not whole:
        raise TypeError(f"draw: max_steps must be a whole number or None; got {max_steps!r}")
    if max_steps is not None and max_steps < 3:
        raise ValueError(
            f"draw: max_steps must be at least 3 (first, elided, last) or None, not {max_steps}"
        )
    if not isinstance(title, str | None):
        raise TypeError(f"draw: title must be text or None; got {title!r:.60}")
    if scale is not None:
        scale = _scale(scale)
    steps = None if step is None else _steps(step, view)
    measures = () if measure is None else _measures(measure, view)
    if sequences is not None:
        whole = isinstance(sequences, (int, np.integer)) and not isinstance(sequences, bool)
        if not whole:
            raise TypeError(
                f"draw: sequences must be a whole number or None; got {sequences!r:.60}"
            )
        if sequences < 1:
            raise ValueError(f"draw: sequences must be at least 1, not {sequences}")
        if view != "unfolded":
            raise ValueError(f'draw: sequences= is for view="unfolded", not for the {view} view')
    scene = build(
        outputs, view, grad, wrt, max_steps, labels, title, steps, running, measures, sequences
    )  # fmt: skip
    if scale is not None:
        scene = rescaled(scene, scale)
    return Drawing(scene, _computed(outputs, view, grad, labels))


def _steps(given: Any, view: str) -> list[int]:
    if view != "cell":
        raise ValueError(f'draw: step= is for view="cell"; the {view} view shows all steps')
    listed = given if isinstance(given, (list, tuple, range, np.ndarray)) else [given]
    whole = [isinstance(s, (int, np.integer)) and not isinstance(s, bool) for s in listed]
    if not len(listed) or not all(whole):
        raise TypeError(f"draw: step must be a whole number, or a list of them; got {given!r:.60}")
    return [int(s) for s in listed]


def _measures(given: Any, view: str) -> tuple[str, ...]:
    listed = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    for one in listed:
        if not isinstance(one, str):
            raise TypeError(f"draw: measure must be text, or a list of texts; got {given!r:.60}")
        if one not in MEASURES:
            raise ValueError(
                f"draw: unknown measure {one!r:.40}: one of {', '.join(map(repr, MEASURES))}"
            )
        if view != "unfolded" and (view, one) != ("cell", "saturation"):
            raise ValueError(
                f'draw: measure={one!r} is for view="unfolded", not for the {view} view'
            )
    return tuple(one for one in MEASURES if one in listed)


def compare(
    *drawings: Drawing, names: Sequence[str] | None = None, title: str | None = None
) -> Drawing:
    """Drawings of one view below each other, their gradients on one scale.

    names: one text each; None: their titles, else numbers.  title: above them all.

    Raises TypeError for what is no Drawing or text.
    Raises ValueError for fewer than two, different views, or names of another number.
    """
    for one in drawings:
        if not isinstance(one, Drawing):
            raise TypeError(f"compare: needs Drawings, as viz.draw makes; got {one!r:.60}")
    if len(drawings) < 2:
        raise ValueError(f"compare: needs at least two drawings; got {len(drawings)}")
    views = list(dict.fromkeys(one.scene.view for one in drawings))
    if len(views) > 1:
        raise ValueError(f"compare: the drawings must have one view; got {', '.join(views)}")
    if names is None:
        titles = [one.scene.title for one in drawings]
        several = len(set(titles)) < len(titles) or not all(titles)
        names = [f"({k})" for k in range(1, len(titles) + 1)] if several else titles
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"compare: names must be a list of texts; got {names!r:.60}")
    if len(names) != len(drawings):
        raise ValueError(f"compare: {len(names)} names were given for {len(drawings)} drawings")
    if not isinstance(title, str | None):
        raise TypeError(f"compare: title must be text or None; got {title!r:.60}")
    return Drawing(merge([one.scene for one in drawings], names, title))


def _scale(given: Any) -> tuple[float, float]:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        raise TypeError(
            f"draw: scale must be two numbers (smallest, largest norm); got {given!r:.60}"
        ) from None
    if not 0 < low < high < np.inf:
        raise ValueError(
            f"draw: scale must be two positive numbers, the smaller first; got {given!r:.60}"
        )
    return low, high


def _computed(outputs: Any, view: str, grad: Any, labels: Any) -> Any:
    """What the page of a drawing runs again: recurrences with the gradient of a scalar."""
    if grad is None or view not in ("unfolded", "cell"):
        return None
    return tensors_in(outputs, "outputs"), grad, words_of(labels)
