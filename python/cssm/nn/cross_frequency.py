"""Convolution across the columns of a spectrum."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class CrossFrequencyConv(nn.Module):
    """y[f] = bias + sum_{i < s} kernel[i] x[f + i - (s-1)/2] along axis -2, zero outside: the same taps in every channel.

    Parameters of `flax.linen.Conv(1, (s,))`, s odd: kernel (s, 1, 1), LeCun normal, and bias (1).
    """

    size: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Real (..., F, C) -> (..., F, C), in its dtype."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, 1, 1), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (1,), self.param_dtype)
        kernel, bias = kernel.astype(x.dtype), bias.astype(x.dtype)
        columns = x.shape[-2]
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(self.size // 2,) * 2, (0, 0)])
        return sum((kernel[i, 0, 0] * padded[..., i : i + columns, :] for i in range(self.size)), bias)
