"""Tiles of lanes in Triton kernels, and arrays as seen from one.

A program takes a tile of lanes, (rows: reduced, columns: kept), through time. An array is its pointer with the `Strides` of
`_triton.lanes` (None where absent), a place (pointer, offset of each lane) inside the kernels.
"""

import triton
import triton.language as tl

from cssm_kernels._triton.values import load, offsets, store


@triton.jit
def tile(KEPT: tl.constexpr, REDUCED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """(column lanes, their mask, row lanes, their mask, block of rows, chunk)"""
    kept: tl.constexpr = product(KEPT)
    reduced: tl.constexpr = product(REDUCED)
    column_blocks: tl.constexpr = (kept + COLUMNS - 1) // COLUMNS
    row_blocks: tl.constexpr = (reduced + ROWS - 1) // ROWS
    program = tl.program_id(0)
    column = (program % column_blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    program = program // column_blocks
    row = (program % row_blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    chunk = program // row_blocks
    return (
        column[None, :],
        (column < kept)[None, :],
        row[:, None],
        (row < reduced)[:, None],
        program % row_blocks,
        chunk,
    )


@triton.constexpr_function
def product(sizes):
    out = 1
    for size in sizes:
        out *= size
    return out


@triton.jit
def place(ptr, column, row, KEPT: tl.constexpr, REDUCED: tl.constexpr, STRIDES: tl.constexpr):
    if STRIDES is None:
        return ptr, 0
    else:
        return ptr, offsets(column, KEPT, STRIDES[1]) + offsets(row, REDUCED, STRIDES[2])


@triton.jit
def read(place, t, mask, STRIDES: tl.constexpr, PARTS: tl.constexpr, STATE: tl.constexpr):
    return load(place[0], place[1] + tl.cast(t, tl.int64) * STRIDES[0], mask, PARTS, STATE)


@triton.jit
def write(place, t, value, mask, STRIDES: tl.constexpr):
    store(place[0], place[1] + tl.cast(t, tl.int64) * STRIDES[0], value, mask)


@triton.jit
def is_flagged(place, t, mask, STRIDES: tl.constexpr):
    return tl.load(place[0] + place[1] + tl.cast(t, tl.int64) * STRIDES[0], mask=mask, other=0) != 0


@triton.jit
def time_of(step, STEPS: tl.constexpr, REVERSE: tl.constexpr):
    if REVERSE:
        return STEPS - 1 - step
    else:
        return step
