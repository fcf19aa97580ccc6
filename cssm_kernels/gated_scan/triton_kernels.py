"""The Triton kernels of gated_scan: h = a h + b x, y = c h, on the engine of `_triton.lane_kernels`."""

import triton
import triton.language as tl

from cssm_kernels._triton.lane_kernels import checkpoints, forward, vjp
from cssm_kernels._triton.values import add, multiply, multiply_add


@triton.jit
def _step(before, operands, OPTION: tl.constexpr):
    a, b, x, _ = operands
    return (multiply_add(a[0], before[0], multiply(b[0], x[0])),)


@triton.jit
def _output(state, operands, OPTION: tl.constexpr):
    c = operands[3]
    if len(c) == 0:
        return state
    else:
        return (multiply(c[0], state[0]),)


@triton.jit
def _step_vjp(before, operands, ct, carry, OPTION: tl.constexpr):
    """g = carry + c ct; da = g h_{t-1}, db = g x, dx = g b, dc = ct h_t, and a g goes on."""
    a, b, x, c = operands
    g = carry[0]
    dc = ()
    if len(c) == 0:
        g = add(g, ct[0])
    else:
        g = multiply_add(c[0], ct[0], g)
        dc = (multiply(ct[0], _step(before, operands, OPTION)[0]),)
    gradients = ((multiply(g, before[0]),), (multiply(g, x[0]),), (multiply(g, b[0]),), dc)
    return (multiply(a[0], g),), gradients


@triton.jit
def gated_scan_forward(a, b, x, c, h0, reset, y, final, PLAN: tl.constexpr):
    forward(_step, _output, (a, b, x, c), h0, reset, y, final, PLAN)


@triton.jit
def gated_scan_checkpoints(a, b, x, c, h0, reset, starts, PLAN: tl.constexpr):
    checkpoints(_step, (a, b, x, c), h0, reset, starts, PLAN)


@triton.jit
def gated_scan_vjp(
    a, b, x, c, h0, reset, ct, ct_final, starts, states, g0, g1, g2, g3, g4, PLAN: tl.constexpr
):  # fmt: skip
    vjp(_step, _step_vjp, (a, b, x, c), h0, reset, ct, ct_final, starts, states, (g0, g1, g2, g3, g4), PLAN)
