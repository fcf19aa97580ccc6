"""The three primitives of delta_scan."""

from __future__ import annotations

from cssm_kernels._layout import state_dtype, state_shape
from cssm_kernels._planes import planes_primitive
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.delta_scan import chunked, cpu, reference, triton


def _results(*operands, axis, **_):
    shape, v = reference.lanes(*operands), operands[3]
    columns, rows = operands[2].shape[-1], v.shape[-1]
    return [((*shape, rows), v.dtype), ((*state_shape(shape, axis), rows, columns), state_dtype(v.dtype))]


def _by_chunks(operands, axis):
    return chunked.is_default(*operands[:7], axis=axis)


def _definition(*operands, axis, implementation, **params):
    run = chunked.scan if implementation is None and _by_chunks(operands, axis) else reference.sequential
    return run(*operands, axis=axis, **params)


def _unless_by_chunks(form):
    """`form`, but for operands that the definition takes by chunks."""

    def unnamed(*operands, axis, **params):
        return None if _by_chunks(operands, axis) else form(*operands, axis=axis, **params)

    return unnamed


def _native(*operands, **params):
    return cpu.forward(*operands, **params, results=_results(*operands, **params))


def _triton(*operands, **params):
    return triton.forward(*operands, **params, results=_results(*operands, **params))


# (a, beta, k, v, q, h0?, reset?) -> (o, final)
scan, tangent, vjp = three_primitives(
    "delta_scan",
    results=_results,
    definition=_definition,
    linear=(3, 5),
    native_scan={("cpu", "unnamed"): _unless_by_chunks(_native), ("cpu", "cpu"): _native, ("cuda", "triton"): _triton},
    native_vjp={
        ("cpu", "unnamed"): _unless_by_chunks(cpu.backward),
        ("cpu", "cpu"): cpu.backward,
        ("cuda", "triton"): triton.backward,
    },
)

# The same of pairs: (a, beta, k, v, q, h0?, reset?), two planes each, -> (o_re, o_im, final)
of_planes = planes_primitive(
    scan, main=3, linear=(3, 5), forward={("cpu", "cpu"): cpu.forward}, backward={("cpu", "cpu"): cpu.backward}
)
