"""Integer instructions against Python's integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu_offline.ptxsim.harness import apply

COUNT = 24
TYPES = ["u16", "s16", "u32", "s32", "u64", "s64"]


def edges(bits: int) -> st.SearchStrategy[int]:
    top = 1 << bits
    special = st.sampled_from([0, 1, 2, top - 1, top - 2, top >> 1, (top >> 1) - 1, (top >> 1) + 1])
    return st.one_of(special, st.integers(0, top - 1), st.integers(0, 200))


def columns(*widths: int) -> st.SearchStrategy[list[np.ndarray]]:
    def column(bits: int) -> st.SearchStrategy[np.ndarray]:
        values = st.lists(edges(bits), min_size=COUNT, max_size=COUNT)
        return values.map(lambda xs: np.array(xs, f"u{bits // 8}"))

    return st.tuples(*map(column, widths)).map(list)


def value(x: np.generic, type_: str) -> int:
    bits = int(type_[1:])
    x = int(x) % (1 << bits)
    return x - (1 << bits) if type_[0] == "s" and x >> (bits - 1) else x


def check(instructions: str, arrays: list[np.ndarray], result: str, truth, types: list[str]) -> None:
    bits = int(result[1:])
    got = apply(instructions, arrays, np.dtype(f"u{bits // 8}"))
    rows = zip(*arrays)
    want = [truth(*(value(x, t) for x, t in zip(row, types))) % (1 << bits) for row in rows]
    assert got.tolist() == want


def truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "min": min,
    "max": max,
    "div": truncated,
    "rem": lambda a, b: a - b * truncated(a, b),
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", [*BINARY, "mul.hi"])
def test_binary(name: str, type_: str) -> None:
    bits = int(type_[1:])

    @settings(max_examples=8, deadline=None)
    @given(columns(bits, bits))
    def property_(arrays: list[np.ndarray]) -> None:
        if name in ("div", "rem"):
            arrays[1][arrays[1] == 0] = 1
        truth = BINARY.get(name, lambda a, b: (a * b) >> bits)
        check(f"{name}.{type_} %o, %a, %b;", arrays, type_, truth, [type_, type_])

    property_()


@pytest.mark.parametrize("type_", ["u16", "s16", "u32", "s32"])
def test_wide(type_: str) -> None:
    bits = int(type_[1:])

    @settings(max_examples=8, deadline=None)
    @given(columns(bits, bits, 2 * bits))
    def property_(arrays: list[np.ndarray]) -> None:
        wide = f"{type_[0]}{2 * bits}"
        types = [type_, type_, wide]
        check(f"mul.wide.{type_} %o, %a, %b;", arrays, wide, lambda a, b, c: a * b, types)
        check(f"mad.wide.{type_} %o, %a, %b, %c;", arrays, wide, lambda a, b, c: a * b + c, types)

    property_()


@pytest.mark.parametrize("type_", TYPES)
def test_multiply_add(type_: str) -> None:
    bits = int(type_[1:])

    @settings(max_examples=8, deadline=None)
    @given(columns(bits, bits, bits))
    def property_(arrays: list[np.ndarray]) -> None:
        types = [type_] * 3
        check(f"mad.lo.{type_} %o, %a, %b, %c;", arrays, type_, lambda a, b, c: a * b + c, types)
        check(f"mad.hi.{type_} %o, %a, %b, %c;", arrays, type_, lambda a, b, c: (a * b >> bits) + c, types)
        check(f"sad.{type_} %o, %a, %b, %c;", arrays, type_, lambda a, b, c: abs(a - b) + c, types)

    property_()


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_logic_and_shifts(bits: int) -> None:
    @settings(max_examples=8, deadline=None)
    @given(columns(bits, bits, 32))
    def property_(arrays: list[np.ndarray]) -> None:
        b, u, s = f"b{bits}", f"u{bits}", f"s{bits}"
        unsigned, signed = [u, u, "u32"], [s, s, "u32"]
        check(f"and.{b} %o, %a, %b;", arrays, u, lambda a, b, c: a & b, unsigned)
        check(f"or.{b} %o, %a, %b;", arrays, u, lambda a, b, c: a | b, unsigned)
        check(f"xor.{b} %o, %a, %b;", arrays, u, lambda a, b, c: a ^ b, unsigned)
        check(f"not.{b} %o, %a;", arrays, u, lambda a, b, c: ~a, unsigned)
        check(f"cnot.{b} %o, %a;", arrays, u, lambda a, b, c: a == 0, unsigned)
        check(f"shl.{b} %o, %a, %c;", arrays, u, lambda a, b, c: a << min(c, 64), unsigned)
        check(f"shr.{u} %o, %a, %c;", arrays, u, lambda a, b, c: a >> c, unsigned)
        check(f"shr.{s} %o, %a, %c;", arrays, u, lambda a, b, c: a >> c, signed)
        check(f"shl.{b} %o, %a, 3;", arrays, u, lambda a, b, c: a << 3, unsigned)
        check(f"shr.{s} %o, %a, 70;", arrays, u, lambda a, b, c: a >> 70, signed)
        check(f"neg.{s} %o, %a;", arrays, u, lambda a, b, c: -a, signed)
        check(f"abs.{s} %o, %a;", arrays, u, lambda a, b, c: abs(a), signed)

    property_()


def extract(a: int, position: int, length: int, bits: int, signed: bool) -> int:
    """As the ISA's own pseudo-code has it, bit by bit."""
    top = bits - 1
    position, length = position & 255, length & 255
    sign = 0 if not signed or length == 0 else (a >> min(position + length - 1, top)) & 1
    field = 0
    for i in range(bits):
        inside = i < length and position + i <= top
        field |= ((a >> (position + i)) & 1 if inside else sign) << i
    return field


def insert(a: int, b: int, position: int, length: int, bits: int) -> int:
    position, length = position & 255, length & 255
    for i in range(length):
        if position + i < bits:
            b = (b & ~(1 << (position + i))) | ((a >> i & 1) << (position + i))
    return b


@pytest.mark.parametrize("bits", [32, 64])
def test_bit_fields(bits: int) -> None:
    @settings(max_examples=12, deadline=None)
    @given(columns(bits, bits, 32, 32))
    def property_(arrays: list[np.ndarray]) -> None:
        types = [f"u{bits}", f"u{bits}", "u32", "u32"]
        result = f"u{bits}"
        for signed in (False, True):
            name = f"bfe.{'s' if signed else 'u'}{bits}"
            truth = lambda a, b, c, d: extract(a, c, d, bits, signed)
            check(f"{name} %o, %a, %c, %d;", arrays, result, truth, types)
        check(f"bfi.b{bits} %o, %a, %b, %c, %d;", arrays, result, lambda a, b, c, d: insert(a, b, c, d, bits), types)
        check(f"popc.b{bits} %o, %a;", arrays, "u32", lambda a, b, c, d: a.bit_count(), types)
        check(f"clz.b{bits} %o, %a;", arrays, "u32", lambda a, b, c, d: bits - a.bit_length(), types)
        check(f"bfind.u{bits} %o, %a;", arrays, "u32", lambda a, b, c, d: a.bit_length() - 1, types)
        check(f"brev.b{bits} %o, %a;", arrays, result, lambda a, b, c, d: int(f"{a:0{bits}b}"[::-1], 2), types)

    property_()


def permuted(a: int, b: int, selector: int) -> int:
    octets = (a | b << 32).to_bytes(8, "little")
    result = 0
    for i in range(4):
        nibble = selector >> (4 * i) & 15
        byte = octets[nibble & 7]
        result |= ((255 if byte & 128 else 0) if nibble & 8 else byte) << (8 * i)
    return result


@settings(max_examples=12, deadline=None)
@given(columns(32, 32, 32))
def test_three_operand_bits(arrays: list[np.ndarray]) -> None:
    types = ["u32"] * 3
    check("prmt.b32 %o, %a, %b, %c;", arrays, "u32", permuted, types)
    check("prmt.b32 %o, %a, %b, 0x5410;", arrays, "u32", lambda a, b, c: permuted(a, b, 0x5410), types)
    both = lambda a, b: (b << 32) | a
    check("shf.l.wrap.b32 %o, %a, %b, %c;", arrays, "u32", lambda a, b, c: both(a, b) << (c & 31) >> 32, types)
    check("shf.r.wrap.b32 %o, %a, %b, %c;", arrays, "u32", lambda a, b, c: both(a, b) >> (c & 31), types)
    check("shf.l.clamp.b32 %o, %a, %b, %c;", arrays, "u32", lambda a, b, c: both(a, b) << min(c, 32) >> 32, types)
    check("shf.r.clamp.b32 %o, %a, %b, %c;", arrays, "u32", lambda a, b, c: both(a, b) >> min(c, 32), types)
    for table, truth in {0x80: lambda a, b, c: a & b & c, 0x96: lambda a, b, c: a ^ b ^ c, 0xCA: mux}.items():
        check(f"lop3.b32 %o, %a, %b, %c, {table};", arrays, "u32", truth, types)


def mux(a: int, b: int, c: int) -> int:
    return (a & b) | (~a & c)


@settings(max_examples=12, deadline=None)
@given(columns(64, 64, 64, 64))
def test_carry_chains(arrays: list[np.ndarray]) -> None:
    """128-bit sums and differences of (a, b) and (c, d), and a 64-bit product with a 128-bit sum, by halves."""
    types = ["u64"] * 4
    big = lambda low, high: low | high << 64
    total = lambda a, b, c, d: big(a, b) + big(c, d)
    less = lambda a, b, c, d: big(a, b) - big(c, d)
    check("add.cc.u64 %rd1, %a, %c; addc.u64 %o, %b, %d;", arrays, "u64", lambda *x: total(*x) >> 64, types)
    check("sub.cc.u64 %rd1, %a, %c; subc.u64 %o, %b, %d;", arrays, "u64", lambda *x: less(*x) >> 64, types)
    product = lambda a, b, c, d: a * b + big(c, d)
    chain = "mad.lo.cc.u64 %rd1, %a, %b, %c; madc.hi.u64 %o, %a, %b, %d;"
    check(chain, arrays, "u64", lambda *x: product(*x) >> 64, types)


def test_carry_through_a_limb_of_ones() -> None:
    """2^128 - 1 plus 1, and 2^128 minus 1: the middle limb passes the carry on."""
    ones, zero, one = (np.array([v], np.uint64) for v in (2**64 - 1, 0, 1))
    add = "add.cc.u64 %rd5, %a, %c; addc.cc.u64 %rd6, %a, 0; addc.u64 %o, %b, 0;"
    assert apply(add, [ones, zero, one], np.uint64)[0] == 1
    subtract = "sub.cc.u64 %rd5, %b, %c; subc.cc.u64 %rd6, %b, 0; subc.u64 %o, %c, 0;"
    assert apply(subtract, [ones, zero, one], np.uint64)[0] == 0
    product = "add.cc.u64 %rd5, %a, %c; madc.lo.cc.u64 %rd6, %b, %b, %a; addc.u64 %o, %b, 0;"
    assert apply(product, [ones, zero, one], np.uint64)[0] == 1


def test_saturated_sum() -> None:
    a = np.array([2**31 - 1, -(2**31), 5], np.int32)
    assert apply("add.sat.s32 %o, %a, %a;", [a], np.int32).tolist() == [2**31 - 1, -(2**31), 10]


@pytest.mark.parametrize("type_", TYPES)
def test_comparisons(type_: str) -> None:
    bits = int(type_[1:])
    tests = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }

    @settings(max_examples=6, deadline=None)
    @given(columns(bits, bits))
    def property_(arrays: list[np.ndarray]) -> None:
        arrays[1][::3] = arrays[0][::3]
        for name, truth in tests.items():
            got = apply(f"setp.{name}.{type_} %o, %a, %b;", arrays, bool)
            assert got.tolist() == [truth(value(a, type_), value(b, type_)) for a, b in zip(*arrays)]

    property_()


def test_compare_and_combine() -> None:
    a = np.array([1, 2, 3, 4], np.int32)
    p = np.array([True, False, True, False])
    assert apply("setp.lt.and.s32 %o|%p5, %a, 3, %b;", [a, p], bool).tolist() == [True, False, False, False]
    assert apply("setp.lt.and.s32 %p5|%o, %a, 3, %b;", [a, p], bool).tolist() == [False, False, True, False]
    assert apply("setp.lt.or.s32 %o, %a, 3, !%b;", [a, p], bool).tolist() == [True, True, False, True]
    assert apply("setp.lt.xor.s32 %o, %a, 3, %b;", [a, p], bool).tolist() == [False, True, True, False]
    assert apply("set.lt.u32.s32 %o, %a, 3;", [a], np.uint32).tolist() == [0xFFFFFFFF, 0xFFFFFFFF, 0, 0]
    assert apply("set.ge.f32.s32 %o, %a, 3;", [a], np.float32).tolist() == [0, 0, 1, 1]
    assert apply("selp.b32 %o, %a, 9, %b;", [a, p], np.int32).tolist() == [1, 9, 3, 9]
    assert apply("selp.b32 %o, %a, 9, !%b;", [a, p], np.int32).tolist() == [9, 2, 9, 4]
    assert apply("sub.s32 %r5, %a, 3; slct.s32.s32 %o, %a, 0, %r5;", [a], np.int32).tolist() == [0, 0, 3, 4]


def test_predicate_logic() -> None:
    p, q = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert apply("and.pred %o, %a, %b;", [p, q], bool).tolist() == (p & q).tolist()
    assert apply("or.pred %o, %a, %b;", [p, q], bool).tolist() == (p | q).tolist()
    assert apply("xor.pred %o, %a, %b;", [p, q], bool).tolist() == (p ^ q).tolist()
    assert apply("not.pred %o, %a;", [p, q], bool).tolist() == (~p).tolist()
    assert apply("mov.pred %o, %a;", [p, q], bool).tolist() == p.tolist()


def test_guards_leave_the_other_lanes() -> None:
    p, a = np.array([True, False, True, False]), np.array([1, 2, 3, 4], np.int32)
    assert apply("mov.u32 %o, %b; @%a add.s32 %o, %o, 10;", [p, a], np.int32).tolist() == [11, 2, 13, 4]
    assert apply("mov.u32 %o, %b; @!%a add.s32 %o, %o, 10;", [p, a], np.int32).tolist() == [1, 12, 3, 14]
    own = "mov.u32 %o, 0; @%a not.pred %a, %a; @%a mov.u32 %o, 1;"  # an instruction that writes its own guard
    assert apply(own, [p], np.int32).tolist() == [0, 0, 0, 0]
