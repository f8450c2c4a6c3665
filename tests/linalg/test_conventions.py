"""What `mg.linalg` does with bad matrices, equal eigenvalues, zeros and nothing; NumPy's door."""

import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import toposort
from minigrad.manners.interop import FUNCTIONS
from minigrad.testing.laws import close

from .cases import CASES, L, definite

RNG = np.random.default_rng(0)
GOOD = RNG.standard_normal((3, 3))
DEFINITE = GOOD @ GOOD.T + np.eye(3)
BAD = {
    "definite": DEFINITE, "singular": np.diag([2.0, 1.0, 0.0]),
    "indefinite": np.diag([1.0, 2.0, -3.0]), "zeros": np.zeros((3, 3)), "equal": np.eye(3),
    "nan": np.full((3, 3), np.nan), "inf": np.full((3, 3), np.inf),
}  # fmt: skip
STACK = np.stack(list(BAD.values()))
ALWAYS = {"nan", "inf"}
SINGULAR = ALWAYS | {"singular", "zeros"}
TIED = ALWAYS | {"zeros", "equal"}
# f, the matrices whose value has NaN, those whose gradient has
CONVENTIONS = {
    "inv": (L.inv, SINGULAR, SINGULAR),
    "solve": (lambda x: L.solve(x, np.ones(3)), SINGULAR, SINGULAR),
    "det": (L.det, ALWAYS, ALWAYS),
    "logdet": (lambda x: L.slogdet(x).logabsdet, ALWAYS, SINGULAR),
    "cholesky": (L.cholesky, SINGULAR | {"indefinite"}, SINGULAR | {"indefinite"}),
    "Q": (lambda x: L.qr(x).Q, ALWAYS, SINGULAR),
    "eigenvalues": (lambda x: L.eigh(x).eigenvalues, ALWAYS, ALWAYS),
    "eigvalsh": (L.eigvalsh, ALWAYS, ALWAYS),
    "eigenvectors": (lambda x: L.eigh(x).eigenvectors, ALWAYS, TIED),
    "U": (lambda x: L.svd(x, full_matrices=False).U, ALWAYS, TIED),
    "Vh": (lambda x: L.svd(x).Vh, ALWAYS, TIED),
    "S": (lambda x: L.svd(x).S, ALWAYS, ALWAYS),
    "svdvals": (L.svdvals, ALWAYS, ALWAYS),
    "pinv": (L.pinv, ALWAYS, ALWAYS),
    "pinv, cut": (lambda x: L.pinv(x, rtol=1e-9), ALWAYS, TIED),
    "expm": (L.expm, ALWAYS, ALWAYS),
    "nuclear": (lambda x: L.matrix_norm(x, ord="nuc"), ALWAYS, ALWAYS),
}


def spoilt(values):
    """The matrices of the stack whose numbers are not all there."""
    per = np.isnan(np.reshape(values, (len(STACK), -1))).any(axis=1)
    return {name for name, bad in zip(BAD, per, strict=True) if bad}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_bad_matrix_spoils_itself_alone(name):
    f, values, slopes = CONVENTIONS[name]
    x = mg.asarray(STACK)
    y = f(x)
    w = RNG.standard_normal(y.shape)
    assert spoilt(y.numpy()) == values
    slope = mg.grad(mg.sum(y * w), x).numpy()
    assert spoilt(slope) == slopes
    for k, one in enumerate(STACK):  # what the others are beside bad ones, they are alone
        t = mg.asarray(one)
        z = f(t)
        close(y.numpy()[k], z.numpy(), 1e-12)
        if list(BAD)[k] not in slopes and name != "logdet":
            close(slope[k], mg.grad(mg.sum(z * w[k]), t).numpy(), 1e-9)


@pytest.mark.parametrize("name", [n for n in CONVENTIONS if n not in (
    "eigenvectors", "U", "Vh", "pinv, cut")])  # fmt: skip
def test_a_matrix_that_nothing_reads_gets_zeros(name):
    """A cotangent of zeros is zeros again, whatever the matrix: also forward and twice."""
    f, _, _ = CONVENTIONS[name]
    x = mg.asarray(STACK)
    loss = mg.sum(mg.sin(f(x)[0]))
    g = mg.grad(loss, x)
    assert not g.numpy()[1:].any() and g.numpy()[0].any()
    second = mg.grad(mg.sum(g[0] * GOOD), x).numpy()
    vectors = name in ("eigenvalues", "eigvalsh", "S", "svdvals", "nuclear")  # of equal values
    assert np.isfinite(second[0]).all()
    assert spoilt(second) == (TIED - ALWAYS if vectors else set())
    assert not np.nan_to_num(second[1:]).any()


def test_few_bad_matrices_of_many_cost_few_calls(monkeypatch):
    calls, right = [], np.linalg.inv
    monkeypatch.setattr(np.linalg, "inv", lambda a: calls.append(len(a)) or right(a))
    stack = np.tile(DEFINITE, (4, 64, 1, 1))
    stack[1, 7] = stack[3, 63] = 0
    found = L.inv(stack).numpy()
    assert sum(calls) < 6 * 256 and len(calls) < 40
    bad = np.isnan(found).any(axis=(2, 3))
    assert np.argwhere(bad).tolist() == [[1, 7], [3, 63]]
    close(found[~bad], np.broadcast_to(right(DEFINITE), (254, 3, 3)), 1e-14)


def test_values_at_bad_matrices():
    assert L.det(STACK).numpy()[1:4].tolist() == [0.0, -6.0, 0.0]
    sign, log = L.slogdet(STACK[:5])
    assert sign.tolist() == [1, 0, -1, 0, 1] and log.numpy()[1] == -np.inf
    assert L.matrix_rank(STACK).tolist() == [3, 2, 3, 0, 3, 0, 0]
    close(L.pinv(np.ones((3, 3))).numpy(), np.ones((3, 3)) / 9, 1e-15)
    assert not L.pinv(np.zeros((2, 3))).numpy().any()


# -- equal eigenvalues and singular values ---------------------------------------------------------


def test_the_cofactors_of_singular_matrices():
    """det is a polynomial: its slope at any matrix is exact, of rank n - 1 and below."""
    for rank in (3, 2, 1, 0):
        a = RNG.standard_normal((4, rank)) @ RNG.standard_normal((rank, 4))
        x = mg.asarray(a)
        wanted = np.empty((4, 4))
        for i in range(4):
            for j in range(4):
                minor = np.delete(np.delete(a, i, 0), j, 1)
                wanted[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
        close(mg.grad(L.det(x), x).numpy(), wanted, 1e-13)


@pytest.mark.parametrize("rank", [3, 2, 1, 0])
def test_the_second_derivative_of_det_at_singular_matrices(rank):
    """Against the polynomial itself: the determinant of 3 x 3 matrices written out."""
    a = RNG.standard_normal((3, rank)) @ RNG.standard_normal((rank, 3))
    x = mg.asarray(a)
    plain = mg.vecdot(x[0], mg.cross(x[1], x[2]))
    u, v = RNG.standard_normal((2, 3, 3))
    found = [mg.hvp(y, x, u) for y in (L.det(x), plain)]
    close(*mg.evaluate(found), 1e-13)
    close(*mg.evaluate([mg.jvp(mg.grad(y, x), x, v) for y in (L.det(x), plain)]), 1e-13)
    third = [mg.grad(mg.sum(h * v), x).numpy() for h in found]
    if rank == 3:
        close(third[0], third[1], 1e-12)
        close(*mg.evaluate([mg.jvp(h, x, v) for h in found]), 1e-12)
    elif rank == 0:
        assert np.isnan(third[0]).all()  # exactly singular


def test_equal_eigenvalues_that_are_treated_alike():
    """Of eigenvalues alone: sum(w^3) = trace(x^3) has slope 3 x^2, also where they are equal."""
    a = np.diag([2.0, 2.0, -1.0])
    for values in (L.eigvalsh, lambda x: L.eigh(x).eigenvalues):
        x = mg.asarray(a)
        g = mg.grad(mg.sum(values(x) ** 3), x)
        close(g.numpy(), 3 * a @ a, 1e-14)
        assert np.isnan(mg.grad(mg.sum(g * GOOD), x).numpy()).all()
    s = np.diag([2.0, 2.0])
    x = mg.asarray(s)
    close(mg.grad(mg.sum(L.svdvals(x) ** 2), x).numpy(), 2 * s, 1e-14)
    close(mg.grad(L.matrix_norm(x, ord=2), x).numpy(), np.eye(2) / 2, 1e-14)  # they share it


def test_vectors_of_equal_eigenvalues_have_no_slope_rather_than_a_wrong_one():
    """log(I) by eigenvectors: the cotangent of the vectors is 0, and 0 would be a wrong slope."""
    x = mg.asarray(np.eye(2))
    w, v = L.eigh(x)
    log = (v * mg.log(w)) @ v.mT
    assert np.isnan(mg.grad(log[0, 1], x).numpy()).all()  # 1/2 each, off the diagonal
    near = np.eye(3) + 1e-16 * DEFINITE  # equal to rounding
    x = mg.asarray(near)
    assert np.isnan(mg.grad(mg.sum(L.eigh(x).eigenvectors * GOOD), x).numpy()).all()


def test_zero_singular_values_have_slope_zero():
    for f in (lambda x: mg.sum(L.svdvals(x)), lambda x: L.matrix_norm(x, ord="nuc"),
              lambda x: L.matrix_norm(x, ord=2), L.matrix_norm):  # fmt: skip
        x = mg.asarray(np.zeros((2, 3)))
        assert not mg.grad(f(x), x).numpy().any()
    x = mg.asarray(-2.0 * np.ones((1, 1)))
    assert mg.grad(mg.sum(L.svdvals(x)), x).item() == -1.0


def test_no_derivative_of_any_basis():
    x = mg.asarray(RNG.standard_normal((4, 2)))
    with pytest.raises(ValueError, match="svd: with full_matrices=True.*use full_matrices=False"):
        mg.grad(mg.sum(L.svd(x).U), x)
    with pytest.raises(ValueError, match="qr: the last columns.*mode='reduced'"):
        mg.grad(mg.sum(L.qr(x, mode="complete").Q), x)
    close(*mg.evaluate([mg.grad(mg.sum(s), x) for s in (L.svd(x).S, L.svdvals(x))]), 1e-14)


# -- laws ------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 4))


@given(shapes, st.sampled_from([np.float64, np.float32]), st.integers(0, 2**32 - 1))
def test_parts_multiply_to_the_whole(shape, dtype, seed):
    """Reconstruction, orthonormality, order and signs; empty stacks and matrices too."""
    a = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    tol = 1e-12 if dtype is np.float64 else 1e-4
    k = min(shape[1:])

    def eye(n):
        return np.broadcast_to(np.eye(n, dtype=dtype), (shape[0], n, n))

    for full in (True, False):
        u, s, vh = (t.numpy() for t in L.svd(a, full_matrices=full))
        assert u.dtype == s.dtype == vh.dtype == dtype
        close((u[..., :k] * s[:, None]) @ vh[:, :k], a, tol)
        close(np.swapaxes(u, 1, 2) @ u, eye(u.shape[-1]), tol)
        close(vh @ np.swapaxes(vh, 1, 2), eye(vh.shape[-2]), tol)
        assert (np.diff(s) <= 0).all() and (s >= 0).all()
        q, r = (t.numpy() for t in L.qr(a, mode="complete" if full else "reduced"))
        assert q.shape[-1] == (shape[1] if full else k) and q.dtype == dtype
        close(q @ r, a, tol)
        close(np.swapaxes(q, 1, 2) @ q, eye(q.shape[-1]), tol)
        assert not np.tril(r, -1).any()
    close(L.svdvals(a).numpy(), s, tol)
    p = L.pinv(a).numpy()
    close(a @ p @ a, a, 10 * tol * max(1.0, float(np.abs(p).max(initial=0)) ** 2))
    assert p.shape == (shape[0], shape[2], shape[1])
    assert L.matrix_rank(a).numpy().tolist() == np.linalg.matrix_rank(a).tolist() if k else True
    gram = a @ np.swapaxes(a, 1, 2)
    w, v = (t.numpy() for t in L.eigh(gram))
    close((v * w[:, None]) @ np.swapaxes(v, 1, 2), gram, tol)
    close(L.eigvalsh(gram).numpy(), w, tol)
    pd = gram + np.eye(shape[1], dtype=dtype)
    low, up = L.cholesky(pd).numpy(), L.cholesky(pd, upper=True).numpy()
    close(low @ np.swapaxes(low, 1, 2), pd, tol)
    close(np.swapaxes(low, 1, 2), up, 0.0)
    close(L.inv(pd).numpy() @ pd, eye(shape[1]), 10 * tol)
    sign, log = (t.numpy() for t in L.slogdet(pd))
    close(sign * np.exp(log), np.linalg.det(pd), 10 * tol)
    close(L.det(pd).numpy(), np.linalg.det(pd), tol)
    close(pd @ L.solve(pd, a).numpy(), a, 10 * tol)
    close(L.expm(gram * 0).numpy(), eye(shape[1]), 1e-6 if dtype is np.float32 else 1e-15)


@given(st.integers(-3, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_powers_and_exponentials(n, size, seed):
    a = np.random.default_rng(seed).standard_normal((2, size, size)) + 2 * np.eye(size)
    close(L.matrix_power(a, n).numpy(), np.linalg.matrix_power(a, n), 1e-8)
    close(L.expm(a * n).numpy(), np.linalg.matrix_power(L.expm(a).numpy(), n), 1e-8)
    skew = 50 * (a - np.swapaxes(a, 1, 2))  # a rotation, however large
    turn = L.expm(skew).numpy()
    close(turn @ np.swapaxes(turn, 1, 2), np.broadcast_to(np.eye(size), a.shape), 1e-11)


def test_the_exponential_of_each_matrix_is_scaled_by_itself():
    a = np.stack([np.diag([0.0, 1e-9]), np.diag([300.0, -700.0])])
    want = np.exp(np.diagonal(a, axis1=1, axis2=2))
    found = np.diagonal(L.expm(a).numpy(), axis1=1, axis2=2)
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_triangles_read_no_more_than_they_say():
    a = RNG.standard_normal((3, 3))
    b = RNG.standard_normal((2, 3, 2))
    for upper in (False, True):
        other = np.tril if upper else np.triu
        for unit in (False, True):
            t = np.where(other(np.ones((3, 3)), 0 if unit else (-1 if upper else 1)), np.nan, a)
            x = mg.asarray(t)
            y = L.solve_triangular(x, b, upper=upper, unit_diagonal=unit)
            own = np.nan_to_num(t) + unit * np.eye(3)
            close(own @ y.numpy(), b, 1e-12)
            g = mg.grad(mg.sum(y), x).numpy()
            assert not g[np.isnan(t)].any() and g[~np.isnan(t)].all()


@pytest.mark.parametrize("upper", [False, True])
def test_triangles_are_substituted(upper):
    """Regression: exchanging rows lost nine digits where the diagonal is small; in whole numbers
    substitution is exact, forward and in the gradient, whose triangle is the other one."""
    a = RNG.integers(-1000, 1000, (5, 5)) + 0.0
    t = np.triu(a, 1) if upper else np.tril(a, -1)
    y, c = RNG.integers(-9, 10, (2, 5, 3)) + 0.0
    b = mg.asarray((t + np.eye(5)) @ y)
    found = L.solve_triangular(a, b, upper=upper, unit_diagonal=True)
    np.testing.assert_array_equal(found.numpy(), y)
    slope = (t + np.eye(5)).T @ c
    np.testing.assert_array_equal(mg.vjp(found, b, slope).numpy(), c)


# -- arguments -------------------------------------------------------------------------------------

WRONG = [
    (lambda: L.inv(np.ones((2, 3))), ValueError, r"inv: needs square matrices.*\(2, 3\)"),
    (lambda: L.det(np.ones(3)), ValueError, r"det: needs matrices, .*\(3,\)"),
    (lambda: L.cholesky(np.ones((2, 2)), upper="yes"), TypeError, "cholesky: upper"),
    (lambda: L.qr(np.ones((2, 2)), mode="r"), ValueError, "qr: mode is 'reduced' or 'complete'"),
    (lambda: L.svd(1.0), ValueError, r"svd: needs matrices, .*\(\)"),
    (lambda: L.solve(np.eye(2), np.ones(3)), ValueError, r"solve: .*need right sides .*\(3,"),
    (lambda: L.solve(np.ones((2, 2, 2)), np.ones((3, 2, 1))), ValueError, "do not broadcast"),
    (lambda: L.lstsq(np.ones((3, 2)), np.ones(2)), ValueError, r"lstsq: .*\(\.\.\., 3, k\)"),
    (lambda: L.matrix_norm(np.eye(2), ord=3), ValueError, "matrix_norm: ord is 'fro'.*got 3"),
    (lambda: L.matrix_norm(np.ones((2, 0)), ord=2), ValueError, "of nothing"),
    (lambda: L.matrix_power(np.eye(2), 0.5), TypeError, "matrix_power: n must be integer"),
    (lambda: L.pinv(np.eye(2), rtol=-1), ValueError, "pinv: rtol is at least 0"),
    (lambda: L.inv(np.eye(2, dtype=np.float16)), TypeError, "inv: needs float32 or float64"),
    (lambda: L.inv(np.eye(2) * 1j), TypeError, "complex"),
    (lambda: L.eig(np.eye(2)), TypeError, "eig: .*complex.*mg.linalg.eigh;.*np.linalg.eig"),
    (lambda: L.eigvals(np.eye(2)), TypeError, "eigvals: .*complex.*mg.linalg.eigvalsh"),
    (lambda: np.linalg.eig(mg.eye(2)), TypeError, "eig: .*complex"),
    (lambda: np.linalg.eigh(mg.eye(2), UPLO="x"), ValueError, "UPLO is 'L' or 'U'"),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_arguments_are_named(k):
    call, kind, words = WRONG[k]
    with pytest.raises(kind, match=words):
        call()


def test_integers_are_floats():
    x = mg.asarray(np.array([[2, 1], [1, 1]]))
    assert L.inv(x).dtype == np.float64 and L.inv(x).tolist() == [[1.0, -1.0], [-1.0, 2.0]]
    assert L.matrix_power(x, 2).tolist() == [[5.0, 3.0], [3.0, 2.0]]
    assert L.solve(np.eye(2, dtype=np.float32), np.ones(2)).dtype == np.float64


def test_cuts_of_ones_own():
    a = np.stack([np.diag([1.0, 1e-3]), np.diag([1.0, 0.5])])
    assert L.matrix_rank(a, rtol=1e-2).tolist() == [1, 2]
    assert L.matrix_rank(a, rtol=np.array([1e-4, 0.6])).tolist() == [2, 1]
    close(L.pinv(a, rtol=0.1).numpy(), np.stack([np.diag([1.0, 0.0]), np.diag([1.0, 2.0])]), 1e-15)
    close(L.matrix_norm(a, keepdims=True, ord=2).numpy(), np.ones((2, 1, 1)), 1e-15)


def test_names_and_pickles():
    assert set(L.__all__) == {n for n in dir(L) if n[0] not in "_@"} - {
        "matrices", "solving", "factors", "measures"
    }  # fmt: skip
    x = mg.asarray(DEFINITE, name="x")
    y = L.eigh(x).eigenvectors @ L.inv(x)
    close(pickle.loads(pickle.dumps(y)).numpy(), y.numpy(), 0.0)
    assert "inv(x)" in mg.expr(L.inv(x))


# -- NumPy's door ----------------------------------------------------------------------------------

A, T = GOOD, RNG.standard_normal((3, 4))
DOOR = {
    "inv": lambda x: np.linalg.inv(x),
    "det": lambda x: np.linalg.det(x),
    "solve": lambda x: np.linalg.solve(x, A),
    "solve for an array": lambda x: np.linalg.solve(DEFINITE, x),
    "slogdet": lambda x: np.linalg.slogdet(x),
    "matrix_power": lambda x: np.linalg.matrix_power(x, -2),
    "matrix_norm": lambda x: np.linalg.matrix_norm(x, ord="nuc"),
    "matrix_rank": lambda x: np.linalg.matrix_rank(x),
    "pinv": lambda x: np.linalg.pinv(x),
    "pinv rcond": lambda x: np.linalg.pinv(x, 0.5),
    "qr": lambda x: np.linalg.qr(x[:, :2], "complete"),
    "svd": lambda x: np.linalg.svd(x),
    "svd alone": lambda x: np.linalg.svd(x, compute_uv=False),
    "svdvals": lambda x: np.linalg.svdvals(x),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)),
    "cholesky of a triangle": lambda x: np.linalg.cholesky(DEFINITE + np.triu(x * x, 1)),
    "cholesky, upper": lambda x: np.linalg.cholesky(DEFINITE + np.tril(x * x, -1), upper=True),
    "eigh": lambda x: np.linalg.eigh(x),
    "eigh U": lambda x: tuple(t * t for t in np.linalg.eigh(x, "U")),  # signs are LAPACK's
    "eigvalsh": lambda x: np.linalg.eigvalsh(x),
    "norm nuc": lambda x: np.linalg.norm(x, "nuc"),
    "norm 2": lambda x: np.linalg.norm(x[None], 2, axis=(2, 1), keepdims=True),
    "norm inf": lambda x: np.linalg.norm(x, np.inf),
    "cond": lambda x: (np.linalg.cond(x), np.linalg.cond(x, -2), np.linalg.cond(x, "fro")),
    "multi_dot": lambda x: np.linalg.multi_dot([A, x, T, T[0]]),
    "cross": lambda x: np.linalg.cross(x, A), "outer": lambda x: np.linalg.outer(x[0], A[0]),
    "diagonal": lambda x: np.linalg.diagonal(x), "trace": lambda x: np.linalg.trace(x),
    "matmul": lambda x: np.linalg.matmul(x, T), "vecdot": lambda x: np.linalg.vecdot(x, A),
    "matrix_transpose": lambda x: np.linalg.matrix_transpose(x),
    "tensordot": lambda x: np.linalg.tensordot(x, A, axes=1),
    "vector_norm": lambda x: np.linalg.vector_norm(x, ord=1),
}


@pytest.mark.parametrize("name", DOOR)
def test_numpys_functions_record_ours(name):
    x = mg.asarray(GOOD)
    found, wanted = DOOR[name](x), DOOR[name](GOOD)
    if not isinstance(wanted, tuple):
        found, wanted = (found,), (wanted,)
    for y, z in zip(found, wanted, strict=True):
        assert isinstance(y, mg.Tensor) and any(t is x for t in toposort([y]))
        close(y.numpy(), np.asarray(z), 1e-13)


def test_every_function_of_numpys_linalg_is_tried():
    text = inspect.getsource(inspect.getmodule(test_every_function_of_numpys_linalg_is_tried))
    names = [f.__name__ for f in FUNCTIONS if f.__module__ == "numpy.linalg"]
    assert len(names) > 20
    assert not [n for n in names if f"np.linalg.{n}(" not in text and n not in ("eig", "eigvals")]


def test_all_cases_are_functions_of_matrices():
    """No case without a derivative to speak of, or the tests above are of nothing."""
    tried = " ".join(inspect.getsource(inspect.getmodule(definite)).split())
    named = set(L.__all__) - {
        "EighResult", "QRResult", "SVDResult", "SlogdetResult", "eig", "eigvals", "matrix_rank",
        "cross", "diagonal", "matmul", "matrix_transpose", "outer", "tensordot", "trace", "vecdot",
    }  # fmt: skip
    assert not [n for n in named if f"L.{n}" not in tried and f'"{n}"' not in tried]
    assert len(CASES) > 30


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_vectors_have_the_signs_that_numpy_gives_them(uplo):
    """Regression: with UPLO="U" some had the other one."""
    for _ in range(5):
        a = RNG.standard_normal((6, 6))
        ours, theirs = np.linalg.eigh(mg.asarray(a), uplo), np.linalg.eigh(a, uplo)
        close([t.numpy() for t in ours], list(theirs), 1e-9)
