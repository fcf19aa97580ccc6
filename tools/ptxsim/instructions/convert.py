"""cvt: between integers, between floating-point formats, and between the two."""

from collections.abc import Callable

import numpy as np

from tools.ptxsim import rounding
from tools.ptxsim.decoder import Decoder, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.floating import ROUNDINGS
from tools.ptxsim.instructions.steps import compute
from tools.ptxsim.ptx_types import TYPES, Type

_INTEGRAL = ("rni", "rzi", "rmi", "rpi")


@instruction("cvt")
def _cvt(d: Decoder) -> Step:
    source = d.type()
    target = d.type()
    if target.pack == 2 and source.name == "f32":
        return _pack(d, target)
    if source.pack > 1 or target.pack > 1:
        raise UnsupportedInstruction(f"cvt of {source.name} to {target.name}")
    mode = d.choose(*_INTEGRAL, *ROUNDINGS)
    sat, ftz, relu = d.flag("sat"), d.flag("ftz"), d.flag("relu")
    if not source.is_float and not target.is_float:
        function = _integers(source, target, sat)
    elif not source.is_float:
        function = _to_float(source, target, mode or "rn")
    elif not target.is_float:
        function = _to_integer(source, target, mode, ftz)
    else:
        function = _floats(source, target, mode, ftz)
    if target.is_float and (sat or relu):
        if target.is_bfloat or (sat and relu):
            raise UnsupportedInstruction(f"cvt with .sat or .relu to {target.name}")
        plain, after = function, rounding.saturate if sat else _relu
        function = lambda x: after(plain(x))  # noqa: E731
    return compute(function, d.destination(0, target), [d.source(1, source)])


def _relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.where(np.isnan(x), x, x.dtype.type(0)))


def _values(source: Type) -> Callable:
    return rounding.from_bfloat16 if source.is_bfloat else lambda x: x


def _integers(source: Type, target: Type, sat: bool) -> Callable:
    """Truncated or extended; with `.sat` to the nearest value of the target."""
    if not sat:
        return lambda x: np.asarray(x).astype(target.dtype)
    info, own = np.iinfo(target.dtype), np.iinfo(source.dtype)
    low, high = max(info.min, own.min), min(info.max, own.max)
    return lambda x: np.clip(x, source.dtype.type(low), source.dtype.type(high)).astype(target.dtype)


def _to_float(source: Type, target: Type, mode: str) -> Callable:
    if target.bits == 64 and source.bits <= 32:
        return lambda x: np.asarray(x).astype(np.float64)
    if mode == "rn" and not target.is_bfloat:
        if target.bits == 16 and source.bits > 16:
            return lambda x: rounding.narrow16(_odd_from_integer(x), "rn")
        return lambda x: np.asarray(x).astype(target.dtype)
    if target.bits == 64:
        raise UnsupportedInstruction(f"cvt.{mode} of a 64-bit integer")
    return lambda x: _narrow(_odd_from_integer(x), target, mode)


def _odd_from_integer(x: np.ndarray) -> np.ndarray:
    """An integer as float64, rounded to odd if it has more than 53 bits."""
    x = np.asarray(x)
    if x.dtype.itemsize < 8:
        return x.astype(np.float64)
    low = (x & x.dtype.type(0x7FF)).astype(np.float64)
    return rounding.to_odd(*rounding.two_sum((x & ~x.dtype.type(0x7FF)).astype(np.float64), low))


def _to_integer(source: Type, target: Type, mode: str | None, ftz: bool) -> Callable:
    """Out of range to the nearest value of the target; a NaN to 0, or where 64 bits take part to the topmost bit."""
    if mode not in _INTEGRAL:
        raise UnsupportedInstruction("a conversion to an integer without an integer rounding")
    info = np.iinfo(target.dtype)
    values = _values(source)
    not_a_number = 0 if source.bits < 64 and target.bits < 64 else 1 << (target.bits - 1)
    of_nan = np.array(not_a_number, f"u{target.nbytes}").view(target.dtype)
    low, beyond = float(info.min), float(info.max + 1 if target.bits < 64 else 2.0 ** (target.bits - target.is_signed))

    def function(x: np.ndarray) -> np.ndarray:
        x = values(np.asarray(x))
        if ftz and x.dtype == np.float32:
            x = rounding.flush(x)
        whole = rounding.integral(x.astype(np.float64), mode)
        inside = (whole >= low) & (whole < beyond)
        result = np.where(inside, whole, 0.0).astype(target.dtype)
        result = np.where(whole >= beyond, target.dtype.type(info.max), result)
        result = np.where(whole < low, target.dtype.type(info.min), result)
        return np.where(np.isnan(x), of_nan, result)

    return function


def _floats(source: Type, target: Type, mode: str | None, ftz: bool) -> Callable:
    values = _values(source)
    if mode in _INTEGRAL:
        if source.name != target.name or source.is_bfloat:
            raise UnsupportedInstruction("an integer rounding between different formats")
        return lambda x: rounding.integral(rounding.flush(x) if ftz else x, mode)

    def function(x: np.ndarray) -> np.ndarray:
        x = values(np.asarray(x))
        if ftz and x.dtype == np.float32:
            x = rounding.flush(x)
        result = _narrow(x.astype(np.float64), target, mode or "rn")
        return rounding.flush(result) if ftz and target.name == "f32" else result

    if source.name == target.name and not ftz:
        return lambda x: x
    return function


def _narrow(value: np.ndarray, target: Type, mode: str) -> np.ndarray:
    """float64 (exact, or rounded to odd) to the target's storage."""
    if target.is_bfloat:
        if mode not in ("rn", "rz"):
            raise UnsupportedInstruction(f"cvt.{mode}.bf16")
        return rounding.to_bfloat16(rounding.odd32(value), mode)
    if target.bits == 64:
        return value
    return rounding.narrow32(value, mode) if target.bits == 32 else rounding.narrow16(value, mode)


def _pack(d: Decoder, target: Type) -> Step:
    """Two float32 to one register: the first operand is the upper half."""
    mode, relu = d.choose("rn", "rz") or "", d.flag("relu")
    if not mode or d.flag("satfinite"):
        raise UnsupportedInstruction("this form of a packing cvt")
    half = TYPES["bf16" if target.is_bfloat else "f16"]
    sources = [d.source(1, TYPES["f32"]), d.source(2, TYPES["f32"])]
    whole = TYPES["b32"]

    def bits(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x).astype(np.float64)
        return _narrow(_relu(x) if relu else x, half, mode).view(np.uint16).astype(np.uint32)

    return compute(lambda high, low: (bits(high) << np.uint32(16)) | bits(low), d.destination(0, whole), sources)
