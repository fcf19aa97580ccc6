"""Calls of the Triton kernels (triton_kernels.py), for numbers and for vectors of few components."""

from __future__ import annotations

from cssm_kernels._triton import available, lane_scan
from cssm_kernels._triton.lane_plan import Recurrence

_MOST_COMPONENTS = 4


def forward(*operands, axis, reverse, results):
    """(log_h, final)"""
    recurrence = _recurrence(operands)
    return recurrence and lane_scan.forward(recurrence, operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    recurrence = _recurrence(operands)
    return recurrence and lane_scan.backward(recurrence, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _recurrence(operands) -> Recurrence | None:
    log_a, log_x, *_ = operands
    # log_a has as many component dimensions more as log_x has: none, or one.
    components = log_a.ndim - log_x.ndim
    k = log_x.shape[-1] if components else 1
    size = (k,) * components
    if not available() or k > _MOST_COMPONENTS:
        return None
    return Recurrence(
        "goom_scan",
        components=(2 * components, components),
        value=1,
        state=size,
        output=size,
        kept=3 * k,
        most_steps=1 if components else 2,
    )
