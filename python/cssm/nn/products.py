"""Dense layers of which the position does not matter."""

from __future__ import annotations

import flax.linen as nn
from flax.linen.dtypes import promote_dtype
from jax import Array

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense


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
