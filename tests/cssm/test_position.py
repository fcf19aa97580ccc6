"""Position encodings against the specification's formulas, pair by pair."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from cssm.nn.position import ROTARY_MODES, apply_rotary, resample_table, rotary_frequencies, sinusoidal_table

from tests.cssm.checks import assert_close, jit


def angle(mode, j, channels, t, y, x, base=1e4):
    """theta_j, a term whose frequency index reaches n absent."""
    n = -(-channels // 2)
    m = n // 3

    def w(i):
        return base ** (-2 * i / channels) if i < n else 0.0

    if mode == "temporal":
        return t * w(j)
    if mode == "spatial_only":
        return y * w(2 * j) + x * w(2 * j + 1)
    if mode == "spatiotemporal":
        return (t * w(j) if j < m else 0) + y * w(m + 2 * j) + x * w(m + 2 * j + 1)
    if j >= 3 * m:
        return x * w(j)
    i, part = divmod(j, 3)
    return (t * w(i), y * w(m + i), x * w(2 * m + i))[part]


@pytest.mark.parametrize("channels", [2, 4, 6, 10, 12, 16])
@pytest.mark.parametrize("mode", ROTARY_MODES)
def test_rotation(mode, channels, rng):
    u = rng.normal(size=(2, 3, 4, 5, channels)).astype(np.float32)
    expected = np.zeros(u.shape)
    for t, y, x in np.ndindex(3, 4, 5):
        for j in range(channels // 2):
            pair = u[:, t, y, x, 2 * j] + 1j * u[:, t, y, x, 2 * j + 1]
            pair = pair * np.exp(1j * angle(mode, j, channels, t, y, x))
            expected[:, t, y, x, 2 * j], expected[:, t, y, x, 2 * j + 1] = pair.real, pair.imag
    assert_close(jit(apply_rotary, static_argnums=1)(u, mode), expected, 1e-6)


def test_rotation_is_float32_for_bfloat16():
    assert apply_rotary(jnp.ones((1, 2, 2, 2, 4), jnp.bfloat16), "mrope").dtype == jnp.float32


def test_long_videos_keep_their_phase():
    u = np.zeros((1, 4000, 1, 1, 2), np.float32)
    u[..., 0] = 1
    assert_close(apply_rotary(jnp.asarray(u), "temporal")[0, :, 0, 0, 0], np.cos(np.arange(4000)), 1e-5)


def test_sinusoidal_table():
    table = sinusoidal_table(5, 6)
    for t in range(5):
        for j in range(3):
            theta = t * np.exp(-2 * j * np.log(1e4) / 6)
            assert np.allclose(table[t, 2 * j : 2 * j + 2], (np.sin(theta), np.cos(theta)), atol=1e-6)


@pytest.mark.parametrize(("rows", "length"), [(4, 3), (4, 4), (4, 9), (2, 5), (1, 3)])
def test_resampling(rows, length, rng):
    table = rng.normal(size=(rows, 3)).astype(np.float32)
    positions = np.linspace(0, rows - 1, length) if length > rows else np.arange(length)
    expected = np.stack([np.interp(positions, np.arange(rows), column) for column in table.T], 1)
    resampled = jit(resample_table, static_argnums=1)(table, length)
    assert resampled.dtype == jnp.float32
    assert_close(resampled, expected)


def test_errors():
    with pytest.raises(ValueError, match="mode: got 'learned_t', expected one of spatiotemporal, spatial_only"):
        rotary_frequencies("learned_t", 4)
    with pytest.raises(ValueError, match="channels: got 5, expected an even number"):
        apply_rotary(jnp.ones((1, 1, 1, 1, 5)), "mrope")
    with pytest.raises(ValueError, match="channels: got 3, expected an even number"):
        sinusoidal_table(2, 3)
