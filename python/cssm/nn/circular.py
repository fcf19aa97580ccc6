"""Circular convolution of maps in real space, and the recurrence built of it.

With a kernel k (C, P, Q) and an offset o = (o_y, o_x), 0 <= o_y < P, 0 <= o_x < Q, on maps s (N, C, H, W):

    (k * s)[h, w] = sum_{i,j} k[i, j] s[h - i + o_y, w - j + o_x]        indices of s mod H and W

o = 0 is the plain circular convolution; o = (K-1)//2 centres a compact kernel. P and Q may exceed H and W.
The adjoint is the same operation with the kernel reversed and the offset (P-1, Q-1) - o; the kernel's gradient is
a correlation. Both are spelled out below, since XLA's own transposes of these forms run several times slower on a CPU.
Reverse mode only: there is no jvp.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Offset = tuple[int, int]

MAX_UNROLLED_TAPS = 169
MAPS_PER_PRODUCT = 16  # stay in cache while the kernel's rows pass over them: 0.8 ms a map, 2.9 for 64 at once


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def circular_convolve(kernel: Array, s: Array, offset: Offset = (0, 0)) -> Array:
    """k * s, kernel (C, P, Q) and maps (N, C, H, W) to (N, C, H, W)."""
    # The barrier keeps a caller's transpose of the result from dictating the order of the loop over taps.
    return lax.optimization_barrier(_convolution(kernel, s.shape[-1], offset)(s))


def _convolve_fwd(kernel: Array, s: Array, offset: Offset) -> tuple[Array, tuple[Array, Array]]:
    return circular_convolve(kernel, s, offset), (kernel, s)


def _convolve_bwd(offset: Offset, residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    kernel, s = residuals
    return _correlate(g, s, kernel.shape, offset), circular_convolve(*_adjoint(kernel, g, offset))


circular_convolve.defvjp(_convolve_fwd, _convolve_bwd)


def circular_recurrence(
    kernel: Array, x: Array, offset: Offset = (0, 0), *, filter_input: bool = False, before: Array | None = None
) -> Array:
    """h_t = k * h_{t-1} + x_t, or k * (h_{t-1} + x_t) with `filter_input`, one step at a time.

    x and the states are (T, N, C, H, W), h_0 is `before` (N, C, H, W) or zero. The gradient runs the same recurrence
    backwards with the adjoint kernel, and takes the kernel's from all steps at once.
    """
    if before is not None:
        x = x.at[0].add(before if filter_input else circular_convolve(kernel, before, offset))
    return _from_zero(kernel, x, offset, filter_input)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _from_zero(kernel: Array, x: Array, offset: Offset, filter_input: bool) -> Array:
    return _recurrence(kernel, x, offset, filter_input, reverse=False)


def _recurrence_fwd(
    kernel: Array, x: Array, offset: Offset, filter_input: bool
) -> tuple[Array, tuple[Array, Array, Array | None]]:
    h = _recurrence(kernel, x, offset, filter_input, reverse=False)
    return h, (kernel, h, x if filter_input else None)


def _recurrence_bwd(
    offset: Offset, filter_input: bool, residuals: tuple[Array, Array, Array | None], g: Array
) -> tuple[Array, Array]:
    kernel, h, x = residuals
    dx = _recurrence(*_adjoint(kernel, g, offset), filter_input, reverse=True)
    if x is None:  # step t >= 2 convolved h_{t-1}, and the cotangent of what it got is dx_t
        operand, cotangent = h[:-1], dx[1:]
    else:  # step t convolved h_{t-1} + x_t, and the cotangent of what it got is g_t + dx_{t+1}
        operand, cotangent = x.at[1:].add(h[:-1]), g.at[:-1].add(dx[1:])
    maps = h.shape[2:]
    return _correlate(cotangent.reshape(-1, *maps), operand.reshape(-1, *maps), kernel.shape, offset), dx


_from_zero.defvjp(_recurrence_fwd, _recurrence_bwd)


def fold_taps(kernel: Array, axis: int, length: int, offset: int) -> Array:
    """The taps of one axis laid on a circle of `length` positions, tap i at (i - offset) mod length, aliases summed."""
    kernel = jnp.moveaxis(kernel, axis, -1)
    turns = -(-kernel.shape[-1] // length)
    kernel = jnp.pad(kernel, [(0, 0)] * (kernel.ndim - 1) + [(0, turns * length - kernel.shape[-1])])
    kernel = kernel.reshape(*kernel.shape[:-1], turns, length).sum(-2)
    return jnp.moveaxis(jnp.roll(kernel, -offset, -1), -1, axis)


def _recurrence(kernel: Array, x: Array, offset: Offset, filter_input: bool, *, reverse: bool) -> Array:
    convolve = _convolution(kernel, x.shape[-1], offset)

    def step(h: Array, x_t: Array) -> tuple[Array, Array]:
        h = convolve(h + x_t) if filter_input else convolve(h) + x_t
        return h, h

    return lax.scan(step, jnp.zeros_like(x, shape=x.shape[1:]), x, reverse=reverse)[1]


def _convolution(kernel: Array, width: int, offset: Offset) -> Callable[[Array], Array]:
    # Measured on 2 CPU cores at C = 32, H = W = 32, N = 1, ms a step of the recurrence (forward; with gradient):
    #   11 x 11 taps   multiply-adds 0.4; 1.4   row products 0.8; 2.3   lax.conv in a plain scan 2.6; 145
    #   32 x 32 taps   row products 2.6; 6.7    lax.conv 31; 1,400      one (HW, HW) circulant a channel 32; 163
    # Multiply-adds fall behind row products from 13 x 13 to 15 x 15 taps; at 16 x 16 XLA stops fusing them (7.4).
    if kernel.shape[1] * kernel.shape[2] <= MAX_UNROLLED_TAPS:
        return partial(_multiply_adds, kernel, offset)
    return _row_products(kernel, width, offset)


def _multiply_adds(kernel: Array, offset: Offset, s: Array) -> Array:
    """One shifted multiply-add a tap, which XLA fuses into a single pass."""
    taps_y, taps_x = kernel.shape[1:]
    height, width = s.shape[-2:]
    around = [(taps - 1 - o, o) for taps, o in zip((taps_y, taps_x), offset)]
    # The barrier keeps the padding, and what a caller did before it, from being redone for every tap.
    padded = lax.optimization_barrier(jnp.pad(s, [(0, 0), (0, 0), *around], mode="wrap"))
    y = jnp.zeros_like(s)
    for i in range(taps_y):
        for j in range(taps_x):
            top, left = taps_y - 1 - i, taps_x - 1 - j
            y += kernel[:, i, j, None, None] * padded[..., top : top + height, left : left + width]
    return y


def _row_products(kernel: Array, width: int, offset: Offset) -> Callable[[Array], Array]:
    """A matrix product a channel: windows of P rows, (H, P W), times the row kernels' circulants, (P W, W)."""
    channels, taps_y, _ = kernel.shape
    rows = fold_taps(kernel, 2, width, offset[1])
    column = np.arange(width)
    circulants = rows[:, :, (column[None, :] - column[:, None]) % width].reshape(channels, taps_y * width, width)

    def convolve(s: Array) -> Array:
        height = s.shape[-2]
        source = (np.arange(height)[:, None] - np.arange(taps_y) + offset[0]) % height
        windows = s[:, :, source].reshape(*s.shape[:3], taps_y * width)
        return jnp.einsum("nchv,cvw->nchw", windows, circulants)

    return convolve


def _correlate(g: Array, s: Array, kernel_shape: tuple[int, ...], offset: Offset) -> Array:
    """dk[i, j] = sum_{n,h,w} g[h, w] s[h - i + o_y, w - j + o_x], one matrix product over n and h for every i."""
    count, channels, height, width = s.shape
    taps_y, taps_x = kernel_shape[1:]
    column = np.arange(width)
    source = (column - np.arange(taps_x)[:, None] + offset[1]) % width
    chunk = max(1, min(count, MAPS_PER_PRODUCT))
    chunks = -(-count // chunk)

    def chunked(maps: Array) -> Array:
        maps = jnp.pad(maps, [(0, chunks * chunk - count), (0, 0), (0, 0), (0, 0)])
        return jnp.swapaxes(maps.reshape(chunks, chunk, channels, height, width), 1, 2)

    def add_chunk(dk: Array, operands: tuple[Array, Array]) -> tuple[Array, None]:
        g, s = operands

        def row(i: Array) -> Array:
            products = jnp.einsum("cnhw,cnhv->cwv", g, jnp.roll(s, i - offset[0], axis=2))
            return products[:, column, source].sum(-1)

        return dk + jnp.moveaxis(lax.map(row, jnp.arange(taps_y)), 0, 1), None

    return lax.scan(add_chunk, jnp.zeros_like(s, shape=kernel_shape), (chunked(g), chunked(s)))[0]


def _adjoint(kernel: Array, g: Array, offset: Offset) -> tuple[Array, Array, Offset]:
    """Kernel, operand and offset of the adjoint, in the order in which the operations take them."""
    _, taps_y, taps_x = kernel.shape
    return kernel[:, ::-1, ::-1], g, (taps_y - 1 - offset[0], taps_x - 1 - offset[1])
