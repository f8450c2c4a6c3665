"""`check_vjp`: the same scrutiny for functions that record nothing: NumPy, torch, JAX, C."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .check import BUDGET
from .compare import examine
from .directions import dyadic, ways_of
from .oracles import seems_analytic
from .point import Arrays, Point
from .verdicts import Finding, GradientError, Mistake, Report, Verdict, diagnose


class Foreign:
    """f and its vjp as functions of flat vectors of outputs; only floating-point arrays move."""

    def __init__(self, f: Callable, rule: Callable, arrays: Sequence[Any]) -> None:
        self.f, self.rule = f, rule
        self.all = [np.array(_plain(a)) for a in arrays]  # f may write into what it is given
        self.given = [a.copy() for a in self.all]
        self.at = [k for k, a in enumerate(self.all) if a.dtype.kind == "f"]
        self.names = _names(f, len(self.all), self.at)
        self.xs: Arrays = [self.all[k] for k in self.at]
        self.takes_output = _reads_output(rule, len(self.all))
        self.out = self.outputs(self.xs)
        self.single = not isinstance(self.out, tuple)
        self.shapes = [np.shape(y) for y in self._list(self.out)]
        self.dtypes = [y.dtype for y in self._list(self.out)]
        self.largest = 1.0  # number in the last gradient

    def outputs(self, xs: Arrays) -> Any:
        """f at these values of its floating-point arrays: an array or a tuple of them."""
        y = self.f(*self._full(xs))
        if isinstance(y, (tuple, list)):
            return tuple(np.asarray(_plain(t)) for t in y)
        return np.asarray(_plain(y))

    def flat(self, xs: Arrays) -> Any:
        ys = self._list(self.outputs(xs))
        keep = [y for y, d in zip(ys, self.dtypes, strict=True) if d.kind == "f"]
        return np.concatenate([np.reshape(y, -1) for y in keep])

    def cotangents(self, u: Any) -> Any:
        """u as the cotangent f's result would get; integer outputs get zeros."""
        parts, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            if dtype.kind == "f":
                size = int(np.prod(shape))
                parts.append(np.asarray(u[start : start + size]).reshape(shape).astype(dtype))
                start += size
            else:
                parts.append(np.zeros(shape))
        return parts[0] if self.single else tuple(parts)

    def call(self, u: Any) -> list[Any]:
        """The rule's cotangents, one per array, as it gave them."""
        given = [a.copy() for a in self._full(self.xs)]
        ct = self.cotangents(u)
        extra = (self.outputs(self.xs),) if self.takes_output else ()
        found = self.rule(ct, *extra, *given)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        if len(found) != len(self.all) and len(found) == len(self.at):
            full: list[Any] = [None] * len(self.all)
            for k, g in zip(self.at, found, strict=True):
                full[k] = g
            found = full
        if len(found) != len(self.all):
            raise ValueError(
                f"vjp returned {len(found)} cotangents for {len(self.all)} arrays; return one per "
                "array (None for one that has no gradient)"
            )
        return [None if g is None else _plain(g) for g in found]

    def pull(self, u: Any, dtype: Any) -> Arrays:
        found = self.call(u)
        gs = [found[k] for k in self.at]
        gs = [
            np.zeros(x.shape, x.dtype) if g is None else np.asarray(g)
            for g, x in zip(gs, self.xs, strict=True)
        ]
        self.largest = max([1.0, *(float(np.abs(g[np.isfinite(g)]).max(initial=0)) for g in gs)])
        return gs if dtype is None else [g.astype(dtype) for g in gs]

    def push(self, v: Arrays, dtype: Any) -> Any:
        raise NotImplementedError

    def _full(self, xs: Arrays) -> list[Any]:
        full = list(self.all)
        for k, x in zip(self.at, xs, strict=True):
            full[k] = x
        return full

    def _list(self, y: Any) -> list[Any]:
        return list(y) if isinstance(y, tuple) else [y]


def check_vjp(
    f: Callable[..., Any], vjp: Callable[..., Any], *arrays: Any, seed: int = 0,
    tol: float | None = None, budget: int = BUDGET,
) -> Report:  # fmt: skip
    """Check a hand-written vjp of any function of arrays; returns a Report, raises GradientError.

    f      : f(*arrays) -> an array or a tuple of them: NumPy, torch, JAX, what np.asarray reads.
    vjp    : vjp(ct, *arrays) or vjp(ct, out, *arrays), told apart by its number of parameters.
             ct and out have the structure of f's result.
             Returns one cotangent per array, or one per floating-point array; None: no gradient.
    arrays : floating-point ones are differentiated, the others passed on.

    Besides the values: that vjp is linear in ct, returns its input's shapes,
    changes neither its arguments nor what it returned before, and says the same twice.
    """
    report = Report(getattr(f, "__name__", type(f).__name__))
    rng = np.random.default_rng(seed)
    p = Foreign(f, vjp, arrays)
    if not p.xs:
        raise TypeError("check_vjp: no array is floating-point; there is nothing to check")
    size = sum(int(np.prod(s)) for s, d in zip(p.shapes, p.dtypes, strict=True) if d.kind == "f")
    if not any(d.kind == "f" for d in p.dtypes):
        raise TypeError(f"check_vjp: {report.name} returns no floating-point array")
    for rule in (_function_repeats, _shapes_fit, _arguments_kept, _repeats, _linear):
        problem = rule(p, rng, size)
        if problem is not None:
            report.findings.append(problem)
            raise GradientError(report)
    point = _point(p, rng)
    if not point.analytic:
        report.note("by differences: the function is not analytic in complex numbers")
    with np.errstate(all="ignore"):
        report.findings += examine(p, point, ("rev",), rng, tol, budget, cost=100)
    if not report.ok:
        raise GradientError(report)
    return report


def _point(p: Foreign, rng: np.random.Generator) -> Point:
    """The function in double precision, analytic only if a complex step agrees with differences."""
    xs = [x.astype(np.float64) for x in p.xs]
    y = p.flat(xs)
    eps = float(np.finfo(y.dtype).eps) if y.dtype.itemsize < 8 else 0.0

    def at(values: Arrays) -> Any:
        with np.errstate(all="ignore"):
            return p.flat([np.asarray(v) for v in values])

    dtype = np.dtype(np.float64)
    point = Point(at, xs, y.astype(dtype), dtype, False, y_native=p.flat(p.xs), eps=eps)
    moves = [w.move for w in ways_of(point, rng, False, len(xs))]
    point.analytic = seems_analytic(point, moves)
    return point


# -- manners of a vjp ------------------------------------------------------------------------------


def _wrong(p: Foreign, k: int | None, verdict: Verdict, words: str) -> Finding:
    name = "all inputs" if k is None else p.names[p.at.index(k)] if k in p.at else f"array {k}"
    return Finding(name, "rev", 1, verdict, "two calls compared", diagnosis=words)


def _function_repeats(p: Foreign, rng: np.random.Generator, size: int) -> Finding | None:
    again = p.flat(p.xs)
    same = np.array_equal(again, p.flat(p.xs), equal_nan=True)
    same &= np.array_equal(again, np.concatenate([
        np.reshape(y, -1) for y, d in zip(p._list(p.out), p.dtypes, strict=True) if d.kind == "f"
    ]), equal_nan=True)  # fmt: skip
    changed = _changed(p.given, p.all)
    if changed is not None:
        return _wrong(p, changed, Verdict.WRONG, "the function changes its argument in place")
    if not same:
        return _wrong(
            p, None, Verdict.RANDOM, "the function gives different values when called again"
        )
    return None


def _shapes_fit(p: Foreign, rng: np.random.Generator, size: int) -> Finding | None:
    found = p.call(dyadic(rng, size))
    for k in p.at:
        g, x = found[k], p.all[k]
        if g is None or np.shape(g) == x.shape:
            continue
        words = diagnose(Mistake(np.empty(np.shape(g)), np.empty(x.shape)))
        return _wrong(p, k, Verdict.WRONG, words)
    return None


def _arguments_kept(p: Foreign, rng: np.random.Generator, size: int) -> Finding | None:
    u = dyadic(rng, size)
    ct, out = p.cotangents(u), p.outputs(p.xs)
    given = [a.copy() for a in p.all]
    before = [np.array(a, copy=True) for a in (*p._list(ct), *p._list(out), *given)]
    found = p.rule(ct, *((out,) if p.takes_output else ()), *given)
    after = [*p._list(ct), *p._list(out), *given]
    changed = _changed(before, after)
    if changed is not None:
        words = ["the cotangent", "the output", "an array"][
            0 if changed < len(p.shapes) else 1 if changed < 2 * len(p.shapes) else 2
        ]
        return _wrong(p, None, Verdict.WRONG, f"the vjp changes {words} it was given in place")
    gs = [
        np.asarray(_plain(g))
        for g in (found if isinstance(found, (tuple, list)) else [found])
        if g is not None
    ]
    for k, g in enumerate(gs):
        if any(np.shares_memory(g, other) for other in gs[k + 1 :] if g.size and other.size):
            return _wrong(
                p, None, Verdict.WRONG, "two of the cotangents returned share their memory"
            )
        if any(g.size and np.shares_memory(g, a) for a in given):
            return _wrong(p, None, Verdict.WRONG, "a cotangent shares an argument's memory")
    return None


def _repeats(p: Foreign, rng: np.random.Generator, size: int) -> Finding | None:
    u = dyadic(rng, size)
    first = p.call(u)
    kept = [None if g is None else np.array(g, copy=True) for g in first]
    second = [None if g is None else np.array(g, copy=True) for g in p.call(u)]
    p.call(-2 * u)
    for k, (g, old, again) in enumerate(zip(first, kept, second, strict=True)):
        if g is None:
            continue
        assert old is not None and again is not None
        if not np.array_equal(old, again, equal_nan=True):
            return _wrong(p, k, Verdict.RANDOM, "the vjp gives another result when called again")
        if not np.array_equal(np.asarray(g), old, equal_nan=True):
            return _wrong(
                p, k, Verdict.WRONG, "a later call overwrites what an earlier one returned"
            )
    return None


def _linear(p: Foreign, rng: np.random.Generator, size: int) -> Finding | None:
    a, b = dyadic(rng, size), dyadic(rng, size)
    ga, gb, gc, gz = (p.call(u) for u in (a, b, 2 * a - 3 * b, 0 * a))
    for k in p.at:
        if ga[k] is None:
            continue
        x, y, z, zero = (np.asarray(g[k], float) for g in (ga, gb, gc, gz))
        own = np.asarray(ga[k]).dtype
        eps = float(np.finfo(own).eps) if own.kind == "f" else 1e-16
        ok = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
        scale = max(float(np.abs(x[ok]).max(initial=0)), float(np.abs(y[ok]).max(initial=0)))
        if np.any(np.abs(z - (2 * x - 3 * y))[ok] > 1e4 * eps * scale) or np.any(
            np.abs(zero[ok]) > 0
        ):
            return _wrong(p, k, Verdict.WRONG, "the vjp is not linear in the cotangent")
    return None


def _changed(before: Sequence[Any], after: Sequence[Any]) -> int | None:
    pairs = enumerate(zip(before, after, strict=True))
    return next((k for k, (a, b) in pairs if not np.array_equal(a, b, equal_nan=True)), None)


def _plain(x: Any) -> Any:
    """An array of another library as one of NumPy."""
    x = x.detach() if hasattr(x, "detach") else x
    return x.cpu().numpy() if hasattr(x, "cpu") and hasattr(x, "numpy") else np.asarray(x)


def _names(f: Callable, n: int, at: Sequence[int]) -> list[str]:
    try:
        known = [p.name for p in inspect.signature(f).parameters.values() if p.kind in (0, 1)]
    except (TypeError, ValueError):
        known = []
    known = [*known[:n], *(f"array {k}" for k in range(len(known[:n]), n))]
    return [known[k] for k in at]


def _reads_output(rule: Callable, n: int) -> bool:
    try:
        parameters = inspect.signature(rule).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return False
    required = [p for p in parameters if p.kind in (0, 1)]
    if len(required) not in (n + 1, n + 2):
        raise TypeError(
            f"check_vjp: vjp takes {len(required)} arguments; for {n} arrays it should be "
            f"vjp(ct, *arrays), {n + 1}, or vjp(ct, out, *arrays), {n + 2}"
        )
    return len(required) == n + 2
