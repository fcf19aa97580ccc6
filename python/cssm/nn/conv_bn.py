"""A convolution without bias and a batch norm."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class ConvBN(nn.Module):
    """bn(conv(x)), conv of odd side, SAME; bn of momentum 0.9, eps 1e-5. Parameters: conv/kernel; bn/{scale, bias}."""

    features: int
    size: int = 3
    stride: int = 2
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, training: bool) -> Array:
        """(N, H, W, C_in) -> (N, ceil(H / s), ceil(W / s), features)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = nn.Conv(
            self.features, (self.size,) * 2, strides=(self.stride,) * 2, use_bias=False, **dtypes, name="conv"
        )
        return nn.BatchNorm(use_running_average=not training, momentum=0.9, **dtypes, name="bn")(conv(x))
