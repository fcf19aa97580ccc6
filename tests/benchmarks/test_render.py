"""What is made of a CSV: tables, figures, page, comparison. No measurement, no jax."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mechanism import compare, page, records
from benchmarks.mechanism.driver import main
from benchmarks.mechanism.panels import ASSOCIATIVE, NATIVE, PANELS
from benchmarks.mechanism.tables import number, ratio_table, time_table, times, views
from tests.benchmarks.rows import made_up_rows, python

WITHOUT_JAX = (
    "import sys; sys.modules['jax'] = sys.modules['jaxlib'] = sys.modules['flax'] = None;"
    "from benchmarks.mechanism.driver import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "cells.csv"
    records.start(path)
    for row in made_up_rows():
        records.append(path, row)
    return path


def test_a_csv_is_rendered_without_jax(csv: Path, tmp_path: Path):
    out = tmp_path / "rendered"
    done = python("-c", WITHOUT_JAX, "--from-csv", str(csv), "--out", str(out), "--fig", str(tmp_path / "f.pdf"))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"mechanism.json", "mechanism.png", "mechanism.html"}
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "mechanism.png").read_bytes().startswith(b"\x89PNG")
    assert "published, NVIDIA B200" in done.stdout


def test_the_page_needs_nothing_from_outside():
    text = page.render(made_up_rows(), {})
    assert "http://" not in text
    assert "https://" not in text
    assert "prefers-color-scheme:dark" in text
    for name in ("Spectral CSSM (sCSSM), our kernel", "published, NVIDIA B200", "458x", "Method"):
        assert name in text


def test_published_figures_are_set_apart():
    (view,) = views(made_up_rows())
    table = time_table(view, "fwd")
    assert [line.published for line in table.lines] == [False] * len(PANELS["T"].series) + [True] * 6
    assert all("published, NVIDIA B200" in line.label for line in table.lines if line.published)
    measured = next(line for line in table.lines if line.label == "Spectral CSSM (sCSSM), our kernel")
    assert measured.cells == ["2.000", "4.000", "256.0"]
    published = next(line for line in table.lines if line.label.startswith("no_gate ("))
    assert published.cells == ["0.1370", "0.1470", "1.103"]


def test_published_figures_are_not_shown_beside_another_configuration():
    (view,) = views(replace(row, frame_readout="all") for row in made_up_rows())
    assert not any(line.published for line in time_table(view, "fwd").lines)
    assert not any(line.published for line in ratio_table(view, "fwd", NATIVE).lines)


def test_ratios_are_to_scssm_of_the_same_run():
    (view,) = views(made_up_rows())
    lines = {line.label: line.cells for line in ratio_table(view, "fwd", NATIVE).lines}
    assert lines["sCSSM, associative_scan"] == ["2x", "2x", "2x"]
    assert lines["no_gate_realspace_par (published, NVIDIA B200)"] == ["34.4x", "63x", "458x"]
    later = [replace(row, measured_at="later") if row.series == ASSOCIATIVE else row for row in made_up_rows()]
    (view,) = views(later)
    lines = {line.label: line.cells for line in ratio_table(view, "fwd", NATIVE).lines}
    assert lines["sCSSM, associative_scan"] == ["2x*", "2x*", "2x*"]


def test_a_cell_without_a_time_shows_its_status():
    rows = [
        replace(row, fwd_ms=math.nan, status_fwd="timeout") if row.series == ASSOCIATIVE else row
        for row in made_up_rows()
    ]
    (view,) = views(rows)
    line = next(line for line in time_table(view, "fwd").lines if line.label == "sCSSM, associative_scan")
    assert line.cells == ["timeout"] * 3


@pytest.mark.parametrize(
    ("value", "text"), [(0.137, "0.1370"), (12.0, "12.00"), (999.94, "999.9"), (1625.4, "1,625"), (math.nan, "")]
)
def test_numbers(value: float, text: str):
    assert number(value) == text


def test_ratio_text():
    assert [times(value) for value in (0.5, 458.1, 12345.0, math.nan)] == ["0.5x", "458x", "12,345x", ""]


def test_compare_prints_speed_ups(csv: Path, tmp_path: Path, capsys):
    faster = tmp_path / "faster.csv"
    records.start(faster)
    for row in made_up_rows():
        records.append(faster, replace(row, fwd_ms=row.fwd_ms / 2, fwd_bwd_ms=row.fwd_bwd_ms / 3))
    assert compare.main([str(csv), str(faster)]) == 0
    printed = capsys.readouterr().out
    series = len(PANELS["T"].series)
    assert (
        printed.count(" 2x ") == printed.count(" 3x ") == 3 * series + series
    )  # a cell each, and their geometric mean


def test_compare_refuses_files_without_a_shared_cell(csv: Path, tmp_path: Path, capsys):
    other = tmp_path / "other.csv"
    records.start(other)
    records.append(other, replace(made_up_rows()[0], H=16))
    with pytest.raises(SystemExit) as stop:
        compare.main([str(csv), str(other)])
    assert stop.value.code == 2
    assert "no cell is shared: the first has" in capsys.readouterr().err


def test_json_has_no_nan(csv: Path, tmp_path: Path):
    assert main(["--from-csv", str(csv), "--out", str(tmp_path)]) == 0

    def refuse(name: str) -> None:
        raise AssertionError(name)

    document = json.loads((tmp_path / "mechanism.json").read_text(), parse_constant=refuse)
    assert len(document["rows"]) == len(made_up_rows())


def test_a_csv_that_is_not_there_is_refused(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        main(["--from-csv", str(tmp_path / "none.csv")])
    assert "which is no file" in capsys.readouterr().err
