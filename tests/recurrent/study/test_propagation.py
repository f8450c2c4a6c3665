"""Propagation: against derivatives of the unrolled graph, and closed forms."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

RNG = np.random.default_rng(1)
T, B = 5, 2
XS = RNG.standard_normal((T, B, 2))
CELLS = [rc.RNN(2, 3), rc.LSTM(2, 2), rc.GRU(2, 3)]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_against_the_unrolled_graph(cell):
    p = cell.init(0)
    found = rc.study.propagation(cell, p, XS)
    x = mg.asarray(XS)
    _, ys = rc.unroll(cell, mg.tensors(p), x)
    close(found.outputs, ys.numpy(), 1e-13)
    slopes = mg.evaluate(mg.jacobian(ys, x))
    wanted = [[[np.linalg.norm(slopes[t, b, :, k, b]) for b in range(B)] for k in range(T)]
              for t in range(T)]  # fmt: skip
    close(found.sensitivity, np.array(wanted), 1e-12)
    if len(found.steps.shapes) == 1:  # the state is the output
        for k in range(1, T):
            wanted = [mg.evaluate(mg.state_jacobians(ys[-1, b], ys[k - 1, b])) for b in range(B)]
            close(found.products()[k], np.array(wanted), 1e-12)
    top = np.linalg.svd(found.products()[0])[1][:, 0]
    close(found.norms()[0], top, 1e-12)
    assert (found.singular_values[..., 0] >= found.spectral_radius - 1e-12).all()


def test_a_loss_of_every_step():
    cell = rc.LSTM(2, 2)
    losses = lambda ys: mg.sum(mg.square(ys[:, :1]) * ys[:, 1:], axis=(1, 2))  # noqa: E731
    found = rc.study.propagation(cell, cell.init(0), XS, losses=losses)
    x = mg.asarray(XS)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), x)
    wanted = np.linalg.norm(mg.evaluate(mg.jacobian(losses(ys), x)), axis=-1)
    close(found.sensitivity, wanted, 1e-12)


def test_a_linear_recurrence_in_closed_form():
    a = np.array([[0.5, 2.0], [0.0, 0.25]])
    cell = lambda p, h, x: ((s := h @ p.mT + x), s)  # noqa: E731
    found = rc.study.propagation(cell, a, np.zeros((400, 2)), carry=np.ones(2))
    close(found.lyapunov[0], np.log([0.5, 0.25]), 1e-2)
    close(found.products(3)[0, 0], np.linalg.matrix_power(a, 3), 1e-13)
    close(found.spectral_radius, np.full((400, 1), 0.5), 1e-13)


def test_memory_of_a_leaky_sum():
    cell = lambda p, h, x: ((s := h * p + x), s)  # noqa: E731
    found = rc.study.propagation(cell, 0.5 * np.ones(1), np.ones((30, 1)), carry=np.zeros(1))
    assert found.memory(0.01).tolist() == [6]  # 0.5 ** 6 > 0.01 > 0.5 ** 7
    assert found.memory(0.4).tolist() == [1]


def test_losses_of_norm_add_up_and_are_where_they_belong():
    for cell in CELLS:
        found = rc.study.propagation(cell, cell.init(0), 3 * XS)
        parts = found.losses_of_norm
        close(sum(parts.values()), np.log(np.linalg.norm(found.jacobians, axis=(-2, -1))), 1e-12)
        assert parts["saturation"].mean() < 0
    u = RNG.standard_normal((3, 3))
    linear = lambda p, h, x: ((s := h @ p + x), s)  # noqa: E731
    parts = rc.study.propagation(linear, u, np.ones((4, 3)), carry=np.zeros(3)).losses_of_norm
    assert not parts["saturation"].any() and not parts["gates"].any()
    closed = lambda p, h, x: ((s := mg.sigmoid(x - 9) * (h @ p)), s)  # noqa: E731
    parts = rc.study.propagation(closed, u, np.ones((4, 3)), carry=np.zeros(3)).losses_of_norm
    assert (parts["gates"] < -7).all() and np.abs(parts["saturation"]).max() < 1e-9


def test_one_sequence_text_and_no_inputs():
    cell = rc.GRU(2, 3)
    one = rc.study.propagation(cell, cell.init(0), XS[:, 0])
    both = rc.study.propagation(cell, cell.init(0), XS)
    close(one.jacobians[:, 0], both.jacobians[:, 0], 1e-13)
    assert "largest Lyapunov exponent" in str(one) and "5 steps" in repr(one)
    turn = lambda p, h, x: ((s := h @ p), s)  # noqa: E731
    free = rc.study.propagation(turn, np.eye(2)[::-1], None, carry=np.ones(2), steps=4)
    close(free.norms(), np.ones((5, 1)), 1e-13)
    with pytest.raises(ValueError, match="without inputs"):
        _ = free.sensitivity


@pytest.mark.parametrize("xs,words", [
    (np.ones((0, 2)), "nothing to run"), (np.ones(3), "xs must be"), (None, "needs steps="),
    (np.ones((3, 2, 5)), "must be"),
])  # fmt: skip
def test_what_is_refused(xs, words):
    cell = rc.GRU(2, 3)
    with pytest.raises(ValueError, match=words):
        rc.study.propagation(cell, cell.init(0), xs)


def test_nan_spoils_its_own_steps_and_no_other_sequence():
    """LAPACK refuses a stack of matrices for one NaN in it."""
    spoilt = XS.copy()
    spoilt[2, 1] = np.nan
    cell = rc.RNN(2, 3)
    found, good = (rc.study.propagation(cell, cell.init(0), xs) for xs in (spoilt, XS))
    for name in ("singular_values", "eigenvalues", "lyapunov"):
        close(np.abs(getattr(found, name))[..., 0, :], np.abs(getattr(good, name))[..., 0, :], 0.0)
    close(found.norms()[:, 0], good.norms()[:, 0], 0.0)
    assert np.isnan(found.norms()[:-1, 1]).all()  # all products hold the spoilt steps
    close(found.singular_values[:2], good.singular_values[:2], 0.0)
    assert np.isnan(found.singular_values[2:, 1]).all() and "nan" in str(found)
