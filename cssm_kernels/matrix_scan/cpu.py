"""Calls of the native CPU kernels (csrc/cpu/matrix_scan_block.h)."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu

# In the order of the kernels' options.
_TRIANGLES = (None, "upper", "lower")


def forward(*operands, axis, reverse, triangular, results):
    """(h, final)"""
    return _lanes_cpu.forward(_lanes(operands, triangular), operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, triangular, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    lanes = _lanes(operands, triangular)
    return _lanes_cpu.backward(lanes, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _lanes(operands, triangular):
    x = operands[1]
    return _lanes_cpu.Lanes("matrix", x.ndim - 1, (x.shape[-1], 1), option=_TRIANGLES.index(triangular))
