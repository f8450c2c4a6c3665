"""mg.primitive: a user's own op behaves like one of ours, also inside a recurrence and compiled."""

import pickle

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.ops.table import DECLARED


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
    for wrong in ({"numpy": 1.5}, {"numpy": np.sin, "kind": 3}, {"numpy": np.sin, "scalar": 2}):
        with pytest.raises(TypeError, match=f"primitive f: {list(wrong)[-1]}"):
            mg.primitive("f", vjp=None, **wrong)
    with pytest.raises(TypeError, match="primitive f: vjp must be a function"):
        mg.primitive("f", numpy=np.sin, vjp="no")
    two = mg.primitive("two", numpy=np.add, vjp=lambda ct, y, a, b: ct)
    a = mg.asarray(1.0)
    with pytest.raises(ValueError, match="1 cotangents for 2 inputs"):
        mg.grad(two(a, a), a)
    flat = mg.primitive("flat", numpy=np.sin, vjp=lambda ct, y, x: mg.sum(ct))
    x = mg.asarray([1.0, 2.0])
    with pytest.raises(ValueError, match="flat returned a cotangent of shape"):
        mg.grad(mg.sum(flat(x)), x)


def test_it_pickles_by_name():
    f = softsign()
    y = mg.sum(f(mg.asarray([1.0, 3.0])))
    assert np.isclose(pickle.loads(pickle.dumps(y)).numpy(), 1.25)
    softsign()
    with pytest.raises(pickle.PicklingError, match="another primitive named 'softsign'"):
        pickle.dumps(y)
    data = pickle.dumps(softsign()(mg.asarray(1.0)))
    DECLARED.pop("softsign")
    with pytest.raises(pickle.UnpicklingError, match="run its mg.primitive"):
        pickle.loads(data)


def test_what_a_rule_may_not_return():
    x = mg.asarray([1.0, 2.0])
    for vjp, kind, words in (
        (lambda ct, y, x: "no", TypeError, "vjp of mine returned a str"),
        (lambda ct, y, x: (ct, ct), ValueError, "2 cotangents for 1 inputs"),
        (lambda ct, y, x: mg.sum(ct), ValueError, r"shape \(\) for an input of shape \(2,\)"),
    ):
        mine = mg.primitive("mine", numpy=np.tanh, vjp=vjp)
        with pytest.raises(kind, match=words):
            mg.grad(mg.sum(mine(x)), x)


def test_a_meaning_of_another_shape_is_refused():
    mine = mg.primitive("mine", numpy=lambda x: x[:1], vjp=None)
    with pytest.raises(
        ValueError, match=r"mine computed .* \(1,\) where its shape rule says \(3,\)"
    ):
        mine(np.ones(3)).numpy()
