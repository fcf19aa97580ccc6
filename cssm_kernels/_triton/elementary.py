"""Elementary functions in Triton kernels, for float32 and float64: the polynomials of csrc/cpu/vector_math.h.

A GPU's own are fast in float32 alone, and how far they err is not to be seen without one. These are sums and products: right
to 2 ulp in the ranges named. A NaN gives a NaN.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Format(NamedTuple):
    """A floating-point format, its functions' coefficients, each from the lowest power up, and constants in parts."""

    integer: Any
    sign: int
    mantissa: int
    bias: int
    # (exp r - 1 - r) / r^2 in r, |r| <= log 2 / 2
    exp: tuple[float, ...]
    # (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, |s| <= tan(pi / 8)^2; the bits of sqrt(1 / 2)
    log: tuple[float, ...]
    sqrt_half: int
    log2: tuple[float, float]
    # (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    round: float  # x + round holds the nearest whole number in its low bits
    half_pi: tuple[float, ...]  # three parts
    # (atan q - q) / q^3 in q^2, |q| <= 1 / 2
    atan: tuple[float, ...]
    quarter_pi: tuple[float, float]
    # less the bits of x, those of 1 / x to an eighth, and how often that error is to be squared
    reciprocal: int
    iterations: int


# fmt: off
_FLOAT = Format(
    integer=tl.int32, sign=-1 << 31, mantissa=23, bias=127,
    exp=(0.49999994, 0.16666518, 0.041668423, 0.008369063, 0.001381388),
    log=(0.66666776, 0.39976034, 0.29926854),
    sqrt_half=0x3F3504F3,
    log2=(float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20")),
    sin=(-0.16666655, 0.008332099, -0.00019503628),
    cos=(0.041666653, -0.0013887652, 2.4463501e-05),
    round=float.fromhex("0x1.8p23"),
    half_pi=tuple(map(float.fromhex, ("0x1.921fb6p+0", "-0x1.777a5cp-25", "-0x1.ee59dap-50"))),
    atan=(-0.33333254, 0.19994435, -0.14173366, 0.101376355, -0.050775576),
    quarter_pi=(float.fromhex("0x1.921fb8p-1"), float.fromhex("-0x1.5dde98p-24")),
    reciprocal=0x7EF311C3, iterations=3,
)
_DOUBLE = Format(
    integer=tl.int64, sign=-1 << 63, mantissa=52, bias=1023,
    exp=(0.5000000000000012, 0.1666666666666646, 0.041666666666517735, 0.008333333333454335, 0.0013888888947193493,
         0.00019841269613746454, 2.480148918221419e-05, 2.755731747319407e-06, 2.7631721593639215e-07,
         2.5041211587780058e-08),
    log=(0.666666666666671, 0.3999999999951718, 0.28571428730011333, 0.22222199005393087, 0.18183576430890555,
         0.15313030178573342, 0.1481193624100451),
    sqrt_half=0x3FE6A09E667F3BCD,
    log2=(float.fromhex("0x1.62e42fefa4p-1"), float.fromhex("-0x1.8432a1b0e2634p-43")),
    sin=(-0.1666666666666664, 0.008333333333323624, -0.00019841269830108826, 2.755731363850439e-06,
         -2.5050732379646736e-08, 1.5894579781530494e-10),
    cos=(0.04166666666666665, -0.0013888888888882816, 2.480158729460575e-05, -2.7557315730261363e-07,
         2.0875896367569307e-09, -1.1367900041939533e-11),
    round=float.fromhex("0x1.8p52"),
    half_pi=tuple(map(float.fromhex, ("0x1.921fb4p+0", "0x1.4442dp-24", "0x1.8469898cc517p-48"))),
    atan=(-0.33333333333333176, 0.19999999999939072, -0.1428571427868118, 0.11111110731267065, -0.09090897502043568,
          0.07692087054746007, -0.06663891996146777, 0.05858563890289391, -0.051221602526862337, 0.04184606506079054,
          -0.02737389146326159, 0.010056505592524382),
    quarter_pi=(float.fromhex("0x1.921fb54442d18p-1"), float.fromhex("0x1.1a62633145c07p-55")),
    reciprocal=0x7FDE623822FC16E6, iterations=4,
)
# fmt: on


@triton.constexpr_function
def format_of(dtype):
    return _DOUBLE if dtype == tl.float64 else _FLOAT


@triton.jit
def rounded(x):
    """To the nearest whole number, if it is not one for being large."""
    K: tl.constexpr = format_of(x.dtype)
    return tl.where(tl.abs(x) < (1 << K.mantissa - 1) * 1.0, (x + K.round) - K.round, x)


@triton.jit
def exp_of_small(r):
    """e^r for |r| <= log 2 / 2; near e^r a little beyond."""
    K: tl.constexpr = format_of(r.dtype)
    return tl.fma(r * r, _polynomial(r, K.exp), r) + 1.0


@triton.jit
def power_of_two(n):
    """2^n for integral n of floating-point type; 0 below the smallest normal number's."""
    K: tl.constexpr = format_of(n.dtype)
    n = tl.where(n > K.bias, K.bias * 1.0, n)
    n = tl.where(n > -K.bias, n, -K.bias * 1.0)
    return ((n.to(K.integer) + K.bias) << K.mantissa).to(n.dtype, bitcast=True)


@triton.jit
def exponent(x):
    """e of x = m 2^e, 1 <= m < 2, as a floating-point number; x >= 0 and finite, and less than any other's if subnormal."""
    K: tl.constexpr = format_of(x.dtype)
    return ((x.to(K.integer, bitcast=True) >> K.mantissa) - K.bias).to(x.dtype)


@triton.jit
def log(x):
    """Of 0 and finite normal numbers > 0."""
    K: tl.constexpr = format_of(x.dtype)
    # x = m 2^e with m from sqrt(1 / 2) to sqrt(2): adding the difference of bits carries into the exponent from sqrt(2).
    bits = x.to(K.integer, bitcast=True) + ((K.bias << K.mantissa) - K.sqrt_half)
    m = ((bits & ((1 << K.mantissa) - 1)) + K.sqrt_half).to(x.dtype, bitcast=True)
    e = ((bits >> K.mantissa) - K.bias).to(x.dtype)
    # log m = 2 atanh(s) = 2 s + s^3 L(s^2) with f = m - 1, s = f / (2 + f), so that 2 s = f - f^2 / 2 + s f^2 / 2.
    f = m - 1.0
    s = divide(f, f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    tail = tl.fma(e, K.log2[1], s * tl.fma(z, _polynomial(z, K.log), half_square))
    y = tl.fma(e, K.log2[0], f - (half_square - tail))
    return tl.where(x == 0, float("-inf"), tl.where(x > 0, y, x))


@triton.jit
def sincos(x):
    """(sin x, cos x), to |x| = 3e5 (1e9 in float64); of a number that is nearest to a multiple of pi / 2, those of that."""
    K: tl.constexpr = format_of(x.dtype)
    shifted = tl.fma(x, 0.6366197723675814, K.round)
    n = shifted - K.round
    r = x
    for i in tl.static_range(3):
        r = tl.fma(n, -K.half_pi[i], r)
    # Past pi / 4 by what n can be wrong: a bound for the remainders of huge numbers.
    r = tl.where(r > 0.82, 0.82, tl.where(r < -0.82, -0.82, r))
    z = r * r
    sin_r = tl.fma(r * z, _polynomial(z, K.sin), r)
    cos_r = tl.fma(z * z, _polynomial(z, K.cos), tl.fma(z, -0.5, 1.0))
    is_multiple = x - n * 1.5707963267948966 == 0  # as of an infinity it is not
    sin_r = tl.where(is_multiple, 0.0, sin_r)
    cos_r = tl.where(is_multiple, 1.0, cos_r)
    quarters = shifted.to(K.integer, bitcast=True)
    is_odd = (quarters & 1) != 0
    sin = tl.where(is_odd, cos_r, sin_r)
    cos = tl.where(is_odd, sin_r, cos_r)
    to_sign: tl.constexpr = K.integer.primitive_bitwidth - 2
    sin = _flipped(sin, (quarters & 2) << to_sign)
    cos = _flipped(cos, ((quarters + 1) & 2) << to_sign)
    # A zero has the sign of x, as a phase of -pi must: that of -1 from below.
    return tl.where(sin == 0, 0.0 * x, sin), tl.where(cos == 0, 0.0, cos)


@triton.jit
def atan2(y, x):
    """The angle of (x, y), both finite; signed zeros as in C."""
    K: tl.constexpr = format_of(x.dtype)
    large = tl.abs(x)
    small = tl.abs(y)
    is_swapped = small > large
    large, small = tl.where(is_swapped, small, large), tl.where(is_swapped, large, small)
    # atan(small / large), or pi / 4 + atan((small - large) / (small + large)) where that difference is exact.
    is_steep = small > large * 0.5
    divisor = tl.where(is_steep, small + large, large)
    q = divide(tl.where(is_steep, small - large, small), tl.where(divisor == 0, 1.0, divisor))
    z = q * q
    angle = tl.fma(q * z, _polynomial(z, K.atan), q)
    # The angle is `quarters` pi / 4 +- atan(q): reflected at pi / 4 where swapped, at pi / 2 where x < 0.
    quarters = tl.where(is_steep, 1.0, tl.zeros_like(x))
    quarters = tl.where(is_swapped, 2.0 - quarters, quarters)
    x_sign = x.to(K.integer, bitcast=True) & K.sign
    quarters = tl.where(x_sign != 0, 4.0 - quarters, quarters)
    angle = _flipped(angle, tl.where(is_swapped, K.sign, 0).to(K.integer) ^ x_sign)
    angle = tl.fma(quarters, K.quarter_pi[0], tl.fma(quarters, K.quarter_pi[1], angle))
    return _flipped(angle, y.to(K.integer, bitcast=True) & K.sign)


@triton.jit
def divide(a, b):
    """a / b by Newton's iteration, to 1 ulp: b > 0, both and the quotient far from the ends of their range.

    The division that a GPU rounds rightly is a call, for whose registers others are spilled.
    """
    K: tl.constexpr = format_of(b.dtype)
    inverse = (K.reciprocal - b.to(K.integer, bitcast=True)).to(b.dtype, bitcast=True)
    iterations: tl.constexpr = K.iterations
    for _ in tl.static_range(iterations):
        inverse = tl.fma(inverse, tl.fma(-b, inverse, 1.0), inverse)
    q = a * inverse
    return tl.fma(tl.fma(-b, q, a), inverse, q)


@triton.jit
def _flipped(x, sign):
    """x, its sign changed where the bit of `sign` is set."""
    return (x.to(sign.dtype, bitcast=True) ^ sign).to(x.dtype, bitcast=True)


@triton.jit
def _polynomial(x, COEFFICIENTS: tl.constexpr):
    """COEFFICIENTS[0] + COEFFICIENTS[1] x + ..."""
    last: tl.constexpr = len(COEFFICIENTS) - 1
    y = tl.fma(x, COEFFICIENTS[last], COEFFICIENTS[last - 1])
    for i in tl.static_range(last - 2, -1, -1):
        y = tl.fma(y, x, COEFFICIENTS[i])
    return y
