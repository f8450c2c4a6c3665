"""Native glue between Python and the stages, so that a call costs microseconds.

One kernel looks at the arrays in a list that Python hands over
(as the objects lie in memory: type, dtype, lengths, contiguity),
writes their data addresses into the runners' tables,
and one runs a list of kernels, with barriers where threads must meet.

Lists of calls are int64 rows (kernel address, a, b, c).
Address 0 is a barrier, a its number from 1, b how many threads meet there;
with a = 0 a thread says that it came, and waits for nobody.
Arrays are checked by rows (dtype object, flags, flags of one that is lent, ndim, four lengths).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from . import cache
from .values import IntLike
from .vectors import I32, I64, Builder, Int, Real

LENGTHS = 4  # of an array that are looked at here
CHECK, CALL, COPY = 4 + LENGTHS, 4, 7  # numbers in a row of each kind of list
BIND = 7  # arguments of `bind` but for the lists
# Offsets in a NumPy array object (the C struct is NumPy's public ABI), and in a list
TYPE, DATA, NDIM, DIMENSIONS, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
ITEMS = 24
SPINS = 200  # looks at a barrier before the thread offers its core to others

_SOURCE = '''"""Glue kernels, see minigrad.kernels.glue."""

from minigrad.kernels import glue
from minigrad.kernels.native import kernel
from minigrad.kernels.vectors import REALS

bind = kernel(glue.bind)
bind_and_run = kernel(glue.bind_and_run)
sequence = kernel(glue.sequence)
linger = kernel(glue.linger)
strike = kernel(glue.strike)
zero = kernel(glue.zero)
copy_float32 = kernel(glue.copying(REALS["float32"]))
copy_float64 = kernel(glue.copying(REALS["float64"]))
check = kernel(glue.check)
take_float32 = kernel(glue.taking(REALS["float32"]))
take_float64 = kernel(glue.taking(REALS["float64"]))
take_int64 = kernel(glue.take_integers)
gather_float32 = kernel(glue.gathering(REALS["float32"]))
gather_float64 = kernel(glue.gathering(REALS["float64"]))
scatter_float32 = kernel(glue.scattering(REALS["float32"]))
scatter_float64 = kernel(glue.scattering(REALS["float64"]))
number_float32 = kernel(glue.numbering(REALS["float32"]))
number_float64 = kernel(glue.numbering(REALS["float64"]))
'''


@once
def kernels() -> cache.Module:
    return cache.load(_SOURCE, "glue")


def bits_of(dtype: np.dtype) -> str:
    """The floats by whose kernels numbers of this dtype are moved: as long, and none is touched."""
    return f"float{8 * dtype.itemsize}"


@once
def reads_objects() -> bool:
    """Whether arrays and lists look here as the kernels expect: tried on one of each."""
    a = np.arange(6.0, dtype=np.float32).reshape(2, 3)[:, :2]
    both = [None, a]

    def word(offset: int, kind: type = ctypes.c_int64, of: object = a) -> int:
        return kind.from_address(id(of) + offset).value  # type: ignore[attr-defined]

    try:
        dims = (ctypes.c_int64 * 2).from_address(word(DIMENSIONS))
        items = (ctypes.c_int64 * 2).from_address(word(ITEMS, of=both))
        return (
            tuple(items) == (id(None), id(a))
            and word(TYPE) == id(np.ndarray)
            and word(DATA) == a.__array_interface__["data"][0]
            and word(NDIM, ctypes.c_int32) == 2
            and tuple(dims) == (2, 2)
            and word(DTYPE) == id(a.dtype)
            and word(FLAGS, ctypes.c_int32) & 0xFFFF == a.flags.num
        )
    except ValueError:
        return False


def address(a: np.ndarray) -> int:
    """Where the numbers of an array lie."""
    if reads_objects():  # four times as fast as to ask
        return _word(id(a) + DATA).value
    return a.__array_interface__["data"][0]


_word = ctypes.c_int64.from_address


@once
def sched_yield() -> int:
    """Address of the C library's sched_yield, or 0 where there is none."""
    try:
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    except (AttributeError, OSError, TypeError):
        return 0


def calls(items: Sequence[Sequence[int]]) -> np.ndarray:
    """A list of calls, as `sequence` reads it."""
    return np.array(items, np.int64).reshape(-1, CALL)


# -- kernels, run inside a trace -----------------------------------------------------------------


def _low32(k: Builder, x: Int) -> Int:
    return Int(k, k.ir.and_(x.value, I64(0xFFFFFFFF)))


def bind(
    k: Builder, given: Int, made: Int, kind: Int, count: Int, checks: Int, targets: Int,
    n_targets: Int, lent: Int, wrong: Int,
) -> None:  # fmt: skip
    """Check the arrays; if all are as they should be, write data addresses to where `targets` says.

    given, made : lists of Python's: `count` arguments, results.
    kind        : the type object of arrays.
    targets     : rows (argument, or results counted on behind them; address to write to).
    lent        : whether the memory of some is to be written to:
                  then each owns what it has, and none is given twice.
    *wrong      : 1 if not.
    """
    arrays, results = k.index(given + ITEMS, 0), k.index(made + ITEMS, 0)
    bad = k.var(k.integer(0))
    for i in k.rows(0, count):
        row, array = checks + i * (CHECK * 8), k.index(arrays, i)
        with k.when(k.index(array + TYPE, 0).differs(kind)):
            bad.value = 1
        with k.when(bad.value.equals(0)):
            _look(k, array, row, lent, bad)
    with k.when(lent.differs(0)):
        for i in k.rows(0, count):
            for j in k.rows(i + 1, count):
                with k.when(k.index(arrays, i).equals(k.index(arrays, j))):
                    bad.value = 1
    k.put_index(wrong, 0, bad.value)
    with k.when(bad.value.equals(0)):
        for i in k.rows(0, n_targets):
            row = targets + i * 16
            which = k.index(row, 0)
            behind = results + (which - count) * 8
            array = k.index(k.choose(which < count, arrays + which * 8, behind), 0)
            k.put_index(k.index(row, 1), 0, k.index(array + DATA, 0))


def _look(k: Builder, array: Int, row: Int, lent: Int, bad: Any) -> None:
    """One array against a row of `checks`."""
    ndim, wanted = _low32(k, k.index(array + NDIM, 0)), k.index(row, 3)
    with k.when(k.index(array + DTYPE, 0).differs(k.index(row, 0))):
        bad.value = 1
    with k.when(ndim.differs(wanted)):
        bad.value = 1
    mask = k.choose(lent.differs(0), k.index(row, 2), k.index(row, 1))
    flags = Int(k, k.ir.and_(k.index(array + FLAGS, 0).value, mask.value))
    with k.when(flags.differs(mask)):
        bad.value = 1
    with k.when(bad.value.equals(0)):
        dims = k.index(array + DIMENSIONS, 0)
        for d in k.rows(0, k.choose(ndim < LENGTHS, ndim, LENGTHS)):
            with k.when(k.index(dims, d).differs(k.index(row, d + 4))):
                bad.value = 1


def bind_and_run(k: Builder, given: Int, made: Int, box: Int) -> None:
    """`bind` and, if nothing is wrong, `sequence`: their arguments one after the other in `box`."""
    words = [k.index(box, i) for i in range(BIND + CALL)]
    bind(k, given, made, *words[:BIND])
    with k.when(k.index(words[BIND - 1], 0).equals(0)):
        sequence(k, *words[BIND:])


def sequence(k: Builder, items: Int, count: Int, arrived: Int, give_way: Int) -> None:
    """Run a list of calls.  *arrived counts all arrivals at all barriers; it starts at 0."""
    for i in k.rows(0, count):
        row = items + i * (CALL * 8)
        f, a, b, c = (k.index(row, j) for j in range(CALL))
        with k.when(f.differs(0)):
            _call(k, f, a, b, c)
        with k.when(f.equals(0)):
            _barrier(k, arrived, a * b, give_way)


def _call(k: Builder, f: Int, *args: Int) -> None:
    k.call(f, *args)


def _barrier(k: Builder, arrived: Int, target: Int, give_way: Int) -> None:
    """Add one arrival, then wait until there are `target` of them."""
    k.ir.atomic_rmw("add", k.ir.inttoptr(arrived.value, I64.as_pointer()), I64(1), "seq_cst")
    _wait(k, arrived, target, give_way, None)


def strike(k: Builder, bell: Int, on: Int, _: Int) -> None:
    """Tell the thread that lingers at `bell` that there is work (1), or that it has come (0)."""
    k.put_index(bell, 0, on)


def linger(k: Builder, bell: Int, looks: Int, give_way: Int) -> None:
    """Wait for work a little, before this thread sleeps: waking it takes as long as small work."""
    _wait(k, bell, k.integer(1), give_way, looks)


def _wait(k: Builder, word: Int, target: Int, give_way: Int, looks: Int | None) -> None:
    """Until the word in memory is `target` or more, or it has been looked at so often."""
    b = k.ir
    pointer = b.inttoptr(word.value, I64.as_pointer())
    look, wait, rest, after = (b.append_basic_block(n) for n in ("look", "wait", "rest", "after"))
    before = b.block
    b.branch(look)
    b.position_at_end(look)
    spins = b.phi(I64)
    spins.add_incoming(I64(0), before)
    there = b.load_atomic(pointer, "seq_cst", 8)
    enough = b.icmp_signed(">=", there, target.value)
    if looks is not None:
        enough = b.or_(enough, b.icmp_signed(">=", spins, looks.value))
    b.cbranch(enough, after, wait)
    b.position_at_end(wait)
    more = b.add(spins, I64(1))
    tired = b.icmp_signed("==", b.srem(more, I64(SPINS)), I64(0))
    tired = b.and_(tired, b.icmp_signed("!=", give_way.value, I64(0)))
    spins.add_incoming(more, b.block)
    b.cbranch(tired, rest, look)
    b.position_at_end(rest)
    from llvmlite import ir

    b.call(b.inttoptr(give_way.value, ir.FunctionType(I32, []).as_pointer()), [])
    spins.add_incoming(more, b.block)
    b.branch(look)
    b.position_at_end(after)


def zero(k: Builder, to: Int, size: Int, _: Int) -> None:
    """Write `size` zero words of 8 bytes."""
    for i in k.rows(0, size):
        k.put_index(to, i, 0)


def copying(real: Real) -> Callable[..., None]:
    def copy(k: Builder, items: Int, first: Int, last: Int) -> None:
        """Copies first..last-1 of a list of rows (from, stride, to, stride, rows, columns, add)."""
        for i in k.rows(first, last):
            row = items + i * (COPY * 8)
            source, lds, to, ldto, rows, columns, adds = (k.index(row, j) for j in range(COPY))
            with k.when(adds.equals(0)):
                for r in k.rows(0, rows):
                    for j in k.lanes(columns, real):
                        k.store(to + r * ldto, j, k.load(source + r * lds, j))
            with k.when(adds.differs(0)):
                for r in k.rows(0, rows):
                    for j in k.lanes(columns, real):
                        at = to + r * ldto
                        k.store(at, j, k.load(at, j) + k.load(source + r * lds, j))

    return copy


def check(k: Builder, item: Int, _: Int, __: Int) -> None:
    """Integers are within bounds, or a flag is set.  item: (from, count, start, stop, flag)."""
    source, count, start, stop, flag = (k.index(item, j) for j in range(5))
    for i in k.rows(0, count):
        x = k.index(source, i)
        with k.when(x < start):
            k.put_index(flag, 0, 1)
        with k.when(x >= stop):
            k.put_index(flag, 0, 1)


def _place(k: Builder, index: Int, i: Int, size: Int, flag: Int) -> Int:
    """The row that an index means, negative ones counted from the end; 0 with the flag set, if
    there is none."""
    given = k.index(index, i)
    at = k.choose(given < 0, given + size, given)
    with k.when(at < 0):
        k.put_index(flag, 0, 1)
    with k.when(at >= size):
        k.put_index(flag, 0, 1)
    return k.choose(at < 0, 0, k.choose(at >= size, 0, at))


def _refuse_none(k: Builder, size: Int, first: IntLike, last: Int, flag: Int) -> None:
    """A table without rows has none to give, or to add to."""
    with k.when(size < 1):
        with k.when(last > first):
            k.put_index(flag, 0, 1)


def taking(real: Real) -> Callable[..., None]:
    def take(k: Builder, item: Int, first: Int, last: Int) -> None:
        """Rows of a table by number.  item: (from, stride, size, index, to, stride, columns,
        flag)."""
        source, lds, size, index, to, ldto, columns, flag = (k.index(item, j) for j in range(8))
        _refuse_none(k, size, first, last, flag)
        with k.when(size > 0):
            for r in k.rows(first, last):
                row = source + _place(k, index, r, size, flag) * lds
                for j in k.lanes(columns, real):
                    k.store(to + r * ldto, j, k.load(row, j))

    return take


def take_integers(k: Builder, item: Int, first: Int, last: Int) -> None:
    """Rows of a table of 64-bit integers by number; item: as of `take`, strides in bytes."""
    source, lds, size, index, to, ldto, columns, flag = (k.index(item, j) for j in range(8))
    _refuse_none(k, size, first, last, flag)
    with k.when(size > 0):
        for r in k.rows(first, last):
            row = source + _place(k, index, r, size, flag) * lds
            for j in k.rows(0, columns):
                k.put_index(to + r * ldto, j, k.index(row, j))


def gathering(real: Real) -> Callable[..., None]:
    def gather(k: Builder, item: Int, first: Int, last: Int) -> None:
        """Rows by numbers that are known to be right; zeros where one is negative.

        item: (from, stride, index, to, stride, columns).
        """
        source, lds, index, to, ldto, columns = (k.index(item, j) for j in range(6))
        for r in k.rows(first, last):
            at = k.index(index, r)
            with k.when(at >= 0):
                for j in k.lanes(columns, real):
                    k.store(to + r * ldto, j, k.load(source + at * lds, j))
            with k.when(at < 0):
                for j in k.lanes(columns, real):
                    k.store(to + r * ldto, j, k.const(0.0, real))

    return gather


def scattering(real: Real) -> Callable[..., None]:
    def scatter(k: Builder, item: Int, _: Int, __: Int) -> None:
        """Rows added up by number, in order.  item: (from, stride, count, index, to, stride,
        columns, flag, size); what is added to starts at zero here."""
        source, lds, count, index, to, ldto, columns, flag, size = (
            k.index(item, j) for j in range(9)
        )
        for r in k.rows(0, size):
            for j in k.lanes(columns, real):
                k.store(to + r * ldto, j, k.const(0.0, real))
        _refuse_none(k, size, 0, count, flag)
        with k.when(size > 0):
            for r in k.rows(0, count):
                row = to + _place(k, index, r, size, flag) * ldto
                for j in k.lanes(columns, real):
                    k.store(row, j, k.load(row, j) + k.load(source + r * lds, j))

    return scatter


def numbering(real: Real) -> Callable[..., None]:
    def number(k: Builder, item: Int, _: Int, __: Int) -> None:
        """64-bit integers as floats.  item: (from, to, count)."""
        source, to, count = (k.index(item, j) for j in range(3))
        for i in k.rows(0, count):
            k.put(to, i, k.number(k.index(source, i), real))

    return number
