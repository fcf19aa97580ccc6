"""Calls of the CUDA handlers: which operands they take, and how time is cut to fill a GPU.

A block of threads holds the spectra of a few channels in shared memory, so frames are small and their sides powers of two.
Operands are aligned, as everywhere here. Each form returns None for what it does not take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels import _native
from cssm_kernels.spectral_scan import handlers

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


def forward(k_hat: Array, x: Array, h0: Array | None, reset: Array | None, **params: Any) -> list[Array] | None:
    """(y, final?, checkpoints?)"""
    batch, steps, frame = params["results"][0][0][:-4], x.shape[-4], x.shape[-3:]
    if not _serves(batch, steps, frame, k_hat.dtype):
        return None
    chunk = chunk_steps(batch, steps, frame[-1], params["spacing"])
    return handlers.forward(
        "cssm_cuda_spectral_scan_forward",
        *(k_hat, x, h0, reset),
        **params,
        scratch=_carries(batch, steps, chunk, k_hat),
        chunk_steps=np.int64(chunk),
    )


def backward(k_hat: Array, x: Array | None, *operands: Any, **params: Any) -> list[Array] | None:
    """(dk?, dx, dh0?); dk where there is x."""
    dx, steps = params["results"][0 if x is None else 1][0], params["steps"]
    batch, frame = dx[:-4], dx[-3:]
    if not _serves(batch, steps, frame, k_hat.dtype):
        return None
    chunk = chunk_steps(batch, steps, frame[-1], params["spacing"])
    scratch = _carries(batch, steps, chunk, k_hat)
    if x is not None:
        scratch = [((*batch, -(-steps // chunk), *k_hat.shape[-3:]), k_hat.dtype), *scratch]
    return handlers.backward(
        "cssm_cuda_spectral_scan_backward",
        *(k_hat, x, *operands),
        **params,
        scratch=scratch,
        chunk_steps=np.int64(chunk),
    )


def _serves(batch, steps, frame, dtype):
    return _native.load_cuda() is not None and fits(batch, steps, frame, dtype)


def _carries(batch, steps, chunk, k_hat):
    """Scratch: the states handed from chunk to chunk, and whether one gets through."""
    chunks = -(-steps // chunk)
    if chunks == 1:
        return []
    return [((chunks - 1, *batch, *k_hat.shape[-3:]), k_hat.dtype), ((chunks - 1, *batch), jnp.uint8)]
