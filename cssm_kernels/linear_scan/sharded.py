"""The recurrence with time split over devices: only the carries travel."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from cssm_kernels._layout import SUPPORTED_DTYPES, align, checked_array, full_shape, state_dtype
from cssm_kernels.linear_scan.op import linear_scan


def time_sharded_linear_scan(
    a: ArrayLike,
    x: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis_name: str,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    implementation: str | None = None,
) -> tuple[Array, Array]:
    """`linear_scan` inside `jax.shard_map`, where each device holds a contiguous part of the time axis.

    Over its own steps a device maps the incoming state h to p h + f, with p the product of its transitions (0 if it resets)
    and f its final state from zero. The pairs (p, f) of all devices, each the size of one state, are gathered; their own
    recurrence gives every device the state it starts from. Each device reads its part twice.

    Args:
      a, x, reset: this device's part; `a` may be constant in time. As in `linear_scan`.
      h0: initial state of the whole sequence, the same on every device.
      axis_name: the mesh axis over which time is split, in order.
      axis, reverse, implementation: as in `linear_scan`.

    Returns:
      (h, final): this device's states, and the final state of the whole sequence, the same on every device.

    Raises:
      TypeError, ValueError: as `linear_scan`; NameError if axis_name is no axis of an enclosing shard_map.
    """
    a, x, h0, reset, axis = align(a, checked_array("x", x, SUPPORTED_DTYPES), h0, reset, axis)

    def scan(a: Array, x: Array, h0: Array | None = None) -> tuple[Array, Array]:
        return linear_scan(
            a, x, h0, axis=axis, reverse=reverse, reset=reset, return_final=True, implementation=implementation
        )

    shape = full_shape(a, x)
    without_time = shape[:axis] + shape[axis + 1 :]
    dtype = state_dtype(x.dtype)
    start = jnp.broadcast_to(jnp.zeros((), dtype) if h0 is None else jnp.squeeze(h0, axis), without_time)

    _, f = scan(a, x)
    steps = (1,) * axis + (shape[axis],) + (1,) * (len(shape) - axis - 1)
    no_input = jnp.zeros(steps if reset is None else np.broadcast_shapes(steps, reset.shape), x.dtype)
    _, p = scan(a, no_input, jnp.ones((), dtype))
    p, f = (lax.all_gather(v, axis_name) for v in (jnp.broadcast_to(p, without_time), f))
    carries = linear_scan(p, f, start, reverse=reverse, implementation=implementation)

    index, devices = lax.axis_index(axis_name), lax.axis_size(axis_name)
    before = index + 1 if reverse else index - 1
    is_first = index == (devices - 1 if reverse else 0)
    carry = jnp.where(is_first, start, lax.dynamic_index_in_dim(carries, jnp.clip(before, 0, devices - 1), 0, False))
    h, final = scan(a, x, carry)
    is_last = index == (0 if reverse else devices - 1)
    return h, lax.psum(jnp.where(is_last, final, jnp.zeros_like(final)), axis_name)
