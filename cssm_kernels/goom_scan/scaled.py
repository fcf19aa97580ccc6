"""Numbers z 2^k of any magnitude, whose products and sums need no transcendental function.

k is a floating number, integral, so exact to 2^24; beyond that a logarithm of the same precision is no better. These are
values only: differentiation goes through the logarithms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels.goom import arithmetic

# log 2 = LOG2_HIGH + LOG2_LOW; products with the first, of 12 bits, are exact for the k of common magnitudes.
LOG2_HIGH, LOG2_LOW = 2839 / 4096, 3.1946184945309417e-05
LOG2 = LOG2_HIGH + LOG2_LOW


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scaled:
    """z 2^k, with complex z of magnitude around 1. At zero k is -inf (z keeps a phase), and at infinity inf."""

    z: Array
    k: Array

    def __getitem__(self, index: Any) -> Scaled:
        return Scaled(self.z[index], self.k[index])


def from_log(log_z: Array) -> Scaled:
    magnitude = log_z.real
    k = jnp.where(jnp.isfinite(magnitude), jnp.round(magnitude / LOG2), magnitude)
    rest = jnp.where(jnp.isinf(k), 0, (magnitude - k * LOG2_HIGH) - k * LOG2_LOW)
    size = jnp.exp(jnp.clip(rest, -1, 1))  # clipped where the logarithm's last place is larger than 1
    cos, sin = arithmetic.unit(log_z.imag)
    return Scaled(lax.complex(size * cos, size * sin), k)


def to_log(x: Scaled) -> Array:
    log_z = arithmetic.log(x.z)
    magnitude = jnp.where(jnp.isinf(x.k), x.k, x.k * LOG2_HIGH + (x.k * LOG2_LOW + log_z.real))
    return lax.complex(magnitude, log_z.imag)


def product(a: Scaled, b: Scaled) -> Scaled:
    """a b, a term of `total`."""
    return Scaled(a.z * b.z, a.k + b.k)


def total(terms: Sequence[Scaled]) -> Scaled:
    """The sum of a few terms, brought back to its range."""
    k = terms[0].k
    for term in terms[1:]:
        k = jnp.maximum(k, term.k)
    aligned = (_scaled(term.z, jnp.where(term.k == k, 0, term.k - k)) for term in terms)
    z = functools.reduce(jnp.add, aligned)
    size = jnp.maximum(jnp.abs(z.real), jnp.abs(z.imag))
    own = jnp.where(jnp.isfinite(size), _exponent(size), 0)
    return Scaled(_scaled(z, -own), jnp.where(size == 0, -jnp.inf, k + own))


def _scaled(z: Array, n: Array) -> Array:
    """z 2^n for integral n; 0 where n is less than a number's smallest exponent."""
    info = jnp.finfo(n.dtype)
    biased = jnp.clip(n, 1 - info.maxexp, info.maxexp - 1) + (info.maxexp - 1)
    bits = biased.astype(f"uint{info.bits}") << info.nmant
    return z * lax.bitcast_convert_type(bits, n.dtype)


def _exponent(size: Array) -> Array:
    """e of size = m 2^e, 1 <= m < 2."""
    info = jnp.finfo(size.dtype)
    bits = lax.bitcast_convert_type(size, f"uint{info.bits}")
    return (bits >> info.nmant).astype(size.dtype) - (info.maxexp - 1)
