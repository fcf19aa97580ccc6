"""Arithmetic on complex logarithms log|z| + i arg z that is right at zero, with finite gradients there.

The logarithm of zero is -inf with the phase of the signed zero, and passes a gradient of 0. A phase that is the floating
number nearest to a multiple of pi / 2 counts as that multiple: e^(log -1) is -1, so that signed real numbers stay real, and
opposite ones cancel to 0. Everything differentiates to any order in both modes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def unit(phase: Array) -> tuple[Array, Array]:
    """(cos, sin) of a phase, exact at multiples of pi / 2."""
    half_pi = phase.dtype.type(np.pi / 2)
    quarters = jnp.round(phase / half_pi)
    exact = phase == quarters * half_pi
    quarters = quarters % 4
    even = quarters % 2 == 0
    cos = jnp.where(exact, jnp.where(even, 1 - quarters, 0 * quarters), jnp.cos(phase))
    sin = jnp.where(exact, jnp.where(even, 0 * phase, 2 - quarters), jnp.sin(phase))
    return cos, sin


@jax.custom_jvp
def exp(log_z: Array) -> Array:
    """e^log_z; at -inf 0, signed by the phase."""
    magnitude = jnp.exp(log_z.real)
    # 0 times infinity is 0 here: a real number that overflows stays real.
    return lax.complex(*(jnp.where(part == 0, part, magnitude * part) for part in unit(log_z.imag)))


@exp.defjvp
def _exp_jvp(primals, tangents):
    z = exp(*primals)
    return z, z * tangents[0]


@jax.custom_jvp
def log(z: Array) -> Array:
    """log|z| + i arg z; at 0 -inf, and derivative 0."""
    return lax.complex(jnp.log(jnp.abs(z)), jnp.angle(z))


@log.defjvp
def _log_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    is_zero = z == 0
    return log(z), jnp.where(is_zero, 0, dz) / jnp.where(is_zero, 1, z)


def to_goom(x: Array) -> Array:
    """The logarithm of real or complex numbers."""
    return log(x.astype(jnp.promote_types(x.dtype, jnp.complex64)))


from_goom = exp


@jax.custom_jvp
def log_add_exp(a: Array, b: Array) -> Array:
    """log(e^a + e^b); where they cancel -inf, and derivative 0."""
    scale = jnp.maximum(a.real, b.real)
    scale = jnp.where(jnp.isfinite(scale), scale, 0)
    return log(exp(a - scale) + exp(b - scale)) + scale


@log_add_exp.defjvp
def _log_add_exp_jvp(primals, tangents):
    (a, b), (da, db) = primals, tangents
    y = log_add_exp(a, b)
    return y, ratio(a, y) * da + ratio(b, y) * db


def log_sub_exp(a: Array, b: Array) -> Array:
    """log(e^a - e^b)"""
    return log_add_exp(a, opposite(b))


def opposite(log_z: Array) -> Array:
    """log(-e^log_z), its phase between -pi and pi if log_z's is."""
    pi = log_z.imag.dtype.type(np.pi)
    return lax.complex(log_z.real, log_z.imag + jnp.where(log_z.imag > 0, -pi, pi))


def ratio(log_part: Array, log_whole: Array) -> Array:
    """e^log_part / e^log_whole, which is how the whole's logarithm follows the part's; 0 where the whole is 0."""
    is_zero = log_whole.real == -jnp.inf
    return jnp.where(is_zero, 0, exp(log_part - jnp.where(is_zero, 0, log_whole)))
