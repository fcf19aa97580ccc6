"""Which series compute the same thing, and the test that they do. A series that fails it gets no time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.mechanism.panels import ASSOCIATIVE, NATIVE

TOLERANCE = MappingProxyType({"fp32": 1e-4, "bf16": 2e-2})
"""Largest relative distance, by dtype of the input."""

SMALL_LEAF = 1e-3
"""A parameter's gradient is measured against its own norm, or this part of the whole gradient's if that is larger."""

SPECTRAL_COMPACT = "realspace_compact_seq:spectral"
"""The compact transition carried out in the spectral domain: never timed, the truth for its real-space form."""


@dataclass(frozen=True)
class Family:
    """Series that must agree with `reference`."""

    name: str
    reference: str
    members: tuple[str, ...]


FAMILIES = (
    Family("sCSSM", ASSOCIATIVE, (NATIVE, "no_gate:unfused", "no_gate:sequential", "realspace_exact_seq:xla")),
    Family("compact K x K", SPECTRAL_COMPACT, ("realspace_compact_seq:xla",)),
    Family("no space", "direct_conv_seq:sequential", ("direct_conv_assoc:xla", "direct_conv_parallel:xla")),
)

NOT_ASSOCIATIVE = ("no_gate_realspace_seq:xla", "no_gate_realspace_par:xla", 2)
"""Published pair whose combine is not associative: equal for the first two frames, different from the third on."""


@dataclass(frozen=True)
class Check:
    """Outcome of one comparison.

    Attributes:
      what: what was compared.
      status: 'pass', 'fail', or 'documented' for a difference that is known and published as it is.
    """

    family: str
    member: str
    reference: str
    what: str
    T: int
    out_rel_err: float
    grad_rel_err: float
    tolerance: float
    status: str
    allocator: str = "default"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def relative_distance(got: np.ndarray, expected: np.ndarray) -> float:
    """max |got - expected| / max |expected|; infinite if anything is not finite."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        raise ValueError(f"got has shape {got.shape}; expected {expected.shape}")
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.inf
    scale = np.abs(expected).max(initial=0.0)
    distance = np.abs(got - expected).max(initial=0.0)
    return float(distance / scale) if scale else (math.inf if distance else 0.0)


def gradient_distance(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest relative l2 distance of the gradients of single parameters (see SMALL_LEAF)."""
    if got.keys() != expected.keys():
        raise ValueError(f"got has the parameters {', '.join(sorted(got))}; expected {', '.join(sorted(expected))}")
    norms = {name: float(np.linalg.norm(np.asarray(leaf, np.float64))) for name, leaf in expected.items()}
    whole = math.hypot(*norms.values())
    largest = 0.0
    for name, leaf in expected.items():
        difference = float(np.linalg.norm(np.asarray(got[name], np.float64) - np.asarray(leaf, np.float64)))
        scale = max(norms[name], SMALL_LEAF * whole)
        if not (math.isfinite(difference) and math.isfinite(scale)):
            return math.inf
        if difference:
            largest = max(largest, difference / scale if scale else math.inf)
    return largest


@dataclass
class Result:
    """What one series computed: outputs and gradients by parameter, either possibly missing."""

    out: np.ndarray | None = None
    grads: dict[str, np.ndarray] | None = None


def compare(results: Mapping[str, Result], what: str, steps: int, dtype: str, allocator: str) -> list[Check]:
    """Hold the members of every family to their reference, as far as both were computed."""
    checks = []
    for family in FAMILIES:
        reference = results.get(family.reference)
        for member in family.members:
            if reference is None or member not in results:
                continue
            got = results[member]
            out = grad = math.nan
            if got.out is not None and reference.out is not None:
                out = relative_distance(got.out, reference.out)
            if got.grads is not None and reference.grads is not None:
                grad = gradient_distance(got.grads, reference.grads)
            if math.isnan(out) and math.isnan(grad):
                continue
            failed = out > TOLERANCE[dtype] or grad > TOLERANCE[dtype]
            status = "fail" if failed else "pass"
            checks.append(
                Check(
                    family.name, member, family.reference, what, steps, out, grad, TOLERANCE[dtype], status, allocator
                )
            )
    return checks


def check_not_associative(results: Mapping[str, Result], dtype: str, allocator: str) -> list[Check]:
    """The documented non-equivalence of NOT_ASSOCIATIVE, from outputs with time as axis 1."""
    sequential, parallel, equal_steps = NOT_ASSOCIATIVE
    if sequential not in results or parallel not in results:
        return []
    got, expected = results[parallel].out, results[sequential].out
    if got is None or expected is None:
        return []
    tolerance, steps = TOLERANCE[dtype], got.shape[1]
    start = relative_distance(got[:, :equal_steps], expected[:, :equal_steps])
    rest = relative_distance(got[:, equal_steps:], expected[:, equal_steps:])
    outcomes = (
        (f"layer, frames 1-{equal_steps}", start, "pass" if start <= tolerance else "fail"),
        (f"layer, frames {equal_steps + 1}-{steps}: not the same recurrence (D13)", rest, "documented"),
    )
    return [
        Check("published", parallel, sequential, what, steps, distance, math.nan, tolerance, status, allocator)
        for what, distance, status in outcomes
    ]


def condemned(checks: list[Check]) -> dict[str, str]:
    """Series that must not be timed, and why: members that fail, and a reference that all its members contradict."""
    reasons: dict[str, str] = {}
    by_reference: dict[tuple[str, str, int], list[Check]] = {}
    for check in checks:
        if check.status == "fail":
            reasons[check.member] = (
                f"disagrees with {check.reference} ({check.what}): outputs {check.out_rel_err:.1e}, "
                f"gradients {check.grad_rel_err:.1e}, allowed {check.tolerance:.0e}"
            )
        if check.status != "documented":
            by_reference.setdefault((check.reference, check.what, check.T), []).append(check)
    for (reference, what, _), group in by_reference.items():
        if len(group) > 1 and all(check.status == "fail" for check in group):
            reasons[reference] = f"all of {', '.join(check.member for check in group)} disagree with it ({what})"
    return reasons
