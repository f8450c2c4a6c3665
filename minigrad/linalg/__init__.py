"""`mg.linalg`: the array API's functions of matrices, on Tensors, with derivatives of any order.

Sits on `ops`; `matrices` has what its files share, `solving`, `factors` and `measures` the rest.
Matrices lie on the last two axes, any axes in front count them, and numbers are float32 or float64
(integers and booleans are made float64).

No matrix is an exception because of its numbers, for others stand beside it:
what has no result (the inverse of a singular matrix, the Cholesky factor of an indefinite one)
is NaN, for that matrix alone; each function says where, and where derivatives are NaN.
A cotangent of zeros is handed back as zeros, also by a matrix of NaN,
but for the derivative of vectors of equal eigenvalues or singular values.

There are no complex numbers here: `eig` and `eigvals` say so.
In a compiled function these ops are run by NumPy between the kernels.
"""

from ..ops import (
    cross,
    diagonal,
    matmul,
    matrix_transpose,
    outer,
    tensordot,
    trace,
    vecdot,
)
from .factors import (
    EighResult,
    QRResult,
    SVDResult,
    cholesky,
    eigh,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from .measures import (
    eig,
    eigvals,
    expm,
    lstsq,
    matrix_norm,
    matrix_rank,
    pinv,
    vector_norm,
)
from .solving import (
    SlogdetResult,
    det,
    inv,
    matrix_power,
    slogdet,
    solve,
    solve_triangular,
)

__all__ = [
    "EighResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cross", "det", "diagonal",
    "eig", "eigh", "eigvals", "eigvalsh", "expm", "inv", "lstsq", "matmul", "matrix_norm",
    "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve",
    "solve_triangular", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip
