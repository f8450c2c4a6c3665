"""Rows that are taken are taken early: the same values, nothing computed of the padding, and a
ragged net with its head and loss is two recurrences, as a dense one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.compile.lower import able
from minigrad.graph import toposort
from minigrad.ops.indexing import SCATTER
from minigrad.recur import RECUR
from minigrad.rewrite.sink import sink
from minigrad.rewrite.whole import whole
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
TIME, CELL, TREES = 4, rc.GRU(3, 4), rc.TreeLSTM(3, 4)
NETS = {
    "last": rc.ManyToOne(CELL, 5, tokens=7), "mean": rc.ManyToOne(CELL, 5, tokens=7, pool="mean"),
    "tagger": rc.ManyToMany(rc.bidirectional(CELL, CELL), 5, tokens=7),
}  # fmt: skip


def normal(*shape):
    return RNG.standard_normal(shape)


def parameters():
    return {"E": normal(7, 3), "cell": CELL.init(0), "W": normal(4, 5), "b": normal(5)}


def language_model(lengths, drop=False, logits=False):
    """A step with dropout before and behind the net, and the padded logits as a result."""

    def step(p, tokens, labels, before, behind):
        x = mg.take(p["E"], tokens)
        _, ys = rc.unroll(CELL, p["cell"], x * before if drop else x, lengths=lengths)
        z = (ys * behind if drop else ys) @ p["W"] + p["b"]
        loss = rc.cross_entropy(z, labels, lengths=lengths)
        return loss, mg.grad(loss, p), *([z] if logits else [])

    return step


def batch(lengths):
    time, size = max([*lengths, 1]), len(lengths)
    tokens, labels = RNG.integers(0, 7, (time, size)), RNG.integers(0, 5, (time, size))
    before, behind = (2.0 * (RNG.random((time, size, k)) < 0.5) for k in (3, 4))
    return tokens, labels, before, behind


def net(kind, lengths):
    def step(p, tokens, labels):
        if kind == "tagger":
            loss = rc.cross_entropy(NETS[kind](p, tokens, lengths), labels, lengths=lengths)
        else:
            loss = rc.cross_entropy(NETS[kind](p, tokens, lengths), labels[0])
        return loss, mg.grad(loss, p)

    return step, NETS[kind].init(0)


def outputs_of(step, args):
    return mg.pytrees.tree_leaves(step(*mg.tensors(args)))


def traced(step, args):
    found = mg.pytrees.tree_leaves(mg.function(step).graph(*args))
    return [t for t in found if isinstance(t, mg.Tensor)]


def recurrences(outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


LENGTHS = st.lists(st.integers(0, TIME), min_size=1, max_size=4)


@given(LENGTHS, st.booleans(), st.booleans())
def test_a_language_model_keeps_its_values(lengths, drop, logits):
    args = (parameters(), *batch(lengths))
    outputs = outputs_of(language_model(lengths, drop, logits), args)
    wanted = mg.reference(outputs)
    close(mg.reference(sink(outputs)), wanted, 1e-12)
    close(mg.reference(whole(outputs, able)), wanted, 1e-12)


@pytest.mark.parametrize("kind", NETS)
@settings(max_examples=20)
@given(lengths=LENGTHS)
def test_nets_keep_their_values(kind, lengths):
    step, p = net(kind, lengths)
    outputs = outputs_of(step, (p, *batch(lengths)[:2]))
    close(mg.reference(sink(outputs)), mg.reference(outputs), 1e-12)
    close(mg.reference(whole(outputs, able)), mg.reference(outputs), 1e-12)


@pytest.mark.parametrize("lengths", [[4, 2, 0, 1], [3, 3], [1], [0, 0], [1, 0, 1]])
def test_compiled_is_the_reference(lengths):
    step, args = language_model(lengths, drop=True), (parameters(), *batch(lengths))
    f = mg.function(step)
    wanted = mg.reference(step(*mg.tensors(args)))
    for _ in range(2):
        close(f(*args), wanted, 1e-11)


def test_what_stands_in_the_padding_reaches_nothing():
    lengths = [4, 0, 2]
    p, (tokens, labels, before, behind) = parameters(), batch(lengths)
    step = language_model(lengths, drop=True)
    counts = rc.within(4, lengths, 3)
    clean = mg.reference(step(*mg.tensors((p, tokens, labels, before, behind))))
    labels, before, behind = labels.copy(), before.copy(), behind.copy()
    labels[~counts], before[~counts], behind[~counts] = -9, np.nan, np.inf
    dirty = p, tokens, labels, before, behind
    close(mg.reference(step(*mg.tensors(dirty))), clean, 1e-12)
    close(mg.evaluate(step(*mg.tensors(dirty))), clean, 1e-12)
    close(mg.function(step)(*dirty), clean, 1e-11)


@pytest.mark.parametrize("drop", [False, True])
def test_a_ragged_language_model_is_two_recurrences(drop):
    lengths = [4, 2, 0, 3]
    outputs = traced(language_model(lengths, drop), (parameters(), *batch(lengths)))
    found = whole(outputs, able)
    assert {t.attrs["structure"].n for t in recurrences(found)} == {9}
    assert len(recurrences(found)) == 2
    wide = [t for t in toposort(found) if t.op is not SCATTER and t.shape[:1] == (16,)]
    assert all(not t.inputs or t.op.name == "reshape" for t in wide)


def test_trees_with_the_loss_at_their_roots_compute_the_head_there():
    forest = [(("a", "b"), "c"), ("d", "e")]
    s = rc.structure(forest)

    def step(p, x, labels):
        _, h = rc.fold(TREES, p["cell"], forest, x)
        loss = rc.tree_cross_entropy(h @ p["W"], labels, rows=rc.roots(forest))
        return loss, mg.grad(loss, p)

    p = {"cell": TREES.init(0), "W": normal(4, 5)}
    args = p, normal(5, 3), RNG.integers(0, 5, s.n)
    found = whole(traced(step, args), able)
    heads = [t.attrs["structure"].n for t in recurrences(found) if "Tree" not in t.name]
    assert heads and set(heads) == {2}
    close(mg.function(step)(*args), mg.reference(step(*mg.tensors(args))), 1e-11)


def test_what_is_needed_in_all_rows_is_computed_once():
    """Padded logits that are a result: the loss takes its rows of them."""
    lengths = [4, 2, 0, 3]
    outputs = traced(language_model(lengths, logits=True), (parameters(), *batch(lengths)))
    heads = [
        t for r in recurrences(whole(outputs)) for t in r.attrs["block"].nodes
        if t.op.name == "einsum" and t.attrs["subs"][1:] and t.shape == (5,)
    ]  # fmt: skip
    assert len(heads) == 1
