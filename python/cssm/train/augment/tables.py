"""Augmentations that give each of a channel's 256 levels another one: they are tables, looked up.

Source: Cubuk et al. 2020 (RandAugment), the operations as Pillow has them; training specification 11.3.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

LEVELS = 256


def lookup(tables: Array, levels: Array) -> Array:
    """tables[c, levels[..., c]] of tables (C, 256) and levels (H, W, C), integers."""
    return jnp.stack([table[levels[..., c]] for c, table in enumerate(tables)], -1)


def autocontrast(levels: Array) -> Array:
    """(C, 256): of an image (H, W, C), its darkest level becomes 0, its lightest 255, linearly; a flat channel stays."""
    low, high = levels.min((0, 1))[:, None], levels.max((0, 1))[:, None]
    x = jnp.arange(LEVELS)
    return jnp.where(high > low, jnp.clip((x - low) * 255 // jnp.maximum(high - low, 1), 0, 255), x)


def equalise(levels: Array) -> Array:
    """(C, 256): to levels about as frequent as one another; a channel that one step would fill stays."""
    return jnp.stack([_equalised(levels[..., c]) for c in range(levels.shape[-1])])


def _equalised(levels: Array) -> Array:
    counts = jnp.bincount(levels.ravel(), length=LEVELS)
    step = (levels.size - counts[levels.max()]) // 255
    table = jnp.minimum((jnp.cumsum(counts) - counts + step // 2) // jnp.maximum(step, 1), 255)
    return jnp.where(step > 0, table, jnp.arange(LEVELS))


def posterise(bits: Array) -> Array:
    """(256,): the highest bits of a level, 0 to 8 of them."""
    mask = 256 - jnp.left_shift(1, 8 - bits)
    return jnp.bitwise_and(jnp.arange(LEVELS), mask)


def solarise(threshold: Array) -> Array:
    """(256,): levels from the threshold on are inverted."""
    x = jnp.arange(LEVELS)
    return jnp.where(x >= threshold, 255 - x, x)


def stretched(table: Array, channels: int) -> Array:
    """(256,) for each channel."""
    return jax.lax.broadcast(table, (channels,))
