"""The CSV: schema, status, and what an interruption leaves behind."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mechanism import records
from benchmarks.mechanism.records import COLUMNS, ERROR, OOM, Row, append, classify, latest, read, start

PUBLISHED = (
    "run_id,panel,cssm_type,name,H,N,T_video,embed_dim,depth,kernel_size,batch,fwd_ms,fwd_bwd_ms,fwd_ms_min,fwd_ms_max,"
    "fwd_bwd_ms_min,fwd_bwd_ms_max,params,status"
)
SPECIFIED = "backend,device,jax,fwd_dev_ms,bwd_dev_ms,peak_mb,compile_s,impl"
OURS = (
    "status_fwd,status_bwd,allocator,dtype,input,frame_readout,fwd_ms_best,fwd_bwd_ms_best,fwd_calls,fwd_bwd_calls,"
    "fwd_peak_mb,fwd_bwd_peak_mb,fwd_compile_s,fwd_bwd_compile_s,compared_with,out_rel_err,grad_rel_err,measured_at,note"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "cells.csv"
    start(path)
    return path


def test_schema(path: Path):
    assert path.read_text() == f"{PUBLISHED},{SPECIFIED},{OURS}\n"
    assert ",".join(COLUMNS) == path.read_text().strip()


def test_rows_survive_the_file(path: Path):
    row = Row(panel="T", cssm_type="no_gate", impl="native", T_video=8, fwd_ms=1.234567, note='a "quoted", note')
    append(path, row)
    (back,) = read(path)
    assert back.note == row.note
    assert back.fwd_ms == row.fwd_ms
    assert math.isnan(back.fwd_bwd_ms)
    assert back.key == row.key


def test_a_row_cut_short_is_dropped_and_does_not_spoil_the_next(path: Path):
    append(path, Row(T_video=8))
    with open(path, "a") as file:
        file.write("1,T,no_gate,half a ro")
    append(path, Row(T_video=16))
    assert [row.T_video for row in read(path)] == [8, 16]


def test_a_new_csv_keeps_the_previous_one(path: Path):
    append(path, Row(T_video=8))
    start(path)
    assert read(path) == []
    assert len(read(path.with_suffix(".previous.csv"))) == 1


def test_old_files_of_the_reference_are_read(tmp_path: Path):
    old = tmp_path / "old.csv"
    old.write_text("cssm_type,name,H,fwd_ms,fwd_bwd_ms,status\nno_gate,fCSSM,32,1.5,3.5,ok\ngated,x,32,nan,nan,oom\n")
    first, second = read(old)
    assert (first.run_id, first.T_video, first.impl, first.fwd_ms) == (1, 1, "xla", 1.5)
    assert (second.status_fwd, second.status_bwd) == (OOM, OOM)
    with pytest.raises(ValueError, match="expected run_id"):
        records.check_appendable(old)


def test_other_files_are_refused(tmp_path: Path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has the columns a, b; expected at least cssm_type"):
        read(other)


def test_the_last_row_of_a_cell_counts_within_its_run():
    row = Row(panel="T", cssm_type="no_gate", impl="xla", T_video=8, fwd_ms=1.0)
    again, other_run = replace(row, fwd_ms=2.0), replace(row, run_id=2, fwd_ms=3.0)
    assert [one.fwd_ms for one in latest([row, again, other_run], 1)] == [2.0]
    assert [one.fwd_ms for one in latest([row, again, other_run])] == [3.0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("Out of memory allocating 4 bytes"), OOM),
        (RuntimeError("RESOURCE_EXHAUSTED: whatever"), OOM),
        (RuntimeError("CUDA_OOM"), OOM),
        (MemoryError(), OOM),
        (RuntimeError("Autotuning failed for fusion"), OOM),
        (RuntimeError("No valid config found"), OOM),
        (ValueError("no room in the bloom filter"), ERROR),
        (TypeError("x has dtype int32"), ERROR),
    ],
)
def test_exceptions_are_classified(error: Exception, status: str):
    assert classify(error) == status


def test_the_worst_status_wins():
    assert records.worst("ok", "skipped") == "skipped"
    assert records.worst("oom", "mismatch", "ok") == "mismatch"
