"""The three primitives of matrix_scan."""

from __future__ import annotations

from cssm_kernels._layout import lane_shape, state_dtype, state_shape
from cssm_kernels._planes import planes_primitive
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.matrix_scan import cpu, reference, triton


def _results(A, x, h0, reset, *, axis, **_):
    shape, k = lane_shape((A, 2), (x, 1), (h0, 1), (reset, 0)), x.shape[-1]
    return [((*shape, k), x.dtype), ((*state_shape(shape, axis), k), state_dtype(x.dtype))]


def _definition(*operands, implementation, **params):
    return reference.sequential(*operands, **params)


def _native(*operands, **params):
    return cpu.forward(*operands, **params, results=_results(*operands, **params))


def _triton(*operands, **params):
    return triton.forward(*operands, **params, results=_results(*operands, **params))


# (A, x, h0?, reset?) -> (h, final)
scan, tangent, vjp = three_primitives(
    "matrix_scan",
    results=_results,
    definition=_definition,
    linear=(1, 2),
    components=2,
    native_scan={("cpu", "cpu"): _native, ("cuda", "triton"): _triton},
    native_vjp={("cpu", "cpu"): cpu.backward, ("cuda", "triton"): triton.backward},
)

# The same of pairs: (A, x, h0?, reset?), two planes each, -> (h_re, h_im, final)
of_planes = planes_primitive(
    scan, main=1, linear=(1, 2), forward={("cpu", "cpu"): cpu.forward}, backward={("cpu", "cpu"): cpu.backward}
)
