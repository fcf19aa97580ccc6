"""Floating-point instructions against exact rational arithmetic, rounded once."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu_offline.ptxsim.exact import BF16, F16, F32, F64, Format, rounded
from tests.gpu_offline.ptxsim.harness import apply

COUNT = 24
FORMATS: dict[str, tuple[Format, np.dtype]] = {
    "f16": (F16, np.dtype(np.float16)),
    "bf16": (BF16, np.dtype(ml_dtypes.bfloat16)),
    "f32": (F32, np.dtype(np.float32)),
    "f64": (F64, np.dtype(np.float64)),
}


def columns(type_: str, count: int) -> st.SearchStrategy[list[np.ndarray]]:
    """Finite numbers: of any bits, or near 1, where sums cancel and ties are common."""
    dtype = FORMATS[type_][1]
    width = 8 * dtype.itemsize
    anything = st.integers(0, 2**width - 1).map(lambda b: np.array(b, f"u{dtype.itemsize}").view(dtype)[()])
    near_one = st.integers(-4096, 4096).map(lambda n: np.float64(n / 64).astype(dtype))
    precise = st.floats(-4, 4).map(lambda x: np.float64(x).astype(dtype))
    number = st.one_of(anything, near_one, precise).filter(lambda x: math.isfinite(float(x)))
    column = st.lists(number, min_size=COUNT, max_size=COUNT).map(lambda xs: np.array(xs, dtype))
    return st.tuples(*[column] * count).map(list)


def same(got: np.ndarray, want: list[float]) -> None:
    """Equal values; of a zero result only the value."""
    np.testing.assert_array_equal(got.astype(np.float64), np.array(want))


def check(name: str, type_: str, arrays: list[np.ndarray], truth, mode: str = "rn") -> None:
    format_, dtype = FORMATS[type_]
    letters = ", ".join(f"%{letter}" for letter in "abc"[: len(arrays)])
    got = apply(f"{name}.{type_} %o, {letters};", arrays, dtype)
    rows = [[Fraction(float(x)) for x in row] for row in zip(*arrays)]
    same(got, [rounded(truth(*row), format_, mode) for row in rows])


OPERATIONS = {
    "add": (2, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b),
    "fma": (3, lambda a, b, c: a * b + c),
}


@pytest.mark.parametrize("type_", FORMATS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_rounded_to_nearest(name: str, type_: str) -> None:
    count, truth = OPERATIONS[name]

    @settings(max_examples=30 if name == "fma" else 8, deadline=None)
    @given(columns(type_, count))
    def property_(arrays: list[np.ndarray]) -> None:
        check(f"{name}.rn", type_, arrays, truth)

    property_()


@pytest.mark.parametrize("mode", ["rz", "rm", "rp"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_directed_rounding(name: str, mode: str) -> None:
    count, truth = OPERATIONS[name]

    @settings(max_examples=8, deadline=None)
    @given(columns("f32", count))
    def property_(arrays: list[np.ndarray]) -> None:
        check(f"{name}.{mode}", "f32", arrays, truth, mode)

    property_()


@pytest.mark.parametrize(("type_", "mode"), [("f64", "rn"), ("f32", "rn"), ("f32", "rz"), ("f32", "rp")])
def test_division(type_: str, mode: str) -> None:

    @settings(max_examples=8, deadline=None)
    @given(columns(type_, 2))
    def property_(arrays: list[np.ndarray]) -> None:
        arrays[1][arrays[1] == 0] = 3
        check(f"div.{mode}", type_, arrays, lambda a, b: a / b, mode)

    property_()


ULP = 2.0**-23


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (2.0**-12 * (1 + ULP), 2.0**-12 * (1 - ULP), 1 + ULP),
        (-(2.0**-12) * (1 + ULP), 2.0**-12 * (1 - ULP), -1 - ULP),
        (2.0**-75 * (1 + ULP), 2.0**-75 * (1 - ULP), 2.0**-127 + 2.0**-149),  # a subnormal: its last digit is elsewhere
    ],
)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    """A sum a little less than a tie of float32, which float64 would round to the tie, and float32 from there away."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert float(exact) != exact
    assert rounded(exact, F32) == c != float(np.float32(float(exact)))
    arrays = [np.array([x], np.float32) for x in (a, b, c)]
    assert apply("fma.rn.f32 %o, %a, %b, %c;", arrays, np.float32)[0] == c


def test_fma64_at_the_ends_of_the_range() -> None:
    rows = [
        (2.0**600, 2.0**600, 1.0),
        (2.0**-600, 2.0**-500, 5e-324),
        (1e308, 10.0, -math.inf),
        (2.0**1000, 4.0, -(2.0**1001)),
    ]
    arrays = [np.array(column) for column in zip(*rows)]
    got = apply("fma.rn.f64 %o, %a, %b, %c;", arrays, np.float64)
    assert got.tolist() == [math.inf, 5e-324, -math.inf, 2.0**1001]


def test_packed() -> None:
    rng = np.random.default_rng(5)
    for name, dtype, width in (("f16x2", np.float16, 4), ("bf16x2", ml_dtypes.bfloat16, 4), ("f32x2", np.float32, 8)):
        a, b, c = (rng.standard_normal(64).astype(dtype) for _ in range(3))
        words = [x.view(f"u{width}") for x in (a, b, c)]
        total = apply(f"add.rn.{name} %o, %a, %b;", words, f"u{width}").view(dtype)
        np.testing.assert_array_equal(total, (a.astype(np.float64) + b.astype(np.float64)).astype(dtype))
        fused = apply(f"fma.rn.{name} %o, %a, %b, %c;", words, f"u{width}").view(dtype)
        exact = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
        np.testing.assert_allclose(fused.astype(np.float64), exact, rtol=2.0**-8 if width == 4 else 1e-7, atol=1e-3)


@pytest.mark.parametrize("type_", ["f16", "bf16"])
def test_mixed_precision(type_: str) -> None:
    rng = np.random.default_rng(6)
    a, b = (rng.standard_normal(64).astype(FORMATS[type_][1]) for _ in range(2))
    c = rng.standard_normal(64).astype(np.float32)
    wide = [x.astype(np.float64) for x in (a, b, c)]
    for name, arrays, truth in (
        ("add", [a, c], wide[0] + wide[2]),
        ("sub", [a, c], wide[0] - wide[2]),
        ("fma", [a, b, c], wide[0] * wide[1] + wide[2]),
    ):
        letters = ", ".join(f"%{letter}" for letter in "abc"[: len(arrays)])
        got = apply(f"{name}.rn.f32.{type_} %o, {letters};", arrays, np.float32)
        np.testing.assert_allclose(got, truth, 2.0**-24, 1e-12)


def test_packed_under_a_mask() -> None:
    a = np.arange(8, dtype=np.float32).view(np.uint64)
    p = np.array([True, False, True, False])
    got = apply("mov.b64 %o, %a; @%b add.f32x2 %o, %o, %o;", [a, p], np.uint64).view(np.float32)
    assert got.tolist() == [0, 2, 2, 3, 8, 10, 6, 7]


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5], np.float32)


def test_extrema() -> None:
    a, b = (x.ravel().copy() for x in np.meshgrid(SPECIAL, SPECIAL))
    least, most = (apply(f"{name}.f32 %o, %a, %b;", [a, b], np.float32) for name in ("min", "max"))
    for x, y, low, high in zip(a, b, least, most):
        if np.isnan(x) or np.isnan(y):
            other = y if np.isnan(x) else x
            assert np.isnan(low) == np.isnan(other)
            assert np.isnan(other) or low == high == other
        else:
            ordered = sorted([x, y], key=lambda v: (v, math.copysign(1, v)))
            assert (low, math.copysign(1, low)) == (ordered[0], math.copysign(1, ordered[0]))
            assert (high, math.copysign(1, high)) == (ordered[1], math.copysign(1, ordered[1]))
    poisoned = apply("min.NaN.f32 %o, %a, %b;", [a, b], np.float32)
    np.testing.assert_array_equal(np.isnan(poisoned), np.isnan(a) | np.isnan(b))


def test_sign_bit() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        x = SPECIAL.astype(dtype)
        name, bits = f"f{8 * x.itemsize}", f"u{x.itemsize}"
        np.testing.assert_array_equal(apply(f"neg.{name} %o, %a;", [x], dtype).view(bits), (-x).view(bits))
        np.testing.assert_array_equal(apply(f"abs.{name} %o, %a;", [x], dtype), np.abs(x))
    y = SPECIAL[::-1].copy()
    got = apply("copysign.f32 %o, %a, %b;", [SPECIAL, y], np.float32)
    np.testing.assert_array_equal(got, np.copysign(y, SPECIAL))


def test_flush_and_saturate() -> None:
    tiny = np.array([1e-40, -1e-40, 2e-38], np.float32)
    one = np.ones(3, np.float32)
    assert apply("mul.rn.ftz.f32 %o, %a, %b;", [tiny, one], np.float32).tolist() == [0, 0, np.float32(2e-38)]
    assert apply("mul.rn.f32 %o, %a, %b;", [tiny, one], np.float32).tolist() == tiny.tolist()
    halves = np.array([2e-38], np.float32)
    assert apply("mul.ftz.f32 %o, %a, 0f3F000000;", [halves], np.float32)[0] == 0  # a subnormal result
    x = np.array([-1, 0.25, 3, np.nan], np.float32)
    assert apply("add.sat.f32 %o, %a, 0f00000000;", [x], np.float32).tolist() == [0, 0.25, 1, 0]


@pytest.mark.parametrize("type_", ["f16", "bf16", "f32", "f64"])
def test_comparisons(type_: str) -> None:
    dtype = FORMATS[type_][1]
    a, b = (x.ravel().copy() for x in np.meshgrid(SPECIAL, SPECIAL))
    x, y = a.astype(dtype), b.astype(dtype)
    unordered = np.isnan(a) | np.isnan(b)
    ordered = {"eq": a == b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b, "ne": (a != b) & ~unordered}
    for name, truth in ordered.items():
        np.testing.assert_array_equal(apply(f"setp.{name}.{type_} %o, %a, %b;", [x, y], bool), truth)
        got = apply(f"setp.{name}u.{type_} %o, %a, %b;", [x, y], bool)
        np.testing.assert_array_equal(got, truth | unordered)
    np.testing.assert_array_equal(apply(f"setp.nan.{type_} %o, %a, %b;", [x, y], bool), unordered)
    np.testing.assert_array_equal(apply(f"setp.num.{type_} %o, %a, %b;", [x, y], bool), ~unordered)


def test_class_of_a_number() -> None:
    x = np.array([np.nan, np.inf, 1.0, 1e-40, 0.0], np.float32)
    expected = {
        "finite": [False, False, True, True, True],
        "infinite": [False, True, False, False, False],
        "number": [False, True, True, True, True],
        "notanumber": [True, False, False, False, False],
        "normal": [False, False, True, False, False],
        "subnormal": [False, False, False, True, False],
    }
    for name, truth in expected.items():
        assert apply(f"testp.{name}.f32 %o, %a;", [x], bool).tolist() == truth


@pytest.mark.parametrize(
    ("instruction", "truth"),
    [
        ("ex2.approx.f32", np.exp2),
        ("ex2.approx.ftz.f32", np.exp2),
        ("lg2.approx.f32", np.log2),
        ("sin.approx.f32", np.sin),
        ("cos.approx.f32", np.cos),
        ("tanh.approx.f32", np.tanh),
        ("sqrt.rn.f32", np.sqrt),
        ("sqrt.approx.f32", np.sqrt),
        ("rsqrt.approx.f32", lambda x: 1 / np.sqrt(x)),
        ("rcp.rn.f32", lambda x: 1 / x),
        ("sqrt.rn.f64", np.sqrt),
        ("rcp.rn.f64", lambda x: 1 / x),
        ("ex2.approx.f16", np.exp2),
    ],
)
def test_functions(instruction: str, truth) -> None:
    dtype = np.dtype(f"float{instruction.rpartition('.f')[2]}")
    x = np.random.default_rng(3).uniform(0.01, 9, 64).astype(dtype)
    want = truth(x.astype(np.float64)).astype(dtype)
    np.testing.assert_array_equal(apply(f"{instruction} %o, %a;", [x], dtype), want)


def test_approximate_division() -> None:
    a, b = np.random.default_rng(4).standard_normal((2, 64)).astype(np.float32)
    for name in ("div.approx", "div.full", "div.rn", "div.approx.ftz"):
        np.testing.assert_array_equal(apply(f"{name}.f32 %o, %a, %b;", [a, b], np.float32), a / b)


def test_literals() -> None:
    a = np.array([1.0], np.float32)
    assert apply("add.f32 %o, %a, 0f40000000;", [a], np.float32)[0] == 3
    assert apply("add.f64 %o, %a, 0d4000000000000000;", [a.astype(np.float64)], np.float64)[0] == 3
    assert apply("add.f32 %o, %a, 2.5;", [a], np.float32)[0] == 3.5
    assert apply("mov.b32 %o, 0f7FC00123;", [a], np.uint32)[0] == 0x7FC00123
    assert (
        apply("mov.u32 %o, 0x1F; add.u32 %o, %o, 010; add.u32 %o, %o, 0b11; add.u32 %o, %o, 5U;", [a], np.uint32)[0]
        == 47
    )
