"""New lengths, step after step: the reference's numbers, nothing compiled, nothing piled up."""

import gc

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import Tensor
from minigrad.kernels import cache
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
CELL, TREES, OPT = rc.GRU(3, 4), rc.TreeLSTM(3, 4), mg.optim.adam(0.1)


def parameters(cell):
    return {
        "E": RNG.standard_normal((7, 3)), "cell": cell.init(0),
        "W": RNG.standard_normal((4, 5)), "b": np.zeros(5),
    }  # fmt: skip


def language_model(p, state, tokens, labels, lengths):
    _, ys = rc.unroll(CELL, p["cell"], mg.take(p["E"], tokens), lengths=lengths)
    loss = rc.cross_entropy(ys @ p["W"] + p["b"], labels, lengths=lengths)
    return loss, *OPT.update(p, mg.grad(loss, p), state)


def classifier(p, state, tokens, labels, lengths):
    h, _ = rc.unroll(CELL, p["cell"], mg.take(p["E"], tokens), lengths=lengths)
    loss = rc.cross_entropy(h @ p["W"] + p["b"], labels[0])
    return loss, *OPT.update(p, mg.grad(loss, p), state)


def of_trees(p, state, tokens, labels, forest):
    _, hs = rc.fold(TREES, p["cell"], forest, mg.take(p["E"], tokens))
    loss = rc.tree_cross_entropy(hs @ p["W"] + p["b"], labels)
    return loss, *OPT.update(p, mg.grad(loss, p), state)


def sequences(lengths):
    time, size = max([*lengths, 1]), len(lengths)
    return *RNG.integers(0, 5, (2, time, size)), rc.Lengths(tuple(lengths))


def trees(sizes):
    def tree(n):
        k = int(RNG.integers(1, n)) if n > 1 else 0
        return (tree(k), tree(n - k)) if k else "w"

    forest = rc.structure([(tree(n), "w") for n in sizes])
    return RNG.integers(0, 7, sum(sizes) + len(sizes)), RNG.integers(-1, 5, forest.n), forest


def drawn(least):
    return RNG.integers(least, 9, RNG.integers(1, 6)).tolist()


@pytest.mark.parametrize(
    ("step", "cell", "make", "first"),
    [
        (language_model, CELL, sequences, [[5, 2, 0], [3, 3], [1], [1, 1], [0, 0]]),
        pytest.param(
            classifier, CELL, sequences, [[5, 2, 0], [3, 3], [1], [1, 1], [0, 0]],
            marks=pytest.mark.long,
        ),
        (of_trees, TREES, trees, [[3, 1], [4, 2, 2], [1]]),
    ],
    ids="language model,classifier,trees".split(","),
)
def test_new_lengths_compile_nothing(step, cell, make, first, monkeypatch):
    f, p = mg.function(step), parameters(cell)
    state = OPT.init(p)
    for lengths in first:
        f(p, state, *make(lengths))
    compiled = []
    monkeypatch.setattr(cache, "compile_source", lambda *a: compiled.append(a) or [])
    for k in range(12):
        lengths = [[6] * 4, [7], [1, 1, 1]][k] if k < 3 else drawn(0 if make is sequences else 1)
        args = p, state, *make(lengths)
        wanted = mg.reference(step(*mg.tensors(args[:-1]), args[-1]))
        close(f(*args), wanted, 1e-10)
        close(f(*args), wanted, 1e-10)
    assert not compiled


@pytest.mark.long
def test_memory_is_flat():
    f, p = mg.function(classifier), parameters(CELL)
    state = OPT.init(p)

    def tensors_after(calls):
        for _ in range(calls):
            f(p, state, *sequences(drawn(1)))
        f.start()
        gc.collect()
        return sum(type(x) is Tensor for x in gc.get_objects())

    tensors_after(20)
    before = tensors_after(20)
    assert tensors_after(60) <= 1.2 * before
