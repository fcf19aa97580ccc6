"""The shared matrix of the recurrences on the Triton engine of `_triton.lane_kernels`, on its PTX, interpreted."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.matrix import test_transforms, test_values
from tests.matrix.cases import COMPLEX, REAL, Case
from tests.matrix.operations import GATED_SCAN
from tools.gpu_offline import triton_bridge

CAPABILITIES = [80, 90, 100, 120]
DTYPES = REAL + COMPLEX
OPERATIONS = (GATED_SCAN,)
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
# Several segments, the last one short.
SEGMENTS = [Case((70, 5), 0, (70, 5), reset="element"), Case((2, 131), 1, (1, 131), h0=False)]


def cases_of(operation):
    """Those that are not too large to interpret, nor to no purpose: many lanes are many programs, all the same."""
    return [*(case for case in operation.cases if np.prod(case.shape) < 20_000), *SEGMENTS]


def check(operation, case, dtype, reverse):
    rng = np.random.default_rng(0)
    with test_values._naming(case):
        test_values.check_values(operation, "triton", case, dtype, reverse, rng)
        if 0 not in case.shape:
            test_values.check_gradients(operation, "triton", case, dtype, reverse, rng)


@each_operation
def test_matrix(capability, operation):
    """Values and gradients: each case in one dtype and direction, compiled for one capability, which sees all of those."""
    for i, case in enumerate(cases_of(operation)):
        if CAPABILITIES[(i + i // 6) % 4] == capability:
            check(operation, case, DTYPES[i % 6], i % 4 < 2)
