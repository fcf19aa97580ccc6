"""Calls of the native CPU kernels (csrc/cpu/coupled_scan_block.h)."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu


def forward(*operands, axis, reverse, results):
    """(y, final)"""
    return _lanes_cpu.forward(_lanes(operands), operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    return _lanes_cpu.backward(_lanes(operands), operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _lanes(operands):
    x = operands[2]
    return _lanes_cpu.Lanes("coupled", x.ndim - 1, (x.shape[-1], 1))
