"""sCSSM: a linear recurrence of spatial convolutions, run in the spectral domain."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import KernelMixer, State
from cssm.nn.kernels import spectral_transition
from cssm.nn.products import ProjectedScan
from cssm_kernels import spectral_scan


class NoGateCSSM(KernelMixer):
    """S_hat_t = kappa(kernel) S_hat_{t-1} + x_hat_t;  o = D(irfft2(S_hat));  returns o - x.

    x_hat = rfft2(x) over (H, W), kappa = rho z / (1 + |z|) of the embedded kernel's spectrum, one transition (H, F, C)
    for every batch element and step. Registry key `no_gate`; source: CSSM model specification 2.1.

    Fields, besides those of `KernelMixer`:
      origin_centred_kernel: put the kernel's centre at the origin. As published it lies near the middle of the image,
        so that every step also translates the state by that position.
      implementation: of `cssm_kernels.projected_scan`, and of `spectral_scan` for a last frame alone.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    kernel_size: int = 11
    origin_centred_kernel: bool = False
    implementation: str | None = None

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone costs half the transforms."""
        x = self.checked(x)
        height, width = x.shape[2:4]
        with jax.named_scope("transition"):
            k_hat = spectral_transition(
                self.spatial_kernel(jnp.promote_types(x.dtype, jnp.float32)),
                height,
                width,
                self.spectral_rho,
                origin_centred=self.origin_centred_kernel,
            )
            k_hat = jnp.moveaxis(k_hat, 0, -1)
        before = None if state is None else state["S"]
        if not last_only:
            how: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            scan = ProjectedScan(
                self.channels, minus_x=not self.residual, **how, implementation=self.implementation, name="out_proj"
            )
            y, final = scan(x, k_hat, before)
            return y, {"S": final}
        with jax.named_scope("spectral_scan"):
            frame, final = spectral_scan(
                x, k_hat, before, last_only=True, return_final=True, implementation=self.implementation
            )
        with jax.named_scope("projection"):
            return self.project(frame[:, None], x[:, -1:]), {"S": final}
