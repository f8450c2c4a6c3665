"""The engine of `expr` and `latex`: from the root down, as deep as the text stays readable.

What is written for a node is a `Spelled`: a template over operands.
These need not be the node's inputs: `softmax(x, axis=1)` stands for six nodes.
Each language tells how a node is spelled and what stands for a leaf (`Writer`);
levels, what is left out where it gets long, and brackets are the same
(what may stand for a node is found by `standins`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor, bind
from ..manners.text import ADDS, MULTIPLIES, NEGATES, WHOLE, Form
from ..ops.broadcast import BROADCAST
from ..recur import PROJ

LONGEST = 300  # characters of a text that is read as one
MANY = 6  # terms of a sum; of more the first ones and the last
WHOLE_TEXT = 10**6  # characters, where nothing is left out
SILENT = frozenset(["astype", "checked", "identity"])  # say nothing to a reader
AS_IT = -1  # binds as its only operand does
DOTS = object()  # stands among operands for what is left out


class Number(NamedTuple):
    """An operand that is written as a plain number."""

    value: Any


class Spelled(NamedTuple):
    """A template, what it is filled with, and how it binds.

    binds, needs : as those of a `Form`; an operand that needs 0 stands within other signs.
                   Binding as its only operand does: `AS_IT`.
    open         : it ends with a sign that takes what follows (a sum), so it is last or bracketed.
    """

    text: str
    binds: int
    needs: tuple[int, ...]
    operands: tuple[Any, ...]
    open: bool = False


class Written(NamedTuple):
    """An operand's text, how tightly it binds, whether it takes what follows."""

    text: str
    binds: int
    open: bool = False


def by_form(form: Form, operands: Sequence[Any]) -> Spelled:
    return Spelled(form.text, form.binds, form.needs, tuple(operands))


class Writer:
    """Writes one text; a subclass for each language.

    exact    : nothing is left out.
    longest  : characters of a text that is read as one.
    brackets : the signs around what binds less tightly than it must, and around operands.
    inside   : stands for the operands that are left out, `between` for terms of a sum.
    """

    exact = False
    longest = LONGEST
    brackets = ("(", ")")
    inside = between = "..."

    def __init__(self, root: Tensor) -> None:
        self.root = root
        self._known: dict[Tensor, Spelled] = {}
        self._shapes: dict[Tensor, tuple[int, ...]] = {}

    # -- what a language says ----------------------------------------------------------------------

    def spelled(self, t: Tensor) -> Spelled:
        raise NotImplementedError

    def leaf(self, t: Tensor) -> Written:
        raise NotImplementedError

    def number(self, value: Any) -> Written:
        raise NotImplementedError

    def function(self, name: str) -> str:
        """How a function is called."""
        return name

    def bracketed(self, words: str) -> str:
        return f"{self.brackets[0]}{words}{self.brackets[1]}"

    def elided(self, t: Tensor) -> Written:
        """A node without its operands."""
        t = self.bare(t)
        if self.ends(t):
            return self.leaf(t)
        name = t.inputs[0].attrs["block"].name if t.op is PROJ else t.op.name
        return Written(self.function(name) + self.bracketed(self.inside), WHOLE)

    def bare(self, t: Tensor) -> Tensor:
        """A node without what says nothing to a reader."""
        raise NotImplementedError

    # -- levels ------------------------------------------------------------------------------------

    def ends(self, t: Tensor) -> bool:
        """Whether a name (or a value) stands for `t`."""
        if t.op in (CONSTANT, INPUT):
            return True
        return t is not self.root and (t.name is not None or t.op is PROJ and bool(state_name(t)))

    def known(self, t: Tensor) -> Spelled:
        if t not in self._known:
            said = self.spelled(t)
            self._known[t] = said if self.exact else said._replace(operands=self.whole(t, said))
        return self._known[t]

    def whole(self, t: Tensor, said: Spelled) -> tuple[Any, ...]:
        """The operands; where shapes count, with the repetition that elementwise ops leave out."""
        if t.op.kind == "elementwise" or t.op is BROADCAST:
            return said.operands
        return tuple(
            bind(BROADCAST, x, shape=x.shape)
            if isinstance(x, Tensor) and self._shown(x) != x.shape else x for x in said.operands
        )  # fmt: skip

    def _shown(self, output: Tensor) -> tuple[int, ...]:
        """The shape of what is written for a node."""
        waiting = [output]
        while waiting:
            t = waiting[-1]
            inputs = [self.bare(x) for x in t.inputs] if t.op.kind == "elementwise" else []
            if t not in self._shapes:
                if not inputs or self.ends(t):
                    number = t.op is CONSTANT and t.size == 1 and t.name is None
                    self._shapes[t] = () if number else t.shape
                elif missing := [x for x in inputs if x not in self._shapes]:
                    waiting += missing
                    continue
                else:
                    self._shapes[t] = np.broadcast_shapes(*(self._shapes[x] for x in inputs))
            waiting.pop()
        return self._shapes[output]

    def written(self) -> str:
        """As many levels as stay within the longest text; of `exact` ones all."""
        if self.ends(self.root):
            return self.leaf(self.root).text
        levels: list[list[Tensor]] = [[self.root]]
        seen = {self.root}
        found = self.elided(self.root).text
        while True:
            below: dict[Tensor, None] = {}
            for t in levels[-1]:
                if not self.ends(t):
                    some = [x for x in self.known(t).operands if isinstance(x, Tensor)]
                    below.update(dict.fromkeys(x for x in some if x not in seen))
            if not self.exact:
                text = self._filled(levels, seen)
                if text is None:
                    return found
                found = text
            if not below:
                return found if not self.exact else self._filled(levels, seen) or ""
            seen.update(below)
            levels.append(list(below))

    def _filled(self, levels: Sequence[Sequence[Tensor]], seen: set[Tensor]) -> str | None:
        """The text of these nodes, those below them left out; None: too long."""
        done: dict[Tensor, Written] = {}
        waiting = [self.root]
        limit = WHOLE_TEXT if self.exact else self.longest
        while waiting:
            t = waiting[-1]
            if t in done:
                waiting.pop()
            elif self.ends(t):
                done[t] = self.leaf(t)
            else:
                said = self.known(t)
                rest = [x for x in said.operands if isinstance(x, Tensor) and x not in done]
                if any(x not in seen for x in rest):
                    done[t] = self.elided(t)
                    continue
                if rest:
                    waiting += rest
                    continue
                done[t] = self._said(said, done)
                if len(done[t].text) > limit:
                    if self.exact:
                        raise ValueError(
                            f"expr: the text would have more than {WHOLE_TEXT} characters, for "
                            "what is read twice is written twice; name parts by t.named(...), or "
                            "print statements by mg.source"
                        )
                    return None
        return done[self.root].text

    def _said(self, said: Spelled, done: dict[Tensor, Written]) -> Written:
        pieces = [
            done[x] if isinstance(x, Tensor)
            else Written(self.between, WHOLE) if x is DOTS
            else self.number(x.value) if isinstance(x, Number) else Written(str(x), 9)
            for x in said.operands
        ]  # fmt: skip
        words, last, opens = [], len(pieces) - 1, said.open
        for k, (piece, need) in enumerate(zip(pieces, said.needs, strict=True)):
            swallows = piece.open and need > 0 and k < last
            enough = piece.binds >= need or piece.open and k == last and need <= NEGATES
            free = enough and not swallows
            words.append(piece.text if free else self.bracketed(piece.text))
            opens = opens or (k == last and need > 0 and free and piece.open)
        if said.binds == AS_IT:
            return pieces[0]
        return Written(said.text.format(*words), said.binds, opens)


def state_name(t: Tensor) -> str:
    """What a result of a recurrence is called, by itself or inside."""
    return t.name or t.attrs["ref"].name or ""


def added(operands: Sequence[Any], sign: str = "+") -> Spelled:
    """A sum; of many terms the first ones and the last."""
    some = list(operands)
    if len(some) > MANY:
        some = [*some[: MANY // 2], DOTS, some[-1]]
    needs = (ADDS, *[MULTIPLIES] * (len(some) - 1))
    return Spelled(f" {sign} ".join(["{}"] * len(some)), ADDS, needs, tuple(some))
