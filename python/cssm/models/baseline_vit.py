"""The baseline ViT: attention over space in every block, over time after every few."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.models.video import checked_video
from cssm.nn.attention import SelfAttention
from cssm.nn.blocks import MLP, DropPath, drop_rates
from cssm.nn.patches import Patches

SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}


class SpatialBlock(nn.Module):
    """x + dp(gamma1 attn(norm1 x)), then x + dp(gamma2 mlp(norm2 x)), over the H W tokens of each frame.

    Parameters: norm1, attn/{qkv, proj}, gamma1 (C), norm2, mlp/{fc1, fc2}, gamma2 (C).
    """

    num_heads: int
    mlp_ratio: float
    drop_path_rate: float
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(N, H W, C) -> (N, H W, C)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        gamma = nn.initializers.constant(1e-6)
        drop = DropPath(self.drop_path_rate)
        y = SelfAttention(self.num_heads, **dtypes, name="attn")(nn.LayerNorm(**dtypes, name="norm1")(x))
        x = x + drop(self.param("gamma1", gamma, x.shape[-1:], self.param_dtype) * y, deterministic=deterministic)
        y = MLP(self.mlp_ratio, **dtypes, name="mlp")(nn.LayerNorm(**dtypes, name="norm2")(x))
        return x + drop(self.param("gamma2", gamma, x.shape[-1:], self.param_dtype) * y, deterministic=deterministic)


class TemporalBlock(nn.Module):
    """x + dp(gamma attn(norm x)) over the T frames of each pixel. Parameters: norm, attn/{qkv, proj}, gamma (C)."""

    num_heads: int
    drop_path_rate: float
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(N, T, C) -> (N, T, C)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        y = SelfAttention(self.num_heads, **dtypes, name="attn")(nn.LayerNorm(**dtypes, name="norm")(x))
        gamma = self.param("gamma", nn.initializers.constant(1e-6), x.shape[-1:], self.param_dtype)
        return x + DropPath(self.drop_path_rate)(gamma * y, deterministic=deterministic)


class BaselineViT(nn.Module):
    """Patches, positions, `depth` spatial blocks with temporal ones between, a norm, the mean of all tokens, and a head.

    Source: CSSM model specification 5.3, whose fields and parameter names these are.

    Fields:
      num_classes, embed_dim, depth, patch_size, num_heads, mlp_ratio: sizes; num_heads divides embed_dim.
      drop_path_rate: of the last block; those before rise to it from 0.
      use_temporal_attn, temporal_attn_every: a temporal block after every `temporal_attn_every`th spatial one.
      use_pos_embed: learned positions, shared by the frames.
      dtype, param_dtype: of the computation (None: promoted from x and the parameters) and the parameters.
    """

    num_classes: int = 10
    embed_dim: int = 384
    depth: int = 12
    patch_size: int = 16
    num_heads: int = 6
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    use_temporal_attn: bool = True
    temporal_attn_every: int = 3
    use_pos_embed: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @classmethod
    def sized(cls, size: str, **fields: Any) -> BaselineViT:
        """The published tiny, small or base: embed_dim 192, 384 or 768, of 3, 6 or 12 heads.

        Raises:
          ValueError: another size.
        """
        if size not in SIZES:
            raise ValueError(f"size: got {size!r}, expected one of {', '.join(SIZES)}")
        embed_dim, num_heads = SIZES[size]
        return cls(embed_dim=embed_dim, num_heads=num_heads, **fields)

    @nn.compact
    def __call__(self, x: Array, training: bool = True) -> Array:
        """Logits (B, num_classes) of a video (B, T, H, W, C_in); training needs the rng `dropout` for drop path.

        Raises:
          TypeError, ValueError: x is no real floating video, or a field does not fit.
        """
        x = checked_video(x)
        if self.temporal_attn_every < 1:
            raise ValueError(f"temporal_attn_every: got {self.temporal_attn_every}, expected a positive integer")
        batch, length = x.shape[:2]
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Patches(self.embed_dim, self.patch_size, **dtypes, name="patch_embed")(x)
        height, width, channels = x.shape[2:]
        if self.use_pos_embed:
            shape = (1, 1, height, width, channels)
            x = x + self.param("pos_embed", nn.initializers.normal(0.02), shape, self.param_dtype).astype(x.dtype)
        for i, rate in enumerate(drop_rates(self.drop_path_rate, self.depth)):
            space = x.reshape(batch * length, height * width, channels)
            block = SpatialBlock(self.num_heads, self.mlp_ratio, rate, **dtypes, name=f"block{i}")
            x = block(space, deterministic=not training).reshape(x.shape)
            if self.use_temporal_attn and (i + 1) % self.temporal_attn_every == 0:
                time = jnp.moveaxis(x, 1, 3).reshape(batch * height * width, length, channels)
                time = TemporalBlock(self.num_heads, rate, **dtypes, name=f"temporal_block{i}")(
                    time, deterministic=not training
                )
                x = jnp.moveaxis(time.reshape(batch, height, width, length, channels), 3, 1)
        x = nn.LayerNorm(**dtypes, name="norm")(x).mean(axis=(1, 2, 3))
        return nn.Dense(self.num_classes, **dtypes, name="head")(x)
