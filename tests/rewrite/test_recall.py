"""A graph met before but for its sizes: what was made of the other, with the sizes in their places,
is what would be made of it; where anything else differs, it is made anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.compile.lower import able
from minigrad.graph import Trace, placeholder, rebuild, toposort, trace_call
from minigrad.recur import RECUR
from minigrad.rewrite import recall, whole
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
CELL, TREES, OPT = rc.GRU(3, 4), rc.TreeLSTM(3, 4), mg.optim.adam(0.1)
P = {"E": RNG.standard_normal((7, 3)), "cell": CELL.init(0), "W": RNG.standard_normal((4, 5))}
Q = {"cell": TREES.init(0), "W": P["W"]}


def normal(*shape):
    return RNG.standard_normal(shape)


def language_model(lengths):
    def step(p, state, tokens, labels):
        _, ys = rc.unroll(CELL, p["cell"], mg.take(p["E"], tokens), lengths=lengths)
        loss = rc.cross_entropy(ys @ p["W"], labels, lengths=lengths)
        return loss, *OPT.update(p, mg.grad(loss, p), state)

    time, batch = max([*lengths, 1]), len(lengths)
    return step, (P, OPT.init(P), *RNG.integers(0, 5, (2, time, batch)))


def forest(sizes):
    def tree(n):
        return "w" if n < 2 else (tree(n // 2), tree(n - n // 2))

    s = rc.structure([tree(n) for n in sizes])

    def step(p, x, labels):
        _, h = rc.fold(TREES, p["cell"], s, x)
        loss = rc.tree_cross_entropy(h @ p["W"], labels)
        return loss, mg.grad(loss, p)

    return step, (Q, normal(sum(sizes), 3), RNG.integers(-1, 5, s.n))


def dense(time, batch):
    def step(p, x, y):
        _, ys = rc.unroll(CELL, p["cell"], x)
        loss = mg.mean(mg.square(ys @ p["W"] - y)) / batch
        return loss, mg.grad(loss, p)

    return step, (P, normal(time, batch, 3), normal(time, batch, 5))


def attention(time, other):
    def step(p, x, y):
        (_, hs), (_, gs) = rc.unroll(CELL, p["cell"], x), rc.unroll(CELL, p["cell"], y)
        weights = mg.softmax(mg.einsum("tbh,sbh->tbs", gs, hs), axis=-1)
        loss = mg.mean(mg.square(mg.einsum("tbs,sbh->tbh", weights, hs)))
        return loss, mg.grad(loss, p["cell"])

    return step, (P, normal(time, 2, 3), normal(other, 2, 3))


GRAPHS = {
    "language model": (language_model, st.lists(st.integers(0, 5), min_size=1, max_size=4)),
    "forest": (forest, st.lists(st.integers(2, 5), min_size=1, max_size=4)),
    "dense": (dense, st.tuples(st.integers(1, 5), st.integers(1, 5))),
    "attention": (attention, st.tuples(st.integers(1, 5), st.integers(1, 5))),
}  # fmt: skip


def traced(step, args):
    """The outputs on placeholders, and how to put the arguments there."""
    trace = Trace("step")
    leaves, spec = mg.pytrees.tree_flatten(args)
    inputs = [placeholder(np.shape(x), np.asarray(x).dtype, None, trace) for x in leaves]
    result = trace_call(trace, lambda: step(*mg.pytrees.tree_unflatten(spec, inputs)))
    given = {ph: mg.asarray(x) for ph, x in zip(inputs, leaves, strict=True)}
    outputs = [t for t in mg.pytrees.tree_leaves(result) if isinstance(t, mg.Tensor)]
    return outputs, lambda found: mg.reference(rebuild(found, given))


def made(kind, drawn):
    make = GRAPHS[kind][0]
    return make(*drawn) if isinstance(drawn, tuple) else make(drawn)


@pytest.fixture(autouse=True)
def nothing_met():
    recall._memos.clear()


def count(monkeypatch):
    """How often graphs are rewritten from the beginning."""
    calls = []
    fully = whole._in_blocks
    monkeypatch.setattr(whole, "_in_blocks", lambda *given: calls.append(0) or fully(*given))
    return calls


@pytest.mark.parametrize("kind", GRAPHS)
@settings(max_examples=15)
@given(data=st.data())
def test_every_size_is_the_reference(kind, data):
    outputs, values = traced(*made(kind, data.draw(GRAPHS[kind][1])))
    close(values(whole.whole(outputs, able)), values(outputs), 1e-12)


@pytest.mark.parametrize(
    ("kind", "first", "more"),
    [
        ("language model", [17, 5, 1], [[15, 3, 2], [8, 15, 3], [16, 6, 1], [13, 2, 4]]),
        ("language model", [13, *[1] * 10], [[14] + [3] * 9 + [0], [2] * 9 + [13, 0]]),
        ("forest", [15, 14], [[15, 13], [16, 11], [14, 8, 4], [17, 9, 2], [13, 12, 11, 10, 9]]),
    ],
)
def test_other_lengths_are_not_rewritten(kind, first, more, monkeypatch):
    calls = count(monkeypatch)
    outputs, _ = traced(*made(kind, first))
    blocks = [r.attrs["block"] for r in toposort(whole.whole(outputs, able)) if r.op is RECUR]
    calls.clear()
    for lengths in more:
        outputs, values = traced(*made(kind, lengths))
        found = whole.whole(outputs, able)
        assert [r.attrs["block"] for r in toposort(found) if r.op is RECUR] == blocks
        close(values(found), values(outputs), 1e-12)
    assert not calls


def test_lengths_that_are_equal_by_chance(monkeypatch):
    """As many rows as features, as steps, as classes: no other graph is taken for this one."""
    calls = count(monkeypatch)
    for time, batch in ((2, 2), (2, 3), (4, 5), (5, 4), (1, 4), (4, 1), (1, 5), (5, 5), (3, 4)):
        outputs, values = traced(*dense(time, batch))
        close(values(whole.whole(outputs, able)), values(outputs), 1e-12)
    assert len(calls) > 2


def test_numbers_that_are_equal_by_chance():
    """1/n that was one number with another, and is not."""

    def step(scale):
        def f(x):
            return mg.sum(mg.tanh(x @ x.T)) * scale / x.shape[0] + mg.sum(x * np.float64(scale))

        return f

    for n, scale in ((4, 4.0), (5, 4.0), (5, 5.0), (6, 4.0)):
        outputs, values = traced(step(scale), (normal(n, 3),))
        close(values(whole.whole(outputs, able)), values(outputs), 1e-12)


def test_a_number_in_a_block_is_that_number():
    def step(k):
        return lambda x, w: mg.sum(mg.exp(mg.tanh(x @ w) * np.full(5, k)))

    for k in (2.0, 3.0, 2.0, -1.0):
        outputs, values = traced(step(k), (normal(6, 3), normal(3, 5)))
        close(values(whole.whole(outputs, able)), values(outputs), 1e-12)


@pytest.mark.parametrize("shape", [(8, 5), (4096,)], ids=str)
@pytest.mark.parametrize("first", [False, True])
def test_sums_of_what_is_repeated_as_often_as_there_are_rows(shape, first):
    """8 rows, and 4096 are cut into 8: of an argument that has other rows next time."""

    def step(x, w, b):
        wide, loss = mg.sum(mg.tanh(mg.broadcast_to(b, shape))), mg.sum(mg.tanh(x @ w))
        return (wide, loss) if first else (loss, wide)

    for n in (8, 9, 10, 8):
        outputs, values = traced(step, (normal(n, 3), normal(3, 5), np.float64(0.3)))
        close(values(whole.whole(outputs, able)), values(outputs), 1e-12)


def test_lengths_in_a_block_are_those_lengths():
    def step(x, w, u):
        y = mg.expand_dims(mg.sum(mg.tanh(x @ w), axis=-1), axis=-1)
        return mg.sum(mg.exp(mg.sum(mg.tanh(mg.broadcast_to(y, (6, len(u)))), axis=-1))), u + 1

    for time in (10, 11, 12, 10):
        outputs, values = traced(step, (normal(6, 3), 0.1 * normal(3, 5), normal(time)))
        close(values(whole.whole(outputs, able)), values(outputs), 1e-12)


def test_memory_is_bounded():
    for n in range(3, 12):
        for k in range(12):
            args = [normal(n, 4)]
            outputs, _ = traced(lambda x, k=k: mg.sum(mg.tanh(x @ x.T)[:, : k % 3 + 1]), args)
            whole.whole(outputs)
    assert len(recall._memos) <= recall.KEPT
    assert all(len(found) <= recall.WAYS for found in recall._memos.values())


def test_sizes_that_fit():
    def fits(old, new):
        return recall._Sizes(old, new).fits

    assert fits([3, 4, 3], [5, 4, 5]) and fits([3, 4], [7, 7]) and fits([0, 1, 2], [0, 1, 3])
    assert not fits([3, 3], [3, 4])
    assert not fits([3], [1]) and not fits([1], [3]) and not fits([0], [2]) and not fits([2], [0])
