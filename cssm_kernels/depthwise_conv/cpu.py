"""Calls of the native CPU handlers (csrc/cpu/depthwise_conv_ffi.cc)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array


def convolve(x: Array, kernel: Array, bias: Array | None, results: Any, *, offset: tuple[int, ...]) -> list[Array]:
    """(y,)"""
    operands = [x, kernel] if bias is None else [x, kernel, bias]
    return _call("cssm_depthwise_convolve", operands, results, offset, bias is not None)


def correlate(x: Array, g: Array, results: Any, *, offset: tuple[int, ...], with_bias: bool) -> list[Array]:
    """(dkernel, dbias?)"""
    return _call("cssm_depthwise_correlate", [x, g], results, offset, with_bias)


def _call(target, operands, results, offset, has_bias):
    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    return jax.ffi.ffi_call(target, types)(*operands, offset=np.array(offset, np.int64), has_bias=has_bias)
