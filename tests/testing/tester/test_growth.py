"""The error model: what rounding may do, neither less nor much more."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.tester.growth import Growth, distance


def limits(f, *arrays):
    return Growth([f(*map(mg.asarray, arrays))]).tolerance(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_in_another_order_are_allowed_and_wrong_ones_are_not(dtype):
    x = np.random.default_rng(0).standard_normal(500).astype(dtype)
    limit = float(limits(mg.sum, x))
    eps = float(np.finfo(dtype).eps)
    assert abs(float(np.cumsum(x)[-1]) - float(np.sum(x))) <= limit < 1e4 * eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["sum", "adds"])
def test_a_running_total_of_equal_numbers_is_allowed(dtype, how):
    """It is rounded the same way at every step: off by many units, far beyond what averages out."""
    xs = np.random.default_rng(1).uniform(0.5, 1, 200).astype(dtype)
    off = np.abs(np.cumsum(np.tile(xs, (1000, 1)), axis=0)[-1] - 1000 * xs.astype(np.longdouble))
    x = xs[off.argmax()]
    if how == "sum":
        limit = float(limits(mg.sum, np.full(1000, x)))
    else:
        (one,) = mg.tensors([np.ones((), dtype)])
        total = mg.sum(mg.stack([one * float(x)] * 1000))
        limit = float(Growth([mg.grad(total, one)]).tolerance(0))
    assert limit / 50 < off.max() <= limit


def test_cancelling_is_allowed_for():
    def f(x):
        return (x + 1e8) - 1e8

    x = np.array([1.0])
    assert 1e-9 < float(limits(f, x)[0]) < 1e-5
    assert float(limits(lambda x: x + 1.0, x)[0]) < 1e-12


def test_what_rounds_nothing_has_no_room():
    x = np.array([0.0, 3.0, -2.0])
    assert (limits(lambda x: mg.maximum(mg.flip(x), x), x) < 1e-13).all()
    growth = Growth([mg.where(mg.asarray(x) > 0, 1.0, 0.0)])
    assert not np.any(growth.far[0])


def test_a_jump_that_rounding_crosses_is_allowed():
    x = np.array([0.1, 0.2])
    growth = Growth([mg.sign(mg.asarray(x[:1]) + 0.2 - 0.3)], runs=20)
    assert np.max(growth.far[0]) >= 1


def chaos(x):
    """Angles of which rounding leaves nothing, and powers of ten made of them."""
    angles = [mg.sin((x + k / 8) * 1e8) for k in range(4)]
    return mg.exp(sum(angles[1:], angles[0]) * 12)


def test_where_errors_grow_by_powers_of_ten_so_may_another_run():
    x = np.random.default_rng(0).uniform(1, 2, 2000).astype("float32")
    growth = Growth([chaos(mg.asarray(x))], runs=30)
    other = Growth([chaos(mg.asarray(np.nextafter(x, np.float32(3))))], runs=0)
    off = distance(growth.value[0], other.value[0])
    usual, allowed = 8 * np.max(growth.far[0], axis=0), growth.tolerance(0)
    assert (off > usual).sum() >= 2, "cases beyond the usual factor"
    assert (off > allowed).sum() < (off > usual).sum() / 2


def test_a_sum_that_cancels_to_rounding_is_still_judged():
    x = np.random.default_rng(1).standard_normal(300)
    limit = float(limits(lambda x: mg.sum(mg.concat([x, -x])), x))
    assert limit < 1e-11


def test_distance():
    a = np.array([1.0, np.inf, np.nan, np.inf, np.nan, 0.0])
    b = np.array([1.5, np.inf, np.nan, -np.inf, 1.0, -0.0])
    assert distance(a, b).tolist() == [0.5, 0.0, 0.0, np.inf, np.inf, 0.0]
    assert distance(np.array([1, 2]), np.array([1, 3])).tolist() == [0.0, np.inf]
