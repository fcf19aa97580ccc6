"""Planted bugs in the Triton kernels: each is caught by the matrix or by a check of the interpreter."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cssm_kernels.linear_scan import triton_kernels
from tests.gpu_offline.mutants import assert_caught, plant
from tests.gpu_offline.test_linear_scan import OPERATION
from tests.matrix import test_values
from tests.matrix.cases import Case
from tools import ptxsim
from tools.gpu_offline import triton_bridge

WIDE = Case((7, 40), 0, (7, 40), reset="element")
SHARED = Case((5, 6, 40), 1, (6, 40))
CHANNELS = Case((3, 9, 50), 1, (3, 9, 1))
CONSTANT = Case((9, 40), 0, (1, 40))
LONG = Case((200, 9), 0, (200, 9))
LONG_RESET = Case((200, 9), 0, (200, 9), reset="element")

# (what is wrong, code, what stands in its place, where it shows)
MUTANTS = [
    ("a lane past the end is not masked", "(column < kept)[None, :]", "(column <= kept)[None, :]", WIDE),
    ("the last lane is masked", "(column < kept)[None, :]", "(column < kept - 1)[None, :]", WIDE),
    ("rows past the end are not masked", "(row < reduced)[:, None]", "(row < reduced + 1)[:, None]", SHARED),
    ("reverse is ignored", "        return STEPS - 1 - step", "        return step", WIDE),
    ("reverse starts one step late", "        return STEPS - 1 - step", "        return STEPS - 2 - step", WIDE),
    ("reset clears the wrong operand", "state = zero_where(flag, state)", "x = zero_where(flag, x)", WIDE),
    (
        "a reset does not cut a chunk's map",
        "a_t = zero_where(is_flagged(reset, t, mask, RESET), a_t)",
        "a_t = a_t",
        LONG_RESET,
    ),
    ("da reads h of its own step", "t = time_of(step - 1, STEPS, REVERSE)", "t = time_of(step, STEPS, REVERSE)", WIDE),
    ("h0 is left out of da", "mask & (step == 0), H0", "mask & (step < 0), H0", WIDE),
    ("dx without what comes from later steps", "g = add(ct_t, c)", "g = ct_t", WIDE),
    (
        "the last step is left out",
        "return 0, STEPS // UNROLL * UNROLL, STEPS",
        "return 0, STEPS // UNROLL * UNROLL, STEPS - 1",
        WIDE,
    ),
    (
        "whole groups run past the end",
        "STEPS // UNROLL * UNROLL, STEPS",
        "(STEPS + UNROLL - 1) // UNROLL * UNROLL, STEPS",
        WIDE,
    ),
    (
        "a constant gate's gradient is not summed over time",
        "total = add(total, convert(da_t, tl.float64))",
        "total = convert(da_t, tl.float64)",
        CONSTANT,
    ),
    (
        "rows count twice",
        "sum_rows(convert(da_t, tl.float64))",
        "sum_rows(add(convert(da_t, tl.float64), convert(da_t, tl.float64)))",
        CHANNELS,
    ),
    (
        "every block of rows writes one partial sum",
        "da += partial.to(tl.int64) * DA_SIZE * PARTS",
        "da += 0",
        Case((40, 3, 130), 1, (3, 130)),
    ),
    (
        "a chunk starts from nothing",
        "CARRIES, PARTS, STATE))\n    return state",
        "CARRIES, PARTS, STATE) if False else state)\n    return state",
        LONG,
    ),
    (
        "a chunk takes the next one's carry",
        "chunk - 1 if FIRST == 0 else chunk + 1",
        "chunk + 1 if FIRST == 0 else chunk - 1",
        LONG,
    ),
    ("a chunk's product is of one step", "turn = multiply(a_t, turn)", "turn = a_t", LONG),
    ("chunks overlap", "end = tl.minimum(begin + CHUNK, STEPS)", "end = tl.minimum(begin + CHUNK + 1, STEPS)", LONG),
    (
        "the adjoint of a chunk skips its first gate",
        "multiply(a_t, add(x_t, state)) if ADJOINT",
        "add(x_t, multiply(a_t, state)) if ADJOINT",
        LONG,
    ),
]


def check(case):
    for reverse in (False, True):
        for what in (test_values.check_values, test_values.check_gradients):
            what(OPERATION, "triton", case, "complex64", reverse, np.random.default_rng(0))


@pytest.mark.parametrize("code, instead, case", [m[1:] for m in MUTANTS], ids=[m[0] for m in MUTANTS])
def test_a_planted_bug_is_caught(one_capability, monkeypatch, tmp_path, code, instead, case):
    plant(monkeypatch, tmp_path, triton_kernels, code, instead)
    with pytest.raises(Exception) as caught:  # noqa: PT011  (a wrong number or any error of the interpreter)
        check(case)
    assert_caught(caught)


def test_the_cases_pass_unharmed(one_capability):
    for case in (WIDE, SHARED, CHANNELS, CONSTANT, LONG, LONG_RESET):
        check(case)


# What Triton puts in itself, taken out of its PTX or changed there.
PTX_MUTANTS = [
    ("no barrier", r"bar\.sync[^;]*;", ""),
    ("half a warp's shuffle", r"(shfl\.sync\.bfly\.b32[^;]*), 16, 31, -1;", r"\1, 16, 31, 65535;"),
    ("lanes further apart", r"(shfl\.sync\.bfly\.b32[^;]*), 8, 31, -1;", r"\1, 4, 31, -1;"),
    ("a store unguarded", r"@%p\d+ (st\.global)", r"\1"),
]


@pytest.mark.parametrize("pattern, instead", [m[1:] for m in PTX_MUTANTS], ids=[m[0] for m in PTX_MUTANTS])
def test_a_bug_in_the_ptx_is_caught(one_capability, monkeypatch, pattern, instead):
    changed = 0

    def parse(ptx):
        nonlocal changed
        ptx, count = re.subn(pattern, instead, ptx)
        changed += count
        return ptxsim.parse(ptx)

    monkeypatch.setattr(triton_bridge, "_modules", {})
    monkeypatch.setattr(triton_bridge, "parse", parse)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        check(CHANNELS)
    assert changed, "the mutant no longer fits the PTX"
    assert_caught(caught)
