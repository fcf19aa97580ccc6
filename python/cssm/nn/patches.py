"""From images to patches."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class Patches(nn.Module):
    """A convolution of side and stride `size` without padding. Parameters: proj/{kernel (p, p, C_in, E), bias (E)}."""

    features: int
    size: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., H, W, C_in) -> (..., H // p, W // p, E)."""
        window = (self.size, self.size)
        return nn.Conv(
            self.features,
            window,
            strides=window,
            padding="VALID",
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="proj",
        )(x)
