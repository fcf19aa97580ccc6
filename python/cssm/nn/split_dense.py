"""One Dense layer whose output is wanted in equal parts."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense


class SplitDense(nn.Module):
    """The parts of Dense(C -> parts features), each of its own product: no array holds them all, nor their cotangents.

    Parameters and their initial values as `flax.linen.Dense`: kernel (C, parts features), bias (parts features).

    Fields:
      features: of each part.
      parts: how many.
      dtype, param_dtype: as those of `flax.linen.Dense`.
      implementation: a layer's, of `cssm_kernels.dense`.
    """

    features: int
    parts: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """(..., C) -> `parts` arrays (..., features)."""
        columns = self.parts * self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], columns), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (columns,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return tuple(
            dense(x, w, b, implementation=native_or_xla(self.implementation))
            for w, b in zip(jnp.split(kernel, self.parts, -1), jnp.split(bias, self.parts))
        )
