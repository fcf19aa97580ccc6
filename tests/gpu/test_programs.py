"""Programs on the GPU: that our kernels are in them, alone, and what comes of exporting, sharding and training with them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.models import SimpleCSSM
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import cssm_kernels
from cssm_kernels import linear_scan, spectral_scan
from tests.gpu import device
from tests.gpu.device import SPECTRAL_BACKWARD, SPECTRAL_FORWARD, TRITON, each_linear, each_spectral, on_cpu
from tests.matrix.cases import Case as LinearCase
from tests.matrix.cases import make_operands as linear_operands
from tests.spectral_scan.cases import Case, call, make_operands, smooth_loss, split_flags

pytestmark = pytest.mark.gpu


def both(function):
    """The result, and its own value pulled back to the operands."""

    def run(*operands):
        out, vjp = jax.vjp(function, *operands)
        return out, vjp(out)

    return run


@each_linear
@pytest.mark.parametrize("a_shape", [(70_000,), (64, 70_000)], ids=["constant", "varying"])
def test_linear_scan_is_one_kernel_each_way(implementation, a_shape):
    a, x = jnp.ones(a_shape, jnp.complex64), jnp.ones((64, 70_000), jnp.complex64)
    scan = lambda a, x: linear_scan(a, x, implementation=implementation)
    assert device.calls_of(scan, a, x) == {TRITON: 1}
    assert device.calls_of(both(scan), a, x) == {TRITON: 2}


@each_spectral
def test_spectral_scan_is_one_kernel_each_way(implementation):
    x, k_hat = jnp.ones((2, 16, 32, 32, 8), jnp.float32), jnp.ones((32, 17, 8), jnp.complex64)
    scan = lambda x, k_hat: spectral_scan(x, k_hat, implementation=implementation)
    assert device.calls_of(scan, x, k_hat) == {SPECTRAL_FORWARD: 1}
    assert device.calls_of(both(scan), x, k_hat) == {SPECTRAL_FORWARD: 1, SPECTRAL_BACKWARD: 1}


def test_a_kernel_adds_no_copies():
    """Temporary memory of forward and backward: a state now and then, not a spectrum of every frame."""
    x, k_hat = jnp.ones((2, 64, 32, 32, 8), jnp.float32), jnp.ones((32, 17, 8), jnp.complex64)
    program = jax.jit(both(spectral_scan)).lower(x, k_hat).compile()
    assert program.memory_analysis().temp_size_in_bytes < x.nbytes


def exported(function, *args):
    """`function` exported for the device, and reloaded."""
    checks = [*cssm_kernels.export_checks(), jax.export.DisabledSafetyCheck.custom_call(TRITON)]
    program = jax.export.export(jax.jit(function), platforms=[device.PLATFORM], disabled_checks=checks)(*args)
    return jax.export.deserialize(program.serialize())


@each_linear
def test_linear_scan_exports(implementation, rng):
    operands = linear_operands(LinearCase((9, 20), 0, (1, 20)), device.LINEAR.gates, "float32", rng)
    loss = lambda o: jnp.sum(device.LINEAR.call(o, implementation=implementation)[0] ** 2)
    run = jax.value_and_grad(loss)
    jax.tree.map(np.testing.assert_array_equal, exported(run, operands).call(operands), jax.jit(run)(operands))


@each_spectral
@pytest.mark.parametrize("last_only", [False, True])
def test_spectral_scan_exports(implementation, last_only, rng):
    operands, flags = split_flags(make_operands(Case((2,), 10, (4, 8, 3), h0=(), reset=()), "float32", rng))
    options = dict(last_only=last_only, implementation=implementation)
    run = jax.value_and_grad(lambda o: smooth_loss(*call({**o, **flags}, **options)))
    jax.tree.map(np.testing.assert_array_equal, exported(run, operands).call(operands), jax.jit(run)(operands))


def test_an_operation_of_another_platform_is_refused():
    x, k_hat = jnp.ones((2, 4, 4, 1), jnp.float32), jnp.ones((4, 3, 1), jnp.complex64)
    with pytest.raises(ValueError, match="implementation is 'cpu'"):
        linear_scan(x, x, implementation="cpu")
    with pytest.raises(ValueError, match="implementation is 'cpu'"):
        spectral_scan(x, k_hat, implementation="cpu")


def test_a_model_trains_as_on_the_cpu(rng):
    """Loss and gradients of a step of SimpleCSSM, in float32 throughout."""
    model = SimpleCSSM(num_classes=2, embed_dim=8, depth=2, cssm_type="no_gate", pos_embed="none", frame_readout="all")
    frames = jnp.asarray(rng.normal(size=(2, 12, 32, 32, 3)), jnp.float32)
    params = model.init(jax.random.key(0), frames)

    def step(params, frames):
        return jax.value_and_grad(lambda p: jnp.mean(jnp.square(model.apply(p, frames))))(params)

    with jax.default_matmul_precision("highest"):
        calls = device.calls_of(step, params, frames)
        actual, expected = jax.jit(step)(params, frames), on_cpu(step, params, frames)
    assert calls == {SPECTRAL_FORWARD: 2, SPECTRAL_BACKWARD: 2}
    for u, v in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        np.testing.assert_allclose(u, v, 1e-3, 1e-4 * np.max(np.abs(v)))


@pytest.fixture
def mesh():
    """All GPUs, of which there have to be several."""
    count = len(jax.devices())
    if count < 2:
        pytest.skip("one GPU; sharding needs two")
    return jax.make_mesh((count,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.parametrize("split", ["batch", "channels"])
@pytest.mark.parametrize("operation", ["linear_scan", "spectral_scan"])
def test_sharded_jit_gathers_nothing(operation, split, mesh, rng):
    """Each device runs kernels of its own; the gradient of what they share is summed over them."""
    n = 2 * mesh.size
    if operation == "linear_scan":
        operands = linear_operands(LinearCase((n, 16, n), 1, (1, 16, n)), device.LINEAR.gates, "float32", rng)
        run_scan = lambda o: device.LINEAR.call(o, axis=1)
    else:
        operands = make_operands(Case((n,), 10, (4, 8, n)), "float32", rng)
        run_scan = call

    def run(operands):
        def loss(operands):
            outs = run_scan(operands)
            return smooth_loss(*outs), outs[0]

        return jax.grad(loss, has_aux=True)(operands)

    def place(value):
        """Split along its first or last dimension, where that is not broadcast."""
        at = 0 if split == "batch" else value.ndim - 1
        batched = value.shape[at] == n and (split == "channels" or value.ndim == operands["x"].ndim)
        return jax.device_put(
            value, NamedSharding(mesh, P(*("d" if d == at and batched else None for d in range(value.ndim))))
        )

    placed = {name: place(value) for name, value in operands.items()}
    compiled = jax.jit(run).lower(placed).compile()
    assert "all-gather" not in compiled.as_text()
    expected = jax.jit(run)(operands)
    for u, v in zip(jax.tree.leaves(compiled(placed)), jax.tree.leaves(expected)):
        np.testing.assert_allclose(u, v, 1e-4, 1e-5 * np.max(np.abs(v)))
