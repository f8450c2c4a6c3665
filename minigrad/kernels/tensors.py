"""Kernels for tensors per node: elements moved, and products summed over axes.

Vectors per node are what the stages of a block fuse; a tensor of more axes is a vector to them as
well, its elements in row-major order.  What knows of axes is here: runs of elements that go to
other places (slices, joins, transposes, repeats), and nests of loops that multiply and add or take
the largest (matrices per node, outer products, sums along an axis).  Sizes and steps lie in
memory, so that one compilation serves all shapes.

Every kernel works on rows [start, stop) of arrays with `ld...` bytes from row to row (0: all rows
share it); the other numbers count elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache as once
from functools import partial
from typing import Any

from . import cache, native
from .vectors import Builder, Int, Lanes, Real

RUN, OUTER, INNER = 5, 3, 2  # numbers in a run; loops around an element of a nest, and inside it
AT_ONCE = 4  # sums side by side: one would wait for itself
FORMS = ("both", "one")  # whether the second operand runs along the vector too, or stands still

_SOURCE = '''"""A kernel for tensors per node."""

from minigrad.kernels import tensors
from minigrad.kernels.native import kernel
from minigrad.kernels.vectors import REALS

run = kernel(tensors.KERNELS["{name}"](REALS["{dtype}"]))
'''


@once
def kernel(dtype: str, name: str) -> native.Native:
    """One of KERNELS for "float32" or "float64", compiled when it is first asked for."""
    return cache.load(_SOURCE.format(dtype=dtype, name=name), f"{name}_{dtype}").run


def moving(real: Real) -> Callable[..., None]:
    """Runs of elements from one row to another.

    runs : rows (from, step, to, count, add): count elements from `from`, `step` apart,
           to places side by side; add: to what is there.
    """

    def move(
        k: Builder, source: Int, lds: Int, to: Int, ldto: Int, runs: Int, count: Int, start: Int,
        stop: Int,
    ) -> None:  # fmt: skip
        for r in k.rows(start, stop):
            x, y = source + r * lds, to + r * ldto
            for i in k.rows(0, count):
                run = runs + i * (RUN * 8)
                first, step, at, n, adds = (k.index(run, j) for j in range(RUN))
                a, b = x + first * real.bytes, y + at * real.bytes
                with k.when(adds.equals(0)):
                    with k.when(step.equals(1)):
                        for j in k.lanes(n, real):
                            k.store(b, j, k.load(a, j))
                    with k.when(step.equals(0)):
                        for j in k.lanes(n, real):
                            k.store(b, j, k.broadcast(a, 0, real))
                    with k.when(k.choose(step < 0, 2, step) > 1):
                        for e in k.rows(0, n):
                            k.put(b, e, k.broadcast(a, e * step, real))
                with k.when(adds.differs(0)):
                    for e in k.rows(0, n):
                        k.put(b, e, k.broadcast(b, e, real) + k.broadcast(a, e * step, real))

    return move


def nest(
    real: Real, how: str, across: bool, both: bool, inner: bool = True
) -> Callable[..., None]:
    """out[o] = the sum (the product, the largest) over r of a[o, r], times b[o, r] in a sum.

    loops  : per loop around an element (n, step of a, of b, of out), per loop inside it (n, step
             of a, of b), then how many elements the vector runs over.
    across : the vector runs across elements of out, which lie side by side; else along r.
    both   : b runs along the vector as a does; else it stands still.
    inner  : whether there are loops inside; else out is the product.
    """
    empty = EMPTY[how]

    def at(k: Builder, base: Int, j: Any, runs: bool) -> Any:
        return k.load(base, j) if runs else k.broadcast(base, 0, real)

    def join(k: Builder, total: Any, a: Any, b: Any) -> Any:
        return k.fmuladd(a, b, total) if how == "sum" else JOIN[how](k, total, a)

    def run(
        k: Builder, a: Int, lda: Int, b: Int, ldb: Int, out: Int, ldo: Int, loops: Int, start: Int,
        stop: Int,
    ) -> None:  # fmt: skip
        size = real.bytes
        numbers = [k.index(loops, i) for i in range(4 * OUTER + 3 * INNER + 1)]
        around = [numbers[4 * i : 4 * i + 4] for i in range(OUTER)]
        inside = [numbers[4 * OUTER + 3 * i : 4 * OUTER + 3 * i + 3] for i in range(INNER)]
        width = numbers[-1]

        def outer(level: int, x: Int, y: Int, to: Int) -> None:
            if level == OUTER:
                (element if inner else product)(x, y, to)
                return
            n, da, db, do = around[level]
            for i in k.rows(0, n):
                outer(level + 1, x + i * (da * size), y + i * (db * size), to + i * (do * size))

        def inwards(level: int, x: Int, y: Int, step: Callable[[Int, Int], None]) -> None:
            if level == INNER:
                step(x, y)
                return
            n, da, db = inside[level]
            for i in k.rows(0, n):
                inwards(level + 1, x + i * (da * size), y + i * (db * size), step)

        def product(x: Int, y: Int, to: Int) -> None:
            """Nothing is added up."""
            other = None if both else k.broadcast(y, 0, real)
            for j in k.lanes(width, real):
                k.store(to, j, k.load(x, j) * (k.load(y, j) if other is None else other))

        def element(x: Int, y: Int, to: Int) -> None:
            if across:
                for positions in vectors(width):
                    totals = [k.var(k.const(empty, real)) for _ in positions]

                    def add(x: Int, y: Int, at_: Any = positions, totals: Any = totals) -> None:
                        for j, total in zip(at_, totals, strict=True):
                            total.value = join(k, total.value, k.load(x, j), at(k, y, j, both))

                    inwards(0, x, y, add)
                    for j, total in zip(positions, totals, strict=True):
                        k.store(to, j, total.value)
                return
            total = k.var(k.const(empty, real))

            def along(x: Int, y: Int) -> None:
                for j in k.lanes(width, real):
                    a, b = k.only(j, k.load(x, j), empty), k.only(j, at(k, y, j, both))
                    total.value = join(k, total.value, a, b)

            inwards(0, x, y, along)
            k.put(to, 0, total.value.folded(how))

        def vectors(n: Int) -> Iterator[list[Lanes]]:
            """Positions of several vectors, and then of one at a time."""
            one = k.lanes_of(real)
            whole = n - n % (one * AT_ONCE)
            for i in k.rows(0, whole, one * AT_ONCE):
                yield [Lanes(i + one * q, real) for q in range(AT_ONCE)]
            for j in k.lanes(n - whole, real):
                yield [Lanes(j.offset + whole, real, j.mask)]

        for r in k.rows(start, stop):
            outer(0, a + r * lda, b + r * ldb, out + r * ldo)

    return run


def running(real: Real, how: str) -> Callable[..., None]:
    """out[o, t] = a[o, t] * out[o, t - 1] + b[o, t], beginning with b ("sum"); or the running
    products of a.

    loops : per loop around (n, step of a, of b, of out), then the same of t, and where each begins.
    """

    def run(
        k: Builder, a: Int, lda: Int, b: Int, ldb: Int, out: Int, ldo: Int, loops: Int, start: Int,
        stop: Int,
    ) -> None:  # fmt: skip
        numbers = [k.index(loops, i) for i in range(4 * OUTER + 7)]
        around = [numbers[4 * i : 4 * i + 4] for i in range(OUTER)]
        n, *steps = numbers[4 * OUTER : 4 * OUTER + 4]
        begin = numbers[4 * OUTER + 4 :]

        def outer(level: int, at: list[Int]) -> None:
            if level == OUTER:
                along(at)
                return
            m, *more = around[level]
            for i in k.rows(0, m):
                outer(level + 1, [x + i * d for x, d in zip(at, more, strict=True)])

        def along(at: list[Int]) -> None:
            state = k.var(k.const(0.0, real))
            x, y, to = (base[j] + p * real.bytes for j, p in enumerate(at))
            with k.when(n > 0):
                state.value = k.broadcast(x if how == "prod" else y, 0, real)
                k.put(to, 0, state.value)
            for t in k.rows(1, n):
                factor = k.broadcast(x, t * steps[0], real)
                value = state.value * factor
                if how == "sum":
                    value = value + k.broadcast(y, t * steps[1], real)
                state.value = value
                k.put(to, t * steps[2], value)

        for r in k.rows(start, stop):
            base = (a + r * lda, b + r * ldb, out + r * ldo)
            outer(0, list(begin))

    return run


EMPTY = {"sum": 0.0, "prod": 1.0, "max": float("-inf")}
JOIN: dict[str, Callable[[Builder, Any, Any], Any]] = {
    "sum": lambda k, total, a: total + a,
    "prod": lambda k, total, a: total * a,
    "max": lambda k, total, a: k.maximum(total, a),
}
KERNELS: dict[str, Callable[[Real], Callable[..., None]]] = {"move": moving}
for _form in FORMS:
    KERNELS[f"product_across_{_form}"] = partial(
        nest, how="sum", across=True, both=_form == "both", inner=False
    )
for _how in JOIN:
    for _way in ("across", "along"):
        for _form in FORMS if _how == "sum" else FORMS[1:]:
            KERNELS[f"{_how}_{_way}_{_form}"] = partial(
                nest, how=_how, across=_way == "across", both=_form == "both"
            )
KERNELS |= {f"running_{how}": partial(running, how=how) for how in ("sum", "prod")}
