"""3-Augment: each image grey, solarised or blurred, and its colours jittered.

Source: Touvron et al. 2022 (DeiT III); training specification 11.3.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from cssm.train.augment.colour import blend, grey
from cssm.train.augment.filters import gaussian_blur

SOLARISED_ABOVE = 0.5


def three_augment(key: Array, images: Array, jitter: float = 0.3) -> Array:
    """One of the three for each image, then `colour_jitter`. Values may leave [0, 1]."""
    choice_key, jitter_key = jax.random.split(key)
    choice = jax.random.randint(choice_key, (len(images), 1, 1, 1), 0, 3)
    solarised = jnp.where(images > SOLARISED_ABOVE, 1 - images, images)
    chosen = jnp.where(choice == 0, grey(images), jnp.where(choice == 1, solarised, gaussian_blur(images)))
    return colour_jitter(jitter_key, chosen, jitter)


def colour_jitter(key: Array, images: Array, strength: float) -> Array:
    """Brightness, then contrast about an image's mean, then saturation about a pixel's, times factors U(1 - s, 1 + s)."""
    factors = jax.random.uniform(key, (3, len(images), 1, 1, 1), images.dtype, 1 - strength, 1 + strength)
    images = images * factors[0]
    images = blend(images.mean((1, 2, 3), keepdims=True), images, factors[1])
    return blend(images.mean(-1, keepdims=True), images, factors[2])
