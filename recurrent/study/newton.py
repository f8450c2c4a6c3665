"""Time as a system of equations: all states of a recurrence at once.

s_t = f(s_(t-1), x_t) for t = 1 ... T is a system of T equations.
Newton's method linearises it at a guess of all states, and the linear recurrence that is left,
s_t = J_t s_(t-1) + b_t, is an associative scan: log T steps on as many processors as there are
steps (DEER: Lim et al. 2024; quasi-Newton and damped, ELK: Gonzalez et al. 2024).
The backward pass of any recurrence is such a linear recurrence from the start
(BPPSA: Wang, Bai and Pekhimenko 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg

from ..options import choice, size
from .pictures import axes
from .steps import Steps

__all__ = ["NewtonRun", "newton"]

METHODS = ("newton", "quasi", "damped")


@dataclass(eq=False)
class NewtonRun:
    """What `newton` found.

    states    : (T, B, S), behind every step.
    residuals : the largest |s_t - f(s_(t-1), x_t)| before each iteration, and behind the last.
    converged : whether the last is at most the tolerance.
    """

    states: np.ndarray
    residuals: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def iterations(self) -> int:
        return len(self.residuals) - 1

    def plot(self, ax: Any = None) -> Any:
        """The residual before every iteration, logarithmic, on matplotlib axes; returns them.

        Raises ImportError where matplotlib is not installed.
        """
        ax = axes(ax, "residuals is the data")
        floor = [max(r, 1e-17) for r in self.residuals]  # an exact 0 has no logarithm
        ax.semilogy(floor, "o-", markersize=4)
        ax.set_xlabel("iteration")
        ax.set_ylabel("largest |s_t - f(s_t-1, x_t)|")
        return ax

    def __repr__(self) -> str:
        how = "converged" if self.converged else "NOT converged"
        return f"<{how} after {self.iterations} iterations, residual {self.residuals[-1]:.2g}>"


def newton(
    cell: Callable, params: Any, xs: Any, carry: Any = None, *, method: str = "newton",
    damping: float = 0.1, tol: float = 1e-12, iterations: int | None = None,
    steps: int | None = None, guess: np.ndarray | None = None,
) -> NewtonRun:  # fmt: skip
    """All states of a recurrence by Newton's method, from a guess of zeros.

    method     : "newton" (DEER), "quasi" (the diagonal of the Jacobians alone, S numbers a step in
                 place of S x S), "damped" (the Jacobians shrunk by `damping`: slower, and stable
                 where products of Jacobians explode).
    tol        : of the largest residual, relative to the largest state where that is above 1.
    iterations : at most so many; default T + 1, after which Newton's method is exact: each makes
                 one more state right, however bad the guess.
    guess      : (T, B, S).

    xs, carry, steps as for `propagation`.  A guess that overflows gives up: `converged` says so.
    Raises ValueError for another method, and shapes that do not fit.
    """
    choice("newton", "method", method, METHODS)
    run = Steps("newton", cell, params, xs, carry, steps)
    most = run.time + 1 if iterations is None else size("newton", "iterations", iterations)
    states = np.zeros((run.time, run.batch, run.size)) if guess is None else np.array(guess, float)
    wanted = (run.time, run.batch, run.size)
    if states.shape != wanted:
        raise ValueError(f"newton: guess must have the shape {wanted}; got {states.shape}")
    rows = run.rows(slice(None))

    def f(p: Any, s: Any, x: Any) -> Any:
        new, _ = run.step(p, s, x)
        return new, mg.jacobian(new, s)

    found = NewtonRun(states)
    with np.errstate(all="ignore"):
        while True:
            before = np.concatenate([run.start[None], found.states[:-1]])
            new, j = run.mapped(f, before.reshape(-1, run.size), rows)
            new = new.reshape(found.states.shape)
            j = j.reshape(*new.shape, run.size)
            residual = float(np.max(np.abs(found.states - new)))
            found.residuals.append(residual)
            scale = max(1.0, float(np.max(np.abs(new))))
            found.converged = bool(np.isfinite(residual) and residual <= tol * scale)
            if found.converged or found.iterations >= most or not np.isfinite(residual):
                return found
            if method == "quasi":
                j = np.einsum("...ss->...s", j)[..., None] * np.eye(run.size)
            elif method == "damped":
                j = (1 - damping) * j
            b = new - (j @ before[..., None])[..., 0]
            found.states = linear_recurrence(j, b, run.start)


def linear_recurrence(a: np.ndarray, b: np.ndarray, first: np.ndarray) -> np.ndarray:
    """s_t = a_t s_(t-1) + b_t for all t at once, by an associative scan (Blelloch 1990).

    a : (T, B, S, S);  b : (T, B, S);  first : (B, S), s before the first step.

    The pairs (a, b) compose: (a2, b2) after (a1, b1) is (a2 a1, a2 b1 + b2).
    Every round doubles how many steps each pair stands for.
    """
    a, b = np.array(a), np.array(b)
    reach = 1
    while reach < len(a):
        b[reach:] = (a[reach:] @ b[:-reach, ..., None])[..., 0] + b[reach:]
        a[reach:] = a[reach:] @ a[:-reach]
        reach *= 2
    return (a @ first[None, ..., None])[..., 0] + b
