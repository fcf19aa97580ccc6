"""Scalar recurrences in linear space: associative, quadratic, and in chunks (SSD).

With L_t the sum of log A over steps up to t, h_t = sum_{s <= t} exp(L_t - L_s) x_s. A = 0 has no logarithm: these forms give
NaN there, as published.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax


def associative(A: Array, x: Array) -> Array:
    """`lax.associative_scan` of the maps h -> A h + x."""

    def compose(earlier, later):
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    A, x = jnp.broadcast_arrays(A.astype(jnp.complex64), x.astype(jnp.complex64))
    return lax.associative_scan(compose, (A, x), axis=1)[1]


def quadratic(A: Array, x: Array) -> Array:
    """The whole T x T matrix of decays, times x."""
    return jnp.einsum("bts...,bs...->bt...", _decays(_log_decay(A)), x.astype(jnp.complex64))


def ssd(A: Array, x: Array, chunk: int = 8, initial: Array | None = None) -> Array:
    """Quadratic within chunks, associative over their ends. An initial state is a chunk of its own, without decay.

    Raises:
      ValueError: T is no multiple of `chunk`.
    """
    batch, steps, *rest = x.shape
    if steps % chunk:
        raise ValueError(f"x has {steps} steps; expected a multiple of chunk, {chunk}")
    A, x = (v.astype(jnp.complex64).reshape(batch, -1, chunk, *rest) for v in jnp.broadcast_arrays(A, x))
    log_decay = _log_decay(A, axis=2)
    within = jax.vmap(lambda logs, v: jnp.einsum("bts...,bs...->bt...", _decays(logs), v), 1, 1)(log_decay, x)
    ends, products = within[:, :, -1], jnp.exp(log_decay[:, :, -1])
    if initial is not None:
        ends = jnp.concatenate([initial.astype(jnp.complex64)[:, None], ends], 1)
        products = jnp.concatenate([jnp.ones_like(products[:, :1]), products], 1)
    states = associative(products, ends)
    before = states[:, :-1]  # the state each chunk starts from: none before the first
    if initial is None:
        before = jnp.concatenate([jnp.zeros_like(states[:, :1]), before], 1)
    return (within + jnp.exp(log_decay) * before[:, :, None]).reshape(batch, steps, *rest)


def chunked_quadratic(A: Array, x: Array, chunk: int = 8) -> Array:
    """`ssd`, or `quadratic` where one chunk holds all."""
    return quadratic(A, x) if x.shape[1] <= chunk else ssd(A, x, chunk)


def _log_decay(A: Array, axis: int = 1) -> Array:
    return jnp.cumsum(jnp.log(A.astype(jnp.complex64)), axis)


def _decays(log_decay: Array) -> Array:
    """exp(L_t - L_s) for s <= t, else 0; (B, t, s, ...)."""
    steps = log_decay.shape[1]
    lower = jnp.tril(jnp.ones((steps, steps), bool)).reshape(1, steps, steps, *(1,) * (log_decay.ndim - 2))
    # Cleared before the exponential too: the other half would overflow.
    differences = jnp.where(lower, log_decay[:, :, None] - log_decay[:, None], 0)
    return jnp.where(lower, jnp.exp(differences), 0)
