"""Argument checks of spectral_scan, and its aligned form: (batch..., time, height, width, channels), each batch dimension
full or 1, h0 and k_hat of size 1 in time.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._layout import FRAME_DTYPES, SPECTRUM_DTYPES, checked_array
from cssm_kernels.fft2.rules import complex_dtype


def align(k_hat: Any, x: Any, h0: Any, reset: Any) -> tuple[Array, Array, Array | None, Array | None]:
    """(k_hat, x, h0, reset) in aligned form.

    Raises:
      TypeError: an argument that is no array of the dtypes it may have.
      ValueError: shapes that do not fit.
    """
    x = checked_array("x", x, FRAME_DTYPES)
    if x.ndim < 4 or 0 in x.shape[-3:-1]:
        raise ValueError(f"x has shape {x.shape}; expected (..., T, H, W, C) with H and W at least 1")
    height, width, channels = x.shape[-3:]
    spectrum = (height, width // 2 + 1, channels)
    k_hat = _spectrum("k_hat", k_hat, x)
    if k_hat.shape[-3:] != spectrum:
        raise ValueError(
            f"k_hat has shape {k_hat.shape}; expected (..., {_sizes(spectrum)}) for the frames of x, {x.shape}"
        )
    try:
        batch = np.broadcast_shapes(k_hat.shape[:-3], x.shape[:-4])
    except ValueError:
        raise ValueError(
            f"k_hat has the leading dimensions {k_hat.shape[:-3]}, which do not broadcast with those of x, {x.shape[:-4]}"
        ) from None
    if h0 is not None:
        h0 = _spectrum("h0", h0, x)
        if h0.shape[-3:] != spectrum or not _broadcasts_to(h0.shape[:-3], batch):
            raise ValueError(
                f"h0 has shape {h0.shape}; expected one that broadcasts to ({_sizes((*batch, *spectrum))})"
            )
        h0 = _with_batch(h0[..., None, :, :, :], len(batch), 4)
    if reset is not None:
        reset = checked_array("reset", reset, ("bool",))
        if reset.ndim == 0 or reset.shape[-1] != x.shape[-4] or not _broadcasts_to(reset.shape[:-1], batch):
            raise ValueError(
                f"reset has shape {reset.shape}; expected ({x.shape[-4]},), one flag a step, or one that broadcasts to "
                f"({_sizes((*batch, x.shape[-4]))})"
            )
        reset = _with_batch(reset[..., None, None, None], len(batch), 4)
    k_hat = _with_batch(k_hat[..., None, :, :, :], len(batch), 4)
    return k_hat, _with_batch(x, len(batch), 4), h0, reset


def _spectrum(name: str, value: Any, x: Array) -> Array:
    value = checked_array(name, value, SPECTRUM_DTYPES)
    dtype = complex_dtype(x.dtype)
    if jnp.promote_types(value.dtype, dtype) != dtype:
        raise TypeError(
            f"{name} has dtype {value.dtype}; expected {dtype}, the precision of x ({x.dtype}): cast one of them"
        )
    return value.astype(dtype)


def _with_batch(value: Array, batch_dims: int, own_dims: int) -> Array:
    return value.reshape((1,) * (batch_dims + own_dims - value.ndim) + value.shape)


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(target)))


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
