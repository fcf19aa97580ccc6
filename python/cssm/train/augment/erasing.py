"""RandomErasing: a black box in some images. Source: Zhong et al. 2020; training specification 11.3."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

LEAST_AREA, MOST_AREA = 0.02, 0.33
RATIO = 0.3


def random_erasing(key: Array, images: Array, probability: float) -> Array:
    """In each image (H, W) of (B, H, W, C), with the probability, a box within it is 0.

    Its area is U(0.02, 0.33) H W and its ratio of height to width log-uniform in [0.3, 1 / 0.3], to the nearest pixel and
    cut to the image.
    """
    count, height, width = images.shape[:3]
    keys = jax.random.split(key, 5)
    uniform = [jax.random.uniform(one, (count,)) for one in keys]
    area = (LEAST_AREA + (MOST_AREA - LEAST_AREA) * uniform[0]) * height * width
    ratio = jnp.exp(np.log(RATIO) * (1 - 2 * uniform[1]))
    rows = _intervals(jnp.sqrt(area * ratio), height, uniform[2])
    columns = _intervals(jnp.sqrt(area / ratio), width, uniform[3])
    box = rows[:, :, None] & columns[:, None] & (uniform[4] < probability)[:, None, None]
    return jnp.where(box[..., None], 0, images)


def _intervals(length: Array, size: int, where: Array) -> Array:
    """(B, size) bool: `length` (B,) of it, at `where` in [0, 1) of the places there are."""
    whole = jnp.clip(jnp.round(length), 1, size)
    begin = jnp.floor(where * (size - whole + 1))[:, None]
    at = jnp.arange(size)
    return (at >= begin) & (at < begin + whole[:, None])
