"""`check_grads` and `check_vjp`: is this gradient right, and if not, what is wrong and where.

    check_grads(f, *args)      a function of Tensors, by the graph it records
    check_vjp(f, vjp, *arrays) any function with a hand-written vjp: NumPy, torch, JAX

The gradient is compared with slopes that no derivative rule had a part in (`oracles`),
everything in wider numbers than the function's own,
so that a wrong rule and mere rounding are told apart (`compare`).
A wrong gradient is traced to the op whose rule is at fault (`locate`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from ...autodiff import vjp
from ...graph import Tensor, constant, toposort
from ...ops.facts import facts_of
from ...recur import RECUR, parts_of
from ...run.evaluate import evaluate
from .compare import examine
from .directions import dyadic
from .locate import locate, lost_use
from .point import Arrays, Point
from .recorded import Recorded
from .verdicts import Finding, GradientError, Report, Verdict

BUDGET = 400_000  # op evaluations an oracle may take: about a second


# -- recorded functions ----------------------------------------------------------------------------


def check_grads(
    f: Callable[..., Any], *args: Any, order: int = 1, modes: Sequence[str] = ("rev", "fwd"),
    reference: Callable[..., Any] | None = None, seed: int = 0, tol: float | None = None,
    budget: int = BUDGET, locate: bool = True,
) -> Report:  # fmt: skip
    """Check the derivatives of `f` at `args`; returns a Report, raises GradientError.

    f         : f(*args) -> a Tensor or a pytree of them.
                It is recorded twice (a difference between the two is reported as non-deterministic)
                and then only its graph is run.
    args      : pytrees of arrays or Tensors.
                Floating-point leaves (Python floats too) are differentiated, any dtype;
                all other leaves are passed on as they are.
    order     : 1 the gradient; 2 also the gradient of the recorded gradient, and so on.
    modes     : "rev" checks vjp, "fwd" checks jvp.
    reference : reference(u, *args) -> the exact gradients of sum(u * f(*args)),
                u in the structure of f's outputs as float64 arrays, in the structure of args
                (anything for leaves that are not differentiated).
                Takes the oracle's place for vjp at order 1.
    tol       : relative tolerance; None: 1e-9, or 1e-6 where only double precision is to be had.
    budget    : op evaluations the oracle may take at each order;
                within it every element is compared, beyond it random directions.

    Raises GradientError where a gradient is wrong or f is not deterministic.
    Verdicts that decide nothing (ill-conditioned, too little precision) do not raise:
    see `report.conclusive`.
    """
    modes = _modes(modes)
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"check_grads: order must be 1 or more; got {order!r}")
    rng = np.random.default_rng(seed)
    report = Report(getattr(f, "__name__", type(f).__name__))
    leaves, names, call = _arguments(f, args)
    outputs, others, tree = call(f), _again(f, args), call.tree
    if not _same(outputs, others):
        report.findings.append(Finding(
            "all inputs", "rev", 1, Verdict.RANDOM, "two recordings compared",
            diagnosis="two calls with the same arguments gave different values",
        ))  # fmt: skip
        raise GradientError(report)
    if not leaves:
        report.note("no argument is floating-point: there is nothing to differentiate")
        return report
    if not outputs:
        report.note("no output is floating-point: every gradient is zero")
        return report
    meant = set(toposort(outputs)) if order > 1 else None
    for k in range(1, order + 1):
        exact = _reference(reference, args, tree, outputs, call) if reference and k == 1 else None
        try:
            problem = Recorded(outputs, leaves, names, modes, meant if k > 1 else None)
        except Exception as error:
            _recording_failed(report, outputs, leaves, error, k)
            raise
        point = problem.point()
        _take_notes(report, problem, point)
        found = examine(problem, point, modes, rng, tol, budget, k, problem.cost, exact=exact)
        report.findings += found
        _second_thoughts(report, problem, point, found, rng, tol, k, order > 1, locate)
        if point.places and report.verdict in (Verdict.KINK, Verdict.SINGULAR, Verdict.WRONG):
            report.note(f"at a kink: {point.places}")
        if not report.ok:
            raise GradientError(report)
        if k < order:
            us = [constant(u, t.dtype) for u, t in zip(_seeds(rng, outputs), outputs, strict=True)]
            outputs = vjp(outputs, leaves, us)
    return report


def _second_thoughts(
    report: Report, problem: Recorded, point: Point, found: list[Finding], rng: Any,
    tol: float | None, order: int, detached: bool, search: bool,
) -> None:  # fmt: skip
    """Locate what is wrong; let pass a mixture of right rules at a kink; look near by."""
    wrong = [f for f in found if f.verdict is Verdict.WRONG]
    kinks = any(f.verdict is Verdict.KINK for f in found) or bool(wrong and point.ties)
    if wrong and (search or point.ties):
        forward = all(f.mode == "fwd" for f in wrong)
        report.location = locate(problem.outputs, problem.leaves, rng, forward)
        if report.location is None and not point.ties and point.finite:
            report.note(
                lost_use(problem, rng)
                or "every op's own rule is right: the fault lies in how they are put together (a "
                "stop_gradient, a function with its own vjp, a gradient computed from values)"
            )
        if report.location is None and not point.finite:
            for f in wrong:
                lost = f.found is None or not np.isfinite(f.found)
                f.verdict = Verdict.SINGULAR if lost else f.verdict
            report.note("a value on the way to the outputs is not finite")
            wrong = [f for f in wrong if f.verdict is Verdict.WRONG]
        if wrong and report.location is None and point.ties:
            for f in wrong:
                f.verdict, f.diagnosis = Verdict.KINK, ""
            report.note(
                "at this kink the gradient mixes right rules, but is no slope of the function"
            )
            wrong = []
    if wrong or not (kinks or detached):
        return
    other = problem.near(rng)
    try:
        near = other.point()
        if near.ties or not near.finite:
            return
        again = examine(other, near, ("rev",), rng, tol, 0, order, problem.cost, elements=False)
    except Exception as error:  # a point near by may lie outside of a user's own function
        report.note(f"not checked near by: {error}")
        return
    for f in again:
        if f.verdict is Verdict.WRONG:
            f.diagnosis = (f.diagnosis + "; " if f.diagnosis else "") + (
                "the recorded gradient is right at the point but not near it: a rule computes with "
                "values where it should record ops"
            )
            report.findings.append(f)


def _recording_failed(
    report: Report, outputs: Any, leaves: Any, error: Exception, order: int
) -> None:
    """A rule that cannot even be recorded (a cotangent of the wrong shape) is a wrong rule."""
    report.location = locate(outputs, leaves, np.random.default_rng(0))
    if report.location is not None:
        words = report.location.finding.diagnosis if report.location.finding else ""
        report.findings.append(Finding(
            "all inputs", "rev", order, Verdict.WRONG, "recording the gradient",
            diagnosis=words or str(error),
        ))  # fmt: skip
        raise GradientError(report) from error


def _take_notes(report: Report, problem: Recorded, point: Point) -> None:
    tape, add = problem.f, report.note
    recurrences = [t for t in toposort(problem.outputs) if t.op is RECUR]
    if any(parts_of(t).structure.keep is not None for t in recurrences):
        add("a structure is truncated: states were held constant along the edges it cuts")
    elif tape.stops:
        name = next(t.op.name for t in tape.order if facts_of(t.op).held)
        add(f"{name} is on the way: its value was held, as it says")
    if tape.opaque:
        add(f"by differences, since these ops may not be analytic: {', '.join(tape.opaque)}")
    if point.y_native is not None and not np.isfinite(point.y_native).all():
        n = int(np.sum(~np.isfinite(point.y_native)))
        add(f"{n} of {len(point.y)} output values are not finite and were left out")


def _arguments(f: Callable, args: tuple) -> tuple[list[Tensor], list[str], Any]:
    """The floating-point leaves of the arguments as Tensors, their names, and how to call f."""
    parameters = _parameters(f, len(args))
    leaves: list[Tensor] = []
    names: list[str] = []
    trees = []
    for parameter, arg in zip(parameters, args, strict=True):
        paths, values, spec = optree.tree_flatten_with_path(arg)
        new = []
        for path, value in zip(paths, values, strict=True):
            name = ".".join(map(str, path)) if path else parameter
            name = f"{parameter}.{name}" if name in names else name
            if _is_float(value):
                read = value.numpy() if isinstance(value, Tensor) else value
                value = constant(read, name=name)
                leaves.append(value)
                names.append(name)
            new.append(value)
        trees.append(optree.tree_unflatten(spec, new))

    def call(g: Callable) -> list[Tensor]:
        result = g(*trees)
        flat, call.tree = optree.tree_flatten(result)  # type: ignore[attr-defined]
        call.floats = [isinstance(t, Tensor) and t.dtype.kind == "f" for t in flat]  # type: ignore[attr-defined]
        for t in flat:
            if not isinstance(t, (Tensor, np.ndarray, np.generic, int, float, bool)):
                raise TypeError(
                    f"check_grads: {getattr(g, '__name__', 'f')} must return Tensors (or a pytree "
                    f"of them); it returned a {type(t).__name__}"
                )
        if not any(isinstance(t, Tensor) for t in flat):
            raise TypeError(
                f"check_grads: {getattr(g, '__name__', 'f')} returned no Tensor; it must compute "
                "with minigrad's functions (for NumPy, torch or JAX functions use check_vjp)"
            )
        return [t for t, yes in zip(flat, call.floats, strict=True) if yes]  # type: ignore[attr-defined]

    call.trees = trees  # type: ignore[attr-defined]
    return leaves, names, call


def _parameters(f: Callable, n: int) -> list[str]:
    try:
        known = [p.name for p in inspect.signature(f).parameters.values() if p.kind in (0, 1)]
    except (TypeError, ValueError):
        known = []
    return [*known[:n], *(f"arg{k}" for k in range(len(known[:n]), n))]


def _is_float(x: Any) -> bool:
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x.dtype.kind == "f"
    return type(x) is float


def _again(f: Callable, args: tuple) -> list[Tensor]:
    _, _, call = _arguments(f, args)
    return call(f)


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    if [t.shape for t in a] != [t.shape for t in b]:
        return False
    pairs = zip(_values(a), _values(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def _values(outputs: Sequence[Tensor]) -> Arrays:
    return evaluate(list(outputs))


def _seeds(rng: np.random.Generator, outputs: Sequence[Tensor]) -> Arrays:
    return [dyadic(rng, t.shape) for t in outputs]


def _modes(modes: Any) -> tuple[str, ...]:
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= {"rev", "fwd"}:
        raise ValueError(f"check_grads: modes are 'rev' and 'fwd'; got {modes!r}")
    return modes


def _reference(
    reference: Callable, args: tuple, tree: Any, outputs: Sequence[Tensor], call: Any
) -> Callable[[Any], Arrays]:
    """The user's exact gradients as a function of the flat cotangent."""

    def exact(u: Any) -> Arrays:
        ends = np.cumsum([t.size for t in outputs])[:-1]
        parts = iter(p.reshape(t.shape) for p, t in zip(np.split(u, ends), outputs, strict=True))
        us = optree.tree_unflatten(tree, [next(parts) if yes else None for yes in call.floats])
        given = reference(us, *args)
        given = given if isinstance(given, tuple) and len(given) == len(args) else (given,)
        if len(given) != len(args):
            raise ValueError(
                f"reference must return one gradient per argument: {len(args)}, not {len(given)}"
            )
        found = []
        for grads, arg in zip(given, args, strict=True):
            for g, x in zip(
                optree.tree_structure(arg).flatten_up_to(grads),
                optree.tree_leaves(arg),
                strict=True,
            ):
                if _is_float(x):
                    found.append(np.broadcast_to(np.asarray(g, np.float64), np.shape(x)))
        return found

    return exact
