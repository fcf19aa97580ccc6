"""Which series must agree, and what happens to those that do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.mechanism.agreement import (
    FAMILIES,
    Result,
    check_not_associative,
    compare,
    condemned,
    gradient_distance,
    relative_distance,
)

OUT = np.array([1.0, 2.0])
GRADS = {"kernel": np.array([3.0, 4.0])}


def results(**changed: Result) -> dict[str, Result]:
    family = FAMILIES[0]
    same = {key: Result(OUT, GRADS) for key in (family.reference, *family.members)}
    return same | {f"no_gate:{name}": result for name, result in changed.items()}


def test_agreement_passes():
    checks = compare(results(), "programs", 8, "fp32", "default")
    assert {check.status for check in checks} == {"pass"}
    assert len(checks) == len(FAMILIES[0].members)
    assert condemned(checks) == {}


@pytest.mark.parametrize(
    "wrong", [Result(OUT * 1.001, GRADS), Result(OUT, {"kernel": GRADS["kernel"] * 1.001}), Result(OUT * np.nan, GRADS)]
)
def test_a_wrong_member_is_condemned(wrong: Result):
    checks = compare(results(native=wrong), "programs", 8, "fp32", "default")
    reasons = condemned(checks)
    assert list(reasons) == ["no_gate:native"]
    assert "disagrees with no_gate:xla" in reasons["no_gate:native"]


def test_a_reference_that_all_contradict_is_condemned_too():
    checks = compare(results(xla=Result(OUT * 2, GRADS)), "programs", 8, "fp32", "default")
    assert set(condemned(checks)) == {FAMILIES[0].reference, *FAMILIES[0].members}


def test_bfloat16_inputs_have_a_wider_bound():
    near = results(native=Result(OUT * 1.001, GRADS))
    assert condemned(compare(near, "programs", 8, "bf16", "default")) == {}


def test_the_known_difference_is_documented_not_passed():
    frames = np.arange(1.0, 6.0).reshape(1, 5, 1)
    apart = frames.copy()
    apart[:, 2:] *= 3
    keys = ("no_gate_realspace_seq:xla", "no_gate_realspace_par:xla")
    checks = check_not_associative({keys[0]: Result(frames), keys[1]: Result(apart)}, "fp32", "default")
    assert [check.status for check in checks] == ["pass", "documented"]
    assert condemned(checks) == {}
    broken = check_not_associative({keys[0]: Result(frames), keys[1]: Result(apart * 2)}, "fp32", "default")
    assert condemned(broken)


def test_distances():
    assert relative_distance(OUT, OUT) == 0.0
    assert relative_distance(OUT + np.array([0, 0.5]), OUT) == 0.25
    assert math.isinf(relative_distance(OUT * np.inf, OUT))
    with pytest.raises(ValueError, match=r"got has shape \(1,\); expected \(2,\)"):
        relative_distance(OUT[:1], OUT)
    small = {"large": np.array([1.0]), "small": np.array([1e-6])}
    moved = {"large": np.array([1.0]), "small": np.array([2e-6])}
    assert gradient_distance(moved, small) == pytest.approx(1e-3, rel=1e-3)
    with pytest.raises(ValueError, match="got has the parameters a; expected large, small"):
        gradient_distance({"a": OUT}, small)
