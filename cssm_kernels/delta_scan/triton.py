"""Calls of the Triton kernels (triton_kernels.py), which hold S in registers: for few components."""

from __future__ import annotations

from cssm_kernels._triton import available, lane_scan
from cssm_kernels._triton.lane_plan import Recurrence

_MOST_COMPONENTS = 4


def forward(*operands, axis, reverse, write_key, results):
    """(o, final)"""
    recurrence = _recurrence(operands, write_key)
    return recurrence and lane_scan.forward(recurrence, operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, write_key, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    recurrence = _recurrence(operands, write_key)
    return recurrence and lane_scan.backward(recurrence, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _recurrence(operands, write_key) -> Recurrence | None:
    columns, rows = operands[2].shape[-1], operands[3].shape[-1]
    if not available() or max(columns, rows) > _MOST_COMPONENTS:
        return None
    return Recurrence(
        "delta_scan", components=(0, 0, 1, 1, 1), value=3, state=(rows, columns), output=(rows,), option=write_key
    )
