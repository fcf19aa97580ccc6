"""Pooling over dimensions of a map or a video."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

POOLS = ("mean", "max")


def pool(x: Array, how: str, axes: Sequence[int]) -> Array:
    """The mean or the maximum of x over `axes`; of equal maxima the first one has the gradient.

    Raises:
      ValueError: `how` is neither 'mean' nor 'max'.
    """
    if how not in POOLS:
        raise ValueError(f"pool: got {how!r}, expected one of {', '.join(POOLS)}")
    axes = tuple(axis % x.ndim for axis in axes)
    if how == "mean":
        return jnp.mean(x, axis=axes)
    # By position: the gradient of jnp.max goes to where x equals its maximum, and where x is computed once more for that,
    # and rounded otherwise, this is nowhere, and the gradient 0 / 0 (seen with XLA's optimisation at level 0).
    flat = jnp.moveaxis(x, axes, range(len(axes)))
    flat = flat.reshape(-1, *flat.shape[len(axes) :])
    return jnp.take_along_axis(flat, jnp.argmax(flat, axis=0)[None], axis=0)[0]
