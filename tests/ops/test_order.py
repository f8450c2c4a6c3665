"""Sorting and searching: NumPy's order, gradients that go back to where values came from."""

import itertools

import numpy as np
import pytest

import minigrad as mg

from .rows import each_row

inf, nan = np.inf, np.nan
DTYPES = [np.float64, np.float32, np.int64, np.int8, np.uint8, np.bool_]


def descending(a, axis):
    """Positions that sort downwards, equal elements in their order: by pairs, no sort of NumPy's.
    NaN is larger than all."""
    flat = np.moveaxis(a, axis, -1)
    out = np.empty(flat.shape, np.int64)
    for at in np.ndindex(*flat.shape[:-1]):
        v = flat[at]
        top = [inf if np.isnan(x) else 0 for x in v.astype(float)]
        key = [(t, 0 if t else float(x)) for t, x in zip(top, v, strict=True)]
        out[at] = sorted(range(len(v)), key=lambda k, key=key: (-key[k][0], -key[k][1], k))
    return np.moveaxis(out, -1, axis)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_order_means_what_numpy_means(dtype):
    rng = np.random.default_rng(0)
    for shape in [(1,), (5,), (0,), (2, 4), (3, 0), (0, 3), (2, 3, 4)]:
        a = rng.integers(0, 4, shape).astype(dtype)
        if dtype == np.float64:
            a = np.where(rng.random(shape) < 0.2, nan, a)
        for axis in range(-a.ndim, a.ndim):
            up = mg.argsort(a, axis=axis).numpy()
            assert up.dtype == np.int64
            np.testing.assert_array_equal(up, np.argsort(a, axis=axis, kind="stable"))
            down = mg.argsort(a, axis=axis, descending=True).numpy()
            np.testing.assert_array_equal(down, descending(a, axis))
            s = mg.sort(a, axis=axis)
            assert s.dtype == a.dtype
            np.testing.assert_array_equal(s.numpy(), np.sort(a, axis=axis))
            falling = mg.sort(a, axis=axis, descending=True, stable=False)
            np.testing.assert_array_equal(
                falling.numpy(), np.take_along_axis(a, descending(a, axis), axis)
            )
            np.testing.assert_array_equal(mg.reference(falling), falling.numpy())


def test_the_smallest_unsigned_number_sorts_first():
    a = np.array([0, 255, 1], np.uint8)
    assert mg.sort(a).tolist() == [0, 1, 255]
    assert mg.sort(a, descending=True).tolist() == [255, 1, 0]


def test_gradients_go_back():
    x = mg.asarray([2.0, 1.0, 2.0])
    w = np.array([1.0, 10.0, 100.0])
    assert mg.grad(mg.sum(mg.sort(x) * w), x).tolist() == [10.0, 1.0, 100.0]
    assert mg.grad(mg.sum(mg.sort(x, descending=True) * w), x).tolist() == [1.0, 100.0, 10.0]
    y = mg.sum(mg.sort(x) ** 3 * w)
    assert mg.grad(y, x).tolist() == [120.0, 3.0, 1200.0]
    assert mg.hessian(y, x).tolist() == np.diag([120.0, 6.0, 1200.0]).tolist()
    empty = mg.asarray(np.zeros((2, 0)))
    assert mg.grad(mg.sum(mg.sort(empty)), empty).numpy().shape == (2, 0)
    single = mg.asarray(np.float32([2.0, 1.0]))
    assert mg.grad(mg.sum(mg.sort(single)), single).dtype == np.float32


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("falling", [False, True])
def test_derivatives_are_torchs(axis, falling):
    from ..oracle.test_torch import compare, torch

    a = np.random.default_rng(1).standard_normal((3, 4))
    compare(
        lambda x: mg.sort(x, axis=axis, descending=falling) ** 2,
        lambda x: torch.sort(x, dim=axis, descending=falling, stable=True).values ** 2,
        a, tol2=1e-8,
    )  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_searching_means_what_numpy_means(side):
    table = np.array([0.0, 1.0, 1.0, 2.5])
    for v in (1.0, [1.0, nan, -inf, 3.0], [[0.0, 2.5]], np.zeros((0, 2))):
        found = mg.searchsorted(table, v, side=side)
        wanted = np.searchsorted(table, v, side=side)
        assert found.dtype == np.int64 and found.shape == np.shape(v)
        np.testing.assert_array_equal(found.numpy(), wanted)
    mixed = mg.searchsorted(np.array([1, 2, 3]), np.float32([1.5]), side=side)
    assert mixed.tolist() == [1]
    assert mg.searchsorted(np.zeros(0), [1.0], side=side).tolist() == [0]
    unsorted = table[[3, 0, 2, 1]]
    by = mg.searchsorted(unsorted, [1.0, 2.0], side=side, sorter=mg.argsort(unsorted))
    assert by.tolist() == np.searchsorted(table, [1.0, 2.0], side=side).tolist()


PER_ROW = {
    "sort": lambda x: mg.sort(x, axis=0),
    "sort down": lambda x: mg.sort(x, descending=True),
    "argsort": mg.argsort,
    "argsort down": lambda x: mg.argsort(x, axis=0, descending=True),
    "searchsorted": lambda x: mg.searchsorted(mg.sort(x[0]), x[1]),
    "sorter": lambda x: mg.searchsorted(x[0], x, sorter=mg.argsort(x[0]), side="right"),
}


@pytest.mark.parametrize("name", PER_ROW)
def test_rows_at_once_are_rows_one_by_one(name):
    each_row(PER_ROW[name], np.random.default_rng(3).standard_normal((4, 2, 3)))


def test_searching_with_rows_on_either_side():
    rng = np.random.default_rng(4)
    tables, v = np.sort(rng.standard_normal((5, 4))), rng.standard_normal((5, 2, 3))
    for axes in itertools.product((0, None), repeat=2):
        if axes == (None, None):
            continue
        args = [a if at == 0 else a[0] for a, at in zip((tables, v), axes, strict=True)]
        found = mg.vmap(mg.searchsorted, in_axes=axes)(*map(mg.asarray, args)).numpy()
        for k in range(5):
            row = [a[k] if at == 0 else a for a, at in zip(args, axes, strict=True)]
            np.testing.assert_array_equal(found[k], np.searchsorted(*row))


A = np.arange(6.0).reshape(2, 3)
ERRORS = {
    "axis": (lambda: mg.sort(A, axis=2), ValueError, "^sort: axis 2 is out of range"),
    "0-d": (lambda: mg.sort(1.0), ValueError, r"axis -1 is out of range for shape \(\)"),
    "axes": (lambda: mg.argsort(A, axis=(0, 1)), TypeError, "argsort: sorts along one axis"),
    "none": (lambda: mg.sort(A, axis=None), TypeError, "sort: sorts along one axis.* None"),
    "matrix": (lambda: mg.searchsorted(A, 1.0), ValueError, r"searchsorted\(.*must be a vector"),
    "side": (lambda: mg.searchsorted(A[0], 1.0, side="in"), ValueError, "side is 'left' or"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_call_is_refused_in_words(case):
    call, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words):
        call()
