"""The Triton kernels of delta_scan, on the engine of `_triton.lane_kernels`: the state is S, row after row.

A step takes S to a (S - e k^T) + m w^T, where p = S conj(k), e = beta p and m = beta v are vectors of a number a row, and
w is conj(k), or k; then o = S q.
"""

import triton
import triton.language as tl

from cssm_kernels._triton.lane_kernels import checkpoints, forward, vjp
from cssm_kernels._triton.values import add, conjugate, multiply, multiply_add, negate, zero_like


@triton.jit
def _step(before, operands, WRITE_KEY: tl.constexpr):
    a, beta, k, v, _ = operands
    columns: tl.constexpr = len(k)
    kept_key = _conjugates(k)
    write_key = _write_key(k, WRITE_KEY)
    state = ()
    for r in tl.static_range(len(v)):
        e = multiply(beta[0], _dot(before, r * columns, kept_key))
        m = multiply(beta[0], v[r])
        for j in tl.static_range(columns):
            kept = multiply_add(negate(e), k[j], before[r * columns + j])
            state = state + (multiply_add(m, write_key[j], multiply(a[0], kept)),)
    return state


@triton.jit
def _output(state, operands, WRITE_KEY: tl.constexpr):
    q = operands[4]
    columns: tl.constexpr = len(q)
    o = ()
    for r in tl.static_range(len(operands[3])):
        o = o + (_dot(state, r * columns, q),)
    return o


@triton.jit
def _step_vjp(before, operands, ct, carry, WRITE_KEY: tl.constexpr):
    """With G = carry + ct q^T and H = a G, row by row,

    de = -H k,  dp = beta de,  dm = G w,  and H + dp conj(k)^T goes on;
    da = sum(G (S - e k^T)),  dbeta = de . p + dm . v,  dv = beta dm,  dq = S_t^T ct,
    dk = -H^T e, and the conjugate of S^T dp, and what w adds: the conjugate of G^T m, or that itself.
    """
    a, beta, k, v, q = operands
    columns: tl.constexpr = len(k)
    kept_key = _conjugates(k)
    write_key = _write_key(k, WRITE_KEY)
    after = _step(before, operands, WRITE_KEY)
    da = zero_like(carry[0])
    dbeta = zero_like(carry[0])
    dk = _zeros(carry, columns)
    from_kept = _zeros(carry, columns)
    from_written = _zeros(carry, columns)
    dq = _zeros(carry, columns)
    dv = ()
    back = ()
    for r in tl.static_range(len(v)):
        p = _dot(before, r * columns, kept_key)
        e = negate(multiply(beta[0], p))
        G = ()
        H = ()
        for j in tl.static_range(columns):
            G = G + (multiply_add(ct[r], q[j], carry[r * columns + j]),)
            H = H + (multiply(a[0], G[j]),)
            da = multiply_add(G[j], multiply_add(e, k[j], before[r * columns + j]), da)
        de = negate(_dot(H, 0, k))
        dp = multiply(beta[0], de)
        dm = _dot(G, 0, write_key)
        dbeta = multiply_add(de, p, multiply_add(dm, v[r], dbeta))
        dv = dv + (multiply(beta[0], dm),)
        dk = _add_scaled(dk, e, H, 0)
        from_kept = _add_scaled(from_kept, dp, before, r * columns)
        from_written = _add_scaled(from_written, multiply(beta[0], v[r]), G, 0)
        dq = _add_scaled(dq, ct[r], after, r * columns)
        for j in tl.static_range(columns):
            back = back + (multiply_add(dp, kept_key[j], H[j]),)
    from_kept = _conjugates(from_kept)
    from_written = _write_key(from_written, WRITE_KEY)
    keys = ()
    for j in tl.static_range(columns):
        keys = keys + (add(dk[j], add(from_kept[j], from_written[j])),)
    return back, ((da,), (dbeta,), keys, dv, dq)


@triton.jit
def _dot(numbers, FIRST: tl.constexpr, key):
    """The sum of products of a key with the row of numbers that begins at FIRST."""
    total = multiply(numbers[FIRST], key[0])
    for j in tl.static_range(1, len(key)):
        total = multiply_add(numbers[FIRST + j], key[j], total)
    return total


@triton.jit
def _add_scaled(totals, factor, numbers, FIRST: tl.constexpr):
    """A row of numbers, times the factor, added to the totals."""
    out = ()
    for j in tl.static_range(len(totals)):
        out = out + (multiply_add(factor, numbers[FIRST + j], totals[j]),)
    return out


@triton.jit
def _conjugates(key):
    out = ()
    for j in tl.static_range(len(key)):
        out = out + (conjugate(key[j]),)
    return out


@triton.jit
def _write_key(key, WRITE_KEY: tl.constexpr):
    """w of k; and as much of the cotangent of k as comes from w, of that one's."""
    if WRITE_KEY == "conj":
        return _conjugates(key)
    else:
        return key


@triton.jit
def _zeros(like, COUNT: tl.constexpr):
    out = ()
    for _ in tl.static_range(COUNT):
        out = out + (zero_like(like[0]),)
    return out


@triton.jit
def delta_scan_forward(a, beta, k, v, q, h0, reset, y, final, PLAN: tl.constexpr):
    forward(_step, _output, (a, beta, k, v, q), h0, reset, y, final, PLAN)


@triton.jit
def delta_scan_checkpoints(a, beta, k, v, q, h0, reset, starts, PLAN: tl.constexpr):
    checkpoints(_step, (a, beta, k, v, q), h0, reset, starts, PLAN)


@triton.jit
def delta_scan_vjp(
    a, beta, k, v, q, h0, reset, ct, ct_final, starts, states, g0, g1, g2, g3, g4, g5, PLAN: tl.constexpr
):  # fmt: skip
    vjp(_step, _step_vjp, (a, beta, k, v, q), h0, reset, ct, ct_final, starts, states, (g0, g1, g2, g3, g4, g5), PLAN)
