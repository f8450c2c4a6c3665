"""`mg.source`: what the text looks like, what it is called with, and that it computes the same.

By op and by architecture: test_spellings, test_source_of_architectures.
"""

from __future__ import annotations

import keyword
import re

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.graph import placeholder
from minigrad.testing.laws import directions, dot, record, wrt_of
from minigrad.testing.strategies import KINDS, expressions, problems

from .running import MISSING, check, equal, library, run, run_all_in_node

LIBRARIES = ["numpy", library("torch"), library("js")]
RNG = np.random.default_rng(0)
X, W = mg.asarray(RNG.standard_normal((4, 2)), name="x"), mg.asarray(np.ones((2, 3)), name="W")


def lstm(time=5, **how):
    cell = rc.LSTM(2, 3)
    params = mg.tensors(optree.tree_map(lambda a: a + 0.1, cell.init(0)))
    xs = mg.asarray(RNG.standard_normal((time, 2)), name="x")
    return params, rc.unroll(cell, params, xs, **how)[1]


def gradient(params, ys):
    loss = mg.sum(ys * ys)
    return loss, mg.grad(loss, params)


# -- laws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_random_cells_over_random_structures(kind):
    """Values, gradients, a Hessian-vector product and a jvp."""

    @settings(max_examples=6)
    @given(problems(kind))
    def law(problem):
        t, states, outputs, loss = record(problem)
        grads = mg.grad(loss, wrt_of(t))
        second = mg.grad(dot(grads, directions(wrt_of(t), 1)), wrt_of(t))
        pushed = mg.jvp(loss, wrt_of(t), directions(wrt_of(t), 2))
        leaves = optree.tree_leaves((states, outputs, loss, grads, second, pushed))
        equal(run(mg.source(leaves)), leaves)

    law()


@settings(max_examples=15)
@given(expressions(), st.sampled_from(["numpy", "torch"]))
def test_random_expressions(e, name):
    if name == "torch":
        pytest.importorskip("torch")
    inputs = [mg.asarray(a, name=f"x{k}") for k, a in enumerate(e.args)]
    check(optree.tree_leaves(e.f(*inputs)), name)


def test_torch_differentiates_the_text_to_our_gradient():
    """The text of the way forward is an oracle of the way back."""
    torch = pytest.importorskip("torch")
    params, ys = lstm(lengths=None)
    loss, grads = gradient(params, ys)
    text, space = mg.source(loss, "torch"), {}
    exec(text, space)
    values = {k: torch.tensor(v, requires_grad=True) for k, v in text.arguments.items()}
    space["f"](**values).backward()
    found = {k: values[k].grad.numpy() for k in params}
    equal(found, grads)


# -- what it reads like ----------------------------------------------------------------------------


def test_the_gradient_of_an_lstm_fits_two_screens_and_every_line_has_names():
    params, ys = lstm()
    text = check(gradient(params, ys), "numpy")
    lines = text.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 100
    assert "f = sigmoid(x @ W_f + h @ U_f + b_f)  # [3]" in text
    assert "c_new = f * c + i * g  # [3]" in text
    assert "da_f = dc_sum * c * (f * (1.0 - f))  # [3]" in text
    assert "dW_f = np.outer(x, da_f)  # [2, 3]" in text
    assert "for t in range(5):" in text and "for t in reversed(range(5)):" in text
    assert "# LSTM: a chain of 5 steps" in text
    for name in re.findall(r"^ +([a-z]\w*) = ", text, re.M):
        assert not re.fullmatch(r"(product|total|shaped|turned)(_\d+)?", name), name


@pytest.mark.parametrize("name", [library("jax")])
def test_a_chain_is_a_scan_in_jax(name):
    params, ys = lstm()
    text = mg.source(gradient(params, ys), name)
    assert text.count("lax.scan(") == 2 and "reverse=True" in text and "for " not in text


def test_shared_parts_are_written_once_and_constants_inline():
    h = mg.tanh(X @ W)
    text = check(mg.sum(h * h + h * 2.5 + np.array([1.0, 2.0, 3.0])), "numpy")
    assert text.count("np.tanh(x @ W)") == 1
    assert "2.5" in text and "np.array([1.0, 2.0, 3.0])" in text
    assert list(text.arguments) == ["x", "W"]


def test_a_large_constant_is_an_argument():
    few, many = np.arange(12.0).reshape(4, 3), np.ones((2, 4, 3))
    text = check(X @ W + few + many, "numpy")
    assert list(text.arguments) == ["x", "W", "k"]
    assert text.arguments["k"].shape == (2, 4, 3)


def test_the_same_graph_has_the_same_text():
    params, ys = lstm()
    assert mg.source(gradient(params, ys)) == mg.source(gradient(params, ys))


def test_noise_is_left_out():
    rows = mg.checked(mg.asarray(np.array([0, 2]), name="rows") + 0, 0, 4)
    t = mg.take(mg.stop_gradient(X).named("held"), rows) * mg.broadcast_to(mg.asarray(2.0), (2, 2))
    text = check(t, "numpy")
    assert "checked" not in text and "broadcast" not in text and "stop" not in text
    for name, word in (("torch", ".detach()"), ("jax", "lax.stop_gradient(")):
        assert word in mg.source(t, name)


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_structure_of_the_outputs(name):
    outputs = {"a": (X, [X + 1]), "b": {"c": (mg.sum(X),)}, "none": None}
    found = run(mg.source(outputs, name))
    assert set(found) == set(outputs)
    equal(optree.tree_leaves(found), optree.tree_leaves(outputs), exact=name != "js")
    if name == "numpy":
        assert optree.tree_structure(found) == optree.tree_structure(outputs)


# -- names -----------------------------------------------------------------------------------------

HARD = [
    "lambda", "class", "np", "f", "sum", "torch", "let", "sigmoid", "W.T", "2x", "α", "", "a b",
    "self.W", "other.W", "norm", "t", "h'", "__import__", "x-y", "é́", "match", "add",
]


@pytest.mark.parametrize("name", LIBRARIES)
def test_any_name_becomes_an_identifier(name):
    leaves = [mg.asarray(np.full(3, float(k)), name=word) for k, word in enumerate(HARD)]
    total = mg.sigmoid(leaves[0]).named("h")
    for t in leaves[1:]:
        total = (total + t * total).named("h")
    text = check(total, name)
    assert len(text.arguments) == len(HARD)
    for word in text.arguments:
        assert word.isidentifier() and not keyword.iskeyword(word)


def test_parameters_go_by_the_last_part_of_their_path_where_that_is_enough():
    p = mg.tensors({"one": {"W": np.ones(2), "b": np.ones(2)}, "two": {"W": np.zeros(2)}})
    text = check(p["one"]["W"] * p["two"]["W"] + p["one"]["b"], "numpy")
    assert list(text.arguments) == ["one_W", "two_W", "b"]


def test_copies_of_a_leaf_are_one_argument():
    text = check(X * X.named("y"), "numpy")
    assert list(text.arguments) == ["x"]


def test_a_leaf_without_a_value_is_an_argument():
    a, b = (placeholder((3,), np.dtype(float), name) for name in "ab")
    text, space = mg.source(mg.tanh(a) + b), {}
    assert list(text.arguments.values()) == [None, None]
    exec(text, space)
    np.testing.assert_allclose(space["f"](np.zeros(3), np.ones(3)), 1)


# -- structures ------------------------------------------------------------------------------------


def cases():
    cell, tree = rc.GRU(2, 3), rc.TreeLSTM(2, 3)
    p, q = mg.tensors(cell.init(0)), mg.tensors(tree.init(0))
    xs, words = RNG.standard_normal((4, 2, 2)), RNG.standard_normal((6, 2))
    start = mg.asarray(RNG.standard_normal((2, 3)), name="start")
    forest = rc.structure([("a", ("b", "c")), "d", ("e", "f")])
    few, none = np.zeros((1, 2)), mg.Structure.edges(0, [], [])
    yield "batch", p, rc.unroll(cell, p, xs, start)[1]
    yield "backwards", p, rc.unroll(cell, p, xs, start, reverse=True)
    yield "ragged", p, rc.unroll(cell, p, xs, start, lengths=[4, 2])
    yield "ragged backwards", p, rc.unroll(cell, p, xs, lengths=[1, 3], reverse=True)
    yield "truncated", p, rc.unroll(cell, p, xs, truncate=2)
    yield "checkpointed", p, rc.unroll(cell, p, xs, checkpoint=2)
    yield "one step", p, rc.unroll(cell, p, few)
    yield "forest", q, rc.fold(tree, q, forest, words)
    yield "no nodes", p, mg.recur(cell, none, initial=np.ones((1, 3)), shared=p,
                                  inputs=np.zeros((0, 2)))  # fmt: skip
    yield "delay", p, mg.recur(
        lambda s, h, x: ((x + 0 * s["b_n"][0], h[0]), h[1]), mg.Structure.chain([3, 2]),
        initial=(np.ones((2, 2)), np.ones((1, 2))), shared=p,
        inputs=mg.asarray(words[:5], name="x"),
    )  # fmt: skip
    yield "one state twice", p, mg.recur(
        lambda s, h, x: (((n := mg.tanh(x @ s["U_n"] + h[0] * h[1])), n), n + h[1]),
        mg.Structure.chain(3), initial=(np.ones((1, 3)), np.full((1, 3), 2.0)), shared=p,
        inputs=mg.asarray(words[:3, :1] * np.ones(3), name="x"),
    )  # fmt: skip


CASES = {name: (params, out) for name, params, out in cases()}


def outcome(name):
    params, out = CASES[name]
    leaves = optree.tree_leaves(out)
    loss = mg.sum(mg.stack([mg.sum(t * t) for t in leaves]))
    return leaves, mg.grad(loss, params)


@pytest.mark.parametrize("name", LIBRARIES[:2])
@pytest.mark.parametrize("case", CASES)
def test_structures(case, name):
    check(outcome(case), name)


@pytest.mark.parametrize("name", [library("js")])
def test_structures_in_one_program(name):
    graphs = [outcome(case) for case in CASES]
    texts = [mg.source(g, name) for g in graphs]
    for found, outputs in zip(run_all_in_node(texts), graphs, strict=True):
        equal(found, outputs, exact=False)


@pytest.mark.parametrize("case", ["batch", "backwards", "delay", "one state twice"])
@pytest.mark.parametrize("name", [library("jax", pytest.mark.slow)])
def test_scans(case, name):
    check(outcome(case), name)


def test_blocks_within_blocks():
    """A Jacobian inside a cell, `vmap` of a recurrence, a block called twice."""
    twice = mg.block(lambda a: mg.tanh(a) * 2)

    def cell(s, h, x):
        new = twice(h) + twice(x) * s
        return new, mg.jacobian(new, h)

    s, x = mg.asarray(0.5, name="s"), mg.asarray(RNG.standard_normal((3, 2)), name="x")
    chain = mg.Structure.chain(3)

    def run_one(x):
        return mg.recur(cell, chain, initial=np.ones((1, 2)), shared=mg.asarray(2.0), inputs=x)[0]

    states, slopes = mg.recur(cell, chain, initial=np.ones((1, 2)), shared=s, inputs=x)
    many = mg.vmap(run_one)(mg.stack([x, x + 1]))
    for name in {"numpy", "torch", "js"} - MISSING:
        check((states, slopes, many, mg.grad(mg.sum(slopes) + mg.sum(many), [s, x])), name)
    check(mg.hessian(mg.sum(many), x), "numpy")


def test_a_long_graph_is_printed_without_recursion():
    t = X
    for _ in range(1200):
        t = mg.sin(t) * X
    check((mg.sum(t), mg.grad(mg.sum(t), X)), "numpy")  # a sum of 1200 terms


# -- bad input -------------------------------------------------------------------------------------


def test_an_unknown_library():
    with pytest.raises(ValueError, match="library is one of 'numpy', 'jax', 'torch', 'js'; got"):
        mg.source(X, "tensorflow")
    with pytest.raises(ValueError, match="library is one of"):
        mg.source(X, ["numpy"])


@pytest.mark.parametrize("outputs", [3.0, np.ones(3), [X, "x"], (X, 1)])
def test_what_is_no_tensor(outputs):
    with pytest.raises(TypeError, match="source: outputs must hold Tensors"):
        mg.source(outputs)


def test_an_op_without_a_spelling_is_named():
    with pytest.raises(ValueError, match=r"'nextafter' has no spelling in js .*test_source.py"):
        mg.source(mg.nextafter(X, 1.0), "js")
    assert "np.nextafter" in mg.source(mg.nextafter(X, 1.0))


def test_an_op_of_the_users_is_refused_even_with_a_name_of_ours():
    own = mg.primitive("tanh", numpy=lambda x: x * 2, vjp=lambda ct, y, x: ct * 2)
    with pytest.raises(ValueError, match=r"your op 'tanh' \(mg.primitive\) has no spelling"):
        mg.source(own(X))


def test_containers_that_have_no_text():
    from collections import deque

    with pytest.raises(TypeError, match="tuples, lists and dicts of arrays; got a deque"):
        mg.source(deque([X]))
