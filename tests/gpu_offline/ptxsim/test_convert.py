"""cvt against exact arithmetic and Python's integers."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings

from tests.gpu_offline.ptxsim.exact import BF16, F16, F32, rounded
from tests.gpu_offline.ptxsim.harness import apply
from tests.gpu_offline.ptxsim.test_float import columns as floats
from tests.gpu_offline.ptxsim.test_integer import columns as integers

WIDTHS = [8, 16, 32, 64]


def as_type(bits_value: int, type_: str) -> int:
    bits = int(type_[1:])
    bits_value %= 1 << bits
    return bits_value - (1 << bits) if type_[0] == "s" and bits_value >> (bits - 1) else bits_value


@pytest.mark.parametrize("source", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("target", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
def test_integers(source: str, target: str) -> None:
    bits, to = int(source[1:]), int(target[1:])
    low = -(1 << (to - 1)) if target[0] == "s" else 0
    high = (1 << (to - 1)) - 1 if target[0] == "s" else (1 << to) - 1

    @settings(max_examples=4, deadline=None)
    @given(integers(bits))
    def property_(arrays: list[np.ndarray]) -> None:
        stored = np.dtype(f"u{max(to, 16) // 8}")
        extended = lambda x: as_type(x, target) % (1 << max(to, 16))
        values = [as_type(int(x), source) for x in arrays[0]]
        assert apply(f"cvt.{target}.{source} %o, %a;", arrays, stored).tolist() == [extended(v) for v in values]
        clamped = [extended(min(max(v, low), high)) for v in values]
        assert apply(f"cvt.sat.{target}.{source} %o, %a;", arrays, stored).tolist() == clamped

    property_()


def test_narrow_reads_of_wide_registers() -> None:
    a = np.array([0xFFFF80F5], np.uint32)
    assert apply("cvt.u32.u8 %o, %a;", [a], np.uint32)[0] == 0xF5
    assert apply("cvt.s32.s8 %o, %a;", [a], np.int32)[0] == -11
    assert apply("cvt.s64.s16 %o, %a;", [a], np.int64)[0] == 0x80F5 - 0x10000


MODES = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}


@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize("target", ["s32", "u32", "s64", "u64", "s16", "u8"])
def test_float_to_integer(source: str, target: str) -> None:
    bits = int(target[1:])
    signed = target[0] == "s"
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    extra = np.array([0.5, 1.5, -0.5, 2.0**31, 2.0**32, -(2.0**31), 2.0**63, 2.0**64, np.inf, -np.inf])
    stored = np.dtype(f"u{max(bits, 16) // 8}")

    @settings(max_examples=6, deadline=None)
    @given(floats(source, 1))
    def property_(arrays: list[np.ndarray]) -> None:
        x = np.concatenate([arrays[0], extra.astype(arrays[0].dtype)])
        for mode, function in MODES.items():
            want = [
                (high if v > 0 else low) if math.isinf(v) else min(max(function(float(v)), low), high)
                for v in x.tolist()
            ]
            got = apply(f"cvt.{mode}.{target}.{source} %o, %a;", [x], stored)
            assert got.tolist() == [w % (1 << (8 * stored.itemsize)) for w in want]

    property_()


def test_nan_to_integer() -> None:
    nan = np.array([np.nan], np.float32)
    assert apply("cvt.rzi.s32.f32 %o, %a;", [nan], np.int32)[0] == 0
    assert apply("cvt.rzi.u32.f32 %o, %a;", [nan], np.uint32)[0] == 0
    assert apply("cvt.rzi.s64.f32 %o, %a;", [nan], np.int64)[0] == -(2**63)
    assert apply("cvt.rzi.u32.f64 %o, %a;", [nan.astype(np.float64)], np.uint32)[0] == 2**31


@pytest.mark.parametrize("source", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_integer_to_float(source: str) -> None:
    @settings(max_examples=6, deadline=None)
    @given(integers(int(source[1:])))
    def property_(arrays: list[np.ndarray]) -> None:
        exact = [Fraction(as_type(int(x), source)) for x in arrays[0]]
        for mode in ("rn", "rz", "rm", "rp"):
            got = apply(f"cvt.{mode}.f32.{source} %o, %a;", arrays, np.float32)
            assert got.tolist() == [rounded(v, F32, mode) for v in exact]
        assert apply(f"cvt.rn.f64.{source} %o, %a;", arrays, np.float64).tolist() == [float(v) for v in exact]
        assert apply(f"cvt.rn.f16.{source} %o, %a;", arrays, np.float16).tolist() == [rounded(v, F16) for v in exact]

    property_()


@settings(max_examples=30, deadline=None)
@given(floats("f64", 1))
def test_narrowing_of_f64(arrays: list[np.ndarray]) -> None:
    exact = [Fraction(x) for x in arrays[0].tolist()]
    for mode in ("rn", "rz", "rm", "rp"):
        got = apply(f"cvt.{mode}.f32.f64 %o, %a;", arrays, np.float32)
        assert got.tolist() == [rounded(v, F32, mode) for v in exact]
    assert apply("cvt.rn.f16.f64 %o, %a;", arrays, np.float16).tolist() == [rounded(v, F16) for v in exact]


@settings(max_examples=30, deadline=None)
@given(floats("f32", 2))
def test_narrowing_of_f32(arrays: list[np.ndarray]) -> None:
    a, b = ([Fraction(x) for x in array.tolist()] for array in arrays)
    for mode in ("rn", "rz"):
        half = apply(f"cvt.{mode}.f16.f32 %o, %a;", arrays, np.float16)
        assert half.tolist() == [rounded(v, F16, mode) for v in a]
        brain = apply(f"cvt.{mode}.bf16.f32 %o, %a;", arrays, ml_dtypes.bfloat16)
        assert brain.astype(np.float64).tolist() == [rounded(v, BF16, mode) for v in a]
        for name, dtype, to in (("f16x2", np.float16, F16), ("bf16x2", ml_dtypes.bfloat16, BF16)):
            packed = apply(f"cvt.{mode}.{name}.f32 %o, %a, %b;", arrays, np.uint32).view(dtype).astype(np.float64)
            assert packed[1::2].tolist() == [rounded(v, to, mode) for v in a]  # the first operand is the upper half
            assert packed[::2].tolist() == [rounded(v, to, mode) for v in b]


def test_widening_is_exact() -> None:
    every = np.arange(2**16, dtype=np.uint16)
    for name, dtype in (("f16", np.float16), ("bf16", ml_dtypes.bfloat16)):
        x = every.view(dtype)
        np.testing.assert_array_equal(apply(f"cvt.f32.{name} %o, %a;", [x], np.float32), x.astype(np.float32))
    single = np.random.default_rng(0).standard_normal(99).astype(np.float32)
    np.testing.assert_array_equal(apply("cvt.f64.f32 %o, %a;", [single], np.float64), single.astype(np.float64))


def test_rounding_in_place_and_saturation() -> None:
    x = np.array([-1.5, 0.5, 1.5, 2.5, -0.2], np.float32)
    for mode, function in {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}.items():
        np.testing.assert_array_equal(apply(f"cvt.{mode}.f32.f32 %o, %a;", [x], np.float32), function(x))
    np.testing.assert_array_equal(apply("cvt.sat.f32.f32 %o, %a;", [x], np.float32), np.clip(x, 0, 1))
    assert apply("cvt.rn.relu.f16.f32 %o, %a;", [x], np.float16).tolist() == [0, 0.5, 1.5, 2.5, 0]
    tiny = np.array([1e-40], np.float32)
    assert apply("cvt.ftz.f64.f32 %o, %a;", [tiny], np.float64)[0] == 0


def test_nan_to_bfloat16() -> None:
    nan = np.array([0xFF800001], np.uint32).view(np.float32)
    assert apply("cvt.rn.bf16.f32 %o, %a;", [nan], np.uint16)[0] == 0x7FFF
