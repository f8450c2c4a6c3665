"""The oracles against slopes known in closed form, and against each other for every op."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.ops.facts import ELEMENTWISE, facts_of
from minigrad.ops.table import TABLE
from minigrad.testing import Verdict, check_grads
from minigrad.testing.checking.oracles import complex_step, differences
from minigrad.testing.checking.tape import EXTENDED, WIDE, Narrow, Tape, point_of
from minigrad.testing.examples.domains import DOMAINS

ROW = np.array([0.3, 0.7, -0.4, 1.6])
OF = {  # elementwise functions with a slope, by the number of their operands
    n: [name for name, f in ELEMENTWISE.items()
        if f.smooth and len(f.domains) == n and name in ops.__all__]
    for n in (1, 2)
}  # fmt: skip
ALONG = (
    "logsumexp softmax log_softmax mean sum max min flip norm prod cumulative_prod cumulative_sum "
    "sort std var"
).split()


def values(name):
    """Of every operand, where the function is smooth."""
    domains = ELEMENTWISE[name].domains if name in ELEMENTWISE else ("distinct",)
    return [DOMAINS[d].draw(np.random.default_rng([k, 7]), (4,)) for k, d in enumerate(domains)]


def point(f, *xs):
    leaves = [mg.asarray(x) for x in xs]
    return point_of(Tape([f(*leaves)], leaves), [x.numpy() for x in leaves])


def along(x, n=2):
    rng = np.random.default_rng(0)
    return [
        [rng.choice([-1.0, 1.0], np.shape(x)) * rng.integers(4, 17, np.shape(x)) / 8]
        for _ in range(n)
    ]


def agree(f, *xs):
    """Complex step and differences along random directions, each within its own error."""
    p = point(f, *xs)
    rng = np.random.default_rng(0)
    moves = [[rng.integers(4, 17, x.shape) / 8 for x in p.xs] for _ in range(2)]
    step, real = complex_step(p, moves), differences(p, moves)
    assert p.analytic
    off = np.fmax(np.abs(step.plus - real.plus), np.abs(step.plus - real.minus))
    assert (off <= 10 * real.error + step.error).all(), (step.plus, real.plus, real.error)
    assert (real.error <= 1e-6 * (1 + np.abs(real.plus))).all()


@pytest.mark.parametrize("name", [*OF[1], *OF[2], *ALONG])
def test_functions_where_they_are_smooth(name):
    f, xs = getattr(mg, name), values(name)
    agree(f, *xs)
    for dtype in (np.float64, np.float32):
        assert check_grads(f, *(x.astype(dtype) for x in xs)).verdict is Verdict.CORRECT
    assert check_grads(f, *xs, order=2).ok


@pytest.mark.parametrize("name", [*OF[1], *ALONG])
def test_functions_of_small_numbers(name):
    (x,), shift = values(name), 2 if name == "acosh" else 0
    assert check_grads(getattr(mg, name), x * 3e-5 + shift).verdict is Verdict.CORRECT


SHAPES = {
    "broadcast": lambda x: x[:, None] * x + mg.broadcast_to(x, (4, 4)),
    "transposed": lambda x: mg.permute_dims(mg.reshape(x, (2, 2)), (1, 0)),
    "slices": lambda x: mg.concat([x[1:], x[::-2]]),
    "take": lambda x: mg.take(x, np.array([[0, 0], [3, -1]])),
    "scatter": lambda x: mg.scatter(x, np.array([1, 1, 0, 2]), 3),
    "einsum": lambda x: mg.einsum("ij,jk,ii->k", *[mg.reshape(x, (2, 2))] * 3),
    "where": lambda x: mg.where(x > 0, mg.sin(x), x * x),
    "cast": lambda x: mg.astype(mg.astype(x, "float32"), "float64") * x,
    "loss": lambda x: mg.cross_entropy(mg.reshape(x, (2, 2)), np.array([1, 0])),
    "block": lambda x: mg.vmap(lambda r: mg.sin(r) * r)(mg.reshape(x, (2, 2))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_movement_contraction_and_maps(name):
    agree(SHAPES[name], ROW)
    assert check_grads(SHAPES[name], ROW, order=2).verdict is Verdict.CORRECT


def test_every_differentiable_primitive_has_a_complex_meaning():
    missing = {n for n, op in TABLE.items() if op.vjp and not facts_of(op).analytic}
    assert not missing, f"give these rows a meaning on complex numbers: {sorted(missing)}"


def test_the_complex_step_is_exact_and_differences_say_how_exact_they_are():
    p = point(mg.sin, ROW)
    moves = along(ROW)
    true = np.stack([np.cos(p.xs[0]) * v for (v,) in moves])
    for oracle, limit in ((complex_step, 1e-16), (differences, 1e-11)):
        s = oracle(p, moves)
        assert (np.abs(s.plus - true) <= s.error).all()
        if EXTENDED:
            assert (s.error < limit).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_error_estimate_holds_for_rough_functions(scale):
    p = point(lambda x: mg.sin(30 * x / scale) * mg.exp(x / scale), ROW * scale)
    moves = along(ROW)
    true, s = complex_step(p, moves).plus, differences(p, moves)
    assert (np.abs(s.plus - true) <= 10 * s.error).all()


def test_one_sided_slopes_at_a_kink():
    s = differences(point(mg.abs, np.zeros(1)), [[np.ones(1)]])
    assert abs(s.plus[0, 0] - 1) < 1e-12 and abs(s.minus[0, 0] + 1) < 1e-12
    assert point(mg.abs, np.zeros(1)).ties and not point(mg.abs, np.ones(1)).ties


def test_infinite_slopes_are_seen_and_finite_ones_are_not():
    assert differences(point(mg.sqrt, np.zeros(1)), [[np.ones(1)]]).infinite.all()
    assert not differences(point(mg.exp, np.array([30.0])), [[np.ones(1)]]).infinite.any()


def test_the_tape_runs_in_wide_numbers_and_refuses_what_cannot():
    x = mg.asarray(ROW)
    tape = Tape([mg.astype(mg.astype(mg.sin(x), "float32"), "float64")], [x])
    y = tape.flat(tape.base([ROW], WIDE))
    assert y.dtype == WIDE and np.abs(y - np.sin(ROW.astype(WIDE))).max() < 1e-15
    only64 = mg.primitive("only64", numpy=lambda a: np.float64(a), vjp=lambda g, y, a: g)
    if EXTENDED:
        with pytest.raises(Narrow):
            Tape([only64(x)], [x]).base([ROW], WIDE)
    assert check_grads(only64, ROW).verdict is Verdict.CORRECT


def test_stop_gradient_holds_its_value():
    x = mg.asarray(ROW)
    tape = Tape([x * mg.stop_gradient(x)], [x])
    slots = tape.base([ROW])
    assert tape.stops
    np.testing.assert_array_equal(tape.flat(tape.moved(slots, [2 * ROW])), 2 * ROW * ROW)


def test_ties_within_rounding_are_ties():
    assert point(lambda x: mg.abs(x * 0.1 * 10 - x * 0.3 / 0.3), np.array([1.0, 3.0])).ties
    assert not point(lambda x: mg.abs(x), np.array([1e-12])).ties


def test_cuts_of_the_complex_plane_are_not_seen():
    for f in (mg.log, mg.sqrt, mg.asin, mg.acosh, mg.log1p):
        p = point(f, np.array([-3.0]))
        assert np.isnan(p.at([p.xs[0] + 1e-30j])).all()
