"""Patterns and missing observations: laws 1 to 3 on random problems, and torch or a plain loop."""

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close
from recurrent.missing import output_size

from .nets import graph_laws, tangents_and_cotangents_agree

CELLS = {"rnn": rc.RNN, "lstm": rc.LSTM, "gru": rc.GRU}
cells = st.sampled_from(sorted(CELLS))
ragged = st.lists(st.integers(0, 4), min_size=1, max_size=3)
seeds = st.integers(0, 2**16)


def loop(cell, params, xs, state=None):
    """The hidden outputs of one sequence, step by step with NumPy rows; xs a list of inputs."""
    state = cell.zero_state() if state is None else state
    ys = []
    for x in xs:
        state, y = cell(params, state, x)
        ys.append(mg.evaluate(y)[0])
    return np.array(ys).reshape(len(xs), output_size(cell)), state


def affine(p, h):
    return h @ p["V"] + p["c"]


def dirty(x, lengths):
    """The same with NaN (or a wrong token) in the padding."""
    counts = rc.within(len(x), lengths, len(lengths))
    return np.where(counts.reshape(counts.shape + (1,) * (x.ndim - 2)), x, np.nan)


@settings(max_examples=10)
@given(cells, ragged, seeds)
def test_many_to_many(name, lengths, seed):
    rng = np.random.default_rng(seed)
    net = rc.ManyToMany(CELLS[name](2, 3), 4)
    p, xs = net.init(seed), rng.standard_normal((4, len(lengths), 2))
    ys, *_ = graph_laws(lambda a: net(*a, lengths), (p, xs))
    close(mg.evaluate(net(p, dirty(xs, lengths), lengths)), ys, 1e-12)
    for b, n in enumerate(lengths):
        hs, _ = loop(net.cell, p["cell"], xs[:n, b : b + 1])
        wanted = affine(p["out"], hs) if n else np.zeros((0, 4))
        close(ys[:n, b], wanted, 1e-10)
        assert not ys[n:, b].any()
        close(mg.evaluate(net(p, xs[:n, b])), wanted, 1e-10)


@settings(max_examples=10)
@given(cells, ragged, st.sampled_from(["last", "mean"]), seeds)
def test_many_to_one_of_tokens(name, lengths, pool, seed):
    rng = np.random.default_rng(seed)
    net = rc.ManyToOne(CELLS[name](2, 3), 4, tokens=5, pool=pool)
    p, xs = net.init(seed), rng.integers(0, 5, (4, len(lengths)))
    y, *_ = graph_laws(lambda p: net(p, xs, lengths), p)
    for b, n in enumerate(lengths):
        hs, _ = loop(net.cell, p["cell"], p["E"][xs[:n, b]][:, None])
        pooled = np.zeros(3) if not n else hs[-1] if pool == "last" else hs.mean(axis=0)
        close(y[b], affine(p["out"], pooled), 1e-10)
        close(mg.evaluate(net(p, xs[:n, b])), y[b], 1e-10)
        close(mg.evaluate(net(p, xs[:, b], [n])), y[b], 1e-10)


@pytest.mark.long
@settings(max_examples=10)
@given(cells, ragged, st.sampled_from([(True, False), (False, True), (True, True)]), seeds)
def test_one_to_many(name, lengths, places, seed):
    rng = np.random.default_rng(seed)
    start, every_step = places
    cell = CELLS[name](2 + 3 * every_step, 4)
    net = rc.OneToMany(cell, 3, 6, tokens=6, start=start, every_step=every_step)
    p = net.init(seed)
    p = optree.tree_map(lambda a: a + 0.1 * rng.standard_normal(a.shape), p)
    v, xs = rng.standard_normal((len(lengths), 3)), rng.integers(0, 6, (4, len(lengths)))
    ys, *_ = graph_laws(lambda a: net(a[0], a[1], xs, lengths), (p, v))
    for b, n in enumerate(lengths):
        state = cell.zero_state()
        if start:
            parts = [np.tanh(affine(q, v[b : b + 1])) for q in p["start"]]
            state = tuple(parts) if len(parts) > 1 else parts[0]
        inputs = [np.r_[p["E"][t], v[b] if every_step else []][None] for t in xs[:n, b]]
        hs, _ = loop(cell, p["cell"], inputs, state)
        close(ys[:n, b], affine(p["out"], hs) if n else np.zeros((0, 6)), 1e-10)
        assert not ys[n:, b].any()


def test_one_to_many_without_inputs():
    net = rc.OneToMany(rc.GRU(3, 4), 3, 2, every_step=True, start=False)
    p, v = net.init(0), np.random.default_rng(0).standard_normal((2, 3))
    ys, *_ = graph_laws(lambda a: net(*a, steps=5), (p, v))
    for b in range(2):
        hs, _ = loop(net.cell, p["cell"], [v[b : b + 1]] * 5)
        close(ys[:, b], affine(p["out"], hs), 1e-10)


@pytest.mark.long
@settings(max_examples=10)
@given(cells, ragged, st.sampled_from(["hold", "self", "mask"]), st.booleans(), seeds)
def test_missing_observations(name, lengths, how, per_number, seed):
    rng = np.random.default_rng(seed)
    batch, kind = len(lengths), CELLS[name]
    values = rng.standard_normal((4, batch, 2))
    per_number = per_number and how != "hold"
    m = rng.random((4, batch, 2 if per_number else 1)) < 0.5
    cell = {
        "hold": lambda: rc.Hold(kind(2, 3)),
        "self": lambda: rc.SelfFeeding(kind(2, 3)),
        "mask": lambda: kind(2 + m.shape[-1], 3),
    }[how]()
    net = rc.ManyToMany(cell, 2)
    p = net.init(seed)
    gaps = np.where(m, values, np.nan)

    def run(p, values=gaps, m=m):
        x = rc.with_mask(values, m) if how == "mask" else (values, m)
        return net(p, x, lengths)

    ys, *_ = graph_laws(run, p)
    close(mg.evaluate(run(p, values)), ys, 1e-12)  # what stands at a missing value never matters
    for b, n in enumerate(lengths):
        inner = kind(cell.input_size, 3)
        q = p["cell"]["cell"] if how == "self" else p["cell"]
        state, prediction = inner.zero_state(), np.zeros((1, 2))
        for t in range(n):
            v, seen = values[t, b : b + 1], m[t, b : b + 1]
            if how == "self":
                state, h = inner(q, state, np.where(seen, v, prediction))
                out = prediction = mg.evaluate(affine(p["cell"], h))
            elif how == "mask":
                state, out = inner(q, state, np.c_[np.where(seen, v, 0), seen.astype(float)])
            else:
                new, out = inner(q, state, np.where(seen, v, 0))
                state = new if seen.any() else state
            close(ys[t, b], mg.evaluate(affine(p["out"], out))[0], 1e-10)


@pytest.mark.parametrize(
    "cell", [rc.LSTM(2, 3), rc.Hold(rc.GRU(2, 3)), rc.SelfFeeding(rc.RNN(2, 3))]
)
def test_forward_and_second_derivatives(cell):
    rng = np.random.default_rng(0)
    xs, m = rng.standard_normal((4, 3, 2)), (rng.random((4, 3, 1)) < 0.6) * 1.0
    x = xs if isinstance(cell, rc.LSTM) else (xs, m)
    for net in (rc.ManyToMany(cell, 2), rc.ManyToOne(cell, 2, pool="mean")):
        tangents_and_cotangents_agree(lambda p, net=net: net(p, x, [4, 0, 2]), net.init(0))


def test_booleans_and_numbers_as_masks():
    net, rng = rc.ManyToMany(rc.Hold(rc.LSTM(2, 3)), 1), np.random.default_rng(0)
    values, m = rng.standard_normal((4, 2, 2)), rng.random((4, 2, 1)) < 0.5
    run = mg.function(net)
    close(run(net.init(0), (values, m)), run(net.init(0), (values, m * 1.0)), 1e-12)
    assert "no code" not in run.explain(net.init(0), (values, m))


def test_a_series_goes_on_after_the_data():
    """Free running: after the last observation the net reads its own predictions."""
    cell = rc.SelfFeeding(rc.GRU(1, 4))
    p, xs = cell.init(0), np.random.default_rng(0).standard_normal((3, 2, 1))
    values = np.concatenate([xs, np.full((4, 2, 1), np.nan)])
    m = np.r_[np.ones(3), np.zeros(4)][:, None, None] * np.ones((7, 2, 1))
    carry, ys = mg.evaluate(rc.unroll(cell, p, (values, m)))
    fed, _ = rc.unroll(cell, p, (np.concatenate([xs, ys[2:-1]]), np.ones((7, 2, 1))))
    close(carry, mg.evaluate(fed), 1e-12)


@pytest.mark.parametrize(
    "net",
    [
        rc.ManyToMany(rc.stack(rc.LSTM(2, 3), rc.GRU(3, 4)), 2),
        rc.ManyToMany(rc.bidirectional(rc.LSTM(2, 3)), 2),
        rc.ManyToOne(rc.bidirectional(rc.GRU(2, 3)), 2, pool="mean"),
        rc.ManyToOne(rc.deep_transition(rc.RNN(2, 3), [4]), 2),
        rc.ManyToMany(rc.Hold(rc.stack(rc.RNN(2, 3), rc.LSTM(3, 3))), 2),
    ],
    ids=repr,
)
def test_patterns_of_compositions(net):
    rng, lengths = np.random.default_rng(0), [4, 1, 3]
    xs, m = rng.standard_normal((4, 3, 2)), (rng.random((4, 3, 1)) < 0.6) * 1.0
    x = (xs, m) if isinstance(net.cell, rc.Hold) else xs
    p = net.init(0)
    ys, *_ = graph_laws(lambda p: net(p, x, lengths), p)
    for b, n in enumerate(lengths):
        one = optree.tree_map(lambda a, b=b, n=n: a[:n, b : b + 1], x)
        alone = mg.evaluate(net(p, one))
        close(*((ys[b], alone[0]) if ys.ndim == 2 else (ys[:n, b], alone[:, 0])), 1e-12)


def test_several_objects_are_many_sequences():
    net, rng = rc.ManyToMany(rc.LSTM(2, 3), 4), np.random.default_rng(0)
    p, xs = net.init(0), rng.standard_normal((5, 2, 3, 2))
    lengths = rng.integers(0, 6, (2, 3))
    ys, *_ = graph_laws(lambda a: rc.per_object(net, *a, lengths), (p, xs))
    for b in range(2):
        for k in range(3):
            n = lengths[b, k]
            close(ys[:n, b, k], mg.evaluate(net(p, xs[:n, b, k])), 1e-12)
    whole = mg.evaluate(rc.per_object(net, p, xs))
    over = mg.vmap(lambda p, x: net(p, x), in_axes=(None, 2))(mg.tensors(p), mg.asarray(xs))
    close(mg.evaluate(over), np.moveaxis(whole, 2, 0), 1e-12)
    one = rc.ManyToOne(rc.GRU(2, 3), 4)
    q = one.init(0)
    assert rc.per_object(one, q, xs).shape == (2, 3, 4)
    close(mg.evaluate(rc.per_object(one, q, xs))[1, 2], mg.evaluate(one(q, xs[:, 1, 2])), 1e-12)


def test_a_long_series_in_pieces():
    net, rng = rc.ManyToMany(rc.LSTM(2, 3), 4), np.random.default_rng(0)
    p, xs = net.init(0), rng.standard_normal((6, 2, 2))
    carry, first = mg.evaluate(net.run(p, xs[:4]))
    close(
        np.concatenate([first, mg.evaluate(net(p, xs[4:], carry=carry))]),
        mg.evaluate(net(p, xs)),
        1e-12,
    )


def test_a_classifier_against_torch():
    torch = pytest.importorskip("torch")
    net = rc.ManyToOne(rc.LSTM(2, 3), 4)
    p, rng = net.init(0), np.random.default_rng(0)
    xs, labels = rng.standard_normal((5, 3, 2)), np.array([1, 0, 3])
    lengths = [5, 2, 4]
    module = torch.nn.LSTM(2, 3, dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in (("W", "weight_ih_l0"), ("U", "weight_hh_l0"), ("b", "bias_ih_l0")):
            packed = np.concatenate([p["cell"][f"{ours}_{g}"].T for g in "ifgo"])
            getattr(module, theirs).copy_(torch.tensor(packed))
        module.bias_hh_l0.zero_()
    x = torch.tensor(xs, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    h = module(packed)[1][0][0]
    loss = torch.nn.functional.cross_entropy(
        h @ torch.tensor(p["out"]["V"]) + torch.tensor(p["out"]["c"]), torch.tensor(labels)
    )
    loss.backward()
    t = mg.tensors({"p": p, "x": xs})
    ours = rc.cross_entropy(net(t["p"], t["x"], lengths), labels)
    g = mg.evaluate(mg.grad(ours, t))
    close(ours.numpy(), loss.detach().numpy(), 1e-8)
    close(g["x"], x.grad.numpy(), 1e-8)
    u = np.concatenate([g["p"]["cell"][f"U_{k}"].T for k in "ifgo"])
    close(u, module.weight_hh_l0.grad.numpy(), 1e-8)


MANY, ONE = rc.ManyToMany(rc.RNN(2, 3), 4), rc.ManyToOne(rc.RNN(2, 3), 4, tokens=5)
TO = rc.OneToMany(rc.RNN(2, 3), 3, 4)
X, V = np.zeros((4, 2, 2)), np.zeros((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MANY(MANY.init(0), np.zeros((4, 2, 5))), "xs must have 2 numbers per step.*2, 5"),
        (lambda: MANY(MANY.init(0), np.zeros((4, 0, 2))), r"batch is empty.*\(4, 0, 2\)"),
        (lambda: MANY(MANY.init(0), X, [5, 1]), r"lengths\[0\] is 5; xs has 4 time steps"),
        (lambda: MANY(MANY.init(0), X, [1]), "lengths must be 2 integers"),
        (lambda: ONE(ONE.init(0), X), r"xs must be integer tokens of shape \(T,\) or \(T, B\)"),
        (lambda: ONE(ONE.init(0), np.full((4, 2), 5)), r"tokens in xs must lie in 0\.\.4; got \[5"),
        (lambda: TO(TO.init(0), V[:, :2], X), r"vectors must be \(B, 3\)"),
        (lambda: TO(TO.init(0), V[:0], X[:, :0]), r"B of at least 1; got shape \(0, 3\)"),
        (lambda: TO(TO.init(0), V, X[:, :1]), r"xs must be \(T, 2, I\)"),
        (lambda: TO(TO.init(0), V), "without xs give the number of steps"),
        (lambda: rc.OneToMany(rc.RNN(2, 3), 3, 4, every_step=True), "size of x plus 3; got 2"),
        (lambda: rc.OneToMany(rc.RNN(2, 3), 3, 4, start=False), "start=True, every_step=True"),
        (lambda: rc.ManyToOne(rc.RNN(2, 3), 0), "outputs must be a positive integer; got 0"),
        (lambda: rc.ManyToOne(rc.RNN(2, 3), 1, pool="max"), "pool must be 'last' or 'mean'"),
        (lambda: rc.per_object(MANY, MANY.init(0), X[0]), r"xs must be \(T, B, K"),
        (lambda: rc.per_object(MANY, MANY.init(0), X[None], [[1]]), r"lengths must be \(4, 2\)"),
        (lambda: rc.with_mask(X, X[:1]), r"observed must have shape \(4, 2, 2\) or \(4, 2, 1\)"),
        (lambda: rc.unroll(rc.Hold(rc.RNN(2, 3)), rc.RNN(2, 3).init(0), (X, X)),
         "observed must be one flag per step"),
    ],
)  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
