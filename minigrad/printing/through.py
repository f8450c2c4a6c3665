"""Gradients through time: what a sum over steps is, and how it is written.

A recurrence's gradient by a parameter is one node, and that of a loop written out in Python a sum
with a term for each step.  Both are the same formula (Pascanu et al. 2013, equations 3 to 5)

    dL/dW = sum over k of  dL/dh_T  (product over j > k of dh_j/dh_{j-1})  d+h_k/dW

with the immediate derivative d+, in which the state before is held, and the factors in order
of time from the right.  Where each state has its own part in the loss there is a sum over these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from ..autodiff import backward
from ..graph import CONSTANT, INPUT, Tensor, placeholder, rebuild, toposort
from ..ops.table import name_of_ours
from ..recur import PROJ, ROW, SHARED, Block, Pullback, parts_of
from ..sites import rule_of


class Through(NamedTuple):
    """A gradient through time.

    wrt    : by what.
    states : what the parts of the state are called.
    steps  : how many; None where there are several sequences, or no sequence at all.
    last   : the loss depends on the last state alone.
    back   : time runs backwards.
    chain  : the states are a sequence.
    each   : for every step apart, not their sum.
    beside : what it reaches of each step and the loss reads, other than by the step's state.
    state  : it reaches the state.
    """

    wrt: str
    states: tuple[str, ...]
    steps: int | None
    last: bool
    back: bool = False
    chain: bool = True
    each: bool = False
    beside: tuple[str, ...] = ()
    state: bool = True


# -- recurrences -----------------------------------------------------------------------------------


def through_time(t: Tensor) -> Through | None:
    """What a result of a backward recurrence is the gradient of; None for any other node."""
    if t.op is not PROJ:
        return None
    r = t.inputs[0]
    block, structure, _ = parts_of(r)
    backward, new_to_old = _origin(block)
    ref = new_to_old.get(t.attrs["ref"], t.attrs["ref"])
    for f in dict.fromkeys(x.inputs[0] for x in r.inputs if x.op is PROJ):
        forward, _ = _origin(parts_of(f).block)
        for key, pull in list(forward.cache.items()):
            if isinstance(pull, Pullback) and pull.block is backward:
                at = [k for k, g in enumerate(pull.inputs) if g is ref]
                return _described(t, f, forward, at[0], key[1]) if at else None
    return None


def _origin(block: Block) -> tuple[Block, dict[Tensor, Tensor]]:
    """A block as it was before it was simplified, and which tensors its own ones were."""
    return block.cache.get("before", (block, {}))


def _described(
    t: Tensor, f: Tensor, forward: Block, k: int, refs: Sequence[Tensor]
) -> Through | None:
    via, wrt = t.attrs["via"], forward.inputs[k]
    structure = parts_of(f).structure
    if wrt.name is None or via not in (SHARED, ROW) or not forward.slots:
        return None
    slots = sorted(forward.slots.items(), key=_at)
    states = tuple(dict.fromkeys(ph.name or "s" for _, ph in slots))
    new = dict.fromkeys(forward.ports.values())
    parts = [*new, *forward.slots.values()]
    state = any(_reaches(r, parts) for r in refs) and any(_reaches(p, [wrt]) for p in new)
    beside = [r.name or "y" for r in refs if r not in new and _reaches(r, [wrt], new)]
    if not state and not beside or len(set(beside)) < len(beside):
        return None
    chain = structure.kind == "chain" and bool(len(structure.src))
    back = chain and bool((structure.dst < structure.src).all())
    steps = structure.n if structure.components == 1 else None
    return Through(
        wrt.name.rpartition(".")[2], states, steps, False, back, chain, via is ROW,
        tuple(name.rpartition(".")[2] for name in beside), state,
    )  # fmt: skip


def _reaches(t: Tensor, wrt: Sequence[Tensor], held: Collection[Tensor] = ()) -> bool:
    """Whether a gradient passes from t to any of `wrt`, other than by what is held."""
    apart = {x: placeholder(x.shape, x.dtype, x.name) for x in held if x is not t}
    (free,) = rebuild([t], apart)
    return bool(backward([free], [placeholder(t.shape, t.dtype, "seed")], wrt))


def _at(item: tuple[Any, Tensor]) -> Any:
    return item[0]


# -- loops written out -----------------------------------------------------------------------------


def unrolled(t: Tensor) -> Through | None:
    """Of a sum of what reached a leaf, if these are the steps of a chain; else None."""
    rule = rule_of(t.site)
    if name_of_ours(t.op) != "add" or rule is None or rule[0] not in ("input", "constant"):
        return None
    order = toposort([t])
    leaf = next((x for x in order if x.op in (CONSTANT, INPUT) and x.site is rule[2]), None)
    if leaf is None or not rule[1]:
        return None
    forward = [x for x in order if rule_of(x.site) is None and x.inputs]
    below = _Ancestors(forward, leaf)
    found = [c for family in _families(forward, below) if (c := _chain(family, below))]
    if not found:
        return None
    best = min(found, key=lambda c: (-len(c.states), c.parts, -c.named, -c.place))
    inside = below.of[best.states[-1]]
    rest = [x for x in below.depend if x not in inside]
    states, read = list(best.states), list(best.read)
    if _uses(rest, leaf):  # the last state itself is read by no rule, or the leaf beside the steps
        if not _like_a_step(rest, best, below, leaf) or not _unseen(order, set(rest), states[-1]):
            return None
        read.append(sum(y is states[-1] for x in rest for y in x.inputs))
    if _uses(below.depend, leaf) != len(t.inputs):
        return None
    last = all(_arrived(order, s) == n for s, n in zip(states, read, strict=False))
    return Through(rule[1].rpartition(".")[2], best.names, len(read) + 1, last)


def _uses(nodes: Iterable[Tensor], leaf: Tensor) -> int:
    return sum(y is leaf for x in nodes for y in x.inputs)


def _like_a_step(rest: Sequence[Tensor], c: _Chain, below: _Ancestors, leaf: Tensor) -> bool:
    """Whether nodes behind the last state are those of one more step, as far as they are seen."""
    before, last = c.states[-2:]
    step = below.of[last] - below.of[before]
    crossing = {y for x in rest for y in x.inputs if y in below.of[last]}
    kinds = Counter((x.op, _stem(x.name)) for x in step)
    mine = Counter((x.op, _stem(x.name)) for x in rest)
    return (
        sorted((x.op.name, x.shape) for x in crossing) == sorted(
            (x.op.name, x.shape) for x in _crossing(step, below.of[before])
        )
        and mine <= kinds
        and mine.total() == kinds.total() - 1
        and _uses(rest, leaf) == _uses(step, leaf)
    )  # fmt: skip


def _unseen(order: Sequence[Tensor], rest: Collection[Tensor], state: Tensor) -> bool:
    """Whether nothing but one more such state reads these nodes: rules of unseen nodes tell."""
    there = {id(x.site) for x in order}
    readers = [
        r for x in order if any(y in rest for y in x.inputs)
        if (r := rule_of(x.site)) is not None and id(r[2]) not in there
    ]  # fmt: skip
    return all(r[0] == state.op.name and _stem(r[1]) == _stem(state.name) for r in readers)


def _crossing(step: Iterable[Tensor], before: Collection[Tensor]) -> set[Tensor]:
    """What a step reads of the steps before."""
    return {y for x in step for y in x.inputs if y in before}


class _Ancestors:
    """For forward nodes that depend on a leaf, all such nodes they are computed from."""

    def __init__(self, forward: Sequence[Tensor], leaf: Tensor) -> None:
        self.of: dict[Tensor, frozenset[Tensor]] = {}
        self.depend: list[Tensor] = []
        self.place: dict[Tensor, int] = {}
        if len(forward) > 2000:  # sets of sets: of a long loop the formula is not worth it
            return
        for x in forward:
            above = [y for y in x.inputs if y in self.of]
            if above or any(y is leaf for y in x.inputs):
                self.of[x] = frozenset([x]).union(*(self.of[y] for y in above))
                self.place[x] = len(self.depend)
                self.depend.append(x)


class _Chain(NamedTuple):
    states: Sequence[Tensor]
    names: tuple[str, ...]
    read: list[int]  # how often the next step reads each state
    parts: int
    named: bool
    place: int


def _families(forward: Sequence[Tensor], below: _Ancestors) -> list[list[Tensor]]:
    """Nodes that one line of a loop made, or that are called h_1, h_2, ..."""
    lines: dict[Any, list[Tensor]] = {}
    for x in below.depend:
        base = _base(x.name)
        if base and base[1]:
            lines.setdefault((base[0], x.op), []).append(x)
        elif x.site is not None:
            lines.setdefault((x.op, x.name, x.site[0], x.site[1]), []).append(x)
    return [family for family in lines.values() if len(family) > 1]


def _base(name: str | None) -> tuple[str, str] | None:
    """h_3, h3 and h[3] as h and 3."""
    match = re.fullmatch(r"(\D*?)[_\[(]?(\d*)[\])]?", name or "")
    return (match[1], match[2]) if match and match[1] else None


def _stem(name: str | None) -> str | None:
    base = _base(name)
    return base and base[0]


def _chain(family: Sequence[Tensor], below: _Ancestors) -> _Chain | None:
    """The family as the last node of every step, with what passes from step to step."""
    parts: list[list[Tensor]] = []
    read = []
    for a, b in zip(family, family[1:], strict=False):
        if a not in below.of[b]:
            return None
        step = below.of[b] - below.of[a]
        parts.append(sorted(_crossing(step, below.of[a]), key=below.place.__getitem__))
        read.append(sum(y is a for x in step for y in x.inputs))
    kinds = {tuple((x.op, x.shape) for x in some) for some in parts}
    if len(kinds) != 1 or not all(a in set(some) for a, some in zip(family, parts, strict=False)):
        return None
    names = []
    for several in zip(*parts, strict=True):
        bases = {(_base(x.name) or ("", ""))[0] for x in several}
        names.append(bases.pop() if len(bases) == 1 else "")
    called = [n or f"s_{k}" if len(names) > 1 else n or "h" for k, n in enumerate(names)]
    return _Chain(
        family, tuple(called), read, len(names), all(names), below.place[family[0]]
    )


def _arrived(order: Sequence[Tensor], state: Tensor) -> int:
    """How many cotangents reached a state: the terms of their sum."""
    for x in order:
        rule = rule_of(x.site)
        if rule is not None and rule[2] is state.site and name_of_ours(x.op) == "add":
            if all(rule_of(y.site) is not None and y.inputs for y in x.inputs):
                return len(x.inputs)
    return 1


# -- how it is written -----------------------------------------------------------------------------


def through_words(found: Through) -> str:
    """For a terminal."""
    s = found.states[0] if len(found.states) == 1 else "s"
    w = found.wrt + ("[k]" if found.each else "")
    terms = [f"dL/d{y}[k] @ d{y}[k]/d{w}" for y in found.beside]
    n = "T" if found.steps is None else str(found.steps)
    before = "+" if found.back else "-"
    if found.state:
        by, steps = f"d{s}[k]/d{w}", f"prod(d{s}[j]/d{s}[j{before}1])"
        if not found.chain:
            terms.append(f"dL/d{s}[k] @ {by}")
        elif found.last:
            terms.append(f"dL/d{s}[{n}] @ {steps} @ {by}")
        else:
            over = f"for t {'<=' if found.back else '>='} k"
            terms.append(f"sum(dL/d{s}[t] @ {steps} @ {by} {over})")
    also = f", s = ({', '.join(found.states)})" if found.state and len(found.states) > 1 else ""
    over = f"k in 1..{n}" if found.chain else "every node k"
    body = " + ".join(terms)
    return (body if found.each else f"sum({body} for {over})") + also


def _d(over: str, under: str, plus: bool = False) -> str:
    return rf"\frac{{\partial{'^{+}' if plus else ''} {over}}}{{\partial {under}}}"


def through_formula(found: Through, symbol: Any) -> str:
    """For a page; `symbol` writes a name."""
    single = len(found.states) == 1
    s, w = symbol(found.states[0]) if single else "s", symbol(found.wrt)
    w = f"{w}_{{k}}" if found.each and "_" not in w else w

    def at(s: str, k: str) -> str:
        return f"{s}_{{{k}}}" if "_" not in s else rf"{{{s}}}_{{{k}}}"

    n = "T" if found.steps is None else str(found.steps)
    terms = []
    for y in map(symbol, found.beside):
        terms.append(rf"{_d('L', at(y, 'k'))} \, {_d(at(y, 'k'), w, plus=True)}")
    if found.state:
        by = _d(at(s, "k"), w, plus=True)
        if not found.chain:
            terms.append(rf"{_d('L', at(s, 'k'))} \, {by}")
        elif found.last:
            inner = rf"\left(\prod_{{j=k+1}}^{{{n}}} {_d(at(s, 'j'), at(s, 'j-1'))}\right)"
            terms.append(rf"{_d('L', at(s, n))} \, {inner} \, {by}")
        else:
            if found.back:
                within = r"\sum_{t=1}^{k} "
                inner = rf"\prod_{{j=t}}^{{k-1}} {_d(at(s, 'j'), at(s, 'j+1'))}"
            else:
                within = rf"\sum_{{t=k}}^{{{n}}} "
                inner = rf"\prod_{{j=k+1}}^{{t}} {_d(at(s, 'j'), at(s, 'j-1'))}"
            part = _d("L", at(s, "t"), plus=True)
            terms.append(rf"{within}{part} \, \left({inner}\right) \, {by}")
    also = ""
    if found.state and not single:
        names = ", ".join(symbol(name) for name in found.states)
        also = rf",\quad s = \left({names}\right)"
    body = " + ".join(terms)
    if found.each:
        return body + also
    over = rf"\sum_{{k=1}}^{{{n}}} " if found.chain else r"\sum_{k} "
    return over + (rf"\left({body}\right)" if len(terms) > 1 else body) + also
