"""Kernels by tracing: ordinary Python, run once, emits LLVM vector instructions.

A kernel is a function `f(k, *args)` of a `Builder` and 64-bit integers (addresses, sizes).
Its loops are Python `for` statements over `k.rows` and `k.lanes`; its values are

* `Int`   one int64 that all lanes share: an address in bytes, a size, a row number;
* `V`     one vector of float32 or float64, as many lanes as a register holds;
* `Bits`  a `V`'s bit pattern as integers;  `Mask`  one truth value per lane.

Why not let Numba type and vectorise such loops:
explicit vectors always vectorise (the auto-vectoriser stops at 256 bits and at aliasing),
and compile several times faster.

    def scale(k, table, start, stop):               # y[r, :] = tanh(x[r, :]) * g[:]
        t = k.table(table)
        for r in k.rows(start, stop):
            x, y = t[0] + r * t[1], t[2] + r * t[3]
            for j in k.lanes(t[5], F32):
                k.store(y, j, tanh(k.load(x, j)) * k.load(t[4], j))

A loop body is traced once by `k.rows` and twice by `k.lanes`
(whole vectors, then the masked rest), so it must not `break` out,
and Python variables assigned inside do not carry over from one iteration to the next:
use `k.var` for that.

Rounding: a product that is added becomes one fused multiply-add,
chosen here, while tracing, and not by LLVM:
so an element's result depends neither on its place in the vector
nor on whether it fell into the tail.
No fast-math flag is set; NaN and infinities are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from . import target
from .values import F32, F64, I32, I64, REALS, Bits, Int, IntLike, Mask, Number, Real, Truth, V

__all__ = ["F32", "F64", "REALS", "Bits", "Builder", "Int", "Lanes", "Mask", "Real", "Truth", "V"]


@dataclass(frozen=True)
class Lanes:
    """Where one step of `k.lanes` is: element offset, element type, and the tail's mask."""

    offset: Int
    real: Real
    mask: Mask | None = None


class Loaded:
    """Read access to an int64 array, the kernel's table, that nobody writes while it runs."""

    def __init__(self, k: Builder, base: Int):
        self.k, self.base = k, base

    def __getitem__(self, i: int) -> Int:
        # Told that the entry never changes, LLVM reads it once, outside of all loops.
        value = self.k.ir.load(self.k.pointer(self.base, i, I64), align=8)
        value.set_metadata("invariant.load", self.k.ir.module.add_metadata([]))
        return Int(self.k, value)


class Var:
    """A value that survives loop iterations: read and assign `.value`."""

    def __init__(self, k: Builder, initial: Int | V):
        with k.ir.goto_entry_block():
            self.slot = k.ir.alloca(initial.value.type)
        self.k, self.like = k, initial
        self.value = initial

    @property
    def value(self) -> Any:
        value = self.k.ir.load(self.slot)
        return V(self.k, value, self.like.real) if isinstance(self.like, V) else Int(self.k, value)

    @value.setter
    def value(self, value: Any) -> None:
        value = self.like._other(value) if isinstance(self.like, V) else self.k.integer(value)
        self.k.ir.store(value.value, self.slot)


class Builder:
    """Emits a kernel's instructions: `k` in the traced functions. `lanes`: float32 per vector."""

    def __init__(self, builder: ir.IRBuilder, lanes: int):
        self.ir, self.lanes32 = builder, lanes

    # ---- types -----------------------------------------------------------------------------

    def lanes_of(self, real: Real) -> int:
        return self.lanes32 * 4 // real.bytes

    def vector(self, real: Real) -> ir.VectorType:
        return ir.VectorType(real.ir, self.lanes_of(real))

    def int_vector(self, real: Real) -> ir.VectorType:
        return ir.VectorType(real.int_ir, self.lanes_of(real))

    # ---- integers and memory -----------------------------------------------------------------

    def integer(self, x: IntLike) -> Int:
        return x if isinstance(x, Int) else Int(self, ir.Constant(I64, int(x)))

    def pointer(self, base: Int, offset: IntLike, element: ir.Type) -> Any:
        """Pointer to element number `offset` of the array at byte address `base`."""
        start = self.ir.inttoptr(base.value, element.as_pointer())
        return self.ir.gep(start, [self.integer(offset).value], source_etype=element)

    def table(self, base: Int) -> Loaded:
        return Loaded(self, base)

    def index(self, base: Int, i: IntLike) -> Int:
        """Element i of an int64 array that may be written meanwhile (else use `table`)."""
        return Int(self, self.ir.load(self.pointer(base, i, I64), align=8))

    def put_index(self, base: Int, i: IntLike, x: IntLike) -> None:
        self.ir.store(self.integer(x).value, self.pointer(base, i, I64), align=8)

    def load(self, base: Int, at: Lanes | IntLike, real: Real | None = None) -> V:
        """Consecutive elements from `base` + element offset. Masked lanes read 0."""
        at, real = self._at(at, real)
        vector = self.vector(real)
        pointer = self._vector_pointer(base, at.offset, real)
        if at.mask is None:
            return V(self, self.ir.load(pointer, align=real.bytes), real)
        zero = ir.Constant(vector, None)
        types = [vector.as_pointer(), I32, at.mask.value.type, vector]
        fn = self._function(f"llvm.masked.load.{self._suffix(real)}.p0", vector, types)
        align = ir.Constant(I32, real.bytes)
        return V(self, self.ir.call(fn, [pointer, align, at.mask.value, zero]), real)

    def store(self, base: Int, at: Lanes | IntLike, x: Number) -> None:
        """Write consecutive elements; masked lanes are left alone."""
        if not isinstance(x, V):
            if not isinstance(at, Lanes):
                raise TypeError("storing a Python number needs a Lanes position for its type")
            x = self.const(x, at.real)
        at, real = self._at(at, x.real)
        pointer = self._vector_pointer(base, at.offset, real)
        if at.mask is None:
            self.ir.store(x.value, pointer, align=real.bytes)
            return
        types = [x.value.type, pointer.type, I32, at.mask.value.type]
        fn = self._function(f"llvm.masked.store.{self._suffix(real)}.p0", ir.VoidType(), types)
        self.ir.call(fn, [x.value, pointer, ir.Constant(I32, real.bytes), at.mask.value])

    def broadcast(self, base: Int, i: IntLike, real: Real) -> V:
        """One element, in every lane."""
        return self._splat(self.ir.load(self.pointer(base, i, real.ir), align=real.bytes), real)

    def put(self, base: Int, i: IntLike, x: V) -> None:
        """Write one element: the first lane of x (a row's sum, say)."""
        first = self.ir.extract_element(x.value, ir.Constant(I32, 0))
        self.ir.store(first, self.pointer(base, i, x.real.ir), align=x.real.bytes)

    def put_sums(self, base: Int, i: IntLike, xs: Sequence[V]) -> None:
        """Write the sum over the lanes of each of xs (a power of two of them), side by side.

        Halves of two vectors make one, in which every other lane is the first's: so all are summed
        as one vector in the end.
        """
        real, lanes = xs[0].real, self.lanes_of(xs[0].real)
        if len(xs) > lanes:
            self.put_sums(base, i, xs[:lanes])
            self.put_sums(base, self.integer(i) + lanes, xs[lanes:])
            return
        span, whole = 1, [x.rounded() for x in xs]
        while len(whole) > 1:
            first = [p & ~span if not p & span else lanes + (p & ~span) for p in range(lanes)]
            second = [p + span for p in first]
            whole = [
                self._shuffle(a, b, first) + self._shuffle(a, b, second)
                for a, b in zip(whole[::2], whole[1::2], strict=True)
            ]
            span *= 2
        total = whole[0].sum(apart=span)
        if len(xs) == 1:
            self.put(base, i, total)
        else:
            i, count = self.integer(i), self.integer(len(xs))
            self.store(base, Lanes(i, real, self.first(count, real)), total)

    def copy(self, to: Int, source: Int, count: int) -> None:
        """Copy `count` bytes (a constant), any alignment; the ranges do not overlap."""
        kind = ir.VectorType(ir.IntType(8), count)
        value = self.ir.load(self.pointer(source, 0, kind), align=1)
        self.ir.store(value, self.pointer(to, 0, kind), align=1)

    def prefetch(self, base: Int) -> None:
        """Ask for the cache line at `base`; never faults."""
        pointer = self.ir.inttoptr(base.value, ir.IntType(8).as_pointer())
        fn = self._function("llvm.prefetch.p0", ir.VoidType(), [pointer.type, I32, I32, I32])
        self.ir.call(fn, [pointer, *(ir.Constant(I32, c) for c in (0, 3, 1))])

    def call(self, address: IntLike, *args: IntLike) -> None:
        """Call compiled code at `address`: `void f(int64...)`, e.g. a product of `gemm`."""
        kind = ir.FunctionType(ir.VoidType(), [I64] * len(args))
        pointer = self.ir.inttoptr(self.integer(address).value, kind.as_pointer())
        self.ir.call(pointer, [self.integer(a).value for a in args])

    # ---- control -------------------------------------------------------------------------------

    def rows(self, start: IntLike, stop: IntLike, step: int = 1) -> Iterator[Int]:
        """A loop over start, start + step, ... < stop; its body runs zero times if none is."""
        b, start, stop = self.ir, self.integer(start), self.integer(stop)
        before, body, after = b.block, b.append_basic_block("rows"), b.append_basic_block("after")
        b.cbranch((start < stop).value, body, after)
        b.position_at_end(body)
        phi = b.phi(I64)
        phi.add_incoming(start.value, before)
        i = Int(self, phi)
        yield i
        i_next = i + step
        phi.add_incoming(i_next.value, b.block)
        b.cbranch((i_next < stop).value, body, after)
        b.position_at_end(after)

    def lanes(self, n: IntLike, real: Real) -> Iterator[Lanes]:
        """A loop over n elements, a vector at a time, then the rest under a mask."""
        width = self.lanes_of(real)
        if isinstance(n, int):
            whole: IntLike = n - n % width
        else:
            whole = Int(self, self.ir.and_(n.value, ir.Constant(I64, -width)))
        for i in self.rows(0, whole, width):
            yield Lanes(i, real)
        if n is not whole and not (isinstance(n, int) and n == whole):
            n, whole = self.integer(n), self.integer(whole)
            with self.when(whole < n):
                yield Lanes(whole, real, self.first(n - whole, real))

    def first(self, n: Int, real: Real) -> Mask:
        """Mask of the first n lanes; all of them if n is larger."""
        kind, width = self.int_vector(real), self.lanes_of(real)
        count = self.choose(n < width, n, width)
        scalar = self.ir.trunc(count.value, I32) if real.bits == 32 else count.value
        limit = self._splat_value(scalar, kind)
        iota = ir.Constant(kind, list(range(width)))
        return Mask(self, self.ir.icmp_signed("<", iota, limit))

    @contextmanager
    def when(self, condition: Truth) -> Iterator[None]:
        """`with k.when(i < n): ...`: the body runs where the condition holds."""
        b = self.ir
        body, after = b.append_basic_block("when"), b.append_basic_block("after")
        b.cbranch(condition.value, body, after)
        b.position_at_end(body)
        yield
        b.branch(after)
        b.position_at_end(after)

    def number(self, x: Int, real: Real) -> V:
        """An integer as a float, in all lanes."""
        return self._splat(self.ir.sitofp(x.value, real.ir), real)

    def choose(self, condition: Truth, a: IntLike, b: IntLike) -> Int:
        value = self.ir.select(condition.value, self.integer(a).value, self.integer(b).value)
        return Int(self, value)

    def choose_vector(self, condition: Truth, a: Number, b: Number) -> V:
        """One truth value for all lanes; `select` takes one per lane."""
        return self.select(Mask(self, condition.value), a, b)

    def var(self, initial: Int | V) -> Var:
        return Var(self, initial)

    # ---- vectors -------------------------------------------------------------------------------

    def const(self, x: float, real: Real) -> V:
        """x in every lane."""
        lanes = self.lanes_of(real)
        return V(self, ir.Constant(self.vector(real), [float(x)] * lanes), real)

    def only(self, at: Lanes, x: V, fill: float = 0.0) -> V:
        """x, with `fill` in the lanes beyond the row's end: do this before reducing."""
        return x if at.mask is None else self.select(at.mask, x, fill)

    def select(self, mask: Mask, a: Number, b: Number) -> V:
        like = a if isinstance(a, V) else b
        if not isinstance(like, V):
            raise TypeError("select needs at least one vector to know the element type")
        a, b = like._other(a), like._other(b)
        return V(self, self.ir.select(mask.value, a.value, b.value), like.real)

    def maximum(self, a: V, b: Number) -> V:
        """The larger; NaN if either is (LLVM's maxnum would drop it)."""
        return self.select((a > b) | a.is_nan(), a, b)

    def minimum(self, a: V, b: Number) -> V:
        """The smaller; NaN if either is."""
        return self.select((a < b) | a.is_nan(), a, b)

    def fmuladd(self, a: V, b: V, c: V) -> V:
        """a * b + c, rounded once where the CPU can, else twice."""
        return self._intrinsic("fmuladd", a, b, c)

    def fma(self, a: V, b: V, c: V) -> V:
        """a * b + c rounded once, always: slow on a CPU that cannot."""
        return self._intrinsic("fma", a, b, c)

    def libm(self, name: str, a: V) -> V:
        """A function of the C library, lane by lane."""
        return self._intrinsic(name, a)

    def outside(self, name: str, *args: V) -> V:
        """A function of the C library that LLVM does not know, lane by lane."""
        real = args[0].real
        fn = self._function(name + "f" * (real.bits == 32), real.ir, [real.ir] * len(args))
        result = ir.Constant(self.vector(real), ir.Undefined)
        for lane in range(self.lanes_of(real)):
            at = ir.Constant(I32, lane)
            one = self.ir.call(fn, [self.ir.extract_element(a.value, at) for a in args])
            result = self.ir.insert_element(result, one, at)
        return V(self, result, real)

    def sqrt(self, a: V) -> V:
        return self._intrinsic("sqrt", a)

    def abs(self, a: V) -> V:
        return self._intrinsic("fabs", a)

    def copysign(self, a: V, sign: V) -> V:
        return self._intrinsic("copysign", a, sign)

    def whole(self, how: str, a: V) -> V:
        """A whole number beside a. how: floor, ceil, trunc, or rint (halves to even)."""
        return self._intrinsic(how, a)

    def any(self, mask: Mask) -> Truth:
        """Whether the mask holds in any lane."""
        word = ir.IntType(mask.value.type.count)
        bits = self.ir.bitcast(mask.value, word)
        return Truth(self, self.ir.icmp_unsigned("!=", bits, ir.Constant(word, 0)))

    def transpose(self, rows: list[V]) -> list[V]:
        """Column c of the square whose rows are given, for every c."""
        lanes, span = len(rows), 1
        while span < lanes:
            # Exchange the off-diagonal blocks of every 2 x 2 square of `span`-sized blocks.
            low = [i if not i & span else i - span + lanes for i in range(lanes)]
            high = [i + span if not i & span else i + lanes for i in range(lanes)]
            done: list[Any] = [None] * lanes
            for r in (r for r in range(lanes) if not r & span):
                done[r] = self._shuffle(rows[r], rows[r + span], low)
                done[r + span] = self._shuffle(rows[r], rows[r + span], high)
            rows, span = done, span * 2
        return rows

    def _shuffle(self, a: V, b: V, order: list[int]) -> V:
        mask = ir.Constant(ir.VectorType(I32, len(order)), order)
        return V(self, self.ir.shuffle_vector(a.value, b.value, mask), a.real)

    def has_scalef(self, real: Real) -> bool:
        """Whether `scalef` exists here: AVX-512 alone has it."""
        return self.lanes32 == 16 and "+avx512f" in target.host()[1].split(",")

    def scalef(self, a: V, n: V) -> V:
        """a * 2^n for integral n, rounded once, whatever the exponents."""
        kind, lanes = self.vector(a.real), self.lanes_of(a.real)
        name = f"llvm.x86.avx512.mask.scalef.p{'s' if a.real is F32 else 'd'}.512"
        mask = ir.IntType(lanes)
        fn = self._function(name, kind, [kind, kind, kind, mask, I32])
        rounding = ir.Constant(I32, 4)  # as the thread's control register says
        args = [a.value, n.value, a.value, ir.Constant(mask, (1 << lanes) - 1), rounding]
        return V(self, self.ir.call(fn, args), a.real)

    def _intrinsic(self, name: str, *args: V) -> V:
        real = args[0].real
        kind = self.vector(real)
        fn = self._function(f"llvm.{name}.{self._suffix(real)}", kind, [kind] * len(args))
        return V(self, self.ir.call(fn, [a.value for a in args]), real)

    def _splat(self, scalar: Any, real: Real) -> V:
        return V(self, self._splat_value(scalar, self.vector(real)), real)

    def _splat_value(self, scalar: Any, kind: ir.VectorType) -> Any:
        zero = ir.Constant(I32, 0)
        one = self.ir.insert_element(ir.Constant(kind, ir.Undefined), scalar, zero)
        order = ir.Constant(ir.VectorType(I32, kind.count), None)
        return self.ir.shuffle_vector(one, ir.Constant(kind, ir.Undefined), order)

    def _at(self, at: Lanes | IntLike, real: Real | None) -> tuple[Lanes, Real]:
        if not isinstance(at, Lanes):
            if real is None:
                raise TypeError("an integer position needs the element type (F32 or F64)")
            return Lanes(self.integer(at), real), real
        if real is not None and real is not at.real:
            raise TypeError(f"{real.name} data in a loop over {at.real.name} lanes")
        return at, at.real

    def _vector_pointer(self, base: Int, offset: Int, real: Real) -> Any:
        pointer = self.pointer(base, offset, real.ir)
        return self.ir.bitcast(pointer, self.vector(real).as_pointer())

    def _suffix(self, real: Real) -> str:
        return f"v{self.lanes_of(real)}f{real.bits}"

    def _function(self, name: str, result: ir.Type, types: list[ir.Type]) -> Any:
        module = self.ir.module
        if name not in module.globals:
            return ir.Function(module, ir.FunctionType(result, types), name)
        return module.globals[name]
