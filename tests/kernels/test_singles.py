"""Single numbers between blocks: the kernels agree with NumPy, and are what a step runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.kernels import singles
from minigrad.kernels.glue import address
from tests.counting import examples

NUMPY = {
    "x + y": np.add, "x - y": np.subtract, "x * y": np.multiply, "x / y": np.divide,
    "-x": np.negative, "1 / x": lambda x: 1 / x, "x * x": np.square, "sqrt(x)": np.sqrt,
    "exp(x)": np.exp, "log(x)": np.log, "cos(x)": np.cos, "abs(x)": np.abs, "pow(x, y)": np.power,
    "maximum(x, y)": np.maximum, "minimum(x, y)": np.minimum,
}  # fmt: skip
EXACT = {"x + y", "x - y", "x * y", "x / y", "-x", "1 / x", "x * x", "sqrt(x)", "abs(x)"} | {
    "maximum(x, y)", "minimum(x, y)",
}  # fmt: skip
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]) | st.floats(-40, 40)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def run(text, operands, dtype):
    """By the kernel: one call, as a list of kernels would make it."""
    name, number = singles.call_of(text, [x.dtype.name for x in operands], np.dtype(dtype).name)
    out = np.empty(1, dtype)
    cells = [x.reshape(1) for x in (*operands, operands[0])]
    item = np.array([number, address(out), address(cells[0]), address(cells[1])])
    getattr(singles.kernels(), name).run(address(item), 0, 1)
    return out[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(text=st.sampled_from(singles.FLOATS), x=NUMBERS, y=NUMBERS)
@settings(max_examples=examples(200))
def test_floats_as_in_numpy(dtype, text, x, y):
    operands = [np.asarray(v, dtype) for v in ((x, y) if "y" in text else (x,))]
    with np.errstate(all="ignore"):
        right = NUMPY[text](*operands)
    found = run(text, operands, dtype)
    if text in EXACT:
        np.testing.assert_array_equal(found, right)
        assert np.signbit(found) == np.signbit(right) or np.isnan(right) or "imum" in text
    else:
        np.testing.assert_allclose(found, right, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


@given(text=st.sampled_from(list(singles.INTEGERS)), x=INTEGERS, y=INTEGERS)
@settings(max_examples=examples(200))
def test_integers_wrap_as_in_numpy(text, x, y):
    operands = [np.array([v]) for v in ((x, y) if "y" in text else (x,))]
    assert run(text, operands, np.int64) == NUMPY[text](*operands)[0]


@pytest.mark.parametrize(("old", "new"), singles.CASTS)
@given(x=NUMBERS, k=INTEGERS)
@settings(max_examples=examples(50))
def test_casts_as_in_numpy(old, new, x, k):
    value = np.asarray(k if old == "int64" else x, old)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run("astype", [value], new), value.astype(new))


def test_what_has_no_kernel():
    assert singles.call_of("x + y", ["float64", "float32"], "float64") is None
    assert singles.call_of("x / y", ["int64", "int64"], "int64") is None
    assert singles.call_of("floor(x)", ["float64"], "float64") is None
    assert singles.call_of("astype", ["float64"], "int64") is None
    assert singles.call_of("x + y", ["bool", "bool"], "bool") is None


def test_a_training_step_has_no_step_of_python():
    cell, optimizer = rc.LSTM(3, 4), mg.optim.adam(0.01)

    def train(p, state, x, target):
        _, ys = rc.unroll(cell, p, x)
        loss = mg.mean((ys - target) ** 2)
        p, state = optimizer.update(p, mg.grad(loss, p), state)
        return loss, p, state

    p = {k: v.astype(np.float32) for k, v in cell.init(0).items()}
    x, target = np.ones((5, 2, 3), np.float32), np.ones((5, 2, 4), np.float32)
    args = p, optimizer.init(p), x, target
    f = mg.function(train)
    assert f.explain(*args).endswith("called through one native list")
    for found, right in zip(
        mg.pytrees.tree_leaves(f(*args)),
        mg.pytrees.tree_leaves(mg.reference(train(*mg.tensors(args)))), strict=True,
    ):  # fmt: skip
        assert found.dtype == np.asarray(right).dtype
        np.testing.assert_allclose(found, right, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 3, 2**40])
def test_integers_floats_and_a_block_in_one_graph(count):
    """Numbers that come from a block, from an argument, from a constant, and go into NumPy."""

    def f(x, count):
        total = mg.sum(x * x)
        rate = total / (count + 1).astype("float64") ** 0.5
        return total, count * 2 - 1, rate, x * rate, mg.cumulative_sum(mg.reshape(rate, (1,)) + x)

    x = np.linspace(-1, 1, 7)
    g = mg.function(f)
    for _ in range(2):
        found = g(x, np.asarray(count))
        right = mg.reference(f(*mg.tensors((x, np.asarray(count)))))
        for a, b in zip(found, right, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_a_number_of_shape_1_1_keeps_its_shape():
    g = mg.function(lambda x, y: (x + y, mg.reshape(x * y, ())))
    first, second = g(np.full((1, 1), 2.0), np.full((1, 1), 3.0))
    assert first.shape == (1, 1) and second.shape == ()
    assert first[0, 0] == 5.0 and second == 6.0
