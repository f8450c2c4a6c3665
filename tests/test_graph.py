"""The node, its walks, and the manners of a Tensor.

What reads it, what does not, what it refuses.
"""

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import rebuild, toposort, where_recorded
from minigrad.testing.laws import close

V = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_facts_known_without_computing():
    t = mg.asarray(V, name="v") * 2
    assert (t.shape, t.ndim, t.size, t.dtype, t.name) == ((2, 3), 2, 6, np.float64, None)
    assert len(t) == 2 and t.T.shape == t.mT.shape == (3, 2)
    assert t._value is None


def test_repr_never_evaluates():
    t = mg.tanh(mg.asarray(V)).named("h")
    assert repr(t) == "Tensor(h: tanh, shape=(2, 3), float64)"
    assert t._value is None
    assert t.numpy().shape == (2, 3)
    assert "0.7616" in repr(t)
    assert "array" not in repr(mg.asarray(np.zeros(1000)))


def test_reading():
    t = mg.asarray(2.5) * 2
    assert (float(t), int(t), t.item(), f"{t:.2f}", str(t)) == (5.0, 5, 5.0, "5.00", "5.0")
    assert mg.asarray(V).tolist() == V.tolist()
    assert bool(mg.asarray(1) > 0) is True
    assert [10, 20][mg.asarray(1)] == 20
    assert 5.0 in mg.asarray(V) and 9.0 not in mg.asarray(V)
    assert format(mg.asarray(V)) == str(V)


def test_values_are_kept_and_read_only():
    t = mg.asarray(V) * 2
    assert t.numpy() is t.numpy()
    with pytest.raises(ValueError, match="read-only"):
        t.numpy()[0] = 1


@pytest.mark.parametrize("view", [V, V.T, V[::-1], V[:, ::2], np.broadcast_to(V[0], (4, 3))])
def test_the_callers_array_is_a_snapshot(view):
    """Reversed, transposed, strided and broadcast inputs are as a contiguous copy.

    Later changes count for nothing.
    """
    source = np.array(view) if view.strides[0] == 0 else view.copy(order="K")
    t = mg.asarray(source)
    wanted = source * 3
    y = t * 3
    if source.flags.writeable:
        source[...] = -1
    close(y.numpy(), wanted, 0.0)
    close(mg.asarray(view).numpy(), np.array(view), 0.0)


def test_length_and_iteration_go_along_axis_0():
    t = mg.asarray(V)
    rows = list(t)
    assert len(rows) == len(t) == 2
    close([r.numpy() for r in rows], list(V), 0.0)
    a, b = t
    close(mg.grad(mg.sum(a * b), t).numpy(), V[::-1], 0.0)
    assert len(mg.zeros((0, 3))) == 0 and list(mg.zeros((0, 3))) == []


def test_equality_is_elementwise_and_hashing_by_identity():
    a, b = mg.asarray([1.0, 2.0]), mg.asarray([1.0, 3.0])
    assert (a == b).tolist() == [True, False] and (a != b).tolist() == [False, True]
    assert len({a, b, a}) == 2 and {a: 1}[a] == 1


def test_names():
    a = mg.asarray(V, name="weights")
    b = a.named("other")
    assert (a.name, b.name) == ("weights", "other") and b is not a
    assert mg.asarray(a, name="weights") is a and mg.asarray(a) is a


def test_the_users_line_is_known():
    t = mg.asarray(V) + 1  # this line
    assert "test_graph.py" in where_recorded(t) and "# this line" in where_recorded(t)


def test_toposort_puts_inputs_first_and_counts_shared_nodes_once():
    a = mg.asarray(2.0)
    b = a * a
    c = mg.sin(b) + b
    order = toposort([c, b])
    place = {t: k for k, t in enumerate(order)}
    assert len(place) == len(order) == 4
    assert all(place[i] < place[t] for t in order for i in t.inputs)
    assert [t.op.name for t in toposort([c], stop=lambda t: t is b)] == ["multiply", "sin", "add"]


def test_rebuild_exchanges_and_shares():
    a, b = mg.asarray(2.0), mg.asarray(5.0)
    kept = mg.sin(b)
    y = a * kept
    (z, same) = rebuild([y, kept], {a: mg.asarray(3.0)})
    assert same is kept and z.inputs[1] is kept
    assert float(z) == pytest.approx(3 * np.sin(5.0))
    assert where_recorded(z) == where_recorded(y)


def test_no_reference_cycles():
    gc.collect()
    gc.disable()
    try:
        x = mg.asarray(V)
        loss = mg.sum(mg.tanh(x) ** 2)
        g = mg.grad(loss, x)
        mg.evaluate((loss, g))
        dead = [weakref.ref(loss), weakref.ref(g)]
        del loss, g
        assert [r() for r in dead] == [None, None]
    finally:
        gc.enable()


def test_deep_chains_do_not_recurse():
    t = mg.asarray(0.1)
    x = t
    for _ in range(5000):
        t = mg.sin(t)
    g = mg.grad(t, x)
    h = mg.grad(g, x)
    mg.evaluate((t, g, h))
    close(mg.reference((t, g)), mg.evaluate((t, g)), 1e-12)
    del t, g, h  # freed without recursion


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int8, np.uint32, np.int64, np.bool_]
)
def test_dtypes_enter_as_they_are(dtype):
    a = np.ones(3, dtype)
    assert mg.asarray(a).dtype == dtype and mg.asarray(a).numpy().dtype == dtype
    assert mg.asarray(a.astype(a.dtype.newbyteorder(">"))).dtype == dtype
