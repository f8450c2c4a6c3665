"""Matrix products for recurrent nets: skinny, repeated, with weights packed once per call.

`kernels("float32")` has these functions, all `void(int64...)`,
to call or to be called by address (`vectors.Builder.call`).
Arguments are addresses; leading dimensions `ld...` count BYTES from row to row;
sizes count elements.

    pack(b, ldb, depth, n, packed)              B (depth, n), row-major -> packed panels
    pack_transposed(b, ldb, depth, n, packed)   the same from B^T (n, depth)
    product(a, lda, packed, c, ldc, cin, ldcin, m, depth, n)
        C (m, n) = Cin + A (m, depth) B.
        Cin = C accumulates; ldcin = 0 repeats one row: a bias, or zeros to overwrite.
    weight_gradient(a, lda, d, ldd, m, rows, start, stop, w, ldw, win, ldwin, sums, work)
        W[:, start:stop] = Win + A^T D for A (m, rows), D (m, >= stop),
        and, where `sums` is not 0, sums[start:stop] += the columns' sums of D.
        Column ranges are independent: split them over threads.
        `work`: `work_size` elements for each thread.
    gather(to, ldto, source, lds, index, start, stop, n)
        to[r] = source[index[r]] for rows start <= r < stop;
        row numbers may be negative, meaning rows that lie before `source`.

Every element of a product is one chain of multiply-adds in order of the contracted index:
the same bits however rows and columns are grouped or split over threads. (A weight gradient's
chain runs through all m rows; its column sums are added block by block of 256 rows.)
"""

from __future__ import annotations

from . import cache, target

BLOCK = 256  # rows of a weight gradient's operands packed at a time

_SOURCE = '''"""Matrix product kernels, {dtype}."""

from minigrad.kernels.gemm_kernels import KERNELS
from minigrad.kernels.native import kernel
from minigrad.kernels.vectors import REALS

for name, make in KERNELS.items():
    globals()[name] = kernel(make(REALS["{dtype}"]))
'''


def kernels(dtype: str, lanes: int | None = None) -> cache.Module:
    """The functions above for "float32" or "float64"."""
    return cache.load(_SOURCE.format(dtype=dtype), f"gemm_{dtype}", lanes)


def packed_size(depth: int, n: int, itemsize: int, lanes: int | None = None) -> int:
    """Elements that B (depth, n) takes when packed: its columns fill up whole vectors."""
    return depth * _padded(n, itemsize, lanes)


def work_size(rows: int, n: int, itemsize: int, lanes: int | None = None) -> int:
    """Elements of workspace of a weight gradient of `rows` by `n` (= stop - start)."""
    return BLOCK * (rows + _padded(n, itemsize, lanes))


def _padded(n: int, itemsize: int, lanes: int | None) -> int:
    width = (target.lanes() if lanes is None else lanes) * 4 // itemsize
    return -(-n // width) * width
