"""Norms, ranks, pseudoinverses and the exponential of stacks of matrices; what asks for complex.

Made of the factorizations and of `ops`, but for two primitives:
the pseudoinverse, whose derivative exists where that of singular vectors does not,
and the exponential.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ..graph import Shape, Tensor, bind
from ..ops.arrays import astype
from ..ops.broadcast import reshape
from ..ops.contract import matmul
from ..ops.creation import zeros, zeros_like
from ..ops.elementwise import abs as absolute
from ..ops.elementwise import add, add_n, divide, greater, multiply, negative, where
from ..ops.movement import concat, matrix_transpose, part
from ..ops.reduce import max as largest
from ..ops.reduce import min as smallest
from ..ops.reduce import norm, sum
from ..ops.table import ArrayLike, flag_of, number_of, per_input, same
from ..sites import running
from .factors import svd, svdvals
from .matrices import floats, of_finite, square, times, times_left, whole

# -- norms -----------------------------------------------------------------------------------------


def vector_norm(
    x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The norm of vectors along `axis` (several: of all their elements; None: of the flat array).

    ord : 2, 1, inf, -inf, 0 or any other number, as `mg.norm` has them, whose conventions hold:
          slope 0 at the origin, ties of inf share the gradient.

    Raises ValueError for an axis that is not there or is given twice, or an ord that is no number.
    """
    return norm(x, axis=axis, keepdims=keepdims, ord=ord)


def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norms of matrices: (..., m, n) -> (...), or (..., 1, 1) with keepdims.

    ord : "fro"   the root of the sum of squares; slope 0 at a matrix of zeros
          "nuc"   the sum of singular values
          2, -2   the largest and smallest singular value
          1, -1   the largest and smallest sum of |x| down a column
          inf, -inf   the same along a row

    Equal sums or singular values share the gradient; a singular value of 0 has slope 0.

    Raises ValueError for another ord, less than two axes,
    or the largest or smallest of nothing; TypeError for what is no real numbers.
    """
    t, keep = floats("matrix_norm", x), flag_of("matrix_norm", "keepdims", keepdims)
    p = ord if isinstance(ord, str) else math.nan
    if isinstance(ord, (int, float, np.number)) and not isinstance(ord, bool):
        p = float(ord)
    if p not in ("fro", "nuc", 1.0, -1.0, 2.0, -2.0, math.inf, -math.inf):
        raise ValueError(
            f"matrix_norm: ord is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf; got {ord!r}"
        )
    if p == "fro":
        return norm(t, axis=(-2, -1), keepdims=keep)
    m, n = t.shape[-2:]
    if p != "nuc" and not m * n:
        raise ValueError(f"matrix_norm: of ord {ord!r} is of nothing in shape {t.shape}{running()}")
    if p in ("nuc", 2.0, -2.0):
        found = svdvals(t)
    else:
        found = sum(absolute(t), axis=-2 if p in (1.0, -1.0) else -1)
    pick = sum if p == "nuc" else largest if p > 0 else smallest  # type: ignore[operator]
    y = pick(found, axis=-1)
    return reshape(y, (*y.shape, 1, 1)) if keep else y


# -- rank and pseudoinverse ------------------------------------------------------------------------


def _cut(who: str, t: Tensor, rtol: Any) -> Any:
    """What a singular value counts from, relative to the largest."""
    if rtol is None:
        return max(t.shape[-2:]) * float(np.finfo(t.dtype).eps)
    if isinstance(rtol, (Tensor, np.ndarray)) and rtol.shape:
        cut = floats(who, rtol, 1)
        return reshape(cut, (*cut.shape, 1))
    found = number_of(who, "rtol", rtol.item() if isinstance(rtol, (Tensor, np.ndarray)) else rtol)
    if found < 0:
        raise ValueError(f"{who}: rtol is at least 0; got {rtol!r}")
    return float(found)


def _counted(who: str, t: Tensor, s: Tensor, rtol: Any) -> Tensor:
    """Which singular values count as not 0."""
    return greater(s, multiply(_cut(who, t, rtol), part(s, -1, 0, 1)))


def matrix_rank(x: ArrayLike, /, *, rtol: Any = None) -> Tensor:
    """How many singular values of matrices count as not 0: (..., m, n) -> (...), int64.

    rtol : the others are at most rtol times the largest; max(m, n) eps unless told.
           A number, or one per matrix.

    0 for a matrix that is not finite.

    Raises ValueError for less than two axes or an rtol below 0, TypeError for no real numbers.
    """
    t = floats("matrix_rank", x)
    if not min(t.shape[-2:]):
        return zeros(t.shape[:-2], dtype=np.int64)
    return sum(_counted("matrix_rank", t, svdvals(t), rtol), axis=-1, dtype=np.int64)


def _turned_shape(x: Tensor) -> tuple[Shape, np.dtype]:
    return (*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype


def _pinv_numpy(x: Any) -> Any:
    m, n = x.shape[-2:]
    cut = max(m, n) * np.finfo(x.dtype).eps
    return of_finite(lambda a: np.linalg.pinv(a, rcond=cut), (n, m), x)


def _pinv_rule(ct: Tensor, p: Tensor, x: Tensor) -> Tensor:
    """Golub and Pereyra 1973, equation 4.12, for matrices that keep their rank."""
    pt, ctt = matrix_transpose(p), matrix_transpose(ct)
    first = negative(times_left(pt, times(ct, pt)))
    a = times(times(ctt, p), pt)  # (I - x P) C^T P P^T
    b = times_left(pt, times_left(p, ctt))  # P^T P C^T (I - P x)
    return add_n([
        first, a, negative(times_left(times(x, p), a)), b, negative(times(b, times(p, x)))
    ])  # fmt: skip


PINV = whole("pinv", _turned_shape, _pinv_numpy, per_input(_pinv_rule))


def pinv(x: ArrayLike, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose pseudoinverses of matrices: (..., m, n) -> (..., n, m).

    rtol : singular values of at most rtol times the largest count as 0;
           None: max(m, n) eps.  A number, or one per matrix.

    NaN for a matrix that is not finite, for that one alone.
    The derivative is that among matrices of the same rank
    (the pseudoinverse jumps where the rank changes).
    With an rtol of one's own it goes by singular vectors,
    and is NaN where two singular values are equal, or one is 0 and m and n differ, as in `svd`.

    Golub and Pereyra 1973, equation 4.12.

    Raises ValueError for less than two axes or an rtol below 0, TypeError for no real numbers.
    """
    t = floats("pinv", x)
    if not min(t.shape[-2:]):
        return matrix_transpose(t)
    if rtol is None:
        return bind(PINV, t)
    u, s, vh = svd(t, full_matrices=False)
    counts = _counted("pinv", t, s, rtol)
    inverse = where(counts, divide(1.0, where(counts, s, 1.0)), 0.0)
    inverse = astype(where(s != s, s, inverse), t.dtype)  # NaN stays NaN
    left = multiply(matrix_transpose(vh), reshape(inverse, (*s.shape[:-1], 1, s.shape[-1])))
    return matmul(left, matrix_transpose(u))


def lstsq(x1: ArrayLike, x2: ArrayLike, /, *, rtol: Any = None) -> Tensor:
    """The y of least |x1 @ y - x2|, and of all these the shortest; x1: (..., m, n).

    x2   : (m,), one vector, or (..., m, k); axes in front broadcast with those of x1.
    rtol : as in `pinv`, by which it goes; conventions and derivative are those of pinv(x1) @ x2.

    Returns y alone, (..., n) for one vector, else (..., n, k).

    Raises ValueError for shapes that do not fit or an rtol below 0, TypeError for no real numbers.
    """
    a, b = floats("lstsq", x1), floats("lstsq", x2, 1)
    if b.shape[-2 if b.ndim > 1 else 0] != a.shape[-2]:
        m = a.shape[-2]
        raise ValueError(
            f"lstsq: matrices of shape {a.shape} need right sides (..., {m}, k), or one vector "
            f"({m},); got {b.shape}{running()}"
        )
    return matmul(pinv(a, rtol=rtol), b)


# -- the exponential -------------------------------------------------------------------------------

THETA = 5.371920351148152  # the norm up to which the approximant is exact to double precision
PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0,
    960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip


def _expm_numpy(x: Any) -> Any:
    """Scaling and squaring with the Pade approximant of degree 13 (Higham 2005, algorithm 2.3).

    In double precision; every matrix is scaled by its own norm.
    """
    if not x.size:
        return np.array(x)

    def f(a: Any) -> Any:
        a = np.asarray(a, np.float64)
        size = np.abs(a).sum(axis=-2).max(axis=-1)
        times = np.ceil(np.log2(np.maximum(size / THETA, 1.0))).astype(int)
        a = np.ldexp(a, -times[..., None, None])
        one = np.eye(a.shape[-1])
        a2 = a @ a
        a4 = a2 @ a2
        a6 = a2 @ a4
        b = PADE
        odd = a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2)
        odd = a @ (odd + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one)
        even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2)
        even = even + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
        y = np.linalg.solve(even - odd, even + odd)
        for k in range(int(times.max())):
            y = np.where((k < times)[..., None, None], y @ y, y)
        return y.astype(x.dtype)

    return of_finite(f, x.shape[-2:], x)


def _frechet_numpy(x: Any, e: Any) -> Any:
    """The derivative of the exponential at x along e: the upper right block of
    exp([[x, e], [0, x]]) (Van Loan 1978), exactly 0 along zeros."""
    n, size = x.shape[-1], np.abs(e).max(axis=(-2, -1), initial=0, keepdims=True)
    with np.errstate(all="ignore"):
        along = np.where(size > 0, e / size, 0)  # it is linear, and not to decide on the scaling
        x, along = np.broadcast_arrays(x, np.where(np.isnan(size), e, along))
        y = _expm_numpy(_block(x, along))[..., :n, n:]
        return np.where(size == 0, np.zeros((), y.dtype), y * size)


def _block(x: Any, e: Any) -> Any:
    above = np.concatenate([x, e], axis=-1)
    return np.concatenate([above, np.concatenate([np.zeros_like(x), x], axis=-1)], axis=-2)


def _frechet_vjp(ct: Tensor, y: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Linear in e, whose adjoint is that at x^T; by x it is a derivative of the block above."""
    x, e = y.inputs
    n, turned, at = x.shape[-1], matrix_transpose(x), None
    if wanted[0]:
        none = zeros_like(turned)
        above = concat([turned, none], axis=-1)
        m = concat([above, concat([matrix_transpose(e), turned], axis=-1)], axis=-2)
        corner = concat([concat([none, ct], axis=-1), concat([none, none], axis=-1)], axis=-2)
        g = bind(FRECHET, m, corner)
        at = add(part(part(g, -2, 0, n), -1, 0, n), part(part(g, -2, n, None), -1, n, None))
    return [at, bind(FRECHET, turned, ct) if wanted[1] else None]


FRECHET = whole("expm_along", lambda x, e: (x.shape, x.dtype), _frechet_numpy, _frechet_vjp)
EXPM = whole(
    "expm", same, _expm_numpy,
    per_input(lambda ct, y, x: bind(FRECHET, matrix_transpose(x), ct)),
)  # fmt: skip


def expm(x: ArrayLike, /) -> Tensor:
    """The exponentials I + x + x^2 / 2 + ... of square matrices, (..., n, n).

    Scaling and squaring (Higham 2005), the derivative as a block of an exponential twice as wide
    (Van Loan 1978), so every order of differentiation costs some eight times the last.
    NaN for a matrix that is not finite, for that one alone.

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    return bind(EXPM, square("expm", x))


# -- complex numbers, which there are not ----------------------------------------------------------


def _complex(who: str, instead: str) -> TypeError:
    return TypeError(
        f"{who}: a matrix that is not symmetric has complex eigenvalues, and a Tensor holds real "
        f"numbers. For symmetric matrices use mg.linalg.{instead}; to see the numbers, without a "
        f"gradient, np.linalg.{who}(t.numpy())"
    )


def eig(x: ArrayLike, /) -> NoReturn:
    """Not for Tensors: eigenvalues of matrices that are not symmetric are complex.

    Raises TypeError, naming `eigh`, always.
    """
    raise _complex("eig", "eigh")


def eigvals(x: ArrayLike, /) -> NoReturn:
    """Not for Tensors: eigenvalues of matrices that are not symmetric are complex.

    Raises TypeError, naming `eigvalsh`, always.
    """
    raise _complex("eigvals", "eigvalsh")
