"""torch.linalg in the table of `opinfo`: which of its ops are which of `mg.linalg`'s.

Read by `test_opinfo` like the rest.
Not `eigh` and `svd`, whose vectors have signs that each build of LAPACK chooses:
tests/linalg compares with torch what does not depend on them.
"""

from __future__ import annotations

import numpy as np

import minigrad as mg

from .opinfo import _op, _size

L = mg.linalg


@_op("linalg.inv", "inv")
def _inv(x):
    return L.inv(x)


@_op("linalg.det", "det")
def _det(x):
    return L.det(x)


@_op("linalg.slogdet", "slogdet")
def _slogdet(x):
    return tuple(L.slogdet(x))


@_op("logdet", "slogdet")
def _logdet(x):
    sign, log = L.slogdet(x)
    return mg.where(sign < 0, np.nan, log)


@_op(
    "linalg.solve", "solve",
    ("a stack of vectors is one of columns, as in the array API",
     lambda a, b, left=True: len(_size(b)) == len(_size(a)) - 1 > 1),
)  # fmt: skip
def _solve(a, b, left=True):
    return L.solve(a, b)


@_op(
    "linalg.solve_triangular", "solve_triangular",
    ("right sides on the left are not ours", lambda a, b, left=True, **_: not left),
)  # fmt: skip
def _solve_triangular(a, b, *, upper, left=True, unitriangular=False):
    return L.solve_triangular(a, b, upper=upper, unit_diagonal=unitriangular)


@_op("linalg.cholesky cholesky", "cholesky")
def _cholesky(x, upper=False):
    return L.cholesky(x, upper=upper)


@_op("linalg.qr qr", "qr")
def _qr(x, mode="reduced", some=True):
    return tuple(L.qr(x, mode=mode if some else "complete"))


@_op(
    "linalg.eigvalsh", "eigvalsh",
    ("torch reads one triangle, ours take the symmetric part", lambda x, UPLO="L": UPLO == "U"),
)  # fmt: skip
def _eigvalsh(x, UPLO="L"):
    return L.eigvalsh(x)


@_op("linalg.svdvals", "svdvals")
def _svdvals(x):
    return L.svdvals(x)


@_op("linalg.pinv", "pinv")
def _pinv(x, *, rtol=None):
    return L.pinv(x, rtol=rtol)


@_op("linalg.pinv/singular", "pinv")
def _pinv_of_a_product(a, b):
    return L.pinv(mg.asarray(a) @ mg.asarray(b).mT)


@_op("linalg.matrix_power", "matrix_power")
def _matrix_power(x, n):
    return L.matrix_power(x, n)


@_op("linalg.matrix_norm", "matrix_norm norm")
def _matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None):
    x = mg.asarray(x) if dtype is None else mg.astype(x, dtype)
    return np.linalg.norm(x, ord, axis=tuple(dim), keepdims=keepdim)


@_op(
    "linalg.matrix_rank", "matrix_rank",
    ("a bound that is not relative is not ours",
     lambda x, tol=None, hermitian=False, *, atol=None, rtol=None: (
         atol is not None or tol is not None)),
)  # fmt: skip
def _matrix_rank(x, tol=None, hermitian=False, *, atol=None, rtol=None):
    return L.matrix_rank(x, rtol=rtol)


@_op("matrix_exp", "expm")
def _expm(x):
    return L.expm(x)

