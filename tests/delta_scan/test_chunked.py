"""delta_scan by chunks: what differs from the forms that go step by step, and where it is the default."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels.delta_scan import chunked
from tests.matrix import test_values
from tests.matrix.cases import Case, random_array
from tests.matrix.operations import OPERATIONS
from tests.matrix.test_sharding import mesh

DELTA_SCAN = next(operation for operation in OPERATIONS if operation.name == "delta_scan")


@pytest.fixture
def short_chunks(monkeypatch):
    """Of 4 steps, two beside each other where there are 3 lanes."""
    monkeypatch.setattr(chunked, "_MOST_STEPS", 4)
    monkeypatch.setattr(chunked, "_MATRIX_ELEMENTS", 4 * 4 * 3 * 2)


@pytest.mark.parametrize(
    "case, dtype, reverse",
    [
        (Case((3, 21), 1, (21,), reset="element", lanes=(("k", (3, 21)), ("q", (21,)))), "complex64", True),
        (Case((18, 3), 0, (1, 3), magnitude="zero", sizes=(2, 2)), "bfloat16", False),
        (Case((9, 3), 0, (9, 1), options=(("write_key", "plain"),), real=("a",), h0=False), "complex128", False),
        (Case((5, 0), 0, (5, 1), sizes=(2, 2)), "float32", False),
    ],
    ids=str,
)
def test_is_within_the_bounds_of_going_step_by_step(case, dtype, reverse, rng, short_chunks):
    """Tails, groups of chunks, resets, decays of zero, broadcast operands."""
    test_values.check_values(DELTA_SCAN, "chunked", case, dtype, reverse, rng)
    if 0 not in case.shape:
        test_values.check_gradients(DELTA_SCAN, "chunked", case, dtype, reverse, rng)


def test_whole_chunks(rng):
    """Decays of modulus one over two chunks of the size that runs, and a tail."""
    case = Case((150, 2), 0, (150, 2), magnitude="one", sizes=(4, 3))
    test_values.check_values(DELTA_SCAN, "chunked", case, "float32", False, rng)


def test_second_order(rng, monkeypatch):
    """A product with the Hessian, forward over reverse."""
    monkeypatch.setattr(chunked, "_MOST_STEPS", 2)
    operands = DELTA_SCAN.make(Case((3, 2), 0, (3, 2), sizes=(2, 1)), "float64", rng)
    tangents = jax.tree.map(lambda x: random_array(rng, x.shape, "float64"), operands)

    def product(implementation):
        loss = lambda o: sum(jnp.sum(out**3) for out in DELTA_SCAN.call(o, implementation=implementation))
        return jax.jit(lambda o, t: jax.jvp(jax.grad(loss), (o,), (t,)))(operands, tangents)

    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-9, 1e-12), product("chunked"), product("sequential"))


def test_backward_keeps_no_matrices_of_chunks(rng):
    """From forward to backward there are the operands, and few states: nothing of the size of 64 x 64 a chunk."""
    operands = DELTA_SCAN.make(Case((4096, 8), 0, (4096, 8), sizes=(2, 2), h0=False), "float32", rng)
    call = lambda o: DELTA_SCAN.call(o, implementation="chunked")
    kept = jax.tree.leaves(jax.eval_shape(lambda o: jax.vjp(call, o)[1], operands))
    size = lambda leaves: sum(x.size for x in leaves)
    assert size(kept) < 1.5 * size(jax.tree.leaves(operands))


def few_heads(rng, steps=256, heads=4, d_k=32, d_v=32, dtype="float32"):
    vectors = {name: random_array(rng, (steps, heads, d), dtype) for name, d in (("k", d_k), ("v", d_v), ("q", d_k))}
    return dict(a=np.full(heads, 0.9, np.float32), beta=np.full(heads, 0.5, np.float32)) | vectors


@pytest.mark.parametrize(
    "differs, by_chunks",
    [
        ({}, True),
        (dict(steps=255), False),
        (dict(heads=5), False),
        (dict(d_v=31), False),
        (dict(d_k=512, d_v=2), True),
        (dict(dtype="complex64"), False),
    ],
    ids=str,
)
def test_is_the_default_for_few_lanes_of_large_states(differs, by_chunks, rng):
    """In values and gradients; never where another is named, or sequences must be kept apart."""
    operands = few_heads(rng, **differs)

    def uses_native_kernel(**options):
        run = lambda o: jnp.sum(jnp.abs(cssm_kernels.delta_scan(**o, **options)))
        return "cssm_lane_scan" in jax.jit(jax.value_and_grad(run)).lower(operands).as_text()

    assert uses_native_kernel() != by_chunks
    if not differs:
        assert uses_native_kernel(implementation="cpu")
        assert uses_native_kernel(reset=np.zeros(256, bool))


def test_default_is_right_under_shard_map(rng):
    """Where a state of zeros would not vary over the mesh axis that the operands do."""
    operands = few_heads(rng)
    operands["k"] /= np.linalg.norm(operands["k"], axis=-1, keepdims=True)
    device_mesh = mesh(2)
    spec = jax.sharding.PartitionSpec(None, "d")
    specs = {name: spec if value.ndim > 1 else jax.sharding.PartitionSpec("d") for name, value in operands.items()}
    run = jax.shard_map(lambda o: cssm_kernels.delta_scan(**o), mesh=device_mesh, in_specs=(specs,), out_specs=spec)
    expected = cssm_kernels.delta_scan(**operands, implementation="cpu")
    np.testing.assert_allclose(jax.jit(run)(operands), expected, 1e-4, 1e-4)
