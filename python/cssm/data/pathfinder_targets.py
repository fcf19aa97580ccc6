"""The two target contours of a Pathfinder image: grown together, as published, or with their marker distances matched."""

from __future__ import annotations

from typing import Any

import numpy as np

from cssm.data.contours import Canvas, Contour
from cssm.data.paddles import DEGREES, Paddles, circle

_TRIES = 20_000
_SECOND_TRIES = 4  # second contours that are grown for a first one
# Of the orientations of the two ends, where they are matched; and how far a second contour's first paddle may be turned from
# the first one's.
_PARALLEL_DEGREES, _TURNED_DEGREES = 6, 45


def together(config: Any, paddles: Paddles, rng: np.random.Generator) -> tuple[Contour, Contour]:
    """Two contours whose start tips are `seed_distance` apart, grown in turns; any failure starts both again.

    The paddle that a contour adds is occupied for the other at once. Source: data specification 10.4.

    Raises:
      ValueError: no pair fits.
    """
    bare = Canvas(paddles, config.size, config.padding)
    state, canvases = bare.state(), (bare, Canvas(paddles, config.size, config.padding))
    for _ in range(_TRIES):
        pair = _started_together(config, paddles, canvases, rng)
        if pair is not None and _grown_in_turns(config, pair, canvases, rng):
            return pair
        for canvas in canvases:
            canvas.restore(state)
    raise _no_room(config)


def _started_together(config, paddles, canvases, rng) -> tuple[Contour, Contour] | None:
    band = 2 * config.seed_distance
    row, column = (band + int(rng.random() * (config.size - 2 * band)) for _ in range(2))
    first = Contour.started(paddles, row, column, int(rng.random() * DEGREES))
    if not canvases[0].admits(*first.stamps[0]):
        return None
    canvases[1].merge(*first.stamps[0])
    around = circle(config.seed_distance)
    for _ in range(config.segment_retries + 1):
        aside = around[int(rng.random() * len(around))]
        second = Contour.started(paddles, row + int(aside[0]), column + int(aside[1]), int(rng.random() * DEGREES))
        if canvases[1].admits(*second.stamps[0]):
            canvases[0].merge(*second.stamps[0])
            return first, second
    return None


def _grown_in_turns(config, pair, canvases, rng) -> bool:
    for _ in range(config.contour_length - 1):
        for contour, own, other in zip(pair, canvases, canvases[::-1]):
            if not contour.extend(own, rng, config.segment_retries + 1):
                return False
            other.merge(*contour.stamps[-1])
    return True


def matched(config: Any, paddles: Paddles, rng: np.random.Generator) -> tuple[Contour, Contour]:
    """Two contours a and b of which b's end is as far from a's start as a's end is, to `distance_tolerance`.

    With `match_orientation` they end in the same direction, to 6 degrees, too.

    Each is grown on an empty plane. Then b is moved so that the start tips are `seed_distance` apart, as published, at an
    angle that matches the distances, and the pair to a place drawn among those where it lies inside of the border.

    Raises:
      ValueError: no pair fits.
    """
    reach = (config.contour_length + 1) * (int(np.abs(paddles.next_pivot).max()) + 1) + config.seed_distance
    middle, side = (reach, reach), 2 * reach + 1
    planes = Canvas(paddles, side, None), Canvas(paddles, side, None)
    empty = planes[0].state()
    around = circle(config.seed_distance)
    for _ in range(_TRIES // _SECOND_TRIES):
        first = _grown_alone(config, planes[0], empty, middle, int(rng.random() * DEGREES), rng)
        if first is None:
            continue
        distance = _length(np.subtract(first.tips[-1], middle))
        for _ in range(_SECOND_TRIES):
            degrees = int(rng.random() * DEGREES)
            if config.match_orientation:
                degrees = _turned(first.stamps[0][2], rng)
            second = _grown_alone(config, planes[1], empty, middle, degrees, rng)
            if second is None or (config.match_orientation and not _parallel(first, second)):
                continue
            ends = around + np.subtract(second.tips[-1], middle)
            close = around[np.abs(_length(ends) - distance) <= config.distance_tolerance]
            for aside in close[rng.permutation(len(close))]:
                moved = second.moved(*aside.tolist())
                place = _place(config, paddles, first.stamps + moved.stamps, rng)
                if place is not None and all(planes[0].admits(*stamp) for stamp in moved.stamps):
                    return first.moved(*place), moved.moved(*place)
    raise _no_room(config)


def _turned(degrees: int, rng: np.random.Generator) -> int:
    """An orientation near this one."""
    return (degrees + int(rng.random() * (2 * _TURNED_DEGREES + 1)) - _TURNED_DEGREES) % DEGREES


def _parallel(first: Contour, second: Contour) -> bool:
    """Whether they end in the same direction: from which side a contour comes shows at its disc."""
    apart = (first.stamps[-1][2] - second.stamps[-1][2]) % DEGREES
    return min(apart, DEGREES - apart) <= _PARALLEL_DEGREES


def _grown_alone(config, plane, empty, start, degrees, rng) -> Contour | None:
    """A contour on an empty plane, with every mask merged."""
    plane.restore(empty)
    contour = Contour.started(plane.paddles, start[0], start[1], degrees)
    if not contour.grow(config.contour_length, plane, rng, config.segment_retries + 1):
        return None
    contour.merge(plane)
    return contour


def _place(config, paddles, stamps, rng) -> tuple[int, int] | None:
    """A uniform shift that brings all masks inside of the border, or None where there is none."""
    stamp = np.array(stamps)
    extent = paddles.extent[stamp[:, 2]] + stamp[:, None, :2]
    low = config.padding - extent[:, 0].min(0)
    high = config.size - 1 - config.padding - extent[:, 1].max(0)
    if (low > high).any():
        return None
    row, column = (int(at) + int(rng.random() * int(room)) for at, room in zip(low, high - low + 1))
    return row, column


def _length(x: np.ndarray) -> np.ndarray:
    return np.sqrt((x**2).sum(-1))


def _no_room(config: Any) -> ValueError:
    return ValueError(
        f"contour_length: got {config.contour_length}, expected one of which two contours fit into size {config.size} "
        f"with padding {config.padding}: none found in {_TRIES} tries"
    )
