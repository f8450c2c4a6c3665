"""Gradients per node: contributions of a shared tensor, gradients of states."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.structure import Structure
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def test_the_ledger_of_a_sequence_is_its_terms():
    """Linear recurrence: dL/dw at step k is w^(T-k) h_(k-1), in closed form."""
    w = mg.asarray(0.9)
    states, _ = mg.recur(
        lambda p, h, x: (h * p + x, h),
        Structure.chain(4),
        initial=np.array([2.0]),
        shared=w,
        inputs=np.array([1.0, -1.0, 0.5, 3.0]),
    )
    before = np.concatenate([[2.0], states.numpy()[:-1]])
    wanted = 0.9 ** np.arange(3, -1, -1) * before
    close(mg.contributions(states[3], w).numpy(), wanted, 1e-14)


def test_uses_outside_of_a_recurrence_have_a_row_each():
    w = mg.asarray(np.array([1.0, 2.0]))
    loss = mg.sum(w * 3) + mg.sum(w * w)
    ledger = mg.contributions(loss, w).numpy()
    close(ledger.sum(0), mg.grad(loss, w).numpy(), 1e-15)
    assert mg.contributions(mg.sum(w), mg.asarray(1.0)).shape == (0,)


def test_state_gradients_go_through_all_later_nodes():
    rng = np.random.default_rng(3)
    x, u = rng.standard_normal((4, 2)), rng.standard_normal((2, 2))
    states, _ = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p + x), h),
        Structure.chain(4),
        initial=np.zeros((1, 2)),
        shared=u,
        inputs=x,
    )
    loss = mg.sum(states[3] ** 2) + mg.sum(states[1])
    found = mg.state_gradients(loss, states).numpy()
    h, steps = mg.zeros(2), []
    for k in range(4):
        h = mg.tanh(h @ u + x[k])
        steps.append(h)
    plain = mg.sum(steps[3] ** 2) + mg.sum(steps[1])
    close(found, np.stack(mg.evaluate(mg.grad(plain, steps))), 1e-14)
    direct = mg.grad(loss, states).numpy()
    assert not direct[0].any() and found[0].any()


def test_state_gradients_of_what_unroll_and_fold_return():
    cell = rc.LSTM(2, 3)
    xs = RNG.standard_normal((4, 2, 2))
    _, ys = rc.unroll(cell, cell.init(0), xs, lengths=[4, 2])
    g = mg.state_gradients(mg.sum(ys[3] + ys[1]), ys).numpy()
    assert g.shape == ys.shape and g[0].all() and not g[2:, 1].any()
    tree = rc.TreeLSTM(2, 3)
    (h, c), _ = rc.fold(tree, tree.init(0), (("a", "b"), "c"), np.ones((3, 2)))
    gh, gc = mg.state_gradients(mg.sum(h[-1]), (h, c))
    close(gh[-1].numpy(), np.ones(3), 1e-15)
    assert gc.shape == (5, 3) and gc.numpy()[:4].any(axis=1).all()


def test_gradients_per_node_of_a_pytree():
    rng = np.random.default_rng(0)
    t = mg.tensors({"u": rng.normal(size=(2, 2)), "b": rng.normal(size=2)})
    states, _ = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p["u"] + p["b"]), h), Structure.chain(3),
        initial=np.ones((1, 2)), shared=t,
    )  # fmt: skip
    loss = mg.sum(states[2] ** 2)
    rows, whole = mg.contributions(loss, t), mg.grad(loss, t)
    for name in t:
        assert rows[name].shape == (3, *t[name].shape)
        close(mg.sum(rows[name], axis=0).numpy(), whole[name].numpy(), 1e-14)
        close(rows[name].numpy(), mg.contributions(loss, t[name]).numpy(), 0.0)


def test_state_gradients_do_not_pass_a_users_op():
    """Regression: an op that looks at whole arrays was taken for a rearrangement of the states."""
    triple = mg.primitive(
        "triple", kind="whole", shape=lambda x: x.shape, numpy=lambda x: 3 * x,
        vjp=lambda ct, y, x: ct * 3,
    )  # fmt: skip
    states, _ = mg.recur(
        lambda p, h, x: (h + x, h), Structure.chain(3), initial=np.zeros((1, 2)),
        inputs=np.ones((3, 2)),
    )  # fmt: skip
    y = triple(states)
    loss = mg.sum(y[2])
    close(mg.state_gradients(loss, states).numpy(), np.full((3, 2), 3.0), 1e-15)
    close(mg.state_gradients(loss, mg.flip(states, axis=0)).numpy(), np.full((3, 2), 3.0), 1e-15)
    for other in (y, states * 2, mg.concat([states, states]), mg.scatter(states, [0, 0, 1], 2)):
        with pytest.raises(ValueError, match="not the states of one recurrence"):
            mg.state_gradients(loss, other)


# -- from state to state ---------------------------------------------------------------------------


def test_state_jacobians_are_products_of_step_jacobians():
    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
    cell = lambda p, h, x: ((s := mg.tanh(h @ p["U"] + x @ p["W"])), s)  # noqa: E731
    _, ys = rc.unroll(cell, {"U": u, "W": w}, rng.standard_normal((6, 2)), carry=np.zeros(3))
    steps = [np.diag(1 - h**2) @ u.T for h in ys.numpy()]
    for k, t in [(1, 4), (0, 5), (2, 3)]:
        wanted = np.eye(3)
        for step in steps[k + 1 : t + 1]:
            wanted = step @ wanted
        close(mg.state_jacobians(ys[t], ys[k]), wanted, 1e-12)
    close(mg.state_jacobians(ys[3], ys[3]), np.eye(3), 0)
    close(mg.state_jacobians(ys[3], ys[4]), np.zeros((3, 3)), 0)
    every = mg.state_jacobians(ys[5], ys)
    assert every.shape == (3, 6, 3)
    close(every[:, 2], mg.state_jacobians(ys[5], ys[2]), 1e-12)


def test_state_jacobians_over_a_tree_and_both_parts_of_a_state():
    cell = rc.TreeLSTM(2, 3)
    p = cell.init(0)
    states, _ = rc.fold(cell, p, [(("a", "b"), "c")], np.ones((3, 2)))
    h, c = states
    root = len(h) - 1
    found = mg.state_jacobians(h[root], {"h": h[0], "c": c[0]})
    weights = np.random.default_rng(0).standard_normal(3)
    wanted = mg.state_gradients(mg.sum(h[root] * weights), {"h": h, "c": c})
    for part in ("h", "c"):
        close(weights @ found[part], wanted[part][0], 1e-12)


@pytest.mark.parametrize("ask,words", [
    (lambda ys: mg.state_jacobians(ys[3], mg.tanh(ys[1])), "not the states of one recurrence"),
    (lambda ys: mg.state_jacobians(mg.ones(3), ys[1]), "not computed from"),
])  # fmt: skip
def test_state_jacobians_of_what_is_none(ask, words):
    _, ys = rc.unroll(rc.GRU(2, 3), rc.GRU(2, 3).init(0), np.ones((4, 2)))
    with pytest.raises(ValueError, match=words):
        ask(ys)
