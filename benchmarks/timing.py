"""Interleaved wall-clock timing: every contender takes its turn in every round, so that noise hits all alike, and the rounds
are shuffled, so that none always follows the same neighbour and finds the caches as that one leaves them."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

SETTLE_S = 0.02
"""Untimed calls fill this time at the start of a turn, one at the least: as in a loop of training, a call is to find the
machine as its own kind leaves it, where the contender before has emptied the caches and may have left cores idle."""

OUTLYING_FIRST_RETRY = 3.0
"""The first retry is dropped when its median is off the others' by more than this factor."""


@dataclass(frozen=True)
class Task:
    """What one contender does in its turns.

    Attributes:
      call: does the work and blocks until it is done.
      repeats: timed turns in one retry.
      retries: independent repetitions of the whole.
      warmup: untimed calls at the start of each retry.
      calls: calls of the measured work inside one `call`; times are divided by it.
      settle: whether each turn begins with untimed calls (`SETTLE_S`).
      clock: a clock of its own, in seconds, where that of all the tasks does not see what is to be timed.
    """

    call: Callable[[], object]
    repeats: int
    retries: int = 1
    warmup: int = 0
    calls: int = 1
    settle: bool = False
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        for name in ("repeats", "retries", "calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")


@dataclass
class Timing:
    """Seconds per call, one list of samples a retry."""

    retries: list[list[float]] = field(default_factory=list)

    @property
    def medians(self) -> list[float]:
        """Median of each retry, without an outlying first one."""
        medians = [statistics.median(samples) for samples in self.retries if samples]
        if len(medians) > 2:
            others = statistics.median(medians[1:])
            if not others / OUTLYING_FIRST_RETRY <= medians[0] <= others * OUTLYING_FIRST_RETRY:
                return medians[1:]
        return medians

    @property
    def median(self) -> float:
        """Median over the retries of their medians."""
        return statistics.median(self.medians)

    @property
    def low(self) -> float:
        """Smallest median of a retry."""
        return min(self.medians)

    @property
    def high(self) -> float:
        """Largest median of a retry."""
        return max(self.medians)

    @property
    def best(self) -> float:
        """Shortest single call."""
        return min(min(samples) for samples in self.retries if samples)


def takes_turn(turn: int, turns: int, wanted: int) -> bool:
    """Whether a contender with `wanted` of `turns` turns, spread evenly, takes turn number `turn`."""
    return (turn + 1) * wanted // turns > turn * wanted // turns


def interleave(
    tasks: Mapping[K, Task],
    *,
    clock: Callable[[], float] = time.perf_counter,
    before_call: Callable[[K], None] | None = None,
) -> dict[K, Timing]:
    """Time all tasks in rounds, each contender once a round in an order drawn anew (from a fixed seed), retry by retry.

    A call's result is dropped after its time is taken.
    A task with fewer repeats or retries than the longest takes its turns evenly spread over the rounds.

    Args:
      tasks: what to time.
      clock: returns seconds; of tasks that have none of their own.
      before_call: called outside the timed span before a contender's turn.

    Returns:
      The samples of each task, in seconds per call.
    """
    timings: dict[K, Timing] = {key: Timing() for key in tasks}
    shuffle = random.Random(0).shuffle
    retries = max((task.retries for task in tasks.values()), default=0)
    for retry in range(retries):
        present = {key: task for key, task in tasks.items() if takes_turn(retry, retries, task.retries)}
        for key, task in present.items():
            timings[key].retries.append([])
            for _ in range(task.warmup):
                if before_call:
                    before_call(key)
                task.call()
        rounds = max((task.repeats for task in present.values()), default=0)
        for turn in range(rounds):
            order = [key for key, task in present.items() if takes_turn(turn, rounds, task.repeats)]
            shuffle(order)
            for key in order:
                task = present[key]
                if before_call:
                    before_call(key)
                settled_at = clock() + SETTLE_S
                while task.settle:
                    task.call()
                    if clock() >= settled_at:
                        break
                now = task.clock or clock
                start = now()
                result = task.call()
                timings[key].retries[-1].append((now() - start) / task.calls)
                del result
    return timings


def grants(costs: Mapping[K, float], total: float) -> dict[K, float]:
    """Share `total` among wishes max-min fairly: small wishes are met whole, the large ones split the rest."""
    result: dict[K, float] = {}
    for position, (key, cost) in enumerate(sorted(costs.items(), key=lambda item: item[1])):
        result[key] = min(cost, max(total, 0.0) / (len(costs) - position))
        total -= result[key]
    return result


def turn_s(call_s: float) -> float:
    """Seconds of a turn, which begins with untimed calls where calls are short."""
    return call_s if call_s >= SETTLE_S else 2 * call_s + SETTLE_S


class Counts(NamedTuple):
    """How often a task's call is made."""

    warmup: int
    repeats: int
    retries: int


def affordable(call_s: float, grant_s: float, *, warmup: int, repeats: int, retries: int) -> Counts:
    """Warm-up, repeats and retries (at most those wished for) that fit into `grant_s`; never less than one call."""
    calls = max(1, int(grant_s / turn_s(call_s)))
    retries = min(retries, calls)
    per_retry = calls // retries
    warmup = min(warmup, per_retry // 4)
    return Counts(warmup, max(1, min(repeats, per_retry - warmup)), retries)


def settled(call: Callable[[], object], call_s: float, grant_s: float, *, warmup: int, repeats: int) -> Task:
    """A task whose timed calls each follow untimed ones, as many as fit into `grant_s`; never less than one."""
    untimed = call_s if call_s >= SETTLE_S else 0.0  # `affordable` counts those of short calls itself
    counts = affordable(call_s + untimed, grant_s, warmup=warmup, repeats=repeats, retries=1)
    return Task(call, settle=True, **counts._asdict())


def wished_s(call_s: float, *, warmup: int, repeats: int, retries: int) -> float:
    """Seconds that the full number of calls takes."""
    return turn_s(call_s) * (warmup + repeats) * retries
