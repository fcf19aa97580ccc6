"""The three primitives of coupled_scan. As defined, they run on the kernels of matrix_scan, with G o K, b x and h stored; or
of a single component on those of gated_scan, with G o K stored."""

from __future__ import annotations

from cssm_kernels._layout import state_dtype, state_shape
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.coupled_scan import cpu, reference
from cssm_kernels.gated_scan import rules as gated
from cssm_kernels.matrix_scan import rules as matrix


def _results(*operands, axis, **_):
    shape, x = reference.lanes_of(*operands), operands[2]
    k = x.shape[-1]
    return [((*shape, k), x.dtype), ((*state_shape(shape, axis), k), state_dtype(x.dtype))]


def _definition(*operands, **params):
    return reference.through(reference.Recurrences(gated.scan, matrix.scan), *operands, **params)


def _native(*operands, **params):
    return cpu.forward(*operands, **params, results=_results(*operands, **params))


# (G, K, x, b?, c?, h0?, reset?) -> (y, final)
scan, tangent, vjp = three_primitives(
    "coupled_scan",
    results=_results,
    definition=_definition,
    linear=(2, 5),
    components=2,
    native_scan={("cpu", "cpu"): _native},
    native_vjp={("cpu", "cpu"): cpu.backward},
)
