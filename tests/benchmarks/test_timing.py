"""benchmarks.timing, with a clock that the tasks move by hand."""

from __future__ import annotations

import pytest

from benchmarks.cuda_events import EventClock
from benchmarks.timing import Task, Timing, affordable, grants, interleave, takes_turn


class Clock:
    """Time that passes when `work` is called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float):
        """A task's call that takes this long."""

        def call() -> None:
            self.log.append(name)
            self.now += seconds

        return call


def test_contenders_take_turns_and_get_their_own_time():
    clock = Clock()
    tasks = {"a": Task(clock.work("a", 2.0), repeats=3), "b": Task(clock.work("b", 5.0), repeats=3)}
    timings = interleave(tasks, clock=clock)
    assert [sorted(clock.log[i : i + 2]) for i in (0, 2, 4)] == [["a", "b"]] * 3
    assert timings["a"].retries == [[2.0] * 3]
    assert timings["b"].retries == [[5.0] * 3]


def test_no_contender_always_follows_the_same_one():
    clock = Clock()
    interleave({name: Task(clock.work(name, 1.0), repeats=30) for name in "abc"}, clock=clock)
    pairs = set(zip(clock.log, clock.log[1:]))
    assert pairs >= {(x, y) for x in "abc" for y in "abc" if x != y}


def test_drift_hits_all_contenders_alike():
    clock = Clock()

    def drifting(factor: float):
        def call() -> None:
            clock.now += factor * (1.0 + 0.1 * clock.now)

        return call

    tasks = {"a": Task(drifting(1.0), repeats=15), "b": Task(drifting(1.0), repeats=15)}
    timings = interleave(tasks, clock=clock)
    assert timings["b"].median / timings["a"].median == pytest.approx(1.0, rel=0.2)
    assert timings["a"].retries[0][-1] > 5 * timings["a"].retries[0][0]


def test_warmup_and_settling_calls_are_not_timed():
    clock = Clock()
    timings = interleave({"a": Task(clock.work("a", 1.0), repeats=2, retries=2, warmup=3, settle=True)}, clock=clock)
    assert len(clock.log) == 2 * (3 + 2 * 2)
    assert timings["a"].retries == [[1.0, 1.0], [1.0, 1.0]]


def test_a_loop_is_divided_by_its_calls():
    clock = Clock()
    assert interleave({"a": Task(clock.work("a", 6.0), repeats=1, calls=3)}, clock=clock)["a"].median == 2.0


def test_a_task_may_have_a_clock_of_its_own():
    wall, own = Clock(), Clock()

    def call() -> None:
        wall.now += 5.0
        own.now += 2.0

    timings = interleave({"a": Task(call, repeats=2, clock=own), "b": Task(call, repeats=2)}, clock=wall)
    assert (timings["a"].retries, timings["b"].retries) == ([[2.0, 2.0]], [[5.0, 5.0]])


def test_a_clock_of_events_moves_in_its_calls_alone():
    clock = EventClock()
    timing = interleave({"a": Task(clock.counting(lambda: 3.0), repeats=2)}, clock=clock)["a"]
    assert (timing.retries, clock()) == ([[3.0, 3.0]], 6.0)


def test_contenders_with_fewer_turns_are_spread_over_the_rounds():
    clock = Clock()
    tasks = {"a": Task(clock.work("a", 1.0), repeats=6), "b": Task(clock.work("b", 1.0), repeats=2)}
    interleave(tasks, clock=clock)
    assert [clock.log[i : i + 4].count("b") for i in (0, 4)] == [1, 1]
    assert clock.log.count("a") == 6
    for turns in range(1, 9):
        for wanted in range(1, turns + 1):
            assert sum(takes_turn(turn, turns, wanted) for turn in range(turns)) == wanted


def test_a_contender_may_sit_out_whole_retries():
    clock = Clock()
    tasks = {
        "a": Task(clock.work("a", 1.0), repeats=1, retries=4),
        "b": Task(clock.work("b", 1.0), repeats=1, retries=1),
    }
    timings = interleave(tasks, clock=clock)
    assert len(timings["a"].retries) == 4
    assert timings["b"].retries == [[1.0]]


def test_statistics_are_medians_of_medians_and_their_range():
    timing = Timing([[4.0, 1.0, 3.0], [4.0, 6.0, 5.0], [7.0, 9.0, 8.0]])
    assert (timing.median, timing.low, timing.high, timing.best) == (5.0, 3.0, 8.0, 1.0)


def test_an_outlying_first_retry_is_dropped():
    assert Timing([[100.0], [10.0], [12.0]]).high == 12.0
    assert Timing([[25.0], [10.0], [12.0]]).high == 25.0
    assert Timing([[100.0], [10.0]]).high == 100.0, "two retries do not say which is off"


def test_grants_meet_small_wishes_and_share_the_rest():
    assert grants({"small": 1.0, "large": 50.0, "larger": 100.0}, 21.0) == {"small": 1.0, "large": 10.0, "larger": 10.0}
    assert grants({"a": 1.0}, -3.0) == {"a": 0.0}
    assert grants({}, 1.0) == {}


def test_affordable_never_exceeds_the_wish_and_never_is_nothing():
    wish = {"warmup": 5, "repeats": 20, "retries": 5}
    assert affordable(0.1, 1e9, **wish)._asdict() == wish
    assert affordable(10.0, 0.0, **wish) == (0, 1, 1)
    short = affordable(1.0, 10.0, **wish)
    assert (short.warmup + short.repeats) * short.retries <= 10


@pytest.mark.parametrize("name", ["repeats", "retries", "calls"])
def test_a_task_without_calls_is_refused(name: str):
    with pytest.raises(ValueError, match=f"{name} is 0; expected at least 1"):
        Task(print, **{"repeats": 1, name: 0})
