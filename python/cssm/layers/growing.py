"""Layers whose query multiplies the transition of the key: what g_transformer and mg_transformer share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer, Gate
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import to_space
from cssm_kernels import gated_scan, linear_scan

Kernels = Callable[[str], Array]
"""state q, k or v -> the spectrum (H, F, C) of its kernel, a parameter that is made when first asked for."""


class GrowingMixer(FrequencyGatedMixer):
    r"""Of the spectra Q, u_K, u_V of the rotated input:

        K_t = d_K Q_t k_k K_{t-1} + B_K Q_t u_K,t
        V_t = w_KV Q_t K_{t-1} + d_V k_v V_{t-1} + B_V u_V,t;      returns D(irfft2(C V_t)), a residual update

    or, with `additive_kv`, V_t = d_QV Q_t + d_KV K_{t-1} + d_V k_v V_{t-1} + B_V u_V,t. Products with Q are of spectra:
    convolutions. Decays d = 0.1 + 0.89 sigmoid, all else sigmoid. Nothing bounds the product d_K Q_t k_k, and K grows with
    it as its powers: beyond 1e38 it overflows. A subclass says what Q is.

    Fields, besides those of `FrequencyGatedMixer`:
      position_independent_gates: gates from the spatial mean of x, without frame numbers.
      shared_kernel: one parameter `kernel` for all of kernel_q, kernel_k, kernel_v.
      additive_kv: see above; gates d_Q_to_V and d_K_to_V instead of w_KV.
      spectral_clip: kappa, bounded by spectral_rho, of the kernels, for their spectra k as they are.
      implementation: of `cssm_kernels.gated_scan`.
      use_goom: not read.
    """

    position_independent_gates: bool = False
    shared_kernel: bool = False
    additive_kv: bool = False
    spectral_clip: bool = False
    use_goom: bool = True

    def kernels(self, x: Array) -> Kernels:
        """Those of the layer, for frames x."""
        spectrum = cache(lambda name: self.k_hat(name, x, squash=self.spectral_clip))
        return lambda state: spectrum("kernel" if self.shared_kernel else f"kernel_{state}")

    def inputs(self, turned: Array, gate: Gate, k: Kernels, before: Array | None) -> tuple[Array, Array, Array, Array]:
        """(Q, u_K, u_V, state after), spectra (B, T, H, F, C), from the rotated input and the kernels."""
        raise NotImplementedError

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "q": None, "K": None, "V": None}
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + x.shape[1])}
        turned = self.rotated(x, before["t"])
        gate = self.gates(self.context(x, turned, before["t"]), x)
        k = self.kernels(x)
        with jax.named_scope("query"):
            q, u_k, u_v, after["q"] = self.inputs(turned, gate, k, before["q"])
        with jax.named_scope("recurrence"):
            key, after["K"] = self.scan(
                bounded_decay(gate("d_K")) * q * k("k"), rate(gate, "B_K") * q, u_k, before["K"]
            )
            first = jnp.zeros_like(key[:, :1]) if before["K"] is None else before["K"][:, None]
            key_before = jnp.concatenate([first, key[:, :-1]], axis=1)
            u = rate(gate, "B_V") * u_v
            if self.additive_kv:
                u += rate(gate, "d_Q_to_V") * q + rate(gate, "d_K_to_V") * key_before
            else:
                u += rate(gate, "w_KV") * q * key_before
            value, after["V"] = self.scan(bounded_decay(gate("d_V")) * k("v"), None, u, before["V"])
        output = rate(gate, "C_gate")
        if last_only:
            value, output = value[:, -1:], output[:, -1:]
        with jax.named_scope("output"):
            y = to_space(output * value, x.shape[3], self.implementation).astype(x.dtype)
            return self.dense(self.channels, "output_proj")(y), after

    def scan(self, a: Array, b: Array | None, x: Array, before: Array | None) -> tuple[Array, Array]:
        """h_t = a_t h_{t-1} + b_t x_t over the frames, b = 1 if None, and the last."""
        how: dict[str, Any] = dict(axis=1, return_final=True, implementation=self.implementation)
        return linear_scan(a, x, before, **how) if b is None else gated_scan(a, b, x, None, before, **how)


def rate(gate: Gate, name: str) -> Array:
    """The gate's sigmoid."""
    return jax.nn.sigmoid(gate(name))
