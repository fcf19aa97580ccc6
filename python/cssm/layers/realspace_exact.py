"""sCSSM without a spectral recurrence: the same operator as a circular convolution in real space."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import KernelMixer, State
from cssm.nn.circular import circular_recurrence
from cssm.nn.kernels import spectral_transition


class RealSpaceExactSeqCSSM(KernelMixer):
    """S_t = k * S_{t-1} + x_t, step by step, with k = irfft2(kappa(kernel));  o = D(S);  returns o - x.

    The values and parameters of `NoGateCSSM`: kappa's spectrum is Hermitian, so k is real, with H x W taps. What the
    recurrence costs when convolution is done directly. Registry key `realspace_exact_seq`; ours, see section 8 of the
    CSSM model specification.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    kernel_size: int = 11
    origin_centred_kernel: bool = False

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        height, width = x.shape[2:4]
        kernel = self.spatial_kernel(x.dtype)
        k_hat = spectral_transition(kernel, height, width, self.spectral_rho, origin_centred=self.origin_centred_kernel)
        with jax.named_scope("recurrence"):
            k = jnp.fft.irfft2(k_hat, s=(height, width))
            states = circular_recurrence(
                k, jnp.transpose(x, (1, 0, 4, 2, 3)), before=None if state is None else state["S"]
            )
        with jax.named_scope("projection"):
            return self.project(jnp.transpose(states, (1, 0, 3, 4, 2)), x), {"S": states[-1]}
