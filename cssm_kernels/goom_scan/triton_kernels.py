"""The Triton kernels of goom_scan and goom_matrix_scan, on the engine of `_triton.lane_kernels`.

Operands are complex logarithms, the result log h of h = A h + x. Within a scan a component of the state is a number z 2^k,
|z| about 1 and k integral: products and sums of those need no transcendental function. Such a number is (re, im, k) here,
zero if its k is -inf; in the engine it is three real numbers, zero if z is, whatever its k.
"""

import triton
import triton.language as tl

from cssm_kernels._triton.elementary import atan2, divide, exp_of_small, exponent, log, power_of_two, rounded, sincos
from cssm_kernels._triton.lane_kernels import checkpoints, forward, vjp
from cssm_kernels._triton.values import add, conjugate, multiply, zero_like

# log 2 = _LOG2_HIGH + _LOG2_LOW; products with the first, of 12 bits, are exact for the k of common magnitudes.
_LOG2_HIGH: tl.constexpr = tl.constexpr(2839 / 4096)
_LOG2_LOW: tl.constexpr = tl.constexpr(3.1946184945309417e-05)
_LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)


@triton.jit
def _from_log(number):
    magnitude = number[0]
    k = rounded(magnitude * _LOG2_E)
    rest = tl.fma(k, -_LOG2_LOW, tl.fma(k, -_LOG2_HIGH, magnitude))
    rest = tl.where(tl.abs(magnitude) == float("inf"), 0.0, rest)
    # Where the logarithm's last place is larger than 1 it may be any number.
    rest = tl.where(rest > 0.5, 0.5, tl.where(rest < -0.5, -0.5, rest))
    size = exp_of_small(rest)
    if len(number) == 1:
        return size, tl.zeros_like(size), k
    else:
        sin, cos = sincos(number[1])
        return size * cos, size * sin, k


@triton.jit
def _to_log(h):
    re, im, k = h
    magnitude = 0.5 * log(_square(re, im))
    return tl.fma(k, _LOG2_HIGH, tl.fma(k, _LOG2_LOW, magnitude)), atan2(im, re)


@triton.jit
def _component(state, i):
    re, im, k = state[3 * i][0], state[3 * i + 1][0], state[3 * i + 2][0]
    return re, im, tl.where(_square(re, im) == 0, float("-inf"), k)


@triton.jit
def _square(re, im):
    """|z|^2"""
    return tl.fma(re, re, im * im)


@triton.jit
def _product(a, b):
    re, im = multiply((a[0], a[1]), (b[0], b[1]))
    return re, im, a[2] + b[2]


@triton.jit
def _aligned(term, k):
    """z of z 2^k"""
    scale = power_of_two(tl.where(term[2] == k, 0.0, term[2] - k))
    return term[0] * scale, term[1] * scale


@triton.jit
def _sum(terms):
    """Their sum, with z brought back to its range."""
    k = terms[0][2]
    for i in tl.static_range(1, len(terms)):
        k = tl.where(terms[i][2] > k, terms[i][2], k)
    z = _aligned(terms[0], k)
    for i in tl.static_range(1, len(terms)):
        z = add(z, _aligned(terms[i], k))
    re, im = tl.abs(z[0]), tl.abs(z[1])
    size = tl.where(re > im, re, im)
    own = tl.where(size < float("inf"), exponent(size), 0.0)
    scale = power_of_two(-own)
    return z[0] * scale, z[1] * scale, tl.where(size == 0, float("-inf"), k + own)


@triton.jit
def _terms(before, operands, i):
    """x_i and each a_ij h_j, of which the state's component i is the sum."""
    log_a, log_x = operands
    rows: tl.constexpr = len(log_x)
    terms = (_from_log(log_x[i]),)
    for j in tl.static_range(rows):
        terms = terms + (_product(_from_log(log_a[i * rows + j]), _component(before, j)),)
    return terms


@triton.jit
def _step(before, operands, OPTION: tl.constexpr):
    state = ()
    for i in tl.static_range(len(operands[1])):
        re, im, k = _sum(_terms(before, operands, i))
        state = state + ((re,), (im,), (k,))
    return state


@triton.jit
def _enter(logs):
    state = ()
    for i in tl.static_range(len(logs)):
        re, im, k = _from_log(logs[i])
        state = state + ((re,), (im,), (k,))
    return state


@triton.jit
def _leave(state):
    logs = ()
    for i in tl.static_range(len(state) // 3):
        logs = logs + (_to_log(_component(state, i)),)
    return logs


@triton.jit
def _output(state, operands, OPTION: tl.constexpr):
    return _leave(state)


@triton.jit
def _step_vjp(before, operands, ct, carry, OPTION: tl.constexpr):
    """With g = carry + ct, of log h: dlog x_i = g_i x_i / h_i, dlog a_ij = g_i w_ij, and w^T g goes on,
    w_ij = a_ij h_j / h_i, h_j of the step before; all of them 0 where h_i is.
    """
    rows: tl.constexpr = len(operands[1])
    dlog_x = ()
    dlog_a = ()
    passed = ()
    for i in tl.static_range(rows):
        passed = passed + (zero_like(carry[i]),)
    for i in tl.static_range(rows):
        terms = _terms(before, operands, i)
        now = _sum(terms)
        share = _share(add(carry[i], ct[i]), now)
        dlog_x = dlog_x + (_shared(share, terms[0], now),)
        sums = ()
        for j in tl.static_range(rows):
            weighted = _shared(share, terms[1 + j], now)
            dlog_a = dlog_a + (weighted,)
            sums = sums + (add(passed[j], weighted),)
        passed = sums
    return passed, (dlog_a, dlog_x)


@triton.jit
def _share(g, now):
    """g / z of the state"""
    square = _square(now[0], now[1])
    inverse = divide(tl.full(square.shape, 1.0, square.dtype), tl.where(square == 0, 1.0, square))
    return multiply(multiply(g, conjugate((now[0], now[1]))), (inverse,))


@triton.jit
def _shared(share, part, now):
    """share times a part of the state, whose k the state's is taken off; 0 where the state is."""
    is_zero = now[2] == float("-inf")
    re, im = multiply(share, _aligned(part, now[2]))
    return tl.where(is_zero, 0.0, re), tl.where(is_zero, 0.0, im)


@triton.jit
def goom_scan_forward(log_a, log_x, log_h0, reset, y, final, PLAN: tl.constexpr):
    forward(_step, _output, (log_a, log_x), log_h0, reset, y, final, PLAN, _enter, _leave)


@triton.jit
def goom_scan_checkpoints(log_a, log_x, log_h0, reset, starts, PLAN: tl.constexpr):
    checkpoints(_step, (log_a, log_x), log_h0, reset, starts, PLAN, _enter)


@triton.jit
def goom_scan_vjp(log_a, log_x, log_h0, reset, ct, ct_final, starts, states, g0, g1, g2, PLAN: tl.constexpr):
    vjp(
        *(_step, _step_vjp, (log_a, log_x), log_h0, reset, ct, ct_final, starts, states, (g0, g1, g2), PLAN), _enter
    )  # fmt: skip
