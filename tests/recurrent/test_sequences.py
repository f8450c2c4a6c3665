"""unroll: shapes, carries, lengths, directions, cells of one's own, empties."""

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
CELLS = {"RNN": rc.RNN(3, 4), "LSTM": rc.LSTM(3, 4), "GRU": rc.GRU(3, 4)}


def shapes(tree):
    return optree.tree_map(lambda t: t.shape, tree, is_leaf=lambda t: isinstance(t, mg.Tensor))


@pytest.mark.parametrize("name", CELLS)
def test_shapes(name):
    cell = CELLS[name]
    p = cell.init(0)
    carry, ys = rc.unroll(cell, p, np.ones((5, 2, 3)))
    leaves = carry if isinstance(carry, tuple) else (carry,)
    assert ys.shape == (5, 2, 4) and all(c.shape == (2, 4) for c in leaves)
    carry, ys = rc.unroll(cell, p, np.ones((5, 3)))
    leaves = carry if isinstance(carry, tuple) else (carry,)
    assert ys.shape == (5, 4) and all(c.shape == (4,) for c in leaves)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_unroll_is_the_loop(name, reverse):
    cell = CELLS[name]
    t = mg.tensors({"p": cell.init(1), "x": RNG.standard_normal((4, 2, 3))})
    zero = tuple(mg.zeros((2, 4)) for _ in cell.state_names)
    state, rows = (zero if len(zero) > 1 else zero[0]), [None] * 4
    for k in reversed(range(4)) if reverse else range(4):
        state, rows[k] = cell(t["p"], state, t["x"][k])
    plain = mg.stack(rows)
    carry, ys = rc.unroll(cell, t["p"], t["x"], reverse=reverse)
    both = [(c, y, mg.grad(mg.sum(mg.sin(y)), t)) for c, y in ((carry, ys), (state, plain))]
    close(*mg.evaluate(both), 1e-13)


def test_the_carry_goes_on_where_it_stopped():
    cell, xs = rc.LSTM(3, 4), RNG.standard_normal((6, 2, 3))
    p = cell.init(0)
    whole, ys = rc.unroll(cell, p, xs)
    first, a = rc.unroll(cell, p, xs[:4])
    last, b = rc.unroll(cell, p, xs[4:], carry=first)
    close(mg.evaluate((last, mg.concat([a, b]))), mg.evaluate((whole, ys)), 1e-14)
    one, y = rc.unroll(cell, p, xs[4:, 0], carry=tuple(c[0] for c in first))
    close(mg.evaluate(y), mg.evaluate(ys[4:, 0]), 1e-14)


def test_ragged_carries_and_padding():
    cell, xs = rc.RNN(3, 4), RNG.standard_normal((4, 3, 3))
    p, first = cell.init(0), RNG.standard_normal((3, 4))
    carry, ys = mg.evaluate(rc.unroll(cell, p, xs, carry=first, lengths=[4, 0, 2]))
    np.testing.assert_array_equal(carry[1], first[1])  # an empty sequence stays where it started
    np.testing.assert_array_equal(carry[[0, 2]], ys[[3, 1], [0, 2]])
    assert not ys[:, 1].any() and not ys[2:, 2].any()
    back, zs = mg.evaluate(rc.unroll(cell, p, xs, carry=first, lengths=[4, 0, 2], reverse=True))
    np.testing.assert_array_equal(back[[0, 2]], zs[0, [0, 2]])
    np.testing.assert_array_equal(back[1], first[1])
    one, y = mg.evaluate(rc.unroll(cell, p, xs[:, 0], lengths=[2]))
    assert y.shape == (4, 4) and not y[2:].any()
    np.testing.assert_array_equal(one, y[1])


@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("name", CELLS)
def test_no_steps_and_no_sequences(name, time, batch):
    cell = CELLS[name]
    t = mg.tensors({"p": cell.init(0), "x": np.zeros((time, batch, 3))})
    carry, ys = rc.unroll(cell, t["p"], t["x"])
    g = mg.grad(mg.sum(ys), t)
    for run in (mg.evaluate, mg.reference):
        c, y, found = run((carry, ys, g))
        assert y.shape == (time, batch, 4)
        assert all(a.shape == (batch, 4) for a in (c if isinstance(c, tuple) else (c,)))
        assert found["x"].shape == (time, batch, 3)
        assert not any(v.any() for v in found["p"].values())


def test_one_empty_sequence_without_a_batch_axis():
    cell = rc.LSTM(3, 4)
    (h, c), ys = rc.unroll(cell, cell.init(0), np.zeros((0, 3)))
    assert ys.shape == (0, 4) and h.numpy().tolist() == [0.0] * 4 and c.shape == (4,)


def test_float32_parameters_and_inputs_stay_float32():
    cell = rc.GRU(3, 4)
    p = {k: v.astype(np.float32) for k, v in cell.init(0).items()}
    carry, ys = rc.unroll(cell, p, np.ones((3, 2, 3), np.float32), lengths=[3, 1])
    assert carry.dtype == ys.dtype == ys.numpy().dtype == np.float32


def test_a_cell_is_any_function():
    def leaky(p, h, x):
        h = p["a"] * h + (1 - p["a"]) * x
        return h, {"h": h, "jump": x - h}

    p = mg.tensors({"a": np.array(0.9)})
    carry, ys = rc.unroll(leaky, p, np.ones((3, 2, 1)), carry=np.zeros((2, 1)))
    close(ys["h"].numpy()[:, 0, 0], 1 - 0.9 ** np.arange(1, 4), 1e-14)
    assert ys["jump"].shape == (3, 2, 1) and mg.grad(mg.sum(carry), p)["a"].item() < 0
    _, one = rc.unroll(leaky, p, np.ones((3, 1)), carry=np.zeros(1))
    close(one["h"].numpy(), ys["h"].numpy()[:, 0], 0.0)


def test_a_cell_without_inputs():
    def decay(p, h, x):
        assert x is None
        return h * p, h

    carry, ys = rc.unroll(decay, 0.5, None, carry=np.array([[8.0], [4.0]]), steps=3)
    assert ys.numpy()[:, 0, 0].tolist() == [8.0, 4.0, 2.0] and carry.tolist() == [[1.0], [0.5]]
    carry, ys = rc.unroll(decay, 0.5, None, carry=np.array([8.0]), steps=2)
    assert ys.shape == (2, 1) and carry.tolist() == [2.0]


def test_symbols_as_inputs():
    """xs (T, B, 1) of integers: an embedding inside the cell."""
    cell = rc.RNN(3, 4)
    p = mg.tensors(cell.init(0) | {"E": RNG.standard_normal((7, 3))})

    def embedded(p, h, x):
        return cell(p, h, p["E"][x[0]])

    xs = np.array([[1, 6], [2, 0], [1, 5]])
    carry = np.zeros((2, 4))
    _, ys = rc.unroll(embedded, p, xs[..., None], carry=carry, lengths=[3, 2])
    _, wanted = rc.unroll(cell, p, mg.take(p["E"], xs), carry=carry, lengths=[3, 2])
    both = [(y, mg.grad(mg.sum(mg.sin(y)), p)) for y in (ys, wanted)]
    close(*mg.evaluate(both), 1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c, p: rc.unroll(c, p, np.ones(3)),
            r"xs must be \(T, B, I\) or \(T, I\); got shape \(3,\)",
        ),
        (
            lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), lengths=[4]),
            "lengths must be 2 integers",
        ),
        (
            lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), lengths=[4, 5]),
            r"lengths\[1\] is 5; xs has 4 time steps",
        ),
        (lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), lengths=[4, -1]), r"lengths\[1\] is -1"),
        (
            lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), lengths=[4.0, 2.0]),
            "lengths must be 2 integers.*float64",
        ),
        (
            lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), carry=np.zeros((3, 4))),
            "leading axis must be 2",
        ),
        (
            lambda c, p: rc.unroll(c, p, np.ones((4, 2, 5))),
            r"unroll: xs must be \(T, B, 3\) or \(T, 3\) for RNN\(3, 4\); got shape \(4, 2, 5\)",
        ),
        (lambda c, p: rc.unroll(c, p, None), "give the number of steps"),
        (lambda c, p: rc.unroll(c, p, np.ones((4, 2, 3)), steps=5), "steps=5 but xs has 4"),
        (
            lambda c, p: rc.unroll(lambda p, h, x: (h, h), p, np.ones((4, 2, 3))),
            "no zero_state.*carry=",
        ),
        (
            lambda c, p: rc.unroll(c, p, [np.ones((4, 2, 3)), np.ones((5, 2, 3))]),
            "differ in their leading axes",
        ),
    ],
)
def test_bad_arguments(call, message):
    cell = rc.RNN(3, 4)
    with pytest.raises(ValueError, match=message):
        call(cell, cell.init(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"xs": np.ones((5, 2, 4))},
            "unroll: xs must be (T, B, 3) or (T, 3) for LSTM(3, 4); got shape (5, 2, 4)",
        ),
        (
            {"params": rc.LSTM(3, 5).init(0)},
            "unroll: params['W_i'] has shape (3, 5); LSTM(3, 4) needs (3, 4)",
        ),
        (
            {"params": rc.GRU(3, 4).init(0)},
            "unroll: params['W_i'] is missing; LSTM(3, 4) needs ['U_f', 'U_g', 'U_i', 'U_o', "
            "'W_f', 'W_g', 'W_i', 'W_o', 'b_f', 'b_g', 'b_i', 'b_o']",
        ),
        (
            {"carry": np.zeros((2, 4))},
            "unroll: carry must have the shapes (('B', 4), ('B', 4)) for LSTM(3, 4); got (2, 4)",
        ),
        (
            {"carry": (np.zeros((2, 4)), np.zeros((2, 5)))},
            "unroll: carry must have the shapes (('B', 4), ('B', 4)) for LSTM(3, 4); got ((2, 4), "
            "(2, 5))",
        ),
    ],
)
def test_what_does_not_fit_a_shipped_cell_is_named(change, message):
    cell = rc.LSTM(3, 4)
    with pytest.raises(ValueError) as caught:
        rc.unroll(cell, **({"params": cell.init(0), "xs": np.ones((5, 2, 3))} | change))
    assert str(caught.value) == message


@pytest.mark.parametrize("lengths", [None, [5, 0, 2]])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("every", [1, 2, 9])
def test_checkpoints_change_nothing(lengths, reverse, every):
    cell, rng = rc.LSTM(2, 3), np.random.default_rng(0)
    p, xs = mg.tensors(cell.init(0)), mg.asarray(rng.standard_normal((5, 3, 2)))

    def results(**how):
        carry, ys = rc.unroll(cell, p, xs, lengths=lengths, reverse=reverse, **how)
        loss = mg.sum(mg.sin(ys)) + mg.sum(mg.square(carry[1]))
        return carry, ys, mg.grad(loss, (p, xs))

    close(mg.evaluate(results(checkpoint=every)), mg.reference(results()), 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("every", [1, 2, 3, 9])
def test_truncation_is_a_loop_that_stops_gradients(every, reverse):
    """Ragged; counted from where each sequence begins to run, at its end when reversed."""
    cell, rng, lengths = rc.RNN(2, 3), np.random.default_rng(0), [6, 0, 4]
    p, xs = mg.tensors(cell.init(0)), mg.asarray(rng.standard_normal((6, 3, 2)))
    start = mg.asarray(rng.standard_normal((3, 3)))

    def loss_of(states):
        return mg.sum(mg.sin(mg.stack(states)))

    looped = []
    for b, length in enumerate(lengths):
        h = start[b]
        for k in range(length):
            if k and k % every == 0:
                h = mg.stop_gradient(h)
            h, _ = cell(p, h, xs[length - 1 - k if reverse else k, b])
            looped.append(h)
    wanted = loss_of(looped)
    how = {"carry": start, "lengths": lengths, "reverse": reverse}
    _, plain = rc.unroll(cell, p, xs, **how)
    for checkpoint in (None, 2):
        _, ys = rc.unroll(cell, p, xs, truncate=every, checkpoint=checkpoint, **how)
        loss = mg.sum(mg.sin(ys))
        close(mg.evaluate(ys), mg.evaluate(plain), 1e-14)
        found, same = mg.grad(loss, (p, xs, start)), mg.grad(wanted, (p, xs, start))
        close(mg.evaluate((loss, found)), mg.evaluate((wanted, same)), 1e-12)
        f = mg.function(lambda p, xs, start, checkpoint=checkpoint: mg.grad(
            mg.sum(mg.sin(rc.unroll(cell, p, xs, carry=start, lengths=lengths, reverse=reverse,
                                    truncate=every, checkpoint=checkpoint)[1])),
            (p, xs, start),
        ))  # fmt: skip
        close(f(p, xs, start), mg.evaluate(same), 1e-11)


@pytest.mark.parametrize("name", ["checkpoint", "truncate"])
@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2", [2]])
def test_what_is_no_number_of_steps(name, every):
    cell = rc.RNN(2, 3)
    with pytest.raises(ValueError, match=f"unroll: {name} must be a positive integer"):
        rc.unroll(cell, cell.init(0), np.ones((4, 2)), **{name: every})
