"""coupled_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`), with their components last, h0 and final of size 1 in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import lane_shape, state_dtype, state_shape


def lanes_of(G: Any, K: Any, x: Any, b: Any, c: Any, h0: Any, reset: Any) -> tuple[int, ...]:
    """The lanes of the result."""
    return lane_shape((G, 2), (K, 2), (x, 1), (b, 1), (c, 1), (h0, 1), (reset, 0))


def through(
    recurrence: Callable[..., Any],
    G: Array,
    K: Array,
    x: Array,
    b: Array | None,
    c: Array | None,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    **params: Any,
) -> tuple[Array, Array]:
    """(y, final) by a form of matrix_scan, whose transitions are G o K and whose inputs b x."""
    shape, dtype = lanes_of(G, K, x, b, c, h0, reset), state_dtype(x.dtype)
    u = x.astype(dtype) if b is None else b.astype(dtype) * x.astype(dtype)
    u = jnp.broadcast_to(u, (*u.shape[:axis], shape[axis], *u.shape[axis + 1 :]))
    A = G.astype(dtype) * K.astype(dtype)
    h, final = recurrence(A, u, h0, reset, axis=axis, triangular=None, **params)
    y = jnp.broadcast_to(h if c is None else c.astype(dtype) * h, (*shape, x.shape[-1]))
    return y.astype(x.dtype), jnp.broadcast_to(final, (*state_shape(shape, axis), x.shape[-1]))
