"""Softmax attention over space, and over time: the transformer block that the recurrences are compared with."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
from jax import Array

from cssm.layers.base import State, StochasticMixer
from cssm.nn.attention import attend
from cssm.nn.blocks import DropPath


class SpatialAttentionCSSM(StochasticMixer):
    """z = x + pos_embed, then three residual branches;  returns z - x.

        z <- z + gamma1 D(attend(D(LN z)))       over the HW tokens of each frame
        z <- z + gamma2 D(gelu(D(LN z)))         the MLP
        z <- z + gamma_t D(attend(D(LN z)))      over the T tokens of each pixel, if `use_temporal_attn`; not causal

    Registry keys `spatial_attn` and, with the third, `spatiotemporal_attn`; source: CSSM model specification 2.12.

    Fields, besides those of `Mixer`:
      num_heads: attention heads, a divisor of C.
      mlp_ratio: hidden width of the MLP over C.
      drop_path_rate: probability with which a branch is left out, for each frame (for each pixel, over time).
      layer_scale_init: initial value of the gammas.
      use_temporal_attn: with the third branch.
      deterministic: as `StochasticMixer`'s; None to leave branches out wherever the rng `dropout` is supplied, even in
        evaluation, as published.
      kernel_size: not read, as published.

    Parameters: pos_embed (1, 1, H, W, C); norm1, norm2/{scale, bias}; attn_qkv (C, 3C); attn_proj (C, C); gamma1 (C);
    mlp_fc1 (C, rC); mlp_fc2 (rC, C); gamma2 (C); over time norm_t, t_attn_qkv, t_attn_proj and gamma_t, as the first.
    """

    num_heads: int = 4
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0
    layer_scale_init: float = 1e-6
    use_temporal_attn: bool = False

    @property
    def not_streaming(self) -> str:  # type: ignore[override]
        """Why there is no `step`."""
        return "attention over time reads later frames" if self.use_temporal_attn else ""

    def check_fields(self) -> None:
        super().check_fields()
        if self.num_heads < 1 or self.channels % self.num_heads:
            raise ValueError(f"num_heads: got {self.num_heads}, expected a divisor of channels={self.channels}")
        if int(self.channels * self.mlp_ratio) < 1:
            raise ValueError(
                f"mlp_ratio: got {self.mlp_ratio}, expected at least 1 / channels, {1 / self.channels:.3g}"
            )
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: got {self.drop_path_rate}, expected a rate in [0, 1)")

    @nn.compact
    def advance(
        self, x: Array, state: State | None, *, last_only: bool = False, deterministic: bool | None = None
    ) -> tuple[Array, State]:
        """(y, {}) of the frames x; of spatial attention the last frame alone can be had without the others."""
        x = self.checked(x)
        if last_only and not self.use_temporal_attn:
            x = x[:, -1:]
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        frames, tokens = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        pos_embed = self.parameter("pos_embed", nn.initializers.normal(0.02), (1, 1, *x.shape[2:]))
        z = (x + pos_embed.astype(x.dtype)).reshape(frames, tokens, -1)
        z = self._branch(z, "norm1", self._attention("attn"), "gamma1", deterministic)
        z = self._branch(z, "norm2", self._mlp, "gamma2", deterministic)
        z = z.reshape(x.shape)
        if self.use_temporal_attn:
            by_pixel = z.swapaxes(1, 2).swapaxes(2, 3)
            z = by_pixel.reshape(-1, x.shape[1], self.channels)
            z = self._branch(z, "norm_t", self._attention("t_attn"), "gamma_t", deterministic)
            z = z.reshape(by_pixel.shape).swapaxes(2, 3).swapaxes(1, 2)
        return z - x, {}

    def _branch(self, z: Array, norm: str, f: Callable[[Array], Array], gamma: str, deterministic: bool) -> Array:
        """z + gamma f(LN z), left out for some of the first axis; z (N, tokens, C)."""
        with jax.named_scope(norm):
            update = f(nn.LayerNorm(dtype=self.dtype, param_dtype=self.param_dtype, name=norm)(z))
            scale = self.parameter(gamma, nn.initializers.constant(self.layer_scale_init), (self.channels,))
            update = scale.astype(update.dtype) * update
            return z + DropPath(self.drop_path_rate)(update, deterministic=deterministic)

    def _attention(self, name: str) -> Callable[[Array], Array]:
        def attention(z: Array) -> Array:
            qkv = self.dense(3 * self.channels, f"{name}_qkv")(z)
            return self.dense(self.channels, f"{name}_proj")(attend(qkv, self.num_heads))

        return attention

    def _mlp(self, z: Array) -> Array:
        hidden = jax.nn.gelu(self.dense(int(self.channels * self.mlp_ratio), "mlp_fc1")(z))
        return self.dense(self.channels, "mlp_fc2")(hidden)


class SpatiotemporalAttentionCSSM(SpatialAttentionCSSM):
    """`SpatialAttentionCSSM` with attention over time, registry key `spatiotemporal_attn`."""

    use_temporal_attn: bool = True
