"""The operations of the Triton engine over lanes: the shared matrix on the PTX of their kernels, interpreted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import gated_scan, goom_scan, matrix_scan
from tests.matrix import test_transforms, test_values
from tests.matrix.cases import Case, random_array
from tests.matrix.operations import DELTA_SCAN, GATED_SCAN, GOOM_MATRIX_SCAN, GOOM_SCAN, LINEAR_SCAN, MATRIX_SCAN
from tools.gpu_offline import triton_bridge

CAPABILITIES = [80, 90, 100, 120]
# More components than the kernels unroll are not theirs.
MOST_COMPONENTS = 4
each_operation = pytest.mark.parametrize(
    "operation",
    [GATED_SCAN, MATRIX_SCAN, DELTA_SCAN, GOOM_SCAN, GOOM_MATRIX_SCAN],
    ids=lambda operation: operation.name,
)
# Backwards several segments of time, the last one short.
SEGMENTS = [Case((70, 5), 0, (70, 5), reset="element"), Case((2, 131), 1, (1, 131), h0=False)]
# For the largest kernels, the slowest to compile.
FEWER = {
    "delta_scan": [*DELTA_SCAN.gradient_cases, *SEGMENTS],
    "goom_scan": [*GOOM_SCAN.gradient_cases[::2], *SEGMENTS],
    "goom_matrix_scan": [
        Case((7, 21), 0, (7, 1), sizes=(3,), reset="step"),
        Case((7, 21), 0, (1, 21), h0=False),
        SEGMENTS[0],
    ],
}


def check(operation, case, dtype, reverse):
    rng = np.random.default_rng(0)
    with test_values._naming(case):
        test_values.check_values(operation, "triton", case, dtype, reverse, rng)
        if 0 not in case.shape:
            test_values.check_gradients(operation, "triton", case, dtype, reverse, rng)


@each_operation
def test_matrix(capability, operation):
    """Values and gradients: each case in one dtype and direction, compiled for one capability, which sees all of those."""
    cases = FEWER.get(operation.name, [*operation.cases, *SEGMENTS])
    dtypes = operation.dtypes
    for i, case in enumerate(case for case in cases if max(case.sizes, default=1) <= MOST_COMPONENTS):
        if CAPABILITIES[(i + i // len(dtypes)) % 4] == capability:
            check(operation, case, dtypes[i % len(dtypes)], i % 4 < 2)


@pytest.mark.parametrize(
    "operation", [GATED_SCAN, MATRIX_SCAN, DELTA_SCAN, GOOM_SCAN], ids=lambda operation: operation.name
)
def test_second_order_in_both_modes(one_capability, operation, rng):
    test_transforms.test_second_order_in_both_modes(operation, "triton", False, "complex128", operation.small[-1], rng)


def check_that_no_nan_passes_a_reset(operation):
    """Neither from what comes before it nor, in gradients, from what comes after."""
    rng = np.random.default_rng(0)
    operands = operation.make(Case((12, 9), 0, (12, 9), h0=False), "float32", rng)
    reset = np.zeros((12, 1), bool)
    reset[6] = True
    run = lambda x: operation.call({**operands, operation.main: x, "reset": reset}, implementation="triton")[0]
    x = operands[operation.main]
    y, vjp = jax.vjp(jax.jit(run), x)
    spoilt, ct = x.copy(), np.ones_like(y)
    spoilt[3], ct[8] = np.nan, np.nan
    assert not np.isnan(run(spoilt)[6:]).any(), "NaN where there should be none"
    assert not np.isnan(vjp(ct)[0][:6]).any(), "NaN where there should be none"


@each_operation
def test_no_nan_passes_a_reset(one_capability, operation):
    check_that_no_nan_passes_a_reset(operation)


def check_range():
    """States of 1e-180 to 1e180 in complex64, begun anew from e^-120."""
    steps = np.arange(60)
    log_a = (1j * (steps[:, None] % 3) + np.log([1e3, 1e-3])).astype("complex64")
    log_x = np.full((60, 2), -np.inf, "complex64")
    log_x[0], log_x[40] = 1 - 1j, -120
    a, x = (np.exp(v.astype(complex)) for v in (log_a, log_x))
    expected = LINEAR_SCAN.truth({"a": a, "x": x, "reset": (steps == 40)[:, None]})[0]
    scan = lambda a, x: goom_scan(a, x, reset=steps == 40, implementation="triton")
    actual = np.asarray(jax.jit(scan)(log_a, log_x), complex)
    test_values.assert_within(actual.real, np.log(np.abs(expected)), 2**-16 + 2**-24 * 420)
    test_values.assert_within(np.exp(1j * actual.imag), expected / np.abs(expected), 2**-16)


def test_beyond_the_range_of_numbers(one_capability):
    check_range()


def test_a_gradient_under_vmap(one_capability, rng):
    """The batch, which only some operands have, where the states are summed over."""
    case = Case((5, 3, 4), 0, (5, 1, 4), h0=False, options=(("state_axis", 1),))
    operands = GATED_SCAN.make(case, "float64", rng)

    def gradient(operands, implementation):
        loss = lambda o: jnp.sum(GATED_SCAN.call(o, state_axis=1, implementation=implementation)[0] ** 2)
        return jax.grad(loss)(operands)

    stacked = {**operands, "x": np.stack([operands["x"], 2 * operands["x"]], 2)}
    axes = ({name: 2 if name == "x" else None for name in operands}, None)
    actual = jax.vmap(lambda o, _: gradient(o, "triton"), axes)(stacked, None)
    for i, x in enumerate((operands["x"], 2 * operands["x"])):
        expected = gradient({**operands, "x": x}, "sequential")
        jax.tree.map(lambda u, v, i=i: np.testing.assert_allclose(u[i], v, 1e-12, 1e-12), actual, expected)


def test_forward_reads_every_operand_once_and_writes_no_state(one_capability, rng):
    """The bytes that the kernel really loads and stores, in whole sectors."""
    shape = (32, 4096)
    a, b, c = (random_array(rng, own, "float32") / 2 for own in (shape, (1, 4096), shape))
    x = random_array(rng, shape, "complex64")
    scan = jax.jit(lambda *operands: gated_scan(*operands, implementation="triton"))
    ((name, report),) = triton_bridge.launches_of(scan, a, b, x, c)
    assert name == "gated_scan_forward"
    assert report.bytes_loaded == a.nbytes + b.nbytes + c.nbytes + x.nbytes
    assert report.bytes_stored == x.nbytes + x.nbytes // 32, "y and final"
    assert 32 * (report.sectors_loaded + report.sectors_stored) == report.bytes_loaded + report.bytes_stored


def test_states_are_summed_in_the_kernel(one_capability, rng):
    a, x = (random_array(rng, (2, 20, 64, 1), "float32") / 2 for _ in range(2))
    b, c = (random_array(rng, (2, 20, 1, 16), "float32") for _ in range(2))
    scan = jax.jit(lambda *operands: gated_scan(*operands, axis=1, state_axis=3, implementation="triton"))
    ((_, report),) = triton_bridge.launches_of(scan, a, b, x, c)
    final = 2 * 64 * 16 * 4
    assert report.bytes_stored == x.nbytes + final


def test_gates_shared_alike_are_summed_in_the_kernel(one_capability, rng):
    """Partial sums over 4 sequences at a time are written, not the gradient of each lane; those of a constant gate once."""
    a, b = random_array(rng, (16, 256), "float32") / 2, random_array(rng, (1, 256), "float32")
    x = random_array(rng, (16, 16, 256), "float32")

    def gradient(a, b):
        loss = lambda a, b: jnp.sum(gated_scan(a, b, x, axis=1, implementation="triton") ** 2)
        return jax.grad(loss, (0, 1))(a, b)

    _, (name, report) = triton_bridge.launches_of(jax.jit(gradient), a, b)
    assert name == "gated_scan_vjp"
    states = x.nbytes
    assert report.bytes_stored - states == 4 * (a.nbytes + b.nbytes), "partial sums of 4 rows each"


def test_backward_keeps_the_states_of_one_segment(one_capability, rng):
    """Of 256 steps 16, and the 16 states that segments start from."""
    operands = GATED_SCAN.make(Case((256, 64), 0, (1, 64), h0=False), "float32", rng)
    loss = lambda operands: jnp.sum(GATED_SCAN.call(operands, implementation="triton")[0] ** 2)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), operands)
    text = jax.jit(jax.grad(loss)).trace(shapes).lower(lowering_platforms=("cuda",)).as_text()
    assert "tensor<16x64xf32>" in text
    assert "tensor<256x64xf32>" in text, "x"
    launches = [name for name, _ in triton_bridge.launches_of(jax.jit(jax.grad(loss)), operands)]
    assert launches == ["gated_scan_forward", "gated_scan_checkpoints", "gated_scan_vjp"]
    # Threads of a block exchange states through global memory, in which the interpreter checks other blocks alone.
    (*_, (backward, _)) = triton_bridge._launches
    assert backward.ptx.count("bar.sync") == 2, "before states are read, and before they are written again"


def test_more_components_than_are_unrolled(one_capability, rng):
    """By name they raise; by default a program for CUDA is XLA's."""
    A, x = random_array(rng, (6, 5, 5), "float32"), random_array(rng, (6, 5), "float32")
    with pytest.raises(
        ValueError, match=r"implementation is 'triton', but matrix_scan .* does not take these operands"
    ):
        jax.jit(lambda A, x: matrix_scan(A, x, implementation="triton"))(A, x)
    assert "custom_call" not in jax.jit(matrix_scan).trace(A, x).lower(lowering_platforms=("cuda",)).as_text()
