"""matrix_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`), with their components last: A (..., k, k), the others (..., k), h0 and final of size 1
in time. All is computed in the state's dtype.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import initial_state, lane_shape, state_dtype, state_shape
from cssm_kernels._stepping import cleared, over_maps, over_time


def sequential(
    A: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    triangular: str | None,
) -> tuple[Array, Array]:
    """h_t = A_t h_{t-1} + x_t, one `lax.scan` step at a time."""
    shape, dtype = lane_shape((A, 2), (x, 1), (h0, 1), (reset, 0)), state_dtype(x.dtype)
    start = initial_state(h0, (*state_shape(shape, axis), x.shape[-1]), dtype)

    def step(h, A, x, reset):
        h = times_vector(read(A, triangular).astype(dtype), cleared(h, reset)) + x.astype(dtype)
        return h, h.astype(x.dtype)

    return over_time(step, start, (A, x, reset), axis=axis, steps=shape[axis], reverse=reverse)


def associative(
    A: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    triangular: str | None,
) -> tuple[Array, Array]:
    """The same through `lax.associative_scan` over the maps h -> A h + x."""
    shape, dtype = lane_shape((A, 2), (x, 1), (h0, 1), (reset, 0)), state_dtype(x.dtype)
    u = jnp.broadcast_to(x, (*shape, x.shape[-1])).astype(dtype)
    product = dict(apply=times_vector, compose=times_matrix)
    h, final = over_maps(read(A, triangular).astype(dtype), u, h0, reset, **product, axis=axis, reverse=reverse)
    return h.astype(x.dtype), final


def read(A: Array, triangular: str | None) -> Array:
    """A with zeros where it is not read."""
    return A if triangular is None else jnp.triu(A) if triangular == "upper" else jnp.tril(A)


# Sums of products, unrolled over the one index that is summed: several times faster than einsum for so few components.
def times_vector(A: Array, h: Array) -> Array:
    return sum(A[..., :, j] * h[..., j, None] for j in range(A.shape[-1]))  # type: ignore[return-value]


def times_matrix(A: Array, B: Array) -> Array:
    return sum(A[..., :, j, None] * B[..., None, j, :] for j in range(A.shape[-1]))  # type: ignore[return-value]
