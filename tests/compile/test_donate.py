"""Donated arguments: the same values, nothing else is written to, and all of it at the very end."""

from __future__ import annotations

import functools

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner, ways
from minigrad.kernels import compiler, threads
from tests.counting import examples
from tests.interrupts import interrupt, points

SHAPE = (3, 4)


def leaves(tree):
    return optree.tree_leaves(tree)


def bits(tree):
    return [np.asarray(x).tobytes() for x in leaves(tree)]


def learner(donate=(0, 1), hidden=5):
    lstm, opt = rc.LSTM(3, hidden), mg.optim.adam(0.02)

    def step(params, state, batch):
        xs, target = batch
        _, ys = rc.unroll(lstm, params, xs)
        loss = mg.mean((ys - target) ** 2)
        params, state = opt.update(params, mg.grad(loss, params), state)
        return loss, params, state

    params = lstm.init(0)
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, hidden))
    return mg.function(step, donate=donate), params, opt.init(params), batch


# -- a training step -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", (1, 2))
@pytest.mark.parametrize("hidden", (5, 70))  # results that one thread copies, and that two do
def test_parameters_are_updated_where_they_are(count, hidden, monkeypatch):
    monkeypatch.setattr(runner, "SPLIT", 0)
    monkeypatch.setattr(threads, "count", lambda: count)
    f, p, s, batch = learner(hidden=hidden)
    g, q, u, _ = learner(donate=(), hidden=hidden)
    kept = bits(batch)
    for _ in range(3):
        before = leaves((p, s))
        loss, p, s = f(p, s, batch)
        wanted, q, u = g(q, u, batch)
        assert bits((loss, p, s)) == bits((wanted, q, u)) and bits(batch) == kept
        assert all(a is b for a, b in zip(leaves((p, s)), before, strict=True))
    assert "the memory of 37 of 37 donated arrays is used for results" in f.explain(p, s, batch)
    assert "donated" not in g.explain(q, u, batch)


def test_traces_in_turn_use_the_memory_too():
    f = mg.function(lambda p, x: (p + mg.sum(x), mg.tanh(x)), donate=0)
    p = q = np.zeros(3)
    for size in (2, 3, 2, 3):
        p, _ = f(p, np.ones(size))
        assert p is q
    np.testing.assert_array_equal(p, np.full(3, 10.0))


def test_what_could_not_be_donated_can_be_the_next_time():
    """Views, and large results of another function, lie in memory that they do not own."""
    f = mg.function(lambda p: mg.tanh(p) * 0.5, donate=(0,))
    for p in (np.ones(24).reshape(4, 6), mg.function(mg.exp)(np.ones((300, 300)))):
        kept, first = p.copy(), f(p)
        assert p.tobytes() == kept.tobytes() and not np.shares_memory(first, p)
        assert f(first) is first
        np.testing.assert_allclose(first, np.tanh(np.tanh(kept) * 0.5) * 0.5)


# -- any arguments ---------------------------------------------------------------------------------


class Matrix(np.ndarray):
    pass


def view(x):
    return np.concatenate([x, x])[1:4]


def locked(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def alike(x):
    """Arrays (and what is none) of x's numbers that may not be written to, or as they lie not."""
    return {
        "own": x, "view": view(x), "whole view": x.reshape(-1).reshape(SHAPE),
        "fortran": np.asfortranarray(x), "backwards": x[::-1].copy()[::-1],
        "locked": locked(x), "read-only": np.frombuffer(x.tobytes()).reshape(SHAPE),
        "broadcast": np.broadcast_to(x[0], SHAPE), "float32": x.astype(np.float32),
        "big endian": x.astype(">f8"), "integers": (x * 9).astype(np.int64),
        "Tensor": mg.asarray(x), "number": float(x[0, 0]), "subclass": x.view(Matrix),
        "buffer": np.frombuffer(bytearray(x.tobytes())).reshape(SHAPE),
        "row": x[0].copy(), "nothing": None,
    }  # fmt: skip


RELATED = {  # to an argument that came before
    "same": lambda x: x, "its view": lambda x: x[:], "its transpose": lambda x: x.T,
    "its row": lambda x: x[1], "its memory": lambda x: np.frombuffer(memoryview(x).cast("B")),
}  # fmt: skip


@st.composite
def arguments(draw):
    """Three positional arguments, the last a pytree, and which are donated."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    found, owned = [], []
    for _ in range(4):
        how = draw(st.sampled_from(["own", "own", "related", "any"]))
        if how == "related" and owned:
            x = draw(st.sampled_from(owned))
            found.append(RELATED[draw(st.sampled_from(sorted(RELATED)))](x))
        else:
            x = rng.normal(size=SHAPE)
            kinds = alike(x)
            kind = draw(st.sampled_from(sorted(kinds))) if how == "any" else "own"
            found.append(kinds[kind])
            owned += [x] if kind == "own" else []
    a, b, c, d = found
    again = a if draw(st.booleans()) else rng.normal(size=SHAPE)
    return (a, b, {"c": c, "d": d, "a": again}), tuple(draw(st.sets(st.integers(0, 2))))


def mixed(a, b, tree):
    """Results of kernels and of NumPy, arguments as they came, in other places, and twice."""
    c, d = tree["c"], tree["d"]
    x = mg.tanh(sum(mg.asarray(t) for t in (a, b, c, d) if t is not None and t_fits(t)))
    return b, x, (c, a), {"x": x * 2, "a": tree["a"], "y": x * 2}, mg.sum(x), x.T.T


def t_fits(t):
    return getattr(t, "shape", ()) in (SHAPE, SHAPE[1:], ())


def test_any_arguments():
    """The values of a call without donation; other arguments keep their bits; a result is a donated
    argument or shares memory with none, nor with another result."""

    functions = {}

    @settings(max_examples=examples(150), deadline=None)
    @given(arguments())
    def holds(case):
        args, donate = case
        plain, f = (
            functions.setdefault(d, mg.function(mixed, donate=d)) for d in ((), donate)
        )  # fmt: skip
        wanted = plain(*args)
        expected = bits(wanted)
        others = [x for k, a in enumerate(args) if k not in donate for x in leaves(a)]
        lent = [x for k in donate for x in leaves(args[k])]
        kept = bits(others)
        results = f(*args)
        assert bits(results) == expected
        assert bits(others) == kept
        arrays = [x for x in leaves(results) if isinstance(x, np.ndarray)]
        for k, x in enumerate(arrays):
            assert x.flags.writeable and type(x) is np.ndarray
            assert not any(np.may_share_memory(x, y) for y in arrays[:k])
            touched = [y for y in map(np.asarray, others) if np.shares_memory(x, y)]
            assert not touched
            assert any(x is y for y in lent) or not any(
                np.shares_memory(x, y) for y in lent if isinstance(y, np.ndarray)
            )

    holds()


def test_an_argument_that_is_a_result_is_returned():
    f = mg.function(lambda a, b, c: (b, a, c * 2.0, b), donate=(0, 1))
    a, b, c = (np.full(3, float(k)) for k in range(3))
    x, y, z, again = f(a, b, c)
    assert x is b and y is a and z is not c and again is not b
    np.testing.assert_array_equal([x, y, z, again], np.outer([1, 0, 4, 1], np.ones(3)))


def test_results_that_trade_places():
    """Each is computed of the other: both are read before either is written."""
    f = mg.function(lambda a, b: (b * 2.0, a * 3.0), donate=(0, 1))
    a, b = np.full(500, 1.0), np.full(500, 2.0)
    x, y = f(a, b)
    assert x is a and y is b and set(x) == {4.0} and set(y) == {3.0}


def test_an_argument_given_twice_is_nobodys():
    f = mg.function(lambda a, b: (a + b, a - b), donate=(0, 1))
    a = np.ones(4)
    x, y = f(a, a)
    assert x is not a and y is not a and set(a) == {1.0} and set(x) == {2.0} and set(y) == {0.0}
    tree = {"a": a, "b": a}
    assert mg.function(lambda t: mg.exp(t["a"]) + t["b"], donate=0)(tree) is not a
    assert set(a) == {1.0}


def test_a_view_of_a_donated_array_keeps_it():
    f = mg.function(lambda a, b: (mg.exp(a), mg.sum(b)), donate=0)
    a = np.zeros((3, 2))
    for b in (a[1:], a.T, np.frombuffer(memoryview(a).cast("B")), np.asarray(memoryview(a))):
        x, _ = f(a, b)
        assert x is not a and not a.any()
    assert f(a, np.zeros(2))[0] is a


# -- calls that fail -------------------------------------------------------------------------------


def test_a_call_that_fails_leaves_everything_as_it_was():
    """Integers that kernels refuse; an op of the user's that raises at any place."""

    def raises(x):
        if x.sum() > 1e3:
            raise KeyboardInterrupt if x.sum() > 1e6 else RuntimeError("too much")
        return x + 0

    op = mg.primitive("raises", numpy=raises, vjp=None)

    def step(p, q, rows):
        p = mg.tanh(p) + mg.take(q, rows)
        return op(p * 10), op(q) * 2.0, p

    f = mg.function(step, donate=(0, 1))
    p, q, rows = np.ones((3, 2)), np.ones((4, 2)), np.array([0, 1, 3])
    f(p.copy(), q.copy(), rows)
    for bad, scale, error in (
        (np.array([0, 1, 4]), 1, IndexError), (rows, 1e4, RuntimeError),
        (rows, 1e7, KeyboardInterrupt),
    ):  # fmt: skip
        args = p.copy(), q * scale, bad
        kept = bits(args)
        with pytest.raises(error):
            f(*args)
        assert bits(args) == kept
    args = p.copy(), q.copy(), rows
    wanted = bits(mg.function(step)(*args))
    assert bits(f(*args)) == wanted


def test_refused_integers_leave_everything_as_it_was():
    """Of kernels alone, on one thread and without a step of Python."""
    f = mg.function(lambda p, rows: mg.tanh(mg.take(p, rows)), donate=0)
    p, rows = np.ones((3, 2)), np.array([0, 2, 1])
    p = f(p, rows)
    assert f.explain(p, rows).endswith("called through one native list")
    kept = p.tobytes()
    with pytest.raises(IndexError):
        f(p, np.array([0, 2, 3]))
    assert p.tobytes() == kept and f(p, rows) is p


@pytest.mark.parametrize("count", (1, 2))
def test_an_interrupt_finds_all_or_nothing_written(count, monkeypatch):
    monkeypatch.setattr(runner, "SPLIT", 0)
    monkeypatch.setattr(threads, "count", lambda: count)
    f, params, state, batch = learner()
    before = bits((params, state))

    def copies():
        return optree.tree_map(np.copy, params), optree.tree_map(np.copy, state)

    after = bits(f(*copies(), batch)[1:])
    kept, seen = bits(batch), set()
    number = points(lambda: f(*copies(), batch))
    for k in range(0, number, 1 + number // 60):
        p, s = copies()
        assert interrupt(lambda p=p, s=s: f(p, s, batch), k)
        found = bits((p, s))
        assert found in (before, after)
        assert bits(batch) == kept
        seen.add(found == before)
        assert bits(f(*copies(), batch)[1:]) == after
    assert True in seen


def test_nan_check_donates_nothing():
    f = mg.function(lambda a: mg.log(a), donate=0, nan_check=True)
    a = np.ones(3)
    assert f(a) is not a and set(a) == {1.0}
    a[1] = -1.0
    with pytest.raises(FloatingPointError, match="log of -1"):
        f(a)


# -- what may be said ------------------------------------------------------------------------------


def test_statics_have_nothing_to_give():
    f = mg.function(lambda s, x, k: (mg.tanh(x) * k, s), donate=(0, 1, 2))
    x = np.ones(3)
    y, s = f("name", x, 2.0)
    assert y is x and s == "name"
    g = mg.function(lambda cell, p, s: rc.fold(cell, p, s, np.ones((2, 2)))[0], donate=(0, 2))
    trees = rc.structure([rc.Tree.parse("((a b) c)")])
    tree = rc.RecursiveNet(2, 2)
    p = tree.init(0)
    assert bits(g(tree, p, trees)) == bits(mg.function(g.f)(tree, p, trees))


def test_one_number_is_one_argument():
    x = np.ones(2)
    for donate in (0, (0,), [0, 0], {0}, np.int64(0), range(1)):
        assert mg.function(mg.exp, donate=donate)(x) is x
    assert mg.function(mg.exp, donate=())(x) is not x
    assert mg.function(lambda *xs: xs[1] * 2.0, donate=1)(1.0, x) is x
    assert mg.function(lambda a, b=2.0: a * b, donate=(0, 1))(x) is x  # b was not given


@pytest.mark.parametrize("donate", (7, (0, 7), [2]))
def test_an_argument_that_is_not_there(donate):
    with pytest.raises(ValueError, match=r"donate=[72]: there is no such argument, for it takes 2"):
        mg.function(lambda a, b: a + b, donate=donate)
    f = mg.function(lambda *xs: xs[0] * 2, donate=donate)
    with pytest.raises(ValueError, match="no such argument, for it was called with 2"):
        f(np.ones(2), 1.0)
    bound = functools.partial(lambda a, b, c: a, np.ones(2))
    with pytest.raises(ValueError, match="it takes 2"):
        mg.function(bound, donate=donate)


def test_donate_is_numbers_of_arguments():
    for wrong in ("params", True, (0, "state"), 1.0, None, np.ones(2)):
        with pytest.raises(TypeError, match=r"donate=0, or donate=\(0, 1\)"):
            mg.function(mg.exp, donate=wrong)
    with pytest.raises(ValueError, match="counted from 0"):
        mg.function(mg.exp, donate=-1)


def test_donate_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compiler, "_failures", ["numba is not installed"])
    monkeypatch.setattr(ways, "_warned", ["said"])
    f, p, s, batch = learner()
    kept = bits((p, s, batch))
    assert bits(f(p, s, batch)) == bits(learner(())[0](p, s, batch)) and bits((p, s, batch)) == kept
