"""Logic, shifts and bit fields."""

from functools import partial

import numpy as np

from tools.ptxsim.decoder import Decoder, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.steps import compute, elementwise
from tools.ptxsim.ptx_types import TYPES, unsigned
from tools.ptxsim.syntax import integer_literal

_U32 = TYPES["u32"]


@instruction("and", "or", "xor")
def _logic(d: Decoder) -> Step:
    type_ = d.type()
    ufunc = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[d.inst.opcode]
    return elementwise(ufunc, d.destination(0, type_), [d.source(1, type_), d.source(2, type_)])


@instruction("not")
def _not(d: Decoder) -> Step:
    type_ = d.type()
    ufunc = np.logical_not if type_.is_predicate else np.invert
    return elementwise(ufunc, d.destination(0, type_), [d.source(1, type_)])


@instruction("cnot")
def _cnot(d: Decoder) -> Step:
    type_ = d.type()
    return compute(lambda a: a == 0, d.destination(0, type_), [d.source(1, type_)])


@instruction("shl", "shr")
def _shift(d: Decoder) -> Step:
    """Amounts beyond the width shift everything out; NumPy's shifts do the same."""
    type_ = d.type()
    target, value = d.destination(0, type_), d.source(1, type_)
    ufunc = np.left_shift if d.inst.opcode == "shl" else np.right_shift
    amount = integer_literal(d.operand(2))
    if amount is not None:
        clamped = np.array(min(amount % (1 << 32), type_.bits), type_.dtype)
        return elementwise(ufunc, target, [value, d.layout.constant(clamped)])
    count = d.source(2, _U32)
    if type_.bits == 32:
        return compute(lambda a, n: ufunc(a, n.view(a.dtype)), target, [value, count])
    limit = np.uint32(type_.bits)
    return compute(lambda a, n: ufunc(a, np.minimum(n, limit).astype(a.dtype)), target, [value, count])


@instruction("shf")
def _funnel(d: Decoder) -> Step:
    d.type()
    direction, mode = d.choose("l", "r"), d.choose("wrap", "clamp")
    target, sources = d.destination(0, _U32), [d.source(i, _U32) for i in (1, 2, 3)]

    def function(low: np.ndarray, high: np.ndarray, count: np.ndarray) -> np.ndarray:
        n = np.minimum(count, np.uint32(32)) if mode == "clamp" else count & np.uint32(31)
        both = (np.asarray(high).astype(np.uint64) << np.uint64(32)) | low
        if direction == "l":
            return (both << n.astype(np.uint64)) >> np.uint64(32)
        return both >> n.astype(np.uint64)

    return compute(function, target, sources)


@instruction("bfe")
def _extract(d: Decoder) -> Step:
    """`length` bits of a from `position`; of a signed type, extended by the field's last bit that is in a."""
    type_ = d.type()
    target, sources = d.destination(0, type_), [d.source(1, type_), d.source(2, _U32), d.source(3, _U32)]
    bits = np.uint64(type_.bits)

    def function(a: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        start = np.minimum(position & np.uint32(255), np.uint32(type_.bits)).astype(np.uint64)
        count = np.minimum((length & np.uint32(255)).astype(np.uint64), bits)
        raw = np.asarray(a).astype(unsigned(type_.bits).dtype).astype(np.uint64)
        field = (raw >> start) & ((np.uint64(1) << count) - np.uint64(1))
        if not type_.is_signed:
            return field
        top = np.minimum(start + np.where(count == 0, count, count - np.uint64(1)), bits - np.uint64(1))
        negative = ((raw >> top) & np.uint64(1)).astype(bool) & (count > 0)
        used = np.minimum(count, np.where(start < bits, bits - start, np.uint64(0)))
        extension = ~((np.uint64(1) << used) - np.uint64(1))
        return np.where(negative, field | extension, field)

    return compute(function, target, sources)


@instruction("bfi")
def _insert(d: Decoder) -> Step:
    """b with `length` bits of a put in at `position`."""
    type_ = d.type()
    target = d.destination(0, type_)
    sources = [d.source(1, type_), d.source(2, type_), d.source(3, _U32), d.source(4, _U32)]

    def function(a: np.ndarray, b: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        start = (position & np.uint32(255)).astype(np.uint64)
        count = (length & np.uint32(255)).astype(np.uint64)
        ones = ((np.uint64(1) << count) - np.uint64(1)) << start
        return ((np.asarray(a).astype(np.uint64) << start) & ones) | (b & ~ones)

    return compute(function, target, sources)


@instruction("popc")
def _popcount(d: Decoder) -> Step:
    type_ = d.type()
    return compute(np.bitwise_count, d.destination(0, _U32), [d.source(1, type_)])


@instruction("clz")
def _leading_zeros(d: Decoder) -> Step:
    type_ = d.type()
    return compute(lambda a: type_.bits - bit_length(a), d.destination(0, _U32), [d.source(1, type_)])


def bit_length(a: np.ndarray) -> np.ndarray:
    """How many bits the unsigned a has up to its first one."""
    smeared = np.asarray(a).copy()
    for shift in (1, 2, 4, 8, 16, 32):
        smeared |= smeared >> smeared.dtype.type(shift)  # a shift by the whole width or more gives 0
    return np.bitwise_count(smeared)


@instruction("bfind")
def _find(d: Decoder) -> Step:
    type_ = d.type()
    if type_.is_signed:
        raise UnsupportedInstruction("bfind of a signed type")
    shift = d.flag("shiftamt")

    def function(a: np.ndarray) -> np.ndarray:
        length = bit_length(a).astype(np.uint32)
        found = np.uint32(type_.bits) - length if shift else length - np.uint32(1)
        return np.where(length == 0, np.uint32(0xFFFFFFFF), found)

    return compute(function, d.destination(0, _U32), [d.source(1, type_)])


@instruction("brev")
def _reverse(d: Decoder) -> Step:
    type_ = d.type()

    def function(a: np.ndarray) -> np.ndarray:
        octets = np.ascontiguousarray(a)[..., None].view(np.uint8)
        bits = np.unpackbits(octets, axis=-1, bitorder="little")
        return np.packbits(bits[..., ::-1], axis=-1, bitorder="little").view(a.dtype)[..., 0]

    return compute(function, d.destination(0, type_), [d.source(1, type_)])


@instruction("lop3")
def _logic3(d: Decoder) -> Step:
    """Any function of three bits: bit 4 a + 2 b + c of the table is its value."""
    type_ = d.type()
    table = integer_literal(d.operand(4))
    if table is None or len(d.inst.operands) > 5:
        raise UnsupportedInstruction("lop3 without a constant table, or with a predicate")

    def function(*abc: np.ndarray) -> np.ndarray:
        result = np.zeros(np.broadcast_shapes(*(x.shape for x in abc)), type_.dtype)
        for row in range(8):
            if table >> row & 1:
                term = ~np.zeros_like(result)
                for operand, bit in zip(abc, (4, 2, 1)):
                    term &= operand if row & bit else ~operand
                result |= term
        return result

    return compute(function, d.destination(0, type_), [d.source(i, type_) for i in (1, 2, 3)])


@instruction("prmt")
def _permute(d: Decoder) -> Step:
    """Bytes of b:a picked by the nibbles of the selector; a nibble's top bit replicates the byte's sign."""
    d.type()
    sources = [d.source(i, _U32) for i in (1, 2, 3)]
    constant = integer_literal(d.operand(3))
    if constant is not None:
        d.flow(0, [1, 2], partial(_picked_written, selector=constant))

    def function(a: np.ndarray, b: np.ndarray, selector: np.ndarray) -> np.ndarray:
        both = (np.asarray(b).astype(np.uint64) << np.uint64(32)) | a
        result = np.zeros(both.shape, np.uint64)
        for i in range(4):
            nibble = (selector >> np.uint32(4 * i)).astype(np.uint64)
            byte = (both >> ((nibble & np.uint64(7)) << np.uint64(3))) & np.uint64(255)
            sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
            result = result | (np.where(nibble & np.uint64(8), sign, byte) << np.uint64(8 * i))
        return result

    return compute(function, d.destination(0, _U32), sources)


def _picked_written(a: np.ndarray, b: np.ndarray, *, selector: int) -> np.ndarray:
    """Which bytes of a permutation were written: LLVM packs bytes with undefined ones, and picks the others out again."""
    both = (np.asarray(b).astype(np.uint16) << np.uint16(4)) | (a & np.uint8(15))
    bits = [(both >> np.uint16(selector >> 4 * i & 7) & np.uint16(1)) << np.uint16(i) for i in range(4)]
    return (bits[0] | bits[1] | bits[2] | bits[3]).astype(np.uint8)
