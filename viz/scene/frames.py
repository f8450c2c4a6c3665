"""The backward pass as moments: what lights in each, in words, and what there is so far.

All of it is read off a scene whose nodes know their turns (``turns``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .lanes import BACKWARD, FORWARD
from .numbers import norm
from .scene import Edge, Node, Scene, Track, Use, norm_text
from .trouble import GRADIENT

MOST_SAID = 2  # cotangents that are spelled out in one moment
LEAVES = ("input", "initial", "shared", "constant")


@dataclass(frozen=True)
class Moment:
    """One turn of the backward pass; the last one, in which all is done, has none (None).

    words: lines that say what happens.
    lit: ids of the nodes whose cotangents become whole, of the edges that bring what they are the
        sum of, and of the squares that are added now.
    """

    turn: int | None
    words: tuple[str, ...]
    lit: frozenset[str] = frozenset()


def edge_turn(edge: Edge, nodes: dict[str, Node]) -> int:
    """When a gradient flows: with the cotangent it belongs to; to a leaf as soon as it is known."""
    source, target = nodes[edge.source].turn, nodes[edge.target].turn
    leaf = nodes[edge.target].kind in LEAVES
    return (source if leaf else target) or 0


def moments(scene: Scene, name: str) -> list[Moment]:
    """All of them in order.  name: of the scalar."""
    last = max((node.turn for node in scene.nodes if node.turn is not None), default=0)
    nodes = {node.id: node for node in scene.nodes}
    by_turn: dict[int, list[Node]] = defaultdict(list)
    flows: dict[int, list[Edge]] = defaultdict(list)
    uses: dict[int, list[str]] = defaultdict(list)
    for node in scene.nodes:
        if node.turn is not None:
            by_turn[node.turn].append(node)
    for edge in scene.edges:
        if edge.kind == "backward":
            flows[edge_turn(edge, nodes)].append(edge)
    for track in scene.tracks:
        for use in track.uses:
            if use.turn is not None:
                uses[use.turn].append(use.id)
    into: dict[str, list[Edge]] = defaultdict(list)
    for edge in scene.edges:
        if edge.kind == "backward":
            into[edge.target].append(edge)
    found = []
    for turn in range(last + 1):
        lit = [*(n.id for n in by_turn[turn]), *(e.id for e in flows[turn]), *uses[turn]]
        words = _begin(by_turn[0], name) if turn == 0 else []
        words += _said(by_turn[turn], into, nodes, name) if turn else []
        words += _added(scene.tracks, turn)
        found.append(Moment(turn, tuple(words), frozenset(lit)))
    return [*found, Moment(None, tuple(_done(scene.tracks, name)))]


def so_far(scene: Scene, turn: int | None) -> Scene:
    """What has flowed back when a turn is over; None: everything, the scene as it is."""
    if turn is None:
        return scene
    nodes = {node.id: node for node in scene.nodes}

    def later(node: Node) -> bool:
        return node.turn is not None and node.turn > turn

    together: dict[str, float] = defaultdict(float)
    for track in scene.tracks:
        for use in track.uses:
            if use.turn is None or use.turn <= turn:
                together[track.head] += use.norm
    return replace(
        scene,
        nodes=tuple(_not_yet(n, scene.view) if later(n) else n for n in scene.nodes),
        edges=tuple(e for e in scene.edges if e.kind != "backward" or edge_turn(e, nodes) <= turn),
        tracks=tuple(_track(t, turn, together) for t in scene.tracks),
    )


def numbered(node: Node, view: str) -> bool:
    """Whether a node's own text holds numbers of its gradient."""
    return view == "cell" and node.kind == "shared"


def _not_yet(node: Node, view: str) -> Node:
    if node.mark == GRADIENT:
        node = replace(node, mark="", detail=node.detail.removesuffix(GRADIENT).rstrip("\n"))
    return replace(node, norm=None, label="" if numbered(node, view) else node.label)


def _track(track: Track, turn: int, together: dict[str, float]) -> Track:
    if track.strip:  # comes with the finished drawing
        return replace(track, strip=(), norm=None, together=None)
    total = track.norm is not None and turn < len(track.running)
    return replace(
        track,
        norm=track.running[turn] if total else None,
        together=together[track.head] if total else None,
        uses=tuple(u for u in track.uses if u.turn is None or u.turn <= turn),
    )


# -- in words --------------------------------------------------------------------------------------


def _called(node: Node) -> str:
    if node.value:
        return node.value
    if node.kind == "shared" and len(node.members) <= 3:
        return ", ".join(node.members)
    if node.kind == "shared":
        return f"({len(node.members)} parameters)"
    if node.kind in ("op", "gate"):
        return node.detail.split("\n")[0] or f"[{node.label}]"
    return " ".join(node.label.split())


def _begin(nodes: Sequence[Node], name: str) -> list[str]:
    losses = [n for n in nodes if n.kind == "loss"]
    if losses:
        return [f"The forward pass is done. Back from {name}:  ∂{name}/∂{name} = 1"]
    if not nodes:
        return [f"The forward pass is done. Back from {name}"]
    from_outside = " and ".join(f"∂{name}/∂{_called(n)}" for n in nodes[:4])
    return [f"The forward pass is done. From outside comes {from_outside}"]


def _said(
    here: Iterable[Node], into: dict[str, list[Edge]], nodes: dict[str, Node], name: str
) -> list[str]:
    whole = [n for n in here if n.kind not in LEAVES][::-1]  # the last of them runs back first
    whole.sort(key=lambda n: n.kind in ("attend", "output"))  # what cells send back to comes after
    leaves = [n for n in here if n.kind in LEAVES]
    lines = []
    for node in (whole or leaves)[:MOST_SAID]:
        parts: dict[str, list[float]] = defaultdict(list)
        for edge in into[node.id]:
            parts[edge.source].append(edge.norm or 0.0)
        # Of its own net and sequence, which need not be said again.
        whose = "".join(_called(node).partition(" of ")[1:])
        called = (_called(nodes[id]).removesuffix(whose) for id in parts)
        sources = " + ".join(f"from {text}" for text in called)
        text = f"∂{name}/∂{_called(node)}" + (f" = {sources}" if sources else "")
        if node.norm is not None:
            text += f",  norm {norm_text(node.norm)}"
            if len(parts) > 1:
                text += " of " + " and ".join(norm_text(_joint(sizes)) for sizes in parts.values())
        lines.append(text)
    more = len(whole or leaves) - MOST_SAID
    if more > 0:
        lines[-1] += f";  and {more} more"
    if whole and leaves:
        names = [_called(n).strip("()") if len(leaves) > 1 else _called(n) for n in leaves[:4]]
        some = ", ".join(names) + (", …" if len(leaves) > 4 else "")
        lines.append(f"so that ∂{name}/∂({some}) is whole" if len(leaves) > 1 else
                     f"so that ∂{name}/∂{some} is whole")  # fmt: skip
    return lines


def _joint(sizes: Sequence[float]) -> float:
    return norm(sizes)  # type: ignore[arg-type]


def _names(tracks: Sequence[Track]) -> dict[str, str]:
    """What parameters are called, by the ids of their rows: of one name, with their nets."""
    heads = [track for track in tracks if track.head == track.id]
    many = Counter(track.label for track in heads)
    names = {}
    for track in heads:
        net = track.group.replace(f", {FORWARD}", " →").replace(f", {BACKWARD}", " ←")
        names[track.id] = track.label + (f" of {net}" if net and many[track.label] > 1 else "")
    return names


def _largest(size: float) -> tuple[bool, float]:
    """A key by which NaN is the largest."""
    return math.isnan(size), size


def _added(tracks: Sequence[Track], turn: int) -> list[str]:
    """Which parameters get something, and which the most."""
    names = _names(tracks)
    sizes: dict[str, list[Use]] = defaultdict(list)
    for track in tracks:
        for use in track.uses:
            if use.turn == turn and use.norm:
                sizes[names.get(track.head, track.label)].append(use)
    if not sizes:
        return []
    if len(sizes) <= 4:
        return ["added to " + ", ".join(f"{k} ({_sum(uses)})" for k, uses in sizes.items())]
    most = max(sizes, key=lambda name: _largest(sum(use.norm for use in sizes[name])))
    return [f"added to {len(sizes)} parameters, most to {most} ({_sum(sizes[most])})"]


def _sum(uses: Sequence[Use]) -> str:
    """What one use adds; of several, of sequences or of boxes, the sum of the norms."""
    alone = len(uses) == 1 and uses[0].count == 1
    return ("" if alone else "Σ ") + norm_text(sum(use.norm for use in uses))


def _done(tracks: Sequence[Track], name: str) -> list[str]:
    names = _names(tracks)
    known = [(t.norm, names.get(t.id, t.label)) for t in tracks if t.norm is not None]
    known.sort(key=lambda one: _largest(one[0]), reverse=True)
    if not known:
        return ["The backward pass is done."]
    some = ",  ".join(f"‖∂{name}/∂{label}‖ = {norm_text(size)}" for size, label in known[:4])
    return ["The backward pass is done:  " + some + (",  …" if len(known) > 4 else "")]
