"""The public function of spectral_scan."""

from __future__ import annotations

from typing import Literal, overload

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels import _native
from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import check_flags
from cssm_kernels.linear_scan import reference as linear_reference
from cssm_kernels.spectral_scan import reference, rules
from cssm_kernels.spectral_scan.layout import align

IMPLEMENTATIONS = ("cpu", "cuda", "unfused", "xla", "sequential")


@overload
def spectral_scan(
    x: ArrayLike,
    k_hat: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    last_only: bool = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def spectral_scan(
    x: ArrayLike,
    k_hat: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    last_only: bool = False,
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def spectral_scan(
    x,
    k_hat,
    h0=None,
    *,
    reverse=False,
    reset=None,
    return_final=False,
    last_only=False,
    implementation=None,
):
    """A linear recurrence of spatial convolutions, run in the spectral domain.

        S_t = k_hat S_{t-1} + rfft2(x_t),   y_t = irfft2(S_t),   t = 1 ... T,   S_0 = h0 (zero if None)

    elementwise over frequencies and channels, and S_t = rfft2(x_t) where reset_t. With `reverse` time runs from T to 1:
    S_t = k_hat S_{t+1} + rfft2(x_t), from S_{T+1} = h0. The inverse is that of `irfft2_cl`, axis by axis, so neither k_hat
    nor h0 need be Hermitian.

    On CPU it runs as one native kernel, forward and backward, a frame at a time with the state in cache: spectra are never
    stored. Only every few states are, where k_hat is differentiated. So it does on CUDA, where the package was built with
    nvcc, for frames whose height and width are powers of two up to 64 (32 in float64); for others, or without the kernels,
    it is the composition of XLA's transforms and `linear_scan`. It differentiates to any order in both modes, and works
    under jit, vmap, remat, shard_map, sharded jit (along batch and channel axes) and jax.export.

    Args:
      x: inputs, (..., T, H, W, C); float32, float64, bfloat16 or float16. The half-precision types are read and written as
        such, with a state in complex64.
      k_hat: transitions, (..., H, W//2 + 1, C), the half-spectrum of each channel's kernel; leading dimensions broadcast
        with x's. complex64, or complex128 for float64.
      h0: initial state, a half-spectrum as k_hat; broadcasts to (..., H, W//2 + 1, C).
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence.
      return_final: also return the last state computed, which as `h0` of a further call carries the sequence on.
      last_only: return only the frame computed last, at one inverse transform instead of T.
      implementation: None for the best on the platform, or "cpu" (native), "cuda" (native), "unfused" (`rfft2_cl`,
        `linear_scan` and `irfft2_cl`), "xla" (`lax.associative_scan` between jnp.fft's transforms), "sequential"
        (`lax.scan` between them). A named one runs or raises.

    Returns:
      y, (..., T, H, W, C) in x's dtype, or (..., H, W, C) with `last_only`; with `return_final` the pair (y, final), final
      (..., H, W//2 + 1, C) complex.

    Raises:
      TypeError: an argument that is no array of a dtype it may have.
      ValueError: shapes that do not fit, an empty frame, `last_only` of no steps, unknown implementation, or one that does
        not run on the platform compiled for.
      ImportError: the native library was not built, or "cuda" was asked for and its part was not.

    Source: the sCSSM recurrence, CSSM model specification 2.1; the inverse, 0.2.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    if implementation == "cuda":
        _native.require_cuda()
    k_hat, x, h0, reset = align(k_hat, x, h0, reset)
    check_flags(reverse=reverse, return_final=return_final, last_only=last_only)
    axis = x.ndim - 4
    params = dict(axis=axis, reverse=reverse, last_only=last_only)
    if x.shape[axis] == 0:
        y, *final = _no_steps(k_hat, x, h0, last_only)
    elif implementation in ("xla", "sequential"):
        recurrence = linear_reference.associative if implementation == "xla" else linear_reference.sequential
        y, *final = reference.spectral(recurrence, k_hat, x, h0, reset, **params)
    else:
        run = rules.scan.definition if implementation == "unfused" else rules.scan
        implementation = None if implementation == "unfused" else implementation
        params |= dict(implementation=implementation, saves=False, returns_final=return_final)
        y, *final = run(k_hat, x, h0, reset, **params)
    y = jnp.squeeze(y, axis) if last_only else y
    return (y, jnp.squeeze(final[0], axis)) if return_final else y


def _no_steps(k_hat, x, h0, last_only):
    if last_only:
        raise ValueError(f"x has shape {x.shape}, no steps; expected at least one with last_only")
    batch = jnp.broadcast_shapes(k_hat.shape[:-4], x.shape[:-4])
    start = jnp.zeros((), k_hat.dtype) if h0 is None else h0
    return jnp.zeros((*batch, *x.shape[-4:]), x.dtype), jnp.broadcast_to(start, (*batch, *k_hat.shape[-4:]))
