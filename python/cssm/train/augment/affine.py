"""Affine maps of images, bilinear, grey beyond the border."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

FILL = 128.0


def warp(image: Array, matrix: Array) -> Array:
    """(H, W, C) in levels: out[p] = image[c + A (p - c) + b], p = (row, column), c the centre, `matrix` (2, 3) = [A | b]."""
    height, width = image.shape[:2]
    centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1) - centre
    # As sums: a product of matrices would be rounded to bfloat16 where that is the default precision.
    rows, columns = jnp.moveaxis((grid[..., None, :] * matrix[:, :2]).sum(-1) + matrix[:, 2] + centre, -1, 0)
    taken = [
        jax.scipy.ndimage.map_coordinates(image[..., c], [rows, columns], order=1, mode="constant", cval=FILL)
        for c in range(image.shape[-1])
    ]
    return jnp.stack(taken, -1)


def rotation(angle: Array) -> Array:
    """By an angle in radians."""
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([c, s, 0 * c]), jnp.stack([-s, c, 0 * c])])
