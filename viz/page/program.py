"""A graph as a program for the page: its ops as JavaScript (`ops`), its cells, what calls them.

A recurrence is its cell and one call a step, so that the page can leave a step out or add one.
Plain data of lists and numbers; `tape.js` runs it.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.graph import CONSTANT, INPUT, Tensor, placeholder, toposort
from minigrad.printing.spellings import bounds
from minigrad.recur import PROJ, RECUR, ROW, SHARED, parts_of
from minigrad.structure import Structure

from ..scene.steps import choose
from ..scene.text import broken, clean
from .between import Between
from .ops import Ops, TooMuch

MOST_NUMBERS = 60_000  # of all leaves: a page is for looking at, and at 11 bytes a number
MOST_CALLS = 400  # steps of all recurrences
MOST_NODES = 40_000  # ops that the page runs, forward and back
MOST_SEEDS = 200
MOST_SPOTS = 80  # nodes of a tree or a grid


def number_text(value: np.ndarray) -> dict[str, Any]:
    """An array for JSON: its shape, and its bytes in base64, of float32 where that is exact."""
    x = np.asarray(value)
    if x.dtype.kind not in "f":
        return {"shape": list(x.shape), "list": x.reshape(-1).astype(float).tolist()}
    with np.errstate(all="ignore"):
        small = x.astype("<f4")
    same = np.array_equal(small.astype(float), x.astype(float), equal_nan=True)
    kind, data = ("f4", small) if same else ("f8", x.astype("<f8"))
    return {"shape": list(x.shape), kind: base64.b64encode(data.tobytes()).decode()}


def label(t: Tensor) -> list[str]:
    """The name of a node ("" for none) and the formula that computes it, cut where long."""
    return [said(t.name, 60), "" if t.op.kind == "leaf" else said(mg.expr(t), 160)]


def said(text: str | None, limit: int) -> str:
    """A text of the user's, harmless and cut; "" where there is none."""
    return clean(text, limit) if text else ""


def cell(
    ops: Ops, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor],
    shared: Sequence[bool], ports: Sequence[tuple[int, int]],
) -> dict[str, Any]:  # fmt: skip
    """A block as data: what it computes of its inputs, a line a node.

    shared : which inputs are the same at every step.
    ports  : (input, output) pairs, where the output is the state that the next step reads.
    A reference below len(inputs) is an input, others are lines.
    """
    outs = mg.unfold(list(outputs), expand=True)
    at = {t: k for k, t in enumerate(inputs)}
    lines: list[list[Any]] = []
    for t in toposort(outs):
        if t in at:
            continue
        if t.op is CONSTANT:
            lines.append([-1, number_text(t._value), said(t.name, 60), ""])
        elif t.op is INPUT:
            raise TooMuch(f"the cell {name} reads {t.name or 'a placeholder'}, which has no value")
        else:
            lines.append([ops.of(t), [at[x] for x in t.inputs], *label(t)])
        at[t] = len(inputs) + len(lines) - 1
    return {
        "name": clean(name, 60),
        "inputs": [{"name": said(x.name, 60), "shared": bool(s), "shape": list(x.shape)}
                   for x, s in zip(inputs, shared, strict=True)],
        "lines": lines, "outputs": [at[t] for t in outs], "ports": [list(p) for p in ports],
    }  # fmt: skip


# -- a whole graph ---------------------------------------------------------------------------------


class Graph:
    """The program of a graph: a line a node, calls of cells in place of recurrences."""

    def __init__(self) -> None:
        self.ops = Ops()
        self.leaves: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []
        self.main: list[list[Any]] = []
        self.units: list[dict[str, Any]] = []
        self.at: dict[Tensor, int] = {}
        self.named: set[str] = set()  # names that belong to leaves
        self.calls: dict[Any, int] = {}  # of a block that is called step by step
        self.given: dict[Any, list[set[Tensor]]] = {}  # what each of its inputs is given
        self.made: dict[int, Tensor] = {}  # what ops stand at which lines
        self.outs: dict[tuple[Tensor, int], dict[Tensor, int]] = {}
        self._cells: dict[Any, tuple[int, list[Tensor]]] = {}
        self._units: dict[Any, int] = {}
        self._parts: dict[str, int] = {}

    def line(self, *parts: Any) -> int:
        self.main.append(list(parts))
        return len(self.main) - 1

    def once(self, *parts: Any) -> int:
        """A line that is written once, however often it is asked for."""
        key = repr(parts)
        if key not in self._parts:
            self._parts[key] = self.line(*parts)
        return self._parts[key]

    def row(self, table: int, n: int) -> int:
        """Row n of a table; of one that was stacked, joined or cut here what stands there."""
        while True:
            t = self.made.get(table)
            if self.main[table][0] == "stack":
                return self.main[table][1][n]
            if t is not None and t.op.name == "concat" and not t.attrs["axis"] % t.ndim:
                for x in t.inputs:
                    if n < x.shape[0]:
                        table = self.at[x]
                        break
                    n -= x.shape[0]
            elif t is not None and t.op.name == "slice" and _rows_only(t):
                start, _, step = bounds(t)[0]
                table, n = self.at[t.inputs[0]], start + n * step
            else:
                return self.once("row", table, n)

    def add(self, order: Sequence[Tensor]) -> None:
        asked: dict[Tensor, list[Tensor]] = {}
        for t in order:
            if t.op is RECUR and parts_of(t).structure.n == 1:
                block = t.attrs["block"]
                self.calls[block] = self.calls.get(block, 0) + 1
                for given, x in zip(
                    self.given.setdefault(block, [set() for _ in t.inputs]), t.inputs, strict=True
                ):
                    given.add(x)
        self.named = {said(t.name, 60) for t in order if t.op is CONSTANT and t.name}
        for t in order:
            if t.op is PROJ:
                asked.setdefault(t.inputs[0], []).append(t)
        for t in order:
            if t.op is CONSTANT:
                self.at[t] = self.line("leaf", len(self.leaves))
                literal = t.name is None and t.ndim == 0
                self.leaves.append(
                    {"name": self._called(t, literal), "value": number_text(t._value)}
                    | ({"fixed": True} if literal or t.dtype.kind != "f" else {})
                )
            elif t.op is INPUT:
                raise TooMuch(f"{t.name or 'a placeholder'} has no value")
            elif t.op is RECUR:
                self.recurrence(t, asked.get(t, []))
            elif t.op is PROJ:
                self.at[t] = self.leave(t)
            elif (part := self._part(t)) is not None:
                self.at[t] = part
            else:
                refs = [self.at[x] for x in t.inputs]
                self.at[t] = self.once("op", self.ops.of(t), refs, *label(t))
                self.made[self.at[t]] = t

    def _called(self, t: Tensor, literal: bool) -> str:
        """The name of a leaf, no other's; what has none is x, and a number written out nothing."""
        if literal:
            return ""
        base = said(t.name, 60) or "x"
        taken = {leaf["name"] for leaf in self.leaves} | (set() if t.name else self.named)
        return next(n for n in (base, *(f"{base} ({k})" for k in range(2, 10_000)))
                    if n not in taken)  # fmt: skip

    def _part(self, t: Tensor) -> int | None:
        """Some rows of what was stacked here: they themselves, so that no other is drawn to it."""
        if not t.inputs or t.name or self.main[self.at[t.inputs[0]]][0] != "stack":
            return None
        if t.op.name == "take" and t.inputs[1].op is CONSTANT and t.inputs[1].ndim == 1:
            rows = self.main[self.at[t.inputs[0]]][1]
            return self.line("stack", [rows[k] for k in t.inputs[1]._value.tolist()])
        if any(self.main[self.at[x]][0] != "stack" for x in t.inputs):
            return None
        if t.op.name == "concat" and t.attrs["axis"] % t.ndim:
            return self._joined(t)
        if t.op.name == "reshape" and t.ndim and t.shape[0] > 1:
            return self._reshaped(t)
        rows = self.main[self.at[t.inputs[0]]][1]
        if t.op.name == "slice" and _rows_only(t):
            start, count, step = bounds(t)[0]
            return self.line("stack", [rows[start + k * step] for k in range(count)])
        one = t.op.name == "reshape" and len(rows) == 1 and t.shape == t.inputs[0].shape[1:]
        return rows[0] if one else None

    def _reshaped(self, t: Tensor) -> int | None:
        """A stack of the same rows in another shape, or of some of them together."""
        x = t.inputs[0]
        some, left = divmod(x.shape[0], t.shape[0])
        if left or not some:
            return None
        shape = x.shape[1:] if some == 1 else (some, *x.shape[1:])
        given = placeholder(shape, x.dtype, "x")
        one = Tensor(t.op, (given,), {**t.attrs, "shape": t.shape[1:]}, t.shape[1:], t.dtype, None)
        rows = self.main[self.at[x]][1]
        parts = rows if some == 1 else [
            self.line("stack", rows[k : k + some]) for k in range(0, len(rows), some)
        ]  # fmt: skip
        words = "the same, of another shape"
        return self.line(
            "stack", [self.line("op", self.ops.of(one), [part], "", words) for part in parts]
        )

    def _joined(self, t: Tensor) -> int:
        """Stacks side by side: a stack of what stands side by side."""
        parts = [placeholder(x.shape[1:], x.dtype, "x") for x in t.inputs]
        attrs = {**t.attrs, "axis": t.attrs["axis"] % t.ndim - t.ndim}
        one = Tensor(t.op, tuple(parts), attrs, t.shape[1:], t.dtype, None)
        tables = [self.main[self.at[x]][1] for x in t.inputs]
        rows = [
            self.line("op", self.ops.of(one), list(refs), "", "side by side")
            for refs in zip(*tables, strict=True)
        ]
        return self.line("stack", rows)

    def recurrence(self, r: Tensor, asked: Sequence[Tensor]) -> None:
        block, structure, vias = parts_of(r)
        unit = self._unit(r)
        sent = dict(block.ports) if structure.wires else {}
        refs = list(dict.fromkeys([p.attrs["ref"] for p in asked] + list(sent.values())))
        inputs = [*block.inputs, *block.slots.values()]
        shared = [
            self._is_shared(r, k) if structure.n == 1 else via is SHARED
            for k, via in enumerate(vias)
        ] + [False] * len(block.slots)
        key = (block, tuple(refs), tuple(shared))
        if key not in self._cells:
            where = {ref: k for k, ref in enumerate(refs)}
            slots = {s: len(block.inputs) + k for k, s in enumerate(block.slots)}
            pairs = [(slots[k], where[t]) for k, t in sent.items() if k in slots]
            self.cells.append(cell(self.ops, block.name, inputs, refs, shared, pairs))
            self._cells[key] = len(self.cells) - 1, refs
        number = self._cells[key][0]
        arrivals = _arrivals(structure)
        for rows in structure.levels:
            for n in rows.tolist():
                args = [self._enter(x, via, n) for x, via in zip(r.inputs, vias, strict=True)]
                for (slot, leaf), ph in block.slots.items():
                    parts = []
                    for s, port, kept in arrivals[n].get(slot, ()):
                        if (port, leaf) in sent:
                            state = self.outs[r, s][sent[port, leaf]]
                            parts.append(state if kept else self.once("stop", state))
                    args.append(
                        self.once("zeros", list(ph.shape)) if not parts
                        else parts[0] if len(parts) == 1 else self.line("sum", parts)
                    )  # fmt: skip
                made = self.units[unit]
                step = made["steps"] if structure.n == 1 else n
                made["steps"] = max(made["steps"], step + 1)
                call = self.line("call", number, args, unit, step)
                self.outs[r, n] = {ref: self.line("out", call, k) for k, ref in enumerate(refs)}

    def _is_shared(self, r: Tensor, k: int) -> bool:
        """Whether all calls of a block are given the same there, as they are their parameters."""
        given = self.given[r.attrs["block"]][k]
        return len(given) == 1 and (r.inputs[k].op is CONSTANT or self.calls[r.attrs["block"]] > 1)

    def _unit(self, r: Tensor) -> int:
        """Which lane: a recurrence of its own, or the calls of one block."""
        block, structure, _ = parts_of(r)
        key = block if structure.n == 1 else r
        if key not in self._units:
            self._units[key] = len(self.units)
            chain = structure.n == 1 or _is_chain(structure)
            back = chain and len(structure.src) > 0 and structure.src[0] > structure.dst[0]
            name = clean(block.name, 60) + (" ←" if back else "")
            self.units.append({"name": name, **in_a_box(name), "steps": 0, "chain": chain})
        return self._units[key]

    def _enter(self, x: Tensor, via: Any, n: int) -> int:
        if via is SHARED:
            return self.at[x]
        row = n if via is ROW else int(via.rows[n])
        return self.row(self.at[x], row) if row >= 0 else self.once("zeros", list(x.shape[1:]))

    def leave(self, p: Tensor) -> int:
        r, ref, via = p.inputs[0], p.attrs["ref"], p.attrs["via"]
        n = parts_of(r).structure.n
        index, size = via.index(n)
        parts: list[list[int]] = [[] for _ in range(size)]
        for k, row in enumerate(index.tolist()):
            if row >= 0:
                parts[row].append(self.outs[r, k][ref])
        table = [
            part[0] if len(part) == 1 else self.line("sum", part) if part
            else self.once("zeros", list(ref.shape)) for part in parts
        ]  # fmt: skip
        if via is SHARED:
            return table[0]
        return self.line("stack", table) if table else self.once("zeros", list(p.shape))


def _rows_only(t: Tensor) -> bool:
    """Whether a slice takes whole rows."""
    return bounds(t)[1:] == [(0, n, 1) for n in t.inputs[0].shape[1:]]


def _arrivals(structure: Structure) -> list[dict[int, list[tuple[int, int, bool]]]]:
    found: list[dict[int, list[tuple[int, int, bool]]]] = [{} for _ in range(structure.n)]
    keep = np.ones(len(structure.src), bool) if structure.keep is None else structure.keep
    columns = (structure.src, structure.dst, structure.slot, structure.port, keep)
    for s, d, slot, port, kept in zip(*(a.tolist() for a in columns), strict=True):
        found[d].setdefault(slot, []).append((s, port, kept))
    return found


def _is_chain(structure: Structure) -> bool:
    """One sequence, in either direction, or steps that do not feed each other."""
    if not len(structure.src):
        return True
    one = structure.components == 1 and len(structure.src) == structure.n - 1
    return one and bool((np.abs(structure.src - structure.dst) == 1).all())


def program(outputs: Sequence[Tensor], scalar: Tensor, labels: Sequence[str] | None) -> Any:
    """What the page needs to run a graph forward and back from `scalar`: (data, JavaScript).

    labels : a word for every step, if there are any.
    Raises TooMuch where the page could not: more numbers or steps than it takes, an op without a
    word in JavaScript, recurrences that are no single sequences.
    Recurrences of other lengths than those they read stand behind them in time, as a decoder does;
    `labels` then has a word for each step of them all.
    """
    ends = list(dict.fromkeys([*outputs, scalar]))
    order = toposort(ends)
    numbers = sum(t.size for t in order if t.op is CONSTANT)
    if numbers > MOST_NUMBERS:
        raise TooMuch(f"it holds {numbers:,} numbers, and a page takes {MOST_NUMBERS:,}")
    recurs = [t for t in order if t.op is RECUR]
    calls = sum(parts_of(r).structure.n for r in recurs)
    if calls > MOST_CALLS:
        raise TooMuch(f"it has {calls:,} steps, and a page takes {MOST_CALLS}")
    apart = [r for r in recurs if not _is_chain(parts_of(r).structure)]
    if apart and len(recurs) > 1:
        raise TooMuch("it runs over several trees, grids or sequences")
    spots = places(parts_of(apart[0]).structure) if apart else []
    made = Graph()
    made.add(order)
    run = sum(len(made.cells[x[1]]["lines"]) if x[0] == "call" else 1 for x in made.main)
    if run > MOST_NODES:
        raise TooMuch(f"it runs {run:,} ops, and a page takes {MOST_NODES:,}")
    if not any(u["steps"] for u in made.units):
        raise TooMuch("its recurrences have no step" if made.units else "it has no recurrence")
    label_parameters(made.leaves)
    between = Between(made.main)
    columns = between.in_time(made.units)
    words = labels if labels is not None and len(labels) == columns else None
    data = {
        "leaves": made.leaves, "cells": made.cells, "main": made.main, "units": made.units,
        "steps": columns, "seeds": seeds(made, ends, scalar),
        "labels": [said(w, 40) for w in words or ()], "spots": spots,
        **between.read(made.cells, made.units),
    }  # fmt: skip
    return data, made.ops.text()


def in_a_box(name: str) -> dict[str, Any]:
    """A net's name in the boxes of its steps, by whole words, the last ones where there are many.

    "lines": each, and how far below the middle it stands; "low": where the step's number does.
    """
    first, *more = broken(name, 9, 8).split("\n")[-2:]
    if not more:
        return {"lines": [(-4, first)], "low": 11}
    return {"lines": [(-11, first), (2, more[0])], "low": 15}


def label_parameters(leaves: list[dict[str, Any]]) -> None:
    """Names as they stand in rows: without what all with a dot begin with, and without "cell."
    where no other ends as it does."""
    heads = [leaf["name"].split(".")[:-1] for leaf in leaves if "." in leaf["name"]]
    same = 0
    while heads and len({tuple(h[: same + 1]) for h in heads}) == 1 and len(heads[0]) > same:
        same += 1
    ends = Counter(leaf["name"].rpartition(".")[2] for leaf in leaves)
    for leaf in leaves:
        name = leaf["name"].split(".")
        name = name[same:] if len(name) > 1 else name
        own = name[0] == "cell" and len(name) == 2 and ends[name[1]] == 1
        leaf["label"] = ".".join(name[own:])


def words_of(data: dict[str, Any], xs: Tensor) -> dict[str, int]:
    """Where among the leaves the numbers of the words stand that `xs` are taken by, if they do."""
    if xs.op.name != "take":
        return {}
    wanted = number_text(xs.inputs[1]._value)
    at = [k for k, leaf in enumerate(data["leaves"]) if leaf["value"] == wanted]
    return {"ids": at[0]} if len(at) == 1 else {}


def places(structure: Structure) -> list[list[float]]:
    """[column, row] of every node: words of a tree stand on one line, what they are read by above
    them; a grid as it is; of other graphs those that may run at once above each other.

    Raises TooMuch for nodes of several trees or grids, and for more than a page shows well.
    """
    if structure.components != 1:
        raise TooMuch("it runs over several trees, grids or sequences")
    if structure.n > MOST_SPOTS:
        what = f"it has {structure.n} nodes, and a page takes {MOST_SPOTS} of a tree or grid"
        raise TooMuch(what)
    shown = choose(structure, None)
    column, row = shown.column.astype(float), shown.level.copy()
    if shown.arrangement == "tree":
        below: dict[int, list[int]] = {}
        for child, parent in zip(structure.src.tolist(), structure.dst.tolist(), strict=True):
            below.setdefault(parent, []).append(child)
        words = sorted((c, n) for n, c in enumerate(column.tolist()) if n not in below)
        for k, (_, n) in enumerate(words):
            column[n] = k
        for n in np.argsort(row, kind="stable").tolist():
            if n in below:
                column[n] = np.mean([column[c] for c in below[n]])
        row = row.max() - row
    elif shown.arrangement != "grid":
        for level in range(int(row.max()) + 1):
            here = np.flatnonzero(column == level)
            row[here] = np.arange(len(here))
    return [[c, r] for c, r in zip(column.tolist(), row.tolist(), strict=True)]


THROUGH = {"divide", "multiply", "negative", "reshape", "identity", "broadcast_to"}


def seeds(made: Graph, ends: Sequence[Tensor], scalar: Tensor) -> list[dict[str, Any]]:
    """The scalars that the backward pass can start from: the chosen one, its terms, other ends."""
    found = [{"label": clean(scalar.name or "loss", 30), "line": made.at[scalar], "index": 0}]
    t = scalar
    while t.op.name in THROUGH and len(more := [x for x in t.inputs if x.op is not CONSTANT]) == 1:
        t = more[0]
    terms: list[tuple[str, Tensor, int]] = []
    if t.op.name == "sum" and 1 < t.inputs[0].size <= MOST_SEEDS:
        whole = t.inputs[0]
        while whole.op.name in ("reshape", "identity"):
            whole = whole.inputs[0]
        where = np.ndindex(whole.shape)
        terms = [
            (f"{whole.name or 'term'}[{', '.join(map(str, i))}]", whole, k)
            for k, i in enumerate(where)
        ]
    elif t.op.name == "add" and len(t.inputs) <= MOST_SEEDS:
        terms = [(x.name or f"term {k + 1}", x, 0) for k, x in enumerate(t.inputs) if x.size == 1]
    several = [x for x in ends if 1 < x.size <= MOST_SEEDS and x.dtype.kind == "f"]
    terms += [
        (f"{x.name or 'output'}[{', '.join(map(str, i))}]", x, k)
        for x in several for k, i in enumerate(np.ndindex(x.shape))
    ]  # fmt: skip
    terms += [(x.name or f"output {k + 1}", x, 0) for k, x in enumerate(ends)
              if x.size == 1 and x.dtype.kind == "f" and x is not scalar]  # fmt: skip
    return found + [{"label": said(n, 30), "line": made.at[x], "index": k} for n, x, k in terms]
