"""coupled_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`), with their components last, h0 and final of size 1 in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import lane_shape, state_dtype, state_shape


def lanes_of(G: Any, K: Any, x: Any, b: Any, c: Any, h0: Any, reset: Any) -> tuple[int, ...]:
    """The lanes of the result."""
    return lane_shape((G, 2), (K, 2), (x, 1), (b, 1), (c, 1), (h0, 1), (reset, 0))


class Recurrences(NamedTuple):
    """What (y, final) may be computed by: a form of gated_scan for one component, a form of matrix_scan for several."""

    of_scalars: Callable[..., Any]
    of_vectors: Callable[..., Any]


def through(recurrences: Recurrences, *operands: Array | None, **params: Any) -> tuple[Array, Array]:
    """(y, final) by those."""
    _, _, x, *_ = operands
    assert x is not None
    if x.shape[-1] == 1:
        return _of_scalars(recurrences.of_scalars, *operands, **params)
    return _of_vectors(recurrences.of_vectors, *operands, **params)


def _of_scalars(recurrence, G, K, x, b, c, h0, reset, **params):
    """The transitions are G K."""
    b = jnp.ones((1,) * x.ndim, jnp.finfo(x.dtype).dtype) if b is None else b
    a = _widened(G)[..., 0, 0] * _widened(K)[..., 0, 0]
    vectors = (None if v is None else _widened(v)[..., 0] for v in (b, x, c, h0))
    y, final = recurrence(a, *vectors, reset, state_axis=None, **params)
    return y[..., None].astype(x.dtype), final[..., None]


def _of_vectors(recurrence, G, K, x, b, c, h0, reset, *, axis, **params):
    """The transitions are G o K, the inputs b x."""
    shape, dtype = lanes_of(G, K, x, b, c, h0, reset), state_dtype(x.dtype)
    u = x.astype(dtype) if b is None else b.astype(dtype) * x.astype(dtype)
    u = jnp.broadcast_to(u, (*u.shape[:axis], shape[axis], *u.shape[axis + 1 :]))
    A = G.astype(dtype) * K.astype(dtype)
    h, final = recurrence(A, u, h0, reset, axis=axis, triangular=None, **params)
    y = jnp.broadcast_to(h if c is None else c.astype(dtype) * h, (*shape, x.shape[-1]))
    return y.astype(x.dtype), jnp.broadcast_to(final, (*state_shape(shape, axis), x.shape[-1]))


def _widened(v: Array) -> Array:
    """In the state's precision; still real if it is."""
    return v.astype(state_dtype(v.dtype))
