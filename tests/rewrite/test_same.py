"""`same`: equal expressions, whatever their names; nothing else."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

X, Y, U, V = (mg.symbol(n, (3,)) for n in "xyuv")


@pytest.mark.parametrize("a,b,equal", [
    (X + Y, X + Y, True), (X + Y, Y + X, False), (X - Y, Y - X, False), (X - Y, U - V, True),
    (X - X, U - V, False), (U - V, X - X, False), ((X * 2).named("twice"), X * 2, True),
    (X * 2, X * 3, False), (X * 2, X * 2.0, True), (X, X, True), (X, Y, True),
    (mg.sum(X), mg.mean(X), False), (X[:2], X[1:], False), ([X, Y], [U, V], True),
    ([X, X], [U, V], False), ([X, Y], (X, Y), False), ({"a": X}, {"b": X}, False),
    ([X], [X, X], False),
    (mg.asarray([0.0]), mg.asarray([-0.0]), False), (mg.asarray([1.0]), mg.asarray([1]), False),
    (X * mg.asarray(np.nan), X * mg.asarray(np.nan), True),
])  # fmt: skip
def test_expressions(a, b, equal):
    assert mg.same(a, b) is equal


def test_a_part_may_be_written_out_twice():
    h = mg.tanh(X)
    assert mg.same(h * h, mg.tanh(X) * mg.tanh(X))


def gradient(p, steps=5, reverse=False, lengths=None):
    carry, ys = rc.unroll(rc.GRU(2, 3), p, np.ones((steps, 2, 2)), lengths=lengths, reverse=reverse)
    return mg.grad(mg.sum(ys), p)


def test_recurrences():
    p, q = (mg.tensors(rc.GRU(2, 3).init(0)) for _ in range(2))
    assert mg.same(gradient(p), gradient(p)) and mg.same(gradient(p), gradient(q))
    for other in (gradient(p, 6), gradient(p, reverse=True), gradient(p, lengths=[5, 4])):
        assert not mg.same(gradient(p), other)
    first, second, *_ = gradient(p).values()
    assert not mg.same(first, second)


def test_what_differs_deep_in_a_cell():
    def cell(power):
        return lambda p, h, x: (mg.tanh(h * p + x**power), h)

    def states(power):
        return mg.recur(cell(power), mg.Structure.chain(4), initial=np.zeros((1, 3)),
                        shared=np.ones(3), inputs=np.ones((4, 3)))[0]  # fmt: skip

    assert mg.same(states(3), states(3)) and not mg.same(states(3), states(4))


def test_no_tensor():
    with pytest.raises(TypeError, match="same: b must hold Tensors"):
        mg.same(X, 1.0)


def test_numbers_in_formulas_are_their_values():
    """Regression: a number that a shared part reads as well was only the same as itself."""
    x = mg.symbol("x", (2,))
    h = x * mg.full_like(x, 0.5)
    (half,) = [t for t in mg.nodes(h) if t.op.name == "constant"]
    assert mg.same(h + mg.broadcast_to(half, (2,)), h + 0.5)
    assert not mg.same(h + mg.broadcast_to(half, (2,)), h + 0.25)
