"""A recurrence as a cell, printed once, and a loop over the nodes of its structure.

What a node computes for later use is kept in lists, one entry a node, and joined behind the loop:
stacked where it leaves by row, summed where it is shared, added to the rows of a table otherwise.
Chains carry their state in variables; any other structure looks it up in the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..graph import Tensor
from ..manners.text import WHOLE
from ..recur import PROJ, RECUR, ROW, SHARED, Key, Via, parts_of
from .names import Names, Scope, blocks_in, hint, identifier
from .plans import Inside, PrintPlan, inside, seen
from .walks import described, paths_of, regular, sources, visited


@dataclass(frozen=True, eq=False)
class PrintedCell:
    """A printed block.

    name    : the function; "" where there is nothing to compute.
    passed  : the numbers of the block's inputs that are its arguments; the states follow them.
    """

    name: str
    passed: list[int]


class End(NamedTuple):
    """Where chains begin, or end.

    test : is it such a node.   path : the number of the chain, in the loop.
    rows : the rows, chain after chain.
    """

    test: str
    path: str
    rows: list[int]


def refs_of(projections: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(dict.fromkeys(p.attrs["ref"] for p in projections))


def cell_of(printer: Any, scope: Scope, plan: PrintPlan, r: Tensor, part: Inside) -> PrintedCell:
    """The recurrence's cell; printed unless an equal one is known here.

    What all nodes share is read from outside where only this recurrence uses the block.
    """
    block, structure, vias = parts_of(r)
    alone = sum(parts_of(t).block is block for t in plan.asked) == 1 and structure.n > 1
    outside = [k for k in part.inputs if alone and vias[k] is SHARED]
    key = block, tuple(part.returns), tuple(part.inputs), tuple(outside)
    if key not in scope.cells:
        scope.cells[key] = _printed(printer, scope, r, part, outside)
    return scope.cells[key]


def _printed(
    printer: Any, scope: Scope, r: Tensor, part: Inside, outside: list[int]
) -> PrintedCell:
    block = parts_of(r).block
    passed = [k for k in part.inputs if k not in outside]
    if not part.returns:
        return PrintedCell("", passed)
    text = {block.inputs[k]: scope.text[seen(r.inputs[k])] for k in outside}
    within = [t for b in blocks_in([r]) for t in b.nodes]
    held = {w for w, _ in text.values()} | {printer.leaves.get(printer.key(t), "") for t in within}
    inner = Scope(
        Names(scope.names.reserved, held | {c.name for c in scope.cells.values()}),
        dict(text), {ph: words for ph, (words, _) in text.items()}, dict(scope.cells),
        True,
    )  # fmt: skip
    name = scope.names.fresh(block.name)
    states = list(part.states.values())
    words = []
    for (slot, _), ph in part.states.items():
        words.append(_named(inner, ph, ph.name or "s", f"_{slot}"))
    own = [_named(inner, block.inputs[k], _argument(printer, r, k), "_in") for k in passed]
    shapes = [f"{w} {list(t.shape)}" for w, t in zip(
        [*own, *words], [*(block.inputs[k] for k in passed), *states], strict=True)]  # fmt: skip
    define = printer.words["define"].format(name=name, args=", ".join([*own, *words]))
    printer.out.blank()
    printer.out.open(define, ", ".join(shapes))
    printer.body(inner, part.plan, part.returns)
    values = [printer.array(inner, seen(t)) for t in part.returns]
    printer.say("return", values)
    printer.out.close()
    printer.out.blank()
    return PrintedCell(name, passed)


def _argument(printer: Any, r: Tensor, k: int) -> str:
    """What an input of a block is called: if it has no name, as what was given for it."""
    x, ph = seen(r.inputs[k]), parts_of(r).block.inputs[k]
    given = printer.given.get(x.attrs["ref"]) if x.op is PROJ else None
    return ph.name or given or "x"


def _named(scope: Scope, ph: Tensor, base: str, *suffixes: str) -> str:
    name = scope.names.fresh(base, *suffixes)
    scope.text[ph], scope.called[ph] = (name, WHOLE), name
    return name


# -- the loop --------------------------------------------------------------------------------------


class Loop:
    """One recurrence as it is printed.

    lists : what each row holds, by interior tensor: the names of lists (of variables for one node).
    """

    def __init__(self, printer: Any, scope: Scope, plan: PrintPlan, r: Tensor) -> None:
        self.printer, self.scope, self.r = printer, scope, r
        self.words, self.out = printer.words, printer.out
        self.block, self.structure, self.vias = parts_of(r)
        self.projections = plan.asked[r]
        self.refs = refs_of(self.projections)
        self.part = inside(r, self.refs)
        self.plan = plan
        self.lists: dict[Tensor, str] = {}
        self.ends: list[End] = []
        self.slots = set(self.block.slots.values())
        self.number = {ph: k for k, ph in enumerate(self.block.inputs)}
        self.place = {ph: k for k, ph in enumerate(self.part.states.values())}

    def called(self, ref: Tensor) -> str:
        """What the rows of an interior tensor are called, without an ending."""
        if ref in self.slots:
            return f"{ref.name or 's'}_before"
        named = ref.name or self.printer.cotangents.get(ref) or self.printer.given.get(ref)
        return named or hint(ref, self.printer.cotangents, self.printer.given)

    def list_of(self, t: Tensor) -> str:
        return self.lists[seen(t)]

    def new_lists(self, tensors: Sequence[Tensor]) -> None:
        some = [t for t in dict.fromkeys(map(seen, tensors)) if t not in self.lists]
        for t in some:
            base = self.called(t)
            plural = base if base.endswith("_before") or self.structure.n == 1 else f"{base}s"
            self.lists[t] = self.scope.names.fresh(plural)
        if self.structure.n == 1 or not some:
            return
        names = [self.lists[t] for t in some]
        kind, n = ("lists" if len(some) > 1 else "list"), self.structure.n
        self.printer.say(kind, names, n=n, count=len(some))

    # -- what a node reads ---------------------------------------------------------------------

    def argument(self, k: int, n: str) -> str:
        """Input k of the block at row `n`."""
        x, via = seen(self.r.inputs[k]), self.vias[k]
        text = self.printer.array(self.scope, x)
        if via is SHARED:
            return text
        if via is ROW:
            return self.words["row"].format(x=text, n=n)
        rows, ph = via.rows, self.block.inputs[k]
        none = self.printer.zeros(ph.shape, ph.dtype)
        if (rows < 0).all():
            return none
        if len(set(rows.tolist())) == 1:
            return self.words["row"].format(x=text, n=rows[0])
        for end in self.ends:
            if set(np.flatnonzero(rows >= 0).tolist()) == set(end.rows):
                first = rows[end.rows]
                where = str(first[0]) if len(set(first.tolist())) == 1 else ""
                if not where and (first == np.arange(len(first))).all():
                    where = end.path
                if where:
                    entry = self.words["row"].format(x=text, n=where)
                    return self.words["choose"].format(a=entry, test=end.test, b=none)
        at = f"{self.numbers(rows.tolist(), _argument(self.printer, self.r, k) + '_row')}[{n}]"
        entry = self.words["row"].format(x=text, n=at)
        if (rows >= 0).all():
            return entry
        return self.words["choose"].format(a=entry, test=f"{at} >= 0", b=none)

    def numbers(self, rows: Any, base: str) -> str:
        """The name of a list of row numbers, written before the loop."""
        text, known = repr(rows), self.scope.rows
        if text not in known:
            known[text] = self.scope.names.fresh(base)
            self.printer.let(known[text], text)
        return known[text]

    def prepare(self) -> None:
        """The lists of row numbers that arguments need, before the loop."""
        for k in self.part.inputs:
            self.argument(k, "0")

    # -- one node ------------------------------------------------------------------------------

    def call(
        self, cell: PrintedCell, n: str, state: Sequence[str], carried: dict[Tensor, str]
    ) -> None:
        """One node's call; `carried`: the variables that take what it returns."""
        args = [self.argument(k, n) for k in cell.passed]
        single = self.structure.n == 1
        form = "assign" if single else "again"
        for ref, name in self.lists.items():  # what merely passes through
            if ref in self.place or ref in self.number:
                at = self.place.get(ref)
                value = (
                    self.argument(self.number[ref], n) if at is None else state[at]
                )
                to = name if single else f"{name}[{n}]"
                self.out.line(self.words[form].format(to=to, value=value))
        if not cell.name:
            return
        targets, more = [], []
        for t in self.part.returns:
            kept = self.lists.get(seen(t), "")
            entry = kept if single else f"{kept}[{n}]"
            targets.append(carried.get(t, entry))
            if t in carried and kept:
                more.append((entry, carried[t]))
        value = f"{cell.name}({', '.join([*args, *state])})"
        self.printer.say(form, targets, value=value)
        for to, name in more:
            self.out.line(self.words["again"].format(to=to, value=name))

    # -- behind the loop -----------------------------------------------------------------------

    def leave(self) -> None:
        """Every projection out of the lists."""
        shared = [p for p in self.projections if p.attrs["via"] is SHARED]
        if self.structure.n > 1 and len(shared) > 2:
            names = [self.result(p) for p in shared]
            lists = [self.list_of(p.attrs["ref"]) for p in shared]
            self.printer.say("sums", names, lists=", ".join(lists))
        else:
            for p in shared:
                rows = self.list_of(p.attrs["ref"])
                if self.structure.n == 1:
                    self.scope.text[p] = rows, WHOLE
                else:
                    self.printer.let(self.result(p), self.words["sum"].format(x=rows), _shape(p))
        for p in self.projections:
            via = p.attrs["via"]
            if via is ROW:
                self._rows(p)
            elif via is not SHARED:
                self._table(p, via)

    def result(self, p: Tensor) -> str:
        base = p.name or self.called(p.attrs["ref"])
        name = self.scope.names.fresh(base)
        self.scope.text[p] = name, WHOLE
        return name

    def _stack(self, p: Tensor) -> str:
        rows = self.list_of(p.attrs["ref"])
        return self.words["stack"].format(x=f"[{rows}]" if self.structure.n == 1 else rows)

    def _rows(self, p: Tensor) -> None:
        rows = self.list_of(p.attrs["ref"])
        if self.structure.n > 1 and self.stays_list(p):
            self.scope.text[p] = rows, WHOLE
            return
        name = self.scope.names.fresh(rows, "_all")
        self.scope.text[p] = name, WHOLE
        self.printer.let(name, self._stack(p), _shape(p))

    def stays_list(self, p: Tensor) -> bool:
        """Only loops over rows read it."""
        if self.printer.library.name == "jax":
            return False
        for t in self.plan.wanted:
            if t.op is RECUR:
                vias = parts_of(t).vias
                if any(seen(x) is p and v is not ROW for x, v in zip(t.inputs, vias, strict=True)):
                    return False
            elif any(seen(x) is p for x in t.inputs):
                return False
        read = sum(
            seen(t.inputs[k]) is p
            for t in self.plan.asked for k in inside(t, refs_of(self.plan.asked[t])).inputs
        )
        return read == self.plan.uses[p]  # else it is returned

    def _table(self, p: Tensor, via: Via) -> None:
        self.printer.let(self.result(p), scattered(self.printer, self._stack(p), p, via), _shape(p))


def _shape(p: Tensor) -> str:
    return str(list(p.shape))


def scattered(printer: Any, rows: str, p: Tensor, via: Via) -> str:
    """Rows added into a table, as text."""
    at = via.rows.tolist()
    there = [n for n, row in enumerate(at) if row >= 0]
    if not there:
        return printer.zeros(p.shape, p.dtype)
    whole = there == list(range(len(at)))
    integers = printer.words["integers"]
    index = integers.format(x=[at[n] for n in there])
    some = rows if whole else printer.words["part"].format(x=rows, rows=integers.format(x=there))
    return f"scatter({some}, {index}, {via.size})"


def loop(printer: Any, scope: Scope, plan: PrintPlan, r: Tensor) -> None:
    """Print a recurrence as a loop."""
    made = Loop(printer, scope, plan, r)
    s = made.structure
    if not s.n:
        for p in made.projections:
            printer.let(made.result(p), printer.zeros(p.shape, p.dtype), _shape(p))
        return
    cell = cell_of(printer, scope, plan, r, made.part)
    if s.n > 1:
        printer.out.remark(f"{made.block.name}: {described(s)}")
    paths = paths_of(s) if made.part.sent else None
    if paths is not None:
        _chains(made, cell, paths)
    else:
        _nodes(made, cell)
    made.leave()


def _chains(made: Loop, cell: PrintedCell, paths: list[list[int]]) -> None:
    """Path by path, the state carried from step to step in variables."""
    words, out, printer, names = made.words, made.out, made.printer, made.scope.names
    made.new_lists(made.refs)
    state = {key: names.fresh(ph.name or "s") for key, ph in made.part.states.items()}
    again: dict[Tensor, list[Key]] = {}
    for (_, leaf), t in made.part.sent.items():
        again.setdefault(t, []).append((0, leaf))
    returned = set(made.part.returns)
    carried = {t: state[keys[0]] for t, keys in again.items() if t in returned}
    how = regular(paths)

    def start() -> None:
        for key, ph in made.part.states.items():
            zeros = printer.zeros(ph.shape, ph.dtype)
            out.line(words["assign"].format(to=state[key], value=zeros), str(list(ph.shape)))

    def step(n: str) -> None:
        before = {t: keys for t, keys in again.items() if t not in carried}
        moved = _passing(made, before, n, state)
        made.call(cell, n, list(state.values()), carried)
        for t, keys in again.items():
            for key in keys[1:] if t in carried else ():
                out.line(words["again"].format(to=state[key], value=carried[t]))
        for to, value in moved:
            out.line(words["again"].format(to=to, value=value))

    heads = [p[0] for p in paths]
    if how is None:
        n, b = made.scope.index("n"), made.scope.index("steps")
        made.ends = [End(words["is"].format(a=n, b=f"{b}[0]"), "", heads)]
        made.prepare()
        out.open(words["each"].format(k=b, list=repr(paths)))
        start()
        out.open(words["each"].format(k=n, list=b))
        step(n)
        out.close()
        out.close()
        return
    k = made.scope.index("t")
    b = made.scope.index("b") if how.paths > 1 else ""
    both = (how.steps - 1, 0) if how.back else (0, how.steps - 1)
    made.ends = [
        End(words["is"].format(a=k, b=str(at)), b, rows)
        for at, rows in zip(both, (heads, [p[-1] for p in paths]), strict=True)
    ]
    made.prepare()
    if b:
        out.open(words["count"].format(k=b, n=how.paths))
    start()
    out.open(words["back" if how.back else "count"].format(k=k, n=how.steps))
    terms = [(how.first, ""), (how.across, b), (how.along, k)]
    text = " + ".join(
        (v or str(c)) if c == 1 or not v else f"{c} * {v}" for c, v in terms if c and (v or c)
    )
    n = k
    if text != k:
        n = made.scope.index("n")
        printer.let(n, text)
    step(n)
    out.close()
    if b:
        out.close()


def _passing(made: Loop, before: dict[Tensor, list[Key]], n: str, state: dict) -> list[Any]:
    """States that leave as what merely came in (an input, another state): moved on afterwards."""
    moved = []
    for t, keys in before.items():
        ph = seen(t)
        if ph in made.place:
            value = list(state.values())[made.place[ph]]
        else:
            value = made.argument(made.number[ph], n)
        if any(value != state[key] for key in keys):
            name = made.scope.names.fresh(f"{identifier(ph.name or 's')}_old")
            made.printer.let(name, value)
            moved += [(state[key], name) for key in keys]
    return moved


def _nodes(made: Loop, cell: PrintedCell) -> None:
    """Node by node, the states of those before looked up in lists."""
    s, words, out, names = made.structure, made.words, made.out, made.scope.names
    sent = made.part.sent
    made.new_lists([*made.refs, *sent.values()])
    into = {
        (slot, port): sources(s, slot, port)
        for port, slot in sorted(s.wires) if any(k[0] == slot for k in made.part.states)
    }  # fmt: skip
    texts: dict[Any, str] = {}
    for (slot, port), rows in into.items():
        flat = [r[0] if r else -1 for r in rows] if max(map(len, rows)) < 2 else rows
        many = s.slots > 1 or s.ports > 1
        name = f"before_{max(slot, port)}" if many else "before"
        texts[slot, port] = made.numbers(flat, name)
    made.prepare()

    def arriving(key: Key, n: str) -> str:
        slot, leaf = key
        ph = made.part.states[key]
        zero, terms = made.printer.zeros(ph.shape, ph.dtype), []
        for (to, port), rows in into.items():
            if to == slot and (port, leaf) in sent:
                held, at = made.list_of(sent[port, leaf]), f"{texts[to, port]}[{n}]"
                if max(map(len, rows)) < 2:
                    entry = f"{held}[{at}]"
                    terms.append(words["choose"].format(a=entry, test=f"{at} >= 0", b=zero))
                else:
                    terms.append(words["total"].format(x=held, rows=at, zero=zero))
        if not terms:
            return zero
        total = terms[0]
        for term in terms[1:]:
            total = words["plus"].format(a=_held(total), b=_held(term))
        return total

    if s.n == 1:
        made.call(cell, "0", [arriving(k, "0") for k in made.part.states], {})
        return
    order = visited(s)
    n = made.scope.index("n")
    if order == list(range(s.n)):
        out.open(words["count"].format(k=n, n=s.n))
    elif order == list(range(s.n))[::-1]:
        out.open(words["back"].format(k=n, n=s.n))
    else:
        out.open(words["each"].format(k=n, list=repr(order)))
    state = []
    for key, ph in made.part.states.items():
        name = names.fresh(ph.name or "s", f"_{key[0]}")
        made.printer.let(name, arriving(key, n), str(list(ph.shape)))
        state.append(name)
    made.call(cell, n, state, {})
    out.close()


def _held(text: str) -> str:
    return f"({text})" if " " in text else text

