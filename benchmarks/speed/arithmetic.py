"""How a number is kept, in one array or in two, and products and sums of such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.scan_modes import split
from cssm_kernels.goom import compat

Parts = tuple[Array, ...]


@dataclass(frozen=True)
class Arithmetic:
    """Numbers kept as one or two arrays.

    Attributes:
      dtypes: of the parts.
      encode: numbers (NumPy) -> the parts, before they are rounded to `dtypes`.
      tangent: (z, d) -> what the parts become where z becomes z (1 + d), to first order.
      decode: parts -> the numbers, in float32 or complex64.
      product, add: (parts, parts) -> parts.
      squash: parts of z -> parts of z / (1 + |z|), where a nonlinear mode needs it.
    """

    dtypes: tuple[Any, ...]
    encode: Callable[[np.ndarray], tuple[np.ndarray, ...]]
    tangent: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
    decode: Callable[[Parts], Array]
    product: Callable[[Parts, Parts], Parts]
    add: Callable[[Parts, Parts], Parts]
    squash: Callable[[Parts], Parts] | None = None

    @property
    def bytes(self) -> int:
        """Of one number."""
        return sum(jnp.dtype(dtype).itemsize for dtype in self.dtypes)

    def stored(self, z: np.ndarray) -> Parts:
        """Numbers in the parts' dtypes."""
        return tuple(jnp.asarray(part).astype(dtype) for part, dtype in zip(self.encode(z), self.dtypes, strict=True))


def linear(dtype: Any) -> Arithmetic:
    """The numbers themselves."""
    return Arithmetic(
        (dtype,),
        encode=lambda z: (z,),
        tangent=lambda z, d: (z * d,),
        decode=lambda parts: parts[0],
        product=lambda a, b: (a[0] * b[0],),
        add=lambda a, b: (a[0] + b[0],),
    )


LOGARITHMS = Arithmetic(
    (jnp.complex64,),
    encode=lambda z: (np.log(z + 0j),),
    tangent=lambda z, d: (d,),
    decode=lambda parts: jnp.exp(parts[0]),
    product=lambda a, b: (a[0] + b[0],),
    add=lambda a, b: (compat.log_add_exp(a[0], b[0]),),
    squash=lambda z: (z[0] - jnp.logaddexp(z[0].real, 0),),
)
"""Complex logarithms and the published sum of them: `cssm_kernels.goom.compat`."""

REAL_LOGARITHMS = Arithmetic(
    (jnp.float32,),
    encode=lambda z: (np.log(z),),
    tangent=lambda z, d: (d,),
    decode=lambda parts: jnp.exp(parts[0]),
    product=lambda a, b: (a[0] + b[0],),
    add=lambda a, b: (jnp.logaddexp(a[0], b[0]),),
)
"""Logarithms of positive numbers."""


def phases(dtype: Any) -> Arithmetic:
    """(log-magnitude, phase), each rounded to `dtype` after every operation, which is one in float32."""
    return Arithmetic(
        (dtype, dtype),
        encode=lambda z: (np.log(np.abs(z)), np.angle(z)),
        tangent=lambda z, d: (d.real, d.imag),
        decode=split.phase_recombined,
        product=lambda a, b: split.phase_product(a, b, dtype),
        add=lambda a, b: split.phase_sum(a, b, dtype),
    )


def signs(dtype: Any) -> Arithmetic:
    """(log-magnitude, sign) of real numbers, rounded likewise. No gradient goes to signs."""
    wide = jnp.float32

    def product(a: Parts, b: Parts) -> Parts:
        return (a[0].astype(wide) + b[0].astype(wide)).astype(dtype), a[1] * b[1]

    def add(a: Parts, b: Parts) -> Parts:
        (a_log, a_sign), (b_log, b_sign) = ((v[0].astype(wide), lax.stop_gradient(v[1].astype(wide))) for v in (a, b))
        most = lax.stop_gradient(jnp.maximum(a_log, b_log))
        z = a_sign * jnp.exp(a_log - most) + b_sign * jnp.exp(b_log - most)
        log = most + jnp.log(jnp.maximum(jnp.abs(z), compat.SMALLEST))
        return log.astype(dtype), jnp.sign(z).astype(dtype)

    return Arithmetic(
        (dtype, dtype),
        encode=lambda z: (np.log(np.abs(z)), np.sign(z)),
        tangent=lambda z, d: (d.real, np.zeros_like(d.real)),
        decode=lambda parts: lax.stop_gradient(parts[1].astype(wide)) * jnp.exp(parts[0].astype(wide)),
        product=product,
        add=add,
    )
