"""The values of traced kernels: Python operators on them emit LLVM instructions.

Every value knows the `vectors.Builder` that emits for it; `vectors` says how kernels are written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

Builder = Any  # a `vectors.Builder`, which stands above
I32, I64 = ir.IntType(32), ir.IntType(64)


@dataclass(frozen=True)
class Real:
    """An element type: `bits` wide, `mantissa` of them stored fraction bits."""

    name: str
    bits: int
    mantissa: int
    ir: ir.Type
    int_ir: ir.IntType

    @property
    def bytes(self) -> int:
        return self.bits // 8

    @property
    def bias(self) -> int:
        """Exponent of 1.0 as stored."""
        return (1 << (self.bits - self.mantissa - 2)) - 1


F32 = Real("float32", 32, 23, ir.FloatType(), I32)
F64 = Real("float64", 64, 52, ir.DoubleType(), I64)
REALS = {real.name: real for real in (F32, F64)}


class Value:
    """What all traced values share: the builder that emits, and the LLVM value."""

    def __init__(self, k: Builder, value: Any):
        self.k, self.value = k, value

    def __bool__(self) -> bool:
        raise TypeError("a traced value has no truth while tracing: use k.when or k.select")


class Truth(Value):
    """One truth value, for `k.when` and `k.choose`."""


class Int(Value):
    """An int64 shared by all lanes. `//`, `%` are for non-negative operands."""

    def _emit(self, op: str, other: IntLike, swap: bool = False) -> Int:
        a, b = self.value, self.k.integer(other).value
        return Int(self.k, getattr(self.k.ir, op)(*((b, a) if swap else (a, b))))

    def __add__(self, other: IntLike) -> Int:
        return self._emit("add", other)

    def __sub__(self, other: IntLike) -> Int:
        return self._emit("sub", other)

    def __rsub__(self, other: IntLike) -> Int:
        return self._emit("sub", other, swap=True)

    def __mul__(self, other: IntLike) -> Int:
        return self._emit("mul", other)

    def __floordiv__(self, other: IntLike) -> Int:
        return self._emit("udiv", other)

    def __mod__(self, other: IntLike) -> Int:
        return self._emit("urem", other)

    __radd__, __rmul__ = __add__, __mul__

    def _compare(self, op: str, other: IntLike) -> Truth:
        return Truth(self.k, self.k.ir.icmp_signed(op, self.value, self.k.integer(other).value))

    def __lt__(self, other: IntLike) -> Truth:
        return self._compare("<", other)

    def __le__(self, other: IntLike) -> Truth:
        return self._compare("<=", other)

    def __gt__(self, other: IntLike) -> Truth:
        return self._compare(">", other)

    def __ge__(self, other: IntLike) -> Truth:
        return self._compare(">=", other)

    def equals(self, other: IntLike) -> Truth:
        return self._compare("==", other)

    def differs(self, other: IntLike) -> Truth:
        return self._compare("!=", other)


IntLike = Int | int


class Mask(Value):
    """One truth value per lane."""

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.k, self.k.ir.and_(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.k, self.k.ir.or_(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.k, self.k.ir.not_(self.value))


class Bits(Value):
    """Integer vector as wide as the floats it came from (two's complement, wrapping)."""

    def __init__(self, k: Builder, value: Any, real: Real):
        super().__init__(k, value)
        self.real = real

    def _emit(self, op: str, other: Bits | int) -> Bits:
        if isinstance(other, int):
            lanes = self.k.lanes_of(self.real)
            other_value = ir.Constant(self.value.type, [other] * lanes)
        else:
            other_value = other.value
        return Bits(self.k, getattr(self.k.ir, op)(self.value, other_value), self.real)

    def __add__(self, other: Bits | int) -> Bits:
        return self._emit("add", other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._emit("sub", other)

    def __and__(self, other: Bits | int) -> Bits:
        return self._emit("and_", other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._emit("xor", other)

    def __lshift__(self, other: int) -> Bits:
        return self._emit("shl", other)

    def __rshift__(self, other: int) -> Bits:
        """Arithmetic: the sign is copied in."""
        return self._emit("ashr", other)

    def equals(self, other: Bits | int) -> Mask:
        difference = self ^ other
        zero = ir.Constant(self.value.type, None)
        return Mask(self.k, self.k.ir.icmp_signed("==", difference.value, zero))

    def as_float(self) -> V:
        """The floats with these bits."""
        return V(self.k, self.k.ir.bitcast(self.value, self.k.vector(self.real)), self.real)


class V(Value):
    """A vector of floats. Python numbers join in as constants of the same type."""

    def __init__(self, k: Builder, value: Any, real: Real, product: tuple[V, V] | None = None):
        super().__init__(k, value)
        self.real, self.product = real, product

    def _wrap(self, value: Any) -> V:
        return V(self.k, value, self.real)

    def _other(self, other: Number) -> V:
        if not isinstance(other, V):
            return self.k.const(other, self.real)
        if other.real is not self.real:
            raise TypeError(f"{self.real.name} meets {other.real.name}")
        return other

    def __neg__(self) -> V:
        return self._wrap(self.k.ir.fneg(self.value))

    def __add__(self, other: Number) -> V:
        other = self._other(other)
        if other.product:
            return self.k.fmuladd(*other.product, self)
        if self.product:
            return self.k.fmuladd(*self.product, other)
        return self._wrap(self.k.ir.fadd(self.value, other.value))

    def __sub__(self, other: Number) -> V:
        other = self._other(other)
        if other.product:
            a, b = other.product
            return self.k.fmuladd(-a, b, self)
        if self.product:
            return self.k.fmuladd(*self.product, -other)
        return self._wrap(self.k.ir.fsub(self.value, other.value))

    def __rsub__(self, other: float) -> V:
        return self._other(other) - self

    def __mul__(self, other: Number) -> V:
        other = self._other(other)
        value = self.k.ir.fmul(self.value, other.value)
        return V(self.k, value, self.real, product=(self, other))

    def __truediv__(self, other: Number) -> V:
        return self._wrap(self.k.ir.fdiv(self.value, self._other(other).value))

    def __rtruediv__(self, other: float) -> V:
        return self._other(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def rounded(self) -> V:
        """The same value, never fused into a later sum (it has been rounded on its own)."""
        return self._wrap(self.value)

    def _compare(self, op: str, other: Number) -> Mask:
        return Mask(self.k, self.k.ir.fcmp_ordered(op, self.value, self._other(other).value))

    # Comparisons are false where either side is NaN, as in C; `differs` is the exception.
    def __lt__(self, other: Number) -> Mask:
        return self._compare("<", other)

    def __le__(self, other: Number) -> Mask:
        return self._compare("<=", other)

    def __gt__(self, other: Number) -> Mask:
        return self._compare(">", other)

    def __ge__(self, other: Number) -> Mask:
        return self._compare(">=", other)

    def equals(self, other: Number) -> Mask:
        return self._compare("==", other)

    def differs(self, other: Number) -> Mask:
        """True where not equal, and where either side is NaN."""
        return Mask(self.k, self.k.ir.fcmp_unordered("!=", self.value, self._other(other).value))

    def is_nan(self) -> Mask:
        return self.differs(self)

    def bits(self) -> Bits:
        return Bits(self.k, self.k.ir.bitcast(self.value, self.k.int_vector(self.real)), self.real)

    def sum(self, apart: int = 1) -> V:
        """Sum over the lanes, in every lane; pairwise, so always in the same order.

        apart: of those lanes alone that are a multiple of so many (a power of two) away.
        """
        return self._fold(lambda a, b: a + b, apart)

    def largest(self) -> V:
        """Largest lane, in every lane; NaN if any lane is."""
        return self._fold(lambda a, b: self.k.maximum(a, b))

    def folded(self, how: str) -> V:
        """All lanes joined: "sum", "prod" or "max"."""
        if how == "prod":
            return self._fold(lambda a, b: (a * b).rounded())
        return self.sum() if how == "sum" else self.largest()

    def _fold(self, combine: Callable[[V, V], V], apart: int = 1) -> V:
        lanes, v = self.k.lanes_of(self.real), self.rounded()
        span = lanes // 2
        while span >= apart:
            # Swapping neighbours at distance `span` leaves every lane with the same result.
            v = combine(v, self.k._shuffle(v, v, [i ^ span for i in range(lanes)]))
            span //= 2
        return v


Number = V | float | int
