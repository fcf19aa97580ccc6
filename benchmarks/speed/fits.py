"""Times as a + b T and as a + b log2 T."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.mechanism.records import OK
from benchmarks.speed.measure import Row

LEAST_POINTS = 3


@dataclass(frozen=True)
class Fit:
    """Least squares of relative errors over one series of lengths T.

    Attributes:
      linear, logarithmic: (a, b) in ms of a + b T and of a + b log2 T.
      linear_error, logarithmic_error: root mean square of their relative errors.
    """

    family: str
    mode: str
    measure: str
    C: int
    H: int
    linear: tuple[float, float]
    logarithmic: tuple[float, float]
    linear_error: float
    logarithmic_error: float

    @property
    def better(self) -> str:
        """Which curve is nearer."""
        return "T" if self.linear_error <= self.logarithmic_error else "log T"

    def at(self, steps: float) -> float:
        """The nearer curve, in ms."""
        a, b = self.linear if self.better == "T" else self.logarithmic
        return a + b * (steps if self.better == "T" else math.log2(steps))


def fits(rows: Iterable[Row]) -> list[Fit]:
    """One for each mode, measure, C and H that was timed at three lengths or more."""
    series: dict[tuple, list[Row]] = {}
    for row in rows:
        if row.status == OK:
            series.setdefault((row.family, row.mode, row.measure, row.C, row.H), []).append(row)
    result = []
    for key, points in series.items():
        if len({row.T for row in points}) >= LEAST_POINTS:
            steps, ms = [row.T for row in points], [row.median_ms for row in points]
            (linear, linear_error), (logarithmic, logarithmic_error) = (
                _fit(x, ms) for x in (steps, [math.log2(t) for t in steps])
            )
            result.append(Fit(*key, linear, logarithmic, linear_error, logarithmic_error))
    return result


def _fit(x: Sequence[float], ms: Sequence[float]) -> tuple[tuple[float, float], float]:
    """(a, b) of a + b x, and the error."""
    weighted = np.stack([np.ones(len(x)), np.asarray(x, float)], 1) / np.asarray(ms)[:, None]
    (a, b), *_ = np.linalg.lstsq(weighted, np.ones(len(x)), rcond=None)
    return (float(a), float(b)), float(np.sqrt(np.mean((weighted @ (a, b) - 1) ** 2)))
