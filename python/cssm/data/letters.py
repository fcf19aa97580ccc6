"""The capital letters as strokes: polylines in a box of side 1, (x, y) with y down."""

from __future__ import annotations

import functools
import itertools

import numpy as np

_ARC = 12  # corners of a half circle


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> list[tuple[float, float]]:
    """Part of an ellipse, by angles in degrees from the right, clockwise as y is down."""
    count = max(3, round(abs(stop - start) / 180 * _ARC) + 1)
    angle = np.deg2rad(np.linspace(start, stop, count))
    return list(zip((cx + rx * np.cos(angle)).tolist(), (cy + ry * np.sin(angle)).tolist()))


def _bowl(top: float, bottom: float) -> list[tuple[float, float]]:
    """The round part of B, D, P and R, from and to the stem."""
    middle, ry = (top + bottom) / 2, (bottom - top) / 2
    return [(0.0, top), *_arc(0.55, middle, 0.4, ry, -90, 90), (0.0, bottom)]


_STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.62), (0.8, 0.62)]],
    "B": [[(0, 0), (0, 1)], _bowl(0, 0.48), _bowl(0.48, 1)],
    "C": [_arc(0.52, 0.5, 0.5, 0.5, -50, -310)],
    "D": [[(0, 0), (0, 1)], _bowl(0, 1)],
    "E": [[(0.9, 0), (0, 0), (0, 1), (0.9, 1)], [(0, 0.5), (0.7, 0.5)]],
    "F": [[(0.9, 0), (0, 0), (0, 1)], [(0, 0.5), (0.7, 0.5)]],
    "G": [[*_arc(0.52, 0.5, 0.5, 0.5, -50, -340), (0.99, 0.55), (0.6, 0.55)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "I": [[(0.5, 0), (0.5, 1)], [(0.2, 0), (0.8, 0)], [(0.2, 1), (0.8, 1)]],
    "J": [[(0.8, 0), (0.8, 0.65), *_arc(0.45, 0.65, 0.35, 0.35, 0, 170)]],
    "K": [[(0, 0), (0, 1)], [(0.9, 0), (0, 0.55)], [(0.3, 0.37), (0.95, 1)]],
    "L": [[(0, 0), (0, 1), (0.9, 1)]],
    "M": [[(0, 1), (0.1, 0), (0.5, 0.7), (0.9, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "O": [_arc(0.5, 0.5, 0.5, 0.5, 0, 360)],
    "P": [[(0, 0), (0, 1)], _bowl(0, 0.52)],
    "Q": [_arc(0.5, 0.5, 0.5, 0.5, 0, 360), [(0.62, 0.65), (1, 1.05)]],
    "R": [[(0, 0), (0, 1)], _bowl(0, 0.5), [(0.45, 0.5), (0.95, 1)]],
    "S": [[*_arc(0.5, 0.26, 0.42, 0.26, -30, -270), *_arc(0.5, 0.76, 0.45, 0.24, -90, 150)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0, 0), (0, 0.6), *_arc(0.5, 0.6, 0.5, 0.4, 180, 0), (1, 0)]],
    "V": [[(0, 0), (0.5, 1), (1, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "Y": [[(0, 0), (0.5, 0.5), (1, 0)], [(0.5, 0.5), (0.5, 1)]],
    "Z": [[(0, 0), (1, 0), (0, 1), (1, 1)]],
}
LETTERS = "".join(_STROKES)


@functools.lru_cache(maxsize=64)
def strokes(letter: str, spacing: float) -> np.ndarray:
    """(n, 2) points (x, y) along the strokes, no further apart than `spacing`, in a box of side 1 about the origin."""
    points = []
    for polyline in _STROKES[letter]:
        corner = np.array(polyline, float)
        for begin, end in itertools.pairwise(corner):
            share = np.linspace(0, 1, 2 + int(np.linalg.norm(end - begin) / spacing))[:, None]
            points.append(begin + share * (end - begin))
    out = np.concatenate(points) - 0.5
    out.setflags(write=False)  # it is shared
    return out
