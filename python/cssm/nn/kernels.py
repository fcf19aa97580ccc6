"""From a compact spatial kernel to the spectral transition of a recurrence.

    P_{H,W}(k)    the (C, K, K) kernel as a (C, H, W) image
    sq_rho(z)     rho z / (1 + |z|), a complex number brought inside the disc of radius rho
    kappa(k)      sq_rho(rfft2(P(k))), the transition of a spectral recurrence

Source: CSSM model specification 0.3 and 0.4.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def embed_kernel(kernel: Array, height: int, width: int, *, origin_centred: bool = False) -> Array:
    """The kernel as an image: zero-padded, or cropped where it is larger, each axis on its own.

    Along an axis of length L, K <= L puts floor((L-K)/2) zeros before the taps; K > L keeps L taps from
    floor((K-L)/2) on. The centre tap therefore lies near the middle of the image, and a product with this kernel's
    spectrum also translates by that position. `origin_centred` moves the centre tap, index floor((K-1)/2), to the
    origin, so that nothing is translated.

    A kernel larger than the image on one axis only is cropped on that axis and padded on the other; the published
    code has no meaningful result there, and is reproduced everywhere else.

    Args:
      kernel: real (C, K, K).
      height, width: H and W, positive.

    Returns:
      (C, H, W), dtype of `kernel`.

    Raises:
      ValueError: `kernel` is not (C, K, K), or H or W is not positive.
    """
    if kernel.ndim != 3 or kernel.shape[1] != kernel.shape[2]:
        raise ValueError(f"kernel: got shape {kernel.shape}, expected (C, K, K)")
    if height < 1 or width < 1:
        raise ValueError(f"height, width: got {height}, {width}, expected positive sizes")
    for axis, length in ((1, height), (2, width)):
        kernel = _fit(kernel, axis, length, origin_centred)
    return kernel


def spectral_squash(z: Array, rho: float) -> Array:
    """sq_rho(z) = rho z / (1 + |z|): same phase, modulus below rho. Small values shrink too: |z| = 1 gives rho / 2."""
    return rho * z / (1 + jnp.abs(z))


def spectral_transition(kernel: Array, height: int, width: int, rho: float, *, origin_centred: bool = False) -> Array:
    """kappa(k) = sq_rho(rfft2(P(k))): complex (C, H, W//2 + 1), every modulus below `rho`."""
    return spectral_squash(jnp.fft.rfft2(embed_kernel(kernel, height, width, origin_centred=origin_centred)), rho)


def _fit(kernel: Array, axis: int, length: int, origin_centred: bool) -> Array:
    size = kernel.shape[axis]
    centre = (size - 1) // 2
    if size > length:
        start = (size - length) // 2
        kernel = jnp.take(kernel, jnp.arange(start, start + length), axis=axis)
        centre -= start
    else:
        before = (length - size) // 2
        padding = [(0, 0)] * kernel.ndim
        padding[axis] = (before, length - size - before)
        kernel = jnp.pad(kernel, padding)
        centre += before
    return jnp.roll(kernel, -centre, axis=axis) if origin_centred else kernel
