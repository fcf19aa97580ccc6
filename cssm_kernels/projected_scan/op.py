"""The public functions."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import as_dtype, check_flags, with_lanes
from cssm_kernels.dense import dense
from cssm_kernels.fft2 import irfft2_cl, rfft2_cl
from cssm_kernels.projected_scan import cpu, rules
from cssm_kernels.spectral_scan import spectral_scan
from cssm_kernels.spectral_scan.layout import align

IMPLEMENTATIONS = ("cpu", "cuda", "unfused", "xla", "sequential")
FILTER_IMPLEMENTATIONS = ("cpu", "unfused", "xla")
_NEAR_BYTES = 256 << 10
_OF_XLA = ("xla", "sequential")


@overload
def projected_scan(
    x: ArrayLike,
    k_hat: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    minus_x: bool = False,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def projected_scan(
    x: ArrayLike,
    k_hat: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    minus_x: bool = False,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def projected_scan(
    x,
    k_hat,
    w,
    bias=None,
    h0=None,
    *,
    minus_x=False,
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    """`spectral_scan`, and one matrix at every pixel of its frames: a layer of sCSSM as one operation.

        S_t = k_hat S_{t-1} + rfft2(x_t),   y_t = irfft2(S_t) w + bias - x_t,   t = 1 ... T,   S_0 = h0 (zero if None)

    with `- x_t` if `minus_x`; resets and reverse time as in `spectral_scan`.

    On CPU it runs as one native kernel, forward and backward, for float32 and float64 with up to 128 channels: rows are
    projected as they leave the inverse transform, and cotangents as they are read, so that no frame lies in memory between
    the two. For the backward pass every few states are kept, from which the recurrence is run again, and the inverse
    transform too for the gradient of w, whose sums over pixels are in float64. It is `spectral_scan` and `dense` where those
    are as fast (one sequence, or frames above 256 KiB), for other dtypes, and where jax's default backend is not the CPU. It
    differentiates to any order in both modes (jvp and higher orders by that pair), and works under jit, vmap, remat,
    shard_map, sharded jit (along batch axes) and jax.export.

    Args:
      x, k_hat, h0, reverse, reset, return_final: as in `spectral_scan`.
      w: (C, N), x's dtype.
      bias: (N,), x's dtype; None for zeros.
      minus_x: less x, for which N must be C.
      implementation: None for the faster on the platform, or "cpu" (native); with the other names of `spectral_scan` it is
        that form of it and `dense`. A named one runs or raises.

    Returns:
      y, (..., T, H, W, N) in x's dtype; with `return_final` the pair (y, final), final (..., H, W//2 + 1, C) complex.

    Raises:
      TypeError: an argument that is no array of a dtype it may have.
      ValueError: shapes that do not fit, an empty frame, `minus_x` of other channels, unknown implementation, or one that
        does not run on the platform compiled for or does not take these operands.
      ImportError: the native library was not built.

    Source: the sCSSM layer, CSSM model specification 2.1.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    check_flags(minus_x=minus_x, reverse=reverse, return_final=return_final)
    k_hat, x, h0, reset = align(k_hat, x, h0, reset)
    w, bias = _matrix(w, bias, x, minus_x)
    axis = x.ndim - 4
    if not _is_fused(implementation, x, w) or 0 in (x.size, k_hat.size, w.size):
        k_hat, h0 = (None if v is None else jnp.squeeze(v, axis) for v in (k_hat, h0))
        reset = None if reset is None else reset[..., 0, 0, 0]
        how: dict[str, Any] = dict(reverse=reverse, reset=reset, return_final=True, implementation=implementation)
        s, final = spectral_scan(x, k_hat, h0, **how)
        minus = jnp.broadcast_to(x, s.shape) if minus_x else None
        y = dense(s, w, bias, minus=minus, implementation="xla" if implementation in _OF_XLA else None)
        return (y, final) if return_final else y
    params = dict(reverse=reverse, minus_x=minus_x, returns_final=return_final, implementation=implementation)
    y, *final = _run(x, k_hat, w, bias, h0, reset, filters=False, **params)
    return (y, jnp.squeeze(final[0], axis)) if return_final else y


def projected_filter(
    x: ArrayLike,
    k_hat: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    minus_x: bool = False,
    implementation: str | None = None,
) -> Array:
    """A convolution of every frame, in the spectral domain, and one matrix at every pixel: `projected_scan` of no memory.

        y_t = irfft2(k_hat rfft2(x_t)) w + bias - x_t

    with `- x_t` if `minus_x`. On CPU one native kernel forward and one backward, where `projected_scan` is one; else it is
    `rfft2_cl`, `irfft2_cl` and `dense`. Differentiation and transformations are `projected_scan`'s.

    Args:
      x, k_hat, w, bias, minus_x: as in `projected_scan`.
      implementation: None for the best on the platform, "cpu" (native), "unfused" (the operations one by one) or "xla"
        (their forms of XLA). A named one runs or raises.

    Returns:
      (..., T, H, W, N) in x's dtype.

    Raises:
      As `projected_scan`.

    Source: the circular convolutions of S4ND, CSSM model specification 2.9.
    """
    check_implementation(implementation, FILTER_IMPLEMENTATIONS)
    check_flags(minus_x=minus_x)
    spectrum, frames, _, _ = align(k_hat, x, None, None)
    matrix, offset = _matrix(w, bias, frames, minus_x)
    if _is_fused(implementation, frames, matrix) and 0 not in (frames.size, spectrum.size, matrix.size):
        how: dict[str, Any] = dict(reverse=False, minus_x=minus_x, returns_final=False, implementation=implementation)
        return _run(frames, spectrum, matrix, offset, None, None, filters=True, **how)[0]
    of = "xla" if implementation == "xla" else None
    s = irfft2_cl(spectrum * rfft2_cl(frames, implementation=of), frames.shape[-2], implementation=of)
    s = s.astype(frames.dtype)
    return dense(s, matrix, offset, minus=jnp.broadcast_to(frames, s.shape) if minus_x else None, implementation=of)


def _matrix(w, bias, x, minus_x):
    """(w, bias), checked."""
    channels = x.shape[-1]
    w = as_dtype("w", w, x.dtype, "x's dtype")
    if w.ndim != 2 or w.shape[0] != channels:
        raise ValueError(f"w has shape {w.shape}; expected ({channels}, N)")
    if bias is not None:
        bias = as_dtype("bias", bias, x.dtype, "x's dtype")
        if bias.shape != w.shape[1:]:
            raise ValueError(f"bias has shape {bias.shape}; expected {w.shape[1:]}")
    if minus_x and w.shape[1] != channels:
        raise ValueError(f"w has shape {w.shape}; expected ({channels}, {channels}) with minus_x")
    return w, bias


def _run(x, k_hat, w, bias, h0, reset, **params):
    lanes = x.ndim - 1
    w, bias = with_lanes(w, lanes, 2), None if bias is None else with_lanes(bias, lanes, 1)
    return rules.scan(x, k_hat, w, bias, h0, reset, axis=x.ndim - 4, saves=False, **params)


def _is_fused(implementation, x, w):
    """Where the kernel is not, the pair keeps its frames for the backward pass; the primitive would make them again."""
    if implementation is None:
        return jax.default_backend() == "cpu" and cpu.takes(x.dtype, w.shape) and _gains(x)
    return implementation == "cpu"


def _gains(x):
    """Whether one operation is faster: of one sequence, or of frames that no cache near a core holds, the pair is."""
    *batch, _, height, width, channels = x.shape
    return math.prod(batch) > 1 and height * width * channels * x.dtype.itemsize <= _NEAR_BYTES
