"""What is concluded from one comparison goes by the oracle and the evaluation it came from."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_vjp
from minigrad.testing.checking.directions import slopes_along, ways_of
from minigrad.testing.checking.foreign import Foreign, _point
from minigrad.testing.checking.judge import Judge
from minigrad.testing.checking.recorded import Recorded
from minigrad.testing.checking.tape import WIDE

RNG = np.random.default_rng(0)


def test_the_tolerance_follows_the_oracle():
    """When differences take the complex step's place, its tolerance goes with it."""
    p = Foreign(np.sin, lambda ct, x: ct * np.cos(x), [np.array([0.3, -1.2])])
    point = _point(p, RNG)
    ways = ways_of(point, RNG, True, 1)
    judge = Judge(p, point, ways, slopes_along(point, ways, True), RNG, None, None)
    assert judge.slopes.name.startswith("complex step") and judge.rtol == 1e-9
    judge.slopes = slopes_along(point, ways, False)
    assert judge.rtol == (1e-6 if judge.slopes.name.startswith("differences") else 1e-9)
    assert judge.rtol == 1e-6
    assert Judge(p, point, ways, judge.slopes, RNG, 1e-4, None).rtol == 1e-4


def small(x):
    return 1e3 * np.sin(x[0]) + 1e-6 * np.abs(x[1])  # abs is not analytic, and too small to show


def test_a_swapped_oracle_is_judged_by_its_own_tolerance():
    def vjp(ct, x):
        return ct * np.array([1e3 * np.cos(x[0]), 1e-6 * (1 + 3e-7) * np.sign(x[1])])

    (found,) = check_vjp(small, vjp, np.array([0.4, 2.0])).findings
    assert found.oracle.startswith("differences") and found.verdict.ok
    assert found.tolerance >= 1e-10  # an input whose slopes go up to 1e3


@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_the_largest_number_is_that_of_the_evaluation_judged(mode):
    x = mg.asarray([2.0, -3.0])
    p = Recorded([mg.sum(x * 1e6 + x)], [x], ["x"], (mode,))
    if mode == "rev":
        for u in (1.0, 8.0):
            p.pull(np.array([u]), WIDE)
            assert p.largest == (1e6 + 1) * u
            p.pull(np.array([100.0]), None)  # only what is judged counts
            assert p.largest == (1e6 + 1) * u
    else:
        for v in (1.0, 8.0):
            p.push([np.array([v, v])], WIDE)
            assert p.largest == 2 * (1e6 + 1) * v
