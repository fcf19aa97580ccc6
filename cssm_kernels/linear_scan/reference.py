"""The recurrence in plain `jax.lax`: the definition every backend is held to.

Operands are aligned (see `_layout.align`). Both forms return all states and the final one, the latter in the state's dtype.
"""

from __future__ import annotations

import operator

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import full_shape, initial_state, state_dtype, state_shape
from cssm_kernels._stepping import over_maps, over_time


def sequential(
    a: Array, x: Array, h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """h_t = x_t if reset_t else a_t h_{t-1} + x_t, one `lax.scan` step at a time."""
    shape, dtype = full_shape(a, x, h0, reset), state_dtype(x.dtype)
    start = initial_state(h0, state_shape(shape, axis), dtype)

    def step(h, a, x, reset):
        h = a.astype(dtype) * h + x.astype(dtype)
        h = h if reset is None else jnp.where(reset, x.astype(dtype), h)
        return h, h.astype(x.dtype)

    return over_time(step, start, (a, x, reset), axis=axis, steps=shape[axis], reverse=reverse)


def associative(
    a: Array, x: Array, h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """The same through `lax.associative_scan` over the maps h -> a h + x, constant where reset."""
    shape, dtype = full_shape(a, x, h0, reset), state_dtype(x.dtype)
    u = jnp.broadcast_to(x, shape).astype(dtype)
    product = dict(apply=operator.mul, compose=operator.mul)
    h, final = over_maps(a.astype(dtype), u, h0, reset, **product, axis=axis, reverse=reverse)
    return h.astype(x.dtype), final
