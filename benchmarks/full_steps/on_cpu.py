"""A step that is run, on CPU."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from typing import Any

import jax

from benchmarks.full_steps.memory import megabytes
from benchmarks.full_steps.steps import Step


def run(step: Step) -> dict[str, Any]:
    """The columns of one step, of its own batch.

    Raises:
      FloatingPointError: its loss or the norm of its gradient is not finite.
    """
    start = time.perf_counter()
    compiled = step.on_cpu.lower(step.state, dict(step.batch)).compile()
    compile_s = time.perf_counter() - start
    start = time.perf_counter()
    _, metrics = jax.block_until_ready(compiled(step.state, dict(step.batch)))
    step_s = time.perf_counter() - start
    found = {name: float(metrics[name]) for name in ("loss", "grad_norm")}
    if not all(map(math.isfinite, found.values())):
        raise FloatingPointError(f"got {found}, expected finite numbers")
    calls = Counter(re.findall(r'custom_call_target="(cssm_\w+)"', compiled.as_text()))
    times = {"compile_s": compile_s, "step_s": step_s}
    sizes = megabytes(compiled.memory_analysis())
    return {"batch": len(step.batch["label"]), **times, **sizes, **found, "calls": listed(calls)}


def listed(calls: Counter[str]) -> str:
    """2 cssm_rfft2, 1 ..."""
    return ", ".join(f"{number} {name}" for name, number in calls.most_common())
