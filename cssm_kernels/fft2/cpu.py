"""Calls of the native CPU handlers."""

from __future__ import annotations

from typing import Any

import jax
from jax import Array


def rfft2(x: Array, results: Any) -> list[Array]:
    """The native forward transform."""
    return _call("cssm_rfft2", x, results)


def irfft2(x_hat: Array, results: Any) -> list[Array]:
    """The native inverse transform."""
    return _call("cssm_irfft2", x_hat, results)


def _call(target, operand, results):
    return jax.ffi.ffi_call(target, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results])(operand)
