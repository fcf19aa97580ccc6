"""The convolution by lax.conv_general_dilated: the definition the kernels are held to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax


def convolve(x: Array, kernel: Array, bias: Array | None, *, frame: tuple[int, ...], offset: tuple[int, ...]) -> Array:
    """y[p] = bias + sum_i kernel[i] x[p + i - offset], p over `frame` = (T, H, W) of y, in the kernel's dtype.

    x (..., T', H', W', C), kernel (..., K_t, K_h, K_w, C), bias (..., 1, 1, 1, C), of one rank; leading dimensions
    broadcast.
    """
    y = _with_batches(x.astype(kernel.dtype), kernel, frame, offset)
    return y if bias is None else y + bias


def _with_batches(x: Array, kernel: Array, frame: tuple[int, ...], offset: tuple[int, ...]) -> Array:
    """One dimension of batches of kernels after the other; XLA's convolution has one kernel for all of its batch."""
    for axis in range(kernel.ndim - 4):
        if kernel.shape[axis] != 1:
            own = axis if x.shape[axis] != 1 else None
            x = x if own is not None else jnp.squeeze(x, axis)
            each = jax.vmap(lambda x, k: _with_batches(x, k, frame, offset), (own, axis), axis)
            return each(x, kernel)
    return _with_one_kernel(x, kernel.reshape(kernel.shape[-4:]), frame, offset)


def _with_one_kernel(x: Array, kernel: Array, frame: tuple[int, ...], offset: tuple[int, ...]) -> Array:
    """Over height and width alone where the window is one frame long, which XLA does faster."""
    *batch, steps, height, width, channels = x.shape
    window = kernel.shape[:3]
    spatial = window[0] == 1 and offset[0] == 0 and frame[0] == steps
    dims = slice(1 if spatial else 0, 3)
    lead = (-1, *x.shape[-4:-1][dims])
    padding = [(o, out - n + k - 1 - o) for o, out, k, n in zip(offset, frame, window, (steps, height, width))]
    names = "NHWC" if spatial else "NDHWC"
    y = lax.conv_general_dilated(
        x.reshape(*lead, channels),
        kernel.reshape(*window[dims], 1, channels),
        (1,) * len(window[dims]),
        padding[dims],
        dimension_numbers=(names, "HWIO" if spatial else "DHWIO", names),
        feature_group_count=channels,
    )
    return y.reshape(*batch, *frame, channels)
