"""NumPy's functions on Tensors: recorded with their gradients, or refused; never silently
detached."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.interop import FUNCTIONS, UFUNCS

from .laws import close

A = np.array([[0.5, 1.5, 2.0], [0.25, 3.0, 1.0]])
B = np.array([[1.0, 1.5, -1.0], [2.0, 0.5, 4.0]])
TRUTH = {np.logical_and, np.logical_or, np.logical_not}


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_ufuncs_record_and_mean_the_same(ufunc):
    arrays = [A, B.T if ufunc is np.matmul else B][: ufunc.nin]
    if ufunc is np.power:
        arrays[1] = np.abs(B)
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
    "clip by name": lambda x: np.clip(x, min=0.5, max=2),
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
    "zeros_like": lambda x: np.zeros_like(x),
    "ones_like": lambda x: np.ones_like(x),
    "full_like": lambda x: np.full_like(x, 7),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_record_and_mean_the_same(name):
    found, wanted = CALLS[name](mg.asarray(B)), CALLS[name](B)
    assert isinstance(found, mg.Tensor)
    assert found.dtype == wanted.dtype
    close(found.numpy(), wanted, 1e-15)


def test_every_function_of_the_table_is_tried():
    text = inspect.getsource(inspect.getmodule(test_every_function_of_the_table_is_tried))
    missing = [
        f.__name__ for f in FUNCTIONS if f"np.{f.__name__}(" not in text and f.__name__ != "astype"
    ]
    assert not missing


def test_shape_questions_do_not_evaluate():
    t = mg.asarray(A) * 2
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)
    assert "multiply" in repr(t)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.floor(t), "floor"),
        (lambda t: np.median(t), "median"),
        (lambda t: np.sort(t), "sort"),
        (lambda t: np.add.reduce(t), "add.reduce"),
        (lambda t: np.multiply.outer(t, A), "multiply.outer"),
        (lambda t: np.linalg.norm(t), "norm"),
        (lambda t: np.copyto(np.zeros((2, 3)), t), "copyto"),
        (lambda t: np.add(t, 1, dtype=np.float32), "dtype"),
        (lambda t: np.sum(t, dtype=np.float32), "dtype"),
        (lambda t: np.exp(t, where=A > 1), "where"),
        (lambda t: np.add(A, t, out=np.zeros((2, 3))), "out="),
        (lambda t: np.sum(t, initial=3.0), "initial"),
        (lambda t: np.linalg.inv(t), "inv"),
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
