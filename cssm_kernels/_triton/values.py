"""Numbers in Triton kernels, real or complex, as tuples of parts, and where they lie.

Sums are fused with products where `tl.fma` says so and nowhere else: were the compiler to choose, lanes that add up the same
numbers could round differently, and the bits of a sum would depend on which of them stores it.

Memory holds complex numbers as (re, im) pairs. `PARTS` is 1 for real, 2 for complex. Offsets and strides count numbers.
"""

import triton
import triton.language as tl


@triton.jit
def offsets(lane, SIZES: tl.constexpr, STRIDES: tl.constexpr):
    """Where each lane, an index into an array of shape SIZES, lies in an operand of these strides."""
    offset = tl.zeros_like(lane).to(tl.int64)
    for d in tl.static_range(len(SIZES) - 1, -1, -1):
        if STRIDES[d] != 0:
            offset += (lane % SIZES[d] if d > 0 else lane).to(tl.int64) * STRIDES[d]
        lane = lane // SIZES[d]
    return offset


@triton.jit
def load(ptr, offset, mask, PARTS: tl.constexpr, STATE: tl.constexpr):
    """Numbers in the state's precision; zero where masked."""
    if PARTS == 1:
        return (tl.load(ptr + offset, mask=mask, other=0.0).to(STATE),)
    elif ptr.dtype.element_ty == tl.float32:
        # A pair as one 64-bit word: so neighbouring numbers of a thread make one 128-bit load.
        word = tl.load(ptr.to(tl.pointer_type(tl.int64)) + offset, mask=mask, other=0)
        return word.to(tl.int32).to(tl.float32, bitcast=True), (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    else:
        part = tl.arange(0, 2)
        pairs = tl.load(ptr + 2 * tl.expand_dims(offset, -1) + part, mask=tl.expand_dims(mask, -1), other=0.0)
        return tl.split(pairs.to(STATE))


@triton.jit
def store(ptr, offset, value, mask):
    if len(value) == 1:
        tl.store(ptr + offset, value[0].to(ptr.dtype.element_ty), mask=mask)
    elif ptr.dtype.element_ty == tl.float32:
        low = value[0].to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64) & 0xFFFFFFFF
        high = value[1].to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64) << 32
        tl.store(ptr.to(tl.pointer_type(tl.int64)) + offset, low | high, mask=mask)
    else:
        part = tl.arange(0, 2)
        pairs = tl.join(value[0], value[1]).to(ptr.dtype.element_ty)
        tl.store(ptr + 2 * tl.expand_dims(offset, -1) + part, pairs, mask=tl.expand_dims(mask, -1))


@triton.jit
def zeros(like, PARTS: tl.constexpr, DTYPE: tl.constexpr):
    zero = tl.zeros(like.shape, DTYPE)
    if PARTS == 1:
        return (zero,)
    else:
        return zero, zero


@triton.jit
def zero_like(a):
    if len(a) == 1:
        return (tl.zeros_like(a[0]),)
    else:
        return tl.zeros_like(a[0]), tl.zeros_like(a[1])


@triton.jit
def negate(a):
    if len(a) == 1:
        return (-a[0],)
    else:
        return -a[0], -a[1]


@triton.jit
def conjugate(a):
    if len(a) == 1:
        return a
    else:
        return a[0], -a[1]


@triton.jit
def add(a, b):
    if len(a) == 1:
        return (a[0] + b[0],)
    else:
        return a[0] + b[0], a[1] + b[1]


@triton.jit
def multiply(a, b):
    """Either factor may be real where the other is complex."""
    if len(a) == 1:
        if len(b) == 1:
            return (a[0] * b[0],)
        else:
            return a[0] * b[0], a[0] * b[1]
    elif len(b) == 1:
        return a[0] * b[0], a[1] * b[0]
    else:
        return tl.fma(a[0], b[0], -(a[1] * b[1])), tl.fma(a[0], b[1], a[1] * b[0])


@triton.jit
def multiply_add(a, b, c):
    """a b + c; a factor may be real where the other and c are complex."""
    if len(a) == 1:
        if len(b) == 1:
            return (tl.fma(a[0], b[0], c[0]),)
        else:
            return tl.fma(a[0], b[0], c[0]), tl.fma(a[0], b[1], c[1])
    elif len(b) == 1:
        return tl.fma(a[0], b[0], c[0]), tl.fma(a[1], b[0], c[1])
    else:
        re = tl.fma(a[0], b[0], tl.fma(-a[1], b[1], c[0]))
        return re, tl.fma(a[0], b[1], tl.fma(a[1], b[0], c[1]))


@triton.jit
def zero_where(flag, a):
    """a, or 0 where flagged: what came before a reset does not pass, be it NaN."""
    if len(a) == 1:
        return (tl.where(flag, 0.0, a[0]),)
    else:
        return tl.where(flag, 0.0, a[0]), tl.where(flag, 0.0, a[1])


@triton.jit
def convert(a, DTYPE: tl.constexpr):
    if len(a) == 1:
        return (a[0].to(DTYPE),)
    else:
        return a[0].to(DTYPE), a[1].to(DTYPE)


@triton.jit
def sum_rows(a):
    """Sum over the tile's first dimension."""
    if len(a) == 1:
        return (tl.sum(a[0], 0, keep_dims=True),)
    else:
        return tl.sum(a[0], 0, keep_dims=True), tl.sum(a[1], 0, keep_dims=True)
