"""dynamical_system: sizes and parameters that change with t, laws, torch, and unroll as a case."""

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from .checks import against, laws, loss_of


def linear(theta, s, a):
    return mg.tanh(s @ theta["A"] + a @ theta["B"])


def pair(theta, s, a):
    """A state that becomes a pair; the action is not read."""
    return s @ theta["A"], mg.sin(s)


def merge(theta, s, a):
    u, v = s
    return mg.tanh(u * theta["g"]) @ theta["A"] + mg.sum(v) * a


F = [linear, linear, pair, merge]


def problem(seed):
    """States of 2, 3, 5, (4, 5) and 2 numbers; actions of 1, 4, none and 2."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal
    thetas = [
        {"A": draw((2, 3)), "B": draw((1, 3))}, {"A": draw((3, 5)), "B": draw((4, 5))},
        {"A": draw((5, 4))}, {"A": draw((4, 2)), "g": draw(4)},
    ]  # fmt: skip
    return {"p": thetas, "s": draw(2), "a": [draw(1), draw(4), None, draw(2)]}


def run(t):
    return rc.dynamical_system(F)(t["p"], t["s"], t["a"])


def test_sizes_may_change():
    states = run(problem(0))
    shapes = [[x.shape for x in optree.tree_leaves(s)] for s in states]
    assert shapes == [[(3,)], [(5,)], [(4,), (5,)], [(2,)]]


@given(st.integers(0, 2**20))
def test_laws(seed):
    laws(run, problem(seed), seed)


@given(st.integers(0, 2**20))
def test_the_loop(seed):
    t = mg.tensors(problem(seed))
    s, states = t["s"], []
    for f, theta, a in zip(F, t["p"], t["a"], strict=True):
        s = f(theta, s, a)
        states.append(s)
    both = [(r, mg.grad(loss_of(r), t)) for r in (run(t), states)]
    close(*mg.evaluate(both), 1e-13)


def test_against_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: no independent gradients")

    def theirs(t):
        p, a = t["p"], t["a"]
        one = torch.tanh(t["s"] @ p[0]["A"] + a[0] @ p[0]["B"])
        two = torch.tanh(one @ p[1]["A"] + a[1] @ p[1]["B"])
        u, v = two @ p[2]["A"], torch.sin(two)
        return [one, two, (u, v), torch.tanh(u * p[3]["g"]) @ p[3]["A"] + v.sum() * a[3]]

    against(theirs, run, problem(1), 1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_where_nothing_changes_it_is_unroll(shared):
    """Shared parameters; and one set per step, which unroll reads as an input."""
    cell, rng = rc.RNN(3, 4), np.random.default_rng(0)
    params = [cell.init(0 if shared else k) for k in range(5)]
    each = optree.tree_map(lambda *a: np.stack(a), *params)
    args = mg.tensors({"p": params[0] if shared else each, "x": rng.standard_normal((5, 3))})

    def step(theta, s, a):
        return cell(theta, s, a)[0]

    thetas = args["p"]
    if not shared:
        thetas = [{k: v[t] for k, v in args["p"].items()} for t in range(5)]
    states = mg.stack(rc.dynamical_system(step)(thetas, np.zeros(4), args["x"]))
    if shared:
        _, ys = rc.unroll(cell, args["p"], args["x"])
    else:
        inputs = args["x"], args["p"]
        _, ys = mg.recur(
            lambda _, h, x: cell(x[1], h, x[0]), mg.Structure.chain(5),
            initial=np.zeros((1, 4)), inputs=inputs,
        )  # fmt: skip
    both = [(r, mg.grad(loss_of(r), args)) for r in (states, ys)]
    close(*mg.evaluate(both), 1e-12)


def test_one_function_is_traced_once_per_signature():
    calls = []

    def f(theta, s, a):
        calls.append(1)
        return mg.tanh(s * theta + a)

    rc.dynamical_system(f)(np.array(0.5), np.ones(2), np.ones((6, 2)))
    rc.dynamical_system([f] * 3)(np.array(0.5), np.ones(2), [np.ones(2)] * 3)
    assert len(calls) == 1


def test_no_actions_and_no_parameters():
    states = rc.dynamical_system([lambda theta, s, a: s[:-1] * 2.0] * 3)(None, np.arange(4.0))
    assert [s.tolist() for s in states] == [[0, 2, 4], [0, 4], [0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rc.dynamical_system([]),
            "dynamical_system: f must be a function or a list of functions; got []",
        ),
        (
            lambda: rc.dynamical_system(F)([{}] * 3, np.zeros(2), [None] * 5),
            "dynamical_system: f, thetas and actions must have one entry for each step, the same "
            "number; got f 4, thetas 3, actions 5",
        ),
        (
            lambda: rc.dynamical_system(linear)({}, np.zeros(2)),
            "dynamical_system: f, thetas and actions must have one entry for each step, the same "
            "number; got nothing that says how many there are",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
