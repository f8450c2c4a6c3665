"""Pickling: a graph goes out as flat lists of nodes, so that its depth does not matter.

Pickle itself would follow `inputs` node by node and recurse.
Here the first Tensor that is met puts every node it depends on
(blocks inside recurrences included) into one archive,
a flat list in which nodes name others by number;
a Tensor is then an archive and a number.
The archive lives as long as the pickler remembers it,
so Tensors pickled together go on sharing their nodes
(`grad(loss, params)` works on the other side),
and only nodes not seen before make a new archive.

Values are kept of leaves only, and the user's lines not at all.
Copies: a Tensor is immutable, so `copy.copy` and `copy.deepcopy` return the Tensor itself,
as they do for numbers and strings.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from ..graph import CONSTANT, INPUT, Primitive, Tensor
from ..linalg.matrices import PRIMITIVES as MATRICES
from ..ops.table import DECLARED, TABLE
from ..recur import PROJ, RECUR, ROW, SHARED, Block, Via
from ..structure import SINGLE, Structure

Node = Tensor | Block


class _Archive:
    """Nodes in the order in which they can be made again, each by its number."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.number = {node: k for k, node in enumerate(nodes)}


_archive_of: WeakValueDictionary[int, _Archive] = (
    WeakValueDictionary()
)  # by id(node), kept by its archive


def _reads(node: Node) -> list[Node]:
    """The nodes that must exist before this one."""
    if isinstance(node, Block):
        return [*node.inputs, *node.outputs, *node.slots.values(), *node.ports.values()]
    more = [
        node.attrs[key]
        for key in ("block", "ref")
        if node.op in (RECUR, PROJ) and key in node.attrs
    ]
    return [*node.inputs, *more]


def _place(node: Node) -> tuple[_Archive, int]:
    """The archive that holds a node, made now if there is none, and the node's number in it."""
    archive = _archive_of.get(id(node))
    if archive is None:
        order: dict[Node, None] = {}
        stack = [node]
        while stack:
            top = stack[-1]
            waiting = [n for n in _reads(top) if n not in order and id(n) not in _archive_of]
            if top in order or not waiting:
                order[stack.pop()] = None
            stack += waiting
        archive = _Archive(order)
        for n in order:
            _archive_of[id(n)] = archive
    return archive, archive.number[node]


def _reduce_archive(archive: _Archive) -> tuple:
    def ref(node: Node) -> Any:
        k = archive.number.get(node)
        return k if k is not None else _place(node)  # of another archive: that archive and a number

    def record(node: Node) -> tuple:
        if isinstance(node, Block):
            slots, ports = ({k: ref(t) for k, t in d.items()} for d in (node.slots, node.ports))
            inputs, outputs = ([ref(t) for t in ts] for ts in (node.inputs, node.outputs))
            return node.name, inputs, outputs, slots, ports
        attrs = {
            k: ref(v) if isinstance(v, Node) else v
            for k, v in node.attrs.items()
            if k != "projections"
        }
        value = node._value if node.op is CONSTANT else None
        inputs = [ref(t) for t in node.inputs]
        return node.op, inputs, attrs, node.shape, node.dtype, node.name, value

    return _restored, ([record(node) for node in archive.number],)


def _restored(records: list[tuple]) -> list[Node]:
    nodes: list[Node] = []

    def node(ref: Any) -> Any:
        return nodes[ref] if isinstance(ref, int) else ref[0][ref[1]]

    for record in records:
        if len(record) == 5:
            name, inputs, outputs, slots, ports = record
            nodes.append(
                Block(
                    name, tuple(map(node, inputs)), tuple(map(node, outputs)),
                    {k: node(t) for k, t in slots.items()}, {k: node(t) for k, t in ports.items()},
                )
            )  # fmt: skip
            continue
        op, inputs, attrs, shape, dtype, name, value = record
        for key in ("block", "ref"):
            if op in (RECUR, PROJ) and key in attrs:
                attrs[key] = node(attrs[key])
        attrs = op.own(attrs) if op.own else attrs
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        t = Tensor(op, tuple(map(node, inputs)), attrs, shape, dtype, name, value)
        if op is PROJ:
            t.inputs[0].attrs["projections"][attrs["ref"], attrs["via"]] = t
        nodes.append(t)
    return nodes


def _picked(nodes: list[Node], number: int) -> Node:
    return nodes[number]


def _reduce_node(node: Node) -> tuple:
    return _picked, _place(node)


_PRIMITIVES = {"constant": CONSTANT, "input": INPUT, "recur": RECUR, "proj": PROJ} | MATRICES


def _primitive(name: str) -> Primitive:
    return _PRIMITIVES.get(name) or TABLE[name]


def _declared(name: str) -> Primitive:
    if name not in DECLARED:
        raise pickle.UnpicklingError(
            f"there is no primitive {name!r} here; run its mg.primitive(...) before loading the "
            "Tensor"
        )
    return DECLARED[name]


def _reduce_primitive(op: Primitive) -> tuple:
    if op is _PRIMITIVES.get(op.name) or op is TABLE.get(op.name):
        return _primitive, (op.name,)
    if op is not DECLARED.get(op.name):
        raise pickle.PicklingError(
            f"another primitive named {op.name!r} was declared since, so this one cannot be found "
            "again; give them two names"
        )
    return _declared, (op.name,)


def _reduce_via(via: Via) -> Any:  # the two singletons are known by identity
    return {SHARED: "SHARED", ROW: "ROW"}.get(via) or (Via, (via.kind, via.rows, via.size))


def _reduce_structure(s: Structure) -> Any:
    return "SINGLE" if s is SINGLE else s.__reduce_ex__(2)


def _itself(t: Tensor, memo: Any = None) -> Tensor:
    return t


copyreg.pickle(Tensor, _reduce_node)  # type: ignore[arg-type]
copyreg.pickle(Block, _reduce_node)  # type: ignore[arg-type]
copyreg.pickle(_Archive, _reduce_archive)  # type: ignore[arg-type]
copyreg.pickle(Primitive, _reduce_primitive)  # type: ignore[arg-type]
copyreg.pickle(Via, _reduce_via)
copyreg.pickle(Structure, _reduce_structure)
Tensor.__copy__ = Tensor.__deepcopy__ = _itself  # type: ignore[attr-defined]
