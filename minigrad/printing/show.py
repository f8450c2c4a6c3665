"""`show`: a graph as a numbered listing, one line a node, blocks of recurrences listed once.

Nothing is evaluated.  Numbers that are written out (2.0) have no line of their own.
"""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import pytrees, sites
from ..arguments import tensor_leaves
from ..graph import CONSTANT, Tensor, toposort
from ..manners.text import _axes
from ..ops.arrays import asarray
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.table import name_of_ours
from ..recur import PROJ, RECUR, ROW, SHARED, Block, Via, parts_of
from ..tracing import path_name
from . import html
from .names import blocks_in, cotangents
from .walks import described

__all__ = ["Listing", "show"]


class Line(NamedTuple):
    """A line of a listing; a heading or a remark has text alone."""

    text: str
    kind: str = ""
    place: str = ""


class Listing(str):
    """A graph in lines; prints itself, in a notebook as a table."""

    lines: list[Line]

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html.listing(self.lines)


def show(outputs: Any, *args: Any) -> Listing:
    """The graph of `outputs`, or of what a function returns, as a numbered listing.

    outputs : a pytree of Tensors; or a function, called with `args`,
              whose arrays become Tensors named after its parameters.

    A line is a node: what it is computed from, its dtype and shape, the user's line,
    and for a node of a gradient whose rule recorded it.
    A recurrence says over which structure its block runs and how every argument enters;
    its results how they leave.  Each block is listed once, below.

    Returns text that prints itself, as HTML in a notebook.  Nothing is computed.
    Raises TypeError for a leaf that is no Tensor, and for arguments without a function.
    """
    if callable(outputs) and not isinstance(outputs, Tensor):
        outputs = _called(outputs, args)
    elif args:
        raise TypeError(
            "show: further arguments are those of a function, show(f, *args); of several results "
            "give one tuple, show((a, b))"
        )
    leaves, _ = tensor_leaves("show", "outputs", outputs)
    lines = list(_listed(leaves))
    made = Listing(_text(lines))
    made.lines = lines
    return made


def _called(f: Any, args: Sequence[Any]) -> Any:
    graph = getattr(f, "graph", None)
    if callable(graph):  # an mg.function
        return graph(*args)
    try:
        inspect.signature(f).bind(*args)
    except ValueError:  # it has no signature to look at
        pass
    except TypeError as error:
        called = getattr(f, "__name__", type(f).__name__)
        raise TypeError(
            f"show: {called} cannot be called with {len(args)} arguments: {error}; "
            "the order is show(f, *args)"
        ) from None
    names = _parameters(f, len(args))
    return f(*(_named(name, arg) for name, arg in zip(names, args, strict=True)))


def _parameters(f: Any, count: int) -> list[str]:
    """What the first `count` arguments of a function are called."""
    try:
        given = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a function of C's
        given = []
    names = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in given if p.kind is p.VAR_POSITIONAL), "x")
    return [*names, *(f"{rest}{k}" for k in range(count))][:count]


def _named(name: str, tree: Any) -> Any:
    paths, leaves, spec = pytrees.tree_flatten_with_path(tree)
    made = [
        asarray(x, name=path_name(name, p)) if isinstance(x, (np.ndarray, np.generic)) else x
        for p, x in zip(paths, leaves, strict=True)
    ]
    return pytrees.tree_unflatten(spec, made)


# -- lines -----------------------------------------------------------------------------------------


class Numbers:
    """What the nodes of a graph or a block are called: %7, or their name where it is the only one.
    """

    def __init__(self, order: Sequence[Tensor], called: Mapping[Tensor, str]) -> None:
        self.called = {t: t.name or called.get(t) for t in order if t.op is not RECUR}
        names = Counter(self.called.values())
        self.of: dict[Tensor, str] = {}
        self.number: dict[Tensor, int] = {}
        for t in order:
            if _written(t) is None:
                self.number[t] = len(self.number)
                name = self.called.get(t)
                self.of[t] = name if name and names[name] == 1 else f"%{self.number[t]}"

    def operand(self, t: Tensor) -> str:
        written = _written(t)
        return self.of[t] if written is None else written


def _written(t: Tensor) -> str | None:
    """A number that is written where it is used, however often it is repeated."""
    if t.name is not None:
        return None
    x = t
    while x.op in (BROADCAST, RESHAPE):
        x = x.inputs[0]
    if x.op is not CONSTANT or x.name is not None or x.size != 1:
        return None
    return f"{x._value.item()!r}"


def _listed(leaves: Sequence[Tensor]) -> Iterable[Line]:
    order = toposort(leaves)
    inner: dict[Block, Numbers] = {}
    blocks = blocks_in(order)
    cts = cotangents(blocks)
    for block in blocks:
        inner[block] = Numbers(_nodes(block), cts)
    results = {t: cts[t.attrs["ref"]] for t in order if t.op is PROJ and t.attrs["ref"] in cts}
    names, called = Numbers(order, results), _titles(inner)
    yield from _nodes_listed(order, names, inner, called, "")
    yield Line("returns " + ", ".join(names.operand(t) for t in leaves))
    for block, numbers in inner.items():
        yield Line("")
        yield Line(f"block {called[block]}")
        yield from _nodes_listed(_nodes(block), numbers, inner, called, "  ")
        for (slot, leaf), ph in block.slots.items():
            sent = [
                f"{numbers.operand(t)} leaves by port {p}"
                for (p, other), t in block.ports.items() if other == leaf
            ]  # fmt: skip
            arrives = numbers.of.get(ph, ph.name or "a state")
            yield Line(f"  state {leaf}: arrives as {arrives} in slot {slot}; {', '.join(sent)}")


def _nodes(block: Block) -> list[Tensor]:
    return list(dict.fromkeys([*block.inputs, *block.slots.values(), *block.nodes]))


def _titles(blocks: Iterable[Block]) -> dict[Block, str]:
    count: Counter[str] = Counter()
    found = {}
    for block in blocks:
        count[block.name] += 1
        again = count[block.name]
        found[block] = block.name if again == 1 else f"{block.name} ({again})"
    return found


def _nodes_listed(
    order: Sequence[Tensor], names: Numbers, inner: dict[Block, Numbers], called: dict[Block, str],
    indent: str,
) -> Iterable[Line]:  # fmt: skip
    for t in order:
        if t not in names.number:
            continue
        what = f"{indent}%{names.number[t]}"
        if names.called.get(t):
            what += f" {names.called[t]}"
        kind = "" if t.op is RECUR else f"{t.dtype}[{','.join(map(str, t.shape))}]"
        yield Line(f"{what} = {_right(t, names, inner, called)}", kind, _place(t))
        if t.op is RECUR:
            block, structure, vias = parts_of(t)
            for ph, x, via in zip(block.inputs, t.inputs, vias, strict=True):
                into = inner[block].operand(ph)
                way = _enters(via, structure.n)
                yield Line(f"{indent}     {names.operand(x)} enters as {into}: {way}")


def _right(
    t: Tensor, names: Numbers, inner: dict[Block, Numbers], called: dict[Block, str]
) -> str:
    if t.op is RECUR:
        block, structure, _ = parts_of(t)
        return f"{called[block]} over {described(structure)}"
    if t.op is PROJ:
        block = parts_of(t.inputs[0]).block
        ref, via = t.attrs["ref"], t.attrs["via"]
        return f"{inner[block].operand(ref)} of {names.operand(t.inputs[0])}, {_leaves(via)}"
    if not t.inputs:
        return t.op.name
    operands = [names.operand(x) for x in t.inputs]
    if name_of_ours(t.op) == "einsum":
        operands.insert(0, f'"{",".join(t.attrs["subs"])}->{t.attrs["out"]}"')
        return f"einsum({', '.join(operands)})"
    return f"{t.op.name}({', '.join([*operands, *_settings(t)])})"


def _settings(t: Tensor) -> list[str]:
    found = []
    for key, value in t.attrs.items():
        if key == "index" and t.op.name in ("slice", "place"):
            parts = [":".join("" if b is None else str(b) for b in bounds) for bounds in value]
            value = "[" + ", ".join(p.removesuffix(":") if p != "::" else ":" for p in parts) + "]"
            found.append(value)
            continue
        if key == "axis" and t.op.kind == "reduction":
            value = _axes(value, t.inputs[0].ndim) if t.inputs[0].ndim else None
        if value is not None and value is not False and key not in ("what", "error"):
            found.append(f"{key}={value!s:.60}")
    return found


def _enters(via: Via, n: int) -> str:
    if via is SHARED:
        return "the same for every node"
    if via is ROW:
        return "a row for every node"
    none = int((np.asarray(via.rows) < 0).sum())
    missing = f", zeros for {none} of {n} nodes" if none else ""
    return f"a row by number out of {via.size}{missing}"


def _leaves(via: Via) -> str:
    ways = {"shared": "summed over the nodes", "row": "a row for every node"}
    return ways.get(via.kind, f"added into {via.size} rows by number")


def _place(t: Tensor) -> str:
    """'model.py:12', and of a gradient whose rule it was."""
    if t.site is None:
        return ""
    where = sites.line(t.site).split(": ", 1)[0]
    rule = sites.rule_of(t.site)
    way = "" if rule is None else f"   gradient of {rule[0]}{f' {rule[1]}' if rule[1] else ''}"
    return os.path.basename(where) + way


def _text(lines: Sequence[Line]) -> str:
    """In columns; what is longer than most pushes its line."""
    width = min(max((len(x.text) for x in lines if x.kind), default=0), 64)
    middle = max((len(x.kind) for x in lines), default=0)
    rows = [
        f"{x.text:<{width}}   {x.kind:<{middle}}   {x.place}".rstrip() if x.kind or x.place
        else x.text
        for x in lines
    ]  # fmt: skip
    return "\n".join(rows)
