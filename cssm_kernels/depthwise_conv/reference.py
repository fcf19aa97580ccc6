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
    """Over two dimensions where the window has no more, which XLA does faster than three."""
    *batch, steps, height, width, channels = x.shape
    window = kernel.shape[:3]
    sizes = (steps, height, width)
    unchanged = [k == 1 and o == 0 and n == m for k, o, n, m in zip(window, offset, sizes, frame)]
    if unchanged[0]:
        y = _conv(x, kernel[0], frame[1:], offset[1:])
    elif unchanged[1] and unchanged[2]:
        flat = (height * width,)
        y = _conv(x.reshape(*batch, steps, *flat, channels), kernel[:, 0], (frame[0], *flat), (offset[0], 0))
    else:
        y = _conv(x, kernel, frame, offset)
    return y.reshape(*batch, *frame, channels)


def _conv(x: Array, kernel: Array, out: tuple[int, ...], offset: tuple[int, ...]) -> Array:
    """Over the dimensions `out` of x (..., *in, C), with a kernel (*window, C), to (N, *out, C)."""
    *window, channels = kernel.shape
    sizes = x.shape[-1 - len(window) : -1]
    axes = "DHW"[-len(window) :]
    return lax.conv_general_dilated(
        x.reshape(-1, *sizes, channels),
        kernel.reshape(*window, 1, channels),
        (1,) * len(window),
        [(o, m - n + k - 1 - o) for o, m, n, k in zip(offset, out, sizes, window)],
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=channels,
    )
