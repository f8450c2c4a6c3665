"""A scene with a layout as DOT text: every position given, so that ``neato -n2`` only has to draw.

Node names are the scene's ids (``n17``), never text of the user's.
All text is quoted by ``text.quote``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ..layout.geometry import Box, Layout, Mark, Path, Point, Stroke, Swatch, Tile, around, straight
from ..scene.scene import SHADED, Edge, Node, Scene
from ..scene.style import (
    ALARM,
    EDGES,
    FAINT,
    FONT,
    FRAME,
    GRADIENT,
    INK,
    LANE,
    LIT,
    LIT_PEN,
    MUTED,
    NODES,
    SHARED,
    UNKNOWN,
    USE_PEN,
    EdgeStyle,
    attention_style,
    edge_style,
    faint,
    gradient_style,
    ink_on,
    shade,
    tint,
)  # fmt: skip
from ..scene.text import clean, quote, width

MARGIN = 14.0
_STATE = EDGES["state"]


def whole(layout: Layout) -> Box:
    """The box that holds everything there is."""
    return around([*layout.boxes.values(), *layout.frames.values(), *_extents(layout)])


def to_dot(
    scene: Scene, layout: Layout, lit: Collection[str] | None = None, page: Box | None = None
) -> str:
    """DOT text of the whole picture, for ``neato -n2``.

    lit: what is happening now, by id; then the gradient that flowed before is faint.
    page: the size of the picture; None: what it needs.
    """
    everything = page or whole(layout)
    # bgcolor is explicit: drawings are pasted on dark pages, where only one Graphviz stays white.
    lines = [
        "digraph minigrad {",
        f"graph [bb={_bb(everything)}, pad={MARGIN / 72:.3f}, bgcolor=white, "
        "outputorder=edgesfirst, "
        f"splines=true, notranslate=true, fontname={quote(FONT)}, "
        f"tooltip={quote(scene.title or scene.view)}];",
        f"node [fontname={quote(FONT)}, fixedsize=true, margin=0, fontcolor={quote(INK)}];",
        f"edge [fontname={quote(FONT)}, fontsize=9, arrowhead=normal];",
    ]
    members: dict[str, list[str]] = {}
    for node in scene.nodes:
        if node.lane in layout.frames:
            members.setdefault(str(node.lane), []).append(node.id)
    for cluster in scene.clusters:
        if cluster.id in layout.frames:
            frame = layout.frames[cluster.id]
            lines.append(
                f"subgraph {quote('cluster_' + cluster.id)} {{ graph [bb={_bb(frame)}, "
                f"style={quote('rounded,filled')}, fillcolor={quote(LANE)}, color={quote(FRAME)}, "
                f"id={quote(cluster.id)}, "
                f"tooltip={quote(cluster.tooltip or cluster.label, 2000)}]; "
                + "; ".join(members.get(cluster.id, []))
                + " }"
            )
    now = lit or ()
    lines += [_node(node, layout.boxes[node.id], scene, node.id in now) for node in scene.nodes]
    for edge in scene.edges:
        past = lit is not None and edge.kind == "backward" and edge.id not in lit
        lines.append(_edge(edge, layout.paths[edge.id], scene, past))
    lines += [_mark(f"m{k}", mark) for k, mark in enumerate(layout.marks)]
    for k, stroke in enumerate(layout.strokes):
        lines += _stroke(f"k{k}", stroke, scene)
    lines += [_swatch(f"s{k}", swatch, scene) for k, swatch in enumerate(layout.swatches)]
    for k, tile in enumerate(layout.tiles):
        lines.append(_tile(f"q{k}", tile, scene, tile.id in now))
    lines.append("}")
    return "\n".join(lines) + "\n"


def drawn_nodes(scene: Scene, layout: Layout) -> int:
    """How many nodes Graphviz must report: the scene's, titles and texts.

    The ends of sample strokes are invisible, and not reported.
    """
    return len(scene.nodes) + len(layout.marks) + len(layout.swatches) + len(layout.tiles)


def drawn_edges(scene: Scene, layout: Layout) -> int:
    """How many edges Graphviz must report: the scene's, and the legend's samples."""
    return len(scene.edges) + len(layout.strokes)


def is_shaded(scene: Scene, node: Node) -> bool:
    """Whether a box says by its colour how large its gradient is."""
    known = node.norm is not None or node.turn is not None
    return scene.shading is not None and node.kind in SHADED and known


def _node(node: Node, box: Box, scene: Scene, lit: bool = False) -> str:
    style = NODES[node.kind]
    if lit:
        style = replace(style, fill=LIT, line=GRADIENT, pen=LIT_PEN)
    fill = style.fill
    if node.kind == "tree" and scene.legend and not lit:
        fill = tint(node.norm, scene.legend)
    elif is_shaded(scene, node) and not lit:
        fill = tint(node.norm, scene.shading)
    label = node.label + (f"\n{node.detail}" if node.detail else "")
    return f"{node.id} [" + _attributes(
        id=quote(node.id),
        **{"class": quote(node.kind)},
        pos=_given(_xy((box.x, box.y))),
        width=f"{box.w / 72:.4f}",
        height=f"{box.h / 72:.4f}",
        shape=style.shape,
        style=quote(style.style),
        fillcolor=quote(fill),
        color=quote(ALARM if node.mark else style.line),
        fontcolor=quote(style.ink),
        fontsize=f"{style.size:g}",
        penwidth=f"{3.0 if node.mark else style.pen:g}",
        label=quote(label),
        tooltip=quote(node.tooltip or label or node.kind, 2000),
    )


def _edge(edge: Edge, path: Path, scene: Scene, past: bool = False) -> str:
    style = edge_style(edge, scene.legend)
    if past:
        style = replace(style, color=faint(style.color), label=faint(style.label))
    attributes = {
        "id": quote(edge.id),
        "class": quote(edge.kind),
        "tooltip": quote(edge.tooltip or edge.label or edge.kind, 2000),
        **_line(style),
        **_spline(path, style, edge.cut),
    }
    if edge.label and path.label is not None:
        attributes["label"] = quote(edge.label)
        attributes["lp"] = _given(_xy(path.label))
        attributes["fontcolor"] = quote(style.label)
    return f"{edge.source} -> {edge.target} [" + _attributes(**attributes)


def _line(style: EdgeStyle) -> dict[str, str]:
    return {
        "color": quote(style.color),
        "penwidth": f"{style.width:.3g}",
        "style": style.dash,
        "arrowsize": f"{style.arrow:.3g}",
    }


def _spline(path: Path, style: EdgeStyle, cut: bool = False) -> dict[str, str]:
    """cut: with bars across its start, where what comes back is stopped."""
    if not path.arrow:
        return {"pos": _given(*map(_xy, path.points)), "arrowhead": "none"}
    # Graphviz draws the head from the curve's end to the tip: the curve stops one head short of it.
    # (The outline of the head has a width too.)  It never stops before its last control point:
    # a stroke that turns back is lost in PNG and PDF.
    *body, tip = path.points
    before = body[-1]
    tip = _back(tip, before, min(0.6 * style.width, math.dist(before, tip) / 2))
    end = _back(tip, before, min(10 * style.arrow, 0.8 * math.dist(before, tip)))
    if not cut:
        return {"pos": _given(f"e,{_xy(tip)}", *map(_xy, [*body, end]))}
    first, second, *more = body
    start = _back(first, second, min(8.0, 0.5 * math.dist(first, second)))
    points = [f"s,{_xy(first)}", f"e,{_xy(tip)}", *map(_xy, [start, second, *more, end])]
    return {"pos": _given(*points), "dir": "both", "arrowtail": "teetee"}


def _back(tip: Point, before: Point, distance: float) -> Point:
    length = math.dist(before, tip) or 1.0
    return (
        tip[0] + (before[0] - tip[0]) * distance / length,
        tip[1] + (before[1] - tip[1]) * distance / length,
    )


def _mark(name: str, mark: Mark) -> str:
    # \l sets the text flush left in its box: an error of the estimated width does no harm.
    label = quote(mark.text)[:-1] + '\\l"'
    span = mark_width(mark)
    return f"{name} [" + _attributes(
        **{"class": "mark"},
        **({"id": quote(mark.id)} if mark.id else {}),
        pos=_given(_xy((mark.x + span / 2, mark.y))),
        width=f"{span / 72:.4f}",
        height=f"{mark.size * 1.3 / 72:.4f}",
        shape="plaintext",
        fontsize=f"{mark.size:g}",
        fontcolor=quote(mark.color),
        label=label,
        tooltip=quote(mark.text),
    )


def mark_width(mark: Mark) -> float:
    """The room a mark takes, points."""
    return width(clean(mark.text), mark.size) * 1.04 + 2


def _swatch(name: str, swatch: Swatch, scene: Scene) -> str:
    return f"{name} [" + _attributes(
        **{"class": "mark"},
        pos=_given(_xy((swatch.box.x, swatch.box.y))),
        width=f"{swatch.box.w / 72:.4f}",
        height=f"{swatch.box.h / 72:.4f}",
        shape="box",
        style="filled",
        fillcolor=quote(tint(swatch.norm, scene.legend)),
        color=quote(FRAME),
        label=quote(""),
    )


def _tile(name: str, tile: Tile, scene: Scene, lit: bool = False) -> str:
    look: dict[str, str] = {"style": "filled", "penwidth": "0"}
    look["label"] = quote(tile.text) if tile.text else _given()
    if tile.kind in ("use", "rest"):
        fill = shade(tile.norm, tile.scale, scene.legend)
        broken = not math.isfinite(tile.norm)
        look |= {"fillcolor": quote(fill), "fontcolor": quote(ink_on(fill)), "fontsize": "7.5"}
        if tile.kind == "rest":
            look |= {"style": quote("filled,dashed"), "penwidth": "0.8", "color": quote(MUTED),
                     "fillcolor": quote("#ffffff"), "fontcolor": quote(MUTED)}  # fmt: skip
        elif broken:
            look |= {"penwidth": "1.4", "color": quote(ALARM)}
        elif tile.scale != "gradient":  # what is white has an edge
            look |= {"penwidth": "0.6", "color": quote(FRAME)}
        elif tile.norm == 0:
            look["fontcolor"] = quote(FAINT)
    elif tile.kind == "strip":
        shades = [n if n is None else shade(n, tile.scale, scene.legend) for n in tile.norms]
        look |= _striped(shades)
        wide = len(set(shades)) == 1 or tile.box.w > 6 * len(shades)  # else lines would cover them
        if tile.scale != "gradient" and wide:
            look |= {"penwidth": "0.6", "color": quote(FRAME)}
    elif tile.kind == "together":
        look |= {"penwidth": "0.8", "color": quote(SHARED), "fillcolor": quote("#f3f0fa")}
    else:
        look |= {"fillcolor": quote(MUTED if tile.kind == "tick" else SHARED)}
    if lit:
        look |= {"penwidth": f"{USE_PEN:g}", "color": quote(INK)}
    return f"{name} [" + _attributes(
        id=quote(tile.id),
        **{"class": quote(f"tile {tile.kind}")},
        pos=_given(_xy((tile.box.x, tile.box.y))),
        width=f"{tile.box.w / 72:.4f}",
        height=f"{tile.box.h / 72:.4f}",
        shape="box",
        tooltip=quote(tile.tooltip or tile.kind, 2000),
        **look,
    )


def _striped(colors: Sequence[str | None]) -> dict[str, str]:
    """Runs of one colour are one stripe. Graphviz gives what is left over to the last."""
    runs: list[tuple[str, int]] = []
    for color in colors:
        shown = color or "#ffffff"
        if runs and runs[-1][0] == shown:
            runs[-1] = (shown, runs[-1][1] + 1)
        else:
            runs.append((shown, 1))
    if len(runs) == 1:
        return {"fillcolor": quote(runs[0][0])}
    parts = [f"{color};{count / len(colors):.7f}" for color, count in runs[:-1]]
    return {"style": "striped", "fillcolor": _given(":".join([*parts, runs[-1][0]]))}


def _stroke(name: str, stroke: Stroke, scene: Scene) -> Iterable[str]:
    for end, point in (("a", stroke.start), ("b", stroke.end)):
        yield (
            f'{name}{end} [class="mark", style=invis, shape=point, width=0.01, height=0.01, '
            'label="", '
            f"pos={_given(_xy(point))}];"
        )
    cut = stroke.kind == "cut"
    if stroke.kind == "unknown":
        style = UNKNOWN
    elif stroke.kind == "backward":
        style = gradient_style(stroke.norm, scene.legend)
    else:
        style = attention_style(0.6) if stroke.kind == "attend" else EDGES.get(stroke.kind, _STATE)
    path = straight(stroke.start, stroke.end)
    attributes = _line(style) | _spline(path, style, cut)
    yield f"{name}a -> {name}b [" + _attributes(**{"class": "mark"}, **attributes)


def _extents(layout: Layout) -> list[Box]:
    boxes = [Box(x, y, 6, 6) for path in layout.paths.values() for x, y in path.points]
    boxes += [tile.box for tile in layout.tiles]
    boxes += [Box(m.x + mark_width(m) / 2, m.y, mark_width(m), m.size * 1.3) for m in layout.marks]
    return boxes


def _attributes(**attributes: str) -> str:
    return ", ".join(f"{key}={value}" for key, value in attributes.items()) + "];"


def _given(*points: str) -> str:
    """Coordinates in quotes. Not ``quote``: it would cut a long path, and Graphviz route anew."""
    return '"' + " ".join(points) + '"'


def _xy(point: Point) -> str:
    return f"{point[0]:.2f},{point[1]:.2f}"


def _bb(box: Box) -> str:
    return f'"{box.left:.2f},{box.bottom:.2f},{box.right:.2f},{box.top:.2f}"'
