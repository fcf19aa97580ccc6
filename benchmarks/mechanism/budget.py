"""What still fits: predictions from smaller cells, and series that are given up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.mechanism.panels import Group, Shape
from benchmarks.mechanism.records import OOM, SKIPPED, TIMEOUT

GROWTH = 0.9
"""Predicted growth of a cell's time with T, as an exponent: below linear, for what part of it is compilation."""

FARTHEST = 16
"""Largest ratio of T that a prediction bridges."""

MEASURES = ("fwd", "fwd_bwd")


class Refusal(NamedTuple):
    """Why a measure of a series is not run."""

    status: str
    reason: str


@dataclass
class Budget:
    """Time limits of a run, and what its cells have cost so far.

    Attributes:
      cell_s: a program expected to need longer (compile and two calls) is skipped.
      deadline: end of the run, in `time.time()` seconds.
      costs: seconds of compile and first calls by series and measure, with the shape.
      given_up: shape, status and reason by series and measure: out of time or memory, larger T are not tried.
    """

    cell_s: float
    deadline: float
    costs: dict[str, list[tuple[Shape, float]]] = field(default_factory=dict)
    given_up: dict[str, tuple[Shape, str, str]] = field(default_factory=dict)

    def record(self, series: str, measure: str, shape: Shape, seconds: float) -> None:
        """Note what compiling a program and calling it once or twice has cost."""
        self.costs.setdefault(f"{series}/{measure}", []).append((shape, seconds))

    def give_up(self, series: str, measure: str, shape: Shape, status: str, reason: str) -> None:
        """Refuse this shape and, if it is for time or memory, all with more frames."""
        self.given_up[f"{series}/{measure}"] = (shape, status, reason)

    def predict(self, series: str, measure: str, shape: Shape) -> float | None:
        """Expected seconds to compile a program and call it, from the largest smaller T; None if there was none near."""
        smaller = [
            (before.T, seconds)
            for before, seconds in self.costs.get(f"{series}/{measure}", [])
            if before._replace(T=shape.T) == shape and before.T <= shape.T <= FARTHEST * before.T
        ]
        if not smaller:
            return None
        steps, seconds = max(smaller)
        return float(seconds * (shape.T / steps) ** GROWTH)

    def refusal(self, series: str, measure: str, shape: Shape, end: float, *, limited: bool = True) -> Refusal | None:
        """Why not to run a program that should be done by `end`; None to run it. `limited`: within the cell budget."""
        if f"{series}/{measure}" in self.given_up:
            before, status, reason = self.given_up[f"{series}/{measure}"]
            if before == shape:
                return Refusal(status, reason)
            if before._replace(T=shape.T) == shape and before.T < shape.T and status in (OOM, TIMEOUT, SKIPPED):
                return Refusal(OOM if status == OOM else SKIPPED, f"after T={before.T}: {reason}")
        left = min(end, self.deadline) - time.time()
        expected = self.predict(series, measure, shape)
        if limited and expected is not None and expected > self.cell_s:
            return Refusal(SKIPPED, f"expected to need {expected:.0f} s, over the cell budget of {self.cell_s:g} s")
        if (expected or 0.0) > left:
            return Refusal(
                SKIPPED, f"the time for T={shape.T} is spent: {max(left, 0):.0f} s of the run's budget are left to it"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {"cell_s": self.cell_s, "deadline": self.deadline, "costs": self.costs, "given_up": self.given_up}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Budget:
        """Inverse of `to_json`."""
        return cls(
            values["cell_s"],
            values["deadline"],
            {name: [(Shape(*shape), seconds) for shape, seconds in costs] for name, costs in values["costs"].items()},
            {name: (Shape(*shape), status, reason) for name, (shape, status, reason) in values["given_up"].items()},
        )


def weight(group: Group) -> float:
    """Relative cost of a group: of each series the compilation, of the few that get far what grows with T."""
    return 250.0 * len(group.series) + group.shape.T * min(len(group.series), 3)


def part_of_time(own: float, others: Iterable[float], deadline: float) -> float:
    """When work of the weight `own` should end if what is left until `deadline` is shared with the others by weight."""
    now = time.time()
    return now + max(0.0, deadline - now) * own / (own + sum(others))
