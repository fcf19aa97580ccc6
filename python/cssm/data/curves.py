"""Curves of PathTracker: curls of one turning direction, scaled to a window, and read through a stretch of time.

h_0 = atan2(y, x) of a uniform point, a small number that is read as degrees; h_i = 0.95 (h_{i-1} + s d), s one sign a
curve, d uniform over {0, 0.95, 1.9, ... < 90}, i = 1...65; five points a step further along each h_i. The 326 points are
scaled to [0, window] on each axis alone, reversed half of the time, and every `skip`-th of `frames * skip` consecutive ones
is kept.
Source: data specification 11.1.
"""

from __future__ import annotations

import numpy as np

from cssm.data.generated import fixed

TURNS = 65
POINTS_A_TURN = 5
POINTS = 1 + TURNS * POINTS_A_TURN
DRAWS = TURNS + 5  # uniform numbers a curve is made of
_TURN = 0.95
_TURN_SIZES = 95  # 94 * 0.95 < 90 <= 95 * 0.95


def curves(u: np.ndarray, frames: int, skip: int, window: int) -> np.ndarray:
    """Curves (..., frames, 2), float64, in [0, window], of uniform numbers u (..., DRAWS) in [0, 1)."""
    heading = np.arctan2(u[..., 0], u[..., 1])
    sign = np.where(u[..., 2] < 0.5, -1.0, 1.0)
    turns = np.floor(u[..., 5:] * _TURN_SIZES) * (_TURN * sign[..., None])
    degrees = np.empty(turns.shape)
    for i in range(TURNS):
        heading = 0.95 * (heading + turns[..., i])
        degrees[..., i] = heading
    radians = np.deg2rad(degrees)
    step = fixed(np.stack([np.cos(radians), np.sin(radians)], -1))
    corner = np.zeros((*step.shape[:-2], TURNS + 1, 2), np.int64)  # the extremes of a polyline are at its corners
    np.cumsum(POINTS_A_TURN * step, axis=-2, out=corner[..., 1:, :])
    low, high = corner.min(-2, keepdims=True), corner.max(-2, keepdims=True)

    offset = np.floor(u[..., 3] * (POINTS - frames * skip + 1)).astype(np.int64)
    at = offset[..., None] + skip * np.arange(frames)
    at = np.where(u[..., 4, None] < 0.5, POINTS - 1 - at, at)
    turn, beyond = np.divmod(at, POINTS_A_TURN)
    points = np.take_along_axis(corner, turn[..., None], -2)
    points += beyond[..., None] * np.take_along_axis(step, np.minimum(turn, TURNS - 1)[..., None], -2)
    return (points - low) * float(window) / np.maximum(high - low, 1)
