"""Layers that work on a few frames at once: the same results, from less memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import KEYS, apply, assert_close, jit, random_variables, value_and_gradient

CARRIED = [key for key in KEYS if not MIXERS[key].not_streaming and MIXERS[key].starts_from_zeros]


@pytest.mark.parametrize("key", CARRIED)
def test_is_the_whole_video_at_once(key, rng):
    """Two videos of two chunks, and the last frame alone."""
    x = 0.3 * rng.normal(size=(2, 4, 4, 5, 12)).astype(np.float32)
    layer = MIXERS[key](channels=12, kernel_size=3)
    chunked, variables = layer.clone(frames_at_once=2), random_variables(layer, x)
    whole = apply(layer, variables, x)
    assert_close(apply(chunked, variables, x), whole, 3e-5)
    assert_close(jit(partial(chunked.apply, last_only=True))(variables, x), whole[:, -1:], 3e-5)


@pytest.mark.parametrize("key", ["no_gate", "gated", "gdn", "s4nd_full"])
def test_gradients_are_those_of_the_whole(key, rng):
    x = 0.3 * rng.normal(size=(2, 6, 4, 5, 12)).astype(np.float32)
    layer = MIXERS[key](channels=12, kernel_size=3)
    variables = random_variables(layer, x)
    both = [value_and_gradient(layer.clone(frames_at_once=frames), variables, x) for frames in (2, 0)]
    jax.tree.map(partial(assert_close, tolerance=3e-5), *both)


def test_draws_dropout_for_each_chunk(rng):
    """Of the layer's rng: none without it, and the same for the same."""
    x = rng.normal(size=(1, 4, 4, 4, 4)).astype(np.float32)
    layer = MIXERS["s4nd"](channels=4, dropout=0.5, frames_at_once=2)
    variables = random_variables(layer.clone(dropout=0.0), x)
    run = lambda seed, **how: layer.apply(variables, x, rngs={"dropout": jax.random.key(seed)}, **how)
    np.testing.assert_array_equal(run(0), run(0))
    assert np.abs(run(0) - run(1)).max() > 0.1
    whole = layer.clone(frames_at_once=0).apply(variables, x, deterministic=True)
    assert_close(run(0, deterministic=True), whole)
    same = jnp.broadcast_to(x[:, :1], x.shape)
    first, second = np.split(layer.apply(variables, same, rngs={"dropout": jax.random.key(0)}), 2, axis=1)
    assert np.abs(first - second).max() > 0.1


def test_no_frames_are_none(rng):
    layer = MIXERS["gated"](channels=4, kernel_size=3, frames_at_once=2)
    variables = random_variables(layer, rng.normal(size=(1, 2, 4, 4, 4)).astype(np.float32))
    for shape in ((2, 0, 4, 4, 4), (0, 4, 4, 4, 4)):
        assert layer.apply(variables, jnp.zeros(shape, jnp.float32)).shape == shape


def test_initialises_as_the_whole(rng):
    x = rng.normal(size=(1, 3, 4, 4, 4)).astype(np.float32)
    layer = MIXERS["gated"](channels=4, kernel_size=3)
    of = lambda layer: layer.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, of(layer.clone(frames_at_once=2)), of(layer))


@pytest.mark.parametrize("key", ["gated", "gdn"])
def test_memory_is_that_of_a_chunk(key):
    """Of two of sixteen frames: less than a third."""
    x = jnp.zeros((2, 16, 16, 16, 16))

    def temporary(layer):
        variables = jax.eval_shape(layer.init, jax.random.key(0), x)
        loss = lambda variables, x: layer.apply(variables, x).sum()
        return jax.jit(jax.grad(loss, (0, 1))).lower(variables, x).compile().memory_analysis().temp_size_in_bytes

    layer = MIXERS[key](channels=16, kernel_size=3)
    assert temporary(layer.clone(frames_at_once=2)) < temporary(layer) / 3


@pytest.mark.parametrize(
    "key, frames, message",
    [
        ("gated", -1, "frames_at_once: got -1, expected a number >= 0"),
        ("gated", 3, r"frames_at_once: got 3, expected a divisor of the 4 frames of x, \(1, 4, 4, 4, 4\)"),
        ("kqv_product", 2, "frames_at_once: got 2, but KQVCSSM cannot be run so: its first step reads no state"),
        ("gdn_seq", 2, "frames_at_once: got 2, but GDNSeqCSSM cannot be run so: "),
    ],
)
def test_refuses(key, frames, message, rng):
    x = rng.normal(size=(1, 4, 4, 4, 4)).astype(np.float32)
    layer = MIXERS[key](channels=4, kernel_size=3)
    variables = layer.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=message):
        layer.clone(frames_at_once=frames).apply(variables, x)
