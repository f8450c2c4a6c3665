"""Losses against torch and against plain loops; padding and missing values never matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close


def softmax_loss(z, label):
    return np.log(np.exp(z - z.max()).sum()) + z.max() - z[label]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**16))
def test_cross_entropy_is_a_loop_over_the_steps_that_count(lengths, masked, seed):
    rng = np.random.default_rng(seed)
    time, batch, classes = 4, len(lengths), 3
    z = rng.standard_normal((time, batch, classes))
    y = rng.integers(0, classes, (time, batch))
    mask = rng.random((time, batch)) < 0.6 if masked else None
    terms = [
        softmax_loss(z[t, b], y[t, b])
        for b, n in enumerate(lengths)
        for t in range(n)
        if mask is None or mask[t, b]
    ]
    wanted = np.mean(terms) if terms else 0.0
    dirty, labels = z.copy(), y.copy()
    counts = rc.within(time, lengths, batch)
    if mask is not None:
        counts &= mask
    dirty[~counts], labels[~counts] = np.nan, -7

    def run(z, y, m):
        loss = rc.cross_entropy(z, y, lengths=lengths, mask=m)
        return loss, mg.grad(loss, z)

    clean = mg.evaluate(run(mg.asarray(z), y, mask))
    close(clean[0], np.float64(wanted), 1e-12)
    close(mg.evaluate(run(mg.asarray(dirty), labels, mask)), clean, 1e-12)
    close(mg.function(run)(dirty, labels, mask), clean, 1e-12)
    assert not clean[1][~counts].any()


@given(st.integers(1, 4), st.sampled_from(["none", "step", "number"]), st.integers(0, 2**16))
def test_mean_squared_error_is_a_loop_over_what_was_observed(batch, observed, seed):
    rng = np.random.default_rng(seed)
    p, t = rng.standard_normal((2, 3, batch, 2))
    lengths = rng.integers(0, 4, batch).tolist()
    counts = np.repeat(rc.within(3, lengths, batch)[..., None], 2, axis=-1)
    seen = None
    if observed != "none":
        seen = rng.random((3, batch, 2) if observed == "number" else (3, batch)) < 0.5
        counts &= seen if observed == "number" else seen[..., None]
    wanted = np.mean((p - t)[counts] ** 2) if counts.any() else 0.0
    dirty = np.where(counts, t, np.nan)

    def run(p, t, seen):
        loss = rc.mean_squared_error(p, t, lengths=lengths, observed=seen)
        return loss, mg.grad(loss, p)

    loss, grad = mg.evaluate(run(mg.asarray(p), dirty, seen))
    close(loss, np.float64(wanted), 1e-12)
    close(grad, np.where(counts, 2 * (p - t), 0) / max(counts.sum(), 1), 1e-12)
    close(mg.function(run)(p, dirty, seen), (loss, grad), 1e-12)


def test_against_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((5, 3, 7)), rng.integers(0, 7, (5, 3))
    lengths = [5, 2, 0]
    labels = np.where(rc.within(5, lengths, 3), y, -100)
    zt = torch.tensor(z, requires_grad=True)
    wanted = torch.nn.functional.cross_entropy(zt.reshape(-1, 7), torch.tensor(labels.ravel()))
    wanted.backward()
    t = mg.asarray(z)
    loss = rc.cross_entropy(t, y, lengths=lengths)
    close(mg.evaluate((loss, mg.grad(loss, t))), (wanted.detach().numpy(), zt.grad.numpy()), 1e-8)
    seen = rng.random((5, 3, 7)) < 0.5
    target = rng.standard_normal(z.shape)
    zt = torch.tensor(z, requires_grad=True)
    wanted = torch.nn.functional.mse_loss(zt[seen], torch.tensor(target[seen]))
    wanted.backward()
    loss = rc.mean_squared_error(t, target, observed=seen)
    close(mg.evaluate((loss, mg.grad(loss, t))), (wanted.detach().numpy(), zt.grad.numpy()), 1e-8)


def test_labelled_nodes_of_trees():
    trees = rc.Tree.parse(["(3 (2 a) (4 b))", "(1 c)"])
    z = np.random.default_rng(0).standard_normal((4, 5))
    labels = np.array([2, -1, 3, 1])
    wanted = np.mean([softmax_loss(z[n], y) for n, y in enumerate(labels) if y >= 0])
    close(rc.tree_cross_entropy(z, labels).numpy(), wanted, 1e-12)
    roots = rc.roots(trees)
    wanted = np.mean([softmax_loss(z[2], 3), softmax_loss(z[3], 1)])
    close(rc.tree_cross_entropy(z, labels, rows=roots).numpy(), wanted, 1e-12)
    assert rc.tree_cross_entropy(z, np.full(4, -1)).item() == 0


def test_perplexity_and_bits():
    uniform = rc.cross_entropy(np.zeros((3, 8)), np.array([0, 5, 7]))
    close(rc.perplexity(uniform).numpy(), np.float64(8.0), 1e-12)
    close(rc.bits(uniform).numpy(), np.float64(3.0), 1e-12)


Z, Y = np.zeros((4, 2, 3)), np.zeros((4, 2), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.cross_entropy(Z, Y[:3]), r"labels must be integers of shape \(4, 2\).*\(3, 2"),
        (lambda: rc.cross_entropy(Z, Y * 1.0), "labels must be integers.*float64"),
        (lambda: rc.cross_entropy(Z, Y + 3), r"labels must lie in 0\.\.2; got \[3, 3"),
        (lambda: rc.cross_entropy(Z, Y - 1, lengths=[0, 1]), "labels must lie in"),
        (lambda: rc.cross_entropy(Z, Y, lengths=[4]), "lengths must be 2 integers"),
        (lambda: rc.cross_entropy(Z, Y, lengths=[4.0, 1.0]), "lengths must be 2 integers"),
        (lambda: rc.cross_entropy(Z, Y, lengths=[4, 5]), r"lengths\[1\] is 5; there are 4"),
        (lambda: rc.cross_entropy(Z, Y, lengths=[-1, 4]), r"lengths\[0\] is -1"),
        (lambda: rc.cross_entropy(Z, Y, mask=Y), r"mask must be booleans of shape \(4, 2\)"),
        (lambda: rc.cross_entropy(Z, Y, mask=Y[:1] == 0), "mask must be booleans"),
        (lambda: rc.cross_entropy(np.zeros((2, 2, 2, 3)), np.zeros((2, 2, 2), int), [1, 1]),
         r"with lengths the steps must be \(T, B\)"),
        (lambda: rc.tree_cross_entropy(Z[0], Y[0] - 100), r"must lie in -1\.\.2; got \[-100"),
        (lambda: rc.tree_cross_entropy(Z, Y), r"logits must be \(N, C\)"),
        (lambda: rc.tree_cross_entropy(Z[0], Y[0] + 9), r"labels must lie in -1\.\.2; got \[9"),
        (lambda: rc.mean_squared_error(Z, Y), r"targets must have the shape of predictions"),
        (lambda: rc.mean_squared_error(Z, Z, observed=Z), "observed must be booleans"),
        (lambda: rc.mean_squared_error(Z, Z, observed=np.ones(4, bool)), "mask must be booleans"),
    ],
)  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
