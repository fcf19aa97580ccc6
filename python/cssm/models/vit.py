"""CSSM-ViT: a transformer whose attention is a spectral recurrence over the video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.base import Mixer
from cssm.layers.registry import mixer_class
from cssm.models.video import checked_video
from cssm.nn.blocks import MLP, DropPath, drop_rates
from cssm.nn.patches import Patches
from cssm.nn.pooling import POOLS, pool

SIZES = {"tiny": 192, "small": 384, "base": 768}
OUTPUT_ACTS: dict[str, Callable[[Array], Array]] = {"none": lambda x: x, "gelu": jax.nn.gelu, "silu": jax.nn.silu}
# Of the fields below, those that each mixer receives.
MIXER_FIELDS = {
    "gated": ("dense_mixing", "concat_xy", "gate_activation", "gate_rank"),
    "hgru_bi": ("gate_activation", "readout_state", "pre_output_act", "gate_rank", "dense_mixing"),
    "transformer": ("pre_output_act", "gate_activation", "gate_rank", "dense_mixing"),
}
_CHOICES = {
    "stem_mode": ("patch", "conv"),
    "stem_norm": ("layer", "batch"),
    "output_act": tuple(OUTPUT_ACTS),
    "readout_act": tuple(OUTPUT_ACTS),
    "pooling_mode": (*POOLS, "logsumexp"),
}


class ConvStem(nn.Module):
    """norm(gelu(conv(x))), conv 3 x 3 of a stride, frame by frame. Parameters: conv (3, 3, C_in, E); norm (E)."""

    features: int
    stride: int
    norm: str
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, training: bool) -> Array:
        """(B, T, H, W, C_in) -> (B, T, ceil(H / s), ceil(W / s), E)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = jax.nn.gelu(nn.Conv(self.features, (3, 3), strides=(self.stride,) * 2, **dtypes, name="conv")(x))
        if self.norm == "batch":
            return nn.BatchNorm(use_running_average=not training, **dtypes, name="norm")(x)
        return nn.LayerNorm(**dtypes, name="norm")(x)


class CSSMViTBlock(nn.Module):
    """x + dp(gamma1 act(cssm(norm1 x))), then x + dp(gamma2 mlp(norm2 x)).

    Parameters: norm1, cssm, gamma1 (C), norm2, mlp, gamma2 (C).
    """

    mixer: type[Mixer]
    mixer_fields: Mapping[str, Any]
    mlp_ratio: float
    use_dwconv: bool
    output_act: str
    layer_scale_init: float
    drop_path_rate: float
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(B, T, H, W, C) -> (B, T, H, W, C)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        drop = DropPath(self.drop_path_rate)
        scale = nn.initializers.constant(self.layer_scale_init)
        y = self.mixer(channels=x.shape[-1], **self.mixer_fields, **dtypes, name="cssm")(
            nn.LayerNorm(**dtypes, name="norm1")(x)
        )
        gamma = self.param("gamma1", scale, x.shape[-1:], self.param_dtype)
        x = x + drop(gamma * OUTPUT_ACTS[self.output_act](y), deterministic=deterministic)
        y = MLP(self.mlp_ratio, self.use_dwconv, **dtypes, name="mlp")(nn.LayerNorm(**dtypes, name="norm2")(x))
        gamma = self.param("gamma2", scale, x.shape[-1:], self.param_dtype)
        return x + drop(gamma * y, deterministic=deterministic)


class CSSMViT(nn.Module):
    """stem, positions, `depth` blocks of a mixer and an MLP; then act, norm, and a head at every pixel, whose logits of the
    last frame are pooled over space. Source: CSSM model specification 5.1, whose fields and parameter names these are.

    Fields:
      num_classes, embed_dim, depth, mlp_ratio: sizes.
      cssm_type: gated, hgru_bi or transformer. The published model takes any other name for hgru_bi, its default
        'opponent' and 'kqv' among them: `published_fallback=True` does so too, where this one raises.
      stem_mode: 'patch' (side and stride patch_size) or 'conv' (3 x 3 of stride stem_stride, gelu, stem_norm).
      kernel_size, block_size, rope_mode: of every mixer; others go to those that have them: see `MIXER_FIELDS`. With
        'gated', the default gate_activation 'sigmoid' makes Delta twice a sigmoid.
      use_dwconv: a depthwise convolution within the MLPs.
      output_act: after every mixer; readout_act: before the norm; both none, gelu or silu.
      layer_scale_init, drop_path_rate: of the residual branches; the rate rises from 0 over the blocks.
      pooling_mode: of logits over space: mean, max or logsumexp.
      implementation: of the mixers' operations.
      dtype, param_dtype: of the computation (None: promoted from x and the parameters) and the parameters.
    """

    num_classes: int = 10
    embed_dim: int = 384
    depth: int = 12
    patch_size: int = 16
    stem_mode: str = "conv"
    stem_stride: int = 4
    stem_norm: str = "layer"
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    cssm_type: str = "opponent"
    dense_mixing: bool = False
    concat_xy: bool = True
    gate_activation: str = "sigmoid"
    use_pos_embed: bool = True
    rope_mode: str = "none"
    block_size: int = 32
    gate_rank: int = 0
    kernel_size: int = 11
    use_dwconv: bool = False
    output_act: str = "none"
    layer_scale_init: float = 1e-6
    readout_state: str = "xyz"
    pre_output_act: str = "none"
    pooling_mode: str = "mean"
    readout_act: str = "gelu"
    published_fallback: bool = False
    implementation: str | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @classmethod
    def sized(cls, size: str, **fields: Any) -> CSSMViT:
        """The published tiny, small or base: embed_dim 192, 384 or 768.

        Raises:
          ValueError: another size.
        """
        if size not in SIZES:
            raise ValueError(f"size: got {size!r}, expected one of {', '.join(SIZES)}")
        return cls(embed_dim=SIZES[size], **fields)

    @nn.compact
    def __call__(self, x: Array, training: bool = True, return_spatial: bool = False) -> Array | tuple[Array, Array]:
        """Logits (B, num_classes) of a video (B, T, H, W, C_in); training needs the rng `dropout` for drop path.

        With `return_spatial` also those of every pixel and frame, (B, T, H', W', num_classes).

        Raises:
          TypeError, ValueError: x is no real floating video, or a field is not one of its choices.
        """
        x = checked_video(x)
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}: got {getattr(self, field)!r}, expected one of {', '.join(choices)}")
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.stem_mode == "patch":
            x = Patches(self.embed_dim, self.patch_size, **dtypes, name="stem")(x)
        else:
            x = ConvStem(self.embed_dim, self.stem_stride, self.stem_norm, **dtypes, name="stem")(x, training=training)
        if self.use_pos_embed:
            shape = (1, 1, *x.shape[2:])
            x = x + self.param("pos_embed", nn.initializers.normal(0.02), shape, self.param_dtype).astype(x.dtype)
        key = self._key()
        fields = {name: getattr(self, name) for name in ("kernel_size", "block_size", "rope_mode", *MIXER_FIELDS[key])}
        for i, rate in enumerate(drop_rates(self.drop_path_rate, self.depth)):
            block = CSSMViTBlock(
                mixer_class(key),
                FrozenDict(fields, implementation=self.implementation),
                self.mlp_ratio,
                self.use_dwconv,
                self.output_act,
                self.layer_scale_init,
                rate,
                **dtypes,
                name=f"block{i}",
            )
            x = block(x, deterministic=not training)
        x = nn.LayerNorm(**dtypes, name="norm")(OUTPUT_ACTS[self.readout_act](x if return_spatial else x[:, -1:]))
        logits = nn.Dense(self.num_classes, **dtypes, name="head")(x)
        last, space = logits[:, -1], (1, 2)
        if self.pooling_mode == "logsumexp":
            pooled = jax.scipy.special.logsumexp(last, axis=space)
        else:
            pooled = pool(last, self.pooling_mode, space)
        return (pooled, logits) if return_spatial else pooled

    def _key(self) -> str:
        if self.cssm_type in MIXER_FIELDS:
            return self.cssm_type
        if self.published_fallback:
            return "hgru_bi"
        raise ValueError(
            f"cssm_type: got {self.cssm_type!r}, expected one of {', '.join(MIXER_FIELDS)}; the published model takes "
            f"others for hgru_bi, as published_fallback=True does"
        )
