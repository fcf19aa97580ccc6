"""What is skipped, and why."""

from __future__ import annotations

import json

import pytest

from benchmarks.mechanism.budget import Budget, part_of_time
from benchmarks.mechanism.panels import Shape, ends_first

AT = {steps: Shape(32, 32, steps, 11) for steps in (8, 16, 32, 1024)}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the second 90."""
    monkeypatch.setattr("time.time", lambda: 90.0)


def budget(**named: float) -> Budget:
    return Budget(**{"cell_s": 10.0, "deadline": 1000.0, **named})


def test_nothing_known_nothing_skipped():
    assert budget().refusal("no_gate:xla", "fwd", AT[8], end=1000.0) is None


def test_a_cell_expected_to_be_too_long_is_skipped_with_the_figures():
    tight = budget()
    tight.record("slow", "fwd", AT[8], 6.0)
    status, reason = tight.refusal("slow", "fwd", AT[16], end=1000.0)
    assert status == "skipped"
    assert "expected to need 11 s, over the cell budget of 10 s" in reason
    assert tight.refusal("slow", "fwd", AT[16], end=1000.0, limited=False) is None
    assert tight.refusal("slow", "fwd_bwd", AT[16], end=1000.0) is None
    assert tight.refusal("slow", "fwd", AT[16]._replace(C=64), end=1000.0) is None


def test_a_baseline_may_not_use_up_the_time_of_others():
    tight = budget()
    tight.record("slow", "fwd", AT[8], 4.0)
    assert tight.refusal("slow", "fwd", AT[16], end=100.0) is None
    assert "5 s of the run's budget are left to it" in tight.refusal("slow", "fwd", AT[16], end=95.0).reason


def test_a_spent_run_skips_everything():
    status, reason = budget(deadline=85.0).refusal("any", "fwd", AT[8], end=1000.0)
    assert (status, reason) == ("skipped", "the time for T=8 is spent: 0 s of the run's budget are left to it")


@pytest.mark.parametrize(("status", "later"), [("oom", "oom"), ("timeout", "skipped"), ("skipped", "skipped")])
def test_longer_videos_are_not_tried_after_running_out(status: str, later: str):
    tight = budget()
    tight.give_up("slow", "fwd", AT[16], status, "why")
    assert tight.refusal("slow", "fwd", AT[8], end=1000.0) is None
    assert tight.refusal("slow", "fwd", AT[16], end=1000.0) == (status, "why")
    assert tight.refusal("slow", "fwd", AT[1024], end=1000.0) == (later, "after T=16: why")


def test_an_error_is_no_reason_to_skip_longer_videos():
    tight = budget()
    tight.give_up("odd", "fwd", AT[16], "error", "why")
    assert tight.refusal("odd", "fwd", AT[32], end=1000.0) is None


def test_the_next_worker_knows_what_the_last_knew():
    tight = budget()
    tight.record("slow", "fwd", AT[8], 6.0)
    tight.give_up("slow", "fwd_bwd", AT[8], "timeout", "why")
    assert Budget.from_json(json.loads(json.dumps(tight.to_json()))) == tight


def test_a_quick_run_begins_with_the_ends():
    shapes = [Shape(32, 32, 2**n, 11) for n in range(3, 11)]
    assert [shape.T for shape in ends_first(shapes)] == [8, 1024, 64, 16, 256, 32, 128, 512]
    for some in range(4):
        assert sorted(ends_first(shapes[:some])) == shapes[:some]


def test_no_prediction_from_far_below():
    tight = budget()
    tight.record("slow", "fwd", AT[8], 6.0)
    assert tight.predict("slow", "fwd", AT[1024]) is None


def test_time_is_shared_by_weight(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert part_of_time(1.0, [3.0], 140.0) == 110.0
    assert part_of_time(1.0, [], 140.0) == 140.0
    assert part_of_time(1.0, [3.0], 50.0) == 100.0
