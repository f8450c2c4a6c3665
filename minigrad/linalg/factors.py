"""Factorizations of stacks of matrices: Cholesky, QR, eigenvalues of symmetric ones, SVD.

Each is one primitive whose results lie below each other in one array,
so that it runs once however many of them are read, forward and backward.

Conventions:
    not finite, or refused by LAPACK (`cholesky` of what is not positive definite):
        NaN for that matrix alone.
    repeated eigenvalues, or singular values: those closer than n eps times the largest
        count as equal, as rounding decides which vectors they have.
        The derivative of eigenvalues is one choice among them, exact for functions that treat
        equal ones alike; that of eigenvectors is NaN, for that matrix alone.
    a singular value of 0 : has slope 0, as abs(0).
    signs of vectors      : LAPACK's.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Shape, Tensor, bind
from ..ops.broadcast import broadcast_to, reshape
from ..ops.contract import matmul, tril, triu
from ..ops.creation import zeros, zeros_like
from ..ops.elementwise import (
    abs,
    absorb,
    add,
    add_n,
    divide,
    equal,
    less_equal,
    multiply,
    negative,
    subtract,
    where,
)
from ..ops.movement import concat, matrix_transpose, part
from ..ops.table import ArrayLike, choice_of, flag_of, same
from .matrices import (
    arrived,
    floats,
    of_finite,
    packed,
    square,
    symmetric,
    times,
    times_left,
    unpacked,
    whole,
)
from .solving import solved_upper

Sizes = list[tuple[int, int]]


class QRResult(NamedTuple):
    """x = Q @ R of matrices (..., m, n).

    Q (..., m, k) has orthonormal columns, R (..., k, n) is upper triangular.
    """

    Q: Tensor
    R: Tensor


class EighResult(NamedTuple):
    """x @ eigenvectors = eigenvectors * eigenvalues, for symmetric x (..., n, n).

    Eigenvalues (..., n), ascending; eigenvectors (..., n, n), in columns.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """x = U @ diag(S) @ Vh, for matrices (..., m, n).

    U (..., m, k), S (..., k) descending, Vh (..., k, n); k = min(m, n), or m and n of full ones.
    """

    U: Tensor
    S: Tensor
    Vh: Tensor


# -- what the rules share --------------------------------------------------------------------------


def _row_of(t: Tensor) -> Tensor:
    """Numbers (..., k) as rows (..., 1, k)."""
    return reshape(t, (*t.shape[:-1], 1, t.shape[-1]))


def _vector(t: Tensor) -> Tensor:
    """Rows (..., 1, k) as numbers (..., k)."""
    return reshape(t, (*t.shape[:-2], t.shape[-1]))


def _by_column(ct: Tensor, m: Tensor) -> Tensor:
    """The columns of matrices times a row of cotangents."""
    return absorb(broadcast_to(ct, m.shape), m)


def _over_gaps(m: Tensor, row: Tensor, size: int, scale: Tensor, squares: bool) -> Tensor:
    """m_ij / (v_j - v_i) off the diagonal (`squares`: of v^2), 0 on it, NaN where two are equal.

    NaN whatever m is: with vectors of one choice its 0 need not be that of another.

    row : the values v, (..., 1, k);  scale : the largest |v|, (..., 1, 1).
    """
    k = row.shape[-1]
    shape = (*row.shape[:-2], k, k)
    column = matrix_transpose(row)
    gap = subtract(row, column)
    near = less_equal(abs(gap), multiply(scale, size * float(np.finfo(row.dtype).eps)))
    here = broadcast_to(np.eye(k, dtype=bool), shape)
    whole_gap = multiply(gap, add(row, column)) if squares else gap
    safe = where(here | near, 1.0, whole_gap)
    return where(here, 0.0, where(near, np.nan, absorb(m, divide(1.0, safe))))


# -- Cholesky --------------------------------------------------------------------------------------


def _cholesky_numpy(x: Any) -> Any:
    half = np.asarray(0.5, x.dtype)
    return of_finite(
        lambda a: np.linalg.cholesky(half * a + half * np.swapaxes(a, -1, -2)), x.shape[-2:], x
    )


def _cholesky_vjp(ct: Tensor, low: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    """Murray 2016, equation 10: S = L^-T Phi(L^T ct) L^-1, symmetric part."""
    up = matrix_transpose(low)
    inner = tril(times_left(up, tril(ct)))
    phi = subtract(inner, multiply(0.5, multiply(inner, np.eye(inner.shape[-1], dtype=low.dtype))))
    left = matrix_transpose(solved_upper(up, phi))
    return [symmetric(solved_upper(up, left))]


CHOLESKY = whole("cholesky", same, _cholesky_numpy, _cholesky_vjp)


def cholesky(x: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """The triangular L with L @ L.mT = x, for positive definite matrices (..., n, n).

    x     : its symmetric part (x + x.mT) / 2 is taken, and gets a symmetric gradient.
    upper : the transpose of L, with U.mT @ U = x.

    NaN for a matrix that is not positive definite, for that one alone.

    Murray 2016, "Differentiation of the Cholesky decomposition".

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    up = flag_of("cholesky", "upper", upper)
    low = bind(CHOLESKY, square("cholesky", x))
    return matrix_transpose(low) if up else low


# -- QR --------------------------------------------------------------------------------------------


def _qr_sizes(x: Tensor) -> Sizes:
    m, n = x.shape[-2:]
    return [(m, n), (n, n)]


def _qr_shape(x: Tensor) -> tuple[Shape, np.dtype]:
    m, n = x.shape[-2:]
    return (*x.shape[:-2], m + n, n), x.dtype


def _qr_numpy(x: Any) -> Any:
    m, n = x.shape[-2:]
    return of_finite(lambda a: packed(np.linalg.qr(a), x.dtype), (m + n, n), x)


def _qr_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    """Walter and Lehmann 2018, for at least as many rows as columns."""
    sizes = _qr_sizes(node.inputs[0])
    (q, r), (cq, cr) = unpacked(node, sizes), arrived(ct, sizes)
    terms = []
    if cr is not None:
        terms.append(times_left(r, matrix_transpose(triu(cr))))
    if cq is not None:
        terms.append(negative(times(matrix_transpose(cq), q)))
    m = add_n(terms)
    both = add(tril(m), matrix_transpose(tril(m, k=-1)))
    total = times_left(q, both)
    total = total if cq is None else add(cq, total)
    return [matrix_transpose(solved_upper(r, matrix_transpose(total)))]


def _full_q(x: Any) -> Any:
    m = x.shape[-2]
    return of_finite(lambda a: np.linalg.qr(a, mode="complete")[0], (m, m), x)


def _no_rule(who: str, what: str, instead: str) -> Any:
    def vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
        raise ValueError(f"{who}: {what} are any basis of what is left, so they have no "
                         f"derivative; use {instead}")  # fmt: skip

    return vjp


QR = whole("qr", _qr_shape, _qr_numpy, _qr_vjp)
FULL_Q = whole(
    "complete_q", lambda x: ((*x.shape[:-1], x.shape[-2]), x.dtype), _full_q,
    _no_rule("qr", "the last columns of a complete Q", "mode='reduced'"),
)  # fmt: skip


def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """x = Q @ R, matrices (..., m, n): Q has orthonormal columns, R is upper triangular.

    mode : "reduced"   Q (..., m, k), R (..., k, n) with k = min(m, n)
           "complete"  Q (..., m, m), R (..., m, n); for m > n the last columns of Q are any basis
                       of what is left: asking for the derivative of this Q is an error

    Signs are LAPACK's (Householder).
    NaN for a matrix that is not finite, for that one alone.
    The derivative is that of no function where the first min(m, n) columns are linearly dependent:
    NaN if R has a 0 on its diagonal, huge numbers if rounding left something there.

    Walter and Lehmann 2018, "Walter & Lehmann's formulae for the QR decomposition".

    Raises ValueError for another mode or less than two axes, TypeError for what is no real numbers.
    """
    t = floats("qr", x)
    full = choice_of("qr", "mode", mode, ("reduced", "complete")) == "complete"
    m, n = t.shape[-2:]
    if m < n:  # the first columns decide on Q, and the others are what they are in it
        q, r = qr(part(t, -1, 0, m))
        return QRResult(q, concat([r, matmul(matrix_transpose(q), part(t, -1, m, None))], axis=-1))
    if not n:
        lead = t.shape[:-2]
        q = broadcast_to(np.eye(m, dtype=t.dtype), (*lead, m, m)) if full else t
        return QRResult(q, zeros((*lead, m if full else 0, 0), dtype=t.dtype))
    q, r = unpacked(bind(QR, t), _qr_sizes(t))
    if full and m > n:
        below = zeros((*t.shape[:-2], m - n, n), dtype=t.dtype)
        return QRResult(bind(FULL_Q, t), concat([r, below], axis=-2))
    return QRResult(q, r)


# -- symmetric eigenvalues -------------------------------------------------------------------------


def _eigh_sizes(x: Tensor) -> Sizes:
    n = x.shape[-1]
    return [(n, n), (1, n)]


def _eigh_numpy(x: Any, upper: bool) -> Any:
    """upper : which triangle LAPACK reads, on which the signs of vectors depend."""
    half, n = np.asarray(0.5, x.dtype), x.shape[-1]

    def f(a: Any) -> Any:
        both = half * a + half * np.swapaxes(a, -1, -2)
        w, v = np.linalg.eigh(both, UPLO="U" if upper else "L")
        return packed([v, w[..., None, :]], x.dtype)

    return of_finite(f, (n + 1, n), x)


def _eigh_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    """Giles 2008, section 3.1."""
    (x,) = node.inputs
    sizes = _eigh_sizes(x)
    (v, w), (cv, cw) = unpacked(node, sizes), arrived(ct, sizes)
    turned, terms = matrix_transpose(v), []
    if cw is not None:
        terms.append(times(_by_column(cw, v), turned))
    if cv is not None and x.shape[-1] > 1:
        ends = abs(part(w, -1, 0, 1)), abs(part(w, -1, -1, None))
        top = where(ends[0] > ends[1], *ends)
        inner = _over_gaps(times_left(turned, cv), w, x.shape[-1], top, squares=False)
        terms.append(times(times_left(v, inner), turned))
    return [symmetric(add_n(terms)) if terms else zeros_like(x)]


def _eigvalsh_numpy(x: Any) -> Any:
    half = np.asarray(0.5, x.dtype)
    return of_finite(
        lambda a: np.linalg.eigvalsh(half * a + half * np.swapaxes(a, -1, -2))[..., None, :],
        (1, x.shape[-1]), x,
    )  # fmt: skip


def _eigvalsh_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    (x,) = node.inputs
    v, _ = unpacked(bind(EIGH, x, upper=False), _eigh_sizes(x))
    return [symmetric(times(_by_column(ct, v), matrix_transpose(v)))]


def _eigh_shape(x: Tensor, upper: bool) -> tuple[Shape, np.dtype]:
    return (*x.shape[:-2], x.shape[-1] + 1, x.shape[-1]), x.dtype


EIGH = whole("eigh", _eigh_shape, _eigh_numpy, _eigh_vjp)
EIGVALSH = whole(
    "eigvalsh", lambda x: ((*x.shape[:-2], 1, x.shape[-1]), x.dtype), _eigvalsh_numpy, _eigvalsh_vjp
)


def eigh(x: ArrayLike, /) -> EighResult:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices (..., n, n).

    x : its symmetric part (x + x.mT) / 2 is taken, and gets a symmetric gradient.

    Eigenvectors are columns, each with LAPACK's sign.
    NaN for a matrix that is not finite, for that one alone.
    Where two eigenvalues are equal (closer than n eps times the largest) the derivative of
    eigenvectors is NaN, also for a function that does not depend on the choice of them;
    that of eigenvalues is there, their second derivative is NaN.

    Giles 2008, "Collected matrix derivative results", section 3.1.

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    return decomposed(square("eigh", x), upper=False)


def decomposed(t: Tensor, upper: bool) -> EighResult:
    """`eigh`, with the signs that LAPACK gives by this triangle."""
    if not t.shape[-1]:
        return EighResult(zeros(t.shape[:-1], dtype=t.dtype), t)
    v, w = unpacked(bind(EIGH, t, upper=upper), _eigh_sizes(t))
    return EighResult(_vector(w), v)


def eigvalsh(x: ArrayLike, /) -> Tensor:
    """The eigenvalues of symmetric matrices, ascending: (..., n, n) -> (..., n).

    As those of `eigh`, whose conventions hold; faster without the vectors.

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    t = square("eigvalsh", x)
    return _vector(bind(EIGVALSH, t)) if t.shape[-1] else zeros(t.shape[:-1], dtype=t.dtype)


# -- singular values -------------------------------------------------------------------------------


def _svd_sizes(x: Tensor, full: bool = False) -> Sizes:
    m, n = x.shape[-2:]
    k = min(m, n)
    return [(m, m if full else k), (n, n if full else k), (1, k)]


def _svd_shape(x: Tensor, full: bool) -> tuple[Shape, np.dtype]:
    sizes = _svd_sizes(x, full)
    return (*x.shape[:-2], builtins.sum(r for r, _ in sizes), max(c for _, c in sizes)), x.dtype


def _svd_numpy(x: Any, full: bool) -> Any:
    def f(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a, full_matrices=full)
        return packed([u, np.swapaxes(vh, -1, -2), s[..., None, :]], x.dtype)

    m, n = x.shape[-2:]
    return of_finite(f, (m + n + 1, max(m, n) if full else min(m, n)), x)


def _values_back(ct: Tensor, u: Tensor, s: Tensor, v: Tensor) -> Tensor:
    """What singular values hand back: U diag(ct) V^T; a value of 0 has slope 0."""
    return times(_by_column(where(equal(s, 0), 0.0, ct), u), matrix_transpose(v))


def _svd_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    """Townsend 2016, "Differentiating the singular value decomposition", equations 24 to 26."""
    (x,) = node.inputs
    full = node.attrs["full"]
    cu, cv, cs = arrived(ct, _svd_sizes(x, full))
    if full and (cu is not None or cv is not None):
        raise ValueError(
            f"svd: with full_matrices=True and matrices {x.shape} some columns of U or V are any "
            "basis of what is left, so they have no derivative; use full_matrices=False"
        )
    given = bind(SVD, x, full=False) if full else node
    u, v, s = unpacked(given, _svd_sizes(x))
    terms = [] if cs is None else [_values_back(cs, u, s, v)]
    m, n = x.shape[-2:]
    top = part(s, -1, 0, 1)

    def turned(c: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """F o (W - W^T) with W = own^T c, and what of c is outside of own's columns."""
        inner = times_left(matrix_transpose(own), c)
        rest = subtract(c, times_left(own, inner))
        skew = subtract(inner, matrix_transpose(inner))
        return _over_gaps(skew, s, max(m, n), top, squares=True), rest

    def over(c: Tensor) -> Tensor:
        return divide(c, broadcast_to(s, c.shape))

    if cu is not None:
        inner, rest = turned(cu, u)
        left = times_left(u, absorb(inner, broadcast_to(s, inner.shape)))
        terms.append(times(add(left, over(rest)) if m > n else left, matrix_transpose(v)))
    if cv is not None:
        inner, rest = turned(cv, v)
        left = times_left(v, absorb(matrix_transpose(inner), broadcast_to(s, inner.shape)))
        right = add(left, over(rest)) if n > m else left
        terms.append(times_left(u, matrix_transpose(right)))
    return [add_n(terms) if terms else zeros_like(x)]


def _svdvals_numpy(x: Any) -> Any:
    k = min(x.shape[-2:])
    return of_finite(lambda a: np.linalg.svd(a, compute_uv=False)[..., None, :], (1, k), x)


def _svdvals_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor]:
    (x,) = node.inputs
    u, v, s = unpacked(bind(SVD, x, full=False), _svd_sizes(x))
    return [_values_back(ct, u, s, v)]


SVD = whole("svd", _svd_shape, _svd_numpy, _svd_vjp)
SVDVALS = whole(
    "svdvals", lambda x: ((*x.shape[:-2], 1, min(x.shape[-2:])), x.dtype),
    _svdvals_numpy, _svdvals_vjp,
)  # fmt: skip


def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U @ diag(S) @ Vh, matrices (..., m, n); singular values S (..., k), k = min(m, n).

    full_matrices : U (..., m, m) and Vh (..., n, n); else U (..., m, k) and Vh (..., k, n).
                    Where m and n differ the full ones end in any basis of what is left:
                    asking for their derivative is an error, and that of S is there.

    Signs are LAPACK's.
    NaN for a matrix that is not finite, for that one alone.
    Where two singular values are equal (closer than max(m, n) eps times the largest),
    or one is 0 and m and n differ, the derivative of U and Vh is not finite (NaN where equal).
    That of S is there, 0 by a singular value of 0; its second one is NaN where two are equal.

    Townsend 2016, "Differentiating the singular value decomposition".

    Raises ValueError for less than two axes, TypeError for what is no real numbers.
    """
    t, full = floats("svd", x), flag_of("svd", "full_matrices", full_matrices)
    m, n = t.shape[-2:]
    k, lead = min(m, n), t.shape[:-2]
    full = full and m != n
    if not k:
        u, vh = (
            broadcast_to(np.eye(size, size if full else 0, dtype=t.dtype), (
                *lead, size, size if full else 0)) for size in (m, n)
        )  # fmt: skip
        return SVDResult(u, zeros((*lead, 0), dtype=t.dtype), matrix_transpose(vh))
    u, v, s = unpacked(bind(SVD, t, full=full), _svd_sizes(t, full))
    return SVDResult(u, _vector(s), matrix_transpose(v))


def svdvals(x: ArrayLike, /) -> Tensor:
    """The singular values of matrices, descending: (..., m, n) -> (..., min(m, n)).

    As the S of `svd`, whose conventions hold; faster without the vectors.

    Raises ValueError for less than two axes, TypeError for what is no real numbers.
    """
    t = floats("svdvals", x)
    k = min(t.shape[-2:])
    return _vector(bind(SVDVALS, t)) if k else zeros((*t.shape[:-2], 0), dtype=t.dtype)
