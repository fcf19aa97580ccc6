"""Separable filters of images, zero beyond the border."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_TAPS, _SIGMA = 5, 1.0


def separable(images: Array, taps: np.ndarray) -> Array:
    """(B, H, W, C), filtered by `taps` (an odd number) down and across."""
    channels = images.shape[-1]
    kernel = jnp.repeat(jnp.asarray(taps, images.dtype)[:, None, None, None], channels, axis=3)
    for shaped in (kernel, kernel.reshape(1, -1, 1, channels)):
        images = jax.lax.conv_general_dilated(
            images,
            shaped,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
            precision="highest",
        )
    return images


def gaussian_blur(images: Array) -> Array:
    """Five taps of a Gaussian of standard deviation 1, which sum to 1."""
    taps = np.exp(-((np.arange(_TAPS) - _TAPS // 2) ** 2) / (2 * _SIGMA**2))
    return separable(images, taps / taps.sum())
