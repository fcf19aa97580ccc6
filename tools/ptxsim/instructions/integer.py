"""Integer arithmetic of 16, 32 and 64 bits. NumPy's wraps as PTX's does."""

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step
from tools.ptxsim.errors import DivisionByZero, UnsupportedInstruction
from tools.ptxsim.instructions.steps import compute, elementwise
from tools.ptxsim.ptx_types import Type, widened


def add_or_subtract(d: Decoder, name: str, type_: Type) -> Step:
    target, sources = d.destination(0, type_), [d.source(1, type_), d.source(2, type_)]
    if not d.flag("sat"):
        return elementwise(np.add if name == "add" else np.subtract, target, sources)
    if type_.name != "s32":
        raise UnsupportedInstruction(f"{name}.sat.{type_.name}")
    low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    operation = np.add if name == "add" else np.subtract
    return compute(lambda a, b: np.clip(operation(a, b, dtype=np.int64), low, high), target, sources)


def multiply(d: Decoder, type_: Type, *, accumulate: bool) -> Step:
    """mul and mad: `.lo`, `.hi`, or `.wide` of the whole product."""
    part = d.choose("lo", "hi", "wide")
    if part is None or d.flag("sat"):
        raise UnsupportedInstruction("an integer product that is none of .lo, .hi and .wide")
    result = widened(type_) if part == "wide" else type_
    target, sources = d.destination(0, result), [d.source(1, type_), d.source(2, type_)]
    if accumulate:
        sources.append(d.source(3, result))
    if part == "lo" and not accumulate:
        return elementwise(np.multiply, target, sources)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if part == "wide":
            return np.multiply(a, b, dtype=result.dtype)
        return high_product(a, b, type_) if part == "hi" else a * b

    if accumulate:
        return compute(lambda a, b, c: product(a, b) + c, target, sources)
    return compute(product, target, sources)


def high_product(a: np.ndarray, b: np.ndarray, type_: Type) -> np.ndarray:
    """The upper half of the product."""
    if type_.bits < 64:
        wide = np.multiply(a, b, dtype=widened(type_).dtype)
        return (wide >> wide.dtype.type(type_.bits)).astype(type_.dtype)
    x, y = np.asarray(a).astype(np.uint64), np.asarray(b).astype(np.uint64)
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x_low, x_high, y_low, y_high = x & mask, x >> half, y & mask, y >> half
    middle = x_high * y_low + (x_low * y_low >> half)
    other = x_low * y_high + (middle & mask)
    high = x_high * y_high + (middle >> half) + (other >> half)
    if type_.is_signed:
        high -= np.where(np.asarray(a) < 0, y, np.uint64(0)) + np.where(np.asarray(b) < 0, x, np.uint64(0))
    return high.astype(type_.dtype)


def divide(d: Decoder, name: str, type_: Type) -> Step:
    """div and rem, both towards zero."""
    target, a_slot, b_slot = d.destination(0, type_), d.source(1, type_), d.source(2, type_)

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        remainder = np.fmod(a, b)
        return remainder if name == "rem" else (a - remainder) // b

    operation = compute(function, target, [a_slot, b_slot])

    def step(batch: Batch, mask: Mask) -> None:
        zero = np.broadcast_to(batch.views[b_slot] == 0, (batch.lanes,)) & mask
        if zero.any():
            raise DivisionByZero("integer division by zero", int(np.flatnonzero(zero)[0]))
        operation(batch, mask)

    return step


def sad(d: Decoder, type_: Type) -> Step:
    """|a - b| + c."""
    target, sources = d.destination(0, type_), [d.source(i, type_) for i in (1, 2, 3)]
    return compute(lambda a, b, c: np.where(a < b, b - a, a - b) + c, target, sources)
