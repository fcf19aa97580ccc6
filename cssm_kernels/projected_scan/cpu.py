"""Calls of the native CPU handlers (csrc/cpu/projected_scan_ffi.cc), which take one matrix for all frames."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._layout import sum_to
from cssm_kernels.dense.cpu import MOST_CHANNELS


def forward(
    x: Array,
    k_hat: Array,
    w: Array,
    bias: Array | None,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    spacing: int,
    results: list[tuple[tuple[int, ...], Any]],
    reverse: bool,
    filters: bool,
    minus_x: bool,
    returns_final: bool,
    saves: bool,
) -> list[Array] | None:
    """(y, final?, checkpoints?)"""
    if not _takes(x, w, bias):
        return None
    types = [jax.ShapeDtypeStruct(*result) for result in results]
    return _call(
        "forward",
        (k_hat, x, w, bias, h0, reset),
        types,
        spacing,
        **dict(reverse=reverse, filters=filters, minus_x=minus_x, returns_final=returns_final, saves=saves),
        **dict(has_bias=bias is not None, has_h0=h0 is not None, has_reset=reset is not None),
    )


def backward(
    x: Array,
    k_hat: Array,
    w: Array,
    bias: Array | None,
    h0: Array | None,
    reset: Array | None,
    ct: Array | None,
    *ct_final_and_checkpoints: Array | None,
    axis: int,
    spacing: int,
    batch: tuple[int, ...],
    wants: tuple[bool, ...],
    reverse: bool,
    filters: bool,
    minus_x: bool,
    returns_final: bool,
) -> list[Array] | None:
    """The gradients wanted of (x, k_hat, w, bias, h0); all are made at once."""
    *ct_final, checkpoints = ct_final_and_checkpoints
    if checkpoints is None or not _takes(x, w, bias):  # none are kept for a transpose
        return None
    ct = jnp.zeros((*batch, *x.shape[-4:-1], w.shape[-1]), x.dtype) if ct is None else ct
    operands = {i: v for i, v in enumerate((x, k_hat, w, bias, h0)) if v is not None}
    whole = {0: (*batch, *x.shape[-4:]), 4: (*batch, 1, *k_hat.shape[-3:])}
    outs = _call(
        "backward",
        (k_hat, x, w, h0, reset, ct, *ct_final, checkpoints),
        [jax.ShapeDtypeStruct(whole.get(i, v.shape), v.dtype) for i, v in operands.items()],
        spacing,
        **dict(reverse=reverse, filters=filters, minus_x=minus_x, has_bias=bias is not None, has_h0=h0 is not None),
        **dict(has_reset=reset is not None, has_ct_final=any(v is not None for v in ct_final)),
    )
    return [sum_to(grad, v.shape) for (i, v), grad in zip(operands.items(), outs) if wants[i]]


def takes(dtype: Any, matrix: tuple[int, ...]) -> bool:
    """Whether frames of this dtype and a matrix of this shape have a kernel."""
    return dtype in (jnp.float32, jnp.float64) and max(matrix) <= MOST_CHANNELS


def _takes(x: Array, w: Array, bias: Array | None) -> bool:
    one_matrix = w.size == w.shape[-1] * w.shape[-2] and (bias is None or bias.size == bias.shape[-1])
    return one_matrix and takes(x.dtype, w.shape[-2:])


def _call(name, operands, types, spacing, **attributes):
    call = jax.ffi.ffi_call(f"cssm_projected_scan_{name}", types)
    return list(call(*(v for v in operands if v is not None), spacing=np.int64(spacing), **attributes))
