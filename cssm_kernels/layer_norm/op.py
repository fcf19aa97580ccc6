"""The public function."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import FRAME_DTYPES, as_dtype, checked_array, state_dtype, with_lanes
from cssm_kernels.layer_norm import reference, rules

IMPLEMENTATIONS = ("cpu", "xla")


def layer_norm(
    x: ArrayLike,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-6,
    activation: str | None = None,
    implementation: str | None = None,
) -> Array:
    """y = (z - mean z) / sqrt(var z + eps) * scale + bias, z = act(x), mean and var over the channels of each position

    On CPU one pass of a native kernel over x, and one over x and the cotangent for all gradients, which computes the
    statistics again instead of keeping them. Elsewhere it is XLA's. The native kernel takes var as E[(z - mean z)^2], XLA's
    form as E[z^2] - (mean z)^2, which for means far above the spread loses digits. Differentiable to any order, in both
    modes; jvp and higher orders are of XLA's form. The native kernel sums gradients of scale and bias in float64, except
    where vmap has made batches of these.

    Args:
      x: (..., C), float32, float64, bfloat16 or float16 (the latter two computed in float32).
      scale: (C,), x's dtype, or float32 where that is a 16-bit one; None for ones.
      bias: (C,), as scale; None for zeros.
      eps: added to the variance, positive.
      activation: of x, before the norm: None, "gelu" (by its tanh formula), "softplus" or "relu".
      implementation: None for the best on the platform, "cpu" (native) or "xla". A named one runs or raises.

    Returns:
      As x.

    Raises:
      TypeError: x is no real floating-point array; another argument would lose precision.
      ValueError: a shape that does not fit; eps is not positive; unknown activation or implementation.

    Source: Ba, Kiros and Hinton 2016, "Layer Normalization".
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    x = checked_array("x", x, FRAME_DTYPES)
    if x.ndim < 1:
        raise ValueError(f"x has shape {x.shape}; expected (..., C)")
    if activation not in reference.ACTIVATIONS:
        names = ", ".join(map(repr, reference.ACTIVATIONS))
        raise ValueError(f"activation is {activation!r}; expected one of {names}")
    if not 0 < eps < float("inf"):
        raise ValueError(f"eps is {eps}; expected a positive number")
    scale, bias = (_of_channels(name, v, x) for name, v in (("scale", scale), ("bias", bias)))
    if x.size == 0:
        return jnp.zeros(x.shape, x.dtype)
    how: dict[str, Any] = {"eps": float(eps), "activation": activation}
    if implementation == "xla":
        return reference.normalise(x, scale, bias, **how).astype(x.dtype)
    (y,) = rules.normalise(x, scale, bias, axis=x.ndim - 1, implementation=implementation, **how)
    return y


def _of_channels(name: str, v: ArrayLike | None, x: Array) -> Array | None:
    """Aligned with x."""
    if v is None:
        return None
    v = as_dtype(name, v, state_dtype(x.dtype), "the dtype computed in")
    if v.shape != x.shape[-1:]:
        raise ValueError(f"{name} has shape {v.shape}; expected {x.shape[-1:]}")
    return with_lanes(v, x.ndim)
