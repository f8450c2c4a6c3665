"""What inputs are called: the word of the step they belong to, the name that each call gives."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz

from ..graphs import leaf, rnn

WORDS = [f"w{k}" for k in range(12)]
rng = np.random.default_rng(0)


def inputs(*args, **more):
    """(label, first line of the tooltip, row of the table) of every input drawn."""
    nodes = [n for n in viz.draw(*args, **more).scene.nodes if n.kind == "input"]
    tips = [n.tooltip.split("\n") for n in nodes]
    rows = [int(t[1].split()[1]) if t[1].startswith("row ") else None for t in tips]
    return [(n.label, t[0], row) for n, t, row in zip(nodes, tips, rows, strict=True)]


@pytest.mark.parametrize("max_steps", [None, 60, 5])
@pytest.mark.parametrize("span", [1, 3, 9])
def test_a_window_over_time_shows_each_row_with_its_own_word(max_steps, span):
    net = rc.TimeDelay(3, 2, span)
    ys = net(mg.tensors(net.init(0)), leaf(rng, 12, 3, name="x"))
    found = inputs(ys, labels=WORDS, max_steps=max_steps)
    assert len(found) >= 5 and (max_steps is not None or len(found) == 12)
    assert all(label == f"w{row}" for label, _, row in found)
    symbols = [label for label, _, _ in inputs(ys, max_steps=None)]
    assert symbols == [viz.scene.text.subscript("x", k + 1) for k in range(12)]


@pytest.mark.parametrize("max_steps", [None, 4])
def test_parameters_of_each_step_are_no_words(max_steps):
    net = rc.Unshared(rc.RNN(3, 2), 12)
    ys = net(mg.tensors(net.init(0)), leaf(rng, 12, 3, name="x"))
    found = inputs(ys, labels=WORDS, max_steps=max_steps)
    worded = [(label, row) for label, _, row in found if label in WORDS]
    kept = range(12) if max_steps is None else (0, 1, 10, 11)
    assert worded == [(f"w{k}", k) for k in kept]
    others = {label.rstrip("₀₁₂₃₄₅₆₇₈₉") for label, _, _ in found if label not in WORDS}
    assert others == {"theta.U", "theta.W", "theta.b"}


def test_what_all_steps_read_is_no_word_unless_they_agree():
    def cell(params, h, given):
        x, seen = given
        h = mg.tanh(x @ params["W"] + h @ params["U"]) * seen
        return h, h

    p = {"W": leaf(rng, 3, 2, name="W"), "U": leaf(rng, 2, 2, name="U")}
    x = mg.Indexed(leaf(rng, 3, 3, name="table"), np.array([0, 1, 0, 2]))
    mask = mg.Indexed(leaf(rng, 1, 2, name="mask"), np.zeros(4, int))
    _, ys = mg.recur(
        cell, mg.Structure.chain(4), initial=np.zeros((1, 2)), shared=p, inputs=(x, mask)
    )
    words = "the dog the barks".split()
    labels = [label for label, _, _ in inputs(ys, labels=words)]
    assert labels == ["the", "dog", "barks", "mask₁"]


@mg.block
def layer(w, x):
    return mg.tanh(x @ w)


def test_each_call_of_a_block_shows_its_own_arguments():
    w, xs = leaf(rng, 3, 3, name="W"), [leaf(rng, 3, name=f"x{k}") for k in range(3)]
    calls = [layer(w, x) for x in xs]
    assert [label for label, _, _ in inputs(calls)] == ["x0", "x1", "x2"]
    assert [label for label, _, _ in inputs(calls[2])] == []  # one call alone: all are leaves of it
    assert [label for label, _, _ in inputs(calls, labels=["a", "b", "c"])] == ["a", "b", "c"]
    framed = [n.label for n in viz.draw(calls, "ops").scene.nodes if n.kind == "shared"]
    assert framed == ["x0", "W", "x1", "W", "x2", "W"]
    unnamed = [layer(w, leaf(rng, 3)) for _ in range(3)]
    assert len({label for label, _, _ in inputs(unnamed)}) == 3


def test_calls_of_a_chain_are_numbered_by_their_step():
    structure = mg.Structure.chain(4)
    p = {"W": leaf(rng, 3, 2, name="W"), "U": leaf(rng, 2, 2, name="U")}
    x = leaf(rng, 4, 3, name="x")
    _, ys = mg.recur(rnn, structure, initial=np.zeros((1, 2)), shared=p, inputs=x)
    written = mg.unfold(mg.sum(ys))
    labels = [label for label, _, _ in inputs(written)]
    assert labels == ["x₁", "x₂", "x₃", "x₄"]
    assert [label for label, _, _ in inputs(written, labels=WORDS[:4])] == WORDS[:4]


def test_labels_of_all_structures():
    """Of an encoder and a decoder all words, or those of one; no other number."""
    net = rc.encoder_decoder(rc.GRU(2, 3), rc.GRU(2, 3), target_tokens=4, source_tokens=5)
    params = mg.tensors(net.init(0))
    loss = mg.sum(net(params, np.zeros((2, 1), int), np.zeros((3, 1), int)) ** 2)
    scene = viz.draw(loss, labels=["a", "b", "c", "d", "e"]).scene
    named = {n.label for n in scene.nodes if n.kind == "input"}
    assert {"a", "b", "c", "d", "e"} <= named
    with pytest.raises(ValueError, match="4 were given for 2 or 3 nodes"):
        viz.draw(loss, labels=list("abcd"))
