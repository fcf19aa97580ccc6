"""The suite end to end on the real layers, in small, and with series that compute something wrong."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks.mechanism import records
from benchmarks.mechanism.driver import EXIT_WRONG_RESULT, main
from tests.benchmarks.rows import CORE, python

FAULTY = (sys.executable, str(Path(__file__).with_name("faulty_worker.py")))
SERIES = ("no_gate:", "realspace_exact", "realspace_compact")
"""The others are left to the whole smoke run: they take long to compile."""

COMPILE_FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def test_smoke(tmp_path: Path):
    figure = tmp_path / "figure.pdf"
    done = python(
        "-m", "benchmarks.mechanism", "--smoke", "--theory_ts", "8", "--series", ",".join(SERIES),
        "--out", str(tmp_path), "--fig", str(figure), XLA_FLAGS=COMPILE_FAST,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = records.read(tmp_path / "mechanism.csv")
    assert [row.status for row in rows] == ["ok"] * (CORE + 2 + CORE), [row.note for row in rows]
    for row in rows:
        assert 0 < row.fwd_ms_min <= row.fwd_ms <= row.fwd_ms_max
        assert 0 < row.fwd_bwd_ms_min <= row.fwd_bwd_ms <= row.fwd_bwd_ms_max
        assert (row.peak_mb > 0, row.params > 0, row.backend) == (True, True, "cpu")
        assert (row.compile_s > 0) == (row.allocator == "default")
        assert (row.allocator == "tuned") <= (row.cssm_type == "no_gate")
    document = json.loads((tmp_path / "mechanism.json").read_text())
    assert {"options", "environment", "checks", "rows", "tables"} <= document.keys()
    assert {"cpu", "cores", "python", "jax", "date", "git_commit", "native"} <= document["environment"].keys()
    assert {check["status"] for check in document["checks"]} == {"pass"}
    assert {check["member"] for check in document["checks"]} == {
        "no_gate:native", "no_gate:unfused", "no_gate:sequential", "realspace_exact_seq:xla", "realspace_compact_seq:xla"
    }  # fmt: skip
    for name in ("mechanism.png", "mechanism_T_tuned.png", "mechanism.html", "figure.pdf", "figure_T_tuned.pdf"):
        assert (tmp_path / name).stat().st_size > 1000


def test_wrong_series_get_a_failing_status_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLA_FLAGS", COMPILE_FAST)
    monkeypatch.setenv("WRONG_LAYER", "no_gate:sequential")
    monkeypatch.setenv("WRONG_MODEL", "no_gate:native")
    arguments = f"--smoke --theory_ts 8 --allocators default --series no_gate: --loop_below 10 --out {tmp_path}".split()
    assert main(arguments, worker=FAULTY) == EXIT_WRONG_RESULT
    rows = {row.impl: row for row in records.read(tmp_path / "mechanism.csv")}
    assert (rows["xla"].status, rows["native"].status, rows["sequential"].status) == ("ok", "mismatch", "mismatch")
    for impl in ("native", "sequential"):
        row = rows[impl]
        times = (row.fwd_ms, row.fwd_bwd_ms, row.fwd_ms_min, row.fwd_bwd_ms_max, row.fwd_dev_ms, row.bwd_dev_ms)
        assert all(math.isnan(value) for value in times)
        assert "disagrees with no_gate:xla" in row.note
    assert min(rows["xla"].fwd_ms, rows["xla"].fwd_dev_ms, rows["xla"].bwd_dev_ms) > 0
