"""Running and ranking along an axis: against NumPy's accumulate and its writing in place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import check_grads
from minigrad.testing.laws import close
from tests.ops.rows import each_row

RNG = np.random.default_rng(3)
SPECIAL = st.sampled_from([0.0, -0.0, 1.0, 1.0, -2.5, 700.0, -800.0, np.inf, -np.inf, np.nan])
ARRAYS = hnp.arrays(float, hnp.array_shapes(max_dims=3, min_side=0, max_side=4), elements=SPECIAL)
RUNNING = {
    "cummax": np.maximum.accumulate, "cummin": np.minimum.accumulate,
    "logcumsumexp": np.logaddexp.accumulate,
}  # fmt: skip


@pytest.mark.parametrize("name", RUNNING)
@given(a=ARRAYS, data=st.data())
def test_running_is_numpys_accumulate(name, a, data):
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    with np.errstate(all="ignore"):
        wanted = RUNNING[name](a, axis=axis)
    close(getattr(mg, name)(a, axis=axis).numpy(), wanted, 1e-14)


@pytest.mark.parametrize("name", RUNNING)
def test_running_keeps_dtypes_and_derivatives(name):
    f = getattr(mg, name)
    a = RNG.permutation(np.linspace(-2, 3, 12)).reshape(3, 4)
    assert f(a.astype(np.float32)).dtype == np.float32
    for axis in (0, -1):
        assert check_grads(lambda x, k=axis: f(x, axis=k), a, order=2).ok
    each_row(f, RNG.permutation(np.linspace(-2, 3, 15)).reshape(5, 3))
    with pytest.raises(ValueError, match=f"{name}: needs at least one axis"):
        f(1.0)


def test_running_integers():
    a = np.array([[3, 1, 5], [-(2**62), 2, 0]])
    np.testing.assert_array_equal(mg.cummax(a, axis=1).numpy(), np.maximum.accumulate(a, axis=1))
    np.testing.assert_array_equal(mg.cummin(a, axis=0).numpy(), np.minimum.accumulate(a, axis=0))
    np.testing.assert_array_equal(mg.cummin(a > 1).numpy(), np.minimum.accumulate(a > 1, axis=-1))


def test_the_last_of_equal_elements_gets_the_gradient():
    x = mg.asarray([2.0, 2.0, 1.0, 3.0])
    g = mg.grad(mg.sum(mg.cummax(x) * mg.asarray([1.0, 10.0, 100.0, 1000.0])), x)
    assert g.tolist() == [1.0, 110.0, 0.0, 1000.0]


def test_logcumsumexp_of_nothing_has_gradient_zero():
    x = mg.asarray([-np.inf, -np.inf, 1.0, 800.0])
    y = mg.logcumsumexp(x)
    assert y.tolist() == [-np.inf, -np.inf, 1.0, 800.0]
    g = mg.grad(mg.sum(mg.where(mg.isfinite(y), y, 0.0)), x)
    assert g.tolist() == [0.0, 0.0, 1.0, 1.0]


# -- ranking ---------------------------------------------------------------------------------------


@given(a=ARRAYS, data=st.data(), largest=st.booleans())
def test_topk_is_the_head_of_the_sorted(a, data, largest):
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    k = data.draw(st.integers(0, a.shape[axis]))
    values, places = mg.topk(a, k, axis=axis, largest=largest)
    order = np.sort(a, axis=axis)
    order = np.flip(order, axis) if largest else order
    close(values.numpy(), np.take(order, np.arange(k), axis=axis), 0)
    assert places.dtype == np.int64
    close(np.take_along_axis(a, places.numpy(), axis), values.numpy(), 0)


def test_topk_has_derivatives_and_refuses():
    a = RNG.permutation(np.linspace(-2, 3, 12)).reshape(3, 4)
    assert check_grads(lambda x: mg.topk(x, 2, axis=0)[0] ** 3, a, order=2).ok
    for k in (-1, 5):
        with pytest.raises(ValueError, match=r"topk: axis -1 .* holds no"):
            mg.topk(a, k)


# -- writing at positions --------------------------------------------------------------------------


def written(a, index, values, axis):
    a = a.copy()
    np.put_along_axis(a, index, values, axis)
    return a


def added(a, index, values, axis):
    a = a.copy()
    where = list(np.indices(np.broadcast_shapes(index.shape, (1,) * a.ndim), sparse=True))
    where[axis] = index
    np.add.at(a, tuple(where), values)
    return a


@pytest.mark.parametrize(("f", "numpy"), [(mg.put_along_axis, written), (mg.add_along_axis, added)])
@given(data=st.data())
def test_writing_is_numpys_in_place(f, numpy, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n, count = shape[axis], data.draw(st.integers(0, 5))
    places = list(shape)
    places[axis] = count
    index = data.draw(hnp.arrays(int, tuple(places), elements=st.integers(-n, n - 1)))
    a, values = RNG.standard_normal(shape), RNG.standard_normal(places)
    t = mg.asarray(a)
    close(f(t, index, values, axis=axis).numpy(), numpy(a, index, values, axis), 1e-15)
    close(f(t, mg.asarray(index) * 1, 7, axis=axis).numpy(), numpy(a, index, 7.0, axis), 1e-15)


def test_writing_has_derivatives_of_what_counts():
    a, values = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 3))
    index = np.array([[0, 2, 0], [1, 1, 1], [-1, 3, 2]])
    for f in (mg.put_along_axis, mg.add_along_axis):
        assert check_grads(lambda x, v, f=f: f(x, index, v, axis=1) ** 2, a, values, order=2).ok
    v = mg.asarray(values)
    lost = mg.grad(mg.sum(mg.put_along_axis(a, index, v, axis=1)), v).numpy()
    np.testing.assert_array_equal(lost, [[0, 1, 1], [0, 0, 1], [0, 1, 1]])


def test_writing_into_the_flat_array_and_what_does_not_fit():
    a = np.arange(6.0).reshape(2, 3)
    found = mg.put_along_axis(a, [5, 0], [9.0, 8.0], axis=None).numpy()
    assert found.tolist() == [[8, 1, 2], [3, 4, 9]]
    with pytest.raises(ValueError, match="put_along_axis: the indices are integers"):
        mg.put_along_axis(a, [0], 1.0, axis=1)
    with pytest.raises(IndexError, match="put_along_axis: row 3"):
        mg.put_along_axis(a, [[3]], 1.0, axis=1)
    with pytest.raises(ValueError, match="add_along_axis"):
        mg.add_along_axis(a, [[0], [1]], np.ones((2, 2)), axis=1)
