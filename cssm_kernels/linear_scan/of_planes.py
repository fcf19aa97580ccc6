"""linear_scan of pairs, on the kernels of gated_scan: those read and write planes, and sum their gradients."""

from __future__ import annotations

from cssm_kernels import _lanes_cpu
from cssm_kernels._layout import full_shape
from cssm_kernels._planes import planes_primitive
from cssm_kernels.linear_scan import rules


def _forward(a, x, h0, reset, *, results, **params):
    operands = a, None, x, None, h0, reset
    return _lanes_cpu.forward(_lanes(operands), operands, results, **params)


def _backward(a, x, h0, reset, ct, ct_final, *, wants, **params):
    operands = a, None, x, None, h0, reset
    wants_da, wants_dx, wants_dh0, _ = wants
    wants = wants_da, False, wants_dx, False, wants_dh0, False
    return _lanes_cpu.backward(_lanes(operands), operands, ct, ct_final, wants, **params)


def _lanes(operands):
    return _lanes_cpu.Lanes("gated", len(full_shape(*operands)), (1, 1))


# (a, x, h0?, reset?), two planes each, -> (h_re, h_im, final)
scan = planes_primitive(
    rules.scan, main=1, linear=(1, 2), forward={("cpu", "cpu"): _forward}, backward={("cpu", "cpu"): _backward}
)
