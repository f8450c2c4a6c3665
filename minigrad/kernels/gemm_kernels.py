"""The matrix product kernels, traced: see `gemm` for what they compute and their arguments.

Packed operands: the columns of B are grouped in panels of 3 vectors
(the last one or two may hold 2 or 1: `panels`), the rows of A in groups of 8, then 4, 2, 1.
Within a panel or group the contracted index is outermost, so a product reads both consecutively.
The panel beginning at vector v begins at element v * lanes * depth,
whatever the widths before it;
the group beginning at row r begins at element r * depth.

Every element of C is one chain of multiply-adds in the order of the contracted index,
in all twelve kernels (rows 8, 4, 2, 1 times widths 3, 2, 1):
results do not depend on how rows and columns are grouped, nor on the number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .gemm import BLOCK
from .vectors import Builder, Int, Lanes, Real, V

UNROLL = 4
DEPTH = 2048  # of a product at a time: panels so deep stay in the cache for all groups of rows

LINE = 64  # bytes of a cache line


def row_groups(k: Builder) -> tuple[int, ...]:
    """8 x 3 accumulators need 32 registers; with 16 (AVX2, SSE) they would spill."""
    return (8, 4, 2, 1) if k.lanes32 == 16 else (4, 2, 1)


def groups(k: Builder, rows: Int) -> Iterator[tuple[Int, int]]:
    """Loops over the groups of rows, yielding (first row, group size)."""
    start = k.integer(0)
    for size in row_groups(k):
        stop = start + (rows - start) // size * size
        for r in k.rows(start, stop, size):
            yield r, size
        start = stop


def panels(k: Builder, columns: Int, real: Real) -> Iterator[tuple[Panel, Int, int]]:
    """Loops over the panels, yielding (first vector, width in vectors).

    Widths 3, 3, ..., then whatever is best for the rest: 4 = 2 + 2, not 3 + 1.
    """
    lanes = k.lanes_of(real)
    count = (columns + (lanes - 1)) // lanes
    rest = count % 3
    ones = k.choose(count.equals(1), 1, 0)
    twos = k.choose(rest.equals(0), 0, k.choose(rest.equals(2), 1, (1 - ones) * 2))
    end3 = count - twos * 2 - ones
    end2 = count - ones
    for start, stop, width in ((k.integer(0), end3, 3), (end3, end2, 2), (end2, count, 1)):
        for v in k.rows(start, stop, width):
            yield Panel(k, real, columns, v, width), v, width


class Panel:
    """`width` vectors of columns from vector number v on; the last may be partial."""

    def __init__(self, k: Builder, real: Real, columns: Int, v: Int, width: int):
        lanes = k.lanes_of(real)
        column = [(v + c) * lanes for c in range(width)]
        # One mask instead of a second set of kernels: a masked store costs little per tile.
        mask = k.first(columns - column[-1], real)
        self.positions = [Lanes(c, real) for c in column[:-1]]
        self.positions.append(Lanes(column[-1], real, mask))
        self.k = k

    def load(self, row: Int) -> list[V]:
        return [self.k.load(row, at) for at in self.positions]

    def store(self, row: Int, vectors: list[V]) -> None:
        for at, x in zip(self.positions, vectors, strict=True):
            self.k.store(row, at, x)


def multiply(
    k: Builder,
    accumulators: list[list[V]],
    depth: Int,
    a: Callable[[int, Int], V],
    b: Int,
) -> list[list[V]]:
    """accumulators[r][c] + sum of a(r, i) * B[i, c] over i < depth; b: address of the panel."""
    width, real = len(accumulators[0]), accumulators[0][0].real
    lanes = k.lanes_of(real)
    beyond = b + depth * (width * lanes * real.bytes)
    state = [[k.var(x) for x in row] for row in accumulators]

    def step(i: Int) -> None:
        vectors = [k.load(b, (i * width + c) * lanes, real) for c in range(width)]
        for r, row in enumerate(state):
            x = a(r, i)
            for accumulator, y in zip(row, vectors, strict=True):
                accumulator.value = k.fmuladd(x, y, accumulator.value)

    whole = depth // UNROLL * UNROLL
    for i in k.rows(0, whole, UNROLL):
        for u in range(UNROLL):
            k.prefetch(beyond + (i + u) * LINE)
            step(i + u)
    for i in k.rows(whole, depth):
        step(i)
    return [[x.value for x in row] for row in state]


def product(real: Real) -> Callable[..., None]:
    def gemm(
        k: Builder, a: Int, lda: Int, b: Int, c: Int, ldc: Int, cin: Int, ldcin: Int,
        m: Int, depth: Int, n: Int,
    ) -> None:  # fmt: skip
        size = real.bytes
        # At least one block, so that depth = 0 still writes C = Cin.
        for first in k.rows(0, k.choose(depth < 1, 1, depth), DEPTH):
            some = k.choose(depth - first < DEPTH, depth - first, DEPTH)
            fresh = first.equals(0)
            begin, ldbegin = k.choose(fresh, cin, c), k.choose(fresh, ldcin, ldc)
            for panel, v, width in panels(k, n, real):
                packed = b + (v * depth + first * width) * (k.lanes_of(real) * size)
                for row, count in groups(k, m):
                    a_rows = [a + (row + r) * lda + first * size for r in range(count)]
                    start = [panel.load(begin + (row + r) * ldbegin) for r in range(count)]

                    def element(r: int, i: Int, a_rows: list[Int] = a_rows) -> V:
                        return k.broadcast(a_rows[r], i, real)

                    tile = multiply(k, start, some, element, packed)
                    for r in range(count):
                        panel.store(c + (row + r) * ldc, tile[r])

    return gemm


def weight_gradient(real: Real) -> Callable[..., None]:
    def weight_grad(
        k: Builder, a: Int, lda: Int, d: Int, ldd: Int, m: Int, rows: Int,
        start: Int, stop: Int, w: Int, ldw: Int, win: Int, ldwin: Int, sums: Int, work: Int,
    ) -> None:  # fmt: skip
        size = real.bytes
        n = stop - start
        d, w, win = d + start * size, w + start * size, win + start * size
        packed_a = work
        packed_d = work + rows * (BLOCK * size)
        # At least one block, so that m = 0 still writes W = Win.
        for block in k.rows(0, k.choose(m < 1, 1, m), BLOCK):
            depth = k.choose(m - block < BLOCK, m - block, BLOCK)
            first = block.equals(0)
            cin, ldcin = k.choose(first, win, w), k.choose(first, ldwin, ldw)
            for group, count in groups(k, rows):
                target = packed_a + group * depth * size
                for i in k.rows(0, depth):
                    source = a + (block + i) * lda + group * size
                    k.copy(target + i * (count * size), source, count * size)
            for panel, v, width in panels(k, n, real):
                bytes_ = k.lanes_of(real) * size
                target = packed_d + v * depth * bytes_
                totals = [k.var(k.const(0.0, real)) for _ in range(width)]
                for i in k.rows(0, depth):
                    vectors = panel.load(d + (block + i) * ldd)
                    for c, (x, total) in enumerate(zip(vectors, totals, strict=True)):
                        k.store(target, (i * width + c) * k.lanes_of(real), x)
                        total.value = total.value + x
                with k.when(sums.differs(0)):
                    row = sums + start * size
                    old = panel.load(row)
                    panel.store(row, [o + t.value for o, t in zip(old, totals, strict=True)])
                for row, count in groups(k, rows):
                    group = packed_a + row * depth * size

                    def element(r: int, i: Int, group: Int = group, count: int = count) -> V:
                        return k.broadcast(group, i * count + r, real)

                    begin = [panel.load(cin + (row + r) * ldcin) for r in range(count)]
                    tile = multiply(k, begin, depth, element, target)
                    for r in range(count):
                        panel.store(w + (row + r) * ldw, tile[r])

    return weight_grad


def packing(real: Real) -> Callable[..., None]:
    def pack(k: Builder, b: Int, ldb: Int, depth: Int, n: Int, packed: Int) -> None:
        lanes = k.lanes_of(real)
        for panel, v, width in panels(k, n, real):
            target = packed + v * depth * (lanes * real.bytes)
            for i in k.rows(0, depth):
                for c, x in enumerate(panel.load(b + i * ldb)):
                    k.store(target, (i * width + c) * lanes, x)

    return pack


def packing_transposed(real: Real) -> Callable[..., None]:
    def pack_t(k: Builder, b: Int, ldb: Int, depth: Int, n: Int, packed: Int) -> None:
        lanes, size = k.lanes_of(real), real.bytes
        for _, v, width in panels(k, n, real):
            for c in range(width):
                column = (v + c) * lanes
                target = packed + (v * depth + c) * (lanes * size)
                full = depth // lanes * lanes
                whole = k.choose(column + lanes <= n, full, 0)
                for i in k.rows(0, whole, lanes):
                    square = [k.load(b + (column + y) * ldb, i, real) for y in range(lanes)]
                    for y, x in enumerate(k.transpose(square)):
                        k.store(target, (i + y) * (width * lanes), x)
                for i in k.rows(whole, depth):
                    place = target + i * (width * lanes * size)
                    for lane in k.rows(0, lanes):
                        inside = column + lane < n
                        # Read a valid column beyond the edge too, and put 0 in its stead.
                        row = b + k.choose(inside, column + lane, 0) * ldb
                        k.put(place, lane, k.choose_vector(inside, k.broadcast(row, i, real), 0.0))

    return pack_t


def gathering(real: Real) -> Callable[..., None]:
    def gather(
        k: Builder, to: Int, ldto: Int, source: Int, lds: Int, index: Int,
        start: Int, stop: Int, n: Int,
    ) -> None:  # fmt: skip
        for r in k.rows(start, stop):
            row = source + k.index(index, r) * lds
            for j in k.lanes(n, real):
                k.store(to + r * ldto, j, k.load(row, j))

    return gather


KERNELS = {
    "product": product,
    "weight_gradient": weight_gradient,
    "pack": packing,
    "pack_transposed": packing_transposed,
    "gather": gathering,
}
