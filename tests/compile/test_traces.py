"""What a trace is known by, and whose it is: statics, keys, threads, tasks, interrupts, forks."""

import gc
import os
import signal
import threading
from collections import Counter

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner
from minigrad.graph import CONSTANT, toposort
from minigrad.kernels import threads
from tests.compile.test_function import TREES, close
from tests.interrupts import interrupt, points

# -- what a trace is known by ----------------------------------------------------------------------


def test_statics_that_are_equal_and_not_the_same():
    """Zeros by their sign, numbers by their type, NaN by being NaN, dicts by their order."""
    traced = []

    def f(x, k):
        traced.append(k)
        return x * k if isinstance(k, (int, float)) else x * next(iter(k.values()))

    g, x = mg.function(f), np.arange(1, 3)
    cases = [0.0, -0.0, 0, 1, True, 1.0, np.nan, {"a": 2, "b": 3}, {"b": 3, "a": 2}]
    for _ in range(2):
        for k in cases:
            found, wanted = g(x, k), mg.reference(f(mg.asarray(x), k))
            assert found.dtype == wanted.dtype
            assert found.tobytes() == wanted.tobytes(), k
    traced.clear()
    for k in (float("nan"), -0.0, {"b": 3, "a": 2}):
        g(x, k)
    assert not traced


@pytest.mark.parametrize("a, b", [({0.0: 1.0}, {-0.0: 1.0}), ({1: 1.0}, {True: 1.0})])
def test_keys_that_are_equal_and_not_the_same(a, b):
    f = mg.function(lambda x, d: [x * k for k in d])
    for d in (a, b, a):
        (found,), (k,) = f(np.array([-1.0]), d), d
        assert found.tobytes() == np.array([-1.0 * k]).tobytes()


def test_statics_of_the_express_lane():
    """There, too, the trace of a call that looks alike is not taken."""

    def f(p, x, scale):
        def cell(p, h, x):
            return p * h + x, mg.where(1 / (x * scale) > 0, x, 2 * x)

        return rc.unroll(cell, p, x, np.zeros(2))[1]

    g, args = mg.function(f), (np.full(2, 2.0), np.ones((3, 2)))
    assert "one native list" in g.explain(*args, 0.0)
    for scale in (0.0, -0.0, 1.0, -0.0, 0.0):
        close(g(*args, scale), np.full((3, 2), 1.0 if np.copysign(1, scale) > 0 else 2.0), 0)


def test_constants_of_a_cell_that_are_equal_and_not_the_same():
    def cell(p, h, x):
        a, b = x * 0.0, x * -0.0
        return h + p, mg.where(1 / a > 0, x, 3 * x) + mg.where(1 / b > 0, 10 * x, 100 * x)

    def f(p, x):
        return rc.unroll(cell, p, x, np.zeros(2))[1]

    args = np.ones(2), np.ones((3, 2))
    close(mg.function(f)(*args), np.full((3, 2), 101.0), 0)


@pytest.mark.parametrize("how", (mg.block, lambda f: mg.vmap(f, (0, None))))
def test_statics_of_blocks(how):
    call = how(lambda x, k: (x * k, x / k))
    for k in (0.0, -0.0, 0, False, 2, 2.0, True):
        x = np.array([1, 2])
        with np.errstate(divide="ignore"):
            wanted = x * k, x / k
        close(mg.reference(call(x, k)), wanted, 0)


def test_a_cell_sees_its_parameters_in_their_order():
    def cell(p, h, x):
        for w in p.values():
            x = mg.tanh(x @ w)
        return h + x, x

    a, b = np.random.default_rng(0).standard_normal((2, 3, 3))
    x = np.ones((2, 3))
    f = mg.function(lambda p, x: rc.unroll(cell, p, x, np.zeros(3))[1])
    for p, (v, w) in (({"a": a, "b": b}, (a, b)), ({"b": b, "a": a}, (b, a))):
        close(f(p, x), np.tanh(np.tanh(x @ v) @ w), 1e-12)


# -- threads, tasks, interrupts and forks ----------------------------------------------------------


def test_a_trace_belongs_to_its_thread():
    """Another thread's call computes; the traced one goes on with symbols."""
    add = mg.function(lambda x: x + 1)
    results = []

    def slow(x):
        other = threading.Thread(target=lambda: results.append((add(np.ones(2)), mg.asarray(1.0))))
        other.start()
        other.join()
        return add(x) * 2

    assert mg.function(slow)(np.ones(2)).tolist() == [4, 4]
    ((found, constant),) = results
    assert isinstance(found, np.ndarray) and found.tolist() == [2, 2]
    assert constant.attrs["trace"] is None


def test_nested_traces_end_where_they_began():
    inner = mg.function(lambda x: x * 2)

    def failing(x):
        raise KeyError("here")

    def outer(x):
        with pytest.raises(KeyError):
            mg.reference(mg.vmap(failing)(x))
        return inner(x) + mg.asarray(1.0)

    assert mg.function(outer)(np.ones(2)).tolist() == [3, 3]
    with pytest.raises(KeyError):
        mg.function(failing)(np.ones(2))
    assert isinstance(inner(np.ones(2)), np.ndarray)


def test_a_call_amid_a_call():
    """An op's own code, or a signal handler, that calls the function whose op it is."""

    depth = []

    def also(x):
        if depth:
            return x
        depth.append(0)
        try:
            return x + f(p, 2 * x, x0)
        finally:
            depth.pop()

    again = mg.primitive("again", numpy=also, vjp=None)

    def run(p, x, x0):
        ys = rc.unroll(cell, p, x, np.zeros(2))[1]
        return again(ys) + rc.unroll(cell, p, x0, np.zeros(2))[1] + ys

    def cell(p, h, x):
        h = mg.tanh(h + p * x)
        return h, h

    f, p, x, x0 = mg.function(run), np.ones(2), np.ones((3, 2)), np.full((3, 2), 0.5)

    def plain(x):
        h, ys = np.zeros(2), []
        for row in x:
            h = np.tanh(h + row)
            ys.append(h)
        return np.array(ys)

    ys = plain(x)
    close(f(p, x, x0), 2 * ys + plain(x0) + 2 * plain(2 * ys) + plain(x0), 1e-12)


def recurrent_cases():
    """Steps that take the express lane, that do not, and that skip rows while all is finite."""
    rng = np.random.default_rng(0)
    gru, tree = rc.GRU(3, 5), rc.TreeLSTM(3, 5)

    def chain(p, x):
        return rc.unroll(gru, p, x)[1]

    def slope(p, x):
        return mg.grad(mg.sum(mg.square(chain(p, x))), p)

    def forest(p, x, s):
        states, ys = rc.fold(tree, p, s, x)
        return ys, mg.grad(mg.sum(ys), x)

    parsed = [rc.Tree.parse(t) for t in TREES]
    trees = [(words, rc.structure(some)) for words, some in ((3, parsed[:1]), (10, parsed))]
    bad = tree.init(0)
    bad["U_i_0"] = np.full_like(bad["U_i_0"], np.inf)
    return {
        "express": (chain, [(gru.init(k), rng.standard_normal((4 - k, 2, 3))) for k in range(2)]),
        "steps": (slope, [(gru.init(k), rng.standard_normal((4 - k, 2, 3))) for k in range(2)]),
        "forest": (forest, [
            (p, rng.standard_normal((words, 3)), s)
            for words, s in trees for p in (tree.init(1), bad)
        ]),
    }  # fmt: skip


@pytest.mark.parametrize("name", ("express", "steps", "forest"))
@pytest.mark.parametrize("count", (1, 2))
def test_an_interrupt_between_any_two_steps(name, count, monkeypatch):
    """Whatever a call has left half-done, the next ones give the same bits as ever."""
    monkeypatch.setattr(runner, "SPLIT", 0)
    monkeypatch.setattr(threads, "count", lambda: count)
    run, cases = recurrent_cases()[name]
    f = mg.function(run)
    wanted = [optree.tree_leaves(f(*args)) for args in cases]

    def check():
        for args, ws in zip(cases, wanted, strict=True):
            for a, w in zip(optree.tree_leaves(f(*args)), ws, strict=True):
                assert a.tobytes() == w.tobytes()

    for args in cases:
        number = points(lambda args=args: f(*args))
        for k in range(0, number, 1 + number // 25):
            assert interrupt(lambda args=args: f(*args), k)
            check()
    new = [mg.function(run) for _ in range(8)]  # and while it is traced
    number = points(lambda: mg.function(run)(*cases[0]))
    for k, f in enumerate(new):
        assert interrupt(lambda f=f: f(*cases[0]), k * number // 8)
        check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("at", ("traced", "runs"))
def test_a_fork_while_another_thread_is_inside(at):
    """The child calls the same function, and compiles another."""
    inside, leave = threading.Event(), threading.Event()
    child = []  # in the child, neither waits

    def wait(x):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            leave.wait(60)
        return x

    op = mg.primitive("wait", numpy=wait, vjp=None)

    def f(x):
        return (wait(x) if at == "traced" else op(x)) * 2

    g = mg.function(f)
    if at == "runs":
        g(np.ones(2))
    other = threading.Thread(target=lambda: child.append(g(np.ones(2))))
    other.start()
    assert inside.wait(60)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        right = g(np.ones(2)).tolist() == [2, 2] and g(np.full(2, 3.0)).tolist() == [6, 6]
        os._exit(0 if right else 1)
    leave.set()
    other.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert child[0].tolist() == [2, 2] and g(np.ones(2)).tolist() == [2, 2]


def test_numbers_in_formulas_are_shared_nodes():
    def f(x, y):
        return 2 * x + 2.0 * y, -0.0 * x, 0.0 * y, x**2, np.float32(2) * y, mg.nextafter(x, 2)

    x, y = np.array([1.0, -3.0]), np.array([2.0, -1.0])
    traced = mg.function(f)
    nodes = toposort(mg.pytrees.tree_leaves(traced.graph(x, y)))
    twos = [t for t in nodes if t.op is CONSTANT and t.attrs.get("literal") and t._value == 2]
    assert len(twos) == 1
    for found, wanted in zip(traced(x, y), f(mg.asarray(x), mg.asarray(y)), strict=True):
        np.testing.assert_array_equal(found, wanted.numpy())
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted.numpy()))


def test_numbers_are_shared_within_a_trace_alone():
    kept = []

    def cell(p, h, x):
        kept.append(2 * h)
        return mg.tanh(kept[-1] + 2 * x), {}

    def f(h, x):
        states, _ = mg.recur(cell, mg.Structure.chain(3), initial=2 * h, inputs=2 * x)
        return states

    h, x = np.ones((1, 2)), np.ones((3, 2))
    np.testing.assert_allclose(mg.function(f)(h, x), f(h, x).numpy(), rtol=1e-12)
    own = {t.attrs["trace"] for t in toposort(kept) if t.op is CONSTANT}
    around = {t.attrs["trace"] for t in toposort([mg.function(f).graph(h, x)]) if t.op is CONSTANT}
    assert own and around and not own & around


def test_a_compiled_call_keeps_no_graph():
    """With new lengths at every step all graphs would be looked through by Python's collector."""
    net = rc.ManyToOne(rc.LSTM(2, 3), 2, tokens=4)

    def f(p, tokens, lengths):
        loss = mg.sum(mg.square(net(p, tokens, lengths)))
        return loss, mg.grad(loss, p)

    traced, p, tokens = mg.function(f), net.init(0), np.zeros((5, 2), np.int64)
    traced(p, tokens, [1, 5])
    before = alive()
    for k in range(2, 5):
        traced(p, tokens, [k, 5])
    kept = alive() - before
    recorded = Counter(t.op.name for t in mg.nodes(traced.graph(p, tokens, [1, 5])))
    assert len(recorded) > 6
    # The arguments, and ops that may have to say why they refuse integers.
    assert set(kept) == {"input", "take", "checked", "scatter"}


def alive():
    """How many Tensors there are, by op."""
    gc.collect()
    return Counter(t.op.name for t in gc.get_objects() if type(t) is mg.Tensor)


def test_numbers_that_numbers_of_rows_give_are_refused_in_the_words_of_the_reference():
    def f(table, rows, tokens):
        return mg.sum(mg.take(table, mg.take(rows, tokens, axis=0), axis=0))

    traced, table = mg.function(f), np.ones((3, 2))
    rows, tokens = np.array([0, 7, 2]), np.array([1, 0])
    assert traced(table, np.array([0, 1, 2]), tokens) == 4
    with pytest.raises(IndexError) as wanted:
        mg.reference(f(*mg.tensors((table, rows, tokens))))
    with pytest.raises(IndexError) as found:
        traced(table, rows, tokens)
    assert str(found.value) == str(wanted.value)
    assert traced(table, np.array([0, 1, 2]), tokens) == 4
