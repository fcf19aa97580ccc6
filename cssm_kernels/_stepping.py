"""`lax.scan` over aligned operands, as the references of the operations use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax


def over_time(
    step: Callable[..., tuple[Array, Array]],
    state: Array,
    operands: Sequence[Array | None],
    *,
    axis: int,
    steps: int,
    reverse: bool,
) -> tuple[Array, Array]:
    """(y, final) of `step(state, *operands at t) -> (state, y at t)`, where y has time on `axis`, and final size 1 there.

    `state` is the first one, in aligned form; inside `step` nothing has a time axis. An operand that is constant in time is
    not repeated, and one that is absent stays None.
    """
    varying = [x is not None and x.shape[axis] != 1 for x in operands]
    constant = [None if x is None or varies else jnp.squeeze(x, axis) for x, varies in zip(operands, varying)]
    inputs = [jnp.moveaxis(x, axis, 0) for x, varies in zip(operands, varying) if x is not None and varies]

    def one(state: Array, inputs: Any) -> tuple[Array, Array]:
        values = iter(inputs)
        return step(state, *(next(values) if varies else x for x, varies in zip(constant, varying)))

    final, y = lax.scan(one, jnp.squeeze(state, axis), inputs, length=steps, reverse=reverse)
    return jnp.moveaxis(y, 0, axis), jnp.expand_dims(final, axis)


def cleared(state: Array, reset: Array | None) -> Array:
    """`state`, or 0 where reset."""
    return state if reset is None else jnp.where(reset, jnp.zeros_like(state), state)
