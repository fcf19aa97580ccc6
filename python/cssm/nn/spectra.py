"""To the spectrum and back, channels last, for layers that work on the spectra in between.

`implementation` is a layer's: "xla" and "sequential" take XLA's transforms, "cpu" the native ones, and with any other the
platform decides.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from cssm.nn.implementations import native_or_xla
from cssm_kernels import irfft2_cl, rfft2_cl


def to_spectrum(x: Array, implementation: str | None = None) -> Array:
    """rfft2 over (H, W) of (..., H, W, C) -> complex (..., H, W//2 + 1, C)."""
    return rfft2_cl(x, implementation=native_or_xla(implementation))


def to_space(x_hat: Array, width: int, implementation: str | None = None) -> Array:
    """The inverse, axis by axis: complex (..., H, W//2 + 1, C) -> real (..., H, W, C)."""
    return irfft2_cl(x_hat, width, implementation=native_or_xla(implementation))


def spectral_dtype(x: Array) -> jnp.dtype:
    """The real dtype of the parts of rfft2(x): float32, or float64 for float64."""
    return jnp.promote_types(x.dtype, jnp.float32)


def standardised_logs(z: Array, axis: tuple[int, ...]) -> tuple[Array, Array]:
    """(n, z): n = (log |z| - mean) / (std + 1e-6), moments over `axis`; and z, where it is below 1e-7 that, of phase 0."""
    z = jnp.where(jnp.abs(z) < 1e-7, 1e-7, z)
    logs = jnp.log(jnp.abs(z))
    centred = logs - logs.mean(axis, keepdims=True)
    # Of equal magnitudes the root would have an infinite slope.
    deviation = jnp.sqrt((centred**2).mean(axis, keepdims=True) + jnp.finfo(logs.dtype).tiny)
    return centred / (deviation + 1e-6), z
