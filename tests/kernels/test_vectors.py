"""Traced kernels: loops, tails, reductions, values that cross iterations; every width."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels import native, target
from minigrad.kernels.elementary import maximum, minimum, sigmoid, tanh, where
from minigrad.kernels.vectors import F32, F64, REALS

LANES = (16, 8, 4)
widths = pytest.mark.parametrize("lanes", LANES)
types = pytest.mark.parametrize("real", REALS.values(), ids=REALS)


def address(x):
    return x.ctypes.data


@widths
@types
def test_rows_and_columns_of_any_size(build, lanes, real):
    def affine(k, table, start, stop):
        t = k.table(table)
        for r in k.rows(start, stop):
            x, y = t[0] + r * t[1], t[2] + r * t[3]
            for j in k.lanes(t[5], real):
                k.store(y, j, k.load(x, j) * 2.0 + k.load(t[4], j))

    f = build(affine, lanes)
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65):
        x, b = rng.standard_normal((5, n + 2)), rng.standard_normal(n)
        x, b = x.astype(real.name), b.astype(real.name)
        y = np.full((5, n + 3), 9, real.name)
        table = [address(x), x.strides[0], address(y), y.strides[0], address(b), n]
        table = np.array(table, np.int64)
        f(address(table), 1, 4)
        want = np.full_like(y, 9)
        want[1:4, :n] = x[1:4, :n] * 2 + b
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
        before = y.copy()
        f(address(table), 2, 2)
        f(address(table), 3, 1)
        np.testing.assert_array_equal(y, before)


@widths
@types
def test_an_element_does_not_depend_on_its_place(elementwise, lanes, real):
    # Two products and a sum: which of them is fused must not differ between loop and tail.
    def f(x):
        y = x * 0.3 + 0.1
        return x * y + y * y - tanh(x) * sigmoid(x)

    run = elementwise(f, real, lanes)
    x = np.random.default_rng(1).standard_normal(53).astype(real.name)
    whole = run(x)
    for start in (1, 5, 48):
        np.testing.assert_array_equal(run(x[start:]), whole[start:])
    np.testing.assert_array_equal(np.concatenate([run(x[i : i + 1]) for i in range(53)]), whole)


@types
def test_an_element_does_not_depend_on_the_width(elementwise, real):
    def f(x):
        return tanh(x) * x + sigmoid(x)

    x = np.linspace(-9, 9, 1001)
    a, b, c = (elementwise(f, real, lanes)(x) for lanes in LANES)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(b, c)


@widths
@types
def test_reductions_over_a_row(build, lanes, real):
    def normalise(k, x, y, sums, tops, rows, n):
        for r in k.rows(0, rows):
            row, out = x + r * n * real.bytes, y + r * n * real.bytes
            total = k.var(k.const(0.0, real))
            top = k.var(k.const(-np.inf, real))
            for j in k.lanes(n, real):
                v = k.load(row, j)
                total.value = total.value + k.only(j, v)
                top.value = maximum(top.value, k.only(j, v, -np.inf))
            total, top = total.value.sum(), top.value.largest()
            k.put(sums, r, total)
            k.put(tops, r, top)
            for j in k.lanes(n, real):
                k.store(out, j, k.load(row, j) - total)

    f = build(normalise, lanes)
    for n in (1, 5, 16, 37, 64):
        x = np.random.default_rng(n).integers(-9, 9, (4, n)).astype(real.name)
        if n > 5:
            x[2, 5] = np.nan
        y, sums, tops = np.empty_like(x), np.empty(4, real.name), np.empty(4, real.name)
        f(address(x), address(y), address(sums), address(tops), 4, n)
        np.testing.assert_array_equal(sums, x.sum(1))
        np.testing.assert_array_equal(tops, x.max(1))
        np.testing.assert_array_equal(y, x - x.sum(1, keepdims=True))


@widths
def test_column_sums_and_gathered_rows(build, lanes):
    def accumulate(k, out, x, index, start, stop, n):
        for r in k.rows(start, stop):
            row = x + k.index(index, r) * n * 8
            for j in k.lanes(n, F64):
                k.store(out, j, k.load(out, j) + k.load(row, j))

    x = np.arange(60.0).reshape(4, 15)
    index, out = np.array([3, 0, 3]), np.zeros(15)
    build(accumulate, lanes)(address(out), address(x), address(index), 0, 3, 15)
    np.testing.assert_array_equal(out, x[index].sum(0))


def test_integers_conditions_and_calls(build):
    def triple(k, p, i):
        k.put_index(p, i, k.index(p, i) * 3)

    def drive(k, f, p, n):
        count = k.var(k.integer(0))
        for i in k.rows(0, n, 2):
            with k.when((i % 4).equals(0)):
                k.call(f, p, i)
            count.value = count.value + 1
        k.put_index(p, n - 1, count.value)
        k.put_index(p, 1, k.choose(n > 100, 1, 10 - n // 2))

    x = np.arange(9)
    inner = build(triple, 4)
    build(drive, 4)(inner.address, address(x), 9)
    assert x.tolist() == [0, 6, 2, 3, 12, 5, 6, 7, 5]


@widths
@types
def test_transpose_and_single_elements(build, lanes, real):
    width = lanes * 4 // real.bytes

    def square(k, x, y):
        rows = [k.load(x, i * width, real) for i in range(width)]
        for i, row in enumerate(k.transpose(rows)):
            k.store(y, i * width, row + k.broadcast(x, 3, real))

    x = np.arange(width * width, dtype=real.name).reshape(width, width)
    y = np.empty_like(x)
    build(square, lanes)(address(x), address(y))
    np.testing.assert_array_equal(y, x.T + 3)


numbers = st.floats(width=32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40))
def test_maximum_and_minimum_keep_nan(elementwise, pairs):
    a, b = np.array(pairs, "float32").T
    for lanes in LANES:
        np.testing.assert_array_equal(elementwise(maximum, F32, lanes, 2)(a, b), np.maximum(a, b))
        np.testing.assert_array_equal(elementwise(minimum, F32, lanes, 2)(a, b), np.minimum(a, b))


@widths
@types
def test_arithmetic_is_ieee(elementwise, lanes, real):
    cases = {
        "1/0": (lambda x: 1.0 / x, 0.0, np.inf),
        "inf-inf": (lambda x: x - x, np.inf, np.nan),
        "0*inf": (lambda x: x * 0.0, np.inf, np.nan),
        "nan kept by where": (lambda x: where(x > 0.0, x, -x), np.nan, np.nan),
        "sign of zero": (lambda x: x.k.copysign(x.k.const(1.0, real), x), -0.0, -1.0),
        "product then sum": (lambda x: 1.0 - x * x, 0.5, 0.75),
        "sum of differences": (lambda x: (x * x - 1.0) + x * 2.0, 3.0, 14.0),
        "floor": (lambda x: x.k.whole("floor", x), -1.5, -2.0),
        "abs": (lambda x: x.k.abs(x), -1.5, 1.5),
        "mask": (lambda x: where((x > 0.0) & ~(x >= 2.0), 1.0, x), 1.0, 1.0),
        "differs": (lambda x: where(x.differs(x), 1.0, x), np.nan, 1.0),
    }
    for name, (f, x, want) in cases.items():
        got = elementwise(f, real, lanes)([x])
        np.testing.assert_array_equal(got, np.array([want], real.name), err_msg=name)


def test_mistakes_are_named(build):
    def truth(k, n):
        if n > 3:
            k.put_index(n, 0, 0)

    def mixed(k, x):
        k.store(x, 0, k.load(x, 0, F32) + k.load(x, 0, F64))

    with pytest.raises(TypeError, match=r"k\.when"):
        build(truth, 4)
    with pytest.raises(TypeError, match="float32 meets float64"):
        build(mixed, 4)


def test_the_width_comes_from_the_machine_or_the_variable(monkeypatch):
    monkeypatch.delenv("MINIGRAD_LANES", raising=False)
    assert target.lanes() in LANES
    monkeypatch.setenv("MINIGRAD_LANES", "8")
    assert target.lanes() == 8
    monkeypatch.setenv("MINIGRAD_LANES", "7")
    with pytest.raises(ValueError, match="MINIGRAD_LANES='7'"):
        target.lanes()


@pytest.mark.skipif("+avx512f" not in target.host()[1], reason="the host has no AVX-512")
def test_full_registers_and_fused_arithmetic():
    def axpy(k, x, y, n):
        for j in k.lanes(n, F32):
            k.store(y, j, k.load(x, j) * 2.0 + k.load(y, j))

    library, _ = native.traced("axpy", axpy, 16)
    assembly = library.get_asm_str()
    assert "zmm" in assembly and "vfmadd" in assembly and "vmulps" not in assembly
