"""block, vmap, unfold, contributions, state_gradients."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.recur import RECUR
from minigrad.structure import SINGLE, Structure
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def recurrences(*outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


def test_a_block_is_traced_once_per_signature_and_called_by_node():
    traces = []

    @mg.block
    def f(a, b):
        """Doc."""
        traces.append(1)
        return {"y": mg.tanh(a) * b, "z": a + 1}

    a = mg.asarray(RNG.standard_normal(3))
    first, second = f(a, 2.0), f(a * 2, 2.0)
    assert len(traces) == 1 and f.__name__ == "f" and f.__doc__ == "Doc."
    f(mg.asarray(np.ones(4)), 2.0)  # another shape
    f(a, 3.0)  # another static number
    assert len(traces) == 3
    y = first["y"] + second["z"]
    assert len(recurrences(y)) == 2
    plain = mg.tanh(a) * 2.0 + (a * 2 + 1)
    close(mg.evaluate(y), mg.evaluate(plain), 1e-15)
    found, wanted = mg.grad(mg.sum(y), a), mg.grad(mg.sum(plain), a)
    close(*mg.evaluate((found, wanted)), 1e-15)
    close(*mg.evaluate([mg.grad(mg.sum(g * g), a) for g in (found, wanted)]), 1e-14)


def test_blocks_in_blocks():
    inner = mg.block(lambda a: mg.sin(a) * a)
    outer = mg.block(lambda a, b: inner(a) + inner(b * 2))
    a, b = mg.asarray(RNG.standard_normal(3)), mg.asarray(RNG.standard_normal(3))
    y = outer(a, b)
    plain = mg.sin(a) * a + mg.sin(b * 2) * (b * 2)
    g, gp = mg.grad(mg.sum(y), (a, b)), mg.grad(mg.sum(plain), (a, b))
    close(mg.evaluate((y, g)), mg.evaluate((plain, gp)), 1e-14)
    close(mg.reference((y, g)), mg.evaluate((plain, gp)), 1e-14)
    assert recurrences(mg.unfold(y)) and not recurrences(mg.unfold(y, expand=True))


def f_of_rows(a, w):
    return mg.tanh(a @ w) * mg.sum(a), mg.softmax(a)


def test_vmap_is_a_loop_over_rows():
    a, w = mg.asarray(RNG.standard_normal((4, 3))), mg.asarray(RNG.standard_normal((3, 2)))
    y = mg.vmap(f_of_rows, in_axes=(0, None))(a, w)
    rows = [f_of_rows(a[k], w) for k in range(4)]
    plain = tuple(mg.stack(list(r)) for r in zip(*rows, strict=True))
    both = [(v, mg.grad(mg.sum(mg.sin(v[0])) + mg.sum(v[1] ** 2), (a, w))) for v in (y, plain)]
    close(*mg.evaluate(both), 1e-13)
    close(*mg.reference(both), 1e-13)


def test_vmap_over_other_axes_and_inside_itself():
    a, b = mg.asarray(RNG.standard_normal((3, 4))), mg.asarray(RNG.standard_normal((4, 3)))
    dots = mg.vmap(lambda u, v: mg.vecdot(u, v), in_axes=(1, 0))(a, b)
    close(dots.numpy(), np.einsum("ij,ji->j", a.numpy(), b.numpy()), 1e-14)
    last = mg.vmap(lambda u: u * 2, in_axes=-1)(a)
    close(last.numpy(), 2 * a.numpy().T, 0.0)
    outer = mg.vmap(mg.vmap(lambda u, v: u * v, in_axes=(None, 0)), in_axes=(0, None))(
        a[:, 0], b[:, 0]
    )
    close(outer.numpy(), np.outer(a.numpy()[:, 0], b.numpy()[:, 0]), 1e-15)


def test_vmap_over_no_rows():
    y = mg.vmap(lambda u: mg.tanh(u) * 2)(mg.zeros((0, 3)))
    assert y.shape == (0, 3) and y.numpy().shape == (0, 3)


def test_vmap_of_a_recurrence_and_of_movement():
    def f(x, w):
        states, _ = mg.recur(
            lambda p, h, x: (mg.tanh(h * p + x), h),
            Structure.chain([2, 1]),
            initial=np.zeros(1),
            shared=w,
            inputs=x,
        )
        grid = mg.reshape(mg.concat([x, x[::-1]]), (2, 3))
        return (
            states,
            mg.broadcast_to(mg.flip(grid, axis=0).T, (2, 3, 2)),
            mg.take(x, np.array([2, 0])),
        )

    x, w = mg.asarray(RNG.standard_normal((4, 3))), mg.asarray(0.5)
    y = mg.vmap(f, in_axes=(0, None))(x, w)
    plain = tuple(mg.stack(list(r)) for r in zip(*(f(x[k], w) for k in range(4)), strict=True))
    both = [(v, mg.grad(sum(mg.sum(mg.sin(t)) for t in v), (x, w))) for v in (y, plain)]
    close(*mg.evaluate(both), 1e-13)
    close(*mg.reference(both), 1e-13)


def test_unfold_writes_out_one_call_per_node():
    cell = rc.LSTM(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), RNG.standard_normal((5, 2)))
    folded = recurrences(ys)
    calls = recurrences(mg.unfold(ys))
    assert len(folded) == 1 and len(calls) == 5
    assert all(r.attrs["structure"] is SINGLE for r in calls)
    assert not recurrences(mg.unfold(ys, expand=True))
    plain = mg.asarray(2.0) * 3
    assert mg.unfold({"a": [plain]})["a"][0] is plain


def test_unfolding_two_layers_keeps_their_order():
    low, top = rc.GRU(2, 3), rc.RNN(3, 2)
    p, q = mg.tensors(low.init(0)), mg.tensors(top.init(1))
    _, ys = rc.unroll(low, p, RNG.standard_normal((3, 2, 2)), lengths=[3, 1])
    _, zs = rc.unroll(top, q, ys, lengths=[3, 1], reverse=True)
    loss = mg.sum(zs**2)
    g = mg.grad(loss, (p, q))
    assert len(recurrences(mg.unfold(loss))) == 8
    close(mg.evaluate(mg.unfold((loss, g))), mg.evaluate((loss, g)), 1e-13)


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


@pytest.mark.parametrize("expand", [False, True])
def test_what_is_truncated_stays_so_when_unfolded(expand):
    rng = np.random.default_rng(0)
    kept = [True, True, False, True]
    structure = mg.Structure.chain(5).truncated(kept)
    t = mg.tensors({"p": rng.normal(size=(2, 2)), "x": rng.normal(size=(5, 2))})
    states, _ = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p + x), h), structure, initial=np.zeros((1, 2)),
        shared=t["p"], inputs=t["x"],
    )  # fmt: skip
    loss = mg.sum(states[-1])
    wanted = mg.evaluate(mg.grad(loss, t))
    assert not wanted["x"][:3].any() and wanted["x"][3:].all()
    found = mg.evaluate(mg.grad(mg.unfold(loss, expand=expand), t))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-14)


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


def test_a_users_op_over_no_rows():
    """Regression: np.stack of nothing."""
    total = mg.primitive(
        "total", kind="whole", shape=lambda x: (), numpy=np.sum,
        vjp=lambda ct, y, x: mg.broadcast_to(ct, x.shape),
    )  # fmt: skip
    y = mg.vmap(total)(mg.zeros((0, 3)))
    assert mg.evaluate(y).shape == (0,) and mg.reference(y).shape == (0,)
