"""NumPy's functions on Tensors: recorded with their gradients, or refused; never detached."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.manners import calls
from minigrad.manners.interop import FUNCTIONS, UFUNCS
from minigrad.ops.facts import ELEMENTWISE
from minigrad.testing.examples.domains import DOMAINS
from minigrad.testing.laws import close

A = np.array([[0.5, 1.5, 2.0], [0.25, 3.0, 1.0]])
B = np.array([[1.0, 1.5, -1.0], [2.0, 0.5, 4.0]])
N = np.array([[5, 2, 0], [1, 7, 3]])
ARGUMENTS = {
    np.matmul: [A, B.T],
    **dict.fromkeys([np.bitwise_and, np.bitwise_or, np.bitwise_xor], [N, N[::-1]]),
    **dict.fromkeys([np.left_shift, np.right_shift, np.invert], [N, N[::-1]]),
    **dict.fromkeys([np.isnan, np.isinf, np.isfinite], [np.array([1.0, np.nan, np.inf])]),
}  # fmt: skip


def drawn(ufunc):
    """Operands where the function that it records is smooth; nothing if that is not said."""
    domains = next((f.domains for f in ELEMENTWISE.values() if f.ufunc is ufunc), ())
    return [DOMAINS[d].draw(np.random.default_rng(k), (2, 3)) for k, d in enumerate(domains)]


@pytest.mark.parametrize("ufunc", UFUNCS.keys() - calls.UFUNCS.keys(), ids=lambda f: f.__name__)
def test_ufuncs_record_and_mean_the_same(ufunc):
    arrays = ARGUMENTS.get(ufunc, drawn(ufunc) or [A, B])[: ufunc.nin]
    wanted = ufunc(*arrays)
    for k in range(ufunc.nin):  # a Tensor at any place, arrays at the others
        mixed = [mg.asarray(a) if j == k else a for j, a in enumerate(arrays)]
        found = ufunc(*mixed)
        assert isinstance(found, mg.Tensor)
        assert found.dtype == wanted.dtype
        close(found.numpy(), wanted, 1e-15)


@pytest.mark.parametrize(
    "expression",
    [
        lambda a, t: a * t,
        lambda a, t: a + t,
        lambda a, t: a - t,
        lambda a, t: a / t,
        lambda a, t: a**t,
        lambda a, t: a @ t.T,
        lambda a, t: np.float64(3) * t,
        lambda a, t: np.tanh(t) * a,
        lambda a, t: t * a,
    ],
)
def test_an_array_on_the_left_keeps_the_gradient(expression):
    t = mg.asarray(B)
    found = expression(A, t)
    assert isinstance(found, mg.Tensor)
    close(found.numpy(), expression(A, B), 1e-15)
    assert mg.grad(mg.sum(found), t).numpy().any()


CALLS = {
    "sum": lambda x: np.sum(x, axis=1),
    "sum keepdims": lambda x: np.sum(x, axis=0, keepdims=True),
    "mean": lambda x: np.mean(x),
    "max": lambda x: np.max(x, axis=-1),
    "min": lambda x: np.min(x),
    "argmax": lambda x: np.argmax(x),
    "argmax axis": lambda x: np.argmax(x, axis=0),
    "concatenate": lambda x: np.concatenate([A, x], axis=1),
    "stack": lambda x: np.stack((x, A), 1),
    "where": lambda x: np.where(A > 1, x, 0.0),
    "clip": lambda x: np.clip(x, 0.5, 2),
    "dot": lambda x: np.dot(x, A.T),
    "dot vectors": lambda x: np.dot(x[0], A[1]),
    "dot 3d": lambda x: np.dot(A[None], x.T),
    "dot scalar": lambda x: np.dot(2.0, x),
    "outer": lambda x: np.outer(x, A[0]),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, A),
    "tensordot": lambda x: np.tensordot(x, A, axes=2),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "ravel": lambda x: np.ravel(x),
    "transpose": lambda x: np.transpose(x),
    "transpose axes": lambda x: np.transpose(x[None], (1, 2, 0)),
    "matrix_transpose": lambda x: np.matrix_transpose(x),
    "swapaxes": lambda x: np.swapaxes(x[None], 0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(x[:1]),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "flip": lambda x: np.flip(x, 0),
    "take": lambda x: np.take(x, [0, 5, 5]),
    "take axis": lambda x: np.take(x, np.array([0, 2]), axis=1),
    "floor": lambda x: np.floor(x),
    "sum dtype": lambda x: np.sum(x, dtype=np.float32),
    "prod": lambda x: np.prod(x, axis=1),
    "prod tuple": lambda x: np.prod(x, axis=(0, 1), keepdims=True),
    "var": lambda x: np.var(x, 1),
    "var correction": lambda x: np.var(x, axis=0, correction=1),
    "std": lambda x: np.std(x, axis=1, ddof=1, keepdims=True),
    "any": lambda x: np.any(x > 3),
    "all": lambda x: np.all(x > 0, axis=0),
    "count_nonzero": lambda x: np.count_nonzero(x > 0, axis=1),
    "argmin": lambda x: np.argmin(x),
    "argmin axis": lambda x: np.argmin(x, axis=1, keepdims=True),
    "norm": lambda x: np.linalg.norm(x),
    "norm axis": lambda x: np.linalg.norm(x, 1, axis=0),
    "norm fro": lambda x: np.linalg.norm(x, "fro", keepdims=True),
    "norm int": lambda x: np.linalg.norm(x[0], np.int64(3)),
    "cumsum": lambda x: np.cumsum(x),
    "cumsum axis": lambda x: np.cumsum(x, axis=-1, dtype=np.float32),
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "diff": lambda x: np.diff(x, prepend=0.0),
    "diff twice": lambda x: np.diff(x, 2, axis=1),
    "sort": lambda x: np.sort(x),
    "sort flat": lambda x: np.sort(x, axis=None),
    "argsort": lambda x: np.argsort(x, axis=0, stable=True),
    "searchsorted": lambda x: np.searchsorted(np.array([0.0, 1.0, 2.0]), x, side="right"),
    "nan_to_num": lambda x: np.nan_to_num(x, nan=3.0),
    "round": lambda x: np.round(x),
    "around": lambda x: np.around(x),
    "sinc": lambda x: np.sinc(x),
    "cross": lambda x: np.cross(x, A),
    "diagonal": lambda x: np.diagonal(x, 1),
    "diagonal axes": lambda x: np.diagonal(x[None], axis1=2, axis2=1),
    "trace": lambda x: np.trace(x, offset=-1),
    "trace axes": lambda x: np.trace(x[:, None], 0, 2, 0),
    "tril": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x),
    "split": lambda x: np.split(x, [1, 2], axis=1)[1],
    "take_along_axis": lambda x: np.take_along_axis(x, N[:, :1] % 3, 1),
    "take_along_axis flat": lambda x: np.take_along_axis(x, np.array([5, 0]), None),
    "moveaxis tuple": lambda x: np.moveaxis(x[None], (0, 1), (2, 0)),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x[0], A)[0],
    "meshgrid": lambda x: np.meshgrid(x[0], A[:, 0], indexing="ij")[0],
    "roll": lambda x: np.roll(x, 2),
    "roll axes": lambda x: np.roll(x, (1, -1), axis=(0, 1)),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "repeat": lambda x: np.repeat(x, [2, 0, 1], axis=1),
    "repeat flat": lambda x: np.repeat(x, 2),
    "pad": lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=7.0),
    "pad wrap": lambda x: np.pad(x, 4, mode="wrap"),
    "empty_like": lambda x: np.empty_like(x) * 0,
    "zeros_like": lambda x: np.zeros_like(x),
    "ones_like": lambda x: np.ones_like(x),
    "full_like": lambda x: np.full_like(x, 7),
    "linalg cross": lambda x: np.linalg.cross(x, A),
    "linalg diagonal": lambda x: np.linalg.diagonal(x, offset=1),
    "linalg matmul": lambda x: np.linalg.matmul(x, A.T),
    "linalg outer": lambda x: np.linalg.outer(x[0], A[0]),
    "linalg matrix_transpose": lambda x: np.linalg.matrix_transpose(x),
    "linalg tensordot": lambda x: np.linalg.tensordot(x, A, axes=([0, 1], [0, 1])),
    "linalg trace": lambda x: np.linalg.trace(x),
    "linalg vecdot": lambda x: np.linalg.vecdot(x, A),
    "linalg vector_norm": lambda x: np.linalg.vector_norm(x, axis=1, keepdims=True, ord=3),
}
if hasattr(np, "unstack"):  # NumPy 2.1
    CALLS |= {
        "clip by name": lambda x: np.clip(x, min=0.5, max=2),
        "unstack": lambda x: np.unstack(x, axis=1)[2],
        "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
        "cumulative_prod": lambda x: np.cumulative_prod(x, axis=0),
    }


@pytest.mark.parametrize("name", CALLS)
def test_functions_record_and_mean_the_same(name):
    found, wanted = CALLS[name](mg.asarray(B)), CALLS[name](B)
    assert isinstance(found, mg.Tensor)
    assert found.dtype == wanted.dtype
    close(found.numpy(), wanted, 1e-15)


def test_every_function_of_the_table_is_tried():
    text = inspect.getsource(inspect.getmodule(test_every_function_of_the_table_is_tried))
    here = FUNCTIONS.keys() - calls.FUNCTIONS.keys()  # those have rows in functions/
    named = {f: f"{f.__module__.replace('numpy', 'np')}.{f.__name__}(" for f in here}
    missing = [name for name in named.values() if name not in text and name != "np.astype("]
    assert not [m for m in missing if "linalg" not in m]  # tests/linalg tries those


METHODS = {
    "add reduce": lambda x: np.add.reduce(x), "add reduce axis": lambda x: np.add.reduce(x, axis=1),
    "multiply reduce": lambda x: np.multiply.reduce(x, axis=None, keepdims=True),
    "maximum reduce": lambda x: np.maximum.reduce(x), "minimum reduce": lambda x: (
        np.minimum.reduce(x, axis=(0, 1))), "fmax reduce": lambda x: np.fmax.reduce(x),
    "fmin reduce": lambda x: np.fmin.reduce(x), "logaddexp reduce": lambda x: (
        np.logaddexp.reduce(x, axis=1)), "logical_and reduce": lambda x: np.logical_and.reduce(x),
    "logical_or reduce": lambda x: np.logical_or.reduce(x > 1), "add accumulate": lambda x: (
        np.add.accumulate(x, axis=1)), "multiply accumulate": lambda x: np.multiply.accumulate(x),
    "maximum accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "minimum accumulate": lambda x: np.minimum.accumulate(x),
    "logaddexp accumulate": lambda x: np.logaddexp.accumulate(x, axis=1),
    "subtract outer": lambda x: np.subtract.outer(x, A), "maximum outer": lambda x: (
        np.maximum.outer(A[0], x)),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_ufuncs(name):
    found, wanted = METHODS[name](mg.asarray(B)), METHODS[name](B)
    assert isinstance(found, mg.Tensor) and found.dtype == wanted.dtype
    close(found.numpy(), wanted, 1e-15)


def test_every_method_of_a_ufunc_is_tried():
    assert {f"{u.__name__} {m}" for u, m in calls.UFUNC_METHODS} <= set(METHODS)


def test_shape_questions_do_not_evaluate():
    t = mg.asarray(A) * 2
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)
    assert np.result_type(t, np.float32) == np.float64 and np.can_cast(t, np.float64)
    assert not np.can_cast(t, np.float32)
    assert "multiply" in repr(t)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.gcd(t, 2), "gcd"),
        (lambda t: np.histogram(t), "histogram"),
        (lambda t: np.sort(t, order="x"), "sort"),
        (lambda t: np.std(t, mean=1.0), "std"),
        (lambda t: np.pad(t, 1, mode="edge", end_values=0), "pad"),
        (lambda t: np.nan_to_num(t, copy=False), "nan_to_num"),
        (lambda t: np.linalg.norm(t[None], 2, axis=(0, 1, 2)), "norm: ord=2 over 3 axes"),
        (lambda t: np.add.reduce(t, where=A > 1), "add.reduce"),
        (lambda t: np.subtract.reduce(t), "subtract.reduce"),
        (lambda t: np.add.at(t, 0, 1.0), "add.at"),
        (lambda t: np.put_along_axis(t, N, 1.0, 1), r"writes into .* mg\.put_along_axis"),
        (lambda t: np.fill_diagonal(t, 1.0), r"writes into .* mg\.where"),
        (lambda t: np.copyto(np.zeros((2, 3)), t), "copyto"),
        (lambda t: np.add(t, 1, dtype=np.float32), "dtype"),
        (lambda t: np.max(t, initial=3.0), "initial"),
        (lambda t: np.exp(t, where=A > 1), "where"),
        (lambda t: np.add(A, t, out=np.zeros((2, 3))), "out="),
        (lambda t: np.sum(t, initial=3.0), "initial"),
        (lambda t: np.linalg.tensorinv(t), "tensorinv"),
    ],
)
def test_what_is_not_recorded_is_refused(call, name):
    with pytest.raises(TypeError, match=name) as caught:
        call(mg.asarray(A))
    assert "t.numpy()" in str(caught.value) and "mg.evaluate" in str(caught.value)


def test_an_array_does_not_swallow_a_tensor_in_place():
    a = A.copy()
    with pytest.raises(TypeError, match="a = a [+] t"):
        a += mg.asarray(B)
    np.testing.assert_array_equal(a, A)


def test_asarray_is_the_way_out():
    t = mg.asarray(A) * 2
    np.testing.assert_array_equal(np.asarray(t), 2 * A)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    np.testing.assert_allclose(t, 2 * A)
    copy = np.array(t)
    copy[:] = 0  # a fresh array, and the Tensor keeps its value
    assert t.numpy().any()
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, dtype=np.float32, copy=False)


@pytest.mark.parametrize("f", [
    np.mean, np.sum, np.std, np.max, np.linalg.norm, np.cumsum, np.average, np.median,
    lambda xs: np.clip(xs, 0, 1), lambda xs: np.full(2, xs[0]), lambda xs: np.r_[xs[0], 1.0],
])  # fmt: skip
def test_a_list_of_tensors_is_not_read_in_silence(f):
    """Regression: np.mean([x, x * x]) * x lost the gradient of the mean."""
    x = mg.asarray(3.0)
    with pytest.raises(TypeError, match=r"^np\..*inside a list.*lose its gradient.*mg.asarray"):
        f([x, x * x])
    joined = mg.mean(mg.asarray([x, x * x])) * x
    assert mg.grad(joined, x).item() == pytest.approx(6.0 + 10.5)


@pytest.mark.parametrize("f", [
    lambda t: np.array([t, 1.0]), lambda t: np.asarray([[t], [t]]), lambda t: np.tanh([t, 1.0]),
    lambda t: np.array([t, t], dtype=np.float32),
])  # fmt: skip
def test_a_list_of_numbers_that_numpy_reads_warns(f):
    with pytest.warns(UserWarning, match=r"without their gradients: write mg\.stack"):
        f(mg.asarray(3.0) * 2)


def test_reading_numbers_one_by_one_does_not_warn():
    t = mg.asarray(3.0) * 2
    assert [float(np.asarray(t)), float(t), np.array(t).item(), np.array([t.item(), 1.0])[0]]
    assert [f(t) for f in (np.asarray, np.array, abs)]
    for x in (t, t, t):
        np.asarray(x)
        float(x)
    np.testing.assert_array_equal([t, t], [6.0, 6.0])
    a = np.zeros(2)
    a[0] = t
    assert a[0] == 6.0 and np.full(2, 1.0).tolist() == [1.0, 1.0]


def test_reading_by_the_user_and_by_tests_stays_possible():
    x = mg.asarray([1.0, 2.0])
    np.testing.assert_array_equal(x, [1.0, 2.0])
    np.testing.assert_array_equal([x, x], [[1.0, 2.0]] * 2)
    assert np.array([x, x]).tolist() == [[1.0, 2.0]] * 2
