"""Several scenes of one view as one, below each other, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .legend import Legend, legend_for, shading_key, shading_of
from .scene import SHADED, Scene, Track


def merge(scenes: Sequence[Scene], names: Sequence[str], title: str | None = None) -> Scene:
    """The scene in which each keeps its nodes and edges, and all widths and colours have one scale.

    names: what is written beside the lanes of each.
    """
    bands = max((c.band for s in scenes for c in s.clusters), default=0) + 1
    layers = max((c.layer for s in scenes for c in s.clusters), default=0) + 1
    parts = [
        _renamed(scene, f"s{k}", names[k], k * bands, k * layers) for k, scene in enumerate(scenes)
    ]
    shading = _shading(parts)
    legends = [s.legend for s in scenes if s.legend is not None]
    legend = None
    if legends:
        titles = list(dict.fromkeys(one.title for one in legends))
        same = titles[0] if len(titles) == 1 else "gradient norm"
        keys = dict.fromkeys(key for one in legends for key in one.keys if key[0] != "sensitivity")
        if shading is not None:
            keys[shading_key(shading)] = None
        legend = replace(legend_for(norms(parts), same), keys=tuple(keys))
    return Scene(
        scenes[0].view,
        "   |   ".join(names) if title is None else title,
        tuple(n for s in parts for n in s.nodes),
        tuple(e for s in parts for e in s.edges),
        tuple(c for s in parts for c in s.clusters),
        legend,
        tuple(dict.fromkeys(note for s in scenes for note in s.notes)),
        tuple(t for s in parts for t in s.tracks),
        tuple(t for s in parts for t in s.measures),
        shading,
    )


def _shading(scenes: Sequence[Scene]) -> Legend | None:
    """One scale for the boxes of all that are shaded."""
    if not any(s.shading for s in scenes):
        return None
    return shading_of(n.norm for s in scenes for n in s.nodes if n.kind in SHADED)


def rescaled(scene: Scene, scale: tuple[float, float]) -> Scene:
    """The scene with widths and colours from the smallest to the largest norm of a given scale."""
    if scene.legend is None:
        return scene
    legend = legend_for(norms([scene]), scene.legend.title, scale)
    return replace(scene, legend=replace(legend, keys=scene.legend.keys))


def norms(scenes: Sequence[Scene]) -> Iterator[float]:
    """All gradient norms that are drawn by a width or a colour."""
    for scene in scenes:
        yield from (e.norm for e in scene.edges if e.kind == "backward" and e.norm is not None)
        if scene.view == "tree":
            yield from (n.norm for n in scene.nodes if n.norm is not None)
        for track in scene.tracks:
            yield from (use.norm for use in track.uses if use.count == 1)
            yield from (size for size in track.strip if size is not None)


def _renamed(scene: Scene, tag: str, name: str, band: int, layer: int) -> Scene:
    """With ids of its own, and its lanes below those before."""
    if scene.view != "cell":
        layer = 0
    clusters = tuple(
        replace(
            c,
            id=tag + c.id,
            band=c.band + (band if scene.view != "cell" else 0),
            layer=c.layer + layer,
            label=f"{name}: {c.label}" if c.framed else c.label,
            heading=c.heading if c.framed else " ".join(filter(None, [name, c.heading])),
        )
        for c in scene.clusters
    )
    return replace(
        scene,
        nodes=tuple(
            replace(n, id=tag + n.id, lane=tag + n.lane if n.lane is not None else None)
            for n in scene.nodes
        ),
        edges=tuple(
            replace(e, id=tag + e.id, source=tag + e.source, target=tag + e.target)
            for e in scene.edges
        ),
        clusters=clusters,
        tracks=tuple(_row(t, tag, name) for t in scene.tracks),
        measures=tuple(_row(t, tag, name) for t in scene.measures),
    )


def _row(t: Track, tag: str, name: str) -> Track:
    return replace(
        t,
        id=tag + t.id,
        head=tag + t.head if t.head else "",
        group=f"{name}: {t.group}" if t.group else name,
        uses=tuple(
            replace(u, id=tag + u.id, at=tag + u.at if u.at is not None else None) for u in t.uses
        ),
    )
