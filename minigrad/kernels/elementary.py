"""Elementwise functions on vectors, for float32 and float64, written once.

Worst errors seen over dense and special inputs, in units in the last place, float32 / float64
(`tests/kernels/test_elementary.py` holds them to these bounds):

    exp 1.1 / 1.1    expm1 1.8 / 1.8    log 1 / 1    log1p 1 / 1    tanh 2.6 / 2.6
    sigmoid 2.3 / 2.3    erf 1.3 / 1.3    sin, cos 1.6 / 1.6    sqrt exact

NaN gives NaN, infinities and signed zeros are right, results may be subnormal.
Coefficients are minimax fits of the quantity named beside them
(weighted least squares on Chebyshev nodes with Lawson's reweighting, 60 digits).
Method: range reduction and polynomial as in fdlibm (Sun Microsystems, 1993),
without branches and tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .values import F32, F64, Bits, Mask, Number, Real, V


@dataclass(frozen=True)
class Constants:
    """What depends on the element type."""

    magic: float  # adding it rounds to an integer, held in the low bits: 1.5 * 2**mantissa
    ln2: tuple[float, float]  # high part with trailing zero bits, low part
    exp: Sequence[float]  # (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
    log: Sequence[float]  # (2 atanh(s) - 2 s) / s^3 in s^2, where 1 + f = (1 + s) / (1 - s)
    erf: Sequence[float]  # erf(x) / x - 1 in x^2, |x| <= 1
    log_erfc: Sequence[float]  # log erfc(1 + u) in u, 1 <= 1 + u <= erf_end
    erf_end: float  # erf is 1 from here on
    exp_range: tuple[float, float]  # e^x is 0 before and infinite after
    tanh_end: float  # tanh is 1 from here on
    tiny: float  # below it expm1(x) is x
    normal: float  # smallest normal number
    sqrt_half: int  # bits of sqrt(1/2)
    half_pi: tuple[float, float, float]  # their sum is pi / 2
    sin: Sequence[float]  # (sin(r) - r) / r^3 in r^2, |r| <= pi / 4
    cos: Sequence[float]  # (cos(r) - 1 + r^2 / 2) / r^4 in r^2
    sin_end: float  # the reduction modulo pi / 2 is good up to here


CONSTANTS = {
    F32: Constants(
        magic=1.5 * 2**23,
        ln2=(0.693145751953125, 1.42860677e-6),
        exp=(0.50000001, 0.1666651263, 0.04166619097, 0.008369622361, 0.001395145554),
        log=(0.666666656, 0.4000034614, 0.2853657338, 0.2359681084),
        erf=(
            0.128379166, -0.3761262711, 0.1128359991, -0.02685443322, 0.005189513321,
            -0.000802064492, 7.888463201e-5,
        ),
        log_erfc=(
            -1.849605517, -2.638966812, -0.8431183857, -0.04150048529, 0.009890549886,
            -0.001825919989, 0.0001855138187,
        ),
        erf_end=4.0,
        exp_range=(-104.0, 89.0),
        tanh_end=10.0,
        tiny=2.0**-26,
        normal=2.0**-126,
        sqrt_half=0x3F3504F3,
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        sin=(-0.1666665347, 0.008332083213, -0.0001950429147),
        cos=(0.04166664437, -0.001388724226, 2.442384284e-5),
        sin_end=2.0**15,
    ),
    F64: Constants(
        magic=1.5 * 2**52,
        ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
        exp=(
            0.5000000000000014233, 0.1666666666666669456, 0.04166666666650193059,
            0.008333333333309566582, 0.001388888895078616318, 0.0001984126991307700257,
            0.00002480148582606866887, 2.755721959892607926e-6, 2.763281570344040368e-7,
            2.511695594469054607e-8,
        ),
        log=(
            0.6666666666666739839, 0.3999999999937573021, 0.2857142875170475221,
            0.2222219755258903247, 0.181836205588265803, 0.1531253417669945296,
            0.1481186266084162142,
        ),
        erf=(
            0.128379167095512574, -0.3761263890318374818, 0.112837916709548844,
            -0.02686617064507786293, 0.005223977624828323381, -0.0008548326981419894952,
            0.0001205533113276597569, -0.0000149255957679613441, 1.646100841503804798e-6,
            -1.635039560452343409e-7, 1.466032484997606366e-8, -1.137494177038886626e-9,
            5.960663259677269383e-11,
        ),
        log_erfc=(
            -1.8496055099332482, -2.638967514234788, -0.8431072563586779,
            -0.04156109804178594, 0.010033825374155715, -0.0019779025662186867,
            0.00023732247410688693, 2.6277896933642104e-05, -2.7159158249189067e-05,
            9.608970618716216e-06, -2.0598507542619816e-06, 1.4294042071301761e-07,
            9.750772274494431e-08, -5.202015696021806e-08, 1.4905741622171453e-08,
            -2.8627547575075473e-09, 3.680569117266676e-10, -2.8798755611867178e-11,
            1.0384405645191193e-12,
        ),
        erf_end=6.0,
        exp_range=(-746.0, 710.0),
        tanh_end=20.0,
        tiny=2.0**-55,
        normal=2.0**-1022,
        sqrt_half=0x3FE6A09E667F3BCD,
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        sin=(
            -0.1666666666666662278, 0.008333333333320035339, -0.0001984126982785228156,
            2.755731299870933013e-6, -2.505064766313960595e-8, 1.589030180767228207e-10,
        ),
        cos=(
            0.04166666666666658142, -0.001388888888887089137, 0.00002480158728740772431,
            -2.755731373950553298e-7, 2.087563842374154368e-9, -1.135518727740127844e-11,
        ),
        sin_end=2.0**30,
    ),
}  # fmt: skip


def sqrt(x: V) -> V:
    """Correctly rounded; NaN below 0."""
    return x.k.sqrt(x)


def maximum(a: V, b: Number) -> V:
    """The larger; NaN if either is."""
    return a.k.maximum(a, b)


def minimum(a: V, b: Number) -> V:
    """The smaller; NaN if either is."""
    return a.k.minimum(a, b)


def where(mask: Mask, a: Number, b: Number) -> V:
    """a where the mask holds, else b; the side not taken may be NaN."""
    return mask.k.select(mask, a, b)


def exp(x: V) -> V:
    c = CONSTANTS[x.real]
    low, high = c.exp_range
    p, n = _exp_reduced(_at_least(_at_most(x, high), low))
    return _scale(p + 1.0, n)


def expm1(x: V) -> V:
    c = CONSTANTS[x.real]
    # Beyond the range of e^x / 2 the 1 is lost anyway.
    low, high = -2.0 - x.real.mantissa, c.exp_range[1] - 2.0
    inside = _expm1(_at_least(_at_most(x, high), low))
    small = x.k.abs(x) < c.tiny
    return where(small, x, where(x > high, exp(x), inside))


def tanh(x: V) -> V:
    """u / (u + 2) with u = e^(2 |x|) - 1, and the sign of x."""
    u = _expm1(_at_most(x.k.abs(x), CONSTANTS[x.real].tanh_end) * 2.0)
    return x.k.copysign(u / (u + 2.0), x)


def sigmoid(x: V) -> V:
    """1 / (1 + e^-x), from e^-|x| so that nothing overflows and small results keep digits."""
    size = x.k.abs(x)
    p, n = _exp_reduced(_at_least(-size, CONSTANTS[x.real].exp_range[0]))
    e = _scale(p + 1.0, n)
    return where(x < 0.0, e, 1.0) / (e + 1.0)


def log(x: V) -> V:
    c, k = CONSTANTS[x.real], x.k
    shift = x.real.mantissa
    small = x < c.normal
    f, e = _split(where(small, x * 2.0**shift, x))
    result = _log1p_reduced(f, where(small, e - float(shift), e), k.const(0.0, x.real))
    return _log_limits(x, result)


def log1p(x: V) -> V:
    """log(1 + x), accurate near 0."""
    u = x + 1.0
    f, e = _split(u)
    # What rounding u lost, relative to u: log(u + lost) is about log(u) + lost / u.
    lost = where(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u
    near = e.equals(0.0)
    result = _log1p_reduced(where(near, x, f), e, where(near, 0.0, lost))
    # Keeps the sign of zero.
    return where(x.k.abs(x) < CONSTANTS[x.real].tiny, x, _log_limits(u, result))


def erf(x: V) -> V:
    """x + x P(x^2) up to 1, then 1 - e^Q(|x| - 1)."""
    c, k = CONSTANTS[x.real], x.k
    size = k.abs(x)
    p, n = _exp_reduced(_polynomial(_at_most(size, c.erf_end) - 1.0, c.log_erfc))
    scale = _power(n)
    far = 1.0 - (p * scale + scale)
    near = size * _polynomial((size * size).rounded(), c.erf) + size
    return k.copysign(where(size < 1.0, near, far), x)


def sin(x: V) -> V:
    result = _circular(x, 0)
    # Keeps the sign of zero.
    return where(x.k.abs(x) < CONSTANTS[x.real].tiny, x, result)


def cos(x: V) -> V:
    return _circular(x, 1)


# ---- shared steps ---------------------------------------------------------------------------


def _at_most(x: V, bound: float) -> V:
    """min(x, bound), and NaN stays."""
    return where(x > bound, bound, x)


def _at_least(x: V, bound: float) -> V:
    return where(x < bound, bound, x)


def _polynomial(x: V, coefficients: Sequence[float]) -> V:
    """By Horner's rule, lowest power first."""
    result: V = x.k.const(coefficients[-1], x.real)
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


def _exp_reduced(x: V) -> tuple[V, V]:
    """p and n with e^x = 2^n (1 + p), |p| < 0.42; n as `_scale` and `_power` take it."""
    c = CONSTANTS[x.real]
    n = x * (1.0 / math.log(2.0)) + c.magic
    whole = n - c.magic
    r = x - whole * c.ln2[0]
    r = (r - whole * c.ln2[1]).rounded()
    return (r * r).rounded() * _polynomial(r, c.exp) + r, n


def _power(n: V) -> V:
    """2^n in one step: for normal results only."""
    return _exponent(n.bits(), n.real)


def _exponent(n: Bits, real: Real) -> V:
    """2^n, n in the low bits."""
    return ((n << real.mantissa) + (real.bias << real.mantissa)).as_float()


def _scale(x: V, n: V) -> V:
    """x 2^n, rounded once, also where the result is subnormal or overflows."""
    magic = CONSTANTS[x.real].magic
    if x.k.has_scalef(x.real):
        return x.k.scalef(x, n - magic)
    whole = n.bits() - x.k.const(magic, x.real).bits()
    half = whole >> 1
    return x * _exponent(half, x.real) * _exponent(whole - half, x.real)


def _expm1(x: V) -> V:
    """e^x - 1 where 2^n is normal."""
    p, n = _exp_reduced(x)
    s = _power(n)
    return p * s + (s - 1.0)


def _split(x: V) -> tuple[V, V]:
    """f and e with x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for normal x > 0."""
    c, real = CONSTANTS[x.real], x.real
    e = (x.bits() - c.sqrt_half) >> real.mantissa
    f = (x.bits() - (e << real.mantissa)).as_float() - 1.0
    magic = x.k.const(c.magic, real)
    return f, (magic.bits() + e).as_float() - magic


def _log1p_reduced(f: V, e: V, correction: V) -> V:
    """log(1 + f) + e log 2 + correction."""
    c = CONSTANTS[f.real]
    s = f / (f + 2.0)
    z = (s * s).rounded()
    half = (f * f * 0.5).rounded()
    r = z * _polynomial(z, c.log)
    low = e * c.ln2[1] + correction
    return e * c.ln2[0] - ((half - (s * (half + r) + low)) - f)


def _log_limits(x: V, result: V) -> V:
    """log's values at and beyond the ends of its domain."""
    outside = where(x < 0.0, math.nan, where(x.equals(0.0), -math.inf, x))
    return where((x > 0.0) & (x < math.inf), result, outside)


def _circular(x: V, quarter: int) -> V:
    """sin(x + quarter * pi / 2)."""
    c, k = CONSTANTS[x.real], x.k
    far = ~(k.abs(x) <= c.sin_end)
    result = k.var(_circular_reduced(x, quarter))
    with k.when(k.any(far)):
        # Rare and long: the C library's, one lane at a time.
        result.value = where(far, k.libm("cos" if quarter else "sin", x), result.value)
    return result.value


def _circular_reduced(x: V, quarter: int) -> V:
    c, k, real = CONSTANTS[x.real], x.k, x.real
    n = x * (2.0 / math.pi) + c.magic
    whole = n - c.magic
    r = x
    for part in c.half_pi:  # exact products are needed here, so never two roundings
        r = k.fma(-whole, k.const(part, real), r)
    z = (r * r).rounded()
    sine = (r * z).rounded() * _polynomial(z, c.sin) + r
    cosine = z * (z * _polynomial(z, c.cos) - 0.5) + 1.0
    quadrant = n.bits() + quarter
    value = where((quadrant & 1).equals(0), sine, cosine)
    return (value.bits() ^ ((quadrant & 2) << (real.bits - 2))).as_float()


def remainder(x: V, y: V) -> V:
    """x - y floor(x / y), as Python's % (and NumPy's) rounds it: with the sign of y."""
    k = x.k
    r = k.outside("fmod", x, y)
    other = ((r < 0.0) & (y > 0.0)) | ((r > 0.0) & (y < 0.0))
    return where(r.equals(0.0), k.copysign(k.const(0.0, x.real), y), where(other, r + y, r))


def floor_divide(x: V, y: V) -> V:
    """floor(x / y) as NumPy's // rounds it: the whole number that goes with the remainder."""
    k = x.k
    ratio = x / y
    r = k.outside("fmod", x, y)
    other = ((r < 0.0) & (y > 0.0)) | ((r > 0.0) & (y < 0.0))
    whole = (x - r) / y
    whole = where(other, whole - 1.0, whole)
    low = k.whole("floor", whole)
    low = where((whole - low) > 0.5, low + 1.0, low)
    low = where(whole.equals(0.0), k.copysign(k.const(0.0, x.real), ratio), low)
    return where(y.equals(0.0), ratio, low)


def _whole(how: str) -> Callable[[V], V]:
    return lambda x: x.k.whole(how, x)


def _outside(name: str) -> Callable[..., V]:
    return lambda *args: args[0].k.outside(name, *args)


TABLE: dict[str, Callable[..., V]] = {
    "sqrt": sqrt,
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "sin": sin,
    "cos": cos,
}
# What LLVM or the C library knows.
OTHERS: dict[str, Callable[..., V]] = {
    "remainder": remainder,
    "floor_divide": floor_divide,
    "copysign": lambda x, y: x.k.copysign(x, y),
    **{name: _whole(name) for name in ("floor", "ceil", "trunc", "rint")},
    # Rare in nets, and long: the C library's.
    **{
        name: _outside(name)
        for name in (
            "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "hypot", "nextafter", "pow"
        )
    },
}
