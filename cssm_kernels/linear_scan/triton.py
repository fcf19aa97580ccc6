"""Launches of the Triton kernels: how a recurrence is laid out on a GPU. The kernels are in `triton_kernels.py`.

Wide (many lanes): each program takes a tile of lanes through all of time, one kernel, every operand read once. Long (few
lanes, much time): time is cut into chunks. A first kernel finds each chunk's map of the state, s -> p s + f; their
recurrence, a short scan, gives every chunk the state it starts from; then the kernel of the wide case runs on all chunks
at once. The operands that the maps depend on are read twice.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array

from cssm_kernels._layout import state_dtype, state_shape
from cssm_kernels._triton import ABSENT, lanes_of, triton_call
from cssm_kernels._triton.tiling import BUSY_THREADS, WARPS, steps_ahead, tile_of

# The fewest steps worth a chunk of their own, and the most rows of a tile that each thread takes.
_SHORTEST_CHUNK = 64
_MOST_ROWS = 8
# Neighbouring lanes a thread takes at most: more of a narrow type would need more registers than there are.
_MOST_LANES = 4


def forward(a, x, h0, reset, *, axis, reverse, results):
    """(h, final)"""
    shape, _ = results[0]
    chunk = _chunk(shape, axis)
    carries = None
    if chunk < shape[axis]:
        maps = _chunk_maps(a, x, reset, shape, x.dtype, axis=axis, reverse=reverse, adjoint=False)
        carries = _chained(*maps, h0, axis=axis, reverse=False)
    operands = dict(a=a, x=x, h0=h0, reset=reset, da=None, h=None, h0_before=None, carries=carries)
    return _launch("forward", operands, dict(out=results[0], final=results[1]), shape, axis, chunk, REVERSE=reverse)


def tangent_is_fused(shape, axis, da, dx) -> bool:
    """Whether `tangent` serves: without da the tangent is a scan, and chunks are worth a pass of their own before it."""
    return da is not None and dx is not None and dx.shape == shape and _chunk(shape, axis) == shape[axis]


def tangent(a, h, h0, reset, da, dx, dh0, *, axis, reverse, results):
    """(dh, dfinal)"""
    shape, _ = results[0]
    operands = dict(a=a, x=dx, h0=dh0, reset=reset, da=da, h=h, h0_before=h0, carries=None)
    return _launch(
        "forward", operands, dict(out=results[0], final=results[1]), shape, axis, shape[axis], REVERSE=reverse
    )


def backward(a, h, h0, reset, ct, ct_final, *, axis, reverse, wants_dh0, results):
    """(da?, dx, dh0?); da where there is h."""
    shape, dtype = results[0 if h is None else 1]
    chunk = _chunk(shape, axis)
    carries = None
    if chunk < shape[axis]:
        maps = _chunk_maps(a, ct, reset, shape, dtype, axis=axis, reverse=reverse, adjoint=True)
        carries = _chained(*maps, ct_final, axis=axis, reverse=True)
    operands = dict(a=a, h=h, h0=h0, reset=reset, ct=ct, ct_final=ct_final, carries=carries)
    outs = dict(dx=(shape, dtype), dh0=(state_shape(shape, axis), state_dtype(dtype)))
    if h is None:
        dx, dh0 = _launch("vjp", operands, outs, shape, axis, chunk, REVERSE=reverse, da=None, DA=None, DA_SIZE=0)
        return [dx, dh0] if wants_dh0 else [dx]
    outs["da"] = (a.shape, state_dtype(dtype))
    dx, dh0, da = _launch("vjp", operands, outs, shape, axis, chunk, REVERSE=reverse, DA_SIZE=a.size)
    da = (da[0] if da.shape[0] == 1 else jnp.sum(da, 0)).astype(a.dtype)
    return [da, dx, dh0] if wants_dh0 else [da, dx]


def _chunk_maps(a, x, reset, shape, dtype, *, axis, reverse, adjoint) -> list[Array]:
    """(products, finals): a state for each chunk, in the order of the recurrence along `axis`."""
    chunk = _chunk(shape, axis)
    maps = (*shape[:axis], math.ceil(shape[axis] / chunk), *shape[axis + 1 :])
    outs = dict(product=(maps, state_dtype(dtype)), final=(maps, state_dtype(dtype)))
    operands = dict(a=a, x=x, reset=reset)
    return _launch("chunk_maps", operands, outs, shape, axis, chunk, REVERSE=reverse, ADJOINT=adjoint)


def _chained(products, finals, start, *, axis, reverse) -> Array:
    """The state after each chunk."""
    results = [(finals.shape, finals.dtype), (state_shape(finals.shape, axis), finals.dtype)]
    operands = dict(a=products, x=finals, h0=start, reset=None, da=None, h=None, h0_before=None, carries=None)
    outs = dict(out=results[0], final=results[1])
    return _launch("forward", operands, outs, finals.shape, axis, finals.shape[axis], REVERSE=reverse)[0]


def _chunk(shape, axis) -> int:
    """Steps in a chunk: all of them where the lanes alone keep the GPU busy."""
    steps = shape[axis]
    lanes = math.prod(shape) // steps
    chunks = min(BUSY_THREADS // max(lanes, 1), steps // _SHORTEST_CHUNK)
    return steps if chunks < 2 else math.ceil(steps / chunks)


def _launch(kernel, operands: dict[str, Any], results: dict[str, Any], shape, axis, chunk, **constants) -> list[Array]:
    """Run a kernel over every lane and chunk.

    Each operand and result comes with its strides, under its name in capitals. A result `da` is partial sums, each of the
    gate's shape.
    """
    import triton.language as tl

    from cssm_kernels.linear_scan import triton_kernels

    a, dtype = operands["a"], next(iter(results.values()))[1]
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    double = state_dtype(dtype) in (jnp.float64, jnp.complex128)
    gate = a.shape if "da" in results else None
    arrays = {
        **{k: None if v is None else v.shape for k, v in operands.items()},
        **{k: v[0] for k, v in results.items()},
    }
    lanes = lanes_of(shape, axis, list(arrays.values()), gate)
    streams = sum(1 for s in lanes.strides[: len(operands)] if s is not None and s.time)
    most_rows = _MOST_ROWS * 8 // max(a.dtype.itemsize, 8)  # a row is a state and a sum in registers
    rows, columns = tile_of(lanes, a.dtype.itemsize, most_lanes=_MOST_LANES, most_rows=most_rows)
    column_blocks, row_blocks = math.ceil(lanes.kept_count / columns), math.ceil(lanes.reduced_count / rows)
    chunks = math.ceil(shape[axis] / chunk)
    if gate is not None:
        partials = row_blocks * (chunks if gate[axis] == 1 else 1)
        results = {**results, "da": ((partials, *gate), results["da"][1])}
    strides = {name.upper(): s and tuple(s) for name, s in zip(arrays, lanes.strides)}
    return triton_call(
        getattr(triton_kernels, f"linear_scan_{kernel}"),
        [ABSENT if v is None else v for v in operands.values()],
        list(results.values()),
        programs=column_blocks * row_blocks * chunks,
        num_warps=WARPS,
        name=f"cssm_linear_scan_{kernel}",
        STEPS=shape[axis],
        CHUNK=chunk,
        KEPT=lanes.kept,
        REDUCED=lanes.reduced,
        PARTS=2 if is_complex else 1,
        STATE=tl.float64 if double else tl.float32,
        ROWS=rows,
        COLUMNS=columns,
        UNROLL=steps_ahead(streams, rows * columns * a.dtype.itemsize),
        **strides,
        **constants,
    )
