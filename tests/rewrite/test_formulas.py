"""`same(..., algebra=True)`: a derivative is the one written by hand; what differs is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.rewrite import quotients
from tests.counting import examples

X, Y, W = mg.symbol("x", (3,)), mg.symbol("y", (3,)), mg.symbol("W", (3, 3))
C = mg.asarray([1.0, -2.0, 0.0], name="c")
e, s, t, p = mg.exp(X), mg.sigmoid(X), mg.tanh(X), mg.softmax(X)


def slope(y, weights=1.0, by=X):
    return mg.grad(mg.sum(weights * y), by)


BY_HAND = [
    (slope(e, 2.0), 2 * e), (slope(mg.exp(2 * X)), 2 * mg.exp(2 * X)),
    (slope(mg.exp(-X)), -mg.exp(-X)), (slope(mg.exp(X * X)), 2 * X * mg.exp(X**2)),
    (slope(mg.exp(mg.sin(X)), C), mg.cos(X) * mg.exp(mg.sin(X)) * C),
    (slope(e * X), e * (1 + X)), (slope(e**2), 2 * mg.exp(2 * X)), (slope(mg.expm1(X)), e),
    (slope(mg.exp2(X)), mg.log(2.0) * 2**X), (slope(mg.log(e)), mg.ones_like(X)),
    (slope(e / (1 + e)), s * (1 - s)), (slope(mg.log(1 + e)), s),
    (slope(s), s * (1 - s)), (slope(s), s * mg.sigmoid(-X)),
    (slope(s), mg.exp(-X) / (1 + mg.exp(-X)) ** 2),
    (slope(slope(s)), s * (1 - s) * (1 - 2 * s)),
    (slope(t), 1 - t**2), (slope(t), (1 - t) * (1 + t)), (slope(t), 1 / mg.cosh(X) ** 2),
    (slope(slope(t)), -2 * t * (1 - t * t)), (slope(t), 4 / (e + mg.exp(-X)) ** 2),
    (slope(mg.softplus(2 * X), C), 2 * C * mg.sigmoid(2 * X)),
    (slope(mg.silu(X)), s * (1 + X * (1 - s))), (slope(mg.logaddexp(X, Y)), mg.sigmoid(X - Y)),
    (slope(mg.gelu(X)), 0.5 * (1 + mg.erf(X / 2**0.5))
     + X * mg.exp(-(X**2) / 2) / (2 * np.pi) ** 0.5),
    (slope(mg.logsumexp(X)), p), (slope(p, C), p * (C - mg.sum(C * p))),
    (slope(mg.log_softmax(X), C), C - mg.sum(C) * p),
    (mg.grad(-mg.sum(C * mg.log(p)), X), p * mg.sum(C) - C),
    (slope(X**3), 3 * X * X), (slope(X**-1), -1 / X**2), (slope(1 / X), -1 / (X * X)),
    (slope(mg.sqrt(X)), 0.5 * X**-0.5), (slope(X**0.5), 0.5 / mg.sqrt(X)),
    (slope(mg.log(X / (1 - X))), 1 / (X * (1 - X))),
    (slope(mg.log(X / (1 - X))), 1 / X + 1 / (1 - X)), (slope(mg.log(X / Y)), 1 / X),
    (slope(mg.atan(X)), 1 / (1 + X * X)), (slope(mg.asin(X)), 1 / mg.sqrt(1 - X * X)),
    (slope(mg.asinh(X)), 1 / mg.sqrt(X**2 + 1)), (slope(mg.atanh(X)), 1 / (1 - X**2)),
    (slope(mg.cbrt(X)), 1 / (3 * mg.cbrt(X) ** 2)), (slope(mg.tan(X)), 1 + mg.tan(X) ** 2),
    (slope(mg.sin(X) * mg.cos(X)), mg.cos(X) ** 2 - mg.sin(X) ** 2),
    (slope(mg.var(X)), 2 * (X - mg.mean(X)) / 3), (slope(mg.relu(X)), mg.where(X > 0, 1.0, 0.0)),
    (slope(mg.tanh(W @ X), by=W), mg.outer(1 - mg.tanh(W @ X) ** 2, X)),
    (slope(mg.tanh(W @ X)), W.T @ (1 - mg.tanh(W @ X) ** 2)),
    (mg.grad(0.5 * mg.sum((W @ X - Y) ** 2), X), W.T @ (W @ X - Y)),
    (mg.grad(X @ W @ X, X), (W + W.T) @ X),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(BY_HAND)))
def test_a_derivative_is_the_one_by_hand(k):
    found, answer = BY_HAND[k]
    assert mg.same(found, answer, algebra=True) and mg.same(answer, found, algebra=True)
    assert not mg.same(found, answer * 1.001, algebra=True)
    assert not mg.same(found, answer + 0.001, algebra=True)


# Each op, and its slope as one may write it.
CHAIN = {
    mg.exp: mg.exp, mg.tanh: lambda u: 1 - mg.tanh(u) ** 2, mg.sin: mg.cos,
    mg.sigmoid: lambda u: mg.exp(-u) / (1 + mg.exp(-u)) ** 2, mg.square: lambda u: 2 * u,
    mg.softplus: lambda u: 1 / (1 + mg.exp(-u)), mg.log: lambda u: u**-1,
    mg.sqrt: lambda u: 1 / (2 * mg.sqrt(u)), mg.reciprocal: lambda u: -1 / u**2,
    mg.cosh: mg.sinh, mg.negative: lambda u: -mg.ones_like(u), mg.log1p: lambda u: 1 / (1 + u),
    mg.silu: lambda u: mg.sigmoid(u) + u * mg.sigmoid(u) * mg.sigmoid(-u),
    mg.erf: lambda u: 2 / np.pi**0.5 * mg.exp(-u * u), mg.expm1: mg.exp,
}  # fmt: skip


@pytest.mark.parametrize("outer", CHAIN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("inner", CHAIN, ids=lambda f: f.__name__)
def test_the_chain_rule_by_hand(outer, inner):
    for weights in (1.0, C):
        found = slope(outer(inner(X)), weights)
        answer = CHAIN[inner](X) * (weights * CHAIN[outer](inner(X)))
        assert mg.same(found, answer, algebra=True)
        assert not mg.same(found, answer * 2, algebra=True)


ONE = [
    mg.exp, mg.sigmoid, mg.tanh, mg.sqrt, mg.log, mg.abs, mg.relu, mg.softplus, mg.sin, mg.cosh,
    mg.expm1, mg.log1p, mg.softmax, mg.cumulative_sum, mg.stop_gradient, lambda a: -a,
    lambda a: 2 * a, lambda a: a + 1, lambda a: 1 - a, lambda a: a[::-1], lambda a: a * 0,
    *(lambda a, n=n: a**n for n in (2, 3, 4, -1, 0.5, 0.25, 1 / 3)), mg.exp2,
    lambda a: mg.broadcast_to(mg.sum(a), (3,)), lambda a: mg.broadcast_to(mg.max(a), (3,)),
]  # fmt: skip
TWO = [
    mg.add, mg.subtract, mg.multiply, mg.divide, mg.maximum, mg.hypot, mg.logaddexp, mg.pow,
    lambda a, b: mg.where(a > 0, a, b), lambda a, b: mg.where(b > a, b, 0.0),
    lambda a, b: mg.where(a == 0, b, a), lambda a, b: mg.where(mg.isfinite(a), a, b),
    lambda a, b: mg.where((a > 0) & (b > 0), a, b), lambda a, b: mg.where(a != b, a, 1.0),
]  # fmt: skip


def drawn(rng, depth):
    if depth == 0 or rng.random() < 0.1:
        return (X, Y)[rng.integers(2)]
    if rng.random() < 0.55:
        return ONE[rng.integers(len(ONE))](drawn(rng, depth - 1))
    return TWO[rng.integers(len(TWO))](drawn(rng, depth - 1), drawn(rng, depth - 1))


@pytest.mark.long
@settings(max_examples=examples(60))
@given(st.integers(0, 2**32))
def test_what_is_the_same_has_the_same_values(seed):
    """Of random formulas, all pairs: where both are finite; none where they differ."""
    rng = np.random.default_rng(seed)
    formulas = [drawn(rng, 1 + rng.integers(3)) for _ in range(12)]
    points = [(a, b) for a, b in rng.uniform(-2, 2, (5, 2, 3))]
    points.append((np.array([1.0, -1.0, 0.0]), np.array([-1.0, 0.0, 0.0])))
    values = [
        np.array([mg.evaluate((X, Y, f), {X: a, Y: b})[2] for a, b in points]) for f in formulas
    ]
    for i, f in enumerate(formulas):
        for g, a, b in zip(formulas[:i], values[:i], [values[i]] * i, strict=True):
            if mg.same(f, g, algebra=True):
                both = np.isfinite(a) & np.isfinite(b)
                text = f"{mg.expr(f)} | {mg.expr(g)}"
                np.testing.assert_allclose(a[both], b[both], 1e-9, 1e-9, err_msg=text)


@pytest.mark.parametrize("a,b", [
    (mg.sqrt(X**2), X), (mg.sqrt(X * Y), mg.sqrt(X) * mg.sqrt(-Y)), ((X**2) ** 0.25, X**0.5),
    (mg.log(X * Y), mg.log(X) + mg.log(Y)), (mg.log(X**2), 2 * mg.log(X)),
    (mg.where(X == 0, 0.0, X / X), mg.ones_like(X)), (mg.abs(X), X), (X * Y, X * X), (X, Y),
    (mg.where(mg.log(X) >= 0, 1.0, 2.0), mg.where(mg.log(X) < 0, 2.0, 1.0)),
    (mg.where(X / X > -1, 1.0, 2.0), mg.ones_like(X)), (mg.sum(X * Y), mg.sum(X) * mg.sum(Y)),
    (mg.broadcast_to(mg.mean(X), (3,)), X), (W @ X, X @ W), (X[::-1], X), (X**Y, Y**X),
    (mg.astype(mg.astype(X, np.float32), np.float64), X), (mg.exp(X + Y), mg.exp(X) + mg.exp(Y)),
])  # fmt: skip
def test_what_only_looks_alike(a, b):
    assert not mg.same(a, b, algebra=True)


def test_recurrences_are_the_same_as_written():
    def last(power, times=1.0):
        def cell(q, h, x):
            return mg.tanh(h * q + x**power), h

        start, inputs = np.zeros((1, 3)), np.ones((4, 3))
        chain = mg.Structure.chain(4)
        return mg.recur(cell, chain, initial=start, shared=X, inputs=inputs)[0] * times

    assert mg.same(last(2, 2.0), last(2) + last(2), algebra=True)
    assert not mg.same(last(2), last(3), algebra=True)


def test_it_gives_up_on_what_is_too_long(monkeypatch):
    long = X
    for k in range(40):
        long = (long + mg.sin(Y * k)) * (long - mg.cos(X * k))
    assert mg.same(long * 2, 2 * long, algebra=True)
    assert not mg.same(long, long + X, algebra=True)
    monkeypatch.setattr(quotients, "EFFORT", 5)
    assert not mg.same(X * (X + Y), X * X + Y * X, algebra=True)


def test_of_pytrees_every_leaf():
    assert mg.same({"a": X * Y, "b": X + Y}, {"a": Y * X, "b": Y + X}, algebra=True)
    assert not mg.same({"a": X * Y, "b": X}, {"a": Y * X, "b": Y}, algebra=True)
    assert not mg.same([X], [X, X], algebra=True)
    assert not mg.same(X, mg.sum(X), algebra=True)
