"""The public transforms."""

from __future__ import annotations

import operator

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import FRAME_DTYPES, SPECTRUM_DTYPES, checked_array
from cssm_kernels.fft2 import reference, rules

IMPLEMENTATIONS = ("cpu", "xla")


def rfft2_cl(x: ArrayLike, *, implementation: str | None = None) -> Array:
    """x_hat[v, f] = sum_{h, w} x[h, w] exp(-2 pi i (v h / H + f w / W)), 0 <= f <= W/2, channels last.

    As `jnp.fft.rfft2(x, axes=(-3, -2))`, without the transposes that XLA makes for it: on CPU, channels are the lanes of a
    native kernel's vectors. Differentiable to any order, in both modes.

    Args:
      x: (..., H, W, C), float32, float64, bfloat16 or float16 (transformed in float32).
      implementation: None for the best on the platform, "cpu" (native) or "xla". A named one runs or raises.

    Returns:
      (..., H, W//2 + 1, C), complex64, or complex128 for float64.

    Raises:
      TypeError: x is no real floating-point array.
      ValueError: x has fewer than three dimensions, or an empty frame; unknown implementation.

    Source: Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series" (1965).
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    x = checked_array("x", x, FRAME_DTYPES)
    if x.ndim < 3 or 0 in x.shape[-3:-1]:
        raise ValueError(f"x has shape {x.shape}; expected (..., H, W, C) with H and W at least 1")
    if implementation == "xla" or x.size == 0:
        return reference.rfft2(x)
    return rules.rfft2(x, axis=x.ndim - 3, implementation=implementation)[0]


def irfft2_cl(x_hat: ArrayLike, width: int, *, implementation: str | None = None) -> Array:
    """The inverse of `rfft2_cl`, axis by axis: complex along H, then to real numbers along W, scaled by 1/(HW).

    x_hat need not be Hermitian: imaginary parts left in the columns f = 0 and f = W/2 by the transform along H are dropped.
    Differentiable to any order, in both modes.

    Args:
      x_hat: (..., H, W//2 + 1, C), complex64 or complex128.
      width: W.
      implementation: None for the best on the platform, "cpu" (native) or "xla". A named one runs or raises.

    Returns:
      (..., H, W, C), float32 or float64.

    Raises:
      TypeError: x_hat is no complex array, or width no int.
      ValueError: a shape that does not fit `width`, or an empty frame; unknown implementation.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    x_hat = checked_array("x_hat", x_hat, SPECTRUM_DTYPES)
    try:
        width = operator.index(width)
    except TypeError:
        raise TypeError(f"width is {width!r}; expected an int") from None
    if width < 1 or x_hat.ndim < 3 or x_hat.shape[-3] == 0 or x_hat.shape[-2] != width // 2 + 1:
        raise ValueError(
            f"x_hat has shape {x_hat.shape} and width is {width}; expected (..., H, width//2 + 1, C) with H and width at "
            f"least 1"
        )
    if implementation == "xla" or x_hat.size == 0:
        return jnp.asarray(reference.irfft2(x_hat, width))
    return rules.irfft2(x_hat, width=width, axis=x_hat.ndim - 3, implementation=implementation)[0]
