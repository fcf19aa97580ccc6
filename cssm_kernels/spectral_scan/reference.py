"""The operation in plain `jax.lax` and `jnp.fft`: the definition every backend is held to.

Operands are aligned: (batch..., time, height, width, channels), `axis` the time's.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array, lax

from cssm_kernels.fft2.reference import irfft2, rfft2


def spectral(
    recurrence: Callable[..., tuple[Array, Array]],
    k_hat: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    last_only: bool,
) -> tuple[Array, Array]:
    """(y, final) by rfft2, a form of `linear_scan` and irfft2."""
    h, final = recurrence(k_hat, rfft2(x), h0, reset, axis=axis, reverse=reverse)
    h = last_frame(h, axis, reverse) if last_only else h
    return irfft2(h, x.shape[-2]).astype(x.dtype), final


def last_frame(frames: Array, axis: int, reverse: bool) -> Array:
    """The frame computed last, with size 1 on the time axis."""
    last = 0 if reverse else frames.shape[axis] - 1
    return lax.slice_in_dim(frames, last, last + 1, axis=axis)
