"""What of the input the last frame of a layer depends on, and how strongly: its effective receptive field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def receptive_field(apply: Callable[..., Any], variables: Any, x: Array) -> Array:
    r"""(T, H, W): |d y[T-1, H//2, W//2] / d x[t, h, w]|, the Frobenius norm of the C x C Jacobian, for x (1, T, H, W, C).

    By one pullback of the layer for each channel of y, at x.
    """
    *_, height, width, channels = x.shape

    def centre(x: Array) -> Array:
        return apply(variables, x)[0, -1, height // 2, width // 2]

    @jax.jit
    def norm(x: Array) -> Array:
        _, pull_back = jax.vjp(centre, x)

        def add(total: Array, cotangent: Array) -> tuple[Array, None]:
            (gradient,) = pull_back(cotangent)
            return total + jnp.sum(gradient[0].astype(total.dtype) ** 2, axis=-1), None

        cotangents = jnp.eye(channels, dtype=jax.eval_shape(centre, x).dtype)
        return jnp.sqrt(lax.scan(add, jnp.zeros(x.shape[1:4]), cotangents)[0])

    return norm(x)
