"""The norm in jax.numpy: the definition the kernels are held to, and what other platforms run."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import state_dtype

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
}


def normalise(x: Array, scale: Array | None, bias: Array | None, *, eps: float, activation: str | None) -> Array:
    """(z - mean z) / sqrt(E[z^2] - (mean z)^2 + eps) * scale + bias, z = act(x), in the dtype computed in."""
    z = ACTIVATIONS[activation](x.astype(state_dtype(x.dtype)))
    mean = z.mean(-1, keepdims=True)
    variance = jnp.maximum((z * z).mean(-1, keepdims=True) - mean * mean, 0)
    factor = jax.lax.rsqrt(variance + eps)
    y = (z - mean) * (factor if scale is None else factor * scale)
    return y if bias is None else y + bias
