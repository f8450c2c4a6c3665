"""`minigrad` as a namespace of the array API standard: a consumer that knows only the standard."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.laws import close

A = np.random.default_rng(0).standard_normal((5, 3))
B = np.random.default_rng(1).standard_normal((3, 4))


# -- code written against the standard, for any array library --------------------------------------


def softmax(x):
    xp = x.__array_namespace__()
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def standardize(x):
    xp = x.__array_namespace__()
    centred = x - xp.mean(x, axis=0, keepdims=True)
    return centred / xp.sqrt(xp.var(x, axis=0, keepdims=True) + xp.finfo(x.dtype).eps)


def covariance(x):
    xp = x.__array_namespace__(api_version="2022.12")
    n = x.shape[0]
    centred = x - xp.broadcast_to(xp.sum(x, axis=0) / n, x.shape)
    return xp.matmul(xp.matrix_transpose(centred), centred) / xp.asarray(n - 1, dtype=x.dtype)


def windows(x):
    """Sums over three neighbours on a ring, and differences to the one before."""
    xp = x.__array_namespace__()
    near = xp.stack([xp.roll(x, k, axis=0) for k in (-1, 0, 1)])
    steps = x[1:, ...] - x[:-1, ...]
    return xp.concat([xp.reshape(xp.sum(near, axis=0), (-1,)), xp.reshape(steps, (-1,))])


def largest(x):
    xp = x.__array_namespace__()
    at = xp.argmax(x, axis=0)
    chosen = xp.take_along_axis(x, xp.expand_dims(at, axis=0), axis=0)
    return xp.squeeze(chosen, axis=0) + xp.take(x, xp.asarray([0, 2, 0]), axis=0)[1, ...]


def huber(x):
    xp = x.__array_namespace__()
    size = xp.abs(x)
    loss = xp.where(size <= 1.0, x**2 / 2, size - 0.5)
    scale = xp.asarray(2.0, dtype=xp.result_type(x, xp.float32))
    return xp.tensordot(loss, xp.eye(x.shape[-1], dtype=x.dtype), axes=1) * scale


def fold(x):
    xp = x.__array_namespace__()
    wide = xp.permute_dims(xp.tile(x, (1, 2)), (1, 0))
    first, last = wide[0, ...], wide[-1, ...]
    return xp.vecdot(xp.conj(first), last) + xp.linspace(0, 1, 3)[1] * xp.pi * xp.ones_like(first)


CONSUMERS = [softmax, standardize, covariance, windows, largest, huber, fold]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=str)
@pytest.mark.parametrize("f", CONSUMERS, ids=lambda f: f.__name__)
def test_a_consumer_of_the_standard_gets_values_and_gradients(f, dtype):
    a = A.astype(dtype)
    t = mg.asarray(a)
    y, wanted = f(t), f(a)
    assert isinstance(y, mg.Tensor) and y.dtype == wanted.dtype
    close(y.numpy(), wanted, 1e-13 if dtype is np.float64 else 1e-5)
    if dtype is np.float64:
        w, v = (
            np.random.default_rng(k).standard_normal(s) for k, s in ((2, y.shape), (3, a.shape))
        )
        slope = float(np.sum(mg.grad(mg.sum(w * y), t).numpy() * v))
        h = 1e-6
        close(slope, float(np.sum(w * (f(a + h * v) - f(a - h * v))) / (2 * h)), 1e-7)
    run = mg.function(lambda x: (f(x), mg.grad(mg.sum(f(x)), x)))
    close(run(a)[0], wanted, 1e-13 if dtype is np.float64 else 1e-5)


def test_array_api_compat_knows_a_tensor():
    compat = pytest.importorskip("array_api_compat")
    t = mg.asarray(A)
    assert compat.is_array_api_obj(t) and compat.array_namespace(t) is mg
    assert compat.device(t) == "cpu" and compat.size(t) == A.size
    assert compat.to_device(t, "cpu") is t


# -- what the namespace says -----------------------------------------------------------------------


def test_the_namespace_of_a_tensor():
    t = mg.asarray(1.0)
    assert t.__array_namespace__() is mg is t.__array_namespace__(api_version="2021.12")
    assert mg.__array_api_version__ == "2024.12"
    with pytest.raises(ValueError, match="'1999.12' is not known here; 2021.12, .*2024.12 are"):
        t.__array_namespace__(api_version="1999.12")


def test_constants_and_dtypes():
    assert (mg.e, mg.pi, mg.inf, mg.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(mg.nan)
    for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split():
        dtype = getattr(mg, name)
        assert dtype == np.dtype(name) and mg.zeros(1, dtype=dtype).dtype == dtype
        assert dtype in mg.__array_namespace_info__().dtypes().values()
    assert mg.asarray(A)[mg.newaxis].shape == (1, 5, 3)


def test_info():
    info = mg.__array_namespace_info__()
    said = info.capabilities()
    assert said["boolean indexing"] is True and said["data-dependent shapes"] is True
    assert mg.asarray(A)[A[:, 0] > 0].shape[0] == (A[:, 0] > 0).sum()  # as said
    assert mg.nonzero(mg.asarray(A) * 2)[0].shape == (A.size,)  # as said
    assert info.default_device() == "cpu" and info.devices() == ["cpu"]
    defaults = info.default_dtypes(device="cpu")
    assert defaults["real floating"] == mg.zeros(1).dtype == mg.asarray(1.5).dtype
    assert defaults["integral"] == mg.arange(2).dtype
    assert defaults["indexing"] == mg.argmax([1.0]).dtype
    assert info.dtypes(kind="signed integer") == {
        n: np.dtype(n) for n in ("int8", "int16", "int32", "int64")
    }
    assert list(info.dtypes(kind=("bool", "real floating"))) == ["bool", "float32", "float64"]
    assert info.dtypes(kind="complex floating") == {}
    with pytest.raises(ValueError, match="dtypes: a kind is one of bool, .*got 'text'"):
        info.dtypes(kind="text")
    with pytest.raises(ValueError, match="'cpu', the only one; got 'gpu'"):
        info.default_dtypes(device="gpu")


def test_limits():
    for given, dtype in ((mg.float32, "f4"), (np.float64, "f8"), (mg.asarray(1.0), "f8")):
        found, wanted = mg.finfo(given), np.finfo(np.dtype(dtype))
        for name in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
            assert getattr(found, name) == getattr(wanted, name)
        assert type(found.eps) is float
    for given, dtype in ((mg.int8, "i1"), (mg.uint64, "u8"), (mg.asarray(1), "i8")):
        found, wanted = mg.iinfo(given), np.iinfo(np.dtype(dtype))
        assert (found.bits, found.max, found.min) == (wanted.bits, wanted.max, wanted.min)
    with pytest.raises(TypeError, match="use iinfo"):
        mg.finfo(mg.int8)
    with pytest.raises(TypeError, match="use finfo"):
        mg.iinfo(mg.float32)


def test_kinds_casts_and_promotion():
    assert mg.isdtype(mg.float32, "real floating") and mg.isdtype(mg.bool, ("integral", mg.bool))
    assert not mg.isdtype(mg.int8, ("unsigned integer", "bool", mg.int16))
    assert not mg.isdtype(mg.float64, "complex floating") and mg.isdtype(mg.uint8, "numeric")
    with pytest.raises(ValueError, match="isdtype: a kind is one of"):
        mg.isdtype(mg.int8, "whole")
    assert mg.can_cast(mg.int8, mg.float32) and not mg.can_cast(mg.asarray(1.0), mg.float32)
    f4, i8 = mg.asarray(1.0, dtype=mg.float32), mg.asarray(1)
    for parts in ((f4, 1.5), (f4, mg.float64), (i8, mg.uint8), (mg.int8, 3, True), (f4, i8)):
        plain = [x.dtype if isinstance(x, mg.Tensor) else x for x in parts]
        assert mg.result_type(*parts) == np.result_type(*plain)
    with pytest.raises(ValueError, match="result_type: needs at least one"):
        mg.result_type()


def test_every_number_is_real():
    t = mg.asarray([1.0, -2.0])
    assert mg.conj(t) is mg.real(t) is t and mg.imag(t).tolist() == [0.0, 0.0]


def test_a_tensor_as_a_number_and_on_its_device():
    t = mg.asarray([2.0])[0] * 2
    assert (int(t), float(t), complex(t), bool(t)) == (4, 4.0, 4 + 0j, True)
    assert [10, 20, 30][mg.asarray(1) + 1] == 30
    assert t.device == "cpu" and t.to_device("cpu") is t
    with pytest.raises(ValueError, match="'cpu', which has no streams; got 'gpu'"):
        t.to_device("gpu")
    with pytest.raises(TypeError, match="only an integer Tensor is an index"):
        [1, 2][t]
    with pytest.raises(ValueError, match="ambiguous"):
        bool(mg.asarray(A))
    with pytest.raises(ValueError, match="one element"):
        complex(mg.asarray(A))


def test_a_value_is_not_read_while_a_function_is_traced():
    for read in (complex, lambda x: x.__dlpack__(), lambda x: mg.arange(mg.astype(x, mg.int64))):
        with pytest.raises(TypeError, match="is not known while"):
            mg.function(lambda x, read=read: read(x) * x)(np.array(1.0))
