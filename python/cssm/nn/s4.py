"""Structured state spaces (S4) along one axis of an image: initial values, and the kernels of their impulse responses.

With h states, Delta of each channel and the bilinear rule, M = I - Delta A / 2:

    A_bar = M^-1 (I + Delta A / 2) = 2 M^-1 - I,   B_bar = Delta M^-1 B,   k[l] = 2 Re C^T A_bar^l B_bar,   0 <= l < L

Source: CSSM model specification 2.9 to 2.11.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import initializers as init
from jax.typing import DTypeLike

Initial = Callable[..., Array]


def uniform_phase(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """U[0, 2 pi)"""
    return jax.random.uniform(key, shape, dtype, 0.0, 2 * math.pi)


def log_step(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """log Delta, Delta log-uniform in [0.001, 0.1)"""
    return jax.random.uniform(key, shape, dtype, math.log(1e-3), math.log(1e-1))


class AxisKernel(nn.Module):
    """The kernel k (C, L) of one axis; a subclass says what A and B are.

    Fields:
      channels: C.
      states: h.
      dtype: of the kernel, float32 or float64.
      param_dtype: of the parameters.
    """

    channels: int
    states: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    imaginary: ClassVar[str] = "Lambda_imag"  # the parameter's name

    def parameter(self, name: str, initial: Initial, *shape: int) -> Array:
        """In `dtype`."""
        return self.param(name, initial, shape, self.param_dtype).astype(self.dtype)

    def eigenvalues(self, phases: Initial) -> Array:
        """lambda (h) = -exp(Lambda_log) + i (the imaginary parameter)."""
        size = self.parameter("Lambda_log", init.constant(math.log(0.5)), self.states)
        return jax.lax.complex(-jnp.exp(size), self.parameter(self.imaginary, phases, self.states))

    def readout(self) -> Array:
        """C (C, h)"""
        c = self.parameter("C_ri", init.normal(self.states**-0.5), self.channels, 2, self.states)
        return jax.lax.complex(c[:, 0], c[:, 1])

    def step(self) -> Array:
        """Delta (C, 1)"""
        return jnp.exp(self.parameter("log_Delta", log_step, self.channels))[:, None]


class DiagonalKernel(AxisKernel):
    """A = diag(lambda), so that powers are elementwise.

    Parameters: Lambda_log, Lambda_imag (h); B_ri (2, h); C_ri (C, 2, h); log_Delta (C).
    """

    @nn.compact
    def __call__(self, length: int) -> Array:
        """(C, L)"""
        eigenvalues = self.eigenvalues(uniform_phase)
        b = self.parameter("B_ri", init.normal((2 * self.states) ** -0.5), 2, self.states)
        c, step = self.readout(), self.step()
        inverse = 1 / (1 - step * eigenvalues / 2)
        transition = (1 + step * eigenvalues / 2) * inverse
        powers = jnp.exp(jnp.log(transition + 1e-12)[..., None] * jnp.arange(length))
        return 2 * jnp.einsum("cn,cnl->cl", c * inverse * step * jax.lax.complex(b[0], b[1]), powers).real


class LowRankKernel(AxisKernel):
    """A = diag(lambda) - P Q^T, so that M^-1 is diagonal less a product of two vectors, and a power costs O(h).

    Parameters: Lambda_log, Lambda_im, P, Q, B (h); C_ri (C, 2, h); log_Delta (C).
    """

    imaginary = "Lambda_im"

    @nn.compact
    def __call__(self, length: int) -> Array:
        """(C, L)"""
        order = np.arange(self.states)
        eigenvalues = self.eigenvalues(_given(np.pi * order))
        p, q = (self.parameter(name, _given(np.sqrt(order + 0.5)), self.states) for name in ("P", "Q"))
        b = self.parameter("B", _given(np.sqrt(2 * order + 1)), self.states)
        c, step = self.readout(), self.step()
        diagonal = 1 / (1 - step * eigenvalues / 2)
        column, row = diagonal * p, diagonal * q
        column *= step / 2 / (1 + step / 2 * (q * column).sum(-1, keepdims=True))

        def solve(v: Array) -> Array:
            """M^-1 v"""
            return diagonal * v - column * (row * v).sum(-1, keepdims=True)

        def power(v: Array, _: None) -> tuple[Array, Array]:
            return 2 * solve(v) - v, 2 * (c * v).sum(-1).real

        return jax.lax.scan(power, step * solve(b.astype(diagonal.dtype)), None, length)[1].T


def _given(values: np.ndarray) -> Initial:
    def initial(_: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jnp.asarray(values, dtype).reshape(shape)

    return initial
