"""Between channels and several states of each: the last axis of the states runs over c n + s, channel c, state s."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.implementations import native_or_xla
from cssm_kernels import dense


class StateDense(nn.Module):
    """The layer Dense(C -> n C) whose outputs are n blocks of C, one a state, with the n states of a channel side by side.

    Its columns are put in that order before the product, so that the states, which recurrences want innermost, are never
    transposed. Parameters and their initial values as `flax.linen.Dense`: kernel (C, n C), bias (n C), state-major.

    Fields:
      states: n.
      dtype, param_dtype: as those of `flax.linen.Dense`.
      implementation: a layer's, of `cssm_kernels.dense`.
    """

    states: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., C n)."""
        channels, n = x.shape[-1], self.states
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (channels, n * channels), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (n * channels,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        kernel = kernel.reshape(channels, n, channels).swapaxes(1, 2).reshape(channels, n * channels)
        bias = bias.reshape(n, channels).T.reshape(-1)
        return dense(x, kernel, bias, implementation=native_or_xla(self.implementation))
