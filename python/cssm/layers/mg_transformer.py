"""The growing layer whose query is a convolution over space and the last few frames."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array, lax

from cssm.layers.frequency_gated import Gate
from cssm.layers.growing import GrowingMixer, Kernels
from cssm.nn.spectra import to_spectrum


class MambaGrowingTransformerCSSM(GrowingMixer):
    """`GrowingMixer` with Q_t = rfft2(gelu(conv(rotated x)_t)) and (u_K, u_V) = D(rotated x).

    conv is a full convolution over q_temporal frames, causal, and q_spatial x q_spatial pixels, zero-padded, without bias.
    Registry key `mg_transformer`; source: CSSM model specification 2.16.

    Fields, besides those of `GrowingMixer`:
      q_temporal, q_spatial: sizes of the convolution.

    Parameters: q_conv_kernel (q_temporal, q_spatial, q_spatial, C, C); kernel_k, kernel_v (C, K, K), or kernel; kv_proj
    (C, 2C); gates d_K, d_V, w_KV (or d_Q_to_V, d_K_to_V), B_K, B_V, C_gate (C, HF); output_proj (C, C).
    """

    q_temporal: int = 3
    q_spatial: int = 5

    def check_fields(self) -> None:
        super().check_fields()
        for field in ("q_temporal", "q_spatial"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a positive integer")

    def inputs(self, turned: Array, gate: Gate, k: Kernels, before: Array | None) -> tuple[Array, Array, Array, Array]:
        shape = (self.q_temporal, self.q_spatial, self.q_spatial, self.channels, self.channels)
        kernel = self.parameter("q_conv_kernel", nn.initializers.xavier_normal(), shape)
        frames, kernel = promote_dtype(turned, kernel, dtype=self.dtype)
        memory = jnp.zeros_like(frames, shape=(len(frames), self.q_temporal - 1, *frames.shape[2:]))
        frames = jnp.concatenate([memory if before is None else before, frames], axis=1)
        sides = ((self.q_spatial - 1) // 2, self.q_spatial // 2)
        q = lax.conv_general_dilated(
            frames, kernel, (1, 1, 1), ((0, 0), sides, sides), dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )
        u = to_spectrum(self.dense(2 * self.channels, "kv_proj")(turned), self.implementation)
        u_k, u_v = jnp.split(u, 2, axis=-1)
        return to_spectrum(jax.nn.gelu(q), self.implementation), u_k, u_v, frames[:, turned.shape[1] :]
