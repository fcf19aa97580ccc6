"""Three states in a chain, Q -> K -> V: as one 3 x 3 recurrence, or one scalar scan after another.

    Q_t = d_Q Q_{t-1} + x_Q,   K_t = d_K K_{t-1} + w_K Q_{t-1} + x_K,   V_t = d_V V_{t-1} + w_V K_{t-1} + x_V

decays d (B, T, ..., 3) and couplings w (B, T, ..., 2), inputs x (B, T, ..., 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels import matrix_scan


def matrices(d: Array, w: Array) -> Array:
    """The transitions, (B, T, ..., 3, 3), lower triangular."""
    zero = jnp.zeros_like(d[..., 0])
    rows = [[d[..., 0], zero, zero], [w[..., 0], d[..., 1], zero], [zero, w[..., 1], d[..., 2]]]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def native(d: Array, w: Array, x: Array) -> Array:
    """Our matrix_scan."""
    return matrix_scan(matrices(d, w), x, axis=1, triangular="lower")


def associative(d: Array, w: Array, x: Array, dtype: Any = jnp.bfloat16) -> Array:
    """`lax.associative_scan` of whole 3 x 3 products on (re, im) pairs of `dtype`, each product and sum rounded to it."""

    def add(a, b):
        return tuple((p.astype(jnp.float32) + q.astype(jnp.float32)).astype(dtype) for p, q in zip(a, b))

    def multiply(a, b):
        return (a.astype(jnp.float32) * b.astype(jnp.float32)).astype(dtype)

    def times(a, b):
        (a_re, a_im), (b_re, b_im) = a, b
        re = add((multiply(a_re, b_re),), (-multiply(a_im, b_im),))[0]
        return re, add((multiply(a_re, b_im),), (multiply(a_im, b_re),))[0]

    def entry(a, *index):
        return tuple(part[(..., *index)] for part in a)

    def dot(A, i, B, column):
        terms = [times(entry(A, i, j), entry(B, j, *column)) for j in range(3)]
        return add(add(terms[0], terms[1]), terms[2])

    def stacked(entries, axis):
        return tuple(jnp.stack(parts, axis) for parts in zip(*entries))

    def compose(earlier, later):
        (A_i, u_i), (A_j, u_j) = earlier, later
        A = stacked([stacked([dot(A_j, i, A_i, (k,)) for k in range(3)], -1) for i in range(3)], -2)
        return A, add(stacked([dot(A_j, i, u_i, ()) for i in range(3)], -1), u_j)

    A = matrices(d, w)
    A = jnp.broadcast_to(A, (*x.shape, 3))
    pairs = [(jnp.real(v).astype(dtype), jnp.imag(v).astype(dtype)) for v in (A, x)]
    _, (re, im) = lax.associative_scan(compose, tuple(pairs), axis=1)
    return lax.complex(re.astype(jnp.float32), im.astype(jnp.float32))


def cascade(scan: Callable[[Array, Array], Array], d: Array, w: Array, x: Array) -> Array:
    """One scalar scan a state, fed with the state before it, a step late."""

    def late(h):
        return jnp.concatenate([jnp.zeros_like(h[:, :1]), h[:, :-1]], 1)

    states = [scan(d[..., 0], x[..., 0])]
    for i in (1, 2):
        states.append(scan(d[..., i], x[..., i] + w[..., i - 1] * late(states[-1])))
    return jnp.stack(states, -1)
