"""The published arithmetic on complex logarithms: its clamps and its gradients, exactly.

    exp       forward e^x, backward g (e^x + s), s the machine epsilon, negative where Re x < 0
    log       forward log x, its real part at least 2 log(the smallest normal number);
              backward g / x', x' = x |x| / (|x| + 1e-10), or 1e-7 where |x| < 1e-7
    absolute  forward |x|, backward g sign(x) with sign(0) = 1
    to_goom   log of x, or of 1e-7 where |x| < 1e-7: phase and gradient are lost there

Sums are taken through these, scaled by a maximum that no gradient passes. An infinite logarithm gives NaN: zero is
to_goom(0) = -16.118, or another finite number. It is for models trained so, and differentiates backwards only, as published.
`cssm_kernels.goom.arithmetic` is what everything else should use.

Source: the models' specification; Heinsen and Kozachkov, "Generalized orders of magnitude for scalable, parallel,
high-dynamic-range computation" (2025).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

SMALLEST = 1e-7


@jax.custom_vjp
def exp(x: Array) -> Array:
    return jnp.exp(x)


def _exp_forward(x):
    y = jnp.exp(x)
    return y, (x, y)


def _exp_backward(residuals, g):
    x, y = residuals
    eps = jnp.finfo(x.dtype).eps
    return (g * (y + jnp.where(x.real < 0, -eps, eps)),)


exp.defvjp(_exp_forward, _exp_backward)


@jax.custom_vjp
def log(x: Array) -> Array:
    y = jnp.log(x)
    floor = 2 * np.log(jnp.finfo(x.dtype).tiny)
    return lax.complex(jnp.maximum(y.real, floor), y.imag)


def _log_forward(x):
    return log(x), x


def _log_backward(x, g):
    size = jnp.abs(x)
    return (g / jnp.where(size < SMALLEST, SMALLEST, x * jnp.maximum(size, SMALLEST) / (size + 1e-10)),)


log.defvjp(_log_forward, _log_backward)


@jax.custom_vjp
def absolute(x: Array) -> Array:
    return jnp.abs(x)


def _absolute_forward(x):
    return jnp.abs(x), x


def _absolute_backward(x, g):
    return (g * jnp.where(x == 0, 1, jnp.sign(x)),)


absolute.defvjp(_absolute_forward, _absolute_backward)


def to_goom(x: Array) -> Array:
    """The logarithm of real or complex numbers."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.complex64))
    return log(jnp.where(jnp.abs(x) < SMALLEST, SMALLEST, x))


def safe_to_goom(x: Array, smallest: ArrayLike) -> Array:
    """The logarithm of |x|, or of `smallest` where that is larger."""
    return to_goom(jnp.maximum(absolute(x), smallest))


from_goom = exp


def sign(log_x: Array) -> Array:
    """-1 where the phase is beyond 1, else 1."""
    return jnp.where(jnp.abs(log_x.imag) > 1, -1, 1).astype(log_x.real.dtype)


def log_add_exp(a: Array, b: Array) -> Array:
    """log(e^a + e^b)"""
    scale = lax.stop_gradient(jnp.maximum(a.real, b.real))
    return to_goom(exp(a - scale) + exp(b - scale)) + scale


def log_sub_exp(a: Array, b: Array) -> Array:
    """log(e^a - e^b)"""
    scale = lax.stop_gradient(jnp.maximum(a.real, b.real))
    return to_goom(exp(a - scale) - exp(b - scale)) + scale


def log_sum_exp(log_x: Array, axis: int) -> Array:
    """log of the sum of e^log_x over one axis."""
    scale = lax.stop_gradient(jnp.max(log_x.real, axis, keepdims=True))
    return to_goom(jnp.sum(exp(log_x - scale), axis)) + jnp.squeeze(scale, axis)
