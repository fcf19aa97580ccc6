"""Calls of the native CPU kernels (csrc/cpu/delta_scan_block.h)."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu

# In the order of the kernels' options.
_WRITE_KEYS = ("conj", "plain")


def forward(*operands, axis, reverse, write_key, results):
    """(o, final)"""
    return _lanes_cpu.forward(_lanes(operands, write_key), operands, results, axis=axis, reverse=reverse)


def backward(*operands, axis, reverse, write_key, wants):
    """The gradients wanted; operands end with ct and ct_final."""
    *operands, ct, ct_final = operands
    lanes = _lanes(operands, write_key)
    return _lanes_cpu.backward(lanes, operands, ct, ct_final, wants, axis=axis, reverse=reverse)


def _lanes(operands, write_key):
    k, v = operands[2:4]
    return _lanes_cpu.Lanes("delta", v.ndim - 1, (k.shape[-1], v.shape[-1]), option=_WRITE_KEYS.index(write_key))
