"""Dense layers of which the position does not matter."""

from __future__ import annotations

import flax.linen as nn
from flax.linen.dtypes import promote_dtype
from jax import Array

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense, projected_scan


class Dense(nn.Dense):
    """`flax.linen.Dense` by `cssm_kernels.dense`.

    Fields, besides those of `flax.linen.Dense`:
      implementation: a layer's; XLA's product where there is none to pass on.
    """

    implementation: str | None = "xla"

    @nn.compact
    def __call__(self, inputs: Array, minus: Array | None = None) -> Array:
        """(..., C) -> (..., features), less `minus` (..., features) if given."""
        kernel, bias = self.matrix(inputs.shape[-1])
        x, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        fits = minus is not None and minus.dtype == x.dtype
        y = dense(x, kernel, bias, minus=minus if fits else None, implementation=native_or_xla(self.implementation))
        return y if minus is None or fits else y - minus

    def matrix(self, channels: int) -> tuple[Array, Array | None]:
        """The parameters (kernel, bias?); to be called from a compact method."""
        kernel = self.param("kernel", self.kernel_init, (channels, self.features), self.param_dtype)
        return kernel, self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None


class ProjectedScan(Dense):
    """`cssm_kernels.projected_scan` with the matrix of a Dense layer.

    Fields, besides those of `Dense`:
      minus_x: less the frames.
    """

    minus_x: bool = False

    @nn.compact
    def __call__(self, x: Array, k_hat: Array, h0: Array | None) -> tuple[Array, Array]:
        """(y, final) of frames x (B, T, H, W, C), in `dtype`, that follow the state h0."""
        kernel, bias = self.matrix(x.shape[-1])
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        how = {"minus_x": self.minus_x, "return_final": True, "implementation": self.implementation}
        return projected_scan(x, k_hat, kernel, bias, h0, **how)
