"""What the models ask of their input."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def checked_video(x: Array) -> Array:
    """x, a real floating video (B, T, H, W, C_in).

    Raises:
      TypeError: x is not real floating.
      ValueError: x is not 5-D.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
    if x.ndim != 5:
        raise ValueError(f"x: got shape {x.shape}, expected (B, T, H, W, C_in)")
    return x
