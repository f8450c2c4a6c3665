"""NumPy's functions on Tensors against NumPy: values in every dtype, with NaN and inf, derivatives.

One table: each call is made with arrays, which NumPy answers, and with Tensors, which we do.
A function without a row fails.
"""

import warnings

import numpy as np
import optree
import pytest

import minigrad as mg
from minigrad.manners import calls, functions
from minigrad.manners.interop import FUNCTIONS, UFUNCS
from minigrad.testing import check_grads
from minigrad.testing.laws import close

RNG = np.random.default_rng(7)


def spread(*shape, low=-2.0, high=2.0):
    """Numbers that are apart from each other and from the integers, in random order."""
    n = int(np.prod(shape))
    a = np.linspace(low, high, n) + 0.037 if n > 1 else np.array([0.537])
    return RNG.permutation(a).reshape(shape)


N, V, W = spread(), spread(5), spread(4, low=0.5)
M, P, C = spread(3, 4), spread(3, 4, low=-1.3, high=2.9), spread(2, 3, 4)
KNOTS = np.array([-1.5, -0.2, 0.4, 1.1, 1.9])

# Name of the function -> calls, each of so many arrays.
ROWS = {
    # elementary
    "allclose": [(np.allclose, M, P), (lambda a: np.allclose(a, a + 1e-9), M),
                 (lambda a: np.allclose(a, a, equal_nan=True), M)],
    "around": [(np.around, M), (lambda a: np.around(a, 1), M), (lambda a: np.round(a * 40, -1), M)],
    "array_equal": [(np.array_equal, M, P), (np.array_equal, M, V), (lambda a: np.array_equal(
        a, a, equal_nan=True), M)],
    "deg2rad": [(np.deg2rad, M)], "rad2deg": [(np.rad2deg, M)],
    "divmod": [(np.divmod, M, P), (lambda a: np.divmod(a, 0.7), V)],
    "exp2": [(np.exp2, M)], "fabs": [(np.fabs, M)],
    "float_power": [(np.float_power, np.abs(M), P), (lambda a: np.float_power(a, 2), M)],
    "fmax": [(np.fmax, M, P), (lambda a: np.fmax(a, 0.3), C)],
    "fmin": [(np.fmin, M, P), (lambda a: np.fmin(a, 0.3), C)],
    "fmod": [(np.fmod, M, P), (lambda a: np.fmod(a, -0.7), V)],
    "heaviside": [(np.heaviside, M, P), (lambda a: np.heaviside(np.array([0.0, 1.0, -1.0]), a), N)],
    "isclose": [(np.isclose, M, P), (lambda a: np.isclose(a, a + 1e-7, rtol=0, atol=1e-6), M),
                (lambda a: np.isclose(a, a, equal_nan=True), M)],
    "isneginf": [(np.isneginf, M)], "isposinf": [(np.isposinf, M)],
    "logaddexp2": [(np.logaddexp2, M, P)],
    # shapes
    "append": [(np.append, M, V), (lambda a, b: np.append(a, b, axis=0), M, P)],
    "array_split": [(lambda a: np.array_split(a, 3), V), (lambda a: np.array_split(
        a, [1, 3], axis=1), M), (lambda a: np.array_split(a, 7, axis=-1), C)],
    "atleast_1d": [(np.atleast_1d, N), (np.atleast_1d, N, V), (np.atleast_1d, M)],
    "atleast_2d": [(np.atleast_2d, N), (np.atleast_2d, V), (np.atleast_2d, C)],
    "atleast_3d": [(np.atleast_3d, N), (np.atleast_3d, V, M), (np.atleast_3d, C)],
    "column_stack": [(lambda a, b: np.column_stack([a, b]), V, V), (lambda a, b: np.column_stack(
        (a, b)), M, spread(3))],
    "delete": [(lambda a: np.delete(a, 1), M), (lambda a: np.delete(a, [0, -1], axis=1), M),
               (lambda a: np.delete(a, slice(0, 2), 1), C)],
    "diag": [(np.diag, V), (lambda a: np.diag(a, 2), V), (lambda a: np.diag(a, -1), V),
             (np.diag, M), (lambda a: np.diag(a, -1), M), (lambda a: np.diag(a, 9), M)],
    "diagflat": [(np.diagflat, M), (lambda a: np.diagflat(a, -2), V)],
    "dsplit": [(lambda a: np.dsplit(a, 2), C), (lambda a: np.dsplit(a, [1]), C)],
    "dstack": [(lambda a, b: np.dstack([a, b]), V, V), (lambda a, b: np.dstack([a, b]), M, P)],
    "fliplr": [(np.fliplr, M), (np.fliplr, C)], "flipud": [(np.flipud, V), (np.flipud, C)],
    "hsplit": [(lambda a: np.hsplit(a, 2), M), (lambda a: np.hsplit(a, [2]), V)],
    "hstack": [(lambda a, b: np.hstack([a, b]), N, V), (lambda a, b: np.hstack([a, b]), M, P)],
    "inner": [(np.inner, V, V), (np.inner, M, C), (np.inner, N, M)],
    "insert": [(lambda a: np.insert(a, 1, 9.0), M), (lambda a: np.insert(a, [1, 3], [5.0, 6.0]), V),
               (lambda a, b: np.insert(a, 2, b, axis=0), M, W), (lambda a: np.insert(
                   a, [0, 2], 7, axis=1), M), (lambda a: np.insert(a, 1, [8.0, 9.0]), V)],
    "kron": [(np.kron, V, W), (np.kron, M, P), (np.kron, V, M), (np.kron, C, M), (np.kron, N, V)],
    "rot90": [(np.rot90, M), *((lambda a, k=k: np.rot90(a, k, axes=(2, 0)), C) for k in range(4))],
    "swapaxes": [(lambda a: np.swapaxes(a, 0, -1), C)],
    "tri": [(lambda a: a * np.tri(3, 4, -1), M)],
    "vander": [(np.vander, V), (lambda a: np.vander(a, 3, increasing=True), V)],
    "vsplit": [(lambda a: np.vsplit(a, 3), M), (lambda a: np.vsplit(a, [1]), C)],
    "vstack": [(lambda a, b: np.vstack([a, b]), V, V), (lambda a, b: np.vstack((a, b)), M, W)],
    # statistics
    "average": [(np.average, M), (lambda a, w: np.average(a, axis=1, weights=w), M, W),
                (lambda a, w: np.average(a, weights=np.abs(w), keepdims=True), M, P),
                (lambda a, w: np.average(a, 0, w, returned=True), C, np.array([0.3, 0.9])),
                (lambda a: np.average(a, axis=(0, 2), weights=np.ones((2, 4))), C)],
    "corrcoef": [(np.corrcoef, M), (np.corrcoef, V, V[::-1] ** 2), (lambda a: np.corrcoef(
        a, rowvar=False), M)],
    "cov": [(np.cov, M), (np.cov, V), (lambda a, b: np.cov(a, b, bias=True), V, V[::-1] ** 2),
            (lambda a: np.cov(a, rowvar=False, ddof=0), M),
            (lambda a, w: np.cov(a, aweights=w), M, W),
            (lambda a: np.cov(a, fweights=np.array([1, 2, 3, 1])), M)],
    "median": [(np.median, V), (np.median, M), (lambda a: np.median(a, axis=1, keepdims=True), M),
               (lambda a: np.median(a, axis=(0, -1)), C)],
    "nancumprod": [(np.nancumprod, M), (lambda a: np.nancumprod(a, axis=1), M)],
    "nancumsum": [(np.nancumsum, M), (lambda a: np.nancumsum(a, axis=0), M)],
    **{f"nan{name}": [(f, V), (f, M), (lambda a, f=f: f(a, axis=(0, 2)), C),
                      (lambda a, f=f: f(a, axis=-1, keepdims=True), M)]
       for name in "max min mean median prod std sum var".split() for f in [
           getattr(np, f"nan{name}")]},
    **{f"{skip}quantile": [
        (lambda a, f=f: f(a, 0.31), V), (lambda a, f=f: f(a, 0.5, axis=1), M),
        (lambda a, f=f: f(a, np.array([0.05, 1.0, 0.35]), axis=(0, 2)), C),
        (lambda a, f=f: f(a, [0.1, 0.77], axis=0, keepdims=True), M),
        *((lambda a, f=f, m=m: f(a, 0.37, axis=-1, method=m), M) for m in
          functions.statistics.PLACES)]
       for skip in ("", "nan") for f in [getattr(np, f"{skip}quantile")]},
    **{f.__name__: [(lambda a, f=f: f(a, 31), V), (lambda a, f=f: f(a, [10.0, 77], axis=0), M)]
       for f in (np.percentile, np.nanpercentile)},
    "ptp": [(np.ptp, M), (lambda a: np.ptp(a, axis=0), C)],
    # calculus
    "convolve": [(lambda a, b, m=m: np.convolve(a, b, m), x, y) for m in ("full", "same", "valid")
                 for x, y in ((V, W), (W, V), (V, V[:1]), (V, V[:2]), (W, V[:3]))],
    "correlate": [(lambda a, b, m=m: np.correlate(a, b, m), x, y) for m in (
        "full", "same", "valid") for x, y in ((V, W), (W, V), (V, V[:1]), (V, V[:2]), (W, V[:3]))],
    "ediff1d": [(np.ediff1d, M), (lambda a, b: np.ediff1d(a, to_end=[b, b], to_begin=1.0), V, N)],
    "gradient": [(np.gradient, V), (np.gradient, M), (lambda a: np.gradient(a, 0.3, axis=1), M),
                 (lambda a: np.gradient(a, KNOTS), V), (lambda a: np.gradient(
                     a, KNOTS, edge_order=2), V), (lambda a: np.gradient(a, 2.0, edge_order=2), V),
                 (lambda a: np.gradient(a, 0.5, np.array([0.0, 0.3, 1.0, 1.2])), M),
                 (lambda a: np.gradient(a, axis=(2, 1)), C), (lambda a: np.gradient(a[:2]), V)],
    "interp": [(lambda x, y: np.interp(x, KNOTS, y), 1.3 * M, V),
               (lambda x: np.interp(x, KNOTS, KNOTS**2, left=-1.0, right=9.0), 1.3 * M),
               (lambda x: np.interp(x, KNOTS[::-1], KNOTS, period=1.7), 1.3 * M),
               (lambda x: np.interp(x, [0.2], [3.0]), M)],
    "piecewise": [(lambda x: np.piecewise(x, [x < 0, x > 1], [lambda v: v**2, lambda v: v + 3]), M),
                  (lambda x: np.piecewise(x, [x < 0], [lambda v: -v, 7]), V)],
    "polyval": [(np.polyval, V, M), (lambda x: np.polyval([1.0, 2, 3], x), M)],
    "select": [(lambda a, b: np.select([a > 1, b > 0], [a, b * b], 0.5), M, P)],
    "trapezoid": [(np.trapezoid, M), (lambda a: np.trapezoid(a, dx=0.3, axis=0), M),
                  (lambda a, x: np.trapezoid(a, x), M, W), (lambda a, x: np.trapezoid(
                      a, x, axis=1), C, C**2)],
    # counted
    "nonzero": [(lambda a: np.nonzero(a > 0), M), (lambda a: np.nonzero(np.round(a)), V)],
    **{f"unique_{k}": [(lambda a, f=f: f(np.round(a * 2) / 2), M), (f, V)] for k in (
        "all", "counts", "inverse") for f in [getattr(np, f"unique_{k}")]},
    "unique_values": [(lambda a: np.sort(np.unique_values(np.round(a * 2) / 2)), M)],
    "unique": [(lambda a: np.unique(np.round(a)), M), (lambda a: np.unique(
        a, return_index=True, return_counts=True), M), (lambda a: np.unique(
            a, return_inverse=True, equal_nan=False), M)],
    "argwhere": [(lambda a: np.argwhere(a > 0), M)],
    "flatnonzero": [(lambda a: np.flatnonzero(a > 0), M)],
    # said in NumPy alone
    "amax": [(lambda a: np.amax(a, 0), M)], "amin": [(np.amin, M)], "angle": [(np.angle, M)],
    "apply_along_axis": [(lambda a: np.apply_along_axis(lambda r: r[:2] * r[2], 1, a), C)],
    "argpartition": [(lambda a: np.argpartition(a, 2)[2], V)], "argsort": [(np.argsort, M)],
    "array2string": [(np.array2string, V)], "array_equiv": [(np.array_equiv, M, M[:1])],
    "array_repr": [(lambda a: str(type(np.array_repr(a))), V)], "array_str": [(np.array_str, V)],
    "block": [(lambda a, b: np.block([[a, b], [b, a]]), M, P), (lambda a, b: np.block([a, b]), N,
              V), (lambda a, b: np.block([[a], [b]]), V, V)],
    "choose": [(lambda a, b: np.choose(np.array([[0, 1, 1, 0]]), [a, b]), M, P)],
    "compress": [(lambda a: np.compress([True, False, True], a, axis=0), M)],
    "copy": [(np.copy, M)], "cross": [(lambda a, b: np.cross(a[:, :3], b[:, :3]), M, P),
        (lambda a, b: np.cross(a, b, axisa=0, axisb=1, axisc=0), M, M.T)],
    "diag_indices_from": [(lambda a: np.diag_indices_from(a[:, :3]), M)],
    "digitize": [(lambda a: np.digitize(a, KNOTS), M), (lambda a: np.digitize(
        a, KNOTS[::-1], right=True), M)],
    "extract": [(lambda a: np.extract(M > 0, a), P)], "fix": [(np.fix, M)],
    "geomspace": [(lambda a: np.geomspace(a, 9.0, 5), np.array(0.7))], "imag": [(np.imag, M)],
    "iscomplex": [(np.iscomplex, M)], "iscomplexobj": [(np.iscomplexobj, M)],
    "isin": [(lambda a: np.isin(a, V), V[::-1]), (lambda a: np.isin(a, V[:2], invert=True), V)],
    "isreal": [(np.isreal, M)], "isrealobj": [(np.isrealobj, M)],
    "linspace": [(lambda a, b: np.linspace(a, b, 4), N, 3 * N), (lambda a: np.linspace(
        a, 2.0, 3, endpoint=False), V), (lambda a: np.linspace(a, 2.0, 1), V)],
    "logspace": [(lambda a: np.logspace(a, 2.0, 5), N)], "nan_to_num": [(np.nan_to_num, M)],
    "partition": [(lambda a: np.partition(a, 2)[2], V)], "ravel": [(np.ravel, M), (lambda a:
        np.ravel(a, "F"), C)], "real": [(np.real, M)], "real_if_close": [(np.real_if_close, M)],
    "reshape": [(lambda a: np.reshape(a, (4, -1)), M), (lambda a: np.reshape(
        a, (4, 6), order="F"), C)], "resize": [(lambda a: np.resize(a, (3, 7)), M)],
    "rollaxis": [(lambda a: np.rollaxis(a, 2), C), (lambda a: np.rollaxis(a, 0, 3), C),
                 (lambda a: np.rollaxis(a, -1, 1), C)],
    "round": [(lambda a: np.round(a, 2), M)], "row_stack": [(lambda a: np.vstack([a, a]), V)],
    "sort": [(lambda a: np.sort(a, axis=None, kind="stable"), M), (lambda a: np.sort(a, 0), C)],
    "tensordot": [(lambda a, b: np.tensordot(a, b, axes=[0, 0]), M, P)],
    "tril_indices_from": [(lambda a: np.tril_indices_from(a, 1), M)],
    "triu_indices_from": [(lambda a: np.triu_indices_from(a, -1), M)],
    "vdot": [(np.vdot, M, P)],
    # ufuncs
    "conjugate": [(np.conj, M)], "degrees": [(np.degrees, M)], "radians": [(np.radians, M)],
    "matvec": [(lambda a, b: np.matvec(a, b), C, W)] if hasattr(np, "matvec") else [],
    "vecmat": [(lambda a, b: np.vecmat(a, b), spread(3), C)] if hasattr(np, "vecmat") else [],
    "modf": [(np.modf, M)], "reciprocal": [(np.reciprocal, M)],
}  # fmt: skip
OWN = {"add_along_axis", "cummax", "cummin", "logcumsumexp", "put_along_axis", "topk"}
CALLS = [(name, *call) for name, calls_ in ROWS.items() for call in calls_]
IDS = [f"{name}-{k}" for name, calls_ in ROWS.items() for k in range(len(calls_))]
every_call = pytest.mark.parametrize(("name", "call", "arrays"),
                                     [(n, c, a) for n, c, *a in CALLS], ids=IDS)  # fmt: skip


def test_every_function_has_a_row():
    mine = set(functions.__all__) | {f.__name__ for f in (*calls.FUNCTIONS, *calls.UFUNCS)}
    assert mine - OWN == set(ROWS), mine ^ set(ROWS) ^ OWN
    assert all(getattr(mg, n).__doc__ and "Raises" in getattr(mg, n).__doc__
               for n in functions.__all__)  # fmt: skip


def test_each_is_ours_by_its_name():
    for name in functions.__all__:
        numpy = getattr(np, name, None)
        if numpy is not None and name not in {"put_along_axis", "vstack", "hstack", "around"}:
            assert (FUNCTIONS | UFUNCS)[numpy] is getattr(mg, name), name


def quiet(call, *arrays):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arrays)


def compared(call, arrays, tol, kind):
    try:
        wanted = quiet(call, *arrays)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return  # NumPy has no answer
    found = call(*map(mg.asarray, arrays))
    found, wanted = optree.tree_leaves(found), optree.tree_leaves(wanted)
    assert len(found) == len(wanted)
    for t, a in zip(found, wanted, strict=True):
        if isinstance(a, (str, bool)):
            assert type(t) is type(a) or isinstance(t, mg.Tensor)
            assert t == a
            continue
        assert (np.shape(t), np.asarray(t).dtype) == (np.shape(a), np.asarray(a).dtype), kind
        close(np.asarray(t), np.asarray(a), tol, kind)


KINDS = {
    "float64": lambda a: a, "int64": lambda a: (3 * a).astype(np.int64), "bool": lambda a: a > 0,
    "float32": lambda a: a.astype(np.float32), "NaN": lambda a: np.where(a > 1.5, np.nan, a),
    "inf": lambda a: np.where(a > 1.2, np.inf, np.where(a < -1.8, -np.inf, a)),
    "ties": lambda a: np.round(a), "none": lambda a: a[..., :0] if a.ndim else a,
    "all NaN": lambda a: np.full_like(a, np.nan),
}
NOT_OURS = {  # NumPy's booleans are int8 or float16 there, and its own peculiarities
    "bool": "exp2 deg2rad rad2deg degrees radians heaviside logaddexp2 modf divmod fabs fix around "
            "nonzero unique float_power fmod conjugate reciprocal piecewise trapezoid "
            "argpartition quantile percentile nanquantile nanpercentile",
    "none": "cov nanquantile nanpercentile", "all NaN": "argpartition geomspace interp",
    "NaN": "interp",  # at one point alone NaN is that point
    "int64": "reciprocal",
}  # fmt: skip


@every_call
def test_values_are_those_of_numpy(name, call, arrays):
    for kind, made in KINDS.items():
        if name not in NOT_OURS.get(kind, "").split():
            compared(call, [made(a) for a in arrays], 3e-6 if kind == "float32" else 1e-12, kind)


FLAT = {  # what has no derivative, or text
    "allclose", "array_equal", "isclose", "isneginf", "isposinf", "tri", "angle", "argsort",
    "argpartition", "array2string", "array_equiv", "array_repr", "array_str", "diag_indices_from",
    "digitize", "imag", "iscomplex", "iscomplexobj", "isin", "isreal", "isrealobj",
    "tril_indices_from", "triu_indices_from", "nonzero", "argwhere", "flatnonzero",
}  # fmt: skip


@pytest.mark.parametrize(("name", "call", "arrays"),
                         [(n, c, a) for n, c, *a in CALLS if n not in FLAT],
                         ids=[i for i, (n, *_) in zip(IDS, CALLS, strict=True) if n not in FLAT])
def test_derivatives_are_right(name, call, arrays):
    def leaves(*xs):
        return tuple(t for t in optree.tree_leaves(call(*xs)) if t.dtype.kind == "f")

    report = check_grads(leaves, *arrays, order=2)
    assert report.ok, str(report)


def test_positions_are_not_read_inside_a_trace():
    for f in (mg.nonzero, mg.unique_values, mg.unique_all):
        with pytest.raises(TypeError, match=f"{f.__name__}: the shape of the result depends on"):
            mg.function(lambda x, f=f: f(x))(V)
    with pytest.raises(ValueError, match="nonzero: a number has no positions"):
        mg.nonzero(1.0)
