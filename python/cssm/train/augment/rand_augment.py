"""RandAugment: a few operations on each image, drawn from thirteen, of one magnitude.

Source: Cubuk et al. 2020; training specification 11.3.

Of the thirteen, five are affine maps, four look levels up in a table and four blend with a degenerate image: an image goes
through one of each kind and keeps the one that was drawn, for `vmap` would compute all branches of a choice anyway.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm.train.augment import affine, tables
from cssm.train.augment.colour import blend, grey
from cssm.train.augment.filters import separable

MOST = 10.0
_JITTER = 0.5
_SHEAR, _SHIFT, _DEGREES, _STRENGTH = 0.3, 0.45, 30.0, 0.9
TABLES = ("autocontrast", "equalise", "posterise", "solarise")
AFFINE = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
BLENDS = ("colour", "contrast", "brightness", "sharpness")
OPERATIONS = (*TABLES, *AFFINE, *BLENDS)


def rand_augment(key: Array, images: Array, operations: int = 2, magnitude: float = 9.0) -> Array:
    """`operations` of `OPERATIONS` in turn on each of (B, H, W, 3), in 256 levels.

    Each has its magnitude m, normal about `magnitude` with deviation 0.5 and cut to [0, 10]: rotation by 30 m / 10 degrees,
    shear by 0.3 m / 10, shift by 0.45 m / 10 of the size, either way; the highest 8 - 4 m / 10 bits; inversion from level
    256 - 25.6 m on; and colour, contrast, brightness and sharpness times 1 + 0.9 m / 10, or divided by it.
    """
    levels = jnp.round(255 * images)
    for step_key in jax.random.split(key, operations):
        keys = jax.random.split(step_key, len(images))
        levels = jax.vmap(lambda one, image: _drawn(one, image, magnitude))(keys, levels)
    return levels / 255


def _drawn(key: Array, image: Array, magnitude: float) -> Array:
    which_key, size_key, sign_key = jax.random.split(key, 3)
    which = jax.random.randint(which_key, (), 0, len(OPERATIONS))
    m = jnp.clip(magnitude + _JITTER * jax.random.normal(size_key), 0, MOST)
    return operate(which, image, m, jax.random.rademacher(sign_key, (), jnp.float32))


def operate(which: Array, image: Array, m: Array, sign: Array) -> Array:
    """The operation of the index `which` in `OPERATIONS` on an image (H, W, 3) of levels, 0.0 to 255.0.

    Args:
      m: magnitude, 0 to 10.
      sign: 1 or -1: of angles and shifts, and of a factor's exponent.
    """
    looked_up = _looked_up(which, image, m)
    moved = affine.warp(image, _matrix(which - len(TABLES), image.shape, m / MOST * sign))
    blended = _blended(which - len(TABLES) - len(AFFINE), image, (1 + _STRENGTH * m / MOST) ** sign)
    family = (which >= len(TABLES)).astype(int) + (which >= len(TABLES) + len(AFFINE)).astype(int)
    return jnp.clip(jnp.round(jnp.select([family == 0, family == 1], [looked_up, moved], blended)), 0, 255)


def _looked_up(which: Array, image: Array, m: Array) -> Array:
    levels = image.astype(jnp.int32)
    bits = (8 - 4 * m / MOST).astype(jnp.int32)
    table = jnp.select(
        [which == 0, which == 1, which == 2],
        [
            tables.autocontrast(levels),
            tables.equalise(levels),
            tables.stretched(tables.posterise(bits), 3),
        ],
        tables.stretched(tables.solarise(256 - 256 * m / MOST), 3),
    )
    return tables.lookup(table, levels).astype(image.dtype)


def _matrix(which: Array, shape: tuple[int, ...], t: Array) -> Array:
    zero = 0 * t
    rows, columns = shape[:2]
    others = [
        [[1, zero, zero], [_SHEAR * t, 1, zero]],
        [[1, _SHEAR * t, zero], [zero, 1, zero]],
        [[1, zero, zero], [zero, 1, _SHIFT * columns * t]],
        [[1, zero, _SHIFT * rows * t], [zero, 1, zero]],
    ]
    made = [affine.rotation(np.deg2rad(_DEGREES) * t), *(jnp.asarray(other) for other in others)]
    return jnp.select([which == i for i in range(4)], made[:4], made[4])


def _blended(which: Array, image: Array, factor: Array) -> Array:
    shades = grey(image)
    smooth = _smoothed(image)
    other = jnp.select(
        [which == 0, which == 1, which == 2],
        [jnp.broadcast_to(shades, image.shape), jnp.full_like(image, jnp.round(shades.mean())), jnp.zeros_like(image)],
        smooth,
    )
    return blend(other, image, factor)


def _smoothed(image: Array) -> Array:
    """The mean of a pixel (weight 5) and its eight neighbours (1 each); the border stays, as in Pillow."""
    box = separable(image[None], np.ones(3))[0]
    inside = jnp.zeros(image.shape[:2], bool).at[1:-1, 1:-1].set(True)
    return jnp.where(inside[..., None], (box + 4 * image) / 13, image)
