"""Calls of the native CPU handlers (csrc/cpu/layer_norm_ffi.cc), which take one scale and one bias for all rows.

Where vmap has made batches of these, the kernel is given none, and they are applied around it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._layout import state_dtype, sum_to

_CODES = {None: 0, "gelu": 1, "softplus": 2, "relu": 3}  # of csrc/cpu/layer_norm_block.h


def forward(x: Array, scale: Array | None, bias: Array | None, *, axis: int, **how: Any) -> list[Array]:
    """(y,)"""
    if _of_all_rows(scale) and _of_all_rows(bias):
        return [_forward(x, scale, bias, **how)]
    y = _forward(x.astype(state_dtype(x.dtype)), None, None, **how)
    y = y if scale is None else y * scale
    return [(y if bias is None else y + bias).astype(x.dtype)]


def backward(x, scale, bias, ct, *, axis, wants, **how):
    """The gradients wanted of (x, scale, bias)."""
    if _of_all_rows(scale) and _of_all_rows(bias) and x.shape == ct.shape:
        return _wanted(x, scale, ct, wants, **how)
    wide = state_dtype(x.dtype)
    x_wide, ct_wide = x.astype(wide), ct.astype(wide)
    grads = []
    if wants[0]:
        scaled = ct_wide if scale is None else ct_wide * scale
        (dx,) = _wanted(jnp.broadcast_to(x_wide, ct.shape), None, scaled, (True, False, False), **how)
        grads.append(sum_to(dx, x.shape).astype(x.dtype))
    if wants[1]:
        grads.append(sum_to(ct_wide * _forward(x_wide, None, None, **how), scale.shape))
    if wants[2]:
        grads.append(sum_to(ct_wide, bias.shape))
    return grads


def _of_all_rows(v: Array | None) -> bool:
    return v is None or v.size == v.shape[-1]


def _forward(x: Array, scale: Array | None, bias: Array | None, *, eps: float, activation: str | None) -> Array:
    operands = [v for v in (x, scale, bias) if v is not None]
    return jax.ffi.ffi_call("cssm_layer_norm_forward", jax.ShapeDtypeStruct(x.shape, x.dtype))(
        *operands,
        eps=np.float64(eps),
        activation=np.int64(_CODES[activation]),
        has_scale=scale is not None,
        has_bias=bias is not None,
    )


def _wanted(x, scale, ct, wants, *, eps, activation):
    wide = jax.ShapeDtypeStruct((1,) * (x.ndim - 1) + x.shape[-1:], state_dtype(x.dtype))
    types = [jax.ShapeDtypeStruct(x.shape, x.dtype), wide, wide]
    operands = [v for v in (x, scale, ct) if v is not None]
    return jax.ffi.ffi_call("cssm_layer_norm_backward", [t for t, wanted in zip(types, wants) if wanted])(
        *operands,
        eps=np.float64(eps),
        activation=np.int64(_CODES[activation]),
        has_scale=scale is not None,
        wants_x=wants[0],
        wants_scale=wants[1],
        wants_bias=wants[2],
    )
