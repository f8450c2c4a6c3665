"""Tensors from arrays, numbers and Tensors: creation functions against NumPy's, casts, DLPack."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.laws import close

INT8 = np.array([[1, 2], [3, 4]], np.int8)
CREATED = {
    "empty": (lambda: mg.empty((2, 0)), lambda: np.empty((2, 0))),
    "empty dtype": (lambda: mg.empty(3, dtype=mg.int32), lambda: np.zeros(3, np.int32)),
    "empty_like": (lambda: mg.empty_like(INT8), lambda: np.zeros_like(INT8)),
    "zeros none": (lambda: mg.zeros((2, 1), dtype=None), lambda: np.zeros((2, 1))),
    "ones device": (lambda: mg.ones(2, device="cpu"), lambda: np.ones(2)),
    "full int": (lambda: mg.full((2, 2), 7), lambda: np.full((2, 2), 7)),
    "full float": (lambda: mg.full(2, 7.5), lambda: np.full(2, 7.5)),
    "full bool": (lambda: mg.full((), True), lambda: np.full((), True)),
    "full dtype": (lambda: mg.full(2, 7, dtype=mg.uint8), lambda: np.full(2, 7, np.uint8)),
    "full nan": (lambda: mg.full(2, mg.nan, dtype=mg.float32), lambda: np.float32([np.nan] * 2)),
    "full Tensor": (lambda: mg.full((2, 3), mg.asarray(4.0)), lambda: np.full((2, 3), 4.0)),
    "full Tensor int": (lambda: mg.full(2, mg.asarray(4), dtype=mg.int8), lambda: np.int8([4, 4])),
    "full_like Tensor": (lambda: mg.full_like(INT8, mg.asarray(2)), lambda: np.full_like(INT8, 2)),
    "arange": (lambda: mg.arange(4), lambda: np.arange(4)),
    "arange down": (lambda: mg.arange(5, -2, -3), lambda: np.arange(5, -2, -3)),
    "arange floats": (lambda: mg.arange(0.5, 2), lambda: np.arange(0.5, 2)),
    "arange none": (lambda: mg.arange(3, 1), lambda: np.arange(3, 1)),
    "arange step": (lambda: mg.arange(9, step=4), lambda: np.arange(0, 9, 4)),
    "arange dtype": (lambda: mg.arange(3, dtype=mg.float32), lambda: np.arange(3, dtype="f4")),
    "arange Tensor": (lambda: mg.arange(mg.asarray(1) + 2), lambda: np.arange(3)),
    "eye": (lambda: mg.eye(2, 3, k=-1, dtype=mg.int64), lambda: np.eye(2, 3, -1, int)),
    "eye none": (lambda: mg.eye(0), lambda: np.eye(0)),
    "linspace": (lambda: mg.linspace(0, 1, 5), lambda: np.linspace(0, 1, 5)),
    "linspace open": (
        lambda: mg.linspace(1, 0, num=4, endpoint=False, dtype=mg.float32),
        lambda: np.linspace(1, 0, 4, endpoint=False, dtype=np.float32),
    ),
    "linspace one": (lambda: mg.linspace(2.0, 3.0, 1), lambda: np.linspace(2.0, 3.0, 1)),
    "asarray copy": (lambda: mg.asarray(INT8, copy=True, device="cpu"), lambda: INT8),
    "asarray nested": (lambda: mg.asarray([[1, 2.5]]), lambda: np.array([[1, 2.5]])),
    "astype": (lambda: mg.astype(INT8, mg.float32, copy=False), lambda: INT8.astype(np.float32)),
    "from_dlpack": (lambda: mg.from_dlpack(INT8), lambda: INT8),
    "reshape": (lambda: mg.reshape(mg.asarray(INT8), (4,), copy=True), lambda: INT8.reshape(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATED)
def test_creation_is_numpys(name):
    ours, theirs = CREATED[name]
    found, wanted = ours(), theirs()
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    close(found.numpy(), wanted, 0.0)
    assert all(type(n) is int for n in found.shape)


def test_a_tensor_keeps_its_gradient_wherever_it_is_put():
    t = mg.asarray(3.0)
    for made, slope in [
        (mg.full((2, 2), t), 4.0),
        (mg.full_like(mg.zeros(3), t), 3.0),
        (mg.asarray([[t, 1.0], [2.0, t]]), 2.0),
        (mg.asarray([(0.0, t)]), 1.0),
        (mg.asarray(np.array([t, None, 1.0], object)[[0, 2]]), 1.0),
        (mg.asarray(t, copy=True), 1.0),
        (mg.from_dlpack(t), 1.0),
    ]:
        assert mg.grad(mg.sum(made), t).item() == slope


def test_nothing_changes_with_the_array():
    a = np.array([1.0, 2.0])
    for t in (
        mg.asarray(a),
        mg.asarray(a, copy=True),
        mg.from_dlpack(a),
        mg.asarray(a[::-1])[::-1],
    ):
        a[0] = 99
        assert t.tolist() == [1.0, 2.0]
        a[0] = 1


@pytest.mark.parametrize(
    "a", [np.arange(6.0)[::-2], np.ones((2, 3)).T, np.array(2.0), np.zeros((0, 2))]
)
def test_dlpack_there_and_back(a):
    t = mg.from_dlpack(a) * 1
    b = np.from_dlpack(t)
    np.testing.assert_array_equal(b, a)
    assert t.__dlpack_device__() == (1, 0)
    seen = np.from_dlpack(mg.asarray(a, dtype=np.int32))
    assert seen.dtype == np.int32


def test_what_a_consumer_of_dlpack_writes_does_not_reach_the_tensor():
    torch = pytest.importorskip("torch")
    t = mg.asarray([1.0, 2.0]) * 2
    other = torch.from_dlpack(t)
    other[0] = 99
    assert t.tolist() == [2.0, 4.0]
    assert mg.from_dlpack(other).tolist() == [99.0, 4.0]
    if hasattr(np, "unstack"):  # NumPy 2.1
        assert not np.from_dlpack(t, copy=False).flags.writeable
    with pytest.raises(BufferError, match="leave out copy=False"):
        t.__dlpack__(copy=False)
    for asked, words in [({"stream": 1}, "no streams"), ({"dl_device": (2, 0)}, "on the CPU")]:
        with pytest.raises(BufferError, match=words):
            t.__dlpack__(**asked)


T = mg.asarray([0.5])[0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: mg.asarray([1.0], copy=False), ValueError, "copy=False.*leave copy out"),
        (lambda: mg.from_dlpack(np.ones(2), copy=False), ValueError, "copy=False"),
        (lambda: mg.arange(T), TypeError, "arange: a bound .* lose its gradient"),
        (lambda: mg.full((2,), "a"), TypeError, "floats, integers or booleans"),
        *(
            (lambda f=f: f(device="gpu"), ValueError, f"{name}: .*'cpu'.*got 'gpu'")
            for name, f in {
                "asarray": lambda device: mg.asarray(1, device=device),
                "astype": lambda device: mg.astype(1, mg.float32, device=device),
                "from_dlpack": lambda device: mg.from_dlpack(INT8, device=device),
                "empty": lambda device: mg.empty(2, device=device),
                "zeros": lambda device: mg.zeros(2, device=device),
                "ones": lambda device: mg.ones(2, device=device),
                "full": lambda device: mg.full(2, 1, device=device),
                "arange": lambda device: mg.arange(2, device=device),
                "eye": lambda device: mg.eye(2, device=device),
                "linspace": lambda device: mg.linspace(0, 1, 2, device=device),
                "zeros_like": lambda device: mg.zeros_like(INT8, device=device),
            }.items()
        ),
    ],
)
def test_errors(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
