"""Shared by the tests: rows made up, and a python process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.mechanism.panels import ASSOCIATIVE, NATIVE, PANELS, SERIES
from benchmarks.mechanism.records import Row

ROOT = Path(__file__).parents[2]

CORE = sum(one.core for one in SERIES.values())
"""Series of sCSSM itself."""


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run python from the root of the repository, warnings as errors."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "python")])
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def made_up_rows() -> list[Row]:
    """A complete panel T, with times that grow along the series and with T."""
    rows = []
    others = [key for key in PANELS["T"].series if key not in (NATIVE, ASSOCIATIVE)]
    for place, key in enumerate((NATIVE, ASSOCIATIVE, *others)):
        series = SERIES[key]
        for steps in (8, 16, 1024):
            fwd, bwd = 0.25 * (place + 1) * steps, 0.75 * (place + 1) * steps
            rows.append(
                Row(
                    panel="T", cssm_type=series.cssm_type, name=series.name, H=32, N=1024, T_video=steps, embed_dim=32,
                    kernel_size=11, fwd_ms=fwd, fwd_bwd_ms=bwd, fwd_ms_min=fwd, fwd_ms_max=fwd, fwd_bwd_ms_min=bwd,
                    fwd_bwd_ms_max=bwd, impl=series.impl, backend="cpu", device="made up", measured_at="now",
                )
            )  # fmt: skip
    return rows
