"""Floating-point arithmetic with one rounding, built from float64.

The tool is rounding to odd (Boldo and Melquiond 2008): a float64 result that is inexact is made odd in its last bit, after
which rounding it again to a format of at least two fewer digits gives what one rounding of the exact value would.
"""

import ctypes
import ctypes.util

import numpy as np

_ONE = np.int64(1)
_SIGN16 = np.uint16(0x8000)
_TINY32 = np.finfo(np.float32).tiny
_TINY64 = np.finfo(np.float64).tiny
# Beyond these a float64 product or its error term may leave the normal range.
_SAFE_LOW, _SAFE_HIGH = 2.0**-480, 2.0**480
_SPLITTER = 2.0**27 + 1


def _libm_fma() -> np.ufunc:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    libm.fma.restype = ctypes.c_double
    libm.fma.argtypes = [ctypes.c_double] * 3
    return np.frompyfunc(libm.fma, 3, 1)


_exact_fma = _libm_fma()


def to_odd(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """`value + error` rounded to odd, where `value` is their float64 sum."""
    bits = value.view(np.int64)
    even = (bits & _ONE) == 0
    inexact = (error != 0) & np.isfinite(value) & np.isfinite(error)
    away = (error > 0) == (value > 0)  # the exact sum is of larger magnitude than `value`
    step = np.where(away, _ONE, -_ONE)
    step = np.where(value == 0, _ONE, step)
    return np.where(inexact & even, bits + step, bits).view(np.float64)


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The float64 sum and its error, exactly (Knuth)."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The float64 product and its error, exactly (Dekker), away from the ends of the exponent range."""
    product = a * b
    a_high, b_high = _SPLITTER * a, _SPLITTER * b
    a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c in float64, rounded once."""
    a, b, c = np.broadcast_arrays(a, b, c)
    high, low = two_product(a, b)
    carry, carry_error = two_sum(c, low)
    total, total_error = two_sum(high, carry)
    result = total + to_odd(*two_sum(total_error, carry_error))
    safe = np.ones(a.shape, bool)
    for operand in (a, b, c, high):
        magnitude = np.abs(operand)
        safe &= (operand == 0) | ((magnitude > _SAFE_LOW) & (magnitude < _SAFE_HIGH))
    # An exact zero product must keep its sign rules, and an underflown one its error.
    safe &= (high != 0) & (np.abs(result) > _TINY64)
    if not safe.all():
        rest = ~safe
        result[rest] = _exact_fma(a[rest], b[rest], c[rest]).astype(np.float64)
    return result


def fma_odd(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c of float32 (or narrower) values as float64, rounded to odd."""
    product = a.astype(np.float64) * b
    return to_odd(*two_sum(product, c.astype(np.float64)))


def fma32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c in float32, rounded once. The product of two float32 values is exact in float64."""
    total = np.multiply(a, b, dtype=np.float64)
    total += c
    result = total.astype(np.float32)
    # A second rounding differs from one only from a tie, or where float32 is subnormal.
    suspect = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    suspect |= (np.abs(result) <= _TINY32) & (total != 0)
    if suspect.any():
        exact = fma_odd(*(x[suspect] for x in np.broadcast_arrays(a, b, c)))
        result[suspect] = exact.astype(np.float32)
    return result


def narrow32(value: np.ndarray, mode: str) -> np.ndarray:
    """float64 (exact, or rounded to odd) to float32: rn, rz, rm or rp."""
    nearest = value.astype(np.float32)
    if mode == "rn":
        return nearest
    return _directed(nearest, value, mode)


def _directed(nearest: np.ndarray, value: np.ndarray, mode: str) -> np.ndarray:
    """Of the two neighbours of `value`, the one in the direction of `mode`, given the nearest."""
    wide = nearest.astype(np.float64)
    zero, infinity = nearest.dtype.type(0), nearest.dtype.type(np.inf)
    if mode == "rz":
        return np.where(np.abs(wide) > np.abs(value), np.nextafter(nearest, zero), nearest)
    if mode == "rm":
        return np.where(wide > value, np.nextafter(nearest, -infinity), nearest)
    return np.where(wide < value, np.nextafter(nearest, infinity), nearest)


def narrow16(value: np.ndarray, mode: str) -> np.ndarray:
    """float64 (exact, or rounded to odd) to float16."""
    nearest = value.astype(np.float16)
    return nearest if mode == "rn" else _directed(nearest, value, mode)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16's bits (uint16) as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(value: np.ndarray, mode: str = "rn") -> np.ndarray:
    """float32 to bfloat16's bits: rn or rz. NaN is 0x7FFF."""
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    if mode == "rn":
        bits = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return np.where(np.isnan(value), np.uint16(0x7FFF), (bits >> np.uint32(16)).astype(np.uint16))


def odd32(value: np.ndarray) -> np.ndarray:
    """float64 (exact, or rounded to odd) to float32, rounded to odd, for a further rounding to bfloat16."""
    toward_zero = narrow32(value, "rz")
    inexact = (toward_zero.astype(np.float64) != value) & np.isfinite(toward_zero)
    return np.where(inexact, toward_zero.view(np.uint32) | np.uint32(1), toward_zero.view(np.uint32)).view(np.float32)


def flush(value: np.ndarray) -> np.ndarray:
    """`.ftz`: float32 subnormals to zeros of their sign."""
    return np.where(np.abs(value) < _TINY32, np.copysign(value.dtype.type(0), value), value)


def saturate(value: np.ndarray) -> np.ndarray:
    """`.sat`: to [0, 1], NaN to 0."""
    one, zero = value.dtype.type(1), value.dtype.type(0)
    return np.where(value > zero, np.minimum(value, one), zero)


def integral(value: np.ndarray, mode: str) -> np.ndarray:
    """To an integer in floating point: rni, rzi, rmi or rpi."""
    return {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[mode](value)
