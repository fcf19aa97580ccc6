"""benchmarks.profile without a GPU: its trace, its refusals, and what it tells a profiler that is played here."""

from __future__ import annotations

import gzip
import json
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks import platforms, profile
from cssm_kernels import _native

SMALL = [
    "--steps",
    "2",
    "--kernels",
    "--batch",
    "1",
    "--frames",
    "3",
    "--side",
    "16",
    "--channels",
    "4",
    "--depth",
    "1",
]


def test_a_trace_has_the_steps_and_kernels(tmp_path: Path, capsys):
    assert profile.main(["--trace", str(tmp_path), *SMALL]) == 0
    (path,) = tmp_path.glob("plugins/profile/*/perfetto_trace.json.gz")
    with gzip.open(path) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"] if event.get("ph") == "X"]
    for name in ("train step 0", "train step 1", "linear_scan 1", "spectral_scan 1"):
        assert names.count(name) == 1
    assert str(path) in capsys.readouterr().out


def test_without_a_gpu_nothing_is_profiled(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(platforms, "missing_gpu", lambda _: "none in sight")
    assert profile.main([]) == 2
    assert "nothing was profiled: none in sight\n`python -m benchmarks.profile --trace DIR`" in capsys.readouterr().err


def test_without_nsys_nothing_is_profiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setattr(platforms, "missing_gpu", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert profile.main([]) == 2
    assert "nothing was profiled: nsys is not on PATH: install Nsight Systems" in capsys.readouterr().err


def test_nsys_is_run_around_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd):
    monkeypatch.setattr(platforms, "missing_gpu", lambda _: None)
    nsys = tmp_path / "nsys"
    nsys.write_text('#!/bin/sh\necho "$JAX_PLATFORMS $XLA_FLAGS"; echo "$@"\n')
    nsys.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XLA_FLAGS", "--a")
    out = tmp_path / "reports" / "one"
    assert profile.main(["--steps", "3", "--out", str(out)]) == 0
    variables, command, written = capfd.readouterr().out.splitlines()
    assert variables == "cuda,cpu --a --xla_gpu_enable_command_buffer="
    assert command.startswith("profile --trace=cuda,nvtx,osrt --cuda-graph-trace=node --capture-range=cudaProfilerApi")
    assert command.endswith(f"{sys.executable} -m benchmarks.profile --under-nsys --steps 3 --out {out}")
    assert str(out) + ".nsys-rep" in written
    assert out.parent.is_dir()


def test_print_runs_nothing(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(profile.subprocess, "run", lambda *_, **__: pytest.fail("something was run"))
    assert profile.main(["--print", "--graphs", "--steps", "3"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[0] == "JAX_PLATFORMS=cuda,cpu"
    assert not any("command_buffer" in word for word in words)
    assert words[-3:] == ["--graphs", "--steps", "3"]


def test_the_profiler_is_started_after_the_warm_up_and_told_the_steps(monkeypatch: pytest.MonkeyPatch):
    class Cuda:
        def __init__(self) -> None:
            self.told: list[str] = []
            self.range_push = self.told.append
            self.range_pop = lambda: self.told.append("pop")
            self.profiler_start = lambda: self.told.append("start")
            self.profiler_stop = lambda: self.told.append("stop")

    cuda = Cuda()
    monkeypatch.setattr(_native, "load_cuda", lambda: cuda)
    assert profile.main(["--under-nsys", *SMALL]) == 0
    spans = [f"{name} {i}" for name in ("train step", "linear_scan", "spectral_scan") for i in range(2)]
    assert cuda.told == ["start", *(word for span in spans for word in (span, "pop")), "stop"]
