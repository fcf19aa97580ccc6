"""Calls of the Triton kernels (triton_kernels.py), whose products are unrolled: for few components."""

from __future__ import annotations

from cssm_kernels._triton import available, lane_scan
from cssm_kernels._triton.lane_plan import Recurrence

_MOST_COMPONENTS = 4


def forward(*operands, axis, reverse, triangular, results):
    """(h, final)"""
    recurrence = _recurrence(operands, triangular)
    return recurrence and lane_scan.forward(recurrence, operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, triangular, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    recurrence = _recurrence(operands, triangular)
    return recurrence and lane_scan.backward(recurrence, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _recurrence(operands, triangular) -> Recurrence | None:
    k = operands[1].shape[-1]
    if not available() or k > _MOST_COMPONENTS:
        return None
    return Recurrence("matrix_scan", components=(2, 1), value=1, state=(k,), output=(k,), option=triangular)
