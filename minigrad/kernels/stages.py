"""The kernels of one block, traced from data.

What `compile.emit` writes down as tuples becomes vector code here.
A generated module calls these functions inside a kernel trace with its plan:
which entries of the table hold addresses, strides and lengths, and which ops follow each other.
They know no graph, no sizes and no cell.
"""

from __future__ import annotations

from typing import Any

from ..ops import scalar
from . import elementary as fn
from .tensors import EMPTY, JOIN
from .values import Truth
from .vectors import Builder, Int, Real

BLOCK = 256  # rows of a chunk; column sums are kept per chunk, so thread counts do not change them


def vector_functions(k: Builder, real: Real) -> dict[str, Any]:
    """The functions that an op's `scalar` may use, on vectors."""

    def vector(a: Any) -> Any:
        return k.const(float(a), real) if isinstance(a, (int, float)) else a

    functions = fn.TABLE | {
        "abs": k.abs,
        "maximum": k.maximum,
        "minimum": k.minimum,
        "where": k.select,
        "equal": lambda a, b: a.equals(b),
        "differs": lambda a, b: a.differs(b),
    }
    return {name: lambda *given, f=f: f(*map(vector, given)) for name, f in functions.items()}


def chunks_kernel(k: Builder, real: Real, steps: tuple, table: Int, start: Int, stop: Int) -> None:
    """Rows [start, stop), in chunks that stay in the cache from one step to the next."""
    if steps:
        t = k.table(table)
        for a in k.rows(start, stop, BLOCK):
            b = k.choose(stop - a < BLOCK, stop, a + BLOCK)
            _steps(k, real, steps, t, a, b, a)


def levels_kernel(
    k: Builder, real: Real, steps: tuple, gather: tuple, table: Int, start: Int, stop: Int
) -> None:
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
            _steps(k, real, steps, t, a, b, level)


def _steps(k: Builder, real: Real, steps: tuple, t: Any, a: Int, b: Int, level: Int) -> None:
    for kind, what in steps:
        if kind == "product":
            _product(k, real, what, t, a, b, level)
        elif kind == "call":
            with k.when(a < b):
                k.call(*(t[entry] for entry in what), a, b)
        else:
            passes, tail = what
            for r in k.rows(a, b):
                _row(k, real, passes, tail, t, r)


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
    for scalars, loops in passes:
        for instruction in scalars:
            _one(k, real, instruction, known, t, r, None)
        for length, code, folds in loops:
            totals = [k.var(k.const(EMPTY[f[0]], real)) for f in folds]
            for j in k.lanes(t[length], real):
                local = dict(known)
                for instruction in code:
                    _one(k, real, instruction, local, t, r, j)
                for (how, _, v), total in zip(folds, totals, strict=True):
                    one = k.only(j, local[v].rounded(), EMPTY[how])
                    total.value = JOIN[how](k, total.value, one)
            for (how, v, _), total in zip(folds, totals, strict=True):
                known[v] = total.value.folded(how)
    for instruction in tail:
        _one(k, real, instruction, known, t, r, None)


def _one(
    k: Builder, real: Real, code: tuple, known: dict[int, Any], t: Any, r: Int, j: Any
) -> None:
    """One instruction for one vector of one row.

    With j None: for one number of the row in all lanes.
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
    elif op == "store":
        k.store(t[rest[0]] + r * t[rest[1]], j, known[v])
    elif op == "put":
        k.put(t[rest[0]] + r * t[rest[1]], 0, known[v])
    elif op == "column":
        row = t[rest[0]] + (r // BLOCK) * t[rest[1]]
        k.store(row, j, k.load(row, j) + known[v].rounded())
    elif op == "column_scalar":
        row = t[rest[0]] + (r // BLOCK) * t[rest[1]]
        k.put(row, 0, k.broadcast(row, 0, real) + known[v].rounded())
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


def prepare_kernel(k: Builder, real: Real, what: tuple, table: Int, start: Int, stop: Int) -> None:
    """Pack shared matrices start..stop-1; with matrix 0 go the bias rows."""
    matrices, biases = what
    t = k.table(table)
    with k.when(start < 1):
        for _, parts in biases:
            for at, length, vecs in parts:
                for j in k.lanes(t[length], real):
                    total = k.const(0.0, real)
                    for base, single in vecs:
                        x = k.broadcast(t[base], 0, real) if single else k.load(t[base], j)
                        total = total + x
                    k.store(t[at], j, total)
    for number, (transposed, blocks, whole, look) in enumerate(matrices):
        base, ld, depth, columns, packed = whole
        with k.when(start <= number), k.when(stop > number):
            for source, lds, rows, cols, to in blocks:
                for i in k.rows(0, t[rows]):
                    for j in k.lanes(t[cols], real):
                        k.store(t[to] + i * t[ld], j, k.load(t[source] + i * t[lds], j))
            pack = t[2] if transposed else t[1]
            k.call(pack, t[base], t[ld], t[depth], t[columns], t[packed])
            if look:
                rows, width = (columns, depth) if transposed else (depth, columns)
                with k.when(t[8].differs(0)):
                    bad = _infinite(k, real, t[base], t[ld], [(k.integer(0), t[rows])], t[width])
                    k.put_index(t[7], number, k.choose(bad, 1, 0))


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


def outers_kernel(k: Builder, real: Real, what: tuple, table: Int, part: Int, parts: Int) -> None:
    """This thread's columns of every product of stacked rows.

    Rows whose left side is zero are left out, but for 0 * inf where the right side is not finite.
    """
    t = k.table(table)
    unit = k.lanes_of(real)  # whole vectors: only the last thread has a partial one
    for a, lda, d, ldd, first, nodes, rows, columns, out, ldout, sums in what:
        n, r = t[columns], t[first]
        share = ((n + (unit - 1)) // unit + parts - 1) // parts * unit
        start, stop = share * part, share * part + share
        stop = k.choose(stop < n, stop, n)
        with k.when(start < stop):
            k.call(
                t[3], t[a] + r * t[lda], t[lda], t[d] + r * t[ldd], t[ldd], t[nodes], t[rows],
                start, stop, t[out], t[ldout], t[5], 0, t[sums], t[6],
            )  # fmt: skip
            rest = [(k.integer(0), r), (r + t[nodes], t[9])]
            right, to, width = t[d] + start * real.bytes, t[out] + start * real.bytes, stop - start
            with k.when(_infinite(k, real, right, t[ldd], rest, width)):
                for j in k.lanes(width, real):
                    total = k.var(k.const(0.0, real))
                    for begin, end in rest:
                        for i in k.rows(begin, end):
                            total.value = total.value + k.load(right + i * t[ldd], j) * 0.0
                    for i in k.rows(0, t[rows]):
                        k.store(to + i * t[ldout], j, k.load(to + i * t[ldout], j) + total.value)
