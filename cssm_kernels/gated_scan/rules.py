"""The three primitives of gated_scan. As defined, they run on the kernels of linear_scan, with b x and h stored."""

from __future__ import annotations

from cssm_kernels._layout import full_shape, state_dtype, state_shape
from cssm_kernels._planes import planes_primitive
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.gated_scan import cpu, reference, triton
from cssm_kernels.linear_scan import rules as linear


def _results(a, b, x, c, h0, reset, *, axis, state_axis, **_):
    shape = full_shape(a, b, x, c, h0, reset)
    y = shape if state_axis is None else state_shape(shape, state_axis)
    return [(y, x.dtype), (state_shape(shape, axis), state_dtype(x.dtype))]


def _definition(*operands, **params):
    return reference.through(linear.scan, *operands, **params)


def _native(*operands, **params):
    return cpu.forward(*operands, **params, results=_results(*operands, **params))


def _triton(*operands, **params):
    return triton.forward(*operands, **params, results=_results(*operands, **params))


# (a, b, x, c?, h0?, reset?) -> (y, final)
scan, tangent, vjp = three_primitives(
    "gated_scan",
    results=_results,
    definition=_definition,
    linear=(2, 4),
    lane_axes=("state_axis",),
    native_scan={("cpu", "cpu"): _native, ("cuda", "triton"): _triton},
    native_vjp={("cpu", "cpu"): cpu.backward, ("cuda", "triton"): triton.backward},
)

# The same of pairs: (a, b, x, c?, h0?, reset?), two planes each, -> (y_re, y_im, final)
of_planes = planes_primitive(
    scan, main=2, linear=(2, 4), forward={("cpu", "cpu"): cpu.forward}, backward={("cpu", "cpu"): cpu.backward}
)
