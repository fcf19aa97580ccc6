"""FLOPs and bytes: by hand, against the operations step by step, against XLA, and of every key."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import pytest
from cssm import MIXERS
from cssm.describe.stages import Cost, costs
from cssm.describe.subject import layer, model

import cssm_kernels


def costs_of(subject):
    return costs(subject.apply, subject.variables, subject.x, root=type(subject.module).__name__)


def test_by_hand():
    """No_gate at B 2, 4 x 4, C 2, whose half-spectra have 24 entries. A transform of 16 real points is 160 FLOPs."""
    found = costs_of(layer("no_gate", (2, 1, 4, 4, 2), {"kernel_size": 4}))
    spectrum, frames, weights = 24 * 8, 64 * 4, 4 * 4  # bytes
    assert not found.not_counted
    # rho z, |z|, 1 + |z| and their quotient.
    assert found.stages["transition"].flops == 2 * 160 + (6 + 4 + 1 + 11) * 24
    # Four transforms each way, and 8 FLOPs an entry and step; the product, the bias, and the frames taken away. k_hat,
    # which is given a dimension, x, the matrix, the bias, y and the final states are what the operation reads and writes.
    assert found.stages["out_proj/projected_scan"] == Cost(
        8 * 160 + 8 * 2 * 24 + 64 * 2 * 2 + 2 * 64, 3 * spectrum + 2 * frames + weights + 8
    )
    assert found.total == tuple(map(sum, zip(*found.stages.values())))


def spec(*shape, dtype=jnp.complex64):
    return jax.ShapeDtypeStruct(shape, dtype)


REAL = functools.partial(spec, dtype=jnp.float32)
# Operation, operands, params, the implementation that writes it out, and the FLOPs of the `0 +` its sums begin with.
OPERATIONS = {
    "linear_scan": (cssm_kernels.linear_scan, [spec(4, 5)] * 2, {}, "sequential", 0),
    "gated_scan": (cssm_kernels.gated_scan, [spec(4, 5)] * 4, {}, "sequential", 0),
    "gated_scan of states": (cssm_kernels.gated_scan, [REAL(4, 5, 3)] * 4, {"state_axis": 2}, "sequential", 0),
    "matrix_scan": (cssm_kernels.matrix_scan, [spec(4, 5, 3, 3), spec(4, 5, 3)], {}, "sequential", 2 * 60),
    "coupled_scan": (cssm_kernels.coupled_scan, [REAL(4, 5, 3, 3)] * 2 + [REAL(4, 5, 3)] * 3, {}, "sequential", 60),
    "delta_scan": (cssm_kernels.delta_scan, [spec(4, 5)] * 2 + [spec(4, 5, 3)] * 3, {}, "sequential", 2 * 120),
    "spectral_scan": (cssm_kernels.spectral_scan, [REAL(4, 4, 8, 5), spec(4, 5, 5)], {}, "unfused", 0),
    "projected_scan": (
        cssm_kernels.projected_scan,
        [REAL(4, 4, 8, 5), spec(4, 5, 5), REAL(5, 5), REAL(5)],
        {"minus_x": True},
        "unfused",
        0,
    ),
    "rfft2_cl": (cssm_kernels.rfft2_cl, [REAL(4, 4, 8, 5)], {}, "xla", 0),
    "dense": (cssm_kernels.dense, [REAL(4, 5), REAL(5, 3), REAL(3)], {}, "xla", 0),
    "depthwise_conv": (cssm_kernels.depthwise_conv, [REAL(4, 5, 6, 3), REAL(2, 3, 3, 3), REAL(3)], {}, "xla", 0),
    "layer_norm": (cssm_kernels.layer_norm, [REAL(4, 5), REAL(5)], {}, "xla", 0),
    **{
        f"layer_norm of {act}": (cssm_kernels.layer_norm, [REAL(4, 5), REAL(5), REAL(5)], {"activation": act}, "xla", 0)
        for act in ("gelu", "softplus", "relu")
    },
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_what_its_recurrence_does_step_by_step(name):
    operation, operands, params, written_out, zeros = OPERATIONS[name]
    ours = costs(functools.partial(operation, **params), *operands)
    theirs = costs(functools.partial(operation, **params, implementation=written_out), *operands)
    assert not ours.not_counted
    assert not theirs.not_counted
    assert ours.total.flops == theirs.total.flops - zeros


def test_the_body_of_a_scan_counts_as_often_as_it_runs():
    found = costs(lambda x: jax.lax.scan(lambda h, x: (h * x, h), x[0], x), jax.ShapeDtypeStruct((7, 3), jnp.float32))
    assert found.total.flops == 7 * 3


def test_a_slice_reads_what_it_returns():
    assert costs(lambda x: 2 * x[:1], REAL(8, 4)).total == Cost(4, 4 * 16)


def test_what_is_not_known_is_named():
    found = costs(lambda x: jnp.linalg.cholesky(x) + jnp.sin(1j * x), jax.ShapeDtypeStruct((3, 3), jnp.float32))
    assert {"cholesky", "sin"} <= found.not_counted.keys()


def plain(key):
    """The layer in its XLA form, and the same lowered."""
    fields = {"implementation": "xla"} if hasattr(MIXERS[key], "implementation") else {}
    subject = layer(key, (1, 4, 12, 12, 16), {"kernel_size": 3, **fields})
    return subject, jax.jit(subject.apply).lower(subject.variables, subject.x)


def xla_flops(analysis):
    return analysis["flops"] + analysis["transcendentals"]


@pytest.mark.parametrize("key", ["spatiotemporal_attn", "direct_conv_assoc", "no_fft", "gdn_seq", "mamba2_seq"])
def test_near_what_xla_counts_before_it_compiles(key):
    """Within 4%, of layers without complex numbers, transforms and scans: XLA takes a complex product for one operation,
    counts transforms otherwise, and the body of a scan once. It leaves out what convolutions read of padding, and
    comparisons and choices are operations to it.
    """
    subject, lowered = plain(key)
    found = costs_of(subject)
    assert not found.not_counted
    assert found.total.flops == pytest.approx(xla_flops(lowered.cost_analysis()), rel=0.04)


@pytest.mark.parametrize("key", ["spatial_attn", "conv_ssm"])
def test_near_what_xla_counts_of_the_compiled_layer(key):
    """Within 5%, where fusions do not compute much again; and a compiled program moves fewer bytes."""
    subject, lowered = plain(key)
    analysis = lowered.compile().cost_analysis()
    found = costs_of(subject)
    assert found.total.flops == pytest.approx(xla_flops(analysis), rel=0.05)
    assert found.total.nbytes >= analysis["bytes accessed"]


@pytest.mark.parametrize("key", MIXERS)
def test_every_key_is_counted_whole(key):
    found = costs_of(layer(key, (1, 3, 4, 5, 12), {}))
    assert not found.not_counted
    assert found.total.flops > 0
    assert not any(name in stage for stage in found.stages for name in ("CSSM", "advance", "->"))


@pytest.mark.parametrize("name", ["simple", "shvit"])
def test_models_are_counted_whole(name):
    assert not costs_of(model(name, (1, 2, 32, 32, 3), {})).not_counted
