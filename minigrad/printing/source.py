"""`source`: a graph as a plain function in NumPy, JAX, torch or JavaScript.

The text leans on nothing of minigrad's: it is read, taken elsewhere, and serves as an oracle.
A recurrence is its cell, printed once as an inner function, and a loop (`loops`, `scans`).
What is used once and has no name is written where it is used; broadcasts are left to the library.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import pytrees
from ..arguments import tensor_leaves
from ..graph import CONSTANT, INPUT, Primitive, Tensor, placeholder, toposort, where_recorded
from ..linalg.matrices import PRIMITIVES
from ..manners.text import NEGATES, WHOLE, Part
from ..ops.arrays import astype
from ..ops.broadcast import BROADCAST
from ..ops.table import name_of_ours
from ..recur import PROJ, RECUR, ROW, Block, parts_of
from . import loops, scans
from .formula import has_formula, written_out
from .libraries import LIBRARIES
from .lines import WIDTH, Lines, broken
from .names import ACTIVATIONS, Names, Scope, blocks_in, cotangents, hint
from .plans import PrintPlan, bare, is_literal, operands, planned, seen
from .spellings import COMMON, Library

__all__ = ["SourceText", "source"]

LITERAL = 16  # a constant with more elements becomes an argument
INLINE = 44  # characters of an unnamed part that is written where it is used


class SourceText(str):
    """A program as text; prints itself.

    arguments : the function's arguments by name, with the values of the graph's leaves;
                None for a leaf without a value.
    library   : what it is written in.
    """

    arguments: dict[str, np.ndarray | None]
    library: str

    def __repr__(self) -> str:
        return str(self)


def source(outputs: Any, library: str = "numpy") -> SourceText:
    """The graph of `outputs` as the text of a function `f` that computes them.

    outputs : a Tensor, or a tuple, list or dict of them (nested as you like), which f returns.
    library : "numpy", "jax", "torch" or "js" (JavaScript without libraries).

    The arguments of f are the named leaves (those of `mg.tensors` by the last part of their path,
    where that is unambiguous), leaves without a value, and constants of more than 16 elements;
    other constants are written out.  `source(...).arguments` has their values by name:

        text = mg.source(loss)
        space = {}
        exec(text, space)
        space["f"](**text.arguments)

    torch takes and returns tensors, JavaScript {shape: [2, 3], data: [...]}, flat in C order.
    Recurrences are loops, of chains in JAX `lax.scan`; all of them are printed for one node,
    so the text is for reading and checking, and slower than `mg.function`.

    Raises TypeError for a leaf that is no Tensor,
    ValueError for another library, or an op that has no spelling in it.
    """
    if not isinstance(library, str) or library not in LIBRARIES:
        known = ", ".join(map(repr, LIBRARIES))
        raise ValueError(f"source: library is one of {known}; got {library!r}")
    leaves, spec = tensor_leaves("source", "outputs", outputs)
    printer = Printer(LIBRARIES[library])
    made = SourceText(assembled(printer.library, printer.function("f", leaves, spec)))
    made.arguments, made.library = printer.arguments, library
    return made


def functions(
    graphs: Mapping[str, Any], library: str
) -> tuple[str, dict[str, dict[str, np.ndarray | None]]]:
    """One text with a function for each graph, and what each of them takes, in order: names, and
    the values of those that are constants, too large to stand in the text.

    graphs : by the name of the function, the pytree of Tensors that it returns.
    The helpers that they call stand in front, once; `viz.page` prints the ops of a page so.
    """
    texts, takes = [], {}
    for name, outputs in graphs.items():
        printer = Printer(LIBRARIES[library])
        texts.append(printer.function(name, *tensor_leaves("source", "outputs", outputs)))
        takes[name] = dict(printer.arguments)
    return assembled(LIBRARIES[library], *texts), takes


def assembled(library: Library, *texts: str) -> str:
    """Functions with the helpers that are called, and the imports that are needed, in front."""
    helpers, found, waiting = library.helpers, {}, list(texts)
    while waiting:
        text = re.sub(rf"{library.words['comment']}.*", "", waiting.pop())
        for name in re.findall(r"(?<![\w.])[A-Za-z_]\w*", text):
            if name in helpers and name not in found:
                found[name] = helpers[name].strip("\n")
                waiting.append(found[name])
    used = [found[name] for name in helpers if name in found]
    whole = "\n".join([*used, *texts])
    imports = [line for line, needs in library.imports if re.search(needs, whole) or not needs]
    parts = ["\n".join(imports)] if imports else []
    return library.words["gap"].join([*parts, *used, *texts]) + "\n"


# -- the printer -----------------------------------------------------------------------------------


class Printer:
    """Prints one function."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.words = library.words
        self.out = Lines(self.words["comment"], self.words["end"])
        self.arguments: dict[str, np.ndarray | None] = {}
        self.leaves: dict[Any, str] = {}
        self.cotangents: dict[Tensor, str] = {}
        self.given: dict[Tensor, str] = {}  # what nodes are called, wherever they are

    def function(self, name: str, leaves: Sequence[Tensor], spec: Any) -> str:
        order = toposort(leaves)
        blocks = blocks_in(order)
        self.cotangents = cotangents(blocks)
        scope = Scope(Names(self.library.reserved))
        plan = planned(order, leaves)
        self._take_arguments(scope, plan, blocks)
        self.out.depth = 1
        self.body(scope, plan, leaves)
        texts = [self.array(scope, seen(t)) for t in leaves]
        value = self.nested(pytrees.tree_unflatten(spec, list(map(_Text, texts))))
        self.out.line(self.words["return"].format(to=value))
        self.out.close()
        body = self.out.lines
        head = Lines(self.words["comment"], "")
        for shape, names in self._shapes.items():
            head.remark(f"{shape}: {', '.join(names)}")
        head.line(self.words["define"].format(name=name, args=", ".join(self.arguments)))
        return "\n".join([*head.lines, *body])

    # -- leaves ------------------------------------------------------------------------------------

    def _take_arguments(self, scope: Scope, plan: PrintPlan, blocks: Sequence[Block]) -> None:
        """The leaves that are arguments, named; those within blocks too."""
        outer = [t for t in plan.order if t in plan.wanted and t.op in (CONSTANT, INPUT)]
        inner = [t for b in blocks for t in b.nodes if t.op is CONSTANT]
        found = [t for t in outer if t.name is not None or t.op is INPUT or t.size > LITERAL]
        found += [t for t in inner if t.size > LITERAL]
        last = Counter({self.key(t): (t.name or "").rpartition(".")[2] for t in found}.values())
        self._shapes: dict[str, list[str]] = {}
        for t in found:
            if self.key(t) in self.leaves:
                continue
            short = (t.name or "").rpartition(".")[2]
            base = (short if last[short] == 1 else t.name) or ("x" if t.op is INPUT else "k")
            name = scope.names.fresh(base)
            self.leaves[self.key(t)] = name
            self.arguments[name] = t._value
            self._shapes.setdefault(f"{t.dtype}{list(t.shape)}", []).append(name)

    @staticmethod
    def key(t: Tensor) -> Any:
        """Copies of a leaf under several names are one argument."""
        return t if t.op is INPUT else id(t._value)

    def leaf(self, t: Tensor) -> Part:
        name = self.leaves.get(self.key(t))
        if name is not None:
            return name, WHOLE
        if t.op is INPUT:
            raise ValueError(f"source: a placeholder {t.name or ''} of a trace is not bound here")
        if t.shape == ():
            return self.number(t._value.item())
        return self.literal(t._value), WHOLE

    def number(self, value: Any) -> Part:
        special = self.words["special"]
        if isinstance(value, bool):
            return special[str(value)], WHOLE
        if isinstance(value, float) and not np.isfinite(value):
            text = special["nan"] if np.isnan(value) else special["inf"]
            return (f"-{text}", NEGATES) if value < 0 else (text, WHOLE)
        text = repr(value)
        return text, NEGATES if text.startswith("-") else WHOLE

    def literal(self, value: np.ndarray) -> str:
        """An array written out; of one number filled."""
        flat = value.reshape(-1)
        shape, dtype = value.shape, value.dtype
        if not flat.size or not np.any(flat) and not np.any(np.signbit(flat)):
            return self.zeros(shape, dtype)
        text = self.listed(value.tolist())
        natural = dtype.name in ("int64", "bool", "float64")
        form = "plain array" if natural and self.library.name != "torch" else "array"
        return self.words[form].format(x=text, dtype=self.library.dtype(dtype))

    def listed(self, value: Any) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(self.listed, value)) + "]"
        return self.number(value)[0]

    def zeros(self, shape: Sequence[int], dtype: np.dtype) -> str:
        form = "zeros" if dtype == np.float64 else "zeros of"
        return self.words[form].format(
            shape=self.library.shape(shape), dtype=self.library.dtype(dtype)
        )

    def filled(self, shape: Sequence[int], number: Tensor) -> str:
        value = number._value.item()
        if value == 0 and not np.signbit(value):
            return self.zeros(shape, number.dtype)
        return self.words["full"].format(
            shape=self.library.shape(shape), x=self.number(value)[0],
            dtype=self.library.dtype(number.dtype),
        )  # fmt: skip

    def array(self, scope: Scope, t: Tensor) -> str:
        """A node where a plain number would not do."""
        if is_literal(t):
            text = self.number(t._value.item())[0]
            return self.words["scalar"].format(x=text, dtype=self.library.dtype(t.dtype))
        return scope.text[t][0] if t in scope.text else self.leaf(t)[0]

    # -- nodes -------------------------------------------------------------------------------------

    def body(self, scope: Scope, plan: PrintPlan, roots: Sequence[Tensor]) -> None:
        """Everything that is wanted, in order."""
        names = {seen(t): t.name for t in plan.order if t.name and seen(t) is not t}
        atoms = {seen(i) for r in plan.asked for i in r.inputs}
        ends = {seen(t) for t in roots}
        for r in plan.asked:
            block, _, vias = parts_of(r)
            for ph, x, via in zip(block.inputs, r.inputs, vias, strict=True):
                if ph.name and seen(x) not in names and not x.name:
                    self.cotangents.setdefault(seen(x), ph.name + "s" * (via is ROW))
        for t in plan.order:
            if t in plan.wanted and t.name and t.op.name in ACTIVATIONS and name_of_ours(t.op):
                self.cotangents.setdefault(operands(t)[0], f"a_{t.name}")
        for t in plan.order:
            if t not in plan.wanted or t in scope.text or t.op is PROJ:
                continue
            if t.op in (CONSTANT, INPUT):
                scope.text[t] = self.leaf(t)
                if t in atoms and not scope.text[t][0].isidentifier() and not is_literal(t):
                    self.assign(scope, t, scope.text[t][0], "k")
            elif t.op is RECUR:
                self.recurrence(scope, plan, t)
            else:
                part = self.node(scope, t)
                base = t.name or names.get(t)
                once = plan.uses[t] == 1 and base is None and t not in atoms
                once = once and not (scope.inner and t in ends)
                short = len(part[0]) <= (2 * INLINE if t in ends else INLINE)
                if once and short or _trivial(t, part[0]):
                    scope.text[t] = part
                else:
                    called = base or hint(t, self.cotangents, scope.called)
                    more = "_new" if base else "_sum" if called.startswith("d") else "_2"
                    self.assign(scope, t, part[0], called, more)

    def recurrence(self, scope: Scope, plan: PrintPlan, r: Tensor) -> None:
        scan = self.library.name == "jax" and scans.fits(r)
        (scans.scan if scan else loops.loop)(self, scope, plan, r)

    def node(self, scope: Scope, t: Tensor) -> Part:
        name, xs = t.op.name, operands(t)
        if not _is_ours(t.op) or not (name in COMMON or self.library.row(name)):
            if not _is_ours(t.op) or not has_formula(t.op):
                raise self._no_spelling(t)
            return self.by_formula(scope, t)
        if t.op is BROADCAST and is_literal(bare(t)):
            return self.filled(t.shape, bare(t)), WHOLE
        need = 1 if name == "where" else 0  # what decides the dtype
        wrap = set(range(len(xs)))
        if self.library.literals(name):
            wrap = {need} if all(map(is_literal, xs[need:])) else set()
        parts = [
            (self.array(scope, x), WHOLE) if k in wrap and is_literal(x) else scope.text[x]
            for k, x in enumerate(xs)
        ]
        return self.library.spelled(t, parts, self.library)

    def by_formula(self, scope: Scope, t: Tensor) -> Part:
        """An elementwise op that the library has no word for: what its row says it computes."""
        given = [placeholder(x.shape, x.dtype, f"x{k}") for k, x in enumerate(operands(t))]
        for x, known in zip(operands(t), given, strict=True):
            text = (self.array(scope, x), WHOLE) if is_literal(x) else scope.text[x]
            scope.text[known] = text
        y = astype(written_out(t.op, given), t.dtype)
        for u in toposort([y]):
            if u not in scope.text and not (u.op is BROADCAST and is_literal(bare(u))):
                scope.text[u] = self.leaf(u) if u.op is CONSTANT else self.node(scope, u)
        return scope.text[y]

    def _no_spelling(self, t: Tensor) -> ValueError:
        at = where_recorded(t)
        ours = _is_ours(t.op)
        what = f"the op {t.op.name!r}" if ours else f"your op {t.op.name!r} (mg.primitive)"
        return ValueError(
            f"source: {what} has no spelling in {self.library.name}"
            f"{f' (recorded at {at})' if at else ''}; "
            + (
                f"print it for {' or '.join(self._others(t))}" if ours and self._others(t)
                else "write what it does in the ops of minigrad"
            )
        )  # fmt: skip

    def _others(self, t: Tensor) -> list[str]:
        return [n for n, lib in LIBRARIES.items() if t.op.name in COMMON or lib.row(t.op.name)]

    def assign(self, scope: Scope, t: Tensor, text: str, base: str, *suffixes: str) -> str:
        name = scope.names.fresh(base, *suffixes)
        scope.text[t], scope.called[t], self.given[t] = (name, WHOLE), name, name
        self.let(name, text, str(list(t.shape)))
        return name

    def let(self, name: str, value: str, note: str = "") -> None:
        text = self.words["assign"].format(to=name, value=value)
        if self._too_long(text):
            text = self.words["assign"].format(to=name, value=f"({value})")
        self.out.line(text, note)

    def say(self, form: str, items: Sequence[str], **more: Any) -> None:
        """A line about several things, in brackets where it has to be broken between them."""
        to = items[0] if len(items) == 1 else self.words["several"](items)
        text = self.words[form].format(to=to, **more)
        if len(items) > 1 and self._too_long(text):
            text = self.words[form].format(to=self.words["grouped"].format(to), **more)
        self.out.line(text)

    def _too_long(self, text: str) -> bool:
        return any(len(line) > WIDTH for line in broken(text, "    " * self.out.depth))

    def nested(self, tree: Any) -> str:
        """A pytree of texts as the text of that tree."""
        if isinstance(tree, dict):
            key = self.words["key"]
            return "{" + ", ".join(f"{key(k)}: {self.nested(v)}" for k, v in tree.items()) + "}"
        if isinstance(tree, list):
            return "[" + ", ".join(map(self.nested, tree)) + "]"
        if isinstance(tree, tuple):
            return self.words["tuple"](list(map(self.nested, tree)))
        if tree is not None and not isinstance(tree, _Text):
            raise TypeError(
                f"source: f returns tuples, lists and dicts of arrays; got a {type(tree).__name__}"
            )
        return self.words["none"] if tree is None else tree.text


@dataclass(frozen=True)
class _Text:
    text: str


def _is_ours(op: Primitive) -> bool:
    """Of the table or of `mg.linalg`; a user's op may have the name of one."""
    return name_of_ours(op) is not None or PRIMITIVES.get(op.name) is op


def _trivial(t: Tensor, text: str) -> bool:
    """Worth no name: `W.T`, `x[0]`."""
    return t.name is None and t.op.kind == "movement" and len(text) < 12 and t.op is not BROADCAST

