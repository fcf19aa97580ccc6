"""A recurrence of compact convolutions, in real space or in the spectral domain: the fair comparison of the two."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import KernelMixer, State
from cssm.nn.circular import circular_recurrence, fold_taps
from cssm_kernels import spectral_scan

FORMS = ("realspace", "spectral")


class RealSpaceCompactSeqCSSM(KernelMixer):
    """S_t = k * S_{t-1} + x_t,  (k * s)[y] = sum_i k[i] s[y - i + (K-1)//2] mod (H, W);  o = D(S);  returns o - x.

    k = rho kernel / (||kernel||_1 + 1e-8) per channel, K x K taps. The spectral squash would spread the taps over the
    image; the L1 norm keeps them and bounds |k_hat(f)| <= sum |k| < rho at every frequency: the recurrence is stable.

    form='realspace'   K x K taps a step, one step at a time
    form='spectral'    the same transition as k_hat = rfft2(k), by `spectral_scan` with `implementation`

    Registry key `realspace_compact_seq`; ours, see section 8 of the CSSM model specification.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    form: str = "realspace"
    implementation: str | None = None

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        if self.form not in FORMS:
            raise ValueError(f"form: got {self.form!r}, expected one of {', '.join(FORMS)}")
        if self.form == "realspace" and self.implementation is not None:
            raise ValueError(
                f"implementation: got {self.implementation!r}, expected None: form='realspace' has no spectral scan"
            )
        kernel = self.spatial_kernel(x.dtype)
        k = self.spectral_rho * kernel / (jnp.sum(jnp.abs(kernel), axis=(1, 2), keepdims=True) + 1e-8)
        centre = (self.kernel_size - 1) // 2
        with jax.named_scope("recurrence"):
            recurrence = self._spectral if self.form == "spectral" else self._realspace
            states, final = recurrence(k, centre, x, None if state is None else state["S"])
        with jax.named_scope("projection"):
            return self.project(states, x), {"S": final}

    def _realspace(self, k: Array, centre: int, x: Array, before: Array | None) -> tuple[Array, Array]:
        states = circular_recurrence(k, jnp.transpose(x, (1, 0, 4, 2, 3)), (centre, centre), before=before)
        return jnp.transpose(states, (1, 0, 3, 4, 2)), states[-1]

    def _spectral(self, k: Array, centre: int, x: Array, before: Array | None) -> tuple[Array, Array]:
        height, width = x.shape[2:4]
        k_hat = jnp.fft.rfft2(fold_taps(fold_taps(k, 1, height, centre), 2, width, centre))
        k_hat = jnp.moveaxis(k_hat, 0, -1)
        return spectral_scan(x, k_hat, before, return_final=True, implementation=self.implementation)
