"""The growing layer whose query is a recurrence of its own."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from cssm.layers.frequency_gated import Gate
from cssm.layers.growing import GrowingMixer, Kernels, rate
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import to_spectrum


class GrowingTransformerCSSM(GrowingMixer):
    """`GrowingMixer` with Q_t = d_Q k_q Q_{t-1} + B_Q u_Q,t and (u_Q, u_K, u_V) = D(rotated x).

    Registry key `g_transformer`; source: CSSM model specification 2.16.

    Parameters: kernel_q, kernel_k, kernel_v (C, K, K), or kernel; qkv_proj (C, 3C); gates d_Q, d_K, d_V, w_KV (or d_Q_to_V,
    d_K_to_V), B_Q, B_K, B_V, C_gate (C, HF); output_proj (C, C).
    """

    def inputs(self, turned: Array, gate: Gate, k: Kernels, before: Array | None) -> tuple[Array, Array, Array, Array]:
        u = to_spectrum(self.dense(3 * self.channels, "qkv_proj")(turned), self.implementation)
        u_q, u_k, u_v = jnp.split(u, 3, axis=-1)
        q, after = self.scan(bounded_decay(gate("d_Q")) * k("q"), rate(gate, "B_Q"), u_q, before)
        return q, u_k, u_v, after
