"""Random cells as text: lines over what carry, input and parameters bring, and what leaves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Formatter

from ..examples.problems import Later, choice
from .choices import Spans

DIMS = "ABC"

# Fields: a b c an earlier vector of the width made, P Q a product with a matrix,
# w a shared vector, k a shared number, s a number made of any vector, m a truth value,
# F the dtype, u the sum of those that nothing has read, r a vector made of a matrix.
# A matrix is of two widths: x a vector of the first, y one of the second.
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
        "mg.where(mg.where({m}, {a} > 0, {b} > {c}), {a}, {b})",
        "mg.where(mg.where({a} > 0, {w} > 0, False), {b}, {c})",
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
        "{a} * mg.reshape(mg.linspace(-1, 1, {a}.size, dtype={F}), {a}.shape)",  # also of a number
        "{w}", "{a} - {a}", "0 * {a}",
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
    "matrix": (
        "{r}", "mg.tanh({r})", "{r} * {a}", "{a} - {r}", "{r} + {r}", "mg.softmax({r}) * {b}",
    ),
    "spread": (
        "{a} + mg.outer({x}, {y})", "{a} * {y}", "{a} - mg.expand_dims({x}, axis=1)",
        "mg.exp(-mg.square(mg.expand_dims({x}, axis=1))) * {a} + {y}", "{a} * mg.sigmoid({b})",
        "{a} + mg.outer({x}, {y} - {x} @ {a})", "mg.where({m}, mg.expand_dims({x}, axis=1), {y})",
        "mg.tanh({a} + {y}) * mg.expand_dims({x}, axis=1)", "{a} * {k} + {w}",
        "mg.outer(mg.exp({x} - mg.max({x})), {y}) + {a}", "{a} * mg.sum({y}) - {b}",
        "{a} - mg.max({a}, axis=1, keepdims=True)", "{a} / (1 + mg.sum(mg.square({a}), axis=0))",
    ),
    "fallback": (
        "mg.sort({a})", "mg.take({a}, mg.argsort({b})) * {b}",
        "mg.einsum('i,j,k->i', {a}, {b}, {c})",
    ),
}  # fmt: skip
ON_VECTORS = ("moved", "tensor", "matrix", "fallback")  # kinds that need an axis
ON_MATRICES = ("spread", "spread", "elementwise", "kink", "mask", "constant")
ALONG = ("({M} @ {v})", "mg.sum({M}, axis=1)", "mg.mean({M} * {v}, axis=1)", "mg.max({M}, axis=1)",
         "mg.sum(mg.tanh({M} + {v}), axis=1)", "(mg.softmax({M}, axis=1) @ {v})",
         "mg.einsum('ij,j->i', {M}, {v})")  # fmt: skip
DOWN = ("({v} @ {M})", "mg.sum({M}, axis=0)", "mg.sum({M} * mg.expand_dims({v}, axis=1), axis=0)",
        "mg.einsum('ij,i->j', {M}, {v})", "mg.sum(mg.where({M} > 0, {M}, 0.5), axis=0)",
        "mg.prod(1 + 0.1 * {M}, axis=0)", "({M}.T @ {v})")  # fmt: skip
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
    """Lines of a cell: names of what was made, by width ("" is a number; two of them: a matrix)."""

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
        if kind == "matrix" and self.source.integer(0, 1):
            dim += choice(self.source, self.dims)
            kind = choice(self.source, ON_MATRICES)
        elif kind not in ("product", "reduction", *ON_VECTORS) and not self.source.integer(0, 7):
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
        if name in "xy":
            return self.operand(dim["xy".index(name)])
        if name == "r":
            return self.read(dim)
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
            return self.number() if any(len(d) == 1 for _, d in self.pool) else 'p["k"]'
        return f"({self.product(dim)})"

    def read(self, dim: str) -> str:
        """A vector made of a matrix, along one of its axes."""
        known = [(n, d) for n, d in self.pool if len(d) == 2 and dim in d]
        if known:
            name, d = known[-1 - self.source.integer(0, len(known) - 1)]
        else:
            other = choice(self.source, self.dims)
            d = choice(self.source, (dim + other, other + dim))
            name = f"({self.product(d)})"
        first = self.source.integer(0, 1) if d == dim * 2 else d[0] == dim
        form = choice(self.source, ALONG if first else DOWN)
        return form.format(M=name, v=self.operand(d[1] if first else d[0]))

    def product(self, dim: str) -> str:
        if not dim:
            return f'({self.operand("")} * p["k"])'
        if len(dim) == 2:
            return f"mg.outer({self.operand(dim[0])}, {self.operand(dim[1])})"
        vectors = [(n, d) for n, d in self.pool if len(d) == 1]
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
        leaves.append(_width(source, dims, 14, kinds))
        later.append(source.later(slots + 7))
    if inputs is None:
        inputs = []
        for _ in source.times(0, 2):
            inputs.append(_width(source, dims, 9, kinds))
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


def _width(source: Spans, dims: str, numbers: int, kinds: Sequence[str]) -> str:
    """Of a leaf; one in so many is a number, and of a cell of matrices more are one."""
    drawn = source.integer(0, numbers)
    dim = "" if drawn == numbers else choice(source, dims)
    matrix = dim and "matrix" in kinds and drawn > numbers // 2
    return dim + choice(source, dims) if matrix else dim


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
