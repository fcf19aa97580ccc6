"""gated_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`), h0 and final of size 1 in time. All is computed in the state's dtype; y is summed over
`state_axis`, where it has size 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import full_shape, initial_state, state_dtype, state_shape
from cssm_kernels._stepping import cleared, over_time


def sequential(
    a: Array,
    b: Array,
    x: Array,
    c: Array | None,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    state_axis: int | None,
) -> tuple[Array, Array]:
    """h_t = a_t h_{t-1} + b_t x_t, y_t = c_t h_t, one `lax.scan` step at a time: no h but the last is kept."""
    shape, dtype = full_shape(a, b, x, c, h0, reset), state_dtype(x.dtype)
    start = initial_state(h0, state_shape(shape, axis), dtype)
    summed = None if state_axis is None else state_axis - (axis < state_axis)

    def step(h, a, b, x, c, reset):
        h = a.astype(dtype) * cleared(h, reset) + b.astype(dtype) * x.astype(dtype)
        y = h if c is None else c.astype(dtype) * h
        return h, (y if summed is None else jnp.sum(y, summed, keepdims=True)).astype(x.dtype)

    return over_time(step, start, (a, b, x, c, reset), axis=axis, steps=shape[axis], reverse=reverse)


def through(
    recurrence: Callable[..., Any],
    a: Array,
    b: Array,
    x: Array,
    c: Array | None,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    state_axis: int | None,
    **params: Any,
) -> tuple[Array, Array]:
    """The same by a form of linear_scan, whose transitions are a and whose inputs b x."""
    shape, dtype = full_shape(a, b, x, c, h0, reset), state_dtype(x.dtype)
    u = b.astype(dtype) * x.astype(dtype)
    u = jnp.broadcast_to(u, (*u.shape[:axis], shape[axis], *u.shape[axis + 1 :]))
    h, final = recurrence(a.astype(dtype), u, h0, reset, axis=axis, **params)
    # What c or h0 alone vary over is added last.
    y = jnp.broadcast_to(h if c is None else c.astype(dtype) * h, shape)
    y = y if state_axis is None else jnp.sum(y, state_axis, keepdims=True)
    return y.astype(x.dtype), jnp.broadcast_to(final, state_shape(shape, axis))
