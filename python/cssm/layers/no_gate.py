"""sCSSM: a linear recurrence of spatial convolutions, run in the spectral domain."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import DeltaMixer
from cssm.nn.kernels import spectral_transition
from cssm_kernels import spectral_scan


class NoGateCSSM(DeltaMixer):
    """S_hat_t = kappa(kernel) S_hat_{t-1} + x_hat_t;  o = D(irfft2(S_hat));  returns o - x.

    x_hat = rfft2(x) over (H, W), kappa = rho z / (1 + |z|) of the embedded kernel's spectrum, one transition (H, F, C)
    for every batch element and step. Registry key `no_gate`; source: CSSM model specification 2.1.

    Fields, besides those of `DeltaMixer`:
      origin_centred_kernel: put the kernel's centre at the origin. As published it lies near the middle of the image,
        so that every step also translates the state by that position.
      implementation: of `cssm_kernels.spectral_scan`.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    kernel_size: int = 11
    origin_centred_kernel: bool = False
    implementation: str | None = None

    returns_last: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: Array, injected_qkv_spatial: Array | None = None, *, last_only: bool = False) -> Array:
        """(B, T, H, W, C) -> (B, T, H, W, C), or the last frame alone, (B, 1, H, W, C), at half the transforms."""
        x = self.checked(x)
        height, width = x.shape[2:4]
        with jax.named_scope("transition"):
            k_hat = spectral_transition(
                self.spatial_kernel(x.dtype),
                height,
                width,
                self.spectral_rho,
                origin_centred=self.origin_centred_kernel,
            )
        with jax.named_scope("spectral_scan"):
            states = spectral_scan(
                x, jnp.moveaxis(k_hat, 0, -1), last_only=last_only, implementation=self.implementation
            )
        if last_only:
            states, x = states[:, None], x[:, -1:]
        with jax.named_scope("projection"):
            return self.project(states, x)
