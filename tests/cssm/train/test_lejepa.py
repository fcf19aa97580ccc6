"""LeJEPA's losses by their definitions, and the objective made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.models import CSSMSHViT
from cssm.train.imagenet import flags
from cssm.train.imagenet.lejepa import predictive, sigreg
from cssm.train.imagenet.recipe import _heads
from cssm.train.imagenet.self_supervised import SelfSupervised
from cssm.train.optimiser import make_optimiser
from cssm.train.step import Pixels


def test_sigreg_is_small_for_a_standard_normal_and_large_for_a_point():
    key, sample_key = jax.random.split(jax.random.PRNGKey(0))
    normal = jax.random.normal(sample_key, (4096, 64), jnp.float32)
    of = jax.jit(lambda z: sigreg(key, z, slices=512))
    small = float(of(normal))
    assert small < 5e-3
    t = np.linspace(-3, 3, 17)
    np.testing.assert_allclose(of(0 * normal), np.mean((1 - np.exp(-(t**2) / 2)) ** 2), rtol=1e-5)
    assert of(0 * normal) > 100 * small
    assert of(2 * normal) > 10 * small, "nothing is standardised"


def test_sigreg_on_a_line_has_one_slice(rng):
    z, t = rng.standard_normal((6, 1)), np.linspace(-3, 3, 5)
    expected = np.abs(np.exp(1j * t * z).mean(0) - np.exp(-(t**2) / 2)) ** 2
    np.testing.assert_allclose(sigreg(jax.random.PRNGKey(0), jnp.asarray(z), slices=3, points=5), expected.mean())


def test_pairs_of_steps(rng):
    z = rng.standard_normal((3, 5, 4))
    apart = np.square(z[:, :, None] - z[:, None]).sum(-1)
    upper = np.triu_indices(5, 1)
    np.testing.assert_allclose(predictive(jnp.asarray(z)), apart[:, *upper].mean(), rtol=1e-6)
    np.testing.assert_allclose(predictive(jnp.asarray(z), "successive"), np.square(z[:, 1:] - z[:, :-1]).sum(-1).mean())
    to_mean = np.square(z - z.mean(1, keepdims=True)).sum(-1).mean()
    np.testing.assert_allclose(predictive(jnp.asarray(z), "to_mean"), to_mean)
    with pytest.raises(ValueError, match="pairs: got 'some', expected one of successive, to_mean, all"):
        predictive(jnp.asarray(z), "some")
    with pytest.raises(ValueError, match=r"z: got shape \(3, 1, 4\), expected \(B, T, P\) with T of 2 at least"):
        predictive(jnp.asarray(z[:, :1]))


def test_the_probe_teaches_itself_alone(rng):
    """The features get their gradient from the two losses, the probe from its own, and the head none."""
    model = CSSMSHViT(
        num_classes=3, embed_dims=(4,) * 4, depths=(1, 0, 0, 1), block_size=4, cssm_type="gdn", num_timesteps=3,
        kernel_sizes=(3,) * 4, ssl_proj_dim=5, linear_probe=True,
    )  # fmt: skip
    batch = {
        "image": jnp.asarray(rng.integers(0, 256, (2, 32, 32, 3)), jnp.uint8),
        "label": jnp.array([0, 2]),
    }
    objective = SelfSupervised(model, Pixels(), label_smoothing=0.1, sigreg_weight=25.0, slices=8)
    variables = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), jnp.zeros((1, 32, 32, 3)), training=False))
    draw = lambda leaf: jnp.asarray(0.3 * rng.standard_normal(leaf.shape), leaf.dtype)
    params, statistics = jax.tree.map(draw, variables["params"]), variables["batch_stats"]
    statistics = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), statistics)
    gradient = jax.jit(jax.grad(objective.training_loss, has_aux=True))
    grads, (metrics, _) = gradient(params, statistics, batch, jax.random.PRNGKey(1))
    total = metrics["pred_loss"] + 25 * metrics["sigreg_loss"] + metrics["probe_ce"]
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-5)
    assert metrics["min_z_var"] > 0
    assert not jnp.any(grads["head"]["kernel"])
    assert jnp.any(grads["linear_probe_head"]["kernel"])
    assert jnp.any(grads["stage3_block0"]["cssm"]["ssl_proj_out"]["kernel"])
    other, _ = gradient(params, statistics, batch | {"label": jnp.array([1, 1])}, jax.random.PRNGKey(1))
    assert jnp.any(other["linear_probe_head"]["kernel"] != grads["linear_probe_head"]["kernel"])
    np.testing.assert_array_equal(
        other["patch_embed"]["ConvBN_0"]["conv"]["kernel"], grads["patch_embed"]["ConvBN_0"]["conv"]["kernel"]
    )

    args = flags.settle(flags.parser().parse_args(["--ssl_temporal_loss", "--cssm_type", "gdn", "--probe_lr", "0.25"]))
    optimiser = make_optimiser(lambda step: 1e-3, weight_decay=0.5, apart=_heads(args))
    updates, _ = optimiser.update(grads, optimiser.init(params), params)
    assert not jnp.any(updates["head"]["kernel"])
    np.testing.assert_allclose(jnp.abs(updates["linear_probe_head"]["kernel"]), 0.25, rtol=1e-3)
    assert jnp.abs(updates["patch_embed"]["ConvBN_0"]["conv"]["kernel"]).max() < 0.01


def test_what_it_needs_is_named():
    with pytest.raises(ValueError, match="--cssm_type: got 'gated' with --ssl_temporal_loss, expected gdn"):
        flags.settle(flags.parser().parse_args(["--ssl_temporal_loss"]))
