"""Calls of the native CPU handlers (csrc/cpu/dense_ffi.cc), which take one matrix for all rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

MOST_CHANNELS = 128
"""Of x and of y: with more, the products of XLA's library are as fast."""


def _takes(x: Array, w: Array, bias: Array | None) -> bool:
    one_matrix = all(v is None or v.size == v.shape[-1] * v.shape[-2] for v in (w, bias))
    return one_matrix and x.dtype in (jnp.float32, jnp.float64) and max(w.shape[-2:]) <= MOST_CHANNELS


def forward(x: Array, w: Array, bias: Array | None, minus: Array | None, *, axis: int) -> list[Array] | None:
    """(y,)"""
    if not _takes(x, w, bias):
        return None
    lanes = np.broadcast_shapes(x.shape[:-2], () if minus is None else minus.shape[:-2])
    x = jnp.broadcast_to(x, (*lanes, *x.shape[-2:]))
    minus = None if minus is None else jnp.broadcast_to(minus, (*lanes, *minus.shape[-2:]))
    operands = [v for v in (x, w, bias, minus) if v is not None]
    y = jax.ShapeDtypeStruct((*lanes, 1, w.shape[-1]), x.dtype)
    call = jax.ffi.ffi_call("cssm_dense_forward", y)
    return [call(*operands, has_bias=bias is not None, has_minus=minus is not None)]


def backward(x, w, bias, minus, ct, *, axis, wants):
    """The gradients wanted of (x, w, bias, minus)."""
    if not _takes(x, w, bias) or x.shape[:-2] != ct.shape[:-2] or (minus is not None and minus.shape != ct.shape):
        return None
    wants_x, wants_w, wants_bias, wants_minus = wants
    grads = []
    if any(wants[:3]):
        operands = [v for v, read in ((x, wants_w), (w, wants_x), (ct, True)) if read]
        types = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v, wanted in zip((x, w, bias), wants) if wanted]
        call = jax.ffi.ffi_call("cssm_dense_backward", types)
        how = {"wants_x": wants_x, "wants_w": wants_w, "wants_bias": wants_bias}
        grads += call(*operands, depth=np.int64(x.shape[-1]), **how)
    return [*grads, -ct] if wants_minus else grads
