"""The whole graph rewritten: the same values, by the oracle; a handful of recurrences; another
length makes the same blocks."""

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
import recurrent as rc
from minigrad.compile.function import recorded
from minigrad.compile.lower import able
from minigrad.graph import rebuild, toposort
from minigrad.recur import RECUR
from minigrad.rewrite.flat import rows_of
from minigrad.rewrite.fuse import fuse
from minigrad.rewrite.merge import merge
from minigrad.rewrite.regions import regions
from minigrad.rewrite.whole import whole
from minigrad.testing import strategies as mgst
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape)


def language_model(time, batch, lengths=None):
    cell, opt = rc.LSTM(3, 4), mg.optim.adam(0.1)
    p = {"E": normal(7, 3), "cell": cell.init(0), "W": normal(4, 7), "b": normal(7)}
    labels = RNG.integers(0, 7, (2, time, batch))

    def step(p, state, tokens, labels):
        _, ys = rc.unroll(cell, p["cell"], mg.take(p["E"], tokens), lengths=lengths)
        loss = rc.cross_entropy(ys @ p["W"] + p["b"], labels, lengths=lengths)
        return loss, *opt.update(p, mg.grad(loss, p), state)

    return step, (p, opt.init(p), *labels)


def perceptron():
    p = {"W": normal(5, 6), "b": normal(6), "V": normal(6, 3)}

    def step(p, x, y):
        loss = mg.mean(mg.cross_entropy(mg.relu(x @ p["W"] + p["b"]) @ p["V"], y))
        return loss, mg.grad(loss, p)

    return step, (p, normal(8, 5), RNG.integers(0, 3, 8))


def chain():
    def step(z):
        loss = mg.sum(mg.sigmoid(z) * mg.tanh(z * z + 1) - mg.exp(-z * z))
        return loss, mg.grad(loss, z)

    return step, (normal(6, 16),)


def trees():
    cell = rc.TreeLSTM(3, 4)
    forest = [(("a", "b"), "c"), ("d", "e")]
    s = rc.structure(forest)

    def step(p, x, labels):
        _, h = rc.fold(cell, p["cell"], forest, x)
        loss = rc.tree_cross_entropy(h @ p["W"], labels)
        return loss, mg.grad(loss, p)

    p = {"cell": cell.init(0), "W": normal(4, 5)}
    return step, (p, normal(5, 3), RNG.integers(0, 5, s.n))


def attention():
    cell = rc.GRU(3, 4)

    def step(p, x, y):
        (_, hs), (_, gs) = rc.unroll(cell, p, x), rc.unroll(cell, p, y)
        weights = mg.softmax(mg.einsum("tbh,sbh->tbs", gs, hs), axis=-1)
        loss = mg.mean(mg.square(mg.einsum("tbs,sbh->tbh", weights, hs)))
        return loss, mg.grad(loss, (p, x))

    return step, (cell.init(0), normal(4, 2, 3), normal(3, 2, 3))


STEPS = {
    "language model": lambda: language_model(5, 2), "one sequence": lambda: language_model(5, 1),
    "ragged": lambda: language_model(5, 3, [5, 2, 0]), "perceptron": perceptron, "chain": chain,
    "trees": trees, "attention": attention,
}  # fmt: skip


def outputs_of(step, args):
    """The outputs for placeholders, and how to put the arguments in their places."""
    leaves, spec = mg.static.flatten(args)
    inputs, result = recorded(step, leaves, spec)
    found = [t for t in mg.pytrees.tree_leaves(result) if isinstance(t, mg.Tensor)]
    given = {ph: mg.asarray(leaves[k]) for k, ph in inputs}
    return found, lambda outputs: mg.reference(rebuild(outputs, given))


@pytest.mark.parametrize("name", STEPS)
def test_every_rewrite_keeps_the_values(name):
    outputs, values = outputs_of(*STEPS[name]())
    wanted = values(outputs)
    for rewrite in (
        merge, regions, lambda o: regions(o, able), lambda o: fuse(regions(o)), whole,
        lambda o: whole(o, able), lambda o: whole(whole(o)),
    ):  # fmt: skip
        close(values(rewrite(outputs)), wanted, 1e-12)


@pytest.mark.parametrize("name", STEPS)
def test_compiled_is_the_reference(name):
    step, args = STEPS[name]()
    f = mg.function(step)
    tensors = mg.pytrees.tree_map(
        lambda x: mg.asarray(x) if isinstance(x, np.ndarray) else x, args
    )
    wanted = mg.reference(step(*tensors))
    for _ in range(2):
        close(f(*args), wanted, 1e-11)


@pytest.mark.parametrize("name", ["chain", "perceptron"])
def test_differentiating_before_or_after(name):
    step, args = STEPS[name]()
    inputs = mg.tensors(args)
    loss = step(*inputs)[0]
    (rewritten,) = whole([loss])
    leaf = mg.pytrees.tree_leaves(inputs)[0]
    close(*mg.reference((mg.grad(rewritten, leaf), mg.grad(loss, leaf))), 1e-12)


@given(mgst.expressions(specials=True))
def test_random_expressions(e):
    y = e.f(*map(mg.asarray, e.args))
    a, b = mg.reference((y, whole([y])[0]))
    np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-300)


def test_a_language_model_is_two_recurrences():
    """Embedding, head, loss and their derivatives are part of the net and of its gradient."""
    step, (p, state, tokens, labels) = language_model(5, 2)

    def gradient(p, tokens, labels):
        _, ys = rc.unroll(rc.LSTM(3, 4), p["cell"], mg.take(p["E"], tokens))
        loss = rc.cross_entropy(ys @ p["W"] + p["b"], labels)
        return loss, mg.grad(loss, p)

    outputs, _ = outputs_of(gradient, (p, tokens, labels))
    assert sum(t.op is RECUR for t in toposort(whole(outputs, able))) == 2
    words = mg.function(gradient).explain(p, tokens, labels)
    assert "no code" not in words and "called through one native list" in words


def test_another_length_makes_the_same_blocks():
    def blocks(time, batch):
        outputs, _ = outputs_of(*language_model(time, batch))
        found = [t.attrs["block"] for t in toposort(whole(outputs, able)) if t.op is RECUR]
        return [b for b in found if "rows" in b.name and "LSTM" not in b.name]

    first = blocks(5, 2)
    assert first and {id(b) for b in first} == {id(b) for b in blocks(6, 3)}


def test_equal_shapes_that_mean_something_else():
    """Rows, features and classes are as many: a wrong guess costs speed and never a number."""
    x, w = (mg.asarray(normal(4, 4)) for _ in range(2))
    h = mg.vmap(mg.tanh)(x)
    y = mg.sum(mg.exp((h @ w).T @ h - h.T) * (w @ h))
    found = [y, *mg.grad(y, (x, w))]
    close(mg.reference(whole(found, able)), mg.reference(found), 1e-12)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_, np.float32])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, k: mg.sum(mg.astype(k >= 1, x.dtype) * 1.0),
        lambda x, k: mg.sum(k >= 1) * mg.sum(x),
        lambda x, k: mg.sum(mg.astype(k, x.dtype)),
        lambda x, k: mg.sum(mg.astype(k + k, "float32")),
        lambda x, k: mg.sum(mg.where(k >= 1, x, 0.5)),
        lambda x, k: mg.mean(mg.argmax(x, axis=-1)),
        lambda x, k: mg.sum(mg.tanh(x), axis=0) + mg.sum(mg.astype(x > 0, x.dtype), axis=0),
        lambda x, k: mg.sum(mg.all(k >= 0, axis=-1)),
        lambda x, k: mg.mean(mg.astype(mg.take(k, np.arange(0, 40, 8), axis=0) >= 0, x.dtype)),
    ],
    ids="cast truth,truth,cast,cast sum,where,argmax,axis 0,all,taken".split(","),
)
def test_sums_over_rows_of_truth_values_and_numbers(f, dtype):
    """Linear in what floats are, and only in that."""
    x, k = normal(40, 5), np.floor(100 * RNG.random((40, 5))).astype(dtype)  # sums are exact
    wanted = mg.reference(f(mg.asarray(x), mg.asarray(k)))
    y = f(*mg.tensors((x, k)))
    close(mg.reference(whole([y])[0]), wanted, 1e-12)
    close(mg.evaluate(whole([y])[0]), wanted, 1e-12)
    close(mg.function(f)(x, k), wanted, 1e-12)


def test_rows_of_a_shape():
    for size in range(2, 3000):
        found = rows_of((size,))
        assert found is None or (found[0] * found[1] == size and found[0] > 1)
    assert rows_of((10**6,)) is not None and rows_of(()) is None and rows_of((1, 1)) is None


def test_an_op_without_code_keeps_its_shape():
    """Elementwise or not: what its function is given is shaped as the user recorded it."""
    shapes = []

    def numpy(x):
        shapes.append(x.shape)
        return 2 * x

    twice = mg.primitive("twice", numpy=numpy, vjp=lambda ct, y, x: 2 * ct)
    f = mg.function(lambda x: mg.sum(mg.tanh(twice(mg.exp(x)))))
    x = normal(3, 2)
    np.testing.assert_allclose(f(x), np.sum(np.tanh(2 * np.exp(x))), rtol=1e-12)
    assert set(shapes) == {(3, 2)}
