"""The operation in plain `jax.lax` and `jnp.fft`: the definition every backend is held to.

Operands are aligned: (batch..., time, height, width, channels), `axis` the time's. The spectra are channels-first, as XLA's
FFT likes them.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array, lax

from cssm_kernels.fft2.reference import (
    channels_first,
    channels_last,
    irfft2_from_channels_first,
    rfft2_to_channels_first,
)


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
    start = None if h0 is None else channels_first(h0)
    x_hat = rfft2_to_channels_first(x)
    h, final = recurrence(channels_first(k_hat), x_hat, start, reset, axis=axis, reverse=reverse)
    h = last_frame(h, axis, reverse) if last_only else h
    return irfft2_from_channels_first(h, x.shape[-2]).astype(x.dtype), channels_last(final)


def last_frame(frames: Array, axis: int, reverse: bool) -> Array:
    """The frame computed last, with size 1 on the time axis."""
    last = 0 if reverse else frames.shape[axis] - 1
    return lax.slice_in_dim(frames, last, last + 1, axis=axis)
