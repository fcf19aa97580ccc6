"""Causal depthwise convolution along one axis: a short memory before the recurrence."""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import depthwise_conv


class CausalConv(nn.Module):
    """y_t = bias + sum_{i < s} kernel[i] x_{t - (s-1) + i} along axis 1, channelwise; x_t = 0 for t < 0.

    Parameters and values of `flax.linen.Conv` with `feature_group_count = C`, causal: kernel (s, 1, C), LeCun normal, and
    bias (C).

    Fields:
      size: s.
      dtype, param_dtype: as those of `flax.linen.Conv`.
      implementation: a layer's; "xla" and "sequential" take `lax.conv_general_dilated`, as `flax.linen.Conv` does.
    """

    size: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array, before: Array | None = None) -> tuple[Array, Array]:
        """x (B, T, ..., C), and the s - 1 steps before it, zero if None -> (y as x, the last s - 1 steps)."""
        channels, memory = x.shape[-1], self.size - 1
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, 1, channels), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        after = x[:, max(x.shape[1] - memory, 0) :]
        if x.shape[1] < memory:
            earlier = jnp.zeros_like(x, shape=(x.shape[0], memory, *x.shape[2:])) if before is None else before
            after = jnp.concatenate([earlier.astype(x.dtype)[:, x.shape[1] :], x], axis=1)
        y = depthwise_conv(
            _as_videos(x),
            kernel[:, None],
            bias,
            before=None if before is None else _as_videos(before.astype(x.dtype)),
            implementation=native_or_xla(self.implementation),
        )
        return y.reshape(x.shape), after


def _as_videos(x: Array) -> Array:
    """(B, T, ..., C) as (B, T, H, W, C)."""
    *rows, width = (1, *x.shape[2:-1]) if x.ndim > 3 else (1, 1)
    return x.reshape(*x.shape[:2], math.prod(rows), width, x.shape[-1])
