"""Quotients of polynomials of atoms: the arithmetic of formulas (`formulas`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ops.broadcast import BROADCAST, RESHAPE

TERMS = 100  # of a polynomial; a node that has more is an atom
EFFORT = 200_000  # terms touched, after which no more is opened
Monomial = tuple[tuple[int, float], ...]  # atoms, by number, and their exponents
Polynomial = dict[Monomial, float]


class TooLarge(Exception):
    """A form that would be too long, or has a coefficient that is no finite number."""


@dataclass(frozen=True)
class Quotient:
    """num / the product of the sums `den`, {number of an atom that is a sum: its exponent}."""

    num: Polynomial
    den: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Atom:
    """What algebra does not open.

    positive : it is a number above 0, or no number.
    truth    : it is 0 or 1.
    sum      : a polynomial of at least two terms, of which powers are taken.
    inside   : of an exponential, the form whose exponential it is.
    moved    : of what another atom is moved to: (its number, op, what decides where).
    """

    shape: tuple[int, ...]
    positive: bool = False
    truth: bool = False
    sum: Polynomial | None = None
    inside: Quotient | None = None
    moved: tuple[int, Any, Any] | None = None


class Quotients:
    """Forms, of atoms that have the same number where they are equal."""

    def __init__(self, eps: float) -> None:
        """eps : the rounding of the numbers that formulas are written with."""
        self.eps = 64 * eps
        self.digits = 6 if eps > 1e-9 else 12
        self.atoms: list[Atom] = []
        self.book: dict[Any, int] = {}
        self.effort = EFFORT

    # -- atoms -------------------------------------------------------------------------------------

    def atom(self, key: Any, made: Atom) -> int:
        if key not in self.book:
            self.book[key] = len(self.atoms)
            self.atoms.append(made)
        return self.book[key]

    def single(self, k: int, power: float = 1.0) -> Quotient:
        return Quotient({((k, self.rounded(power)),): 1.0})

    def number(self, c: float) -> Quotient:
        return Quotient({(): c} if c else {})

    def key(self, f: Quotient) -> Any:
        """What is equal for forms that are."""
        terms = sorted((m, self.rounded(c)) for m, c in f.num.items())
        return tuple(terms), tuple(sorted(f.den.items()))

    def rounded(self, c: float) -> float:
        return float(f"{c:.{self.digits}g}")

    def sum_atom(self, p: Polynomial) -> int:
        """A polynomial as one atom."""
        shape = np.broadcast_shapes(*(self.atoms[k].shape for m in p for k, _ in m))
        positive = all(c > 0 and all(self._positive(k) for k, _ in m) for m, c in p.items())
        return self.atom(("sum", self.key(Quotient(p))), Atom(shape, positive=positive, sum=p))

    def _positive(self, k: int) -> bool:
        return self.atoms[k].positive

    def _atoms_of(self, f: Quotient) -> list[int]:
        found = dict.fromkeys(k for m in f.num for k, _ in m) | dict.fromkeys(f.den)
        waiting = list(found)
        while waiting:  # those of its sums
            p = self.atoms[waiting.pop()].sum
            for m in p or ():
                for k, _ in m:
                    if k not in found:
                        found[k] = None
                        waiting.append(k)
        return [k for k in found if self.atoms[k].sum is None]

    # -- movement ----------------------------------------------------------------------------------

    def _moved(self, f: Quotient, op: Any, where: Any, shape: tuple[int, ...]) -> Quotient:
        """A form with every atom moved."""
        return self._mapped(f, lambda k: self._moved_atom(k, op, where, shape))

    def _moved_atom(self, k: int, op: Any, where: Any, shape: tuple[int, ...]) -> int:
        a = self.atoms[k]
        if op in (BROADCAST, RESHAPE):
            if a.shape == shape:
                return k
            if a.moved and a.moved[1] is op:
                return self._moved_atom(a.moved[0], op, where, shape)
            if op is BROADCAST and a.moved and a.moved[1] is RESHAPE:
                source = self.atoms[a.moved[0]].shape
                if _trimmed(source) == _trimmed(a.shape) and len(source) <= len(shape):
                    return self._moved_atom(a.moved[0], op, where, shape)
        made = Atom(shape, positive=a.positive, truth=a.truth, moved=(k, op, where))
        return self.atom(("moved", k, op, where, shape), made)

    def _mapped(self, f: Quotient, change: Callable[[int], int]) -> Quotient:
        """A form of other atoms."""

        def polynomial(p: Polynomial) -> Quotient:
            self._spend(10 * len(p))
            total = Quotient({})
            for m, c in p.items():
                one = self.number(c)
                for k, power in m:
                    inner = self.atoms[k].sum
                    if inner is None:
                        one = self.times(one, self.single(change(k), power))
                    else:
                        one = self.times(one, self.power(polynomial(inner), power))
                total = self.plus(total, one)
            return total

        found = polynomial(f.num)
        for k, power in f.den.items():
            inner = self.atoms[k].sum
            assert inner is not None
            found = self.times(found, self.power(polynomial(inner), -power))
        return found

    def _lowered(
        self, given: list[Quotient], shape: tuple[int, ...]
    ) -> tuple[list[Quotient], tuple]:
        """Forms without repetition that all of them have, and their shape."""
        sources: list[tuple[int, ...]] = []
        for k in {k for f in given for k in self._atoms_of(f)}:
            a = self.atoms[k]
            repeated = a.moved is not None and a.moved[1] is BROADCAST
            sources.append(self.atoms[a.moved[0]].shape if a.moved and repeated else a.shape)
        small = np.broadcast_shapes(*sources)
        if small == shape or not sources:
            return given, shape
        return [self._mapped(f, lambda k: self._of_shape(k, small)) for f in given], small

    def _of_shape(self, k: int, shape: tuple[int, ...]) -> int:
        a = self.atoms[k]
        if a.shape == shape:
            return k
        return self._moved_atom(a.moved[0] if a.moved else k, BROADCAST, (), shape)

    # -- arithmetic --------------------------------------------------------------------------------

    def plus(self, a: Quotient, b: Quotient, sign: float = 1.0) -> Quotient:
        if a.den != b.den:
            union = {k: max(a.den.get(k, 0), b.den.get(k, 0)) for k in a.den | b.den}
            a, b = self._over(a, union), self._over(b, union)
        self._spend(len(a.num))
        num = dict(a.num)
        self._add(num, ((m, sign * c) for m, c in b.num.items()))
        return self._reduced(num, a.den)

    def _over(self, f: Quotient, den: dict[int, int]) -> Quotient:
        num = f.num
        for k, power in den.items():
            inner = self.atoms[k].sum
            assert inner is not None
            for _ in range(power - f.den.get(k, 0)):
                self._spend(len(num) * len(inner))
                num = self._product(num, inner).num
        return Quotient(num, den)

    def _add(self, num: Polynomial, terms: Iterable[tuple[Monomial, float]]) -> None:
        for m, c in terms:
            self._spend(1)
            before = num.get(m, 0.0)
            total = before + c
            if abs(total) <= self.eps * max(abs(before), abs(c)):
                num.pop(m, None)
            else:
                num[m] = total
            if not math.isfinite(total):
                raise TooLarge
        if len(num) > TERMS:
            raise TooLarge

    def _spend(self, terms: int) -> None:
        self.effort -= terms
        if self.effort < 0:
            raise TooLarge

    def times(self, a: Quotient, b: Quotient) -> Quotient:
        found = self._product(a.num, b.num)
        den = {k: sum(d.get(k, 0) for d in (a.den, b.den, found.den))
               for k in a.den | b.den | found.den}  # fmt: skip
        return self._reduced(found.num, den)

    def _product(self, a: Polynomial, b: Polynomial) -> Quotient:
        """Multiplied out; whole powers of sums, which roots may have become, too."""
        if len(a) * len(b) > 20 * TERMS:
            raise TooLarge
        num: Polynomial = {}
        whole: list[Quotient] = []
        for m, c in a.items():
            for n, d in b.items():
                product, powers = self._monomial(m, n)
                if powers:
                    one = Quotient({product: c * d})
                    for k, power in powers:
                        inner = self.atoms[k].sum
                        assert inner is not None
                        one = self.times(one, self.power(Quotient(inner), power))
                    whole.append(one)
                else:
                    self._add(num, [(product, c * d)])
        found = Quotient(num)
        for one in whole:
            found = self.plus(found, one)
        return found

    def _monomial(self, m: Monomial, n: Monomial) -> tuple[Monomial, list[tuple[int, int]]]:
        if not m or not n:
            return m or n, []
        powers = dict(m)
        for k, power in n:
            powers[k] = powers.get(k, 0.0) + power
        whole = []
        for k, power in list(powers.items()):
            a = self.atoms[k]
            near = round(power)
            power = float(near) if abs(power - near) <= self.eps else self.rounded(power)
            if a.truth and power > 0:
                power = 1.0
            if a.sum is not None and (power >= 1 or power < 0):
                whole.append((k, math.floor(power)))
                power -= math.floor(power)
            powers[k] = power
        return tuple(sorted((k, p) for k, p in powers.items() if p)), whole

    def _reduced(self, num: Polynomial, den: dict[int, int]) -> Quotient:
        """Without sums that divide the numerator."""
        if not num:
            return Quotient({})
        left = {}
        for k, power in den.items():
            inner = self.atoms[k].sum
            assert inner is not None
            while power and (quotient := self._divided(num, inner)) is not None:
                num, power = quotient, power - 1
            if power:
                left[k] = power
        return Quotient(num, left)

    def _divided(self, num: Polynomial, by: Polynomial) -> Polynomial | None:
        """num / by, if it is a polynomial."""
        if len(num) < len(by):
            return None
        names = sorted({k for p in (num, by) for m in p for k, _ in m})
        if any(self.atoms[k].truth or self.atoms[k].sum is not None for k in names):
            return None
        at = {k: i for i, k in enumerate(names)}

        def vectors(p: Polynomial) -> dict[tuple[float, ...], float]:
            found = {}
            for m, c in p.items():
                v = [0.0] * len(names)
                for k, power in m:
                    v[at[k]] = power
                found[tuple(round(x, 10) for x in v)] = c
            return found

        rest, divisor = vectors(num), vectors(by)
        first = max(divisor)
        spans = [
            (min(v[i] for v in rest) - min(v[i] for v in divisor),
             max(v[i] for v in rest) - max(v[i] for v in divisor)) for i in range(len(names))
        ]  # fmt: skip
        scale = max(abs(c) for c in rest.values())
        quotient: Polynomial = {}
        while rest:
            lead = max(rest)
            step = tuple(round(a - b, 10) for a, b in zip(lead, first, strict=True))
            inside = all(lo - 1e-9 <= s <= hi + 1e-9
                         for s, (lo, hi) in zip(step, spans, strict=True))  # fmt: skip
            if not inside or len(quotient) > TERMS:
                return None
            self._spend(len(rest) + len(divisor))
            c = rest[lead] / divisor[first]
            quotient[tuple((k, s) for k, s in zip(names, step, strict=True) if s)] = c
            rest.pop(lead)
            for v, d in divisor.items():
                place = tuple(round(a + b, 10) for a, b in zip(v, step, strict=True))
                left = rest.pop(place, 0.0) - c * d
                if v != first and abs(left) > self.eps * scale:
                    rest[place] = left
        return quotient

    # -- powers ------------------------------------------------------------------------------------

    def factored(self, f: Quotient) -> tuple[float, list[tuple[int, float]]]:
        """A coefficient, and atoms with exponents; a sum of several terms is one."""
        if not f.num:
            raise TooLarge
        lowest: dict[int, float] = {}
        for n, m in enumerate(f.num):
            here = dict(m)
            names = lowest if n else here
            for k in {*names, *here}:
                now = here.get(k, 0.0)
                lowest[k] = min(lowest.get(k, 0.0), now) if n else now
        common = {k: power for k, power in lowest.items() if power}
        found = list(common.items())
        if len(f.num) == 1:
            c = next(iter(f.num.values()))
        else:
            inverse = tuple(sorted((k, -power) for k, power in common.items()))
            p = {}
            for m, d in f.num.items():
                bare, whole = self._monomial(m, inverse)
                if whole:
                    raise TooLarge
                p[bare] = d
            c = p[min(p)]
            found.append((self.sum_atom({m: d / c for m, d in p.items()}), 1.0))
        return c, [*found, *((k, -float(power)) for k, power in f.den.items())]

    def power(self, f: Quotient, b: float) -> Quotient:
        if b == 1:
            return f
        if b == 0:
            return self.number(1.0)
        if b == int(b) and 0 < b <= 8:
            found = f
            for _ in range(int(b) - 1):
                found = self.times(found, f)
            return found
        c, factors = self.factored(f)
        if b == int(b):
            return self._built(c**b, [(k, power * b) for k, power in factors])
        if c < 0 or not self._each_alone(factors):
            k = self.atom(("power", self.key(f), b), Atom(self._shape(f)))
            return self.single(k)
        return self._built(c**b, [(k, power * b) for k, power in factors])

    def _shape(self, f: Quotient) -> tuple[int, ...]:
        return np.broadcast_shapes(*(self.atoms[k].shape for k in self._atoms_of(f)))

    def _each_alone(self, factors: list[tuple[int, float]]) -> bool:
        """Whether a product above 0 has no factor below 0: of one at most the sign is unknown,
        and no even power hides it."""
        unknown = [p for k, p in factors if not self._positive(k) and p == int(p)]
        return len(unknown) <= 1 and all(p % 2 == 1 for p in unknown)

    def _built(self, c: float, factors: Iterable[tuple[int, float]]) -> Quotient:
        if not math.isfinite(c):
            raise TooLarge
        found = self.number(c)
        for k, power in factors:
            inner = self.atoms[k].sum
            if inner is None:
                found = self.times(found, self.single(k, power))
                continue
            whole = math.floor(power)
            if power != whole:
                found = self.times(found, self.single(k, power - whole))
            if whole < 0:
                found = self._reduced(found.num, found.den | {k: found.den.get(k, 0) - whole})
            for _ in range(whole):
                found = self.times(found, Quotient(inner))
        return found

    # -- exponentials and logarithms ---------------------------------------------------------------

    def exp(self, f: Quotient) -> Quotient:
        """The product of the exponentials of the terms."""
        found = self.number(1.0)
        for m, c in f.num.items():
            if not m and not f.den:
                found = self.times(found, self.number(_finite(math.exp, c)))
                continue
            inside = Quotient({m: 1.0}, f.den)
            shape = self._shape(inside)
            (inside,), small = self._lowered([inside], shape)
            k = self.atom(("exp", self.key(inside)), Atom(small, positive=True, inside=inside))
            one = self.single(self._moved_atom(k, BROADCAST, (), shape), c)
            found = self.times(found, one)
        return found

    def log(self, f: Quotient) -> Quotient:
        c, factors = self.factored(f)
        if c <= 0 or not self._each_alone(factors):
            return self.single(self.atom(("log", self.key(f)), Atom(self._shape(f))))
        found = self.number(_finite(math.log, c))
        for k, power in factors:
            a = self.atoms[k]
            under = self.atoms[a.moved[0]] if a.moved and a.moved[1] is BROADCAST else a
            if under.inside is not None:
                one = self._moved(under.inside, BROADCAST, (), a.shape)
            else:
                one = self.single(self.atom(("log", k), Atom(a.shape)))
            found = self.plus(found, one, power)
        return found


def _finite(f: Callable[[float], float], c: float) -> float:
    try:
        return f(c)
    except (OverflowError, ValueError):
        raise TooLarge from None


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((k for k, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]
