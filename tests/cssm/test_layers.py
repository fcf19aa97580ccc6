"""Every mixing layer against its float64 re-derivation, its parameters, its gradients and its errors."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import MIXERS
from cssm.layers.base import KernelMixer

from tests.cssm import numpy_layers as reference
from tests.cssm.checks import (
    apply,
    assert_close,
    check_streaming,
    check_truth,
    initialise,
    jit,
    random_variables,
    shapes,
    value_and_gradient,
)

KERNEL_TREE = {"kernel": (4, 3, 3), "out_proj/bias": (4,), "out_proj/kernel": (4, 4)}
DIRECT_TREE = {
    "a_logit": (4,),
    "out_proj/bias": (4,),
    "out_proj/kernel": (4, 4),
    "spatial_conv/bias": (4,),
    "spatial_conv/kernel": (3, 3, 1, 4),
}

# Those with one parameter beside the projection; the others have files of their own, in layers/.
KEYS = [key for key, layer in MIXERS.items() if issubclass(layer, KernelMixer)]

# key, fields, reference
CASES = [
    ("no_gate", {}, reference.no_gate),
    ("no_gate", {"origin_centred_kernel": True}, partial(reference.no_gate, origin_centred=True)),
    ("no_gate_realspace_seq", {}, partial(reference.realspace_seq, variant="embedded")),
    ("no_gate_realspace_seq", {"variant": "compact"}, partial(reference.realspace_seq, variant="compact")),
    ("no_gate_realspace_par", {}, partial(reference.realspace_par_published, variant="embedded")),
    ("no_gate_realspace_par", {"variant": "compact"}, partial(reference.realspace_par_published, variant="compact")),
    ("no_gate_realspace_par", {"combine": "associative"}, partial(reference.realspace_seq, variant="embedded")),
    ("realspace_exact_seq", {}, reference.no_gate),
    ("realspace_exact_seq", {"origin_centred_kernel": True}, partial(reference.no_gate, origin_centred=True)),
    ("realspace_compact_seq", {}, reference.realspace_compact),
    ("realspace_compact_seq", {"form": "spectral"}, reference.realspace_compact),
    ("direct_conv_assoc", {}, reference.direct_conv),
    ("direct_conv_seq", {}, reference.direct_conv),
    ("direct_conv_parallel", {}, reference.direct_conv),
]
IDS = ["-".join([key, *map(str, fields.values())]) for key, fields, _ in CASES]
SCANS = [
    ("no_gate", {}),
    ("realspace_compact_seq", {"form": "spectral"}),
    ("direct_conv_assoc", {}),
]


def build(key, x, kernel_size=3, **fields):
    layer = MIXERS[key](channels=x.shape[-1], kernel_size=kernel_size, **fields)
    return layer, random_variables(layer, x)


def video(rng, batch=2, time=5, height=6, width=7, channels=4):
    """Tests share this shape where they can, and with it the compiled layers."""
    return rng.normal(size=(batch, time, height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("key", KEYS)
def test_parameters(key, rng):
    layer = MIXERS[key](channels=4, kernel_size=3)
    params = jax.eval_shape(layer.init, jax.random.key(0), video(rng))["params"]
    assert shapes(params) == (DIRECT_TREE if key.startswith("direct") else KERNEL_TREE)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_initial_values(rng):
    x = video(rng, channels=32)
    params = initialise(MIXERS["no_gate"](channels=32, kernel_size=11), x)["params"]
    assert abs(float(params["kernel"].std()) - 0.02) < 0.001
    assert not params["out_proj"]["bias"].any()
    direct = initialise(MIXERS["direct_conv_seq"](channels=32, kernel_size=11), x)
    assert not direct["params"]["a_logit"].any()
    assert abs(float(direct["params"]["spatial_conv"]["kernel"].std()) - 1 / 11) < 0.005


@pytest.mark.parametrize(("key", "fields", "expected"), CASES, ids=IDS)
@pytest.mark.parametrize(
    ("size", "kernel_size", "time"),
    [((6, 7), 3, 5), ((6, 5), 4, 3), ((4, 4), 7, 3), ((4, 8), 6, 1)],
    ids=["odd-W", "even-K", "K>H=W", "H<K<W-T=1"],
)
def test_forward(key, fields, expected, size, kernel_size, time, rng):
    x = video(rng, time=time, height=size[0], width=size[1])
    layer, variables = build(key, x, kernel_size, **fields)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables["params"])
    assert_close(apply(layer, variables, x), expected(params, x))


@pytest.mark.parametrize(("key", "fields", "expected"), CASES, ids=IDS)
def test_float64_and_gradient(key, fields, expected, rng):
    """In float64: values, and the derivative of sum(sin(y)) in a random direction against central differences."""
    x = video(rng, batch=1, time=4, height=4, width=5)
    check_truth(MIXERS[key](channels=4, kernel_size=3, **fields), expected, x)


@pytest.mark.parametrize("key", [key for key in KEYS if not MIXERS[key].not_streaming])
def test_streaming(key, rng):
    check_streaming(MIXERS[key](channels=4, kernel_size=3), video(rng))


def test_a_layer_that_cannot_stream_says_so(rng):
    layer, variables = build("no_gate_realspace_par", video(rng))
    with pytest.raises(ValueError, match="NoGateRealSpaceParallelCSSM cannot be run frame by frame: its states"):
        layer.apply(variables, None, video(rng)[:, 0], method="step")


@pytest.mark.parametrize("key", KEYS)
def test_gradients_are_finite_at_zero_parameters(key, rng):
    x = video(rng, batch=1, time=4, height=4, width=5).astype(np.float64)
    layer, variables = build(key, x)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), variables)
    # A zero projection would hide what lies behind it.
    zeros["params"]["out_proj"]["kernel"] += 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(value_and_gradient(layer, zeros, x)))


@pytest.mark.parametrize(("key", "fields"), SCANS)
@pytest.mark.parametrize("implementation", ["xla", "sequential"])
def test_implementations_agree(key, fields, implementation, rng):
    x = video(rng)
    layer, variables = build(key, x, **fields)
    named = layer.clone(implementation=implementation)

    results = [value_and_gradient(m, variables, x) for m in (named, layer)]
    jax.tree.map(partial(assert_close, tolerance=3e-5), *results)


@pytest.mark.parametrize(("key", "fields"), SCANS)
def test_implementation_reaches_the_scan(key, fields, rng):
    """A sequential scan shows as a `scan` in the jaxpr, the associative one does not."""
    x = video(rng)
    layer, variables = build(key, x, **fields)

    def has_scan(implementation):
        return " scan[" in str(jax.make_jaxpr(layer.clone(implementation=implementation).apply)(variables, x))

    assert has_scan("sequential")
    assert not has_scan("xla")


def test_exact_real_space_layer_is_the_spectral_one(rng):
    x = video(rng, time=24, height=16, width=16)
    spectral, variables = build("no_gate", x, 11)
    real_space = MIXERS["realspace_exact_seq"](channels=4, kernel_size=11)
    results = [value_and_gradient(layer, variables, x) for layer in (real_space, spectral)]
    assert_close(results[0][0], results[1][0], 1e-4)
    jax.tree.map(partial(assert_close, tolerance=1e-3), *results)


def test_compact_forms_agree_over_time(rng):
    x = video(rng, time=32, height=12, width=10)
    real_space, variables = build("realspace_compact_seq", x, 5)
    assert_close(apply(real_space.clone(form="spectral"), variables, x), apply(real_space, variables, x))


def test_compact_transition_is_bounded(rng):
    """A constant map is the worst case of a positive kernel: the state tends to 1 / (1 - rho) and no further."""
    x = np.ones((1, 400, 4, 4, 1), np.float32)
    layer = MIXERS["realspace_compact_seq"](channels=1, kernel_size=3, spectral_rho=0.9, residual=True)
    params = {"kernel": np.ones((1, 3, 3)), "out_proj": {"kernel": np.ones((1, 1)), "bias": np.zeros(1)}}
    assert_close(apply(layer, {"params": params}, x)[:, -1], np.full((1, 4, 4, 1), 10.0), 1e-4)


@pytest.mark.parametrize("variant", ["embedded", "compact"])
def test_published_parallel_layer_agrees_for_two_steps_only(variant, rng):
    x = video(rng)
    sequential, variables = build("no_gate_realspace_seq", x, variant=variant)
    parallel = MIXERS["no_gate_realspace_par"](channels=4, kernel_size=3, variant=variant)
    expected, actual = apply(sequential, variables, x), apply(parallel, variables, x)
    assert_close(actual[:, :2], expected[:, :2])
    assert np.abs(actual[:, 2:] - expected[:, 2:]).max() > 0.1 * np.abs(expected).max()
    assert_close(apply(parallel.clone(combine="associative"), variables, x), expected)


def test_direct_conv_forms_agree_at_the_zero_initialisation(rng):
    x = video(rng, time=6)
    layers = [MIXERS[f"direct_conv_{form}"](channels=4, kernel_size=3) for form in ("seq", "assoc", "parallel")]
    variables = initialise(layers[0], x)
    assert not variables["params"]["a_logit"].any()
    results = [value_and_gradient(layer, variables, x) for layer in layers]
    for result in results[1:]:
        jax.tree.map(partial(assert_close, tolerance=3e-5), result, results[0])
    assert np.abs(results[0][1][0]["params"]["a_logit"]).min() > 0


@pytest.mark.parametrize("key", KEYS)
def test_residual_returns_the_projection(key, rng):
    x = video(rng)
    layer, variables = build(key, x)
    assert_close(apply(layer.clone(residual=True), variables, x), apply(layer, variables, x) + x)


@pytest.mark.parametrize("key", KEYS)
def test_causal(key, rng):
    x = video(rng)
    layer, variables = build(key, x)
    later = x.copy()
    later[:, 3:] += 1
    before, after = apply(layer, variables, x), apply(layer, variables, later)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 1e-3


def test_published_kernel_translates_and_centred_kernel_does_not():
    """One tap at the centre, L = 32, K = 11: an impulse moves by 15 a step, or stays."""
    x = np.zeros((1, 2, 32, 32, 1), np.float32)
    x[0, 0, 3, 4] = 1
    kernel = np.zeros((1, 11, 11), np.float32)
    kernel[0, 5, 5] = 1
    variables = {"params": {"kernel": kernel, "out_proj": {"kernel": np.ones((1, 1)), "bias": np.zeros(1)}}}
    for centred, expected in ((False, (18, 19)), (True, (3, 4))):
        layer = MIXERS["no_gate"](channels=1, origin_centred_kernel=centred, residual=True)
        state = np.asarray(apply(layer, variables, x))[0, 1, :, :, 0]
        assert np.unravel_index(state.argmax(), state.shape) == expected
        assert np.isclose(state.max(), 0.4995, atol=1e-4)


@pytest.mark.parametrize("key", KEYS)
def test_16_bit_input_gives_float32(key, rng):
    layer, variables = build(key, video(rng))
    assert jax.eval_shape(layer.apply, variables, jnp.asarray(video(rng), jnp.float16)).dtype == jnp.float32


def test_bfloat16_input_is_computed_in_float32(rng):
    x = jnp.asarray(video(rng), jnp.bfloat16)
    layer, variables = build("no_gate", x)
    np.testing.assert_array_equal(apply(layer, variables, x), apply(layer, variables, x.astype(jnp.float32)))


@pytest.mark.parametrize("key", KEYS)
def test_vmap(key, rng):
    x = video(rng, batch=3, time=3)
    layer, variables = build(key, x)
    mapped = jit(jax.vmap(lambda x: layer.apply(variables, x[None])[0]))(x)
    assert_close(mapped, apply(layer, variables, x))


@pytest.mark.parametrize("key", KEYS)
def test_second_argument_is_accepted(key, rng):
    x = video(rng)
    layer, variables = build(key, x)
    assert jax.eval_shape(layer.apply, variables, x, jnp.ones((*x.shape, 3))).shape == x.shape


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("error", "match", "shape", "dtype", "fields"),
    [
        (ValueError, r"x: got shape \(2, 6, 8, 4\), expected \(B, T, H, W, C\)", (2, 6, 8, 4), "float32", {}),
        (ValueError, r"x: got 3 channels .* expected channels=4", (2, 5, 6, 8, 3), "float32", {}),
        (TypeError, r"x: got dtype int32", (2, 5, 6, 8, 4), "int32", {}),
        (TypeError, r"x: got dtype complex64", (2, 5, 6, 8, 4), "complex64", {}),
        (ValueError, r"kernel_size: got 0", (2, 5, 6, 8, 4), "float32", {"kernel_size": 0}),
        (ValueError, r"spectral_rho: got 1.5", (2, 5, 6, 8, 4), "float32", {"spectral_rho": 1.5}),
    ],
)
def test_bad_input(key, error, match, shape, dtype, fields):
    with pytest.raises(error, match=match):
        jax.eval_shape(MIXERS[key](channels=4, **fields).init, jax.random.key(0), jnp.ones(shape, dtype))


@pytest.mark.parametrize(
    ("key", "fields", "match"),
    [
        ("no_gate_realspace_seq", {"variant": "tiny"}, "variant: got 'tiny', expected one of embedded, compact"),
        ("no_gate_realspace_par", {"variant": "tiny"}, "variant: got 'tiny', expected one of embedded, compact"),
        ("no_gate_realspace_par", {"combine": "both"}, "combine: got 'both', expected one of published, associative"),
        ("realspace_compact_seq", {"form": "fast"}, "form: got 'fast', expected one of realspace, spectral"),
        ("realspace_compact_seq", {"implementation": "xla"}, "implementation: got 'xla', expected None"),
    ],
)
def test_bad_fields(key, fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(MIXERS[key](channels=4, **fields).init, jax.random.key(0), jnp.ones((1, 2, 4, 4, 4)))
