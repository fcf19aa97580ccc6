"""Softmax attention, spelled out."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.products import Dense


def attend(qkv: Array, num_heads: int) -> Array:
    """softmax(q k^T / sqrt(d)) v of each head over the tokens: (..., N, 3 C) -> (..., N, C), features (3, heads, d).

    Raises:
      ValueError: `num_heads` does not divide C.
    """
    channels = qkv.shape[-1] // 3
    if num_heads < 1 or channels % num_heads:
        raise ValueError(f"num_heads: got {num_heads}, expected a divisor of the {channels} channels")
    size = channels // num_heads
    q, k, v = jnp.moveaxis(qkv.reshape(*qkv.shape[:-1], 3, num_heads, size), -3, 0)
    weights = jax.nn.softmax(jnp.einsum("...nhd,...mhd->...hnm", q, k) * size**-0.5, axis=-1)
    out = jnp.einsum("...hnm,...mhd->...nhd", weights, v)
    return out.reshape(*out.shape[:-2], channels)


class SelfAttention(nn.Module):
    """proj(attend(qkv(x))). Parameters: qkv (C, 3C); proj (C, C)."""

    num_heads: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., N, C) -> (..., N, C)."""
        channels = x.shape[-1]
        qkv = Dense(3 * channels, dtype=self.dtype, param_dtype=self.param_dtype, name="qkv")(x)
        out = attend(qkv, self.num_heads)
        return Dense(channels, dtype=self.dtype, param_dtype=self.param_dtype, name="proj")(out)
