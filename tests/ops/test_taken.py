"""Rows taken by known numbers: gradients go by these rows, to any order, and touch no others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import toposort
from minigrad.ops.taken import numbered, packed, taken
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
X, W, B, M = (RNG.standard_normal(s) for s in ((2, 3, 4), (4, 5), (5,), (2, 3, 5)))
ROWS = st.lists(st.integers(0, 5), unique=True, max_size=6)
CHAINS = {
    "head": lambda x, w, b, m: mg.tanh(mg.softmax(x @ w + b, axis=-1) * m),
    "parts": lambda x, w, b, m: mg.concat([x @ w, m[..., :2], -m], axis=-1)[..., 1:9],
    "squares": lambda x, w, b, m: mg.permute_dims(x * x * mg.max(m, axis=-1)[..., None], (0, 1, 2)),
    "same": lambda x, w, b, m: mg.broadcast_to(mg.tanh(b), (2, 3, 5)) + m,
    "twice": lambda x, w, b, m: mg.reshape(mg.take(mg.reshape(x @ w, (6, 5)), ORDER), (2, 3, 5)),
    "of another": lambda x, w, b, m: mg.take(w, LABELS) * mg.sum(x, axis=-1)[..., None],
}  # fmt: skip
ORDER, LABELS = np.array([3, 1, 0, 5, 4, 2]), np.array([[3, 0, 0], [1, 3, 2]])


def loss(chain, given, rows, dense):
    """A function of some rows of a chain; densely by a product with ones and zeros."""
    y = CHAINS[chain](*given)
    y = mg.reshape(y, (6, -1))
    some = np.eye(6)[rows] @ y if dense else mg.take(y, np.array(rows, np.int64))
    return mg.sum(mg.sin(some) * np.arange(1.0, 1 + some.size).reshape(some.shape))


@pytest.mark.parametrize("chain", CHAINS)
@given(rows=ROWS)
def test_gradients_of_rows_are_those_of_a_product(chain, rows):
    args = mg.tensors((X, W, B, M))
    if not rows:
        dense = [np.zeros(a.shape) for a in args]
        close(mg.evaluate(mg.grad(loss(chain, args, rows, False), args)), tuple(dense), 1e-12)
        return

    def first(dense):
        return mg.grad(loss(chain, args, rows, dense), args)

    def second(dense):
        total = mg.sum(mg.square(first(dense)[0])) + mg.sum(mg.square(first(dense)[1]))
        return mg.grad(total, args)

    close(mg.evaluate(first(False)), mg.evaluate(first(True)), 1e-12)
    close(mg.evaluate(second(False)), mg.evaluate(second(True)), 1e-10)


def test_the_way_back_touches_no_other_row():
    x, m = X.copy(), M.copy()
    rows = [1, 4]
    others = np.setdiff1d(np.arange(6), rows)
    x.reshape(6, 4)[others], m.reshape(6, 5)[others] = np.nan, np.inf
    for chain in ("head", "parts"):
        wrt = mg.tensors((X, W, B, M))
        clean = mg.evaluate(mg.grad(loss(chain, wrt, rows, False), wrt))
        dirty = mg.tensors((x, W, B, m))
        close(mg.evaluate(mg.grad(loss(chain, dirty, rows, False), dirty)), clean, 1e-12)


def test_cotangents_of_all_rows_are_made_at_leaves_alone():
    args = mg.tensors((X, W, B, M))
    y = CHAINS["head"](*args)
    loss = mg.sum(mg.sin(mg.take(mg.reshape(y, (6, 5)), np.array([0, 5]))))
    (dx,) = mg.grad(loss, args[:1])
    forward = set(toposort([loss]))
    wide = [t for t in toposort([dx]) if t.shape[:2] == (2, 3) and t not in forward]
    assert wide == [dx]


@given(ROWS, ROWS)
def test_rows_of_what_was_scattered(into, of):
    value = mg.asarray(RNG.standard_normal((len(into), 2)))
    x = mg.scatter(value, np.array(into, np.int64), 6)
    assert packed(x).n == 6 and packed(mg.reshape(x, (2, 3, 2))).n == 6
    found = taken(mg.reshape(x, (2, 3, 2)), numbered(np.array(of)), 6)
    close(found.numpy(), x.numpy()[np.array(of, np.int64)], 0)
    assert numbered(np.array(of)) is not numbered(np.array([*of, 0]))


def test_what_comes_twice_or_is_not_known_is_no_packing():
    x = mg.asarray(X[0])
    assert packed(mg.scatter(x, np.array([0, 1, 1]), 4)) is None
    assert packed(mg.scatter(x, np.array([-1, 1, 2]), 4)) is None
    assert packed(mg.asarray(X)) is None
    y = mg.take(x, np.array([1, 1, 0]))
    close(mg.grad(mg.sum(y * y), x).numpy(), 2 * X[0] * np.array([[1], [2], [0]]), 1e-12)
