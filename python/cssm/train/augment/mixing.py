"""Mixup and CutMix: images in pairs, with labels mixed as the images are.

Source: Zhang et al. 2018, Yun et al. 2019; training specification 11.3.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def mixup(key: Array, images: Array, labels: Array, alpha: float) -> tuple[Array, Array]:
    """l x + (1 - l) x[p] of images (B, H, W, C) and labels (B, K) alike, l ~ Beta(alpha, alpha), p a permutation."""
    share_key, order_key = jax.random.split(key)
    share = jax.random.beta(share_key, alpha, alpha, dtype=images.dtype)
    order = jax.random.permutation(order_key, len(images))
    return share * images + (1 - share) * images[order], share * labels + (1 - share) * labels[order]


def cutmix(key: Array, images: Array, labels: Array, alpha: float) -> tuple[Array, Array]:
    """A box of x[p] in x, p a permutation: labels (B, K) are mixed by the share l of pixels that stay.

    The box has sides sqrt(1 - l0) H and W, l0 ~ Beta(alpha, alpha), about a centre anywhere, and is cut off at the border.
    """
    share_key, order_key, *centre_keys = jax.random.split(key, 4)
    share = jax.random.beta(share_key, alpha, alpha, dtype=images.dtype)
    order = jax.random.permutation(order_key, len(images))
    height, width = images.shape[1:3]
    rows, columns = (
        _interval(centre_key, size, jnp.sqrt(1 - share)) for centre_key, size in zip(centre_keys, (height, width))
    )
    box = rows[:, None] & columns
    kept = 1 - box.mean(dtype=images.dtype)
    mixed = jnp.where(box[..., None], images[order], images)
    return mixed, kept * labels + (1 - kept) * labels[order]


def mix(
    key: Array, images: Array, labels: Array, *, mixup_alpha: float, cutmix_alpha: float, mixup_prob: float
) -> tuple[Array, Array]:
    """Mixup of the batch with probability `mixup_prob`, otherwise CutMix; one whose alpha is 0 leaves it as it is."""
    which_key, mix_key = jax.random.split(key)

    def how(function, alpha: float):
        return lambda: function(mix_key, images, labels, alpha) if alpha else (images, labels)

    chosen = jax.random.uniform(which_key) < mixup_prob
    return jax.lax.cond(chosen, how(mixup, mixup_alpha), how(cutmix, cutmix_alpha))


def _interval(key: Array, size: int, share: Array) -> Array:
    """(size,) bool: `share` of it about a centre anywhere."""
    centre = jax.random.randint(key, (), 0, size)
    half = (share * size).astype(jnp.int32) // 2
    at = jnp.arange(size)
    return (at >= centre - half) & (at < centre + half)
