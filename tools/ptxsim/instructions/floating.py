"""Floating-point arithmetic: f16, bf16, f32, f64 and the packed f16x2, bf16x2, f32x2.

Each operation is computed as if exactly and rounded once. f16 and bf16 sums, products and quotients go through float32,
whose second rounding is harmless (24 >= 2 p + 2 digits).
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from tools.ptxsim import rounding
from tools.ptxsim.decoder import Decoder, Step
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.steps import compute, elementwise
from tools.ptxsim.ptx_types import TYPES, Type

_EXACT_F64: dict[str, Callable] = {
    "add": lambda a, b: rounding.to_odd(*rounding.two_sum(a, b)),
    "sub": lambda a, b: rounding.to_odd(*rounding.two_sum(a, -b)),
    "mul": np.multiply,
    "div": np.divide,
    "fma": rounding.fma_odd,
}
_UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
ROUNDINGS = ("rn", "rz", "rm", "rp")


def arithmetic(d: Decoder, name: str, type_: Type) -> Step:
    """add, sub, mul, div, fma."""
    mode = d.choose(*ROUNDINGS) or "rn"
    ftz, sat, relu = d.flag("ftz"), d.flag("sat"), d.flag("relu")
    target = d.destination(0, type_)
    operands = list(range(1, 4 if name == "fma" else 3))
    sources = [d.source(i, type_) for i in operands]
    if type_.pack > 1:
        d.flow(0, [*operands], partial(_elements_written, octets=type_.dtype.itemsize))
    if mode == "rn" and not (ftz or sat or relu or type_.is_bfloat) and name in _UFUNCS:
        return elementwise(_UFUNCS[name], target, sources, type_.pack)
    function = rounded(name, type_, mode)
    if ftz and type_.dtype == np.float32:
        function = _flushed(function)
    if sat:
        function = _then(function, rounding.saturate)
    if relu:
        function = _then(function, lambda r: np.where(r > 0, r, r.dtype.type(0)))
    return compute(as_stored(function, type_), target, sources, type_.pack)


def mixed(d: Decoder, name: str, narrow: Type) -> Step:
    """add, sub and fma in f32 whose first operands, but the last, are f16 or bf16: sm_100 and later."""
    mode, sat = d.choose(*ROUNDINGS) or "rn", d.flag("sat")
    if narrow.dtype.itemsize != 2 or narrow.pack != 1:
        raise UnsupportedInstruction(f"{name}.f32.{narrow.name}")
    wide = TYPES["f32"]
    *narrow_sources, last = range(1, 4 if name == "fma" else 3)
    sources = [*(d.source(i, narrow) for i in narrow_sources), d.source(last, wide)]
    function = rounded(name, wide, mode)
    if sat:
        function = _then(function, rounding.saturate)
    widen = rounding.from_bfloat16 if narrow.is_bfloat else lambda x: x.astype(np.float32)
    return compute(lambda *xs: function(*map(widen, xs[:-1]), xs[-1]), d.destination(0, wide), sources)


def _elements_written(*operands: np.ndarray, octets: int) -> np.ndarray:
    """Of two elements of `octets` bytes, those written in every operand."""
    both = np.bitwise_and.reduce(np.broadcast_arrays(*operands))
    one = np.uint8((1 << octets) - 1)
    high = np.uint8(int(one) << octets)
    return np.where((both & one) == one, one, np.uint8(0)) | np.where((both & high) == high, high, np.uint8(0))


def rounded(name: str, type_: Type, mode: str) -> Callable:
    """The operation on values (bf16 as float32 that as_stored rounds again), rounded to `type_` by `mode`."""
    if type_.dtype == np.float64:
        if mode != "rn":
            raise UnsupportedInstruction(f"{name}.{mode}.f64")
        return rounding.fma64 if name == "fma" else _UFUNCS[name]
    if type_.dtype == np.float32:
        if mode == "rn":
            return rounding.fma32 if name == "fma" else _UFUNCS[name]
        exact = _EXACT_F64[name]
        if name == "fma":
            return lambda a, b, c: rounding.narrow32(exact(a, b, c), mode)
        return lambda a, b: rounding.narrow32(exact(a.astype(np.float64), b.astype(np.float64)), mode)
    if mode != "rn":
        raise UnsupportedInstruction(f"{name}.{mode}.{type_.name}")
    if type_.is_bfloat:
        if name == "fma":
            return lambda a, b, c: rounding.odd32(rounding.fma_odd(a, b, c))
        return _UFUNCS[name]
    return (lambda a, b, c: rounding.fma_odd(a, b, c).astype(np.float16)) if name == "fma" else _UFUNCS[name]


def as_stored(function: Callable, type_: Type) -> Callable:
    """The function on `type_`'s storage: bf16 comes and goes as uint16."""
    if not type_.is_bfloat:
        return function
    return lambda *xs: rounding.to_bfloat16(function(*(rounding.from_bfloat16(x) for x in xs)))


def _flushed(function: Callable) -> Callable:
    return lambda *xs: rounding.flush(function(*(rounding.flush(x) for x in xs)))


def _then(function: Callable, after: Callable) -> Callable:
    return lambda *xs: after(function(*xs))


def extremum(d: Decoder, name: str, type_: Type) -> Step:
    """min, max: of a NaN and a number the number, unless `.NaN`; -0 is less than +0."""
    ftz, nan, xorsign = d.flag("ftz"), d.flag("NaN"), d.flag("xorsign")
    if xorsign:
        raise UnsupportedInstruction("xorsign")
    target, sources = d.destination(0, type_), [d.source(i, type_) for i in range(1, len(d.inst.operands))]
    ufunc = {
        ("min", False): np.fmin,
        ("max", False): np.fmax,
        ("min", True): np.minimum,
        ("max", True): np.maximum,
    }[name, nan]
    of_equals = np.bitwise_or if name == "min" else np.bitwise_and

    def two(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        bits = f"u{a.dtype.itemsize}"
        equal = of_equals(a.view(bits), b.view(bits)).view(a.dtype)  # equal values differ only in a zero's sign
        return np.where(a == b, equal, ufunc(a, b))

    def function(a: np.ndarray, *others: np.ndarray) -> np.ndarray:
        for b in others:
            a = two(a, b)
        return a

    operation: Callable = function
    if ftz and type_.dtype == np.float32:
        operation = _flushed(operation)
    return compute(as_stored(operation, type_), target, sources, type_.pack)


def sign(d: Decoder, name: str, type_: Type) -> Step:
    """neg, abs: of the sign bit alone, a NaN's too."""
    ftz = d.flag("ftz")
    target, source = d.destination(0, type_), d.source(1, type_)
    width = type_.dtype.itemsize
    top = np.array(1 << (8 * width - 1), f"u{width}")

    def function(a: np.ndarray) -> np.ndarray:
        if ftz and a.dtype == np.float32:
            a = rounding.flush(a)
        bits = a.view(f"u{width}") if a.ndim and a.flags.c_contiguous else np.asarray(a).copy().view(f"u{width}")
        return (bits ^ top if name == "neg" else bits & ~top).view(a.dtype)

    return compute(function, target, [source], type_.pack)
