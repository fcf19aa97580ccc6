"""Contours of paddles, grown one paddle at a time over what is occupied.

The next paddle's far end (its head) is drawn on a circle about the pivot, likelier straight on and where nothing is near; it
is accepted where occupancy + its mask < 1.8. A mask is merged one paddle late, so that neighbours may touch.
Source: data specification 10.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cssm.data.paddles import DEGREES, Paddles, dilated


class Canvas:
    """Occupancy of a square of `size` pixels, with a guard around it so that nothing is looked up outside.

    Args:
      border: width of the occupied margin; None: nothing is occupied, the guard included.
    """

    def __init__(self, paddles: Paddles, size: int, border: int | None):
        self.paddles = paddles
        self.guard = paddles.guard
        shape = 2 * (size + 2 * self.guard,)
        self.occupied = np.zeros(shape, np.uint8)
        self.free = np.full(shape, 255, np.uint8)  # 255 - occupancy dilated by the margin
        if border is not None:
            margin = paddles.wide_reach - paddles.reach
            self.occupied[:] = 255
            inside = slice(self.guard + border, self.guard + size - border)
            self.occupied[inside, inside] = 0
            self.free = 255 - dilated(self.occupied, margin)[margin : margin + shape[0], margin : margin + shape[0]]

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """What `restore` goes back to."""
        return self.occupied.copy(), self.free.copy()

    def restore(self, state: tuple[np.ndarray, np.ndarray]) -> None:
        """Forgets what was merged since."""
        self.occupied[:], self.free[:] = state

    def admits(self, row: int, column: int, degrees: int) -> bool:
        """Whether a paddle from this anchor overlaps nothing."""
        reach, guard = self.paddles.reach, self.guard
        top, left = row + guard - reach, column + guard - reach
        window = self.occupied[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        return not (window > self.paddles.limit[degrees]).any()

    def merge(self, row: int, column: int, degrees: int) -> None:
        """A paddle's mask becomes occupied."""
        for plane, stamps, combine, reach in (
            (self.occupied, self.paddles.mask, np.maximum, self.paddles.reach),
            (self.free, self.paddles.clear, np.minimum, self.paddles.wide_reach),
        ):
            top, left = row + self.guard - reach, column + self.guard - reach
            window = plane[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
            combine(window, stamps[degrees], out=window)


@dataclass
class Contour:
    """Paddles as stamps (row, column, degrees), anchored at the tail for the first and at the head for the others.

    Fields:
      tips: of the polyline: the first paddle's tail and head, and every further head.
      pivot, degrees: from where and in which orientation it goes on.
    """

    stamps: list[tuple[int, int, int]]
    tips: list[tuple[int, int]]
    pivot: tuple[int, int]
    degrees: int
    merged: int = field(default=0)

    @classmethod
    def started(cls, paddles: Paddles, row: int, column: int, degrees: int) -> Contour:
        """A contour of one paddle, from its tail."""
        along, pivot = paddles.along[degrees], paddles.first_pivot[degrees]
        return cls(
            stamps=[(row, column, degrees)],
            tips=[(row, column), (row + int(along[0]), column + int(along[1]))],
            pivot=(row + int(pivot[0]), column + int(pivot[1])),
            degrees=degrees,
        )

    def extend(self, canvas: Canvas, rng: np.random.Generator, draws: int) -> bool:
        """Adds a paddle, and merges the one before it; False at a dead end or after `draws` heads that did not fit."""
        heads = canvas.paddles.heads[self.degrees]
        row, column = self.pivot
        free = canvas.free[heads.row + (row + canvas.guard), heads.column + (column + canvas.guard)]
        upto = (heads.weight * free).cumsum()
        if not len(upto) or upto[-1] < canvas.paddles.least_total:
            return False
        for _ in range(draws):
            at = int(upto.searchsorted(int(rng.random() * int(upto[-1])), side="right"))
            degrees = int(heads.degrees[at])
            stamp = (row + int(heads.row[at]), column + int(heads.column[at]), (degrees + 180) % DEGREES)
            if canvas.admits(*stamp):
                break
        else:
            return False
        self.merge(canvas)
        self.stamps.append(stamp)
        self.tips.append(stamp[:2])
        step = canvas.paddles.next_pivot[degrees]
        self.pivot = (row + int(step[0]), column + int(step[1]))
        self.degrees = degrees
        return True

    def merge(self, canvas: Canvas) -> None:
        """Merges every paddle that is not merged yet."""
        for stamp in self.stamps[self.merged :]:
            canvas.merge(*stamp)
        self.merged = len(self.stamps)

    def grow(self, length: int, canvas: Canvas, rng: np.random.Generator, draws: int) -> bool:
        """Extends to `length` paddles; False where one could not be added."""
        return all(self.extend(canvas, rng, draws) for _ in range(length - len(self.stamps)))

    def moved(self, row: int, column: int) -> Contour:
        """The same elsewhere, with nothing merged."""
        return Contour(
            stamps=[(r + row, c + column, degrees) for r, c, degrees in self.stamps],
            tips=[(r + row, c + column) for r, c in self.tips],
            pivot=(self.pivot[0] + row, self.pivot[1] + column),
            degrees=self.degrees,
        )
