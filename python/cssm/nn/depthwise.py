"""Depthwise convolution with zero padding, fast on a CPU in both directions."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import depthwise_conv


class DepthwiseConv(nn.Module):
    """y[h, w] = bias + sum_{i,j} kernel[i, j] x[h + i - (K-1)//2, w + j - (K-1)//2], zero outside: 'SAME', channelwise.

    Parameters and values of `flax.linen.Conv` with `feature_group_count = C`: kernel (K, K, 1, C), LeCun normal, and
    bias (C).

    Fields:
      kernel_size: K.
      dtype, param_dtype: as those of `flax.linen.Conv`.
      implementation: a layer's; "xla" and "sequential" take `lax.conv_general_dilated`, as `flax.linen.Conv` does.
    """

    kernel_size: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., H, W, C) -> (..., H, W, C)."""
        size, channels = self.kernel_size, x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (size, size, 1, channels), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        videos = x.reshape(*x.shape[:-3], 1, *x.shape[-3:])
        window = kernel.reshape(1, size, size, channels)
        return depthwise_conv(videos, window, bias, implementation=native_or_xla(self.implementation)).reshape(x.shape)
