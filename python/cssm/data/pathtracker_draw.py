"""How a PathTracker clip is drawn: `draw(config, trajectories (n, F, N, 2), start (n, 2), goal (n, 2))` -> uint8 frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cssm.data.generated import fixed

_OUTLINE = np.array([(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)])


def published(config: Any, trajectories: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """On black: distractors, the start's red and the goal's blue square outline of side 3, then target and decoy.

    Every dot is at its coordinate's floor + (1, 1), the middle of a square, and of one size: the published code paints
    distractors smaller than the others. Source: data specification 11.2.
    """
    n, frames = trajectories.shape[:2]
    video = np.zeros((n, frames, config.size, config.size, 3), np.uint8)
    pixel = np.floor(trajectories).astype(np.int64) + 1
    _dots(video, pixel[:, :, 2:], config.dot_size)
    clip = np.arange(n)[:, None]
    for corner, channel in ((start, 0), (goal, 2)):
        outline = np.floor(corner).astype(np.int64)[:, None] + _OUTLINE
        video[clip, :, outline[..., 0], outline[..., 1]] = np.eye(3, dtype=np.uint8)[channel] * 255
    _dots(video, pixel[:, :, :2], config.dot_size)
    return video


def _dots(video: np.ndarray, pixel: np.ndarray, dot_size: int) -> None:
    clip, frame, _ = np.ix_(*map(np.arange, pixel.shape[:3]))
    for row in range(dot_size):
        for column in range(dot_size):
            video[clip, frame, pixel[..., 0] + row, pixel[..., 1] + column] = (0, 255, 0)


_SUBPIXELS = 8
_REACH = 2
_SIGMA = 0.6
_GREY, _WHITE = 40, 230
_RING_RADIUS, _RING_SIGMA = 1.9, 0.45
_RINGS = {"start": (255, 90, 60), "goal": (80, 130, 255)}


def _stamps(profile: Callable[[np.ndarray], np.ndarray], reach: int) -> np.ndarray:
    """(subpixels, subpixels, side, side), int32 of 0...256: profile(distance) about a point between pixels."""
    shift = np.arange(_SUBPIXELS) / _SUBPIXELS
    at = np.arange(-reach, reach + 2) - shift[:, None]  # (subpixels, side)
    distance = np.hypot(at[:, None, :, None], at[None, :, None, :])
    return fixed(profile(distance), 8).astype(np.int32)


def restyled_v1(config: Any, trajectories: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """On dark grey: soft white dots of one brightness, thin rings for the markers, placed to an eighth of a pixel."""
    scene = np.full((len(trajectories), 1, config.size, config.size, 3), _GREY, np.int32)
    ring = _stamps(lambda r: np.exp(-0.5 * ((r - _RING_RADIUS) / _RING_SIGMA) ** 2), _REACH)
    for corner, colour in ((start, _RINGS["start"]), (goal, _RINGS["goal"])):
        scene = _blended(scene, _light(corner[:, None, None], ring, config.size), colour)
    dot = _stamps(lambda r: np.exp(-0.5 * (r / _SIGMA) ** 2), _REACH)
    return _blended(scene, _light(trajectories, dot, config.size), (_WHITE,) * 3).astype(np.uint8)


def _light(trajectories: np.ndarray, stamps: np.ndarray, size: int) -> np.ndarray:
    """(n, F, size, size): the largest of the stamps at trajectories (n, F, N, 2)."""
    side = np.arange(stamps.shape[-1])
    light = np.zeros((*trajectories.shape[:2], *(2 * [size + len(side)])), np.int32)
    clip, frame = np.ix_(*map(np.arange, trajectories.shape[:2]))
    for path in np.moveaxis(trajectories, 2, 0):
        pixel, part = np.divmod(np.floor(path * _SUBPIXELS).astype(np.int64), _SUBPIXELS)
        rows, columns = (
            pixel[..., axis, None] + 1 + side for axis in (0, 1)
        )  # coordinate c is the middle of pixel c + 1
        at = (clip[..., None, None], frame[..., None, None], rows[..., :, None], columns[..., None, :])
        light[at] = np.maximum(light[at], stamps[part[..., 0], part[..., 1]])
    return light[:, :, _REACH : _REACH + size, _REACH : _REACH + size]


def _blended(scene: np.ndarray, light: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return scene + (((np.array(colour, np.int32) - scene) * light[..., None]) >> 8)


STYLES: dict[str, Callable[..., np.ndarray]] = {"published": published, "restyled_v1": restyled_v1}
