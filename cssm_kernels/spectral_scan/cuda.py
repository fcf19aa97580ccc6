"""Calls of the CUDA handlers: which operands they take, and how time is cut to fill a GPU.

A block of threads holds the spectra of a few channels in shared memory, so frames are small and their sides powers of two.
Operands are aligned, as everywhere here. Each form returns None for what it does not take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels import _native

_LONGEST_SIDE = {"complex64": 64, "complex128": 32}
_MOST_BATCH_DIMS = 8
_GROUP = 8  # channels of a block
# Blocks that fill a GPU: two on each of about 130 multiprocessors. Not asked of the one at hand, so that results have the
# same bits on each, and their scratch a size known to XLA.
_BLOCKS = 264
_LEAST_SEGMENTS = 2  # between checkpoints, in a chunk


def fits(batch: Sequence[int], steps: int, frame: Sequence[int], dtype: Any) -> bool:
    """Whether frames (height, width, channels) with this dtype of the spectra have a kernel."""
    height, width, channels = frame
    sides = all(n <= _LONGEST_SIDE[str(dtype)] and n & (n - 1) == 0 for n in (height, width))
    # A block each, at worst, and indices of 32 bits but for offsets.
    few = len(batch) <= _MOST_BATCH_DIMS and math.prod(batch) * channels * steps < 2**31
    return sides and few


def chunk_steps(batch: Sequence[int], steps: int, channels: int, spacing: int) -> int:
    """Steps of a block of the grid: all, or fewer where sequences and channels are too few to fill a GPU."""
    chunks = _BLOCKS // max(1, math.prod(batch) * -(-channels // _GROUP))
    if chunks < 2:
        return steps
    segments = max(-(-steps // (chunks * spacing)), _LEAST_SEGMENTS)
    return min(segments * spacing, steps)


def forward(
    k_hat: Array,
    x: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    reverse: bool,
    last_only: bool,
    saves: bool,
    spacing: int,
    results: Any,
) -> list[Array] | None:
    """(y, final, checkpoints?)"""
    batch, steps, frame = results[0][0][:-4], x.shape[-4], x.shape[-3:]
    if not _serves(batch, steps, frame, k_hat.dtype):
        return None
    chunk = chunk_steps(batch, steps, frame[-1], spacing)
    return _call(
        "cssm_cuda_spectral_scan_forward",
        [k_hat, x, h0, reset],
        results,
        _carries(batch, steps, chunk, k_hat),
        steps=np.int64(steps),
        spacing=np.int64(spacing),
        chunk_steps=np.int64(chunk),
        reverse=reverse,
        last_only=last_only,
        has_h0=h0 is not None,
        has_reset=reset is not None,
        saves=saves,
    )


def backward(
    k_hat: Array,
    x: Array | None,
    h0: Array | None,
    reset: Array | None,
    checkpoints: Array | None,
    ct: Array | None,
    ct_final: Array | None,
    *,
    steps: int,
    reverse: bool,
    last_only: bool,
    wants_dh0: bool,
    spacing: int,
    results: Any,
) -> list[Array] | None:
    """(dk?, dx, dh0?); dk where there is x."""
    dx = results[0 if x is None else 1][0]
    batch, frame = dx[:-4], dx[-3:]
    if not _serves(batch, steps, frame, k_hat.dtype):
        return None
    chunk = chunk_steps(batch, steps, frame[-1], spacing)
    scratch = _carries(batch, steps, chunk, k_hat)
    if x is not None:
        scratch = [((*batch, -(-steps // chunk), *k_hat.shape[-3:]), k_hat.dtype), *scratch]
    return _call(
        "cssm_cuda_spectral_scan_backward",
        [k_hat, x, h0, reset, checkpoints, ct, ct_final],
        results,
        scratch,
        steps=np.int64(steps),
        spacing=np.int64(spacing),
        chunk_steps=np.int64(chunk),
        reverse=reverse,
        last_only=last_only,
        has_h0=h0 is not None,
        has_reset=reset is not None,
        has_ct=ct is not None,
        has_ct_final=ct_final is not None,
        wants_dk=x is not None,
        wants_dh0=wants_dh0,
    )


def _serves(batch, steps, frame, dtype):
    return _native.load_cuda() is not None and fits(batch, steps, frame, dtype)


def _carries(batch, steps, chunk, k_hat):
    """Scratch: the states handed from chunk to chunk, and whether one gets through."""
    chunks = -(-steps // chunk)
    if chunks == 1:
        return []
    return [((chunks - 1, *batch, *k_hat.shape[-3:]), k_hat.dtype), ((chunks - 1, *batch), jnp.uint8)]


def _call(target, operands, results, scratch, **attributes):
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in [*results, *scratch]]
    outs = jax.ffi.ffi_call(target, shapes)(*[o for o in operands if o is not None], **attributes)
    return list(outs)[: len(results)]
