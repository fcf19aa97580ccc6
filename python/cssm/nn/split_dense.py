"""One Dense layer whose output is wanted in equal parts."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.products import matrix_product


class SplitDense(nn.Module):
    """The parts of Dense(C -> parts features), each of its own product: no array holds them all, nor their cotangents.

    Parameters and their initial values as `flax.linen.Dense`: kernel (C, parts features), bias (parts features).

    Fields:
      features: of each part.
      parts: how many.
      dtype, param_dtype: as those of `flax.linen.Dense`.
    """

    features: int
    parts: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """(..., C) -> `parts` arrays (..., features)."""
        columns = self.parts * self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], columns), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (columns,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return tuple(
            matrix_product(x, w) + b for w, b in zip(jnp.split(kernel, self.parts, -1), jnp.split(bias, self.parts))
        )
