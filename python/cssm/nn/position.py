"""Position encodings: rotary angles over (t, y, x), and the additive sinusoidal table.

With n = C/2 frequencies w_j = base^(-2j/C), m = floor(n/3), channels (2j, 2j+1) form pair j and turn by theta_j:

    temporal         theta_j = t w_j
    spatial_only     theta_j = y w_{2j} + x w_{2j+1}
    spatiotemporal   theta_j = [j < m] t w_j + y w_{m+2j} + x w_{m+2j+1}
    mrope            theta_{3i}, theta_{3i+1}, theta_{3i+2} = t w_i, y w_{m+i}, x w_{2m+i} for i < m; then x w_j

where a term whose frequency index reaches n is absent. Source: CSSM model specification 3.1, 3.2 and 3.4.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

ROTARY_MODES = ("spatiotemporal", "spatial_only", "temporal", "mrope")


def rotary_frequencies(mode: str, channels: int, base: float = 10000.0) -> np.ndarray:
    """The rates (3, C/2), float32, at which every pair turns with t, y and x: theta = t r[0] + y r[1] + x r[2].

    Raises:
      ValueError: `mode` is not a rotary mode, or `channels` is odd.
    """
    w = _frequencies(channels, base)
    n = len(w)
    m = n // 3
    rates = np.zeros((3, n), np.float32)
    if mode == "temporal":
        rates[0] = w
    elif mode == "spatial_only":
        _fill_left(rates[1], w[0::2])
        _fill_left(rates[2], w[1::2])
    elif mode == "spatiotemporal":
        rates[0, :m] = w[:m]
        _fill_left(rates[1], w[m::2])
        _fill_left(rates[2], w[m + 1 :: 2])
    elif mode == "mrope":
        rates[0, 0 : 3 * m : 3] = w[:m]
        rates[1, 1 : 3 * m : 3] = w[m : 2 * m]
        rates[2, 2 : 3 * m : 3] = w[2 * m : 3 * m]
        rates[2, 3 * m :] = w[3 * m :]
    else:
        raise ValueError(f"mode: got {mode!r}, expected one of {', '.join(ROTARY_MODES)}")
    return rates


def apply_rotary(x: Array, mode: str, base: float = 10000.0, *, first: int | Array = 0) -> Array:
    """Turns every channel pair (e, o) of x (B, T, H, W, C) to (e cos - o sin, e sin + o cos) by its angle.

    Time is counted from `first`. Angles are float32, so 16-bit input gives float32. Raises ValueError as
    `rotary_frequencies`.
    """
    rates = rotary_frequencies(mode, x.shape[-1], base)
    starts = (first, 0, 0)
    t, y, z = (_count(size, start)[:, None] * rate for size, start, rate in zip(x.shape[1:4], starts, rates))
    theta = t[:, None, None] + y[None, :, None] + z[None, None]
    cos, sin = jnp.cos(theta), jnp.sin(theta)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return turned.reshape(x.shape)


def sinusoidal_table(length: int, channels: int, base: float = 10000.0, *, first: int | Array = 0) -> Array:
    """E (T, C), float32: E[t, 2j] = sin(t w_j), E[t, 2j+1] = cos(t w_j), t from `first` on.

    Raises ValueError if `channels` is odd.
    """
    theta = _count(length, first)[:, None] * _frequencies(channels, base)
    return jnp.stack([jnp.sin(theta), jnp.cos(theta)], axis=-1).reshape(length, channels)


def resample_table(table: Array, length: int) -> Array:
    """The first `length` rows of a learned (L, C) table; beyond L, linear interpolation at linspace(0, L-1, length)."""
    rows = table.shape[0]
    if length <= rows:
        return table[:length]
    position = jnp.linspace(0, rows - 1, length, dtype=table.dtype)
    below = jnp.clip(jnp.floor(position).astype(int), 0, max(rows - 2, 0))
    weight = (position - below)[:, None]
    return table[below] * (1 - weight) + table[jnp.minimum(below + 1, rows - 1)] * weight


def _count(length: int, first: int | Array) -> Array:
    return (jnp.arange(length) + first).astype(jnp.float32)


def _frequencies(channels: int, base: float) -> np.ndarray:
    if channels % 2:
        raise ValueError(f"channels: got {channels}, expected an even number, since positions turn channel pairs")
    return (base ** (-np.arange(0, channels, 2) / channels)).astype(np.float32)


def _fill_left(row: np.ndarray, values: np.ndarray) -> None:
    row[: len(values)] = values
