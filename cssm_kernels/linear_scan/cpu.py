"""Calls of the native CPU handlers (csrc/cpu/linear_scan_ffi.cc)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array


def forward(
    a: Array, x: Array, h0: Array | None, reset: Array | None, *, axis: int, reverse: bool, results: Any
) -> list[Array]:
    operands = [a, x, h0, reset]
    attributes = dict(has_h0=h0 is not None, has_reset=reset is not None)
    return _call("cssm_linear_scan_forward", operands, results, axis, reverse, attributes)


def backward(
    a: Array,
    h: Array | None,
    h0: Array | None,
    reset: Array | None,
    ct: Array | None,
    ct_final: Array | None,
    *,
    axis: int,
    reverse: bool,
    wants_dh0: bool,
    results: Any,
) -> list[Array]:
    operands = [a, h, h0, reset, ct, ct_final]
    attributes = dict(
        has_h0=h0 is not None,
        has_reset=reset is not None,
        has_ct=ct is not None,
        has_ct_final=ct_final is not None,
        wants_da=h is not None,
        wants_dh0=wants_dh0,
    )
    return _call("cssm_linear_scan_backward", operands, results, axis, reverse, attributes)


def _call(target, operands, results, axis, reverse, attributes):
    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    call = jax.ffi.ffi_call(target, types)
    present = [operand for operand in operands if operand is not None]
    return call(*present, axis=np.int64(axis), reverse=reverse, **attributes)
