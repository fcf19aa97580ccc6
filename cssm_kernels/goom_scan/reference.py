"""goom_scan and goom_matrix_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`) logarithms of k x k matrices and of vectors: log_a (lanes, k, k), log_x and log_h0
(lanes, k); reset (lanes). States are computed as numbers z 2^k, so that 10,000 steps round no more than in linear space.
Their logarithms differentiate by a linear recurrence, whose weights are 0 where h_t[i] is 0:

    d log h_t[i] = sum_j w_t[i, j] (d log a_t[i, j] + d log h_{t-1}[j]) + x_t[i] / h_t[i] d log x_t[i],
    w_t[i, j] = a_t[i, j] h_{t-1}[j] / h_t[i]
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels._layout import lane_shape, state_shape
from cssm_kernels._primitive import same_varying_axes
from cssm_kernels.goom import arithmetic
from cssm_kernels.goom_scan.scaled import Scaled, from_log, product, to_log, total

# (log_a, log_x, log_h0?, reset?, *, axis, reverse) -> log_h
States = Callable[..., Array]
# (w, u, h0?, *, axis, reverse) -> h of h_t = w_t h_{t-1} + u_t
Linear = Callable[..., Array]


def run(
    states: States,
    linear: Linear,
    log_a: Array,
    log_x: Array,
    log_h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
) -> tuple[Array, Array]:
    """(log_h, its last in time), by one form of the states and one of the recurrence of their derivatives."""
    log_h = _log_states(states, linear, axis, reverse, log_a, log_x, log_h0, reset)
    return log_h, lax.index_in_dim(log_h, 0 if reverse else -1, axis)


def run_numbers(
    states: States,
    linear: Linear,
    log_a: Array,
    log_x: Array,
    log_h0: Array | None,
    reset: Array | None,
    **params: Any,
) -> tuple[Array, Array]:
    """The same for numbers, without component dimensions."""
    log_h0 = None if log_h0 is None else log_h0[..., None]
    log_h, final = run(states, linear, log_a[..., None, None], log_x[..., None], log_h0, reset, **params)
    return log_h[..., 0], final[..., 0]


def linear_of_vectors(recurrence: Callable[..., tuple[Array, Array]], **params: Any) -> Linear:
    """The derivatives' recurrence by a form of matrix_scan."""
    return lambda w, u, h0, **where: recurrence(w, u, h0, None, **where, **params)[0]


def linear_of_numbers(recurrence: Callable[..., tuple[Array, Array]], **params: Any) -> Linear:
    """The same for numbers, by a form of linear_scan."""

    def linear(w, u, h0, **where):
        h0 = None if h0 is None else h0[..., 0]
        return recurrence(w[..., 0, 0], u[..., 0], h0, None, **where, **params)[0][..., None]

    return linear


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _log_states(states, linear, axis, reverse, log_a, log_x, log_h0, reset):
    return states(log_a, log_x, log_h0, reset, axis=axis, reverse=reverse)


@_log_states.defjvp
def _log_states_jvp(states, linear, axis, reverse, primals, tangents):
    log_a, log_x, log_h0, reset = primals
    da, dx, dh0, _ = tangents
    log_h = _log_states(states, linear, axis, reverse, *primals)
    before = _previous(log_h, log_h0, axis, reverse)
    w = arithmetic.ratio(log_a + before[..., None, :], log_h[..., None])
    w = w if reset is None else jnp.where(reset[..., None, None], 0, w)
    u = jnp.sum(w * da, -1) + arithmetic.ratio(log_x, log_h) * dx
    return log_h, linear(w, u, dh0, axis=axis, reverse=reverse)


def _previous(log_h, log_h0, axis, reverse):
    """log h_{t-1}"""
    start = lax.index_in_dim(log_h, 0, axis)
    start = jnp.full_like(start, -jnp.inf) if log_h0 is None else jnp.broadcast_to(log_h0, start.shape)
    if reverse:
        return jnp.concatenate([lax.slice_in_dim(log_h, 1, None, axis=axis), start], axis)
    return jnp.concatenate([start, lax.slice_in_dim(log_h, 0, -1, axis=axis)], axis)


def sequential(
    log_a: Array, log_x: Array, log_h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> Array:
    """h_t = x_t if reset_t else a_t h_{t-1} + x_t, one `lax.scan` step at a time."""
    a, x, h, reset = _time_first(log_a, log_x, log_h0, reset, axis)

    def step(h, inputs):
        a_t, x_t, reset_t = inputs
        h = _select(reset_t, x_t, _next(a_t, h, x_t))
        return h, to_log(h)

    _, log_h = lax.scan(step, h, (a, x, reset), reverse=reverse)
    return jnp.moveaxis(log_h, 0, axis)


def associative(
    log_a: Array, log_x: Array, log_h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> Array:
    """The same through `lax.associative_scan` over the maps h -> a h + x, constant where reset."""
    first = -1 if reverse else 0
    a, x, h, reset = _time_first(log_a, log_x, log_h0, reset, axis)
    if log_h0 is not None:
        a_1, x_1, reset_1 = jax.tree.map(lambda v: v[first], (a, x, reset))
        start = _select(reset_1, x_1, _next(a_1, h, x_1))
        x = jax.tree.map(lambda v, v_1: v.at[first].set(v_1), x, start)

    def compose(earlier, later):
        (a_i, x_i, reset_i), (a_j, x_j, reset_j) = earlier, later
        x = _select(reset_j, x_j, _next(a_j, x_i, x_j))
        return _matrix_product(a_j, a_i), x, None if reset_j is None else reset_i | reset_j

    _, h, _ = lax.associative_scan(compose, (a, x, reset), reverse=reverse)
    return jnp.moveaxis(to_log(h), 0, axis)


def _time_first(log_a, log_x, log_h0, reset, axis):
    """Operands in full, time leading, as numbers z 2^k; the initial state without time; reset with a component dimension."""
    lanes = lane_shape((log_a, 2), (log_x, 1), (log_h0, 1), (reset, 0))
    size = log_x.shape[-1]

    def full(value, shape):
        return jax.tree.map(lambda v: jnp.moveaxis(jnp.broadcast_to(v, shape), axis, 0), value)

    log_h0 = jnp.full((1,) * len(lanes) + (size,), -jnp.inf, log_x.dtype) if log_h0 is None else log_h0
    log_a, log_x, log_h0 = same_varying_axes([log_a, log_x, log_h0])  # a state like the next one, also under shard_map
    h = full(from_log(log_h0), (*state_shape(lanes, axis), size))
    a, x = full(from_log(log_a), (*lanes, size, size)), full(from_log(log_x), (*lanes, size))
    reset = None if reset is None else full(reset[..., None], (*lanes, 1))
    return a, x, jax.tree.map(lambda v: v[0], h), reset


def _next(a: Scaled, h: Scaled, x: Scaled) -> Scaled:
    """a h + x"""
    return total([*(product(a[..., j], h[..., j, None]) for j in range(h.k.shape[-1])), x])


def _matrix_product(a: Scaled, b: Scaled) -> Scaled:
    return total([product(a[..., j, None], b[..., j, None, :]) for j in range(a.k.shape[-1])])


def _select(reset, if_reset, otherwise):
    return otherwise if reset is None else jax.tree.map(functools.partial(jnp.where, reset), if_reset, otherwise)
