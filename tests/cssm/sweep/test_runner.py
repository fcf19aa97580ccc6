"""The runner, with children that run out of memory, fail, and are killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from cssm.sweep import runner as runner_module
from cssm.sweep.liveness import is_alive
from cssm.sweep.progress import Entry, Status
from cssm.sweep.runner import Runner, Totals

from .conftest import starts, states, wait_for


def test_out_of_memory_halves_the_batch_and_accumulates(sweep, site):
    runner = Runner(sweep({"x": "fits: 32"}), site)
    assert runner.run() == Totals(done=1, failed=0, interrupted=0)
    assert list(starts(site)) == ["x 128 1", "x 64 2", "x 32 4"]
    entry = runner.log.entries()["x"]
    assert (entry.status, entry.batch, entry.metric) == (Status.DONE, 32, 0.75)
    assert entry.t0 <= entry.t1
    lines = [json.loads(line) for line in runner.layout.progress.read_text().splitlines()]
    assert [(line["status"], line["batch"]) for line in lines] == [
        ("RUNNING", 128),
        ("RUNNING", 64),
        ("RUNNING", 32),
        ("DONE", 32),
    ]
    printed = runner.layout.output("x").read_text()
    assert printed.count("RESOURCE_EXHAUSTED") == 2
    assert printed.count("--run_name x") == 3
    assert printed.endswith("trained\n")


def test_the_floor_ends_halving(sweep, site):
    runner = Runner(sweep({"x": "fits: 1"}), site)
    assert runner.run() == Totals(done=0, failed=1, interrupted=0)
    assert list(starts(site)) == ["x 128 1", "x 64 2", "x 32 4", "x 16 8", "x 8 16"]


def test_failed_is_retried_at_the_next_start_and_exact_names_are_done_once(sweep, site):
    grid = sweep({"x": "needs: fixed", "x_v2": ""})
    runner = Runner(grid, site)
    assert runner.run() == Totals(done=1, failed=1, interrupted=0)
    assert states(runner) == {"x": Status.FAILED, "x_v2": Status.DONE}
    (site.root / "fixed").touch()

    runner = Runner(grid, site)
    assert runner.prepare(retry_failed=False) == []
    assert runner.run() == Totals(done=0, failed=0, interrupted=0)

    runner = Runner(grid, site)
    assert runner.prepare() == ["x"]
    assert runner.run() == Totals(done=1, failed=0, interrupted=0)
    assert starts(site) == {"x 128 1": 2, "x_v2 128 1": 1}


@pytest.mark.parametrize("code", [0, 75])
def test_sigterm_stops_the_child_which_stays_pending(sweep, site, code):
    runner = Runner(sweep({"x": f"waits: never, stopped: {code}", "y": ""}), site)

    def terminate() -> None:
        wait_for(lambda: (site.root / "starts").exists())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    assert runner.run() == Totals(done=0, failed=0, interrupted=1)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert states(runner) == {"x": Status.PENDING}


def test_a_child_that_somebody_else_stopped_waits_for_the_next_runner(sweep, site):
    runner = Runner(sweep({"x": "waits: go, stopped: 75", "y": ""}), site)
    started: list[int] = []
    real = runner_module.child.start

    def start(*args):
        process = real(*args)
        started.append(process.pid)
        return process

    def terminate() -> None:
        wait_for(lambda: (site.root / "starts").exists())
        os.kill(started[0], signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_module.child, "start", start)
        thread.start()
        assert runner.run() == Totals(done=1, failed=0, interrupted=1)
    thread.join()
    assert states(runner) == {"x": Status.PENDING, "y": Status.DONE}


def test_one_run_a_device(sweep, site, monkeypatch):
    seen = []
    real = runner_module.child.start

    def start(command, output, env):
        seen.append((command[command.index("--run_name") + 1], env["CUDA_VISIBLE_DEVICES"]))
        if len(seen) == 2:  # both at once: neither ends before
            (site.root / "go").touch()
        return real(command, output, env)

    monkeypatch.setattr(runner_module.child, "start", start)
    runner = Runner(sweep({"x": "waits: go", "y": "waits: go"}), site, echo=False)
    assert runner.run(("0", "1,2")) == Totals(done=2, failed=0, interrupted=0)
    assert sorted(name for name, _ in seen) == ["x", "y"]
    assert sorted(device for _, device in seen) == ["0", "1,2"]


def test_runner_killed_and_two_runners_at_once(sweep, site, tmp_path):
    grid = sweep({"a": "waits: go", **dict.fromkeys("bcdef", "")})
    command = [sys.executable, "-m", "cssm", "sweep", "run", str(tmp_path / "grid.yaml"), "--out", str(site.root)]
    log = Runner(grid, site).log

    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: (site.root / "starts").exists())
    child = _children(killed.pid)
    assert len(child) == 1
    killed.kill()
    killed.wait()
    wait_for(lambda: not is_alive(child[0], time.time()) or _is_zombie(child[0]))
    assert log.entries()["a"].status is Status.RUNNING

    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: starts(site)["a 128 1"] == 2)  # retried
    here = Runner(grid, site)
    assert here.prepare() == []
    (site.root / "go").touch()
    totals = here.run()
    printed = other.communicate(timeout=20)[0]
    assert other.returncode == 0
    assert "again: a\n" in printed
    assert set(states(here).values()) == {Status.DONE}
    assert starts(site) == {"a 128 1": 2, **{f"{name} 128 1": 1 for name in "bcdef"}}
    assert f"{6 - totals.done} done, 0 failed" in printed


def test_entries_of_the_dead(sweep, site):
    runner = Runner(sweep({"here": "", "there": "", "x": ""}), site)
    gone = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    gone.wait()
    host = os.uname().nodename
    runner.log.append(Entry("here", Status.RUNNING, host, gone.pid, 64, 1e9))
    runner.log.append(Entry("there", Status.RUNNING, "elsewhere", gone.pid, 128, 1e9))
    runner.log.append(Entry("x", Status.RUNNING, host, os.getppid(), 128, 4e9))
    runner.log.append(Entry("x_v2", Status.FAILED, host, gone.pid, 128, 1e9))
    with runner.layout.progress.open("ab") as log:
        log.write(b'{"name": "x", "status": "DO')  # a crash
    assert runner.prepare() == ["here"]
    assert runner.prepare(dead_hosts=["elsewhere"]) == ["there"]
    assert runner.log.claim([("x", 128), ("here", 128)]).batch == 64  # as it was cut
    assert not is_alive(os.getppid(), 0)  # whatever had that number then


def test_a_claim_waits_for_the_lock_of_another(sweep, site):
    log = Runner(sweep({"x": ""}), site).log
    claims: list[Entry | None] = []
    with log.path.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: claims.append(log.claim([("x", 128)])))
        thread.start()
        thread.join(0.2)
        assert claims == []
        other = Entry("x", Status.RUNNING, "elsewhere", 1, 128, 0.0)
        held.write(json.dumps(asdict(other)).encode() + b"\n")
    thread.join()
    assert claims == [None]


def test_bad_input(sweep, site):
    with pytest.raises(ValueError, match=r"paths: got \{\}, expected also girik=PATH"):
        Runner(sweep({"x": "tfrecord_dir: '${girik}'"}), site)
    site.root.mkdir()
    (site.root / "progress.jsonl").write_text('{"name": "x"}\n')
    with pytest.raises(ValueError, match=r"progress.jsonl: line 1: got .*, expected name, status, host"):
        Runner(sweep({"x": ""}), site).prepare()


def _children(pid: int) -> list[int]:
    """Of any of its threads."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
