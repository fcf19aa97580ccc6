"""The primitives of goom_scan and goom_matrix_scan. As defined, their derivatives run on the linear recurrences."""

from __future__ import annotations

from cssm_kernels._layout import full_shape, lane_shape, state_shape
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.goom_scan import cpu, reference, triton
from cssm_kernels.linear_scan import rules as linear
from cssm_kernels.matrix_scan import rules as matrix


def _results(log_a, log_x, log_h0, reset, *, axis, **_):
    shape = full_shape(log_a, log_x, log_h0, reset)
    return [(shape, log_x.dtype), (state_shape(shape, axis), log_x.dtype)]


def _definition(*operands, implementation, **params):
    derivatives = reference.linear_of_numbers(linear.scan, implementation=implementation)
    return reference.run_numbers(reference.sequential, derivatives, *operands, **params)


def _native(*operands, **params):
    return cpu.forward(*operands, **params, results=_results(*operands, **params))


def _triton(*operands, **params):
    return triton.forward(*operands, **params, results=_results(*operands, **params))


# (log_a, log_x, log_h0?, reset?) -> (log_h, final)
scan, tangent, vjp = three_primitives(
    "goom_scan",
    results=_results,
    definition=_definition,
    linear=(),
    native_scan={("cpu", "cpu"): _native, ("cuda", "triton"): _triton},
    native_vjp={("cpu", "cpu"): cpu.backward, ("cuda", "triton"): triton.backward},
)


def _matrix_results(log_a, log_x, log_h0, reset, *, axis, **_):
    lanes = lane_shape((log_a, 2), (log_x, 1), (log_h0, 1), (reset, 0))
    size = log_x.shape[-1]
    return [((*lanes, size), log_x.dtype), ((*state_shape(lanes, axis), size), log_x.dtype)]


def _matrix_definition(*operands, implementation, **params):
    derivatives = reference.linear_of_vectors(matrix.scan, triangular=None, implementation=implementation)
    return reference.run(reference.sequential, derivatives, *operands, **params)


def _matrix_native(*operands, **params):
    return cpu.forward(*operands, **params, results=_matrix_results(*operands, **params))


def _matrix_triton(*operands, **params):
    return triton.forward(*operands, **params, results=_matrix_results(*operands, **params))


# (log_a (k, k), log_x (k), log_h0? (k), reset?) -> (log_h (k), final (k))
matrix_scan, matrix_tangent, matrix_vjp = three_primitives(
    "goom_matrix_scan",
    results=_matrix_results,
    definition=_matrix_definition,
    linear=(),
    components=2,
    native_scan={("cpu", "cpu"): _matrix_native, ("cuda", "triton"): _matrix_triton},
    native_vjp={("cpu", "cpu"): cpu.backward, ("cuda", "triton"): triton.backward},
)
