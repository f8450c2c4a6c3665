"""Packed products against NumPy, and their bits against any grouping of rows and columns."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels import cache, gemm
from minigrad.kernels.gemm_kernels import DEPTH

from ..counting import examples

LANES = (16, 8, 4)
widths = pytest.mark.parametrize("lanes", LANES)
dtypes = pytest.mark.parametrize("dtype", ("float32", "float64"))
size = st.integers(0, 70)


def address(x):
    return x.ctypes.data


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def pack(b, lanes, transposed=False):
    depth, n = b.shape
    # NaN beyond what is packed, so that reading it would show.
    packed = np.full(gemm.packed_size(depth, n, b.itemsize, lanes) + 1, np.nan, b.dtype)
    kernels = gemm.kernels(b.dtype.name, lanes)
    if transposed:
        b = np.ascontiguousarray(b.T)
        kernels.pack_transposed(address(b), b.shape[1] * b.itemsize, depth, n, address(packed))
    else:
        kernels.pack(address(b), n * b.itemsize, depth, n, address(packed))
    return packed


def product(a, b, cin, lanes, **kwargs):
    """cin + a @ b; `cin` of one row is repeated."""
    (m, depth), n = a.shape, b.shape[1]
    c = np.full((m, n + 3), 7, a.dtype)
    ldcin = 0 if cin.ndim == 1 else n * a.itemsize
    packed = pack(b, lanes, **kwargs)
    gemm.kernels(a.dtype.name, lanes).product(
        address(a), depth * a.itemsize, address(packed), address(c), c.strides[0],
        address(cin), ldcin, m, depth, n,
    )  # fmt: skip
    assert (c[:, n:] == 7).all()
    return c[:, :n]


@widths
@dtypes
@settings(max_examples=examples(60), deadline=None)
@given(m=size, depth=size, n=st.integers(0, 150), seed=st.integers(0, 9))
@example(m=0, depth=3, n=3, seed=0)
@example(m=13, depth=0, n=5, seed=0)
@example(m=8, depth=1, n=0, seed=0)
@example(m=15, depth=64, n=64, seed=0)
def test_product(dtype, lanes, m, depth, n, seed):
    rng = np.random.default_rng(seed)
    a, b = normal(rng, dtype, m, depth), normal(rng, dtype, depth, n)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    for cin in (normal(rng, dtype, n), normal(rng, dtype, m, n)):
        got = product(a, b, cin, lanes)
        want = a.astype(float) @ b + cin
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(product(a, b, cin, lanes, transposed=True), got)


@widths
@dtypes
@pytest.mark.parametrize("more", [0, 1, 37])
def test_a_deep_product_goes_on_where_it_stopped(dtype, lanes, more):
    rng = np.random.default_rng(more)
    m, depth, n = 5, 2 * DEPTH + more, 19
    a, b, c = normal(rng, dtype, m, depth), normal(rng, dtype, depth, n), normal(rng, dtype, m, n)
    half = product(a[:, :DEPTH].copy(), b[:DEPTH], c, lanes)
    np.testing.assert_array_equal(
        product(a, b, c, lanes), product(a[:, DEPTH:].copy(), b[DEPTH:], half.copy(), lanes)
    )
    np.testing.assert_allclose(
        half, a[:, :DEPTH].astype(float) @ b[:DEPTH] + c, atol=1e-3 if dtype == "float32" else 1e-10
    )


@dtypes
def test_bits_do_not_depend_on_grouping_or_width(dtype):
    rng = np.random.default_rng(0)
    a, b, c = normal(rng, dtype, 23, 37), normal(rng, dtype, 37, 101), normal(rng, dtype, 101)
    whole = product(a, b, c, 16)
    for lanes in LANES:
        for rows in (1, 3, 8):
            parts = [product(a[r : r + rows], b, c, lanes) for r in range(0, 23, rows)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)
        left = product(a, np.ascontiguousarray(b[:, :40]), c[:40].copy(), lanes)
        np.testing.assert_array_equal(left, whole[:, :40])


def test_accumulates_in_place_and_keeps_nan():
    rng = np.random.default_rng(0)
    a, b = normal(rng, "float32", 9, 4), normal(rng, "float32", 4, 20)
    a[3, 1], b[2, 5] = np.nan, np.inf
    c = normal(rng, "float32", 9, 20)
    with np.errstate(all="ignore"):
        want = c + a @ b
    packed, row = pack(b, 16), 20 * 4
    gemm.kernels("float32", 16).product(
        address(a), 16, address(packed), address(c), row, address(c), row, 9, 4, 20
    )
    np.testing.assert_allclose(c, want, rtol=1e-5, atol=1e-5)
    assert np.isnan(c[3]).all() and not np.isfinite(c[:, 5]).any()


def weight_gradient(a, d, w, sums, lanes, ranges, win=None):
    (m, rows), n, item = a.shape, d.shape[1], a.itemsize
    win, ldwin = (w, w.strides[0]) if win is None else (win, 0)
    for start, stop in ranges:
        work = np.full(gemm.work_size(rows, stop - start, item, lanes), np.nan, a.dtype)
        gemm.kernels(a.dtype.name, lanes).weight_gradient(
            address(a), rows * item, address(d), n * item, m, rows, start, stop,
            address(w), w.strides[0], address(win), ldwin,
            0 if sums is None else address(sums), address(work),
        )  # fmt: skip


@widths
@dtypes
@pytest.mark.parametrize("m", (0, 1, 256, 700))
@pytest.mark.parametrize("rows, n", ((1, 1), (13, 50), (64, 97)))
def test_weight_gradient(dtype, lanes, m, rows, n):
    rng = np.random.default_rng(0)
    a, d = normal(rng, dtype, m, rows), normal(rng, dtype, m, n)
    tolerance = 1e-3 if dtype == "float32" else 1e-11
    w, sums = np.full((rows, n), np.nan, dtype), np.zeros(n, dtype)
    weight_gradient(a, d, w, sums, lanes, [(0, n)], win=np.zeros(n, dtype))
    np.testing.assert_allclose(w, a.T.astype(float) @ d, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(sums, d.sum(0, dtype=float), rtol=tolerance, atol=tolerance)
    split, split_sums = np.zeros_like(w), np.zeros_like(sums)
    weight_gradient(a, d, split, split_sums, lanes, [(n // 3, n), (0, n // 3)])
    np.testing.assert_array_equal(split, w)
    np.testing.assert_array_equal(split_sums, sums)
    weight_gradient(a, d, w, None, lanes, [(0, n)])
    np.testing.assert_allclose(w, 2 * split, rtol=tolerance, atol=tolerance)


@dtypes
def test_gather(dtype):
    source = np.arange(40, dtype=dtype).reshape(8, 5)
    index, to = np.array([2, -1, 0, 3]), np.full((4, 6), 9, dtype)
    row = source[1:]  # so that -1 is a row before it
    item = to.itemsize
    gemm.kernels(dtype).gather(
        address(to), 6 * item, address(row), 5 * item, address(index), 1, 4, 5
    )
    assert (to[0] == 9).all() and (to[:, 5] == 9).all()
    np.testing.assert_array_equal(to[1:, :5], source[index[1:] + 1])


def test_called_by_address_from_a_traced_kernel(own_cache):
    source = """
from minigrad.kernels.native import kernel

@kernel
def traced(k, table, start, stop):
    t = k.table(table)
    for _ in k.rows(start, stop):
        k.call(*(t[i] for i in range(11)))
"""
    module = cache.load(source, "calls")
    a, b, c = np.ones((2, 3), "float32"), np.ones((3, 4), "float32"), np.zeros((2, 4), "float32")
    kernels, packed = gemm.kernels("float32"), np.zeros(200, "float32")
    kernels.pack(address(b), 16, 3, 4, address(packed))
    args = [address(a), 12, address(packed), address(c), 16, address(c), 16, 2, 3, 4]
    table = np.array([kernels.product.address, *args], np.int64)
    module.traced(address(table), 0, 5)
    np.testing.assert_array_equal(c, np.full((2, 4), 15))
