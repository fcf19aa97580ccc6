"""The Triton kernels of matrix_scan: h = A h + x with k x k matrices, on the engine of `_triton.lane_kernels`."""

import triton
import triton.language as tl

from cssm_kernels._triton.lane_kernels import checkpoints, forward, vjp
from cssm_kernels._triton.values import add, multiply, multiply_add, zero_like


@triton.constexpr_function
def _has(triangular, i, j):
    """Whether the entry (i, j) of the matrix is read."""
    return triangular is None or (i <= j if triangular == "upper" else i >= j)


@triton.jit
def _step(before, operands, TRIANGULAR: tl.constexpr):
    A, x = operands
    k: tl.constexpr = len(x)
    state = ()
    for i in tl.static_range(k):
        h = x[i]
        for j in tl.static_range(k):
            if _has(TRIANGULAR, i, j):
                h = multiply_add(A[i * k + j], before[j], h)
        state = state + (h,)
    return state


@triton.jit
def _output(state, operands, TRIANGULAR: tl.constexpr):
    return state


@triton.jit
def _step_vjp(before, operands, ct, carry, TRIANGULAR: tl.constexpr):
    """g = carry + ct; dA_ij = g_i h_j of the step before, dx = g, and A^T g goes on."""
    A, x = operands
    k: tl.constexpr = len(x)
    g = ()
    for i in tl.static_range(k):
        g = g + (add(carry[i], ct[i]),)
    dA = ()
    back = ()
    for i in tl.static_range(k):
        passed = zero_like(g[i])
        for j in tl.static_range(k):
            if _has(TRIANGULAR, i, j):
                dA = dA + (multiply(g[i], before[j]),)
            else:
                dA = dA + (zero_like(before[j]),)
            if _has(TRIANGULAR, j, i):
                passed = multiply_add(A[j * k + i], g[j], passed)
        back = back + (passed,)
    return back, (dA, g)


@triton.jit
def matrix_scan_forward(A, x, h0, reset, y, final, PLAN: tl.constexpr):
    forward(_step, _output, (A, x), h0, reset, y, final, PLAN)


@triton.jit
def matrix_scan_checkpoints(A, x, h0, reset, starts, PLAN: tl.constexpr):
    checkpoints(_step, (A, x), h0, reset, starts, PLAN)


@triton.jit
def matrix_scan_vjp(A, x, h0, reset, ct, ct_final, starts, states, g0, g1, g2, PLAN: tl.constexpr):
    vjp(_step, _step_vjp, (A, x), h0, reset, ct, ct_final, starts, states, (g0, g1, g2), PLAN)
