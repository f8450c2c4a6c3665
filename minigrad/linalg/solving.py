"""Inverses, systems of equations and determinants of stacks of square matrices.

An exactly singular matrix has no inverse: NaN for that matrix alone, no exception.
Determinants are polynomials: their first two derivatives are exact there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Shape, Tensor, bind
from ..ops.arrays import astype
from ..ops.broadcast import broadcast_to, reshape
from ..ops.contract import matmul, trace, tril, triu
from ..ops.elementwise import absorb, add, negative
from ..ops.movement import matrix_transpose, moveaxis
from ..ops.table import ArrayLike, flag_of, integer_of, per_input, same
from ..sites import running
from .matrices import floats, identity_like, per_matrix, square, times, times_left, whole


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute value of determinants, (...) each.

    det = sign * exp(logabsdet).
    """

    sign: Tensor
    logabsdet: Tensor


# -- the primitives --------------------------------------------------------------------------------


TURNED = {"": "", "lower": "upper", "upper": "lower"}  # what the transpose of a triangle is


def _solve_shape(a: Tensor, b: Tensor, triangle: str, absorbs: bool) -> tuple[Shape, np.dtype]:
    return b.shape, b.dtype


def _solve_numpy(a: Any, b: Any, triangle: str, absorbs: bool) -> Any:
    """triangle : which one a is, "" for neither; LAPACK exchanges no rows of an upper one, so that
    it is substituted, and a lower one is an upper one read backwards."""
    if triangle == "lower":
        a, b = a[..., ::-1, ::-1], b[..., ::-1, :]
    y = per_matrix(np.linalg.solve, b.shape[-2:], a, b)
    y = y[..., ::-1, :] if triangle == "lower" else y
    if not absorbs:
        return y
    asked = np.any(b != 0, axis=(-2, -1), keepdims=True)
    return y if asked.all() else np.where(asked, y, np.zeros((), y.dtype))


def _solve_vjp(ct: Tensor, x: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    turned = TURNED[x.attrs["triangle"]]
    back = bind(SOLVE, matrix_transpose(x.inputs[0]), ct, triangle=turned, absorbs=True)
    left = negative(times(back, matrix_transpose(x))) if wanted[0] else None
    return [left, back]


def _others(s: Any) -> Any:
    """Of numbers (..., n), for each the product of the others, without dividing by it."""
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([one, s[..., :-1]], -1), -1)
    behind = np.cumprod(np.concatenate([one, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * behind


def _by_singular_values(x: Any) -> tuple[Any, Any, Any, Any]:
    """U, S, Vh and det(U) det(Vh)."""
    u, s, vh = np.linalg.svd(x)
    return u, s, vh, np.linalg.slogdet(u)[0] * np.linalg.slogdet(vh)[0]


def _cofactor_numpy(x: Any) -> Any:
    """Through singular values: division by them would lose what is left where one is 0."""

    def f(a: Any) -> Any:
        u, s, vh, turn = _by_singular_values(a)
        return (u * (turn[..., None] * _others(s))[..., None, :]) @ vh

    if not x.shape[-1]:
        return np.zeros_like(x)
    if np.iscomplexobj(x):  # asked for by checks of gradients alone
        return np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2)
    return per_matrix(f, x.shape[-2:], x)


def _along_numpy(x: Any, e: Any) -> Any:
    """The derivative of the cofactors at x along e; 0 along zeros.

    At diag(s), with p_ij the product of s but for s_i and s_j:
    sum_j p_ij e_jj on the diagonal (j not i), -p_ij e_ji off it.
    """

    def f(a: Any, e: Any) -> Any:
        u, s, vh, turn = _by_singular_values(a)
        n = s.shape[-1]
        here = np.eye(n, dtype=bool)
        p = np.where(here, 0, _others(np.where(here, 1, s[..., None, :])))
        e = np.swapaxes(u, -1, -2) @ e @ np.swapaxes(vh, -1, -2)
        straight = p @ np.diagonal(e, axis1=-2, axis2=-1)[..., None]
        inner = np.where(here, straight, -p * np.swapaxes(e, -1, -2))
        return turn[..., None, None] * (u @ inner @ vh)

    lead = np.broadcast_shapes(x.shape, e.shape)
    if not x.shape[-1]:
        return np.zeros(lead, x.dtype)
    if np.iscomplexobj(x) or np.iscomplexobj(e):
        b = np.linalg.inv(x)
        along = np.trace(b @ e, axis1=-2, axis2=-1)[..., None, None]
        y = np.linalg.det(x)[..., None, None] * (along * b - b @ e @ b)
        return np.swapaxes(y, -1, -2)
    y = per_matrix(f, x.shape[-2:], x, e)
    asked = np.any(e != 0, axis=(-2, -1), keepdims=True)
    return y if asked.all() else np.where(asked, y, np.zeros((), y.dtype))


def _trace_of(x: Tensor) -> Tensor:
    """Traces as (..., 1, 1)."""
    y = trace(x)
    return reshape(y, (*y.shape, 1, 1))


def _along_vjp(ct: Tensor, y: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Linear in e and its own adjoint; by x the third derivative of det, through the inverse."""
    x, e = y.inputs
    at = None
    if wanted[0]:
        b = bind(INV, x)
        g, k = times_left(b, e), times_left(b, ct)
        gk, tg, tk = times(g, k), _trace_of(g), _trace_of(k)
        inner = add(gk, times(k, g)) - tg * k - tk * g
        both = reshape(bind(DET, x), (*x.shape[:-2], 1, 1))
        crossed = broadcast_to(tg * tk - _trace_of(gk), x.shape)
        total = add(absorb(crossed, b), times(inner, b))
        at = matrix_transpose(absorb(total, broadcast_to(both, x.shape)))
    return [at, bind(ALONG, x, ct) if wanted[1] else None]


def _inverse_rule(ct: Tensor, y: Tensor, x: Tensor) -> Tensor:
    turned = matrix_transpose(y)
    return negative(times_left(turned, times(ct, turned)))


def _spread(ct: Tensor, slope: Tensor) -> Tensor:
    """A number per matrix times matrices."""
    return absorb(broadcast_to(reshape(ct, (*ct.shape, 1, 1)), slope.shape), slope)


def _number(x: Tensor) -> tuple[Shape, np.dtype]:
    return x.shape[:-2], x.dtype


def _determinant(pick: Any) -> Any:
    def f(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return pick(x)

    return f


INV = whole(
    "inv", same, lambda x: per_matrix(np.linalg.inv, x.shape[-2:], x), per_input(_inverse_rule)
)
SOLVE = whole("solve", _solve_shape, _solve_numpy, _solve_vjp)
ALONG = whole("cofactors_along", lambda x, e: (x.shape, x.dtype), _along_numpy, _along_vjp)
COFACTOR = whole(
    "cofactors", same, _cofactor_numpy, per_input(lambda ct, y, x: bind(ALONG, x, ct))
)
DET = whole(
    "det", _number, _determinant(np.linalg.det),
    per_input(lambda ct, y, x: _spread(ct, bind(COFACTOR, x))),
)  # fmt: skip
SIGN = whole("sign_of_det", _number, _determinant(lambda x: np.linalg.slogdet(x)[0]))
LOG = whole(
    "log_of_det", _number, _determinant(lambda x: np.linalg.slogdet(x)[1]),
    per_input(lambda ct, y, x: _spread(ct, matrix_transpose(bind(INV, x)))),
)  # fmt: skip


# -- the functions ---------------------------------------------------------------------------------


def inv(x: ArrayLike, /) -> Tensor:
    """The inverses of square matrices, (..., n, n) -> (..., n, n); float32 or float64.

    NaN for an exactly singular matrix (a pivot of its LU decomposition is 0), for that one alone.
    To solve equations use `solve`, which is faster and more exact.

    d Y = -Y dx Y (Petersen and Pedersen 2012, equation 59).

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    return bind(INV, square("inv", x))


def solve(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The y with x1 @ y = x2, for stacks of square matrices x1, (..., n, n).

    x2 : (n,), one vector, or (..., n, k); axes in front broadcast with those of x1.

    Float32 or float64.
    NaN for an exactly singular matrix (a pivot of its LU decomposition is 0), for that one alone.

    With C a cotangent of y, x2 gets B = solve(x1.mT, C) and x1 gets -B y^T (Giles 2008, 2.3.1).

    Raises ValueError for matrices that are not square, or shapes that do not fit;
    TypeError for what is no real numbers.
    """
    return _solved("solve", square("solve", x1), floats("solve", x2, 1))


def _solved(who: str, a: Tensor, b: Tensor, triangle: str = "") -> Tensor:
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = astype(a, dtype), astype(b, dtype)
    if b.ndim == 1:
        column = _solved(who, a, reshape(b, (*b.shape, 1)), triangle)
        return reshape(column, column.shape[:-1])
    n = a.shape[-1]
    if b.shape[-2] != n:
        raise ValueError(
            f"{who}: matrices of shape {a.shape} need right sides (..., {n}, k), or one vector "
            f"({n},); got {b.shape}{running()}"
        )
    if a.ndim == 2 and b.ndim > 2:  # one matrix: all right sides are columns of one
        lead, k = b.shape[:-2], b.shape[-1]
        wide = reshape(moveaxis(b, -2, 0), (n, int(np.prod((*lead, k)))))
        y = bind(SOLVE, a, wide, triangle=triangle, absorbs=False)
        return moveaxis(reshape(y, (n, *lead, k)), 0, -2)
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"{who}: the axes in front of {a.shape} and {b.shape} do not broadcast{running()}"
        ) from None
    a, b = broadcast_to(a, lead + a.shape[-2:]), broadcast_to(b, lead + b.shape[-2:])
    return bind(SOLVE, a, b, triangle=triangle, absorbs=False)


def solved_upper(a: Tensor, ct: Tensor) -> Tensor:
    """For the rules: y with a @ y = ct, a upper triangular; zeros where the cotangent is."""
    return bind(SOLVE, a, ct, triangle="upper", absorbs=True)


def solve_triangular(
    x1: ArrayLike, x2: ArrayLike, /, *, upper: bool = False, unit_diagonal: bool = False
) -> Tensor:
    """The y with T @ y = x2, where T is a triangle of x1, (..., n, n).

    x2            : (n,), one vector, or (..., n, k), as in `solve`.
    upper         : T is the upper triangle, else the lower one; the other is not read,
                    and gets gradient 0.
    unit_diagonal : T has ones on its diagonal, and that of x1 is not read.

    NaN where a number on the diagonal is 0, for that matrix alone.
    For the transpose of a triangle give x1.mT and the other `upper`.

    Raises ValueError for matrices that are not square, or shapes that do not fit;
    TypeError for what is no real numbers, or no flag.
    """
    who = "solve_triangular"
    a, b = square(who, x1), floats(who, x2, 1)
    high, unit = flag_of(who, "upper", upper), flag_of(who, "unit_diagonal", unit_diagonal)
    t = triu(a, k=int(unit)) if high else tril(a, k=-int(unit))
    t = add(t, identity_like(t)) if unit else t
    return _solved(who, t, b, "upper" if high else "lower")


def det(x: ArrayLike, /) -> Tensor:
    """The determinants of square matrices, (..., n, n) -> (...); float32 or float64.

    Its derivative is the matrix of cofactors, and like the second one exact for singular matrices.
    The third goes by the inverse, and is NaN for an exactly singular matrix.

    Jacobi's formula (Magnus and Neudecker 1999, section 8.3).

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    return bind(DET, square("det", x))


def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """Sign (-1, 0 or 1) and log |det| of square matrices: (..., n, n) -> two of (...).

    It neither overflows nor vanishes where `det` does.
    The sign has derivative 0, log |det| has the transposed inverse.
    Of an exactly singular matrix: sign 0, -inf, and a gradient of NaN.

    Raises ValueError for matrices that are not square, TypeError for what is no real numbers.
    """
    t = square("slogdet", x)
    return SlogdetResult(bind(SIGN, t), bind(LOG, t))


def matrix_power(x: ArrayLike, n: int, /) -> Tensor:
    """The n-th powers of square matrices, (..., m, m); n = 0: identity, below 0: of the inverse.

    By squaring, in about 2 log2 |n| products.
    NaN for a negative power of an exactly singular matrix.

    Raises ValueError for matrices that are not square, TypeError for an n that is no integer.
    """
    t, power = square("matrix_power", x), integer_of("matrix_power", "n", n)
    if power < 0:
        t, power = bind(INV, t), -power
    result: Tensor | None = None
    while power:
        if power % 2:
            result = t if result is None else matmul(result, t)
        power //= 2
        t = matmul(t, t) if power else t
    return identity_like(t) if result is None else result
