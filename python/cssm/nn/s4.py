"""Structured state spaces (S4) discretised: initial values, and the kernels of their impulse responses.

Source: CSSM model specification 2.9 to 2.11.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def uniform_phase(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """U[0, 2 pi)"""
    return jax.random.uniform(key, shape, dtype, 0.0, 2 * math.pi)


def log_step(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """log Delta, Delta log-uniform in [0.001, 0.1)"""
    return jax.random.uniform(key, shape, dtype, math.log(1e-3), math.log(1e-1))
