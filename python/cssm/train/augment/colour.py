"""What the augmentations of colour share."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

# Of red, green and blue in a grey.
LUMA = (0.2989, 0.587, 0.114)


def grey(images: Array) -> Array:
    """(..., 3) to (..., 1): 0.2989 r + 0.587 g + 0.114 b."""
    return (images * jnp.asarray(LUMA, images.dtype)).sum(-1, keepdims=True)


def blend(other: Array, images: Array, factor: Array) -> Array:
    """other + factor (images - other): 0 is the other, 1 the images, above it what sets them apart is strengthened."""
    return other + factor * (images - other)
