"""sCSSM: a linear recurrence of spatial convolutions, run in the spectral domain."""

from __future__ import annotations

import flax.linen as nn
import jax
from jax import Array

from cssm.layers.base import DeltaMixer
from cssm.nn.fourier import spatial_irfft2, spatial_rfft2
from cssm.nn.kernels import spectral_transition
from cssm_kernels import linear_scan


class NoGateCSSM(DeltaMixer):
    """S_hat_t = kappa(kernel) S_hat_{t-1} + x_hat_t;  o = D(irfft2(S_hat));  returns o - x.

    x_hat = rfft2(x) over (H, W), kappa = rho z / (1 + |z|) of the embedded kernel's spectrum, one transition (C, H, F)
    for every batch element and step. Registry key `no_gate`; source: CSSM model specification 2.1.

    Fields, besides those of `DeltaMixer`:
      origin_centred_kernel: put the kernel's centre at the origin. As published it lies near the middle of the image,
        so that every step also translates the state by that position.
      implementation: of `cssm_kernels.linear_scan`.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    kernel_size: int = 11
    origin_centred_kernel: bool = False
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Array, injected_qkv_spatial: Array | None = None) -> Array:
        """(B, T, H, W, C) -> (B, T, H, W, C)."""
        x = self.checked(x)
        height, width = x.shape[2:4]
        with jax.named_scope("fft"):
            k_hat = spectral_transition(
                self.spatial_kernel(x.dtype),
                height,
                width,
                self.spectral_rho,
                origin_centred=self.origin_centred_kernel,
            )
            x_hat = spatial_rfft2(x)
        with jax.named_scope("recurrence"):
            states_hat = linear_scan(k_hat[None, None], x_hat, axis=1, implementation=self.implementation)
        with jax.named_scope("inverse_fft"):
            states = spatial_irfft2(states_hat, height, width)
        with jax.named_scope("projection"):
            return self.project(states, x)
