"""Whole programs for platforms that are not here: exported, and compiled by XLA for GPUs."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cssm.models import SimpleCSSM

import cssm_kernels
from benchmarks.gpu_report.deviceless import compile_for
from benchmarks.gpu_report.targets import B200, H100
from cssm_kernels import linear_scan

pytestmark = pytest.mark.usefixtures("optimised")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def training_step():
    """(a jitted step of SimpleCSSM, its arguments)"""
    model = SimpleCSSM(embed_dim=8, cssm_type="no_gate", kernel_size=5, pos_embed="none")
    frames = jnp.zeros((2, 4, 32, 32, 3), jnp.float32)
    labels = jnp.zeros((2,), jnp.int32)
    params = model.init(jax.random.key(0), frames)
    optimizer = optax.adamw(1e-3)
    state, structure = jax.tree.flatten(optimizer.init(params))  # leaves: exported programs know no types of optax

    @jax.jit
    def step(params, state, frames, labels):
        def loss(params):
            logits = model.apply(params, frames)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, new = optimizer.update(grads, jax.tree.unflatten(structure, state), params)
        return optax.apply_updates(params, updates), jax.tree.leaves(new), value

    return step, (params, state, frames, labels)


@pytest.fixture
def capability_90(monkeypatch):
    monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", "90")
    jax.clear_caches()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_training_step_exports(capability_90, platform):
    """With custom calls where there are kernels, and none where there are not."""
    step, arguments = training_step()
    exported = jax.export.export(step, platforms=[platform], disabled_checks=cssm_kernels.export_checks())(*arguments)
    calls = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    ours = {name for name in calls if "cssm" in name or "triton" in name}
    reloaded = jax.export.deserialize(exported.serialize())
    assert reloaded.platforms == (platform,)
    if platform == "cpu":
        assert {"cssm_spectral_scan_forward", "cssm_spectral_scan_backward"} <= ours
        actual = jax.tree.leaves(reloaded.call(*arguments))
        for value, expected in zip(actual, jax.tree.leaves(step(*arguments)), strict=True):
            np.testing.assert_allclose(value, expected, 1e-6, 1e-6)
    elif platform == "cuda":
        assert ours, "no kernel of ours"
        assert not any(name.startswith("cssm_spectral_scan") for name in ours), "a CPU kernel on a GPU"
    else:
        assert not ours


@pytest.mark.parametrize("platform", ["rocm", "tpu"])
def test_triton_by_name_is_refused_elsewhere(capability_90, platform):
    scan = jax.jit(lambda a, x: linear_scan(a, x, implementation="triton"))
    x = jnp.ones((3, 4))
    with pytest.raises(ValueError, match="implementation is 'triton', but linear_scan is being compiled for"):
        jax.export.export(scan, platforms=[platform])(x, x)


@pytest.mark.parametrize("gpu", [H100, B200], ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("a_shape", [(65_536,), (1024, 65_536)], ids=["constant", "varying"])
def test_linear_scan_compiles_to_its_kernels_alone(monkeypatch, gpu, a_shape):
    monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", str(gpu.capability))
    jax.clear_caches()
    a, x = jax.ShapeDtypeStruct(a_shape, jnp.complex64), jax.ShapeDtypeStruct((1024, 65_536), jnp.complex64)
    forward = compile_for(gpu, linear_scan, [a, x])
    assert forward.kernels == {"triton_kernel_call": 1}
    state = 65_536 * 8
    assert forward.temp_bytes <= 1.01 * state, "the final state, which is not asked for"

    def both(a, x, ct):
        h, vjp = jax.vjp(linear_scan, a, x)
        return h, vjp(ct)

    gradient = compile_for(gpu, both, [a, x, x])
    assert gradient.kernels == {"triton_kernel_call": 2}
    assert gradient.temp_bytes <= 1.01 * state
