"""CSSM-SHViT: four stages of convolutional blocks, those of the last ones with a spectral recurrence, for images and video.

Source: CSSM model specification 5.2, whose fields and parameter names these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.registry import mixer_class
from cssm.nn.blocks import MLP, DepthwiseMap, DropPath, drop_rates
from cssm.nn.conv_bn import ConvBN
from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.pooling import POOLS, pool
from cssm.nn.products import Dense

SIZES = {
    "s1": ((64, 128, 256, 384), (1, 2, 2, 1)),
    "s2": ((96, 192, 320, 448), (1, 2, 3, 1)),
    "s3": ((112, 224, 352, 480), (1, 2, 4, 1)),
    "s4": ((128, 256, 384, 512), (1, 2, 4, 1)),
}
# Of the fields of `CSSMSHViT`, those that each mixer receives beside kernel_size, block_size and rope_mode.
_BOTH = ("spectral_rho", "short_conv_size", "gate_type", "implementation")
MIXER_FIELDS = {
    "gated": (*_BOTH, "gate_activation", "short_conv_spatial_size", "dense_mixing", "mixing_rank"),
    "gdn": (
        *_BOTH,
        "delta_key_dim",
        "output_norm",
        "use_input_gates",
        "gate_proj_bias_init",
        "ssl_proj_dim",
        "static_image_fast_path",
        "num_timesteps",
    ),
}
BLOCK_NORMS = {"global_layer": (1, 2, 3, 4), "temporal_layer": (1, 4), "layer": (4,)}
_ACTS = {"none": lambda x: x, "gelu": jax.nn.gelu, "silu": jax.nn.silu}
_CHOICES = {
    "cssm_type": tuple(MIXER_FIELDS),
    "block_norm": tuple(BLOCK_NORMS),
    "output_act": tuple(_ACTS),
    "head_pool": POOLS,
}
LAST_STEP_PRIOR = 4.0


class PatchEmbed(nn.Module):
    """Two convolutions of stride 2 with batch norms, gelu between: a quarter of the resolution."""

    features: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, training: bool) -> Array:
        """(N, H, W, C_in) -> (N, H', W', features)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = jax.nn.gelu(ConvBN(self.features // 2, **dtypes, name="ConvBN_0")(x, training=training))
        return ConvBN(self.features, **dtypes, name="ConvBN_1")(x, training=training)


class Downsample(nn.Module):
    """A convolution of stride 2 with a batch norm."""

    features: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, training: bool) -> Array:
        """(N, H, W, C_in) -> (N, ceil(H / 2), ceil(W / 2), features)."""
        return ConvBN(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="ConvBN_0")(
            x, training=training
        )


class ConvBlock(nn.Module):
    """x + dp(pwconv(gelu(dwconv7x7(norm1 x)))), then x + dp(mlp(norm2 x))."""

    mlp_ratio: float
    drop_path_rate: float
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(N, H, W, C) -> (N, H, W, C)."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        drop = DropPath(self.drop_path_rate)
        y = DepthwiseMap(7, **dtypes, name="dwconv")(nn.LayerNorm(**dtypes, name="norm1")(x))
        y = Dense(x.shape[-1], **dtypes, name="pwconv")(jax.nn.gelu(y))
        x = x + drop(y, deterministic=deterministic)
        y = MLP(self.mlp_ratio, **dtypes, name="mlp")(nn.LayerNorm(**dtypes, name="norm2")(x))
        return x + drop(y, deterministic=deterministic)


class CSSMBlock(nn.Module):
    """x + dp(act(cssm(n + pos_conv(n)))), n = norm1 x, then x + dp(mlp(norm2 x)).

    An image is repeated to `num_timesteps` frames for the mixer, and the last one is kept; or, with `timestep_gate`, the
    mean of the frames weighted by softmax over t of gate_fc2(gelu(gate_fc1([q; k_t]))) + 4 [t = T - 1], q the spatial mean
    of the first frame before the norm and k_t that of the mixer's frame t. A video stays one.
    """

    cssm_type: str
    mixer_fields: Mapping[str, Any]
    num_timesteps: int
    mlp_ratio: float
    block_norm: str
    use_pos_conv: bool
    use_dwconv: bool
    timestep_gate: bool
    output_act: str
    drop_path_rate: float
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        """(B, H, W, C) or (B, T, H, W, C) to the same shape."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        drop = DropPath(self.drop_path_rate)
        mixer = mixer_class(self.cssm_type)(channels=x.shape[-1], **self.mixer_fields, **dtypes, name="cssm")
        is_image = x.ndim == 4
        still = is_image and getattr(mixer, "static_image_fast_path", False)
        frames = x[:, None] if is_image else x
        if is_image and not still:
            frames = jnp.broadcast_to(frames, (x.shape[0], self.num_timesteps, *x.shape[1:]))
        y = nn.LayerNorm(reduction_axes=BLOCK_NORMS[self.block_norm], **dtypes, name="norm1")(frames)
        if self.use_pos_conv:
            y = y + DepthwiseConv(3, **dtypes, name="pos_conv")(y)
        if still:
            y = mixer(y[:, 0])
        else:
            y = mixer(y, last_only=is_image and not self.timestep_gate)
            if self.timestep_gate:
                y = self._weighted(frames, y, dtypes)[:, None] if is_image else y
            y = y[:, -1] if is_image else y
        x = x + drop(_ACTS[self.output_act](y), deterministic=deterministic)
        y = nn.LayerNorm(**dtypes, name="norm2")(x)
        y = MLP(self.mlp_ratio, self.use_dwconv, **dtypes, name="mlp")(y)
        return x + drop(y, deterministic=deterministic)

    def _weighted(self, frames: Array, y: Array, dtypes: Mapping[str, Any]) -> Array:
        channels = y.shape[-1]
        k = y.mean(axis=(2, 3))
        q = jnp.broadcast_to(frames[:, 0].mean(axis=(1, 2))[:, None], k.shape)
        hidden = nn.Dense(max(channels // 4, 8), **dtypes, name="gate_fc1")(jnp.concatenate([q, k], axis=-1))
        logits = nn.Dense(1, **dtypes, name="gate_fc2")(jax.nn.gelu(hidden))[..., 0]
        weights = jax.nn.softmax(logits.at[:, -1].add(LAST_STEP_PRIOR), axis=1)
        return jnp.einsum("bt,bthwc->bhwc", weights, y)


class CSSMSHViT(nn.Module):
    """patch_embed, four stages of `depths` blocks with a downsampling before each but the first, norm, pool, dropout, head.

    Fields:
      num_classes, embed_dims, depths, mlp_ratio: sizes; `CSSMSHViT.sized("s1")` to "s4" gives the published ones.
      drop_rate, drop_path_rate: of the head's input; of the residual branches, rising from 0 over the blocks.
      use_cssm_stages, kernel_sizes: for each stage, whether its blocks have a mixer, and the mixer's K.
      cssm_type: gated or gdn; fields with the name of one of theirs go to it (`MIXER_FIELDS`).
      num_timesteps: T, to which each mixer's block repeats an image.
      block_norm: before the mixer: global_layer over (T, H, W, C), temporal_layer over (T, C), layer over C.
      use_pos_conv: a 3 x 3 depthwise convolution added before the mixer; use_dwconv: one within its MLP.
      output_act: after the mixer: none, gelu or silu.
      head_pool: max or mean over space, and over time of a video.
      static_image_fast_path: of the gdn layer, for images.
      timestep_gate: see `CSSMBlock`.
      linear_probe: also return logits of a second head, linear_probe_head, that passes no gradient to the features.
      implementation: of the mixers' operations.
      dtype, param_dtype: of the computation (None: promoted from x and the parameters) and the parameters.

    Sows `pooled_features` (B, C), float32, in `intermediates`.
    """

    num_classes: int = 1000
    embed_dims: tuple[int, ...] = (128, 256, 384, 512)
    depths: tuple[int, ...] = (1, 2, 4, 1)
    mlp_ratio: float = 4.0
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    use_cssm_stages: tuple[bool, ...] = (False, False, True, True)
    cssm_type: str = "gated"
    dense_mixing: bool = False
    block_size: int = 32
    mixing_rank: int = 0
    gate_activation: str = "softplus"
    num_timesteps: int = 8
    kernel_sizes: tuple[int, ...] = (15, 15, 5, 3)
    spectral_rho: float = 0.999
    rope_mode: str = "none"
    use_dwconv: bool = True
    output_act: str = "none"
    short_conv_size: int = 4
    short_conv_spatial_size: int = 3
    delta_key_dim: int = 2
    output_norm: str = "rms"
    gate_type: str = "factored"
    block_norm: str = "global_layer"
    use_pos_conv: bool = True
    gate_proj_bias_init: float = 0.0
    head_pool: str = "max"
    static_image_fast_path: bool = False
    use_input_gates: bool = True
    ssl_proj_dim: int = 0
    linear_probe: bool = False
    timestep_gate: bool = False
    implementation: str | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @classmethod
    def sized(cls, size: str, **fields: Any) -> CSSMSHViT:
        """The published s1, s2, s3 or s4.

        Raises:
          ValueError: another size.
        """
        if size not in SIZES:
            raise ValueError(f"size: got {size!r}, expected one of {', '.join(SIZES)}")
        embed_dims, depths = SIZES[size]
        return cls(embed_dims=embed_dims, depths=depths, **fields)

    @nn.compact
    def __call__(self, x: Array, training: bool = True) -> Array | tuple[Array, Array]:
        """Logits (B, num_classes) of images (B, H, W, C_in) or a video (B, T, H, W, C_in).

        Training updates batch statistics and needs the rng `dropout`, if drop_rate or drop_path_rate is positive. With
        `linear_probe` a pair of logits.

        Raises:
          TypeError, ValueError: x is neither, or a field is not one of its choices.
        """
        self._check(x)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        rates = iter(drop_rates(self.drop_path_rate, sum(self.depths)))
        x = _frames(PatchEmbed(self.embed_dims[0], **dtypes, name="patch_embed"), x, training=training)
        for stage, depth in enumerate(self.depths):
            if stage:
                x = _frames(
                    Downsample(self.embed_dims[stage], **dtypes, name=f"downsample{stage}"), x, training=training
                )
            for i in range(depth):
                name = f"stage{stage}_block{i}"
                if self.use_cssm_stages[stage]:
                    x = self._cssm_block(stage, next(rates), dtypes, name)(x, deterministic=not training)
                else:
                    block = ConvBlock(self.mlp_ratio, next(rates), **dtypes, name=name)
                    x = _frames(block, x, deterministic=not training)
        return self._head(nn.LayerNorm(**dtypes, name="norm")(x), training, dtypes)

    def _check(self, x: Array) -> None:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
        if x.ndim not in (4, 5):
            raise ValueError(f"x: got shape {x.shape}, expected (B, H, W, C_in) or (B, T, H, W, C_in)")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}: got {getattr(self, field)!r}, expected one of {', '.join(choices)}")
        for field in ("depths", "use_cssm_stages", "kernel_sizes"):
            if len(getattr(self, field)) != len(self.embed_dims):
                raise ValueError(f"{field}: got {getattr(self, field)}, expected one for each of embed_dims")
        if self.num_timesteps < 1:
            raise ValueError(f"num_timesteps: got {self.num_timesteps}, expected a positive integer")

    def _cssm_block(self, stage: int, rate: float, dtypes: Mapping[str, Any], name: str) -> CSSMBlock:
        fields = {field: getattr(self, field) for field in ("block_size", "rope_mode", *MIXER_FIELDS[self.cssm_type])}
        return CSSMBlock(
            self.cssm_type,
            FrozenDict(fields, kernel_size=self.kernel_sizes[stage]),
            num_timesteps=self.num_timesteps,
            mlp_ratio=self.mlp_ratio,
            block_norm=self.block_norm,
            use_pos_conv=self.use_pos_conv,
            use_dwconv=self.use_dwconv,
            timestep_gate=self.timestep_gate,
            output_act=self.output_act,
            drop_path_rate=rate,
            **dtypes,
            name=name,
        )

    def _head(self, x: Array, training: bool, dtypes: Mapping[str, Any]) -> Array | tuple[Array, Array]:
        x = pool(x, self.head_pool, range(1, x.ndim - 1))
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        self.sow("intermediates", "pooled_features", x)
        features = x
        x = nn.Dropout(self.drop_rate, deterministic=not training)(x)
        logits = nn.Dense(self.num_classes, param_dtype=self.param_dtype, name="head")(x)
        if not self.linear_probe:
            return logits
        probe = nn.Dense(self.num_classes, param_dtype=self.param_dtype, name="linear_probe_head")
        return logits, probe(jax.lax.stop_gradient(features))


def _frames(module: nn.Module, x: Array, **options: bool) -> Array:
    """A module of images, on those or on the frames of a video."""
    y = module(x.reshape(-1, *x.shape[-3:]), **options)
    return y.reshape(*x.shape[:-3], *y.shape[1:])
