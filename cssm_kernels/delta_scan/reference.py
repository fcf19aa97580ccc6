"""delta_scan in plain JAX: what every implementation computes.

Operands are aligned (see `_layout`), with their components last: k and q (..., d_k), v (..., d_v), S (..., d_v, d_k); h0 and
final of size 1 in time. All is computed in the state's dtype.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import initial_state, lane_shape, state_dtype, state_shape
from cssm_kernels._stepping import cleared, over_time
from cssm_kernels.matrix_scan import reference as matrix


def lanes(
    a: Array, beta: Array, k: Array, v: Array, q: Array, h0: Array | None, reset: Array | None
) -> tuple[int, ...]:
    """The lanes that all operands broadcast to."""
    return lane_shape((a, 0), (beta, 0), (k, 1), (v, 1), (q, 1), (h0, 2), (reset, 0))


def sequential(
    a: Array,
    beta: Array,
    k: Array,
    v: Array,
    q: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    write_key: str,
) -> tuple[Array, Array]:
    """S_t = a_t (S_{t-1} - beta_t (S_{t-1} conj(k_t)) k_t^T) + beta_t v_t w_t^T, o_t = S_t q_t, by `lax.scan`."""
    shape, dtype = lanes(a, beta, k, v, q, h0, reset), state_dtype(v.dtype)
    start = initial_state(h0, (*state_shape(shape, axis), v.shape[-1], k.shape[-1]), dtype)

    def step(S, a, beta, k, v, q, reset):
        a, beta, k, q = (operand.astype(dtype) for operand in (a, beta, k, q))
        S, a = cleared(S, reset), a[..., None, None]
        erased = beta[..., None] * matrix.times_vector(S, jnp.conj(k))
        written = beta[..., None] * v.astype(dtype)
        S = a * (S - _outer(erased, k)) + _outer(written, _write_key(k, write_key))
        return S, matrix.times_vector(S, q).astype(v.dtype)

    return over_time(step, start, (a, beta, k, v, q, reset), axis=axis, steps=shape[axis], reverse=reverse)


def associative(
    a: Array,
    beta: Array,
    k: Array,
    v: Array,
    q: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    write_key: str,
) -> tuple[Array, Array]:
    """As published: the rows of S are the vectors of a matrix_scan, whose transitions a (I - beta k k^H) are formed."""
    shape, dtype = lanes(a, beta, k, v, q, h0, reset), state_dtype(v.dtype)
    a, beta, k, q = (operand.astype(dtype) for operand in (a, beta, k, q))
    eye = jnp.eye(k.shape[-1], dtype=dtype)
    M = a[..., None, None] * (eye - beta[..., None, None] * _outer(k, jnp.conj(k)))
    u = _outer(beta[..., None] * v.astype(dtype), _write_key(k, write_key))
    u = jnp.broadcast_to(u, (*shape, *u.shape[-2:]))
    flags = None if reset is None else reset[..., None]
    S, final = matrix.associative(M[..., None, :, :], u, h0, flags, axis=axis, reverse=reverse, triangular=None)
    return matrix.times_vector(S, q).astype(v.dtype), final


def _outer(u, v):
    return u[..., :, None] * v[..., None, :]


def _write_key(k, write_key):
    return jnp.conj(k) if write_key == "conj" else k
