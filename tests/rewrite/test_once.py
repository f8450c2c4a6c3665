"""An update is one node of a traced graph, and the same ops in the end."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.compile.function import recorded
from minigrad.graph import Tensor, Trace, toposort, trace_call
from minigrad.ops.broadcast import sharing_numbers
from minigrad.pytrees import tree_flatten, tree_leaves
from minigrad.recur import PROJ, RECUR
from minigrad.rewrite.once import ONCE, inlined, written_once
from minigrad.static import flatten
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
P = {"W": RNG.standard_normal((3, 4)), "b": np.float32([0.5, -1.0]), "s": np.array(2.0)}
OPTIMIZERS = {
    "adam": mg.optim.adam(0.1), "adamw": mg.optim.adamw(0.1, mask=lambda name, p: p.ndim > 1),
    "rmsprop": mg.optim.rmsprop(0.1, momentum=0.5, centered=True),
    "adagrad": mg.optim.adagrad(0.1),
}  # fmt: skip


def step(optimizer):
    def train(p, state, x):
        loss = sum(mg.sum(mg.sin(a) * x) for a in tree_leaves(p))
        return loss, *optimizer.update(p, mg.grad(loss, p), state)

    return train


def short(f, *args):
    return tree_flatten(recorded(f, *flatten(args), short=True)[1])[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_one_node(name):
    """And op by op what it is outside of a trace."""
    optimizer = OPTIMIZERS[name]
    args = P, optimizer.init(P), np.array(0.7)
    found = short(step(optimizer), *args)
    assert sum(t.op is RECUR and t.attrs["structure"] is ONCE for t in toposort(found)) == 1
    assert not any(t.op in (RECUR, PROJ) for t in toposort(inlined(found)))
    graph = mg.function(step(optimizer)).graph(*args)
    assert not any(t.op in (RECUR, PROJ) for t in toposort(tree_leaves(graph)))
    inputs, again = recorded(step(optimizer), *flatten(args))
    leaves = flatten(args)[0]
    values = mg.evaluate(again, {ph: leaves[k] for k, ph in inputs})
    plain = step(optimizer)(mg.tensors(P), mg.tensors(args[1]), mg.asarray(0.7))
    close(values, mg.evaluate(plain), 1e-12)
    close(mg.function(step(optimizer))(*args), mg.evaluate(plain), 1e-6)  # b is float32
    close(mg.function(step(optimizer))(*args)[1]["W"], mg.evaluate(plain)[1]["W"], 1e-12)


def test_numbers_are_part_of_a_rule():
    args = P, OPTIMIZERS["adam"].init(P), np.array(0.7)
    blocks = set()
    for rate in (0.1, 0.2, 0.1):
        nodes = toposort(short(step(mg.optim.adam(rate)), *args))
        blocks |= {t.attrs["block"] for t in nodes if t.op is RECUR}
    assert len(blocks) == 2  # the third optimiser is the first


def test_a_rate_that_is_computed():
    def train(p, state, rate):
        loss = sum(mg.sum(mg.sin(a)) for a in tree_leaves(p))
        return mg.optim.adam(mg.exp(rate)).update(p, mg.grad(loss, p), state)

    args = P, OPTIMIZERS["adam"].init(P), np.array(-2.0)
    assert not any(t.op is RECUR for t in toposort(short(train, *args)))
    wanted = train(mg.tensors(P), mg.tensors(args[1]), mg.asarray(-2.0))
    close(mg.function(train)(*args), mg.evaluate(wanted), 1e-6)


def test_derivatives_through_updates():
    """Of two updates, by what came before them."""
    optimizer = OPTIMIZERS["adam"]
    w = {"W": P["W"]}

    def meta(x):
        p, state = mg.tensors(w), mg.tensors(optimizer.init(w))
        for _ in range(2):
            loss = mg.sum(mg.sin(p["W"] * x))
            p, state = optimizer.update(p, mg.grad(loss, p), state)
        return mg.grad(mg.sum(mg.square(p["W"])), x)

    for x in (np.array(0.3), np.array(-1.2)):
        close(mg.function(meta)(x), mg.evaluate(meta(mg.asarray(x))), 1e-12)


def test_a_formula_is_recorded_where_it_is_used():
    def twice(x):
        return [mg.tanh(x), x * 2.0]

    def f(x):
        return [mg.sum(t) for t in written_once("twice", twice, (), x)]

    args = (np.ones(3),)
    lines = [
        {t.site[:2] for t in toposort(recorded(f, *flatten(args))[1]) if t.op.name == name}
        for name in ("tanh", "sum")
    ]
    assert lines[0] and lines[1]
    (code, _), = lines[0]
    assert code is f.__code__
    assert mg.evaluate(f(mg.asarray(np.ones(3))))[1] == 6.0  # outside of a trace: op by op


def test_what_a_formula_must_not_see():
    outside = mg.asarray(np.ones(3))

    def f(x):
        return written_once("captures", lambda y: [y + outside], (), x)

    trace = Trace("test")
    with sharing_numbers(trace), pytest.raises(TypeError, match="made outside of it"):
        trace_call(trace, f, outside * 2)


def test_no_parameters():
    for optimizer in OPTIMIZERS.values():
        assert optimizer.update({}, {}, optimizer.init({}))[0] == {}
        found = mg.function(lambda s, o=optimizer: o.update({}, {}, s))(optimizer.init({}))
        assert found[0] == {} and found[1][0] == 1


@pytest.mark.parametrize("trees", [False, True])
def test_steps_of_other_lengths_share_what_is_the_same(trees):
    """The runners of an update serve every trace, in turn and again; values stay right."""
    optimizer, cell = OPTIMIZERS["adam"], rc.TreeLSTM(3, 4) if trees else rc.LSTM(3, 4)
    p = {"cell": cell.init(0), "E": RNG.standard_normal((40, 3))}

    def train(p, state, words, structure):
        xs = mg.take(p["E"], words)
        if trees:
            _, ys = rc.fold(cell, p["cell"], structure, xs)
        else:
            _, ys = rc.unroll(cell, p["cell"], xs, lengths=structure)
        loss = mg.mean(mg.square(ys))
        return loss, *optimizer.update(p, mg.grad(loss, p), state)

    f = mg.function(train)
    calls = []
    for n in (5, 9, 3, 12):
        if trees:
            tree = "w"
            for _ in range(n - 1):
                tree = (tree, "w")
            calls.append((RNG.integers(0, 40, n), rc.structure([tree])))
        else:
            calls.append((RNG.integers(0, 40, (n, 2)), [n, max(n - 2, 1)]))
    states = {}
    for turn in (0, 1, 2, 3, 1, 1, 0, 3, 2, 0):
        state = states.get(turn, (p, optimizer.init(p)))
        found = f(*state, *calls[turn])
        wanted = train(*mg.tensors(state), *calls[turn])
        close(found, mg.evaluate(wanted), 1e-9)
        states[turn] = found[1:]
    shared = [runner for pool in f.pools.values() for runner in pool.runners.values()]
    lanes = [set(map(id, t.way.runners)) for t in f.traces.values()]
    assert shared and set.intersection(*lanes) <= set(map(id, shared))
    assert set.intersection(*lanes) and len(set.union(*lanes)) < sum(map(len, lanes))


def test_tensors_and_other_results():
    x = mg.asarray(np.ones(2))
    assert inlined([x, "a", None]) == [x, "a", None] and isinstance(inlined([x])[0], Tensor)
