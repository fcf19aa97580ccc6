"""What the layers share whose gates are dense over the bins of the spectrum, one for all channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import Mixer
from cssm.nn.gates import dense_gate, spatial_mean, timed_context
from cssm.nn.kernels import embed_kernel, spectral_squash
from cssm.nn.spectra import spectral_dtype

XAVIER = nn.initializers.xavier_normal()

Gate = Callable[[str], Array]
"""name -> z (B, T, H, F, 1), unbounded."""


class FrequencyGatedMixer(Mixer):
    """A mixing layer with gates (H, F) of each frame, from its context, and spatial kernels of each channel.

    Fields, besides those of `Mixer`:
      spectral_rho: bound on the spectrum of a kernel, in (0, 1].
      implementation: of the operation of `cssm_kernels` that runs the recurrence.
    """

    spectral_rho: float = 0.999
    implementation: str | None = None

    encodes_positions: ClassVar[bool] = True

    def check_fields(self) -> None:
        super().check_fields()
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")

    def context(self, x: Array, turned: Array, first: int | Array) -> Array:
        """(B, T, C), from which the gates come: ctx+ of the rotated input, or, where `position_independent_gates` is a
        field and true, the mean of x itself."""
        return spatial_mean(x) if getattr(self, "position_independent_gates", False) else timed_context(turned, first)

    def gates(self, ctx: Array, frames: Array) -> Gate:
        """The gates of frames (B, T, H, W, ...); to be called from a compact method."""
        rows, columns = frames.shape[2], frames.shape[3] // 2 + 1
        dtype = spectral_dtype(frames)
        return lambda name: dense_gate(self.dense, ctx, name, rows, columns).astype(dtype)

    def k_hat(
        self,
        name: str,
        frames: Array,
        *,
        squash: bool = True,
        init: Callable[..., Array] = XAVIER,
    ) -> Array:
        """(H, F, C): kappa of the parameter `name` (C, K, K) for frames (B, T, H, W, ...), or without `squash` its rfft2."""
        shape = (self.channels, self.kernel_size, self.kernel_size)
        kernel = self.parameter(name, init, shape).astype(spectral_dtype(frames))
        spectrum = jnp.fft.rfft2(embed_kernel(kernel, *frames.shape[2:4]))
        return jnp.moveaxis(spectral_squash(spectrum, self.spectral_rho) if squash else spectrum, 0, -1)
