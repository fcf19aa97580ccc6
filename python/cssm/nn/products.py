"""Dense layers of which the position does not matter."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense, projected_filter, projected_scan


class Dense(nn.Dense):
    """`flax.linen.Dense` by `cssm_kernels.dense`.

    Fields, besides those of `flax.linen.Dense`:
      implementation: a layer's; XLA's product where there is none to pass on.
    """

    implementation: str | None = "xla"

    @nn.compact
    def __call__(self, inputs: Array, minus: Array | None = None) -> Array:
        """(..., C) -> (..., features), less `minus` (..., features) if given."""
        channels = inputs.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (channels, self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        fits = minus is not None and minus.dtype == x.dtype
        y = dense(x, kernel, bias, minus=minus if fits else None, implementation=native_or_xla(self.implementation))
        return y if minus is None or fits else y - minus


class _Projected(nn.Module):
    """With the parameters, and their initial values, of a `flax.linen.Dense`.

    Fields:
      features, dtype, param_dtype: as in `flax.linen.Dense`.
      minus_x: less the frames.
      implementation: a layer's.
    """

    features: int
    minus_x: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    def promoted(self, x: Array) -> tuple[Array, Array, Array]:
        """x, kernel and bias in the dtype computed in; to be called from a compact method."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", nn.linear.default_kernel_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape[1:], self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x, kernel, bias


class ProjectedScan(_Projected):
    """`cssm_kernels.projected_scan` with the matrix of a Dense layer."""

    @nn.compact
    def __call__(self, x: Array, k_hat: Array, h0: Array | None) -> tuple[Array, Array]:
        """(y, final) of frames x (B, T, H, W, C) that follow the state h0."""
        x, kernel, bias = self.promoted(x)
        return projected_scan(
            x,
            k_hat,
            kernel,
            bias,
            h0,
            minus_x=self.minus_x,
            return_final=True,
            implementation=self.implementation,
        )


class ProjectedFilter(_Projected):
    """`cssm_kernels.projected_filter` with the matrix of a Dense layer."""

    @nn.compact
    def __call__(self, x: Array, k_hat: Array) -> Array:
        """Frames x (B, T, H, W, C), each by itself."""
        x, kernel, bias = self.promoted(x)
        how = native_or_xla(self.implementation)
        return projected_filter(x, k_hat, kernel, bias, minus_x=self.minus_x, implementation=how)
