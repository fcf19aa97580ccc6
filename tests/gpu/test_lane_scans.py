"""The shared matrix of the operations of the Triton engine over lanes, on the GPU."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.gpu.device import on_cpu
from tests.matrix import cases, test_transforms, test_values
from tests.matrix.cases import Case, random_array
from tests.matrix.operations import DELTA_SCAN, GATED_SCAN, GOOM_MATRIX_SCAN, GOOM_SCAN, MATRIX_SCAN

pytestmark = pytest.mark.gpu
directions = test_values.directions
each_operation = pytest.mark.parametrize(
    "operation",
    [GATED_SCAN, MATRIX_SCAN, DELTA_SCAN, GOOM_SCAN, GOOM_MATRIX_SCAN],
    ids=lambda operation: operation.name,
)
# More components than the kernels unroll are not theirs.
MOST_COMPONENTS = 4
# More programs than a GPU runs at once, and several segments of time backwards.
LARGE = [Case((60, 20_001), 0, (60, 20_001)), Case((16, 300, 513), 1, (513,))]


def taken(chosen):
    """The cases that are the kernels'."""
    return [case for case in chosen if max(case.sizes, default=1) <= MOST_COMPONENTS]


@each_operation
@directions
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_matrix(operation, reverse, dtype, rng):
    if dtype not in operation.dtypes:
        pytest.skip(f"{operation.name} has no {dtype}")
    for case in taken(operation.cases):
        with test_values._naming(case):
            test_values.check_values(operation, "triton", case, dtype, reverse, rng)
    for case in taken(operation.gradient_cases):
        with test_values._naming(case):
            test_values.check_gradients(operation, "triton", case, dtype, reverse, rng)


@each_operation
def test_non_finite_values_stay_in_their_lane(operation, rng):
    test_values.test_non_finite_values_stay_in_their_lane_and_move_forward_only(operation, "triton", rng)


@each_operation
def test_same_bits_from_run_to_run(operation, rng):
    test_values.test_same_bits_from_run_to_run(operation, "triton", rng)


@each_operation
@directions
def test_second_order_in_both_modes(operation, reverse, rng):
    case = operation.small[-1]
    test_transforms.test_second_order_in_both_modes(operation, "triton", reverse, "complex128", case, rng)


@each_operation
@directions
def test_equals_the_native_cpu_kernel(operation, reverse, rng):
    """Values and gradients at sizes that NumPy would take long for, to what the order of sums may change."""
    for case in LARGE:
        operands = operation.make(case, "float32", rng)

        def run(operands, ct, implementation=None, case=case):
            scan = lambda o: operation.call(o, axis=case.axis, reverse=reverse, implementation=implementation)[0]
            y, vjp = jax.vjp(scan, operands)
            return y, vjp(ct)[0]

        y = jax.eval_shape(lambda o, case=case: operation.call(o, axis=case.axis)[0], operands)
        ct = random_array(rng, y.shape, "float32")
        on_gpu = jax.jit(run)(operands, ct)
        expected = on_cpu(lambda *o, run=run: run(*o, implementation="cpu"), operands, ct)
        for actual, value in zip(jax.tree.leaves(on_gpu), jax.tree.leaves(expected)):
            np.testing.assert_allclose(actual, value, 1e-4, 1e-5 * np.max(np.abs(value)))
