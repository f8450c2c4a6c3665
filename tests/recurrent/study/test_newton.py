"""All states at once: those of the recurrence, from any guess; and the scan itself."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close
from recurrent.study.newton import linear_recurrence

RNG = np.random.default_rng(3)
XS = RNG.standard_normal((12, 2, 2))


@pytest.mark.parametrize("time", [1, 2, 3, 7, 8, 9])
def test_the_scan_is_the_loop(time):
    a, b = RNG.standard_normal((time, 2, 3, 3)), RNG.standard_normal((time, 2, 3))
    s = first = RNG.standard_normal((2, 3))
    wanted = []
    for t in range(time):
        s = (a[t] @ s[..., None])[..., 0] + b[t]
        wanted.append(s)
    close(linear_recurrence(a, b, first), np.array(wanted), 1e-11)


@pytest.mark.parametrize("method", ["newton", "quasi", "damped"])
@pytest.mark.parametrize("cell", [rc.GRU(2, 3), rc.LSTM(2, 3)], ids=lambda c: type(c).__name__)
def test_the_states_of_the_recurrence(cell, method):
    found = rc.study.newton(cell, cell.init(0), XS, method=method, iterations=200)
    _, ys = rc.unroll(cell, cell.init(0), XS)
    assert found.converged and found.iterations < (8 if method == "newton" else 60)
    close(found.states[..., : ys.shape[-1]], ys.numpy(), 1e-10)
    assert found.residuals[-1] < 1e-11 < found.residuals[0]


def test_each_iteration_makes_one_more_state_right():
    """However bad the guess (Gonzalez et al. 2024, proposition 1)."""
    u = 2.5 * np.array([[0.0, 1.0], [-1.0, 0.3]])
    cell = lambda p, h, x: ((s := mg.tanh(h @ p + x)), s)  # noqa: E731
    x = XS[:, 0]
    guess = 3 * RNG.standard_normal((12, 1, 2))
    _, ys = rc.unroll(cell, u, x, carry=np.zeros(2))
    for k in range(1, 6):
        found = rc.study.newton(cell, u, x, np.zeros(2), iterations=k, guess=guess, tol=0)
        close(found.states[:k, 0], ys.numpy()[:k], 1e-9)


def test_a_linear_recurrence_takes_one_iteration():
    cell = lambda p, h, x: ((s := h @ p + x), s)  # noqa: E731
    found = rc.study.newton(cell, RNG.standard_normal((2, 2)), XS[:5, 0], np.ones(2))
    assert found.iterations == 1 and found.converged and "converged after 1" in repr(found)


def test_what_does_not_converge_says_so():
    cell = lambda p, h, x: ((s := mg.exp(h * p) + x), s)  # noqa: E731
    found = rc.study.newton(cell, np.ones(1), np.ones((9, 1)), np.ones(1), iterations=3)
    assert not found.converged and "NOT converged" in repr(found)


@pytest.mark.parametrize("options,words", [
    ({"method": "secant"}, "method must be"), ({"guess": np.ones((3, 2))}, "guess must have"),
    ({"iterations": 0}, "iterations must be"),
])  # fmt: skip
def test_what_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        rc.study.newton(rc.GRU(2, 3), rc.GRU(2, 3).init(0), XS, **options)
