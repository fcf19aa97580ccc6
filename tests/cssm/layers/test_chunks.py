"""Layers that work on a few frames at once: the same results, from less memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import MIXERS
from cssm.layers.chunks import frames_at_once

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


@pytest.mark.parametrize("key", ["no_gate", "gated", "gdn", "convs5", "deltanet", "s4nd_full"])
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
    """Of four of 32 frames, and the states between: less than a fourth."""
    x = jnp.zeros((2, 32, 16, 16, 16))

    def temporary(layer):
        variables = jax.eval_shape(layer.init, jax.random.key(0), x)
        loss = lambda variables, x: layer.apply(variables, x).sum()
        return jax.jit(jax.grad(loss, (0, 1))).lower(variables, x).compile().memory_analysis().temp_size_in_bytes

    layer = MIXERS[key](channels=16, kernel_size=3)
    assert temporary(layer.clone(frames_at_once=4)) < temporary(layer) / 4


@pytest.fixture
def chosen(monkeypatch):
    """What `frames_at_once` chooses for a layer and a video on one device."""
    monkeypatch.setattr(jax, "device_count", lambda: 1)

    def of(shape=(4, 32, 32, 32, 32), key="gated", **fields):
        layer = MIXERS[key](channels=shape[-1], **fields)
        return layer.apply({}, jax.ShapeDtypeStruct(shape, np.float32), method=frames_at_once)

    return of


@pytest.mark.parametrize(
    "steps, frames", [(32, 8), (8, 8), (10, 10), (7, 7), (12, 6), (27, 9), (44, 11), (4, 4), (3, 0), (17, 0)]
)
def test_chooses_a_divisor_near_8(steps, frames, chosen):
    assert chosen((1, steps, 256, 256, 32)) == frames


def test_chooses_chunks_of_large_videos_on_one_cpu(chosen, monkeypatch):
    assert chosen() == 8
    assert chosen((4, 32, 32, 32, 31)) == 0
    assert {key for key in KEYS if MIXERS[key].keeps_much} == {"gated", "gdn", "convs5", "deltanet"}
    assert chosen(key="no_gate") == 0
    assert chosen(frames_at_once=0) == 0
    assert chosen(frames_at_once=2) == 2
    assert chosen(implementation="cpu") == 8
    assert chosen(implementation="xla") == 0
    assert chosen(dense_mixing=True, reference_layout=True) == 0
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert chosen() == 0
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chosen() == 0


def test_sows_for_whole_videos_what_is_asked_for(chosen, monkeypatch, rng):
    monkeypatch.setattr("cssm.layers.chunks.LARGE", 0)
    x = rng.normal(size=(1, 8, 4, 4, 4)).astype(np.float32)
    layer = MIXERS["gdn"](channels=4, kernel_size=3)
    variables = random_variables(layer, x)
    of = lambda layer: str(jax.make_jaxpr(layer.apply)(variables, x))
    assert of(layer) == of(layer.clone(frames_at_once=8)) != of(layer.clone(frames_at_once=0))
    _, sown = layer.apply(variables, x, mutable=["intermediates"])
    assert sown["intermediates"]["alpha_t"][0].shape[:2] == (1, 8)


def test_compiles_once_outside_of_jit(rng, monkeypatch):
    x = rng.normal(size=(1, 4, 4, 4, 4)).astype(np.float32)
    layer = MIXERS["gated"](channels=4, kernel_size=3, frames_at_once=2)
    variables = random_variables(layer, x)
    first = layer.apply(variables, x)
    monkeypatch.setattr(type(layer), "advance", None)
    np.testing.assert_array_equal(layer.apply(variables, x), first)


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
