"""Triton kernels that the tests compile to PTX."""

import triton
import triton.language as tl


@triton.jit
def add(x, y, out, n, block: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)
    inside = i < n
    tl.store(out + i, tl.load(x + i, inside) + tl.load(y + i, inside, other=0), inside)


@triton.jit
def combine(a1, x1, a2, x2):
    return a1 * a2, a2 * x1 + x2


@triton.jit
def scan(a, x, h, steps: tl.constexpr, channels: tl.constexpr):
    i = tl.arange(0, steps)[:, None] * channels + tl.arange(0, channels)[None, :]
    _, result = tl.associative_scan((tl.load(a + i), tl.load(x + i)), 0, combine)
    tl.store(h + i, result)


@triton.jit
def sums(x, of_columns, of_rows, rows: tl.constexpr, columns: tl.constexpr):
    i, j = tl.arange(0, rows), tl.arange(0, columns)
    tile = tl.load(x + i[:, None] * columns + j[None, :])
    tl.store(of_columns + j, tl.sum(tile, 0))
    tl.store(of_rows + i, tl.sum(tile, 1))


@triton.jit
def recurrence(a, x, h, n, steps, block: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)
    inside = i < n
    state = tl.zeros((block,), tl.float32)
    for t in range(steps):
        decay = tl.load(a + t * n + i, inside, other=0).to(tl.float32)
        state = state * decay + tl.exp(tl.load(x + t * n + i, inside, other=0).to(tl.float32))
        tl.store(h + t * n + i, state.to(h.dtype.element_ty), inside)


@triton.jit
def transpose(x, out, rows: tl.constexpr, columns: tl.constexpr):
    i, j = tl.arange(0, rows), tl.arange(0, columns)
    tile = tl.load(x + i[:, None] * columns + j[None, :])
    tl.store(out + j[:, None] * rows + i[None, :], tl.trans(tile))
