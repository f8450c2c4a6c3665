"""The kernels of one block, traced from data.

What `compile.emit` writes down as tuples becomes vector code here.
A generated module calls these functions inside a kernel trace with its plan:
which entries of the table hold addresses, strides and lengths, and which ops follow each other.
They know no graph, no sizes and no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

from ..ops import scalar
from . import cache
from . import elementary as fn
from .tensors import EMPTY, JOIN
from .values import Truth, V
from .vectors import Builder, Int, Lanes, Real

BLOCK = 256  # rows that go through the steps of a stage together
READS = ("const", *(kind + way for kind in ("load", "scalar", "down", "across")
                    for way in ("", "_shared", "_by")))  # fmt: skip
COLUMN = 64  # rows of one partial column sum: thread counts do not change which are added first


def vector_functions(k: Builder, real: Real) -> dict[str, Any]:
    """The functions that an op's `scalar` may use, on vectors."""

    def vector(a: Any) -> Any:
        return k.const(float(a), real) if isinstance(a, (int, float)) else a

    functions = fn.TABLE | fn.OTHERS | {
        "abs": k.abs,
        "maximum": k.maximum,
        "minimum": k.minimum,
        "where": k.select,
        "equal": lambda a, b: a.equals(b),
        "differs": lambda a, b: a.differs(b),
    }
    return {name: lambda *given, f=f: f(*map(vector, given)) for name, f in functions.items()}


class _Here:
    """A table for the rows from `first` on: of rows that pass there is memory from there on only.

    Their base addresses go back by as many rows, so that row `first` is the first in memory.
    """

    def __init__(self, t: Any, places: tuple[tuple[int, int], ...], first: Int):
        self.t = t
        self.base = {base: t[base] - first * t[stride] for base, stride in places}

    def go_round(self, k: Builder, ring: tuple, ranges: Int, level: Int) -> None:
        """What goes round: the level's rows in one half of a ring, its sources' in the other.

        Behind the halves are zeros, which the first level reads.
        """
        rows, shift, ports, slots = ring
        t, rows, odd = self.t, self.t[rows], level % 2
        first = k.index(ranges, level * 2)
        begins = level.equals(0)
        before = k.choose(begins, level, level - 1)
        source = k.choose(begins, first, k.index(ranges, before * 2) + t[shift])
        half = k.choose(begins, 2, 1 - odd)
        for base, stride in ports:
            self.base[base] = t[base] + (odd * rows - first) * t[stride]
        for base, stride in slots:
            self.base[base] = t[base] + (half * rows - source) * t[stride]

    def __getitem__(self, entry: int) -> Int:
        return self.base[entry] if entry in self.base else self.t[entry]


def chunks_kernel(
    k: Builder, real: Real, steps: tuple, here: tuple, table: Int, start: Int, stop: Int
) -> None:
    """Rows [start, stop), in chunks that stay in the cache from one step to the next."""
    if steps:
        t = k.table(table)
        for a in k.rows(start, stop, BLOCK):
            b = k.choose(stop - a < BLOCK, stop, a + BLOCK)
            _steps(k, real, steps, _Here(t, here, a), a, b, a)


def levels_kernel(
    k: Builder, real: Real, steps: tuple, here: tuple, ring: tuple, gather: tuple, table: Int,
    start: Int, stop: Int,
) -> None:  # fmt: skip
    """Levels [start, stop) of one thread's part.

    `ranges` holds its first and last row at each level.
    """
    t = k.table(table)
    ranges = t[4]
    for level in k.rows(start, stop):
        a, b = k.index(ranges, level * 2), k.index(ranges, level * 2 + 1)
        with k.when(a < b):
            for g in gather:
                _gather_slot(k, real, g, table, t, a, b)
            near = _Here(t, here, a)
            if ring:
                near.go_round(k, ring, ranges, level)
            _steps(k, real, steps, near, a, b, level)


def _steps(k: Builder, real: Real, steps: tuple, t: Any, a: Int, b: Int, level: Int) -> None:
    for kind, what, *tables in steps:
        if kind == "product":
            _product(k, real, what, t, a, b, level)
        elif kind == "call":
            _call(k, what, tables[0], t, a, b)
        elif kind == "add":
            _add(k, real, what, t, a, b)
        else:
            passes, tail = what
            for r in k.rows(a, b):
                _row(k, real, passes, tail, t, r)


def _call(k: Builder, what: tuple, tables: tuple, t: Any, a: Int, b: Int) -> None:
    """A kernel for rows [a, b); where it reads tables, for as many at a time as lie side by side in
    all of them."""
    kernel, *args = (t[entry] for entry in what)
    if not tables:
        with k.when(a < b):
            k.call(kernel, *args, a, b)
        return
    begin = k.var(a)
    for r in k.rows(a, b):
        with k.when(r.equals(begin.value)):
            end, given = b, list(args)
            for at, jumps in tables:
                row, stop = k.index(t[jumps], r * 2), k.index(t[jumps], r * 2 + 1)
                end = k.choose(stop < end, stop, end)
                given[at] = given[at] + (row - r) * given[at + 1]
            k.call(kernel, *given, r, end)
            begin.value = end


def _add(k: Builder, real: Real, what: tuple, t: Any, a: Int, b: Int) -> None:
    """Rows [a, b) added to those of a table, by number (negative: to none)."""
    base, stride, size, numbers, to, ldto = what
    for r in k.rows(a, b):
        at = k.index(t[numbers], r)
        with k.when(at >= 0):
            row, total = t[base] + r * t[stride], t[to] + at * t[ldto]
            for j in k.lanes(t[size], real):
                k.store(total, j, k.load(total, j) + k.load(row, j))


def _product(k: Builder, real: Real, what: tuple, t: Any, a: Int, b: Int, level: Int) -> None:
    """A product for rows [a, b), or those of them that its limits leave.

    The others get the bias alone.
    """
    base, lda, packed, c, ldc, cin, ldcin, depth, n, limit, low, high, matrix = what
    first = ldcin < 0
    infinite = k.index(t[7], matrix) if matrix >= 0 else k.integer(0)

    def run(a: Int, b: Int) -> None:
        with k.when(a < b):
            start = t[cin] if first else t[cin] + a * t[ldcin]
            k.call(
                t[0], t[base] + a * t[lda], t[lda], t[packed], t[c] + a * t[ldc], t[ldc], start,
                0 if first else t[ldcin], b - a, t[depth], t[n],
            )  # fmt: skip

    def bias_only(a: Int, b: Int) -> None:
        for r in k.rows(a, b):
            for j in k.lanes(t[n], real):
                k.store(t[c] + r * t[ldc], j, k.load(t[cin], j))

    if limit == "rows":
        begin, end = k.choose(t[low] < a, a, t[low]), k.choose(b < t[high], b, t[high])
        begin, end = (k.choose(infinite.equals(0), x, y) for x, y in ((begin, a), (end, b)))
        run(begin, end)
        if first:
            begin = k.choose(begin < b, begin, b)
            bias_only(a, begin)
            bias_only(k.choose(end < begin, begin, end), b)
    elif limit == "levels":
        skip = k.choose(infinite.equals(0), k.index(t[low], level), 0)
        with k.when(skip.equals(0)):
            run(a, b)
        if first:
            with k.when(skip.differs(0)):
                bias_only(a, b)
    else:
        run(a, b)


def _row(k: Builder, real: Real, passes: tuple, tail: tuple, t: Any, r: Int) -> None:
    known: dict[int, Any] = {}
    tables = {}  # where the row lies in each: found once, not for every vector of it
    codes = [code for scalars, loops in passes for code in (scalars, *(c for _, c, *_ in loops))]
    for base, stride, jumps in _looked_up(codes):
        if base not in tables:
            tables[base] = t[base] + k.index(t[jumps], r * 2) * t[stride]

    def one(instruction: tuple, known: dict[int, Any], j: Any, at: Any = None) -> None:
        _one(k, real, instruction, known, t, r, j, tables, at)
        # The same number wherever it is computed, here or again in another stage or block:
        # a product fused into a sum in one of them would differ (and `x == max(x)` be false).
        if isinstance(value := known.get(instruction[1]), V):
            known[instruction[1]] = value.rounded()

    for scalars, loops in passes:
        for instruction in scalars:
            one(instruction, known, None)
        for length, code, folds, sums, at_once in loops:
            totals = [k.var(k.const(EMPTY[f[0]], real)) for f in folds]

            def fold(j: Any, local: dict[int, Any], own: Any = (folds, totals)) -> None:
                for (how, _, v), total in zip(*own, strict=True):
                    value = k.only(j, local[v], EMPTY[how])
                    total.value = JOIN[how](k, total.value, value)

            if isinstance(length, tuple):
                _grid(k, real, (length, code, sums, at_once), known, t, r, one, fold)
            else:
                for j in k.lanes(t[length], real):
                    local = dict(known)
                    for instruction in code:
                        one(instruction, local, j)
                    fold(j, local)
            for (how, v, _), total in zip(folds, totals, strict=True):
                known[v] = total.value.folded(how)
    for instruction in tail:
        one(instruction, known, None)


def _grid(
    k: Builder, real: Real, what: tuple, known: dict[int, Any], t: Any, r: Int,
    one: Callable[..., None], fold: Callable[..., None],
) -> None:  # fmt: skip
    """A loop over a grid of m x n elements, several of its rows at once, and the sums along it."""
    (m, n), code, sums, at_once = what
    m, n = t[m], t[n]
    down = [(v, t[at] + r * t[ld]) for how, v, at, ld in sums if how == "sum_down"]
    along = [(v, t[at] + r * t[ld]) for how, v, at, ld in sums if how == "sum_along"]
    for _, to in down:
        for j in k.lanes(n, real):
            k.store(to, j, k.const(0.0, real))

    def rows(first: Int, count: int) -> None:
        totals = [[k.var(k.const(0.0, real)) for _ in range(count)] for _ in along]
        for j in k.lanes(n, real):
            at = [
                (i, j, Lanes(i * n + j.offset, real, j.mask))
                for i in (first + q for q in range(count))
            ]
            values: list[dict[int, Any]] = [dict(known) for _ in at]
            for instruction in code:
                for q, local in enumerate(values):
                    if q and instruction[0].startswith("across"):  # of all rows the same
                        local[instruction[1]] = values[0][instruction[1]]
                    else:
                        one(instruction, local, at[q][2], at[q][:2])
            for local, (*_, own) in zip(values, at, strict=True):
                fold(own, local)
            for (v, _), own_totals in zip(along, totals, strict=True):
                for local, total in zip(values, own_totals, strict=True):
                    total.value = total.value + k.only(j, local[v], 0.0)
            for v, to in down:
                parts = [local[v] for local in values]
                while len(parts) > 1:
                    parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
                k.store(to, j, k.load(to, j) + parts[0])
        for (_, to), own_totals in zip(along, totals, strict=True):
            k.put_sums(to, first, [total.value for total in own_totals])

    whole = m - m % at_once
    for i in k.rows(0, whole, at_once):
        rows(i, at_once)
    if at_once > 1:
        for i in k.rows(whole, m):
            rows(i, 1)


def _looked_up(codes: Sequence[tuple]) -> list[tuple[int, int, int]]:
    """Entries of base, stride and jumps of the tables that some code reads."""
    return [tuple(i[2:]) for code in codes for i in code if i[0].endswith("_by")]


def _one(
    k: Builder, real: Real, code: tuple, known: dict[int, Any], t: Any, r: Int, j: Any,
    tables: dict[int, Int], at: Any = None,
) -> None:  # fmt: skip
    """One instruction for one vector of one row.

    With j None: for one number of the row in all lanes.
    at: in a grid, the vector's row and where it lies along the row.
    """
    op, v, *rest = code
    if op == "const":
        known[v] = k.const(rest[0], real)
    elif op == "load":
        known[v] = k.load(t[rest[0]] + r * t[rest[1]], j)
    elif op == "load_shared":
        known[v] = k.load(t[rest[0]], j)
    elif op == "scalar":
        known[v] = k.broadcast(t[rest[0]] + r * t[rest[1]], 0, real)
    elif op == "scalar_shared":
        known[v] = k.broadcast(t[rest[0]], 0, real)
    elif op == "load_by":
        known[v] = k.load(tables[rest[0]], j)
    elif op == "scalar_by":
        known[v] = k.broadcast(tables[rest[0]], 0, real)
    elif op in READS:
        axis, _, way = op.partition("_")
        base = tables[rest[0]] if way == "by" else t[rest[0]]
        base = base if way else base + r * t[rest[1]]
        known[v] = k.broadcast(base, at[0], real) if axis == "down" else k.load(base, at[1])
    elif op == "store":
        k.store(t[rest[0]] + r * t[rest[1]], j, known[v])
    elif op == "put":
        k.put(t[rest[0]] + r * t[rest[1]], 0, known[v])
    elif op == "column":
        row = t[rest[0]] + (r // COLUMN) * t[rest[1]]
        k.store(row, j, k.load(row, j) + known[v])
    elif op == "column_by":
        row = t[rest[0]] + k.index(t[rest[2]], r) * t[rest[1]]
        k.store(row, j, k.load(row, j) + known[v])
    elif op == "column_scalar":
        row = t[rest[0]] + (r // COLUMN) * t[rest[1]]
        k.put(row, 0, k.broadcast(row, 0, real) + known[v])
    elif op == scalar.TOTAL:
        total = known[rest[0]]
        for a in rest[1:]:
            total = total + known[a]
        known[v] = total
    else:
        known[v] = scalar.compute(op, vector_functions(k, real), [known[a] for a in rest])


def _gather_slot(k: Builder, real: Real, what: tuple, table: Int, t: Any, a: Int, b: Int) -> None:
    """What arrives in one slot for rows [a, b): the sum over the row's edges (none: zeros)."""
    base, stride, length, ports, dense, first, source, port = what
    with k.when(t[dense].equals(0)):
        for r in k.rows(a, b):
            begin, end = k.index(t[first], r), k.index(t[first], r + 1)
            for j in k.lanes(t[length], real):
                total = k.var(k.const(0.0, real))
                for e in k.rows(begin, end):
                    at = k.index(t[port], e) * 2 + ports
                    row = k.index(table, at) + k.index(t[source], e) * k.index(table, at + 1)
                    total.value = total.value + k.load(row, j)
                k.store(t[base] + r * t[stride], j, total.value)


# -- the same for all blocks: shared matrices and sums of products ---------------------------------

# Lists that these kernels go through; a row is numbers of table entries, or (*) as it stands:
LISTS = {
    "matrices": 9,  # whole, its stride, depth, columns, packed, *transposed, *to be looked over,
    #                 *its blocks from, *to
    "blocks": 5,  # from, stride, rows, columns, to
    "biases": 4,  # at, length, *its vectors from, *to
    "vectors": 2,  # at, *whether it is one number
    "outers": 11,  # left, stride, right, stride, first row, rows, rows and columns of the result,
    #                result, stride, sums
}
_FIRST = 10  # entry of the first list's address; its length comes after it, then the next list
_SOURCE = '''"""Kernels that all blocks share, {real}."""

from minigrad.kernels import stages
from minigrad.kernels.native import kernel
from minigrad.kernels.vectors import REALS

prepare = kernel(stages.preparing(REALS["{real}"]))
outers = kernel(stages.stacking(REALS["{real}"]))
'''


@once
def kernels(real: str) -> cache.Module:
    """`prepare` and `outers` for "float32" or "float64"."""
    return cache.load(_SOURCE.format(real=real), f"stages_{real}")


class _Listed:
    """One of the lists of a table."""

    def __init__(self, k: Builder, table: Int, name: str):
        at = _FIRST + 2 * list(LISTS).index(name)
        self.k, self.table, self.width = k, table, LISTS[name]
        self.base, self.count = k.index(table, at), k.index(table, at + 1)

    def number(self, i: Int, column: int) -> Int:
        return self.k.index(self.base, i * self.width + column)

    def entry(self, i: Int, column: int) -> Int:
        return self.k.index(self.table, self.number(i, column))

    def entries(self, i: Int, columns: int) -> list[Int]:
        return [self.entry(i, c) for c in range(columns)]


def preparing(real: Real) -> Callable[..., None]:
    def prepare(k: Builder, table: Int, start: Int, stop: Int) -> None:
        """Pack shared matrices start..stop-1; with matrix 0 go the bias rows."""
        t = k.table(table)
        matrices, blocks, biases, vectors = (
            _Listed(k, table, name) for name in ("matrices", "blocks", "biases", "vectors")
        )
        with k.when(start < 1):
            for i in k.rows(0, biases.count):
                at, length = biases.entries(i, 2)
                first, last = biases.number(i, 2), biases.number(i, 3)
                for j in k.lanes(length, real):
                    k.store(at, j, k.const(0.0, real))
                    for v in k.rows(first, last):
                        base = vectors.entry(v, 0)
                        with k.when(vectors.number(v, 1).equals(0)):
                            k.store(at, j, k.load(at, j) + k.load(base, j))
                        with k.when(vectors.number(v, 1).differs(0)):
                            k.store(at, j, k.load(at, j) + k.broadcast(base, 0, real))
        for m in k.rows(start, k.choose(stop < matrices.count, stop, matrices.count)):
            base, ld, depth, columns, packed = matrices.entries(m, 5)
            turned = matrices.number(m, 5)
            for b in k.rows(matrices.number(m, 7), matrices.number(m, 8)):
                source, lds, rows, cols, to = blocks.entries(b, 5)
                for i in k.rows(0, rows):
                    for j in k.lanes(cols, real):
                        k.store(to + i * ld, j, k.load(source + i * lds, j))
            pack = k.choose(turned.equals(0), t[1], t[2])
            k.call(pack, base, ld, depth, columns, packed)
            look = k.choose(t[8].equals(0), 0, matrices.number(m, 6))
            with k.when(look.differs(0)):
                rows = k.choose(turned.equals(0), depth, columns)
                width = k.choose(turned.equals(0), columns, depth)
                bad = _infinite(k, real, base, ld, [(k.integer(0), rows)], width)
                k.put_index(t[7], m, k.choose(bad, 1, 0))

    return prepare


def _infinite(
    k: Builder, real: Real, base: Int, ld: Int, ranges: list[tuple[Int, Int]], n: Int
) -> Truth:
    """Whether NaN or infinity is among n columns of the rows in `ranges`: 0 * x tells."""
    total = k.var(k.const(0.0, real))
    for first, last in ranges:
        for i in k.rows(first, last):
            for j in k.lanes(n, real):
                total.value = total.value + k.load(base + i * ld, j) * 0.0
    return k.any(total.value.is_nan())


def stacking(real: Real) -> Callable[..., None]:
    def outers(k: Builder, table: Int, part: Int, parts: Int) -> None:
        """This thread's columns of every product of stacked rows.

        Rows whose left side is zero are left out, but for 0 * inf where the right side is not
        finite.
        """
        t = k.table(table)
        unit = k.lanes_of(real)  # whole vectors: only the last thread has a partial one
        found = _Listed(k, table, "outers")
        for o in k.rows(0, found.count):
            a, lda, d, ldd, r, nodes, rows, n, out, ldout, sums = found.entries(o, 11)
            share = ((n + (unit - 1)) // unit + parts - 1) // parts * unit
            start, stop = share * part, share * part + share
            stop = k.choose(stop < n, stop, n)
            with k.when(start < stop):
                k.call(
                    t[3], a + r * lda, lda, d + r * ldd, ldd, nodes, rows, start, stop, out, ldout,
                    t[5], 0, sums, t[6],
                )  # fmt: skip
                rest = [(k.integer(0), r), (r + nodes, t[9])]
                right, to = d + start * real.bytes, out + start * real.bytes
                width = stop - start
                with k.when(_infinite(k, real, right, ldd, rest, width)):
                    for j in k.lanes(width, real):
                        total = k.var(k.const(0.0, real))
                        for begin, end in rest:
                            for i in k.rows(begin, end):
                                total.value = total.value + k.load(right + i * ldd, j) * 0.0
                        for i in k.rows(0, rows):
                            k.store(to + i * ldout, j, k.load(to + i * ldout, j) + total.value)

    return outers
