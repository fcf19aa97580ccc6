"""A convolution of one tap: a product with a matrix at every position."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense


class PointwiseConv(nn.Module):
    """y[h, w] = x[h, w] kernel[0, 0] + bias: parameters and values of `flax.linen.Conv(features, (1, 1))`, as a product.

    kernel (1, 1, C, features), LeCun normal, and bias (features).

    Fields, besides those of the convolution:
      implementation: that of a layer or model.
    """

    features: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., features)."""
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return dense(x, kernel[0, 0], bias, implementation=native_or_xla(self.implementation))
