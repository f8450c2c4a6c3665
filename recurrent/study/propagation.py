"""How a perturbation of the state propagates: step Jacobians, their products and what they imply.

    d s_t / d s_k = J_t J_(t-1) ... J_(k+1),   J_t = d s_t / d s_(t-1)

Where gradients vanish or explode is a property of these products
(Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

import minigrad as mg
from minigrad.graph import Tensor, copied, toposort

from ..options import choice, size
from .pictures import LINE, MARK, SHADES, axes
from .steps import Steps, singular_values, where_finite
from .tree_propagation import TreePropagation

__all__ = ["Propagation", "propagation"]


@dataclass(eq=False)
class Propagation:
    """What `propagation` found.  S numbers are a state (all its parts), Y an output.

    states    : (T + 1, B, S), before the first step and behind every one.
    outputs   : (T, B, Y).
    jacobians : (T, B, S, S), of every step the next state by the one before it.
    """

    steps: Steps
    losses: Callable[[Any], Any] | None = None

    @property
    def states(self) -> np.ndarray:
        return self.steps.ran[0]

    @property
    def outputs(self) -> np.ndarray:
        return self.steps.ran[1]

    @property
    def jacobians(self) -> np.ndarray:
        return self.steps.jacobians["ss"]

    @cached_property
    def singular_values(self) -> np.ndarray:
        """(T, B, S), of every step's Jacobian, the largest first; NaN of one that is not finite."""
        return singular_values(self.jacobians)

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """(T, B, S), complex, of every step's Jacobian, the largest in modulus first; NaN of one
        that is not finite."""
        found = where_finite(lambda j: np.linalg.eigvals(j).astype(complex), self.jacobians)
        return np.take_along_axis(found, np.argsort(-np.abs(found), axis=-1), axis=-1)

    @property
    def spectral_radius(self) -> np.ndarray:
        """(T, B), the largest modulus of an eigenvalue of every step's Jacobian."""
        return np.abs(self.eigenvalues[..., 0])

    def products(self, later: int = -1) -> np.ndarray:
        """(t + 1, B, S, S): d s_t / d s_k for k = 0 ... t, where t is `later` (-1: the last)."""
        last = range(len(self.states))[later]
        found = np.empty((last + 1, *self.jacobians.shape[1:]))
        found[last] = np.eye(self.steps.size)
        for k in range(last - 1, -1, -1):
            found[k] = found[k + 1] @ self.jacobians[k]
        return found

    def norms(self, later: int = -1) -> np.ndarray:
        """(t + 1, B): the largest singular value of d s_t / d s_k, for k up to t = `later`."""
        return singular_values(self.products(later))[..., 0]

    @cached_property
    def lyapunov(self) -> np.ndarray:
        """(B, S), the exponents of this run, nats a step, the largest first.

        By the QR method (Benettin et al. 1980): the products themselves would overflow or vanish.
        """
        frame = np.broadcast_to(np.eye(self.steps.size), self.jacobians.shape[1:])
        total = np.zeros(frame.shape[:-1])
        for j in self.jacobians:
            frame, r = np.linalg.qr(j @ frame)
            with np.errstate(divide="ignore"):
                total = total + np.log(np.abs(np.diagonal(r, axis1=-2, axis2=-1)))
        return -np.sort(-total / len(self.jacobians), axis=-1)

    @cached_property
    def sensitivity(self) -> np.ndarray:
        """(T, T, B): |d loss_t / d x_k|, of every step's loss (default: output) by every input.

        The picture of Graves (2012, figure 4.1): how long an input is remembered.
        0 above the diagonal: an input acts on nothing before it.
        """
        s = self.steps
        if s.xs is None:
            raise ValueError("propagation: a cell without inputs has no sensitivity to them")
        x = s.rows(slice(None))
        before = self.states[:-1].reshape(-1, s.size)

        def by_input(params: Any, state: Any, x: Any) -> Any:
            return mg.jacobian(s.step(params, state, x), x)

        into, direct = (self._flat(a) for a in s.mapped(by_input, before, x))
        out = s.jacobians["ys"]
        if self.losses is not None:
            ys = mg.asarray(self.outputs)
            slopes = mg.evaluate(mg.jacobian(self._checked(ys), ys))  # (T, T, B, Y)
            return self._through(into, np.einsum("tjby,jbyi->tjbi", slopes, direct),
                                 np.einsum("tjby,jbys->tjbs", slopes, out))  # fmt: skip
        found = np.zeros((s.time, s.time, s.batch))
        for t in range(s.time):
            found[t, t] = np.linalg.norm(direct[t], axis=(-2, -1))
            back = out[t]
            for k in range(t - 1, -1, -1):
                found[t, k] = np.linalg.norm(back @ into[k], axis=(-2, -1))
                back = back @ self.jacobians[k]
        return found

    def _flat(self, a: np.ndarray) -> np.ndarray:
        return a.reshape(self.steps.time, self.steps.batch, a.shape[1], -1)

    def _checked(self, ys: Any) -> Any:
        assert self.losses is not None
        found = self.losses(ys[:, 0] if self.steps.single else ys)
        if found.ndim != 1:
            raise ValueError(
                "propagation: losses(ys) must give a number for every step, (T,); got shape "
                f"{found.shape}"
            )
        return found

    def _through(self, into: np.ndarray, own: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """From d loss_t / d (state before step j, input j) to d loss_t / d x_k."""
        found = np.zeros((len(own), self.steps.time, self.steps.batch))
        for t in range(len(own)):
            back = np.zeros((self.steps.batch, 1, self.steps.size))
            for k in range(self.steps.time - 1, -1, -1):
                found[t, k] = np.linalg.norm((back @ into[k])[:, 0] + own[t, k], axis=-1)
                back = back @ self.jacobians[k] + seeds[t, k][:, None]
        return found

    def memory(self, share: float = 0.01) -> np.ndarray:
        """(B,) steps for which an input still matters: the longest lag at which the mean
        sensitivity is at least `share` of its largest over all lags."""
        found = self.sensitivity
        lags = np.stack([
            np.mean([found[t, t - lag] for t in range(lag, len(found))], axis=0)
            for lag in range(len(found))
        ])  # fmt: skip
        return np.where(lags >= share * lags.max(axis=0), np.arange(len(lags))[:, None], 0).max(0)

    @cached_property
    def losses_of_norm(self) -> dict[str, np.ndarray]:
        """{"saturation", "gates", "weights"}: (T, B), that sum to log |J_t| (Frobenius).

        saturation : what flat parts of tanh, sigmoid, relu ... take away: J against a J with each
                     function at its steepest (tanh 1, sigmoid 1/4).
        gates      : what products with gates (a sigmoid's output) take away besides.
        weights    : the rest, which a linear cell without gates would have.
        """
        s = self.steps
        states, x = self.states[:-1].reshape(-1, s.size), s.rows(slice(None))
        logs = [self._log(self.jacobians.reshape(-1, s.size, s.size))]
        for how in (_STEEP, {**_STEEP, "multiply": _open}):
            def f(params: Any, state: Any, x: Any, how: Any = how) -> Any:
                return mg.jacobian(_rewritten(s.step(params, state, x)[0], how), state)

            logs.append(self._log(s.mapped(f, states, x)))
        return {"saturation": logs[0] - logs[1], "gates": logs[1] - logs[2], "weights": logs[2]}

    def _log(self, j: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            norms = np.log(np.linalg.norm(j, axis=(-2, -1)))
        return norms.reshape(self.steps.time, self.steps.batch)

    def __str__(self) -> str:
        norms, top = self.norms(), self.lyapunov[:, 0]
        lines = [f"{self.steps.time} steps of {self.steps.batch} sequences, a state of "
                 f"{self.steps.size} numbers",
                 f"largest Lyapunov exponent {top.mean():.3g} nats a step"]  # fmt: skip
        for k in np.unique(np.linspace(0, self.steps.time, 9).astype(int)):
            lines.append(f"|d s_{self.steps.time} / d s_{k}| = {norms[k].mean():.3g}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<propagation over {self.steps.time} steps of {self.steps.batch} sequences>"

    def plot(self, what: str = "norms", ax: Any = None) -> Any:
        """A picture on matplotlib axes, which are returned.

        what : "norms"         |d s_T / d s_k| over k, logarithmic, a line a sequence;
               "spectrum"      the singular values of every step's Jacobian;
               "sensitivity"   |d loss_t / d x_k|, shaded, of the first sequence (Graves 2012).

        Raises ValueError for another picture, ImportError where matplotlib is not installed.
        """
        choice("Propagation.plot", "what", what, tuple(_PICTURES))
        square = (4.6, 3.8) if what == "sensitivity" else (7.0, 3.2)
        ax = axes(ax, "norms(), singular_values and sensitivity are the data", square)
        _PICTURES[what](self, ax)
        return ax


def _draw_norms(found: Propagation, ax: Any) -> None:
    ax.semilogy(found.norms(), color=LINE, alpha=1 if found.steps.batch == 1 else 0.5)
    ax.set_xlabel("k")
    ax.set_ylabel("|d s_T / d s_k|")


def _draw_spectrum(found: Propagation, ax: Any) -> None:
    values = found.singular_values[:, 0]
    at = np.arange(1, len(values) + 1)
    ax.semilogy(at, values[:, 1:], ".", color=LINE, alpha=0.45, markersize=4)
    ax.semilogy(at, values[:, 0], color=MARK, label="the largest")
    ax.axhline(1, color="black", linewidth=0.6)
    ax.set_xlabel("step")
    ax.set_ylabel("singular values of the step's Jacobian")
    ax.legend(frameon=False)


def _draw_sensitivity(found: Propagation, ax: Any) -> None:
    values = found.sensitivity[..., 0]
    shade = np.where(np.tril(np.ones(values.shape)), values, np.nan)
    image = ax.imshow(shade.T, origin="lower", cmap=SHADES, aspect="auto", vmin=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("loss of step t")
    ax.set_ylabel("input of step k")
    ax.figure.colorbar(image, ax=ax, label="|d loss_t / d x_k|")


_PICTURES = {"norms": _draw_norms, "spectrum": _draw_spectrum, "sensitivity": _draw_sensitivity}


@overload
def propagation(
    cell: Callable, params: Any, xs: Any, carry: Any = None, *, steps: int | None = None,
    losses: Callable[[Any], Any] | None = None, trees: None = None,
) -> Propagation: ...  # fmt: skip


@overload
def propagation(
    cell: Callable, params: Any, xs: Any, carry: Any = None, *, trees: Any
) -> TreePropagation: ...


def propagation(
    cell: Callable, params: Any, xs: Any, carry: Any = None, *, steps: int | None = None,
    losses: Callable[[Any], Any] | None = None, trees: Any = None,
) -> Propagation | TreePropagation:  # fmt: skip
    """Step Jacobians of a cell along a run, and what follows from them; over trees, by depth.

    cell   : any `cell(params, carry, x) -> (carry, y)`; with trees, one that `rc.fold` takes.
    xs     : (T, B, I) or (T, I), or a pytree of such; None, with `steps`, for a cell without.
             With trees (words, I), as for `rc.fold`.
    carry  : the first state, default the cell's zero state.
    losses : losses(ys) -> (T,), a loss for every step, for `sensitivity`; ys (T, B, Y) or (T, Y),
             the outputs as vectors.
    trees  : trees, or their structure: then a `TreePropagation`, in which distance is depth.

    All is computed when it is asked for.  S x S numbers are kept for every step (edge).
    Raises ValueError for shapes that do not fit, a cell without a zero state and no carry,
    and `steps` or `losses` with trees.
    """
    if trees is not None:
        if steps is not None or losses is not None:
            raise ValueError("propagation: trees have no steps= and no losses= of steps")
        found = TreePropagation(cell, params, xs, trees, carry)
        found.structure  # noqa: B018  what does not fit is said now
        return found
    if steps is not None:
        size("propagation", "steps", steps)
    return Propagation(Steps("propagation", cell, params, xs, carry, steps), losses)


# -- a cell at its best ----------------------------------------------------------------------------


Exchange = Callable[[Tensor, list[Tensor], Tensor], Tensor]  # (result, inputs, as they were)


def _steep(slope: float) -> Exchange:
    """The same value, with the slope that the function has where it is steepest."""
    return lambda y, xs, t: mg.stop_gradient(y - slope * xs[0]) + slope * xs[0]


_STEEP: dict[str, Exchange] = {
    "tanh": _steep(1.0), "sigmoid": _steep(0.25), "relu": _steep(1.0), "sin": _steep(1.0),
    "erf": _steep(2 / math.sqrt(math.pi)), "atan": _steep(1.0),
}  # fmt: skip


def _open(y: Tensor, xs: list[Tensor], t: Tensor) -> Tensor:
    """A product with a gate, with the slope it has where the gate is open."""
    gates = [_is_gate(x) for x in t.inputs]
    if sorted(gates) == [False, True]:
        passed = xs[gates.index(False)]
        return mg.stop_gradient(y - passed) + passed
    return y


def _is_gate(t: Tensor) -> bool:
    """A sigmoid's output, or one number minus it."""
    return (t.inputs[-1] if t.op.name == "subtract" else t).op.name == "sigmoid"


def _rewritten(output: Tensor, how: dict[str, Exchange]) -> Tensor:
    """The graph with some ops exchanged for those of the same value."""
    new: dict[Tensor, Tensor] = {}
    for t in toposort([output]):
        inputs = [new[x] for x in t.inputs]
        same = all(a is b for a, b in zip(inputs, t.inputs, strict=True))
        made = t if same else copied(t, inputs)
        new[t] = how[t.op.name](made, inputs, t) if t.op.name in how else made
    return new[output]
