"""Videos as sequences of tokens, one a pixel, row by row and frame by frame.

    temporal_spatial   (B, T, H, W, C) -> (B, T H W, C)
    per_frame          (B, T, H, W, C) -> (B T, H W, C), every frame a sequence of its own

Source: CSSM model specification 2.6 and 2.7.
"""

from __future__ import annotations

from jax import Array

FLATTEN_MODES = ("temporal_spatial", "per_frame")


def to_tokens(x: Array, mode: str) -> Array:
    """(B, T, H, W, C) -> (N, L, C)."""
    batch, _, height, width, channels = x.shape
    if mode == "per_frame":
        return x.reshape(-1, height * width, channels)
    return x.reshape(batch, -1, channels)
