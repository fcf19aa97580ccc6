"""The shared matrix of linear_scan on the GPU, and what only a GPU has: chunks of time, many waves of programs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import linear_scan
from tests.gpu.device import LINEAR, each_linear, memory_bytes, on_cpu
from tests.matrix import cases, test_transforms, test_values
from tests.matrix.cases import Case, make_operands, random_array

pytestmark = pytest.mark.gpu
directions = test_values.directions
# So few lanes that time is cut into chunks, with what crosses their edges; the first two leave a short one.
CHUNKS = [
    Case((200, 9), 0, (200, 9)),
    Case((131, 5), 0, (1, 5), reset="element"),
    Case((3, 128, 4), 1, (3, 1, 4)),
    Case((2, 192, 3), 1, (192, 1), h0=False, reset="step"),
    Case((5, 129), -1, ()),
    Case((7, 3000), 1, (7, 3000), reset="step"),
]
# More programs than a GPU runs at once.
LARGE = [Case((60, 70_001), 0, (60, 70_001)), Case((16, 300, 513), 1, (513,)), Case((40, 33, 1025), 1, (40, 1, 1))]


@each_linear
@directions
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_matrix(implementation, reverse, dtype, rng):
    test_values.test_values(LINEAR, implementation, reverse, dtype, rng)
    test_values.test_gradients(LINEAR, implementation, reverse, dtype, rng)


@directions
@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16"])
def test_chunks_of_time_and_many_programs(reverse, dtype, rng):
    for case in CHUNKS + LARGE:
        with test_values._naming(case):
            test_values.check_values(LINEAR, "triton", case, dtype, reverse, rng)
            test_values.check_gradients(LINEAR, "triton", case, dtype, reverse, rng)


@directions
def test_long_constant_gate_accumulates_in_high_precision(reverse, rng):
    test_values.check_gradients(LINEAR, "triton", Case((20_000, 9), 0, (1, 9), h0=False), "float32", reverse, rng)


@each_linear
def test_non_finite_values_stay_in_their_lane(implementation, rng):
    test_values.test_non_finite_values_stay_in_their_lane_and_move_forward_only(LINEAR, implementation, rng)
    for flags in ("step", "element"):
        test_values.test_reset_keeps_a_nan_in_its_own_sequence(LINEAR, implementation, flags, rng)


@each_linear
def test_same_bits_from_run_to_run(implementation, rng):
    test_values.test_same_bits_from_run_to_run(LINEAR, implementation, rng)


@each_linear
@directions
def test_a_sequence_cut_anywhere_carries_on(implementation, reverse, rng):
    test_values.test_a_sequence_cut_anywhere_carries_on(LINEAR, implementation, reverse, rng)


@each_linear
@directions
@pytest.mark.parametrize("dtype", cases.EXACT)
@pytest.mark.parametrize("case", test_transforms.SMALL, ids=str)
def test_second_order_in_both_modes(implementation, reverse, dtype, case, rng):
    test_transforms.test_second_order_in_both_modes(LINEAR, implementation, reverse, dtype, case, rng)


@each_linear
def test_third_order(implementation, rng):
    test_transforms.test_third_order(LINEAR, implementation, rng)


@each_linear
@directions
@pytest.mark.parametrize("reset", ["", "step"])
def test_vmap(implementation, reverse, reset, rng):
    test_transforms.test_vmap_over_each_subset_of_operands(LINEAR, implementation, reverse, "float64", reset, rng)
    test_transforms.test_vmap_over_reset_and_nested_vmap(LINEAR, implementation, rng)


@each_linear
@directions
def test_linear_transpose_remat_and_hessian(implementation, reverse, rng):
    test_transforms.test_linear_transpose_remat_and_hessian(LINEAR, implementation, reverse, rng)


@directions
def test_equals_the_native_cpu_kernel(reverse, rng):
    """Values and gradients at sizes that NumPy would take long for, to what the order of sums may change."""
    for case in LARGE:
        operands = make_operands(case, LINEAR.gates, "float32", rng)
        ct = random_array(rng, case.shape, "float32")

        def run(operands, ct, implementation=None, case=case):
            scan = lambda o: LINEAR.call(o, axis=case.axis, reverse=reverse, implementation=implementation)[0]
            h, vjp = jax.vjp(scan, operands)
            return h, vjp(ct)[0]

        on_gpu = jax.jit(run)(operands, ct)
        expected = on_cpu(lambda *o: run(*o, implementation="cpu"), operands, ct)
        for actual, value in zip(jax.tree.leaves(on_gpu), jax.tree.leaves(expected)):
            np.testing.assert_allclose(actual, value, 1e-4, 1e-5 * np.max(np.abs(value)))


def test_more_than_two_to_the_31_elements():
    """Offsets of 32 bits would wrap."""
    lanes = 2**30 + 64
    if memory_bytes() < 16 * 2**30:
        pytest.skip(f"the GPU has {memory_bytes() / 2**30:.0f} GiB; 16 are needed")
    a, x = jnp.asarray([[1], [3]], jnp.bfloat16), jnp.ones((1, lanes), jnp.bfloat16)
    out = linear_scan(a, x, implementation="triton")
    assert out.shape == (2, lanes)
    for part in (out[:, :4096], out[:, -4096:]):
        np.testing.assert_array_equal(part.astype("float32"), [[1] * 4096, [4] * 4096])
