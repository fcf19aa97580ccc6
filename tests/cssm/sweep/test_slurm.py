"""Jobs through submitit's local executor; SLURM's own is given only what it refuses."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from cssm.sweep.progress import Status
from cssm.sweep.runner import Runner
from cssm.sweep.slurm import submit

from .conftest import starts, states, wait_for

ONE_CPU = {"gpus_per_node": 0, "timeout_min": 1}


def test_jobs_share_the_log_and_go_on_after_preemption(sweep, site):
    grid = sweep({"x": "fits: 64, waits: go, stopped: 75"})
    [job] = submit(grid, site, ONE_CPU, cluster="local")
    runner = Runner(grid, site)
    wait_for(lambda: (site.root / "starts").exists() and starts(site)["x 64 2"] == 1)
    os.kill(runner.log.entries()["x"].pid, signal.SIGUSR2)  # as SLURM does before it preempts
    wait_for(lambda: starts(site)["x 64 2"] == 2)
    (site.root / "go").touch()
    assert job.result() is Status.DONE
    assert states(runner) == {"x": Status.DONE}
    assert list(starts(site).items()) == [("x 128 1", 1), ("x 64 2", 2)]
    assert submit(grid, site, ONE_CPU, cluster="local") == []


def test_what_is_missing_is_named(sweep, site, monkeypatch):
    grid = sweep({"x": ""})
    with pytest.raises(ValueError, match="slurm: "):
        submit(grid, site, {})
    with pytest.raises(ValueError, match=r"local: .*partitoin"):
        submit(grid, site, {"partitoin": "gpu"}, cluster="local")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r"the extra `sweep`: pip install 'cssm-kernels\[sweep\]'"):
        submit(grid, site, {})
