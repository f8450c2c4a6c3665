"""Symbols, and graphs in hand: `symbol`, `nodes`, `substitute`, values given to `evaluate`."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc


def test_a_formula_and_its_values():
    x, w = mg.symbol("x", (3,)), mg.symbol("w")
    y = mg.sum(w * mg.tanh(x) ** 2)
    assert mg.expr(y) == "sum(w * tanh(x) ** 2)"
    at, v = np.array([0.1, -2.0, 3.0]), 2.0
    slope = mg.grad(y, x)
    for run in (mg.evaluate, mg.reference):
        found = run({"y": y, "g": slope, "n": 3}, {x: at, w: v})
        assert np.allclose(found["y"], (v * np.tanh(at) ** 2).sum()) and found["n"] == 3
        assert np.allclose(found["g"], 2 * v * np.tanh(at) * (1 - np.tanh(at) ** 2))
    assert mg.evaluate(y, {x: 0 * at, w: 1}) == 0  # nothing was kept


def test_a_symbol_in_a_recurrence():
    xs, cell = mg.symbol("xs", (4, 2)), rc.GRU(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), xs)
    at = np.random.default_rng(0).standard_normal((4, 2))
    _, wanted = rc.unroll(cell, cell.init(0), at)
    assert np.array_equal(mg.evaluate(ys, {xs: at}), wanted.numpy())


def test_any_node_can_be_given_a_value():
    x = mg.asarray([1.0, 2.0])
    h = mg.exp(x)
    y = h + x
    assert np.array_equal(mg.evaluate(y, {h: [0.0, 0.0]}), [1.0, 2.0])
    assert np.array_equal(y.numpy(), np.exp([1.0, 2.0]) + [1.0, 2.0])


def test_no_value():
    x = mg.symbol("x", (3,))
    for read in (lambda: mg.sum(x).numpy(), lambda: x.numpy(), lambda: float(mg.sum(x))):
        with pytest.raises(TypeError, match=r"x \(shape \(3,\)\) is a symbol.*mg.evaluate\(y"):
            read()


@pytest.mark.parametrize("use", [
    lambda x: mg.function(lambda a: a + x)(np.ones(3)),
    lambda x: mg.function(lambda a: mg.function(lambda b: b * x)(a))(np.ones(3)),
    lambda x: mg.block(lambda a: a + x)(mg.ones(3)),
    lambda x: mg.function(lambda a: a + mg.symbol("x"))(np.ones(3)),
])  # fmt: skip
def test_traced_functions_see_their_arguments(use):
    with pytest.raises(TypeError, match="argument"):
        use(mg.symbol("x", (3,)))


@pytest.mark.parametrize("make,words", [
    (lambda: mg.symbol((3,)), "its name comes first"), (lambda: mg.symbol(""), "its name"),
    (lambda: mg.symbol("x", (2, -1)), "at least 0"), (lambda: mg.symbol("x", 1.5), "must be int"),
    (lambda: mg.symbol("x", dtype=complex), "floats, integers or booleans"),
])  # fmt: skip
def test_bad_symbols(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_substitute():
    x, y = mg.symbol("x", (2,)), mg.symbol("y", (2,))
    z = x * y + x
    assert mg.same(mg.substitute(z, {x: y, y: x}), y * x + y)
    assert mg.same(mg.substitute([z, y], {x: x + 1}), [(x + 1) * y + (x + 1), y])
    assert mg.expr(mg.substitute(z, {y: [0, 0]})) == "x * <2> + x"
    (kept,) = mg.substitute([z], {})
    assert kept is z


def test_substitute_in_the_arguments_of_a_recurrence():
    cell, a = rc.RNN(2, 3), mg.asarray(np.ones((4, 2)))
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), a)
    _, wanted = rc.unroll(cell, mg.tensors(cell.init(0)), np.full((4, 2), 2.0))
    assert np.array_equal(mg.substitute(ys, {a: np.full((4, 2), 2.0)}).numpy(), wanted.numpy())


@pytest.mark.parametrize("values,error,words", [
    ({mg.exp(mg.symbol("z")): 1.0}, ValueError, "not computed from"),
    ({"x": 1.0}, TypeError, "no Tensor"), ([1.0], TypeError, "a dict"), (3, TypeError, "a dict"),
])  # fmt: skip
def test_bad_values(values, error, words):
    y = mg.sum(mg.symbol("x", (2,)))
    for who in (mg.substitute, mg.evaluate, mg.reference):
        with pytest.raises(error, match=f"{who.__name__}: .*{words}"):
            who(y, values)


def test_a_value_of_another_shape():
    x = mg.symbol("x", (2,))
    with pytest.raises(ValueError, match=r"evaluate: x has shape \(2,\); got \(3,\)"):
        mg.evaluate(mg.sum(x), {x: [1, 2, 3]})


A, B = mg.symbol("a", (3,)), mg.symbol("b", (3,))
EMPTY = mg.symbol("none", (0, 3))


@pytest.mark.parametrize("y,wanted", [
    (mg.grad(mg.sum(2 * A), A), [2, 2, 2]), (mg.zeros_like(A), [0, 0, 0]),
    (mg.grad(mg.sum(A * B), A), [5, 5, 5]), (mg.where(True, B, A), [5, 5, 5]),
    (mg.where(False, mg.exp(A), B * 2), [10, 10, 10]), (mg.concat([A[:0], B]), [5, 5, 5]),
    (mg.sum(A[3:]), 0), (mg.sum(mg.exp(EMPTY), axis=0) + B, [5, 5, 5]),
    (mg.grad(mg.sum(mg.where(True, B, A)), A), [0, 0, 0]),
    (mg.where(A.shape[0] > 2, B, A), [5, 5, 5]),
])  # fmt: skip
def test_a_symbol_that_is_not_needed(y, wanted):
    """Regression: given, it was no node of the graph; not given, it had no value."""
    for values in ({B: [5, 5, 5]}, {A: [1, 2, 3], B: [5, 5, 5]}):
        found = mg.evaluate({"y": y}, values)["y"]
        assert found.shape == y.shape and np.array_equal(found, wanted)
    all_given = {A: [1, 2, 3], B: [5, 5, 5], EMPTY: np.ones((0, 3))}
    assert np.array_equal(mg.reference(y, all_given), wanted)
    with pytest.raises(ValueError, match=r"evaluate: b has shape \(3,\); got \(2,\)"):
        mg.evaluate(y, {B: [1, 2]})


def test_a_symbol_that_is_needed_is_named():
    for y in (A * 0, mg.where(B > 0, B, A), mg.concat([A[:1], B]), mg.sum(A)):
        with pytest.raises(TypeError, match=r"a \(shape \(3,\)\) is a symbol"):
            mg.evaluate((B, y), {B: [5, 5, 5]})


def test_nodes():
    x = mg.symbol("x")
    h = mg.exp(x)
    found = mg.nodes([h * h, h])
    assert found[:2] == [x, h] and [t.op.name for t in found] == ["input", "exp", "multiply"]
