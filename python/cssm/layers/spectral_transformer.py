"""A query that gates its keys and values in space, pixel by pixel, between steps in the spectral domain."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import to_space, to_spectrum
from cssm_kernels import linear_scan


class SpectralTransformerCSSM(FrequencyGatedMixer):
    r"""Of (u_Q, u_K, u_V) = rfft2(D(rotated x)), with capitals for the spectra of q, k and v:

        Q_t = d_Q kappa_q Q_{t-1} + u_Q,t
        K_t = d_K kappa_k rfft2(q_t k_{t-1}) + rfft2(q_t irfft2(u_K,t))
        V_t = d_V kappa_v V_{t-1} + rfft2(w_t q_t k_{t-1}) + u_V,t;    returns D(N(v_t)), a residual update

    w = irfft2(sigmoid w_KV); decays d = 0.1 + 0.89 sigmoid; N standardises v over (H, W) for each frame and channel, then
    scales and shifts. Only K needs transforms within the recurrence, and is run step by step. Registry key
    `spectral_transformer`; source: CSSM model specification 2.16, which has K and V in words; the formulas are our reading.

    Fields, besides those of `FrequencyGatedMixer`:
      implementation: of `cssm_kernels.linear_scan`, for Q and V.

    Parameters: kernel_q, kernel_k, kernel_v (C, K, K); qkv_proj (C, 3C); gates d_Q, d_K, d_V, w_KV (C, HF); ln_gamma,
    ln_beta (C, 1, 1); output_proj (C, C).
    """

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        before = state or {"t": 0, "Q": None, "K": None, "V": None}
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + x.shape[1])}
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            u_q, u_k, u_v = jnp.split(self.dense(3 * self.channels, "qkv_proj")(turned), 3, axis=-1)
        with jax.named_scope("gates"):
            gate = self.gates(self.context(x, turned, before["t"]), x)
            a_q, a_k, a_v = (
                bounded_decay(gate(f"d_{state.upper()}")) * self.k_hat(f"kernel_{state}", x) for state in "qkv"
            )
            w = self._space(jax.nn.sigmoid(gate("w_KV")).astype(a_q.dtype), x)
        with jax.named_scope("recurrence"):
            query, after["Q"] = self._scan(a_q, self._spectrum(u_q), before["Q"])
            q = self._space(query, x)
            first = jnp.zeros_like(q[:, 0]) if before["K"] is None else before["K"]
            k_before, after["K"] = self._keys(a_k, q, self._spectrum(q * u_k), first)
            value, after["V"] = self._scan(a_v, self._spectrum(w * q * k_before + u_v), before["V"])
        with jax.named_scope("output"):
            v = self._normalised(self._space(value[:, -1:] if last_only else value, x))
            return self.dense(self.channels, "output_proj")(v.astype(x.dtype)), after

    def _keys(self, a: Array, q: Array, u: Array, first: Array) -> tuple[Array, Array]:
        """(k_{t-1} of every step (B, T, H, W, C), the last k), from the k before the first step."""

        def step(k: Array, operands: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            a_t, q_t, u_t = operands
            return self._space(a_t * self._spectrum(q_t * k) + u_t, q), k

        last, before = lax.scan(step, first, jax.tree.map(lambda v: jnp.moveaxis(v, 1, 0), (a, q, u)))
        return jnp.moveaxis(before, 0, 1), last

    def _scan(self, a: Array, u: Array, before: Array | None) -> tuple[Array, Array]:
        return linear_scan(a, u, before, axis=1, return_final=True, implementation=self.implementation)

    def _spectrum(self, x: Array) -> Array:
        return to_spectrum(x, self.implementation)

    def _space(self, x_hat: Array, like: Array) -> Array:
        return to_space(x_hat, like.shape[3], self.implementation)

    def _normalised(self, v: Array) -> Array:
        scale, bias = (
            self.parameter(name, init, (self.channels, 1, 1)).astype(v.dtype)[:, 0, 0]
            for name, init in (("ln_gamma", nn.initializers.ones), ("ln_beta", nn.initializers.zeros))
        )
        centred = v - v.mean((2, 3), keepdims=True)
        # Of a constant frame the root would have an infinite slope.
        deviation = jnp.sqrt((centred**2).mean((2, 3), keepdims=True) + jnp.finfo(v.dtype).tiny)
        return scale * centred / (deviation + 1e-6) + bias
