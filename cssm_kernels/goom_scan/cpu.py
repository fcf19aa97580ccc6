"""Calls of the native CPU kernels (csrc/cpu/goom_scan_block.h), for numbers and for vectors."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu


def forward(*operands, axis, reverse, results):
    """(log_h, final)"""
    return _lanes_cpu.forward(_lanes(operands), operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    return _lanes_cpu.backward(_lanes(operands), operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _lanes(operands):
    log_a, log_x, *_ = operands
    # log_a has as many component dimensions more as log_x has: none, or one.
    components = log_a.ndim - log_x.ndim
    return _lanes_cpu.Lanes("goom", log_x.ndim - components, (log_x.shape[-1] if components else 1, 1))
