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
    w, bias, minus = (
        None if v is None else as_dtype(name, v, x.dtype, "x's dtype")
        for name, v in (("w", w), ("bias", bias), ("minus", minus))
    )
    if w.ndim != 2 or w.shape[0] != x.shape[-1]:
        raise ValueError(f"w has shape {w.shape}; expected ({x.shape[-1]}, N)")
    shape = (*x.shape[:-1], w.shape[1])
    for name, v, expected in (("bias", bias, shape[-1:]), ("minus", minus, shape)):
        if v is not None and v.shape != expected:
            raise ValueError(f"{name} has shape {v.shape}; expected {expected}")
    if x.size == 0 or 0 in shape:
        return jnp.zeros(shape, x.dtype) + (0 if bias is None else bias) - (0 if minus is None else minus)
    x, minus = (None if v is None else jnp.expand_dims(v, -2) for v in (x, minus))
    w, bias = (None if v is None else with_lanes(v, x.ndim) for v in (w, bias))
    if implementation == "xla":
        y = reference.dense(x, w, bias, minus)
    else:
        (y,) = rules.dense(x, w, bias, minus, axis=x.ndim - 2, implementation=implementation)
    return y.reshape(shape)
