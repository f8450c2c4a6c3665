"""grad, vjp, jvp, jacobian, hessian: structures, zeros, any order, fresh results."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.laws import close

V = np.array([0.3, -0.7, 1.1])


def test_the_structure_of_wrt_comes_back():
    t = mg.tensors({"a": V, "b": [V * 2, (V * 3,)]})
    g = mg.grad(mg.sum(t["a"] * t["b"][0] * t["b"][1][0]), t)
    assert list(g) == ["a", "b"] and isinstance(g["b"][1], tuple)
    close(g["b"][1][0].numpy(), V * V * 2, 1e-15)
    assert isinstance(mg.grad(mg.sum(t["a"]), t["a"]), mg.Tensor)
    assert mg.grad(mg.sum(t["a"]), []) == []


def test_independent_means_zeros_of_the_right_shape_and_dtype():
    a, b = mg.asarray(V), mg.asarray(np.ones((2, 0, 3), np.float32))
    g = mg.grad(mg.sum(a), b)
    assert g.shape == (2, 0, 3) and g.dtype == np.float32
    assert mg.jacobian(a * 2, mg.asarray(1.0)).numpy().tolist() == [0.0, 0.0, 0.0]
    assert mg.jvp(a * 2, mg.asarray(1.0), 1.0).numpy().tolist() == [0.0, 0.0, 0.0]


def test_the_gradient_of_a_tensor_by_itself_is_one():
    a = mg.asarray(2.0)
    assert mg.grad(a, a).item() == 1.0
    assert mg.grad(a * 1.0, [a, a])[1].item() == 1.0


def test_gradients_by_interior_tensors():
    a = mg.asarray(V)
    b = a * a
    loss = mg.sum(mg.sin(b)) + mg.sum(b)
    close(mg.grad(loss, b).numpy(), np.cos(V * V) + 1, 1e-15)
    both = mg.grad(loss, (a, b))
    close(both[0].numpy(), (np.cos(V * V) + 1) * 2 * V, 1e-14)


def test_any_order():
    x = mg.asarray(0.7)
    y = mg.sin(x)
    wanted = [np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7), np.cos(0.7)]
    for w in wanted:
        y = mg.grad(y, x)
        assert y.item() == pytest.approx(w, abs=1e-14)


def test_a_gradient_is_a_graph():
    x = mg.asarray(V)
    g = mg.grad(mg.sum(mg.tanh(x)), x)
    assert isinstance(g, mg.Tensor) and g._value is None


def test_vjp_and_jvp_take_pytrees():
    a, b = mg.asarray(V), mg.asarray(2.0)
    out = {"y": a * b, "z": mg.sum(a)}
    ga, gb = mg.vjp(out, (a, b), {"y": np.array([1.0, 10.0, 100.0]), "z": 5.0})
    close(ga.numpy(), np.array([7.0, 25.0, 205.0]), 1e-14)
    assert gb.item() == pytest.approx(V @ [1, 10, 100])
    push = mg.jvp(out, (a, b), (np.ones(3), 1.0))
    close(push["y"].numpy(), 2.0 + V, 1e-15)
    assert push["z"].item() == 3.0


def test_a_jvp_reads_nothing_unknown():
    """Regression: its placeholders stayed alive as projections of a recurrence.

    And were asked for.
    """
    cell = lambda p, h, x: (mg.tanh(h * p + x), h)  # noqa: E731
    p = mg.asarray(0.5)
    states, ys = mg.recur(
        cell, mg.Structure.chain(3), initial=np.ones((1, 2)), shared=p, inputs=np.ones((3, 2))
    )
    g = mg.grad(mg.sum(states * states), p)
    push = mg.jvp(g, p, 1.0)
    assert push.item() == pytest.approx(mg.grad(g, p).item())


def test_jacobian_and_hessian():
    x = mg.asarray(V)
    y = mg.stack([x[0] * x[1], mg.sin(x[2])])
    j = mg.jacobian(y, x)
    close(j.numpy(), np.array([[V[1], V[0], 0], [0, 0, np.cos(V[2])]]), 1e-15)
    m = mg.asarray(np.arange(6.0).reshape(2, 3))
    assert mg.jacobian(m @ x, m).shape == (2, 2, 3)
    h = mg.hessian(mg.sum(x) ** 3 + mg.sum(x * x), x)
    close(h.numpy(), 6 * V.sum() + 2 * np.eye(3), 1e-13)
    assert mg.hessian(mg.sum(m**2), m).shape == (2, 3, 2, 3)
    third = mg.jacobian(mg.hessian(mg.sum(x**3), x), x).numpy()
    assert third.shape == (3, 3, 3) and third[1, 1, 1] == pytest.approx(6.0)
    assert third.sum() == pytest.approx(18.0)


def test_the_same_vjp_twice_is_identical():
    x = mg.asarray(V)
    loss = mg.sum(mg.softmax(x) * V)
    a, b = mg.grad(loss, x).numpy(), mg.grad(loss, x).numpy()
    assert (a == b).all() and a is not b


def test_returned_gradients_never_alias():
    a, b = mg.asarray(V), mg.asarray(V)
    found = mg.evaluate(mg.grad(mg.sum(a + b), (a, b)))
    for g in found:
        with pytest.raises(ValueError, match="read-only"):
            g[0] = 5.0
    assert found[0].tolist() == found[1].tolist() == [1.0, 1.0, 1.0]
    seed = np.ones(3)
    g = mg.vjp(a * 1.0, a, seed)
    seed[:] = 7.0
    assert g.numpy().tolist() == [1.0, 1.0, 1.0]


def test_stop_gradient_and_integers_end_the_way_back():
    x = mg.asarray(V)
    assert mg.grad(mg.sum(mg.stop_gradient(x) * x), x).tolist() == V.tolist()
    steps = mg.astype(mg.astype(x, np.int64), np.float64)
    assert mg.grad(mg.sum(steps), x).tolist() == [0.0, 0.0, 0.0]
    assert mg.grad(mg.sum(mg.astype(x, np.float32)), x).dtype == np.float64


def test_double_backward_through_saved_values():
    x = mg.asarray(V)
    y = mg.sum(mg.exp(mg.sin(x)) / (1 + x * x))
    g = mg.grad(mg.sum(mg.square(mg.grad(y, x))), x).numpy()
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-5

        def squared(v):
            t = mg.asarray(v)
            f = mg.sum(mg.exp(mg.sin(t)) / (1 + t * t))
            return float(mg.sum(mg.square(mg.grad(f, t))))

        assert (squared(V + step) - squared(V - step)) / 2e-5 == pytest.approx(g[k], rel=1e-7)


def test_the_sum_of_many_uses_is_one_node():
    x = mg.asarray(2.0)
    g = mg.grad(x * 1 + x * 2 + x * 3 + x * 4, x)
    assert g.op.name == "add" and len(g.inputs) == 4 and g.item() == 10.0


def chain(n=4, w=0.5):
    t = mg.asarray(w)
    states, _ = mg.recur(
        lambda p, h, x: (h * p + x, h), mg.Structure.chain(n), initial=np.zeros(1), shared=t,
        inputs=np.ones(n),
    )  # fmt: skip
    return t, states


def not_its_own():
    """Calls by a node that the output was not computed from."""
    x = mg.asarray(V)
    y = mg.sin(x)
    loss = mg.sum(y * y)
    w, states = chain()
    other = chain()[1]
    return {
        "an index written again": lambda: mg.grad(x[0] ** 2, x[0]),
        "a named copy": lambda: mg.grad(loss, y.named("y")),
        "a named copy of a leaf": lambda: mg.grad(loss, x.named("x")),
        "a pytree": lambda: mg.grad(loss, {"x": x, "again": [mg.sin(x)]}),
        "vjp": lambda: mg.vjp(y, mg.sin(x), y),
        "jvp": lambda: mg.jvp(y, mg.sin(x), y),
        "jacobian": lambda: mg.jacobian(states[3], states[1]),
        "hessian": lambda: mg.hessian(loss, mg.sin(x)),
        "hvp": lambda: mg.hvp(loss, mg.sin(x), V),
        "contributions": lambda: mg.contributions(loss, x * 1),
        "state_gradients": lambda: mg.state_gradients(mg.sum(states), other),
    }


@pytest.mark.parametrize("which", not_its_own())
def test_a_node_the_output_does_not_depend_on_is_refused(which):
    """Regression: zeros, in silence, where a node had been written a second time."""
    with pytest.raises(ValueError, match="is not computed from") as caught:
        not_its_own()[which]()
    who = which if hasattr(mg, which) else "grad"
    words = str(caught.value)
    assert words.startswith(f"{who}: ") and "keep the node in a variable" in words
    assert "test_autodiff.py" in words  # where the node was recorded
    if which == "a pytree":
        assert "wrt['again'][0]" in words


def test_a_node_that_is_kept_and_an_independent_leaf_are_answered():
    x = mg.asarray(V)
    first = x[0]
    assert mg.grad(first**2, first).item() == pytest.approx(2 * V[0])
    _, states = chain()
    late, early = states[3], states[1]
    assert mg.jacobian(late + 0 * early, early).item() == 0.0  # an ancestor; no path back
    y = mg.sin(x)
    blocked = mg.sum(mg.stop_gradient(y) + x)
    assert mg.grad(blocked, y).tolist() == [0.0] * 3
    assert mg.hessian(mg.sum(y * 2), y).tolist() == [[0.0] * 3] * 3
    assert mg.hvp(mg.sum(y * 2), (x, y), (V * 0, V))[1].tolist() == [0.0] * 3
    free = mg.asarray(V)
    assert mg.grad(mg.sum(y), free).tolist() == [0.0] * 3
    assert mg.contributions(mg.sum(y), free).shape == (0, 3)
    assert mg.state_gradients(mg.sum(mg.stop_gradient(states)), states).tolist() == [0.0] * 4


def test_cotangents_by_name():
    x = mg.asarray(V)
    found = mg.vjp(outputs=mg.sin(x), inputs=x, cotangents=V)
    close(found.numpy(), np.cos(V) * V, 1e-15)


def test_jacobians_and_hessians_of_pytrees():
    t = mg.tensors({"a": V[:2], "b": [np.float64(2.0)]})
    out = {"p": t["a"] * t["b"][0], "q": mg.sum(t["a"]) ** 2}
    j = mg.jacobian(out, t)
    close(j["p"]["a"].numpy(), 2 * np.eye(2), 1e-15)
    close(j["p"]["b"][0].numpy(), V[:2], 1e-15)
    close(j["q"]["a"].numpy(), np.full(2, 2 * V[:2].sum()), 1e-15)
    assert j["q"]["b"][0].item() == 0.0
    h = mg.hessian(mg.sum(t["a"] ** 2) * t["b"][0] ** 3, t)
    close(h["a"]["a"].numpy(), 2 * np.eye(2) * 8, 1e-14)
    close(h["a"]["b"][0].numpy(), 2 * V[:2] * 12, 1e-14)
    close(h["b"][0]["a"].numpy(), h["a"]["b"][0].numpy(), 1e-15)
    assert h["b"][0]["b"][0].item() == pytest.approx((V[:2] ** 2).sum() * 12)


def test_hessian_vector_products():
    """The Hessian times vectors, block by block; of a recurrence too; never the Hessian."""
    rng = np.random.default_rng(0)
    t = mg.tensors({"a": V[:2], "b": [rng.standard_normal((2, 2))], "free": np.ones(3)})
    v = {"a": np.array([1.0, -2.0]), "b": [rng.standard_normal((2, 2))], "free": np.ones(3)}
    loss = mg.sum(mg.sin(t["b"][0] @ t["a"]) ** 2) * t["a"][0]
    found = mg.evaluate(mg.hvp(loss, t, v))
    h = mg.evaluate(mg.hessian(loss, t))
    for row, got in ((h["a"], found["a"]), (h["b"][0], found["b"][0])):
        a, b = np.tensordot(row["a"], v["a"], 1), np.tensordot(row["b"][0], v["b"][0], 2)
        close(got, a + b, 1e-13)
    assert not found["free"].any()

    w, xs = mg.asarray(rng.standard_normal((3, 3)) / 3), rng.standard_normal((5, 3))
    cell = lambda p, h, x: (mg.tanh(p @ h + x), h)  # noqa: E731
    states, _ = mg.recur(
        cell, mg.Structure.chain([3, 2]), initial=np.zeros(3)[None], shared=w, inputs=xs
    )
    loss, u = mg.sum(states**3), rng.standard_normal((3, 3))
    other = mg.jvp(mg.grad(loss, w), w, u)  # forward over reverse
    whole = np.tensordot(mg.hessian(loss, w).numpy(), u, 2)
    close(mg.evaluate([mg.hvp(loss, w, u), other]), [whole, whole], 1e-12)


def test_an_hvp_is_no_larger_than_a_few_gradients():
    n = 100_000  # whose Hessian would be 80 GB
    x = mg.asarray(np.linspace(-1, 1, n))
    found = mg.hvp(mg.sum(mg.sin(x)) ** 2, x, np.ones(n)).numpy()
    c, s = np.cos(x.numpy()), np.sin(x.numpy())
    close(found, 2 * c * c.sum() - 2 * s * s.sum(), 1e-9)
