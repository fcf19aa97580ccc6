"""The transforms through jnp.fft: the definition the kernels are held to.

The inverse is defined axis by axis, because a gated spectrum is not Hermitian: the imaginary parts left in the columns
f = 0 and, for even W, f = W/2 are dropped by its last step.

XLA's FFT wants its axes last: transforms of channels-first frames move real data, those of channels-last ones complex data
too. On 2 CPU cores at (1, 64, 32, 32, 32) a pair of transforms and its gradient took 8.6 / 22.8 ms channels-first,
15.9 / 34.9 ms channels-last.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels._layout import state_dtype


def rfft2(x: Array) -> Array:
    """(..., H, W, C) real -> (..., H, W//2 + 1, C) complex, unscaled."""
    return channels_last(rfft2_to_channels_first(x))


def irfft2(x_hat: Array, width: int) -> Array:
    """(..., H, W//2 + 1, C) complex -> (..., H, W, C) real, scaled by 1/(HW)."""
    return irfft2_from_channels_first(channels_first(x_hat), width)


def rfft2_to_channels_first(x: Array) -> Array:
    """(..., H, W, C) real -> (..., C, H, W//2 + 1) complex."""
    return jnp.fft.rfft2(channels_first(x.astype(state_dtype(x.dtype))))


def irfft2_from_channels_first(x_hat: Array, width: int) -> Array:
    """(..., C, H, W//2 + 1) complex -> (..., H, W, C) real."""

    def joint(z: Array) -> Array:
        return jnp.fft.irfft2(z, s=(z.shape[-2], width))

    def axis_wise(z: Array) -> Array:
        return jnp.fft.irfft(jnp.fft.ifft(z, axis=-2), n=width, axis=-1)

    # The CPU's joint transform is the axis-wise one, bit for bit, at half its time; GPU libraries leave a non-Hermitian
    # input of theirs undefined.
    return channels_last(lax.platform_dependent(x_hat, cpu=joint, default=axis_wise))


def channels_first(x: Array) -> Array:
    """(..., H, W, C) -> (..., C, H, W)"""
    return jnp.moveaxis(x, -1, -3)


def channels_last(x: Array) -> Array:
    """(..., C, H, W) -> (..., H, W, C)"""
    return jnp.moveaxis(x, -3, -1)
