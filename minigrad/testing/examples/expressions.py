"""Random well-typed expressions over the ops, as short scripts.

An `Expression` is lines of Python such as `y1 = mg.sum(y0, axis=(0,), keepdims=True)`:
they are what runs and what is printed.
Each line is made by a row of `RULES`, and choices are asked of a `Source` (see `problems`),
so that a failing expression shrinks line by line.

Elementwise functions have their row from what is stated where they are declared (`ops.facts`).
For another op, add a row: `RULES["turn"] = Rule(lambda d: f"mg.flip({d.operand()})")`.
The `Draft` hands out operands of the right shape, inside the domain asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor
from ...ops.facts import ELEMENTWISE
from ...run.evaluate import evaluate
from .domains import DOMAINS
from .problems import Printed, Source, choice, function_of, source_of

Shape = tuple[int, ...]
LARGEST = 100.0  # of an intermediate
CHOICES = 16  # of a line, all made before it: so examples shrink line by line


def sizes(v: np.ndarray) -> Shape:
    return v.shape


@dataclass(frozen=True)
class Rule:
    """How a line is drawn: `make(draft)` returns the source of an expression over its operands."""

    make: Callable[[Draft], str]


class Draft:
    """An expression being drawn: its values so far, and the operands of the line being made."""

    def __init__(self, source: Source, dtype: Any, specials: bool) -> None:
        self.outer, self.dtype, self.specials = source, np.dtype(dtype), specials
        self.source: Source = source.later(CHOICES)  # of the line being made
        self.values: dict[str, np.ndarray] = {}
        self.args: dict[str, np.ndarray] = {}
        self.lines: list[tuple[str, str]] = []  # (name, source of the expression)
        self.a = np.zeros(())  # the value of the operand handed out last

    # -- small choices

    def flag(self) -> bool:
        return bool(self.source.integer(0, 1))

    def one_of(self, *items: Any) -> Any:
        return choice(self.source, items)

    def axis(self) -> int:
        """An axis of the last operand, also counted from the end."""
        n = self.a.ndim
        return self.source.integer(0, n - 1) - (n if self.flag() else 0)

    def axes(self) -> int | Shape | None:
        """Axes of the last operand to reduce: None, one, or several."""
        n = self.a.ndim
        kind = self.source.integer(0, 2) if n else 0
        if kind == 0:
            return None
        return self.axis() if kind == 1 else tuple(k for k in range(n) if self.flag())

    def order(self) -> Shape:
        """The axes of the last operand in any order."""
        rest = list(range(self.a.ndim))
        return tuple(rest.pop(self.source.integer(0, len(rest) - 1)) for _ in range(self.a.ndim))

    def index(self, n: int) -> int:
        return self.source.integer(0, n - 1) - (n if self.flag() else 0)

    # -- operands

    def operand(
        self, domain: str = "any", fits: Callable[[Shape], bool] = lambda s: True,
        otherwise: Shape | None = None,
    ) -> str:  # fmt: skip
        """An earlier value whose shape fits, else a new argument.  The earliest is the simplest:
        lines between are not read then, and left out."""
        names = [k for k, v in self.values.items() if fits(v.shape)]
        if not names and otherwise is None:
            raise Unfit
        at = self.source.integer(0, 2 * len(names))  # one half: the latest, so that lines are read
        if names and (otherwise is None or at < 2 * len(names)):
            return self.within(domain, names[min(at, len(names) - 1)])
        return self.within(domain, self.argument(otherwise or ()))

    def of_shape(self, shape: Shape, domain: str = "any") -> str:
        return self.operand(domain, lambda s: s == shape, shape)

    def like(self, domain: str = "any") -> str:
        """An operand that broadcasts with the last one."""
        shape = sizes(self.a)
        thin = tuple(1 if self.source.integer(0, 3) == 3 else n for n in shape)
        thin = thin[self.source.integer(0, len(thin)) :] if self.source.integer(0, 3) == 3 else thin

        def fits(s: Shape) -> bool:
            try:
                return math.prod(np.broadcast_shapes(s, shape)) <= 36
            except ValueError:
                return False

        return self.operand(domain, fits, thin)

    def within(self, domain: str, name: str) -> str:
        self.a = self.values[name]
        if self.specials or DOMAINS[domain].holds(self.a):
            return name
        if DOMAINS[domain].bring is None:
            raise Unfit
        return DOMAINS[domain].bring.format(a=name)  # type: ignore[union-attr]

    def argument(self, shape: Shape) -> str:
        """A new argument: in the default mode distinct multiples of 1/8 that are not zero."""
        name, size = f"x{len(self.args)}", math.prod(shape)
        if self.specials:
            flat = [choice(self.outer, SPECIALS) if self.outer.integer(0, 2) == 2
                    else self.outer.integer(-16, 16) / 8 for _ in range(size)]  # fmt: skip
        else:
            rng, most = np.random.default_rng(self.source.integer(0, 255)), 20 + size // 2
            eighths = rng.permutation([k for k in range(-most, most + 1) if k])[:size]
            flat = list(eighths / 8 + 1 / 32)  # never whole, nor half
        self.args[name] = self.values[name] = np.array(flat, self.dtype).reshape(shape)
        return name

    def shape(self, least: int = 0) -> Shape:
        dims = self.source.integer(least, 3)
        return tuple(self.one_of(2, 3, 1, 4) for _ in range(dims))

    def add(self, text: str) -> bool:
        """Append a line; False where its value is of no use (too large, not floating, empty)."""
        name = f"y{len(self.lines)}"
        f = function_of(f"def f({', '.join(self.values)}):\n    return {text}\n", "f", "a line")
        with np.errstate(all="ignore"):
            value = evaluate(ops.asarray(f(*map(ops.asarray, self.values.values()))))
        if value.dtype.kind != "f" or value.size > 64:
            return False
        if not self.specials and not (np.abs(value) < LARGEST).all():
            return False
        self.lines.append((name, text))
        self.values[name] = value
        return True


class Unfit(Exception):
    """The rule has no operand here."""


SPECIALS = (
    0.0, 1.0, -1.0, 0.5, -0.0, 1000.0, -1000.0, np.inf, -np.inf, np.nan, 1e-310, 1e300, -1e300,
    1e-30, 1e30,
)  # fmt: skip


# -- the table: op -> how it is called and what its operands must be -------------------------------

def _elementwise(name: str, domains: Sequence[str]) -> Rule:
    """A call with operands that broadcast, each in its domain."""

    def make(d: Draft) -> str:
        first = d.operand(domains[0])
        return f"mg.{name}({', '.join([first, *map(d.like, domains[1:])])})"

    return Rule(make)


def _reduction(name: str, domain: str = "any") -> Rule:
    def make(d: Draft) -> str:
        x = d.operand(domain, lambda s: 0 not in s)
        return f"mg.{name}({x}, axis={d.axes()}, keepdims={d.flag()})"

    return Rule(make)


def _along(name: str, domain: str = "any", least: int = 1) -> Rule:
    def make(d: Draft) -> str:
        x = d.operand(domain, lambda s: len(s) >= least and 0 not in s)
        return f"mg.{name}({x}, axis={d.axis()})"

    return Rule(make)


def _matmul(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0, otherwise=d.shape(1))
    n = sizes(d.a)[-1]
    return f"mg.matmul({x}, {d.of_shape((n, d.one_of(2, 1, 3)) if d.flag() else (n,))})"


def _vecdot(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0, otherwise=d.shape(1))
    return f"mg.vecdot({x}, {d.of_shape(d.a.shape)})"


def _outer(d: Draft) -> str:
    a = d.operand(fits=lambda s: len(s) == 1, otherwise=(2,))
    return f"mg.outer({a}, {d.operand(fits=lambda s: len(s) == 1, otherwise=(3,))})"


def _einsum(d: Draft) -> str:
    a = d.operand(fits=lambda s: len(s) == 2, otherwise=(2, 3))
    i, j = sizes(d.a)
    if i == j and d.flag():
        return f'mg.einsum("{d.one_of("ii->i", "ii->", "ij->ji")}", {a})'
    out = d.one_of("ik", "ki", "k", "ijk", "i", "")
    return f'mg.einsum("ij,jk->{out}", {a}, {d.of_shape((j, d.one_of(2, 1, 3)))})'


def _tensordot(d: Draft) -> str:
    a = d.operand(fits=lambda s: len(s) >= 2, otherwise=(2, 3))
    return f"mg.tensordot({a}, {d.of_shape((*d.a.shape[-2:], 2)[: 2 + d.flag()])}, axes=2)"


def _reshape(d: Draft) -> str:
    x = d.operand()
    n = d.a.size
    shapes = [(n,), (1, n), (n, 1), (-1,), *((k, n // k) for k in (2, 3) if n % k == 0)]
    return f"mg.reshape({x}, {choice(d.source, shapes if n else [(0,)])})"


def _broadcast_to(d: Draft) -> str:
    x = d.operand(fits=lambda s: math.prod(s) <= 8)
    return f"mg.broadcast_to({x}, {(d.one_of(2, 1, 3), *d.a.shape)})"


def _squeeze(d: Draft) -> str:
    x = d.operand(fits=lambda s: 1 in s)
    ones = [k for k, n in enumerate(sizes(d.a)) if n == 1]
    return f"mg.squeeze({x}, axis={choice(d.source, ones)})"


def _joined(name: str) -> Callable[[Draft], str]:
    def make(d: Draft) -> str:
        x = d.operand(fits=lambda s: len(s) > 0, otherwise=d.shape(1))
        n = d.a.ndim
        axis = d.source.integer(0, n - 1) - n * d.flag()
        return f"mg.{name}([{x}, {d.of_shape(d.a.shape)}], axis={axis})"

    return make


def _sliced(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0)
    kinds = (":", "::-1", "1:", ":-1", "::2", "-2:", "None, :")
    parts = [str(d.one_of(*kinds, d.index(max(n, 1)))) for n in sizes(d.a)]
    return f"{x}[{', '.join(parts)}]"


def _gathered(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0 and s[0] > 0)
    rows = [d.index(len(d.a)) for _ in d.source.times(1, 4)]
    return f"{x}[np.array({rows})]"


def _taken(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0 and 0 not in s)
    axis = d.axis()
    rows = [d.index(sizes(d.a)[axis]) for _ in d.source.times(1, 4)]
    return f"mg.take({x}, np.array({rows}), axis={axis})"


def _scattered(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0 and 0 < s[0] < 7)
    rows = [d.source.integer(0, 3) for _ in range(len(d.a))]
    return f"mg.scatter({x}, np.array({rows}), 4)"


def _where(d: Draft) -> str:
    x = d.operand("not zero")
    if not d.specials and not DOMAINS["not zero"].holds(d.a):
        raise Unfit
    return f"mg.where({x} > 0, {d.like()}, {x})"


def _spread(name: str, domain: str) -> Rule:
    """std and norm: along axes of more than one element, over which they are not 0."""

    def make(d: Draft) -> str:
        x = d.operand(domain, lambda s: len(s) > 0 and all(n > 1 for n in s))
        return f"mg.{name}({x}, axis={d.one_of(None, d.axis())}, keepdims={d.flag()})"

    return Rule(make)


def _matrices(call: str) -> Rule:
    """Of one operand with at least two axes; {k}: which diagonal."""

    def make(d: Draft) -> str:
        x = d.operand(fits=lambda s: len(s) >= 2 and 0 not in s, otherwise=(2, 3))
        return call.format(x=x, k=d.one_of(0, 1, -1))

    return Rule(make)


def _cross(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0 and s[-1] == 3, otherwise=(3,))
    return f"mg.cross({x}, {d.of_shape(d.a.shape)})"


def _take_along(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) == 1 and 0 not in s, otherwise=(3,))
    rows = [d.index(len(d.a)) for _ in d.source.times(1, 4)]
    return f"mg.take_along_axis({x}, np.array({rows}), axis=0)"


def _pad(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0)
    widths = tuple((d.source.integer(0, 1), d.source.integer(0, 2)) for _ in sizes(d.a))
    return f"mg.pad({x}, {widths}, constant_values={d.one_of(0.0, 0.5)})"


def _moved(d: Draft) -> str:
    x = d.operand(fits=lambda s: len(s) > 0)
    return f"mg.moveaxis({x}, {d.axis()}, {d.axis()})"


RULES: dict[str, Rule] = {
    **{
        name: _elementwise(name, f.domains)
        for name, f in ELEMENTWISE.items() if f.domains and name in ops.__all__
    },
    "power": Rule(lambda d: f"{d.operand()} ** {d.one_of(2, 3, 0, 1)}"),
    "clip": Rule(lambda d: f"mg.clip({d.operand('not whole')}, -1.0, {d.one_of(1.0, 0.5, 2.0)})"),
    "where": Rule(_where),
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "max": _reduction("max", "distinct"),
    "min": _reduction("min", "distinct"),
    "prod": _reduction("prod"),
    "var": _reduction("var"),
    "std": _spread("std", "distinct"),
    "norm": _spread("norm", "not zero"),
    "logsumexp": _reduction("logsumexp"),
    "cumulative_sum": _along("cumulative_sum"),
    "cumulative_prod": _along("cumulative_prod"),
    "sort": _along("sort", "distinct"),
    "diff": _along("diff"),
    "softmax": _along("softmax"),
    "log_softmax": _along("log_softmax"),
    "matmul": Rule(_matmul),
    "vecdot": Rule(_vecdot),
    "outer": Rule(_outer),
    "einsum": Rule(_einsum),
    "tensordot": Rule(_tensordot),
    "reshape": Rule(_reshape),
    "permute_dims": Rule(lambda d: f"mg.permute_dims({d.operand()}, {d.order()})"),
    "cross": Rule(_cross),
    "trace": _matrices("mg.trace({x}, offset={k})"),
    "diagonal": _matrices("mg.diagonal({x}, offset={k})"),
    "tril": _matrices("mg.tril({x}, k={k})"),
    "triu": _matrices("mg.triu({x}, k={k})"),
    "matrix_transpose": _matrices("mg.matrix_transpose({x})"),
    "moveaxis": Rule(_moved),
    "roll": Rule(lambda d: f"mg.roll({d.operand()}, {d.source.integer(-2, 3)})"),
    "tile": Rule(lambda d: f"mg.tile({d.operand()}, {d.one_of(2, (2, 1), 1)})"),
    "repeat": Rule(lambda d: f"mg.repeat({d.operand()}, {d.one_of(2, 1, 3)})"),
    "pad": Rule(_pad),
    "take_along_axis": Rule(_take_along),
    "expand_dims": Rule(
        lambda d: f"mg.expand_dims({d.operand()}, axis={d.source.integer(-1, d.a.ndim)})"
    ),
    "squeeze": Rule(_squeeze),
    "broadcast_to": Rule(_broadcast_to),
    "flip": Rule(lambda d: f"mg.flip({d.operand()}, axis={d.axes()})"),
    "concat": Rule(_joined("concat")),
    "stack": Rule(_joined("stack")),
    "slice": Rule(_sliced),
    "gather": Rule(_gathered),
    "take": Rule(_taken),
    "scatter": Rule(_scattered),
}


# -- the expression --------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Expression(Printed):
    """A function of arrays or Tensors and arguments for it; prints as a script that runs.

    lines: (name, source) pairs, each over the arguments and earlier lines.
    named: the arguments, NumPy arrays.   result: the name of what `f` returns.
    """

    lines: tuple[tuple[str, str], ...]
    named: dict[str, np.ndarray]
    result: str

    @property
    def args(self) -> tuple[np.ndarray, ...]:
        return tuple(self.named.values())

    @property
    def text(self) -> str:
        """The function alone, as Python."""
        lines = [f"{name} = {text}" for name, text in self.lines]
        body = [f"def f({', '.join(self.named)}):", *lines, f"return {self.result}"]
        return "\n    ".join(body) + "\n"

    @cached_property
    def _f(self) -> Callable[..., Tensor]:
        return function_of(self.text, "f", "expression")

    def f(self, *args: Any) -> Tensor:
        """The expression at arrays or Tensors of the shapes of `args`."""
        return self._f(*map(ops.asarray, args))

    @property
    def script(self) -> str:
        """Python that evaluates the expression: paste it anywhere."""
        given = [f"{name} = mg.asarray({source_of(a)})" for name, a in self.named.items()]
        start = ["import minigrad as mg", "import numpy as np", "", "", self.text, ""]
        return "\n".join([*start, *given, f"print(f({', '.join(self.named)}))"])

    def __repr__(self) -> str:
        return self.script


def random_expression(
    source: Source, most: int = 6, dtype: Any = np.float64, specials: bool = False,
    only: Sequence[str] | None = None,
) -> Expression:  # fmt: skip
    """An expression of up to `most` lines.

    By default every op gets operands where it is smooth, away from kinks,
    and values stay below 100.
    With `specials` anything goes: zeros, ties, infinities, NaN, overflow.
    only : names of the rows of `RULES` to draw from.
    """
    draft = Draft(source, dtype, specials)
    names = list(RULES if only is None else only)
    strange = set(names) - set(RULES)
    if strange:
        raise ValueError(f"there is no rule {sorted(strange)[0]!r}; they are {', '.join(RULES)}")
    draft.argument(draft.shape())
    for _ in source.times(1, most):
        draft.source = source.later(CHOICES)
        try:
            draft.add(RULES[choice(draft.source, names)].make(draft))
        except Unfit:
            continue
    result = [*draft.values][-1] if draft.lines else "x0"
    return _only_what_is_read(draft, result)


def _only_what_is_read(draft: Draft, result: str) -> Expression:
    """The lines and arguments that the result depends on."""
    read, kept = {result}, []
    for name, text in reversed(draft.lines):
        if name in read:
            kept.append((name, text))
            read |= set(compile(text, "", "eval").co_names)
    args = {name: a for name, a in draft.args.items() if name in read}
    return Expression(tuple(kept[::-1]), args, result)
