"""The transforms through jnp.fft: the definition the kernels are held to.

The inverse is defined axis by axis, because a gated spectrum is not Hermitian: the imaginary parts left in the columns
f = 0 and, for even W, f = W/2 are dropped by its last step.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import state_dtype


def rfft2(x: Array) -> Array:
    """(..., H, W, C) real -> (..., H, W//2 + 1, C) complex, unscaled."""
    return jnp.fft.fft(jnp.fft.rfft(x.astype(state_dtype(x.dtype)), axis=-2), axis=-3)


def irfft2(x_hat: Array, width: int) -> Array:
    """(..., H, W//2 + 1, C) complex -> (..., H, W, C) real, scaled by 1/(HW)."""
    return jnp.fft.irfft(jnp.fft.ifft(x_hat, axis=-3), n=width, axis=-2)
