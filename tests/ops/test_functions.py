"""Functions of analysis at points where their value or slope is known in closed form."""

import numpy as np
import pytest

import minigrad as mg


def test_cube_roots_of_cubes():
    x = np.array([-8.0, -1.0, -0.0, 0.0, 27.0, 1e-300, 1e300, -np.inf, np.inf, np.nan])
    wanted = np.array([-2.0, -1.0, -0.0, 0.0, 3.0, 1e-100, 1e100, -np.inf, np.inf, np.nan])
    for found in (mg.cbrt(x).numpy(), mg.function(mg.cbrt)(x)):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_slopes_of_the_cube_root():
    """1 / (3 y^2) on both sides, infinite at 0, and absorbed where the root is not taken."""
    x = mg.asarray([-8.0, 27.0, 0.0])
    assert mg.grad(mg.sum(mg.cbrt(x)), x).tolist() == pytest.approx([1 / 12, 1 / 27, np.inf])
    guarded = mg.sum(mg.where(x > 0, mg.cbrt(x), 0.0))
    assert mg.grad(guarded, x).tolist() == pytest.approx([0.0, 1 / 27, 0.0])
    second = mg.grad(mg.sum(mg.grad(mg.sum(mg.cbrt(x[:2])), x)), x)
    assert second.tolist() == pytest.approx([2 / 9 * 8 ** (-5 / 3), -2 / 9 * 27 ** (-5 / 3), 0.0])


def test_numpys_cube_root_records_it():
    t = mg.asarray([8.0])
    assert np.cbrt(t).op.name == "cbrt" and np.cbrt(t).tolist() == [2.0]
