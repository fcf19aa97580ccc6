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
def load_run(ptr, offset, mask, COUNT: tl.constexpr, PARTS: tl.constexpr, STATE: tl.constexpr):
    """Neighbouring numbers of each lane, 1, 2 or 4 of them, in one access."""
    if COUNT == 1:
        return (load(ptr, offset, mask, PARTS, STATE),)
    else:
        run = load(ptr, tl.expand_dims(offset, -1) + tl.arange(0, COUNT), tl.expand_dims(mask, -1), PARTS, STATE)
        if COUNT == 2:
            return _halves(run)
        else:
            even, odd = _halves(_paired(run))
            first, third = _halves(even)
            second, fourth = _halves(odd)
            return first, second, third, fourth


@triton.jit
def _paired(run):
    pairs: tl.constexpr = [run[0].shape[0], run[0].shape[1], 2, 2]
    if len(run) == 1:
        return (tl.reshape(run[0], pairs),)
    else:
        return tl.reshape(run[0], pairs), tl.reshape(run[1], pairs)


@triton.jit
def _halves(run):
    """(elements 0 and 1 of the last dimension)"""
    first = tl.split(run[0])
    if len(run) == 1:
        return (first[0],), (first[1],)
    else:
        second = tl.split(run[1])
        return (first[0], second[0]), (first[1], second[1])


@triton.jit
def store_run(ptr, offset, run, mask):
    """The same of storing them."""
    if len(run) == 1:
        store(ptr, offset, run[0], mask)
    else:
        if len(run) == 2:
            joined = _joined(run[0], run[1])
        else:
            joined = _flattened(_joined(_joined(run[0], run[2]), _joined(run[1], run[3])))
        store(ptr, tl.expand_dims(offset, -1) + tl.arange(0, len(run)), joined, tl.expand_dims(mask, -1))


@triton.jit
def _joined(a, b):
    if len(a) == 1:
        return (tl.join(a[0], b[0]),)
    else:
        return tl.join(a[0], b[0]), tl.join(a[1], b[1])


@triton.jit
def _flattened(run):
    shape: tl.constexpr = [run[0].shape[0], run[0].shape[1], 4]
    if len(run) == 1:
        return (tl.reshape(run[0], shape),)
    else:
        return tl.reshape(run[0], shape), tl.reshape(run[1], shape)


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
