"""Faults of the engine around the rules, for `mutate`: what is added up, turned around, read back.

Each is a patch: what stands in whose place while a check runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ... import autodiff
from ...graph import Tensor
from ...ops.elementwise import add_n
from ...recur import ROW, Block, parts_of
from ...structure import Structure
from .mutations import roll

recurrences = import_module("minigrad.recur")  # minigrad.recur is its function
Patch = list[tuple[Any, str, Any]]  # (owner, attribute, value in its place)


def _uses(choose: Callable[[list], Any]) -> Callable[[], Patch]:
    """Several cotangents of one node, not added up."""
    return lambda: [(autodiff, "added", lambda gs: choose(list(gs)))]


def _structure(change: Callable[[Structure], dict[str, Any]]) -> Callable[[], Patch]:
    """`transpose` gives a structure with something wrong."""

    def patch() -> Patch:
        right = Structure.transpose

        def wrong(self: Structure) -> Structure:
            turned = right(self)
            new = object.__new__(Structure)
            drop = ("_transposed", "levels", "wires", "_arrivals")
            vars(new).update({k: v for k, v in vars(turned).items() if k not in drop})
            vars(new).update(change(turned))
            return new

        return [(Structure, "transpose", wrong)]

    return patch


def _edges(choose: Callable[[Structure], Any]) -> Callable[[Structure], dict[str, Any]]:
    def change(t: Structure) -> dict[str, Any]:
        keep = choose(t)
        return {k: getattr(t, k)[keep] for k in ("src", "dst", "slot", "port")}

    return change


def _once(t: Structure) -> Any:
    edges = np.stack([t.src, t.dst, t.slot, t.port])
    return np.sort(np.unique(edges, axis=1, return_index=True)[1])


def _one_edge_per_slot(t: Structure) -> Any:
    return np.sort(np.unique(np.stack([t.dst, t.slot]), axis=1, return_index=True)[1])


def _swapped_slots(t: Structure) -> dict[str, Any]:
    return {"slot": t.port, "port": t.slot, "slots": t.ports, "ports": t.slots}


def _mirrored_ports(t: Structure) -> dict[str, Any]:
    return {"port": t.ports - 1 - t.port}


def _pulled(change: Callable[[Any], Any]) -> Callable[[], Patch]:
    """The backward block with something wrong."""

    def patch() -> Patch:
        right = recurrences.pullback

        def wrong(block: Any, *rest: Any, **more: Any) -> Any:
            known = len(block.cache)
            pull = right(block, *rest, **more)
            if len(block.cache) == known:
                return pull
            key = next(k for k, v in block.cache.items() if v is pull)
            block.cache[key] = change(pull)
            return block.cache[key]

        return [(recurrences, "pullback", wrong)]

    return patch


def _without_port(which: int) -> Callable[[Any], Any]:
    def change(pull: Any) -> Any:
        b = pull.block
        lost = list(b.ports)[which] if len(b.ports) > 1 else None
        ports = {k: t for k, t in b.ports.items() if k != lost}
        new = Block(b.name, b.inputs, b.outputs, b.slots, ports)
        return pull._replace(block=new)

    return change


def _ports_scaled(factor: float) -> Callable[[Any], Any]:
    def change(pull: Any) -> Any:
        b = pull.block
        ports = {k: t * factor for k, t in b.ports.items()}
        return pull._replace(block=Block(b.name, b.inputs, b.outputs, b.slots, ports))

    return change


def _reads_swapped(pull: Any) -> Any:
    """Two saved values of one shape exchanged: the cotangents of two gates change places."""
    reads = list(pull.reads)
    places = [n for n, t in enumerate(reads) if isinstance(t, Tensor)]
    for a in places:
        for b in places:
            if a < b and reads[a].shape == reads[b].shape and reads[a] is not reads[b]:
                reads[a], reads[b] = reads[b], reads[a]
                return pull._replace(reads=tuple(reads))
    return pull


def _reads_late() -> Patch:
    """Saved values read one node late."""
    right = recurrences.proj

    def wrong(r: Tensor, ref: Tensor, via: Any) -> Tensor:
        t = right(r, ref, via)
        block, structure, _ = parts_of(r)
        reading = via is ROW and structure.n > 1 and "'" not in block.name
        if not reading or not sys._getframe(1).f_code.co_name == "pulled_back":
            return t
        rolled = roll(t, 0)
        return t if rolled is None else rolled

    return [(recurrences, "proj", wrong)]


FAULTS: dict[str, dict[str, Callable[[], Patch]]] = {
    "uses of a tensor": {
        "only the first counts": _uses(lambda gs: gs[0]),
        "only the last counts": _uses(lambda gs: gs[-1]),
        "one is lost": _uses(lambda gs: add_n(gs[:-1] if len(gs) > 2 else gs[:1])),
        "mean for sum": _uses(lambda gs: add_n(gs) * (1 / len(gs))),
        "one counts twice": _uses(lambda gs: add_n([*gs, gs[0]]) if len(gs) > 1 else gs[0]),
    },
    "transposed structure": {
        "slots and ports swapped": _structure(_swapped_slots),
        "ports mirrored": _structure(_mirrored_ports),
        "edges not turned": _structure(lambda t: {"src": t.dst, "dst": t.src,
                                                  "level": t.level.max(initial=0) - t.level}),
        "an edge twice counts once": _structure(_edges(_once)),
        "one edge per slot": _structure(_edges(_one_edge_per_slot)),
        "first edge lost": _structure(_edges(lambda t: slice(1, None))),
        "last edge lost": _structure(_edges(lambda t: slice(None, -1))),
        "no edges": _structure(_edges(lambda t: slice(0, 0))),
    },
    "backward block": {
        "first state lost": _pulled(_without_port(0)),
        "last state lost": _pulled(_without_port(-1)),
        "states x 1.001": _pulled(_ports_scaled(1.001)),
        "states with the wrong sign": _pulled(_ports_scaled(-1.0)),
        "saved values swapped": _pulled(_reads_swapped),
        "saved values one node late": _reads_late,
    },
}  # fmt: skip


