"""Random programs for the fuzzer: whole cells, structures, arrays, and an ordinary graph around.

A `Case` is the text of a Python program that uses public names only.
It defines `step`, a function for `mg.function`, and `calls`, a list of arguments for it:
the same step over several structures, sizes and values, so that one compilation serves many runs.
What is run is the text that is printed.

Choices come from a `Source` one small integer at a time, the simplest possibility first,
and are grouped in spans, so that a case shrinks by leaving spans out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from string import Formatter
from typing import Protocol

import numpy as np

from ..examples.problems import Later, Printed, Recipe, choice, edges_recipe, random_children

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)  # round the lanes of a vector
WIDE = (47, 49, 64, 65, 97, 130)  # round the widths of a product's tiles, rarely
MANY = (255, 256, 257, 300)  # rows, round the blocks in which sums over the nodes are taken
DIMS = "ABC"


class Spans(Protocol):
    """A `Source` (see `examples.problems`) that is told which choices belong together."""

    def integer(self, least: int, most: int) -> int: ...

    def times(self, least: int, most: int, odds: int = 4) -> Iterable[int]:
        """0, 1, ...: before each stands the choice to go on, `odds` to 1; it is in its span."""

    def span(self) -> AbstractContextManager[None]:
        """Choices inside may be left out together."""

    def later(self, count: int) -> Later:
        """Choices to be used later, that stand (and are left out) here."""


class Choices:
    """Choices that are kept: read from `given` first, then made by `rng` (none: the least).

    `made`: what was chosen.  `spans`: (start, end) of groups of choices, outer ones first.
    """

    def __init__(self, given: Sequence[int] = (), rng: np.random.Generator | None = None) -> None:
        self.given, self.rng = list(given), rng
        self.made: list[int] = []
        self.spans: list[tuple[int, int]] = []

    def integer(self, least: int, most: int) -> int:
        at = len(self.made)
        if at < len(self.given):
            k = min(max(self.given[at], least), most)
        else:
            k = least if self.rng is None else int(self.rng.integers(least, most + 1))
        self.made.append(k)
        return k

    def times(self, least: int, most: int, odds: int = 4) -> Iterator[int]:
        for k in range(most):
            with self.span():
                if k >= least and not self.integer(0, odds):
                    return
                yield k

    def later(self, count: int) -> Later:
        return Later([self.integer(0, 59) for _ in range(count)])

    @contextmanager
    def span(self) -> Iterator[None]:
        number, start = len(self.spans), len(self.made)
        self.spans.append((start, start))
        try:
            yield
        finally:
            self.spans[number] = (start, len(self.made))


@dataclass(frozen=True, repr=False)
class Case(Printed):
    """A program that defines `step` and `calls`.

    kinds : what is in it, for counting.
    """

    text: str
    kinds: tuple[str, ...] = ()
    calls: int = 1

    def __repr__(self) -> str:
        return self.text


# -- cells -----------------------------------------------------------------------------------------

# Fields: a b c an earlier vector of the width made, P Q a product with a matrix,
# w a shared vector, k a shared number, s a number made of any vector, m a truth value,
# F the dtype, u the sum of those that nothing has read.
RULES: dict[str, tuple[str, ...]] = {
    "product": (
        "{P}", "mg.tanh({P} + {w})", "{P} + {Q}", "{P} + {Q} + {w}", "{P} + {a}", "{P} * {a}",
        "{P} - {Q}", "({P} + {a}) + ({b} + {Q})", "mg.sigmoid({P}) * {a}", "{P} + {k}",
        "-({P})", "{P} + ({a} - ({Q} + {w}))",
    ),
    "elementwise": (
        "mg.tanh({a})", "mg.sigmoid({a})", "{a} + {b}", "{a} - {b}", "{a} * {b}", "0.5 * {a}",
        "{a} * {w} + {w}", "mg.sin({a})", "mg.exp(-mg.square({a}))", "{a} / (1.5 + mg.square({b}))",
        "mg.sqrt(mg.square({a}) + 1)", "mg.softplus({a})", "mg.erf({a})", "mg.log1p({a} * {a})",
        "mg.sigmoid({a}) * {b} + (1 - mg.sigmoid({a})) * {c}", "mg.silu({a})", "mg.gelu({a})",
        "mg.log_sigmoid({a})", "mg.logaddexp({a}, {b})", "mg.stop_gradient({a}) * {b}",
        "{a} + {b} + {c}", "{k} * {a}", "mg.exp({w}) * {a}", "mg.cos({a}) * {w}", "-{a}",
        "mg.expm1(-mg.square({a}))", "{a} - 2 * {b}", "{a} + {a}", "{a} * {a}",
        "1 / (1 + mg.exp({a}))", "own({a})", "own({P}) * {b}", "mg.atan({a})", "mg.asinh({a})",
        "mg.atan2({a}, 1.5 + mg.square({b}))", "mg.hypot({a}, 1 + {k})",
        "(1 + mg.square({a})) ** {b}", "mg.atanh(0.5 * mg.tanh({a}))", "(0.1 + mg.abs({a})) ** 1.5",
    ),
    "kink": (
        "mg.relu({a})", "mg.abs({a})", "mg.maximum({a}, {b})", "mg.minimum({a}, {b})",
        "mg.clip({a}, -0.5, 0.5)", "mg.sign({a}) * {b}", "mg.maximum({a}, 0.25)", "mg.relu({P})",
        "mg.maximum({a}, {w})", "mg.floor({a}) * {b}", "mg.remainder({a}, 1.5)",
        "mg.copysign({a}, {b})",
    ),
    "mask": (
        "mg.where({a} > {b}, {a}, {c})", "mg.where({a} > 0, {b}, 0.0)", "mg.where({m}, {a}, {b})",
        "mg.where(mg.logical_and({m}, {a} < {b}), {a}, {c})", "mg.where(mg.isnan({a}), 0.0, {a})",
        "mg.where(mg.logical_not({m}), {a}, 0.5)", "mg.astype({m}, {F}) * {a}",
        "mg.where({a} == {b}, {a}, {b} + {c})", "mg.where(mg.isfinite({a}), {a}, {w})",
        "mg.where({a} > 0, mg.sqrt(mg.where({a} > 0, {a}, 1.0)), {b})",
        "mg.where({k} > 0, {a}, {b})", "mg.where({w} > 0, {a}, {b})",
    ),
    "reduction": (
        "mg.sum({a}) * {b}", "{b} - mg.max({a})", "{b} - mg.mean({a})", "mg.softmax({a})",
        "({a} - mg.mean({a})) / mg.sqrt(mg.mean(mg.square({a} - mg.mean({a}))) + 0.3)",
        "{a} - mg.logsumexp({a})", "mg.vecdot({a}, {b}) * {c}", "{a} + mg.min({b})",
        "mg.log_softmax({a})", "mg.sum({a} * {b}) + {w}", "{s} * {a}", "{a} + {s}",
        "mg.tanh({s}) * {w}", "mg.sum({w} * {a}) * {w}", "{a} / (1 + mg.max(mg.abs({a})))",
        "mg.softmax({P})", "mg.tanh({a}) * mg.sum({w})",
    ),
    "constant": (
        "mg.full_like({a}, 0.5)", "mg.ones_like({a}) * {b}", "mg.zeros_like({a})",
        "{a} * mg.linspace(-1, 1, {a}.size, dtype={F})", "{w}", "{a} - {a}", "0 * {a}",
        "{w} * {k}", "mg.tanh({w}) + {k}",
    ),
    "wild": (
        "mg.sqrt({a})", "mg.log({a})", "{a} / {b}", "mg.exp({a})", "1 / {a}", "mg.square({a})",
        "mg.exp(mg.exp({a}))", "mg.log1p({a})", "mg.tan({a})", "mg.xlogy({a}, {b})",
        "{a} / mg.sum({b})", "mg.sinh({a})", "1e3 * {a}", "1e-3 * {a}",
    ),
    "moved": (
        "mg.concat([{a}[1:], {b}[:1]])", "mg.flip({a})", "mg.roll({a}, 1) * {b}",
        "mg.where(mg.arange({a}.size) < 2, {a}, {b})", "{a}[np.arange({a}.size) // 2]",
        "mg.concat([{a}, {b}])[::2]", "mg.concat([{a}, {P}])[-{a}.size:]",
        "mg.repeat({a}, 2)[1:][:{a}.size]", "mg.sum(mg.stack([{a}, {b}, {w}]), axis=0)",
        "mg.concat([{w}[:1], {a}[:-1]])", "mg.concat([{a} * {a}, {b}])[{a}.size:] + {c}",
        "mg.astype(mg.flip({m}), {F}) * {b}", "mg.sum({a}[np.arange(3) % {a}.size]) * {b}",
        "mg.concat([{a}[:1], {b}[1:]]) + mg.flip({b})",
    ),
    "tensor": (
        "mg.sum(mg.outer({a}, {b}), axis=0)", "mg.outer({a}, {b}) @ {c}",
        "mg.softmax(mg.outer({a}, {b}), axis=-1) @ {c}", "mg.max(mg.outer({a}, {b}), axis=1)",
        "(mg.outer({a}, {b}) - mg.outer({b}, {a}).T) @ {c}",
        "mg.norm(mg.outer({a}, {b}) + 1, axis=0)",
        "mg.einsum('ii->i', mg.outer({a}, {b}) @ mg.outer({c}, {w}))", "mg.outer({a}, {w}) @ {b}",
        "mg.sum(mg.where(mg.outer({a}, {b}) > 0, {c}, 0.5), axis=1)",
        "mg.tril(mg.outer({a}, {b})) @ {c}",
        "mg.sum(mg.cumulative_sum(mg.outer({a}, {b}), axis=1), axis=0)",
        "mg.prod(1 + 0.1 * mg.outer({a}, {b}), axis=0)", "mg.cumulative_sum({a})",
        "mg.prod(1 + 0.1 * {a}) * {b}", "mg.cumulative_prod(1 + 0.1 * {a})",
        "{a} / (1 + mg.norm({b}))", "mg.einsum('ij,kj->i', mg.outer({a}, {b}), mg.outer({w}, {c}))",
        "mg.where(mg.any({m}), {a}, {b})",
    ),
    "fallback": (
        "mg.sort({a})", "mg.take({a}, mg.argsort({b})) * {b}",
        "mg.einsum('i,j,k->i', {a}, {b}, {c})",
    ),
}  # fmt: skip
ON_VECTORS = ("moved", "tensor", "fallback")  # kinds that need an axis
NUMBERS = ("mg.sum({a})", "mg.mean({a})", "mg.max({a})", "mg.vecdot({a}, {b})", "mg.min({a})",
           "mg.sum(mg.square({a}))")  # fmt: skip
OWN = """own = mg.primitive(
    "own",
    numpy=lambda x: x / (1 + x * x),
    vjp=lambda ct, out, x: ct * (1 - x * x) / mg.square(1 + x * x),
    scalar="x / (1.0 + x * x)",
)

"""
LAYOUTS = (
    'lambda a: a.copy(order="F")', "lambda a: np.stack([a, a], axis=-1)[..., 1]",
    "lambda a: a.astype(a.dtype.newbyteorder())",
)
PRODUCTS = (  # of a vector of width d into width e, with a matrix stored (d, e) or (e, d)
    '{v} @ p["{de}"]', 'p["{ed}"] @ {v}', '{v} @ p["{ed}"].T', '{v} @ (0.5 * p["{de}"])',
    '{v} @ (p["{de}"] + p["{de}_"])', 'mg.einsum("i,ij->j", {v}, p["{de}"])',
    '({v} @ p["{de}"] + {v} @ p["{de}_"])', 'p["{de}"].T @ {v}', '{v} @ (p["{de}"] * p["{e}"])',
)  # fmt: skip


class Body:
    """Lines of a cell: names of what was made, by width ("" is a number)."""

    def __init__(self, source: Spans, kinds: Sequence[str], dims: str, dtype: str) -> None:
        self.source, self.kinds, self.dims, self.dtype = source, kinds, dims, dtype
        self.pool: list[tuple[str, str]] = []
        self.lines: list[tuple[str, str]] = []
        self.used: set[str] = set()

    def add(self, dim: str, expression: str) -> str:
        name = f"v{len(self.lines)}"
        self.lines.append((name, expression))
        self.pool.append((name, dim))
        return name

    def line(self) -> None:
        kind = choice(self.source, self.kinds)
        dim = choice(self.source, self.dims)
        if kind == "reduction" and not self.source.integer(0, 3):
            self.add("", self.number())
            return
        if kind not in ("product", "reduction", *ON_VECTORS) and not self.source.integer(0, 7):
            dim = ""
        self.used.add(kind)
        self.add(dim, self.filled(choice(self.source, RULES[kind]), dim))

    def filled(self, template: str, dim: str) -> str:
        fields = [f for _, f, _, _ in Formatter().parse(template) if f]
        return template.format(**{f: self.field(f, dim) for f in dict.fromkeys(fields)})

    def field(self, name: str, dim: str) -> str:
        if name in "abc":
            return self.operand(dim)
        if name in "PQ":
            return self.product(dim)
        if name == "w":
            return f'p["{dim or "k"}{choice(self.source, ("", "_"))}"]'
        if name == "k":
            return 'p["k"]'
        if name == "u":
            return self.unused(dim)
        if name == "F":
            return f'"{self.dtype}"'
        if name == "m":
            a, b = self.operand(dim), self.operand(dim)
            return f"({a} {choice(self.source, ('>', '<=', '<', '>='))} {b})"
        return self.number()

    def unused(self, dim: str) -> str:
        """The sum of what was made last and that nothing reads yet."""
        text = " ".join(e for _, e in self.lines)
        free = [n for n, d in self.pool if d == dim and not re.search(rf"{re.escape(n)}\b", text)]
        return f"({' + '.join(free[-3:])})" if free else self.operand(dim)

    def number(self) -> str:
        return self.filled(choice(self.source, NUMBERS), choice(self.source, self.dims))

    def operand(self, dim: str) -> str:
        known = [n for n, d in self.pool if d == dim]
        if known:
            return known[-1 - self.source.integer(0, len(known) - 1)]
        if not dim:
            return self.number() if any(d for _, d in self.pool) else 'p["k"]'
        return f"({self.product(dim)})"

    def product(self, dim: str) -> str:
        if not dim:
            return f'({self.operand("")} * p["k"])'
        vectors = [(n, d) for n, d in self.pool if d]
        if not vectors:
            return f'({self.operand("")} * p["{dim}"])'
        v, d = vectors[-1 - self.source.integer(0, len(vectors) - 1)]
        form = choice(self.source, PRODUCTS)
        return form.format(v=v, de=d + dim, ed=dim + d, e=dim)

    def needed(self, last: str) -> list[str]:
        """The lines that the last one depends on."""
        kept: list[str] = []
        for name, expression in reversed(self.lines):
            if re.search(rf"\b{name}\b", "\n".join([last, *kept])):
                kept.append(f"{name} = {expression}")
        return kept[::-1]


@dataclass
class Cell:
    """The text of a cell, and the widths of what goes in and comes out."""

    name: str
    text: str
    slots: int
    leaves: list[str]
    inputs: list[str]
    outputs: list[str]
    params: dict[str, str]
    choices: list[Later]  # for leaves and inputs, in this order
    kinds: set[str] = field(default_factory=set)


PARAMETER = re.compile(r'p\["(\w+)"\]')
SENT = ("mg.tanh({a})", "mg.tanh({u})", "0.5 * {u}", "{a}", "mg.sigmoid({u})", "mg.tanh({u})",
        "mg.tanh({a} + {P})", "untouched",
        "untouched", "swapped", "input", "shared", "constant", "zeros", "sum")  # fmt: skip
GIVEN = ("{a}", "{a}", "{u}", "sent", "untouched", "input", "shared", "constant", "{s}", "")


def random_cell(
    source: Spans, name: str, slots: int, dims: str, dtype: str, kinds: Sequence[str],
    inputs: list[str] | None = None,
) -> Cell:  # fmt: skip
    """cell(p, carry, x) -> (carry, y) whose y is a dict; `inputs`: the widths of x, if given."""
    leaves: list[str] = []
    later: list[Later] = []
    for _ in source.times(1, 3):
        leaves.append("" if source.integer(0, 14) == 14 else choice(source, dims))
        later.append(source.later(slots + 7))
    if inputs is None:
        inputs = []
        for _ in source.times(0, 2):
            inputs.append("" if source.integer(0, 9) == 9 else choice(source, dims))
            later.append(source.later(2))
    body, tags = Body(source, kinds, dims, dtype), set()
    for k, dim in enumerate(inputs):
        body.pool.append((f'x["x{k}"]', dim))
    state = [[f"s{s}{leaf}" for leaf in range(len(leaves))] for s in range(slots)]
    for s in range(slots):
        for leaf, dim in enumerate(leaves):
            if later[leaf].integer(0, 5) == 5:
                tags.add("unread leaf")
            else:
                body.pool.append((state[s][leaf], dim))
    if not body.pool:
        body.pool.append(('p["A"]', "A"))
    for _ in source.times(1, 9):
        body.line()
    sent: list[str] = []
    for leaf, dim in enumerate(leaves):
        how = choice(later[leaf], SENT)
        body.source = later[leaf]
        sent.append(_leaving(later[leaf], body, how, dim, leaf, leaves, inputs, state, slots))
        if "{" not in how:
            tags.add(f"state {how}")
    body.source = source
    outputs: list[str] = []
    given: list[str] = []
    for _ in source.times(0, 3):
        how, dim = choice(source, GIVEN), choice(source, dims)
        if how == "sent":
            leaf = source.integer(0, len(leaves) - 1)
            given.append(sent[leaf])
            outputs.append(leaves[leaf])
        elif how == "untouched":
            leaf, slot = source.integer(0, len(leaves) - 1), source.integer(0, slots - 1)
            given.append(state[slot][leaf])
            outputs.append(leaves[leaf])
        elif how == "input" and inputs:
            k = source.integer(0, len(inputs) - 1)
            given.append(f'x["x{k}"]')
            outputs.append(inputs[k])
        else:
            dim = dim if how else ""
            how = {"": "{a}", "input": "{a}"}.get(how, how)
            dim = "" if how == "{s}" else dim
            given.append(_leaving(source, body, how, dim, 0, leaves, inputs, state, slots))
            outputs.append(dim)
    carry = sent[0] if len(sent) == 1 else f"({', '.join(sent)})"
    result = ", ".join(f'"y{k}": {e}' for k, e in enumerate(given))
    last = f"return {carry}, {{{result}}}"
    groups = [f"({', '.join(g)})" if len(g) > 1 else g[0] for g in state]
    unpack = ", ".join(groups) if slots > 1 else groups[0].strip("()")
    lines = [f"{unpack} = carry", *body.needed(last), last]
    text = "\n    ".join([f"def {name}(p, carry, x):", *lines])
    params = dict.fromkeys(PARAMETER.findall(text))
    shapes = {n: n.strip("_").replace("k", "") for n in params}
    return Cell(name, text, slots, leaves, inputs, outputs, shapes, later, tags | body.used)


def _leaving(
    source: Spans, body: Body, how: str, dim: str, leaf: int, leaves: Sequence[str],
    inputs: Sequence[str], state: Sequence[Sequence[str]], slots: int,
) -> str:  # fmt: skip
    """A tensor of width `dim` that leaves the cell, `leaf` being where it leaves."""
    like = state[0][leaf]
    if how == "untouched":
        return state[source.integer(0, slots - 1)][leaf]
    if how == "swapped":
        others = [k for k, d in enumerate(leaves) if d == dim and k != leaf] or [leaf]
        return state[source.integer(0, slots - 1)][choice(source, others)]
    if how == "input":
        same = [k for k, d in enumerate(inputs) if d == dim]
        if same:
            return f'x["x{choice(source, same)}"]'
        how = "{a}"
    if how == "shared":
        return f'p["{dim or "k"}"]'
    if how == "sum":
        return " + ".join(state[s][leaf] for s in range(slots))
    if how in ("constant", "zeros"):
        if leaves[leaf] == dim:
            made = f"mg.full_like({like}, 0.5)" if how == "constant" else f"mg.zeros_like({like})"
            return made
        how = "{w}"
    return body.filled(how, dim)


# -- structures ------------------------------------------------------------------------------------


def _chain(source: Spans, slots: int) -> Recipe:
    steps = source.integer(0, 9) if source.integer(0, 3) else choice(source, SIZES)
    return Recipe("chain", (steps,))


def _ragged(source: Spans, slots: int) -> Recipe:
    lengths = [source.integer(0, 4) for _ in source.times(0, 5)]
    return Recipe("chain", (lengths,), {"reverse": True} if source.integer(0, 1) else {})


def _batch(source: Spans, slots: int) -> Recipe:
    """Many sequences, about as many as a tile has rows."""
    count, longest = choice(source, SIZES), source.integer(1, 3)
    ragged = source.integer(0, 1)
    lengths = [longest - (k % 3 == 2 if ragged else 0) for k in range(count)]
    return Recipe("chain", (lengths,))


def _forest(source: Spans, slots: int) -> Recipe:
    rows: Iterable[int] = source.times(0, 9)
    n = len(list(rows)) + source.integer(0, 2)
    arity = source.integer(1, slots)
    return Recipe("forest", (random_children(source, n, arity),), {"slots": slots})


def _grid(source: Spans, slots: int) -> Recipe:
    return Recipe("grid", (tuple(source.integer(1, 4 if slots < 3 else 2) for _ in range(slots)),))


def _dag(source: Spans, slots: int) -> Recipe:
    """Edges between rows in any order; some twice, fan-out, isolated rows, slots without edges."""
    n = source.integer(1, 9)
    place = list(range(n))
    if source.integer(0, 1):
        place = place[::-1]
    edges: list[tuple[int, int, int]] = []
    for _ in source.times(0, 14):
        if n < 2:
            break
        if edges and source.integer(0, 5) == 5:
            edges.append(edges[-1])
        else:
            a = source.integer(0, n - 2)
            b = source.integer(a + 1, n - 1)
            edges.append((place[a], place[b], source.integer(0, slots - 1)))
    return edges_recipe(n, edges)


def _many(source: Spans, slots: int) -> Recipe:
    n, form = choice(source, MANY), source.integer(0, 2)
    if form == 0:
        return Recipe("chain", ([1] * n,))
    if form == 1:
        return Recipe("chain", ([2] * (n // 2),))
    return edges_recipe(n, [(k, k % 7 + 1, k % slots) for k in range(8, n)])  # seven parents


def _alone(source: Spans, slots: int) -> Recipe:
    return Recipe("chain", ([1] * choice(source, SIZES),))


STRUCTURES: dict[str, Callable[[Spans, int], Recipe]] = {
    "chain": _chain, "ragged": _ragged, "batch": _batch, "forest": _forest, "grid": _grid,
    "dag": _dag, "alone": _alone, "many": _many,
}  # fmt: skip


def random_structure(source: Spans, slots: int, kind: str) -> tuple[str, list[str]]:
    """Text that makes a structure with that many slots, and what it is."""
    with source.span():
        recipe = STRUCTURES[kind](source, slots)
    text, tags = repr(recipe), [kind]
    if kind not in ("forest", "grid"):
        text += f".with_slots({slots})" if slots > 1 else ""
    if source.integer(0, 9) == 9:
        edges = len(recipe.build().src)
        text += f".truncated(np.arange({edges}) % 3 > 0)"
        tags.append("truncated")
    return text, tags


# -- the graph around ------------------------------------------------------------------------------

INITIAL = ("zeros", "row", "component", "zeros", "row", "component", "full", "shared", "computed",
           "zeros")  # fmt: skip
FORMS = ("values", "vjp", "grad", "vjp", "grad", "grad", "both", "vjp", "grad", "some", "jvp",
         "second", "states", "contributions")  # fmt: skip
ENTER = ("row", "row", "row", "indexed", "take", "rearranged", "computed", "padded", "called")
ENDS = ("{}", "mg.square({})", "mg.sin({})", "mg.astype({0} > 0.1, {0}.dtype)")
PLANTS = ("0.0", "1.0", "-0.0", "np.nan", "np.inf", "-np.inf", "{tiny}", "1e20", "-1.0", "np.nan",
          "np.inf", "-np.inf", "0.0")  # fmt: skip


@dataclass
class Around:
    """Lines of `step`, and the arrays that it reads: group -> name -> shape as text."""

    cells: list[Cell]
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, dict[str, str]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    def array(self, group: str, name: str, *shape: str) -> str:
        """An argument: what `step` calls it."""
        self.arrays.setdefault(group, {})[name] = ", ".join(shape)
        return f't["{group}"]["{name}"]'


def _size(dim: str) -> tuple[str, ...]:
    return (f'size["{dim}"]',) if dim else ()


def random_case(source: Spans) -> Case:
    """A program: one or two cells, a step that runs and differentiates them, calls of the step."""
    dtype = choice(source, ("float64", "float32"))
    dims = DIMS[: 1 + choice(source, (0, 1, 0, 2, 1))]
    kinds = _flavour(source)
    slots = choice(source, (1, 1, 2, 2, 3))
    with source.span():
        first = random_cell(source, "cell", slots, dims, dtype, kinds)
    around = Around([first])
    with source.span():
        out, states = _recurrence(source, around, first, "p", "structure", None, dtype)
    with source.span():
        if source.integer(0, 3) == 3:
            out, states = _second(source, around, out, states, dims, dtype, kinds)
    with source.span():
        form = _ending(source, around, out, states, dims)
    widths = set(re.findall(r'size\["(\w)"\]', "".join(around.lines) + str(around.arrays)))
    calls: list[str] = []
    tags: set[str] = {dtype, form, *around.kinds}
    for cell in around.cells:
        tags |= cell.kinds
    planted = laid = False
    usual = [k for k in STRUCTURES if k != "many"]
    shapes = [choice(source, usual) for _ in "12"] * 6  # each may need kernels of its own
    shapes.append("many")
    for _ in source.times(1, 32, 24):
        text, found = random_structure(source, slots, choice(source, shapes))
        rare = source.integer(0, 9) == 9
        sizes = {d: choice(source, WIDE if rare else SIZES) for d in dims if d in widths}
        seed = source.integer(0, 9)
        plants = [*_plants(source, around, dtype)]
        given = [text, f"{sizes}", str(seed)]
        if plants:
            given.append(f"plants=[{', '.join(plants)}]")
            planted = True
        if source.integer(0, 7) == 7:
            given.append(f"layout={choice(source, LAYOUTS)}")
            laid = True
        calls.append(f"arguments({', '.join(given)})")
        tags.update(found)
        tags.update("planted" for _ in plants[:1])
    head = ["import minigrad as mg", "import numpy as np", ""]
    if any("own(" in c.text for c in around.cells):
        head += ["", *OWN.splitlines()]
    body = ["", *(f"{c.text}\n\n" for c in around.cells), *_step(around), "", ""]
    body += [*_arguments(around, dtype, planted, laid), "", "", "calls = ["]
    body += [*(f"    {c}," for c in calls), "]"]
    return Case("\n".join([*head, *body]) + "\n", tuple(sorted(tags)), len(calls))


def _flavour(source: Spans) -> list[str]:
    """Which kinds of steps a cell is made of.

    Wild ones would drown all others in NaN,
    and one that has no code keeps the whole block from being compiled.
    """
    kinds = ["product", "elementwise", "product", "elementwise"]
    for kind in ("kink", "mask", "reduction", "constant", "moved", "tensor"):
        if source.integer(0, 1):
            kinds += [kind, kind]
    rare = source.integer(0, 9)
    return kinds + {8: ["wild"], 9: ["fallback"]}.get(rare, [])


def _recurrence(
    source: Spans, around: Around, cell: Cell, group: str, structure: str,
    given: list[str] | None, dtype: str,
) -> tuple[list[tuple[str, str]], str]:  # fmt: skip
    """Lines that run a cell; returns (expression, width) of what comes out, and the states."""
    k = "" if group == "p" else "2"
    if cell.name not in around.arrays:
        for name, dims in cell.params.items():
            around.array(group, name, *(s for d in dims for s in _size(d)))
    entering = []
    own = [Later([])] * len(given) if given else cell.choices[len(cell.leaves) :]
    for i, (dim, later) in enumerate(zip(cell.inputs, own, strict=True)):
        how = "row" if given else choice(later, ENTER)
        around.kinds.add(f"input {how}")
        rows = choice(later, (3, 1, 5)) if how in ("indexed", "take") else 0
        if given:
            value = given[i]
        elif how == "indexed":
            table = around.array("x", f"x{i}{k}", str(rows), *_size(dim))
            stride = later.integer(1, 2)
            value = f"mg.Indexed({table}, np.arange(n) * {stride} % {rows + 1} - 1)"
        elif how == "take":
            table = around.array("x", f"x{i}{k}", str(rows), *_size(dim))
            value = f"mg.take({table}, np.arange(n) % {rows}, axis=0)"
        elif how == "computed":
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
            if dim:
                value += f' @ {around.array("v", f"E{dim}", *_size(dim), *_size(dim))}'
            value = choice(later, ("mg.tanh({})", "mg.relu({})")).format(value)
        elif how == "called":  # a block of its own, at once for all rows or over them
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
            weight = around.array("v", f"b{dim}", *_size(dim))
            f = choice(later, ("mg.block({})", "mg.vmap({}, (0, None))"))
            value = f"{f.format('lambda a, b: mg.tanh(a * b) + b')}({value}, {weight})"
        elif how == "padded":  # as sequences lie in a batch: (time, batch, ...)
            value = around.array("x", f"x{i}{k}", "(n + 1) // 2", "2", *_size(dim))
            shape = ", ".join(("-1", *_size(dim)))
            value = f"mg.reshape({value}, ({shape},))[:n]"
        elif how == "rearranged":
            value = around.array("x", f"x{i}{k}", "2", "n", *_size(dim))
            shape = ", ".join(("2 * n", *_size(dim)))
            value = f"mg.take(mg.reshape({value}, ({shape},)), np.arange(n)[::-1] * 2, axis=0)"
        else:
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
        entering.append(f'"x{i}": {value}')
    starts = []
    for i, dim in enumerate(cell.leaves):
        how = choice(cell.choices[i], INITIAL)
        around.kinds.add(f"initial {how}")
        shape = ", ".join(("1", *_size(dim)))
        if how == "shared":
            shared = around.array(group, dim or "k", *_size(dim))
            starts.append(f"mg.expand_dims({shared}, axis=0)")
        elif how == "zeros":
            starts.append(f'np.zeros(({shape},), "{dtype}")')
        elif how == "full":
            starts.append(f'np.full(({shape},), 0.5, "{dtype}")')
        elif how == "computed" and dim in cell.inputs and given:
            value = given[cell.inputs.index(dim)]  # what an encoder hands to a decoder
            starts.append(f"mg.sum({value}, axis=0, keepdims=True)")
        elif how == "computed":
            starts.append(f'mg.tanh({around.array("h", f"h{i}{k}", "1", *_size(dim))})')
        else:
            many = "structure.components" if how == "component" and not k else "1"
            starts.append(around.array("h", f"h{i}{k}", many, *_size(dim)))
    around.arrays.setdefault(group, {})
    ending = ")"
    if source.integer(0, 4) == 4:
        around.kinds.add("checkpoint")
        ending = f"    checkpoint={source.integer(1, 4)},\n)"
    around.lines += [
        f"states{k}, ys{k} = mg.recur(",
        f"    {cell.name}, {structure}, shared=t[{group!r}],".replace("'", '"'),
        f"    initial={starts[0] if len(starts) == 1 else '(' + ', '.join(starts) + ')'},",
        f"    inputs={'{' + ', '.join(entering) + '}' if entering else None},",
        *ending.split("\n"),
    ]
    names = [f"states{k}[{i}]" for i in range(len(starts))] if starts[1:] else [f"states{k}"]
    out = list(zip(names, cell.leaves, strict=True))
    out += [(f'ys{k}["y{i}"]', d) for i, d in enumerate(cell.outputs)]
    return out, f"states{k}"


def _second(
    source: Spans, around: Around, out: list[tuple[str, str]], states: str, dims: str,
    dtype: str, kinds: Sequence[str],
) -> tuple[list[tuple[str, str]], str]:  # fmt: skip
    """A second recurrence that reads the first one's results, over the same rows."""
    structure = choice(
        source,
        ("structure", "mg.Structure.chain(n)", "mg.Structure.chain([1] * n)",
         "mg.Structure.chain(n, reverse=True)", "structure"),
    )  # fmt: skip
    slots = around.cells[0].slots if structure == "structure" else 1
    taken = [choice(source, out) for _ in source.times(1, 2)]
    cell = random_cell(source, "cell2", slots, dims, dtype, kinds, [d for _, d in taken])
    around.cells.append(cell)
    around.kinds.add("two recurrences")
    if structure != "structure":
        around.lines.append(f"structure2 = {structure}")
        structure = "structure2"
    read = [e for e, _ in taken]
    out2, states2 = _recurrence(source, around, cell, "q", structure, read, dtype)
    return (out2, states2) if source.integer(0, 1) else ([*out, *out2], states)


def _ending(
    source: Spans, around: Around, out: list[tuple[str, str]], states: str, dims: str
) -> str:
    """The lines that make a loss and derive it; returns the form."""
    form = choice(source, FORMS)
    kept = [o for o in out if source.integer(0, 4)] or out[:1]
    lines = around.lines
    if source.integer(0, 5) == 5:
        around.kinds.add("scattered")  # as rows are put back into a padded batch
        k = source.integer(0, len(kept) - 1)
        lines.append(f"back = mg.scatter({kept[k][0]}, np.arange(n)[::-1] * 2, 2 * n)[1:]")
        lines.append(f"back = mg.concat([back, back[:1]])[:n] + {kept[k][0]}")
        kept[k] = ("back", kept[k][1])
    lines.append(f"outs = [{', '.join(e for e, _ in kept)}]")
    if form == "values":
        lines.append("return outs")
        return form
    wrt = choice(source, ("t", "t", 't["p"]', '{k: v for k, v in t.items() if k != "p"}'))
    if form in ("vjp", "jvp"):
        if form == "jvp":
            lines.append(
                "u = {g: {k: mg.cos(a) for k, a in named.items()} for g, named in t.items()}"
            )
            lines.append("return mg.jvp(outs, t, u)")
        else:
            cts = [around.array("w", f"w{i}", "n", *_size(d)) for i, (_, d) in enumerate(kept)]
            lines.append(f"return outs, mg.vjp(outs, {wrt}, [{', '.join(cts)}])")
        return form
    terms = []
    for i, (e, d) in enumerate(kept):
        how = choice(source, ENDS)
        weight = choice(source, ("{w} * {e}", "{e}", "{w} * {e}"))
        e = how.format(e)
        if "{w}" in weight:
            e = weight.format(w=around.array("w", f"w{i}", "n", *_size(d)), e=e)
        terms.append(f"mg.sum({e})")
    wide = [(e, d) for e, d in kept if d]
    if wide and source.integer(0, 3) == 3:
        around.kinds.add("head")
        e, d = choice(source, wide)
        to = choice(source, dims)
        matrix = around.array("v", "V", *_size(d), *_size(to))
        bias = around.array("v", "c", *_size(to))
        lines.append(f"logits = {e} @ {matrix} + {bias}")
        label = f"np.arange(n) % {_size(to)[0]}"
        terms.append(
            choice(source, (f"mg.sum(mg.cross_entropy(logits, {label}))", "mg.sum(mg.tanh(logits))",
                            "mg.sum(mg.max(logits, axis=-1))",
                            f"mg.mean(mg.astype(mg.argmax(logits, axis=-1) == {label}, "
                            f"logits.dtype)) + mg.sum(logits > 0)"))
        )  # fmt: skip
    lines.append(f"loss = {' + '.join(terms)}")
    if form == "states":
        lines.append(f"return loss, mg.state_gradients(loss, {states})")
    elif form == "contributions" and around.arrays["p"]:
        name = choice(source, list(around.arrays["p"]))
        lines.append(f'return loss, mg.contributions(loss, t["p"]["{name}"])')
    elif form == "second":
        lines.append(f"g = mg.grad(loss, {wrt})")
        wrt = "g" if wrt == "t" else wrt
        leaves = "g.values()" if wrt == 't["p"]' else "[a for named in g.values() for a in " \
            "named.values()]"
        lines.append(f"inner = sum(mg.sum(mg.sin(a) * a) for a in {leaves})")
        lines.append("return loss, g, mg.grad(inner + loss, t)")
    elif form == "both":
        lines.append(f"return outs, loss, mg.grad(loss, {wrt})")
    elif form == "some":
        lines.append("return loss")
    else:
        lines.append(f"return loss, mg.grad(loss, {wrt})")
    return form


def _step(around: Around) -> list[str]:
    lines = [*around.lines]
    if any(re.search(r"\bn\b", line) for line in lines):
        lines = ["n = structure.n", *lines]
    return ["def step(t, structure, size):", *(f"    {line}" for line in lines)]


def _plants(source: Spans, around: Around, dtype: str) -> Iterator[str]:
    """Single elements (or whole arrays, "None") of arguments with a number that is special."""
    names = [(g, n) for g, named in around.arrays.items() for n in named]
    weights = [(g, n) for g, n in names if g in "pq"] or names  # what meets the most rows
    for _ in source.times(1, 2) if source.integer(0, 1) and names else ():
        group, name = choice(source, choice(source, (names, weights)))
        value = choice(source, PLANTS)
        value = value.format(tiny="1e-310" if dtype == "float64" else "1e-40")
        whole = source.integer(0, 2) == 2 and value in ("0.0", "1.0", "-1.0")
        at = None if whole else source.integer(0, 40)
        yield f'("{group}", "{name}", {at}, {value})'


def _arguments(around: Around, dtype: str, planted: bool, laid: bool) -> list[str]:
    """`arguments(...)`, which makes what a call is given."""
    more = ", plants=()" * planted + ", layout=np.asarray" * laid
    lines = [
        f"def arguments(structure, size, seed{more}):",
        "    rng, n = np.random.default_rng(seed), structure.n",
        "",
        "    def normal(*shape, scale=1.0):",
        f'        return np.asarray(scale * rng.standard_normal(shape), "{dtype}")',
        "",
        "    t = {",
    ]
    for group, named in around.arrays.items():
        inner = ", ".join(f'"{n}": normal({shape})' for n, shape in named.items())
        if group in "pqv":  # a product keeps the size of what it is given
            inner = re.sub(r"normal\((\S+), (\S+)\)", r"normal(\1, \2, scale=\1**-0.5)", inner)
        lines.append(f'        "{group}": {{{inner}}},')
    lines.append("    }")
    if planted:
        lines += [
            "    for group, name, at, value in plants:",
            "        a = t[group][name].reshape(-1)",
            "        a[slice(None) if at is None or not a.size else at % a.size] = value",
        ]
    if laid:
        lines.append(
            "    t = {g: {k: layout(a) for k, a in named.items()} for g, named in t.items()}"
        )
    return [*lines, "    return t, structure, size"]
