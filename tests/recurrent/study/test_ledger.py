"""The ledger: entries whose norms are those of the terms, and splits that sum to the gradient."""

import tracemalloc

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.graph import CONSTANT, toposort
from minigrad.testing.laws import close
from minigrad.testing.strategies import problems
from recurrent.study.ledger import KEYS, NODES
from tests.counting import calls
from tests.printing.test_source_of_architectures import ENTRIES, graph

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((6, 2, 2))


def laws(loss, params, tol=1e-11):
    """Every split sums to the gradient; norms are those of the terms."""
    book = rc.study.ledger(loss, params)
    for key in NODES:
        groups, norms = book.by(key), book.norms(key)
        assert list(norms) == list(groups)
        wanted = [np.sqrt(sum(np.vdot(a, a) for a in g.values())) for g in groups.values()]
        close(np.array(list(norms.values())), np.array(wanted), tol)
    wanted = mg.evaluate(mg.grad(loss, params))
    close(book.total, wanted, tol)
    wanted = dict(zip(book.names, optree.tree_leaves(wanted), strict=True))
    for key in KEYS:
        groups = book.by(key)
        for name, total in wanted.items():
            shares = [g[name] for g in groups.values() if name in g]
            close(sum(shares, np.zeros(total.shape)), total, tol)
    terms = mg.evaluate(mg.contributions(loss, params))
    for name, rows in zip(book.names, optree.tree_leaves(terms), strict=True):
        found = sorted(e.norm for e in book.entries if e.parameter == name)
        rows = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
        close(np.array(found), np.sort(np.linalg.norm(rows, axis=1)), 1e-7)
    return book


@pytest.mark.parametrize("kind", ["chain", "ragged", "reversed", "forest", "dag", "grid"])
@given(data=st.data())
def test_random_cells_over_random_structures(kind, data):
    problem = data.draw(problems(kind))
    t = problem.tensors()
    loss = problem.loss(*problem.run(t))
    laws(loss, t["shared"], 1e-9)


@pytest.mark.parametrize("cell", [
    rc.LSTM(2, 3), rc.GRU(2, 3), rc.stack(rc.RNN(2, 3), rc.LSTM(3, 2)), rc.PeepholeLSTM(2, 3),
], ids=lambda c: type(c).__name__)  # fmt: skip
def test_shipped_cells(cell):
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, XS, lengths=[6, 4])
    laws(mg.sum(mg.sin(ys)), p)


def test_directions_and_trees():
    net = rc.bidirectional(rc.GRU(2, 3), rc.LSTM(2, 3))
    p = mg.tensors(net.init(0))
    ys = optree.tree_leaves(net(p, XS))[-1]
    book = laws(mg.sum(ys * ys), p)
    assert set(book.by("direction")) == {"forward", "backward"}
    assert set(book.by("net")) == {"GRU", "LSTM"}

    cell = rc.TreeLSTM(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.fold(cell, p, [(("a", "b"), ("c", "d")), ("a", "b")], RNG.standard_normal((6, 2)))
    book = laws(mg.sum(ys[6] * ys[6]), p)
    assert set(book.by("level")) == {0, 1, 2} and set(book.by("sequence")) == {0, 1}
    assert not any(g.any() for g in book.by("sequence")[1].values())


def test_steps_of_a_linear_recurrence_in_closed_form():
    """h_t = w h_(t-1) + x_t: step k adds w^(T-k) h_(k-1), and so do paths of T - k edges."""
    w, xs = mg.asarray(0.9, name="w"), np.array([[1.0], [-1.0], [0.5], [3.0]])
    _, ys = rc.unroll(lambda p, h, x: ((s := h * p + x), s), w, xs, carry=np.array([2.0]))
    h = np.concatenate([[2.0], ys.numpy()[:-1, 0]])
    wanted = 0.9 ** np.arange(3, -1, -1) * h
    book = rc.study.ledger(ys[3, 0], w)
    close(np.array([book.by("step")[k]["theta"] for k in range(4)]), wanted, 1e-14)
    close(np.array([book.by("length")[3 - k]["theta"] for k in range(4)]), wanted, 1e-14)
    assert [(e.step, e.sequence, e.net) for e in book.entries] == [
        (k, 0, "<lambda>") for k in range(4)
    ]


def test_paths_up_to_a_length_are_what_truncation_keeps():
    cell = rc.RNN(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, XS[:, 0])
    groups = rc.study.ledger(mg.sum(ys[-1]), p).by("length")
    for k in range(1, 6):
        start = rc.unroll(cell, p, XS[: 6 - k, 0])[0].numpy()
        _, last = rc.unroll(cell, p, XS[6 - k :, 0], carry=start)
        wanted = mg.evaluate(mg.grad(mg.sum(last[-1]), p))
        for name, total in wanted.items():
            close(sum(groups[n][name] for n in range(k)), total, 1e-13)


def test_uses_outside_and_parameters_that_are_not_used():
    p = mg.tensors({"U": np.eye(3), "V": np.ones((3, 2)), "unused": np.ones(2)})
    _, ys = rc.unroll(lambda p, h, x: ((s := mg.tanh(h @ p["U"] + x)), s), p, np.ones((4, 3)),
                      carry=np.zeros(3))  # fmt: skip
    book = laws(mg.sum(ys @ p["V"]) + mg.sum(p["U"] * p["U"]), p)
    assert None in book.by("step") and {e.parameter for e in book.entries} == {"U", "V"}
    assert not book.total["unused"].any() and "U" in book.by("step")[None]


def test_a_sum_that_is_the_derivative_is_one_use():
    x, a, b = (mg.asarray(np.ones(2) * k, name=n) for k, n in ((1, "x"), (2, "a"), (3, "b")))
    assert len(rc.study.ledger(mg.sum(x * (a + b)), x).entries) == 1


def test_norms_form_no_share_of_every_step():
    """The shares of 300 steps are 300 times the parameters; their norms take a few of them."""
    cell = rc.LSTM(8, 64)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, np.random.default_rng(0).standard_normal((300, 1, 8)))
    book = rc.study.ledger(mg.sum(ys * ys), p)
    tracemalloc.start()
    norms = book.norms("step")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(norms) == 300 and peak < 300 * sum(t.size for t in p.values()) * 8 / 2


@pytest.mark.parametrize("ask", [
    lambda book: book.norms("step"), lambda book: book.norms("sequence"), lambda book: book.entries,
])  # fmt: skip
def test_norms_are_at_most_two_gradients_of_work(ask):
    """Counted in calls, which no busy machine changes."""
    cell, p = rc.LSTM(4, 8), mg.tensors(rc.LSTM(4, 8).init(0))
    xs = np.random.default_rng(0).standard_normal((80, 6, 4))

    def loss():
        return mg.sum(mg.square(rc.unroll(cell, p, xs)[1]))

    one = calls(lambda: mg.evaluate(mg.grad(loss(), p)))
    assert calls(lambda: ask(rc.study.ledger(loss(), p))) <= 2 * one


def test_squares_compiled_beside_the_gradient():
    cell, xs = rc.LSTM(2, 3), XS
    p = cell.init(0)

    @mg.function
    def watched(params, xs):
        _, ys = rc.unroll(cell, params, xs)
        loss = mg.sum(mg.sin(ys))
        return mg.grad(loss, params), rc.study.ledger(loss, params).squares()

    grads, squares = watched(p, xs)
    t = mg.tensors(p)
    loss = mg.sum(mg.sin(rc.unroll(cell, t, xs)[1]))
    book = rc.study.ledger(loss, t)
    close(grads, book.total, 1e-12)
    for name, (found,) in squares.items():
        norms = [e.norm for e in book.entries if e.parameter == name]
        close(np.sqrt(found), np.array(norms), 1e-12)
    assert "3 recurrences and 0 other ops" in str(watched.explain(p, xs))


INSIDE = {"LSTM with layer norm", "Attention (Bahdanau)"}  # whose terms are sums that cancel


@pytest.mark.parametrize("title", ENTRIES)
def test_shares_sum_to_the_gradient_to_rounding(title):
    """|sum of shares - gradient| <= 4 eps sum |terms|, for every architecture of the gallery.

    By length every term is itself a sum, over the paths to it, and each of these is computed anew:
    what cancels inside of a term rounds at the size of its parts.
    """
    _, loss, _ = graph(title)
    leaves = [t for t in toposort([loss]) if t.op is CONSTANT and t.name and t.dtype.kind == "f"]
    params = {str(k): t for k, t in enumerate(leaves)}
    book = rc.study.ledger(loss, params)
    wanted, terms = mg.evaluate((mg.grad(loss, params), mg.contributions(loss, params)))
    eps = np.finfo(np.float64).eps
    for key in KEYS:
        groups, allowed = book.by(key), 4 * eps
        if key == "length":
            allowed = (1024 if title in INSIDE else 16) * eps
        for name, whole in wanted.items():
            shares = [g[name] for g in groups.values() if name in g]
            size = np.abs(terms[name]).sum(axis=0)
            if key == "length":
                size = np.maximum(size, np.abs([np.zeros(size.shape), *shares]).sum(axis=0))
            error = np.abs(sum(shares, np.zeros(whole.shape)) - whole)
            assert (error <= allowed * size).all(), (key, leaves[int(name)].name)


def test_a_recurrence_without_nodes_has_no_groups():
    """A batch of empty sequences: the gradient is 0, and nothing adds to it."""
    cell = rc.RNN(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, np.zeros((3, 2, 2)), lengths=[0, 0])
    book = rc.study.ledger(mg.sum(ys), p)
    for key in KEYS:
        assert book.by(key) == {} == book.norms(key), key
    assert str(book) == "norm of the gradient 0; of its shares by step 0"


def test_text():
    p = mg.tensors(rc.RNN(2, 3).init(0))
    _, ys = rc.unroll(rc.RNN(2, 3), p, XS)
    book = rc.study.ledger(mg.sum(ys[-1]), p)
    lines = str(book).splitlines()
    assert lines[0].startswith("norm of the gradient") and len(lines) == 7
    assert max(line.count("#") for line in lines) == 40 and "ledger of" in repr(book)


@pytest.mark.parametrize("ask,error,words", [
    (lambda t, y: rc.study.ledger(y, t), ValueError, "must be a scalar"),
    (lambda t, y: rc.study.ledger(mg.sum(y), np.ones(2)), TypeError, "mg.tensors"),
    (lambda t, y: rc.study.ledger(3.0, t), TypeError, "must be a Tensor"),
    (lambda t, y: rc.study.ledger(mg.sum(y), t).by("stop"), ValueError, "key must be"),
    (lambda t, y: rc.study.ledger(mg.sum(y), mg.tanh(t)), ValueError, "not computed from"),
])  # fmt: skip
def test_what_is_refused(ask, error, words):
    t = mg.asarray([1.0, 2.0])
    with pytest.raises(error, match=words):
        ask(t, mg.exp(t))
