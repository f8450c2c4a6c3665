"""NumPy's methods on a Tensor against those of an array; everything said in one table."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.manners.methods import DUNDERS, METHODS, PROPERTIES
from minigrad.testing import check_grads
from minigrad.testing.laws import close

RNG = np.random.default_rng(5)
M = (RNG.permutation(np.linspace(-2, 2, 12)) + 0.03).reshape(3, 4)
C = (RNG.permutation(np.linspace(-2, 2, 24)) + 0.03).reshape(2, 3, 4)
ROWS = {
    "all": [lambda a: (a > -9).all(), lambda a: (a > 0).all(axis=1, keepdims=True)],
    "any": [lambda a: (a > 9).any(), lambda a: (a > 0).any(0)],
    "argmax": [lambda a: a.argmax(), lambda a: a.argmax(1), lambda a: a.argmax(axis=0)],
    "argmin": [lambda a: a.argmin(), lambda a: a.argmin(axis=-1, keepdims=True)],
    "argpartition": [lambda a: a.ravel().argpartition(3)[3]],
    "argsort": [lambda a: a.argsort(), lambda a: a.argsort(0), lambda a: a.argsort(axis=None)],
    "astype": [lambda a: a.astype(np.float32), lambda a: a.astype("f4", casting="same_kind")],
    "choose": [lambda a: (a > 0).astype(int).choose([np.ones(4), np.zeros(4)])],
    "clip": [lambda a: a.clip(-1, 1), lambda a: a.clip(max=0.5), lambda a: a.clip(0.1)],
    "compress": [lambda a: a.compress([True, False, True], axis=0)],
    "conj": [lambda a: a.conj()], "conjugate": [lambda a: a.conjugate()],
    "copy": [lambda a: a.copy(), lambda a: a.copy("F")],
    "cumprod": [lambda a: a.cumprod(), lambda a: a.cumprod(1)],
    "cumsum": [lambda a: a.cumsum(), lambda a: a.cumsum(axis=0)],
    "diagonal": [lambda a: a.diagonal(), lambda a: a.diagonal(1), lambda a: a.diagonal(0, 1, 0)],
    "dot": [lambda a: a.dot(a.T), lambda a: a.dot(2.0)],
    "flatten": [lambda a: a.flatten(), lambda a: a.flatten("F")],
    "max": [lambda a: a.max(), lambda a: a.max(1), lambda a: a.max(axis=(0, 1), keepdims=True)],
    "mean": [lambda a: a.mean(), lambda a: a.mean(0), lambda a: a.mean(axis=-1, keepdims=True)],
    "min": [lambda a: a.min(), lambda a: a.min(axis=1)],
    "nonzero": [lambda a: (a > 0).nonzero()[1]],
    "prod": [lambda a: a.prod(), lambda a: a.prod(0)],
    "ptp": [lambda a: np.ptp(a) if isinstance(a, np.ndarray) else a.ptp()],
    "ravel": [lambda a: a.ravel(), lambda a: a.ravel(order="F")],
    "repeat": [lambda a: a.repeat(2), lambda a: a.repeat([1, 0, 2], axis=0)],
    "reshape": [lambda a: a.reshape(2, 6), lambda a: a.reshape((4, -1)), lambda a: a.reshape(-1),
                lambda a: a.reshape(6, 2, order="F"), lambda a: a.reshape([12])],
    "round": [lambda a: a.round(), lambda a: a.round(1)],
    "searchsorted": [lambda a: np.sort(a[0]).searchsorted([0.0, 1.0], side="right")],
    "squeeze": [lambda a: a[:, :1].squeeze(), lambda a: a[:1].squeeze(0)],
    "std": [lambda a: a.std(), lambda a: a.std(0), lambda a: a.std(axis=1, ddof=1)],
    "sum": [lambda a: a.sum(), lambda a: a.sum(0), lambda a: a.sum(axis=1, keepdims=True),
            lambda a: a.sum(1, np.float32), lambda a: a.sum(out=None)],
    "swapaxes": [lambda a: a.swapaxes(0, 1)], "take": [lambda a: a.take([0, 5]),
                                                       lambda a: a.take([1, 1], axis=1)],
    "trace": [lambda a: a.trace(), lambda a: a.trace(1)],
    "transpose": [lambda a: a.transpose(), lambda a: a.transpose(1, 0), lambda a: a.transpose(
        (1, 0)), lambda a: a[None].transpose(2, 0, 1), lambda a: a.transpose(None)],
    "var": [lambda a: a.var(), lambda a: a.var(axis=0, keepdims=True), lambda a: a.var(1, ddof=1)],
    "real": [lambda a: a.real], "imag": [lambda a: a.imag], "itemsize": [lambda a: a.itemsize],
    "nbytes": [lambda a: a.nbytes],
    "__divmod__": [lambda a: divmod(a, 0.7)[1]],
    "__rdivmod__": [lambda a: divmod(7.3, a * a + 1)[0]],
    "__round__": [lambda a: a.round(2) if isinstance(a, np.ndarray) else round(a, 2)],
}  # fmt: skip
CALLS = [(name, call) for name, calls in ROWS.items() for call in calls]
IDS = [f"{name}-{k}" for name, calls in ROWS.items() for k in range(len(calls))]
every_call = pytest.mark.parametrize(("name", "call"), CALLS, ids=IDS)


def test_every_method_has_a_row_and_a_docstring():
    assert set(ROWS) == {*METHODS, *PROPERTIES, *DUNDERS}
    assert all(getattr(mg.Tensor, name).__doc__ for name in ROWS)


@every_call
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_a_method_is_that_of_an_array(name, call, dtype):
    a = (M if dtype != np.int64 else np.round(3 * M)).astype(dtype)
    found, wanted = call(mg.asarray(a)), call(a)
    assert isinstance(found, mg.Tensor) or name in PROPERTIES
    assert np.shape(found) == np.shape(wanted)
    assert np.asarray(found).dtype == np.asarray(wanted).dtype
    close(np.asarray(found), np.asarray(wanted), 1e-5 if dtype == np.float32 else 1e-12)


@every_call
def test_a_method_has_its_derivative(name, call):
    if np.asarray(call(M)).dtype == np.float64:
        assert check_grads(call, M, order=1).ok


def test_methods_inside_traces():
    def f(x):
        return (x.reshape(2, -1).sum(axis=1, keepdims=True) * x.max()).transpose().ravel().mean()

    x = mg.asarray(M)
    close(mg.function(f)(M), f(M), 1e-14)
    assert mg.vmap(lambda r: r.std())(x).shape == (3,)
    states, _ = mg.recur(
        lambda w, h, x: (h.dot(w).clip(-1, 1) + x.mean(), None), mg.Structure.chain(3),
        initial=np.ones((1, 4)), shared=np.eye(4), inputs=x,
    )  # fmt: skip
    assert states.shape == (3, 4)


@pytest.mark.parametrize(("call", "words"), [
    (lambda t: t.sum(dim=0), r"t\.sum\(axis=None.*'dim'; axis= for dim="),
    (lambda t: t.mean(axis=0, keepdim=True), r"t\.mean\(.*keepdims= for keepdim="),
    (lambda t: t.max(0, out=np.zeros(4)), r"t\.max\(.*no out=: a Tensor is immutable"),
    (lambda t: t.reshape(), r"t\.reshape: give the new shape"),
    (lambda t: t.astype(int, casting="safe"), r"t\.astype: float64 does not become"),
    (lambda t: t.clip(1, 2, 3, 4), r"t\.clip\("),
])  # fmt: skip
def test_wrong_arguments_are_said_as_those_of_the_method(call, words):
    with pytest.raises(TypeError, match=words):
        call(mg.asarray(M))


def test_reshape_says_its_shapes():
    with pytest.raises(ValueError, match=r"12 elements .* do not fill shape \(5,\)"):
        mg.asarray(M).reshape(5)
