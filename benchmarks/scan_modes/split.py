"""Associative scans of numbers split into two arrays of a narrow type.

"complex32" is pairs of bfloat16, "complex16" pairs of float8_e4m3fn: every product and every sum is done in float32 and
rounded to the stored type. Phase-split numbers are log-magnitudes and phases, whose products are sums.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

Pair = tuple[Array, Array]


def split(A: Array, x: Array, dtype: Any = jnp.bfloat16) -> Array:
    """h_t = A_t h_{t-1} + x_t on (re, im) pairs of `dtype`."""

    def add(a, b):
        return (a.astype(jnp.float32) + b.astype(jnp.float32)).astype(dtype)

    def multiply(a, b):
        return (a.astype(jnp.float32) * b.astype(jnp.float32)).astype(dtype)

    def times(a, b):
        (a_re, a_im), (b_re, b_im) = a, b
        return add(multiply(a_re, b_re), -multiply(a_im, b_im)), add(multiply(a_re, b_im), multiply(a_im, b_re))

    def compose(earlier, later):
        (A_i, u_i), (A_j, u_j) = earlier, later
        carried = times(A_j, u_i)
        return times(A_j, A_i), (add(carried[0], u_j[0]), add(carried[1], u_j[1]))

    A, x = jnp.broadcast_arrays(A, x)
    pairs = [(jnp.real(v).astype(dtype), jnp.imag(v).astype(dtype)) for v in (A, x)]
    _, (re, im) = lax.associative_scan(compose, tuple(pairs), axis=1)
    return lax.complex(re.astype(jnp.float32), im.astype(jnp.float32))


def phase_split(A: Array, x: Array, dtype: Any = jnp.bfloat16) -> Array:
    """The same on (log-magnitude, phase) pairs of `dtype`, recombined."""

    def compose(earlier, later):
        (A_i, u_i), (A_j, u_j) = earlier, later
        return phase_product(A_j, A_i, dtype), phase_sum(phase_product(A_j, u_i, dtype), u_j, dtype)

    A, x = jnp.broadcast_arrays(A, x)
    pairs = [(jnp.log(jnp.abs(v)).astype(dtype), jnp.angle(v).astype(dtype)) for v in (A, x)]
    return phase_recombined(lax.associative_scan(compose, tuple(pairs), axis=1)[1])


def phase_recombined(pair: Pair) -> Array:
    """The complex64 number of a log-magnitude and a phase."""
    magnitude, phase = (part.astype(jnp.float32) for part in pair)
    size = jnp.exp(magnitude)
    return lax.complex(size * jnp.cos(phase), size * jnp.sin(phase))


def phase_product(a: Pair, b: Pair, dtype: Any) -> Pair:
    """Of two numbers as (log-magnitude, phase), rounded to `dtype`."""
    return tuple((p.astype(jnp.float32) + q.astype(jnp.float32)).astype(dtype) for p, q in zip(a, b))


def phase_sum(a: Pair, b: Pair, dtype: Any) -> Pair:
    """Likewise; computed in float32 and rounded once."""
    (a_log, a_phase), (b_log, b_phase) = (tuple(v.astype(jnp.float32) for v in pair) for pair in (a, b))
    most = jnp.maximum(a_log, b_log)
    a_size, b_size = jnp.exp(a_log - most), jnp.exp(b_log - most)
    re = a_size * jnp.cos(a_phase) + b_size * jnp.cos(b_phase)
    im = a_size * jnp.sin(a_phase) + b_size * jnp.sin(b_phase)
    log = most + 0.5 * jnp.log(jnp.maximum(re * re + im * im, 1e-30))
    return log.astype(dtype), jnp.arctan2(im, re).astype(dtype)
