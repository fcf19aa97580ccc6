"""Calls of the native handlers: the operands and attributes that those for CPU and CUDA have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

Results = Sequence[tuple[tuple[int, ...], Any]]


def forward(
    target: str,
    k_hat: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    reverse: bool,
    last_only: bool,
    saves: bool,
    returns_final: bool,
    spacing: int,
    results: Results,
    scratch: Results = (),
    **attributes: Any,
) -> list[Array]:
    """(y, final?, checkpoints?)"""
    return _call(
        target,
        [k_hat, x, h0, reset],
        results,
        scratch,
        steps=np.int64(x.shape[-4]),
        spacing=np.int64(spacing),
        reverse=reverse,
        last_only=last_only,
        has_h0=h0 is not None,
        has_reset=reset is not None,
        saves=saves,
        returns_final=returns_final,
        **attributes,
    )


def backward(
    target: str,
    k_hat: Array,
    x: Array | None,
    h0: Array | None,
    reset: Array | None,
    checkpoints: Array | None,
    ct: Array | None,
    ct_final: Array | None,
    *,
    steps: int,
    reverse: bool,
    last_only: bool,
    wants_dh0: bool,
    spacing: int,
    results: Results,
    scratch: Results = (),
    **attributes: Any,
) -> list[Array]:
    """(dk?, dx, dh0?); dk where there is x."""
    return _call(
        target,
        [k_hat, x, h0, reset, checkpoints, ct, ct_final],
        results,
        scratch,
        steps=np.int64(steps),
        spacing=np.int64(spacing),
        reverse=reverse,
        last_only=last_only,
        has_h0=h0 is not None,
        has_reset=reset is not None,
        has_ct=ct is not None,
        has_ct_final=ct_final is not None,
        wants_dk=x is not None,
        wants_dh0=wants_dh0,
        **attributes,
    )


def _call(target, operands, results, scratch, **attributes):
    """Scratch is more results: XLA plans its memory."""
    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in [*results, *scratch]]
    present = [operand for operand in operands if operand is not None]
    return list(jax.ffi.ffi_call(target, types)(*present, **attributes))[: len(results)]
