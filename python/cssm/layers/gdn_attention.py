r"""Spatial attention that integrates over the frames, the option `int_attention_mode` of `GatedDeltaNetCSSM`.

    s_t = gamma s_{t-1} + (1 - gamma) a_t,   y_t sigmoid(s_t)            a_t one number a pixel, gamma = sigmoid(attn_gamma)

    elementwise   a = D(y), C -> 1
    qk            a = sum_i q_i k_i / sqrt(d_a), q and k = D(y), C -> d_a
    spectral      a = D(y), C -> 1, and s in the spectrum with gamma kappa(attn_kernel) for gamma

Parameters, among the layer's: attn_collapse (C, 1), or attn_q and attn_k (C, d_a); attn_kernel (1, K, K) of spectral;
attn_gamma (1), 2 at first. Source: CSSM model specification 2.5.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import Mixer
from cssm.nn.kernels import spectral_transition
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm_kernels import linear_scan

ATTENTION_MODES = ("none", "elementwise", "qk", "spectral")


def attended(
    mixer: Mixer,
    y: Array,
    before: Array | None,
    *,
    mode: str,
    kernel_size: int,
    dim: int,
    rho: float,
    implementation: str | None,
) -> tuple[Array, Array]:
    """(y (B, T, H, W, C) times its attention, the last s); must be called from a compact method of `mixer`."""
    dtype, (height, width) = spectral_dtype(y), y.shape[2:4]
    transition: Array | float = 1.0
    if mode == "qk":
        a = (mixer.dense(dim, "attn_q")(y) * mixer.dense(dim, "attn_k")(y)).sum(-1, keepdims=True) / dim**0.5
    else:
        a = mixer.dense(1, "attn_collapse")(y)
    a = a.astype(dtype)
    if mode == "spectral":
        kernel = mixer.parameter("attn_kernel", nn.initializers.xavier_normal(), (1, kernel_size, kernel_size))
        transition = jnp.moveaxis(spectral_transition(kernel.astype(dtype), height, width, rho), 0, -1)
        a = to_spectrum(a, implementation)
    gamma = jax.nn.sigmoid(mixer.parameter("attn_gamma", nn.initializers.constant(2.0), (1,)).astype(dtype))
    s, after = linear_scan(
        gamma * transition, (1 - gamma) * a, before, axis=1, return_final=True, implementation=implementation
    )
    if mode == "spectral":
        s = to_space(s, width, implementation)
    return y * jax.nn.sigmoid(s).astype(y.dtype), after
