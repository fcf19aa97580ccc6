"""Workers that hang, die or cannot start, played by scripted_worker.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.mechanism import records
from benchmarks.mechanism.driver import EXIT_OK, EXIT_USAGE, EXIT_WRONG_RESULT, main
from benchmarks.mechanism.panels import PANELS
from tests.benchmarks.rows import CORE

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
VICTIM = "direct_conv_seq:sequential"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the suite with a scripted worker; returns the exit code and the rows."""

    def go(script: str, *arguments: str) -> tuple[int, list[records.Row]]:
        monkeypatch.setenv("SCRIPT", script)
        options = ("--smoke", "--out", str(tmp_path), "--cell_timeout", "1", *arguments)
        code = main(list(options), worker=SCRIPTED)
        return code, records.latest(records.read(tmp_path / "mechanism.csv"))

    return go


def test_both_allocators_are_set_before_the_process_starts(run):
    code, rows = run("", "--theory_ts", "8")
    assert code == EXIT_OK
    assert {(row.allocator, row.jax) for row in rows} == {("default", "unset"), ("tuned", "8589934592")}
    assert [row.allocator for row in rows].count("default") == len(PANELS["T"].series)
    assert [row.allocator for row in rows].count("tuned") == CORE, "in short runs only sCSSM"


@pytest.mark.parametrize(
    ("action", "status", "reason", "expected"),
    [
        ("hang", "timeout", "first call: no end after 1 s", EXIT_OK),
        ("killed", "oom", "first call: worker killed by SIGKILL", EXIT_OK),
        ("crash", "error", "first call: worker exited with 7", EXIT_WRONG_RESULT),
    ],
)
def test_a_worker_that_is_lost_costs_one_cell(run, action: str, status: str, reason: str, expected: int):
    code, rows = run(f"{action} {VICTIM}", "--allocators", "default", "--theory_ts", "8")
    lost = {row.series: row for row in rows if row.status != "ok"}
    assert list(lost) == [VICTIM]
    assert (lost[VICTIM].status, lost[VICTIM].note) == (status, reason)
    assert len(rows) == len(PANELS["T"].series)
    assert code == expected


def test_a_worker_that_cannot_start_is_reported(run, capsys):
    code, rows = run("stillborn")
    assert (code, rows) == (EXIT_WRONG_RESULT, [])
    assert "ended before it began (worker exited with 3)" in capsys.readouterr().err


def test_a_panel_whose_layers_are_not_built_is_refused(run, capsys):
    code, rows = run("missing gated", "--panels", "B")
    assert (code, rows) == (EXIT_USAGE, [])
    message = capsys.readouterr().err
    assert (
        "--panels is B, which needs layers that are not built: cssm_type: 'gated' is known but not built yet" in message
    )


def test_resume_measures_what_is_missing_after_an_interruption(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    append, written = records.append, []

    def interrupted(path: Path, row: records.Row) -> None:
        if len(written) == 12:
            raise KeyboardInterrupt
        written.append(row)
        append(path, row)

    monkeypatch.setattr(records, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("", "--allocators", "default")
    monkeypatch.setattr(records, "append", append)
    csv = tmp_path / "mechanism.csv"
    before = records.latest(records.read(csv))
    assert len(before) == 12, "an interruption loses nothing that was measured"

    failed = before[3]
    append(csv, records.Row(**{**vars(failed), "status": "timeout"}))
    code, rows = run("", "--allocators", "default", "--resume")
    assert code == EXIT_OK
    assert len(rows) == 2 * len(PANELS["T"].series)
    after = {row.key: row for row in rows}
    for row in before:
        kept = after[row.key].measured_at == row.measured_at
        assert kept == (row.key != failed.key)


def test_append_adds_a_run_and_default_starts_anew(run, tmp_path: Path):
    short = ("--allocators", "default", "--theory_ts", "8", "--series", "no_gate:")
    run("", *short)
    run("", *short, "--append", "--run-id", "2")
    assert [row.run_id for row in records.read(tmp_path / "mechanism.csv")] == [1] * CORE + [2] * CORE
    run("", *short)
    assert [row.run_id for row in records.read(tmp_path / "mechanism.csv")] == [1] * CORE
    assert len(records.read(tmp_path / "mechanism.previous.csv")) == 2 * CORE


def test_resume_does_not_write_into_another_schema(run, tmp_path: Path, capsys):
    (tmp_path / "mechanism.csv").write_text("cssm_type,fwd_ms,fwd_bwd_ms,status\n")
    code, _ = run("", "--resume")
    assert code == EXIT_USAGE
    assert "start a new CSV" in capsys.readouterr().err
