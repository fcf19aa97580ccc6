"""The public function."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import FRAME_DTYPES, as_dtype, checked_array, with_lanes
from cssm_kernels.dense import reference, rules

IMPLEMENTATIONS = ("cpu", "xla")


def dense(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    minus: ArrayLike | None = None,
    implementation: str | None = None,
) -> Array:
    """y = x w + bias - minus, over the channels of each position

    On CPU a native kernel where there are many positions and few channels: one pass forward, bias and `minus` included, and
    one backward for all gradients, whose sums over positions are in float64. Else, and elsewhere, it is XLA's product over
    rows. Differentiable to any order, in both modes; jvp and higher orders are of XLA's form.

    Args:
      x: (..., C), float32, float64, bfloat16 or float16 (the latter two by XLA).
      w: (C, N), x's dtype.
      bias: (N,), x's dtype; None for zeros.
      minus: (..., N), x's dtype; None for zeros.
      implementation: None for the best on the platform, "cpu" (native, float32 and float64) or "xla". A named one runs or
        raises.

    Returns:
      (..., N), x's dtype.

    Raises:
      TypeError: x is no real floating-point array; another argument would lose precision.
      ValueError: a shape that does not fit; unknown implementation, or one that does not take these operands.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    x = checked_array("x", x, FRAME_DTYPES)
    if x.ndim < 1:
        raise ValueError(f"x has shape {x.shape}; expected (..., C)")
    matrix = as_dtype("w", w, x.dtype, "x's dtype")
    if matrix.ndim != 2 or matrix.shape[0] != x.shape[-1]:
        raise ValueError(f"w has shape {matrix.shape}; expected ({x.shape[-1]}, N)")
    shape = (*x.shape[:-1], matrix.shape[1])
    bias, minus = (_of_shape(name, v, x, of) for name, v, of in (("bias", bias, shape[-1:]), ("minus", minus, shape)))
    if x.size == 0 or 0 in shape:
        return jnp.zeros(shape, x.dtype) + (0 if bias is None else bias) - (0 if minus is None else minus)
    rows = x.reshape(*x.shape[:-1], 1, x.shape[-1])
    minus = None if minus is None else minus.reshape(*shape[:-1], 1, shape[-1])
    matrix, bias = with_lanes(matrix, x.ndim - 1, 2), None if bias is None else with_lanes(bias, x.ndim - 1, 2)
    if implementation == "xla":
        return reference.dense(rows, matrix, bias, minus).reshape(shape)
    (y,) = rules.dense(rows, matrix, bias, minus, axis=x.ndim - 1, implementation=implementation)
    return y.reshape(shape)


def _of_shape(name: str, v: ArrayLike | None, x: Array, shape: tuple[int, ...]) -> Array | None:
    if v is None:
        return None
    v = as_dtype(name, v, x.dtype, "x's dtype")
    if v.shape != shape:
        raise ValueError(f"{name} has shape {v.shape}; expected {shape}")
    return v
