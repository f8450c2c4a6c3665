"""Lengths that are an argument of a compiled function: what they are where they are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.pytrees import tree_map
from minigrad.testing.laws import close
from recurrent.masking import kept, lengths_of, running

from ..counting import examples

RNG = np.random.default_rng(0)


def plain(p, carry, x):
    """A cell without names, with two parts of the state that are swapped, and several outputs."""
    h, c = carry["h"], carry["c"]
    new = mg.tanh(x @ p["W"] + h @ p["U"]) + c
    return {"h": c * 0.5, "c": new}, {"y": new * h, "n": mg.sum(x) > 0}


PLAIN = {"W": RNG.standard_normal((3, 4)), "U": RNG.standard_normal((4, 4))}
CELLS = {
    "LSTM": rc.LSTM(3, 4), "GRU": rc.GRU(3, 4), "RNN": rc.RNN(3, 4),
    "peephole": rc.PeepholeLSTM(3, 4), "deep": rc.stack(rc.GRU(3, 4), rc.RNN(4, 4)), "plain": plain,
}  # fmt: skip


def params_of(name):
    return PLAIN if name == "plain" else CELLS[name].init(0)


def carry_of(name, batch, rng):
    if name == "plain":
        return {k: rng.standard_normal((batch, 4)) for k in "hc"}
    return tree_map(lambda z: rng.standard_normal((batch, 4)), CELLS[name].zero_state(float))


@st.composite
def batches(draw):
    time, batch = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    return time, batch, lengths


def both(f, lengths, *args):
    """f(*args, lengths): known, and as data; as data op by op as well."""
    known = mg.function(f)(*args, list(lengths))
    g = mg.function(f)
    data = g(*args, np.array(lengths, np.int64))
    close(data, known, 1e-12)
    close(g(*args, np.array(lengths, np.int32)), known, 1e-12)
    return g, known


FEW = ("LSTM", "plain")  # cells for those who wait


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.long) for n in CELLS]
)
@settings(max_examples=examples(8), deadline=None)
@given(batches(), st.booleans(), st.booleans(), st.sampled_from((None, 2)), st.integers(0, 99))
def test_values_and_gradients(name, shape, started, reverse, checkpoint, seed):
    """Of all that a sequence gives, with NaN behind every end; any start, either direction."""
    time, batch, lengths = shape
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((time, batch, 3))
    xs[np.arange(time)[:, None] >= np.array(lengths)] = np.nan
    carry = carry_of(name, batch, rng) if started or name == "plain" else None

    def f(p, xs, carry, lengths):
        final, ys = rc.unroll(
            CELLS[name], p, xs, carry, lengths, reverse=reverse, checkpoint=checkpoint
        )
        seen = [y for y in mg.pytrees.tree_leaves((final, ys)) if y.dtype.kind == "f"]
        loss = sum(mg.sum(mg.sin(y + 0.3 * k)) for k, y in enumerate(seen))
        wrt = (p, carry) if carry is not None else (p,)
        return final, ys, mg.grad(loss, (wrt, xs))

    both(f, lengths, params_of(name), xs, carry)


@settings(max_examples=examples(4), deadline=None)
@given(batches(), st.integers(0, 99))
def test_one_trace_serves_all_lengths(shape, seed):
    time, batch, lengths = shape
    rng = np.random.default_rng(seed)
    p, xs = params_of("GRU"), rng.standard_normal((time, batch, 3))

    def f(p, xs, lengths):
        final, ys = rc.unroll(CELLS["GRU"], p, xs, lengths=lengths)
        loss = rc.mean_squared_error(ys, mg.ones_like(ys), lengths)
        return final, loss, mg.grad(loss, p)

    g = mg.function(f)
    for some in (lengths, lengths[::-1], [time] * batch, [0] * batch):
        close(g(p, xs, np.array(some)), mg.function(f)(p, xs, some), 1e-12)
    assert len(g.traces) == 1
    words = g.explain(p, xs, np.array(lengths))
    assert not time or "level by level" not in words


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize("tokens", [None, 7])
def test_many_to_one(pool, tokens):
    net = rc.ManyToOne(rc.LSTM(3, 4), 5, tokens=tokens, pool=pool)
    p = net.init(0)
    xs = RNG.standard_normal((6, 4, 3)) if tokens is None else RNG.integers(0, tokens, (6, 4))

    def f(p, xs, labels, lengths):
        loss = rc.cross_entropy(net(p, xs, lengths), labels)
        return net(p, xs, lengths), loss, mg.grad(loss, p)

    for lengths in ([6, 1, 3, 5], [0, 2, 6, 0], [6, 6, 6, 6]):
        both(f, lengths, p, xs, np.array([0, 4, 1, 1]))


NETS = {
    "both directions": rc.bidirectional(rc.GRU(3, 4)),
    "layers": rc.layered(rc.bidirectional(rc.LSTM(3, 2)), rc.over_time(rc.RNN(4, 4), reverse=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_many_to_many(name):
    net = rc.ManyToMany(NETS[name], 5)
    p, xs = net.init(0), RNG.standard_normal((6, 4, 3))
    labels, mask = RNG.integers(0, 5, (6, 4)), RNG.random((6, 4)) < 0.7

    def f(p, xs, labels, mask, lengths):
        ys = net(p, xs, lengths)
        loss = rc.cross_entropy(ys, labels, lengths) + rc.cross_entropy(ys, labels, lengths, mask)
        return ys, loss, mg.grad(loss, p), rc.accuracy(ys, labels, lengths)

    for lengths in ([6, 1, 3, 5], [0, 2, 6, 0]):
        both(f, lengths, p, xs, labels, mask)


@pytest.mark.parametrize("attention", [None, "additive", "dot"])
@pytest.mark.parametrize(
    "encoder",
    [rc.GRU(3, 4), pytest.param(rc.bidirectional(rc.GRU(3, 2)), marks=pytest.mark.long)],
    ids=repr,
)
def test_encoder_decoder(attention, encoder):
    size = 6 if attention == "additive" else 2
    net = rc.encoder_decoder(
        encoder, rc.LSTM(size, 4), source_tokens=5, target_tokens=7, attention=attention
    )
    p, xs, ys = net.init(0), RNG.integers(0, 5, (5, 3)), RNG.integers(0, 7, (4, 3))

    def f(p, xs, ys, lengths, targets):
        logits = net(p, xs, ys, lengths, targets)
        loss = rc.cross_entropy(logits, ys, targets)
        return logits, loss, mg.grad(loss, p)

    g = mg.function(f)
    for lengths, targets in (([5, 1, 3], [4, 0, 2]), ([2, 2, 2], [1, 4, 4])):
        known = mg.function(f)(p, xs, ys, lengths, targets)
        close(g(p, xs, ys, np.array(lengths), np.array(targets)), known, 1e-12)
    assert len(g.traces) == 1
    with pytest.raises(ValueError, match=r"lengths must lie in 1\.\.5"):
        g(p, xs, ys, np.array([5, 0, 3]), np.array([4, 0, 2]))


def test_memory_of_a_sequence():
    """Each step reads the same of its sequence, which is not masked."""
    memory = RNG.standard_normal((3, 2, 4))

    def cell(p, h, x):
        x, m = x
        h = mg.tanh(x @ p["W"] + h @ p["U"] + mg.sum(m, axis=0))
        return h, h

    def f(p, xs, memory, lengths):
        final, ys = rc.unroll(cell, p, xs, np.zeros((3, 4)), lengths, memory=memory)
        return final, ys, mg.grad(mg.sum(mg.sin(final)) + mg.sum(ys), (p, memory))

    both(f, [4, 0, 2], PLAIN, RNG.standard_normal((4, 3, 3)), memory)


def test_without_inputs():
    def f(w, start, lengths):
        def cell(w, s, x):
            return mg.sin(s * w), s

        final, ys = rc.unroll(cell, w, None, start, lengths, steps=4)
        return final, ys, mg.grad(mg.sum(final), w)

    both(f, [4, 1], np.array(0.7), RNG.standard_normal((2, 3)))


def test_cells_that_nobody_else_keeps():
    """A bound method, or a function made where it is called."""

    class Net:
        def step(self, p, h, x):
            h = mg.tanh(x @ p["W"] + h @ p["U"])
            return h, h

    def bound(p, xs, lengths):
        return rc.unroll(Net().step, p, xs, np.zeros((2, 4)), lengths)

    def made(p, xs, lengths):
        return rc.unroll(lambda p, h, x: (h + x @ p["W"], h), p, xs, np.zeros((2, 4)), lengths)

    for f in (bound, made):
        both(f, [3, 1], PLAIN, RNG.standard_normal((3, 2, 3)))


def test_float32_stays():
    def f(p, xs, lengths):
        final, ys = rc.unroll(CELLS["LSTM"], p, xs, lengths=lengths)
        return final, ys

    p = tree_map(np.float32, params_of("LSTM"))
    found = mg.function(f)(p, np.float32(RNG.standard_normal((4, 2, 3))), np.array([1, 4]))
    assert all(x.dtype == np.float32 for x in mg.pytrees.tree_leaves(found))


def test_what_is_no_length():
    def f(xs, lengths):
        return rc.unroll(CELLS["GRU"], params_of("GRU"), xs, lengths=lengths)[0]

    g, xs = mg.function(f), np.zeros((4, 2, 3))
    for wrong in ([5, 1], [-1, 1]):
        with pytest.raises(ValueError, match=r"unroll: lengths must lie in 0\.\.4; got"):
            g(xs, np.array(wrong))
    g(xs, np.array([4, 1]))
    for wrong in (np.array([1, 2, 3]), np.array([1.0, 2.0]), np.array([[1, 2]])):
        with pytest.raises(ValueError, match="lengths must be 2 integers, one per sequence"):
            g(xs, wrong)


def test_where_lengths_must_be_known():
    def cut(xs, lengths):
        return rc.unroll(CELLS["GRU"], params_of("GRU"), xs, lengths=lengths, truncate=2)[0]

    with pytest.raises(ValueError, match="truncate, lengths must be known.*rc.Lengths"):
        mg.function(cut)(np.zeros((4, 2, 3)), np.array([4, 1]))
    net = rc.bidirectional(rc.GRU(3, 4), lookahead=1)
    with pytest.raises(TypeError, match="Tensor of the trace.*rc.Lengths"):
        mg.function(lambda xs, n: net(net.init(0), xs, n))(np.zeros((4, 2, 3)), np.array([4, 1]))


def test_a_tensor_with_a_value_is_known():
    """Outside of a trace nothing is masked: a node for each step there is."""
    lengths = mg.asarray(np.array([2, 0, 3]))
    xs = RNG.standard_normal((3, 3, 3))
    _, ys = rc.unroll(CELLS["GRU"], params_of("GRU"), xs, lengths=lengths)
    recurrences = [t for t in mg.nodes(ys) if t.op.name == "recur"]
    assert [t.attrs["structure"].n for t in recurrences] == [5]
    assert isinstance(lengths_of("f", lengths, 3, 3), np.ndarray)
    mask = running(np.array([2, 0, 3]), 3)
    close(kept(mask, mg.asarray(xs)), np.where(mask[..., None], xs, 0), 0)
    close(kept(mask, mg.asarray(mask)), mask, 0)
