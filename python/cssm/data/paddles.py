"""Tables from which contours of paddles are grown: everything that depends on an angle, for each whole degree.

A paddle is a bar from an anchor pixel along a direction; its mask is the bar dilated by a disc of radius `margin`. An angle
t points to (row, column) = (sin t, cos t). Source: data specification 10.2 and 10.3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

DEGREES = 360
LIMIT = 1.8  # occupancy and a new mask must stay below it
_LEAST_WEIGHT = 1e-4
_WEIGHT_BITS = 16
_DIGITS = 9  # a cosine's last bits must not decide what is rounded


@dataclass(frozen=True)
class Heads:
    """Where the next paddle's far end may lie, seen from the pivot, for one orientation.

    Fields:
      row, column: offsets from the pivot.
      weight: integers, of occupancy 0.
      degrees: orientation that each makes.
    """

    row: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    degrees: np.ndarray


@dataclass(frozen=True)
class Paddles:
    """Tables by degree; stamps are uint8 squares of side 2 reach + 1 (wide_reach for `clear`) about the anchor.

    Fields:
      bar, mask: 0...255.
      limit: the largest occupancy under which the paddle is accepted.
      clear: 255 - (mask dilated by margin once more), what remains of a head's weight.
      extent: (360, 2, 2), (least, largest) (row, column) where a mask cannot lie on a full one.
      along: (360, 2) from one end of the bar to the other.
      first_pivot, next_pivot: (360, 2), from the tail of a first paddle, and from pivot to pivot.
      heads: by orientation.
      least_total: sum of weight * free occupancy under which a contour has come to a dead end.
    """

    reach: int
    wide_reach: int
    bar: list[np.ndarray]
    mask: list[np.ndarray]
    limit: list[np.ndarray]
    clear: list[np.ndarray]
    extent: np.ndarray
    along: np.ndarray
    first_pivot: np.ndarray
    next_pivot: np.ndarray
    heads: list[Heads]
    least_total: float

    @property
    def guard(self) -> int:
        """How far beyond an accepted pixel anything is looked up."""
        step = int(np.abs(self.next_pivot).max())
        return 2 * step + self.wide_reach


@functools.lru_cache(maxsize=8)
def paddles(length: int, thickness: float, margin: int, antialias: int, continuity: float) -> Paddles:
    """The tables of a paddle of this length and thickness, in pixels."""
    angle = np.deg2rad(np.arange(DEGREES))
    unit = np.round(np.stack([np.sin(angle), np.cos(angle)], -1), _DIGITS)
    reach = length + margin + math.ceil(thickness / 2) + 1
    bar = [_drawn(u, length, thickness, 0, reach, antialias) for u in unit]
    mask = [_drawn(u, length, thickness, margin, reach, antialias) for u in unit]
    touching = [np.argwhere(m >= LIMIT * 255 - 255) - reach for m in mask]
    return Paddles(
        reach=reach,
        wide_reach=reach + margin,
        bar=bar,
        mask=mask,
        limit=[np.clip(math.ceil(LIMIT * 255) - 1 - m.astype(int), 0, 255).astype(np.uint8) for m in mask],
        clear=[255 - dilated(m, margin) for m in mask],
        extent=np.array([(t.min(0), t.max(0)) for t in touching]),
        along=np.rint(length * unit).astype(int),
        first_pivot=np.ceil(np.round((length + margin) * unit, _DIGITS)).astype(int),
        next_pivot=np.ceil(np.round((length + 2 * margin) * unit, _DIGITS)).astype(int),
        heads=_heads(length + margin, continuity),
        least_total=_LEAST_WEIGHT * 2**_WEIGHT_BITS * 255,
    )


def circle(radius: float) -> np.ndarray:
    """(n, 2) distinct offsets of pixels on a circle, a pixel of arc apart."""
    angle = np.arange(math.ceil(2 * np.pi * radius)) / radius
    pixels = np.rint(np.round(radius * np.stack([np.sin(angle), np.cos(angle)], -1), _DIGITS)).astype(int)
    return np.array(list(dict.fromkeys(map(tuple, pixels.tolist()))))


def disc(radius: int) -> np.ndarray:
    """(n, 2) offsets of the pixels of a disc."""
    at = np.arange(-radius, radius + 1)
    return np.argwhere(at[:, None] ** 2 + at**2 <= radius**2) - radius


def dilated(image: np.ndarray, radius: int) -> np.ndarray:
    """The largest value within a disc about each pixel of an image that is `radius` wider on each side."""
    height, width = image.shape
    out = np.zeros((height + 2 * radius, width + 2 * radius), image.dtype)
    for row, column in disc(radius) + radius:
        window = out[row : row + height, column : column + width]
        np.maximum(window, image, out=window)
    return out


def _drawn(unit: np.ndarray, length: int, thickness: float, margin: int, reach: int, antialias: int) -> np.ndarray:
    """Whatever is within `margin` of a bar from the middle pixel along `unit`, drawn large and reduced.

    The enlarged bar includes the pixels of both its ends, as lines do that a rasteriser draws.
    """
    side = 2 * reach + 1
    at = (np.arange(side * antialias) + 0.5) / antialias - side / 2
    row, column = at[:, None], at[None, :]
    along = np.abs(row * unit[0] + column * unit[1] - length / 2) - (length + 1 / antialias) / 2
    across = np.abs(column * unit[0] - row * unit[1]) - thickness / 2
    beyond = np.maximum(along, 0) ** 2 + np.maximum(across, 0) ** 2
    large = Image.fromarray(np.where(np.round(beyond, _DIGITS) <= margin**2, 255, 0).astype(np.uint8))
    return np.array(large.resize((side, side), Image.Resampling.LANCZOS))


def _heads(radius: int, continuity: float) -> list[Heads]:
    """w(phi) = max(cos(min(c |phi - theta|, pi/2)), 0)^2 of each orientation theta, where it is not 0."""
    offset = circle(radius)
    degrees = np.rint(np.round(np.rad2deg(np.arctan2(offset[:, 0], offset[:, 1])), _DIGITS)).astype(int) % DEGREES
    out = []
    for theta in range(DEGREES):
        apart = np.abs((degrees - theta + 180) % DEGREES - 180)
        weight = np.cos(np.minimum(np.deg2rad(continuity * apart), np.pi / 2)) ** 2
        whole = np.rint(np.round(weight * 2**_WEIGHT_BITS, 3)).astype(np.int64)
        kept = whole > 0
        out.append(Heads(offset[kept, 0], offset[kept, 1], whole[kept], degrees[kept]))
    return out
