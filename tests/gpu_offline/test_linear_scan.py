"""The shared matrix on the PTX of the Triton kernels, interpreted."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import linear_scan
from tests.matrix import cases, test_transforms, test_values
from tests.matrix.cases import Case, random_array
from tests.matrix.operations import LINEAR_SCAN
from tools.gpu_offline import triton_bridge

CAPABILITIES = [80, 90, 100, 120]
OPERATION = dataclasses.replace(LINEAR_SCAN, native=(*LINEAR_SCAN.native, "triton"))
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
# Too large to interpret, or to no purpose: many lanes are many programs, all the same.
MATRIX = [case for case in cases.ALL if np.prod(case.shape) < 20_000]
# Time cut into chunks, with what crosses their edges; the first two leave a short one.
CHUNKS = [
    Case((200, 9), 0, (200, 9)),
    Case((131, 5), 0, (1, 5), reset="element"),
    Case((3, 128, 4), 1, (3, 1, 4)),
    Case((2, 192, 3), 1, (192, 1), h0=False, reset="step"),
    Case((5, 129), -1, ()),
]


@directions
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_matrix(capability, reverse, dtype):
    """Values and gradients. Each case, dtype and direction is compiled for one capability; each of those sees them all."""
    part = (CAPABILITIES.index(capability) + reverse) % len(CAPABILITIES)
    for case in [*MATRIX[part :: len(CAPABILITIES)], *CHUNKS[part :: len(CAPABILITIES)]]:
        rng = np.random.default_rng(0)
        with test_values._naming(case):
            test_values.check_values(OPERATION, "triton", case, dtype, reverse, rng)
            if 0 not in case.shape:
                test_values.check_gradients(OPERATION, "triton", case, dtype, reverse, rng)


@directions
@pytest.mark.parametrize("dtype", cases.EXACT)
@pytest.mark.parametrize("case", test_transforms.SMALL, ids=str)
def test_second_order_in_both_modes(one_capability, reverse, dtype, case, rng):
    test_transforms.test_second_order_in_both_modes(OPERATION, "triton", reverse, dtype, case, rng)


@directions
def test_vmap_over_each_subset_of_operands(one_capability, reverse, rng):
    test_transforms.test_vmap_over_each_subset_of_operands(OPERATION, "triton", reverse, "float64", "step", rng)


def test_non_finite_values_stay_in_their_lane(one_capability, rng):
    test_values.test_non_finite_values_stay_in_their_lane_and_move_forward_only(OPERATION, "triton", rng)
    for flags in ("step", "element"):
        test_values.test_reset_keeps_a_nan_in_its_own_sequence(OPERATION, "triton", flags, rng)


@directions
def test_a_sequence_cut_anywhere_carries_on(one_capability, reverse, rng):
    test_values.test_a_sequence_cut_anywhere_carries_on(OPERATION, "triton", reverse, rng)


def test_a_long_constant_gate_accumulates_in_high_precision(one_capability, rng):
    case = Case((2_000, 9), 0, (1, 9), h0=False)
    test_values.check_gradients(OPERATION, "triton", case, "float32", False, rng)


@directions
def test_the_tangent_is_one_kernel(one_capability, reverse, rng):
    """As the definition's, in one pass that reads da and h beside dx."""
    a, x, da, dx = (random_array(rng, (23, 70), "complex64") for _ in range(4))
    a = a / 4

    def tangent(implementation):
        def scan(a, x):
            return linear_scan(a, x, reverse=reverse, implementation=implementation)

        return jax.jit(lambda *tangents: jax.jvp(scan, (a, x), tangents)[1])

    np.testing.assert_allclose(tangent("triton")(da, dx), tangent("xla")(da, dx), 1e-4, 1e-4)
    (_, _), (name, report) = triton_bridge.launches_of(tangent("triton"), da, dx)
    assert name == "linear_scan_forward"
    size = x.nbytes
    assert 3.9 * size < report.bytes_loaded < 4.1 * size
    assert report.bytes_stored < 1.1 * size


@pytest.mark.parametrize("a_shape", [(1, 4096), (32, 4096)], ids=["constant", "varying"])
def test_every_operand_is_read_once(one_capability, a_shape, rng):
    """The bytes that kernels really load and store, in whole sectors and wide accesses."""
    a = random_array(rng, a_shape, "complex64") / 4
    x = random_array(rng, (32, 4096), "complex64")

    @jax.jit
    def gradient(a, x, ct):
        return jax.vjp(lambda a, x: linear_scan(a, x, implementation="triton"), a, x)[1](ct)

    (_, forward), (_, backward) = triton_bridge.launches_of(gradient, a, x, x)
    state = x.nbytes // 32
    moved = forward.bytes_loaded + forward.bytes_stored
    assert moved == a.nbytes + 2 * x.nbytes + state, "a, x -> h, final"
    moved_back = backward.bytes_loaded + backward.bytes_stored
    assert moved_back == 2 * a.nbytes + 3 * x.nbytes, "a, h (all but the last step), ct -> da, dx, dh0"
    for report in (forward, backward):
        assert 32 * (report.sectors_loaded + report.sectors_stored) == report.bytes_loaded + report.bytes_stored
        assert min(report.load_widths) >= 8
        assert min(report.store_widths) >= 8


def test_a_gate_shared_by_a_batch_is_summed_in_the_kernel(one_capability, rng):
    """Partial sums over 8 sequences are written, not the gradient of each."""
    a, x = random_array(rng, (16, 256), "float32") / 2, random_array(rng, (16, 16, 256), "float32")
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(linear_scan(a, x, axis=1, implementation="triton") ** 2)))
    _, (_, backward) = triton_bridge.launches_of(gradient, a)
    dx_and_dh0 = x.nbytes + x.nbytes // 16
    assert backward.bytes_stored == dx_and_dh0 + 2 * a.nbytes


def test_lanes_that_add_up_the_same_numbers_agree(one_capability, rng):
    """To the last bit, whichever stores them: the interpreter's race check fails where products are contracted into sums."""
    a, x = random_array(rng, (7, 1), "float64"), random_array(rng, (7, 40), "float64")

    def gradient(a):
        return jax.grad(lambda a: jnp.sum(linear_scan(a, x, implementation="triton") ** 2))(a)

    first, again = jax.jit(gradient)(a), jax.jit(gradient)(a)
    assert np.asarray(first).tobytes() == np.asarray(again).tobytes()
