"""The recurrence in plain `jax.lax`: the definition every backend is held to.

Operands are aligned (see `_layout.align`). Both forms return all states and the final one, the latter in the state's dtype.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels._layout import full_shape, state_dtype, state_shape


def sequential(
    a: Array, x: Array, h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """h_t = x_t if reset_t else a_t h_{t-1} + x_t, one `lax.scan` step at a time."""
    dtype = x.dtype
    a, x, h, reset = _time_first(a, x, h0, reset, axis)

    def step(h, inputs):
        a_t, x_t, reset_t = inputs
        h = _select(reset_t, x_t, a_t * h + x_t)
        return h, h.astype(dtype)

    final, hs = lax.scan(step, h[0], (a, x, reset), reverse=reverse)
    return jnp.moveaxis(hs, 0, axis), jnp.expand_dims(final, axis)


def associative(
    a: Array, x: Array, h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """The same through `lax.associative_scan` over the maps h -> a h + x, constant where reset."""
    dtype = x.dtype
    first, last = (-1, 0) if reverse else (0, -1)
    a, x, h, reset = _time_first(a, x, h0, reset, axis)
    if h0 is not None:
        x = x.at[first].set(_select(None if reset is None else reset[first], x[first], a[first] * h[0] + x[first]))

    def compose(earlier, later):
        (a_i, x_i, reset_i), (a_j, x_j, reset_j) = earlier, later
        a = _select(reset_j, jnp.zeros_like(a_j), a_j * a_i)
        x = _select(reset_j, x_j, a_j * x_i + x_j)
        return a, x, None if reset_j is None else reset_i | reset_j

    _, hs, _ = lax.associative_scan(compose, (a, x, reset), reverse=reverse)
    return jnp.moveaxis(hs.astype(dtype), 0, axis), jnp.expand_dims(hs[last], axis)


def _time_first(a, x, h0, reset, axis):
    """Operands in the state's dtype at the result's full shape, time leading: what plain lax needs and kernels do not."""
    shape = full_shape(a, x, h0, reset)
    dtype = state_dtype(x.dtype)
    h = jnp.broadcast_to(jnp.zeros((), dtype) if h0 is None else h0, state_shape(shape, axis))
    operands = [jnp.broadcast_to(a, shape).astype(dtype), jnp.broadcast_to(x, shape).astype(dtype), h]
    operands.append(None if reset is None else jnp.broadcast_to(reset, shape))
    return jax.tree.map(lambda operand: jnp.moveaxis(operand, axis, 0), operands)


def _select(reset, if_reset, otherwise):
    return otherwise if reset is None else jnp.where(reset, if_reset, otherwise)
