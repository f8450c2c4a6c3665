"""mg.primitive: a user's own op behaves like one of ours, also inside a recurrence and compiled."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc


def softsign():
    return mg.primitive(
        "softsign",
        numpy=lambda x: x / (1 + np.abs(x)),
        vjp=lambda ct, y, x: ct * mg.square(1 - mg.abs(y)),
    )


def center():
    return mg.primitive(
        "center", kind="whole", shape=lambda x: x.shape, numpy=lambda x: x - x.mean(),
        vjp=lambda ct, y, x: ct - mg.mean(ct),
    )  # fmt: skip


def test_value_and_derivatives():
    f, x = softsign(), mg.asarray([-2.0, 0.5, 3.0])
    y = f(x)
    assert np.allclose(y.numpy(), x.numpy() / (1 + np.abs(x.numpy())))
    d = 1 / (1 + np.abs(x.numpy()))
    assert np.allclose(mg.grad(mg.sum(y), x).numpy(), d**2)
    second = mg.grad(mg.sum(mg.grad(mg.sum(y), x)), x)
    assert np.allclose(second.numpy(), -2 * np.sign(x.numpy()) * d**3)


@pytest.mark.parametrize("make", [softsign, center])
def test_inside_a_recurrence(make):
    f = make()

    def cell(p, h, x):
        h = mg.tanh(f(x + h @ p))
        return h, h

    def run(p, x):
        ys = rc.unroll(cell, p, x, np.zeros((2, 3)))[1]
        return ys, mg.grad(mg.sum(mg.square(ys)), (p, x))

    rng = np.random.default_rng(0)
    p, x = rng.standard_normal((3, 3)), rng.standard_normal((4, 2, 3))
    wanted = mg.reference(run(mg.asarray(p), mg.asarray(x)))
    for found in (mg.evaluate(run(mg.asarray(p), mg.asarray(x))), mg.function(run)(p, x)):
        assert np.allclose(found[0], wanted[0])
        assert np.allclose(found[1][0], wanted[1][0]) and np.allclose(found[1][1], wanted[1][1])


def test_attributes_are_static():
    scale = mg.primitive(
        "scale", numpy=lambda x, by: x * by, vjp=lambda ct, y, x, by: scale(ct, by=by)
    )
    x = mg.asarray([1.0, 2.0])
    assert mg.grad(mg.sum(scale(x, by=3)), x).numpy().tolist() == [3.0, 3.0]


def test_errors():
    with pytest.raises(ValueError, match="shape rule"):
        mg.primitive("f", kind="whole", numpy=np.sin, vjp=None)
    with pytest.raises(ValueError, match="a word"):
        mg.primitive("", numpy=np.sin, vjp=None)
    two = mg.primitive("two", numpy=np.add, vjp=lambda ct, y, a, b: ct)
    a = mg.asarray(1.0)
    with pytest.raises(ValueError, match="1 cotangents for 2 inputs"):
        mg.grad(two(a, a), a)
    flat = mg.primitive("flat", numpy=np.sin, vjp=lambda ct, y, x: mg.sum(ct))
    x = mg.asarray([1.0, 2.0])
    with pytest.raises(ValueError, match="flat returned a cotangent of shape"):
        mg.grad(mg.sum(flat(x)), x)
