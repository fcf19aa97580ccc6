"""The two ways in which the references of all operations run over time: `lax.scan` and `lax.associative_scan`.

Operands are aligned (see `_layout`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from cssm_kernels._primitive import same_varying_axes


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
    # A state that begins as zeros varies over no mesh axes, and under shard_map would not be of the type of the next one.
    alike = iter(same_varying_axes([state, *(x for x in operands if x is not None)]))
    state, operands = next(alike), [None if x is None else next(alike) for x in operands]
    varying = [x is not None and x.shape[axis] != 1 for x in operands]
    constant = [None if x is None or varies else jnp.squeeze(x, axis) for x, varies in zip(operands, varying)]
    inputs = [jnp.moveaxis(x, axis, 0) for x, varies in zip(operands, varying) if x is not None and varies]

    def one(state: Array, inputs: Any) -> tuple[Array, Array]:
        values = iter(inputs)
        return step(state, *(next(values) if varies else x for x, varies in zip(constant, varying)))

    final, y = lax.scan(one, jnp.squeeze(state, axis), inputs, length=steps, reverse=reverse)
    return jnp.moveaxis(y, 0, axis), jnp.expand_dims(final, axis)


def over_maps(
    a: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    apply: Callable[[Array, Array], Array],
    compose: Callable[[Array, Array], Array],
    axis: int,
    reverse: bool,
) -> tuple[Array, Array]:
    """(h, final) of the maps h -> a h + x, constant where reset, composed by `lax.associative_scan`.

    Args:
      a: transitions; not broadcast but over time.
      x: inputs, of the result's shape, time included, and in the state's dtype. Its components come last.
      apply: (a, h) -> a h
      compose: (a_j, a_i) -> a_j a_i
    """
    first, last = (-1, 0) if reverse else (0, -1)
    steps = x.shape[axis]

    def time_first(v):
        return jnp.moveaxis(jnp.broadcast_to(v, (*v.shape[:axis], steps, *v.shape[axis + 1 :])), axis, 0)

    def select(reset, if_reset, otherwise):
        return otherwise if reset is None else jnp.where(_of_rank(reset, otherwise.ndim), if_reset, otherwise)

    a, x = time_first(a), time_first(x)
    if reset is not None:
        reset = time_first(reset)
        a = jnp.broadcast_to(a, np.broadcast_shapes(a.shape, _of_rank(reset, a.ndim).shape))
    if h0 is not None:
        start = apply(a[first], jnp.squeeze(h0, axis)) + x[first]
        x = x.at[first].set(select(None if reset is None else reset[first], x[first], start))

    def composed(earlier, later):
        (a_i, x_i, reset_i), (a_j, x_j, reset_j) = earlier, later
        a = select(reset_j, jnp.zeros_like(a_j), compose(a_j, a_i))
        x = select(reset_j, x_j, apply(a_j, x_i) + x_j)
        return a, x, None if reset_j is None else reset_i | reset_j

    _, h, _ = lax.associative_scan(composed, (a, x, reset), reverse=reverse)
    return jnp.moveaxis(h, 0, axis), jnp.expand_dims(h[last], axis)


def cleared(state: Array, reset: Array | None) -> Array:
    """`state`, or 0 where reset."""
    return state if reset is None else jnp.where(_of_rank(reset, state.ndim), jnp.zeros_like(state), state)


def _of_rank(reset, rank):
    """Flags of lanes, for an array that has components."""
    return jnp.expand_dims(reset, range(reset.ndim, rank))
