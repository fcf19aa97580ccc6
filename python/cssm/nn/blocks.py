"""What the transformer-like models are made of beside their mixers: an MLP and stochastic depth."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.products import Dense


class DropPath(nn.Module):
    """y = x keep / (1 - rate), keep one Bernoulli(1 - rate) for each sample (the first axis): stochastic depth.

    Needs the rng `dropout` unless `deterministic` or rate is 0. Source: Huang et al., "Deep networks with stochastic
    depth" (2016).
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(B, ...) -> (B, ...)."""
        if deterministic or self.rate == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(keep, x / (1 - self.rate), 0)


def drop_rates(rate: float, depth: int) -> list[float]:
    """From 0 to `rate`, evenly over the blocks."""
    return [float(r) for r in np.linspace(0, rate, depth)]


class DepthwiseMap(nn.Module):
    """A depthwise convolution one level down, at `dwconv`, where published trees have it."""

    size: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., H, W, C) -> (..., H, W, C)."""
        return DepthwiseConv(self.size, dtype=self.dtype, param_dtype=self.param_dtype, name="dwconv")(x)


class MLP(nn.Module):
    """fc2(g), g = gelu(fc1(x)), or g + dwconv(g) with a 3 x 3 depthwise convolution over (H, W).

    Parameters: fc1 (C, ratio C); dwconv/dwconv (3, 3, 1, ratio C) with `use_dwconv`; fc2 (ratio C, C).
    """

    ratio: float = 4.0
    use_dwconv: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., C); (..., H, W, C) with `use_dwconv`."""
        channels = x.shape[-1]
        h = Dense(int(channels * self.ratio), dtype=self.dtype, param_dtype=self.param_dtype, name="fc1")(x)
        h = jax.nn.gelu(h)
        if self.use_dwconv:
            h = h + DepthwiseMap(3, dtype=self.dtype, param_dtype=self.param_dtype, name="dwconv")(h)
        return Dense(channels, dtype=self.dtype, param_dtype=self.param_dtype, name="fc2")(h)
