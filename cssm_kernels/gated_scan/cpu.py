"""Calls of the native CPU kernels (csrc/cpu/gated_scan_block.h)."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu
from cssm_kernels._layout import full_shape


def forward(*operands, axis, reverse, state_axis, results):
    """(y, final)"""
    return _lanes_cpu.forward(_lanes(operands, state_axis), operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, state_axis, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    lanes = _lanes(operands, state_axis)
    return _lanes_cpu.backward(lanes, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _lanes(operands, state_axis):
    shape = full_shape(*operands)
    states = 1 if state_axis is None else shape[state_axis]
    return _lanes_cpu.Lanes("gated", len(shape), (states, 1), -1 if state_axis is None else state_axis)
