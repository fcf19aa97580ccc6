"""Planted bugs in the Triton engine over lanes, and in its operations' steps: each is caught."""

from __future__ import annotations

import numpy as np
import pytest

from cssm_kernels.delta_scan import triton_kernels as delta
from cssm_kernels.gated_scan import triton_kernels as gated
from cssm_kernels.goom_scan import triton_kernels as goom
from cssm_kernels.matrix_scan import triton_kernels as matrix
from tests.gpu_offline.mutants import assert_caught, plant
from tests.gpu_offline.test_lane_scans import check_range, check_that_no_nan_passes_a_reset
from tests.matrix import test_values
from tests.matrix.cases import Case
from tests.matrix.operations import DELTA_SCAN, GATED_SCAN, GOOM_MATRIX_SCAN, GOOM_SCAN, MATRIX_SCAN

LONG = Case((35, 9), 0, (35, 9), reset="element")
CONSTANT = Case((9, 40), 0, (1, 40))
SHARED = Case((40, 3, 60), 1, (3, 60))
_SUMMED = (("a", (2, 5, 3, 1)), ("b", (1, 4)), ("c", (1, 4)))
STATES = Case((2, 5, 3, 4), 1, (), lanes=_SUMMED, options=(("state_axis", 3),))
REAL_GATE = Case((5, 20), 0, (5, 20), real=("a",))
VECTORS = Case((5, 20), 0, (5, 20), sizes=(3,))
UPPER = Case((5, 20), 0, (5, 20), sizes=(3,), options=(("triangular", "upper"),))
ROWS = Case((5, 9), 0, (5, 9), sizes=(2, 3))
PLAIN = Case((5, 9), 0, (5, 9), sizes=(2, 3), options=(("write_key", "plain"),))
NUMBERS = Case((5, 9), 0, (5, 9), reset="element")
SEVERAL = Case((35, 9), 0, (1, 9))
PAIRS = Case((3, 9), 0, (3, 9))
_ENTERED = "_from_log(logs[i])\n        state = state + ((re,), (im,), (k"
_ENTERS = (_ENTERED, _ENTERED + " + 1")
NAN, RANGE = "NaN", "range"

# what is wrong: (operation, code, what stands in its place, where it shows)
MUTANTS = {
    "a segment starts from nothing": (GATED_SCAN, "_read(starts, segment,", "_read(starts, 0 * segment,", LONG),
    "a checkpoint is a step late": (GATED_SCAN, "segment * PLAN.segment + i", "segment * PLAN.segment + i + 1", LONG),
    "resets are ignored": (GATED_SCAN, "is_flagged(reset, t, mask, PLAN.reset)", "t < 0", LONG),
    "a reset passes a NaN": (GATED_SCAN, "STEP(_cleared(state, is_reset, PLAN.reset)", "STEP(state", NAN),
    "a reset passes a NaN back": (GATED_SCAN, "carry = _cleared(carry, is_reset, PLAN.reset)", "carry = carry", NAN),
    "a constant gate's gradient is not summed over time": (
        *(GATED_SCAN, "total = _added(total, gradient)", "total = _added(_no_totals(spot[4], PLAN)[i], gradient)"),
        CONSTANT,
    ),
    "every block of rows writes one sum": (GATED_SCAN, "LAYOUT.partial * LAYOUT.parts", "0", SHARED),
    "rows count twice": (GATED_SCAN, "convert(number, SUM)", "convert(add(number, number), SUM)", STATES),
    "a real gate's gradient is imaginary": (GATED_SCAN, "return (number[0],)", "return (number[1],)", REAL_GATE),
    "dc is of the state before": (GATED_SCAN, "_step(before, operands, OPTION)[0])", "before[0])", LONG),
    "components lie apart": (
        MATRIX_SCAN,
        "at + i * LAYOUT.spacing, mask",
        "at + 2 * i * LAYOUT.spacing, mask",
        VECTORS,
    ),
    "a matrix is transposed": (MATRIX_SCAN, "A[i * k + j], before[j]", "A[j * k + i], before[j]", VECTORS),
    "the adjoint is not transposed": (MATRIX_SCAN, "A[j * k + i], g[j]", "A[i * k + j], g[j]", VECTORS),
    "structural zeros are read": (MATRIX_SCAN, "triangular is None or (", "True or (", UPPER),
    "the key is not conjugated": (DELTA_SCAN, "    kept_key = _conjugates(k)", "    kept_key = k", ROWS),
    "any write key is conjugated": (DELTA_SCAN, 'WRITE_KEY == "conj"', "True", PLAIN),
    "what is erased has no part in dbeta": (
        DELTA_SCAN,
        "multiply_add(de, p, multiply_add(",
        "add(dbeta, multiply_add(",
        ROWS,
    ),
    "rows share their values": (DELTA_SCAN, "m = multiply(beta[0], v[r])", "m = multiply(beta[0], v[0])", ROWS),
    "an initial state enters too large": (GOOM_SCAN, *_ENTERS, NUMBERS),
    "a number leaves as one": (GOOM_SCAN, "0, LEAVE(state)", "0, state", NUMBERS),
    "a zero keeps its size": (GOOM_SCAN, 'im) == 0, float("-inf"), k)', "im) < 0, 0.0, k)", RANGE),
    "terms are not aligned": (GOOM_SCAN, "tl.where(term[2] == k, 0.0, term[2] - k)", "term[2] - term[2]", NUMBERS),
    "a sum keeps its old size": (GOOM_SCAN, "k + own)", "k)", NUMBERS),
    "a share of the state before": (GOOM_SCAN, "now = _sum(terms)", "now = _component(before, i)", NUMBERS),
    "a sine of the wrong sign": (GOOM_SCAN, "(quarters & 2) << to_sign", "(quarters & 1) << to_sign", NUMBERS),
    "an angle of the wrong half-plane": (GOOM_SCAN, "4.0 - quarters", "2.0 - quarters", NUMBERS),
    "too few iterations": (GOOM_SCAN, "C3, iterations=3", "C3, iterations=1", NUMBERS),
    "a polynomial a term short": (GOOM_SCAN, ", -0.00019503628),", "),", NUMBERS),
    "a later segment enters again": (
        GOOM_SCAN,
        "_read(starts, segment, PLAN.starts",
        "_read(starts, 0, PLAN.starts",
        SEVERAL,
    ),
    "weights are transposed": (GOOM_MATRIX_SCAN, "add(passed[j], weighted)", "add(passed[j], dlog_x[i])", PAIRS),
    "a matrix of logarithms is transposed": (GOOM_MATRIX_SCAN, "log_a[i * rows + j]", "log_a[j * rows + i]", PAIRS),
}
KERNELS = {
    "gated_scan": gated,
    "matrix_scan": matrix,
    "delta_scan": delta,
    "goom_scan": goom,
    "goom_matrix_scan": goom,
}


def check(operation, case):
    if case is NAN:
        return check_that_no_nan_passes_a_reset(operation)
    if case is RANGE:
        return check_range()
    for reverse in (False, True):
        for what in (test_values.check_values, test_values.check_gradients):
            what(operation, "triton", case, "complex64", reverse, np.random.default_rng(0))


@pytest.mark.parametrize("operation, code, instead, case", MUTANTS.values(), ids=MUTANTS)
def test_a_planted_bug_is_caught(one_capability, monkeypatch, tmp_path, operation, code, instead, case):
    plant(monkeypatch, tmp_path, KERNELS[operation.name], code, instead)
    with pytest.raises(Exception) as caught:  # noqa: PT011  (a wrong number or any error of the interpreter)
        check(operation, case)
    assert_caught(caught)


def test_the_cases_pass_unharmed(one_capability):
    for operation, case in {
        (operation.name, case): (operation, case) for operation, *_, case in MUTANTS.values()
    }.values():
        check(operation, case)
