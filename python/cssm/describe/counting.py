"""How floating-point operations are counted: real additions, multiplications and elementary functions, one each.

A complex addition is 2, a product 6 (2 with a real number), a quotient 11, a modulus 4; a transform of n points, complex,
5 n log2 n, and half of that where one side is real.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp


def is_complex(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.complexfloating)


def addition(dtype: Any) -> int:
    """FLOPs of z + w, both of this dtype."""
    return 2 if is_complex(dtype) else 1


def product(*dtypes: Any) -> int:
    """FLOPs of z w, of these two dtypes."""
    return (1, 2, 6)[sum(map(is_complex, dtypes))]


def transforms(lengths: tuple[int, ...], count: int, *, real: bool) -> float:
    """FLOPs of `count` Fourier transforms of these lengths, of real numbers or to them."""
    n = math.prod(lengths)
    return (2.5 if real else 5) * n * math.log2(n) * count if n > 1 else 0.0
