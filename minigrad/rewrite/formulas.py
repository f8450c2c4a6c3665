"""Whether formulas are equal by algebra: as quotients of polynomials of what algebra cannot open.

Every node has a form, N / D: N a polynomial of atoms (leaves, sines, sums along an axis, ...),
D a product of polynomials.  `exp`, `sigmoid`, `tanh` and their like are written in powers of
exponentials, roots as powers, choices by indicators (0 or 1), and what is moved (repeated,
reshaped, ...) by moved atoms; then products are multiplied out, and two formulas are equal if their
difference is 0.

What makes an answer True: wherever a node is a finite number, its form is the same number
(to rounding).  So sqrt(x) ** 2 is x here, where it is no number for a negative x;
but sqrt(x ** 2) is not, and log(x * y) is not log(x) + log(y).
What a condition reads is compared as it is written, for conditions have an answer at NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..graph import IDENTITY, INPUT, Tensor, toposort
from ..ops.broadcast import BROADCAST, RESHAPE, SUM
from ..ops.contract import EINSUM
from ..ops.elementwise import ADD, WHERE
from ..ops.movement import PERMUTE, SLICE
from ..ops.table import name_of_ours, uniform
from .merge import attributes_key
from .quotients import TERMS, Atom, Monomial, Quotient, Quotients, TooLarge
from .simplify import folded
from .written import numbered

__all__ = ["equal_as_formulas"]

_MOVES = (BROADCAST, RESHAPE, PERMUTE, SLICE)
ASSUMED = 3  # choices known at once, inside of what is chosen


def equal_as_formulas(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    """Whether each of `left` is its neighbour in `right` by algebra; leaves are themselves."""
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(left, right, strict=True)):
        return False
    count = len(left)
    both = folded([*left, *right])
    left, right = both[:count], both[count:]
    forms = _Forms(left, right)
    for a, b in zip(left, right, strict=True):
        if forms.exact[a] == forms.exact[b]:
            continue
        try:
            difference = forms.plus(forms.of(a), forms.of(b), -1.0)
        except TooLarge:
            return False
        if difference.num:
            return False
    return True


class _Forms(Quotients):
    """Forms of the nodes of two lists of outputs."""

    def __init__(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> None:
        order = toposort([*left, *right])
        narrow = any(t.dtype.itemsize < 8 for t in order if t.dtype.kind == "f")
        super().__init__(float(np.finfo(np.float32 if narrow else np.float64).eps))
        shared = set(toposort(left)) & set(toposort(right))
        itself = {t for t in order if not t.inputs and (t in shared or t.op is INPUT)}
        self.exact = numbered(order, itself, {})
        self.known: dict[tuple[Tensor, frozenset], Quotient] = {}
        self.limit = 8 * len(order) + 100
        self.total: dict[Tensor, bool] = {}

    # -- nodes -------------------------------------------------------------------------------------

    def of(self, output: Tensor) -> Quotient:
        waiting: list[tuple[Tensor, frozenset]] = [(output, frozenset())]
        while waiting:
            task = waiting[-1]
            if task not in self.known:
                missing = [x for x in self._needs(*task) if x not in self.known]
                if missing:
                    waiting += missing
                    continue
                self.known[task] = self._made(*task)
            waiting.pop()
        return self.known[output, frozenset()]

    def _needs(self, t: Tensor, assumed: frozenset) -> list[tuple[Tensor, frozenset]]:
        if t.dtype.kind not in "fb" or uniform(t) is not None or not self._opened(t):
            return []
        if (x := _zero_of(t)) is not None:
            return [(x, frozenset())]
        if t.op is not WHERE:
            return [(x, assumed) for x in t.inputs]
        condition = t.inputs[0], assumed
        if condition not in self.known:
            return [condition]
        one = self._indicator(self.known[condition])
        room = one is not None and len(assumed) < ASSUMED and len(self.known) < self.limit
        sides = ((assumed | {(one[0], yes == one[1])}) if one and room else assumed
                 for yes in (True, False))  # fmt: skip
        return [condition, *((x, a) for x, a in zip(t.inputs[1:], sides, strict=True))]

    def _opened(self, t: Tensor) -> bool:
        name = name_of_ours(t.op)
        if name is None or not t.inputs:
            return False
        if t.dtype.kind == "b":
            return name in _LOGIC or t.op in _MOVES or _zero_of(t) is not None
        if any(x.dtype != t.dtype for x in t.inputs if t.op is not WHERE):
            return False
        return name in _RULES or name in _PLAIN or t.op.kind == "movement"

    def _indicator(self, f: Quotient) -> tuple[int, bool] | None:
        """The atom that a condition is, or is not."""
        terms = [m for m in f.num if m]
        if len(terms) == 1 and len(terms[0]) == 1 and not f.den:
            c, rest = f.num[terms[0]], f.num.get((), 0.0)
            if (c, rest) in ((1.0, 0.0), (-1.0, 1.0)):
                return terms[0][0][0], c > 0
        return None

    def _made(self, t: Tensor, assumed: frozenset) -> Quotient:
        value = uniform(t)
        if value is not None and t.dtype.kind in "fb":
            return self.number(float(value)) if np.isfinite(float(value)) else self._alone(t)
        if t.op.name in _FINITE and self._finite_by_itself(t.inputs[0]):
            return self.number(_FINITE[t.op.name])
        if t.dtype.kind not in "fb" or not self._opened(t):
            return self._alone(t, assumed)
        given = [self.known[task] for task in self._needs(t, assumed)]
        try:
            name = t.op.name
            if _zero_of(t) is not None:
                return self.number(0.0) if self._above(given[0]) else self._alone(t, assumed)
            if name in _LOGIC:
                return _LOGIC[name](self, *given)
            if name in _RULES:
                return _RULES[name](self, t, *given)
            if t.op in _MOVES:
                where = t.attrs["axes"] if t.op is PERMUTE else attributes_key(t)
                return self._moved(given[0], t.op, where, t.shape)
            return self._applied(t, given)
        except TooLarge:
            return self._alone(t)

    def _alone(self, t: Tensor, assumed: frozenset = frozenset()) -> Quotient:
        truth = t.dtype.kind == "b"
        k = self.atom(("exact", self.exact[t]), Atom(t.shape, truth=truth))
        for yes in (True, False):
            if (k, yes) in assumed:
                return self.number(float(yes))
        return self.single(k)

    def _above(self, f: Quotient) -> bool:
        """Whether it is a number above 0, or no number."""
        parts = all(self._positive(k) for m in f.num for k, _ in m)
        return (
            bool(f.num)
            and parts
            and all(c > 0 for c in f.num.values())
            and all(map(self._positive, f.den))
        )

    def _finite_by_itself(self, output: Tensor) -> bool:
        """Whether a node is finite for leaves that are."""
        waiting = [output]
        while waiting:
            t = waiting[-1]
            if t not in self.total:
                if not t.inputs:
                    self.total[t] = t._value is None or bool(np.isfinite(t._value).all())
                elif not (t.op in _MOVES or name_of_ours(t.op) in _TOTAL):
                    self.total[t] = False
                elif missing := [x for x in t.inputs if x not in self.total]:
                    waiting += missing
                    continue
                else:
                    self.total[t] = all(self.total[x] for x in t.inputs)
            waiting.pop()
        return self.total[output]

    def _applied(self, t: Tensor, given: list[Quotient]) -> Quotient:
        """A function of forms: an atom; of what is all repeated alike, it is repeated instead."""
        shape = t.shape
        if t.op.kind == "elementwise":
            given, shape = self._lowered(given, shape)
        keys = tuple(map(self.key, given))
        if t.op.name in _EITHER:
            keys = tuple(sorted(keys, key=repr))
        attributes = attributes_key(t)
        k = self.atom(
            (t.op, keys, attributes, shape, t.dtype),
            Atom(shape),
        )
        return self._moved(self.single(k), BROADCAST, (), t.shape)


def _zero_of(t: Tensor) -> Tensor | None:
    """Of `x == 0` the x."""
    if name_of_ours(t.op) != "equal" or t.inputs[0].dtype.kind != "f":
        return None
    for x, zero in (t.inputs, t.inputs[::-1]):
        value = uniform(zero)
        if value is not None and value == 0:
            return x
    return None


# -- what each op is -------------------------------------------------------------------------------


def _add(w: _Forms, t: Tensor, *xs: Quotient) -> Quotient:
    total = xs[0]
    for x in xs[1:]:
        total = w.plus(total, x)
    return total


def _pow(w: _Forms, t: Tensor, a: Quotient, b: Quotient) -> Quotient:
    power, base = uniform(t.inputs[1]), uniform(t.inputs[0])
    if power is not None and np.isfinite(power):
        return w.power(a, float(power))
    if base is not None and np.isfinite(base) and base > 0:
        return w.exp(w.times(b, w.number(math.log(base))))
    return w._applied(t, [a, b])


def _where(w: _Forms, t: Tensor, c: Quotient, a: Quotient, b: Quotient) -> Quotient:
    return w.plus(b, w.times(c, w.plus(a, b, -1.0)))


def _sigmoid(w: _Forms, t: Tensor, x: Quotient) -> Quotient:
    e = w.exp(x)
    return w.times(e, w.power(w.plus(e, w.number(1.0)), -1.0))


def _tanh(w: _Forms, t: Tensor, x: Quotient) -> Quotient:
    e = w.exp(w.plus(x, x))
    return w.times(w.plus(e, w.number(1.0), -1.0), w.power(w.plus(e, w.number(1.0)), -1.0))


def _hyperbolic(sign: float) -> Callable[..., Quotient]:
    def made(w: _Forms, t: Tensor, x: Quotient) -> Quotient:
        e = w.exp(x)
        return w.times(w.number(0.5), w.plus(e, w.power(e, -1.0), sign))

    return made


def _sum(w: _Forms, t: Tensor, x: Quotient) -> Quotient:
    """Term by term; what is repeated along the axes stands in front."""
    axes, shape = t.attrs["axis"], t.inputs[0].shape
    long = math.prod(shape[a] for a in axes)
    total = Quotient({})
    for m, c in x.num.items():
        kept: list[tuple[int, float]] = []
        out: list[tuple[Quotient, float]] = []
        for k, power in (*m, *((k, -float(p)) for k, p in x.den.items())):
            found = _without(w, k, axes, shape, t.shape)
            if found is None:
                kept.append((k, power))
            else:
                out.append((found, power))
        one = w.number(c) if kept else w.number(c * long)
        for f, power in out:
            one = w.times(one, w.power(f, power))
        if kept:
            inside = w._built(1.0, kept)
            key = ("total", w.key(inside), axes, shape)
            positive = all(w._positive(k) for k, _ in kept) and long > 0
            one = w.times(one, w.single(w.atom(key, Atom(t.shape, positive=positive))))
        total = w.plus(total, one)
    return total


def _without(w: _Forms, k: int, axes: Any, shape: Any, left: Any) -> Quotient | None:
    """An atom without axes along which it is repeated; None: it is not."""
    for one in w._atoms_of(w.single(k)):
        a = w.atoms[one]
        if a.moved is None or a.moved[1] is not BROADCAST:
            if a.shape != () and a.shape == shape:
                return None
        source = w.atoms[a.moved[0]].shape if a.moved and a.moved[1] is BROADCAST else a.shape
        padded = (1,) * (len(shape) - len(source)) + source
        if any(padded[x] != 1 for x in axes):
            return None

    def change(one: int) -> int:
        a = w.atoms[one]
        base = a.moved[0] if a.moved and a.moved[1] is BROADCAST else one
        source = w.atoms[base].shape
        padded = (1,) * (len(shape) - len(source)) + source
        rest = tuple(n for i, n in enumerate(padded) if i - len(shape) not in axes)
        return w._moved_atom(w._moved_atom(base, RESHAPE, (), rest), BROADCAST, (), left)

    inner = w.atoms[k].sum
    return w._mapped(w.single(k) if inner is None else Quotient(inner), change)


def _einsum(w: _Forms, t: Tensor, *xs: Quotient) -> Quotient:
    """Term by term; operands without coefficients and in an order of their own."""
    if math.prod(len(x.num) for x in xs) > TERMS:
        return w._applied(t, list(xs))
    total = Quotient({})
    for terms in product(*(x.num.items() for x in xs)):
        parts = []
        for (m, _), x, sub in zip(terms, xs, t.attrs["subs"], strict=True):
            m, sub = _lying(w, m, sub) if not x.den else (m, sub)
            parts.append((w.key(Quotient({m: 1.0}, x.den)), sub))
        parts.sort(key=repr)
        letters: dict[str, str] = {}
        for _, sub in parts:
            for letter in sub:
                letters.setdefault(letter, chr(97 + len(letters)))
        out = "".join(letters[x] for x in t.attrs["out"])
        key = tuple((x, "".join(letters[a] for a in sub)) for x, sub in parts)
        one = w.single(w.atom(("einsum", key, out, t.shape), Atom(t.shape)))
        total = w.plus(total, one, math.prod(c for _, c in terms))
    return total


def _lying(w: _Forms, m: Monomial, sub: str) -> tuple[Monomial, str]:
    """An operand with its axes as they lie."""
    moves = {w.atoms[k].moved and w.atoms[k].moved[1:] for k, _ in m}  # type: ignore[index]
    if len(moves) != 1 or not (move := moves.pop()) or move[0] is not PERMUTE:
        return m, sub
    letters = [""] * len(sub)
    for letter, axis in zip(sub, move[1], strict=True):
        letters[axis] = letter
    return tuple(sorted((w.atoms[k].moved[0], p) for k, p in m)), "".join(letters)  # type: ignore


def _hypot(w: _Forms, t: Tensor, a: Quotient, b: Quotient) -> Quotient:
    return w.power(w.plus(w.times(a, a), w.times(b, b)), 0.5)


_RULES: dict[str, Callable[..., Quotient]] = {
    ADD.name: _add, WHERE.name: _where, SUM.name: _sum, EINSUM.name: _einsum, "pow": _pow,
    "subtract": lambda w, t, a, b: w.plus(a, b, -1.0),
    "negative": lambda w, t, a: w.times(a, w.number(-1.0)),
    "multiply": lambda w, t, a, b: w.times(a, b),
    "absorb": lambda w, t, a, b: w.times(a, b),
    "divide": lambda w, t, a, b: w.times(a, w.power(b, -1.0)),
    "square": lambda w, t, a: w.times(a, a),
    "hypot": _hypot,
    "sqrt": lambda w, t, a: w.power(a, 0.5),
    IDENTITY.name: lambda w, t, a: a,
    "stop_gradient": lambda w, t, a: a,
    "exp": lambda w, t, a: w.exp(a),
    "expm1": lambda w, t, a: w.plus(w.exp(a), w.number(1.0), -1.0),
    "log": lambda w, t, a: w.log(a),
    "log1p": lambda w, t, a: w.log(w.plus(a, w.number(1.0))),
    "log2": lambda w, t, a: w.times(w.log(a), w.number(1 / math.log(2))),
    "log10": lambda w, t, a: w.times(w.log(a), w.number(1 / math.log(10))),
    "softplus": lambda w, t, a: w.log(w.plus(w.exp(a), w.number(1.0))),
    "sigmoid": _sigmoid, "tanh": _tanh, "sinh": _hyperbolic(-1.0), "cosh": _hyperbolic(1.0),
}  # fmt: skip
# Functions of which nothing is known but that no number comes of no number.
_PLAIN = frozenset([
    "sin", "cos", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "abs",
    "sign", "floor", "ceil", "trunc", "round", "cbrt", "atan2",
    "logaddexp", "maximum", "minimum", "relu", "remainder", "max", "prod",
])  # fmt: skip
_EITHER = frozenset(["maximum", "minimum", "logaddexp"])
# Finite where their operands are.
_TOTAL = frozenset([
    "add", "subtract", "multiply", "negative", "square", "abs", "sign", "sin", "cos", "tanh",
    "sigmoid", "maximum", "minimum", "relu", "sum", "einsum", "max", "identity", "stop_gradient",
])  # fmt: skip
_FINITE = {"isfinite": 1.0, "isinf": 0.0, "isnan": 0.0}
_LOGIC: dict[str, Callable[..., Quotient]] = {
    "logical_not": lambda w, a: w.plus(w.number(1.0), a, -1.0),
    "logical_and": lambda w, a, b: w.times(a, b),
    "logical_or": lambda w, a, b: w.plus(w.plus(a, b), w.times(a, b), -1.0),
    "logical_xor": lambda w, a, b: w.plus(w.plus(a, b), w.times(a, b), -2.0),
}  # fmt: skip
