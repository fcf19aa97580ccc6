"""Causal depthwise convolution along one axis: a short memory before the recurrence."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike


class CausalConv(nn.Module):
    """y_t = bias + sum_{i < s} kernel[i] x_{t - (s-1) + i} along axis 1, channelwise; x_t = 0 for t < 0.

    Parameters and values of `flax.linen.Conv` with `feature_group_count = C`, causal: kernel (s, 1, C), LeCun normal, and
    bias (C). Shifted products, which XLA fuses into one pass over any dimensions between time and channels.

    Fields:
      size: s.
      dtype, param_dtype: as those of `flax.linen.Conv`.
    """

    size: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, before: Array | None = None) -> tuple[Array, Array]:
        """x (B, T, ..., C), and the s - 1 steps before it, zero if None -> (y as x, the last s - 1 steps)."""
        channels = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, 1, channels), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        length = x.shape[1]
        if before is None:
            before = jnp.zeros((x.shape[0], self.size - 1, *x.shape[2:]), x.dtype)
        padded = jnp.concatenate([before.astype(x.dtype), x], axis=1)
        y = sum(kernel[i, 0] * padded[:, i : i + length] for i in range(self.size)) + bias
        return y, padded[:, length:]
