"""The type of numbers kept as logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from cssm_kernels.goom import arithmetic, compat


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Goom:
    """An array of numbers z, each kept as its complex logarithm log|z| + i arg z: products neither over- nor underflow.

        z = Goom.from_array(x)
        y = (z * z + z).to_array()

    A pytree of one array. Zero is -inf, and its phase that of a signed zero: 0, or pi for -0. Through a zero, and through a
    sum that cancels exactly, the gradient is 0. Phases add up in products, and are between -pi and pi after a sum.

    With `compat=True` from_array, to_array, add and subtract are the published ones, which clamp numbers below 1e-7 and have
    gradients of their own: `cssm_kernels.goom.compat`.

    Attributes:
      log: the logarithms, complex64 or complex128.

    Source: Heinsen and Kozachkov, "Generalized orders of magnitude for scalable, parallel, high-dynamic-range computation"
    (2025).
    """

    log: Array

    @classmethod
    def from_array(cls, z: ArrayLike, *, compat: bool = False) -> Goom:
        """Of real or complex numbers. The logarithms are complex128 for double precision, else complex64.

        Raises:
          TypeError: z is no array of floating-point numbers.
        """
        z = jnp.asarray(z)
        if not jnp.issubdtype(z.dtype, np.inexact):
            raise TypeError(f"z has dtype {z.dtype}; expected a real or complex floating-point type")
        return cls(_forms(compat).to_goom(z))

    def to_array(self, *, compat: bool = False) -> Array:
        """The numbers, complex: infinite where too large, 0 where too small. `.real` of them where they are real."""
        return _forms(compat).from_goom(self.log)

    def add(self, other: Goom, *, compat: bool = False) -> Goom:
        return Goom(_forms(compat).log_add_exp(self.log, other.log))

    def subtract(self, other: Goom, *, compat: bool = False) -> Goom:
        return Goom(_forms(compat).log_sub_exp(self.log, other.log))

    def __add__(self, other: Goom) -> Goom:
        return self.add(other) if isinstance(other, Goom) else NotImplemented

    def __sub__(self, other: Goom) -> Goom:
        return self.subtract(other) if isinstance(other, Goom) else NotImplemented

    def __mul__(self, other: Goom) -> Goom:
        return Goom(self.log + other.log) if isinstance(other, Goom) else NotImplemented

    def __truediv__(self, other: Goom) -> Goom:
        return Goom(self.log - other.log) if isinstance(other, Goom) else NotImplemented

    def __neg__(self) -> Goom:
        return Goom(arithmetic.opposite(self.log))

    def __abs__(self) -> Goom:
        return Goom(lax.complex(self.log_magnitude, jnp.zeros_like(self.phase)))

    def __getitem__(self, index: Any) -> Goom:
        return Goom(self.log[index])

    @property
    def log_magnitude(self) -> Array:
        """log|z|"""
        return self.log.real

    @property
    def phase(self) -> Array:
        """arg z"""
        return self.log.imag

    @property
    def shape(self) -> tuple[int, ...]:
        return self.log.shape

    @property
    def ndim(self) -> int:
        return self.log.ndim

    @property
    def dtype(self) -> np.dtype:
        """Of the logarithms."""
        return self.log.dtype


def _forms(published: bool) -> Any:
    return compat if published else arithmetic
