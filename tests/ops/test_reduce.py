"""Reductions, running sums and products: NumPy's values and dtypes, exact slopes, rows at once."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import bind
from minigrad.ops.table import TABLE
from minigrad.testing.laws import close

from .rows import each_row

inf, nan = np.inf, np.nan
RNG = np.random.default_rng(7)
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0), (0, 3), (2, 3, 2)]
DTYPES = [np.float64, np.float32, np.int64, np.int8, np.uint8, np.bool_]


def sample(shape, dtype):
    a = RNG.integers(0, 4, shape)
    return (a - 1.5 if np.dtype(dtype).kind == "f" else a).astype(dtype)


def axes_for(ndim):
    return [None, *range(-ndim, ndim), *itertools.combinations(range(ndim), 2)]


def check(ours, theirs, tol=1e-6):
    """Value and dtype, node by node and as evaluated."""
    theirs = np.asarray(theirs)
    assert ours.dtype == theirs.dtype, f"{ours.dtype} is not {theirs.dtype}"
    tol = tol if theirs.dtype == np.float32 else 1e-13
    close(ours.numpy(), theirs, tol)
    close(mg.reference(ours), theirs, tol)


def np_norm(a, axis=None, keepdims=False, ord=2):
    """`numpy.linalg.norm` of any axes as one."""
    a = a if a.dtype.kind == "f" else a.astype(float)
    axes = tuple(range(a.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    rest = [k for k in range(a.ndim) if k not in {x % a.ndim for x in axes}]
    last = math.prod(a.shape[k] for k in axes)
    flat = a.transpose(*rest, *axes).reshape(*(a.shape[k] for k in rest), last)
    y = np.linalg.norm(flat, ord, -1)
    keep = tuple(1 if k not in rest else n for k, n in enumerate(a.shape))
    return y.reshape(keep) if keepdims else y


def quiet(f, *args, **kwargs):
    with np.errstate(all="ignore"):
        return f(*args, **kwargs)


# name: (ours, NumPy's; defined for no elements)
REDUCTIONS = {
    "sum": (mg.sum, np.sum, True),
    "prod": (mg.prod, np.prod, True),
    "max": (mg.max, np.max, False),
    "min": (mg.min, np.min, False),
    "any": (mg.any, np.any, True),
    "all": (mg.all, np.all, True),
    "count_nonzero": (
        mg.count_nonzero, lambda a, **how: np.asarray(np.count_nonzero(a, **how)), True
    ),
    "norm": (mg.norm, np_norm, True),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_means_what_numpy_means(name, dtype):
    ours, theirs, of_none = REDUCTIONS[name]
    for shape in SHAPES:
        a = sample(shape, dtype)
        for axis, keepdims in itertools.product(axes_for(a.ndim), (False, True)):
            gone = np.sum(a, axis=axis, keepdims=keepdims).size and not a.size
            if gone and not of_none:
                with pytest.raises(ValueError, match="of no elements"):
                    ours(a, axis=axis, keepdims=keepdims)
            elif a.size or of_none:
                check(
                    ours(a, axis=axis, keepdims=keepdims), theirs(a, axis=axis, keepdims=keepdims)
                )


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_mean_and_spread_mean_what_numpy_means(dtype):
    for shape in SHAPES:
        a = sample(shape, dtype)
        for axis, keepdims in itertools.product(axes_for(a.ndim), (False, True)):
            how = {"axis": axis, "keepdims": keepdims}
            check(mg.mean(a, **how), quiet(np.mean, a, **how))
            for c in (0, 1, 0.5, 3):
                if a.dtype != bool:
                    check(mg.var(a, correction=c, **how), quiet(np.var, a, ddof=c, **how))
                    check(mg.std(a, correction=c, **how), quiet(np.std, a, ddof=c, **how))


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_positions_of_extremes(dtype, axis):
    for shape in [(3,), (2, 3), (1, 4)]:
        a = sample(shape, dtype)
        for keepdims in (False, True):
            how = {"axis": axis, "keepdims": keepdims}
            check(mg.argmax(a, **how), np.argmax(a, **how))
            check(mg.argmin(a, **how), np.argmin(a, **how))


def test_integers_at_the_ends_of_their_range():
    for dtype in (np.int8, np.uint8, np.int64, np.uint64):
        ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, 1], dtype)
        check(mg.min(ends), ends.min())
        check(mg.max(ends), ends.max())


@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_dtype_is_the_one_that_is_asked_for(name):
    a = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    ours, theirs = getattr(mg, name), getattr(np, name)
    for dtype in (np.float64, np.float32) + ((np.int64, np.int8) if name != "mean" else ()):
        check(ours(a, axis=0, dtype=dtype), theirs(a, axis=0, dtype=dtype))
    t = mg.asarray(a)
    g = mg.grad(mg.sum(ours(t, dtype=np.float64)), t)
    assert g.dtype == np.float32
    check(ours(np.array([True, False]), dtype=np.float32), theirs([True, False], dtype=np.float32))


def test_nan_propagates():
    a = np.array([[1.0, nan, 0.0], [1.0, 2.0, 3.0]])
    for f in (mg.sum, mg.prod, mg.max, mg.min, mg.mean, mg.var, mg.std, mg.norm, mg.logsumexp):
        y = f(a, axis=1).numpy()
        assert np.isnan(y[0]) and np.isfinite(y[1]), f.__name__
    check(mg.cumulative_sum(a, axis=1), np.cumsum(a, 1))
    check(mg.cumulative_prod(a, axis=1), np.cumprod(a, 1))
    assert mg.argmax(a, axis=-1).tolist() == [1, 2] and mg.argmin(a, axis=-1).tolist() == [1, 0]
    assert mg.argmax(a).item() == np.argmax(a)


# -- running sums and products ---------------------------------------------------------------------

RUNNING = {"cumulative_sum": (np.cumsum, 0), "cumulative_prod": (np.cumprod, 1)}


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_running_results_mean_what_numpy_means(name, dtype):
    ours, (theirs, initial) = getattr(mg, name), RUNNING[name]
    for shape in SHAPES[1:]:
        a = sample(shape, dtype)
        for axis in range(-a.ndim, a.ndim):
            wanted = theirs(a, axis=axis)
            check(ours(a, axis=axis), wanted)
            one = [1 if k == axis % a.ndim else n for k, n in enumerate(a.shape)]
            longer = np.concatenate([np.full(one, initial, wanted.dtype), wanted], axis=axis)
            check(ours(a, axis=axis, include_initial=True), longer)
    check(ours(np.array([1, 2], np.int8), dtype=np.float32), theirs([1, 2], dtype=np.float32))


def test_differences():
    a = np.array([[1.0, 4.0, 9.0, 16.0], [0.0, 1.0, 8.0, 27.0]])
    for axis, n in itertools.product((0, 1, -1), range(6)):
        check(mg.diff(a, axis=axis, n=n), np.diff(a, axis=axis, n=n))
    check(mg.diff(a, prepend=0.0, append=a[:, :2]), np.diff(a, prepend=0.0, append=a[:, :2]))
    check(mg.diff(np.array([3, 1], np.int8), axis=0), np.diff(np.array([3, 1], np.int8)))
    t = mg.asarray(a[0])
    assert mg.grad(mg.sum(mg.diff(t, n=2)), t).tolist() == [1.0, -1.0, -1.0, 1.0]


# -- products at zeros: every order against sums over the left-out factors -------------------------


def left_out(a, *places):
    """d^k (product of a) by k places: the product of all other factors."""
    return np.prod(np.delete(a, places)) if len(set(places)) == len(places) else 0.0


@pytest.mark.parametrize(
    "a", [[0.0, 3.0, 4.0], [0.0, 0.0, 4.0], [0.0] * 3, [2.0, -3.0, 0.5], [5.0], [1e200, 1e200]]
)
def test_a_product_at_zeros_to_third_order(a):
    a = np.array(a)
    x, n = mg.asarray(a), len(a)
    y = mg.prod(x)
    first, second = mg.grad(y, x), mg.hessian(y, x)
    assert first.tolist() == [left_out(a, i) for i in range(n)]
    assert second.tolist() == [[left_out(a, i, j) for j in range(n)] for i in range(n)]
    third = mg.jacobian(second, x).tolist()
    triples = [left_out(a, *places) for places in itertools.product(range(n), repeat=3)]
    assert np.array(third).reshape(-1).tolist() == triples


@pytest.mark.parametrize("a", [[2.0, 0.0, 3.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0], [1.5, -2.0, 0.5]])
def test_a_running_product_at_zeros_to_second_order(a):
    a = np.array(a)
    x, n = mg.asarray(a), len(a)
    y = mg.sum(mg.cumulative_prod(x))

    def wanted(*places):
        return sum(left_out(a[:m], *places) for m in range(max(places) + 1, n + 1))

    assert mg.grad(y, x).tolist() == [wanted(i) for i in range(n)]
    found = mg.hessian(y, x).tolist()
    assert found == [[wanted(i, j) for j in range(n)] for i in range(n)]
    if a.tolist() == [2.0, 0.0, 3.0]:
        assert mg.grad(y, x).tolist() == [1.0, 8.0, 0.0]


def test_products_over_several_axes():
    a = RNG.standard_normal((2, 3, 4))
    a[0, 1, 2] = a[1, 0, 0] = 0.0
    for axis in [None, 0, 1, 2, (0, 2), (0, 1), (1, 2)]:
        x = mg.asarray(a)
        found = mg.grad(mg.sum(mg.sin(mg.prod(x, axis=axis))), x).numpy()
        axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        outer = np.cos(np.prod(a, axis=axis, keepdims=True))
        wanted = np.empty_like(a)
        for at in np.ndindex(*a.shape):
            ends = [(0, None) if k in axes else (at[k], at[k] + 1) for k in range(3)]
            fibre = a[tuple(slice(*e) for e in ends)]
            here = [at[k] if k in axes else 0 for k in range(3)]
            place = np.ravel_multi_index(here, fibre.shape)
            far = outer[tuple(0 if k in axes else at[k] for k in range(3))]
            wanted[at] = left_out(fibre.reshape(-1), place) * far
        close(found, wanted, 1e-13)


def test_a_zero_cotangent_beside_an_overflow_stays_zero():
    x = mg.asarray([1e200, 1e200, 1e200])
    assert mg.grad(mg.cumulative_prod(x)[0], x).tolist() == [1.0, 0.0, 0.0]
    both = mg.stack([mg.prod(x), mg.sum(x)])
    assert mg.grad(both[1], x).tolist() == [1.0, 1.0, 1.0]


# -- kinks and far out -----------------------------------------------------------------------------


def slopes(f, point):
    x = mg.asarray(np.asarray(point, float))
    return mg.grad(mg.sum(f(x)), x).tolist()


def pick(f, k):
    return lambda x: f(x)[k]


@pytest.mark.parametrize(
    ("f", "point", "wanted"),
    [
        (mg.norm, [0.0, 0.0], [0.0, 0.0]),
        (lambda x: mg.sqrt(mg.sum(x * x)), [0.0, 0.0], [nan, nan]),  # as documented in norm
        (mg.norm, [3.0, 4.0], [0.6, 0.8]),
        (mg.norm, [3e200, 4e200], [0.6, 0.8]),
        (mg.norm, [3e-200, 4e-200], [0.6, 0.8]),
        (mg.norm, [5e-324, 0.0], [1.0, 0.0]),
        (lambda x: mg.norm(x, ord=3), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: mg.norm(x, ord=3), [0.0, -2.0], [0.0, -1.0]),
        (lambda x: mg.norm(x, ord=4), [1e200, 0.0], [1.0, 0.0]),
        (lambda x: mg.norm(x, ord=1), [0.0, -2.0], [0.0, -1.0]),
        (lambda x: mg.norm(x, ord=0), [0.0, -2.0], [0.0, 0.0]),
        (lambda x: mg.norm(x, ord=inf), [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
        (lambda x: mg.norm(x, ord=-inf), [2.0, -1.0, 1.0], [0.0, -0.5, 0.5]),
        (lambda x: mg.max(x, axis=1), [[2.0, 2.0], [1.0, 3.0]], [[0.5, 0.5], [0.0, 1.0]]),
        (lambda x: mg.min(x, axis=0), [[2.0, 2.0], [2.0, 1.0]], [[0.5, 0.0], [0.5, 1.0]]),
        (mg.max, [[2.0, 2.0], [2.0, 0.0]], [[1 / 3, 1 / 3], [1 / 3, 0.0]]),
        (mg.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
        (mg.std, [2.0], [0.0]),
        (mg.var, [2.0, 2.0], [0.0, 0.0]),
        (mg.std, [1.0, 3.0], [-0.5, 0.5]),
        (lambda x: mg.logsumexp(x, axis=(0, 1)), [[1e3, 1e3]], [[0.5, 0.5]]),
        (lambda x: mg.logsumexp(x, axis=0), [[-inf], [0.0]], [[0.0], [1.0]]),
        (mg.logsumexp, [-inf, -inf], [0.0, 0.0]),
        (pick(mg.softmax, 0), [0.0, -inf], [0.0, 0.0]),
        (pick(mg.log_softmax, 0), [0.0, -inf], [0.0, 0.0]),
        (mg.log_softmax, [0.0, -inf], [-1.0, 1.0]),
        (pick(mg.log_softmax, 1), [1e4, 0.0], [-1.0, 1.0]),
        (lambda x: x - mg.mean(x, keepdims=True), [1.0, 2.0, 6.0], [0.0, 0.0, 0.0]),
    ],
)
def test_slopes_at_kinks_and_far_out(f, point, wanted):
    found = np.array(slopes(f, point))
    close(found, np.array(wanted), 1e-14)


def test_second_slopes_at_kinks():
    for f, point, wanted in [
        (mg.norm, [0.0, 0.0], np.zeros((2, 2))),
        (mg.norm, [3.0, 4.0], np.array([[16.0, -12.0], [-12.0, 9.0]]) / 125),
        (mg.std, [2.0, 2.0], np.zeros((2, 2))),
        (mg.logsumexp, [1e3, 1e3], np.array([[1.0, -1.0], [-1.0, 1.0]]) / 4),
        (lambda x: mg.norm(x, ord=3), [0.0, 0.0], np.zeros((2, 2))),
    ]:
        x = mg.asarray(point)
        close(mg.hessian(f(x), x).numpy(), wanted, 1e-14)


@pytest.mark.parametrize("n", [3, 7, 10, 49])
@pytest.mark.parametrize("c", [1.0, 0.1, -1e9])
def test_the_spread_of_equal_numbers_has_no_slope(n, c):
    x = mg.asarray(np.full(n, c))
    if c == 1.0:
        assert mg.mean(x).item() == 1.0 and mg.std(x).item() == 0.0
    close(mg.grad(mg.std(x), x).numpy(), np.zeros(n), 1e-15)


def test_a_variance_without_freedom_is_nan_quietly():
    x = mg.asarray([3.0])
    for f in (mg.var, mg.std):
        y = f(x, correction=1)
        assert np.isnan(y.item()) and np.isnan(mg.grad(y, x).numpy()).all()
    assert mg.var(x, correction=2).dtype == np.float64


def test_values_far_out():
    for scale in (2.0**600, 2.0**-600, 5e-324):
        assert mg.norm([3 * scale, -4 * scale]).item() == 5 * scale
    assert mg.norm([-inf, 1.0]).item() == inf
    assert mg.norm(np.float32([3e30, 4e30])).item() == np.float32(5e30)
    assert mg.norm([1e200, 1e200], ord=3).item() == pytest.approx(2 ** (1 / 3) * 1e200)
    assert mg.norm(-7.0).item() == 7.0 and mg.norm(0.0, ord=0).item() == 0.0
    assert mg.norm(np.zeros(0), ord=3).item() == mg.norm(np.zeros(2), ord=3).item() == 0.0
    assert mg.logsumexp(np.zeros((2, 0)), axis=1).tolist() == [-inf, -inf]
    assert mg.logsumexp([[0.0, -inf], [-inf, -inf]], axis=(0, 1)).item() == 0.0
    assert mg.softmax(np.zeros((2, 0))).shape == mg.log_softmax(np.zeros((0, 2))).shape[::-1]
    assert mg.softmax(np.array([1, 3], np.uint8)).tolist() == mg.softmax([1.0, 3.0]).tolist()


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, -1, -2, inf, -inf])
def test_norms_of_every_order(p):
    a = RNG.standard_normal((2, 3, 2))
    for axis, keepdims in itertools.product([None, 0, -1, (0, 2)], (False, True)):
        how = {"axis": axis, "keepdims": keepdims, "ord": p}
        check(mg.norm(a, **how), np_norm(a, **how), 1e-12)
        assert mg.norm(a.astype(np.float32), **how).dtype == np.float32


def test_single_precision_stays_single():
    x = mg.asarray(np.float32([0.5, 1.5, 2.5]))
    for f in (mg.prod, mg.var, mg.std, mg.norm, mg.cumulative_prod, mg.cumulative_sum, mg.diff,
              mg.mean, mg.logsumexp, lambda x: mg.norm(x, ord=3), mg.softmax):  # fmt: skip
        g = mg.grad(mg.sum(f(x)), x)
        h = mg.grad(mg.sum(g * g), x)
        assert f(x).dtype == g.dtype == h.dtype == np.float32
        for value in (*mg.evaluate((f(x), g, h)), *mg.reference((f(x), g, h))):
            assert value.dtype == np.float32


def test_no_elements_have_gradients_of_their_shape():
    for shape, axis in [((2, 0), 1), ((2, 0), 0), ((0, 3), None), ((0,), 0)]:
        x = mg.asarray(np.zeros(shape))
        fs = [mg.sum, mg.prod, mg.mean, mg.var, mg.std, mg.norm, mg.logsumexp]
        if axis is not None:
            fs += [mg.cumulative_sum, mg.cumulative_prod]
        for f in fs:
            g = mg.grad(mg.sum(f(x, axis=axis)), x)
            assert g.numpy().shape == shape
            assert mg.grad(mg.sum(g), x).numpy().shape == shape
    assert mg.prod(np.zeros((2, 0)), axis=1).tolist() == [1.0, 1.0]


# -- against torch ---------------------------------------------------------------------------------


def _torch(name, *args, **how):
    def call(x):
        import torch

        f = torch
        for part in name.split("."):
            f = getattr(f, part)
        return f(x, *args, **how)

    return call


GENERIC = np.array([[0.3, -1.2, 2.1], [0.7, 1.6, -0.4]])
ZEROS = np.array([[0.0, -1.2, 2.1], [0.0, 0.0, -0.4]])
ORACLE = {
    "prod": (mg.prod, _torch("prod"), GENERIC),
    "prod axis": (lambda x: mg.prod(x, axis=0, keepdims=True), _torch("prod", 0, True), GENERIC),
    "prod zeros": (lambda x: mg.prod(x, axis=1), _torch("prod", 1), ZEROS),
    "var": (mg.var, _torch("var", correction=0), GENERIC),
    "var axis": (lambda x: mg.var(x, axis=1, correction=1), _torch("var", 1), GENERIC),
    "std": (lambda x: mg.std(x, axis=0), _torch("std", 0, correction=0), GENERIC),
    "std corrected": (lambda x: mg.std(x, correction=1), _torch("std"), GENERIC),
    "norm": (mg.norm, _torch("linalg.vector_norm"), GENERIC),
    "norm axis": (lambda x: mg.norm(x, axis=1), _torch("linalg.vector_norm", dim=1), GENERIC),
    "norm 1": (lambda x: mg.norm(x, ord=1), _torch("linalg.vector_norm", 1), GENERIC),
    "norm 3": (
        lambda x: mg.norm(x, axis=0, ord=3), _torch("linalg.vector_norm", 3, dim=0), GENERIC
    ),
    "norm 1.5": (lambda x: mg.norm(x, ord=1.5), _torch("linalg.vector_norm", 1.5), GENERIC),
    "norm -1": (lambda x: mg.norm(x, ord=-1), _torch("linalg.vector_norm", -1), GENERIC),
    "norm inf": (lambda x: mg.norm(x, ord=inf), _torch("linalg.vector_norm", inf), GENERIC),
    "cumulative_sum": (lambda x: mg.cumulative_sum(x, axis=1), _torch("cumsum", 1), GENERIC),
    "cumulative_prod": (lambda x: mg.cumulative_prod(x, axis=0), _torch("cumprod", 0), GENERIC),
    "cumulative_prod zeros": (
        lambda x: mg.cumulative_prod(x, axis=1), _torch("cumprod", 1), ZEROS
    ),
    "diff": (lambda x: mg.diff(x, n=2), _torch("diff", 2), GENERIC),
    "logsumexp": (lambda x: mg.logsumexp(x, axis=(0, 1)), _torch("logsumexp", (0, 1)), GENERIC),
    "mean": (lambda x: mg.mean(x, axis=(0, 1)), _torch("mean", (0, 1)), GENERIC),
    "min": (lambda x: mg.min(x, axis=1), _torch("amin", 1), GENERIC),
}  # fmt: skip


@pytest.mark.parametrize("case", ORACLE)
def test_derivatives_are_torchs(case):
    from ..oracle.test_torch import compare

    ours, theirs, a = ORACLE[case]
    compare(ours, theirs, a, tol2=1e-8)


# -- many rows at once -----------------------------------------------------------------------------

PER_ROW = {
    "prod": lambda x: mg.prod(x, axis=0),
    "prod of all": mg.prod,
    "var": lambda x: mg.var(x, axis=-1),
    "std": mg.std,
    "norm": lambda x: mg.norm(x, axis=(0, 1)),
    "norm 3": lambda x: mg.norm(x, axis=1, ord=3),
    "cumulative_sum": lambda x: mg.cumulative_sum(x, axis=0, include_initial=True),
    "cumulative_prod": lambda x: mg.cumulative_prod(x, axis=1),
    "any": lambda x: mg.any(x > 1.0, axis=0),
    "all": lambda x: mg.all(x > -1.0, keepdims=True),
    "argmin": lambda x: mg.argmin(x, axis=0),
    "argmax": lambda x: mg.argmax(x, axis=None, keepdims=True),
    "count_nonzero": lambda x: mg.count_nonzero(x > 0, axis=1),
    "diff": mg.diff,
    "min": lambda x: mg.min(x, axis=0),
    "logsumexp": lambda x: mg.logsumexp(x, axis=(0, 1), keepdims=True),
    "softmax": lambda x: mg.softmax(x, axis=0),
    "mean": lambda x: mg.mean(x, axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", PER_ROW)
def test_rows_at_once_are_rows_one_by_one(name):
    each_row(PER_ROW[name], np.random.default_rng(3).standard_normal((4, 2, 3)))


# -- errors ----------------------------------------------------------------------------------------

A = np.arange(6.0).reshape(2, 3)
ERRORS = {
    "prod axis": (lambda: mg.prod(A, axis=2), ValueError, r"prod: axis 2 is out of range.*2, 3"),
    "axis twice": (lambda: mg.norm(A, axis=(0, -2)), ValueError, "norm: an axis is given twice"),
    "axis float": (lambda: mg.var(A, axis=1.0), TypeError, "an axis is an integer"),
    "min": (lambda: mg.min(np.zeros((2, 0)), axis=1), ValueError, "min: the minimum of no"),
    "max": (lambda: mg.max(np.zeros((2, 0))), ValueError, r"max\(.*the maximum of no elements"),
    "argmin": (lambda: mg.argmin(np.zeros(0)), ValueError, r"argmin\(.*of no elements"),
    "argmax": (lambda: mg.argmax(A, axis=(0, 1)), TypeError, "argmax: axis is one integer or None"),
    "running": (lambda: mg.cumulative_sum(A), ValueError, r"cumulative_sum: shape \(2, 3\) needs"),
    "two": (lambda: mg.cumulative_prod(A, axis=(0, 1)), TypeError, "runs along one axis"),
    "0-d": (lambda: mg.cumulative_sum(1.0), ValueError, "cumulative_sum: needs at least one axis"),
    "norm": (lambda: mg.norm(A, ord="fro"), ValueError, "norm: ord is the number of.*'fro'"),
    "norm nan": (lambda: mg.norm(A, ord=nan), ValueError, "norm: ord is the number of"),
    "diff": (lambda: mg.diff(A, n=-1), ValueError, "diff: n counts"),
    "diff bool": (lambda: mg.diff(A > 2), TypeError, "booleans are not numbers"),
    "sum bool": (lambda: mg.sum(A, dtype=bool), TypeError, "sum: dtype is that of a number"),
    "mean int": (lambda: mg.mean(A, dtype=int), TypeError, "mean: dtype is a floating-point one"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_call_is_refused_in_words(case):
    call, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words):
        call()


TAPES = {
    "prod": {"axis": (-1,)}, "norm": {"axis": (-1,)}, "sum": {"axis": (-1,)},
    "cumulative_sum": {"axis": -1, "reverse": True}, "max": {"axis": (-1,)},
    "cumulative_prod": {"axis": -1, "reverse": True},
}  # fmt: skip


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_in_other_number_types(name):
    """A gradient checker evaluates rules in extended precision and along complex steps."""
    op, attrs = TABLE[name], TAPES[name]
    x, step = np.array([[0.5, -1.5, 2.0]]), np.array([1.0, -2.0, 0.5])
    long = op.numpy(x.astype(np.longdouble), **attrs)
    assert long.dtype == np.longdouble
    close(long.astype(float), op.numpy(x, **attrs), 1e-15)
    t = mg.asarray(x)
    y = bind(op, t, **attrs)
    slope = op.numpy(x + 1e-30j * step, **attrs).imag / 1e-30
    close(slope, mg.jvp(y, t, step[None]).numpy(), 1e-14)


def test_a_linear_recurrence_never_reads_its_first_factor():
    a, b = mg.asarray([nan, -1.5, 2.0]), mg.asarray([1.0, 2.0, 3.0])
    h = bind(TABLE["linear_recurrence"], a, b, axis=-1, reverse=False)
    assert h.tolist() == [1.0, 0.5, 4.0]
    da, db = mg.evaluate(mg.grad(mg.sum(h), (a, b)))
    assert da.tolist() == [0.0, 3.0, 0.5] and db.tolist() == [-3.5, 3.0, 1.0]
    back = bind(TABLE["linear_recurrence"], mg.flip(a), mg.flip(b), axis=-1, reverse=True)
    assert back.tolist() == [4.0, 0.5, 1.0]
