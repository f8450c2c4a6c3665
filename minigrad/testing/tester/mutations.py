"""The mistakes that `mutate` plants.

Changes that fit every derivative rule, and slips that fit one (`faults`: of the engine around).

A `Change` takes one use of a rule (`Site`) and returns a wrong cotangent,
recorded like the right one,
or None where it has nothing to change there (a transposition of what is not square).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

import minigrad as mg

from ...autodiff import differentiable
from ...graph import Tensor, bind, copied
from ...recur import PROJ, RECUR, ROW, SHARED, parts_of, proj

recurrences = import_module("minigrad.recur")  # minigrad.recur is its function
Rule = Callable[..., Sequence[Any]]


# -- changes that fit every rule -------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """One use of a rule: what it was given, and which input's cotangent is being made wrong."""

    rule: Rule
    ct: Any
    node: Tensor
    wanted: Sequence[bool]
    k: int

    @cached_property
    def g(self) -> Any:
        return self.rule(self.ct, self.node, self.wanted)[self.k]

    @property
    def x(self) -> Tensor:
        return self.node.inputs[self.k]

    def asked(self, ct: Any = None, node: Tensor | None = None, k: int | None = None) -> Any:
        """What the right rule says when given something else."""
        given = self.ct if ct is None else ct
        node = self.node if node is None else node
        wanted = [differentiable(t) for t in node.inputs]
        return self.rule(given, node, wanted)[self.k if k is None else k]


Change = Callable[[Site], Any]  # the wrong cotangent; None: no change here


def _on_cotangent(f: Callable[[Tensor], Tensor | None]) -> Change:
    """The rule is given another cotangent than arrived."""

    def change(s: Site) -> Any:
        if isinstance(s.ct, list):  # a recurrence: one cotangent per projection
            new = [(p, f(ct)) for p, ct in s.ct]
            return None if any(ct is None for _, ct in new) else s.asked(new)
        ct = f(s.ct)
        return None if ct is None else s.asked(ct)

    return change


def _on_result(f: Callable[[Tensor], Tensor | None]) -> Change:
    return lambda s: f(s.g)


def roll(t: Tensor, axis: int = -1) -> Tensor | None:
    if not t.ndim or t.shape[axis] < 2:
        return None
    index = np.roll(np.arange(t.shape[axis]), 1)
    return mg.take(t, index, axis=axis)


def _transposed(t: Tensor) -> Tensor | None:
    square = t.ndim >= 2 and t.shape[-1] == t.shape[-2] > 1
    return mg.matrix_transpose(t) if square else None


def _masked(t: Tensor, at: int, value: float) -> Tensor | None:
    """One element multiplied by `value`."""
    if t.size < 2:
        return None
    weights = np.ones(t.size, t.dtype)
    weights[at] = value
    return mg.multiply(t, weights.reshape(t.shape))


def _pass_through(s: Site) -> Any:
    same = isinstance(s.ct, Tensor) and isinstance(s.g, Tensor) and s.ct.shape == s.g.shape
    return s.ct if same else None


def _applied_twice(s: Site) -> Any:
    same = isinstance(s.g, Tensor) and isinstance(s.ct, Tensor) and s.ct.shape == s.g.shape
    return s.asked(s.g) if same else None


def _stale(s: Site) -> Any:
    """Inputs as they were before the last update of the parameters."""
    if s.node.op in (RECUR, PROJ):
        return None
    old = [x * 1.01 + 0.01 if x.dtype.kind == "f" else x for x in s.node.inputs]
    return s.asked(node=copied(s.node, old))


def _residual_transposed(s: Site) -> Any:
    if s.node.op in (RECUR, PROJ):
        return None
    new = [
        _transposed(x) if n != s.k and x.dtype.kind == "f" else None
        for n, x in enumerate(s.node.inputs)
    ]
    if not any(t is not None for t in new):
        return None
    inputs = [x if t is None else t for t, x in zip(new, s.node.inputs, strict=True)]
    return s.asked(node=copied(s.node, inputs))


def _partner(s: Site) -> int | None:
    """Another differentiable input of the same shape, the next one round."""
    n = len(s.node.inputs)
    for step in range(1, n):
        j = (s.k + step) % n
        if s.node.inputs[j].shape == s.x.shape and s.node.inputs[j].dtype == s.x.dtype:
            vias = parts_of(s.node).vias if s.node.op is RECUR else None
            if vias is None or vias[j] is vias[s.k]:
                return j
    return None


def _swapped(s: Site) -> Any:
    j = _partner(s)
    return None if j is None else s.asked(k=j)


def _residual_swapped(s: Site) -> Any:
    """The slope of the other input: (g * a, g * b) for a product."""
    j = _partner(s)
    if j is None or s.node.op is RECUR:
        return None
    inputs = list(s.node.inputs)
    inputs[s.k], inputs[j] = inputs[j], inputs[s.k]
    return s.asked(node=copied(s.node, inputs))


def _mean_for_sum(s: Site) -> Any:
    if not isinstance(s.ct, Tensor) or not isinstance(s.g, Tensor):
        return None
    return s.g * (s.x.size / s.ct.size) if s.ct.size > s.x.size > 0 else None


def _detached(s: Site) -> Any:
    """The slope as a number: right, but constant to the second derivative."""
    if s.node.op in (RECUR, PROJ):
        return None
    held = [mg.stop_gradient(x) if x.dtype.kind == "f" else x for x in s.node.inputs]
    return s.asked(node=copied(s.node, held))


DETACHED = "slope detached"  # the one mutation that needs a second derivative to be seen

MUTATIONS: dict[str, Change] = {
    "sign": _on_result(mg.negative),
    "factor 1.001": _on_result(lambda g: g * 1.001),
    "factor 2": _on_result(lambda g: g * 2.0),
    "zero": _on_result(mg.zeros_like),
    "absolute value": _on_result(mg.abs),
    "constant added": _on_result(lambda g: g + 1e-3),
    "first element lost": _on_result(lambda g: _masked(g, 0, 0.0)),
    "last element lost": _on_result(lambda g: _masked(g, -1, 0.0)),
    "one element x 1.001": _on_result(lambda g: _masked(g, g.size // 2, 1.001)),
    "index off by one": _on_result(roll),
    "row off by one": _on_result(lambda g: roll(g, 0)),
    "reversed": _on_result(lambda g: mg.flip(g, axis=-1) if g.ndim else None),
    "transposed": _on_result(_transposed),
    "cotangent: absolute value": _on_cotangent(mg.abs),
    "cotangent: squared": _on_cotangent(mg.square),
    "cotangent: clipped": _on_cotangent(lambda ct: mg.clip(ct, -0.25, 0.25)),
    "cotangent: off by one": _on_cotangent(roll),
    "cotangent: reversed": _on_cotangent(lambda ct: mg.flip(ct, axis=-1) if ct.ndim else None),
    "cotangent: transposed": _on_cotangent(_transposed),
    "slope forgotten": _pass_through,
    "slope applied twice": _applied_twice,
    "stale inputs": _stale,
    "other operand transposed": _residual_transposed,
    "other input's cotangent": _swapped,
    "slope of the other input": _residual_swapped,
    "mean for sum": _mean_for_sum,
    DETACHED: _detached,
}


# -- slips that fit one rule -----------------------------------------------------------------------


def _formula(f: Callable[..., Tensor]) -> Change:
    """A slope from memory: f(out, *inputs) in place of the right one."""
    return lambda s: mg.multiply(s.ct, f(s.node, *s.node.inputs))


def _at_tie(weight: float) -> Change:
    """Both tied sides get this share each."""
    return lambda s: mg.where(mg.equal(*s.node.inputs), s.ct * weight, s.g)


def _at_zero(slope: float) -> Change:
    return lambda s: mg.where(mg.equal(s.x, 0), s.ct * slope, s.g)


def _spread(s: Site, t: Tensor) -> Tensor:
    axis = s.node.attrs["axis"]
    kept = tuple(1 if k - s.x.ndim in axis else n for k, n in enumerate(s.x.shape))
    return mg.broadcast_to(mg.reshape(t, kept), s.x.shape)


def _every_maximum(s: Site) -> Any:
    return mg.where(mg.equal(s.x, _spread(s, s.node)), _spread(s, s.ct), 0.0)


def _no_tied_maximum(s: Site) -> Any:
    wins = mg.equal(s.x, _spread(s, s.node))
    count = _spread(s, mg.sum(mg.astype(wins, float), axis=s.node.attrs["axis"]))
    return mg.where(count > 1, 0.0, s.g)


def _copies(s: Site) -> list[int]:
    """Axes of the result along which `broadcast_to` repeats."""
    pad = s.node.ndim - s.x.ndim
    return [
        k for k, n in enumerate(s.node.shape) if k < pad or (s.x.shape[k - pad] == 1 and n != 1)
    ]


def _one_copy(which: int) -> Change:
    """No sum: the cotangent of one copy."""

    def change(s: Site) -> Any:
        at = _copies(s)
        if not at or not s.ct.size:
            return None
        key = tuple(which if k in at else slice(None) for k in range(s.ct.ndim))
        return mg.reshape(s.ct[key], s.x.shape)

    return change


def _wrong_axis_summed(s: Site) -> Any:
    """A vector repeated to a square matrix: summed along the other axis."""
    n = s.node.ndim
    square = n >= 2 and s.node.shape[-1] == s.node.shape[-2]
    if not square or len({n - 1, n - 2} & set(_copies(s))) != 1:
        return None
    return s.asked(mg.matrix_transpose(s.ct))


def _one_axis_unsummed(s: Site) -> Any:
    """Of several repeated axes the first is not summed."""
    at = _copies(s)
    if len(at) < 2 or not s.ct.size:
        return None
    return mg.reshape(mg.sum(mg.take(s.ct, [0], axis=at[0]), axis=tuple(at)), s.x.shape)


def _fortran(s: Site) -> Any:
    """Put back in Fortran order."""
    axes = tuple(reversed(range(s.ct.ndim)))
    turned = mg.permute_dims(s.ct, axes)
    back = mg.reshape(turned, tuple(reversed(s.x.shape)))
    return mg.permute_dims(back, tuple(reversed(range(s.x.ndim))))


def _not_inverted(s: Site) -> Any:
    back = mg.permute_dims(s.ct, s.node.attrs["axes"])
    return back if back.shape == s.x.shape else None


def _duplicates(last: bool) -> Change:
    """Rows taken twice: only one use counts."""

    def change(s: Site) -> Any:
        index = s.node.inputs[1]._value
        if s.node.op.name != "take" or index is None or index.size < 2:
            return None
        flat = index.ravel() % len(s.x)
        places = np.arange(index.size)
        keep = [not (flat[p + 1 :] if last else flat[:p]).__contains__(flat[p]) for p in places]
        mask = np.reshape(keep, index.shape + (1,) * (s.x.ndim - 1))
        return s.asked(mg.where(mask, s.ct, 0.0))

    return change


def _moved_bounds(s: Site) -> Any:
    """The piece cut one place too early."""
    axis = s.node.attrs.get("axis", -1)
    rolled = roll(s.ct, axis if isinstance(axis, int) else -1)
    return None if rolled is None else s.asked(rolled)


def _first_only(s: Site) -> Any:
    """A sum whose gradient reaches the first element only."""
    weights = np.zeros(s.x.size)
    weights[:1] = 1
    return mg.multiply(s.g, weights.reshape(s.x.shape))


def _same_way(s: Site) -> Any:
    """A running result whose cotangent runs the same way, not back."""
    if s.node.op.name == "linear_recurrence":
        a = s.node.inputs[0]
        return bind(s.node.op, a, s.ct, **s.node.attrs) if s.k else None
    return bind(s.node.op, s.ct, **s.node.attrs)


def _divided_out(s: Site) -> Any:
    """The product of the other factors as y / x, which is NaN at a zero."""
    if "reverse" not in s.node.attrs:
        return _spread(s, mg.multiply(s.ct, s.node)) / s.x
    axis, back = s.node.attrs["axis"], s.node.attrs["reverse"]
    parts = s.ct * s.node
    total = mg.cumulative_sum(parts if back else mg.flip(parts, axis=axis), axis=axis)
    return (total if back else mg.flip(total, axis=axis)) / s.x


SLIPS: dict[str, dict[str, Change]] = {
    "abs": {"slope 2 at 0": _at_zero(2.0), "slope 1": _formula(lambda y, a: mg.ones_like(a))},
    "relu": {"slope -1 at 0": _at_zero(-1.0), "of the output": _formula(lambda y, a: y)},
    "maximum": {"a tie gives all to each": _at_tie(1.0), "a tie gives nothing": _at_tie(0.0),
                "the smaller wins": lambda s: s.ct - s.g},
    "minimum": {"a tie gives all to each": _at_tie(1.0), "a tie gives nothing": _at_tie(0.0),
                "the larger wins": lambda s: s.ct - s.g},
    "max": {"a tie gives all to each": _every_maximum, "a tie gives nothing": _no_tied_maximum},
    "broadcast_to": {"first copy only": _one_copy(0), "last copy only": _one_copy(-1),
                     "wrong axis summed": _wrong_axis_summed,
                     "one axis not summed": _one_axis_unsummed},
    "reshape": {"Fortran order": _fortran},
    "permute_dims": {"not inverted": _not_inverted},
    "take": {"last use of a row only": _duplicates(True),
             "first use of a row only": _duplicates(False)},
    "concat": {"bounds off by one": _moved_bounds},
    "sum": {"first element only": _first_only},
    "where": {"choice ignored": lambda s: s.ct, "choice inverted": lambda s: s.ct - s.g},
    "tanh": {"1 - x^2": _formula(lambda y, a: 1 - a * a), "1 - y": _formula(lambda y, a: 1 - y)},
    "sigmoid": {"x (1 - x)": _formula(lambda y, a: a * (1 - a)),
                "1 - y": _formula(lambda y, a: 1 - y)},
    "exp": {"of the input": _formula(lambda y, a: a)},
    "log": {"x": _formula(lambda y, a: a), "1/y": _formula(lambda y, a: 1 / y)},
    "log1p": {"1/x": _formula(lambda y, a: 1 / a)},
    "sqrt": {"1/y": _formula(lambda y, a: 1 / y), "1/(2x)": _formula(lambda y, a: 0.5 / a)},
    "square": {"x": _formula(lambda y, a: a), "2y": _formula(lambda y, a: 2 * y)},
    "sin": {"-cos": _formula(lambda y, a: -mg.cos(a)), "y": _formula(lambda y, a: y)},
    "cos": {"sin": _formula(lambda y, a: mg.sin(a)), "-y": _formula(lambda y, a: -y)},
    "tan": {"1 - y^2": _formula(lambda y, a: 1 - y * y)},
    "asin": {"acos's": _formula(lambda y, a: -((1 - a * a) ** -0.5)),
             "of 1 + x^2": _formula(lambda y, a: (1 + a * a) ** -0.5)},
    "atan": {"atanh's": _formula(lambda y, a: 1 / (1 - a * a))},
    "sinh": {"y": _formula(lambda y, a: y)},
    "cosh": {"-sinh": _formula(lambda y, a: -mg.sinh(a))},
    "erf": {"half": _formula(lambda y, a: mg.exp(-a * a) / math.sqrt(math.pi))},
    "softplus": {"y": _formula(lambda y, a: y)},
    "divide": {"exponent of x2": lambda s: s.ct / s.node.inputs[1] ** 2 if s.k == 0 else
               -s.ct * s.node.inputs[0] / s.node.inputs[1]},
    "pow": {"exponent not lowered": lambda s: s.ct * s.node * s.node.inputs[1] if s.k == 0 else
            s.ct * s.node * mg.log(mg.abs(s.node.inputs[1]))},
    "hypot": {"not divided": lambda s: s.ct * s.x},
    "norm": {"not divided": lambda s: _spread(s, s.ct) * s.x,
             "divided twice": lambda s: s.g / _spread(s, s.node)},
    "prod": {"divided out": _divided_out}, "cumulative_prod": {"divided out": _divided_out},
    "cumulative_sum": {"runs the same way": _same_way},
    "linear_recurrence": {"runs the same way": _same_way},
}  # fmt: skip


# -- recurrences -----------------------------------------------------------------------------------


def _by_node(s: Site) -> Tensor | None:
    """The cotangent of a recurrence's argument, per node."""
    if not isinstance(s.g, Tensor) or s.g.op is not PROJ or not parts_of(s.node).structure.n:
        return None
    return proj(s.g.inputs[0], s.g.attrs["ref"], ROW)


def _one_node(which: int) -> Change:
    """Missing sum over the nodes: one node's contribution stands for all."""

    def change(s: Site) -> Any:
        rows = _by_node(s)
        via = parts_of(s.node).vias[s.k]
        if rows is None or via is ROW:
            return None
        if via.rows is None:
            return rows[which]
        order = range(len(via.rows)) if which else reversed(range(len(via.rows)))
        chosen = {int(via.rows[n]): n for n in order if via.rows[n] >= 0}
        nothing = mg.zeros(rows.shape[1:])
        return mg.stack([rows[chosen[m]] if m in chosen else nothing for m in range(via.size)])

    return change


def _per_node_mean(s: Site) -> Any:
    n = parts_of(s.node).structure.n
    return s.g * (1 / n) if n > 1 else None


def _one_output_lost(which: int) -> Change:
    """One of the recurrence's outputs sends nothing back."""

    def change(s: Site) -> Any:
        if len(s.ct) < 2:
            return None
        new = [(p, ct) for p, ct in s.ct if p is not s.ct[which][0]]
        return s.asked(new)

    return change


def _gates_swapped(s: Site) -> Any:
    """In a cell with a weight per gate, two gates get each other's gradient."""
    gates = [k for k, via in enumerate(parts_of(s.node).vias) if via is SHARED]
    if len(gates) < 4 or s.k not in gates[:2]:
        return None
    return s.asked(k=gates[1 - gates.index(s.k)])


def _time_reversed(s: Site) -> Any:
    return s.asked([(p, mg.flip(ct, axis=0) if p.attrs["via"] is ROW else ct) for p, ct in s.ct])


SLIPS["recur"] = {
    "last node for the sum": _one_node(-1), "first node for the sum": _one_node(0),
    "mean over nodes": _per_node_mean, "first output lost": _one_output_lost(0),
    "last output lost": _one_output_lost(-1), "time reversed": _time_reversed,
    "two gates swapped": _gates_swapped,
}  # fmt: skip
