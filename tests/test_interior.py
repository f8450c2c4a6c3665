"""`interior`: what is named inside a cell, at every node, arranged as the result asked with."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

T, B, X, H = 5, 2, 2, 3
CELL = rc.LSTM(X, H)
XS = np.random.default_rng(0).standard_normal((T, B, X))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forget_gates(p, xs):
    """Of one sequence, by hand: (T, H)."""
    h, c, found = np.zeros(H), np.zeros(H), []
    for x in xs:
        a = {g: x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"] for g in "ifgo"}
        found.append(sigmoid(a["f"]))
        c = found[-1] * c + sigmoid(a["i"]) * np.tanh(a["g"])
        h = sigmoid(a["o"]) * np.tanh(c)
    return np.array(found)


def test_a_gate_at_every_step():
    p = CELL.init(0)
    (h, _), ys = rc.unroll(CELL, p, XS)
    f = mg.interior(ys, "f")
    wanted = np.stack([forget_gates(p, XS[:, b]) for b in range(B)], axis=1)
    assert f.shape == (T, B, H) and np.allclose(f.numpy(), wanted, atol=1e-12)
    assert set(mg.interior(ys)) == {"i", "f", "g", "o", "c", "h"}
    assert np.array_equal(mg.interior(ys, "h").numpy(), ys.numpy())
    for part, at in [(ys[2], wanted[2]), (ys[:, 1], wanted[:, 1]), (ys[::-1], wanted[::-1]),
                     (mg.reshape(ys, (T * B, H)), wanted.reshape(-1, H)),
                     (mg.permute_dims(ys, (1, 0, 2)), wanted.transpose(1, 0, 2)),
                     (ys[1:3, None, 0], wanted[1:3, None, 0]), (h, wanted[-1])]:  # fmt: skip
        assert np.allclose(mg.interior(part, "f").numpy(), at, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_ragged(reverse):
    p, lengths = CELL.init(0), [5, 3]
    _, ys = rc.unroll(CELL, p, XS, lengths=lengths, reverse=reverse)
    f = mg.interior(ys, "f").numpy()
    for b, n in enumerate(lengths):
        xs = XS[:n, b]
        wanted = forget_gates(p, xs[::-1])[::-1] if reverse else forget_gates(p, xs)
        assert np.allclose(f[:n, b], wanted, atol=1e-12) and not f[n:, b].any()


def test_it_can_be_differentiated_and_compiled():
    def spread(p):
        _, ys = rc.unroll(CELL, p, XS)
        f = mg.interior(ys, "f")
        return mg.sum(f * f), mg.grad(mg.sum(f * f), p)

    p = CELL.init(0)
    value, slopes = mg.evaluate(spread(mg.tensors(p)))
    found, again = mg.function(spread)(p)
    assert np.allclose(value, found) and slopes["W_f"].any()
    for name, g in slopes.items():
        assert np.allclose(g, again[name], atol=1e-12)


def test_another_shape_than_the_state():
    def cell(p, h, x):
        a = mg.softmax(mg.concat([h, x]) @ p).named("attention")
        return h + a[:H], mg.sum(a)

    s = mg.Structure.forest([[], [], [0, 1], [2]])
    states, ys = mg.recur(lambda p, hs, x: cell(p, hs[0] + hs[1], x), s, initial=np.zeros((1, H)),
                          shared=np.ones((H + X, 7)), inputs=np.ones((4, X)))  # fmt: skip
    for t in (states, ys):
        a = mg.interior(t, "attention")
        assert a.shape == (4, 7) and np.allclose(a.numpy().sum(axis=-1), 1)
    assert mg.interior(states[1], "attention").shape == (7,)


def test_plain_calls_and_maps():
    f = mg.vmap(lambda x: mg.exp(mg.sum(x).named("total")))
    assert np.allclose(mg.interior(f(mg.asarray(XS[0])), "total").numpy(), XS[0].sum(-1))
    g = mg.block(lambda x: mg.exp(mg.sum(x).named("total")))
    assert np.allclose(mg.interior(g(mg.asarray(XS[0])), "total").numpy(), XS[0].sum())


def test_a_name_of_two_layers():
    net = rc.stack(rc.LSTM(X, H), rc.LSTM(H, H))
    _, ys = rc.unroll(net, net.init(0), XS)
    assert {"f.1", "f.2"} <= set(mg.interior(ys))
    assert not np.allclose(mg.interior(ys, "f.1").numpy(), mg.interior(ys, "f.2").numpy())
    with pytest.raises(ValueError, match=r"'f' stands for several: say f.1 \(.*\), f.2 \("):
        mg.interior(ys, "f")


def result():
    return rc.unroll(CELL, CELL.init(0), XS)[1]


@pytest.mark.parametrize("ask,words", [
    (lambda: mg.interior(result(), "q"), "there is no 'q' inside. The names are"),
    (lambda: mg.interior(result(), "hh"), "Is it h"),
    (lambda: mg.interior(mg.tanh(result()), "f"), "not the result of one recurrence"),
    (lambda: mg.interior(mg.asarray(XS), "f"), "not the result of one recurrence"),
    (lambda: mg.interior(result()[..., 0], "f"), "not arranged by rows"),
    (lambda: mg.interior(mg.permute_dims(result(), (2, 1, 0)), "f"), "not arranged by rows"),
])  # fmt: skip
def test_what_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()


def test_no_tensor_and_no_name():
    with pytest.raises(TypeError, match="t must be a Tensor"):
        mg.interior(XS, "f")
    with pytest.raises(TypeError, match="name is a string"):
        mg.interior(result(), 3)
