"""One gradient by every algorithm that the literature has for it.

All are given the same cell, and the same loss of its outputs; the exact ones agree to rounding.
Those that run forward in time (`influence`) take what the loss says of each output when it comes.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import pytrees

from ..options import choice, size
from ..options import seed as checked_seed
from ..sequences import unroll
from .influence import ONLINE, Influence, read_from_state
from .newton import linear_recurrence, newton
from .steps import Steps, flat_tree

__all__ = ["Estimate", "algorithms", "gradient"]


@dataclass(eq=False)
class Estimate:
    """A gradient, and what it took.

    gradient : structured as the parameters, arrays.
    numbers  : how many the algorithm holds at its largest for its derivatives; None: not counted.
    """

    algorithm: str
    gradient: Any
    seconds: float
    numbers: int | None = None

    @property
    def flat(self) -> np.ndarray:
        """The gradient as one vector."""
        return flat_tree(self.gradient)[0]

    def cosine(self, other: Any) -> float:
        """Of the angle to another estimate, or gradient; NaN where one of them is 0."""
        a, b = self.flat, other.flat if isinstance(other, Estimate) else flat_tree(other)[0]
        with np.errstate(invalid="ignore"):
            return float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))

    def __repr__(self) -> str:
        return f"<gradient by {self.algorithm}: norm {np.linalg.norm(self.flat):.3g}>"


@dataclass(eq=False)
class _Task:
    """What every algorithm is given."""

    cell: Callable
    params: Any
    xs: Any
    loss: Callable[[Any], Any]
    carry: Any
    time: int | None
    rng: np.random.Generator
    options: dict[str, Any]
    numbers: int | None = None

    def __post_init__(self) -> None:
        self.steps = Steps("gradient", self.cell, self.params, self.xs, self.carry, self.time)

    def ys(self, params: Any, **how: Any) -> Any:
        s = self.steps
        xs = self.xs if s.xs is None else pytrees.tree_map(mg.asarray, self.xs)
        steps = s.time if s.xs is None else None
        return unroll(self.cell, params, xs, self.carry, steps=steps, **how)[1]

    def value(self, params: Any, **how: Any) -> Any:
        found = self.loss(self.ys(params, **how))
        if not isinstance(found, mg.Tensor) or found.shape != ():
            shown = getattr(found, "shape", type(found).__name__)
            raise ValueError(f"gradient: loss(ys) must give one number; got {shown}")
        return found

    def plain(self, **how: Any) -> np.ndarray:
        """The gradient of the recorded graph."""
        p = mg.tensors(self.steps.params)
        return flat_tree(mg.evaluate(mg.grad(self.value(p, **how), p)))[0]

    def cotangents(self) -> np.ndarray:
        """(T, B, Y): dL/dy of every step."""
        ys = mg.evaluate(self.ys(self.steps.params))
        given = pytrees.tree_map(mg.asarray, ys)
        found = mg.evaluate(mg.grad(self.loss(given), given))
        lead = (self.steps.time, self.steps.batch)
        leaves = [g.reshape(*lead, -1) for g in pytrees.tree_leaves(found)]
        return np.concatenate(leaves, axis=-1)

    def option(self, name: str, default: int, least: int = 1) -> int:
        return size("gradient", name, self.options.pop(name, default), least)


# -- backwards in time -----------------------------------------------------------------------------


def _bptt(task: _Task) -> np.ndarray:
    s = task.steps
    task.numbers = s.time * s.batch * s.size
    return task.plain()


def _checkpointed(task: _Task) -> np.ndarray:
    s = task.steps
    every = task.option("every", max(1, round(np.sqrt(s.time))))
    task.numbers = (-(-s.time // every) + every) * s.batch * s.size
    return task.plain(checkpoint=every)


def _windows(task: _Task) -> np.ndarray:
    """Every k1 steps back through k2: the losses of the last k1 steps, the state before held."""
    s = task.steps
    k1 = task.option("k1", 1)
    k2 = task.option("k2", k1)
    if k2 < k1:
        raise ValueError(f"gradient: truncated: k2 must be at least k1 = {k1}; got {k2}")
    task.numbers = min(k2, s.time) * s.batch * s.size
    cotangents, states = task.cotangents(), s.ran[0]
    total = np.zeros(s.theta.size)
    for end in range(k1, s.time + k1, k1):
        last, first = min(end, s.time), max(0, min(end, s.time) - k2)
        seeds = cotangents[first:last].copy()
        seeds[: end - k1 - first] = 0
        total += _window(s, first, last, states[first], seeds)
    return total


def _window(
    s: Steps, first: int, last: int, start: np.ndarray, seeds: np.ndarray,
    end: np.ndarray | None = None, by_start: bool = False,
) -> Any:  # fmt: skip
    """The gradient of <seeds, outputs of steps first ... last - 1> (+ <end, the last state>)."""
    p, begin = mg.tensors(s.params), mg.asarray(start)
    rows = None if s.xs is None else pytrees.tree_map(
        lambda x: np.swapaxes(x[first:last], 0, 1).reshape(-1, *x.shape[2:]), s.xs
    )  # fmt: skip
    count = last - first
    chain = mg.Structure.chain([count] * s.batch)
    states, ys = mg.recur(s.step, chain, initial=begin, shared=p, inputs=rows)
    total = mg.sum(ys * np.swapaxes(seeds, 0, 1).reshape(ys.shape))
    if end is not None:
        total = total + mg.sum(states[count - 1 :: count] * end)
    if not by_start:
        return flat_tree(mg.evaluate(mg.grad(total, p)))[0]
    found, back = mg.evaluate(mg.grad(total, (p, begin)))
    return flat_tree(found)[0], back


def _binomial(task: _Task) -> np.ndarray:
    """Few states kept, placed so that each step is run again as seldom as can be.

    Treeverse (Griewank 1992); revolve (Griewank and Walther 2000) places them likewise.
    """
    s = task.steps
    kept = task.option("snapshots", max(2, int(np.ceil(np.log2(s.time + 1)))))
    cotangents, total = task.cotangents(), np.zeros(s.theta.size)
    back = np.zeros((s.batch, s.size))
    stack = [(0, s.start)]  # kept states, the latest on top
    end, most = s.time, 1
    while end > 0:
        first, state = stack[-1]
        while end - first > 1 and len(stack) < kept:
            ahead = _ahead(end - first, kept - len(stack))
            state = _forward(s, first, first + ahead, state)
            first += ahead
            stack.append((first, state))
            most = max(most, len(stack))
        state = _forward(s, first, end - 1, state)
        grads, back = _window(s, end - 1, end, state, cotangents[end - 1 : end], back, True)
        total += grads
        end -= 1
        if stack[-1][0] >= end and len(stack) > 1:
            stack.pop()
    task.numbers = (most + 1) * s.batch * s.size
    return total


def _ahead(length: int, free: int) -> int:
    """How far on the next state is kept: as binomial coefficients split the rest."""
    if free <= 1:
        return max(1, length // 2)
    repeats, reach = 0, 1
    while reach < length:
        repeats += 1
        reach = reach * (free + repeats) // repeats
    return max(1, length * repeats // (free + repeats))


def _forward(s: Steps, first: int, last: int, state: np.ndarray) -> np.ndarray:
    """The state behind the steps first ... last - 1, nothing kept."""
    for t in range(first, last):
        state = s.mapped(lambda p, h, x: s.step(p, h, x)[0], state, s.rows(t))
    return state


def _scanned(task: _Task, states: np.ndarray | None = None) -> np.ndarray:
    """The cotangents of all states as one linear recurrence, solved by an associative scan."""
    s = task.steps
    if states is not None:
        s.ran = (np.concatenate([s.start[None], states]), s.ran[1])
    c, j = task.cotangents(), s.jacobians
    out = np.einsum("tby,tbys->tbs", c, j["ys"])  # of s_(t-1), by the output of step t
    late = np.concatenate([out[1:], np.zeros_like(out[:1])])[::-1]  # of s_t, from the last step on
    carried = np.concatenate([np.zeros_like(j["ss"][:1]), np.swapaxes(j["ss"], -1, -2)[:0:-1]])
    back = linear_recurrence(carried, late, np.zeros_like(s.start))[::-1]
    task.numbers = s.time * s.batch * s.size * (s.size + 1)
    total = np.zeros(s.theta.size)
    for t in range(s.time):
        by_state, by_output = s.immediate(t)
        total += np.einsum("bs,bsp->p", back[t], by_state)
        total += np.einsum("by,byp->p", c[t], by_output)
    return total


def _newton(task: _Task) -> np.ndarray:
    found = newton(task.cell, task.params, task.xs, task.carry, steps=task.time, **task.options)
    task.options.clear()
    if not found.converged:
        raise ArithmeticError(f"gradient: Newton's method: {found!r}; try method='damped'")
    return _scanned(task, found.states)


# -- forwards in time ------------------------------------------------------------------------------


def _forward_mode(task: _Task) -> np.ndarray:
    """A forward pass for every parameter, all at once in groups."""
    s = task.steps
    task.numbers = s.batch * s.size * s.theta.size
    p = mg.tensors(s.params)
    value = task.value(p)
    group, found = task.option("group", 64), []
    seeds = pytrees.tree_map(lambda a: mg.symbol("v", a.shape, dtype=a.dtype), s.params)
    slope = mg.jvp(value, p, seeds)
    basis = np.eye(s.theta.size)
    leaves = pytrees.tree_leaves(seeds)
    for k in range(0, len(basis), group):
        rows = [pytrees.tree_leaves(s.unflat(v)) for v in basis[k : k + group]]
        found.append([mg.evaluate(slope, dict(zip(leaves, row, strict=True))) for row in rows])
    return np.concatenate(found)


def _online(name: str) -> Callable[[_Task], np.ndarray]:
    def run(task: _Task) -> np.ndarray:
        s = task.steps
        options, task.options = dict(task.options), {}
        influence = ONLINE[name](s, task.rng, **options)
        c, j = task.cotangents(), s.jacobians
        return sum_of_terms(s, influence, c, j, lambda n: setattr(task, "numbers", n))

    return run


def sum_of_terms(
    s: Steps, influence: Influence, c: np.ndarray, j: dict[str, np.ndarray],
    note: Callable[[int], None],
) -> np.ndarray:  # fmt: skip
    """What the losses of all steps add, each when its step has been made."""
    total, read = np.zeros(s.theta.size), read_from_state(s)
    for t in range(s.time):
        total += influence.term(t, c[t], {k: a[t] for k, a in j.items()}, s.immediate(t), read)
        note(influence.numbers)
    return total


# -- without derivatives of the recurrence ---------------------------------------------------------


def _forward_gradient(task: _Task) -> np.ndarray:
    """The slope along a random direction, times it (Baydin et al. 2022); the mean of several."""
    s, count = task.steps, task.option("directions", 1)
    p = mg.tensors(s.params)
    value, total = task.value(p), np.zeros(s.theta.size)
    for _ in range(count):
        v = task.rng.standard_normal(s.theta.size)
        total += float(mg.jvp(value, p, s.unflat(v))) * v
    task.numbers = s.batch * s.size + s.theta.size
    return total / count


def _evolution(task: _Task) -> np.ndarray:
    """Differences of the loss at theta +- sigma v, times v (Salimans et al. 2017)."""
    s, count = task.steps, task.option("directions", 1)
    sigma, total = float(task.options.pop("sigma", 1e-3)), np.zeros(s.theta.size)
    for _ in range(count):
        v = task.rng.standard_normal(s.theta.size)
        up, down = (float(task.value(s.unflat(s.theta + sign * sigma * v))) for sign in (1, -1))
        total += (up - down) / (2 * sigma) * v
    task.numbers = s.batch * s.size + s.theta.size
    return total / count


class _Algorithm(NamedTuple):
    run: Callable[[_Task], np.ndarray]
    exact: bool
    random: bool
    what: str


def _row(name: str) -> _Algorithm:
    kind = ONLINE[name]
    return _Algorithm(_online(name), kind.exact, kind.random, kind.what)


ALGORITHMS: dict[str, _Algorithm] = {
    "bptt": _Algorithm(_bptt, True, False,
                       "backpropagation through time (Werbos 1990): T states kept"),
    "checkpointed": _Algorithm(_checkpointed, True, False,
                               "every so many states kept (every=, default sqrt(T))"),
    "binomial": _Algorithm(_binomial, True, False,
                           "few states kept (snapshots=), binomially placed (Griewank 1992)"),
    "scan": _Algorithm(_scanned, True, False,
                       "the backward pass as an associative scan (BPPSA, Wang et al. 2020)"),
    "newton": _Algorithm(_newton, True, False,
                         "states by Newton's method, then the scan (DEER, Lim et al. 2024)"),
    "truncated": _Algorithm(_windows, False, False,
                            "truncated BPTT: every k1= steps back through k2= (Williams and Peng "
                            "1990); k1=1 slides"),
    "forward": _Algorithm(_forward_mode, True, False,
                          "forward mode: a tangent for every parameter"),
    **{name: _row(name) for name in ONLINE},
    "forward gradient": _Algorithm(_forward_gradient, False, True,
                                   "the slope along random directions= (Baydin et al. 2022)"),
    "evolution": _Algorithm(_evolution, False, True,
                            "differences along random directions= (Salimans et al. 2017)"),
}  # fmt: skip


def algorithms() -> dict[str, str]:
    """What `gradient` knows: {name: what it is, and its options}.

    In the order of docs/study.md: backwards in time, forwards, without the recurrence's slopes.
    Raises nothing.
    """
    return {name: row.what for name, row in ALGORITHMS.items()}


def gradient(
    cell: Callable, params: Any, xs: Any, loss: Callable[[Any], Any], algorithm: str = "bptt", *,
    carry: Any = None, steps: int | None = None, seed: int = 0, **options: Any,
) -> Estimate:  # fmt: skip
    """The gradient of loss(ys) by the parameters of a cell, by one of many algorithms.

    cell      : any `cell(params, carry, x) -> (carry, y)`.
    params    : its parameters, arrays.
    xs        : (T, B, I) or (T, I); None, with `steps`, for a cell without inputs.
    loss      : loss(ys) -> a number, of the outputs as `rc.unroll` gives them.
    algorithm : a name of `rc.study.algorithms()`, which says what each is and what it takes:
                exact are "bptt", "checkpointed", "binomial", "scan", "newton", "forward", "rtrl";
                "snap" (n=1) and "eprop" leave influences out, "truncated" (k1=, k2=) the past;
                "rflo" (feedback=) is "eprop" with errors sent back by fixed random weights;
                "uoro", "kf-rtrl", "forward gradient" and "evolution" are random with the right
                mean (the last nearly), by `seed`.
    carry     : the first state, default the cell's zero state.

    For small cells: forward in time S x P numbers are held, and Jacobians are formed.
    Raises ValueError for another name or option, and what does not fit.
    """
    choice("gradient", "algorithm", algorithm, tuple(ALGORITHMS))
    row = ALGORITHMS[algorithm]
    rng = np.random.default_rng(checked_seed("gradient", seed))
    task = _Task(cell, params, xs, loss, carry, steps, rng, dict(options))
    start = clock.perf_counter()
    try:
        flat = row.run(task)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ValueError(f"gradient: {algorithm} takes no such option: {error}") from None
    seconds = clock.perf_counter() - start
    if task.options:
        raise ValueError(
            f"gradient: {algorithm} takes no option {', '.join(task.options)}; it is {row.what}"
        )
    return Estimate(algorithm, task.steps.unflat(flat), seconds, task.numbers)

