"""The public function."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import FRAME_DTYPES, as_dtype, checked_array, state_dtype
from cssm_kernels.depthwise_conv import reference, rules

IMPLEMENTATIONS = ("cpu", "xla")


def depthwise_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    before: ArrayLike | None = None,
    implementation: str | None = None,
) -> Array:
    """y[t, h, w] = bias + sum_{i,j,l} kernel[i, j, l] x[t + i - (K_t - 1), h + j - (K_h - 1)//2, w + l - (K_w - 1)//2]

    for each channel by itself: causal in time, "SAME" in space, x zero outside. On CPU, channels are the lanes of a native
    kernel's vectors. Differentiable to any order, in both modes; gradients of the kernel and the bias are summed in float64.

    Args:
      x: (..., T, H, W, C), float32, float64, bfloat16 or float16 (the latter two convolved in float32).
      kernel: (K_t, K_h, K_w, C), x's dtype, or float32 where that is a 16-bit one.
      bias: (C,), as the kernel; None for zero.
      before: the K_t - 1 frames before x, (..., K_t - 1, H, W, C), so that a video can be cut anywhere and carried on; None
        for zeros.
      implementation: None for the best on the platform, "cpu" (native) or "xla" (`lax.conv_general_dilated`, one group a
        channel). A named one runs or raises.

    Returns:
      As x.

    Raises:
      TypeError: x is no real floating-point array; another argument would lose precision.
      ValueError: a shape that does not fit; unknown implementation.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    x = checked_array("x", x, FRAME_DTYPES)
    if x.ndim < 4:
        raise ValueError(f"x has shape {x.shape}; expected (..., T, H, W, C)")
    dtype, channels = state_dtype(x.dtype), x.shape[-1]
    kernel = as_dtype("kernel", kernel, dtype, "the dtype computed in")
    if kernel.ndim != 4 or kernel.shape[-1] != channels or 0 in kernel.shape[:3]:
        raise ValueError(f"kernel has shape {kernel.shape}; expected (K_t, K_h, K_w, {channels}), no window of size 0")
    if bias is not None:
        bias = as_dtype("bias", bias, dtype, "the dtype computed in")
        if bias.shape != (channels,):
            raise ValueError(f"bias has shape {bias.shape}; expected {(channels,)}")
    frame, steps, (height, width) = x.shape[-4:-1], kernel.shape[0], kernel.shape[1:3]
    offset = (steps - 1, (height - 1) // 2, (width - 1) // 2)
    if before is not None:
        before = as_dtype("before", before, x.dtype, "x's dtype")
        expected = (*x.shape[:-4], steps - 1, *x.shape[-3:])
        if before.shape != expected:
            raise ValueError(f"before has shape {before.shape}; expected {expected}")
        x, offset = jnp.concatenate([before, x], -4), (0, *offset[1:])
    shape = (*x.shape[:-4], *frame, channels)
    if 0 in shape:
        return jnp.zeros(shape, x.dtype)
    lead = (1,) * (x.ndim - 4)
    kernel = kernel.reshape(lead + kernel.shape)
    bias = None if bias is None else bias.reshape((*lead, 1, 1, 1, channels))
    if implementation == "xla":
        return reference.convolve(x, kernel, bias, frame=frame, offset=offset).astype(x.dtype)
    (y,) = rules.convolve(x, kernel, bias, axis=len(lead), frame=frame, offset=offset, implementation=implementation)
    return y
