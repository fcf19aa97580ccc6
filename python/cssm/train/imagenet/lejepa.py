"""The losses of LeJEPA over the steps of a recurrence: states that predict each other, and do not collapse.

Source: Balestriero and LeCun 2025; training specification 12.1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

PAIRS = ("successive", "to_mean", "all")
FARTHEST = 3.0


def predictive(z: Array, pairs: str = "all") -> Array:
    """Mean squared distance of the steps of z (B, T, P).

    Args:
      pairs: successive, |z_{t+1} - z_t|^2; to_mean, |z_t - mean_t z|^2; or all, |z_i - z_j|^2 over i < j.

    Raises:
      ValueError: another `pairs`, or fewer steps than two.
    """
    if pairs not in PAIRS:
        raise ValueError(f"pairs: got {pairs!r}, expected one of {', '.join(PAIRS)}")
    steps = z.shape[1]
    if steps < 2:
        raise ValueError(f"z: got shape {z.shape}, expected (B, T, P) with T of 2 at least")
    if pairs == "successive":
        return jnp.square(jnp.diff(z, axis=1)).sum(-1).mean()
    to_mean = jnp.square(z - z.mean(1, keepdims=True)).sum(-1).mean()
    # sum_{i<j} |z_i - z_j|^2 = T sum_t |z_t - mean|^2, of T (T - 1) / 2 pairs.
    return to_mean if pairs == "to_mean" else 2 * steps / (steps - 1) * to_mean


def sigreg(key: Array, z: Array, slices: int = 1024, points: int = 17) -> Array:
    """How far samples z (N, P) are from a standard normal distribution: Epps and Pulley's statistic, of random slices.

    The mean over directions u, uniform on the sphere, and t, evenly in [-3, 3], of |mean_n e^(i t u.z_n) - e^(-t^2 / 2)|^2.
    """
    directions = jax.random.normal(key, (z.shape[-1], slices), z.dtype)
    directions /= jnp.linalg.norm(directions, axis=0)
    projected = jnp.matmul(z, directions, precision="highest")

    def at(t: Array) -> Array:
        real, imaginary = jnp.cos(t * projected).mean(0), jnp.sin(t * projected).mean(0)
        return (jnp.square(real - jnp.exp(-jnp.square(t) / 2)) + jnp.square(imaginary)).mean()

    # A point at a time: all at once would be `points` times as large as the projections.
    return jax.lax.map(at, jnp.linspace(-FARTHEST, FARTHEST, points, dtype=z.dtype)).mean()
