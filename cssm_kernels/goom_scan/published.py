"""The published associative scans of logarithms (`compat=True`), whose sums are clamped: see `goom.compat`.

They compose A <- A_j A_i, u <- A_j u_i + u_j. An entry of a 2 x 2 product is one sum of two terms, of a 3 x 3 one two nested
sums, and of any other one sum over the contracted index. Initial states and resets, which were not published, are composed
of the same sums.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels._layout import lane_shape
from cssm_kernels.goom.compat import log_add_exp, log_sum_exp


def scan(
    log_a: Array, log_x: Array, log_h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """goom_scan of aligned operands: (log_h, its last in time)."""
    return _scan(jnp.add, jnp.add, 0, log_a, log_x, log_h0, reset, axis, reverse)


def matrix_scan(
    log_a: Array, log_x: Array, log_h0: Array | None, reset: Array | None, *, axis: int, reverse: bool
) -> tuple[Array, Array]:
    """goom_matrix_scan of aligned operands: (log_h, its last in time)."""
    return _scan(_matrix_product, _matrix_vector, 1, log_a, log_x, log_h0, reset, axis, reverse)


def _scan(
    matrix_product: Callable[[Array, Array], Array],
    matrix_vector: Callable[[Array, Array], Array],
    components: int,
    log_a: Array,
    log_x: Array,
    log_h0: Array | None,
    reset: Array | None,
    axis: int,
    reverse: bool,
) -> tuple[Array, Array]:
    lanes = lane_shape((log_a, 2 * components), (log_x, components), (log_h0, components), (reset, 0))
    size = log_x.shape[log_x.ndim - components :]
    first, last = (-1, 0) if reverse else (0, -1)

    def time_first(value, own):
        return jnp.moveaxis(jnp.broadcast_to(value, (*lanes, *own)), axis, 0)

    def step(a, h, u):
        return log_add_exp(matrix_vector(a, h), u)

    def cleared(reset, u, otherwise):
        return otherwise if reset is None else jnp.where(reset, u, otherwise)

    def compose(earlier, later):
        (a_i, u_i, reset_i), (a_j, u_j, reset_j) = earlier, later
        u = cleared(reset_j, u_j, step(a_j, u_i, u_j))
        return matrix_product(a_j, a_i), u, None if reset_j is None else reset_i | reset_j

    a, u = time_first(log_a, size * 2), time_first(log_x, size)
    reset = None if reset is None else time_first(reset[(..., *(None,) * components)], (1,) * components)
    if log_h0 is not None:
        h0 = jnp.moveaxis(log_h0, axis, 0)[0]
        u_1 = cleared(None if reset is None else reset[first], u[first], step(a[first], h0, u[first]))
        u = u.at[first].set(u_1)
    _, h, _ = lax.associative_scan(compose, (a, u, reset), reverse=reverse)
    return jnp.moveaxis(h, 0, axis), jnp.expand_dims(h[last], axis)


def _matrix_vector(a: Array, h: Array) -> Array:
    return _sum([a[..., j] + h[..., j, None] for j in range(h.shape[-1])])


def _matrix_product(a: Array, b: Array) -> Array:
    return _sum([a[..., j, None] + b[..., j, None, :] for j in range(a.shape[-1])])


def _sum(terms: list[Array]) -> Array:
    if len(terms) in (2, 3):
        return functools.reduce(log_add_exp, terms)
    return log_sum_exp(jnp.stack(terms), 0)
